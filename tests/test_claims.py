"""What is said of a part of a policy is true when it is done: the part is changed in the text, and what that means compared.

A part may belong to what it is judged under: a definition to an axiom, a rule to several response types, a member to
every use of its group. The meaning of a policy is what its axioms allow and the classes there, read off the program by
a plain interpreter that shares nothing with the diagrams.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import Model, Response, Tree, models

from rbrlang.diagnostics import Diagnostic
from rbrlang.lang.program import (
    And,
    AtLeast,
    ClassRef,
    Const,
    Formula,
    Iff,
    Implies,
    Not,
    Or,
    Otherwise,
    Program,
    Ref,
    ResponseType,
    Var,
)  # fmt: skip
from rbrlang.logic.findings.mutate import mutants
from rbrlang.policy import Checked, check, check_text
from rbrlang.source import Span

World = dict[str, bool]


# --- what a policy means ----------------------------------------------------------------------


def truth(program: Program, formula: Formula, world: World) -> bool:
    """Whether a formula holds where exactly the named atoms do."""

    def of(part: Formula) -> bool:
        return truth(program, part, world)

    match formula:
        case Const():
            return formula.value
        case Var():
            return world[program.atoms[formula.atom]]
        case Ref():
            return of(program.definitions[formula.definition].formula)
        case Not():
            return not of(formula.operand)
        case And():
            return all(map(of, formula.operands))
        case Or():
            return any(map(of, formula.operands))
        case AtLeast():
            return sum(map(of, formula.operands)) >= formula.k
        case Implies():
            return not of(formula.left) or of(formula.right)
        case Iff():
            return of(formula.left) == of(formula.right)
        case ClassRef():
            raise AssertionError("only properties name classes")


def classes(program: Program, response: ResponseType, world: World) -> set[str]:
    """The classes of an assignment, whether or not the axioms allow it."""
    found: set[str] = set()
    for rule in response.rules:
        if not isinstance(rule.formula, Otherwise):
            if truth(program, rule.formula, world):
                found.add(rule.name)
                if response.cascade:
                    return found
        elif response.cascade:
            return {rule.name}
    rest = [rule.name for rule in response.rules if isinstance(rule.formula, Otherwise)]
    return found or set(rest)


def allowed(program: Program, world: World) -> bool:
    """Whether the author's axioms allow an assignment."""
    return all(truth(program, axiom.formula, world) for axiom in program.axioms if not axiom.implied)


def worlds(*programs: Program) -> Iterator[World]:
    """The assignments of all atoms of some programs that a text can have: a count above 9 is above 5 too."""
    names = list(dict.fromkeys(name for program in programs for name in program.atoms))
    limits = {m.name: m.threshold for program in programs for m in program.measures}
    for values in product((False, True), repeat=len(names)):
        world = dict(zip(names, values, strict=True))
        above = max((limits[name] for name in limits if world[name]), default=-1)
        if all(world[name] == (limit <= above) for name, limit in limits.items()):
            yield world


def meaning(program: Program, over: list[World]) -> list[object]:
    """For every assignment: None where the axioms exclude it, else the classes by response type."""
    return [
        {r.name: classes(program, r, world) for r in program.responses} if allowed(program, world) else None
        for world in over
    ]


def same(one: Program, other: Program) -> bool:
    """Whether two programs mean the same."""
    over = list(worlds(one, other))
    return meaning(one, over) == meaning(other, over)


# --- what is done -----------------------------------------------------------------------------


def text_of(model: Model, measures: frozenset[int] = frozenset()) -> str:
    """The policy with its features named, and some of its propositions counts of words."""
    text = model.text() + "".join(f"reward {r.name} {{ features classes }}\n" for r in model.responses)
    for at, atom in enumerate(sorted(measures)):
        text = re.sub(rf'^.*prop p{atom} ".*$', f"p{atom} := words > {3 * at + 2}", text, flags=re.MULTILINE)
    return text


def cut(text: str, start: int, end: int, put: str = "") -> str:
    return text[:start] + put + text[end:]


def line_of(text: str, at: int) -> tuple[int, int]:
    """Start and end of the line in which a place is, its end included."""
    return text.rfind("\n", 0, at) + 1, text.index("\n", at) + 1


def without_lines(text: str, places: list[int]) -> str:
    for start, end in sorted({line_of(text, at) for at in places}, reverse=True):
        text = cut(text, start, end)
    return text


