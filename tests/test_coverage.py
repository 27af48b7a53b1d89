"""`rbrc test --coverage`, `--suggest`, `--mutate`: against truth tables, under rewriting, and on our own policies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Model, models, partitioned

from rbrlang.cli.commands.language.test_measure import measured, suggestion
from rbrlang.cli.main import main
from rbrlang.lang.program import TruthTest
from rbrlang.logic.findings.coverage import Condition, coverage
from rbrlang.policy import Checked, check_text

CHECKOUT = Path(__file__).resolve().parents[1]
OURS = sorted(
    [*CHECKOUT.glob("stdlib_rules/**/*.rbr"), *CHECKOUT.glob("examples/**/*.rbr"), *CHECKOUT.glob("rbrlang/**/*.rbr")]
)

POLICY = """prop a "a"
prop b "b"
prop c "c"
bad := b | c
response r ranks x > y
r.x := a & !bad
r.y := otherwise
"""


def truth_tests(checked: Checked) -> list[TruthTest]:
    return [test for test in checked.program.tests if isinstance(test, TruthTest)]


def with_tests(model: Model, picks: list[int]) -> tuple[str, dict[str, list[int]]]:
    """The policy with tests of some of its assignments, expecting what the truth tables say."""
    text, chosen = model.text(), {}
    allowed = model.allowed()
    worlds = [w for w in range(1 << model.atoms) if allowed >> w & 1]
    for response in model.responses:
        tables = model.class_tables(response)
        mine = chosen.setdefault(
            response.name, sorted({worlds[pick % len(worlds)] for pick in picks} if worlds else set())
        )
        for world in mine:
            klass = next(name for name, table in tables.items() if table >> world & 1)
            given = ", ".join(f"p{a}" for a in range(model.atoms) if world >> a & 1)
            text += f"cases {response.name} {{ {given} -> {klass} }}\n"
    return text, chosen


@settings(max_examples=60, deadline=None)
@given(models(most_atoms=4), st.lists(st.integers(0, 15), max_size=6))
def test_conditions_are_those_of_the_truth_tables(model: Model, picks: list[int]) -> None:
    model = partitioned(model)
    text, chosen = with_tests(model, picks)
    checked = check_text(text)
    if not checked.ok:
        return
    allowed = model.allowed()
    found = coverage(checked.program, checked.compiled, truth_tests(checked))
    for response, item in zip(model.responses, found, strict=True):
        tables = list(model.class_tables(response).values())

        def klass(world: int, tables: list[int] = tables) -> int:
            return next(at for at, table in enumerate(tables) if table >> world & 1)

        def shown(world: int) -> set[Condition]:
            out: set[Condition] = set()
            for atom in range(model.atoms):
                there = world ^ 1 << atom
                if allowed >> there & 1 and klass(there) != klass(world):
                    value = bool(world >> atom & 1)
                    out |= {Condition(klass(world), atom, value), Condition(klass(there), atom, value)}
            return out

        every = set().union(*(shown(w) for w in range(1 << model.atoms) if allowed >> w & 1))
        covered = set().union(*map(shown, chosen[response.name]))
        assert item.conditions == len(every)
        assert set(item.missing) == every - covered
        assert set(item.untested) == set(range(len(tables))) - {klass(w) for w in chosen[response.name]}


@settings(max_examples=40, deadline=None)
@given(models(most_atoms=4), st.lists(st.integers(0, 15), max_size=3))
def test_suggested_cases_pass_and_cover_everything(model: Model, picks: list[int]) -> None:
    text = with_tests(partitioned(model), picks)[0]
    checked = check_text(text)
    if not checked.ok:
        return
    more = suggestion(measured(checked, truth_tests(checked), mutate=False))
    after = check_text(text + more)
    assert after.ok
    assert measured(after, truth_tests(after), mutate=False).share == 1
    assert suggestion(measured(after, truth_tests(after), mutate=False)) == ""


def test_rewriting_changes_nothing() -> None:
    tests = 'cases r { a -> x\n a, b -> y }\ntest "either" for r { given c expect x | y }\n'
    forms = [
        POLICY,
        POLICY.replace("bad", "poor").replace("b | c", "!(!c & !b)"),
        POLICY.replace("r.x := a & !bad", "r.x := !b & a & !c").replace("bad := b | c\n", ""),
        POLICY[: POLICY.index("r.x")].replace("x > y", "x > y {\n  y if !a | bad\n  x otherwise\n}"),
    ]
    found = []
    for text in forms:
        checked = check_text(text + tests)
        names = checked.program.atoms
        result = measured(checked, truth_tests(checked), mutate=False)
        found.append({(c.klass, names[c.atom], c.value) for c in result.responses[0].missing})
        assert result.covered == (8, 12)
    assert found[0] == {(0, "a", False), (1, "a", False), (0, "c", True), (1, "c", True)}
    assert all(one == found[0] for one in found)


def test_a_test_that_would_accept_the_other_class_covers_nothing() -> None:
    checked = check_text(POLICY + 'test "t" for r { given a expect x | y }\n')
    assert measured(checked, truth_tests(checked), mutate=False).covered == (0, 12)


def test_axioms_that_tie_two_atoms_leave_nothing_to_show() -> None:
    checked = check_text(POLICY.replace("bad :=", "axiom a <=> b\nbad :=").replace("!bad", "!c").replace("b | c", "b"))
    names = checked.program.atoms
    result = coverage(checked.program, checked.compiled, ())[0]
    assert {names[condition.atom] for condition in result.missing} == {"c"}


def test_mutants() -> None:
    text = POLICY + "cases r { a -> x\n a, b -> y }\n"
    checked = check_text(text)
    found = measured(checked, truth_tests(checked), mutate=True).mutated
    assert found is not None
    survivors = {(m.owner, m.span.text, m.change) for m in found if m.fate == "survived"}
    assert survivors == {("bad", "c", "dropped"), ("r.x", "a", "dropped")}
    assert {m.change for m in found} == {"negated", "dropped"}
    flat = check_text(text.replace("otherwise", "!a | bad"))
    fates = {m.fate for m in measured(flat, truth_tests(flat), mutate=True).mutated or ()}
    assert "proofs" in fates, "rules that no longer partition are caught without any test"


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_our_own_policies_are_covered_and_every_mutant_is_noticed(path: Path) -> None:
    assert main(["test", str(path), "--coverage", "--threshold", "100", "--mutate"]) == 0


def test_every_mutant_of_our_own_policies_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", *map(str, OURS), "--mutate", "--format", "json"]) == 0
    reports = json.loads(capsys.readouterr().out)["files"]
    for report in reports:
        mutants = report["coverage"]["mutants"]
        assert mutants, report["file"]
        assert [m for m in mutants if m["fate"] == "survived"] == [], report["file"]
    assert sum(len(report["coverage"]["mutants"]) for report in reports) > 10 * len(reports)


# --- the command ------------------------------------------------------------------------------


def test_threshold_and_suggestion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.rbr"
    file.write_text(POLICY + "cases r { a -> x\n a, b -> y }\n")
    assert main(["test", str(file), "--coverage", "--threshold", "60%"]) == 0
    assert "8 of 12 conditions covered (66.7 %)" in capsys.readouterr().out
    assert main(["test", str(file), "--threshold", "70"]) == 1
    assert "below the threshold of 70 %" in capsys.readouterr().out
    assert main(["test", str(file), "--suggest"]) == 0
    output = capsys.readouterr()
    assert "passed" in output.err
    assert "passed" not in output.out
    file.write_text(file.read_text() + output.out)
    assert main(["test", str(file), "--threshold", "100"]) == 0
    capsys.readouterr()
    assert main(["test", str(file), "--suggest"]) == 0
    assert capsys.readouterr().out == ""
    for bad in (["--threshold", "101"], ["--threshold", "x"]):
        with pytest.raises(SystemExit) as stop:
            main(["test", str(file), *bad])
        assert stop.value.code == 2
    assert main(["test", str(file), "--suggest", "--format", "json"]) == 2


def test_a_failing_test_covers_nothing_and_stops_mutation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.rbr"
    file.write_text(POLICY + "cases r { a -> y }\n")
    assert main(["test", str(file), "--coverage", "--mutate"]) == 1
    shown = capsys.readouterr().out
    assert "0 of 12" in shown
    assert "nothing was mutated" in shown


def test_nothing_here_loads_numpy(tmp_path: Path) -> None:
    file = tmp_path / "p.rbr"
    file.write_text(POLICY + "cases r { a -> x }\n")
    commands = [
        ["fmt", "--check", str(file)], ["test", str(file), "--coverage", "--mutate"], ["graph", str(file)],
        ["diff", str(file), str(file)], ["explain", str(file), "--given", "a"],
    ]  # fmt: skip
    code = (
        "import sys\nfrom rbrlang.cli.main import main\n"
        f"for command in {commands!r}: main(command)\n"
        "sys.exit(sorted({'numpy', 'jax'} & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
