"""The rows of `rbrc diff`: which class each policy gives to the same completions."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from rbrlang.cli import data
from rbrlang.policy import Policy
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import Row, with_labels_as_probs


@dataclass(frozen=True, slots=True)
class ResponseRows:
    """Rows of one response type: how many went from class to class, the first of each, the mean change of reward."""

    total: int
    counts: Mapping[tuple[str, str], int]
    first: Mapping[tuple[str, str], str]
    reward: float

    @property
    def moved(self) -> int:
        """Rows whose class changed."""
        return sum(count for (before, after), count in self.counts.items() if before != after)


@dataclass(frozen=True, slots=True)
class RowDiff:
    """All rows. `skipped` are those without a class in one of the policies; `bad` could not be read."""

    responses: Mapping[str, ResponseRows]
    used: int
    skipped: int
    bad: int


def compare(options: argparse.Namespace, old: Policy, new: Policy, renamed: Mapping[str, str]) -> RowDiff:
    """Class and reward of every row under both policies. Rows without `probs` are read by their `labels`."""
    found = data.read(options, options.data, new.circuit)
    rows = [*found.rows]
    if not any(row.probs for row in rows):
        rows = [*with_labels_as_probs(rows)]
    back = {after: before for before, after in renamed.items()}
    was = _decided(old, [_named(row, back) for row in rows])
    now = _decided(new, [_named(row, renamed) for row in rows])
    counts: dict[str, dict[tuple[str, str], int]] = {}
    first: dict[str, dict[tuple[str, str], str]] = {}
    change: dict[str, list[float]] = {}
    skipped = 0
    for row, one, two in zip(rows, was, now, strict=True):
        if one is None or two is None or one[0] != two[0]:
            skipped += 1
            continue
        cell = (one[1], two[1])
        of_type = counts.setdefault(two[0], {})
        of_type[cell] = of_type.get(cell, 0) + 1
        first.setdefault(two[0], {}).setdefault(cell, row.id)
        change.setdefault(two[0], []).append(two[2] - one[2])
    responses = {
        name: ResponseRows(sum(cells.values()), cells, first[name], float(np.mean(change[name])))
        for name, cells in counts.items()
    }
    return RowDiff(responses, len(rows) - skipped, skipped, len(found.bad))


def _named(row: Row, names: Mapping[str, str]) -> Row:
    """The row, its probabilities also under the other names of propositions."""
    return replace(row, probs={**row.probs, **{names[name]: p for name, p in row.probs.items() if name in names}})


def _decided(policy: Policy, rows: list[Row]) -> list[tuple[str, str, float] | None]:
    """Response type, most probable class and rule reward of each row; None where something is unknown."""
    reward = NumpyReward(policy.circuit)
    probs, ids = reward.encode(rows), reward.response_ids(rows)
    chances, values = reward.class_probs(probs, ids), reward(probs, ids)
    found: list[tuple[str, str, float] | None] = []
    for number, chance, value in zip(ids.tolist(), chances, values.tolist(), strict=True):
        if number < 0 or np.isnan(chance).any() or value != value:
            found.append(None)
            continue
        response = policy.circuit.responses[number]
        found.append((response.name, response.classes[int(np.argmax(chance[: len(response.classes)]))], value))
    return found