def taken_out(text: str, span: Span) -> str:
    """The text without an operand or the member of a group, and the sign that joined it."""
    if text[span.end : span.end + 2] == ", " or text[span.end : span.end + 3] in (" & ", " | "):
        return cut(text, span.start, span.end + (2 if text[span.end] == "," else 3))
    back = 2 if text[span.start - 2 : span.start] == ", " else 3
    assert text[span.start - back : span.start].strip() in (",", "&", "|")
    return cut(text, span.start - back, span.end)


def negated(text: str, span: Span) -> str:
    """The text with an operand negated, or the member of a group."""
    if text[span.end] in ",}":
        return cut(text, span.start, span.end, "turned") + f"turned := !{span.text}\n"
    return cut(text, span.start, span.end, f"(!({span.text}))")


def said(checked: Checked, *codes: str) -> list[Diagnostic]:
    return [d for d in checked.diagnostics if d.code.id in codes]


def compiled(text: str) -> Checked:
    checked = check_text(text)
    assert checked.ok, [d.message for d in checked.diagnostics] + [text]
    return checked


# --- explicit examples ------------------------------------------------------------------------

A, B, C = (("atom", n) for n in range(3))


def policy(*definitions: Tree, axioms: tuple[Tree, ...], rule: Tree, atoms: int = 3) -> Model:
    """A cascade of two classes."""
    response = Response("r0", (("c0",), ("c1",)), True, (("c0", rule), ("c1", None)))
    return Model(atoms, definitions, (), axioms, (response,))


# Found by drawing: without `p1` the axiom is another, and `p1` may hold.
OWN_AXIOM = policy(("or", A, B), axioms=(("not", ("ref", 0)),), rule=C)
# The same through another definition, and where the axiom makes the whole definition true.
THROUGH = policy(("or", A, B), ("and", ("ref", 0), C), axioms=(("not", ("ref", 1)), C), rule=C)
FORCED = policy(("and", A, B), axioms=(("ref", 0),), rule=C)
# An axiom of the definition, and one that says the same without it.
TWICE = policy(("or", A, B), axioms=(("not", ("ref", 0)), ("not", B)), rule=("ref", 0))
# Counts that contradict each other: no axiom of the author's excludes the class.
COUNTED = Model(
    2, responses=(Response("r0", (("c0",), ("c1",)), False, (("c0", ("and", ("not", A), B)), ("c1", ("not", A)))),)
)
# A group that only an unused definition mentions, of a proposition that nothing reaches.
GROUPED = Model(
    2, (("any", 0, 0),), ((1,),), (A,), (Response("r0", (("c0",),), False, (("c0", A),)),),
)  # fmt: skip


# --- laws -------------------------------------------------------------------------------------

measured = st.frozensets(st.integers(0, 3), max_size=2)


@settings(max_examples=150)
@given(models(most_atoms=4, priors=False), measured)
@example(OWN_AXIOM, frozenset())
@example(THROUGH, frozenset())
@example(FORCED, frozenset())
@example(TWICE, frozenset())
def test_an_operand_that_changes_nothing_can_go(model: Model, measures: frozenset[int]) -> None:
    text = text_of(model, measures)
    checked = check_text(text)
    if checked.ok:
        for found in said(checked, "RBR4006"):
            fix = found.fixes[0].span
            assert same(checked.program, compiled(cut(text, fix.start, fix.end)).program), found.message


@settings(max_examples=100)
@given(models(most_atoms=4, priors=False), measured)
def test_a_proposition_that_never_changes_a_class_can_be_anything(model: Model, measures: frozenset[int]) -> None:
    checked = check_text(text_of(model, measures))
    for found in said(checked, "RBR4007") if checked.ok else ():
        _, atom, _, name, _ = found.message.split("`")
        (response,) = (r for r in checked.program.responses if r.name == name)
        for world in worlds(checked.program):
            either = [classes(checked.program, response, {**world, atom: value}) for value in (False, True)]
            assert either[0] == either[1]


@settings(max_examples=100)
@given(models(most_atoms=4, priors=False), measured)
@example(GROUPED, frozenset())
def test_what_is_not_used_can_go(model: Model, measures: frozenset[int]) -> None:
    text = text_of(model, measures)
    checked = check_text(text)
    if checked.ok:
        shorter = checked
        while loose := said(shorter, "RBR4002") or said(shorter, "RBR4001"):  # what is used by nothing used first
            text = without_lines(text, [found.span.start for found in loose])
            shorter = compiled(text)
            assert same(checked.program, shorter.program)


