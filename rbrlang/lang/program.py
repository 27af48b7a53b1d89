"""What does the author's text mean, once every name is resolved?

A `Program` is the typed result of elaboration: names are gone, every formula speaks of *atoms*, and
every place that a later stage may want to point at carries a `Span`. It knows no probabilities
beyond the numbers the author declared, and nothing about diagrams or arrays.

An **atom** is a Boolean unknown of a completion: a *proposition* (a grader answers it), a *step* of a scale or a
choice (`rbrlang.lang.variables`) or a *measure* (computed from the text). Atoms are numbered propositions first, then
steps, then measures, and behind them what is a feature and in no formula: *readings*, which are a scale's mean or the chance of
some values, and the features of rubrics, which are numbers. That numbering is the column order of every array downstream.

Small values are named tuples for the reason given in `syntax.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from rbrlang.lang.checks import Against
from rbrlang.lang.variables import Domain, Share, said
from rbrlang.source import Span
from rbrlang.values import NamedTuple

Judged = Literal["final", "assistant", "trajectory", "thought"]
"""Which text of a completion is judged: the assistant's last turn, all its turns, every turn, or its thoughts."""


class Message(NamedTuple):
    """One chat message of a few-shot example or of a test's prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


class Shot(NamedTuple):
    """A few-shot example shown to the grader: a conversation and the answer it deserves."""

    answer: bool
    messages: tuple[Message, ...]
    because: str | None


class Cue(NamedTuple):
    """Textual evidence (an RE2 pattern) for graders that have no language model."""

    answer: bool
    pattern: str
    span: Span


class Instruction(NamedTuple):
    """What a writer is told so that a proposition holds of what it writes (`answer`), or does not."""

    answer: bool
    text: str
    span: Span


class Column(NamedTuple):
    """A column of the rows that questions may name; `about` says what it holds."""

    name: str
    about: str
    doc: str
    span: Span


class Proposition(NamedTuple):
    """An atomic statement about a completion given its prompt, judged by a grader.

    `prior` is the declared P(true); `fp`, `fn` are the grader's declared error rates P(yes | false)
    and P(no | true); `cost` is in arbitrary units, relative to other propositions. `instructions` holds at
    most one for each answer; the others follow from the statement (`learning.specify`). `over` is the text judged.
    `columns` are those of a row that its texts name in braces (`rbrlang.lang.braces`), each once.
    """

    name: str
    statement: str
    question: str
    shots: tuple[Shot, ...]
    cues: tuple[Cue, ...]
    prior: float
    fp: float
    fn: float
    cost: float
    doc: str
    span: Span
    instructions: tuple[Instruction, ...] = ()
    over: Judged = "final"
    columns: tuple[str, ...] = ()


PointsOver = Literal["positive", "absolute", "sum", "mean"]
"""What the points of the criteria that are met are taken over: the positive points, all without their signs, 1, or their number."""


class Rubric(NamedTuple):
    """Weighted criteria that every row brings along, in `column`; `question` is asked of each of them.

    `tags` are pairs of a feature's name and the tag that its criteria carry in the rows; without any there is one feature of
    all criteria. `clip` holds each feature.
    """

    name: str
    column: str
    points: PointsOver
    clip: tuple[float, float] | None
    tags: tuple[tuple[str, str], ...]
    question: Proposition
    doc: str
    span: Span

    @property
    def features(self) -> tuple[str, ...]:
        """Names of its features."""
        return tuple(f"{self.name}.{tag}" for tag, _ in self.tags) or (self.name,)

    @property
    def keys(self) -> tuple[str, ...]:
        """What says the same of a feature in every policy, and that no proposition can be called."""
        clip = "" if self.clip is None else f" clip {self.clip[0]!r}, {self.clip[1]!r}"
        whole = f"{self.name} from {self.column} over {self.points}{clip}"
        every = " ".join(sorted(json.dumps(tag) for _, tag in self.tags))
        return tuple(f"{whole} by tag {json.dumps(tag)} of {every}" for _, tag in self.tags) or (whole,)


class Sample(NamedTuple):
    """A few-shot example of a variable: a conversation and the number of the value that it deserves."""

    value: int
    messages: tuple[Message, ...]
    because: str | None


class Variable(NamedTuple):
    """A scale or a choice: a question about a completion that has one of several answers.

    `about` says what each value means, empty where nothing is said; `prior` is its declared chance, and sums to 1.
    """

    domain: Domain
    statement: str
    question: str
    about: tuple[str, ...]
    samples: tuple[Sample, ...]
    prior: tuple[float, ...]
    cost: float
    doc: str
    span: Span
    over: Judged = "final"
    columns: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name."""
        return self.domain.name


