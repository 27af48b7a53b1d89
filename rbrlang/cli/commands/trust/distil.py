"""`rbrc distil FILE ROWS --teacher G --budget N -o OUT.toml`: what can be had for nothing of what a strong grader knows?"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rbrlang.cli import guide
from rbrlang.cli import options as shared
from rbrlang.cli.commands.trust.agree_labels import labelled_rows
from rbrlang.cli.errors import UsageError
from rbrlang.cli.failures import grouped
from rbrlang.cli.outputs import check_folder
from rbrlang.cli.python import allow_python, python_argument
from rbrlang.cli.terminal import shown, warn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rbrlang.cli.commands.trust.distil_show import Distilled
    from rbrlang.cli.graders import Grading
    from rbrlang.grading.embedded.heads import Heads
    from rbrlang.grading.endpoint.account import Summary
    from rbrlang.grading.trust.assessment import Assessment
    from rbrlang.policy import Policy
    from rbrlang.rows.read import Row

MEASURED = 4
"""Of so many rows that the teacher is asked about, one belongs to the prompts kept aside."""
_FILE = """\
# A distilled grader, as `--grader FILE` takes it; written by `rbrc distil`, seed {seed}.
# {source}
kind = "distilled"
heads = {heads}
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc distil`."""
    parser.add_argument("file", metavar="FILE", help="a .rbr file")
    parser.add_argument("rows", metavar="ROWS", help=f"completions to learn from, labelled or not: {shared.ROWS}")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        required=True,
        help="the grader file to write, OUT.toml; its heads go beside it",
    )
    parser.add_argument(
        "--budget", type=shared.count, metavar="N", required=True,
        help="how many rows the teacher is asked about at most, a quarter of them to measure by",
    )  # fmt: skip
    parser.add_argument(
        "--aside", type=shared.share, metavar="S", default=0.25,
        help="the share of prompts that are kept aside, and nothing is learned from (default: 0.25)",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run; its answers must be there")
    parser.add_argument(
        "--bootstrap", type=shared.whole, default=1000, metavar="N", help="resamples of prompts, 0 for none"
    )
    shared.seed_argument(parser, "prompts kept aside, first rows, folds and resamples")
    shared.grader_arguments(parser, default=None, flag="--teacher")
    shared.policy_arguments(parser, artefact=True)  # `--budget` is of rows here
    python_argument(parser)
    shared.format_argument(parser)
    shared.row_arguments(parser)
    parser.set_defaults(engine="local", workers=1)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Ask, learn, measure, write; 1 where nothing can be learned, 3 when an answer is invalid or a row unusable."""
    policy = shared.policy(options, options.file)
    if policy is None:
        return 1
    allow_python(options, policy.circuit)
    from rbrlang.cli import data, graders
    from rbrlang.cli.commands.trust import distil_show
    from rbrlang.grading.embedded.train import TrainingError
    from rbrlang.reward.rows import response_ids

    _check(options, policy)
    graders.keep_answers(options, options.output)
    if options.resume and not (options.cache and Path(options.cache).is_file()):
        raise UsageError(f"nothing to resume: `{options.cache}` is not there")
    circuit = policy.circuit
    found = data.read(options, options.rows, circuit)
    rows = tuple(labelled_rows(found.rows, policy, options.rows)) if options.grader == "labels" else found.rows
    ids = response_ids(circuit, rows)
    unknown = data.check_response_types(rows, ids.tolist(), options.rows, circuit.response_names)
    try:
        done = _distil(options, policy, _Split.of(options, rows), ids)
    except TrainingError as error:
        raise UsageError(str(error)) from error
    if not any(info.learned for info in done.heads.infos):
        warn(
            f"rbrc distil: nothing was learned and nothing written: in {done.learned_from} rows no proposition has five answers "
            "of yes and five of no; give a larger `--budget`, or rows of more kinds"
        )
        return 1
    heads = Path(options.output).with_suffix(".safetensors")
    done.heads.write(heads)
    _write(options, heads.name, done.heads)
    if options.format == "json":
        from rbrlang.cli.render import dump

        sys.stdout.write(dump(distil_show.to_json(done)))
    else:
        distil_show.show(done, options.output, heads)
    guide.after_distil(options)
    return data.EXIT_SOME_INVALID if unknown or found.bad or done.invalid else 0


def _check(options: argparse.Namespace, policy: Policy) -> None:
    """Refuse what cannot be meant before anything is paid for. Raises `UserError`."""
    from rbrlang.grading.embedded.train import MOST_ROWS

    if not options.output.endswith(".toml"):
        raise UsageError(f"`-o {options.output}` does not end in `.toml`, by which a grader file is known; name it so")
    check_folder("-o", options.output)
    if options.budget < MEASURED:
        raise UsageError(
            f"`--budget {options.budget}` leaves nothing to learn from or nothing to measure by; give some hundred"
        )
    if options.budget - options.budget // MEASURED > MOST_ROWS:
        raise UsageError(f"heads are learned from {MOST_ROWS} rows at most; `--budget {MOST_ROWS}` is enough")
    if not 0 < options.aside < 1:
        raise UsageError(f"`--aside {options.aside:g}` must lie between 0 and 1")
    circuit = policy.circuit
    if not circuit.propositions:
        raise UsageError(f"`{options.file}` has no propositions, and heads answer nothing else")
    others = circuit.questions[len(circuit.propositions) :]
    if others:
        warn(f"heads answer propositions alone; the grader will abstain on {', '.join(f'`{name}`' for name in others)}")


@dataclass(frozen=True, slots=True)
class _Split:
    """Rows, the number of each one's prompt, and where they are learned from (`pool`) and measured on (`aside`, in the order
    in which the teacher is asked)."""

    rows: Sequence[Row]
    prompts: NDArray[np.int64]
    pool: list[int]
    aside: list[int]

    @classmethod
    def of(cls, options: argparse.Namespace, rows: Sequence[Row]) -> _Split:
        """Prompts kept aside are drawn by the seed. Raises `UserError` where there is one prompt alone."""
        import numpy as np

        _, prompts = np.unique(np.array([row.prompt_key for row in rows], np.str_), return_inverse=True)
        number = int(prompts.max()) + 1
        if number < 2:
            raise UsageError(
                f"`{options.rows}` has completions of one prompt, and a part of the prompts is kept aside to measure by; "
                "give rows of more prompts"
            )
        random = np.random.default_rng(options.seed)
        apart = random.permutation(number)[: min(max(round(options.aside * number), 1), number - 1)]
        held = np.isin(prompts, apart)
        return cls(rows, prompts, np.flatnonzero(~held).tolist(), random.permutation(np.flatnonzero(held)).tolist())


@dataclass(slots=True)
class _Teacher:
    """The grader that is learned from: what was asked of it, failures by reason, and what it took."""

    rows: Sequence[Row]
    names: Sequence[str]
    grading: Grading
    cache: str | None
    identity: str = ""
    asked: int = 0
    invalid: Counter[str] = field(default_factory=Counter[str])
    summaries: list[Summary] = field(default_factory=list["Summary"])

    def __call__(self, chosen: Sequence[int]) -> NDArray[np.float64]:
        """P(yes) [rows, propositions]. Raises `UserError` where it fails more often than not."""
        from rbrlang.grading.judge import unshaped
        from rbrlang.grading.results import Invalid
        from rbrlang.grading.trust.values import numbers

        graded = self.grading([self.rows[i] for i in chosen])
        self.identity = unshaped(graded.identity)
        if graded.calibration is not None:
            self.identity += f" calibration {graded.calibration.identity}"
        self.asked += len(chosen)
        failed = Counter(a.reason for answers in graded.answers for a in answers.values() if isinstance(a, Invalid))
        self.invalid += failed
        if graded.summary is not None:
            self.summaries.append(graded.summary)
        answers = sum(map(len, graded.answers))
        if 2 * failed.total() > answers:
            self.tell()
            (reason, count), *_ = grouped(failed)
            kept = f"; what was answered is in `{self.cache}`" if self.cache else ""
            raise UsageError(
                f"the teacher failed on {failed.total()} of {answers} questions ({count} × {reason}), and failures teach "
                f"nothing; nothing was written{kept}; mend the teacher, and give the same command again"
            )
        said = numbers(self.names, (row.probs for row in graded.rows), len(chosen))
        if (said != said).all():
            raise UsageError(
                f"the teacher, `{self.identity}`, says nothing about any of {len(chosen)} rows, so nothing can be learned; name one "
                "that answers"
            )
        return said

    def tell(self) -> Summary | None:
        """What all of it took, which is said once."""
        from rbrlang.cli.commands.grading.told import tell_costs
        from rbrlang.grading.endpoint.account import together

        spent = together(self.summaries)
        if spent is not None:
            tell_costs(spent, self.cache)
        return spent


def _distil(options: argparse.Namespace, policy: Policy, split: _Split, ids: NDArray[np.int32]) -> Distilled:
    import numpy as np

    from rbrlang.cli import graders
    from rbrlang.cli.commands.trust.distil_show import Distilled, Point
    from rbrlang.grading.distil import teach
    from rbrlang.grading.embedded.grader import EmbeddedGrader
    from rbrlang.grading.questions.layout import wanted
    from rbrlang.grading.trust.assessment import assess
    from rbrlang.grading.trust.values import numbers, value_atoms

    circuit, rows = policy.circuit, split.rows
    names, propositions = circuit.propositions, policy.program.propositions
    items = graders.items_of(rows, ids.tolist(), circuit.columns)
    of_labels, given = value_atoms(circuit, rows)
    measured = min(options.budget // MEASURED, len(split.aside))
    if options.budget - measured > len(split.pool):
        warn(
            f"the budget of {options.budget} rows is larger than what there is to ask: all {len(split.pool)} rows that are not kept "
            f"aside, and {measured} that are"
        )
    grading = graders.Grading(options, policy, only=tuple(range(len(names))))
    teacher = _Teacher(rows, names, grading, options.cache)
    lesson = teach(
        policy, items, given, split.pool, options.budget - measured, options.seed, teacher,
        lambda: f"distilled from {teacher.identity}",
    )  # fmt: skip
    aside = np.array(split.aside)
    truth = np.full((len(aside), len(names)), np.nan)
    truth[:measured] = teacher(split.aside[:measured])
    labels = numbers(names, (rows[i].labels for i in split.aside), len(aside))
    kept = [items[i] for i in split.aside]

    def judged(heads: Heads, against: NDArray[np.float64], behind: NDArray[np.float64], resamples: int) -> Assessment:
        """What heads say of the rows kept aside against others' answers; heads that ship take no part."""
        some = np.flatnonzero(np.isfinite(against).any(1))
        student = EmbeddedGrader(propositions, heads, shipped_heads=False)
        p = student.probabilities([kept[i] for i in some.tolist()])
        return assess(
            circuit, np.hstack([against, behind])[some], np.hstack([p, given[aside][some]]), split.prompts[aside][some],
            ids[aside][some], seed=options.seed, resamples=resamples,
        )  # fmt: skip

    said = np.where(np.isfinite(truth), truth >= 0.5, np.nan)
    known = bool(np.isfinite(labels).any())
    against = (labels, of_labels[aside]) if known else (said, given[aside])
    curve = tuple(
        Point(size, sum(info.learned for info in heads.infos), judged(heads, *against, 0))
        for size, heads in lesson.rounds
    )
    standings = EmbeddedGrader(propositions, lesson.heads, shipped_heads=False).standings
    needed = sum(q < len(names) for some in wanted(circuit, items) for q in some) / (len(items) * len(names))
    return Distilled(
        lesson.heads, teacher.identity, teacher.asked, len(split.pool), split.prompts, aside, measured,
        judged(lesson.heads, said, given[aside], options.bootstrap),
        judged(lesson.heads, labels, of_labels[aside], options.bootstrap) if known else None,
        standings, curve, teacher.tell(), needed, teacher.invalid, options.seed,
    )  # fmt: skip


def _write(options: argparse.Namespace, heads: str, learned: Heads) -> None:
    from rbrlang.writing import write_bytes

    text = _FILE.format(seed=options.seed, source=shown(learned.source), heads=json.dumps(heads, ensure_ascii=False))
    write_bytes(options.output, text.encode())
