"""`rbrc agree FILE GOLD`: how far can this grader be trusted, proposition by proposition and class by class?"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbrlang.cli import gate
from rbrlang.cli import options as shared
from rbrlang.cli.commands.grading.agree_outcome import Outcome, Training
from rbrlang.cli.errors import UsageError
from rbrlang.cli.terminal import console, warn
from rbrlang.diagnostics import suggest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rbrlang.grading.results import GradeItem
    from rbrlang.grading.trust.assessment import Assessment
    from rbrlang.policy import Policy
    from rbrlang.rows.read import Row

_METRICS = ("auc", "balanced_accuracy", "accuracy", "brier", "ece")
PLOT_FORMATS = (".png", ".svg", ".pdf")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc agree`."""
    parser.add_argument("file", metavar="FILE", help="a .rbr file")
    parser.add_argument("gold", metavar="GOLD", help=f"rows with human `labels`: {shared.ROWS}")
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="write the labelled rows with the judged P(yes) as `probs`"
    )
    parser.add_argument(
        "--cross-validate", dest="folds", type=int, metavar="K",
        help="embedded: judge heads learned from the other K-1 folds of prompts, not those that ship",
    )  # fmt: skip
    parser.add_argument(
        "--train",
        metavar="OUT",
        help="embedded: learn heads from these labels, judge them by cross-validation, write them",
    )
    parser.add_argument("--calibrate", metavar="OUT", help="learn corrections of P(yes) from these labels, write them")
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
        "--details", action="store_true", help="more tables: within response types, thresholds, Brier parts"
    )
    shared.seed_argument(parser, "folds and resamples")
    parser.add_argument(
        "--gate", action="append", default=[], metavar="COND",
        help='fail unless this holds, such as "auc>0.9" (mean over propositions), "class_accuracy>0.8" or "apology.auc>0.9"',
    )  # fmt: skip
    shared.grader_arguments(parser, default="embedded")
    shared.policy_arguments(parser)
    shared.format_argument(parser)
    shared.row_arguments(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Judge, learn, write; 1 when a gate is not met, 3 when an answer is invalid or a row unusable."""
    policy = shared.policy(options, options.file)
    if policy is None:
        return 1
    _check_options(options)
    gate.parsed(options.gate, gate_names(policy.circuit.propositions, policy.circuit.response_names))
    from rbrlang.cli import data
    from rbrlang.cli.commands.grading import agree_json, agree_show
    from rbrlang.reward.rows import response_ids

    found = data.read(options, options.gold)
    if options.output:
        found = data.fitted(options.output, found)
    rows = _labelled(found.rows, policy, options.gold)
    ids = response_ids(policy.circuit, rows).tolist()
    unknown = data.check_response_types(rows, ids, options.gold, policy.circuit.response_names)
    outcome = judge(options, policy, rows, len(found.rows) - len(rows))
    values, reasons = gate_values(outcome.assessment)
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
    return data.EXIT_SOME_INVALID if unknown or found.bad or outcome.invalid else 0


def _check_options(options: argparse.Namespace) -> None:
    """Refuse what cannot be meant before anything is graded. Raises `UsageError`."""
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
        target = vars(options)[name]
        if target is not None and not Path(target).absolute().parent.is_dir():
            raise UsageError(f"`--{name} {target}`: there is no folder `{Path(target).parent}`")
    if options.plot:
        if Path(options.plot).suffix.lower() not in PLOT_FORMATS:
            raise UsageError(f"`--plot {options.plot}` ends in none of {', '.join(PLOT_FORMATS)}")
        try:
            import rbrlang.report.plots  # noqa: F401  # pyright: ignore[reportUnusedImport]
        except ImportError:
            raise UsageError("`--plot` needs the extra `plot`: pip install 'rbrlang[plot]'") from None


def _graded(outcome: Outcome, policy: Policy) -> list[dict[str, Any]]:
    """The rows as `rbrc grade` would write them; cross-validated, each judged by heads that never saw its prompt."""
    from rbrlang.cli.graders import GradedRows

    names = policy.circuit.propositions
    probs = [{name: None if p != p else p for name, p in zip(names, row, strict=True)} for row in outcome.p.tolist()]
    rows = tuple(replace(row, probs=given) for row, given in zip(outcome.rows, probs, strict=True))
    graded = GradedRows(outcome.grader, rows, ({},) * len(rows), None, None, None)
    again = {} if outcome.applied is None else {"calibration": outcome.applied}
    return [graded.row(at, **again) for at in range(len(rows))]


_DEST = {"--cross-validate": "folds", "--train": "train"}


def _labelled(rows: Sequence[Row], policy: Policy, path: str) -> tuple[Row, ...]:
    """The rows with a label of a proposition; names what is left out. Raises `UsageError` when nothing is left."""
    known = set(policy.circuit.propositions)
    strange = Counter(
        name for row in rows for name, label in row.labels.items() if label is not None and name not in known
    )
    derived = {definition.name for definition in policy.program.definitions}
    for name, count in sorted(strange.items()):
        near = suggest(name, sorted(known))
        if name in derived:
            why = "is derived in the policy, so its labels are not used"
        else:
            why = "is no proposition of the policy, so its labels are not used" + (
                f"; did you mean `{near}`?" if near else ""
            )
        warn(f"{path}: `{name}` (labelled in {count} rows) {why}")
    kept = tuple(row for row in rows if any(row.labels.get(name) is not None for name in known))
    if not kept:
        names = ", ".join(sorted(known))
        raise UsageError(f"`{path}` has no label of a proposition of the policy; `labels` of a row may name {names}")
    if len(kept) < len(rows):
        warn(f"{path}: {len(rows) - len(kept)} of {len(rows)} rows have no labels and take no part")
    return kept


def judge(options: argparse.Namespace, policy: Policy, rows: tuple[Row, ...], unlabelled: int) -> Outcome:
    """Grade the rows, compare with their labels, learn what was asked for and write it."""
    import numpy as np

    from rbrlang.cli import graders
    from rbrlang.cli.commands.grading.grade import tell_costs
    from rbrlang.grading.results import Abstained, Invalid, Value
    from rbrlang.grading.trust import calibrate
    from rbrlang.grading.trust.assessment import assess
    from rbrlang.reward.rows import encode, response_ids

    circuit = policy.circuit
    names = circuit.propositions
    ids = response_ids(circuit, rows)
    _, prompts = np.unique(np.array([row.prompt_key for row in rows], np.str_), return_inverse=True)
    labels = np.array([[_number(row.labels.get(name)) for name in names] for row in rows])
    invalid: Counter[str] = Counter()
    notes = [Counter[str]() for _ in names]
    training = applied = None
    if options.folds is not None or options.train is not None:
        folds = options.folds if options.folds is not None else 5
        items = graders.items_of(rows, ids.tolist())
        identity, p = _cross_validated(policy, items, labels, options.seed, folds)
        if options.train is not None:
            training = _train(options, policy, items, labels)
    else:
        folds = None
        graded = graders.grade_rows(options, policy, rows, every=True)
        identity = graded.identity
        if graded.summary is not None:
            tell_costs(graded.summary, None)
        applied = None if graded.calibration is None else graded.calibration.identity
        p = np.array([[_number(row.probs.get(name)) for name in names] for row in graded.rows])
        for answers, told in zip(graded.answers, np.isfinite(labels).tolist(), strict=False):
            for at, answer in answers.items():
                if isinstance(answer, Invalid) and told[at]:
                    invalid[answer.reason] += 1
                elif isinstance(answer, Value) and answer.note:
                    notes[at][answer.note] += 1
                elif isinstance(answer, Abstained):
                    notes[at][answer.reason] += 1
    measures = encode(circuit, rows)[:, len(names) :].astype(np.float64)
    assessment = assess(
        circuit, np.hstack([labels, measures]), np.hstack([p, measures]), prompts, ids,
        seed=options.seed, resamples=options.bootstrap, threshold_metric=options.threshold_metric,
    )  # fmt: skip
    calibration = None
    if options.calibrate is not None:
        calibration = calibrate.fit(identity, names, labels, p, prompts, options.seed)
        calibrate.write(Path(options.calibrate), calibration)
    said = tuple(max(found, key=lambda note: found[note]) if found else "" for found in notes)
    return Outcome(
        identity, folds, rows, labels, p, assessment, said, invalid, unlabelled, applied, calibration, training,
    )  # fmt: skip


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


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
