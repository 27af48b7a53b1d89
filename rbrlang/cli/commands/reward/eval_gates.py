"""What can `rbrc eval --gate` ask for, and what is it?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rbrlang.cli.gate import Gate
    from rbrlang.learning.judging.behaviour import Behaviour
    from rbrlang.learning.judging.certificates import Certificates
    from rbrlang.learning.judging.evaluate import ByReward, Evaluation
    from rbrlang.learning.judging.people import People
    from rbrlang.logic.circuit import Circuit

_SIGNALS = ("base", "rules", "both")
_PEOPLE = ("preferences", "ranks", "scores")
_RATES = ("not_unsafe", "not_overrefuse", "f1")


@dataclass(frozen=True, slots=True)
class Judged:
    """A policy's circuit with all that was found about its reward; `proof` and `people` None when nobody asked for it.

    `pairs` are what ordered completions.
    """

    circuit: Circuit
    result: Evaluation
    acts: Behaviour
    proof: Certificates | None
    pairs: Sequence[str]
    people: People | None


def names(circuit: Circuit) -> tuple[str, ...]:
    """Everything that `--gate` can name for a policy."""
    found = ["error", "ideal_error", "class_accuracy", "spread", "lead", "lead.both", *_RATES]
    found += [f"{rate}.{signal}" for rate in _RATES for signal in _SIGNALS]
    found += [name for source in _PEOPLE for name in _called(circuit, source)]
    for response in circuit.response_names:
        found += [f"{response}.{signal}" for signal in _SIGNALS]
        found += [
            f"{response}.{name}"
            for name in ("ideal_error", "class_accuracy", "picks_ideal", "spread", "lead", "lead.both")
        ]
    return tuple(found)


def needs_proof(one: Gate) -> bool:
    """Whether a gate is about what `--certify` proves."""
    return "lead" in one.name.split(".")


def values(judged: Judged) -> dict[str, float | None]:
    """Values of `names`, None where there is none.

    `error`, `ideal_error` and `class_accuracy` are those of the worst response type, for base and rules
    together; `spread` the largest spread of the rules' reward in the base reward's; `lead` is the least one of any response type, of the rules alone, `lead.both` whatever
    rubrics add and the base rewards are within their range; `preferences`, `ranks` and `scores` the ranking error of what people order so, with `.agree` the
    share that the policy ranks as they do, of the worst response type; `not_unsafe`, `not_overrefuse` and `f1` those of the rows, or with a reward's name of its picks.
    """
    result, acts = judged.result, judged.acts
    values: dict[str, float | None] = dict.fromkeys(names(judged.circuit))
    for rate in _RATES:
        for name, rates in (("", acts.rows), *((f".{signal}", rates) for signal, rates in acts.picks.items())):
            estimate = {"not_unsafe": rates.not_unsafe, "not_overrefuse": rates.not_overrefuse, "f1": rates.f1}[rate]
            values[rate + name] = None if estimate is None else estimate.value
    for response in result.responses:
        if response.error is not None:
            values["error"] = max(values["error"] or 0.0, response.error.both.value)
            for signal in _SIGNALS:
                values[f"{response.name}.{signal}"] = _value(response.error, signal)
        if response.ideal_error is not None:
            values["ideal_error"] = max(values["ideal_error"] or 0.0, response.ideal_error.both.value)
            values[f"{response.name}.ideal_error"] = response.ideal_error.both.value
        accuracy = response.class_accuracy
        if accuracy is not None:
            worst = values["class_accuracy"]
            values["class_accuracy"] = accuracy if worst is None else min(worst, accuracy)
            values[f"{response.name}.class_accuracy"] = accuracy
        ratio = None if response.reward_spread is None else response.reward_spread.ratio
        if ratio is not None:
            values["spread"] = max(values["spread"] or 0.0, ratio)
            values[f"{response.name}.spread"] = ratio
        if response.picks is not None:
            values[f"{response.name}.picks_ideal"] = sum(
                share.both.value for share, rank in zip(response.picks.shares, response.ranks, strict=True) if rank == 0
            )
    return values | _of_people(judged.people) | _leads(judged.proof)


def _of_people(people: People | None) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for one in () if people is None else people.orders:
        if one.error is not None:
            wrong = one.error.both.value
            found[f"{one.name}.{one.source}"] = wrong
            found[one.source] = max(found.get(one.source) or 0.0, wrong)
        if one.agree is not None:
            found[f"{one.name}.{one.source}.agree"] = one.agree.value
            least = found.get(f"{one.source}.agree")
            found[f"{one.source}.agree"] = one.agree.value if least is None else min(least, one.agree.value)
    return found


def _leads(proof: Certificates | None) -> dict[str, float | None]:
    if proof is None:
        return {}
    found: dict[str, float | None] = {}
    leads: list[float] = []
    both: list[float | None] = []
    for response in proof.responses:
        if response.leads:
            lead = response.leads[0].lead
            against = None if proof.base_range is None else response.together(proof.base_range)
            extent = None if against is None else against[1] - against[0]
            both.append(None if extent is None or math.isinf(extent) else lead - extent)
            found |= {f"{response.name}.lead": lead, f"{response.name}.lead.both": both[-1]}
            leads.append(lead)
    found["lead"] = min(leads, default=None)
    known = [one for one in both if one is not None]
    found["lead.both"] = min(known) if known and len(known) == len(both) else None
    return found


def reasons(judged: Judged) -> dict[str, str]:
    """Why there may be no value for what a gate names."""
    result, acts, proof = judged.result, judged.acts, judged.proof
    found: dict[str, str] = {}
    if proof is not None:
        if proof.base_range is None:
            why = "no row carries a base reward; `--base-range LOW HIGH` names the range to reckon with"
            found |= dict.fromkeys(("lead.both", *(f"{r.name}.lead.both" for r in proof.responses)), why)
        else:
            free = [r.name for r in proof.responses if r.rubrics is not None and not all(map(math.isfinite, r.rubrics))]
            why = "a rubric may add any number; give it a `clip`"
            found |= dict.fromkeys([*(f"{name}.lead.both" for name in free), *(["lead.both"] if free else [])], why)
        for bare in (r.name for r in proof.responses if not r.leads):
            found |= dict.fromkeys((f"{bare}.lead", f"{bare}.lead.both"), "no two classes of different rank to prove")
    for source in _PEOPLE:
        if source not in judged.pairs:
            found |= dict.fromkeys(_called(judged.circuit, source), f"`--pairs` does not name {source}")
    for one in () if judged.people is None else judged.people.orders:
        if one.reason is not None:
            found |= dict.fromkeys((f"{one.name}.{one.source}", f"{one.name}.{one.source}.agree"), one.reason)
    for response in result.responses:
        if response.reason is not None:
            found |= dict.fromkeys((f"{response.name}.{signal}" for signal in _SIGNALS), response.reason)
            found[f"{response.name}.ideal_error"] = response.reason
    if result.responses and all(response.error is None for response in result.responses):
        by_class = "classes" in judged.pairs
        why = "no prompt has completions of different rank" if by_class else "`--pairs` does not name classes"
        found["error"] = found["ideal_error"] = why
    for response in result.responses:
        if response.reward_spread is None or response.reward_spread.ratio is None:
            found[f"{response.name}.spread"] = found["spread"] = "no base reward of these rows varies"
    if not result.has_base:
        no_base = "no row carries a base reward"
        found |= {f"{response.name}.base": no_base for response in result.responses}
        found |= {f"{rate}.base": no_base for rate in _RATES}
    refused = {reason.split(":")[0]: reason for reason in acts.refused}
    for rate in _RATES:
        why = "; ".join(refused.values()) if rate == "f1" else refused.get(rate)
        if why:
            found |= dict.fromkeys((rate, *(f"{rate}.{signal}" for signal in _SIGNALS)), why)
    return found


def _called(circuit: Circuit, source: str) -> list[str]:
    prefixes = ("", *(f"{response}." for response in circuit.response_names))
    return [f"{prefix}{source}{what}" for prefix in prefixes for what in ("", ".agree")]


def _value(error: ByReward, signal: str) -> float | None:
    estimate = {"base": error.base, "rules": error.rules, "both": error.both}[signal]
    return None if estimate is None else estimate.value
