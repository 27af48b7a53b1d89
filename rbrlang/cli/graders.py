"""`--grader`: from the options of a command to rows with P(yes).

Names are parsed by `rbrlang.grading.questions.specs`; graders come from `rbrlang.grading.local` and
`rbrlang.grading.endpoint.run`. Here is what only a command line has: options, files, the rows' own probabilities and
labels, and a progress bar.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from rbrlang.cli.bar import Bar
from rbrlang.cli.calibration import calibration_of
from rbrlang.cli.errors import UsageError
from rbrlang.cli.graded import GradedRows, Lazily, filled, with_rubrics
from rbrlang.cli.graderfiles import asks_server, leaves_of, member, read_weights, spec_of
from rbrlang.cli.options import policy_of
from rbrlang.cli.terminal import warn
from rbrlang.errors import UserError
from rbrlang.policy import Policy
from rbrlang.rows.kept import Kept, in_blocks

if TYPE_CHECKING:
    from rbrlang.grading.criteria import Criteria
    from rbrlang.grading.endpoint.account import Progress, Summary
    from rbrlang.grading.endpoint.remote import Remote
    from rbrlang.grading.judge import Grader
    from rbrlang.grading.questions.options import GraderOptions
    from rbrlang.grading.questions.specs import GraderSpec, RemoteSpec, SeveralSpec
    from rbrlang.grading.results import GradeItem
    from rbrlang.logic.circuit import Circuit
    from rbrlang.reward.kept.artefact import Artefact
    from rbrlang.rows.read import Row


AT_ONCE = 4096
"""Rows that are graded at once where there are many."""


def items_of(rows: Sequence[Row], response_ids: Sequence[int], columns: Sequence[str]) -> tuple[GradeItem, ...]:
    """What a grader sees of rows: conversation and completion, the response type's number, what questions name of it."""
    from rbrlang.grading.results import GradeItem
    from rbrlang.rows.cells import cells

    return tuple(
        GradeItem(row.id, row.conversation, int(number), cells=cells(row.raw, columns))
        for row, number in zip(rows, response_ids, strict=True)
    )


def graded(options: argparse.Namespace, policy: Policy | Artefact, rows: Sequence[Row]) -> Sequence[Row]:
    """The rows with `probs` from the grader that was asked for, on the disk."""
    grading = Grading(options, policy)
    found: Kept[Row] = Kept()
    for _, some in in_blocks(rows, AT_ONCE):
        found.extend(grading(some).rows)
    return found


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
    return Grading(options, policy, every=every, lazily=lazily)(rows)


