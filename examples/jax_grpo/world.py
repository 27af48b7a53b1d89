"""What does the model read and write, and who may see which of it?

The world is a phrase bank of its own, `world.phrases`: 20 kinds of request, and texts of known truth for each
(`rbrlang.learning.synthesis.templates`). What is a right answer depends on the kind alone, so that a small model can learn to
answer; the slots make prompts different. A world's seed deals out prompts and writes texts; no prompt has two roles:

| role | for |
| --- | --- |
| `learn` | the warm start, the preferences that reward models learn from, and the prompts of RL |
| `fit` | the weights of the rules; new pairs that the reward models are tried on |
| `grader` | the heads of the grader that training sees, in one half of the phrasings |
| `proof` | labelled text that grader and judge are tried on |
| `held` | the prompts of the final numbers |

Words keep the space before them, so that decoding is joining. Texts longer than `LONGEST` words are left out: the
policy's limit of 60 words is never met.
"""

# pyright: basic
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import rbrlang as rbr
from rbrlang.learning.synthesis.phrases import Bank, filled, read_bank
from rbrlang.learning.synthesis.templates import bank_prompts, synth_from_templates
from rbrlang.policy import Policy
from rbrlang.rows.read import Row

HERE = Path(__file__).resolve().parent
POLICY = HERE.parent / "refusals" / "policy.rbr"
PROMPT = 22  # words of a prompt that the model sees
LONGEST = 30  # words of a completion, its end included
PAD, BEGIN, END, UNKNOWN = 0, 1, 2, 3
ROLES = ("learn", "fit", "grader", "proof", "held")
# What the warm start is made of: a model that can do everything, and does much of it badly.
MIX = {"ideal": 3, "minimum_acceptable_style": 3, "unacceptable": 3, "illogical": 1, "disallowed": 3}

Ints = NDArray[np.int32]
_WORD = re.compile(r" ?[\w'’]+| ?[^\w\s]|\n+|\s")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Prompts a response type, by role; texts a prompt and class (`copies`) for what the model learns."""

    learn: int = 60
    fit: int = 24
    grader: int = 24
    proof: int = 24
    held: int = 36
    copies: int = 4


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words by number. Words that the vocabulary lacks are read as `UNKNOWN` and never written."""

    words: tuple[str, ...]
    numbers: dict[str, int]

    @staticmethod
    def of(texts: Iterable[str]) -> Vocabulary:
        """Every word of the texts, after the four special ones."""
        found = sorted({word for text in texts for word in _WORD.findall(text)})
        words = ("<pad>", "<begin>", "<end>", "<unknown>", *found)
        return Vocabulary(words, {word: number for number, word in enumerate(words)})

    def read(self, text: str) -> list[int]:
        """Numbers of a text's words."""
        return [self.numbers.get(word, UNKNOWN) for word in _WORD.findall(text)]

    def prompts(self, texts: Sequence[str]) -> Ints:
        """int32 [batch, PROMPT], padded at the left; of longer prompts the last words."""
        out = np.full((len(texts), PROMPT), PAD, np.int32)
        for row, text in zip(out, texts, strict=True):
            numbers = self.read(text)[-PROMPT:]
            row[PROMPT - len(numbers) :] = numbers
        return out

    def completions(self, texts: Sequence[str]) -> Ints:
        """int32 [batch, LONGEST], ended and padded at the right. Raises ValueError for a text that is too long."""
        out = np.full((len(texts), LONGEST), PAD, np.int32)
        for row, text in zip(out, texts, strict=True):
            numbers = [*self.read(text), END]
            if len(numbers) > LONGEST:
                raise ValueError(f"a completion of {len(numbers)} words, with its end; {LONGEST} fit")
            row[: len(numbers)] = numbers
        return out

    def written(self, completions: Ints) -> tuple[list[str], list[bool]]:
        """Texts of completions [batch, LONGEST], and whether the model ended them itself."""
        texts, ended = [], []
        for row in completions.tolist():
            whole = END in row
            numbers = row[: row.index(END)] if whole else row
            texts.append("".join(self.words[number] for number in numbers if number > UNKNOWN))
            ended.append(whole)
        return texts, ended


@dataclass(frozen=True, slots=True)
class World:
    """Prompts and texts of one seed. `texts` are labelled rows by role, `prompts` rows without text."""

    policy: Policy
    bank: Bank
    vocabulary: Vocabulary
    prompts: dict[str, tuple[Row, ...]]
    texts: dict[str, tuple[Row, ...]]


def _sayable(bank: Bank) -> Iterator[str]:
    """Texts that together hold every word of the bank, so that all seeds have one vocabulary."""
    for scene in bank.scenes:
        for at in range(max((len(slot.values) for slot in scene.slots), default=1)):
            values = {
                name: value
                for slot in scene.slots
                for name, value in zip(slot.names, slot.values[at % len(slot.values)], strict=True)
            }
            yield from (filled(ask, values) for ask in scene.asks)
    for section in (*bank.sections, *(section for scene in bank.scenes for section in scene.sections)):
        yield from (f"{phrase} {phrase}\n\n{phrase}" for phrase in section.phrases)


def question(row: Row) -> str:
    """What the user asked."""
    return row.prompt[-1].text


def build_world(sizes: Sizes, seed: int) -> World:
    """Deal out prompts and write texts. The same sizes and seed give the same world."""
    policy, bank = rbr.load(POLICY), read_bank(HERE / "world.phrases")
    circuit = policy.circuit
    counts = [getattr(sizes, role) for role in ROLES]
    rng = np.random.default_rng(seed)
    prompts: dict[str, list[Row]] = {role: [] for role in ROLES}
    every = bank_prompts(circuit, sum(counts), seed, bank=bank)
    for name in circuit.response_names:
        mine = [row for row in every if row.response_type == name]
        order = iter(rng.permutation(len(mine)).tolist())
        for role, count in zip(ROLES, counts, strict=True):
            prompts[role] += [mine[next(order)] for _ in range(count)]
    texts: dict[str, tuple[Row, ...]] = {}
    for number, role in enumerate(ROLES[:-1]):
        used = bank.half(0) if role == "grader" else bank
        copies = sizes.copies if role == "learn" else 2 if role == "fit" else 1
        made = synth_from_templates(circuit, prompts[role], copies, seed + number, bank=used, base_reward=False)
        texts[role] = tuple(row for row in made.rows if len(_WORD.findall(row.completion_text)) < LONGEST)
    return World(
        policy, bank, Vocabulary.of(_sayable(bank)), {role: tuple(rows) for role, rows in prompts.items()}, texts
    )
