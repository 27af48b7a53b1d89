"""What changes for completions when one policy takes the place of another?

Both policies' functions are brought into one manager, atoms matched by name. A cell of the transition matrix, "was
class a, is class b", is then the conjunction of two functions: its probability is a weighted count, its example the
smallest partial assignment that forces it. Nothing is sampled or enumerated.

Masses are over completions that the axioms of both policies allow, under the new policy's priors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rbrlang.errors import UserError
from rbrlang.lang.program import Program, Proposition, ResponseType, Variable
from rbrlang.lang.variables import said
from rbrlang.logic.bdd import FALSE, TRUE, Bdd, NodeBudget
from rbrlang.logic.compile import BUDGET, Compiled, CompiledResponse
from rbrlang.logic.fingerprint import fingerprint
from rbrlang.logic.witness import smallest_witness
from rbrlang.logic.worth import default_weights, expected_reward
from rbrlang.values import NamedTuple

Literals = tuple[tuple[str, bool], ...]
_CELL = 3  # steps
_ROOM = 4  # the joint diagrams may have so many times the nodes of one policy's


class Side(NamedTuple):
    """One of the two policies, without errors."""

    program: Program
    compiled: Compiled


@dataclass(frozen=True, slots=True)
class Cell:
    """One move, from class `before` to class `after`: its share of completions, and the fewest facts that force it.

    `reward` is the change of the class's own default weight.
    """

    before: str
    after: str
    mass: float
    witness: Literals
    reward: float


@dataclass(frozen=True, slots=True)
class ResponseDiff:
    """One response type that both have. `masses[i][j]` is the share that was class `i` and is class `j`.

    `moved` are the cells of different classes that can occur at all, heaviest first. `reward` is the expected rule
    reward before and after, with default weights. `regraded` says whether ranks or features changed.
    """

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    masses: tuple[tuple[float, ...], ...]
    moved: tuple[Cell, ...]
    reward: tuple[float, float]
    regraded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AxiomDiff:
    """Completions that one policy's axioms allow and the other's exclude: share and example; None where there are none."""

    excluded: tuple[float, Literals] | None
    allowed: tuple[float, Literals] | None


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """Everything that differs between two policies, old to new."""

    fingerprints: tuple[str, str]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    reworded: tuple[str, ...]
    responses: tuple[ResponseDiff, ...]
    new_responses: tuple[str, ...]
    lost_responses: tuple[str, ...]
    categories: tuple[tuple[str, str | None, str | None], ...]
    axioms: AxiomDiff

    @property
    def same_logic(self) -> bool:
        """Whether the two policies decide alike, by their fingerprints."""
        return self.fingerprints[0] == self.fingerprints[1]


class DiffError(UserError):
    """Two policies that cannot be compared; the message says why."""


def renames(old: Program, new: Program) -> dict[str, str]:
    """Propositions that only changed their name: same statement, and no other like it. Old name to new name."""
    before, after = set(old.keys), set(new.keys)
    gone, come = dict[str, list[str]](), dict[str, list[str]]()
    for propositions, others, found in ((old.propositions, after, gone), (new.propositions, before, come)):
        for proposition in propositions:
            if proposition.name not in others:
                found.setdefault(proposition.statement, []).append(proposition.name)
    return {
        names[0]: come[statement][0]
        for statement, names in gone.items()
        if len(names) == len(come.get(statement, ())) == 1
    }


def diff(old: Side, new: Side, renamed: Mapping[str, str]) -> PolicyDiff:
    """Compare two policies; `renamed` maps names of old propositions to new ones.

    Raises `DiffError` when no completion satisfies the axioms of both, or the joint diagrams grow too large.
    """
    try:
        return _Differ(old, new, renamed).run()
    except NodeBudget:
        raise DiffError("the two policies together are too large to compare exactly") from None


class _Differ:
    def __init__(self, old: Side, new: Side, renamed: Mapping[str, str]) -> None:
        self.old, self.new, self.renamed = old, new, dict(renamed)
        self.work = new.compiled.bdd.work  # of both policies
        self.names = list(new.program.keys)  # which mean the same in both, whatever a policy is judged by
        number = {name: at for at, name in enumerate(self.names)}
        self.priors = list(new.program.priors)
        self.of_old: list[int] = []  # joint numbers of the old atoms
        for name, prior in zip(old.program.keys, old.program.priors, strict=True):
            name = self.renamed.get(name, name)
            if name not in number:
                number[name] = len(self.names)
                self.names.append(name)
                self.priors.append(prior)
            self.of_old.append(number[name])
        firsts = [(first, domain) for first, domain in new.program.domains]
        firsts += [(self.of_old[first], domain) for first, domain in old.program.domains]
        self.domains = list(dict.fromkeys(firsts))
        order = (*new.compiled.bdd.order, *(self.of_old[at] for at in old.compiled.bdd.order), *range(len(self.names)))
        self.bdd = Bdd(list(dict.fromkeys(order)), budget=_ROOM * BUDGET, work=self.work)

    def run(self) -> PolicyDiff:
        """Everything that differs."""
        old, new = self.old.program, self.new.program
        axioms_old = self.moved(self.old.compiled.bdd, [self.old.compiled.axioms], self.of_old)[0]
        axioms_new = self.moved(self.new.compiled.bdd, [self.new.compiled.axioms], range(len(new.keys)))[0]
        context = self.bdd.conjoin(axioms_old, axioms_new)
        if context == FALSE:
            raise DiffError("no completion satisfies the axioms of both policies, so no class can be compared")
        mine = {item.response.name: item for item in self.new.compiled.responses if item is not None}
        theirs = {item.response.name: item for item in self.old.compiled.responses if item is not None}
        known = {p.name: p for p in (*old.propositions, *old.variables)}
        shown = [tuple(_shown_keys(program)) for program in (old, new)]
        keys = (set(shown[0]), set(shown[1]))
        back = {after: before for before, after in self.renamed.items()}
        return PolicyDiff(
            fingerprints=(fingerprint(old, self.old.compiled), fingerprint(new, self.new.compiled)),
            added=tuple(a for a in shown[1] if back.get(a, a) not in keys[0]),
            removed=tuple(a for a in shown[0] if self.renamed.get(a, a) not in keys[1]),
            renamed=tuple(self.renamed.items()),
            reworded=tuple(
                p.name for p in (*new.propositions, *new.variables)
                if (was := known.get(back.get(p.name, p.name))) is not None
                and type(was) is type(p) and _asked(was) != _asked(p)
            ),
            responses=tuple(self.response(theirs[name], mine[name], context) for name in mine if name in theirs),
            new_responses=tuple(name for name in mine if name not in theirs),
            lost_responses=tuple(name for name in theirs if name not in mine),
            categories=_categories(old, new),
            axioms=AxiomDiff(self.only(axioms_old, axioms_new), self.only(axioms_new, axioms_old)),
        )  # fmt: skip

    def moved(self, bdd: Bdd, edges: Sequence[int], numbers: Sequence[int]) -> list[int]:
        """Edges of another manager in this one; `numbers` are its variables' here."""
        here = {0: TRUE}
        reached = bdd.reachable(edges)
        self.work.spend(2 * len(reached))
        for at in reached:
            low, high = bdd.lows[at], bdd.highs[at]
            test = self.bdd.variable(numbers[bdd.order[bdd.levels[at]]])
            here[at] = self.bdd.choose(test, here[high >> 1] ^ (high & 1), here[low >> 1] ^ (low & 1))
        return [here[edge >> 1] ^ (edge & 1) for edge in edges]

    def share(self, edge: int, context: int) -> float:
        """P(edge | context) under the priors; 0 where the priors rule the context out."""
        shares = self.bdd.shares([edge], context, self.priors)
        return shares[0] if shares is not None else 0.0

    def only(self, one: int, other: int) -> tuple[float, Literals] | None:
        rest = self.bdd.conjoin(one, other ^ 1)
        return None if rest == FALSE else (self.share(rest, one), self.witness(rest, TRUE))

    def witness(self, edge: int, context: int) -> Literals:
        found = smallest_witness(self.bdd, edge, context) or {}
        return said(self.names, self.domains, found)

    def response(self, before: CompiledResponse, after: CompiledResponse, context: int) -> ResponseDiff:
        """The transition matrix of one response type."""
        was = self._joint(before, self.old.compiled.bdd, self.of_old)
        now = self._joint(after, self.new.compiled.bdd, range(len(self.new.program.keys)))
        worth_was, worth_now = _worths(before.response), _worths(after.response)
        masses: list[tuple[float, ...]] = []
        cells: list[Cell] = []
        self.work.at(after.response.span)
        for left, one in zip(before.response.classes, was.classes, strict=True):
            self.work.spend(_CELL * len(now.classes))
            row: list[float] = []
            for right, two in zip(after.response.classes, now.classes, strict=True):
                both = self.bdd.conjoin(self.bdd.conjoin(one, two), context)
                row.append(self.share(both, context))
                if left != right and both != FALSE:
                    gain = worth_now[right] - worth_was[left]
                    cells.append(Cell(left, right, row[-1], self.witness(both, context), gain))
            masses.append(tuple(row))
        both = ((was, self.old.program, self.of_old), (now, self.new.program, range(len(self.names))))
        rewards = tuple(
            expected_reward(self.bdd, item, context, self.priors, self._readings(program, numbers))
            for item, program, numbers in both
        )
        return ResponseDiff(
            after.response.name, before.response.classes, after.response.classes, tuple(masses),
            tuple(sorted(cells, key=lambda cell: -cell.mass)), (rewards[0], rewards[1]),
            _regraded(before.response, after.response, self.renamed),
        )  # fmt: skip

    def _readings(self, program: Program, numbers: Sequence[int]) -> dict[int, list[tuple[float, int]]]:
        """For each reading, by its atom here, the worth of each value and the edge that says that it is the one."""
        found: dict[int, list[tuple[float, int]]] = {}
        start = program.first_measure + len(program.measures)
        for at, reading in enumerate(program.readings):
            first, domain = program.domains[reading.share.variable]
            found[numbers[start + at]] = [
                (worth, self.bdd.conjoin_all(
                    self.bdd.variable(numbers[first + step]) ^ (not holds) for step, holds in domain.literals(value)
                ))
                for value, worth in enumerate(reading.share.worth)
                if worth
            ]  # fmt: skip
        return found

    def _joint(self, item: CompiledResponse, bdd: Bdd, numbers: Sequence[int]) -> CompiledResponse:
        """A response type with its functions, and the atoms of its features, in the joint manager."""
        features = tuple(
            replace(f, index=numbers[f.index]) if f.kind == "proposition" else f for f in item.response.features
        )
        classes = tuple(self.moved(bdd, item.classes, numbers))
        return CompiledResponse(replace(item.response, features=features), classes, (), TRUE)


