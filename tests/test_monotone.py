"""`monotone` claims against brute force over all pairs of completions, and what their witnesses show."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from strategies import Model, Response, models, partitioned, worlds

from rbrlang.diagnostics import Diagnostic
from rbrlang.policy import check_text


def rank_in(model: Model, response: Response, world: int) -> tuple[int, str]:
    tables = model.class_tables(response)
    (name,) = [name for name, table in tables.items() if table >> world & 1]
    return next(at for at, tier in enumerate(response.tiers) if name in tier), name


def violated(model: Model, response: Response, atom: int, up: bool) -> bool:
    allowed = model.allowed()
    for world, true in worlds(model):
        other = world | 1 << atom
        if atom in true or not (allowed >> world & 1 and allowed >> other & 1):
            continue
        before, after = rank_in(model, response, world)[0], rank_in(model, response, other)[0]
        if (after > before) if up else (after < before):
            return True
    return False


@settings(max_examples=80, deadline=None)
@given(models(responses=1, most_atoms=5))
def test_a_claim_fails_exactly_when_a_pair_of_completions_breaks_it(model: Model) -> None:
    model = partitioned(model)
    if not model.allowed():
        return
    response = model.responses[0]
    for up in (True, False):
        word = "up" if up else "down"
        claims = ", ".join(f"p{atom} {word}" for atom in range(model.atoms))
        checked = check_text(model.text() + f"monotone r0: {claims}\n")
        found = {d.span.text: d for d in checked.diagnostics if d.code.id == "RBR3010"}
        broken = {f"p{atom} {word}" for atom in range(model.atoms) if violated(model, response, atom, up)}
        assert set(found) == broken
        for claim, diagnostic in found.items():
            check_move(model, response, int(claim.split()[0][1:]), up, diagnostic)


def check_move(model: Model, response: Response, atom: int, up: bool, diagnostic: Diagnostic) -> None:
    """Every allowed completion of the witness moves between the two classes that the message names."""
    witness = dict(diagnostic.witness or ())
    assert witness.pop(f"p{atom}") is True
    *_, before, after = diagnostic.message.split("`")[1::2]
    allowed, seen = model.allowed(), 0
    for world, true in worlds(model):
        other = world | 1 << atom
        agrees = all((int(name[1:]) in true) == value for name, value in witness.items())
        if atom in true or not agrees or not (allowed >> world & 1 and allowed >> other & 1):
            continue
        seen += 1
        low, high = rank_in(model, response, world), rank_in(model, response, other)
        assert (low[1], high[1]) == (before, after)
        assert (high[0] > low[0]) == up
    assert seen


SOUND = 'prop a "a"\nprop b "b"\nprop c "c"\ngroup g = {a, b}\nresponse r ranks x > y > z {\n  z if a & b\n  y if a | b\n  x otherwise\n}\n'


@pytest.mark.parametrize(
    ("claim", "found"),
    [
        ("monotone r: g down, c up, c down", []),
        ("monotone r: g up", [("RBR3010", "g up")] * 2),
        ("monotone r: a sideways", [("RBR1001", "sideways")]),
        ("monotone r: d down", [("RBR2001", "d")]),
        ("monotone s: a down", [("RBR2001", "s")]),
        ("monotone a: a down", [("RBR2007", "a")]),
        ("d := a\nmonotone r: d down", [("RBR2007", "d")]),
    ],
)
def test_claims_name_propositions_or_groups(claim: str, found: list[tuple[str, str]]) -> None:
    diagnostics = check_text(SOUND + claim + "\n").diagnostics
    assert [(d.code.id, d.span.text) for d in diagnostics if d.severity == "error"] == found


def test_up_and_down_stay_names() -> None:
    text = 'prop up "up"\nprop down "down"\nresponse r ranks x > y\nr.x := up & !down\nr.y := otherwise\nmonotone r: up up, down down\n'
    assert check_text(text).diagnostics == ()


CLAIMS = """rbr 1
prop rude "Response is rude."
long := words > 200
mixed := rude | long
response r ranks good > bad
r.bad  := mixed
r.good := otherwise
"""


@pytest.mark.parametrize(("name", "more"), [
    ("long", "; what has to follow from `long` is for a `property`: `property \"…\" for R: long => …`"),
    ("mixed", "; what has to follow from `mixed` is for a `property`: `property \"…\" for R: mixed => …`"),
    ("r", ""),
])  # fmt: skip
def test_a_claim_of_what_has_no_truth_of_its_own_says_what_to_write(name: str, more: str) -> None:
    (found,) = [d for d in check_text(CLAIMS + f"monotone r: {name} down\n").diagnostics if d.code.id == "RBR2007"]
    assert found.help == "claim it of a `prop`, a `scale` or a group of `prop`s" + more
    if more:  # and that can be written
        checked = check_text(
            CLAIMS + f'property "p" for r: {name} => bad\ngroup g = {{ rude }}\nmonotone r: rude down, g down\n'
        )
        assert checked.diagnostics == ()
