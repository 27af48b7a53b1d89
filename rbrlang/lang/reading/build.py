"""Which node does each production of the grammar make?

An entry of `_NODES` or a method for each action of `grammar/rbr.lark`; the children are tokens and nodes in the order written.
What the grammar is too coarse to forbid is judged on the way: by `precedence.py` in formulas, by `literals.py` in
strings and numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any, Literal

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, Fix, did_you_mean, twice
from rbrlang.lang import syntax as tree
from rbrlang.lang.reading import grammar, rubric
from rbrlang.lang.reading.literals import Literals
from rbrlang.lang.reading.precedence import Infix, grouped
from rbrlang.lang.reading.tokens import Token
from rbrlang.source import Source, Span

_COUNTED = ("words", "characters", "sentences", "lines", "steps", "tool_errors")
_OF_A_TEST = ("given", "prompt", "completion", "column", "expect")


class Splice(list[Any]):
    """Children that join their parent's."""


class Builder:
    """Makes tree nodes; collects what is wrong with them in `diagnostics`."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.doc = ""
        self.diagnostics: list[Diagnostic] = []
        self.read = Literals(source, self.diagnostics)
        made: dict[str, Callable[[list[Any], Span], Any]] = {
            **{name: MethodType(make, self) for name, make in _NODES.items()},
            **{name[4:]: getattr(self, name) for name in dir(self) if name.startswith("_on_")},
        }
        self.actions = tuple(made.get(rule.action) for rule in grammar.load().rules)
        """For each production, what makes its node of its children and its span; nothing where they go to another."""

    # --- leaves -------------------------------------------------------------------------------

    def _on_path(self, children: list[Any], span: Span) -> tree.Path:
        if len(children) == 1:
            return tree.Path((tree.Ident(children[0].text, span),), span)
        return tree.Path(tuple(self.read.ident(token) for token in children), span)

    def _on_path_list(self, children: list[Any], span: Span) -> list[tree.Path]:
        if len(children) == 1:
            return [children[0]]
        children[0].append(children[1])  # in place: a copy at every step would be quadratic
        return children[0]

    # --- statements ---------------------------------------------------------------------------

    def _on_module(self, children: list[Any], span: Span) -> tree.Text | tree.Path:
        child = children[0]
        return child if isinstance(child, tree.Path) else self.read.text(child)

    def _on_column(self, children: list[Any], span: Span) -> tree.Column | tree.Variable:
        if children[0].text == "choice":
            return self._on_choice(children, span)  # which lacks its options
        self._begins(children[0], "column")
        return tree.Column(self.read.ident(children[1]), self.read.text(children[2]), self.doc, span)

    def _on_rubric(self, children: list[Any], span: Span) -> tree.Rubric:
        word, name, origin, column, *parts = children
        for found, meant in ((word, "rubric"), (origin, "from")):
            if found.text != meant:
                self.diagnostics.append(Diagnostic(
                    codes.SYNTAX, f"expected `{meant}`, found `{found.text}`", self.read.span(found),
                    help="a rubric reads `rubric name from column { … }`",
                ))  # fmt: skip
        items = tuple(rubric.items(parts, self.read, self.diagnostics))
        return tree.Rubric(self.read.ident(name), self.read.ident(column), items, self.doc, span)

    def _begins(self, word: Token, wanted: str) -> None:
        if word.text != wanted:
            self.diagnostics.append(Diagnostic(
                codes.SYNTAX, f"this is how a {wanted} is declared, not a `{word.text}`", self.read.span(word),
                help='there are `column name "…"`, `scale name 1..5 "…"` and `choice name "…" { option "…" … }`',
            ))  # fmt: skip

    def _on_scale(self, children: list[Any], span: Span) -> tree.Variable:
        return self._variable("scale", 2, children, span)

    def _on_choice(self, children: list[Any], span: Span) -> tree.Variable:
        return self._variable("choice", 0, children, span)

    def _variable(self, kind: str, ends: int, children: list[Any], span: Span) -> tree.Variable:
        annotations = tuple(c for c in children if isinstance(c, tree.Annotation))
        word, name, *rest = children[len(annotations) :]
        self._begins(word, kind)
        levels = tuple(self.read.number(end) for end in rest[:ends])
        statement, *body = rest[ends:]
        return tree.Variable(
            annotations, self.read.ident(name), (levels[0], levels[1]) if levels else None, self.read.text(statement),
            body[0] if body else (), self.doc, span,
        )  # fmt: skip

    def value(self, token: Token) -> tree.Number | tree.Ident:
        return self.read.number(token) if token.kind == "NUMBER" else self.read.ident(token)

    def _on_instance(self, children: list[Any], span: Span) -> tree.Instance:
        word, value, (turns, because, short) = children
        if word.text != "example":
            self.diagnostics.append(Diagnostic(
                codes.SYNTAX, f"`{word.text}` starts no line of a scale or a choice", self.read.span(word),
                help='there are `ask "…"`, a level or an option with what it means, `example VALUE "…"` and `over …`',
            ))  # fmt: skip
        return tree.Instance(self.value(value), turns, because, short, span)

    def _on_prop(self, children: list[Any], span: Span) -> tree.Prop:
        annotations = tuple(c for c in children if isinstance(c, tree.Annotation))
        _, name, statement, *body = children[len(annotations) :]
        return tree.Prop(
            annotations, self.read.ident(name), self.read.text(statement), body[0] if body else (), self.doc, span
        )

    def _on_example(self, children: list[Any], span: Span) -> tree.Example:
        answer, (turns, because, short) = children
        return tree.Example(answer, turns, because, short, span)

    def _on_short_shot(self, children: list[Any], span: Span) -> tuple[Any, Any, bool]:
        turn = tree.Turn("assistant", children[0], children[0].span)
        return (turn,), (children[2] if len(children) == 3 else None), True

    def _on_long_shot(self, children: list[Any], span: Span) -> tuple[Any, Any, bool]:
        turns = tuple(c for c in children if isinstance(c, tree.Turn))
        reasons = [c for c in children if isinstance(c, tree.Text)]
        if len(reasons) > 1:
            self.diagnostics.append(
                twice("this example has two reasons", reasons[1].span, reasons[0].span, "join them")
            )
        if not turns or turns[-1].role != "assistant":
            self.diagnostics.append(Diagnostic(
                codes.SYNTAX, "an example ends with the assistant's message", span,
                help='add `assistant "…"` as the last message',
            ))  # fmt: skip
        return turns, (reasons[0] if reasons else None), False

    def _on_ramp(self, children: list[Any], span: Span) -> tree.Formula:
        first, *inner, begin, low, end, high = children
        quantity, pattern = first if type(first) is tuple else (first.text, None)
        pattern = next((child for child in inner if isinstance(child, tree.Text)), pattern)
        over = next((child for child in inner if isinstance(child, tree.Ident)), None)
        words = begin.text, end.text
        if quantity in (_COUNTED if pattern is None else ("count", "calls", "python")) and words == ("from", "to"):
            return tree.Ramp(quantity, pattern, over, low, high, span)
        self.diagnostics.append(Diagnostic(
            codes.SYNTAX, f"`{span.text}` is no formula, and no count `from` one number `to` another", span,
            help="a number as a feature is written `words from 200 to 400`",
        ))  # fmt: skip
        return tree.Unreadable(span)

    def _on_assign_all(self, children: list[Any], span: Span) -> tree.Assign:
        name = self.read.ident(children[0])
        return tree.Assign(tree.Path((name,), name.span), True, self.body(children[1]), self.doc, span)

    def body(self, child: Any) -> tree.Formula | tree.OtherwiseBody:
        return tree.OtherwiseBody(self.read.span(child)) if isinstance(child, Token) else child

    def _on_response(self, children: list[Any], span: Span) -> tree.Response:
        _, names, _, tiers, *body = children
        return tree.Response(names, tiers, body[0] if body else None, self.doc, span)

    def _on_tier(self, children: list[Any], span: Span) -> tuple[tree.Ident, ...]:
        child = children[0]
        return (self.read.ident(child),) if isinstance(child, Token) else child

    def _on_cell(self, children: list[Any], span: Span) -> tree.Cell:
        word, name, text = children
        if word.text != "column":
            self.diagnostics.append(Diagnostic(
                codes.SYNTAX, f"`{word.text}` starts no line of a test", self.read.span(word),
                help=did_you_mean(word.text, _OF_A_TEST),
            ))  # fmt: skip
        return tree.Cell(self.read.ident(name), text, span)

    def _on_case(self, children: list[Any], span: Span) -> tree.Case:
        literals, classes = children if len(children) == 2 else ((), children[0])
        return tree.Case(literals, classes, span)

    def _on_property(self, children: list[Any], span: Span) -> tree.PropertyDecl:
        _, title, _, response, formula = children
        return tree.PropertyDecl(self.read.text(title), response, formula, self.doc, span)

    # --- formulas -----------------------------------------------------------------------------

    def _on_foreign_negation(self, children: list[Any], span: Span) -> tree.Formula:
        word = Span(self.source, span.start, span.start + 3)
        end = children[-1].span.start
        whole = Span(self.source, span.start, end)
        self.diagnostics.append(Diagnostic(
            codes.FOREIGN_OPERATOR, "`not` is written `!`", word,
            fixes=(Fix("write `!`", whole, "!", "machine-applicable"),),
        ))  # fmt: skip
        return tree.Negation(children[-1], span)

    def _on_bound(self, children: list[Any], span: Span) -> tree.Number | tree.Path:
        child = children[0]
        return child if isinstance(child, tree.Path) else self.read.number(child)

    def _on_comparison(self, children: list[Any], span: Span) -> tree.Comparison:
        (quantity, pattern), *over, relation, bound = children
        return tree.Comparison(quantity, pattern, over[0] if over else None, relation, bound, span)

    def _on_compared(self, children: list[Any], span: Span) -> tree.Formula:
        path, *over, relation, bound = children
        if path.text in ("steps", "tool_errors") or over:
            return self._on_trajectory_count(children, span)
        return tree.Compared(path, relation, bound, span)

    def _on_trajectory_count(self, children: list[Any], span: Span) -> tree.Formula:
        first, *inner, relation, bound = children
        pattern = next((child for child in inner if isinstance(child, tree.Text)), None)
        over = next((child for child in inner if isinstance(child, tree.Ident)), None)
        word = first.text
        if word in (("calls",) if pattern is not None else ("steps", "tool_errors")):
            return tree.Comparison(word, pattern, over, relation, bound, span)
        place = first.span if isinstance(first, tree.Path) else self.read.span(first)
        self.diagnostics.append(Diagnostic(
            codes.SYNTAX, f"`{word}` is no count, and cannot be compared", place,
            help="there are `words`, `characters`, `sentences`, `lines`, `count(\"RE2\")`, `steps`, `calls(\"RE2\")`, `tool_errors`",
        ))  # fmt: skip
        return tree.Unreadable(span)

    def _on_text_measure(self, children: list[Any], span: Span) -> tree.TextMeasure:
        word, pattern, *over = children
        return tree.TextMeasure(word.text, pattern, over[0] if over else None, span)

    def _on_text_check(self, children: list[Any], span: Span) -> tree.Formula:
        path, over = children
        if path.text == "json":
            return tree.TextMeasure("json", None, over, span)
        self.diagnostics.append(Diagnostic(
            codes.SYNTAX, f"`{path.text}` is no check of a text, and has no `over`", path.span,
            help='there are `matches("RE2")`, `contains("text")` and `json`; a proposition says in its block what it is judged `over`',
        ))  # fmt: skip
        return tree.Unreadable(span)

    def _on_written_check(self, children: list[Any], span: Span) -> tree.Formula:
        word, pattern, *over = children
        if word.text in ("json_schema", "python"):
            return tree.TextMeasure(word.text, pattern, over[0] if over else None, span)
        return self._no_check(word.text, self.read.span(word), span)

    def _on_column_check(self, children: list[Any], span: Span) -> tree.Formula:
        word, column, *inner = children
        options = tuple(one for one in inner if isinstance(one, tree.CheckOption))
        over = next((one for one in inner if isinstance(one, tree.Ident)), None)
        if word.text in ("equals", "contains", "number_equals"):
            return tree.ColumnCheck(self.read.ident(word), self.read.ident(column), options, over, span)
        return self._no_check(word.text, self.read.span(word), span)

    def _no_check(self, word: str, place: Span, span: Span) -> tree.Unreadable:
        self.diagnostics.append(Diagnostic(
            codes.SYNTAX, f"`{word}` is no check of a text", place,
            help="there are `matches(\"RE2\")`, `contains(\"text\")`, `json`, `json_schema(\"\"\"{…}\"\"\")`, "
            "`python(\"module.function\")`, `equals(column)`, `contains(column)` and `number_equals(column)`",
        ))  # fmt: skip
        return tree.Unreadable(span)

    def _on_members(self, children: list[Any], span: Span) -> tree.Members:
        child = children[0]
        return tree.Members(child, (), span) if isinstance(child, tree.Path) else tree.Members(None, child, span)

    def _on_formula(self, children: list[Any], span: Span) -> tree.Formula:
        if len(children) == 1:
            return children[0]
        return grouped(children[::2], children[1::2], self.diagnostics)


_Action = Callable[[Builder, list[Any], Span], Any]
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}
_INFIX: Mapping[str, tuple[Literal["&", "|", "=>", "<=>"], bool]] = {
    "op_and": ("&", False), "op_or": ("|", False), "op_implies": ("=>", False), "op_iff": ("<=>", False),
    "op_and_foreign": ("&", True), "op_or_foreign": ("|", True),
}  # fmt: skip
_NODES: Mapping[str, _Action] = {
    **dict.fromkeys(("variable_body", "annotation_args", "prop_body", "ranks", "cascade", "literal_list"), lambda b, c, span: tuple(c)),
    **dict.fromkeys(("start", "literal"), lambda b, c, span: c[0]),
    **dict.fromkeys(("because", "over"), lambda b, c, span: c[1]),
    **dict.fromkeys(("role", "quantifier", "counting"), lambda b, c, span: c[0].text),
    **dict.fromkeys(("name_list", "outcome"), lambda b, c, span: tuple(map(b.read.ident, c))),
    **{name: lambda b, c, span, sign=sign: sign for name, sign in _SIGNS.items()},
    **{name: lambda b, c, span, of=of: Infix(of[0], span, of[1]) for name, of in _INFIX.items()},
    "text": lambda b, c, span: b.read.text(c[0]),
    "string_list": lambda b, c, span: tuple(b.read.text(token) for token in c),
    "path_set": lambda b, c, span: tuple(c[0]) if c else (),
    "edition": lambda b, c, span: tree.Edition(b.read.number(c[1]), span),
    "use_module": lambda b, c, span: tree.Use(c[1], None, None, span),
    "use_names": lambda b, c, span: tree.Use(c[1], c[2], None, span),
    "use_as": lambda b, c, span: tree.Use(c[1], None, b.read.ident(c[3]), span),
    "param": lambda b, c, span: tree.Param(b.read.ident(c[1]), b.read.number(c[2]), b.doc, span),
    "rubric_part": lambda b, c, span: c[0] if c else rubric.COMMA,
    "value": lambda b, c, span: tree.ValueItem(b.value(c[0]), c[1], span),
    "positional": lambda b, c, span: (None, b.read.number(c[0])),
    "named": lambda b, c, span: (b.read.ident(c[0]), b.read.number(c[1])),
    "annotation": lambda b, c, span: tree.Annotation(b.read.ident(c[0]), c[1], span),
    "ask": lambda b, c, span: tree.Ask(c[1], span),
    "answer": lambda b, c, span: c[0].kind == "YES",
    "turn": lambda b, c, span: tree.Turn(c[0], c[1], span),
    "cue": lambda b, c, span: tree.CueItem(c[1], c[2], span),
    "instruct": lambda b, c, span: tree.InstructItem(c[1], c[2], span),
    "over_item": lambda b, c, span: tree.OverItem(c[1], span),
    "judge": lambda b, c, span: tree.Judge(c[1], span),
    "judged": lambda b, c, span: b.read.ident(c[0]),
    "assign": lambda b, c, span: tree.Assign(c[0], False, b.body(c[1]), b.doc, span),
    "override": lambda b, c, span: tree.Override(c[1], b.body(c[2]), span),
    "group": lambda b, c, span: tree.Group(b.read.ident(c[1]), c[2], b.doc, span),
    "axiom": lambda b, c, span: tree.AxiomDecl(c[1], span),
    "cascade_if": lambda b, c, span: tree.CascadeLine(b.read.ident(c[0]), c[2], span),
    "cascade_otherwise": lambda b, c, span: tree.CascadeLine(b.read.ident(c[0]), tree.OtherwiseBody(b.read.span(c[1])), span),
    "category": lambda b, c, span: tree.Category(c[1], c[2], span),
    "reward": lambda b, c, span: tree.Reward(c[1], tuple(c[2:]), span),
    "features": lambda b, c, span: tree.FeatureList(tuple(c[1]), span),
    "weight": lambda b, c, span: tree.WeightItem(c[1], c[2], b.read.number(c[3]), span),
    "margin": lambda b, c, span: tree.MarginItem(b.read.ident(c[1]), b.read.number(c[2]), span),
    "test": lambda b, c, span: tree.Test(b.read.text(c[1]), c[3], tuple(c[4:]), b.doc, span),
    "given": lambda b, c, span: tree.Given(c[1], span),
    "prompt": lambda b, c, span: tree.PromptItem(c[1], span),
    "completion": lambda b, c, span: tree.CompletionItem(c[1], span),
    "expect": lambda b, c, span: tree.Expect(c[1], span),
    "cases": lambda b, c, span: tree.Cases(c[1], tuple(c[2:]), span),
    "monotone": lambda b, c, span: tree.MonotoneDecl(c[1], tuple(c[2:]), span),
    "trend": lambda b, c, span: tree.Trend(c[0], b.read.ident(c[1]), span),
    "name": lambda b, c, span: tree.Name(c[0], span),
    "true": lambda b, c, span: tree.Constant(True, span),
    "false": lambda b, c, span: tree.Constant(False, span),
    "super": lambda b, c, span: tree.Super(span),
    "negation": lambda b, c, span: tree.Negation(c[0], span),
    "parenthesis": lambda b, c, span: tree.Parenthesis(c[0], span),
    "quantity": lambda b, c, span: (c[0].text, c[1] if len(c) == 2 else None),
    "fold": lambda b, c, span: tree.CheckOption(b.read.ident(c[0]), b.read.ident(c[1]), span),
    "within": lambda b, c, span: tree.CheckOption(b.read.ident(c[0]), b.read.number(c[1]), span),
    "quantified": lambda b, c, span: tree.Quantified(c[0], None, c[1], span),
    "counted": lambda b, c, span: tree.Quantified(c[0], b.read.number(c[1]), c[2], span),
}  # fmt: skip
"""What a production makes, by its action in the grammar, of the children `c` and their `span` where that is plain."""
