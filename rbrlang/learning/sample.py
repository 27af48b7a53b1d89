"""Which rows can be compared, on what numbers, and why not the others?

Rows become arrays per response type: features φ, base rewards, classes, prompts. A row takes part when
its class is known and all its features are; every other row is *set apart* under a reason and counted.
Nothing that is unknown is ever filled in.

Where the class of a row comes from:

- `intent`: the column `class`, the class that a synthetic completion was written to have;
- `labels`: what the rules make of the human labels;
- `graded`: the most probable class under the grader's answers (circular, but all there is without both);
- `auto`: the first of these that any row offers, for all rows alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.comparisons import Comparisons, compare
from rbrlang.logic.circuit import ResponseCircuit
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.reasons import excluded
from rbrlang.rows.read import LARGEST_REWARD, Row, snake, with_labels_as_probs

ClassSource = Literal["auto", "intent", "labels", "graded"]
KnownSource = Literal["intent", "labels", "graded"]

UNKNOWN = -1


class SampleError(ValueError):
    """Rows that cannot be used as asked; the message names the row and the next step."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The rows of one response type that take part, and their comparisons.

    `rows` int [n]: positions among the given rows; `features` float64 [n, F]; `base` float64 [n]; `classes`
    and `predicted` int [n]: known class and most probable class, `predicted` −1 where grades leave it open;
    `prompts` int [n]: numbers into `Samples.prompt_keys`; `comparisons` indexes into these n. `set_apart`
    counts the other rows of the response type by reason.
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
class Samples:
    """One sample per response type of the policy, in its order.

    `class_source` is the one used. `has_base` is false when no row carries a base reward; it counts as 0
    then. `set_apart` counts rows that belong to no response type of the policy, by reason.
    """

    samples: tuple[Sample, ...]
    prompt_keys: tuple[str, ...]
    class_source: KnownSource
    has_base: bool
    set_apart: Mapping[str, int]


def sample_rows(
    reward: NumpyReward,
    rows: Sequence[Row],
    *,
    base_reward: str | None = "base_reward",
    class_source: ClassSource = "auto",
    class_names: Mapping[str, str] | None = None,
    margin: float | None = None,
) -> Samples:
    """Sort rows into comparable samples.

    `base_reward` names the column of the reward model's score, None ignores it. `class_names` translates
    values of the column `class` into the policy's classes. `margin` replaces the policy's margins. Raises
    `SampleError` for a base reward that is no finite number, `TooManyComparisons` for a giant prompt.
    """
    source = _source(rows, class_source)
    ids = reward.response_ids(rows)
    probs = reward.encode(rows)
    features = reward.features(probs, ids).astype(np.float64)
    predicted = _most_probable(reward.class_probs(probs, ids), ids)
    classes, open_reasons = _classes(reward, rows, ids, probs, predicted, source, class_names or {})
    base = base_rewards(rows, base_reward)
    has_base = bool(np.isfinite(base).any())
    keys, prompts = np.unique(np.array([row.prompt_key for row in rows], dtype=np.str_), return_inverse=True)
    stray = Counter(_stray_reason(rows[at]) for at in np.flatnonzero(ids < 0).tolist())
    samples: list[Sample] = []
    for number, response in enumerate(reward.circuit.responses):
        mine = np.flatnonzero(ids == number)
        width = len(response.features)
        known = np.logical_and.reduce(np.isfinite(features[mine, :width]), axis=1)
        scored = np.isfinite(base[mine]) if has_base else np.full(len(mine), True)
        apart: Counter[str] = Counter()
        for at, known_here, scored_here in zip(mine.tolist(), known.tolist(), scored.tolist(), strict=True):
            if classes[at] == UNKNOWN:
                apart[open_reasons[at]] += 1
            elif not known_here:
                apart[_unknown_reason(reward, response, probs[at], "probability")] += 1
            elif not scored_here:
                apart[f"no `{base_reward}`, which other rows have"] += 1
        used = mine[known & scored & (classes[mine] != UNKNOWN)]
        ranks = np.array(response.rank_of)[classes[used]]
        wanted = np.array(response.margins)[classes[used]] if margin is None else np.full(len(used), margin)
        samples.append(
            Sample(
                response=response,
                rows=used,
                features=features[used, :width],
                base=base[used] if has_base else np.zeros(len(used)),
                classes=classes[used],
                predicted=predicted[used],
                prompts=prompts[used],
                comparisons=compare(prompts[used], ranks, wanted),
                set_apart=dict(apart),
            )
        )
    return Samples(tuple(samples), tuple(keys.tolist()), source, has_base, dict(stray))


def _source(rows: Sequence[Row], wanted: ClassSource) -> KnownSource:
    if wanted != "auto":
        return wanted
    if any(row.klass is not None for row in rows):
        return "intent"
    return "labels" if any(row.labels for row in rows) else "graded"


def _classes(
    reward: NumpyReward,
    rows: Sequence[Row],
    ids: NDArray[np.int32],
    probs: NDArray[np.float32],
    predicted: NDArray[np.int64],
    source: KnownSource,
    names: Mapping[str, str],
) -> tuple[NDArray[np.int64], Mapping[int, str]]:
    """Class of every row [n], −1 with a reason where it is not known."""
    match source:
        case "intent":
            found, reasons = np.full(len(rows), UNKNOWN, np.int64), dict[int, str]()
            for at, row in enumerate(rows):
                if ids[at] < 0:
                    continue
                response = reward.circuit.responses[ids[at]]
                klass = None if row.klass is None else names.get(row.klass, row.klass)
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
            truth = reward.encode(with_labels_as_probs(rows))
            found = _most_probable(reward.class_probs(truth, ids), ids)
            return found, _open_reasons(reward, ids, found, truth, "label")
        case "graded":
            return predicted, _open_reasons(reward, ids, predicted, probs, "probability")
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
                f"row `{row.id}` has `{column}` {repr(value)[:40]}, not a finite number; "
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
    missing = [reward.circuit.atoms[atom].name for atom in response.atoms if np.isnan(probs[atom])]
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
