"""Why has a row no reward?

A reason is found by its cause and never by what is left when others are ruled out. The causes are looked for in the
order in which one makes the next moot: answers that contradict the axioms have no reward whatever is missing, and a
sum that no float32 holds is only reached by rows that have everything else.

Worked example: under `axiom complies_fully => complies_partly` the certain answers yes and no are refused with
"the answers contradict the axioms, which exclude `complies_fully & !complies_partly`".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rbrlang.logic.circuit import Circuit, ProductForm
from rbrlang.reward.algebra import FILL
from rbrlang.reward.evaluate import LARGEST
from rbrlang.reward.single import SingleRow, leaves_possible


class Cause(NamedTuple):
    """Why a row has no reward, in words, and the atoms whose missing answers are the cause, if that is it."""

    reason: str
    unanswered: tuple[int, ...] = ()


def before_rules(circuit: Circuit, number: int, base: float) -> str | None:
    """A reason that lies in the response type's number or in the base reward."""
    if not 0 <= number < len(circuit.responses):
        return "the response type is not one of this policy's"
    if not math.isfinite(base):
        return "the base reward is not a finite number"
    if abs(base) > LARGEST:
        return f"the base reward {base:g} is beyond the largest number of 32 bits"
    return None


def of_rules(
    circuit: Circuit, single: SingleRow, probs: Sequence[float], base: float, valid: Callable[[], bool]
) -> Cause:
    """The reason where `before_rules` gives none; `valid` says whether the rules alone have a value."""
    contradicted = excluded(circuit, probs)
    if contradicted is not None:
        return Cause(f"the answers contradict the axioms, which exclude `{contradicted}`")
    said = undefined(circuit, single, probs)
    if said is not None:
        return Cause(said)
    missing = unanswered(circuit, single, probs)
    return missing if missing.unanswered and not valid() else Cause(overflow(single, probs, base))


def excluded(circuit: Circuit, probs: Sequence[float]) -> str | None:
    """The fewest of the answers that the axioms exclude together, as a formula; None where they allow the answers."""
    if leaves_possible(circuit.axioms, probs):
        return None
    kept = list(probs)
    support = sorted({atom for atom, _, _ in circuit.axioms.nodes})
    for atom in support:
        answer, kept[atom] = kept[atom], math.nan
        if leaves_possible(circuit.axioms, kept):
            kept[atom] = answer
    facts = {a: bool(kept[a]) for a in support if kept[a] in (0.0, 1.0)}
    return " & ".join(("" if holds else "!") + name for name, holds in circuit.said(facts)) or "true"


def undefined(circuit: Circuit, single: SingleRow, probs: Sequence[float]) -> str | None:
    """The reason where class probabilities are 0 / 0 though the axioms allow what was answered."""
    if not math.isnan(single.value([FILL if p != p else p for p in probs])):
        return None
    name = single.response.name
    if circuit.class_probability == "exact":
        return f"what the axioms allow is so improbable under these answers that `{name}` has no class probabilities"
    if any(_possible(single.response.product, probs)):
        return f"the products of all classes of `{name}` are too small to be told from 0"
    return f"every class of `{name}` has product 0"


def unanswered(circuit: Circuit, single: SingleRow, probs: Sequence[float]) -> Cause:
    """The propositions that the response type reads and that have no answer."""
    unknown = tuple(a for a in single.atoms if math.isnan(probs[a]))
    of_text = [circuit.atoms[a] for a in unknown if circuit.atoms[a].measure is not None]
    reasons = [
        f"nothing in column `{atom.columns[0]}` to compare with in `{atom.name}`" if atom.columns
        else f"`{atom.name}` could not be told of this text"
        for atom in of_text
    ]  # fmt: skip
    names = dict.fromkeys(circuit.asked_about(a) for a in unknown if circuit.atoms[a].measure is None)
    if names:
        reasons.insert(0, "no answer for " + ", ".join(f"`{name}`" for name in names))
    return Cause("; ".join(reasons), unknown)


def overflow(single: SingleRow, probs: Sequence[float], base: float) -> str:
    """The reason where base and rules are known and their sum is beyond a float32."""
    rules = single.value([FILL if p != p else p for p in probs])
    return f"the reward is beyond the largest number of 32 bits: base reward {base:g}, rules {rules:g}"


def _possible(form: ProductForm, probs: Sequence[float]) -> list[bool]:
    """Whether each class's product is above 0 in exact arithmetic."""
    steps: list[tuple[bool, bool]] = []  # above 0, below 1
    for step in form.steps:
        if step.op == "atom":
            p = probs[step.args[0]]
            steps.append((not p <= 0.0, not p >= 1.0))
        elif step.op == "not":
            above, below = steps[step.args[0]]
            steps.append((below, above))
        else:
            steps.append((all(steps[i][0] for i in step.args), any(steps[i][1] for i in step.args)))
    return [steps[i][0] for i in form.outputs]
