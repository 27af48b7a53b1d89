"""Builders for the grading tests: propositions and circuits without a source file."""

from __future__ import annotations

from collections.abc import Sequence

from rbrlang.grading.results import GradeItem
from rbrlang.lang.program import Message, Proposition, Shot
from rbrlang.logic.circuit import AtomInfo, Circuit, Diagram, ProductForm, ResponseCircuit
from rbrlang.rows.conversation import spoken
from rbrlang.source import Source, Span

NOWHERE = Span(Source("test.rbr", ""), 0, 0)


def proposition(
    name: str, statement: str = "", question: str = "", shots: Sequence[Shot] = (), cost: float = 1.0
) -> Proposition:
    """A proposition; its statement and question follow from the name unless given."""
    statement = statement or f"The response shows {name}."
    return Proposition(
        name,
        statement,
        question or f"Is it so: {statement}",
        tuple(shots),
        (),
        0.5,
        0.0,
        0.0,
        cost,
        "",
        NOWHERE,
    )


def reaching(propositions: Sequence[Proposition], reach: Sequence[Sequence[int]]) -> Circuit:
    """A circuit of which only the reached atoms of each response type matter: one class, no features."""
    responses = tuple(
        ResponseCircuit(
            f"type_{number}",
            (("only",),),
            Diagram((0,), (), 0),
            ProductForm((), ()),
            (),
            (),
            (1.0,),
            tuple(atoms),
        )
        for number, atoms in enumerate(reach)
    )
    atoms = tuple(AtomInfo(p.name, p.prior, p.fp, p.fn, p.cost, None, p.over, p.columns) for p in propositions)
    return Circuit("test", atoms, responses, (), Diagram((1,), (), 0), "exact")


def item(name: str, asked: str = "Hello?", answered: str = "Hello.", response: int = 0) -> GradeItem:
    """An item with a one-message prompt."""
    return GradeItem(name, spoken((Message("user", asked),), answered), response)
