"""Checks by code that look beyond the text: at a column of the row, or at a schema."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from artefact_kit import reread

import rbrlang
from rbrlang import schema
from rbrlang.cli.main import main
from rbrlang.lang.checks import Against
from rbrlang.lang.printing.format import formatted
from rbrlang.policy import check_text, load
from rbrlang.reward.kept.artefact import ArtefactError
from rbrlang.reward.kept.codec import circuit_to_json
from rbrlang.reward.measure import measure
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.reward import RuleReward
from rbrlang.rows.cells import cell
from rbrlang.rows.conversation import spoken
from rbrlang.rows.read import row_from
from rbrlang.source import Source

POLICY = """rbr 1
column reference "The expected answer."
prop polite "Response is polite."
exact := equals(reference, fold: case, fold: space)
near  := number_equals(reference, within: 0.01)
response task ranks good > fair > poor {
  good if exact & polite
  fair if near
  poor otherwise
}
reward task { features classes, near  weight near = 0.5 }
"""
SCHEMA = (
    '{"type": "object", "required": ["answer"], "properties": {"answer": {"type": "string", "pattern": "^[a-z]+$"}}}'
)


def row(completion: str, **more: Any) -> dict[str, Any]:
    return {"id": "1", "prompt": "Say.", "completion": completion, "response_type": "task"} | more


def holds(kind: Any, pattern: str, text: str, reference: Any) -> float:
    return measure(kind, pattern, "final", spoken((), text), lambda name: cell(name, reference))


@pytest.mark.parametrize(
    ("kind", "pattern", "text", "reference", "expected"),
    [
        ("equals", "r", "Paris", "Paris", 1),
        ("equals", "r", "Paris ", "Paris", 0),
        ("equals", "r", "paris", "Paris", 0),
        ("equals", "r, fold: case", "pArIs", "Paris", 1),
        ("equals", "r, fold: case", "STRASSE", "straße", 1),
        ("equals", "r, fold: case", "cafe\u0301", "CAFÉ", 1),
        ("equals", "r, fold: space", " the\n answer ", "the answer", 1),
        ("equals", "r, fold: space", "theanswer", "the answer", 0),
        ("equals", "r", "4", 4.0, 1),
        ("contains_column", "r", "It is Paris.", "Paris", 1),
        ("contains_column", "r", "It is PARIS.", "Paris", 0),
        ("contains_column", "r, fold: case, fold: space", "the  CITY of\nParis", "city of paris", 1),
        ("number_equals", "r", "So it is 4.", "4", 1),
        ("number_equals", "r", "First 4, then 5", 4, 0),
        ("number_equals", "r", "1,234.50", 1234.5, 1),
        ("number_equals", "r", "12,34", "34", 1),
        ("number_equals", "r", "3-4", "4", 1),
        ("number_equals", "r", "x = -4", "4", 0),
        ("number_equals", "r", "-4", "#### -4", 1),
        ("number_equals", "r", "The answer is \u22124.", "-4", 1),
        ("number_equals", "r", "The answer is \u22124.", "4", 0),
        ("number_equals", "r", ".5", "0.5", 1),
        ("number_equals", "r", "1e3", "1000", 1),
        ("number_equals", "r, within: 0.01", "0.31", "0.3", 1),
        ("number_equals", "r, within: 0.01", "0.3101", "0.3", 0),
        ("number_equals", "r", "1e999999", "1e999999", 1),
        ("number_equals", "r", "9" * 5000, "1", 0),
        ("number_equals", "r", "no number", "4", 0),
        ("number_equals", "r", "4", "no number", math.nan),
        ("equals", "r", "4", None, math.nan),
        ("equals", "r", "4", ["4"], math.nan),
        ("contains_column", "r", "4", " ", math.nan),
    ],
)
def test_a_text_is_compared_with_a_column(kind: Any, pattern: str, text: str, reference: Any, expected: float) -> None:
    assert holds(kind, pattern, text, reference) == pytest.approx(expected, nan_ok=True)


def test_what_is_compared_has_one_form() -> None:
    for text in ("r", "r, fold: case", "r, fold: case, fold: space", "r, within: 0.5"):
        assert Against.read(text).text == text
    for text in (
        "",
        "r,",
        "R",
        "r, fold: space, fold: case",
        "r, fold: other",
        "r, within: x",
        "r, within: NaN",
        "r) | x(",
    ):
        with pytest.raises(ValueError, match=r"names no column|no number|is not written"):
            Against.read(text)
    one, other = (
        check_text(POLICY.replace("fold: case, fold: space", how))
        for how in ("fold: case, fold: space", "fold: space, fold: case, fold: case")
    )
    assert one.ok
    assert one.fingerprint == other.fingerprint
    wider = check_text(POLICY.replace(", fold: space", ""))
    assert wider.fingerprint != one.fingerprint
    assert check_text(POLICY.replace("0.01", "0.010")).fingerprint == one.fingerprint


def test_the_proofs_know_which_checks_imply_others() -> None:
    head = 'column r "The answer."\nresponse t ranks good > bad\nt.bad := otherwise\n'
    for never in (
        "equals(r) & !equals(r, fold: case)", "equals(r) & !contains(r, fold: space)",
        "number_equals(r) & !number_equals(r, within: 1)", 'json_schema("{}") & !json',
    ):  # fmt: skip
        found = check_text(f"{head}t.good := {never}\n")
        assert [d.code.id for d in found.diagnostics if d.severity == "error"] == ["RBR3003"], never
    for possible in (
        "equals(r, fold: case) & !equals(r)",
        "contains(r) & !equals(r)",
        "equals(r) & !contains(r) over thought",
    ):
        assert check_text(f"{head}t.good := {possible}\n").ok, possible


def test_a_row_that_lacks_the_column_costs_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        row("Four", id="1", reference="four", probs={"polite": 1}),
        row("It is 4", id="2", reference=4, probs={"polite": 1}),
        row("4", id="3", probs={"polite": 1}),
        row("4", id="4", reference={"a": 4}, probs={"polite": 0}),
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    (tmp_path / "p.rbr").write_text(POLICY)
    artefact = str(tmp_path / "p.rbrc")
    assert main(["compile", str(tmp_path / "p.rbr"), "-o", artefact]) == 0
    assert main(["score", artefact, str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "out.jsonl")]) == 3
    out = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [one["class"] for one in out] == ["good", "fair", None, None]
    assert [one["reward"] for one in out] == [None, 0.5, None, None]  # "four" has no number, and `near` weighs
    assert (
        out[0]["reason"] == "nothing in column `reference` to compare with in `number_equals(reference, within: 0.01)`"
    )
    assert "`equals(reference, fold: case, fold: space)`" in out[2]["reason"]
    assert main(["verify", str(tmp_path / "out.jsonl"), "--artefact", artefact]) == 0
    assert main(["verify", artefact]) == 0
    capsys.readouterr()


def test_all_evaluators_say_the_same() -> None:
    policy = load_text()
    rows = [
        row_from(row(text, id=str(at), probs={"polite": p}, **({} if reference is None else {"reference": reference})))
        for at, (text, reference, p) in enumerate(
            (text, reference, p) for text in ("4", "FOUR", "x") for reference in ("4", "four", None) for p in (0, 0.3, 1, None)
        )
    ]  # fmt: skip
    slow, fast = NumpyReward(policy.circuit), RuleReward.from_circuit(policy.circuit)
    atoms, ids = slow.encode(rows), slow.response_ids(rows)
    assert np.isnan(atoms[:, policy.circuit.measures]).any()
    np.testing.assert_allclose(np.asarray(fast(atoms, ids)), slow(atoms, ids), atol=1e-6, equal_nan=True)
    single = np.concatenate([slow(atoms[i : i + 1], ids[i : i + 1]) for i in range(len(rows))])
    np.testing.assert_allclose(single, slow(atoms, ids), atol=1e-6, equal_nan=True)
    for ours, theirs in zip(slow.bounds(atoms, ids), fast.bounds(atoms, ids), strict=True):
        np.testing.assert_allclose(np.asarray(theirs), ours, atol=1e-6, equal_nan=True)


def load_text() -> rbrlang.Policy:
    checked = check_text(POLICY)
    assert checked.ok, checked.diagnostics
    return rbrlang.Policy(checked)


def test_the_trainers_columns_are_compared(tmp_path: Path) -> None:
    from rbrlang.scoring.columns import Columns, of_policy, rollouts
    from rbrlang.scoring.score import scored

    reward = NumpyReward(load_text().circuit)
    columns = of_policy(Columns(), reward.circuit)
    given = {"response_type": ["task", "task"], "reference": ["four", None]}
    read = rollouts(["Say.", "Say."], ["Four", "Four"], given, columns)
    found = scored(reward, read, np.zeros(2, np.int32), [{}, {}])
    assert found.reasons[0] is not None
    assert found.reasons[0].startswith("no answer for `polite`")
    assert "nothing in column `reference`" in (found.reasons[1] or "")


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("equals(refrence)", "no column `refrence` is declared"),
        ("equals(polite)", "no column `polite` is declared"),
        ("equals(reference, fold: punctuation)", "`fold: punctuation` does not say how closely to compare"),
        ("equals(reference, within: 1)", "`equals` has no `within`"),
        ("contains(reference, fold: 1)", "`fold: 1` does not say how closely to compare"),
        ("number_equals(reference, fold: case)", "`number_equals` has no `fold`"),
        ("number_equals(reference, within: -1)", "`within: -1` does not say how closely to compare"),
        ("number_equals(reference, within: 1, within: 2)", "`within: 2` does not say how closely to compare"),
        ("same(reference)", "`same` is no check of a text"),
        ('json_schema("nothing")', "not a JSON Schema: "),
        ('json_schema("[]")', "not a JSON Schema: it is neither an object nor true or false"),
        ('json_schema("""{"type": "text"}""")', "not a JSON Schema: at `type`: 'text' is not valid"),
        ('json_schema("""{"$ref": "https://example.org/s"}""")', "`https://example.org/s` is not in it"),
        ('json_schema("""{"$schema": "https://example.org/draft"}""")', "`$schema` names no draft that is known here"),
        ('json_schema("""{"$schema": 7}""")', "`$schema` names no draft that is known here"),
        ('json_schema("""{"$ref": "#/$defs/a"}""")', "not a JSON Schema: `#/$defs/a` is not in it"),
        ('json_schema("""{"patternProperties": {"a": {}}}""")', "`patternProperties` is not offered"),
        ('json_schema("""{"pattern": "(?=a)"}""")', "`(?=a)` is not an RE2 pattern"),
        ('words_like("x")', "`words_like` is no check of a text"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(formula: str, said: str) -> None:
    text = POLICY.replace("near  := number_equals(reference, within: 0.01)", f"near  := {formula}")
    errors = [d for d in check_text(text).diagnostics if d.severity == "error"]
    assert [said in error.message for error in errors] == [True], errors
    assert errors[0].span.text
    assert errors[0].help


def test_layout_is_settled() -> None:
    text = "near:=number_equals( reference ,within:0.01 ) over  thought&equals(reference,fold : case)\n"
    once = formatted(Source("p.rbr", text))
    assert once == "near := number_equals(reference, within: 0.01) over thought & equals(reference, fold: case)\n"
    assert formatted(Source("p.rbr", once)) == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"answer": "paris"}', True), ('{"answer": "Paris"}', False), ("{}", False), ("[]", False), ("paris", False),
        ('{"answer": "paris", "answer": "paris"}', False), ('{"answer": 4}', False),
    ],
)  # fmt: skip
def test_a_text_has_the_form_of_a_schema(text: str, expected: bool) -> None:
    checked = check_text(f'response t ranks good > bad\nt.good := json_schema("""{SCHEMA}""")\nt.bad := otherwise\n')
    assert checked.ok, checked.diagnostics
    reward = NumpyReward(rbrlang.Policy(checked).circuit)
    rows = [row_from(row(text) | {"response_type": "t"})]
    assert reward.encode(rows)[0].tolist() == [float(expected)]


def test_equal_schemas_are_one_measure() -> None:
    other = json.dumps(dict(reversed(json.loads(SCHEMA).items())), indent=1)
    head = "response t ranks good > bad\nt.bad := otherwise\n"
    one, two = (check_text(f'{head}t.good := json_schema("""{text}""")\n') for text in (SCHEMA, other))
    assert one.ok
    assert one.fingerprint == two.fingerprint


def test_a_schema_from_elsewhere_costs_what_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keywords end at `STEPS`, and each value of a list is looked at once, never against every other."""
    looked, key = [0], vars(schema)["_key"]

    def counted(value: Any) -> object:
        looked[0] += 1
        return key(value)

    monkeypatch.setattr(schema, "_key", counted)
    deep: Any = 1
    for _ in range(90):
        deep = [deep]
    doubling = json.dumps({"items": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}})
    forever = json.dumps({"$ref": "#"})
    many = [[at] for at in range(50_000)]
    assert schema.holds(doubling, deep) is None
    assert schema.holds(forever, 1) is None
    assert schema.holds('{"uniqueItems":true}', many) is True
    assert looked[0] == 2 * len(many)
    assert schema.holds('{"uniqueItems":true}', [1, True, 1.5, "1", [1], {"a": 1}]) is True
    assert schema.holds('{"uniqueItems":true}', [{"a": [1]}, {"a": [1.0]}]) is False
    assert schema.holds('{"multipleOf":1e-300}', 1e300) in (True, None)
    assert schema.holds('{"pattern":"^(a+)+$"}', "a" * 5_000 + "!") is False


