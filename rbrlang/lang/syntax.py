"""What did the author write, word for word?

The tree of one file: every node carries its span, parentheses are kept, names are not yet resolved.
Comments are not in the tree but beside it, in order; a doc comment (`##`) is also attached to the
declaration that follows it.

Nodes are named tuples rather than dataclasses: making eighty classes of the latter takes longer than all else
that `rbrc check` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, cast

from rbrlang.source import Source, Span
from rbrlang.values import NamedTuple


class Ident(NamedTuple):
    """A bare name."""

    text: str
    span: Span


class Path(NamedTuple):
    """A dotted name, `a` or `module.a`."""

    parts: tuple[Ident, ...]
    span: Span

    @property
    def text(self) -> str:
        """As written, without white space."""
        return self.parts[0].text if len(self.parts) == 1 else ".".join([part.text for part in self.parts])


class Text(NamedTuple):
    """A string, already unescaped or dedented."""

    value: str
    span: Span


class Number(NamedTuple):
    """A number literal."""

    value: float
    span: Span


# --- formulas ---------------------------------------------------------------------------------


class Name(NamedTuple):
    """A proposition, derived proposition or (in a property) class."""

    path: Path
    span: Span


class Constant(NamedTuple):
    """`true` or `false`."""

    value: bool
    span: Span


class Super(NamedTuple):
    """`super`: in an override, the formula that it replaces."""

    span: Span


class Unreadable(NamedTuple):
    """What stands for a formula and is none; that has been reported."""

    span: Span


class Negation(NamedTuple):
    """`!operand`."""

    operand: Formula
    span: Span


class Parenthesis(NamedTuple):
    """`(inner)`; kept because the author's parentheses are meaning to a reader."""

    inner: Formula
    span: Span


Operator = Literal["&", "|", "=>", "<=>"]


class Operation(NamedTuple):
    """Two or more operands joined by one operator; `=>` and `<=>` have exactly two."""

    operator: Operator
    operands: tuple[Formula, ...]
    span: Span


Relation = Literal[">", ">=", "<", "<=", "==", "!="]


class Comparison(NamedTuple):
    """`words > 60`, `words over thought > 500`: a count of the judged text against a number or parameter."""

    quantity: Literal["words", "characters", "sentences", "lines", "steps", "tool_errors", "count", "calls"]
    pattern: Text | None
    over: Ident | None
    relation: Relation
    bound: Number | Path
    span: Span


class TextMeasure(NamedTuple):
    """`matches("RE2")`, `contains("text")`, `json`, `json_schema("…")` or `python("…")`, with `over` for another text than the judged one."""

    kind: Literal["matches", "contains", "json", "json_schema", "python"]
    pattern: Text | None
    over: Ident | None
    span: Span


class Ramp(NamedTuple):
    """`words from 200 to 400`: a number that is 0 up to the first count, 1 from the second, and between them in between."""

    quantity: Literal["words", "characters", "sentences", "lines", "steps", "tool_errors", "count", "calls", "python"]
    pattern: Text | None
    over: Ident | None
    low: Number | Path
    high: Number | Path
    span: Span


class CheckOption(NamedTuple):
    """`fold: case` or `within: 0.1`."""

    name: Ident
    value: Ident | Number
    span: Span


class ColumnCheck(NamedTuple):
    """`equals(reference, fold: case)`: whether a text is what a row says in a column."""

    kind: Ident
    column: Ident
    options: tuple[CheckOption, ...]
    over: Ident | None
    span: Span


class Members(NamedTuple):
    """The members of a quantifier: a group's name, or an inline list."""

    group: Path | None
    listed: tuple[Path, ...]
    span: Span


Quantifier = Literal["any", "all", "none", "at_least", "at_most", "exactly"]


class Compared(NamedTuple):
    """`helpfulness >= 4`, `tone == hostile`: what may be a scale or a choice against a level, an option or a parameter."""

    path: Path
    relation: Relation
    bound: Number | Path
    span: Span


class Quantified(NamedTuple):
    """`none(rude)`, `at_least(2, {a, b, c})`. `k` is None for any, all and none."""

    quantifier: Quantifier
    k: Number | None
    members: Members
    span: Span


Formula = (
    Name | Constant | Super | Unreadable | Negation | Parenthesis | Operation | Comparison | Compared | TextMeasure
    | ColumnCheck | Ramp
    | Quantified
)  # fmt: skip


