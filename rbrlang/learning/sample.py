"""Which rows can be compared, on what numbers, and why not the others?

Rows become arrays per response type: features φ, base rewards, classes, prompts. A row takes part when all its
features are known and its class is, or people order it beside another (`preferences`); every other row is *set
apart* under a reason and counted. Nothing that is unknown is ever filled in.

Where the class of a row comes from:

- `intent`: the column `class`, the class that a synthetic completion was written to have;
- `labels`: what the rules make of the human labels;
- `graded`: the most probable class under the grader's answers (circular, but all there is without both);
- `auto`: the first of these that any row offers, for all rows alike.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from rbrlang.errors import UserError
from rbrlang.learning.comparisons import Comparisons, compare, joined
from rbrlang.learning.preferences import (
    CLASSES,
    PAIR_SOURCES,
    PEOPLE,
    REPEATED,
    Apart,
    PairSource,
    PeopleSource,
    Said,
    Texts,
    ordered,
    said_by,
    silent,
    texts_of,
)  # fmt: skip
from rbrlang.logic.circuit import ResponseCircuit
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.reasons import excluded
from rbrlang.rows.formats import Broken
from rbrlang.rows.kept import in_blocks
from rbrlang.rows.read import LARGEST_REWARD, Row, snake, with_labels_as_probs

ClassSource = Literal["auto", "intent", "labels", "graded"]
KnownSource = Literal["intent", "labels", "graded"]

UNKNOWN = -1


class SampleError(UserError, ValueError):
    """Rows that cannot be used as asked; the message names the row and the next step."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The rows of one response type that take part, and their comparisons.

    `rows` int [n]: positions among the given rows; `features` float64 [n, F]; `base` float64 [n]; `classes`
    and `predicted` int [n]: known class and most probable class, −1 where grades leave it open or, of rows that
    people order, where no class is known; `prompts` int [n]: numbers into `Samples.prompt_keys`; `comparisons` indexes
    into these n, and its sources into `Samples.pairs`. `set_apart` counts the other rows of the response type by reason.
    """

    response: ResponseCircuit
    rows: NDArray[np.int64]
    features: NDArray[np.float64]
    base: NDArray[np.float64]
    classes: NDArray[np.int64]
    predicted: NDArray[np.int64]
    prompts: NDArray[np.int64]
    comparisons: Comparisons
    set_apart: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What rows say, by position, without their texts.

    `names` are their ids and `prompts` str [rows] the keys of their prompts; `ids` int [rows] the response types, −1 for none of
    the policy; `probs` and `labels` float32 [rows, atoms] what graders and people say; `classes` the column `class`; `base`
    float64 [rows] base rewards, NaN for none. `labelled` says whether any has labels; `stray` counts those of no response
    type of the policy, by reason.
    """

    names: list[str]
    prompts: NDArray[np.str_]
    ids: NDArray[np.int32]
    probs: NDArray[np.float32]
    labels: NDArray[np.float32]
    classes: Sequence[str | None]
    base: NDArray[np.float64]
    labelled: bool
    stray: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """One sample per response type of the policy, in its order.

    `pairs` are the sources of comparisons that were asked for. `class_source` is the one used. `has_base` is false when
    no row carries a base reward; it counts as 0 then. `set_apart` counts rows that belong to no response type of the
    policy, by reason. `apart` names the rows whose preference is not used, or not all of it. `facts` are of all rows.
    """

    samples: tuple[Sample, ...]
    prompt_keys: tuple[str, ...]
    pairs: tuple[PairSource, ...]
    class_source: KnownSource
    has_base: bool
    set_apart: Mapping[str, int]
    apart: tuple[Apart, ...]
    facts: Facts


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """What is known of all rows, by position. `lacking` names the base reward that some rows have."""

    reward: NumpyReward
    ids: NDArray[np.int32]
    probs: NDArray[np.float32]
    features: NDArray[np.float64]
    predicted: NDArray[np.int64]
    classes: NDArray[np.int64]
    open_reasons: Mapping[int, str]
    base: NDArray[np.float64]
    lacking: str | None
    prompts: NDArray[np.int64]

    def unknown(self, response: ResponseCircuit, mine: NDArray[np.int64]) -> Mapping[int, str]:
        """Which of the rows `mine` of a response type have no numbers, by their number among them, and why."""
        known = np.logical_and.reduce(np.isfinite(self.features[mine, : len(response.features)]), axis=1)
        scored = np.isfinite(self.base[mine]) | (self.lacking is None)
        return {
            at: f"no `{self.lacking}`, which other rows have"
            if known[at]
            else _unknown_reason(self.reward, response, self.probs[mine[at]], "probability")
            for at in np.flatnonzero(~(known & scored)).tolist()
        }


