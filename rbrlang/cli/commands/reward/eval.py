"""`rbrc eval OUT.rbrc ROWS`: how often each reward puts the worse completion first, where, and what to do about it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rbrlang.cli import gate, guide
from rbrlang.cli import options as shared
from rbrlang.cli.commands.reward import certificate, eval_gates
from rbrlang.cli.errors import UsageError
from rbrlang.cli.python import allow_python, python_argument
from rbrlang.cli.terminal import warn
from rbrlang.jsontext import JsonError, NotJsonError, parse_bytes

if TYPE_CHECKING:
    from rbrlang.learning.judging.behaviour import Behaviour, Meaning
    from rbrlang.learning.judging.certificates import Certificates
    from rbrlang.learning.judging.evaluate import Evaluation, RulesAlone
    from rbrlang.learning.judging.mining import Suggestions
    from rbrlang.learning.judging.noise import Noise
    from rbrlang.learning.judging.people import People
    from rbrlang.learning.judging.rates import ErrorRate, ValueRates
    from rbrlang.learning.preferences import PairSource
    from rbrlang.logic.circuit import Circuit
    from rbrlang.reward.numpy import NumpyReward
    from rbrlang.rows.read import Row

    _Rates = tuple[tuple[ErrorRate, ...], tuple[ValueRates, ...]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc eval`."""
    parser.add_argument("artefact", metavar="OUT.rbrc", help="a compiled or fitted policy")
    shared.require_key_argument(parser)
    python_argument(parser)
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
NO_PREFERENCE = "nothing was compared: no two completions of one prompt that both have a reward are ordered by "


def nothing_compared(pairs: Sequence[str], classes: int, people: People | None) -> str | None:
    """Why there is nothing to say, given the pairs of classes and what people said; None where there is something."""
    if "classes" in pairs and (classes or people is None):
        return None if classes else NO_PAIR
    return (
        None if people is not None and any(one.pairs for one in people.orders) else NO_PREFERENCE + " or ".join(pairs)
    )


