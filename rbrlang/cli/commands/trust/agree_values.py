"""Scales and choices in `rbrc agree`: what people and the grader said of them, whether order matters, and how that looks."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
from numpy.typing import NDArray

from rbrlang.cli.errors import UsageError
from rbrlang.cli.tables import show as table
from rbrlang.cli.terminal import say, wrapped
from rbrlang.grading.trust.calibrate_values import BiasCorrected, CalibratedValues, ValuesGain, fit_values
from rbrlang.grading.trust.corrections import Temperature, Unchanged
from rbrlang.grading.trust.values import (
    METRICS,
    ORDER_METRICS,
    OrderEffect,
    Values,
    ValuesJudged,
    chances_of,
    judge_values,
    labels_of,
    order_effect,
)

if TYPE_CHECKING:
    from rbrlang.lang.variables import Domain
    from rbrlang.logic.circuit import Circuit
    from rbrlang.policy import Policy
    from rbrlang.rows.read import Row

_MOST_ORDERS = 100
_LEGEND = """\
kappa       agreement beyond chance with its 95 % interval; of a scale, a miss costs the square of its levels
rank        Spearman's correlation of labels with the grader's mean level
score       of a scale the ranked probability score, of a choice half the Brier score: 0 is best, 1 worst
ECE         how far the likeliest value's probability lies from how often it is right, on average
"""


def judge(
    options: argparse.Namespace, policy: Policy, rows: Sequence[Row], prompts: NDArray[np.int64]
) -> tuple[ValuesJudged, ...]:
    """Every variable: labels and `probs` of rows as graded, and those in another order where that is asked for."""
    again = _in_another_order(options, policy, rows) if options.order_effect else None
    found: list[ValuesJudged] = []
    for variable in policy.circuit.variables:
        domain = variable.domain
        p = chances_of(domain, rows)
        one = judge_values(domain, labels_of(domain, rows), p, prompts, options.seed, options.bootstrap)
        if again is not None and domain.kind == "choice":
            places = tuple(_places(policy, domain.name, order) for order in (options.order or 0, again[0]))
            one = replace(one, order=order_effect(p, chances_of(domain, again[1]), (places[0], places[1])))
        found.append(one)
    return tuple(found)


def fit(policy: Policy, rows: Sequence[Row], prompts: NDArray[np.int64], seed: int) -> tuple[CalibratedValues, ...]:
    """A correction of every variable, from labels and `probs` of rows as graded."""
    domains = [variable.domain for variable in policy.circuit.variables]
    return tuple(fit_values(one, labels_of(one, rows), chances_of(one, rows), prompts, seed) for one in domains)


def check(options: argparse.Namespace, policy: Policy) -> None:
    """Whether the order of options can be changed at all. Raises `UserError`."""
    from rbrlang.cli.graders import spec_of
    from rbrlang.grading.questions.specs import LocalSpec, OpenAISpec

    if not options.order_effect:
        return
    if not isinstance(spec_of(options), OpenAISpec | LocalSpec):
        raise UsageError(
            f"`--order-effect` asks in another order, and `--grader {options.grader}` is shown none; use `openai:MODEL`"
        )
    if not any(variable.domain.kind == "choice" for variable in policy.circuit.variables):
        raise UsageError("`--order-effect` is about choices, and the policy has none")


def _places(policy: Policy, name: str, order: int) -> tuple[int, ...]:
    """The place of each option of a choice in a drawn order."""
    from rbrlang.grading.questions.prompt import signs

    variable = next(one for one in policy.program.variables if one.name == name)
    shown = list(signs(variable, order).values())
    return tuple(shown.index(value) for value in variable.domain.values)


def _in_another_order(options: argparse.Namespace, policy: Policy, rows: Sequence[Row]) -> tuple[int, Sequence[Row]]:
    """The first other order that leaves fewest options in their places, and the rows as graded in it."""
    from rbrlang.cli.graders import AT_ONCE, Grading
    from rbrlang.rows.kept import Kept, in_blocks

    circuit = policy.circuit
    choices = {at: domain.name for at, domain in circuit.asked_domains.items() if domain.kind == "choice"}

    def kept(order: int) -> int:
        pairs = (
            zip(_places(policy, name, options.order or 0), _places(policy, name, order), strict=True)
            for name in choices.values()
        )
        return sum(a == b for places in pairs for a, b in places)

    order = min((n for n in range(_MOST_ORDERS) if n != (options.order or 0)), key=kept)
    again = argparse.Namespace(**{**vars(options), "order": order})
    grading = Grading(again, policy, only=tuple(choices))
    return order, Kept(row for _, some in in_blocks(rows, AT_ONCE) for row in grading(some).rows)


# --- gates ----------------------------------------------------------------------------------------


def gate_names(circuit: Circuit, *, order: bool) -> tuple[str, ...]:
    """What a gate can be about: `help.kappa` and the like."""
    return tuple(f"{v.domain.name}.{metric}" for v in circuit.variables for metric in _metrics(v.domain, order=order))


def _metrics(domain: Domain, *, order: bool) -> tuple[str, ...]:
    of_kind = tuple(metric for metric in METRICS if metric != "rank_correlation" or domain.kind == "scale")
    return (*of_kind, *(ORDER_METRICS if order and domain.kind == "choice" else ()))


def gate_values(judged: Sequence[ValuesJudged], *, order: bool) -> tuple[dict[str, float | None], dict[str, str]]:
    """A value for each of `gate_names`, and the reasons why some are None."""
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for one in judged:
        plain: Mapping[str, Any] = one.to_json()
        for metric in _metrics(one.domain, order=order):
            name = f"{one.domain.name}.{metric}"
            if metric in ORDER_METRICS:
                values[name] = None if one.order is None else plain["order"][metric.removeprefix("order_")]
                if one.order is None:
                    reasons[name] = "no row was answered in both orders"
                continue
            values[name] = plain[metric]
            if plain["refused"]:
                reasons[name] = plain["refused"]
            elif plain[metric] is None:
                reasons[name] = "the labels or the grader's means are the same everywhere"
    return values, reasons


# --- text -----------------------------------------------------------------------------------------


def show(judged: Sequence[ValuesJudged]) -> None:
    """Print it on standard output, weakest first, with the confusions."""
    if not judged:
        return
    told = [(one, one.result) for one in judged if isinstance(one.result, Values)]
    told.sort(key=lambda pair: (pair[1].kappa.value, pair[0].domain.name))
    rows = [
        (
            one.domain.name, f"{r.kappa.value:.2f}",
            "" if math.isnan(r.kappa.low) else f"({r.kappa.low:.2f}-{r.kappa.high:.2f})",
            f"{round(r.accuracy.value * one.support)}/{one.support}",
            "" if r.rank_correlation is None else f"{r.rank_correlation:.2f}", f"{r.score:.3f}", f"{r.ece:.2f}",
        )
        for one, r in told
    ]  # fmt: skip
    if rows:
        table(
            "Scales and choices, weakest first", ("", "kappa", "", "right", "rank", "score", "ECE"), rows, narrow=True
        )
    for one in judged:
        if isinstance(one.result, str):
            wrapped(f"{one.domain.name}: not judged: {one.result}", after="  ")
    if rows:
        sys.stdout.write(f"{_LEGEND}\n")
    for one, r in told:
        _confusion(one, r)
    for one in judged:
        if one.order is not None:
            _order(one.domain.name, one.order)


def show_corrections(corrections: Sequence[CalibratedValues]) -> None:
    """Print what was learned, and what it is worth."""
    if not corrections:
        return
    rows = [
        (
            one.name, str(one.labels),
            *(f"{getattr(one.gain, of):.3f}" if one.gain else "" for of in ValuesGain.__slots__),
            describe(one).partition(", bias ")[0],
        )
        for one in corrections
    ]  # fmt: skip
    head = ("", "labels", "log loss", "after", "score", "after", "ECE", "after", "correction")
    table("Calibration of scales and choices, on prompts that the correction never saw", head, rows, narrow=True)
    biases = {one.name: describe(one).partition(", bias ")[2] for one in corrections}
    for name, bias in biases.items():
        if bias:
            wrapped(f"{name}: biases of its log-probabilities: {bias}", after="  ")
    if any(biases.values()):
        say("")


def describe(one: CalibratedValues) -> str:
    """A correction in words."""
    match one.correction:
        case Unchanged(reason):
            return f"unchanged: {reason}"
        case Temperature(t):
            return f"temperature {t:.2f}"
        case BiasCorrected(t, bias):
            each = ", ".join(f"{value}: {b:+.2f}" for value, b in zip(one.values, bias, strict=True))
            return f"temperature {t:.2f}, bias {each}"
        case _:
            assert_never(one.correction)


def corrections_json(corrections: Sequence[CalibratedValues]) -> dict[str, Any]:
    """What was learned, by variable, for `--format json`."""

    def told(one: CalibratedValues, metric: str) -> dict[str, float] | None:
        gain = one.gain
        return None if gain is None else {when: getattr(gain, f"{metric}_{when}") for when in ("before", "after")}

    return {
        one.name: {
            "labels": one.labels,
            "correction": describe(one),
            **{metric: told(one, metric) for metric in ("log_loss", "score", "ece")},
        }
        for one in corrections
    }


def _confusion(one: ValuesJudged, found: Values) -> None:
    names = one.domain.values
    rows = [(name, *(str(n or "·") for n in row)) for name, row in zip(names, found.counts, strict=True) if any(row)]
    most = max(map(sum, found.counts))
    table(
        f"{one.domain.name}: {round(found.accuracy.value * one.support)} of {one.support} right; always saying the most "
        f"frequent value would be right in {most}",
        ("labelled, and given as", *names),
        rows,
    )


def _order(name: str, found: OrderEffect) -> None:
    lift = ", ".join(f"{place} {share:+.3f}" for place, share in enumerate(found.lift, 1))
    wrapped(
        f"{name}: in another order {found.changed.value:.0%} of {found.rows} rows get another likeliest option, and "
        f"{found.moved:.3f} of the probability moves; by place: {lift}",
        after="  ",
    )
    say("")
