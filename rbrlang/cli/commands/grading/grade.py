"""`rbrc grade FILE ROWS -o OUT`: let a grader fill in P(yes), and how likely the values of scales and choices are."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbrlang.cli import guide
from rbrlang.cli import options as shared
from rbrlang.cli.commands.grading.told import Told
from rbrlang.cli.errors import UsageError
from rbrlang.cli.failures import grouped
from rbrlang.cli.python import allow_python, python_argument
from rbrlang.cli.terminal import say, warn

if TYPE_CHECKING:
    from rbrlang.cli.graded import Lazily
    from rbrlang.engines.jobs import Done
    from rbrlang.grading.results import GradeItem
    from rbrlang.policy import Policy
    from rbrlang.rows.columns import Names
    from rbrlang.rows.formats import Kind
    from rbrlang.rows.pieces import Piece
    from rbrlang.rows.read import Block


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc grade`."""
    parser.add_argument("file", metavar="FILE", help="a .rbr file")
    parser.add_argument("rows", metavar="ROWS", help=f"rows: {shared.ROWS}; `-` is standard input")
    parser.add_argument(
        "-o", "--output", metavar="OUT", required=True, help="where to write the rows, `-` for standard output"
    )
    parser.add_argument("--all", action="store_true", help="ask every question, not only what each response type needs")
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
    python_argument(parser)
    shared.row_arguments(parser)
    shared.engine_arguments(parser, batch=True)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Grade and write; 3 when an answer is invalid or a row unusable."""
    policy = shared.policy(options, options.file)
    if policy is None:
        return 1
    from rbrlang.cli import data, graders

    graders.keep_answers(options, options.output)
    if options.resume and not (options.cache and Path(options.cache).is_file()):
        raise UsageError(f"nothing to resume: `{options.cache}` is not there")
    data.check_output(options.output)
    if options.dry_run:
        return _dry_run(options, policy)
    job = Grade(options, policy, data.names(options, policy.circuit))
    if options.engine == "batch":
        from rbrlang.cli.commands.grading.grade_batch import gather

        if not gather(options, job):
            return data.EXIT_SOME_INVALID
    elif options.batch_by_hand:
        raise UsageError("`--batch-by-hand` is for `--engine batch`")
    tally = Graded()
    rows, bad = data.through(options, job, tally, limit=options.limit)
    tally.unknown.tell(options.rows, policy.circuit.response_names)
    told, reasons = tally.told, tally.reasons
    warn(f"{', '.join(told.identities)}: {told.answers} answers for {rows} rows, {reasons.total()} invalid")
    for reason, count in grouped(reasons)[:10]:
        warn(f"  {count} × {reason}")
    told.tell(options.cache)
    if tally.valued:
        guide.after_grade(options)
    return data.EXIT_SOME_INVALID if reasons or tally.unknown.total or bad else 0


class Graded:
    """What is said of a block's rows, and of all of them: `reasons` are those of invalid answers; `valued`: some has a value."""

    def __init__(self) -> None:
        from rbrlang.cli.data import UnknownTypes

        self.told = Told()
        self.unknown = UnknownTypes()
        self.reasons = Counter[str]()
        self.valued = False

    def add(self, more: Graded) -> None:
        """Those of later rows."""
        self.told.add(more.told)
        self.unknown.update(more.unknown)
        self.reasons.update(more.reasons)
        self.valued |= more.valued


