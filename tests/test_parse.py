"""The parser reads what the grammar says, keeps what is good, and explains the rest in its own words."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from functools import cache, partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lark import Lark, Token, Tree, UnexpectedInput
from strategies import Model, models

from rbrlang.diagnostics import Diagnostic
from rbrlang.lang import syntax as tree
from rbrlang.lang.reading import grammar, tokens
from rbrlang.lang.reading.parse import derive, parse
from rbrlang.policy import check_text
from rbrlang.source import Source, Span

# --- the tables and the automaton, against Lark -----------------------------------------------------


def test_the_tables_are_those_of_the_grammar() -> None:
    made = grammar.render(grammar.build(grammar.grammar_path().read_bytes()))
    assert made == grammar.TABLES.read_text(encoding="utf-8")


@pytest.mark.parametrize("seed", ["0", "1", "77"])
def test_the_tables_do_not_depend_on_hash_seeds(seed: str) -> None:
    program = "import sys; from rbrlang.lang.reading import grammar as g; "
    program += "sys.stdout.write(g.render(g.build(g.grammar_path().read_bytes())))"
    made = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
    ).stdout  # fmt: skip
    assert made == grammar.TABLES.read_text(encoding="utf-8")


def test_tables_under_another_hash_are_not_used(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = tmp_path / "tables.json"
    stale.write_text(json.dumps({"grammar": "another"}))
    monkeypatch.setattr(grammar, "TABLES", stale)
    grammar.load.cache_clear()
    try:
        assert grammar.load().words["prop"] == "PROP"
    finally:
        grammar.load.cache_clear()


@cache
def oracle() -> Lark:
    """Lark's own parser; strict, so that it also proves the terminals free of collisions."""
    return Lark.open(str(grammar.grammar_path()), parser="lalr", lexer="basic", strict=True)


SAMPLES = {
    "NAME": "some_name",
    "NUMBER": "-2.5e1",
    "STRING": '"text \\" \\u00e9"',
    "LONG_STRING": '"""a "b" \\""" c"""',
}


@st.composite
def sentences(draw: st.DrawFn) -> list[str]:
    """The words of one statement, drawn from the grammar, sometimes spoiled."""
    parser = oracle()
    by_origin: dict[str, list[Any]] = {}
    for rule in parser.rules:
        by_origin.setdefault(rule.origin.name, []).append(rule.expansion)
    texts = {t.name: SAMPLES.get(t.name) or re.sub(r"\\(.)", r"\1", t.pattern.value) for t in parser.terminals}
    words: list[str] = []

    def derive(name: str, depth: int) -> None:
        choices = by_origin[name]
        if depth > 12:  # no deeper: the shortest way out
            choices = [min(choices, key=lambda expansion: (sum(not s.is_term for s in expansion), len(expansion)))]
        for symbol in draw(st.sampled_from(choices)):
            if symbol.is_term:
                words.append(texts[symbol.name])
            else:
                derive(symbol.name, depth + 1)

    derive("start", 0)
    if draw(st.integers(0, 2)) == 0:
        at = draw(st.integers(0, len(words) - 1))
        words[at : at + 1] = draw(st.lists(st.sampled_from([*texts.values(), words[at]]), max_size=2))
    return words


class Recorder:
    """Builds what Lark would: a node for every production, children as kept."""

    def __init__(self) -> None:
        self.actions = tuple(None if rule.splice else partial(self.make, rule.action) for rule in grammar.load().rules)

    @staticmethod
    def make(action: str, children: list[Any], span: Span) -> Any:
        return (action, *(c.text if isinstance(c, tokens.Token) else c for c in children))


def plain(node: Any) -> Any:
    if isinstance(node, Tree):
        return (str(node.data), *map(plain, node.children))
    assert isinstance(node, Token)
    return str(node)


