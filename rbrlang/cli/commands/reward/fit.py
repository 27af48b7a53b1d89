"""`rbrc fit FILE ROWS -o OUT.rbrc`: learn the weights from ranked rows, write the artefact, say what was learned."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from rbrlang.cli import guide
from rbrlang.cli import options as shared
from rbrlang.cli.commands.reward import certificate
from rbrlang.cli.errors import UsageError
from rbrlang.cli.keys import signer
from rbrlang.cli.python import allow_python, python_argument
from rbrlang.cli.terminal import say, warn

if TYPE_CHECKING:
    from rbrlang.learning.fitting.fitted import Errors, Fit, ResponseFit
    from rbrlang.learning.fitting.ties import Tie


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc fit`."""
    parser.add_argument("file", metavar="FILE", help="a .rbr file")
    parser.add_argument("rows", metavar="ROWS", nargs="+", help=f"ranked rows: {shared.ROWS}")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="the artefact to write")
    parser.add_argument(
        "--base-reward", metavar="COL", default="base_reward",
        help="the column with the reward model's score (default: base_reward)",
    )  # fmt: skip
    parser.add_argument("--no-base-reward", action="store_true", help="fit the rules alone")
    parser.add_argument(
        "--class-source", choices=("auto", "intent", "labels", "graded"), default="auto",
        help="what ranks a completion: its `class` column, its labels, or its most probable class; auto: the first that rows have",
    )  # fmt: skip
    shared.rows_arguments(parser)
    parser.add_argument(
        "--loss", choices=("hinge", "logistic"), default="hinge", help="of a pair: the paper's hinge, or Bradley-Terry"
    )
    shared.pairs_arguments(parser, "classes")
    parser.add_argument(
        "--margin", type=float,
        help="one margin for all classes, instead of the policy's, and for what people order without a column margin (default "
        "there: 1, with the logistic loss 0)",
    )  # fmt: skip
    parser.add_argument(
        "--ridge",
        type=float,
        metavar="R",
        help="pull weights towards their defaults, 0 for the least loss; default: the strongest that prompts left out do not object to",
    )
    parser.add_argument(
        "--held-out", type=float, default=0.2, metavar="SHARE", help="share of prompts kept for judging"
    )
    parser.add_argument(
        "--whiten", action="store_true",
        help="measure margins in standard deviations of the base reward within prompts, so that its scale does not matter",
    )  # fmt: skip
    parser.add_argument(
        "--tie", action="append", default=[], metavar="A=B",
        help="fit one weight for these features, such as insulting=threatening or hard_refusal.insulting=threatening",
    )  # fmt: skip
    parser.add_argument(
        "--folds", type=int, default=0, metavar="K", help="cross-validate over K groups of prompts, 0 for not"
    )
    parser.add_argument(
        "--bootstrap", type=int, default=200, metavar="N", help="resamples for the intervals, 0 for none"
    )
    shared.seed_argument(parser)
    shared.sign_argument(parser)
    certificate.arguments(parser)
    shared.class_probability_argument(parser)
    shared.grader_arguments(parser)
    shared.policy_arguments(parser, artefact=True)
    python_argument(parser)
    shared.format_argument(parser)
    shared.row_arguments(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Fit and write."""
    policy = shared.policy(options, options.file)
    if policy is None:
        return 1
    allow_python(options, policy.circuit)
    from rbrlang.cli import data, graders
    from rbrlang.learning.comparisons import TooManyComparisons
    from rbrlang.learning.fitting.fit import FitError, fit
    from rbrlang.learning.judging.coverage import fingerprint_of
    from rbrlang.learning.judging.people import compare_with_people
    from rbrlang.learning.preferences import CLASSES
    from rbrlang.learning.sample import SampleError, base_rewards
    from rbrlang.reward.kept.artefact import Artefact
    from rbrlang.reward.numpy import NumpyReward
    from rbrlang.reward.rows import response_ids

    sign = signer(options.sign)
    circuit = policy.compiled(options.class_probability)
    names = data.class_names(options.class_names)
    found = [data.read_joined(options, path, options.more, circuit) for path in options.rows]
    graded = graders.grade_rows(options, policy, [row for part in found for row in part.rows])
    rows = graded.rows
    data.tell_rubrics(circuit, rows)
    unknown = data.check_response_types(
        rows, response_ids(circuit, rows).tolist(), ", ".join(options.rows), circuit.response_names
    )
    pairs = data.pairs_of(options, rows) if options.pairs else CLASSES
    if not options.pairs and data.are_pairs(options, rows) and all(row.klass is None for row in rows):
        warn(
            "rows are pairs of chosen and rejected; `--pairs preferences` fits to what people chose rather than to classes"
        )
    kept: dict[str, Any] = {
        "base_reward": None if options.no_base_reward else options.base_reward, "class_source": options.class_source,
        "class_names": names, "pairs": pairs, "columns": data.columns_of(options), "seed": options.seed,
    }  # fmt: skip
    try:
        people = None
        if pairs != CLASSES:  # before the fit: what the policy itself says does not depend on it
            people = compare_with_people(NumpyReward(circuit), rows, **kept, contradictions=options.contradictions)
            data.name_preferences(options, people.apart, [place for part in found for place in part.places])
            if options.format != "json":
                from rbrlang.cli.commands.reward.people_tables import show_people

                show_people(people, rows, circuit, fitted=False)
        result = fit(
            circuit, rows, **kept, margin=options.margin, ridge=options.ridge, loss=options.loss,
            held_out=options.held_out, bootstrap=options.bootstrap,
            whiten=options.whiten, ties=[_tie(text) for text in options.tie], folds=options.folds,
        )  # fmt: skip
    except (FitError, SampleError, TooManyComparisons) as error:
        bare = options.grader == "rows" and not any(row.probs for row in rows)
        ways = "; no row carries `probs`: grade them first, or name a grader with `--grader`, of which `labels` takes labels for the truth"
        raise UsageError(f"{error}{ways if bare else ''}") from error
    if not options.no_base_reward:
        reward = NumpyReward(circuit, result.weights)
        data.note_hidden_rules(reward, reward.response_ids(rows), base_rewards(rows, options.base_reward))
    wanted = certificate.asked(options)
    proof = certificate.proof(options, circuit, result.weights, result.base_extent) if wanted else None
    report = {"grader": graded.identity, "rows": len(rows), "data": fingerprint_of(rows), **result.to_json()}
    if people is not None:
        report["people"] = people.to_json()
    if proof is not None:
        report["certificates"] = proof.to_json()
    provenance = {"fit": report, "grader": graded.identity}
    shared.write_artefact(
        options.output,
        Artefact(circuit, result.weights, policy.sources, graded.calibration_json, provenance, policy.params),
        sign,
    )
    if options.format == "json":
        from rbrlang.cli.render import dump

        sys.stdout.write(dump(report))
    else:
        show(result)
        if proof is not None:
            certificate.show(proof)
        elif "classes" not in pairs:
            say("the order of the classes was not fitted to; `--certify` proves whether it still holds")
        say(f"wrote {options.output}")
    guide.after_fit(options)
    return data.EXIT_SOME_INVALID if unknown or any(part.bad for part in found) or result.apart else 0


def _tie(text: str) -> Tie:
    """`a=b` or `response.a=b`. Raises `UserError`."""
    from rbrlang.learning.fitting.ties import Tie

    response, dot, rest = text.partition(".")
    names = (rest if dot else text).replace(" ", "").split("=")
    if len(names) < 2 or not all(name.isidentifier() for name in (*names, *([response] if dot else []))):
        raise UsageError(f"`--tie {text}` names no weights to tie; write A=B, or RESPONSE.A=B for one response type")
    return Tie(response if dot else None, tuple(names))


def show(result: Fit) -> None:
    """What was learned, as tables."""
    from rbrlang.cli.commands.reward.evaluation_tables import show_spreads
    from rbrlang.cli.tables import show as table
    from rbrlang.learning.fitting.fitted import ResponseFit

    base = f"base reward `{result.base_reward}`" if result.base_reward else "no base reward"
    base += " (margins in its spreads)" if result.whitened else ""
    ordered = f"classes from {result.class_source}" if result.pairs == ("classes",) else _ordered(result)
    sys.stdout.write(f"{result.loss} loss, {ordered}, {base}, seed {result.seed}\n\n")
    _set_apart(result.set_apart)
    _ridge(result)
    for outcome in result.responses:
        if not isinstance(outcome, ResponseFit):
            say(f"{outcome.name}: not fitted, keeps its default weights: {outcome.reason}")
            say("")
            continue
        title = (
            f"{outcome.name}: {outcome.pairs} pairs of {outcome.prompts} prompts, "
            f"{outcome.held_out_pairs} pairs of {outcome.held_out_prompts} held out"
        )
        rows = [(name, f"{weight:+.3f}", known) for _, name, weight, known in outcome.weight_rows()]
        table(title, ("feature", "weight", "95 % interval"), rows)
        if outcome.intervals_refused:
            say(f"no intervals: {outcome.intervals_refused}")
        _set_apart(outcome.set_apart)
        held = "" if outcome.loss_held_out is None else f", held out {outcome.loss_held_out:.4f}"
        say(f"mean loss {outcome.loss_train:.4f}{held}; no weights are better by more than {100 * outcome.gap:.2g} %")
        _certainty(outcome)
    fitted = [outcome for outcome in result.responses if isinstance(outcome, ResponseFit)]
    table(
        "ranking error: share of pairs ordered wrongly",
        ("response type", "ordered by", "on", "pairs", "counts", "base", "default weights", "fitted rules", "both"),
        [line for outcome in fitted for line in _error_rows(outcome)],
    )
    show_spreads({outcome.name: outcome.reward_spread for outcome in fitted})


def _ordered(result: Fit) -> str:
    """What ordered completions, and how much each of it counts."""
    names = [f"classes (from {result.class_source})" if one == "classes" else one for one in result.pairs]
    alike = ", which count alike whatever the number of their pairs" if len(names) > 1 else ""
    return f"pairs by {' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))}{alike}"


def _ridge(result: Fit) -> None:
    """Which ridge was used and why, with the whole path."""
    from rbrlang.cli.tables import show as table
    from rbrlang.learning.fitting.path import NoPath

    path = result.path
    if isinstance(path, NoPath):
        sys.stdout.write(f"ridge {path.ridge:g} for all response types: {path.reason}\n\n")
        return
    best = "the best" if path.best == path.chosen else f"the best, {path.ridges[path.best]:g}"
    sys.stdout.write(
        f"ridge {path.ridge:g} for all response types: the strongest within one standard error of {best}, on "
        f"{path.prompts} prompts, each judged by weights fitted to the other {path.folds - 1} of {path.folds} folds\n"
    )
    rows = [
        (
            f"{ridge:g}",
            *(text for one in (held.loss, held.error) for text in (f"{one.value:.3f}", f"{one.over:+.3f} ± {one.over_se:.3f}")),
            *(f"{one.spreads[at]:.2f}" for one in path.responses),
            "chosen" if at == path.chosen else "best" if at == path.best else "",
        )
        for at, (ridge, held) in enumerate(zip(path.ridges, path.pooled, strict=True))
    ]  # fmt: skip
    table(
        "left out: mean loss, ranking error, how far each lies above that of the best ridge; spread of the rules' reward",
        ("ridge", "loss", "above", "error", "above", *(one.name for one in path.responses), ""), rows,
    )  # fmt: skip


def _certainty(outcome: ResponseFit) -> None:
    """What other prompts would have said, and what to know before believing any of it."""
    lines: list[str] = []
    if outcome.error_interval is not None:
        low, high = outcome.error_interval.low, outcome.error_interval.high
        lines.append(f"ranking error of refits on prompts they did not draw: {low:.3f} … {high:.3f} (95 %)")
    if outcome.folds is not None:
        folds = outcome.folds
        if folds.refused is None:
            lines.append(
                f"cross-validated ranking error: {folds.mean:.3f} ± {folds.spread:.3f} over {len(folds.errors)} folds of prompts"
            )
        else:
            lines.append(f"no cross-validation: {folds.refused}")
    if outcome.base_spread is not None:
        lines.append(f"base rewards of one prompt differ by {outcome.base_spread:.3g} (standard deviation)")
    lines += [f"note: {note}" for note in outcome.notes]
    for line in (*lines, "") if lines else ():
        say(line)


def _error_rows(outcome: ResponseFit) -> list[tuple[str, ...]]:
    """Of each source; of several also what they come to together."""
    parts = [
        (one.name, *cells, error)
        for one in outcome.sources
        for *cells, error in (
            ("train", str(one.pairs), f"{100 * one.share:.0f} %", one.error_train),
            ("held out", str(one.held_out_pairs), "", one.error_held_out),
        )
    ]
    if len(outcome.sources) > 1:
        parts += [
            ("all alike", "train", str(outcome.pairs), "", outcome.error_train),
            ("all alike", "held out", str(outcome.held_out_pairs), "", outcome.error_held_out),
        ]
    lines = [(*cells, *_errors(error)) for *cells, error in parts if error is not None]
    return [(outcome.name if at == 0 else "", *line) for at, line in enumerate(lines)]


def _errors(errors: Errors) -> tuple[str, ...]:
    return tuple("" if e is None else f"{e:.3f}" for e in (errors.base, errors.default, errors.rules, errors.both))


def _set_apart(counts: object) -> None:
    if isinstance(counts, dict):
        for reason, count in counts.items():
            say(f"{count} rows set apart: {reason}")