def sample_rows(
    reward: NumpyReward,
    rows: Sequence[Row],
    *,
    base_reward: str | None = "base_reward",
    class_source: ClassSource = "auto",
    class_names: Mapping[str, str] | None = None,
    margin: float | None = None,
    pairs: Sequence[PairSource] = CLASSES,
    columns: Mapping[str, str] = MappingProxyType({}),
    wanted: float = 1.0,
    facts: Facts | None = None,
) -> Samples:
    """Sort rows into comparable samples.

    `base_reward` names the column of the reward model's score, None ignores it. `class_names` translates
    values of the column `class` into the policy's classes. `margin` replaces the policy's margins. `pairs` says what
    orders completions, `columns` what the columns of `preferences` are called in the rows; `wanted` is the margin of
    people's comparisons that ask for none, unless `margin` is given. `facts` are those that an earlier call found in the same
    rows with the same `base_reward`. Raises `SampleError` for a base reward that is no finite
    number, and for sources that there are not, `TooManyComparisons` for a giant prompt.
    """
    if not pairs or len(set(pairs)) < len(pairs) or not set(pairs) <= set(PAIR_SOURCES):
        raise SampleError(f"comparisons come from one or several of {', '.join(PAIR_SOURCES)}, not from {list(pairs)}")
    facts = facts_of(reward, rows, base_reward) if facts is None else facts
    source, ids, probs = _source(facts, class_source), facts.ids, facts.probs
    predicted = _most_probable(reward.class_probs(probs, ids), ids)
    classes, open_reasons = _classes(reward, facts, predicted, source, class_names or {})
    has_base = bool(np.isfinite(facts.base).any())
    keys, prompts = np.unique(facts.prompts, return_inverse=True)
    table = _Table(
        reward, ids, probs, reward.features(probs, ids).astype(np.float64), predicted, classes, open_reasons,
        facts.base if has_base else np.zeros(len(rows)), base_reward if has_base else None, prompts.astype(np.int64),
    )  # fmt: skip
    people: dict[PeopleSource, Said] = {one: said_by(rows, one, columns) for one in PEOPLE if one in pairs}
    judge = _People(people, texts_of(rows if people else ()), wanted if margin is None else margin)
    samples: list[Sample] = []
    apart: list[Apart] = []
    for number, response in enumerate(reward.circuit.responses):
        mine = np.flatnonzero(ids == number)
        unknown = table.unknown(response, mine)
        usable = np.ones(len(mine), np.bool_)
        usable[list(unknown)] = False
        parts: list[Comparisons] = []
        reasons: list[Mapping[int, str]] = []
        takes = np.zeros(len(mine), np.bool_)
        for one in pairs:
            if one == "classes":
                part, why, of_class = _by_class(table, response, mine, usable, margin)
                takes |= of_class
            else:
                part, why, named = judge.order(one, mine, usable, table.prompts)
                takes[part.better] = takes[part.worse] = True
                apart += [Apart(int(mine[at]), facts.names[int(mine[at])], one, reason) for at, reason in named.items()]
            parts.append(part)
            reasons.append({**unknown, **why})
        samples.append(_sample(table, response, mine, takes, joined(parts), reasons))
    return Samples(
        tuple(samples), tuple(keys.tolist()), tuple(pairs), source, has_base, facts.stray, tuple(apart), facts
    )


