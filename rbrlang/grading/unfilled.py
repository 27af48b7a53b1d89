"""Which questions cannot be put to a row, since it lacks a column that they name, or to a grader, which knows only yes and no?

The first kind is never asked, by any grader that reads: its answer is invalid, with the reason. All other questions
about the row are asked as if there were no such column. Labels and probabilities at hand are answers already, and are
not looked at. On the second kind, scales and choices, the grader abstains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rbrlang.grading.judge import Grader, Judge
from rbrlang.grading.results import Abstained, Answer, GradeItem, Invalid
from rbrlang.logic.circuit import Circuit
from rbrlang.rows.cells import Unfilled


def lacking(circuit: Circuit, item: GradeItem, asked: Sequence[int]) -> dict[int, Invalid]:
    """The answers to those of the asked propositions that cannot be put to an item."""
    found: dict[int, Invalid] = {}
    for p in asked:
        for column in circuit.columns_of(p):
            cell = item.cell(column)
            if isinstance(cell, Unfilled):
                found[p] = Invalid("no-column", cell.reason)
                break
    return found


def askable(
    circuit: Circuit, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]
) -> tuple[tuple[int, ...], ...]:
    """Of what is wanted of each item, what can be asked."""
    return tuple(
        tuple(p for p in asked if p not in lacked)
        for asked, lacked in ((asked, lacking(circuit, item, asked)) for item, asked in zip(items, wanted, strict=True))
    )


class FillingGrader:
    """A grader that is asked only what can be asked. `identity` is the grader's own."""

    def __init__(self, identity: str, judge: Judge, circuit: Circuit) -> None:
        self.identity = identity
        self._judge, self._circuit = judge, circuit

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> Sequence[Mapping[int, Answer]]:
        """The judge's answers, and those that are known to be invalid; an item that is left with no question is not shown."""
        lacked = [lacking(self._circuit, item, asked) for item, asked in zip(items, wanted, strict=True)]
        if not any(lacked):
            return self._judge(items, wanted)
        asked = [tuple(p for p in of if p not in without) for of, without in zip(wanted, lacked, strict=True)]
        shown = [at for at, of in enumerate(asked) if of or not lacked[at]]
        said = self._judge([items[at] for at in shown], [asked[at] for at in shown]) if shown else ()
        found: list[Mapping[int, Answer]] = list(lacked)
        for at, answers in zip(shown, said, strict=True):
            found[at] = {**answers, **lacked[at]}
        return found


class YesNoGrader:
    """A grader that answers yes and no, asked nothing else: on scales and choices it abstains. `identity` is its own."""

    def __init__(self, grader: Grader, circuit: Circuit) -> None:
        self.identity = grader.identity
        self._judge, self._last = grader.answers, circuit.first_variable

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> Sequence[Mapping[int, Answer]]:
        """The grader's answers, and abstentions."""
        said = self._judge(items, [tuple(p for p in asked if p < self._last) for asked in wanted])
        beyond = Abstained("this grader answers yes and no alone")
        return [
            {p: beyond if p >= self._last else answers[p] for p in asked if p >= self._last or p in answers}
            for answers, asked in zip(said, wanted, strict=True)
        ]


def filling(grader: Grader, circuit: Circuit, *, yes_no: bool = False) -> Grader:
    """A grader that reads, asked only what can be asked; itself where that is everything. `yes_no`: it knows no other answer."""
    if yes_no and circuit.variables:
        grader = YesNoGrader(grader, circuit)
    return FillingGrader(grader.identity, grader.answers, circuit) if circuit.columns else grader
