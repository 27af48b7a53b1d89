"""Which questions are asked about which completions, in which layout and order, and what does that save?

A completion is asked only what the rules and features of its response type reach. Servers keep the
computation of a prompt's beginning, so two requests that begin alike pay for the beginning once. Per
proposition there are two ways to use that: put a long question first and share it among completions, or
put the conversation first and share it among questions. With sizes `A` (question and examples), `b`
(question again), `d` (both), `S` (a conversation), an unlimited prefix cache and `N` completions, a
proposition costs

    question first:      A + Σ (S + b)
    conversation first:  Σ d, and Σ S once for all propositions that choose it

so the choice is one problem per policy, not per proposition: `plan` solves it exactly for up to ten
response types and by descent beyond. Sizes are characters unless the caller brings a token counter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import product

from rbrlang.grading.questions.prompt import Layout, Question, assemble, item_text, question
from rbrlang.grading.results import GradeItem
from rbrlang.lang.program import Judged, Proposition
from rbrlang.logic.circuit import Circuit

Count = Callable[[str], int]
"""Size of a text, additive over joined texts as far as the caller cares."""

_EXACT_TYPES = 10


def estimated_tokens(text: str) -> int:
    """Tokens of a text at four bytes a token, the usual rule of thumb for byte-pair vocabularies."""
    return (len(text.encode(errors="replace")) + 3) // 4


def reached(circuit: Circuit) -> tuple[tuple[int, ...], ...]:
    """For each response type, the propositions that its rules or features reach (measures left out)."""
    asked = len(circuit.propositions)
    return tuple(tuple(a for a in response.atoms if a < asked) for response in circuit.responses)


def wanted(circuit: Circuit, items: Sequence[GradeItem]) -> tuple[tuple[int, ...], ...]:
    """For each item, the propositions to ask; none where its response type is unknown."""
    per_type = reached(circuit)
    return tuple(per_type[i.response] if 0 <= i.response < len(per_type) else () for i in items)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: some propositions (one, for language models) about one item."""

    item: int
    propositions: tuple[int, ...]
    layout: Layout


@dataclass(frozen=True, slots=True)
class Savings:
    """Prompt sizes that a server has to compute, with an unlimited prefix cache, under each strategy.

    `naive` asks every proposition about every completion and reuses nothing; the next three ask as much
    but reuse prefixes, in one layout or the better one per proposition; `pruned` also asks only what each
    response type reaches. `sent` is what the pruned plan sends, reused or not: what an endpoint without a
    prefix cache bills.
    """

    naive: int
    conversation_first: int
    question_first: int
    split: int
    pruned: int
    sent: int

    @property
    def factor(self) -> float:
        """How many times less than naive; 1 for nothing to grade."""
        return self.naive / self.pruned if self.pruned else 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The layout of every proposition, the text that it judges, and what all that saves."""

    layouts: tuple[Layout, ...]
    overs: tuple[Judged, ...]
    savings: Savings

    def groups(self, wanted: Sequence[Sequence[int]]) -> Iterator[tuple[Ask, ...]]:
        """Requests in order; those of one tuple begin alike, so the first warms the cache for the rest.

        `wanted[i]` are the propositions to ask about item `i`. Question-first groups come first, in the
        order of the propositions, then the conversation-first group of each item and text of it: a server with a
        small cache still meets each prefix in one run.
        """
        for p, layout in enumerate(self.layouts):
            if layout == "question-first":
                group = tuple(Ask(i, (p,), layout) for i, asked in enumerate(wanted) if p in asked)
                if group:
                    yield group
        for i, asked in enumerate(wanted):
            last = [p for p in asked if self.layouts[p] == "conversation-first"]
            for over in dict.fromkeys(self.overs[p] for p in last):
                yield tuple(Ask(i, (p,), "conversation-first") for p in last if self.overs[p] == over)


# --- choosing ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Sizes by proposition (`shared`, `again`, `both`) and by response type (`items`, `shown`)."""

    intro: int
    shared: tuple[int, ...]
    again: tuple[int, ...]
    both: tuple[int, ...]
    items: tuple[int, ...]
    shown: tuple[int, ...]

    def question_first(self, p: int, types: Sequence[int]) -> int:
        if not types:
            return 0
        return self.shared[p] + sum(self.shown[r] + self.items[r] * self.again[p] for r in types)

    def conversation_first(self, p: int, types: Sequence[int]) -> int:
        return sum(self.items[r] for r in types) * self.both[p]

    def conversations(self, types: Sequence[int]) -> int:
        return sum(self.shown[r] + self.items[r] * self.intro for r in types)

    def cost(self, layouts: Sequence[Layout], reach: Sequence[Sequence[int]]) -> int:
        """Size under the layouts, proposition `p` being asked for the types `reach[p]`."""
        opened = {r for layout, types in zip(layouts, reach, strict=True) if layout != "question-first" for r in types}
        return self.conversations(sorted(opened)) + sum(
            self.question_first(p, types) if layout == "question-first" else self.conversation_first(p, types)
            for p, (layout, types) in enumerate(zip(layouts, reach, strict=True))
        )

    def sent(self, layouts: Sequence[Layout], reach: Sequence[Sequence[int]]) -> int:
        """Size of everything sent, nothing reused."""
        total = 0
        for p, (layout, types) in enumerate(zip(layouts, reach, strict=True)):
            fixed = self.shared[p] + self.again[p] if layout == "question-first" else self.intro + self.both[p]
            total += sum(self.shown[r] + self.items[r] * fixed for r in types)
        return total


