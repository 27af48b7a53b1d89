"""What does an artefact say of its fit?

Provenance is JSON that anybody may have written. What is missing or of another shape counts as not said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rbrlang.jsontext import at, integer, listed, mapping, number, text
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
    fit = artefact.provenance.get("fit")
    return Recorded(
        data=text(fit, "data"),
        rows=integer(fit, "rows"),
        grader=text(fit, "grader") or text(artefact.provenance, "grader"),
        loss=text(fit, "loss"),
        class_source=text(fit, "class_source"),
        base_reward=text(fit, "base_reward"),
        seed=integer(fit, "seed"),
        certificate=_certificate(at(fit, "certificates")),
        ridges=_ridges(at(fit, "ridge_path"), artefact.circuit.response_names),
        responses=_weights(artefact, fit),
    )


def _ridges(found: object, responses: tuple[str, ...]) -> RidgeSteps | None:
    chosen, best = number(found, "chosen"), number(found, "best")
    folds, prompts = integer(found, "folds"), integer(found, "prompts")
    if chosen is None or best is None or folds is None or prompts is None:
        return None
    steps = [_ridge_step(entry, responses) for entry in listed(at(found, "path"))[:MOST_RIDGES]]
    known = tuple(step for step in steps if step is not None)
    return RidgeSteps(chosen, best, folds, prompts, known) if known and len(known) == len(steps) else None


def _ridge_step(entry: object, responses: tuple[str, ...]) -> RidgeStep | None:
    spreads = {name: number(entry, "response_types", name, "rules_sd") for name in responses}
    match [number(entry, "ridge"), *(number(entry, of, name) for of in ("loss", "error") for name in ("value", "se"))]:
        case [float() as ridge, float() as mean, float() as mean_se, float() as wrong, float() as wrong_se] if (
            ridge > 0
        ):
            known = {name: spread for name, spread in spreads.items() if spread is not None}
            return RidgeStep(ridge, mean, mean_se, wrong, wrong_se, known)
        case _:
            return None


def _weights(artefact: Artefact, fit: object) -> tuple[ResponseWeights, ...]:
    found: list[ResponseWeights] = []
    for response, row in zip(artefact.circuit.responses, artefact.weights.tolist(), strict=True):
        entry = mapping(at(fit, "response_types", response.name)) or {}
        undetermined, at_bound = listed(entry.get("undetermined")), listed(entry.get("at_bound"))
        weights: list[Weight] = []
        for feature, value in zip(response.features, row, strict=False):
            low, high = _ends(at(entry, "intervals", feature.name))
            name = feature.name
            measured = feature.kind == "proposition" and artefact.circuit.atoms[feature.index].measure is not None
            kind = "rubric" if feature.rubric else "measure" if measured else feature.kind
            weights.append(Weight(name, kind, value, low, high, name in undetermined, name in at_bound))
        reason = None
        if not entry:
            reason = text(fit, "unfitted", response.name, "reason")
            reason = f"not fitted: {reason}" if reason else "these weights were given, not fitted"
        elif all(weight.low is None for weight in weights):
            reason = text(entry, "intervals_refused") or "the fit was made without intervals"
        found.append(ResponseWeights(response.name, tuple(weights), reason, _held_out(entry)))
    return tuple(found)


def _certificate(found: object) -> Literal["proved", "overridden", "refuted"] | None:
    each = [at(entry, "holds") for entry in (mapping(at(found, "response_types")) or {}).values()]
    if not each or not all(isinstance(holds, bool) for holds in each):
        return None
    if not all(each):
        return "refuted"
    return "proved" if at(found, "holds") is True else "overridden"


def _held_out(entry: object) -> HeldOut | None:
    pairs, prompts = integer(entry, "held_out", "pairs"), integer(entry, "held_out", "prompts")
    both = number(entry, "error", "both")
    if both is None or pairs is None or prompts is None:
        return None
    return HeldOut(number(entry, "error", "base"), both, pairs, prompts)


def _ends(value: object) -> tuple[float | None, float | None]:
    match value:
        case [int() | float() as low, int() | float() as high]:
            return float(low), float(high)
        case _:
            return None, None