class Reading(NamedTuple):
    """A feature that is taken of a variable's distribution: a scale's mean, or the chance of some values."""

    name: str
    share: Share


MeasureKind = Literal[
    "words", "characters", "sentences", "lines", "count", "matches", "contains", "json", "json_schema", "equals",
    "contains_column", "number_equals", "python", "steps", "calls", "tool_errors",
]  # fmt: skip


OF_THE_TRAJECTORY: tuple[MeasureKind, ...] = ("steps", "calls", "tool_errors")
"""Measures that count turns and calls, not text."""

OF_A_COLUMN: tuple[MeasureKind, ...] = ("equals", "contains_column", "number_equals")
"""Measures that compare a text with what the row says in a column; see `rbrlang.lang.checks` for their patterns."""

CHECKS: tuple[MeasureKind, ...] = ("matches", "contains", "json", "json_schema", "python", *OF_A_COLUMN)
"""Measures that hold or do not, but for numbers of `python` as a ramp; all others are counts."""


def measure_name(
    kind: MeasureKind, pattern: str, threshold: int, over: Judged, general: Judged, top: int | None = None
) -> str:
    """A measure as a policy judged by `general` writes it.

    >>> measure_name("words", "", 60, "final", "final"), measure_name("words", "", 500, "thought", "final", 900)
    ('words > 60', 'words over thought from 500 to 900')
    """
    quoted = pattern.replace("\\", "\\\\").replace('"', '\\"')
    name = f'{kind}("{quoted}")' if kind in ("count", "matches", "contains", "calls", "python") else kind
    if kind in OF_A_COLUMN:
        name = f"{kind.removesuffix('_column')}({pattern})"
    elif kind == "json_schema":  # by what it says: a schema is longer than a name may be
        name = f"{kind}({hashlib.sha256(pattern.encode()).hexdigest()[:12]})"
    if over != general and kind not in OF_THE_TRAJECTORY:
        name += f" over {over}"
    if kind in CHECKS and top is None:
        return name
    return f"{name} > {threshold}" if top is None else f"{name} from {threshold} to {top}"


class Measure(NamedTuple):
    """A property computed from the completion's text, never sent to a grader.

    For counting kinds the atom is true when the count is **greater than** `threshold`; every
    comparison the author wrote is expressed through such atoms. Those of `CHECKS` have no threshold. `pattern` is what
    stands in the parentheses: a regular expression, a text, a schema, the name of a function, or a column with how closely it is compared.
    With a `top` it is a ramp, a number that no formula has: 0 up to the threshold, 1 from the top.
    `steps`, `calls` and `tool_errors` are of the trajectory, whatever is judged.
    """

    name: str
    kind: MeasureKind
    pattern: str
    threshold: int
    span: Span
    over: Judged = "final"
    top: int | None = None

    @property
    def quantity(self) -> tuple[str, str, Judged]:
        """What is counted: measures of one quantity differ in their threshold alone."""
        return self.kind, self.pattern, self.over

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of a row that it compares with, if it does."""
        return (Against.read(self.pattern).column,) if self.kind in OF_A_COLUMN else ()

    @property
    def key(self) -> str:
        """A name that is the same in every policy, whatever that is judged by, and that no proposition can have."""
        if self.kind == "json":
            return f"json over {self.over}"
        return measure_name(self.kind, self.pattern, self.threshold, self.over, "final", self.top)


# --- formulas ---------------------------------------------------------------------------------


class Const(NamedTuple):
    """`true` or `false`."""

    value: bool
    span: Span


class Var(NamedTuple):
    """An atom, by its number."""

    atom: int
    span: Span


class Ref(NamedTuple):
    """A derived proposition, by its number in `Program.definitions`."""

    definition: int
    span: Span


class ClassRef(NamedTuple):
    """A class of the response type under discussion (properties only)."""

    name: str
    span: Span


class Not(NamedTuple):
    """Negation."""

    operand: Formula
    span: Span


class And(NamedTuple):
    """Conjunction of any number of operands."""

    operands: tuple[Formula, ...]
    span: Span


class Or(NamedTuple):
    """Disjunction of any number of operands."""

    operands: tuple[Formula, ...]
    span: Span


class Implies(NamedTuple):
    """`left => right`."""

    left: Formula
    right: Formula
    span: Span


class Iff(NamedTuple):
    """`left <=> right`."""

    left: Formula
    right: Formula
    span: Span


class AtLeast(NamedTuple):
    """At least `k` of the operands hold. The other quantifiers are written with this one."""

    k: int
    operands: tuple[Formula, ...]
    span: Span


Formula = Const | Var | Ref | ClassRef | Not | And | Or | Implies | Iff | AtLeast


# --- declarations -----------------------------------------------------------------------------


class Definition(NamedTuple):
    """A derived proposition."""

    name: str
    formula: Formula
    doc: str
    span: Span
    imported: bool


def walk(
    formula: Formula, definitions: Sequence[Definition] = (), entered: set[int] | None = None
) -> Iterator[Formula]:
    """A formula and all its parts, depth first, left before right.

    With `entered`, derived propositions are followed into `definitions`: each one whose number is not in the set yet,
    and its number is put there.
    """
    pending = [formula]
    while pending:
        current = pending.pop()
        yield current
        match current:
            case Ref():
                if entered is not None and current.definition not in entered:
                    entered.add(current.definition)
                    pending.append(definitions[current.definition].formula)
            case Not():
                pending.append(current.operand)
            case And() | Or() | AtLeast():
                pending += reversed(current.operands)
            case Implies() | Iff():
                pending += (current.right, current.left)
            case Const() | Var() | ClassRef():
                pass
            case _:
                assert_never(current)


def named(formula: Formula, definitions: Sequence[Definition]) -> Formula:
    """What a formula stands for that may be but the name of another."""
    while isinstance(formula, Ref):
        formula = definitions[formula.definition].formula
    return formula


class Axiom(NamedTuple):
    """A constraint that holds of every real completion. Implied ones relate measures' thresholds."""

    formula: Formula
    span: Span
    implied: bool


