"""Rule-based rewards in TRL's GRPO, with a tiny model, on a CPU.

    rbrc fit examples/refusals/policy.rbr examples/refusals/completions.jsonl --grader labels -o refusals.rbrc
    python examples/trl_grpo/train_trl.py refusals.rbrc examples/refusals/completions.jsonl --steps 60 --seed 0

The trainer and the logs are TRL's; the reward is `TRLReward` with the embedded grader. `tiny` makes the model, a
Llama that was taught to speak but hardly to listen. A quarter of the prompts is held out, by prompt. The summary
goes to standard output as JSON. For a model of your own, replace `clause_tokenizer`, `tiny_llama` and
`warm_start` by `from_pretrained`; the reward stays as it is.
"""
# Where TRL is not installed its types are not known.
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tiny_llama import ANSWER_TOKENS, clause_tokenizer, said, tiny_llama, warm_start
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.trainer_callback import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from rbrlang.adapters.trl import TRLReward
from rbrlang.rows.read import read_rows

PROMPTS_A_STEP, GROUP = 8, 8

Pairs = list[tuple[str, str]]


def read_prompts(path: str, seed: int) -> tuple[Pairs, Pairs]:
    """(prompt, response type) of a file of rows: those to train on, and a quarter held out."""
    found = {row.prompt[-1].text: row.response_type or "" for row in read_rows(path).rows}
    pairs = sorted(found.items())
    random.Random(seed).shuffle(pairs)
    cut = len(pairs) // 4
    return pairs[cut:], pairs[:cut]


def trainer(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, reward: TRLReward, pairs: Pairs, *, steps: int,
    seed: int, folder: Path,
) -> GRPOTrainer:  # fmt: skip
    """TRL's trainer on these prompts; `response_type` is the column that the reward reads."""
    data = Dataset.from_dict({"prompt": [p for p, _ in pairs], "response_type": [t for _, t in pairs]})
    config = GRPOConfig(
        output_dir=str(folder), seed=seed, max_steps=steps, per_device_train_batch_size=PROMPTS_A_STEP * GROUP,
        num_generations=GROUP, max_completion_length=ANSWER_TOKENS, learning_rate=1e-3, lr_scheduler_type="constant",
        beta=0.0, logging_steps=1, report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True, bf16=False,
    )  # fmt: skip
    made = GRPOTrainer(model=model, reward_funcs=[reward], args=config, train_dataset=data, processing_class=tokenizer)
    made.remove_callback(PrinterCallback)  # standard output is for the summary
    return made


def held_out(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, reward: TRLReward, pairs: Pairs, seed: int
) -> dict[str, Any]:
    """Mean reward and class mix on other prompts, four completions each, and some of what was said."""
    prompts, types = [p for p, _ in pairs for _ in range(4)], [t for _, t in pairs for _ in range(4)]
    torch.manual_seed(seed)
    texts = said(model, tokenizer, prompts)
    metrics: dict[str, float] = {}
    asyncio.run(reward(prompts, texts, log_metric=metrics.__setitem__, response_type=types))
    return {
        "reward": round(metrics["rbr/reward/mean"], 3),
        "classes": {k.removeprefix("rbr/class/"): round(v, 3) for k, v in metrics.items() if "/class/" in k},
        "said": dict(zip(types, texts, strict=True)),
    }


def train(
    reward: TRLReward, rows: str, *, steps: int, warm: int, seed: int, folder: Path
) -> tuple[dict[str, Any], GRPOTrainer]:
    """Warm-start, train, and say what changed; the trainer too, for those who want its logs."""
    torch.set_num_threads(1)  # such small matrices are ten times faster so
    started = time.process_time()
    pairs, other = read_prompts(rows, seed)
    tokenizer = clause_tokenizer([p for p, _ in pairs])
    model = tiny_llama(tokenizer, seed)
    loss = warm_start(model, tokenizer, pairs, warm, seed)
    before = held_out(model, tokenizer, reward, other, seed)
    warmed = time.process_time()
    run = trainer(model, tokenizer, reward, pairs, steps=steps, seed=seed, folder=folder)
    run.train()
    trained = time.process_time()
    history = [entry for entry in run.state.log_history if "rewards/rbr/mean" in entry]
    names = ("rewards/rbr/mean", "rbr/class/ideal", "rbr/apology/p", "rbr/invalid_rate")
    return {
        "seed": seed, "steps": steps, "prompts": {"train": len(pairs), "held_out": len(other)},
        "completions_a_step": PROMPTS_A_STEP * GROUP, "warm_start_loss": round(loss, 3),
        "held_out": {"before": before, "after": held_out(model, tokenizer, reward, other, seed)},
        # a step whose prompts ask no proposition of some name has no mean of it
        "curves": {name: [round(float(entry[name]), 3) for entry in history if name in entry] for name in names},
        "processor_seconds": {"warm_start": round(warmed - started, 1), "train": round(trained - warmed, 1)},
    }, run  # fmt: skip


def main() -> None:
    """Parse arguments, train, print the summary."""
    parser = argparse.ArgumentParser(description="rule-based rewards in TRL's GRPO, on a CPU")
    parser.add_argument("artefact", help="a policy.rbrc, from `rbrc fit` or `rbrc compile`")
    parser.add_argument("rows", help="rows with prompts and response types")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--warm", type=int, default=300, help="steps of the warm start")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("trl_grpo"), help="TRL's output folder")
    options = parser.parse_args()
    done, _ = train(
        TRLReward(options.artefact), options.rows, steps=options.steps, warm=options.warm, seed=options.seed,
        folder=options.folder,
    )  # fmt: skip
    print(json.dumps(done, indent=1))


if __name__ == "__main__":
    main()
