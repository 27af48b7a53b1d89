"""`rbrc eval OUT.rbrc ROWS`: how often each reward puts the worse completion first, where, and what to do about it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbrlang.cli import gate
from rbrlang.cli import options as shared
from rbrlang.cli.commands.reward import certificate, eval_gates
from rbrlang.cli.errors import UsageError
from rbrlang.cli.terminal import warn
from rbrlang.jsontext import JsonError, NotJsonError, parse_bytes

if TYPE_CHECKING:
    from rbrlang.learning.judging.behaviour import Meaning
    from rbrlang.learning.judging.evaluate import RulesAlone
    from rbrlang.learning.judging.rates import ErrorRate
    from rbrlang.logic.circuit import Circuit
    from rbrlang.reward.numpy import NumpyReward
    from rbrlang.rows.read import Row


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc eval`."""
    parser.add_argument("artefact", metavar="OUT.rbrc", help="a compiled or fitted policy")
    shared.require_key_argument(parser)
    parser.add_argument("rows", metavar="ROWS", help=f"ranked rows: {shared.ROWS}")
    shared.rows_arguments(parser)
    shared.ranking_arguments(parser)
    parser.add_argument(
        "--gate", action="append", default=[], metavar="COND",
        help='fail unless this holds, such as "error<0.05" (the worst response type), "f1>0.9" or "hard_refusal.both<0.1"',
    )  # fmt: skip
    certificate.arguments(parser)
    group = parser.add_argument_group("behaviour")
    group.add_argument(
        "--unsafe", metavar="NAME", help="what is unsafe: a class or proposition (default: the worst rank)"
    )
    group.add_argument(
        "--refusal", metavar="NAME", help="what is a refusal: a proposition or class (default: inability_to_comply)"
    )
    group.add_argument(
        "--complying", metavar="TYPE", action="append", default=[],
        help="a response type that should not refuse (default: those named comply…, or where no refusal can be best)",
    )  # fmt: skip
    group = parser.add_argument_group("what to do next")
    group.add_argument(
        "--noise", action="store_true",
        help="what the grader's mistakes cost and which question is worth mending, from rows with labels and probs",
    )  # fmt: skip
    group.add_argument(
        "--agreement", metavar="FILE", help="the same, with mistakes measured by `rbrc agree --format json`"
    )
    group.add_argument("--suggest", action="store_true", help="what the rows suggest to change, and labels to check")
    shared.grader_arguments(parser)
    shared.format_argument(parser)
    shared.row_arguments(parser)
    shared.run_with(parser, run)


NO_PAIR = (
    "nothing was compared: there are no two completions of one prompt with different classes that both have a reward"
)


def run(options: argparse.Namespace) -> int:
    """Evaluate; 1 when a gate is not met."""
    artefact = shared.artefact(options.artefact, options.require_key)
    gates = gate.parsed(options.gate, eval_gates.names(artefact.circuit))  # a misspelt one is told before any work
    from rbrlang.cli import data, graders
    from rbrlang.cli.commands.reward import evaluation_tables as tables
    from rbrlang.cli.render import dump
    from rbrlang.learning.comparisons import TooManyComparisons
    from rbrlang.learning.judging.behaviour import behaviour
    from rbrlang.learning.judging.evaluate import evaluate
    from rbrlang.learning.judging.mining import suggest_changes
    from rbrlang.learning.judging.noise import propagate
    from rbrlang.learning.sample import SampleError, base_rewards, sample_rows
    from rbrlang.reward.numpy import NumpyReward

    names = data.class_names(options.class_names)
    reward = NumpyReward.from_artefact(artefact)
    meaning = _meaning(options, artefact.circuit)
    agreement = None if options.agreement is None else _agreement(options.agreement, artefact.circuit)
    found = data.read_joined(options, options.rows, options.more)
    rows = graders.graded(options, artefact, found.rows)
    unknown = data.check_response_types(
        rows, reward.response_ids(rows).tolist(), options.rows, artefact.circuit.response_names
    )
    alone = None if options.refit is None else refitted(options, reward, rows, names)
    kept: dict[str, Any] = {
        "base_reward": options.base_reward, "class_source": options.class_source, "class_names": names,
    }  # fmt: skip
    try:
        samples = sample_rows(reward, rows, **kept)
        result = evaluate(
            reward, rows, **kept, rules_alone=alone, seed=options.seed, resamples=options.resamples
        )  # fmt: skip
    except (SampleError, TooManyComparisons) as error:
        raise UsageError(str(error)) from error
    acts = behaviour(reward, rows, samples, meaning, rules_alone=alone, seed=options.seed, resamples=options.resamples)
    bases = [base for sample in samples.samples for base in sample.base.tolist()] if samples.has_base else []
    if samples.has_base:
        data.note_hidden_rules(reward, reward.response_ids(rows), base_rewards(rows, options.base_reward))
    proof = None
    if certificate.asked(options) or any(eval_gates.needs_proof(one) for one in gates):
        proof = certificate.proof(options, artefact.circuit, artefact.weights, bases)
    rates = _rates_of_rows(options, artefact.circuit, rows) if options.noise and agreement is None else agreement
    noise = None if rates is None else propagate(reward, rows, samples, rates, seed=options.seed)
    report = artefact.provenance.get("fit")
    suggestions = (
        suggest_changes(artefact.circuit, rows, samples, report if isinstance(report, dict) else None)
        if options.suggest
        else None
    )
    nothing = None if any(response.pairs for response in result.responses) else NO_PAIR
    if options.format == "json":
        parts = (("certificates", proof), ("noise", noise), ("suggestions", suggestions))
        extra = {name: part.to_json() for name, part in parts if part is not None}
        head = {"grader": options.grader, "rows": len(rows), "nothing": nothing}
        sys.stdout.write(dump({**head, **result.to_json(), "behaviour": acts.to_json(), **extra}))
    else:
        tables.show_evaluation(result)
        tables.show_behaviour(acts, asked=bool(options.unsafe or options.refusal or options.complying))
        if proof is not None:
            certificate.show(proof)
        if noise is not None:
            tables.show_noise(noise)
        if suggestions is not None:
            tables.show_suggestions(suggestions)
    judged = eval_gates.Judged(artefact.circuit, result, acts, proof)
    unmet = gate.failures(options.gate, eval_gates.values(judged), eval_gates.reasons(judged))
    for line in unmet:
        warn(f"{line}")
    if unmet:
        return 1
    apart = sum(sum(response.set_apart.values()) for response in result.responses)
    if apart == len(rows) and options.grader == "rows" and not any(row.probs for row in rows):
        warn("no row carries `probs`; name a grader with `--grader`, or their file with `--with`")
    if nothing is not None:
        warn(f"rbrc eval: {nothing}")
        return 1
    return data.EXIT_SOME_INVALID if unknown or found.bad or apart else 0


