"""How does an agreement look to a person: what is weak, what went wrong, what to do next?"""

from __future__ import annotations

import argparse
import math
import re
import shlex
import sys
from collections import Counter
from typing import TYPE_CHECKING

from rbrlang.cli.commands.trust import agree_values
from rbrlang.cli.commands.trust.agree_json import describe, last_turn
from rbrlang.cli.failures import grouped
from rbrlang.cli.tables import show as table
from rbrlang.cli.terminal import excerpt, say, wrapped
from rbrlang.grading.trust.agreement import Agreement, TooLittle
from rbrlang.grading.trust.assessment import Assessment, Judged, ResponseClasses, disagreements, wrong
from rbrlang.grading.trust.bootstrap import FEWEST_PROMPTS, Interval
from rbrlang.grading.trust.values import Values

if TYPE_CHECKING:
    from rbrlang.cli.commands.trust.agree_outcome import Outcome, Training
    from rbrlang.grading.trust.calibrate import Calibrated, Calibration
    from rbrlang.policy import Policy

WEAK_BALANCED, WEAK_AUC = 0.75, 0.8
"""A proposition below either is marked, and named among what to do next."""
_MISCALIBRATED = 0.05
LEARNED = "head learned"
_LEGEND = """\
AUC         how often a true yes gets a higher P than a true no, with its 95 % interval
type        the same among rows of one response type, where the topic cannot help
bal.        mean of the shares of yes and of no that are found, P at or above 0.5 being yes
Brier, ECE  mean squared error of P; how far P lies from the share of yes, on average
"""


def show(outcome: Outcome, policy: Policy, options: argparse.Namespace) -> None:
    """Print it on standard output, weakest first, and what to do next."""
    found = outcome.assessment
    _head(outcome)
    _propositions(outcome, options.bootstrap)
    agree_values.show(outcome.values)
    _classes(found, outcome)
    say("")
    if options.details:
        _details(found)
    if outcome.training is not None:
        _training(outcome.training, found, options.train)
    if outcome.calibration is not None:
        _calibration(outcome.calibration, options.calibrate)
    _disagreements(outcome, policy, options.disagreements)
    if options.plot:
        say(f"drew {options.plot}")
        say("")
    steps = _next_steps(outcome, options)
    if steps:
        say("What to do next")
        for step in steps:
            wrapped(step, "  - ", "    ")


def _two(value: float) -> str:
    return f"{value:.2f}"


def _ends(interval: Interval) -> str:
    return "" if math.isnan(interval.low) else f"({interval.low:.2f}-{interval.high:.2f})"


def _percent(interval: Interval) -> str:
    return f"{100 * interval.value:.0f}% ({100 * interval.low:.0f}-{100 * interval.high:.0f})"


# --- the grader ---------------------------------------------------------------------------------


def _head(outcome: Outcome) -> None:
    found = outcome.assessment
    wrapped(f"grader: {outcome.grader}", after="  ")
    if outcome.applied is not None:
        wrapped(
            f"its probabilities were corrected by calibration {outcome.applied}; where that was learned from these rows, "
            "scores and ECE flatter"
        )
    if outcome.folds is not None:
        wrapped("every row was judged by heads learned from other prompts only; the heads that ship took no part")
    kinds = Counter(_standing(note) for note in outcome.notes if note)
    for kind, count in kinds.most_common(4):
        wrapped(f"{count} propositions: {kind}", after="  ")
    if any(kind.startswith(LEARNED) for kind in kinds):
        wrapped(
            "where these rows are among those that the heads were learned from, the numbers flatter: judge the way "
            "of learning with --cross-validate 5"
        )
    say(
        f"{found.rows} labelled rows of {found.prompts} prompts, seed {found.seed}, {found.resamples} resamples of prompts"
    )
    for reason, count in grouped(outcome.invalid)[:5]:
        wrapped(f"{count} answers are invalid and take no part: {reason}", after="  ")
    say("")


def _standing(note: str) -> str:
    """The kind of evidence that a note speaks of, without its numbers."""
    source = re.search(r"\(([^)]*)\)", note)
    if note.startswith(LEARNED) and source:
        return f"{LEARNED} from labels ({source[1]})"
    return note.split(":")[0]


