"""The audit finds exactly what brute force finds, and says how much of it there is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from strategies import Model, Response, cube, models, smallest_cube

from rbrlang.diagnostics import Diagnostic
from rbrlang.policy import Checked, check_text


def found(checked: Checked, code: str, response: str = "") -> list[Diagnostic]:
    return [d for d in checked.diagnostics if d.code.id == code and (not response or f"`{response}" in d.message)]


def check_witness(model: Model, diagnostic: Diagnostic, wrong: int) -> None:
    """The witness is valid and smallest, the mass exact: brute force over all assignments."""
    allowed = model.allowed()
    assert diagnostic.witness is not None
    inside = cube(model, diagnostic.witness) & allowed
    assert inside
    assert not inside & ~wrong
    assert len(diagnostic.witness) == smallest_cube(model.atoms, wrong, allowed)
    assert diagnostic.mass == pytest.approx(model.weight(wrong & allowed) / model.weight(allowed), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(models())
def test_gaps_overlaps_and_impossible_classes_are_those_of_the_truth_table(model: Model) -> None:
    checked = check_text(model.text())
    allowed = model.allowed()
    assert bool(found(checked, "RBR3004")) == (not allowed)
    if not allowed:
        return
    for response, summary in zip(model.responses, checked.audit.responses, strict=True):
        tables = model.class_tables(response)
        taken = 0
        for table in tables.values():
            taken |= table
        gap = allowed & ~taken
        gaps = found(checked, "RBR3001", response.name)
        assert len(gaps) == bool(gap)
        for diagnostic in gaps:
            check_witness(model, diagnostic, gap)
        overlaps = {
            (first, second): tables[first] & tables[second] & allowed
            for at, second in enumerate(response.classes)
            for first in response.classes[:at]
        }
        overlaps = {pair: both for pair, both in overlaps.items() if both}
        reported = found(checked, "RBR3002", response.name)
        assert len(reported) == len(overlaps)
        for diagnostic in reported:
            _, first, _, second, *_ = diagnostic.message.split("`")
            check_witness(model, diagnostic, overlaps[first, second])
        impossible = {name for name, table in tables.items() if not table & allowed}
        named = {d.message.split("`")[1] for d in found(checked, "RBR3003", response.name)}
        assert named == {f"{response.name}.{name}" for name in impossible}
        assert summary.partition == (not gap and not overlaps)
        masses = [model.weight(tables[name] & allowed) / model.weight(allowed) for name in response.classes]
        assert summary.masses == pytest.approx(masses, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(models(responses=1))
def test_a_line_is_unreachable_exactly_when_earlier_ones_take_everything(model: Model) -> None:
    response = model.responses[0]
    if not response.cascade or not model.allowed():
        return
    left, dead = model.allowed(), 0
    tables = model.class_tables(response)
    for name, tree in response.rules:
        condition = model.full if tree is None else model.table(tree)
        dead += not left & condition and bool(tables[name] & model.allowed())  # else the class is impossible
        left &= ~condition
    assert len(found(check_text(model.text()), "RBR3009")) == dead


@settings(max_examples=40, deadline=None)
@given(models(responses=1))
def test_a_rule_is_implied_exactly_when_its_table_is_contained(model: Model) -> None:
    response = model.responses[0]
    allowed = model.allowed()
    if response.cascade or not allowed:
        return
    inside = [model.class_tables(response)[name] & allowed for name in response.classes]
    pairs = [(a, b) for at, b in enumerate(inside) for a in inside[:at]]
    contained = sum(bool(a & b) and (not a & ~b or not b & ~a) for a, b in pairs)
    assert len(found(check_text(model.text()), "RBR3005")) == contained


@settings(max_examples=40, deadline=None)
@given(models(responses=1, most_atoms=4))
def test_properties_are_violated_exactly_when_an_assignment_breaks_them(model: Model) -> None:
    response, allowed = model.responses[0], model.allowed()
    if not allowed:
        return
    claim, name = model.definitions[0] if model.definitions else ("atom", 0), response.classes[0]
    text = model.text() + f'property "p" for {response.name}: {model.show(claim, True)} => {name}\n'
    wrong = model.table(claim) & ~model.class_tables(response)[name] & allowed
    violations = found(check_text(text), "RBR3007")
    assert len(violations) == bool(wrong)
    for diagnostic in violations:
        check_witness(model, diagnostic, wrong)


@settings(max_examples=60, deadline=None)
@given(models(responses=1, most_atoms=4, priors=False))
def test_truth_tests_fail_exactly_when_the_table_says_otherwise(model: Model) -> None:
    response, allowed = model.responses[0], model.allowed()
    if not allowed:
        return
    tables = model.class_tables(response)
    lines, wanted = [], 0
    for world in range(1 << model.atoms):
        holding = ", ".join(f"p{a}" for a in range(model.atoms) if world >> a & 1)
        for name in response.classes:
            lines.append(f"  {holding} -> {name}")
            classes = [c for c in response.classes if tables[c] >> world & 1]
            wanted += not allowed >> world & 1 or classes != [name]
    text = model.text() + f"cases {response.name} {{\n" + "\n".join(lines) + "\n}\n"
    assert len(found(check_text(text), "RBR3006")) == wanted


def test_contradictory_axioms_name_only_those_that_contradict() -> None:
    model = Model(
        3,
        axioms=(("atom", 2), ("=>", ("atom", 0), ("atom", 1)), ("atom", 0), ("not", ("atom", 1))),
        responses=(Response("r0", (("c0",),), True, (("c0", None),)),),
    )
    (diagnostic,) = found(check_text(model.text()), "RBR3004")
    assert diagnostic.span.text == "axiom !p1"
    assert [span.text for _, span in diagnostic.related] == ["axiom p0 => p1", "axiom p0"]


def test_the_policy_of_the_announcement_has_a_gap_and_an_overlap() -> None:
    text = """\
