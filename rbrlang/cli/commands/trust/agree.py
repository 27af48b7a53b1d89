"""`rbrc agree FILE GOLD`: how far can this grader be trusted, proposition by proposition and class by class?"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbrlang.cli import gate, guide
from rbrlang.cli import options as shared
from rbrlang.cli.commands.trust import agree_several
from rbrlang.cli.commands.trust.agree_labels import labelled_rows
from rbrlang.cli.commands.trust.agree_outcome import Outcome, Training
from rbrlang.cli.errors import UsageError
from rbrlang.cli.outputs import check_folder, check_plot
from rbrlang.cli.python import allow_python, python_argument
from rbrlang.cli.terminal import console, warn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rbrlang.grading.endpoint.account import Summary
    from rbrlang.grading.results import Answer, GradeItem
    from rbrlang.grading.trust.assessment import Assessment, CriteriaJudged
    from rbrlang.policy import Policy
    from rbrlang.rows.read import Row

_METRICS = ("auc", "balanced_accuracy", "accuracy", "brier", "ece")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc agree`."""
    parser.add_argument("file", metavar="FILE", help="a .rbr file")
    parser.add_argument("gold", metavar="GOLD", help=f"rows with human `labels`: {shared.ROWS}")
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="write the labelled rows with the judged P(yes) as `probs`"
    )
    agree_several.arguments(parser)
    parser.add_argument(
        "--cross-validate", dest="folds", type=int, metavar="K",
        help="embedded: judge heads learned from the other K-1 folds of prompts, not those that ship",
    )  # fmt: skip
    parser.add_argument(
        "--train",
        metavar="OUT",
        help="embedded: learn heads from these labels, judge them by cross-validation, write them",
    )
    parser.add_argument(
        "--calibrate", metavar="OUT", help="learn corrections of probabilities from these labels, write them"
    )
    parser.add_argument(
        "--plot", metavar="OUT", help="draw reliability and areas under the ROC curve: .png, .svg, .pdf"
    )
    parser.add_argument(
        "--threshold-metric", choices=("accuracy", "balanced_accuracy", "f1", "kappa"), default="balanced_accuracy",
        help="what the best threshold of each proposition maximises (default: balanced_accuracy)",
    )  # fmt: skip
    parser.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="resamples of prompts, 0 for none")
    parser.add_argument(
        "--disagreements", type=int, default=8, metavar="N", help="how many to show as text (default: 8)"
    )
    parser.add_argument(
        "--order-effect", action="store_true",
        help="openai: ask choices again with their options in another order, and say what that changes",
    )  # fmt: skip
    parser.add_argument(
        "--details", action="store_true", help="more tables: within response types, thresholds, Brier parts"
    )
    shared.seed_argument(parser, "folds and resamples")
    parser.add_argument(
        "--gate", action="append", default=[], metavar="COND",
        help='fail unless this holds, such as "auc>0.9" (mean over propositions), "class_accuracy>0.8" or "apology.auc>0.9"',
    )  # fmt: skip
    shared.grader_arguments(parser, default="embedded")
    shared.policy_arguments(parser)
    python_argument(parser)
    shared.format_argument(parser)
    shared.row_arguments(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Judge, learn, write; 1 when a gate is not met, 3 when an answer is invalid or a row unusable."""
    policy = shared.policy(options, options.file)
    if policy is None:
        return 1
    allow_python(options, policy.circuit)
    if options.jury or options.cascade:
        return agree_several.run(options, policy)
    _check_options(options)
    circuit = policy.circuit
    from rbrlang.cli import data
    from rbrlang.cli.commands.trust import agree_json, agree_show, agree_values

    yes_no = circuit.questions[: circuit.first_variable]
    of_values = agree_values.gate_names(circuit, order=options.order_effect)
    gate.parsed(options.gate, (*gate_names(yes_no, circuit.response_names), *of_values))
    agree_values.check(options, policy)
    from rbrlang.grading.questions.layout import reached
    from rbrlang.reward.rows import response_ids

    if options.output:
        data.check_output(options.output)
    found = data.read_kept(options, options.gold, policy.circuit)
    rows = labelled_rows(found.rows, policy, options.gold)
    ids = response_ids(policy.circuit, rows).tolist()
    unknown = data.check_response_types(rows, ids, options.gold, policy.circuit.response_names)
    outcome = judge(options, policy, rows, len(found.rows) - len(rows))
    values, reasons = gate_values(outcome.assessment)
    more, why = agree_values.gate_values(outcome.values, order=options.order_effect)
    values, reasons = values | more, reasons | why
    unmet = gate.failures(options.gate, values, reasons)
    if options.plot:
        from rbrlang.report.plots import draw_agreement

        draw_agreement(outcome.assessment, outcome.grader, Path(options.plot))
    if options.output:
        data.write(options.output, _graded(outcome, policy))
    if options.format == "json":
        from rbrlang.cli.render import dump

        sys.stdout.write(dump(agree_json.to_json(outcome, policy, options)))
    else:
        agree_show.show(outcome, policy, options)
    for line in unmet:
        warn(f"{line}")
    if unmet:
        return 1
    if outcome.compared == 0:
        warn("rbrc agree: nothing was compared: no label met an answer of the grader")
        return 1
    asked, valued = reached(policy.circuit), outcome.valued
    fits = any(valued[[q for q in asked[one] if q < len(valued)]].all() for one in set(ids) if one >= 0)
    guide.after_agree(options, len(outcome.rows), values=bool(outcome.values), fits=fits)
    return data.EXIT_SOME_INVALID if unknown or found.bad or outcome.invalid else 0


def _check_options(options: argparse.Namespace) -> None:
    """Refuse what cannot be meant before anything is graded. Raises `UserError`."""
    learns = [name for name in ("--cross-validate", "--train") if vars(options)[_DEST[name]] is not None]
    if learns and options.grader != "embedded":
        raise UsageError(f"`{learns[0]}` learns heads of the embedded grader; `{options.grader}` has none to learn")
    if learns and options.heads:
        raise UsageError(f"`--heads` has no say with `{learns[0]}`: heads are learned from these labels; leave one out")
    if learns and options.calibrate:
        raise UsageError(
            f"`--calibrate` and `{learns[0]}` are separate steps: heads come calibrated by cross-fitting; "
            "to correct a grader with heads, use `--heads` and `--calibrate` on other labels"
        )
    if learns and options.calibration is not None:
        raise UsageError(f"`--calibration` belongs to another grader than the one that `{learns[0]}` makes")
    if options.calibrate and options.calibration is not None:
        raise UsageError("`--calibrate` learns a correction of the grader itself; leave out `--calibration`")
    for name, least in (("bootstrap", 0), ("disagreements", 0)):
        if vars(options)[name] < least:
            raise UsageError(f"`--{name} {vars(options)[name]}` is below {least}")
    if options.output == "-":
        raise UsageError("`-o -`: standard output is taken by the report; name a file")
    for name in ("output", "plot", "train", "calibrate"):
        if vars(options)[name] is not None:
            check_folder(f"--{name}", vars(options)[name])
    if options.plot:
        check_plot(options.plot)


def _graded(outcome: Outcome, policy: Policy) -> Iterator[dict[str, Any]]:
    """The rows as `rbrc grade` would write them; cross-validated, each judged by heads that never saw its prompt."""
    from rbrlang.cli.graded import GradedRows

    names = policy.circuit.propositions
    again = {} if outcome.applied is None else {"calibration": outcome.applied}
    for row, judged in zip(outcome.rows, outcome.p, strict=True):
        probs = {name: None if p != p else p for name, p in zip(names, judged.tolist(), strict=True)}
        chances = {name: p for name, p in row.probs.items() if "." in name}
        graded = GradedRows(outcome.grader, (replace(row, probs=probs | chances),), ({},), None, None, None)
        yield graded.row(0, **again)


_DEST = {"--cross-validate": "folds", "--train": "train"}


def judge(options: argparse.Namespace, policy: Policy, rows: Sequence[Row], unlabelled: int) -> Outcome:
    """Grade the rows, compare with their labels, learn what was asked for and write it."""
    import numpy as np

    from rbrlang.cli import graders
    from rbrlang.cli.commands.trust import agree_values
    from rbrlang.grading.trust import calibrate
    from rbrlang.grading.trust.assessment import assess, stacked
    from rbrlang.grading.trust.values import numbers, value_atoms
    from rbrlang.reward.rows import response_ids
    from rbrlang.rows.kept import Kept

    circuit = policy.circuit
    names = circuit.propositions
    ids = response_ids(circuit, rows)
    _, prompts = np.unique(np.array([row.prompt_key for row in rows], np.str_), return_inverse=True)
    labels = numbers(names, (row.labels for row in rows), len(rows))
    said = _Said()
    training = None
    if options.folds is not None or options.train is not None:
        folds = options.folds if options.folds is not None else 5
        items = graders.items_of(rows, ids.tolist(), circuit.columns)
        said.identity, p = _cross_validated(policy, items, labels, options.seed, folds)
        if options.train is not None:
            training = _train(options, policy, items, labels)
        rows = Kept(replace(row, probs={}) for row in rows)
    else:
        folds = None
        rows = said.by(options, policy, rows)
        p = numbers(names, (row.probs for row in rows), len(rows))
    criteria, identity = said.criteria, said.identity
    values = agree_values.judge(options, policy, rows, prompts)
    truth, given = value_atoms(circuit, rows)
    assessment = assess(
        circuit, np.hstack([labels, truth]), np.hstack([p, given]), prompts, ids,
        seed=options.seed, resamples=options.bootstrap, threshold_metric=options.threshold_metric, criteria=criteria,
    )  # fmt: skip
    calibration = None
    if options.calibrate is not None:
        known = (names, labels, p, prompts)
        known = known if criteria is None else stacked(circuit, labels, p, prompts, criteria)
        calibration = replace(
            calibrate.fit(identity, *known, options.seed),
            variables=agree_values.fit(policy, rows, prompts, options.seed),
        )
        calibrate.write(Path(options.calibrate), calibration)
    return Outcome(
        identity, folds, rows, said.thoughts, labels, p, assessment, said.most(len(circuit.questions)), said.invalid, unlabelled,
        said.applied, calibration, training, values,
    )  # fmt: skip


@dataclass(slots=True)
class _Said:
    """What a grader said of rows besides P(yes): who it was, failures by reason, and what answers rest on, by question."""

    identity: str = ""
    applied: str | None = None
    criteria: CriteriaJudged | None = None
    invalid: Counter[str] = field(default_factory=Counter[str])
    notes: dict[int, Counter[str]] = field(default_factory=dict[int, Counter[str]])
    thoughts: dict[tuple[int, int], str] = field(default_factory=dict[tuple[int, int], str])

    def by(self, options: argparse.Namespace, policy: Policy, rows: Sequence[Row]) -> Sequence[Row]:
        """Let the grader answer, some rows at a time; gives the rows as graded."""
        from rbrlang.cli import graders
        from rbrlang.cli.commands.grading.told import tell_costs
        from rbrlang.grading.endpoint.account import together
        from rbrlang.grading.judge import same
        from rbrlang.grading.trust.assessment import joined
        from rbrlang.rows.kept import Kept, in_blocks

        grading = graders.Grading(options, policy, every=True)
        kept: Kept[Row] = Kept()
        identities: list[str] = []
        summaries: list[Summary] = []
        criteria: list[CriteriaJudged] = []
        for first, some in in_blocks(rows, graders.AT_ONCE):
            graded = grading(some)
            kept.extend(graded.rows)
            identities.append(graded.identity)
            self.applied = self.applied or (None if graded.calibration is None else graded.calibration.identity)
            summaries += [] if graded.summary is None else [graded.summary]
            judged = _criteria(policy, some, graded.rows)
            criteria += [] if judged is None else [replace(judged, rows=judged.rows + first)]
            for at, (answers, row) in enumerate(zip(graded.answers, some, strict=False), first):
                self._count(policy.circuit.questions, answers, row)
                self._keep(policy.circuit.propositions, answers, row, at)
        one = all(same(identities[0], other) for other in identities[1:])
        self.identity = identities[-1] if identities and one else "rows"  # only rows were graded by several
        self.criteria = joined(criteria)
        summary = together(summaries)
        if summary is not None:
            tell_costs(summary, None)
        return kept

    def _count(self, questions: Sequence[str], answers: Mapping[int, Answer], row: Row) -> None:
        from rbrlang.grading.results import Abstained, Invalid, Value

        labelled = {*row.value_labels, *(name for name, label in row.labels.items() if label is not None)}
        for at, answer in answers.items():
            if isinstance(answer, Invalid) and questions[at] in labelled:
                self.invalid[answer.reason] += 1
            elif isinstance(answer, Value) and answer.note:
                self.notes.setdefault(at, Counter())[answer.note] += 1
            elif isinstance(answer, Abstained):
                self.notes.setdefault(at, Counter())[answer.reason] += 1

    def _keep(self, names: Sequence[str], answers: Mapping[int, Answer], row: Row, at: int) -> None:
        """Remember the thoughts before answers that people contradict."""
        from rbrlang.grading.results import Value

        for p, name in enumerate(names):
            answer, label = answers.get(p), row.labels.get(name)
            if isinstance(answer, Value) and answer.thought and label is not None and (answer.p >= 0.5) != label:
                self.thoughts[at, p] = answer.thought

    def most(self, questions: int) -> tuple[str, ...]:
        """What most answers to each question rest on."""
        found = (self.notes.get(at) for at in range(questions))
        return tuple(max(one, key=lambda note, of=one: of[note]) if one else "" for one in found)


def _criteria(policy: Policy, rows: Sequence[Row], graded: Sequence[Row]) -> CriteriaJudged | None:
    """The criteria of rows that a person has judged, with what the grader says of them."""
    import numpy as np

    from rbrlang.cli import graders
    from rbrlang.grading.criteria import criteria
    from rbrlang.grading.trust.assessment import CriteriaJudged
    from rbrlang.grading.trust.values import number
    from rbrlang.reward.rows import response_ids

    circuit = policy.circuit
    if not circuit.rubrics:
        return None
    items = graders.items_of(rows, response_ids(circuit, rows).tolist(), circuit.columns)
    told = [place for place in criteria(circuit, rows, items).places if place.criterion.met is not None]
    labels = np.full((len(told), len(circuit.rubrics)), np.nan)
    p = labels.copy()
    for at, place in enumerate(told):
        labels[at, place.rubric] = number(place.criterion.met)
        given = graded[place.row].rubrics.get(circuit.rubrics[place.rubric].name)
        p[at, place.rubric] = number(None if given is None else given[place.at])
    return CriteriaJudged(np.array([place.row for place in told], np.int64), labels, p)


def _cross_validated(
    policy: Policy, items: Sequence[GradeItem], labels: NDArray[np.float64], seed: int, folds: int
) -> tuple[str, NDArray[np.float64]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from rbrlang.grading.embedded import evidence
    from rbrlang.grading.embedded.train import TrainingError, cross_validated

    bar = Progress(
        TextColumn("learning, fold by fold"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console(sys.stderr), disable=not sys.stderr.isatty(), transient=True,
    )  # fmt: skip
    task = bar.add_task("", total=folds)
    try:
        with bar:
            p = cross_validated(policy.program.propositions, items, labels, seed, folds, lambda: bar.advance(task))
    except TrainingError as error:
        raise UsageError(str(error)) from error
    return (
        f"embedded, cross-validated in {folds} folds by prompt, seed {seed}, evidence {evidence.fingerprint()}",
        p.astype(float),
    )


def _train(
    options: argparse.Namespace, policy: Policy, items: Sequence[GradeItem], labels: NDArray[np.float64]
) -> Training:
    import numpy as np

    from rbrlang.grading.embedded.train import TrainingError, learning_curve, train_heads, unlearned
    from rbrlang.grading.trust import agreement

    propositions = policy.program.propositions
    try:
        heads = train_heads(propositions, items, labels, options.seed, f"labels of {Path(options.gold).name}")
        curve = learning_curve(propositions, items, labels, options.seed)
    except TrainingError as error:
        raise UsageError(str(error)) from error
    heads.write(Path(options.train))
    before: list[float] = []
    for y, q in zip(labels.T, unlearned(propositions, items).T, strict=True):
        known = np.isfinite(y) & np.isfinite(q)
        truth = y[known] == 1
        before.append(float("nan") if agreement.too_little(truth) else agreement.auc(truth, q[known]))
    return Training(heads, curve, tuple(before))


# --- gates ----------------------------------------------------------------------------------------


def gate_names(propositions: Sequence[str], responses: Sequence[str]) -> tuple[str, ...]:
    """What a gate can be about, the general ones first."""
    return (
        *_METRICS, "class_accuracy", *(f"{r}.class_accuracy" for r in responses),
        *(f"{p}.{m}" for p in propositions for m in _METRICS),
    )  # fmt: skip


def gate_values(found: Assessment) -> tuple[dict[str, float | None], dict[str, str]]:
    """A value for each of `gate_names`, and the reasons why some are None."""
    plain = found.to_json()
    values: dict[str, float | None] = {metric: plain["macro"][metric] for metric in _METRICS}
    reasons: dict[str, str] = dict.fromkeys(_METRICS, plain["macro"]["refused"]) if plain["macro"]["refused"] else {}
    classes: dict[str, Any] = plain["classes"]
    values["class_accuracy"] = classes["accuracy"]
    if classes["refused"]:
        reasons["class_accuracy"] = classes["refused"]
    for name, entry in classes["by_response_type"].items():
        values[f"{name}.class_accuracy"] = entry["accuracy"]
        if not entry["rows"]:
            reasons[f"{name}.class_accuracy"] = "no row of this response type has both classes"
    for name, entry in plain["propositions"].items():
        for metric in _METRICS:
            values[f"{name}.{metric}"] = entry[metric]
            if entry["refused"]:
                reasons[f"{name}.{metric}"] = entry["refused"]
    return values, reasons