def test_without_the_extra_it_is_said_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    found = check_text('response t ranks good > bad\nt.good := json_schema("{}")\nt.bad := otherwise\n')
    (error,) = [d for d in found.diagnostics if d.severity == "error"]
    assert error.message == "this schema cannot be read here"
    assert "pip install 'rbrlang[schema]'" in (error.help or "")
    assert schema.holds('{"title":"never read before"}', 1) is None


def test_rows_made_from_the_rules_have_the_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.rbr").write_text(POLICY)
    out = tmp_path / "rows.jsonl"
    assert main(["synth", str(tmp_path / "p.rbr"), "-o", str(out), "--per-class", "1", "--prompts", "3"]) == 0
    reward = NumpyReward(load(str(tmp_path / "p.rbr")).circuit)
    rows = [row_from(json.loads(line)) for line in out.read_text().splitlines()]
    classes = reward.circuit.responses[0].classes
    probs = [
        row_from({**one.raw, "probs": {name: float(held) for name, held in one.raw["labels"].items()}}) for one in rows
    ]
    found = reward.class_probs(reward.encode(probs), reward.response_ids(probs))
    assert [classes[at] for at in found.argmax(axis=1)] == [one.klass for one in rows]
    assert len(rows) == 9
    capsys.readouterr()


RAMPS = """rbr 1
param most = 8
prop polite "Response is polite."
length  := words from 4 to most
marks   := count("!") from 0 to 2
stepped := steps from 1 to 3
thought := words over thought from 0 to 4
response chat ranks good > bad { good if polite & words < 8  bad otherwise }
reward chat { features classes, length, marks, stepped, thought  weight length = -2  weight marks = 1 }
"""


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("one", [0, 0, 0, 0]), ("w w w w!", [0, 0.5, 0, 0]), ("w w w w w!!", [0.25, 1, 0, 0]), ("w " * 8 + "! ! !", [1, 1, 0, 0]),
        ("<think>a b</think>" + "w " * 6, [0.5, 0, 0, 0.5]),
    ],
)  # fmt: skip
def test_a_number_rises_between_two_counts(completion: str, expected: list[float], tmp_path: Path) -> None:
    checked = check_text(RAMPS)
    assert checked.ok, checked.diagnostics
    reward = NumpyReward(rbrlang.Policy(checked).circuit)
    one = row(completion, probs={"polite": 1.0}) | {"response_type": "chat"}
    atoms = reward.encode([row_from(one)])
    of_atoms = dict(zip(reward.circuit.atom_names, atoms[0].tolist(), strict=True))
    names = ("words from 4 to 8", 'count("!") from 0 to 2', "steps from 1 to 3", "words over thought from 0 to 4")
    assert [of_atoms[name] for name in names] == pytest.approx(expected)
    # The same where rows are columns from file to file.
    (tmp_path / "p.rbr").write_text(RAMPS)
    (tmp_path / "rows.jsonl").write_text(json.dumps(one) + "\n")
    assert main(["compile", str(tmp_path / "p.rbr"), "-o", str(tmp_path / "p.rbrc")]) == 0
    assert (
        main(["score", str(tmp_path / "p.rbrc"), str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "out.jsonl")]) == 0
    )
    out = json.loads((tmp_path / "out.jsonl").read_text())
    assert out["reward"] == pytest.approx(float(reward(atoms, reward.response_ids([row_from(one)]))[0]))
    fair = (1.0 if out["class"] == "good" else -1.0) - 2 * expected[0] + expected[1]
    assert out["reward"] == pytest.approx(fair)