# --- propositions -------------------------------------------------------------------------------


def _weak(judged: Judged) -> bool:
    found = judged.result
    return isinstance(found, Agreement) and (found.balanced_accuracy < WEAK_BALANCED or found.auc.value < WEAK_AUC)


def _told(found: Assessment) -> list[tuple[Judged, Agreement]]:
    """What was not refused, weakest first."""
    told = [(judged, judged.result) for judged in found.propositions if isinstance(judged.result, Agreement)]
    return sorted(told, key=lambda pair: (pair[1].balanced_accuracy, pair[1].auc.value, pair[0].name))


def _propositions(outcome: Outcome, resamples: int) -> None:
    found = outcome.assessment
    told = _told(found)
    rows = [
        (
            judged.name, _two(r.auc.value), _ends(r.auc), "" if judged.within is None else _two(judged.within),
            _two(r.balanced_accuracy), _of(r.sensitivity, r.positives), _of(r.specificity, r.support - r.positives),
            f"{r.brier.score:.3f}", _two(r.ece.value), "weak" if _weak(judged) else "",
        )
        for judged, r in told
    ]  # fmt: skip
    macro = found.macro
    if not isinstance(macro, TooLittle):
        rows.append((
            f"mean of {macro.propositions}", _two(macro.auc.value), _ends(macro.auc),
            "" if found.within is None else _two(found.within), _two(macro.balanced_accuracy), "", "",
            f"{macro.brier:.3f}", _two(macro.ece.value), "",
        ))  # fmt: skip
        head = ("proposition", "AUC", "", "type", "bal.", "yes found", "no found", "Brier", "ECE", "")
        table("Propositions, weakest first", head, rows, narrow=True)
    for judged, note in zip(found.propositions, outcome.notes, strict=False):
        if isinstance(judged.result, TooLittle):
            why = f": {note}" if note and not judged.result.support and judged.unanswered else ""
            wrapped(f"{judged.name}: not judged: {judged.result.reason}{why}", after="  ")
    few = [judged.name for judged, r in told if resamples and math.isnan(r.auc.low)]
    if few:
        wrapped(f"no intervals, as fewer than {FEWEST_PROMPTS} prompts are labelled: {', '.join(few)}")
    sys.stdout.write(f"{_LEGEND}\n" if rows else "\n")


def _of(share: Interval, rows: int) -> str:
    return f"{round(share.value * rows)}/{rows}"


def _details(found: Assessment) -> None:
    told = _told(found)
    if not told:
        return
    table(
        "Shares with 95 % intervals",
        ("proposition", "accuracy", "yes found", "no found", "kappa"),
        [
            (j.name, _percent(r.accuracy), _percent(r.sensitivity), _percent(r.specificity), _two(r.kappa))
            for j, r in told
        ],
        narrow=True,
    )
    metric = next(j.best.metric for j, _ in told if j.best is not None)
    short = {"balanced_accuracy": "bal."}.get(metric, metric)
    table(
        f"Calibration, and the threshold with the best {metric.replace('_', ' ')} on these very rows",
        ("proposition", "ECE", "", "reliab.", "resol.", "uncert.", "best at", short),
        [
            (
                j.name, _two(r.ece.value), _ends(r.ece), f"{r.brier.reliability:.3f}", f"{r.brier.resolution:.3f}",
                f"{r.brier.uncertainty:.3f}", "" if j.best is None else _two(j.best.threshold),
                "" if j.best is None else _two(j.best.value),
            )
            for j, r in told
        ],
        narrow=True,
    )  # fmt: skip
    rows = [
        (j.name, kind, f"{r.positives}/{r.support}", _two(r.auc.value), _two(r.balanced_accuracy), _two(r.ece.value))
        for j in found.propositions
        for kind, r in j.by_response.items()
        if isinstance(r, Agreement)
    ]
    if rows:
        head = ("proposition", "response type", "yes/all", "AUC", "bal.", "ECE")
        table("Within response types", head, rows, narrow=True)


# --- classes ------------------------------------------------------------------------------------


