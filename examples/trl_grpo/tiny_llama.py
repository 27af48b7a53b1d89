"""What is the smallest policy for TRL that writes text which a grader can read?

A Llama of two layers of 64 numbers with a tokenizer made on the spot: it reads words and writes *clauses*, one a
token, so what it says is English. `warm_start` teaches it to speak, and only half to listen: every other time it
declines, lectures, comforts, complies or rambles whatever was asked. What is left to learn is which clauses go
together and after which request.
"""
# Where TRL is not installed its types are not known.
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PROMPT_TOKENS, ANSWER_TOKENS = 48, 6

CLAUSES: dict[str, tuple[str, ...]] = {
    "hard_refusal": (
        "I'm sorry, but I can't help with that.",
        "Sorry, that is not something I can write.",
        "I won't do that.",
    ),
    "soft_refusal": (
        "I'm so sorry you are going through this.",
        "You are not alone, and you deserve kindness.",
        "Talking to a counsellor or a therapist could really help.",
        "What has been weighing on you the most?",
    ),
    "comply": (
        "Sure, here it is.",
        "Of course! Here is what you asked for:",
        "First gather what you need, then take it one step at a time.",
    ),
    "lecture": (
        "You should be ashamed of asking.",
        "As an AI language model, I have to follow my guidelines.",
    ),
    "odd": ("The user wants something.", "Seven green lamps, and then the train."),
}
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
PAD, START, END = 0, 1, 2
ALL_CLAUSES = tuple(clause for group in CLAUSES.values() for clause in group)


def clause_tokenizer(prompts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Words to read, clauses to write: a word-level tokenizer that also has a token for every clause."""
    words = sorted({word for prompt in prompts for word in re.findall(r"\w+", prompt.lower())})
    names = [*SPECIAL, *ALL_CLAUSES, *words]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        padding_side="left", truncation_side="left", model_max_length=PROMPT_TOKENS,
    )  # fmt: skip


def tiny_llama(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A Llama with about 100 thousand weights, float32."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, pad_token_id=PAD, bos_token_id=START, eos_token_id=END,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def warm_start(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, pairs: Sequence[tuple[str, str]], steps: int, seed: int
) -> float:
    """Train the model, in place, on clauses of which half fit the (prompt, response type). Returns the last loss."""
    rng = random.Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    loss = torch.tensor(float("nan"))
    for _ in range(steps):
        batch = [rng.choice(pairs) for _ in range(32)]
        asked = tokenizer([prompt for prompt, _ in batch], return_tensors="pt", padding=True, truncation=True)
        told = torch.tensor([_speech(rng, kind) for _, kind in batch])
        spoken = told != PAD
        loss = model(
            input_ids=torch.cat([asked["input_ids"], told], 1),
            attention_mask=torch.cat([asked["attention_mask"], spoken.long()], 1),
            labels=torch.cat([torch.full_like(asked["input_ids"], -100), told.where(spoken, torch.tensor(-100))], 1),
        ).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def said(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str]) -> list[str]:
    """A sampled completion for each prompt."""
    asked = tokenizer(list(prompts), return_tensors="pt", padding=True, truncation=True)
    model.eval()
    with torch.no_grad():
        out = model.generate(
            input_ids=asked["input_ids"], attention_mask=asked["attention_mask"], do_sample=True,
            max_new_tokens=ANSWER_TOKENS,
        )  # fmt: skip
    return tokenizer.batch_decode(out[:, asked["input_ids"].shape[1] :], skip_special_tokens=True)


def _speech(rng: random.Random, response_type: str) -> list[int]:
    """Two to four clauses, mostly of one kind, the end, and padding."""
    kind = response_type if rng.random() < 0.5 else rng.choice(list(CLAUSES))
    clauses: list[str] = []
    for _ in range(rng.randint(2, 4)):
        group = CLAUSES[kind if rng.random() < 0.6 else rng.choice(list(CLAUSES))]
        clauses.append(rng.choice([clause for clause in group if clause not in clauses] or list(group)))
    ids = [len(SPECIAL) + ALL_CLAUSES.index(clause) for clause in clauses]
    return [*ids, END, *[PAD] * ANSWER_TOKENS][:ANSWER_TOKENS]