# --- statements -------------------------------------------------------------------------------


class Edition(NamedTuple):
    """`rbr 1`."""

    number: Number
    span: Span


class Use(NamedTuple):
    """An import. `module` is a string (a file) or a path (`std.…`)."""

    module: Text | Path
    names: tuple[Ident, ...] | None
    alias: Ident | None
    span: Span


class Param(NamedTuple):
    """`param name = number`."""

    name: Ident
    value: Number
    doc: str
    span: Span


class Column(NamedTuple):
    """`column name "what it holds"`: a column of the rows that texts for graders may name in braces."""

    name: Ident
    about: Text
    doc: str
    span: Span


class Annotation(NamedTuple):
    """`@prior(0.3)`, `@noise(fp: 0.02, fn: 0.05)`: positional arguments have no name."""

    name: Ident
    arguments: tuple[tuple[Ident | None, Number], ...]
    span: Span


class Ask(NamedTuple):
    """The long question of a proposition."""

    question: Text
    span: Span


class Turn(NamedTuple):
    """One message of a few-shot example."""

    role: Literal["system", "user", "assistant"]
    text: Text
    span: Span


class Example(NamedTuple):
    """A few-shot example; a short one is a single assistant turn."""

    answer: bool
    turns: tuple[Turn, ...]
    because: Text | None
    short: bool
    span: Span


class CueItem(NamedTuple):
    """`cue yes "RE2"`."""

    answer: bool
    pattern: Text
    span: Span


class InstructItem(NamedTuple):
    """`instruct yes "…"`."""

    answer: bool
    instruction: Text
    span: Span


class OverItem(NamedTuple):
    """`over trajectory`: which text a proposition is judged by; the name is not yet known to be one."""

    over: Ident
    span: Span


class Prop(NamedTuple):
    """A proposition's declaration."""

    annotations: tuple[Annotation, ...]
    name: Ident
    statement: Text
    items: tuple[Ask | Example | CueItem | InstructItem | OverItem, ...]
    doc: str
    span: Span


class PointsItem(NamedTuple):
    """`points over positive`, `points sum`: what the points are taken over; the name is not yet known to be one."""

    over: Ident
    span: Span


class ClipItem(NamedTuple):
    """`clip 0, 1`."""

    low: Number
    high: Number
    span: Span


class Tag(NamedTuple):
    """A tag of `by tag`: the name of its feature, and how the rows write the tag where that is not the name."""

    name: Ident
    written: Text | None


class TagsItem(NamedTuple):
    """`by tag accuracy, completeness "axis:completeness"`."""

    tags: tuple[Tag, ...]
    span: Span


class Rubric(NamedTuple):
    """`rubric name from column { … }`: weighted criteria that every row brings along."""

    name: Ident
    column: Ident
    items: tuple[PointsItem | ClipItem | TagsItem | Ask | Example | OverItem, ...]
    doc: str
    span: Span


class ValueItem(NamedTuple):
    """`5 "Solves the task."`, `hostile "Attacks the user."`: a level or an option, and what it means."""

    value: Number | Ident
    about: Text
    span: Span


class Instance(NamedTuple):
    """`example 4 "…"`: a few-shot example of a scale or a choice; a short one is a single assistant turn."""

    value: Number | Ident
    turns: tuple[Turn, ...]
    because: Text | None
    short: bool
    span: Span


class Variable(NamedTuple):
    """A scale's declaration, or a choice's, which has no `levels`."""

    annotations: tuple[Annotation, ...]
    name: Ident
    levels: tuple[Number, Number] | None
    statement: Text
    items: tuple[Ask | ValueItem | Instance | OverItem, ...]
    doc: str
    span: Span

    @property
    def kind(self) -> Literal["scale", "choice"]:
        """The word that declares it."""
        return "choice" if self.levels is None else "scale"


class OtherwiseBody(NamedTuple):
    """The word `otherwise` in place of a formula."""

    span: Span


class Assign(NamedTuple):
    """`target := body`: a derived proposition, or a class rule when the target is dotted.

    `every` marks `*.class`, where `target` holds the class alone.
    """

    target: Path
    every: bool
    body: Formula | OtherwiseBody
    doc: str
    span: Span


class Override(NamedTuple):
    """`override response.class := body`: another rule for a class of an imported response type."""

    target: Path
    body: Formula | OtherwiseBody
    span: Span


