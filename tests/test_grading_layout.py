"""The plan: nothing is asked in vain, and no other choice of layouts is cheaper."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from grading_kit import item, proposition, reaching
from hypothesis import given, settings
from hypothesis import strategies as st

from rbrlang.grading.questions.layout import Plan, plan, reached, wanted
from rbrlang.grading.questions.prompt import Layout, assemble, item_text, question
from rbrlang.grading.results import GradeItem
from rbrlang.grading.unfilled import askable
from rbrlang.lang.program import Proposition
from rbrlang.rows.cells import cells

LAYOUTS: list[Layout] = ["question-first", "conversation-first"]


def computed(made: Plan, propositions: list[Proposition], items: list[GradeItem], asked: list[tuple[int, ...]]) -> int:
    """Characters that a server with an unlimited cache computes: each shared beginning once. The oracle."""
    seen: set[str] = set()
    total = 0
    shown = [item_text(i) for i in items]
    for group in made.groups(asked, items):
        for ask in group:
            (p,) = ask.propositions
            prompt = assemble(question(propositions[p], items[ask.item]), shown[ask.item], ask.layout)
            total += len(prompt.rest) + (0 if prompt.shared in seen else len(prompt.shared))
            seen.add(prompt.shared)
    return total


policies = st.integers(1, 3).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(1, 1500), min_size=n, max_size=n),
        st.lists(st.sets(st.integers(0, n - 1)).map(sorted), min_size=1, max_size=3),
        st.lists(
            st.tuples(st.integers(0, 2), st.integers(0, 2000), st.sampled_from(["A.", "B.", "a longer reference"])),
            min_size=1, max_size=6,
        ),
        st.lists(st.booleans(), min_size=n, max_size=n),
    )
)  # fmt: skip


@settings(max_examples=40)
@given(policies)
def test_the_predicted_sizes_are_those_of_the_prompts_and_no_choice_is_smaller(
    policy: tuple[list[int], list[list[int]], list[tuple[int, int, str]], list[bool]],
) -> None:
    lengths, reach, rows, with_columns = policy
    propositions = [
        proposition(f"p{n}", question=f"{n}" + "q" * length + "{reference}" * column)._replace(
            columns=("reference",) * column
        )
        for n, (length, column) in enumerate(zip(lengths, with_columns, strict=True))
    ]
    circuit = reaching(propositions, reach)
    items = [
        replace(item(str(n), f"{n}", "x" * size, kind % len(reach)), cells=cells({"reference": said}, ("reference",)))
        for n, (kind, size, said) in enumerate(rows)
    ]
    made = plan(propositions, circuit, items)
    asked = list(askable(circuit, items, wanted(circuit, items)))
    assert computed(made, propositions, items, asked) == made.savings.pruned
    everything = list(askable(circuit, items, [tuple(range(len(propositions)))] * len(items)))
    smallest = {id(circuit): made.savings.pruned, 0: made.savings.split}
    for layouts in product(LAYOUTS, repeat=len(propositions)):
        other = replace(made, layouts=layouts)
        assert computed(other, propositions, items, asked) >= smallest[id(circuit)]
        assert computed(other, propositions, items, everything) >= smallest[0]
    for name, layout in zip(("question_first", "conversation_first"), LAYOUTS, strict=True):
        other = replace(made, layouts=(layout,) * len(propositions))
        assert computed(other, propositions, items, everything) == getattr(made.savings, name)
    assert made.savings.pruned <= made.savings.split <= made.savings.naive


def test_every_wanted_question_is_asked_once_and_nothing_else() -> None:
    names = ("short", "brief", "unused")
    propositions = [proposition("long", question="q" * 5000), *(proposition(name) for name in names)]
    circuit = reaching(propositions, [(0, 1, 2), (1, 2)])
    kinds = (0, 1, -1, 0)
    items = [item(str(n), "Hello?", f"{n}" * 2000, kind) for n, kind in enumerate(kinds)]
    asked = wanted(circuit, items)
    assert reached(circuit) == ((0, 1, 2), (1, 2))
    assert asked == ((0, 1, 2), (1, 2), (), (0, 1, 2))
    made = plan(propositions, circuit, items)
    assert made.layouts[:3] == ("question-first", "conversation-first", "conversation-first")
    groups = [[(ask.item, ask.propositions) for ask in group] for group in made.groups(asked, items)]
    assert groups == [
        [(0, (0,)), (3, (0,))],
        [(0, (1,)), (0, (2,))],
        [(1, (1,)), (1, (2,))],
        [(3, (1,)), (3, (2,))],
    ]


def test_more_response_types_than_are_solved_exactly() -> None:
    propositions = [proposition(f"p{n}", question="q" * (200 * n + 1)) for n in range(6)]
    circuit = reaching(propositions, [tuple(range(6))] * 12)
    items = [item(str(n), "Hello?", "x" * 900, n % 12) for n in range(24)]
    few = reaching(propositions, [tuple(range(6))])
    same = [item(str(n), "Hello?", "x" * 900, 0) for n in range(24)]
    made = plan(propositions, circuit, items).savings
    assert made.pruned <= min(made.conversation_first, made.question_first)
    assert made.pruned <= 1.02 * plan(propositions, few, same).savings.pruned


def test_nothing_to_grade() -> None:
    propositions = [proposition("a")]
    made = plan(propositions, reaching(propositions, [(0,)]), [])
    assert made.savings.naive == made.savings.pruned == 0
    assert made.savings.factor == 1.0
    assert list(made.groups([], [])) == []
    assert plan([], reaching([], [()]), [item("a")]).savings.pruned == 0
