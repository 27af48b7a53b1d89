"""Which node does each production of the grammar make?

One method an action of `grammar/rbr.lark`; the children are tokens and nodes in the order written.
What the grammar is too coarse to forbid is judged on the way: by `precedence.py` in formulas, by `literals.py` in
strings and numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, Fix, suggest
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
        self._read = Literals(source, self.diagnostics)
        made: dict[str, Callable[[list[Any], Span], Any]] = {
            name[4:]: getattr(self, name) for name in dir(self) if name.startswith("_on_")
        }
        self.actions = tuple(made.get(rule.action) for rule in grammar.load().rules)
        """For each production, what makes its node of its children and its span; nothing where they go to another."""

    # --- leaves -------------------------------------------------------------------------------

    def _on_text(self, children: list[Any], span: Span) -> tree.Text:
        return self._read.text(children[0])

    def _on_path(self, children: list[Any], span: Span) -> tree.Path:
        if len(children) == 1:
            return tree.Path((tree.Ident(children[0].text, span),), span)
        return tree.Path(tuple(self._read.ident(token) for token in children), span)

    def _on_name_list(self, children: list[Any], span: Span) -> tuple[tree.Ident, ...]:
        return tuple(self._read.ident(token) for token in children)

    def _on_string_list(self, children: list[Any], span: Span) -> tuple[tree.Text, ...]:
        return tuple(self._read.text(token) for token in children)

    def _on_path_list(self, children: list[Any], span: Span) -> list[tree.Path]:
        if len(children) == 1:
            return [children[0]]
        children[0].append(children[1])  # in place: a copy at every step would be quadratic
        return children[0]

    def _on_path_set(self, children: list[Any], span: Span) -> tuple[tree.Path, ...]:
        return tuple(children[0]) if children else ()

    # --- statements ---------------------------------------------------------------------------

    def _on_start(self, children: list[Any], span: Span) -> tree.Statement:
        return children[0]

    def _on_edition(self, children: list[Any], span: Span) -> tree.Edition:
        return tree.Edition(self._read.number(children[1]), span)

    def _on_module(self, children: list[Any], span: Span) -> tree.Text | tree.Path:
        child = children[0]
        return child if isinstance(child, tree.Path) else self._read.text(child)

    def _on_use_module(self, children: list[Any], span: Span) -> tree.Use:
        return tree.Use(children[1], None, None, span)

    def _on_use_names(self, children: list[Any], span: Span) -> tree.Use:
        return tree.Use(children[1], children[2], None, span)

    def _on_use_as(self, children: list[Any], span: Span) -> tree.Use:
        return tree.Use(children[1], None, self._read.ident(children[3]), span)

    def _on_param(self, children: list[Any], span: Span) -> tree.Param:
        return tree.Param(self._read.ident(children[1]), self._read.number(children[2]), self.doc, span)

    def _on_column(self, children: list[Any], span: Span) -> tree.Column | tree.Variable:
        if children[0].text == "choice":
            return self._on_choice(children, span)  # which lacks its options
        self._begins(children[0], "column")
        return tree.Column(self._read.ident(children[1]), self._read.text(children[2]), self.doc, span)

    def _on_rubric(self, children: list[Any], span: Span) -> tree.Rubric:
        word, name, origin, column, *parts = children
        for found, meant in ((word, "rubric"), (origin, "from")):
            if found.text != meant:
                self.diagnostics.append(Diagnostic(
                    codes.SYNTAX, f"expected `{meant}`, found `{found.text}`", self._read.span(found),
                    help="a rubric reads `rubric name from column { … }`",
                ))  # fmt: skip
        items = tuple(rubric.items(parts, self._read, self.diagnostics))
        return tree.Rubric(self._read.ident(name), self._read.ident(column), items, self.doc, span)

    def _on_rubric_part(self, children: list[Any], span: Span) -> Any:
        return children[0] if children else rubric.COMMA

    def _begins(self, word: Token, wanted: str) -> None:
        if word.text != wanted:
            self.diagnostics.append(Diagnostic(
                codes.SYNTAX, f"this is how a {wanted} is declared, not a `{word.text}`", self._read.span(word),
                help='there are `column name "…"`, `scale name 1..5 "…"` and `choice name "…" { option "…" … }`',
            ))  # fmt: skip

    def _on_scale(self, children: list[Any], span: Span) -> tree.Variable:
        annotations = tuple(c for c in children if isinstance(c, tree.Annotation))
        word, name, low, high, statement, *body = children[len(annotations) :]
        self._begins(word, "scale")
        levels = self._read.number(low), self._read.number(high)
        return tree.Variable(
            annotations,
            self._read.ident(name),
            levels,
            self._read.text(statement),
            body[0] if body else (),
            self.doc,
            span,
        )

    def _on_choice(self, children: list[Any], span: Span) -> tree.Variable:
        annotations = tuple(c for c in children if isinstance(c, tree.Annotation))
        word, name, statement, *body = children[len(annotations) :]
        self._begins(word, "choice")
        return tree.Variable(
            annotations,
            self._read.ident(name),
            None,
            self._read.text(statement),
            body[0] if body else (),
            self.doc,
            span,
        )

    def _on_variable_body(self, children: list[Any], span: Span) -> tuple[Any, ...]:
        return tuple(children)

    def _value(self, token: Token) -> tree.Number | tree.Ident:
        return self._read.number(token) if token.kind == "NUMBER" else self._read.ident(token)

    def _on_value(self, children: list[Any], span: Span) -> tree.ValueItem:
        return tree.ValueItem(self._value(children[0]), children[1], span)

    def _on_instance(self, children: list[Any], span: Span) -> tree.Instance:
        word, value, (turns, because, short) = children
        if word.text != "example":
            self.diagnostics.append(Diagnostic(
                codes.SYNTAX, f"`{word.text}` starts no line of a scale or a choice", self._read.span(word),
                help='there are `ask "…"`, a level or an option with what it means, `example VALUE "…"` and `over …`',
            ))  # fmt: skip
        return tree.Instance(self._value(value), turns, because, short, span)

    def _on_positional(self, children: list[Any], span: Span) -> tuple[tree.Ident | None, tree.Number]:
        return None, self._read.number(children[0])

    def _on_named(self, children: list[Any], span: Span) -> tuple[tree.Ident | None, tree.Number]:
        return self._read.ident(children[0]), self._read.number(children[1])

    def _on_annotation_args(self, children: list[Any], span: Span) -> tuple[Any, ...]:
        return tuple(children)

    def _on_annotation(self, children: list[Any], span: Span) -> tree.Annotation:
        return tree.Annotation(self._read.ident(children[0]), children[1], span)

    def _on_prop(self, children: list[Any], span: Span) -> tree.Prop:
        annotations = tuple(c for c in children if isinstance(c, tree.Annotation))
        _, name, statement, *body = children[len(annotations) :]
        return tree.Prop(
            annotations, self._read.ident(name), self._read.text(statement), body[0] if body else (), self.doc, span
        )

    def _on_prop_body(self, children: list[Any], span: Span) -> tuple[Any, ...]:
        return tuple(children)

    def _on_ask(self, children: list[Any], span: Span) -> tree.Ask:
        return tree.Ask(children[1], span)

    def _on_answer(self, children: list[Any], span: Span) -> bool:
        return children[0].kind == "YES"

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
            self.diagnostics.append(Diagnostic(
                codes.DUPLICATE, "this example has two reasons", reasons[1].span,
                related=(("the first", reasons[0].span),), help="join them",
            ))  # fmt: skip
        if not turns or turns[-1].role != "assistant":
            self.diagnostics.append(Diagnostic(
                codes.SYNTAX, "an example ends with the assistant's message", span,
                help='add `assistant "…"` as the last message',
            ))  # fmt: skip
        return turns, (reasons[0] if reasons else None), False

    def _on_turn(self, children: list[Any], span: Span) -> tree.Turn:
        return tree.Turn(children[0], children[1], span)

    def _on_because(self, children: list[Any], span: Span) -> tree.Text:
        return children[1]

    def _on_role(self, children: list[Any], span: Span) -> str:
        return children[0].text

    def _on_cue(self, children: list[Any], span: Span) -> tree.CueItem:
        return tree.CueItem(children[1], children[2], span)

    def _on_instruct(self, children: list[Any], span: Span) -> tree.InstructItem:
        return tree.InstructItem(children[1], children[2], span)

    def _on_over_item(self, children: list[Any], span: Span) -> tree.OverItem:
        return tree.OverItem(children[1], span)

    def _on_judge(self, children: list[Any], span: Span) -> tree.Judge:
        return tree.Judge(children[1], span)

    def _on_judged(self, children: list[Any], span: Span) -> tree.Ident:
        return self._read.ident(children[0])

    def _on_over(self, children: list[Any], span: Span) -> tree.Ident:
        return children[1]

    def _on_assign(self, children: list[Any], span: Span) -> tree.Assign:
        return tree.Assign(children[0], False, self._body(children[1]), self.doc, span)

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
        name = self._read.ident(children[0])
        return tree.Assign(tree.Path((name,), name.span), True, self._body(children[1]), self.doc, span)

    def _on_override(self, children: list[Any], span: Span) -> tree.Override:
        return tree.Override(children[1], self._body(children[2]), span)

    def _body(self, child: Any) -> tree.Formula | tree.OtherwiseBody:
        return tree.OtherwiseBody(self._read.span(child)) if isinstance(child, Token) else child

    def _on_group(self, children: list[Any], span: Span) -> tree.Group:
        return tree.Group(self._read.ident(children[1]), children[2], self.doc, span)

    def _on_axiom(self, children: list[Any], span: Span) -> tree.AxiomDecl:
        return tree.AxiomDecl(children[1], span)

    def _on_response(self, children: list[Any], span: Span) -> tree.Response:
        _, names, _, tiers, *body = children
        return tree.Response(names, tiers, body[0] if body else None, self.doc, span)

    def _on_ranks(self, children: list[Any], span: Span) -> tuple[tuple[tree.Ident, ...], ...]:
        return tuple(children)

    def _on_tier(self, children: list[Any], span: Span) -> tuple[tree.Ident, ...]:
        child = children[0]
        return (self._read.ident(child),) if isinstance(child, Token) else child

    def _on_cascade(self, children: list[Any], span: Span) -> tuple[tree.CascadeLine, ...]:
        return tuple(children)

    def _on_cascade_if(self, children: list[Any], span: Span) -> tree.CascadeLine:
        return tree.CascadeLine(self._read.ident(children[0]), children[2], span)

    def _on_cascade_otherwise(self, children: list[Any], span: Span) -> tree.CascadeLine:
        return tree.CascadeLine(self._read.ident(children[0]), tree.OtherwiseBody(self._read.span(children[1])), span)

    def _on_category(self, children: list[Any], span: Span) -> tree.Category:
        return tree.Category(children[1], children[2], span)

    def _on_reward(self, children: list[Any], span: Span) -> tree.Reward:
        return tree.Reward(children[1], tuple(children[2:]), span)

    def _on_features(self, children: list[Any], span: Span) -> tree.FeatureList:
        return tree.FeatureList(tuple(children[1]), span)

    def _on_weight(self, children: list[Any], span: Span) -> tree.WeightItem:
        return tree.WeightItem(children[1], children[2], self._read.number(children[3]), span)

    def _on_margin(self, children: list[Any], span: Span) -> tree.MarginItem:
        return tree.MarginItem(self._read.ident(children[1]), self._read.number(children[2]), span)

    def _on_test(self, children: list[Any], span: Span) -> tree.Test:
        return tree.Test(self._read.text(children[1]), children[3], tuple(children[4:]), self.doc, span)

    def _on_given(self, children: list[Any], span: Span) -> tree.Given:
        return tree.Given(children[1], span)

    def _on_prompt(self, children: list[Any], span: Span) -> tree.PromptItem:
        return tree.PromptItem(children[1], span)

    def _on_completion(self, children: list[Any], span: Span) -> tree.CompletionItem:
        return tree.CompletionItem(children[1], span)

    def _on_cell(self, children: list[Any], span: Span) -> tree.Cell:
        word, name, text = children
        if word.text != "column":
            near = suggest(word.text, _OF_A_TEST)
            self.diagnostics.append(Diagnostic(
                codes.SYNTAX, f"`{word.text}` starts no line of a test", self._read.span(word),
                help=f"did you mean `{near}`?" if near else "there are " + ", ".join(f"`{w}`" for w in _OF_A_TEST),
            ))  # fmt: skip
        return tree.Cell(self._read.ident(name), text, span)

    def _on_expect(self, children: list[Any], span: Span) -> tree.Expect:
        return tree.Expect(children[1], span)

    def _on_outcome(self, children: list[Any], span: Span) -> tuple[tree.Ident, ...]:
        return tuple(self._read.ident(token) for token in children)

    def _on_cases(self, children: list[Any], span: Span) -> tree.Cases:
        return tree.Cases(children[1], tuple(children[2:]), span)

    def _on_case(self, children: list[Any], span: Span) -> tree.Case:
        literals, classes = children if len(children) == 2 else ((), children[0])
        return tree.Case(literals, classes, span)

    def _on_literal_list(self, children: list[Any], span: Span) -> tuple[tree.Formula, ...]:
        return tuple(children)

    def _on_literal(self, children: list[Any], span: Span) -> tree.Formula:
        return children[0]

    def _on_property(self, children: list[Any], span: Span) -> tree.PropertyDecl:
        _, title, _, response, formula = children
        return tree.PropertyDecl(self._read.text(title), response, formula, self.doc, span)

    def _on_monotone(self, children: list[Any], span: Span) -> tree.MonotoneDecl:
        return tree.MonotoneDecl(children[1], tuple(children[2:]), span)

    def _on_trend(self, children: list[Any], span: Span) -> tree.Trend:
        return tree.Trend(children[0], self._read.ident(children[1]), span)

    # --- formulas -----------------------------------------------------------------------------

    def _on_name(self, children: list[Any], span: Span) -> tree.Name:
        return tree.Name(children[0], span)

    def _on_true(self, children: list[Any], span: Span) -> tree.Constant:
        return tree.Constant(True, span)

    def _on_false(self, children: list[Any], span: Span) -> tree.Constant:
        return tree.Constant(False, span)

    def _on_super(self, children: list[Any], span: Span) -> tree.Super:
        return tree.Super(span)

    def _on_negation(self, children: list[Any], span: Span) -> tree.Negation:
        return tree.Negation(children[0], span)

    def _on_foreign_negation(self, children: list[Any], span: Span) -> tree.Formula:
        word = Span(self.source, span.start, span.start + 3)
        end = children[-1].span.start
        whole = Span(self.source, span.start, end)
        self.diagnostics.append(Diagnostic(
            codes.FOREIGN_OPERATOR, "`not` is written `!`", word,
            fixes=(Fix("write `!`", whole, "!", "machine-applicable"),),
        ))  # fmt: skip
        return self._on_negation([children[-1]], span)

    def _on_parenthesis(self, children: list[Any], span: Span) -> tree.Parenthesis:
        return tree.Parenthesis(children[0], span)

    def _on_quantity(self, children: list[Any], span: Span) -> tuple[Any, Any]:
        return children[0].text, (children[1] if len(children) == 2 else None)

    def _on_bound(self, children: list[Any], span: Span) -> tree.Number | tree.Path:
        child = children[0]
        return child if isinstance(child, tree.Path) else self._read.number(child)

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
        place = first.span if isinstance(first, tree.Path) else self._read.span(first)
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
        return self._no_check(word.text, self._read.span(word), span)

    def _on_column_check(self, children: list[Any], span: Span) -> tree.Formula:
        word, column, *inner = children
        options = tuple(one for one in inner if isinstance(one, tree.CheckOption))
        over = next((one for one in inner if isinstance(one, tree.Ident)), None)
        if word.text in ("equals", "contains", "number_equals"):
            return tree.ColumnCheck(self._read.ident(word), self._read.ident(column), options, over, span)
        return self._no_check(word.text, self._read.span(word), span)

    def _no_check(self, word: str, place: Span, span: Span) -> tree.Unreadable:
        self.diagnostics.append(Diagnostic(
            codes.SYNTAX, f"`{word}` is no check of a text", place,
            help="there are `matches(\"RE2\")`, `contains(\"text\")`, `json`, `json_schema(\"\"\"{…}\"\"\")`, "
            "`python(\"module.function\")`, `equals(column)`, `contains(column)` and `number_equals(column)`",
        ))  # fmt: skip
        return tree.Unreadable(span)

    def _on_fold(self, children: list[Any], span: Span) -> tree.CheckOption:
        return tree.CheckOption(self._read.ident(children[0]), self._read.ident(children[1]), span)

    def _on_within(self, children: list[Any], span: Span) -> tree.CheckOption:
        return tree.CheckOption(self._read.ident(children[0]), self._read.number(children[1]), span)

    def _on_quantified(self, children: list[Any], span: Span) -> tree.Quantified:
        return tree.Quantified(children[0], None, children[1], span)

    def _on_counted(self, children: list[Any], span: Span) -> tree.Quantified:
        return tree.Quantified(children[0], self._read.number(children[1]), children[2], span)

    def _on_quantifier(self, children: list[Any], span: Span) -> str:
        return children[0].text

    _on_counting = _on_quantifier

    def _on_members(self, children: list[Any], span: Span) -> tree.Members:
        child = children[0]
        return tree.Members(child, (), span) if isinstance(child, tree.Path) else tree.Members(None, child, span)

    def _on_gt(self, children: list[Any], span: Span) -> str:
        return ">"

    def _on_ge(self, children: list[Any], span: Span) -> str:
        return ">="

    def _on_lt(self, children: list[Any], span: Span) -> str:
        return "<"

    def _on_le(self, children: list[Any], span: Span) -> str:
        return "<="

    def _on_eq(self, children: list[Any], span: Span) -> str:
        return "=="

    def _on_ne(self, children: list[Any], span: Span) -> str:
        return "!="

    def _on_op_and(self, children: list[Any], span: Span) -> Infix:
        return Infix("&", span, False)

    def _on_op_or(self, children: list[Any], span: Span) -> Infix:
        return Infix("|", span, False)

    def _on_op_implies(self, children: list[Any], span: Span) -> Infix:
        return Infix("=>", span, False)

    def _on_op_iff(self, children: list[Any], span: Span) -> Infix:
        return Infix("<=>", span, False)

    def _on_op_and_foreign(self, children: list[Any], span: Span) -> Infix:
        return Infix("&", span, True)

    def _on_op_or_foreign(self, children: list[Any], span: Span) -> Infix:
        return Infix("|", span, True)

    def _on_formula(self, children: list[Any], span: Span) -> tree.Formula:
        if len(children) == 1:
            return children[0]
        return grouped(children[::2], children[1::2], self.diagnostics)
