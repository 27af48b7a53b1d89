"""P(yes) with nothing but the core install: no server, no download, no model of the language?

For each proposition the best that is at hand is used, and said (`Standing`):

1. a **head** learned from labels of this very definition (the user's own, or one that ships, as for
   the standard library's safety propositions);
2. a shipped head learned for OpenAI's proposition of the same **name**, where the policy declares no cues;
3. the policy's **cues** alone, weak;
4. likeness to its **few-shots** and to examples that its question quotes, weaker;
5. nothing: the grader abstains.

What a question names of the row's columns it does not see: its evidence is of the judged text alone.

It is deterministic, in process, numpy only, and costs about half a millisecond a completion. It sees words,
not meaning: read what each head was worth before trusting it, and prefer a language model where one can be
had. Its mistakes are found by looking (`rbrc agree`), its blind spots by attacking it (`rbrc probe`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from math import isnan
from pathlib import Path
from typing import assert_never, get_args

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.embedded import evidence
from rbrlang.grading.embedded.cues import CuePatterns, CueReader, log_odds
from rbrlang.grading.embedded.evidence import Asked, Evidence, Said, asked, said, seen, together
from rbrlang.grading.embedded.folding import Text, text_of
from rbrlang.grading.embedded.grams import Directions
from rbrlang.grading.embedded.heads import (
    HeadInfo,
    Heads,
    HeadsError,
    Reading,
    Unmeasured,
    Weights,
    definition,
    gram_directions,
    logits,
    parse_heads,
    scaled,
)
from rbrlang.grading.embedded.shots import ShotReader, all_examples, both_sides, few_shots, held_out
from rbrlang.grading.results import Abstained, Answer, GradeItem, certain
from rbrlang.grading.trust.agreement import Measured
from rbrlang.lang.program import Judged, Proposition

_BATCH = 256
_CHANCE = 0.6  # an area below this is hardly better than none
_SHARED = ("trait_mean", "trait_scale", "gram_weight")


@dataclass(frozen=True, slots=True)
class Learned:
    """A head. `exact`: learned for this definition, not merely for this name."""

    info: HeadInfo
    source: str
    exact: bool


@dataclass(frozen=True, slots=True)
class CuesOnly:
    """The policy's cues, without labels."""


@dataclass(frozen=True, slots=True)
class ShotsOnly:
    """Likeness to so many examples, without cues or labels; `auc` tells each of them by the others, where five of either
    answer allow it.
    """

    examples: int
    auc: float | None


@dataclass(frozen=True, slots=True)
class NoEvidence:
    """Neither head, nor cues, nor examples of both answers."""


Standing = Learned | CuesOnly | ShotsOnly | NoEvidence


def describe(standing: Standing) -> str:
    """What an answer rests on, for people."""
    match standing:
        case Learned(info, source, exact):
            if not info.learned:
                return (
                    f"cues only (weak): {info.positives} positives of {info.labelled} labels teach nothing ({source})"
                )
            match info.worth:
                case Measured(auc, low, high):
                    worth = f"auc {auc:.2f} ({low:.2f} to {high:.2f}) when cross-fitted"
                case Unmeasured(reason):
                    worth = f"not measured: {reason}"
                case _:
                    assert_never(info.worth)
            likeness = "" if exact else ", for a proposition of this name"
            return f"head learned from {info.labelled} labels ({source}){likeness}; {worth}"
        case CuesOnly():
            return "cues only (weak)"
        case ShotsOnly(examples, auc):
            if auc is None:
                return f"examples only (weak): {examples} of them, too few to say how weak"
            chance = ", near chance" if auc < _CHANCE else ""
            return f"examples only (weak): auc {auc:.2f}{chance} when each of {examples} is told by the others"
        case NoEvidence():
            return "no head of this name, no cues, and no examples of both answers"
        case _:
            assert_never(standing)