def run(options: argparse.Namespace) -> int:
    """Evaluate; 1 when a gate is not met."""
    artefact = shared.artefact(options.artefact, options.require_key)
    allow_python(options, artefact.circuit)
    gates = gate.parsed(options.gate, eval_gates.names(artefact.circuit))  # a misspelt one is told before any work
    from rbrlang.cli import data, graders
    from rbrlang.learning.judging.behaviour import behaviour
    from rbrlang.learning.judging.evaluate import evaluate
    from rbrlang.learning.judging.mining import suggest_changes
    from rbrlang.learning.judging.noise import propagate
    from rbrlang.learning.judging.people import compare_with_people
    from rbrlang.learning.preferences import CLASSES
    from rbrlang.learning.sample import sample_rows
    from rbrlang.reward.numpy import NumpyReward

    names = data.class_names(options.class_names)
    reward = NumpyReward.from_artefact(artefact)
    meaning = _meaning(options, artefact.circuit)
    agreement = None
    if options.agreement is not None:
        plain = agreement_in("--agreement", options.agreement)
        agreement = measured("--agreement", options.agreement, plain, artefact.circuit)
    found = data.read_joined(options, options.rows, options.more, artefact.circuit)
    rows = graders.graded(options, artefact, found.rows)
    data.tell_rubrics(artefact.circuit, rows)
    unknown = data.check_response_types(
        rows, reward.response_ids(rows).tolist(), options.rows, artefact.circuit.response_names
    )
    pairs, columns = data.pairs_of(options, rows), data.columns_of(options)
    kept: dict[str, Any] = {
        "base_reward": options.base_reward, "class_source": options.class_source, "class_names": names,
    }  # fmt: skip
    people = None
    alone = None if options.refit is None else refitted(options, reward, rows, names, pairs)
    samples = sample_rows(reward, rows, **kept)
    idle = samples
    if pairs != CLASSES:
        idle = sample_rows(reward, rows, **kept, pairs=pairs, columns=columns, facts=samples.facts)
        people = compare_with_people(
            reward, rows, pairs, **kept, columns=columns, rules_alone=alone, seed=options.seed,
            resamples=options.resamples, contradictions=options.contradictions, facts=samples.facts,
        )  # fmt: skip
        data.name_preferences(options, people.apart, found.places)
    result = evaluate(
        reward, rows, **kept, rules_alone=alone, seed=options.seed, resamples=options.resamples,
        by_class="classes" in pairs, samples=samples,
    )  # fmt: skip
    acts = behaviour(reward, samples, meaning, rules_alone=alone, seed=options.seed, resamples=options.resamples)
    bases = [base for sample in samples.samples for base in sample.base.tolist()] if samples.has_base else []
    if samples.has_base:
        data.note_hidden_rules(reward, samples.facts.ids, samples.facts.base)
    proof = None
    if certificate.asked(options) or any(eval_gates.needs_proof(one) for one in gates):
        proof = certificate.proof(options, artefact.circuit, artefact.weights, bases)
    rates = _rates_of_rows(options, artefact.circuit, rows) if options.noise and agreement is None else agreement
    noise = None if rates is None else propagate(reward, samples, *rates, seed=options.seed)
    report = artefact.provenance.get("fit")
    suggestions = (
        suggest_changes(artefact.circuit, samples, report if isinstance(report, dict) else None)
        if options.suggest
        else None
    )
    nothing = nothing_compared(pairs, sum(response.pairs for response in result.responses), people)
    told = _Told(rows, pairs, nothing, result, acts, people, proof, noise, suggestions)
    if options.format == "json":
        _print_json(options, told)
    else:
        _print_tables(options, told, artefact.circuit)
    if _unmet(options, eval_gates.Judged(artefact.circuit, result, acts, proof, pairs, people)):
        return 1
    apart = sum(sum(sample.set_apart.values()) for sample in idle.samples)
    if apart == len(rows) and options.grader == "rows" and not any(row.probs for row in rows):
        warn("no row carries `probs`; name a grader with `--grader`, or their file with `--with`")
    if nothing is not None:
        warn(f"rbrc eval: {nothing}")
        return 1
    guide.after_eval(options)
    unused = people is not None and people.apart
    return data.EXIT_SOME_INVALID if unknown or found.bad or apart or unused else 0


def _unmet(options: argparse.Namespace, judged: eval_gates.Judged) -> bool:
    """Whether a gate is not met, and which."""
    lines = gate.failures(options.gate, eval_gates.values(judged), eval_gates.reasons(judged))
    for line in lines:
        warn(line)
    return bool(lines)


class _Told(NamedTuple):
    """What an evaluation found; `nothing` says why nothing was compared."""

    rows: Sequence[Row]
    pairs: Sequence[str]
    nothing: str | None
    result: Evaluation
    acts: Behaviour
    people: People | None
    proof: Certificates | None
    noise: Noise | None
    suggestions: Suggestions | None


def _print_json(options: argparse.Namespace, told: _Told) -> None:
    from rbrlang.cli.render import dump

    parts = (
        ("people", told.people), ("certificates", told.proof), ("noise", told.noise), ("suggestions", told.suggestions),
    )  # fmt: skip
    extra = {name: part.to_json() for name, part in parts if part is not None}
    head = {"grader": options.grader, "rows": len(told.rows), "pairs": list(told.pairs), "nothing": told.nothing}
    sys.stdout.write(dump({**head, **told.result.to_json(), "behaviour": told.acts.to_json(), **extra}))


