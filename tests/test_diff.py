"""`rbrc diff`: the transition matrix against truth tables, and the command on real policies."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from strategies import Model, cube, models, partitioned

from rbrlang.cli.main import main
from rbrlang.logic.diff import DiffError, Side, diff, renames
from rbrlang.logic.worth import default_weights
from rbrlang.policy import Policy, check_text, loads
from rbrlang.reward.weights import default_weights as fitted_defaults

PROPS = 'prop a "a"\nprop b "b"\n@prior(0.1) prop c "c"\n'
OLD = PROPS + "response r ranks x > y > z\nr.x := a & !b\nr.y := a & b\nr.z := otherwise\n"


def side(policy: Policy) -> Side:
    return Side(policy.program, policy.checked.compiled)


def same_atoms(one: Model, other: Model) -> tuple[Model, Model]:
    """Both over as many atoms, the new one's priors."""
    atoms = max(one.atoms, other.atoms)
    priors = (*other.priors, *one.priors[other.atoms :])
    return (
        Model(atoms, one.definitions, one.groups, one.axioms, one.responses, priors),
        Model(atoms, other.definitions, other.groups, other.axioms, other.responses, priors),
    )


@settings(max_examples=40, deadline=None)
@given(models(most_atoms=5), models(most_atoms=5))
def test_every_cell_equals_its_truth_table(one: Model, other: Model) -> None:
    old, new = same_atoms(partitioned(one), partitioned(other))
    before, after = check_text(old.text()), check_text(new.text())
    if not (before.ok and after.ok):
        return
    context = old.allowed() & new.allowed()
    if not context:
        with pytest.raises(DiffError):
            diff(side(Policy(before)), side(Policy(after)), {})
        return
    found = diff(side(Policy(before)), side(Policy(after)), {})
    assert found.same_logic == (before.fingerprint == after.fingerprint)
    whole = new.weight(context)
    old_by_name = {response.name: response for response in old.responses}
    for response in new.responses:
        if response.name not in old_by_name:
            assert response.name in found.new_responses
            continue
        item = next(item for item in found.responses if item.name == response.name)
        was, now = old.class_tables(old_by_name[response.name]), new.class_tables(response)
        moved = {(cell.before, cell.after): cell for cell in item.moved}
        for i, left in enumerate(item.before):
            for j, right in enumerate(item.after):
                table = was[left] & now[right] & context
                assert item.masses[i][j] == pytest.approx(new.weight(table) / whole, abs=1e-12)
                assert ((left, right) in moved) == (left != right and table != 0)
                if (left, right) in moved:
                    held = cube(new, moved[left, right].witness) & context
                    assert held
                    assert not held & ~table
        for number, (model, of) in enumerate(((old, old_by_name[response.name]), (new, response))):
            worth = dict(zip(of.classes, _worth(of.tiers), strict=True))
            tables = model.class_tables(of)
            mean = sum(w * new.weight(tables[c] & context) for c, w in worth.items()) / whole
            assert item.reward[number] == pytest.approx(mean, abs=1e-9)


def _worth(tiers: tuple[tuple[str, ...], ...]) -> list[float]:
    last = len(tiers) - 1
    return [1 - 2 * rank / last if last else 0.0 for rank, tier in enumerate(tiers) for _ in tier]


def test_default_weights_are_those_of_the_reward() -> None:
    policy = loads(OLD + "reward r { features classes, a, b weight y = 0.25 weight a <= -0.5 }\n")
    assert default_weights(policy.program.responses[0]) == tuple(fitted_defaults(policy.circuit)[0].tolist())