def facts_of(reward: NumpyReward, rows: Sequence[Row], base_reward: str | None) -> Facts:
    """What rows say, read once and in their order; `base_reward` as for `sample_rows`. Raises `SampleError`."""
    size = len(rows), len(reward.circuit.atoms)
    names: list[str] = []
    classes: list[str | None] = []
    prompts: list[NDArray[np.str_]] = []
    ids, base = np.empty(size[0], np.int32), np.empty(size[0])
    probs, labels = np.empty(size, np.float32), np.empty(size, np.float32)
    labelled, stray = False, Counter[str]()
    for at, some in in_blocks(rows):
        here = slice(at, at + len(some))
        names += [row.id for row in some]
        classes += [None if row.klass is None else sys.intern(row.klass) for row in some]
        prompts.append(np.array([row.prompt_key for row in some], np.str_))
        ids[here], base[here] = reward.response_ids(some), base_rewards(some, base_reward)
        probs[here], labels[here] = reward.encode(some), reward.encode(with_labels_as_probs(some))
        labelled = labelled or any(row.labels or row.value_labels for row in some)
        stray.update(_stray_reason(row) for row, number in zip(some, ids[here].tolist(), strict=True) if number < 0)
    keys = np.concatenate([np.empty(0, np.str_), *prompts])
    return Facts(names, keys, ids, probs, labels, classes, base, labelled, dict(stray))


def _sample(
    table: _Table,
    response: ResponseCircuit,
    mine: NDArray[np.int64],
    takes: NDArray[np.bool_],
    pairs: Comparisons,
    reasons: Sequence[Mapping[int, str]],
) -> Sample:
    """The rows of `mine` that take part, bool [n]; `pairs` index into `mine`, `reasons` by source too."""
    used, place = mine[takes], np.cumsum(takes) - 1
    apart = Counter("; ".join(dict.fromkeys(why[at] for why in reasons)) for at in np.flatnonzero(~takes).tolist())
    return Sample(
        response=response,
        rows=used,
        features=table.features[used, : len(response.features)],
        base=table.base[used],
        classes=table.classes[used],
        predicted=table.predicted[used],
        prompts=table.prompts[used],
        comparisons=replace(pairs, better=place[pairs.better], worse=place[pairs.worse]),
        set_apart=dict(apart),
    )


def _by_class(
    table: _Table,
    response: ResponseCircuit,
    mine: NDArray[np.int64],
    usable: NDArray[np.bool_],
    margin: float | None,
) -> tuple[Comparisons, dict[int, str], NDArray[np.bool_]]:
    """The comparisons of classes, why a row's class is not known, and which rows have one."""
    classes = table.classes[mine]
    known = usable & (classes != UNKNOWN)
    ranks = np.where(known, np.array(response.rank_of)[classes], -1)
    margins = np.array(response.margins)[classes] if margin is None else np.full(len(mine), margin)
    open_ones = np.flatnonzero(classes == UNKNOWN)
    why = {at: table.open_reasons[row] for at, row in zip(open_ones.tolist(), mine[open_ones].tolist(), strict=True)}
    return compare(table.prompts[mine], ranks, margins), why, known


@dataclass(frozen=True, slots=True, eq=False)
class _People:
    """What people say, by source; `wanted` is the margin where they ask for none."""

    said: Mapping[PeopleSource, Said]
    texts: Texts
    wanted: float

    def order(
        self, source: PeopleSource, mine: NDArray[np.int64], usable: NDArray[np.bool_], prompts: NDArray[np.int64]
    ) -> tuple[Comparisons, dict[int, str], dict[int, str]]:
        """Comparisons of the rows `mine` of a response type, why a row is in none, and what is to be named."""
        said = self.said[source]
        found = ordered(said, mine, usable, prompts, self.texts, self.wanted)
        mute = np.flatnonzero(np.isnan(said.place[mine]))
        why = {**dict.fromkeys(mute.tolist(), silent(source)), **found.reasons}
        named = {**{at: reason for at, reason in found.reasons.items() if reason != REPEATED}, **found.partly}
        return found.comparisons, why, dict(sorted(named.items()))


