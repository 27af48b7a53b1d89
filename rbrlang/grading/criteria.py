"""How are the criteria of rows put to a grader, and whose answers come back?

Each criterion is an item of its own: the row's completion, and the criterion as a column that the rubric's question names. So it
is fenced, cached, retried, calibrated and paid for like any question. Its number is that of the rubric in `Circuit.questions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rbrlang.grading.results import Answer, GradeItem, Invalid, Value
from rbrlang.logic.circuit import CRITERION, Circuit
from rbrlang.reward.rubrics import marked, of_response
from rbrlang.rows.criteria import CriteriaError, Criterion

Met = Mapping[str, "tuple[Answer | None, ...]"]
"""By rubric, the answer to each criterion of a row, None for one that counts for nothing."""


@dataclass(frozen=True, slots=True)
class Place:
    """One criterion of a row: which of the rows, which rubric, where it stands there, and P(met) as the row has it."""

    row: int
    rubric: int
    at: int
    criterion: Criterion
    p: float | None


@dataclass(frozen=True, slots=True)
class Criteria:
    """The criteria of rows as items, `wanted` their questions; `bad[row]` says of a rubric why it cannot be asked."""

    circuit: Circuit
    items: tuple[GradeItem, ...]
    wanted: tuple[tuple[int], ...]
    places: tuple[Place, ...]
    lengths: tuple[Mapping[int, int], ...]
    bad: tuple[Mapping[int, Invalid], ...]

    def met(self, answers: Sequence[Mapping[int, Answer]]) -> list[Met]:
        """What the answers to `items` say of each row. A rubric that cannot be asked has none."""
        found: list[dict[int, list[Answer | None]]] = [
            {rubric: [None] * length for rubric, length in lengths.items()} for lengths in self.lengths
        ]
        for place, (question,), given in zip(self.places, self.wanted, answers, strict=True):
            found[place.row][place.rubric][place.at] = given[question]
        return [{self.circuit.rubrics[rubric].name: tuple(each) for rubric, each in of_row.items()} for of_row in found]


def criteria(circuit: Circuit, rows: Sequence[object], items: Sequence[GradeItem]) -> Criteria:
    """The criteria to ask of rows, which `items` show, by what their response types weigh."""
    first = len(circuit.propositions)
    found: list[tuple[GradeItem, Place]] = []
    lengths: list[dict[int, int]] = []
    bad: list[dict[int, Invalid]] = []
    for number, (row, item) in enumerate(zip(rows, items, strict=True)):
        lengths.append({})
        bad.append({})
        if not circuit.rubrics or not 0 <= item.response < len(circuit.responses):
            continue
        for rubric in of_response(circuit, circuit.responses[item.response]):
            try:
                whole = marked(circuit.rubrics[rubric], row)
            except CriteriaError as error:
                bad[-1][rubric] = Invalid("no-column", str(error))
                continue
            lengths[-1][rubric] = len(whole.criteria)
            found += [
                (_item(item, circuit.rubrics[rubric].name, at, one), Place(number, rubric, at, one, whole.p[at]))
                for at, one in enumerate(whole.criteria)
                if whole.tags[at] >= 0
            ]
    return Criteria(
        circuit, tuple(item for item, _ in found), tuple((first + place.rubric,) for _, place in found),
        tuple(place for _, place in found), tuple(lengths), tuple(bad),
    )  # fmt: skip


def _item(item: GradeItem, rubric: str, at: int, criterion: Criterion) -> GradeItem:
    return GradeItem(
        criterion_id(item.id, rubric, at),
        item.conversation,
        item.response,
        item.over,
        (*item.cells, (CRITERION, criterion.text)),
    )


def criterion_id(row: str, rubric: str, at: int) -> str:
    """What the item of a criterion is called, the first being 1.

    >>> criterion_id("row-7", "quality", 0)
    'row-7#quality:1'
    """
    return f"{row}#{rubric}:{at + 1}"


def probabilities(met: Met) -> dict[str, tuple[float | None, ...]]:
    """P(met) of each criterion: what a row's `rubric_probs` hold."""
    return {name: tuple(a.p if isinstance(a, Value) else None for a in each) for name, each in met.items()}


def failures(met: Met) -> Iterator[tuple[str, str]]:
    """Rubrics that a grader failed on, each with its first failure."""
    for name, each in met.items():
        for at, answer in enumerate(each, 1):
            if isinstance(answer, Invalid):
                yield name, f"criterion {at}: {answer.reason}"
                break
