"""Two policies have one fingerprint exactly when they say the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Model, Tree, models, partitioned

from rbrlang.lang.load import load_text
from rbrlang.lang.meaning.elaborate import elaborate
from rbrlang.logic.compile import compile_program
from rbrlang.logic.fingerprint import fingerprint


def of(text: str) -> str:
    """The fingerprint of a text, sound or not: what is fingerprinted are functions."""
    program, problems = elaborate(load_text(text)[0])
    assert not [p for p in problems if p.severity == "error"]
    return fingerprint(program, compile_program(program))


def de_morgan(tree: Tree) -> Tree:
    """The same function, written with the other operator everywhere."""
    kind, *rest = tree
    if kind in ("and", "or"):
        other = "or" if kind == "and" else "and"
        return ("not", (other, *(("not", de_morgan(part)) for part in rest)))
    if kind == "=>":
        return ("or", ("not", de_morgan(rest[0])), de_morgan(rest[1]))
    if kind == "<=>":
        return ("not", ("<=>", ("not", de_morgan(rest[0])), de_morgan(rest[1])))
    return ("not", ("not", ("not", de_morgan(rest[0])))) if kind == "not" else tree


def rewritten(model: Model) -> Model:
    responses = tuple(
        replace(r, rules=tuple((c, None if t is None else de_morgan(t)) for c, t in r.rules)) for r in model.responses
    )
    return replace(
        model,
        definitions=tuple(map(de_morgan, model.definitions)),
        axioms=tuple(map(de_morgan, model.axioms)),
        responses=responses,
        names={n: f"renamed_{n}" for n in range(len(model.definitions))},
    )


@settings(max_examples=40, deadline=None)
@given(models(responses=2, priors=False), st.randoms(use_true_random=False))
def test_order_names_and_spelling_do_not_matter(model: Model, random: object) -> None:
    flat = replace(
        model, responses=tuple(r for r in model.responses if not r.cascade) or model.responses
    )  # the lines of a cascade are ordered by meaning
    wanted = of(flat.text())
    statements = rewritten(flat).statements()
    random.shuffle(statements)  # type: ignore[attr-defined]
    assert of("\n".join(statements)) == wanted


@settings(max_examples=40, deadline=None)
@given(models(responses=1, priors=False, most_atoms=2), models(responses=1, priors=False, most_atoms=2))
def test_equal_exactly_when_classes_ranks_and_features_are(one: Model, other: Model) -> None:
    atoms = max(one.atoms, other.atoms)
    one, other = (replace(partitioned(m), atoms=atoms, axioms=()) for m in (one, other))
    a, b = one.responses[0], other.responses[0]
    every = "reward r0 { features classes }\n"  # else they differ in the propositions that they mention
    same = one.class_tables(a) == other.class_tables(b)
    ranks = [frozenset(t) for t in a.tiers] == [frozenset(t) for t in b.tiers]
    assert (of(one.text() + every) == of(other.text() + every)) == (same and ranks)


BASE = """\
prop a "a"
prop b "b"
prop c "c"
axiom c => b
response r ranks good > bad
r.good := a & b
r.bad := otherwise
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a & b", "a | b"),
        ("a & b", "a & c"),
        ("good > bad", "bad > good"),
        ("good > bad", "{good, bad}"),
        ("axiom c => b", "axiom b => c"),
        ("axiom c => b\n", ""),
        ("response r ranks good > bad\nr.good", "response s ranks good > bad\ns.good"),
        ("r.bad := otherwise\n", "r.bad := otherwise\nreward r { features classes }\n"),
        ('prop a "a"', 'prop d "a"'),
    ],
)
def test_different_when_the_logic_changes(old: str, new: str) -> None:
    changed = BASE.replace(old, new)
    if new.startswith("response s"):
        changed = changed.replace("r.bad", "s.bad")
    if new.startswith("prop d"):
        changed = changed.replace("a & b", "d & b")
    assert changed != BASE
    assert of(changed) != of(BASE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("axiom c => b", "axiom !c | b"),
        ("axiom c => b\n", "axiom c => b\naxiom c => b | a\n"),
        ("good > bad", "good\n  > bad"),
        ('prop a "a"', '@prior(0.2) @cost(3)\nprop a "another wording"'),
        ("r.bad := otherwise", "r.bad := !a | !b"),
        ("r.good := a & b", "both := b & a\nr.good := both"),
        ("r.good := a & b", "r.good := all({a, b})"),
    ],
)
def test_equal_when_only_the_wording_changes(old: str, new: str) -> None:
    changed = BASE.replace(old, new)
    assert changed != BASE
    assert of(changed) == of(BASE)


def test_how_unrelated_axioms_are_split_does_not_matter() -> None:
    props = "".join(f'prop {n} "{n}"\n' for n in "abcd")
    rules = "response r ranks x > y\nr.x := a\nr.y := otherwise\n"
    together = props + "axiom (a => b) & (c => d)\n" + rules
    apart = props + "axiom c => d\naxiom a => b\n" + rules
    assert of(together) == of(apart)


def test_rules_that_differ_only_where_no_completion_can_be_say_the_same() -> None:
    text = 'prop a "a"\nprop b "b"\naxiom !(a & b)\nresponse r ranks x > y\nr.x := {}\nr.y := otherwise\n'
    features = "reward r { features classes, a, b }\n"
    assert of(text.format("a | b") + features) == of(text.format("!(a <=> b)") + features)