def _source(facts: Facts, wanted: ClassSource) -> KnownSource:
    if wanted != "auto":
        return wanted
    if any(klass is not None for klass in facts.classes):
        return "intent"
    return "labels" if facts.labelled else "graded"


def _classes(
    reward: NumpyReward,
    facts: Facts,
    predicted: NDArray[np.int64],
    source: KnownSource,
    names: Mapping[str, str],
) -> tuple[NDArray[np.int64], Mapping[int, str]]:
    """Class of every row [n], −1 with a reason where it is not known."""
    ids = facts.ids
    match source:
        case "intent":
            found, reasons = np.full(len(ids), UNKNOWN, np.int64), dict[int, str]()
            for at, said in enumerate(facts.classes):
                if ids[at] < 0:
                    continue
                response = reward.circuit.responses[ids[at]]
                klass = None if said is None else names.get(said, said)
                if klass is None:
                    reasons[at] = "no `class`"
                elif klass in response.classes:
                    found[at] = response.classes.index(klass)
                elif snake(klass) in response.classes:
                    found[at] = response.classes.index(snake(klass))
                else:
                    reasons[at] = f"class `{klass}` is not one of {', '.join(response.classes)}"
            return found, reasons
        case "labels":
            found = _most_probable(reward.class_probs(facts.labels, ids), ids)
            return found, _open_reasons(reward, ids, found, facts.labels, "label")
        case "graded":
            return predicted, _open_reasons(reward, ids, predicted, facts.probs, "probability")
        case _:
            assert_never(source)


def _most_probable(class_probs: NDArray[np.float32], ids: NDArray[np.int32]) -> NDArray[np.int64]:
    known = np.logical_and.reduce(np.isfinite(class_probs), axis=1) & (ids >= 0)
    best = np.argmax(np.where(known[:, None], class_probs, 0.0), axis=1) if class_probs.size else ids
    return np.where(known, best, UNKNOWN).astype(np.int64)


def base_rewards(rows: Sequence[Row], column: str | None) -> NDArray[np.float64]:
    """The base reward of every row [n], NaN where it has none."""
    found = np.full(len(rows), np.nan)
    for at, row in enumerate(rows):
        if column is None:
            continue
        value: Any = row.base_reward if column == "base_reward" else row.raw.get(column)
        if value is None or value == "":
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST_REWARD:
            raise SampleError(
                f"row `{row.id}` has `{column}` {value.reason if isinstance(value, Broken) else repr(value)[:40]}, "
                "not a finite number; "
                "remove the row, or score it again with the reward model"
            )
        found[at] = value
    return found


def _open_reasons(
    reward: NumpyReward,
    ids: NDArray[np.int32],
    classes: NDArray[np.int64],
    probs: NDArray[np.float32],
    what: Literal["label", "probability"],
) -> dict[int, str]:
    """Why the rows of known response type without a class have none."""
    open_ones = np.flatnonzero((classes == UNKNOWN) & (ids >= 0))
    return {
        at: _unknown_reason(reward, reward.circuit.responses[int(ids[at])], probs[at], what)
        for at in open_ones.tolist()
    }


def _unknown_reason(
    reward: NumpyReward, response: ResponseCircuit, probs: NDArray[np.float32], what: Literal["label", "probability"]
) -> str:
    many = "labels" if what == "label" else "probabilities"
    clash = excluded(reward.circuit, probs.tolist())
    if clash is not None:
        return f"the {many} contradict the axioms, which exclude `{clash}`"
    missing = [reward.circuit.asked_about(atom) for atom in response.atoms if np.isnan(probs[atom])]
    if not missing:
        return f"the {many} leave no class possible"
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"no {what} of `{missing[0]}`{more}"


def _stray_reason(row: Row) -> str:
    if row.response_type is not None:
        return f"response type `{row.response_type}` is not in the policy"
    if row.category is not None:
        return f"category `{row.category}` is not mapped by the policy"
    return "neither `response_type` nor `category`"
