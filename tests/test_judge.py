"""Which text is judged: `judge` of a file, `over` of a proposition or measure, and what carries it from there on."""

from __future__ import annotations

from pathlib import Path

import pytest
from artefact_kit import reread

import rbrlang as rbr
from rbrlang.checking import check_text
from rbrlang.lang.printing.format import formatted
from rbrlang.logic.diff import Side, diff
from rbrlang.reward.kept.codec import circuit_to_json
from rbrlang.source import Source

RULES = "response r ranks x > y\nr.x := {formula}\nr.y := otherwise\n"
A = 'prop a "A."\n'


def names(text: str) -> tuple[str, ...]:
    """The atoms of a policy that checks."""
    checked = check_text(text)
    assert not checked.diagnostics, checked.diagnostics
    return checked.program.atoms


def test_the_text_of_a_proposition_is_its_own_or_its_files_or_the_policys(tmp_path: Path) -> None:
    (tmp_path / "quiet.rbr").write_text('prop q "Q."\nlong := words > 5\n')
    (tmp_path / "loud.rbr").write_text('judge thought\nprop t "T."\nmuch := words > 5\n')
    (tmp_path / "main.rbr").write_text(
        'use "quiet.rbr" (q, long)\nuse "loud.rbr" (t, much)\njudge assistant\n'
        'prop a "A."\nprop b "B." {\n  over trajectory\n}\n'
        + RULES.format(formula="a & b & q & t & long & much & words > 5 & words over final > 5")
    )
    program = rbr.load(tmp_path / "main.rbr").program
    assert {p.name: p.over for p in program.propositions} == {
        "a": "assistant", "b": "trajectory", "q": "assistant", "t": "thought",
    }  # fmt: skip
    assert [m.name for m in program.measures] == ["words > 5", "words over thought > 5", "words over final > 5"]
    assert [m.key for m in program.measures] == ["words over assistant > 5", "words over thought > 5", "words > 5"]
    alone = check_text((tmp_path / "quiet.rbr").read_text())
    assert alone.program.propositions[0].over == "final"


def test_names_of_measures_can_be_written_again() -> None:
    text = A + RULES.format(
        formula='a & words over thought > 5 & matches("x") over assistant & count("y") over trajectory >= 2 & steps < 4 '
        '& calls("^f\\"") == 0 & tool_errors <= 1'
    )
    found = names(text)
    assert found[1:] == (
        "words over thought > 5", 'matches("x") over assistant', 'count("y") over trajectory > 1', "steps > 3",
        'calls("^f\\"") > 0', "tool_errors > 1",
    )  # fmt: skip
    again = A + RULES.format(formula="a & " + " & ".join(found[1:]))
    assert names(again) == found


def test_counts_of_the_trajectory_are_names_where_nothing_is_compared() -> None:
    text = (
        'prop steps "S."\nprop calls "C."\ntool_errors := steps & !calls\n'
        'response r ranks steps > other\nr.steps := (tool_errors | calls) & steps > 3 & calls("f") == 0 & tool_errors < 2\n'
        "r.other := otherwise\n"
    )
    assert names(text) == ("steps", "calls", "steps > 3", 'calls("f") > 0', "tool_errors > 1")
    assert formatted(Source("x.rbr", text)) == text


def test_measures_of_other_texts_are_other_atoms() -> None:
    same, other = A + RULES.format(formula="a & words > 5"), A + RULES.format(formula="a & words over thought > 5")
    one, two = rbr.loads(same), rbr.loads(other)
    judged = rbr.loads("judge thought\n" + same)
    assert one.fingerprint != two.fingerprint
    assert judged.fingerprint == two.fingerprint, "said for the file or for the measure, it is the same reward"
    # No order between counts of different texts: both thresholds stay free.
    assert not check_text(A + RULES.format(formula="a & words > 9 & !(words over thought > 5)")).diagnostics


def test_a_proposition_judged_by_another_text_is_asked_in_other_words() -> None:
    text = A + RULES.format(formula="a")
    old, new = (check_text(t) for t in (text, "judge trajectory\n" + text))
    found = diff(Side(old.program, old.compiled), Side(new.program, new.compiled), {})
    assert found.reworded == ("a",)


def test_the_circuit_keeps_the_texts() -> None:
    policy = rbr.loads("judge assistant\n" + A + RULES.format(formula="a & words > 5 & steps > 1"))
    circuit = reread(policy).circuit
    assert circuit == policy.circuit
    assert [atom.over for atom in circuit.atoms] == ["assistant", "assistant", "trajectory"]
    assert circuit.judged == "assistant"
    assert all(
        "over" not in atom for atom in circuit_to_json(rbr.loads(A + RULES.format(formula="a")).circuit)["atoms"]
    )


@pytest.mark.parametrize(
    ("text", "said", "where"),
    [
        ("judge asistant\n", "`asistant` is no text of a completion", "asistant"),
        ("judge final\njudge thought\n", "a file says once which text is judged", "judge thought"),
        ('prop b "B." { over al }\n', "`al` is no text of a completion", "al"),
        ('prop b "B." {\n over final\n over final\n}\n', "`b` is judged over two texts", "over final"),
        ("d := steps over final > 3\n", "`steps` is always of the whole trajectory", "final"),
        ("d := words over everything > 3\n", "`everything` is no text of a completion", "everything"),
        ("d := a > 1\n", "`a` is a proposition, and cannot be compared", "a"),
        ('d := kicks("x") > 1\n', "`kicks` is no count", "kicks"),
        ('d := calls("(") > 1\n', "not an RE2 pattern", '"("'),
        ('d := calls("") over x > 1\n', "always of the whole trajectory", "x"),
        ("over := a\n", "", "over"),
        ('prop judge "J."\n', "`judge` is a word of the language, not a name", "judge"),
    ],
)
def test_what_cannot_be_meant_is_said(text: str, said: str, where: str) -> None:
    found = check_text(A + text + RULES.format(formula="a")).diagnostics
    first = next(d for d in found if said in d.message)
    assert first.span.text == where


def test_it_is_formatted() -> None:
    text = (
        'judge   assistant\nprop a "A."{over   thought\n cue yes "x"}\n'
        'd:=words   over thought>5&matches("x")over final&calls( "f" )>1\n'
    )
    assert formatted(Source("x.rbr", text)) == (
        'judge assistant\nprop a "A." {\n  over thought\n  cue yes "x"\n}\n'
        'd := words over thought > 5 & matches("x") over final & calls("f") > 1\n'
    )
