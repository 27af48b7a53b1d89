"""What does an artefact say of its fit?

Provenance is JSON that anybody may have written. What is missing or of another shape counts as not said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from rbrlang.reward.kept.artefact import Artefact

MOST_RIDGES = 100


@dataclass(frozen=True, slots=True)
class Weight:
    """One weight in units of reward, with its 95 % interval where the fit recorded one.

    `undetermined`: no comparison spoke of it, so it is still the default. `at_bound`: it stopped at a bound of the author.
    """

    name: str
    kind: Literal["class", "proposition", "measure", "rubric"]
    value: float
    low: float | None
    high: float | None
    undetermined: bool
    at_bound: bool


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Ranking error on the prompts that the fit did not see; `base` None without a base reward."""

    base: float | None
    both: float
    pairs: int
    prompts: int


@dataclass(frozen=True, slots=True)
class ResponseWeights:
    """The weights of one response type; `no_intervals` says why there are none."""

    name: str
    weights: tuple[Weight, ...]
    no_intervals: str | None
    held_out: HeldOut | None


@dataclass(frozen=True, slots=True)
class RidgeStep:
    """One ridge, in reward⁻¹: mean loss and ranking error on prompts left out, with standard errors.

    `spreads`: standard deviation of the rules' reward by response type, of weights fitted to all training prompts.
    """

    ridge: float
    loss: float
    loss_se: float
    error: float
    error_se: float
    spreads: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RidgeSteps:
    """The ridges that a fit chose from, strong to weak; `best` has the least loss. Of `prompts` prompts in `folds` folds."""

    chosen: float
    best: float
    folds: int
    prompts: int
    steps: tuple[RidgeStep, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A fit as its artefact tells of it: data (their SHA-256), rows, settings; None where it does not say.

    `certificate`: every better assignment outranks every worse one; the rules alone do so, but base rewards of the
    fit's rows can override them; or not even the rules do. `ridges`: what its ridge was chosen from.
    """

    data: str | None
    rows: int | None
    grader: str | None
    loss: str | None
    class_source: str | None
    base_reward: str | None
    seed: int | None
    certificate: Literal["proved", "overridden", "refuted"] | None
    ridges: RidgeSteps | None
    responses: tuple[ResponseWeights, ...]


def recorded(artefact: Artefact) -> Recorded:
    """The weights of an artefact, in the policy's order, with what its provenance says of their fit."""
    fit = _mapping(artefact.provenance.get("fit"))
    return Recorded(
        data=_text(fit.get("data")),
        rows=_whole(fit.get("rows")),
        grader=_text(fit.get("grader")) or _text(artefact.provenance.get("grader")),
        loss=_text(fit.get("loss")),
        class_source=_text(fit.get("class_source")),
        base_reward=_text(fit.get("base_reward")),
        seed=_whole(fit.get("seed")),
        certificate=_certificate(_mapping(fit.get("certificates"))),
        ridges=_ridges(_mapping(fit.get("ridge_path")), artefact.circuit.response_names),
        responses=_weights(artefact, fit),
    )


def _ridges(found: Mapping[str, Any], responses: tuple[str, ...]) -> RidgeSteps | None:
    chosen, best = _number(found.get("chosen")), _number(found.get("best"))
    folds, prompts, path = _whole(found.get("folds")), _whole(found.get("prompts")), found.get("path")
    if chosen is None or best is None or folds is None or prompts is None or not isinstance(path, list):
        return None
    steps = [_ridge_step(_mapping(entry), responses) for entry in cast(list[Any], path)[:MOST_RIDGES]]
    known = tuple(step for step in steps if step is not None)
    return RidgeSteps(chosen, best, folds, prompts, known) if known and len(known) == len(steps) else None


def _ridge_step(entry: Mapping[str, Any], responses: tuple[str, ...]) -> RidgeStep | None:
    loss, error, by_name = (
        _mapping(entry.get("loss")),
        _mapping(entry.get("error")),
        _mapping(entry.get("response_types")),
    )
    ridge = _number(entry.get("ridge"))
    means = [_number(one.get(name)) for one in (loss, error) for name in ("value", "se")]
    spreads = {name: _number(_mapping(by_name.get(name)).get("rules_sd")) for name in responses if name in by_name}
    match means:
        case [float() as mean, float() as mean_se, float() as wrong, float() as wrong_se] if (
            ridge is not None and ridge > 0
        ):
            known = {name: spread for name, spread in spreads.items() if spread is not None}
            return RidgeStep(ridge, mean, mean_se, wrong, wrong_se, known)
        case _:
            return None


def _weights(artefact: Artefact, fit: Mapping[str, Any]) -> tuple[ResponseWeights, ...]:
    fitted, unfitted = _mapping(fit.get("response_types")), _mapping(fit.get("unfitted"))
    found: list[ResponseWeights] = []
    for response, row in zip(artefact.circuit.responses, artefact.weights.tolist(), strict=True):
        entry = _mapping(fitted.get(response.name))
        intervals = _mapping(entry.get("intervals"))
        undetermined, at_bound = _names(entry.get("undetermined")), _names(entry.get("at_bound"))
        weights: list[Weight] = []
        for feature, value in zip(response.features, row, strict=False):
            low, high = _ends(intervals.get(feature.name))
            name = feature.name
            measured = feature.kind == "proposition" and artefact.circuit.atoms[feature.index].measure is not None
            kind = "rubric" if feature.rubric else "measure" if measured else feature.kind
            weights.append(Weight(name, kind, value, low, high, name in undetermined, name in at_bound))
        reason = None
        if not entry:
            reason = _text(_mapping(unfitted.get(response.name)).get("reason"))
            reason = f"not fitted: {reason}" if reason else "these weights were given, not fitted"
        elif all(weight.low is None for weight in weights):
            reason = _text(entry.get("intervals_refused")) or "the fit was made without intervals"
        found.append(ResponseWeights(response.name, tuple(weights), reason, _held_out(entry)))
    return tuple(found)


def _certificate(found: Mapping[str, Any]) -> Literal["proved", "overridden", "refuted"] | None:
    each = [_mapping(entry).get("holds") for entry in _mapping(found.get("response_types")).values()]
    if not each or not all(isinstance(holds, bool) for holds in each):
        return None
    if not all(each):
        return "refuted"
    return "proved" if found.get("holds") is True else "overridden"


def _held_out(entry: Mapping[str, Any]) -> HeldOut | None:
    counts, error = _mapping(entry.get("held_out")), _mapping(entry.get("error"))
    pairs, prompts = counts.get("pairs"), counts.get("prompts")
    base, both = _number(error.get("base")), _number(error.get("both"))
    if both is None or not isinstance(pairs, int) or not isinstance(prompts, int):
        return None
    return HeldOut(base, both, pairs, prompts)


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


def _names(value: Any) -> frozenset[str]:
    return (
        frozenset(name for name in cast(list[Any], value) if isinstance(name, str))
        if isinstance(value, list)
        else frozenset()
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond all floats
        return None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _ends(value: Any) -> tuple[float | None, float | None]:
    match value:
        case [int() | float() as low, int() | float() as high]:
            return float(low), float(high)
        case _:
            return None, None