def _print_tables(options: argparse.Namespace, told: _Told, circuit: Circuit) -> None:
    from rbrlang.cli.commands.reward import evaluation_tables as tables
    from rbrlang.cli.commands.reward.people_tables import show_people

    tables.show_evaluation(told.result)
    if told.people is not None:
        show_people(told.people, told.rows, circuit, fitted=True)
    tables.show_behaviour(told.acts, asked=bool(options.unsafe or options.refusal or options.complying))
    if told.proof is not None:
        certificate.show(told.proof)
    if told.noise is not None:
        tables.show_noise(told.noise)
    if told.suggestions is not None:
        tables.show_suggestions(told.suggestions)


def _meaning(options: argparse.Namespace, circuit: Circuit) -> Meaning:
    """Which classes are unsafe, refusals and answers. Raises `UserError`."""
    from rbrlang.learning.judging.behaviour import meaning_of

    return meaning_of(circuit, unsafe=options.unsafe, refusal=options.refusal, complying=options.complying)


def refitted(
    options: argparse.Namespace,
    reward: NumpyReward,
    rows: Sequence[Row],
    names: dict[str, str],
    pairs: tuple[PairSource, ...],
) -> RulesAlone:
    """The rules' weights fitted without base reward, as `--refit` asks: on rows of their own, or in folds by prompt.

    Raises `UserError` when they cannot be fitted.
    """
    from rbrlang.cli import data, graders
    from rbrlang.learning.fitting.fit import FitError
    from rbrlang.learning.fitting.refit import refit_across, refit_on

    kept: dict[str, Any] = {
        "class_source": options.class_source, "class_names": names, "pairs": pairs, "columns": data.columns_of(options),
        "seed": options.seed,
    }  # fmt: skip
    try:
        if not options.refit:
            return refit_across(reward, rows, **kept)
        artefact = shared.artefact(options.artefact, options.require_key)
        training = graders.graded(options, artefact, data.read(options, options.refit, artefact.circuit).rows)
        return refit_on(reward, rows, training, **kept)
    except FitError as error:
        raise UsageError(f"`--refit`: {error}") from error


def agreement_in(option: str, path: str) -> Any:
    """What `rbrc agree --format json` printed. Raises `UserError`, OSError."""
    try:
        return parse_bytes(Path(path).read_bytes())
    except JsonError as error:
        what = f"it is {error}" if isinstance(error, NotJsonError) else str(error)
        raise UsageError(f"`{option} {path}`: {what}") from error


def measured(option: str, path: str, plain: Any, circuit: Circuit) -> _Rates:
    """The error rates in an agreement. Raises `UserError`."""
    from rbrlang.learning.judging.rates import AgreementFileError, rates_from_agreement, value_rates_from_agreement

    of_policy = plain.get("fingerprint") if isinstance(plain, dict) else None
    if isinstance(of_policy, str) and of_policy != circuit.fingerprint:
        warn(
            f"`{option} {path}` was measured under the policy {of_policy[:12]}, and this one is {circuit.fingerprint[:12]}: "
            "its rates hold for questions that are still the same"
        )
    try:
        return rates_from_agreement(circuit, plain), value_rates_from_agreement(circuit, plain)
    except AgreementFileError as error:
        raise UsageError(f"`{option} {path}`: {error}") from error


def _rates_of_rows(options: argparse.Namespace, circuit: Circuit, rows: Sequence[Row]) -> _Rates:
    from rbrlang.learning.judging.rates import rates_from_rows, value_rates_from_rows

    if options.grader == "labels":
        raise UsageError(
            "`--noise` compares labels with a grader's answers, and `--grader labels` makes them the same; "
            "name another grader, or give what `rbrc agree --format json` printed with `--agreement FILE`"
        )
    rates, values = rates_from_rows(circuit, rows), value_rates_from_rows(circuit, rows)
    if all(rate.source == "declared" for rate in rates) and not any(any(one.rows) for one in values):
        raise UsageError(
            "`--noise` needs rows with `labels` and a grader's `probs`, at least 5 rows of either label for some "
            "proposition; or give what `rbrc agree --format json` printed with `--agreement FILE`"
        )
    return rates, values