def _best(sizes: _Sizes, reach: Sequence[Sequence[int]]) -> tuple[Layout, ...]:
    """The cheapest layouts. Once it is fixed whose conversations are shared, each proposition is free."""

    def given(opened: Sequence[bool]) -> tuple[Layout, ...]:
        return tuple(
            "conversation-first"
            if types
            and all(opened[r] for r in types)
            and sizes.conversation_first(p, types) < sizes.question_first(p, types)
            else "question-first"
            for p, types in enumerate(reach)
        )

    kinds = len(sizes.items)
    if kinds <= _EXACT_TYPES:
        choices = [given(opened) for opened in product((True, False), repeat=kinds)]
        return min(choices, key=lambda layouts: sizes.cost(layouts, reach))
    opened = [True] * kinds
    best = given(opened)
    for r in range(kinds):
        closed = [*opened[:r], False, *opened[r + 1 :]]
        if sizes.cost(given(closed), reach) < sizes.cost(best, reach):
            opened, best = closed, given(closed)
    return best


def _measured(questions: Sequence[Question], items: Sequence[GradeItem], kinds: int, count: Count) -> _Sizes:
    first = [assemble(q, "", "question-first") for q in questions]
    last = [assemble(q, "", "conversation-first") for q in questions]
    number, shown = [0] * kinds, [0] * kinds
    for item in items:
        if 0 <= item.response < kinds:
            number[item.response] += 1
            shown[item.response] += count(item_text(item.seen(questions[0].over)))
    return _Sizes(
        intro=count(last[0].shared) if last else 0,
        shared=tuple(count(prompt.shared) for prompt in first),
        again=tuple(count(prompt.rest) for prompt in first),
        both=tuple(count(prompt.rest) for prompt in last),
        items=tuple(number),
        shown=tuple(shown),
    )


def plan(
    propositions: Sequence[Proposition],
    circuit: Circuit,
    items: Sequence[GradeItem],
    count: Count = len,
    layout: Layout | None = None,
) -> Plan:
    """The cheapest layout of every proposition for these items, with the sizes of the alternatives.

    `propositions` are those of the program that `circuit` was compiled from, in the same order. With
    `layout` all propositions have that one.
    """
    questions = [question(p) for p in propositions]
    overs: tuple[Judged, ...] = tuple(q.over for q in questions)
    layouts: list[Layout] = ["question-first"] * len(questions)
    total = Savings(0, 0, 0, 0, 0, 0)
    # A beginning is shared by questions about one text only, so each text is a problem of its own.
    for over in dict.fromkeys(overs):
        mine = [p for p, one in enumerate(overs) if one == over]
        chosen, saved = _planned([questions[p] for p in mine], mine, circuit, items, count, layout)
        total = Savings(*(a + b for a, b in zip(astuple(total), astuple(saved), strict=True)))
        for p, one in zip(mine, chosen, strict=True):
            layouts[p] = one
    return Plan(tuple(layouts), overs, total)


def _planned(
    questions: Sequence[Question],
    numbers: Sequence[int],
    circuit: Circuit,
    items: Sequence[GradeItem],
    count: Count,
    layout: Layout | None,
) -> tuple[tuple[Layout, ...], Savings]:
    """The layouts of questions about one text, with their numbers, and the sizes."""
    per_type = reached(circuit)
    kinds, asked = len(per_type), len(questions)
    sizes = _measured(questions, items, kinds, count)
    present = tuple(r for r in range(kinds) if sizes.items[r])
    every = (present,) * asked
    needed = tuple(tuple(r for r in present if p in per_type[r]) for p in numbers)
    all_first: tuple[Layout, ...] = ("question-first",) * asked
    all_last: tuple[Layout, ...] = ("conversation-first",) * asked
    layouts = _best(sizes, needed) if layout is None else (layout,) * asked
    return (
        layouts,
        Savings(
            naive=sizes.sent(all_first, every),
            conversation_first=sizes.cost(all_last, every),
            question_first=sizes.cost(all_first, every),
            split=sizes.cost(_best(sizes, every), every),
            pruned=sizes.cost(layouts, needed),
            sent=sizes.sent(layouts, needed),
        ),
    )