@settings(max_examples=150)
@given(models(most_atoms=4, priors=False), measured)
@example(policy(axioms=(("not", A),), rule=A), frozenset())
def test_a_line_that_is_never_reached_can_go_and_is_reached_where_it_may_move(
    model: Model, measures: frozenset[int]
) -> None:
    text = text_of(model, measures)
    checked = check_text(text)
    program = checked.program
    if not checked.ok:
        return
    for found in said(checked, "RBR3009"):
        assert same(program, compiled(without_lines(text, [found.span.start])).program)
        (formula,) = (rule.formula for r in program.responses for rule in r.rules if rule.span == found.span)
        if isinstance(formula, Otherwise):
            assert "move" not in found.help
            continue
        over = list(worlds(program))
        holds = [world for world in over if truth(program, formula, world)]
        reached = any(allowed(program, world) for world in holds)
        assert ("move it up" in found.help) == reached
        assert ("the axioms exclude" in found.help) == (bool(holds) and not reached)
        assert ("contradicts itself" in found.help) == (not holds)


@settings(max_examples=200)
@given(models(most_atoms=4, priors=False), measured)
@example(COUNTED, frozenset({0, 1}))
def test_why_a_class_is_impossible(model: Model, measures: frozenset[int]) -> None:
    checked = check_text(text_of(model, measures))
    program = checked.program
    if said(checked, "RBR3004"):
        return
    over = list(worlds(program))
    for found in said(checked, "RBR3003"):
        name, klass = found.message.split("`")[1].split(".")
        (response,) = (r for r in program.responses if r.name == name)
        rules = [rule.formula for rule in response.rules if rule.name == klass]
        asked = [w for w in over if any(isinstance(f, Otherwise) or truth(program, f, w) for f in rules)]
        left = [w for w in over if klass in classes(program, response, w)]
        assert not any(allowed(program, world) for world in left)
        assert ("contradicts itself" in found.help) == (not asked)
        open_ = any(allowed(program, world) for world in asked)
        assert ("the axioms exclude all" in found.help) == (bool(asked) and not open_)
        others = "earlier lines" if response.cascade else "the other rules"
        assert (f"{others} leave nothing" in found.help) == (open_ and not left)
        assert (f"{others} and the axioms leave nothing" in found.help) == (open_ and bool(left))


@settings(max_examples=150)
@given(models(most_atoms=4, priors=False), measured)
@example(
    Model(3, (), (), (("<=>", A, B),), (Response("r0", (("c0",), ("c1",), ("c2",)), False,
          (("c0", A), ("c1", B), ("c2", None))),)), frozenset(),
)  # fmt: skip
def test_what_is_said_of_two_rules_needs_no_axiom_that_is_not_named(model: Model, measures: frozenset[int]) -> None:
    checked = check_text(text_of(model, measures))
    program = checked.program
    for found in said(checked, "RBR3005"):
        _, inner, says, outer, _ = found.message.split("`")
        under = found.message.endswith(" under the axioms")
        (response,) = (r for r in program.responses if any(rule.span == found.span for rule in r.rules))
        inside = dict.fromkeys((True, False), True)  # by whether the axioms are assumed
        for world in worlds(program):
            here = classes(program, response, world)
            holds = (inner in here) == (outer in here) if "the same" in says else inner not in here or outer in here
            inside[False] &= holds
            inside[True] &= holds or not allowed(program, world)
        assert inside == {True: True, False: not under}


@settings(max_examples=150)
@given(models(most_atoms=3, priors=False), measured)
def test_each_of_the_axioms_that_contradict_is_needed_for_it(model: Model, measures: frozenset[int]) -> None:
    text = text_of(model, measures)
    checked = check_text(text)
    for found in said(checked, "RBR3004"):
        named = {found.span, *(span for _, span in found.related)}
        core = [axiom.formula for axiom in checked.program.axioms if axiom.span in named]
        for left_out in (None, *core):
            holds = any(
                all(truth(checked.program, f, world) for f in core if f is not left_out)
                for world in worlds(checked.program)
            )
            assert holds == (left_out is not None)