def _worths(response: ResponseType) -> dict[str, float]:
    """The default weight of each class; 0 for a class that is no feature."""
    weights = dict.fromkeys(response.classes, 0.0)
    for feature, weight in zip(response.features, default_weights(response), strict=True):
        if feature.kind == "class":
            weights[feature.name] = weight
    return weights


def _regraded(old: ResponseType, new: ResponseType, renamed: Mapping[str, str]) -> tuple[str, ...]:
    """What changed besides the classes' meaning."""
    changes: list[str] = []
    if [set(tier) for tier in old.ranks] != [set(tier) for tier in new.ranks]:
        changes.append(f"ranks {_shown(old)} became {_shown(new)}")
    features = [{renamed.get(f.name, f.name) for f in old.features}, {f.name for f in new.features}]
    changes += [f"feature `{name}` is gone" for name in sorted(features[0] - features[1])]
    changes += [f"feature `{name}` is new" for name in sorted(features[1] - features[0])]
    return tuple(changes)


def _shown(response: ResponseType) -> str:
    return "`" + " > ".join(t[0] if len(t) == 1 else "{" + ", ".join(t) + "}" for t in response.ranks) + "`"


def _asked(asked: Proposition | Variable) -> tuple[object, ...]:
    """What a grader is shown of a proposition, a scale or a choice."""
    if isinstance(asked, Proposition):
        return asked.statement, asked.question, asked.shots, asked.over, asked.columns
    return asked.statement, asked.question, asked.about, asked.samples, asked.over, asked.columns


def _shown_keys(program: Program) -> Iterator[str]:
    """What a policy judges and measures, by names that mean the same in every policy; variables with their values."""
    yield from (p.name for p in program.propositions)
    for _, domain in program.domains:
        values = domain.values
        yield domain.name + (
            f" {values[0]}..{values[-1]}" if domain.kind == "scale" else f" {{{', '.join(sorted(values))}}}"
        )
    yield from (m.key for m in program.measures)
    yield from (key for rubric in program.rubrics for key in rubric.keys)


def _categories(old: Program, new: Program) -> tuple[tuple[str, str | None, str | None], ...]:
    """Categories that ask for another response type: name, before, after."""
    before = {name: old.responses[number].name for name, number in old.categories}
    after = {name: new.responses[number].name for name, number in new.categories}
    return tuple(
        (name, before.get(name), after.get(name))
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    )