def test_a_line_less_in_the_releases_refusal_moves_minimum_to_ideal_only(
    openai_policy_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = openai_policy_file.read_text(encoding="utf-8")
    start = text.index("correct_refusal :=")
    body = text[start : text.index("\n\n", start)]
    for literal in re.findall(r" & !\w+", body):
        shorter = tmp_path / "shorter.rbr"
        shorter.write_text(text.replace(body, body.replace(literal, "", 1)))
        assert main(["diff", str(openai_policy_file), str(shorter), "--format", "json"]) == 0
        report = json.loads(capsys.readouterr().out)
        cells = [
            (name, cell["old"], cell["new"])
            for name, item in report["response_types"].items()
            for cell in item["cells"]
        ]  # fmt: skip
        assert cells == [("hard_refuse", "minimum_acceptable_style", "ideal")], literal
        assert report["response_types"]["hard_refuse"]["cells"][0]["witness"][literal.removeprefix(" & !")] is True


def test_a_renamed_proposition_is_the_same_proposition() -> None:
    old, new = loads(OLD), loads(re.sub(r"\ba\b(?!\")", "alpha", OLD))
    names = renames(old.program, new.program)
    assert names == {"a": "alpha"}
    found = diff(side(old), side(new), names)
    assert found.renamed == (("a", "alpha"),)
    assert not found.added + found.removed
    assert not found.responses[0].moved
    assert diff(side(old), side(new), {}).added == ("alpha",)


def test_a_policy_judged_over_another_text_does_not_differ_from_itself() -> None:
    rules = 'prop a "a"\nresponse r ranks x > y\nr.x := !a & words < 9 & words over thought < 9 & steps < 3\nr.y := otherwise\n'
    one, other = loads("judge assistant\n" + rules), loads(rules)
    assert [item.moved for item in diff(side(one), side(one), {}).responses] == [()]
    between = diff(side(one), side(other), {})
    assert (between.added, between.removed) == (("words > 8",), ("words over assistant > 8",))
    shown = {name for item in between.responses for cell in item.moved for name, _ in cell.witness}
    assert {"words > 8", "words over assistant > 8", "words over thought > 8"} <= shown


def test_axioms_and_categories_that_change_are_named() -> None:
    old, new = loads(OLD + 'category "k" -> r\n'), loads(OLD + "axiom c => b\n")
    found = diff(side(old), side(new), {})
    assert found.categories == (("k", "r", None),)
    assert found.axioms.allowed is None
    assert found.axioms.excluded is not None
    assert found.axioms.excluded[0] == pytest.approx(0.05)
    assert set(found.axioms.excluded[1]) == {("c", True), ("b", False)}


# --- the command ------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    old, new = tmp_path / "old.rbr", tmp_path / "new.rbr"
    old.write_text(OLD)
    new.write_text(OLD.replace("a & !b", "a & !b & !c").replace("a & b", "a & (b | c)"))
    return str(old), str(new)


def test_guards(pair: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *pair]) == 0
    shown = capsys.readouterr().out
    assert "x → y: 2.5 %" in shown
    assert "when a, !b, c" in shown
    for guard, code in {
        "x->* > 2%": 1, "x -> y >= 0.025": 1, "r.*->y>2.6%": 0, "*->* > 0%": 1, "y->x > 0": 0, "x->x > 0%": 0,
    }.items():  # fmt: skip
        assert main(["diff", *pair, "--fail-if", guard]) == code, guard
    for guard in ("x->", "ideal->* > 1%", "q.x->y > 1%", "x->y < 1%"):
        assert main(["diff", *pair, "--fail-if", guard]) == 2, guard
    assert "did you mean" not in capsys.readouterr().out


def test_rows_are_counted(pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.jsonl"
    labels = [{"a": True, "b": False, "c": True}, {"a": True, "b": True, "c": True}, {"a": True, "b": False}]
    rows.write_text(
        "".join(
            json.dumps({"id": f"n{n}", "prompt": "p", "completion": f"c{n}", "response_type": "r", "labels": label})
            + "\n"
            for n, label in enumerate(labels)
        )
        + "not json\n"
    )
    assert main(["diff", *pair, "--data", str(rows), "--format", "json"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert report["rows"] == {"compared": 2, "skipped": 1, "bad": 1}
    found = report["response_types"]["r"]["rows"]
    assert (found["total"], found["moved"]) == (2, 1)
    assert {"old": "x", "new": "y", "rows": 1, "first": "n0"} in found["cells"]
    assert found["mean_reward_change"] == pytest.approx(-0.5)
    assert main(["diff", *pair, "--data", str(rows), "--fail-if", "x->y > 40%"]) == 1


def test_against_a_revision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "repo" / "policies"
    folder.mkdir(parents=True)

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path / "repo", check=True, capture_output=True)

    git("init", "-q")
    (folder / "props.rbr").write_text(PROPS)
    file = folder / "p.rbr"
    file.write_text('use "props.rbr" (a, b)\n' + OLD.removeprefix(PROPS))
    git("add", ".")
    git("commit", "-qm", "one")
    file.write_text(file.read_text().replace("a & b", "b & a"))
    assert main(["diff", str(file), "--against", "git:HEAD"]) == 0
    assert "same logic" in capsys.readouterr().out
    file.write_text(file.read_text().replace("r.x := a & !b", "r.x := a & b").replace("b & a", "a & !b"))
    assert main(["diff", str(file), "--against", "git:HEAD", "--fail-if", "x->y > 10%"]) == 1
    for revision in ("git:nowhere", "HEAD", "git:--all"):
        assert main(["diff", str(file), "--against", revision]) == 2
    assert main(["diff", str(file)]) == 2