@dataclass(frozen=True, slots=True)
class _Part:
    """Columns that heads of one set and reading answer, with those heads' parameters in the same order."""

    library: Heads
    reading: Reading
    columns: NDArray[np.int64]
    weights: Weights
    directions: Directions


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of some completions: evidence, and cue scores and likeness [completions, propositions]."""

    seen: Evidence
    scores: NDArray[np.float32]
    likeness: NDArray[np.float32]


class EmbeddedGrader:
    """Grades completions against propositions by their evidence.

    `trained` are the user's own heads. They must have been learned for these definitions: `HeadsError` names
    a proposition that has changed since. `shipped_heads=False` leaves out those that come with the package, so
    that what they were learned from cannot be measured on itself. Raises `ValueError` where RE2 refuses a cue.
    """

    def __init__(
        self, propositions: Sequence[Proposition], trained: Heads | None = None, *, shipped_heads: bool = True
    ) -> None:
        self._propositions = tuple(propositions)
        if trained is not None:
            _check_lock(self._propositions, trained)
        libraries = (*(() if trained is None else (trained,)), *(shipped() if shipped_heads else ()))
        found = [_choose(p, libraries) for p in self._propositions]
        self.standings: tuple[Standing, ...] = tuple(standing for standing, _, _ in found)
        self._used = tuple(lib for lib in libraries if any(chosen is lib for _, chosen, _ in found))
        parts = [self._part(lib, reading, found) for lib in libraries for reading in get_args(Reading)]
        self._parts = [part for part in parts if part is not None]
        self._cues = CueReader([_cues_of(p, s) for p, s in zip(self._propositions, self.standings, strict=True)])
        self._shots = ShotReader(list(map(few_shots, self._propositions)))
        self._by_shot = [i for i, s in enumerate(self.standings) if isinstance(s, ShotsOnly)]
        self._alone = ShotReader([all_examples(self._propositions[i]) for i in self._by_shot])
        by_paragraph = {i for part in self._parts if part.reading != "whole" for i in part.columns.tolist()}
        self._apart = CueReader(
            [
                _cues_of(p, s) if i in by_paragraph else ()
                for i, (p, s) in enumerate(zip(self._propositions, self.standings, strict=True))
            ]
        )
        prior = np.clip([p.prior for p in self._propositions], 0.02, 0.98)
        self._prior = np.log(prior / (1 - prior)).astype(np.float32)

    def _part(
        self, library: Heads, reading: Reading, found: Sequence[tuple[Standing, Heads | None, int]]
    ) -> _Part | None:
        columns = [
            i for i, (_, chosen, row) in enumerate(found) if chosen is library and library.infos[row].reading == reading
        ]
        if not columns:
            return None
        rows = [found[i][2] for i in columns]
        weights = replace(
            library.weights,
            **{name: getattr(library.weights, name)[rows] for name in Weights.__slots__ if name not in _SHARED},
        )
        return _Part(library, reading, np.array(columns), weights, gram_directions(weights))

    @property
    def identity(self) -> str:
        """Changes with anything that could change an answer: evidence, heads, cues, few-shots, priors."""
        parts = [evidence.fingerprint()]
        for proposition, standing in zip(self._propositions, self.standings, strict=True):
            parts += [definition(proposition), repr(proposition.prior), repr(standing)]
        parts += [lib.identity for lib in self._used]
        return "embedded " + hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]

    def probabilities(self, items: Sequence[GradeItem]) -> NDArray[np.float32]:
        """P(yes), float32 [items, propositions]; NaN where the grader abstains. Texts of any kind are graded."""
        out = np.full((len(items), len(self._propositions)), np.nan, np.float32)
        overs: dict[Judged, None] = {p.over: None for p in self._propositions}
        for over in overs:
            mine = [i for i, p in enumerate(self._propositions) if p.over == over]
            for start in range(0, len(items), _BATCH):
                batch = [item.seen(over) for item in items[start : start + _BATCH]]
                out[start : start + len(batch), mine] = self._batch(batch)[:, mine]
        return out

    def _read(
        self, texts: Sequence[Text], answers: Sequence[Said], requests: Sequence[Asked], cues: CueReader
    ) -> _Read:
        found = seen(answers, requests)
        return _Read(found, cues.scores(texts), self._shots.likeness(found.grams))

    def _batch(self, items: Sequence[GradeItem]) -> NDArray[np.float32]:
        z = np.full((len(items), len(self._propositions)), np.nan, np.float32)
        texts, requests = [text_of(item.completion) for item in items], [asked(item.prompt) for item in items]
        by_paragraph = [part for part in self._parts if part.reading != "whole"]
        pieces = [text.paragraphs() if by_paragraph else (text,) for text in texts]
        parts = [[said(piece, request) for piece in found] for found, request in zip(pieces, requests, strict=True)]
        answers = list(map(_joined, texts, requests, pieces, parts))
        whole = self._read(texts, answers, requests, self._cues)
        for part, found in _logits(self._parts, whole):
            z[:, part.columns] = found
        split = [i for i, found in enumerate(pieces) if len(found) > 1]
        if split:
            apart = self._read(
                [piece for i in split for piece in pieces[i]],
                [answer for i in split for answer in parts[i]],
                [requests[i] for i in split for _ in pieces[i]],
                self._apart,
            )
            starts = np.cumsum([0, *(len(pieces[i]) for i in split[:-1])])
            for part, found in _logits(by_paragraph, apart):
                best = np.maximum.reduceat(found, starts, axis=0)
                at = np.array(split)[:, None], part.columns
                z[at] = best if part.reading == "any" else np.minimum(best, z[at])
        by_cue = [i for i, s in enumerate(self.standings) if isinstance(s, CuesOnly)]
        z[:, by_cue] = log_odds(whole.scores)[:, by_cue] + self._prior[by_cue]
        z[:, self._by_shot] = self._alone.log_odds(whole.seen.grams) + self._prior[self._by_shot]
        return (1 / (1 + np.exp(-z))).astype(np.float32)

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> tuple[Mapping[int, Answer], ...]:
        """For each item the answer to each proposition in `wanted` (numbers), in the order of the items."""
        notes = [describe(standing) for standing in self.standings]
        rows = self.probabilities(items).tolist()
        return tuple(
            {i: Abstained(notes[i]) if isnan(row[i]) else certain(row[i], "evidence", notes[i]) for i in numbers}
            for row, numbers in zip(rows, wanted, strict=True)
        )


def _joined(text: Text, request: Asked, pieces: Sequence[Text], parts: Sequence[Said]) -> Said:
    """What a text says: what its paragraphs say together, where each of them is read by itself as in the text."""
    if pieces[0] is text:
        return parts[0]
    return together(text, parts) if all(piece.read == piece.raw for piece in pieces) else said(text, request)


def _logits(parts: Sequence[_Part], read: _Read) -> Iterator[tuple[_Part, NDArray[np.float32]]]:
    """What each of the parts makes of what was read. Those of one set stand together, and scale evidence alike."""
    for _, alike in groupby(parts, key=lambda part: id(part.library)):
        first, *others = alike
        seen = scaled(first.weights, read.seen)
        for part in (first, *others):
            scores, likeness = read.scores[:, part.columns], read.likeness[:, part.columns]
            yield part, logits(part.weights, part.directions, seen, scores, likeness)


@cache
def shipped() -> tuple[Heads, ...]:
    """The heads that come with the package, those locked to definitions first."""
    files = sorted(Path(__file__).with_name("learned").glob("*.safetensors"))
    heads = [parse_heads(file.read_bytes(), file.name) for file in files]
    return tuple(sorted(heads, key=lambda h: h.match != "definition"))


def starting_cues(proposition: Proposition) -> CuePatterns:
    """Cues that training starts from: the policy's own, else those that ship for a proposition of this name."""
    named = (info for heads in shipped() if heads.match == "name" for info in heads.infos)
    by_name = (info.cues for info in named if info.name == proposition.name)
    return _cues(proposition) or next(by_name, ())