class Grading:
    """`grade_rows` for rows that come in blocks: the grader is opened with the first, and what is said is said once.

    `only` are the questions to ask, whatever response types need, and no criteria. `suits` may refuse a grader by its identity,
    before it is asked anything. What a remote grader shows which proposition first is chosen for the rows of the first block. The rows' own
    probabilities are those of each block.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        policy: Policy | Artefact,
        *,
        every: bool = False,
        lazily: Lazily | None = None,
        only: tuple[int, ...] | None = None,
        suits: Callable[[str], None] = lambda identity: None,
    ) -> None:
        from rbrlang.grading.questions.layout import every_question

        self._options, self._policy, self._lazily = options, policy, lazily
        self._only = every_question(policy.circuit) if every else only
        self._criteria, self._suits = only is None, suits
        self._spec = spec_of(options)
        self._grader: Grader | None = None
        self._summaries: Sequence[Sequence[Summary]] = ()
        self._told: set[str] = set()
        self._seen: set[int] = set()

    def __call__(self, rows: Sequence[Row]) -> GradedRows:
        """The rows, graded. Raises `UserError`."""
        from rbrlang.grading.criteria import criteria
        from rbrlang.grading.endpoint.account import together
        from rbrlang.grading.lazy import grade_lazily
        from rbrlang.grading.questions.layout import wanted
        from rbrlang.grading.questions.specs import LabelsSpec, RowsSpec, TableSpec
        from rbrlang.grading.sight import yes_no
        from rbrlang.grading.trust.calibrate import CalibratedGrader
        from rbrlang.grading.unfilled import filling
        from rbrlang.reward.rows import response_ids

        options, circuit = self._options, self._policy.circuit
        names = circuit.questions
        of_rows = isinstance(self._spec, RowsSpec)
        items = items_of(rows, response_ids(circuit, rows).tolist(), circuit.columns)
        with Bar() as bar:
            of_rubrics = criteria(circuit if self._criteria else replace(circuit, rubrics=()), rows, items)
            opened = grader = self._opened(rows, items, of_rubrics, bar.update)
            paid = [len(each) for each in self._summaries]
            identity = grader.identity
            self._suits(identity)
            before = _said(rows, "calibration") if of_rows else {None}
            asked = wanted(circuit, items) if self._only is None else ((self._only,) * len(items))
            self._look(grader, (*asked, *of_rubrics.wanted))
            if not isinstance(self._spec, RowsSpec | LabelsSpec | TableSpec):
                grader = filling(grader, circuit, yes_no=yes_no(self._spec))
            calibration = calibration_of(options, self._policy, identity, before, self._warn)
            if of_rows and calibration is None and self._lazily is None:
                return GradedRows(identity, tuple(rows), (), None, None, None)
            try:
                if calibration is not None:
                    grader = CalibratedGrader(grader, calibration, names, circuit.asked_domains)
                lazy = None
                if self._lazily is not None:
                    lazy = grade_lazily(self._lazily.reward, items, grader.answers, self._lazily.eps)
                if lazy is None:
                    every = tuple(grader.answers((*items, *of_rubrics.items), (*asked, *of_rubrics.wanted)))
                    answers, met = every[: len(items)], of_rubrics.met(every[len(items) :])
                else:
                    met = of_rubrics.met(tuple(grader.answers(of_rubrics.items, of_rubrics.wanted)))
                    # What was not asked is left out, not null: nobody failed to answer it.
                    answers = tuple(
                        {p: given[p] for p in asked} for given, asked in zip(lazy.answers, lazy.questions, strict=True)
                    )
            except KeyboardInterrupt:
                if options.cache and Path(options.cache).is_file():
                    warn(f"what was answered is in `{options.cache}`; the same command goes on from there")
                raise
        summary = together([one for each, n in zip(self._summaries, paid, strict=True) for one in each[n:]])
        identity = opened.identity  # what the run has found of it, too
        given = filled(rows, circuit, answers, met)
        if lazy is not None and self._lazily is not None:
            lazy = with_rubrics(lazy, self._lazily.reward, given)
        unasked = tuple({circuit.rubrics[r].name: why.reason for r, why in bad.items()} for bad in of_rubrics.bad)
        return GradedRows(identity, given, answers, summary, calibration, lazy, tuple(met), unasked, names)

    def prepare(self, rows: Sequence[Row]) -> None:
        """Choose layouts for these rows, the first of the file, wherever the others are graded. Raises `UserError`."""
        from rbrlang.reward.rows import response_ids

        if asks_server(self._options):
            circuit = self._policy.circuit
            self._opened(rows, items_of(rows, response_ids(circuit, rows).tolist(), circuit.columns), None, None)

    def _opened(
        self,
        rows: Sequence[Row],
        items: Sequence[GradeItem],
        of_rubrics: Criteria | None,
        on_progress: Callable[[Progress], None] | None,
    ) -> Grader:
        from rbrlang.grading.questions.specs import LabelsSpec, RowsSpec

        if isinstance(self._spec, RowsSpec | LabelsSpec):  # what they know is in the rows
            return _opened(self._options, self._spec, self._policy, rows, items, of_rubrics, on_progress)[0]
        if self._grader is None:
            self._grader, self._summaries = _opened(
                self._options, self._spec, self._policy, rows, items, of_rubrics, on_progress
            )
        return self._grader

    def _look(self, grader: Grader, asked: Sequence[Sequence[int]]) -> None:
        kinds = {p for each in asked for p in each}
        if kinds - self._seen:
            self._seen |= kinds
            _look(self._options, grader, self._policy.circuit, (tuple(sorted(self._seen)),))

    def _warn(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            warn(text)


# --- making graders ---------------------------------------------------------------------------


def keep_answers(options: argparse.Namespace, output: str) -> None:
    """Let a remote grader's answers be kept beside the output unless `--cache` names a place: they were paid for."""
    if not asks_server(options):
        return
    if options.engine == "ray":
        if options.cache is not None:
            raise UsageError("`--engine ray` keeps whole blocks, see `--checkpoint`, and no `--cache` of answers")
    elif options.workers > 1:
        raise UsageError(
            "`--workers` is for graders that compute here; a server is asked by one process, many questions at once: "
            "`--concurrency`, or `--engine ray` with a server on each machine"
        )
    elif options.cache is None and output != "-":
        options.cache = f"{output}.answers"


