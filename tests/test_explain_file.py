"""`rbrc explain FILE` and `rbrc graph`: reasons and flips against brute force, and the commands."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from strategies import Model, models, partitioned, worlds

from rbrlang.cli.main import main
from rbrlang.logic.explain import explain
from rbrlang.logic.graph import graph, mermaid
from rbrlang.policy import Policy, check_text, loads

EXAMPLE = str(Path(__file__).resolve().parents[1] / "examples" / "refusals" / "policy.rbr")
POLICY = (
    'prop a "a"\nprop b "b"\nprop c "c"\naxiom a => b\nresponse r ranks x > y > z {\n'
    "  x if a & !c & words <= 10\n  y if b\n  z otherwise\n}\nreward r { features classes, c weight c <= -0.5 }\n"
)


@settings(max_examples=60, deadline=None)
@given(models(most_atoms=4))
def test_reasons_and_flips_are_the_smallest(model: Model) -> None:
    model = partitioned(model)
    checked = check_text(model.text())
    if not checked.ok:
        return
    allowed = model.allowed()
    for response, item in zip(model.responses, checked.compiled.responses, strict=True):
        assert item is not None
        tables = model.class_tables(response)
        for world, true in worlds(model):
            found = explain(checked.compiled.bdd, item, checked.compiled.axioms, true)
            if not allowed >> world & 1:
                assert found is None
                continue
            assert found is not None
            mine = response.classes[found.klass]
            assert tables[mine] >> world & 1
            assert all((atom in true) == value for atom, value in found.reason)
            assert len(found.reason) == _smallest(model, true, tables[mine] | ~allowed)
            for name, flip in zip(response.classes, found.flips, strict=True):
                reached = [w for w, _ in worlds(model) if (tables[name] & allowed) >> w & 1]
                best = min(((w ^ world).bit_count() for w in reached), default=None)
                assert (None if flip is None else len(flip)) == best
                if flip:
                    there = world
                    for atom, value in flip:
                        assert value != (atom in true)
                        there ^= 1 << atom
                    assert there in reached


def _smallest(model: Model, true: frozenset[int], table: int) -> int:
    for size in range(model.atoms + 1):
        for chosen in combinations(range(model.atoms), size):
            cube = model.full
            for atom in chosen:
                cube &= model.atom_table(atom) if atom in true else model.full ^ model.atom_table(atom)
            if not cube & ~table & model.full:
                return size
    raise AssertionError("the whole assignment forces its class")


def test_an_assignment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.rbr"
    file.write_text(POLICY)
    assert main(["explain", str(file), "--given", "a, b, c", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["class"], report["reason"]) == ("y", {"b": True, "c": True})
    assert report["flips"] == {"x": {"c": False}, "z": {"a": False, "b": False}}
    assert report["reward"] == pytest.approx(-0.5)
    assert main(["explain", str(file), "--for", "r", "--given", "a, b, words > 10"]) == 0
    shown = capsys.readouterr().out
    assert "r: y\n  because b, words > 10\n" in shown
    assert "  x if !words > 10\n" in shown
    assert main(["explain", str(file), "--given", "a, b, words > 40"]) == 0
    assert "  x if !words > 10\n" in capsys.readouterr().out, "and so not above 40 either"
    assert main(["explain", str(file), "--given", ""]) == 0
    assert "r: z" in capsys.readouterr().out


def test_what_cannot_be_explained_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.rbr"
    file.write_text(POLICY)
    assert main(["explain", str(file), "--given", "a"]) == 1
    assert "breaks `a => b`" in capsys.readouterr().err
    for arguments, said in {
        ("--given", "d"): "unknown proposition `d`",
        ("--given", "a &"): "--given a &",
        ("--given", "a }\ntest \"x\" for r { given b"): "--given",
        ("--given", "a", "--for", "q"): "no response type `q`",
        (): "--for R --given",
        ("--row", "nofile"): "ROWS:ID",
    }.items():  # fmt: skip
        assert main(["explain", str(file), *arguments]) == 2, arguments
        assert said in capsys.readouterr().err
    assert main(["explain", EXAMPLE, "--given", "apology"]) == 2
    assert "--for" in capsys.readouterr().err


def test_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, rows = tmp_path / "p.rbr", tmp_path / "rows.jsonl"
    file.write_text(POLICY)
    row = {"prompt": "p", "completion": "some words", "response_type": "r"}
    rows.write_text(
        json.dumps({"id": "one", **row, "probs": {"a": 0.9, "b": 1.0, "c": 0.2}}) + "\n"
        + json.dumps({"id": "two", **row, "labels": {"a": False, "b": False, "c": True}}) + "\n"
        + json.dumps({"id": "gap", **row, "probs": {"a": 0.9, "c": 0.2}}) + "\n"
        + json.dumps({"id": "forced", **row, "probs": {"a": 1.0, "c": 0.0}}) + "\n"
        + json.dumps({"id": "broken", **row, "probs": {"a": 0.9, "b": 0.4, "c": 0.2}}) + "\n"
    )  # fmt: skip
    assert main(["explain", str(file), "--row", f"{rows}:one", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["class"] == "x"
    assert report["graded"]["class_probs"]["x"] == pytest.approx(0.9 * 0.8, abs=1e-6)
    assert report["graded"]["unsure"].keys() == {"a", "c"}
    parts = sum(part["reward"] for part in report["graded"]["contributions"])
    assert parts == pytest.approx(report["graded"]["reward"], abs=1e-6)
    assert main(["explain", str(file), "--row", f"{rows}:two"]) == 0
    assert "r: z" in capsys.readouterr().out
    assert main(["explain", str(file), "--row", f"{rows}:forced", "--format", "json"]) == 0  # `b` was not asked
    report = json.loads(capsys.readouterr().out)
    assert (report["class"], report["given"][:2], report["graded"]["reward"]) == ("x", ["a", "b"], 1.0)
    assert main(["explain", str(file), "--row", f"{rows}:broken"]) == 1
    assert "it breaks `a => b`" in capsys.readouterr().err
    for name, said in {"gap": "no answer for `b`", "three": "no row with the id `three`"}.items():
        assert main(["explain", str(file), "--row", f"{rows}:{name}"]) == 2
        assert said in capsys.readouterr().err


# --- graph ------------------------------------------------------------------------------------


def test_the_graph_says_what_the_rules_name() -> None:
    found = graph(loads(POLICY).program, frozenset({"r"}))
    signs = {(edge.start, edge.end): (edge.sign, edge.weight) for edge in found.edges}
    assert signs["p_a", "c_r_x"] == ("+", None)
    assert signs["p_c", "c_r_x"] == ("-", None)
    assert signs["m_0", "c_r_x"] == ("-", None)
    assert signs["c_r_y", "r_r"] == ("+", 0.0)
    assert signs["p_c", "r_r"] == ("+", -0.5)


@pytest.mark.parametrize("format", ["dot", "mermaid", "json"])
def test_graphs_of_a_real_policy(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", EXAMPLE, "--format", format, "--for", "comply"]) == 0
    text = capsys.readouterr().out
    policy = loads(Path(EXAMPLE).read_text(encoding="utf-8"))
    assert "hard_refusal" not in text
    wanted = [c for r in policy.program.responses if r.name == "comply" for c in r.classes]
    assert all(name in text for name in [*wanted, "off_track", "complies_fully"])
    assert "gives_resources" not in text, "what comply does not depend on"
    if format == "json":
        report = json.loads(text)
        known = {node["id"] for node in report["nodes"]}
        assert len(known) == len(report["nodes"])
        assert all(edge["start"] in known and edge["end"] in known for edge in report["edges"])
    assert main(["graph", EXAMPLE, "--for", "complie"]) == 2
    assert "did you mean `comply`" in capsys.readouterr().err


def test_labels_are_quoted_for_each_language() -> None:
    text = POLICY.replace("words <= 10", 'count("[\\"<>&]") <= 3')
    drawn = mermaid(graph(Policy(check_text(text)).program, frozenset({"r"})))
    assert "&lt;&gt;&amp;" in drawn
