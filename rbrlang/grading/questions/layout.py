"""Which questions are asked about which completions, in which layout and order, and what does that save?

A completion is asked only what the rules and features of its response type reach. Servers keep the
computation of a prompt's beginning, so two requests that begin alike pay for the beginning once. Per
proposition there are two ways to use that: put a long question first and share it among completions, or
put the conversation first and share it among questions. With sizes `A` (question and examples), `b`
(question again), `d` (both), `S` (a conversation), an unlimited prefix cache and `N` completions, a
proposition costs

    question first:      A + Σ (S + b)
    conversation first:  Σ d, and Σ S once for all propositions that choose it

A question that names columns of the row is another one for every row that says something else there: its `A` is paid
once for each of them, and its `b` and `d` have the row's own size. A row that lacks a column is asked less; what a
conversation takes is counted for it all the same.

so the choice is one problem per policy, not per proposition: `plan` solves it exactly for up to ten
response types and by descent beyond. Sizes are characters unless the caller brings a token counter.

Where a request may hold several questions of yes and no, those about one text of a row share requests, as evenly as possible and
in their order, and all have one layout. Scales, choices and criteria of rubrics are asked alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import product

from rbrlang.grading.questions.prompt import Layout, assemble, item_text, question
from rbrlang.grading.results import GradeItem
from rbrlang.lang.program import Judged, Proposition, Variable
from rbrlang.logic.circuit import Circuit
from rbrlang.rows.cells import Cell, Unfilled

Count = Callable[[str], int]
"""Size of a text, additive over joined texts as far as the caller cares."""

_EXACT_TYPES = 10


def estimated_tokens(text: str) -> int:
    """Tokens of a text at four bytes a token, the usual rule of thumb for byte-pair vocabularies."""
    return (len(text.encode(errors="replace")) + 3) // 4


def reached(circuit: Circuit) -> tuple[tuple[int, ...], ...]:
    """For each response type, the propositions, scales and choices that its rules or features reach, ascending."""
    of_atoms = [circuit.question_of(atom) for atom in range(len(circuit.atoms))]
    return tuple(
        tuple(sorted({q for a in response.atoms if (q := of_atoms[a]) is not None})) for response in circuit.responses
    )


def wanted(circuit: Circuit, items: Sequence[GradeItem]) -> tuple[tuple[int, ...], ...]:
    """For each item, the propositions and variables to ask; none where its response type is unknown."""
    per_type = reached(circuit)
    return tuple(per_type[i.response] if 0 <= i.response < len(per_type) else () for i in items)


def every_question(circuit: Circuit) -> tuple[int, ...]:
    """All propositions and variables."""
    asked = len(circuit.propositions)
    return (*range(asked), *range(circuit.first_variable, circuit.first_variable + len(circuit.variables)))


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: some propositions about one item."""

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
    """The layout of every question, the text that it judges, its columns, and what all that saves.

    `criteria` are the questions that are put to criteria, which are short and of one row, behind the conversation that those of a
    row have in common; they are no part of the savings. A request holds as many as `questions`; the savings are those of one.
    """

    layouts: tuple[Layout, ...]
    overs: tuple[Judged, ...]
    columns: tuple[tuple[str, ...], ...]
    savings: Savings
    criteria: range
    questions: int = 1

    def groups(self, wanted: Sequence[Sequence[int]], items: Sequence[GradeItem]) -> Iterator[tuple[Ask, ...]]:
        """Requests in order; those of one tuple begin alike, so the first warms the cache for the rest.

        `wanted[i]` are the propositions to ask about item `i`. Question-first groups come first, in the
        order of the propositions, then the conversation-first group of each item and text of it: a server with a
        small cache still meets each prefix in one run.
        """
        criteria: dict[tuple[int, int], list[Ask]] = {}
        together = {asked: self._together(asked) for asked in dict.fromkeys(map(tuple, wanted))}
        first = {company for every in together.values() for company in every if self._first(company[0])}
        for company in sorted(first):
            columns = [column for p in company for column in self.columns[p]]
            groups: dict[tuple[Cell, ...], list[Ask]] = {}
            for i, asked in enumerate(wanted):
                if company in together[tuple(asked)]:
                    groups.setdefault(_cells(items[i], columns), []).append(Ask(i, company, "question-first"))
            yield from map(tuple, groups.values())
        for i, asked in enumerate(wanted):
            if asked and asked[0] in self.criteria:
                criteria.setdefault((id(items[i].conversation), asked[0]), []).append(
                    Ask(i, (asked[0],), "conversation-first")
                )
                continue
            last = [company for company in together[tuple(asked)] if not self._first(company[0])]
            for over in dict.fromkeys(self.overs[company[0]] for company in last):
                yield tuple(Ask(i, one, "conversation-first") for one in last if self.overs[one[0]] == over)
        yield from map(tuple, criteria.values())

    def _first(self, p: int) -> bool:
        return self.layouts[p] == "question-first"

    def _together(self, asked: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """The questions of one item by request."""
        if self.questions == 1:
            return tuple((p,) for p in asked)
        alike: dict[tuple[Judged, Layout, int], list[int]] = {}
        for p in asked:
            alone = p if p >= self.criteria.start else -1
            alike.setdefault((self.overs[p], self.layouts[p], alone), []).append(p)
        return tuple(part for every in alike.values() for part in _parted(every, self.questions))


# --- choosing ---------------------------------------------------------------------------------


def _parted(some: Sequence[int], most: int) -> Iterator[tuple[int, ...]]:
    """As few parts as hold `most` each, none of them more than one larger than another."""
    parts = -(-len(some) // most)
    for k in range(parts):
        yield tuple(some[k * len(some) // parts : (k + 1) * len(some) // parts])


def _cells(item: GradeItem, columns: Sequence[str]) -> tuple[Cell, ...]:
    return tuple(item.cell(column) for column in columns)


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Sizes by proposition and, below, by response type: all that its items take together.

    `begun[p]` are the beginnings of question `p`, question first, each with the response types whose items begin so;
    `first[p]` is what they take where nothing is shared. `again[p]` and `both[p]` are what follows the conversations in
    the two layouts, `seen[p]` the conversations of the `asked[p]` items that it can be put to. `items` and `shown` are
    all of them, `intro` is what stands before one.
    """

    intro: int
    items: Sequence[int]
    shown: Sequence[int]
    begun: Sequence[Sequence[tuple[int, frozenset[int]]]]
    first: Sequence[Sequence[int]]
    again: Sequence[Sequence[int]]
    both: Sequence[Sequence[int]]
    seen: Sequence[Sequence[int]]
    asked: Sequence[Sequence[int]]

    def question_first(self, p: int, types: Sequence[int]) -> int:
        begun = sum(size for size, where in self.begun[p] if not where.isdisjoint(types))
        return begun + sum(self.seen[p][r] + self.again[p][r] for r in types)

    def conversation_first(self, p: int, types: Sequence[int]) -> int:
        return sum(self.both[p][r] for r in types)

    def conversations(self, types: Sequence[int]) -> int:
        return sum(self.shown[r] + self.items[r] * self.intro for r in types)

    def cost(self, layouts: Sequence[Layout], reach: Sequence[Sequence[int]]) -> int:
        """Size under the layouts, proposition `p` being asked for the types `reach[p]`."""
        opened = {r for layout, types in zip(layouts, reach, strict=True) if layout != "question-first" for r in types}
        return self.conversations(sorted(opened)) + sum(
            self.question_first(p, types) if layout == "question-first" else self.conversation_first(p, types)
            for p, (layout, types) in enumerate(zip(layouts, reach, strict=True))
        )

    def together(self, propositions: Sequence[int], reach: Sequence[Sequence[int]], questions: int) -> Layout:
        """The cheaper layout for requests of so many questions, where each type's questions share beginnings among its items."""
        per_type = [[p for p in propositions if r in reach[p]] for r in range(len(self.items))]
        sizes = [
            sum(size for p in mine for size, where in self.begun[p] if r in where)
            + sum(self.again[p][r] for p in mine)
            + -(-len(mine) // questions) * self.shown[r]
            for r, mine in enumerate(per_type)
        ]
        first = sum(size for size, mine in zip(sizes, per_type, strict=True) if mine)
        last = self.conversations([r for r, mine in enumerate(per_type) if mine]) + sum(
            self.both[p][r] for r, mine in enumerate(per_type) for p in mine
        )
        return "question-first" if first < last else "conversation-first"

    def sent(self, layouts: Sequence[Layout], reach: Sequence[Sequence[int]]) -> int:
        """Size of everything sent, nothing reused."""
        total = 0
        for p, (layout, types) in enumerate(zip(layouts, reach, strict=True)):
            for r in types:
                total += self.seen[p][r] + (
                    self.first[p][r] + self.again[p][r]
                    if layout == "question-first"
                    else self.asked[p][r] * self.intro + self.both[p][r]
                )
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


def _measured(
    propositions: Sequence[Proposition | Variable], items: Sequence[GradeItem], kinds: int, count: Count
) -> _Sizes:
    over = propositions[0].over
    known = [item.seen(over) for item in items if 0 <= item.response < kinds]
    sizes = [count(item_text(item)) for item in known]
    number, shown = [0] * kinds, [0] * kinds
    for item, size in zip(known, sizes, strict=True):
        number[item.response] += 1
        shown[item.response] += size
    begun: list[list[tuple[int, frozenset[int]]]] = []
    first, again, both, seen, asked = ([[0] * kinds for _ in propositions] for _ in range(5))
    intro = 0
    for p, proposition in enumerate(propositions):
        if proposition.columns:
            fitting = [(i, s) for i, s in zip(known, sizes, strict=True) if _fills(i, proposition.columns)]
            for item, size in fitting:
                seen[p][item.response] += size
                asked[p][item.response] += 1
            groups: dict[tuple[Cell, ...], list[GradeItem]] = {}
            for item, _ in fitting:
                groups.setdefault(_cells(item, proposition.columns), []).append(item)
            rows = [
                (group[0], [sum(i.response == r for i in group) for r in range(kinds)]) for group in groups.values()
            ]
        else:
            seen[p], asked[p], rows = shown, number, [(None, number)]
        begun.append([])
        for item, found in rows:
            said = question(proposition, item)
            one, other = assemble(said, "", "question-first"), assemble(said, "", "conversation-first")
            beginning, rest, whole = count(one.shared), count(one.rest), count(other.rest)
            intro = intro or count(other.shared)
            begun[p].append((beginning, frozenset(r for r in range(kinds) if found[r])))
            for r in range(kinds):
                first[p][r] += found[r] * beginning
                again[p][r] += found[r] * rest
                both[p][r] += found[r] * whole
    return _Sizes(intro, number, shown, begun, first, again, both, seen, asked)


def _fills(item: GradeItem, columns: Sequence[str]) -> bool:
    return not any(isinstance(cell, Unfilled) for cell in _cells(item, columns))


def plan(
    propositions: Sequence[Proposition | Variable],
    circuit: Circuit,
    items: Sequence[GradeItem],
    count: Count = len,
    layout: Layout | None = None,
    questions: int = 1,
) -> Plan:
    """The cheapest layout of every question for these items, with the sizes of the alternatives.

    `propositions` are the questions of the program that `circuit` was compiled from, in the same order. With
    `layout` all propositions have that one. A request may hold so many `questions`.
    """
    overs: tuple[Judged, ...] = tuple(p.over for p in propositions)
    criteria = range(len(circuit.propositions), circuit.first_variable)
    layouts: list[Layout] = ["conversation-first"] * len(propositions)
    total = Savings(0, 0, 0, 0, 0, 0)
    planned = [p for p in range(len(propositions)) if p not in criteria]
    # A beginning is shared by questions about one text only, so each text is a problem of its own.
    for over in dict.fromkeys(overs[p] for p in planned):
        mine = [p for p in planned if overs[p] == over]
        chosen, saved = _planned([propositions[p] for p in mine], mine, circuit, items, count, layout, questions)
        total = Savings(*(a + b for a, b in zip(astuple(total), astuple(saved), strict=True)))
        for p, one in zip(mine, chosen, strict=True):
            layouts[p] = one
    return Plan(tuple(layouts), overs, tuple(p.columns for p in propositions), total, criteria, questions)


def _planned(
    propositions: Sequence[Proposition | Variable],
    numbers: Sequence[int],
    circuit: Circuit,
    items: Sequence[GradeItem],
    count: Count,
    layout: Layout | None,
    questions: int,
) -> tuple[tuple[Layout, ...], Savings]:
    """The layouts of questions about one text, with their numbers, and the sizes."""
    per_type = reached(circuit)
    kinds, asked = len(per_type), len(propositions)
    sizes = _measured(propositions, items, kinds, count)
    present = tuple(r for r in range(kinds) if sizes.items[r])
    every = (present,) * asked
    needed = tuple(tuple(r for r in present if p in per_type[r]) for p in numbers)
    all_first: tuple[Layout, ...] = ("question-first",) * asked
    all_last: tuple[Layout, ...] = ("conversation-first",) * asked
    layouts: tuple[Layout, ...] = _best(sizes, needed) if layout is None else (layout,) * asked
    if layout is None and questions > 1:
        shared = [at for at, proposition in enumerate(propositions) if isinstance(proposition, Proposition)]
        one = sizes.together(shared, needed, questions)
        layouts = tuple(one if at in shared else other for at, other in enumerate(layouts))
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
