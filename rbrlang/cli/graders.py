"""`--grader`: from the options of a command to rows with P(yes).

Names are parsed by `rbrlang.grading.questions.specs`, where the kinds are listed; graders come from
`rbrlang.grading.local` and `rbrlang.grading.endpoint.run`. Here is what only a command line has: options, files,
the rows' own probabilities and labels, and a progress bar.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from rbrlang.cli.errors import UsageError
from rbrlang.cli.options import policy_of
from rbrlang.cli.terminal import console, warn
from rbrlang.policy import Policy

if TYPE_CHECKING:
    from rbrlang.grading.endpoint.account import Progress, Summary
    from rbrlang.grading.endpoint.remote import Remote
    from rbrlang.grading.judge import Grader
    from rbrlang.grading.lazy import LazyGrades
    from rbrlang.grading.questions.options import GraderOptions
    from rbrlang.grading.questions.specs import GraderSpec, RemoteSpec
    from rbrlang.grading.results import Answer, GradeItem
    from rbrlang.grading.trust.calibrate import Calibration
    from rbrlang.logic.circuit import Circuit
    from rbrlang.reward.kept.artefact import Artefact
    from rbrlang.reward.numpy import NumpyReward
    from rbrlang.rows.read import Row


OF_A_GRADING = frozenset({"probs", "grader", "calibration", "asked", "invalid", "answers", "reward_bounds"})


@dataclass(frozen=True, slots=True)
class Lazily:
    """Ask only what this reward needs, to within `eps`."""

    reward: NumpyReward
    eps: float


@dataclass(frozen=True, slots=True)
class GradedRows:
    """Rows with `probs` from a grader.

    `identity` is the grader's, before calibration. `answers` are in full, one mapping a row; empty where the
    rows' own probabilities were taken as they are. `summary` is of the requests of a remote grader.
    """

    identity: str
    rows: tuple[Row, ...]
    answers: tuple[Mapping[int, Answer], ...]
    summary: Summary | None
    calibration: Calibration | None
    lazy: LazyGrades | None

    @property
    def calibration_json(self) -> Mapping[str, Any] | None:
        """The calibration as an artefact carries it."""
        from rbrlang.grading.trust.calibrate import to_json

        return None if self.calibration is None else to_json(self.calibration)

    def row(self, at: int, **columns: Any) -> dict[str, Any]:
        """Row `at` as it is written: as read, with its id, its grading and more columns.

        What an earlier grading left in it goes, unless its own probabilities were taken as they are.
        """
        row = self.rows[at]
        if not self.answers:  # taken as they are
            return {"id": row.id, **row.raw, "probs": dict(row.probs), **columns}
        kept = {name: value for name, value in row.raw.items() if name not in OF_A_GRADING}
        own: dict[str, Any] = {"probs": dict(row.probs), "grader": self.identity}
        if self.calibration is not None:
            own["calibration"] = self.calibration.identity
        if self.lazy is not None:
            own["asked"] = list(own["probs"])
        return {"id": row.id, **kept, **own, **columns}


def items_of(rows: Sequence[Row], response_ids: Sequence[int]) -> tuple[GradeItem, ...]:
    """What a grader sees of rows: the conversation, the completion, the response type's number."""
    from rbrlang.grading.results import GradeItem

    return tuple(
        GradeItem(row.id, row.conversation, int(number)) for row, number in zip(rows, response_ids, strict=True)
    )