class Otherwise(NamedTuple):
    """The rule of a class that takes whatever no other rule of its response type takes."""

    span: Span


class ClassRule(NamedTuple):
    """When a completion belongs to a class. `span` is the class's name in the rule."""

    name: str
    formula: Formula | Otherwise
    span: Span


@dataclass(frozen=True, slots=True)
class Feature:
    """One term of the linear reward: a class's probability, an atom's, or the number that is one for a rubric."""

    name: str
    kind: Literal["class", "proposition"]
    index: int  # of the class in `ResponseType.classes`, or of the atom
    rubric: bool = False


class WeightBound(NamedTuple):
    """What the author said of a weight: `low <= weight <= high`; a fixed weight has both equal."""

    feature: int
    low: float
    high: float
    span: Span


@dataclass(frozen=True, slots=True)
class ResponseType:
    """A kind of answer that a prompt may ask for, with its ranked classes.

    `ranks` runs from best to worst; the classes of one inner tuple tie. `cascade` tells how `rules`
    are read: the first that holds, or each on its own. `margins[c]` is the wanted gap of class `c`
    (in the order of `classes`) over any class of worse rank.
    """

    name: str
    ranks: tuple[tuple[str, ...], ...]
    rules: tuple[ClassRule, ...]
    cascade: bool
    features: tuple[Feature, ...]
    bounds: tuple[WeightBound, ...]
    margins: tuple[float, ...]
    span: Span

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, best rank first."""
        return tuple(name for tier in self.ranks for name in tier)

    @property
    def rank_of(self) -> tuple[int, ...]:
        """For each of `classes`, the index of its rank; 0 is best."""
        return tuple(rank for rank, tier in enumerate(self.ranks) for _ in tier)


class TruthTest(NamedTuple):
    """A test on truth values: atoms in `given` hold, every other proposition is false."""

    title: str
    response: int
    given: tuple[tuple[int, bool], ...]
    expect: tuple[str, ...]
    span: Span


class TextTest(NamedTuple):
    """A test on real text; it needs a grader. `cells` are what its row has in columns, by their names."""

    title: str
    response: int
    prompt: tuple[Message, ...]
    completion: str
    expect: tuple[str, ...]
    span: Span
    cells: tuple[tuple[str, str], ...] = ()


class Property(NamedTuple):
    """A formula over atoms and classes that every completion of a response type must satisfy."""

    title: str
    response: int
    formula: Formula
    span: Span


class Monotone(NamedTuple):
    """A claim: making an atom true, all else equal, moves no completion to a better (`down`) or worse (`up`) rank.

    Of a scale it is that a higher level does so; then `atom` is its first step, and `scale` its number.
    """

    response: int
    atom: int
    up: bool
    span: Span
    scale: int | None = None


class Unused(NamedTuple):
    """A group, parameter, column or import of the root file that nothing mentions; `cut` is what may be taken out."""

    kind: Literal["group", "parameter", "column", "import"]
    name: str
    span: Span
    cut: Span | None


class SourceFile(NamedTuple):
    """One file of the program: what it is called in messages, its text, and what each of its `use` means.

    `imports` are the numbers of other sources of the program, all of them before this one.
    """

    name: str
    text: str
    imports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """A whole policy, resolved. Raised problems are diagnostics, so a `Program` is always consistent.

    `judged` is the text that is judged where neither a proposition nor its file says another. `columns` are those of the
    rows that some proposition's texts name.
    """

    propositions: tuple[Proposition, ...]
    measures: tuple[Measure, ...]
    definitions: tuple[Definition, ...]
    axioms: tuple[Axiom, ...]
    responses: tuple[ResponseType, ...]
    categories: tuple[tuple[str, int], ...]
    tests: tuple[TruthTest | TextTest, ...]
    properties: tuple[Property, ...]
    monotones: tuple[Monotone, ...]
    params: tuple[tuple[str, float], ...]
    unused: tuple[Unused, ...]
    sources: tuple[SourceFile, ...]
    judged: Judged
    columns: tuple[Column, ...] = ()
    rubrics: tuple[Rubric, ...] = ()
    variables: tuple[Variable, ...] = ()
    readings: tuple[Reading, ...] = ()

    @property
    def questions(self) -> tuple[Proposition | Variable, ...]:
        """All that graders are asked: propositions, then what rubrics ask of each criterion, then scales and choices."""
        return (*self.propositions, *(rubric.question for rubric in self.rubrics), *self.variables)

    @property
    def atoms(self) -> tuple[str, ...]:
        """Names of all atoms, in column order: propositions, steps, measures, readings, features of rubrics."""
        return (
            *(p.name for p in self.propositions), *(d.step_name(s) for d, s in self._steps()),
            *(m.name for m in self.measures), *(r.name for r in self.readings),
            *(name for rubric in self.rubrics for name in rubric.features),
        )  # fmt: skip

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of all atoms that mean the same in every policy, in column order."""
        return (
            *(p.name for p in self.propositions), *(d.step_key(s) for d, s in self._steps()),
            *(m.key for m in self.measures), *(r.name for r in self.readings),
            *(key for rubric in self.rubrics for key in rubric.keys),
        )  # fmt: skip

    @property
    def priors(self) -> tuple[float, ...]:
        """Declared P(true) of every atom; 0.5 where nothing was declared, equal values of a variable."""
        steps = (s.of(v.prior) for at, v in enumerate(self.variables) for s in v.domain.steps(at))
        readings = (r.share.of(self.variables[r.share.variable].prior) for r in self.readings)
        others = (0.5,) * sum(len(rubric.features) for rubric in self.rubrics)
        return (*(p.prior for p in self.propositions), *steps, *(0.5 for _ in self.measures), *readings, *others)

    @property
    def domains(self) -> tuple[tuple[int, Domain], ...]:
        """The variables' values, each with the atom of the first step."""
        found: list[tuple[int, Domain]] = []
        first = len(self.propositions)
        for variable in self.variables:
            found.append((first, variable.domain))
            first += len(variable.domain.values) - 1
        return tuple(found)

    @property
    def first_measure(self) -> int:
        """The atom of the first measure."""
        return len(self.propositions) + sum(len(v.domain.values) - 1 for v in self.variables)

    def variable_of(self, atom: int) -> int | None:
        """The number of the variable that an atom is a step or a reading of."""
        for number, (first, domain) in enumerate(self.domains):
            if first <= atom < first + len(domain.values) - 1:
                return number
        reading = atom - self.first_measure - len(self.measures)
        return self.readings[reading].share.variable if 0 <= reading < len(self.readings) else None

    def values(self, true: Collection[int]) -> tuple[int, ...]:
        """The number of each variable's value when exactly these atoms hold."""
        return tuple(
            domain.value({atom - first for atom in true if first <= atom < first + len(domain.values) - 1})
            for first, domain in self.domains
        )

    def read(self, true: Collection[int]) -> dict[int, float]:
        """What each reading, by its atom, is when exactly these atoms hold."""
        start, values = self.first_measure + len(self.measures), self.values(true)
        return {start + at: r.share.worth[values[r.share.variable]] or 0.0 for at, r in enumerate(self.readings)}

    def fact(self, atom: int, value: bool) -> str:
        """One atom's value in words, that of a step as what it decides of its variable."""
        for first, domain in self.domains:
            if first <= atom < first + len(domain.values) - 1:
                return domain.step_said(atom - first, value)
        return ("" if value else "!") + self.atoms[atom]

    def said(self, facts: Mapping[int, bool]) -> tuple[tuple[str, bool], ...]:
        """Facts about atoms by their names; those about steps say which values the variable has."""
        return said(self.atoms, self.domains, facts)

    def _steps(self) -> Iterator[tuple[Domain, int]]:
        for variable in self.variables:
            yield from ((variable.domain, step) for step in range(len(variable.domain.values) - 1))