def _meaning(options: argparse.Namespace, circuit: Circuit) -> Meaning:
    """Which classes are unsafe, refusals and answers. Raises `UsageError`."""
    from rbrlang.learning.judging.behaviour import MeaningError, meaning_of

    try:
        return meaning_of(circuit, unsafe=options.unsafe, refusal=options.refusal, complying=options.complying)
    except MeaningError as error:
        raise UsageError(str(error)) from error


def refitted(
    options: argparse.Namespace, reward: NumpyReward, rows: Sequence[Row], names: dict[str, str]
) -> RulesAlone:
    """The rules' weights fitted without base reward, as `--refit` asks: on rows of their own, or in folds by prompt.

    Raises `UsageError` when they cannot be fitted.
    """
    from rbrlang.cli import compiled, data, graders
    from rbrlang.learning.fitting.fit import FitError
    from rbrlang.learning.fitting.refit import refit_across, refit_on

    kept: dict[str, Any] = {"class_source": options.class_source, "class_names": names, "seed": options.seed}
    compiled.keep_programs()
    try:
        if not options.refit:
            return refit_across(reward, rows, **kept)
        artefact = shared.artefact(options.artefact, options.require_key)
        training = graders.graded(options, artefact, data.read(options, options.refit).rows)
        return refit_on(reward, rows, training, **kept)
    except FitError as error:
        raise UsageError(f"`--refit`: {error}") from error


def _agreement(path: str, circuit: Circuit) -> tuple[ErrorRate, ...]:
    from rbrlang.learning.judging.rates import AgreementFileError, rates_from_agreement

    try:
        return rates_from_agreement(circuit, parse_bytes(Path(path).read_bytes()))
    except (AgreementFileError, JsonError) as error:
        what = f"it is {error}" if isinstance(error, NotJsonError) else str(error)
        raise UsageError(f"`--agreement {path}`: {what}") from error


def _rates_of_rows(options: argparse.Namespace, circuit: Circuit, rows: Sequence[Row]) -> tuple[ErrorRate, ...]:
    from rbrlang.learning.judging.rates import rates_from_rows

    if options.grader == "labels":
        raise UsageError(
            "`--noise` compares labels with a grader's answers, and `--grader labels` makes them the same; "
            "name another grader, or give what `rbrc agree --format json` printed with `--agreement FILE`"
        )
    rates = rates_from_rows(circuit, rows)
    if all(rate.source == "declared" for rate in rates):
        raise UsageError(
            "`--noise` needs rows with `labels` and a grader's `probs`, at least 5 rows of either label for some "
            "proposition; or give what `rbrc agree --format json` printed with `--agreement FILE`"
        )
    return rates
