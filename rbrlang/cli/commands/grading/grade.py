"""`rbrc grade FILE ROWS -o OUT`: let a grader fill in P(yes)."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.terminal import say, warn

if TYPE_CHECKING:
    from rbrlang.cli.graders import GradedRows, Lazily
    from rbrlang.grading.endpoint.account import Summary
    from rbrlang.grading.questions.specs import GraderSpec
    from rbrlang.policy import Policy


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc grade`."""
    parser.add_argument("file", metavar="FILE", help="a .rbr file")
    parser.add_argument("rows", metavar="ROWS", help=f"rows: {shared.ROWS}; `-` is standard input")
    parser.add_argument(
        "-o", "--output", metavar="OUT", required=True, help="where to write the rows, `-` for standard output"
    )
    parser.add_argument(
        "--all", action="store_true", help="ask every proposition, not only what each response type needs"
    )
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run; its answers must be there")
    parser.add_argument("--dry-run", action="store_true", help="count requests, tokens and cost, and ask no model")
    shared.lazy_argument(parser)
    parser.add_argument(
        "--weights", metavar="W",
        help="--lazy: the weights that the reward will have, an artefact or JSON (default: the policy's own)",
    )  # fmt: skip
    parser.add_argument("--limit", type=shared.count, metavar="N", help="only the first N rows")
    parser.add_argument("--details", action="store_true", help="add the column `answers` with every answer in full")
    shared.seed_argument(parser)
    shared.grader_arguments(parser, default="embedded")
    shared.policy_arguments(parser)
    shared.row_arguments(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Grade and write; 3 when an answer is invalid or a row unusable."""
    policy = shared.policy(options, options.file)
    if policy is None:
        return 1
    from rbrlang.cli import data, graders
    from rbrlang.grading.results import Invalid, finite, to_json
    from rbrlang.reward.rows import response_ids

    graders.keep_answers(options, options.output)
    if options.resume and not (options.cache and Path(options.cache).is_file()):
        raise UsageError(f"nothing to resume: `{options.cache}` is not there")
    found = data.fitted(options.output, data.read(options, options.rows, limit=options.limit))
    circuit = policy.circuit
    ids = response_ids(circuit, found.rows).tolist()
    unknown = data.check_response_types(found.rows, ids, options.rows, circuit.response_names)
    if options.dry_run:
        return _dry_run(options, graders.spec_of(options), policy, graders.items_of(found.rows, ids))
    graded = graders.grade_rows(options, policy, found.rows, every=options.all, lazily=_lazily(options, policy))
    names = circuit.propositions
    out: list[dict[str, Any]] = []
    reasons: Counter[str] = Counter()
    for at in range(len(graded.rows)):
        answers = graded.answers[at] if graded.answers else {}
        failed = {names[p]: a.reason for p, a in answers.items() if isinstance(a, Invalid)}
        reasons.update(failed.values())
        columns: dict[str, Any] = {"invalid": failed} if failed else {}
        if graded.lazy is not None:
            columns["reward_bounds"] = [finite(float(graded.lazy.lower[at])), finite(float(graded.lazy.upper[at]))]
        if options.details:
            columns["answers"] = {names[p]: to_json(a) for p, a in answers.items()}
        out.append(graded.row(at, **columns))
    data.write(options.output, out)
    total = sum(len(answers) for answers in graded.answers)
    warn(f"{graded.identity}: {total} answers for {len(out)} rows, {reasons.total()} invalid")
    for reason, count in reasons.most_common(10):
        warn(f"  {count} × {reason}")
    tell(graded, options.cache)
    return data.EXIT_SOME_INVALID if reasons or unknown or found.bad else 0


def _lazily(options: argparse.Namespace, policy: Policy) -> Lazily | None:
    if options.lazy is None:
        if options.weights is not None:
            raise UsageError("`--weights` are for `--lazy`: they say which answers matter")
        return None
    if options.all:
        raise UsageError("`--all` asks everything and `--lazy` as little as possible; give one of them")
    from rbrlang.cli.graders import Lazily
    from rbrlang.cli.weights import reward_with

    return Lazily(reward_with(policy, options.weights, options.file), options.lazy)


def tell(graded: GradedRows, cache: str | None) -> None:
    """Say on standard error how the answers came about: methods, calibration, what was saved and spent."""
    from rbrlang.grading.results import Value

    methods = Counter(a.method for answers in graded.answers for a in answers.values() if isinstance(a, Value))
    if methods:
        warn("read by " + ", ".join(f"{name} {count}" for name, count in methods.most_common()))
    if graded.calibration is not None:
        warn(f"corrected by calibration {graded.calibration.identity}")
    if graded.lazy is not None:
        lazy = graded.lazy
        saved = 1 - lazy.asked / lazy.wanted if lazy.wanted else 0.0
        warn(f"lazy: asked {lazy.asked} of {lazy.wanted} propositions in {lazy.rounds} rounds, {saved:.0%} saved")
    if graded.summary is not None:
        tell_costs(graded.summary, cache)


def tell_costs(summary: Summary, cache: str | None) -> None:
    """Requests, tokens and cost of a run, and how to go on with one that ended early, on standard error."""
    used = summary.usage
    warn(
        f"P(yes) from {summary.reading}; sent {summary.sent} requests ({summary.retried} again, {summary.from_cache} "
        f"more answered from the cache) in {summary.seconds:.1f} s: {used.prompt} prompt tokens ({used.cached} from the "
        f"server's cache), {used.completion} answer tokens, cost {summary.cost:.4f}"
    )
    for note in summary.notes:
        warn(note)
    if summary.stopped:
        warn(f"the run ended early: {summary.stopped}")
        if cache:
            warn(f"what was answered is in `{cache}`; run the same command with --resume to continue")


def _dry_run(options: argparse.Namespace, spec: GraderSpec, policy: Policy, items: Any) -> int:
    from rbrlang.cli import graders
    from rbrlang.grading.endpoint.account import estimate, price_of
    from rbrlang.grading.endpoint.cache import AnswerCache
    from rbrlang.grading.questions.layout import wanted
    from rbrlang.grading.questions.specs import OpenAISpec, SystemOneSpec

    every = tuple(range(len(policy.circuit.propositions)))
    asked = (every,) * len(items) if options.all else wanted(policy.circuit, items)
    if not isinstance(spec, OpenAISpec | SystemOneSpec):
        say(f"{sum(len(w) for w in asked)} answers for {len(items)} rows, nothing to pay")
        return 0
    remote = graders.remote_of(options, spec, policy, items)
    path = Path(options.cache) if options.cache and Path(options.cache).is_file() else None
    with AnswerCache(path) as cache:
        found = estimate(remote, items, asked, cache, price_of(graders.chosen(options)))
    say(
        f"{found.requests} requests, {found.from_cache} of them answered already; at most about "
        f"{found.usage.prompt} prompt tokens and {found.usage.completion} answer tokens, cost {found.cost:.4f}"
    )
    return 0