def _classes(found: Assessment, outcome: Outcome) -> None:
    accuracy = found.class_accuracy
    if accuracy is None:
        say("Classes: not judged: no row has a class by its labels and one by the grader's answers")
    else:
        always = sum(c.most_frequent for c in found.classes) / found.class_rows
        wrapped(
            f"Classes that the rules derive from the answers at 0.5: {accuracy.value:.3f} right {_ends(accuracy)} of "
            f"{found.class_rows} rows; always saying each response type's most frequent class would be right "
            f"{always:.3f}"
        )
        say("")
    for response in found.classes:
        if response.rows:
            _confusion(response)
        for count, why in (
            (response.open_truth, "the labels leave the class open"),
            (sum(response.open_given), "the grader's answers leave the class open"),
        ):
            if count:
                say(f"{response.name}: {count} rows take no part: {why}")
        if response.impossible:
            first = outcome.rows[response.impossible[0]].id
            say(f"{response.name}: the labels of {len(response.impossible)} rows contradict an axiom (first: {first})")
    known = sum(c.rows + c.open_truth + sum(c.open_given) + len(c.impossible) for c in found.classes)
    if found.rows > known:
        say(f"{found.rows - known} rows have no response type of the policy, and so no class")


def _confusion(response: ResponseClasses) -> None:
    seen = [i for i, row in enumerate(response.counts) if sum(row) + response.contradictory[i]]
    used = [j for j in range(len(response.classes)) if j in seen or any(row[j] for row in response.counts)]
    clash = any(response.contradictory)
    rows = [
        (
            f"{i + 1} {response.classes[i]}",
            *(str(response.counts[i][j] or "·") for j in used),
            *((str(response.contradictory[i] or "·"),) if clash else ()),
        )
        for i in seen
    ]
    head = ("labelled, and given as", *(str(j + 1) for j in used), *(("contradicts an axiom",) if clash else ()))
    table(f"{response.name}: {response.right} of {response.rows} right", head, rows)
    never = [f"{j + 1} {response.classes[j]}" for j in used if j not in seen]
    if never:
        say(f"given, but never labelled: {', '.join(never)}")
        say("")


# --- what was learned ---------------------------------------------------------------------------


def _training(training: Training, found: Assessment, file: str) -> None:
    rows: list[tuple[str, ...]] = []
    for judged, info, before in zip(found.propositions, training.heads.infos, training.before, strict=False):
        r = judged.result
        labels = f"{info.positives}/{info.labelled}"
        if not info.learned:
            stays = "stays with its cues" if info.cues else "no cues either"
            rows.append((info.name, labels, "", "", "", f"too few labels of one answer; {stays}"))
        elif isinstance(r, TooLittle):
            rows.append((info.name, labels, "", "", "", "too few labels to say"))
        else:
            start, gain = ("", "") if math.isnan(before) else (_two(before), f"{r.auc.value - before:+.2f}")
            rows.append((info.name, labels, start, _two(r.auc.value), gain, ""))
    head = ("proposition", "yes/all", "before", "with head", "gain", "")
    table("What the heads are worth: AUC on prompts they never saw (before: cues and few-shots)", head, rows)
    points = [
        f"{n}: {_two(a) if math.isfinite(a) else '?'}"
        for n, a in zip(training.curve.sizes, training.curve.auc, strict=True)
    ]
    wrapped(f"learning curve, mean AUC on a held-out fifth of the prompts by rows learned from: {', '.join(points)}")
    wrapped(
        f"wrote {file}: heads learned from all {found.rows} rows, calibrated, and locked to the propositions' texts "
        f"and to this version's evidence"
    )
    say("")


def _calibration(learned: Calibration, file: str) -> None:
    if learned.propositions:
        _corrections(learned.propositions)
    agree_values.show_corrections(learned.variables)
    say(f"wrote {file}, which holds for this grader only")
    say("")