def test_a_number_moves_with_a_parameter_and_is_bounded_by_its_weight() -> None:
    wide, narrow = (check_text(RAMPS.replace("= 8", f"= {most}")) for most in (8, 6))
    assert wide.fingerprint != narrow.fingerprint
    assert check_text(RAMPS.replace("length", "extent")).fingerprint == wide.fingerprint
    circuit = rbrlang.Policy(wide).circuit
    reward = RuleReward.from_circuit(circuit)
    long = row_from(row("w " * 100_000, probs={"polite": 0.0}) | {"response_type": "chat"})
    value = float(np.asarray(reward(reward.encode([long]), reward.response_ids([long])))[0])
    assert value == pytest.approx(-1.0 - 2.0)


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("words from 8 to 4", "does not rise"), ("words from 4 to 4", "does not rise"), ("words from -1 to 4", "does not rise"),
        ("words from 0.5 to 4", "does not rise"), ("words from 4 to 1e12", "`1e12` is out of range"),
        ("words from 4 to more", "`more`"), ("words since 4 to 8", "is no formula"), ("polite from 4 to 8", "is no formula"),
        ("calls from 4 to 8", "is no formula"), ('matches("x") from 4 to 8', ""),
    ],
)  # fmt: skip
def test_what_is_no_number_is_said_in_one_sentence(definition: str, said: str) -> None:
    found = check_text(RAMPS.replace("words from 4 to most", definition))
    errors = [d for d in found.diagnostics if d.severity == "error"]
    assert errors
    assert said in errors[0].message, errors