@settings(max_examples=200, deadline=None)
@given(sentences())
@example(["response", "r", "ranks", "a", ">", "{", "b", ",", "c", "}", "{", "a", "if", "x", "b", "otherwise", "}"])
@example(["weight", ":=", "words", ">", "some_name"])
def test_the_automaton_is_larks(words: list[str]) -> None:
    text = " ".join(words)
    source = Source("s", text)
    lexed = tokens.lex(source)
    try:
        wanted = plain(oracle().parse(text))
    except UnexpectedInput:
        wanted = None
    if lexed.diagnostics or len(lexed.chunks) != 1:
        assert wanted is None
        return
    found = derive(source, lexed.chunks[0], Recorder())  # type: ignore[arg-type]
    assert (None if isinstance(found, Diagnostic) else found) == wanted


# --- printing and parsing ---------------------------------------------------------------------------

RANKS = {"<=>": 0, "=>": 1, "or": 2, "and": 2}


def lean(model: Model, formula: Any) -> str:
    """A formula with only the parentheses that precedence requires."""
    kind, *rest = formula
    if kind not in (*RANKS, "not"):
        return model.show(formula)

    def operand(part: Any) -> str:
        needed = part[0] in RANKS and (kind == "not" or RANKS[part[0]] <= RANKS[kind])
        return f"({lean(model, part)})" if needed else lean(model, part)

    if kind == "not":
        return "!" + operand(rest[0])
    return f" { ({'and': '&', 'or': '|'}.get(kind, kind)) } ".join(map(operand, rest))


def unparsed(node: Any) -> Any:
    """A syntax tree's formula as the tests' tuples."""
    match node:
        case tree.Name():
            return ("atom" if node.path.text[0] == "p" else "ref", int(node.path.text[1:]))
        case tree.Constant():
            return ("const", node.value)
        case tree.Negation():
            return ("not", unparsed(node.operand))
        case tree.Parenthesis():
            return unparsed(node.inner)
        case tree.Operation():
            return ({"&": "and", "|": "or"}.get(node.operator, node.operator), *map(unparsed, node.operands))
        case tree.Quantified():
            members = node.members
            group = int(members.group.text[1:]) if members.group else tuple(int(p.text[1:]) for p in members.listed)
            return (node.quantifier, int(node.k.value) if node.k else None, group)
        case _:
            raise AssertionError(node)


def same(formula: Any) -> Any:
    """The tests' formula without what text does not carry: the count of any, all and none."""
    kind, *rest = formula
    if kind in ("any", "all", "none"):
        return (kind, None, rest[1])
    return (kind, *(same(r) if isinstance(r, tuple) and r and isinstance(r[0], str) else r for r in rest))


@settings(max_examples=40, deadline=None)
@given(models(responses=2), st.booleans())
def test_printing_and_parsing_agree(model: Model, bare: bool) -> None:
    if bare:
        text = "\n".join(f"x := {lean(model, f)}" for f in (*model.definitions, *model.axioms))
        module, problems = parse(Source("t", text))
        assert not problems
        bodies = [s.body for s in module.statements if isinstance(s, tree.Assign)]
        assert [unparsed(b) for b in bodies] == [same(f) for f in (*model.definitions, *model.axioms)]
        return
    module, problems = parse(Source("t", model.text()))
    assert not problems
    axioms = [unparsed(s.formula) for s in module.statements if isinstance(s, tree.AxiomDecl)]
    assert axioms == [same(f) for f in model.axioms]
    groups = [tuple(int(m.text[1:]) for m in s.members) for s in module.statements if isinstance(s, tree.Group)]
    assert groups == list(model.groups)
    responses = [s for s in module.statements if isinstance(s, tree.Response)]
    assert [tuple(tuple(c.text for c in tier) for tier in s.tiers) for s in responses] == [
        r.tiers for r in model.responses
    ]
    for written, response in zip(responses, model.responses, strict=True):
        if written.cascade is not None:
            lines = [(line.name.text, line.body) for line in written.cascade]
        else:
            rules = [s for s in module.statements if isinstance(s, tree.Assign) and len(s.target.parts) == 2]
            lines = [(s.target.parts[1].text, s.body) for s in rules if s.target.parts[0].text == response.name]
        got = [(c, None if isinstance(b, tree.OtherwiseBody) else unparsed(b)) for c, b in lines]
        assert got == [(c, None if f is None else same(f)) for c, f in response.rules]