def make(options: argparse.Namespace, policy: Policy, items: Sequence[GradeItem], need: str = "this") -> Grader:
    """The grader that was asked for, which has to read text; `items` are what its layouts are chosen for.

    `need` is what needs such a grader, for the message. Raises `UserError`.
    """
    from rbrlang.grading.questions.layout import wanted
    from rbrlang.grading.questions.specs import LabelsSpec, RowsSpec, TableSpec
    from rbrlang.grading.sight import asked_of_types, yes_no
    from rbrlang.grading.trust.calibrate import CalibratedGrader
    from rbrlang.grading.unfilled import filling

    spec = spec_of(options)
    if any(isinstance(one, RowsSpec | LabelsSpec | TableSpec) for one in leaves_of(options)):
        raise UsageError(f"`--grader {options.grader}` knows no text but its own; {need} needs a grader that reads")
    grader = _opened(options, spec, policy, (), items, None, None)[0]
    circuit = policy.circuit
    _look(options, grader, circuit, wanted(circuit, items) if items else asked_of_types(circuit))
    grader = filling(grader, circuit, yes_no=yes_no(spec))
    calibration = calibration_of(options, policy, grader.identity, {None})
    if calibration is None:
        return grader
    return CalibratedGrader(grader, calibration, circuit.questions, circuit.asked_domains)


def standing(options: argparse.Namespace, artefact: Artefact) -> Grader:
    """`make` for a process that goes on and on, with the artefact's calibration where it is of this grader.

    Its layouts do not depend on what is asked first. Raises `UserError`.
    """
    from rbrlang.grading.questions.specs import PythonSpec
    from rbrlang.scoring.graders import grader_of

    if any(isinstance(one, PythonSpec) for one in leaves_of(options, read_weights)):
        sys.path.insert(0, os.getcwd())
    return grader_of(options.grader, artefact, chosen(options), items=())