@pytest.mark.parametrize("use", ["axiom length => polite", "far := length & polite", "chat2.good := words from 4 to 8"])
def test_no_rule_speaks_of_a_number(use: str) -> None:
    more = "response chat2 ranks good > bad\nchat2.bad := otherwise\n" + (
        "" if "chat2" in use else "chat2.good := far\n"
    )
    found = check_text(RAMPS + (use + "\n" if use.startswith("axiom") else more + use + "\n"))
    errors = [d for d in found.diagnostics if d.severity == "error"]
    assert [d.code.id for d in errors] == ["RBR2007"]
    assert "is a number" in errors[0].message


@pytest.mark.parametrize(
    ("of", "value"), [(0.01, 19.99), (0.01, 0.07), (0.01, 4.35), (0.1, 0.3), (3, 9), (0.5, 1e22), (7, 7.0)]
)
def test_multiples_are_those_of_the_digits(of: float, value: float) -> None:
    assert schema.holds(json.dumps({"multipleOf": of}), value) is True
    assert schema.holds(json.dumps({"multipleOf": of}), value + of / 2) is False or value > 1e20


def test_a_declared_column_says_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = POLICY.replace("column reference", "column answer").replace("(reference", "(answer")
    (tmp_path / "p.rbr").write_text(text)
    rows = [{"id": "1", "question": "2 + 2?", "answer": "4", "response_type": "task", "probs": {"polite": 1.0}},
            {"id": "2", "question": "2 + 2?", "output": "4", "answer": "4", "response_type": "task", "probs": {"polite": 1.0}}]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert main(["compile", str(tmp_path / "p.rbr"), "-o", str(tmp_path / "p.rbrc")]) == 0
    assert (
        main(["score", str(tmp_path / "p.rbrc"), str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "out.jsonl")]) == 3
    )
    assert "completion" in capsys.readouterr().err
    assert [json.loads(line)["id"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == ["2"]


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_declared_column_may_be_called_otherwise(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.rbr").write_text(POLICY)
    one = row("4", id="1", gold="4") | {"probs": {"polite": 1.0}}
    path = tmp_path / f"rows.{ending}"
    if ending == "csv":
        path.write_text("id,prompt,completion,gold,response_type,probs.polite\n1,Say.,4,4,task,1.0\n")
    else:
        path.write_text(json.dumps(one) + "\n")
    assert main(["compile", str(tmp_path / "p.rbr"), "-o", str(tmp_path / "p.rbrc")]) == 0
    asked = ["score", str(tmp_path / "p.rbrc"), str(path), "-o", str(tmp_path / "out.jsonl"), "--column"]
    assert main([*asked, "reference=gold"]) == 0
    assert json.loads((tmp_path / "out.jsonl").read_text())["class"] == "good"
    assert main([*asked, "refrence=gold"]) == 2
    assert "did you mean `reference`?" in capsys.readouterr().err


def test_two_names_of_one_feature_are_a_finding() -> None:
    text = "a := json\nb := json\nresponse t ranks good > bad\nt.good := json\nt.bad := otherwise\n"
    found = check_text(text + "reward t { features classes, a, b  weight a = 1  weight b = 1 }\n")
    (error,) = [d for d in found.diagnostics if d.severity == "error"]
    assert error.message == "`b` is the same feature as `a`: json"
    assert check_text(text + "reward t { features classes, a, a  weight a = 1 }\n").ok


def test_rows_with_values_are_read_by_explain_and_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.rbr").write_text(
        'scale help 1..5 "How far does it help?"\nresponse chat ranks good > bad\nchat.good := help >= 4\nchat.bad := otherwise\n'
    )
    rows = [{"id": "a", "prompt": "q", "completion": "x", "response_type": "chat", "labels": {"help": 5}},
            {"id": "b", "prompt": "q", "completion": "x", "response_type": "chat", "probs": {"help": {"4": 0.5, "9": 0.5}}},
            {"id": "c", "prompt": "q", "completion": "x", "response_type": "chat", "labels": {"help": 7}}]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    policy, path = str(tmp_path / "p.rbr"), str(tmp_path / "rows.jsonl")
    assert main(["explain", policy, "--row", f"{path}:a"]) == 0
    assert capsys.readouterr().out.startswith("chat: good")
    assert main(["explain", policy, "--row", f"{path}:b"]) == 2
    assert "`help` has no value `9`" in capsys.readouterr().err
    assert main(["diff", policy, policy, "--data", path]) in (0, 3)
    assert "rows.jsonl:3" in capsys.readouterr().err


def test_an_artefact_says_nothing_else_of_checks_and_numbers() -> None:
    policy = rbrlang.loads(RAMPS + 'column r "A."\naxiom equals(r) => contains(r, fold: case)\n')
    told: Any = circuit_to_json(policy.circuit)
    assert reread(policy).circuit == policy.circuit
    names = {atom["name"]: at for at, atom in enumerate(told["atoms"])}
    for name, change, place in (
        ("polite", {"top": 4}, ""), ("words from 4 to 8", {"top": 4}, ".top"),
        ("equals(r)", {"measure": ["equals", "r) | x(", 0]}, ".measure[1]"),
        ("equals(r)", {"measure": ["equals", "r, fold: space, fold: case", 0]}, ".measure[1]"),
        ("equals(r)", {"measure": ["perl", "os.system", 0]}, ".measure[0]"),
        ("equals(r)", {"measure": ["python", "os; system", 0]}, ".measure[0]"),
    ):  # fmt: skip
        at = names[name]
        with pytest.raises(ArtefactError, match=re.escape(f"`atoms[{at}]{place}` differs")):
            reread(policy, lambda plain, at=at, change=change: plain["atoms"][at].update(change))