class Group(NamedTuple):
    """`group name = { members }`."""

    name: Ident
    members: tuple[Path, ...]
    doc: str
    span: Span


class AxiomDecl(NamedTuple):
    """`axiom formula`."""

    formula: Formula
    span: Span


class CascadeLine(NamedTuple):
    """`class if formula` or `class otherwise` inside a response's body."""

    name: Ident
    body: Formula | OtherwiseBody
    span: Span


class Response(NamedTuple):
    """`response names ranks tiers`, with a body when it is a cascade."""

    names: tuple[Ident, ...]
    tiers: tuple[tuple[Ident, ...], ...]
    cascade: tuple[CascadeLine, ...] | None
    doc: str
    span: Span


class Category(NamedTuple):
    """`category "…", "…" -> response`."""

    names: tuple[Text, ...]
    response: Path
    span: Span


class FeatureList(NamedTuple):
    """`features …` of a reward block."""

    names: tuple[Path, ...]
    span: Span


class WeightItem(NamedTuple):
    """`weight feature = number`, or a bound with `<=` or `>=`."""

    feature: Path
    relation: Relation
    value: Number
    span: Span


class MarginItem(NamedTuple):
    """`margin class number`."""

    name: Ident
    value: Number
    span: Span


class Reward(NamedTuple):
    """`reward responses { … }`."""

    responses: tuple[Ident, ...]
    items: tuple[FeatureList | WeightItem | MarginItem, ...]
    span: Span


class Given(NamedTuple):
    """`given a, !b`: the truth of atoms in a test."""

    literals: tuple[Formula, ...]
    span: Span


class PromptItem(NamedTuple):
    """`prompt "…"` of a test on text."""

    text: Text
    span: Span


class CompletionItem(NamedTuple):
    """`completion "…"` of a test on text."""

    text: Text
    span: Span


class Cell(NamedTuple):
    """`column name "…"` in a test on text: what its row has in that column."""

    name: Ident
    text: Text
    span: Span


class Expect(NamedTuple):
    """`expect class` (or `a | b`)."""

    classes: tuple[Ident, ...]
    span: Span


class Test(NamedTuple):
    """A test block."""

    title: Text
    response: Path
    items: tuple[Given | PromptItem | CompletionItem | Cell | Expect, ...]
    doc: str
    span: Span


class Case(NamedTuple):
    """One line of `cases`."""

    literals: tuple[Formula, ...]
    classes: tuple[Ident, ...]
    span: Span


class Cases(NamedTuple):
    """A table of tests for one response type."""

    response: Path
    cases: tuple[Case, ...]
    span: Span


class PropertyDecl(NamedTuple):
    """`property "…" for response: formula`."""

    title: Text
    response: Path
    formula: Formula
    doc: str
    span: Span


class Trend(NamedTuple):
    """`name up` or `name down` in a `monotone` statement; `direction` is not yet known to be one of the two."""

    name: Path
    direction: Ident
    span: Span


class MonotoneDecl(NamedTuple):
    """`monotone response: a down, b up`."""

    response: Path
    trends: tuple[Trend, ...]
    span: Span


class Judge(NamedTuple):
    """`judge assistant`: which text is judged where nothing else is said; the name is not yet known to be one."""

    over: Ident
    span: Span


Statement = (
    Edition | Use | Param | Column | Prop | Variable | Rubric | Assign | Override | Group | AxiomDecl | Response | Category | Reward | Test | Cases
    | PropertyDecl | MonotoneDecl | Judge
)  # fmt: skip


def walk(node: object) -> Iterator[object]:
    """All nodes of a part of the tree, itself among them if it is one, each before those inside of it."""
    pending = [node]
    while pending:
        current = pending.pop()
        if isinstance(current, tuple) and type(current) is not Span:
            if type(current) is not tuple:
                yield current
            pending += reversed(cast("tuple[object, ...]", current))


class Comment(NamedTuple):
    """A comment, `#` included; `doc` for `##`."""

    text: str
    doc: bool
    span: Span

    @property
    def directive(self) -> bool:
        """Whether it speaks to rbrc: `# rbr: …`."""
        return not self.doc and self.text[1:].lstrip(" \t").startswith("rbr:")


class Module(NamedTuple):
    """A parsed file: the statements that could be read, and every comment.

    `lost` are the names that the other statements seem to declare.
    """

    source: Source
    statements: tuple[Statement, ...]
    comments: tuple[Comment, ...]
    lost: frozenset[str]