def test_every_node_spans_its_own_text() -> None:
    text = "axiom !( a & b )  =>  none({c, d}) | words > 60"
    ((axiom,), problems) = (parse(Source("t", text))[0].statements, parse(Source("t", text))[1])
    assert not problems
    assert isinstance(axiom, tree.AxiomDecl)
    formula = axiom.formula
    assert isinstance(formula, tree.Operation)
    left, right = formula.operands
    assert isinstance(right, tree.Operation)
    assert [n.span.text for n in (axiom, formula, left, right, *right.operands)] == [
        text, text[6:], "!( a & b )", "none({c, d}) | words > 60", "none({c, d})", "words > 60",
    ]  # fmt: skip


# --- never raises, always explains ------------------------------------------------------------------

WORDS = ["prop", "a", "b", ":=", "&", "|", "!", "(", ")", "{", "}", '"t"', '"""', '"', "\n", "#", "response", "ranks",
         ">", "otherwise", "if", "1", "@", "*", ".", "use", "as", "->", ",", "=", "test", "for", "given", "expect",
         "group", "any", "at_least", "words", "Ä", "\\", "axiom", "category", "reward", "weight", "cases", "\t",
         "\r\n", "super", "std", "prior", "true", "matches", "[a", "property", ":", "=>", "<=>", "param"]  # fmt: skip


def complaints(text: str) -> list[str]:
    """What is wrong with the findings about a text: spans outside of it, and messages that are not in the user's words."""
    found: list[str] = []
    for diagnostic in check_text(text).diagnostics:
        spans = (diagnostic.span, *(s for _, s in diagnostic.related), *(f.span for f in diagnostic.fixes))
        found += [f"span {s}" for s in spans if not 0 <= s.start <= s.end <= len(s.source.text)]
        message = re.sub(r"`[^`]*`|\"[^\"]*\"|U\+[0-9A-F]+", "", diagnostic.message, flags=re.DOTALL)
        inner = re.search(r"Token|Tree|lark|__|object at|\b[A-Z_]{4,}\b", message)
        if inner or re.match("[A-Z]", diagnostic.message) or diagnostic.message.endswith("."):
            found.append(f"message {diagnostic.message}")
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))
def test_word_soup_never_raises(text: str) -> None:
    assert complaints(text) == []


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_text_never_raises(text: str) -> None:
    assert complaints(text) == []


@settings(max_examples=40, deadline=None)
@given(models(responses=2), st.data())
def test_damaged_policies_never_raise(model: Model, data: st.DataObject) -> None:
    text = model.text()
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 6))
    damaged = text[:at] + data.draw(st.sampled_from(["", *WORDS])) + text[at + cut :]
    assert complaints(damaged) == []


def test_damage_is_found_in_a_large_real_looking_file() -> None:
    draw = random.Random(5)
    lines = [f'prop p{n} "p{n}"' for n in range(200)]
    for at in draw.sample(range(200), 20):
        lines[at] = f"prop p{at} = 3"
    module, problems = parse(Source("t", "\n".join(lines)))
    assert len(problems) == 20
    assert len(module.statements) == 180


def errors(text: str) -> list[tuple[str, str]]:
    return [(d.code.id, d.span.text) for d in parse(Source("t", text))[1]]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a := b & c | d", [("RBR1006", "|")]),
        ("a := b => c => d", [("RBR1006", "=>")]),
        ("a := b and not c", [("RBR1007", "and"), ("RBR1007", "not")]),
        ("a := b && c", [("RBR1007", "&&")]),
        ("a := b & & c", [("RBR1001", "&")]),
        ("a := b &", [("RBR1001", "&")]),
        ("a = b", [("RBR1001", "=")]),
        ("prop any \"x\"", [("RBR1011", "any")]),
        ("porp a \"x\"", [("RBR1001", "porp")]),
        ("prop a \"x\" { yes }", [("RBR1001", "}")]),
        ("prop a \"\\q\"", [("RBR1009", "\\q")]),
        ("prop a \"\\ud800\"", [("RBR1009", '"\\ud800"')]),
        ("param n = 1e999", [("RBR1013", "1e999")]),
        ("prop a \"x\" {\nprop b \"y\"", [("RBR1004", "{")]),
        ("a := (b))", [("RBR1005", ")")]),
        ("a := (b}", [("RBR1005", "}")]),
        ("prop a \"x\" { cue yes (\"y\" }", [("RBR1005", "}")]),
        ("a := (b\nc := d\ne := f", [("RBR1004", "(")]),
        ("prop Big \"x\"", [("RBR1002", "Big")]),
        ("Prop a \"x\"", [("RBR1002", "Prop")]),
        ("a := TRUE", [("RBR1002", "TRUE")]),
        ("a := 60x", [("RBR1002", "60x")]),
        ("a := b // c", [("RBR1002", "//")]),
        ("prop a 'x'", [("RBR1002", "'x'")]),
        ("prop a “x”", [("RBR1002", "“x”")]),
        ("prop a \"x\nb := a", [("RBR1003", '"x')]),
        ("prop a \"\"\"x\n y z\nb := a", [("RBR1003", '"""x')]),
    ],
)  # fmt: skip
def test_one_mistake_is_one_diagnostic(text: str, found: list[tuple[str, str]]) -> None:
    assert errors(text) == found


