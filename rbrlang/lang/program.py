"""What does the author's text mean, once every name is resolved?

A `Program` is the typed result of elaboration: names are gone, every formula speaks of *atoms*, and
every place that a later stage may want to point at carries a `Span`. It knows no probabilities
beyond the numbers the author declared, and nothing about diagrams or arrays.

An **atom** is a Boolean unknown of a completion: a *proposition* (a grader answers it) or a *measure*
(computed from the text). Atoms are numbered propositions first, then measures; that numbering is the
column order of every array downstream.

Small values are named tuples for the reason given in `syntax.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, assert_never

from rbrlang.source import Span

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


class Proposition(NamedTuple):
    """An atomic statement about a completion given its prompt, judged by a grader.

    `prior` is the declared P(true); `fp`, `fn` are the grader's declared error rates P(yes | false)
    and P(no | true); `cost` is in arbitrary units, relative to other propositions. `instructions` holds at
    most one for each answer; the others follow from the statement (`learning.specify`). `over` is the text judged.
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


MeasureKind = Literal[
    "words", "characters", "sentences", "lines", "count", "matches", "contains", "steps", "calls", "tool_errors"
]  # fmt: skip


OF_THE_TRAJECTORY: tuple[MeasureKind, ...] = ("steps", "calls", "tool_errors")
"""Measures that count turns and calls, not text."""


def measure_name(kind: MeasureKind, pattern: str, threshold: int, over: Judged, general: Judged) -> str:
    """A measure as a policy judged by `general` writes it.

    >>> measure_name("words", "", 60, "final", "final"), measure_name("words", "", 500, "thought", "final")
    ('words > 60', 'words over thought > 500')
    """
    quoted = pattern.replace("\\", "\\\\").replace('"', '\\"')
    name = f'{kind}("{quoted}")' if kind in ("count", "matches", "contains", "calls") else kind
    if over != general and kind not in OF_THE_TRAJECTORY:
        name += f" over {over}"
    return name if kind in ("matches", "contains") else f"{name} > {threshold}"


class Measure(NamedTuple):
    """A property computed from the completion's text, never sent to a grader.

    For counting kinds the atom is true when the count is **greater than** `threshold`; every
    comparison the author wrote is expressed through such atoms. `matches` (RE2 search) and
    `contains` (literal text) have no threshold. `pattern` belongs to count, matches, contains, calls.
    `steps`, `calls` and `tool_errors` are of the trajectory, whatever is judged.
    """

    name: str
    kind: MeasureKind
    pattern: str
    threshold: int
    span: Span
    over: Judged = "final"

    @property
    def quantity(self) -> tuple[str, str, Judged]:
        """What is counted: measures of one quantity differ in their threshold alone."""
        return self.kind, self.pattern, self.over

    @property
    def key(self) -> str:
        """A name that is the same in every policy, whatever that is judged by."""
        return measure_name(self.kind, self.pattern, self.threshold, self.over, "final")


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
    """One term of the linear reward: a class's probability, or an atom's."""

    name: str
    kind: Literal["class", "proposition"]
    index: int  # of the class in `ResponseType.classes`, or of the atom


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
    """A test on real text; it needs a grader."""

    title: str
    response: int
    prompt: tuple[Message, ...]
    completion: str
    expect: tuple[str, ...]
    span: Span


class Property(NamedTuple):
    """A formula over atoms and classes that every completion of a response type must satisfy."""

    title: str
    response: int
    formula: Formula
    span: Span


class Monotone(NamedTuple):
    """A claim: making an atom true, all else equal, moves no completion to a better (`down`) or worse (`up`) rank."""

    response: int
    atom: int
    up: bool
    span: Span


class Unused(NamedTuple):
    """A group, parameter or import of the root file that nothing mentions; `cut` is what may be taken out."""

    kind: Literal["group", "parameter", "import"]
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

    `judged` is the text that is judged where neither a proposition nor its file says another.
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

    @property
    def atoms(self) -> tuple[str, ...]:
        """Names of all atoms, in column order: propositions, then measures."""
        return tuple(p.name for p in self.propositions) + tuple(m.name for m in self.measures)

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of all atoms that mean the same in every policy, in column order."""
        return tuple(p.name for p in self.propositions) + tuple(m.key for m in self.measures)

    @property
    def priors(self) -> tuple[float, ...]:
        """Declared P(true) of every atom; 0.5 where nothing was declared."""
        return tuple(p.prior for p in self.propositions) + (0.5,) * len(self.measures)
