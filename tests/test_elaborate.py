"""Names mean what they are declared to mean; what they cannot mean is said in the author's words."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbrlang.lang.program import TextTest, TruthTest
from rbrlang.policy import Checked, Policy, check_text

HEAD = 'prop a "a"\nprop b "b"\n'
RULES = "response r ranks x > y\nr.x := {}\nr.y := otherwise\n"


def errors(checked: Checked) -> list[tuple[str, str]]:
    return [(d.code.id, d.span.text) for d in checked.diagnostics if d.severity == "error"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # names
        (HEAD + RULES.format("a & complies"), [("RBR2001", "complies")]),
        (HEAD + "group g = {a, nobody}\n" + RULES.format("any(g)"), [("RBR2001", "nobody")]),
        (HEAD + RULES.format("any(nobody)"), [("RBR2001", "nobody")]),
        (HEAD + RULES.format("words > limit"), [("RBR2001", "limit")]),
        (HEAD + RULES.format("m.a"), [("RBR2001", "m")]),
        (HEAD + "group g = {a}\n" + RULES.format("g"), [("RBR2007", "g")]),
        (HEAD + "param n = 1\n" + RULES.format("n"), [("RBR2007", "n")]),
        (HEAD + RULES.format("any(a)"), [("RBR2007", "a")]),
        (HEAD + RULES.format("words > a"), [("RBR2007", "a")]),
        (HEAD + RULES.format("r.y"), [("RBR2007", "r.y")]),
        (HEAD + RULES.format("r"), [("RBR2007", "r")]),
        (HEAD + "d := otherwise\n" + RULES.format("a"), [("RBR2007", "d := otherwise")]),
        # declared twice
        (HEAD + "a := b\n", [("RBR2002", "a")]),
        (HEAD + 'prop a "again"\n', [("RBR2002", "a")]),
        (HEAD + "response a ranks x\n", [("RBR2002", "a")]),
        (HEAD + "response r ranks x > x\nr.x := a\n", [("RBR2002", "x")]),
        ('@cost(1) @cost(2)\nprop a "a"\n', [("RBR2002", "@cost(2)")]),
        ('prop a "a" { ask "One?" ask "Two?" }\n', [("RBR2002", 'ask "Two?"')]),
        (HEAD + RULES.format("a") + "reward r { }\nreward r { }\n", [("RBR2002", "r")]),
        (HEAD + RULES.format("a") + 'category "k" -> r\ncategory "k" -> r\n', [("RBR2002", '"k"')]),
        # recursion
        ("d := d\n", [("RBR2003", "d")]),
        ("d := !e\ne := f\nf := d\ng := d\n", [("RBR2003", "d")]),
        # rules and classes
        (HEAD + "response r ranks x > y\nr.x := a\n", [("RBR2008", "y")]),
        (HEAD + "response r ranks x > y {\n x if a\n}\n", [("RBR2008", "y")]),
        (HEAD + RULES.format("a") + "r.z := b\n", [("RBR2009", "z")]),
        (HEAD + RULES.format("a") + "*.z := b\n", [("RBR2009", "z")]),
        (HEAD + RULES.format("a") + "r.x := b\n", [("RBR2010", "x")]),
        (HEAD + "response r ranks x > y\nr.y := otherwise\n*.x := a\n*.x := b\n", [("RBR2010", "x")]),
        (HEAD + "response r ranks x > y\nr.x := otherwise\nr.y := otherwise\n", [("RBR2010", "otherwise")]),
        (HEAD + "response r ranks x {\n x otherwise\n}\nr.x := a\n", [("RBR2010", "x")]),
        # annotations, patterns, counts
        ('@prior(0)\nprop a "a"\n', [("RBR2011", "0")]),
        ('@prior(1)\nprop a "a"\n', [("RBR2011", "1")]),
        ('@noise(fp: 0.6, fn: 0.4)\nprop a "a"\n', [("RBR2011", "a")]),
        ('@noise(0.1, 0.1, 0.1)\nprop a "a"\n', [("RBR2011", "0.1")]),
        ('@priro(0.1)\nprop a "a"\n', [("RBR2011", "priro")]),
        (RULES.format('matches("(")'), [("RBR2012", '"("')]),
        (RULES.format('matches("(a)\\\\1")'), [("RBR2012", '"(a)\\\\1"')]),
        (RULES.format('contains("")'), [("RBR2012", '""')]),
        ('prop a "a" { cue yes "[" }\n', [("RBR2012", '"["')]),
        ('prop a "a" { instruct yes "x" instruct yes "y" }\n', [("RBR2002", 'instruct yes "y"')]),
        ('prop a "a" { instruct no " " }\n', [("RBR1001", '" "')]),
        (HEAD + RULES.format("at_least(3, {a, b})"), [("RBR2013", "3")]),
        (HEAD + RULES.format("at_least(0, {a, b})"), [("RBR2013", "0")]),
        (HEAD + RULES.format("at_most(2, {a, b})"), [("RBR2013", "2")]),
        (HEAD + RULES.format("exactly(1.5, {a, b})"), [("RBR2013", "1.5")]),
        (RULES.format("words > 1e300"), [("RBR1013", "1e300")]),
        # rewards
        (HEAD + RULES.format("a") + "reward s { }\n", [("RBR2001", "s")]),
        (HEAD + RULES.format("a") + "reward r { features c }\n", [("RBR2001", "c")]),
        (HEAD + RULES.format("a") + "reward r { weight b = 1 }\n", [("RBR2014", "b")]),
        (HEAD + RULES.format("a") + "reward r { weight a < 1 }\n", [("RBR2014", "weight a < 1")]),
        (HEAD + RULES.format("a") + "reward r {\n weight a <= 0\n weight a = 1\n}\n", [("RBR2014", "weight a = 1")]),
        (HEAD + "l := words > 3\n" + RULES.format("l") + "reward r { weight l = 1 }\n", [("RBR2014", "l")]),
        (HEAD + "l := words < 3\n" + RULES.format("l") + "reward r { features l }\n", [("RBR2007", "l")]),
        (HEAD + "l := a\n" + RULES.format("l") + "reward r { features l }\n", [("RBR2007", "l")]),
        (HEAD + "l := json & a\n" + RULES.format("l") + "reward r { features l }\n", [("RBR2007", "l")]),
        (
            "l := json\nresponse r ranks json > y\nr.json := l\nr.y := otherwise\nreward r { features l }\n",
            [("RBR2014", "l")],
        ),
        # what is no check of a text says so once, and nothing is claimed of its rule
        (HEAD + RULES.format("a over thought"), [("RBR1001", "a")]),
        (HEAD + RULES.format("a > 3"), [("RBR2007", "a")]),
        (HEAD + RULES.format("zzz > 3"), [("RBR1001", "zzz")]),
        (HEAD + RULES.format("a") + "reward r { margin x -1 }\n", [("RBR2014", "-1")]),
        (HEAD + RULES.format("a") + "reward r { margin z 1 }\n", [("RBR2009", "z")]),
        # tests
        (HEAD + RULES.format("a") + 'test "t" for r { given a }\n', [("RBR2015", '"t"')]),
        (HEAD + RULES.format("a") + 'test "t" for r { given a completion "c" expect x }\n', [("RBR2015", '"t"')]),
        (HEAD + RULES.format("a") + 'test "t" for r { prompt "p" expect x }\n', [("RBR2015", '"t"')]),
        (HEAD + RULES.format("a") + 'test "t" for r { given a, !a expect x }\n', [("RBR2015", "!a")]),
        (HEAD + "d := a | b\n" + RULES.format("d") + "cases r { d -> x }\n", [("RBR2015", "d")]),
        (HEAD + RULES.format("a") + "cases r { a -> z }\n", [("RBR2009", "z")]),
        (HEAD + RULES.format("a") + "cases s { a -> x }\n", [("RBR2001", "s")]),
        # edition
        ("rbr 2\n", [("RBR1010", "2")]),
        (HEAD + "rbr 1\n", [("RBR1010", "rbr 1")]),
    ],
)  # fmt: skip
def test_one_mistake_is_one_error_at_its_place(text: str, found: list[tuple[str, str]]) -> None:
    assert errors(check_text(text)) == found


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("complys", "complies"), ("judgemental", "judgmental"), ("apologi", "apology")],
)
def test_misspelt_names_get_a_suggestion(wrong: str, meant: str) -> None:
    props = "".join(f'prop {name} "x"\n' for name in ("complies", "judgmental", "apology"))
    (diagnostic,) = (d for d in check_text(props + RULES.format(wrong)).diagnostics if d.severity == "error")
    assert diagnostic.help == f"did you mean `{meant}`?"


def test_a_group_with_a_mistake_is_reported_once_however_often_used() -> None:
    text = (
        HEAD + "group g = {a, nobody}\nresponse r ranks x > y > z\nr.x := any(g)\nr.y := all(g) & b\nr.z := otherwise\n"
    )
    assert errors(check_text(text)) == [("RBR2001", "nobody")]


def test_unknown_names_used_twice_are_one_error_with_both_places() -> None:
    (error,) = (d for d in check_text(HEAD + RULES.format("a & lost | lost")).diagnostics if d.code.id == "RBR2001")
    assert [span.text for _, span in error.related] == ["lost"]


def test_parameters_not_declared_are_refused() -> None:
    checked = check_text("param limit = 3\n" + RULES.format("words > limit"), params={"limits": 4, "other": 1})
    helps = [(d.code.id, d.help) for d in checked.diagnostics]
    assert helps == [("RBR2016", "did you mean `-D limit=…`?"), ("RBR2016", "declare it with `param other = …`")]


def test_parameters_set_thresholds() -> None:
    text = "param limit = 3\n" + RULES.format("words > limit")
    assert [m.threshold for m in check_text(text).program.measures] == [3]
    changed = check_text(text, params={"limit": 7.5})
    assert [m.threshold for m in changed.program.measures] == [7]
    assert changed.program.params == (("limit", 7.5),)
    for wild in (float("nan"), float("inf"), -1e300):
        assert errors(check_text(text, params={"limit": wild})) == [("RBR1013", "limit")]


RELATIONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(RELATIONS)),
    st.one_of(st.integers(-3, 8).map(float), st.integers(-6, 16).map(lambda n: n / 2), st.sampled_from([-0.0, 2.25])),
)
def test_comparisons_compare(relation: str, bound: float) -> None:
    checked = check_text(RULES.format(f"words {relation} {bound!r}"))
    (item,) = checked.compiled.responses
    assert item is not None
    for count in range(12):
        true = {at for at, m in enumerate(checked.program.measures) if count > m.threshold}
        assert checked.compiled.bdd.holds(item.classes[0], true) == RELATIONS[relation](count, bound)
        assert checked.compiled.bdd.holds(checked.compiled.axioms, true)


def test_equal_comparisons_are_one_atom() -> None:
    text = "response r ranks x > y {\n x if words > 60 & words >= 61 & !(words <= 60)\n y otherwise\n}\n"
    assert [m.name for m in check_text(text).program.measures] == ["words > 60"]


def test_a_rule_for_every_response_type_fills_in_where_there_is_none() -> None:
    text = HEAD + (
        "response r, s ranks x > y\nresponse t ranks z\nr.x := a\ns.x := b\ns.y := !b\n*.y := !a\nt.z := otherwise\n"
    )
    checked = check_text(text)
    assert checked.ok
    r, s, _ = checked.program.responses
    assert [rule.formula.span.text for rule in (*r.rules, *s.rules)] == ["a", "!a", "b", "!b"]


def test_columns_follow_the_text_and_measures_come_last() -> None:
    text = 'prop z "z"\nprop a "a"\n' + RULES.format('a & words > 3 & contains("x") | z & words > 3')
    text = text.replace('a & words > 3 & contains("x")', '(a & words > 3 & contains("x"))').replace(
        "z & words", "(z & words"
    )
    program = check_text(text.replace("words > 3\nr.y", "words > 3)\nr.y")).program
    assert program.atoms == ("z", "a", "words > 3", 'contains("x")')


def test_a_measure_is_a_feature_under_the_name_of_a_definition() -> None:
    text = HEAD + "long := words > 3\nalso := long\n" + RULES.format("a")
    block = "reward r {{\n features classes, {0}\n weight {0} <= -1\n}}\n"
    one, other = (check_text(text + block.format(name)) for name in ("long", "also"))
    for checked in (one, other):
        (response,) = checked.program.responses
        assert [(f.kind, f.name, f.index) for f in response.features][2:] == [("proposition", "words > 3", 2)]
        assert [(b.feature, b.high) for b in response.bounds] == [(2, -1.0)]
        assert not [d for d in checked.diagnostics if d.span.text == "long"]  # it is used
    assert Policy(one).circuit.fingerprint == Policy(other).circuit.fingerprint


def test_json_is_a_measure_where_no_such_name_is_declared() -> None:
    text = RULES.format("json & !json over thought")
    assert check_text(text).program.atoms == ("json", "json over thought")
    assert check_text('prop json "j"\n' + text).program.atoms == ("json", "json over thought")
    checked = check_text('prop json "j"\n' + RULES.format("json & json over final"))
    assert checked.program.atoms == ("json", "json over final")
    circuits = [Policy(check_text(head + RULES.format("json"))).circuit for head in ("", 'prop json "j"\n')]
    assert circuits[0].fingerprint != circuits[1].fingerprint


def test_features_default_to_classes_and_what_the_rules_reach() -> None:
    text = HEAD + 'prop c "c"\nd := a & !c\n' + RULES.format("d & words > 3") + 'property "p" for r: b => y\n'
    (response,) = check_text(text).program.responses
    assert [(f.kind, f.name) for f in response.features] == [
        ("class", "x"), ("class", "y"), ("proposition", "a"), ("proposition", "c"),
    ]  # fmt: skip


def test_a_reward_block_says_which_features_bounds_and_margins() -> None:
    block = "reward r {\n features b, classes, b\n weight b <= 2\n weight b >= -1\n weight x = 1.5\n margin x 2\n}\n"
    (response,) = check_text(HEAD + RULES.format("a") + block).program.responses
    assert [f.name for f in response.features] == ["b", "x", "y"]
    assert [(response.features[b.feature].name, b.low, b.high) for b in response.bounds] == [
        ("b", -1, 2),
        ("x", 1.5, 1.5),
    ]
    assert response.margins == (2.0, 1.0)


def test_tests_and_cases_are_resolved() -> None:
    text = (
        HEAD
        + RULES.format("a & words > 3")
        + (
            'test "one" for r {\n given a, words > 3\n expect x | y\n}\n'
            'test "two" for r { prompt "p" completion """\n  c\n""" expect y }\n'
            "cases r {\n !a, b -> y\n -> y\n}\n"
        )
    )
    checked = check_text(text)
    one, two, three, four = checked.program.tests
    assert isinstance(one, TruthTest)
    assert (one.given, one.expect) == (((0, True), (2, True)), ("x", "y"))
    assert isinstance(two, TextTest)
    assert (two.prompt[0].content, two.completion) == ("p", "c")
    assert isinstance(three, TruthTest)
    assert (three.title, three.given) == ("!a, b", ((0, False), (1, True)))
    assert isinstance(four, TruthTest)
    assert (four.title, four.given) == ("nothing holds", ())


def test_everything_about_a_proposition_arrives() -> None:
    text = '''## Doc.
@prior(0.2) @noise(fp: 0.1, fn: 0.05) @cost(2.5)
prop a "Statement." {
  ask """
    Question?
  """
  yes "short" because "reason"
  no { system "s" user "u" assistant "v" }
  cue no "(?i)\\\\bsorry"
  instruct no "Say no such thing."
}
'''
    (p,) = check_text(text).program.propositions
    assert (p.doc, p.statement, p.question, p.prior, p.fp, p.fn, p.cost) == (
        "Doc.", "Statement.", "Question?", 0.2, 0.1, 0.05, 2.5,
    )  # fmt: skip
    assert [(s.answer, [(m.role, m.content) for m in s.messages], s.because) for s in p.shots] == [
        (True, [("assistant", "short")], "reason"),
        (False, [("system", "s"), ("user", "u"), ("assistant", "v")], None),
    ]
    assert [(c.answer, c.pattern) for c in p.cues] == [(False, "(?i)\\bsorry")]
    assert [(i.answer, i.text) for i in p.instructions] == [(False, "Say no such thing.")]


def test_what_is_broken_takes_only_itself_away() -> None:
    text = (
        HEAD
        + "d := nobody\ne := d & a\nresponse r ranks x > y\nr.x := e\nr.y := otherwise\n"
        + RULES.format("a").replace("r ranks", "s ranks").replace("r.", "s.")
    )
    checked = check_text(text)
    assert errors(checked) == [("RBR2001", "nobody")]
    assert [response.name for response in checked.program.responses] == ["s"]


def test_a_property_speaks_of_classes_by_their_bare_names() -> None:
    text = HEAD + 'prop x "x"\n' + RULES.format("a") + 'property "p" for r: x <=> a\n'
    assert errors(check_text(text)) == []