prop apology "The response apologises."
prop inability "The response states an inability."
prop judgmental "The response judges the user."
prop complies "The response does what was asked."
apologetic_refusal := apology & inability
response refusal ranks ideal > less_good > unacceptable
refusal.ideal := apologetic_refusal & !judgmental & !complies
refusal.less_good := !apologetic_refusal & (judgmental | !complies)
refusal.unacceptable := complies
"""
    checked = check_text(text)
    assert [d.code.id for d in checked.diagnostics] == ["RBR3001", "RBR3002"]
    gap, overlap = checked.diagnostics
    assert dict(gap.witness or ()) == {"apology": True, "inability": True, "judgmental": True, "complies": False}
    assert gap.mass == pytest.approx(1 / 16)
    assert gap.span.text == "refusal"
    assert overlap.span.text == "unacceptable"
    assert [span.text for _, span in overlap.related] == ["less_good"]
    witness = dict(overlap.witness or ())
    assert witness.pop("complies") is True
    assert witness.pop("judgmental") is True
    assert list(witness.values()) == [False]  # either half of the derived proposition
    assert overlap.mass == pytest.approx(3 / 16)


RULES = "response r ranks x > y\nr.x := a\nr.y := otherwise\n"


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ('prop a "a"\nprop b "b"\n' + RULES, "RBR4001", "b"),
        ('prop a "a"\nd := !a\n' + RULES, "RBR4002", "d"),
        ('prop a "a"\n' + RULES + "*.x := nosuch\n", "RBR4002", "x"),
        ('prop a "a"\nresponse r ranks x > y {\n x if a\n y otherwise\n}\n*.y := a\n', "RBR4002", "y"),
        (
            'prop a "a"\n' + RULES + RULES.replace(" r ", " s ").replace("r.", "s.") + 'category "one" -> r\n',
            "RBR4003",
            "s",
        ),
        ('prop a "a"\n' + RULES + "reward r {\n weight x = 0\n weight y = 1\n}\n", "RBR4004", "weight x = 0"),
        ('prop a "a" {\n yes "Yes, of course."\n}\n' + RULES, "RBR4005", "a"),
    ],
)
def test_lints(text: str, code: str, where: str) -> None:
    (diagnostic,) = check_text(text).diagnostics
    assert (diagnostic.code.id, diagnostic.span.text) == (code, where)


@pytest.mark.parametrize(
    "text",
    [
        'prop a "a"\nprop b "b"\n' + RULES + 'property "p" for r: b => x | y\n',
        'prop a "a"\nprop b "b"\naxiom a => b\n' + RULES,
        'prop a "a"\nprop b "b"\n' + RULES + "reward r { features classes, b }\n",
        'prop a "a"\n' + RULES + "reward r {\n weight x >= 0\n weight y <= 1\n}\n",
        'prop a "a" {\n yes "Yes."\n no "No."\n}\n' + RULES,
        'prop a "a"\n' + RULES + "response s ranks x > y\ns.y := otherwise\n*.x := !a\n",
        'prop a "a"\n',  # a module of propositions alone
    ],
)
def test_no_lint_where_nothing_is_wrong(text: str) -> None:
    assert check_text(text).diagnostics == ()


def test_larger_thresholds_imply_smaller_ones() -> None:
    text = "response r ranks short > long > longest {\n longest if words > 100\n long if words >= 51\n short otherwise\n}\n"
    checked = check_text(text + "cases r {\n words > 100 -> longest\n words > 50 -> long\n -> short\n}\n")
    assert checked.diagnostics == ()
    flat = "response r ranks a > b\nr.a := words > 10\nr.b := words < 11 | words > 99\n"
    (overlap,) = check_text(flat).diagnostics
    assert (overlap.code.id, overlap.witness) == ("RBR3002", (("words > 99", True),))


def test_what_holds_of_every_text_outlives_the_questions_asked_before() -> None:
    """Many counts, an axiom, and a line that nothing reaches: found by the oracle, where a check ended in an IndexError."""
    text = (
        'prop p0 "Statement 0."\nprop p1 "Statement 1."\nprop p2 "Statement 2."\nprop p3 "Statement 3."\n'
        'prop p4 "Statement 4."\nd0 := (p0 <=> (count("!") >= 6)) <=> all({p3, p2})\n'
        'd1 := !(none(g0) & any({p0, p1, p2, p4, p3}) & (contains("!") | p2))\ngroup g0 = {p3}\naxiom p0 | p2\n'
        "response r0 ranks {c0, c2} {\n  c0 if all(g0)\n  c2 otherwise\n}\n"
        'response r1 ranks c0 {\n  c0 if (!(count("!") < 3) & (p1 & contains("!") & p2) & (p1 & p2)) | ((count("!") > 3) => '
        '(p4 | matches("tea") | p3)) | (p2 | p0)\n  c0 otherwise\n}\n'
    )
    assert {found.code.id for found in check_text(text).diagnostics} == {"RBR3009", "RBR4002", "RBR4007"}
