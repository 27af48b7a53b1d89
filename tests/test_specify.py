"""Specifications force their class and nothing in them can go; instructions say what they say."""

from __future__ import annotations

import doctest
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Model, models, partitioned

import rbrlang
from rbrlang.grading.results import GradeItem
from rbrlang.learning.synthesis import specify as specify_module
from rbrlang.learning.synthesis.specify import Specification, instructions, measure_instruction, ordered, specify
from rbrlang.learning.synthesis.synth import class_of
from rbrlang.policy import Policy, check_text
from rbrlang.rows.conversation import Turn, spoken

ITEM = GradeItem("row", spoken((), ""), 0)
RULES = """
@prior(0.2) prop rude "Response is rude." { instruct no "Be kind." }
@prior(0.3) prop says_no "Does the response say no?"
prop whole "Response does everything."
@prior(0.6) prop part "Response does something."
axiom whole => part
response chat ranks good > long > bad
chat.bad  := rude | (part & says_no)
chat.long := !rude & !(part & says_no) & (words > 20 | contains("…"))
chat.good := otherwise
"""


@settings(max_examples=25, deadline=None)
@given(models(), st.integers(0, 1000))
def test_a_specification_forces_its_class_and_none_of_its_literals_can_go(model: Model, seed: int) -> None:
    checked = check_text(partitioned(model).text())
    if not checked.ok:
        return
    circuit = Policy(checked).circuit
    if len(circuit.atoms) > 8:
        return
    rng = np.random.default_rng(seed)
    for response in circuit.responses:
        every = list(itertools.product((False, True), repeat=len(circuit.atoms)))
        classes = {bits: class_of(response, bits) for bits in every}
        for klass in range(len(response.classes)):
            found = specify(circuit, response, klass, rng)
            if found is None:
                assert klass not in classes.values()
                continue

            def reached(literals: tuple[tuple[int, bool], ...], classes: dict[tuple[bool, ...], int]) -> set[int]:
                return {c for bits, c in classes.items() if all(bits[a] == v for a, v in literals)} - {-1}

            assert reached(found.literals, classes) == {klass}
            for at in range(len(found.literals)):
                rest = found.literals[:at] + found.literals[at + 1 :]
                assert reached(rest, classes) != {klass}


def test_the_likeliest_literals_go_first() -> None:
    circuit = rbrlang.loads(RULES).circuit
    (response,) = circuit.responses
    names = circuit.atom_names
    rude = both = 0
    for seed in range(60):
        found = specify(circuit, response, 2, np.random.default_rng(seed))
        assert found is not None
        literals = {names[atom]: answer for atom, answer in found.literals}
        assert literals in ({"rude": True}, {"part": True, "says_no": True}, {"whole": True, "says_no": True})
        rude += literals == {"rude": True}
        both += literals != {"rude": True}
    assert rude > 10 < both


def test_instructions_are_the_propositions_own_or_follow_from_the_statement() -> None:
    policy = rbrlang.loads(RULES)
    literals = tuple((atom, answer) for atom in range(len(policy.circuit.atoms)) for answer in (True, False))
    assert instructions(policy.circuit, policy.program.propositions, Specification(literals), ITEM) == (
        "Write the response such that this is true of it: Response is rude.",
        "Write the response such that the answer to this question is yes: Does the response say no?",
        "Write the response such that this is true of it: Response does everything.",
        "Write the response such that this is true of it: Response does something.",
        "Use more than 20 words.",
        "Use these exact characters: …",
        "Be kind.",
        "Write the response such that the answer to this question is no: Does the response say no?",
        "Write the response such that this is not true of it: Response does everything.",
        "Write the response such that this is not true of it: Response does something.",
        "Use at most 20 words.",
        "Do not use these exact characters: …",
    )
    with pytest.raises(ValueError, match="`rude` is no measure"):
        measure_instruction(policy.circuit.atoms[0], True)


def test_notes_go_to_the_last_user_turn() -> None:
    user, reply = Turn("user", "Hi {name}."), Turn("assistant", "Hello.")
    (only,) = ordered((user,), ("Be kind.",))
    assert only.role == "user"
    assert only.text.startswith("Hi {name}.\n\n(Notes")
    assert "\n- Be kind.\n" in only.text
    assert [m.role for m in ordered((user, reply), ())] == ["user", "assistant", "user"]
    assert [m.role for m in ordered((), ("Be kind.",))] == ["user"]


def test_the_examples_in_the_documentation() -> None:
    assert doctest.testmod(specify_module).failed == 0