def _look(options: argparse.Namespace, grader: Grader, circuit: Circuit, asked: Sequence[Sequence[int]]) -> None:
    """Say what the grader cannot read of what is asked. Raises `UserError` where that is everything."""
    from rbrlang.grading.embedded.names import WAYS_OUT
    from rbrlang.grading.sight import OTHERS, WHY, beyond, named, sight

    unknown = beyond(spec_of(options), circuit, asked)
    if unknown is not None and not options.allow_abstain:
        raise UsageError(f"{unknown}; {OTHERS}; `--allow-abstain` goes on with what rows say of them")
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
    of_rubrics: Criteria | None,
    on_progress: Callable[[Progress], None] | None,
) -> tuple[Grader, Sequence[Sequence[Summary]]]:
    """The grader, and the lists that it, or each of its members, adds the summaries of its runs to."""
    from rbrlang.grading.local import LabelGrader, TableGrader, reading_grader, table_grader
    from rbrlang.grading.questions import specs

    names = policy.circuit.questions
    each = () if of_rubrics is None else zip(of_rubrics.items, of_rubrics.wanted, of_rubrics.places, strict=True)
    match spec:
        case specs.RowsSpec():
            known = {row.id: row.probs for row in rows} | {item.id: {names[q]: place.p} for item, (q,), place in each}
            return TableGrader(_grader_of(rows), known, names, policy.circuit.asked_domains), ()
        case specs.LabelsSpec():
            labels = {row.id: {**row.labels, **row.value_labels} for row in rows} | {
                item.id: {names[q]: place.criterion.met} for item, (q,), place in each
            }
            return LabelGrader(names, list(labels), list(labels.values()), policy.circuit.asked_domains), ()
        case specs.TableSpec(path):
            return table_grader(path, names, policy.circuit.asked_domains), ()
        case specs.EmbeddedSpec() | specs.PythonSpec():
            if isinstance(spec, specs.PythonSpec):
                sys.path.insert(0, os.getcwd())
            heads = Path(options.heads) if options.heads else None
            return reading_grader(spec, _whole(policy).program.questions, heads), ()
        case specs.OpenAISpec() | specs.SystemOneSpec() | specs.LocalSpec():
            return _remote_grader(options, spec, _whole(policy), items, on_progress)
        case specs.SeveralSpec():
            return _several(options, spec, policy, items, on_progress)
        case _:
            assert_never(spec)


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
) -> tuple[Grader, Sequence[Sequence[Summary]]]:
    found = remote_of(options, spec, policy, items)
    from rbrlang.grading.endpoint.account import price_of, run_options
    from rbrlang.grading.endpoint.run import RemoteGrader

    how = chosen(options)
    batch = vars(options).get("batch")  # of `rbrc grade --engine batch`
    grader = RemoteGrader(found, how.cache, run_options(how), price_of(how), on_progress, batch=batch)
    return grader, (grader.summaries,)


def _several(
    options: argparse.Namespace,
    spec: SeveralSpec,
    policy: Policy | Artefact,
    items: Sequence[GradeItem],
    on_progress: Callable[[Progress], None] | None,
) -> tuple[Grader, Sequence[Sequence[Summary]]]:
    """A grader made of graders, each corrected by its own calibration. Raises `GraderError`."""
    from rbrlang.grading.questions.specs import GraderError, TableSpec
    from rbrlang.grading.several.opening import opened
    from rbrlang.grading.sight import yes_no
    from rbrlang.grading.trust.calibrate import CalibratedGrader
    from rbrlang.grading.unfilled import filling

    circuit = policy.circuit
    summaries: list[Sequence[Summary]] = []

    def one(name: str) -> tuple[Grader, bool]:
        try:
            own = member(options, name)
            said = spec_of(own)
            grader, spent = _opened(own, said, policy, (), items, None, on_progress)
        except UserError as error:  # which is told with the member's place
            raise GraderError(str(error)) from error
        summaries.extend(spent)
        if not isinstance(said, TableSpec):
            grader = filling(grader, circuit, yes_no=yes_no(said))
        calibration = None if own.calibration is None else calibration_of(own, policy, grader.identity, {None})
        if calibration is not None:
            grader = CalibratedGrader(grader, calibration, circuit.questions, circuit.asked_domains)
        return grader, yes_no(said)

    return opened(spec, _whole(policy), circuit, one), summaries


def remote_of(options: argparse.Namespace, spec: RemoteSpec, policy: Policy, items: Sequence[GradeItem]) -> Remote:
    """The grader behind an endpoint. Asks the server what it offers, but no model anything."""
    from rbrlang.grading.questions.specs import api_key

    how = chosen(options)
    try:
        from rbrlang.grading.endpoint.served import remote

        read_weights(spec)
        return remote(spec, policy, items, api_key(os.environ, how.key_env), how)
    except ModuleNotFoundError as error:
        raise UsageError(str(error)) from error


def chosen(options: argparse.Namespace) -> GraderOptions:
    """How the grader is to be asked, from the options of a command."""
    from rbrlang.grading.questions.options import GraderOptions

    given = {field.name: getattr(options, field.name) for field in fields(GraderOptions) if field.name in options}
    if given["template"] is not None:
        given["template"] = [one for one in given["template"] if one is not None]
    return GraderOptions.read(given)