def _corrections(corrections: tuple[Calibrated, ...]) -> None:
    rows: list[tuple[str, ...]] = []
    for c in corrections:
        gain = ("", "", "", "")
        if c.gain is not None:
            gain = tuple(
                f"{x:.3f}" for x in (c.gain.brier_before, c.gain.brier_after, c.gain.ece_before, c.gain.ece_after)
            )
        rows.append((c.name, str(c.labels), *gain, describe(c.correction)))
    gains = [c.gain for c in corrections if c.gain is not None]
    if gains:
        parts = zip(*((g.brier_before, g.brier_after, g.ece_before, g.ece_after) for g in gains), strict=True)
        rows.append((f"mean of {len(gains)}", "", *(f"{sum(part) / len(gains):.3f}" for part in parts), ""))
    head = ("proposition", "labels", "Brier", "after", "ECE", "after", "correction")
    table("Calibration, before and after, on prompts that the correction never saw", head, rows, narrow=True)


# --- text ---------------------------------------------------------------------------------------


def _disagreements(outcome: Outcome, policy: Policy, limit: int) -> None:
    found = disagreements(outcome.labels, outcome.p, limit)
    if not found:
        return
    total = int(wrong(outcome.labels, outcome.p).sum())
    say(f"Disagreements, the most confident first ({len(found)} of {total}; --disagreements N shows more)")
    say("")
    for one in found:
        row = outcome.rows[one.row]
        name = policy.circuit.propositions[one.proposition]
        say(f"  {name}: people say {'yes' if one.label else 'no'}, the grader P(yes) = {one.p:.2f}  [{row.id}]")
        judged = row.conversation.text(policy.program.propositions[one.proposition].over)
        thought = outcome.thoughts.get((one.row, one.proposition))
        for who, text in (("asked:    ", last_turn(row)), ("answered: ", judged), ("thought:  ", thought)):
            if text is None:
                continue
            wrapped(excerpt(text) or "(nothing)", f"    {who}", " " * 14)
        say("")


def _next_steps(outcome: Outcome, options: argparse.Namespace) -> list[str]:
    found = outcome.assessment
    steps: list[str] = []
    few = [j.name for j in found.propositions if isinstance(j.result, TooLittle) and j.result.support]
    if few:
        more = f" and {len(few) - 6} more" if len(few) > 6 else ""
        steps.append(f"label more rows of both answers for {', '.join(few[:6])}{more}")
    blind = [
        j.name for j in found.propositions if isinstance(j.result, TooLittle) and not j.result.support and j.unanswered
    ]
    if blind and options.grader == "embedded":
        steps.append(
            f"nothing reads {', '.join(blind)}, and rows whose class turns on that have no reward: label more rows of both answers, or "
            "write a cue or few-shots in the policy"
        )
    weak = [j.name for j, _ in _told(found) if _weak(j)]
    if weak:
        steps.append(
            f"read where {', '.join(weak)} goes wrong; a clearer question, a few-shot or a cue in the policy may help"
        )
    named: str = getattr(options, "grader_file", None) or options.grader
    grader = f"--grader {shlex.quote(named)}" + (
        f" --heads {shlex.quote(options.heads)}" if options.heads and named == options.grader else ""
    )
    again = f"rbrc agree {shlex.quote(options.file)} {shlex.quote(options.gold)}"
    learns = outcome.folds is not None
    if weak and options.grader == "embedded" and not learns and options.heads is None:
        steps.append(f"learn heads from these labels: {again} --train heads.safetensors")
    off = [] if isinstance(found.macro, TooLittle) else [("P", found.macro.ece.value)]
    off += [
        (f"P of the likeliest value of {v.domain.name}", v.result.ece)
        for v in outcome.values
        if isinstance(v.result, Values)
    ]
    told = "; ".join(f"{what} is off by {error:.2f} on average" for what, error in off if error > _MISCALIBRATED)
    if told and not options.calibrate and not learns:
        steps.append(f"{told}; correct it: {again} {grader} --calibrate calibration.json")
    grade = f"rbrc grade {shlex.quote(options.file)} ROWS -o graded.jsonl {grader}"
    if options.train:
        steps.append(f"use the heads: {grade} --heads {shlex.quote(options.train)}")
    if options.calibrate:
        steps.append(f"use the corrections: {grade} --calibration {shlex.quote(options.calibrate)}")
    return steps
