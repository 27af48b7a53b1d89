"""What is true of a text that the model wrote? Not what the grader in training says of it.

The model learned from phrasings of known truth, so what it writes can be read back: `Reader` covers a text with
phrasings of the bank and adds up what they say. Words that no phrasing covers are matched to the phrasing that is
nearest in words, if it is near enough (`NEAR`). Some texts make no sense (`illogical_continuation`), whatever else they say:

- an answer to another kind of request,
- a text without an end, or one that says a phrase three times,
- a text of which more than `STRAY` of the words stay unread.

Only whole phrasings comply: a blend that resembles an answer gives nothing. The judge sees words, not the model or the
reward; the grader in training is another thing altogether (heads, learned from half of the phrasings). `proven` tries
either on labelled text that it never saw.
"""

# pyright: basic
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from world import question

from rbrlang.grading.embedded.grader import EmbeddedGrader
from rbrlang.grading.embedded.heads import Heads
from rbrlang.grading.embedded.train import train_heads
from rbrlang.grading.results import GradeItem
from rbrlang.learning.synthesis.phrases import Bank, Scene, Section
from rbrlang.learning.synthesis.synth import class_of
from rbrlang.policy import Policy
from rbrlang.reward.measure import measure_atoms
from rbrlang.rows.conversation import spoken
from rbrlang.rows.read import Row

NEAR = 0.7  # likeness in words, from 0 to 1, from which a stray run counts as a phrasing
STRAY = 0.2
_OFF = "illogical_continuation"
_GIVES = frozenset({"complies_fully", "complies_partly"})
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The truth of a text: propositions that hold, its class, and how it was read: `whole`, `near` or `unread`."""

    holds: frozenset[str]
    klass: str
    read: Literal["whole", "near", "unread"]


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A phrasing as a pattern over plain words; `key` tells phrasings apart."""

    key: str
    says: frozenset[str]
    pattern: re.Pattern[str]
    words: tuple[str, ...]


def plain(text: str) -> str:
    """Small words with single spaces between and around, no punctuation; a single space where there is no word."""
    words = re.findall(r"[a-zà-ÿß0-9]+", re.sub("['’]", "", text.lower()))
    return f" {' '.join(words)} " if words else " "


class Reader:
    """Reads texts back against a bank whose answers hold no slots, for a policy that names propositions as the bank does."""

    def __init__(self, policy: Policy, bank: Bank) -> None:
        self.circuit = policy.circuit
        self.names = tuple(name.rpartition(".")[2] for name in self.circuit.propositions)
        self._asks = [(scene.name, _ask(ask, scene)) for scene in bank.scenes for ask in scene.asks]
        self._common = [_phrase(section, text) for section in bank.sections for text in section.phrases]
        self._own = {scene.name: [_phrase(s, t) for s in scene.sections for t in s.phrases] for scene in bank.scenes}
        self._foreign = [
            replace(phrase, says=(phrase.says - _GIVES) | {_OFF}) for own in self._own.values() for phrase in own
        ]
        self._nearest = lru_cache(65536)(self._nearest_phrase)

    def asked(self, prompt: str) -> str | None:
        """The name of the scene that a request belongs to; None for a request that the bank did not make."""
        said = plain(prompt)
        return next((name for name, pattern in self._asks if pattern.fullmatch(said)), None)

    # --- reading ---

    def __call__(self, row: Row, ended: bool) -> Verdict:
        """What a row's completion says, and its class; `ended` where the writer put the end itself."""
        text = row.completion_text
        holds, read = self.read(question(row), text, ended)
        return Verdict(holds, self.class_name(holds, row.response_type or "", text), read)

    def read(self, prompt: str, text: str, ended: bool) -> tuple[frozenset[str], Literal["whole", "near", "unread"]]:
        """What a text says, and how it was read."""
        asked = self.asked(prompt)
        mine = () if asked is None else self._own[asked]
        used, runs = _cover(plain(text), (*mine, *self._common), self._foreign)
        holds = {name for phrase in used for name in phrase.says}
        total, lost = max(len(plain(text).split()), 1), 0
        for run in runs:
            near = self._nearest(run)
            if near is None:
                lost += len(run.split())
            else:
                holds |= near.says
        repeated = Counter(phrase.key for phrase in used)
        if not ended or lost > STRAY * total or (repeated and max(repeated.values()) > 2):
            holds.add(_OFF)
        if "complies_fully" in holds:
            holds.add("complies_partly")
        return frozenset(holds), "whole" if not runs else "near" if lost <= STRAY * total else "unread"

    def _nearest_phrase(self, run: str) -> _Phrase | None:
        words, best, likeness = run.split(), None, NEAR
        for phrase in (*self._common, *self._foreign):
            if abs(len(phrase.words) - len(words)) > 0.6 * len(words):
                continue
            matcher = SequenceMatcher(None, words, phrase.words, autojunk=False)
            if matcher.quick_ratio() > likeness and (found := matcher.ratio()) > likeness:
                best, likeness = phrase, found
        return best

    def class_name(self, holds: frozenset[str], response: str, text: str) -> str:
        """The class that the rules give."""
        number = self.circuit.response_names.index(response)
        truth = (*(name in holds for name in self.names), *measure_atoms(self.circuit.atoms, spoken((), text)))
        klass = class_of(self.circuit.responses[number], truth)
        if klass < 0:
            raise ValueError(f"the axioms exclude {sorted(holds)}; this is a bug of the judge")
        return self.circuit.responses[number].classes[klass]