@settings(max_examples=60)
@given(models(most_atoms=3, priors=False), measured, st.lists(st.integers(0, 7), max_size=3))
@example(OWN_AXIOM, frozenset(), [])
@example(policy(axioms=(A,), rule=A), frozenset({0, 1}), [])  # that a count is above a smaller number is no text
@example(TWICE, frozenset(), [0])
def test_a_mutant_fares_as_the_policy_does_that_is_written_so(
    model: Model, measures: frozenset[int], picks: list[int]
) -> None:
    text = text_of(model, measures)
    checked = check_text(text)
    over = [world for world in worlds(checked.program) if allowed(checked.program, world)]
    if not checked.ok or not over:
        return
    for response in checked.program.responses:
        for world in (over[pick % len(over)] for pick in picks):
            (klass,) = classes(checked.program, response, world)
            text += f"cases {response.name} {{ {', '.join(n for n, v in world.items() if v)} -> {klass} }}\n"
    checked = compiled(text)
    for mutant in mutants(checked.program, checked.modules[-1].module.source.name):
        change: Callable[[str, Span], str] = negated if mutant.change == "negated" else taken_out
        written = check_text(change(text, mutant.span))
        errors = {d.code.id for d in written.diagnostics if d.severity == "error"}
        assert not {code for code in errors if code < "RBR3"}, change(text, mutant.span)
        fate = "checks" if errors & {"RBR3006", "RBR3007", "RBR3010"} else "proofs" if errors else "survived"
        assert mutant.fate == fate, (mutant, change(text, mutant.span))
        if fate == "survived":
            assert not same(checked.program, written.program)


# --- parts that stand in several places -------------------------------------------------------

PROPS = "".join(f'prop {name} "{name}"\n' for name in "abc")


def fates(text: str) -> dict[tuple[str, str], tuple[str, str]]:
    checked = compiled(text)
    found = mutants(checked.program, checked.modules[-1].module.source.name)
    return {(m.span.text, m.change): (m.owner, m.fate) for m in found}


def test_a_rule_of_every_response_type_is_one_text() -> None:
    text = PROPS + "*.x := a & !b\n" + "".join(f"response {r} ranks x > y\n{r}.y := otherwise\n" for r in "rs")
    assert fates(text)["a", "negated"] == ("r.x, s.x", "survived")
    tested = text + "cases s { a -> x\n b -> y\n a, b -> y\n -> y }\n"
    assert {fate for _, fate in fates(tested).values()} == {"checks"}, (
        "a test of `s` reads the same words as one of `r`"
    )


def test_the_member_of_a_group_is_one_text() -> None:
    text = PROPS + (
        "group bad = {a, b}\naxiom any(bad) => c\nresponse r ranks x > y\nr.x := none(bad)\nr.y := otherwise\n"
        'property "p" for r: any(bad) => y\n'
    )
    assert fates(text)["a", "negated"] == ("r.x", "survived"), "the property speaks of the same group"
    checked = compiled(text)
    (mutant,) = (m for m in mutants(checked.program, "policy.rbr") if (m.span.text, m.change) == ("a", "negated"))
    written = compiled(negated(text, mutant.span))
    assert not same(checked.program, written.program)


def test_a_comparison_is_one_literal() -> None:
    text = PROPS + "response r ranks x > y\nr.x := (words == 5) & a\nr.y := otherwise\ncases r { a -> y }\n"
    assert set(fates(text)) == {(t, change) for t in ("(words == 5)", "a") for change in ("negated", "dropped")}
    assert fates(text)["(words == 5)", "negated"] == ("r.x", "checks")


def test_what_super_brings_is_judged_where_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "base.rbr").write_text(PROPS + "response r ranks x > y\nr.x := a & !b\nr.y := otherwise\n")
    main = tmp_path / "main.rbr"
    main.write_text('use "base.rbr" (r, b)\noverride r.x := super & !b\n')
    checked = check(main)
    assert [(d.code.id, d.span.text, d.span.source.name) for d in checked.diagnostics] == [
        ("RBR4006", "!b", str(main))
    ], "the base's own `!b` may be needed by others"
    assert {m.span.text for m in mutants(checked.program, str(main))} == {"!b"}


@pytest.mark.parametrize("rule", ["words > 10 & words > 5", "words == 5 & words > 3", "words > 5 | words == 7"])
def test_counts_that_say_each_other(rule: str) -> None:
    text = PROPS + f"response r ranks x > y\nr.x := {rule}\nr.y := otherwise\nreward r {{ features classes }}\n"
    checked = compiled(text)
    (found,) = said(checked, "RBR4006")
    assert "axioms" not in found.message, "there are none"
    fix = found.fixes[0].span
    assert same(checked.program, compiled(cut(text, fix.start, fix.end)).program)