def graded(options: argparse.Namespace, policy: Policy | Artefact, rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with `probs` from the grader that was asked for."""
    return grade_rows(options, policy, rows).rows


def grade_rows(
    options: argparse.Namespace,
    policy: Policy | Artefact,
    rows: Sequence[Row],
    *,
    every: bool = False,
    lazily: Lazily | None = None,
) -> GradedRows:
    """Grade rows: what each response type needs, or `every` proposition, or `lazily`.

    An artefact's own calibration is used where it is of this grader, unless `--calibration` names another.
    """
    from rbrlang.grading.endpoint.account import together
    from rbrlang.grading.endpoint.cache import CacheError
    from rbrlang.grading.lazy import grade_lazily
    from rbrlang.grading.questions.layout import wanted
    from rbrlang.grading.questions.specs import RowsSpec
    from rbrlang.grading.trust.calibrate import CalibratedGrader, CalibrationError
    from rbrlang.reward.rows import response_ids

    spec = spec_of(options)
    circuit = policy.circuit
    names = circuit.propositions
    items = items_of(rows, response_ids(circuit, rows).tolist())
    with Bar() as bar:
        grader, summaries = _opened(options, spec, policy, rows, items, bar.update)
        identity = grader.identity
        before = _said(rows, "calibration") if isinstance(spec, RowsSpec) else {None}
        asked = ((tuple(range(len(names))),) * len(items)) if every else wanted(circuit, items)
        _look(options, grader, circuit, asked)
        calibration = _calibration(options, policy, identity, before)
        if isinstance(spec, RowsSpec) and calibration is None and lazily is None:
            return GradedRows(identity, tuple(rows), (), None, None, None)
        try:
            if calibration is not None:
                grader = CalibratedGrader(grader, calibration, names)
            lazy = None if lazily is None else grade_lazily(lazily.reward, items, grader.answers, lazily.eps)
            if lazy is None:
                answers = tuple(grader.answers(items, asked))
            else:
                # What was not asked is left out, not null: nobody failed to answer it.
                answers = tuple(
                    {p: given[p] for p in asked} for given, asked in zip(lazy.answers, lazy.questions, strict=True)
                )
        except (CalibrationError, CacheError) as error:
            raise UsageError(str(error)) from error
        except KeyboardInterrupt:
            if options.cache and Path(options.cache).is_file():
                warn(f"what was answered is in `{options.cache}`; the same command goes on from there")
            raise
    return GradedRows(identity, _filled(rows, names, answers), answers, together(summaries), calibration, lazy)


def _filled(rows: Sequence[Row], names: Sequence[str], answers: Sequence[Mapping[int, Answer]]) -> tuple[Row, ...]:
    from rbrlang.grading.results import probability

    return tuple(
        replace(row, probs={names[p]: probability(answer) for p, answer in found.items()})
        for row, found in zip(rows, answers, strict=True)
    )


def _calibration(
    options: argparse.Namespace, policy: Policy | Artefact, identity: str, before: Collection[object]
) -> Calibration | None:
    """The calibration to apply to this grader's answers; `before` are those that rows were corrected by, or None."""
    from rbrlang.grading.trust.calibrate import CalibrationError, from_json, read

    corrected = any(name is not None for name in before)
    try:
        if options.calibration is not None:
            calibration = read(Path(options.calibration))
            calibration.corrections(identity, ())
            if corrected:
                raise UsageError("these rows are calibrated already; grade them again without `--calibration`")
            return calibration
        if isinstance(policy, Policy) or policy.calibration is None:
            return None
        calibration = from_json(policy.calibration)
    except (CalibrationError, KeyError, TypeError) as error:
        raise UsageError(str(error)) from error
    if not corrected and calibration.grader == identity:
        return calibration
    if options.grader != "labels" and set(before) != {calibration.identity}:
        warn(
            f"the artefact's calibration {calibration.identity} is of `{calibration.grader}`; it was not applied to "
            + ("rows that another calibration corrected" if corrected else f"answers of `{identity}`")
        )
    return None


# --- making graders ---------------------------------------------------------------------------


def spec_of(options: argparse.Namespace) -> GraderSpec:
    """What `--grader` means. Raises `UsageError`."""
    from rbrlang.grading.questions.specs import GraderError, parse_grader

    try:
        return parse_grader(options.grader, os.environ, options.base_url)
    except GraderError as error:
        raise UsageError(str(error)) from error


def keep_answers(options: argparse.Namespace, output: str) -> None:
    """Let a remote grader's answers be kept beside the output unless `--cache` names a place: they were paid for."""
    from rbrlang.grading.questions.specs import OpenAISpec, SystemOneSpec

    if options.cache is None and output != "-" and isinstance(spec_of(options), OpenAISpec | SystemOneSpec):
        options.cache = f"{output}.answers"


def make(options: argparse.Namespace, policy: Policy, items: Sequence[GradeItem], need: str = "this") -> Grader:
    """The grader that was asked for, which has to read text; `items` are what its layouts are chosen for.

    `need` is what needs such a grader, for the message. Raises `UsageError`.
    """
    from rbrlang.grading.questions.layout import wanted
    from rbrlang.grading.questions.specs import LabelsSpec, RowsSpec, TableSpec
    from rbrlang.grading.sight import asked_of_types
    from rbrlang.grading.trust.calibrate import CalibratedGrader

    spec = spec_of(options)
    if isinstance(spec, RowsSpec | LabelsSpec | TableSpec):
        raise UsageError(f"`--grader {options.grader}` knows no text but its own; {need} needs a grader that reads")
    grader = _opened(options, spec, policy, (), items, None)[0]
    circuit = policy.circuit
    _look(options, grader, circuit, wanted(circuit, items) if items else asked_of_types(circuit))
    calibration = _calibration(options, policy, grader.identity, {None})
    return grader if calibration is None else CalibratedGrader(grader, calibration, policy.circuit.propositions)


def standing(options: argparse.Namespace, artefact: Artefact) -> Grader:
    """`make` for a process that goes on and on, with the artefact's calibration where it is of this grader.

    Its layouts do not depend on what is asked first. Raises `UsageError`.
    """
    from rbrlang.grading.questions.specs import GraderError, PythonSpec
    from rbrlang.scoring.graders import grader_of

    if isinstance(spec_of(options), PythonSpec):
        sys.path.insert(0, os.getcwd())
    try:
        return grader_of(options.grader, artefact, chosen(options), items=())
    except GraderError as error:
        raise UsageError(str(error)) from error


def _look(options: argparse.Namespace, grader: Grader, circuit: Circuit, asked: Sequence[Sequence[int]]) -> None:
    """Say what the grader cannot read of what is asked. Raises `UsageError` where that is everything."""
    from rbrlang.grading.sight import WAYS_OUT, WHY, named, sight

    found = sight(grader, asked)
    if not found.unread:
        return
    names = named(circuit, found.unread)
    if not found.blind:
        warn(f"the embedded grader cannot read {names}: {WHY}; it abstains there")
    elif options.allow_abstain:
        warn(f"the embedded grader reads nothing of what is asked ({names}): {WHY}")
    else:
        raise UsageError(
            f"the embedded grader reads nothing of what is asked ({names}): {WHY}, so nothing was done; {WAYS_OUT}; "
            "`--allow-abstain` goes on without answers"
        )


def _opened(
    options: argparse.Namespace,
    spec: GraderSpec,
    policy: Policy | Artefact,
    rows: Sequence[Row],
    items: Sequence[GradeItem],
    on_progress: Callable[[Progress], None] | None,
) -> tuple[Grader, Sequence[Summary]]:
    """The grader, and the list that it adds the summary of each of its runs to."""
    from rbrlang.grading.local import LabelGrader, TableGrader, reading_grader, table_grader
    from rbrlang.grading.questions import specs

    names = policy.circuit.propositions
    try:
        match spec:
            case specs.RowsSpec():
                return TableGrader(_grader_of(rows), {row.id: row.probs for row in rows}, names), ()
            case specs.LabelsSpec():
                return LabelGrader(names, [row.id for row in rows], [row.labels for row in rows]), ()
            case specs.TableSpec(path):
                return table_grader(path, names), ()
            case specs.EmbeddedSpec() | specs.PythonSpec():
                if isinstance(spec, specs.PythonSpec):
                    sys.path.insert(0, os.getcwd())
                heads = Path(options.heads) if options.heads else None
                return reading_grader(spec, _whole(policy).program.propositions, heads), ()
            case specs.OpenAISpec() | specs.SystemOneSpec():
                return _remote_grader(options, spec, _whole(policy), items, on_progress)
            case _:
                assert_never(spec)
    except specs.GraderError as error:
        raise UsageError(str(error)) from error


def _grader_of(rows: Sequence[Row]) -> str:
    """Who graded rows that carry probabilities: what `rbrc grade` wrote, where it is one for all."""
    found = _said(rows, "grader")
    only = found.pop() if len(found) == 1 else None
    return "rows" if only is None else only


def _said(rows: Sequence[Row], column: str) -> set[str | None]:
    """The texts in a column; a row without one, or with something else there, says None."""
    values = (row.raw.get(column) for row in rows)
    return {value if isinstance(value, str) else None for value in values}


def _whole(policy: Policy | Artefact) -> Policy:
    return policy if isinstance(policy, Policy) else policy_of(policy)


def _remote_grader(
    options: argparse.Namespace,
    spec: RemoteSpec,
    policy: Policy,
    items: Sequence[GradeItem],
    on_progress: Callable[[Progress], None] | None,
) -> tuple[Grader, Sequence[Summary]]:
    found = remote_of(options, spec, policy, items)
    from rbrlang.grading.endpoint.account import price_of, run_options
    from rbrlang.grading.endpoint.run import RemoteGrader

    how = chosen(options)
    grader = RemoteGrader(found, how.cache, run_options(how), price_of(how), on_progress)
    return grader, grader.summaries


def remote_of(options: argparse.Namespace, spec: RemoteSpec, policy: Policy, items: Sequence[GradeItem]) -> Remote:
    """The grader behind an endpoint. Asks the server what it offers, but no model anything."""
    from rbrlang.grading.questions.specs import api_key

    try:
        from rbrlang.grading.endpoint.served import remote
    except ModuleNotFoundError as error:
        raise UsageError(str(error)) from error
    return remote(spec, policy, items, api_key(os.environ), chosen(options))


def chosen(options: argparse.Namespace) -> GraderOptions:
    """How the grader is to be asked, from the options of a command."""
    from rbrlang.grading.questions.options import GraderOptions

    given = {field.name: getattr(options, field.name) for field in fields(GraderOptions) if field.name in options}
    if given["template"] is not None:
        given["template"] = [one for one in given["template"] if one is not None]
    return GraderOptions.read(given)


class Bar:
    """A progress bar on standard error when it is a terminal: rate, cost so far, estimate. Shown once it moves."""

    def __init__(self, what: str = "grading") -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich

        self._progress = Rich(
            TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(), console=console(sys.stderr), disable=not sys.stderr.isatty(), transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=None, note="")

    def __enter__(self) -> Bar:
        return self

    def update(self, seen: Progress) -> None:
        self._progress.start()
        note = f"{seen.rate:.0f}/s, {seen.from_cache} cached, {seen.invalid} invalid"
        if seen.cost_estimate:
            note += f", cost {seen.cost:.2f} of about {seen.cost_estimate:.2f}"
        self._progress.update(self._task, total=seen.total, completed=seen.done, note=note)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