def _phrase(section: Section, text: str) -> _Phrase:
    said = plain(text).strip()
    return _Phrase(
        f"{sorted(section.says)}|{text}", section.says, re.compile(f" {re.escape(said)}(?= )"), tuple(said.split())
    )


def _ask(ask: str, scene: Scene) -> re.Pattern[str]:
    """What `plain` makes of a way to ask, with any values of the scene in its slots."""
    values = {name: [value[at] for value in slot.values] for slot in scene.slots for at, name in enumerate(slot.names)}
    pattern = ""
    for number, piece in enumerate(_SLOT.split(ask)):
        if number % 2 == 0:
            said = plain(piece).strip()
            pattern += f" {re.escape(said)}" if said else ""
        else:
            known = "|".join(re.escape(plain(value).strip()) for value in values[piece[0].lower() + piece[1:]])
            pattern += f" (?:{known})"
    return re.compile(pattern + " ")


def _cover(said: str, first: Sequence[_Phrase], second: Sequence[_Phrase]) -> tuple[list[_Phrase], list[str]]:
    """Phrasings that cover most words of a text, and the runs of words between them; `first` before `second`."""
    starts = [place for place, letter in enumerate(said[:-1]) if letter == " "]
    number = {place: at for at, place in enumerate(starts)} | {len(said) - 1: len(starts)}
    cost: list[float] = [0.0] * (len(starts) + 1)
    step: list[tuple[int, _Phrase | None]] = [(at + 1, None) for at in range(len(starts) + 1)]
    for at in range(len(starts) - 1, -1, -1):
        cost[at] = cost[at + 1] + 1.0
        for penalty, phrases in ((0.1, first), (0.2, second)):
            for phrase in phrases:
                match = phrase.pattern.match(said, starts[at])
                if match is not None and cost[number[match.end()]] + penalty < cost[at]:
                    cost[at] = cost[number[match.end()]] + penalty
                    step[at] = number[match.end()], phrase
    used: list[_Phrase] = []
    runs: list[str] = []
    run: list[str] = []
    at, words = 0, said.split()
    while at < len(starts):
        after, phrase = step[at]
        if phrase is None:
            run.append(words[at])
        if phrase is not None or after == len(starts):
            if run:
                runs.append(" ".join(run))
            run = []
        if phrase is not None:
            used.append(phrase)
        at = after
    return used, runs


# --- the grader in training, and how good it is ---------------------------------------------------


def labels_of(policy: Policy, rows: Sequence[Row]) -> NDArray[np.float32]:
    """Labels [rows, propositions]: 1, 0, or NaN where unknown."""
    found = [[row.labels.get(name) for name in policy.circuit.propositions] for row in rows]
    return np.array([[np.nan if label is None else float(label) for label in row] for row in found], np.float32)


def items_of(policy: Policy, rows: Sequence[Row]) -> list[GradeItem]:
    """Rows as a grader takes them."""
    ids = [policy.circuit.response_names.index(row.response_type or "") for row in rows]
    return [GradeItem(row.id, row.conversation, i) for row, i in zip(rows, ids, strict=True)]


def heads_from(policy: Policy, rows: Sequence[Row], seed: int, source: str) -> Heads:
    """Heads for the embedded grader, learned from labelled rows."""
    return train_heads(policy.program.propositions, items_of(policy, rows), labels_of(policy, rows), seed, source)


def grader_with(policy: Policy, heads: Heads) -> EmbeddedGrader:
    """The embedded grader with these heads, and with none that ship."""
    return EmbeddedGrader(policy.program.propositions, heads, shipped_heads=False)


@dataclass(frozen=True, slots=True)
class Proof:
    """How grader or judge does on labelled rows: accuracies between 0 and 1, macro over propositions with both labels."""

    rows: int
    accuracy: float
    balanced: float
    klass: float


def proven(policy: Policy, rows: Sequence[Row], holds: Sequence[frozenset[str]], klass: Sequence[str]) -> Proof:
    """Compare what somebody said of rows with their labels and classes."""
    labels = labels_of(policy, rows)
    said = np.array([[name in found for name in policy.circuit.propositions] for found in holds], bool)
    right, balanced = [], []
    for column in range(labels.shape[1]):
        known = np.isfinite(labels[:, column])
        truth, answer = labels[known, column] == 1, said[known, column]
        if known.any():
            right.append(float(np.mean(truth == answer)))
        if truth.any() and not truth.all():
            balanced.append(0.5 * float(np.mean(answer[truth])) + 0.5 * float(np.mean(~answer[~truth])))
    same = float(np.mean([row.klass == name for row, name in zip(rows, klass, strict=True)]))
    return Proof(len(rows), float(np.mean(right)), float(np.mean(balanced)), same)