class Grade:
    """The job: rows to rows with a grader's probabilities."""

    def __init__(self, options: argparse.Namespace, policy: Policy, names: Names) -> None:
        self.names = names
        self._options, self._policy = options, policy

    def __reduce__(self) -> tuple[Any, ...]:
        return Grade, (self._options, self._policy, self.names)

    @property
    def about(self) -> str:
        """The policy's sources, with those that it imports: questions are theirs, and no fingerprint holds them."""
        from rbrlang.engines.jobs import digest

        return digest(self._policy.program.sources, self._policy.program.params)

    def open(self, first: Piece | None = None) -> None:
        """Make the grader, with the first rows. Raises `UserError`."""
        from rbrlang.cli.graders import Grading
        from rbrlang.rows.write import output_format

        options = self._options
        if options.lazy is not None:
            allow_python(options, self._policy.circuit)
        self._grading = Grading(options, self._policy, every=options.all, lazily=_lazily(options, self._policy))
        self._kind: Kind = output_format(options.output).kind
        if first is not None:
            self._grading.prepare([row for block in self.read(first) for row in block.rows])

    def read(self, piece: Piece) -> Iterator[Block]:
        """The piece's rows."""
        from rbrlang.rows.read import blocks

        return blocks(piece, self.names)

    def finish(self, block: Block) -> Done:
        """The rows with what the grader says of them."""
        from rbrlang.engines.jobs import Done
        from rbrlang.grading.criteria import failures
        from rbrlang.grading.results import Invalid, finite, to_json
        from rbrlang.reward.rows import response_ids
        from rbrlang.rows.write import encoded

        graded = self._grading(block.rows)
        names = self._policy.circuit.questions
        tally = Graded()
        tally.told = Told.of(graded)
        tally.valued = bool(tally.told.methods) or any(p is not None for row in graded.rows for p in row.probs.values())
        tally.unknown.add(block.rows, response_ids(self._policy.circuit, block.rows).tolist())
        out: list[dict[str, Any]] = []
        for at in range(len(graded.rows)):
            answers = graded.answers[at] if graded.answers else {}
            met = graded.met[at] if graded.met else {}
            failed = {names[p]: a.reason for p, a in answers.items() if isinstance(a, Invalid)} | dict(failures(met))
            failed |= graded.unasked[at] if graded.unasked else {}
            tally.reasons.update(failed.values())
            columns: dict[str, Any] = {"invalid": failed} if failed else {}
            if graded.lazy is not None:
                columns["reward_bounds"] = [finite(float(graded.lazy.lower[at])), finite(float(graded.lazy.upper[at]))]
            if self._options.details:
                columns["answers"] = {names[p]: to_json(a) for p, a in answers.items()} | {
                    name: [None if a is None else to_json(a) for a in each] for name, each in met.items()
                }
            out.append(graded.row(at, **columns))
        return Done(encoded(self._kind, out, exact=block.exact), len(out), block.bad, tally)


def _lazily(options: argparse.Namespace, policy: Policy) -> Lazily | None:
    if options.lazy is None:
        if options.weights is not None:
            raise UsageError("`--weights` are for `--lazy`: they say which answers matter")
        return None
    if options.all:
        raise UsageError("`--all` asks everything and `--lazy` as little as possible; give one of them")
    from rbrlang.cli.graded import Lazily
    from rbrlang.cli.weights import reward_with

    return Lazily(reward_with(policy, options.weights, options.file), options.lazy)


def _dry_run(options: argparse.Namespace, policy: Policy) -> int:
    from rbrlang.cli import data, graders
    from rbrlang.cli.graderfiles import each
    from rbrlang.grading.criteria import criteria
    from rbrlang.grading.questions.layout import every_question, wanted
    from rbrlang.grading.unfilled import askable
    from rbrlang.reward.rows import response_ids

    rows = data.read(options, options.rows, policy.circuit, limit=options.limit).rows
    ids = response_ids(policy.circuit, rows).tolist()
    data.check_response_types(rows, ids, options.rows, policy.circuit.response_names)
    items = graders.items_of(rows, ids, policy.circuit.columns)
    every = (every_question(policy.circuit),) * len(items)
    asked = askable(policy.circuit, items, every if options.all else wanted(policy.circuit, items))
    of_rubrics = criteria(policy.circuit, rows, items)
    shown, asked = (*items, *of_rubrics.items), (*asked, *of_rubrics.wanted)
    for one in each(options):
        _bill(options, one, policy, items, shown, asked)
    return 0


def _bill(
    options: argparse.Namespace,
    grader: argparse.Namespace,
    policy: Policy,
    items: Sequence[GradeItem],
    shown: Sequence[GradeItem],
    asked: Sequence[Sequence[int]],
) -> None:
    """What one grader would take; of a cascade's second one at most."""
    from rbrlang.cli import graders
    from rbrlang.cli.commands.grading.grade_batch import HALF
    from rbrlang.grading.endpoint.account import estimate, price_of
    from rbrlang.grading.endpoint.cache import AnswerCache
    from rbrlang.grading.questions.specs import RemoteSpec
    from rbrlang.grading.sight import yes_no

    spec = graders.spec_of(grader)
    who = "" if grader is options else f"{grader.grader}: "
    if yes_no(spec):
        asked = [tuple(p for p in each if p < policy.circuit.first_variable) for each in asked]
    if not isinstance(spec, RemoteSpec):
        say(f"{who}{sum(len(w) for w in asked)} answers for {len(items)} rows, nothing to pay")
        return
    remote = graders.remote_of(grader, spec, policy, items)
    path = Path(grader.cache) if grader.cache and Path(grader.cache).is_file() else None
    with AnswerCache(path) as cache:
        found = estimate(remote, shown, asked, cache, price_of(graders.chosen(grader)))
    say(
        f"{who}{found.requests} requests, {found.from_cache} of them answered already; at most about "
        f"{found.usage.prompt} prompt tokens and {found.usage.completion} answer tokens, cost "
        + (f"{HALF * found.cost:.4f} at half price" if options.engine == "batch" else f"{found.cost:.4f}")
    )