def test_good_statements_around_bad_ones_are_kept() -> None:
    text = 'prop a "a"\nprop b 3\nc := a &\nd := !a\nresponse r ranks {\ne := a | d\n@prior(0.5)\naxiom a => d\n'
    module, problems = parse(Source("t", text))
    assert [d.code.id for d in problems] == ["RBR1001", "RBR1001", "RBR1004", "RBR1001"]
    assert [s.span.text for s in module.statements] == ['prop a "a"', "d := !a", "e := a | d", "axiom a => d"]
    assert module.lost >= {"b", "c", "r"}


def test_what_stands_in_for_a_slip_keeps_the_rest_meaningful() -> None:
    text = "prop Complies 'It complies.'\nresponse r ranks x > y\nr.x := Complies\nr.y := otherwise\n"
    assert [d.code.id for d in check_text(text).diagnostics] == ["RBR1002"] * 3


def test_fixes_mend_what_they_claim_to() -> None:
    text = "a := b && c or not d\n"
    for _ in range(5):
        fixes = [f for d in parse(Source("t", text))[1] for f in d.fixes if f.applicability == "machine-applicable"]
        if not fixes:
            break
        first = fixes[0]
        text = text[: first.span.start] + first.text + text[first.span.end :]
    assert text == "a := (b & c) | !d\n"


@pytest.mark.parametrize(
    "text",
    ["a := " + "(" * 10_000 + "b" + ")" * 10_000, "a := " + "!" * 10_000 + "b", "a := " + "!(" * 10_000 + "b" + ")" * 10_000,
     "a := " + "b & (" * 10_000 + "c" + ")" * 10_000],
)  # fmt: skip
def test_depth_is_refused_once(text: str) -> None:
    assert [code for code, _ in errors(text)] == ["RBR1008"]


def test_the_deepest_formula_allowed_passes_every_stage() -> None:
    rules = "response r ranks x > y\nr.x := {}\nr.y := otherwise\n"
    for deep in (
        "!" * 480 + "a",
        "(" * 480 + "a" + ")" * 480,
        "b & (" * 110 + "a" + ")" * 110,
        "!(b | " * 90 + "a" + ")" * 90,
    ):
        checked = check_text('prop a "a"\nprop b "b"\naxiom a | b | !a\n' + rules.format(deep))
        assert [d for d in checked.diagnostics if d.code.id.startswith("RBR1")] == []
        assert checked.compiled.responses[0] is not None


def test_ten_thousand_unclosed_parentheses_are_one_mistake() -> None:
    assert errors("a := " + "(" * 10_000 + 'b\nprop c "c"\n') == [("RBR1004", "(")]


def test_doc_comments_belong_to_what_follows_directly() -> None:
    text = '## One.\n## Two.\nprop a "a"\n\n## Lost.\n\nprop b "b"\n# plain\nprop c "c"\n## Kept.\n@prior(0.1)\nprop d "d"\n'
    docs = [s.doc for s in parse(Source("t", text))[0].statements if isinstance(s, tree.Prop)]
    assert docs == ["One.\nTwo.", "", "", "Kept."]