def _cues(proposition: Proposition) -> CuePatterns:
    return tuple((cue.answer, cue.pattern) for cue in proposition.cues)


def _cues_of(proposition: Proposition, standing: Standing) -> CuePatterns:
    """The cues that an answer of this standing rests on."""
    match standing:
        case Learned(info):
            return info.cues
        case CuesOnly():
            return _cues(proposition)
        case ShotsOnly() | NoEvidence():
            return ()
        case _:
            assert_never(standing)


def _choose(proposition: Proposition, libraries: Sequence[Heads]) -> tuple[Standing, Heads | None, int]:
    own = definition(proposition)
    for library in libraries:
        for row, info in enumerate(library.infos):
            if info.name == proposition.name and info.definition == own and (info.learned or info.cues):
                return Learned(info, library.source, True), library, row
    if proposition.cues:
        return CuesOnly(), None, -1
    for library in libraries:
        for row, info in enumerate(library.infos):
            alike = info.name == proposition.name and proposition.over in ("final", "assistant")  # learned from answers
            if library.match == "name" and alike and (info.learned or info.cues):
                return Learned(info, library.source, False), library, row
    examples = all_examples(proposition)
    return (ShotsOnly(len(examples), held_out(examples)) if both_sides(examples) else NoEvidence()), None, -1


def _check_lock(propositions: Sequence[Proposition], trained: Heads) -> None:
    if trained.match == "name":
        return
    learned = {info.name: info.definition for info in trained.infos}
    for proposition in propositions:
        if learned.get(proposition.name, definition(proposition)) != definition(proposition):
            raise HeadsError(
                f"`{proposition.name}` has changed since its head was trained; train the heads again with "
                "`rbrc agree --train`, or restore the proposition's text"
            )
