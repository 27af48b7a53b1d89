"""What do the bodies of requests say, and how is a reward said back?

| route | body | answer |
| --- | --- | --- |
| `POST /score` | `{"rows": [row, …]}`, rows as in files | `{"rows": [{"id", "reward", "rule_reward", …}, …]}` |
| `POST /openrlhf` | `{"query": […], "prompts": […], "labels": […]}` | `{"rewards": […], "scores": […], …}` |
| `POST /verify` | a rollout of NeMo-Gym | the same with `reward`, `mask_sample`, … |

A body that is not of its form is a `FormError` for the whole request. A single completion that cannot be
scored is not: it has no reward, which is `null` (or masked, in NeMo-Gym's form), and a reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from rbrlang.adapters.nemo_gym import read_body, verified
from rbrlang.adapters.openrlhf import read_query
from rbrlang.logic.circuit import Circuit
from rbrlang.rows.columns import OfValues
from rbrlang.rows.read import row_from
from rbrlang.scoring.columns import Columns, ColumnsError, Rollout, Unusable
from rbrlang.scoring.invalid import numbers
from rbrlang.scoring.metrics import likely_class
from rbrlang.scoring.score import Scores


class FormError(ValueError):
    """A body that is not of its route's form; `where` names the place in it."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message)
        self.where = where


@dataclass(frozen=True, slots=True)
class Reading:
    """How completions are read: the columns of trainers' data, marks that end a completion, the longest text.

    `longest` counts the characters of prompt and completion together. `unscored` is the number that the
    trainers' forms give a completion without a reward; None says so instead. `values` are the policy's scales and choices.
    """

    columns: Columns = field(default_factory=Columns)
    ends: tuple[str, ...] = ()
    longest: int = 200_000
    unscored: float | None = None
    values: OfValues = ()


# --- rows -------------------------------------------------------------------------------------


def read_score(body: object, reading: Reading) -> list[Rollout]:
    """The completions of a body of `/score`. Raises `FormError`."""
    rows = _list(_object(body), "rows")
    return [_bounded(_row(row, reading), reading.longest) for row in rows]


def say_score(rollouts: Sequence[Rollout], scores: Scores) -> dict[str, Any]:
    """Rewards as `rbrc score` writes them, in the order of the rows; `null` for every number that is none."""
    return {"rows": [_scored(rollout, scores, at) for at, rollout in enumerate(rollouts)]}


def _row(row: object, reading: Reading) -> Rollout:
    try:
        return row_from(row, reading.columns.thought_marks, reading.values)
    except ValueError as error:
        return Unusable(str(error))


def _scored(rollout: Rollout, scores: Scores, at: int) -> dict[str, Any]:
    number = int(scores.responses[at])
    classes = scores.circuit.responses[number].classes if number >= 0 else ()
    probs = scores.probs[at].tolist()
    return {
        "id": None if isinstance(rollout, Unusable) else rollout.id,
        "reward": _number(scores.rewards[at]),
        "rule_reward": _number(scores.contributions[at, 1:].sum()),
        "class_probs": {name: _number(p) for name, p in zip(classes, scores.class_probs[at].tolist(), strict=False)},
        "class": likely_class(scores, at),
        "probs": {name: p for name, p in zip(scores.circuit.propositions, probs, strict=True) if math.isfinite(p)}
        | {name: dict(p) for name, p in scores.values[at].items()},
        **({"rubric_probs": {n: list(p) for n, p in scores.met[at].items()}} if scores.circuit.rubrics else {}),
        "valid": scores.reasons[at] is None,
        "reason": scores.reasons[at],
    }


# --- OpenRLHF ---------------------------------------------------------------------------------


def read_openrlhf(body: object, reading: Reading, circuit: Circuit) -> list[Rollout]:
    """The completions of OpenRLHF's body. Raises `FormError`."""
    given = _object(body)
    queries, prompts, labels = (_list(given, name) for name in ("query", "prompts", "labels"))
    for name, values in (("prompts", prompts), ("labels", labels)):
        if len(values) != len(queries):
            raise FormError(f"there are {len(queries)} in `query` and {len(values)} in `{name}`", name)
    return [
        _bounded(_query(query, prompt, label, reading, circuit), reading.longest)
        for query, prompt, label in zip(queries, prompts, labels, strict=True)
    ]


def say_openrlhf(scores: Scores, reading: Reading) -> dict[str, Any]:
    """`rewards` and `scores`, `null` without a reward, which OpenRLHF cannot train on and fails; and the reasons.

    `extra_logs` holds what every completion has, since OpenRLHF wants the same names of each.
    """
    rewards = [_number(r) for r in numbers(scores, "none" if reading.unscored is None else reading.unscored)]
    return {
        "rewards": rewards,
        "scores": rewards,
        "extra_logs": {"rbr/invalid_rate": float(scores.invalid.mean()) if len(scores) else 0.0},
        "reasons": list(scores.reasons),
    }


def _query(query: object, prompt: object, label: object, reading: Reading, circuit: Circuit) -> Rollout:
    try:
        return read_query(query, prompt, label, reading.columns, circuit, reading.ends)
    except ColumnsError as error:
        return Unusable(str(error))


# --- NeMo-Gym ---------------------------------------------------------------------------------


def read_verify(body: object, reading: Reading) -> list[Rollout]:
    """The completion of NeMo-Gym's body, one. Raises `FormError`."""
    given = _object(body)
    try:
        return [_bounded(read_body(given, reading.columns), reading.longest)]
    except ColumnsError as error:
        return [Unusable(str(error))]


def say_verify(body: object, scores: Scores, reading: Reading) -> dict[str, Any]:
    """The body with its reward; without one it is masked, unless the user named a number for it."""
    return verified(_object(body), scores, "mask" if reading.unscored is None else reading.unscored)


# --- what they share --------------------------------------------------------------------------


def _bounded(rollout: Rollout, longest: int) -> Rollout:
    if isinstance(rollout, Unusable):
        return rollout
    text = [text for turn in (*rollout.prompt, *rollout.completion) for text in turn.texts()]
    size = sum(map(len, text))
    if size > longest:
        return Unusable(f"its text has {size} characters, more than the {longest} that this server takes")
    try:
        "".join(text).encode()
    except UnicodeEncodeError:
        return Unusable("its text holds half of a surrogate pair, which is no character")
    return rollout


def _object(body: object) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise FormError("the body is not a JSON object")
    return cast("dict[str, Any]", body)


def _list(given: Mapping[str, Any], name: str) -> list[Any]:
    if name not in given:
        raise FormError(f"the body has no `{name}`", name)
    if not isinstance(given[name], list):
        raise FormError(f"`{name}` is not a list", name)
    return cast("list[Any]", given[name])


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
