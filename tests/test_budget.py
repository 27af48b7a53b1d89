"""One budget of steps goes through all stages: whatever the text, a check ends, and says where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import hostile
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbrlang import codes
from rbrlang.budget import Budget, SpentError
from rbrlang.checking import Checked, check, check_text
from rbrlang.cli.main import main
from rbrlang.lang.load import load_text
from rbrlang.lang.meaning.elaborate import elaborate
from rbrlang.lang.reading.parse import parse
from rbrlang.lang.reading.reparse import Reparser
from rbrlang.lang.reading.tokens import MAX_MISTAKES
from rbrlang.logic.bdd import TRUE, Bdd
from rbrlang.logic.compile import compile_program
from rbrlang.logic.findings.audit import assignment, audit
from rbrlang.lsp.act import findings
from rbrlang.lsp.describe import probability
from rbrlang.lsp.workspace import Workspace
from rbrlang.policy import Policy
from rbrlang.reward.kept.artefact import Artefact, read_artefact, write_artefact
from rbrlang.reward.reward import RuleReward
from rbrlang.reward.weights import default_weights
from rbrlang.source import Source, Span

SMALL = (
    hostile.thresholds, hostile.cascade, hostile.chain, hostile.wide_group, hostile.product, hostile.many_classes,
    hostile.measure_tests, hostile.unknown_names, hostile.unreadable, hostile.allows, hostile.redundancies,
)  # fmt: skip


def steps_of(text: str) -> int:
    """The steps that a check takes, which must end by itself."""
    budget = Budget(10**9)
    modules, _ = load_text(text, budget=budget)
    program, _ = elaborate(modules, None, budget)
    audit(program, compile_program(program, work=budget))
    return 10**9 - int(budget.left)


def spent(checked: Checked) -> list[Span]:
    return [d.span for d in checked.diagnostics if d.code is codes.TOO_MUCH_WORK]


@pytest.mark.parametrize(("case", "size"), hostile.CASES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_hostile_policy_is_checked_or_refused_at_a_place(case: Callable[[int], str], size: int) -> None:
    text = case(size)
    checked = check_text(text, steps=200_000)
    for span in spent(checked):
        assert span.source.text == text
        assert 0 <= span.start <= span.end <= len(text)
    assert not checked.ok or not spent(checked)


@pytest.mark.parametrize("case", SMALL)
def test_any_budget_ends_a_check_in_the_same_way_twice(case: Callable[[int], str]) -> None:
    text = case(20)
    whole = check_text(text)
    for steps in (0, 500, 2_000, 10_000):
        first, second = (check_text(text, steps=steps) for _ in range(2))
        assert [(d.code.id, d.span[1:], d.message) for d in first.diagnostics] == [
            (d.code.id, d.span[1:], d.message) for d in second.diagnostics
        ]
        if spent(first):
            assert not first.ok
        else:
            assert [(d.code.id, d.span[1:]) for d in first.diagnostics] == [
                (d.code.id, d.span[1:]) for d in whole.diagnostics
            ]


GROWING = [
    (hostile.thresholds, 1_500), (hostile.threshold_definitions, 1_500), (hostile.unused, 2_000), (hostile.chain, 1_500),
    (hostile.cascade_of_thresholds_upwards, 1_500), (hostile.threshold_definitions_downwards, 1_500),
    (hostile.threshold_definitions_anyhow, 1_500), (hostile.axiom_chain, 1_000), (hostile.many_weights, 1_000),
    (hostile.many_properties, 1_000), (hostile.many_tests, 1_000), (hostile.allows, 500),
    (hostile.long_line, 2_000), (hostile.redundancies, 1_000), (hostile.cues, 50), (hostile.tiers, 1_000),
]  # fmt: skip


@pytest.mark.parametrize(("case", "size"), GROWING, ids=lambda value: getattr(value, "__name__", str(value)))
def test_twice_the_size_takes_about_twice_the_steps(case: Callable[[int], str], size: int) -> None:
    assert steps_of(case(2 * size)) < 2.4 * steps_of(case(size))


@pytest.mark.parametrize(
    "case",
    [
        hostile.thresholds, hostile.threshold_definitions, hostile.cascade_of_thresholds_upwards,
        hostile.threshold_definitions_downwards, hostile.threshold_definitions_anyhow,
    ],
)  # fmt: skip
def test_three_thousand_thresholds_of_one_measure_are_nothing_much(case: Callable[[int], str]) -> None:
    checked = check_text(case(3_000))
    assert checked.ok
    assert steps_of(case(3_000)) < 1_000_000


@settings(max_examples=60, deadline=None)
@given(data=st.data(), count=st.integers(1, 9))
def test_the_order_of_thresholds_means_what_all_pairs_mean(data: st.DataObject, count: int) -> None:
    """The axioms that hold between neighbours, in whatever order they are written, against those of every pair."""
    numbers = data.draw(st.permutations(range(1, count + 1)))
    lines = [f"d{n} := words > {n}" for n in numbers]
    body = " | ".join(f"(d{n} & {'!' * data.draw(st.integers(0, 1))}a)" for n in numbers[:4])
    text = (
        'prop a "Response has trait a."\n'
        + "\n".join(lines)
        + f"\nresponse r ranks x > y\nr.x := {body}\nr.y := otherwise\n"
    )
    checked = check_text(text)
    compiled, program = checked.compiled, checked.program
    above = {m.threshold: len(program.propositions) + at for at, m in enumerate(program.measures)}
    bdd = Bdd(compiled.bdd.order)
    pairs = TRUE
    for low in above:
        for high in above:
            if low < high:
                pairs = bdd.conjoin(pairs, bdd.conjoin(bdd.variable(above[high]), bdd.variable(above[low]) ^ 1) ^ 1)
    for world in range(1 << len(program.atoms)):
        true = {atom for atom in range(len(program.atoms)) if world >> atom & 1}
        assert bdd.holds(pairs, true) == compiled.bdd.holds(compiled.axioms, true)


def test_a_test_that_gives_a_measure_gives_the_smaller_ones_too() -> None:
    checked = check_text(
        'prop a "Response has trait a."\nresponse r ranks x > y\nr.x := words > 10 | words > 30 | words > 20 | lines > 5\n'
        'r.y := otherwise\ntest "t" for r { given words > 20, !(words > 10) expect x }\n'
        'test "u" for r { given words > 20 expect x }\n'
    )  # fmt: skip
    names = checked.program.atoms
    found = [{names[atom] for atom in assignment(checked.program, test)} for test in checked.program.tests]  # pyright: ignore
    assert found == [{"words > 20"}, {"words > 10", "words > 20"}]


def test_what_was_found_before_is_still_said() -> None:
    text = "prop a b\n" + hostile.unused(5_000)
    checked = check_text(text, steps=250_000)  # reading takes 199,125
    assert [d.code.id for d in checked.diagnostics] == ["RBR1001", "RBR1014"]
    (place,) = spent(checked)
    assert place.text.startswith("d")


def test_reading_ends_after_so_many_mistakes() -> None:
    for text in ("porp a b\n" * 3_000, "§ a " * 3_000, "prop a { ( {\n" * 3_000, "a := 1e999 > 2\n" * 3_000):
        _, found = parse(Source("p.rbr", text))
        assert MAX_MISTAKES < len(found) <= MAX_MISTAKES + 10
        assert found[-1].code is codes.TOO_MUCH_WORK


def test_keeping_trees_changes_nothing_of_what_fits() -> None:
    text = hostile.chain(2_000)
    parser = Reparser()
    for steps in (20_000, 100_000, 150_000, 200_000):
        answers = [
            check(Path("p.rbr"), steps=steps, read=lambda _: text.encode(), parser=p).ok
            for p in (parse, parser, parser)
        ]
        assert len(set(answers)) == 1


def test_imports_share_the_budget(tmp_path: Path) -> None:
    for at in range(40):
        (tmp_path / f"m{at}.rbr").write_text(hostile.unused(100), encoding="utf-8")
    root = tmp_path / "root.rbr"
    root.write_text("".join(f'use "m{at}.rbr"\n' for at in range(40)) + hostile.unused(5), encoding="utf-8")
    assert not spent(check(root))
    (place,) = spent(check(root, steps=50_000))
    assert place.source.name.startswith(str(tmp_path / "m"))


def test_nothing_is_taken_beyond_the_last_step() -> None:
    budget = Budget(3)
    budget.at(Span(Source("p.rbr", "prop a"), 0, 4))
    budget.spend(3)
    assert not budget.spent
    with pytest.raises(SpentError):
        budget.spend(1)
    assert budget.spent
    assert budget.finding().span.text == "prop"


def test_the_command_line_allows_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.rbr"
    file.write_text(hostile.parity(40), encoding="utf-8")
    assert main(["check", str(file), "--budget", "2000"]) == 1
    shown = capsys.readouterr().out
    assert "error[RBR1014]: the policy takes more than 2,000 steps of work" in shown
    assert "--budget 20000" in shown
    assert main(["check", str(file)]) == 0


ASKED = [
    ("test", "--mutate"), ("test", "--coverage"), ("explain", "--given", "p1, p2"), ("diff",), ("check", "--fix", "--unsafe-fixes"), ("fmt", "--check"),
]  # fmt: skip


@pytest.mark.parametrize("command", ASKED, ids=" ".join)
def test_what_a_command_asks_takes_from_what_the_check_left(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = hostile.redundancies(12) + 'test "t" for r { expect bad }\n'
    file = tmp_path / "p.rbr"
    file.write_text(text, encoding="utf-8")
    name, *more = command
    arguments = [name, str(file), *([str(file)] if name == "diff" else []), *more]
    for budget, ends in ((str(steps_of(text) + 100), True), ("4000000", False)):
        code = main([*arguments, "--budget", budget])
        said = capsys.readouterr()
        assert ("error[RBR1014]" in said.err + said.out) == (ends and name != "check")  # which mends what it can
        assert file.read_text(encoding="utf-8") == text or name == "check"
        if ends and name != "check":
            assert code == 1
            assert f"--> {file}:" in said.err
            assert "--budget" in said.err


def test_a_test_whose_coverage_has_too_many_nodes_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.rbr"
    file.write_text(hostile.thresholds(800), encoding="utf-8")
    assert main(["test", str(file), "--coverage"]) == 1
    assert "error[RBR3008]: what tests cover of `r` is too large to decide" in capsys.readouterr().err


def test_the_graph_of_equivalences_within_equivalences_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.rbr"
    file.write_text(hostile.parity(60), encoding="utf-8")
    assert main(["graph", str(file), "--format", "json"]) == 0
    edges = json.loads(capsys.readouterr().out)["edges"]
    assert {edge["sign"] for edge in edges if edge["weight"] is None} == {"both"}


def test_every_question_of_an_editor_has_steps_of_its_own(tmp_path: Path) -> None:
    file = tmp_path.resolve() / "p.rbr"
    file.write_text(hostile.chain(50), encoding="utf-8")
    workspace = Workspace()
    document = workspace.document(str(file))
    document.checked.held(Budget(0))
    entity = document.scopes[document.root.key].own["d40"]
    assert probability(document, entity) is None
    assert probability(workspace.document(str(file)), entity) is not None


@pytest.mark.parametrize("format", ["pretty", "json", "sarif", "github", "junit"])
def test_two_hundred_findings_are_shown_errors_first(
    format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.rbr"
    file.write_text(hostile.unused(500) + 'test "t" for r { given a expect bad }\n', encoding="utf-8")
    assert main(["check", str(file), "--format", format]) == 1
    out = capsys.readouterr().out
    assert out.count("RBR3006") >= 1
    rest = "302"
    match format:
        case "json":
            data = json.loads(out)
            assert (len(data["diagnostics"]), data["not_shown"]) == (200, 302)
        case "sarif":
            (run,) = json.loads(out)["runs"]
            assert (len(run["results"]), run["properties"]) == (200, {"notShown": 302})
        case _:
            assert f"and {rest} more findings; `--all-messages` shows all" in out
    assert main(["check", str(file), "--format", format, "--all-messages"]) == 1
    everything = capsys.readouterr().out
    assert everything.count("is defined but not used") >= 500
    assert "--all-messages" not in everything


def test_an_editor_is_told_as_many(tmp_path: Path) -> None:
    file = tmp_path.resolve() / "p.rbr"
    file.write_text(hostile.unused(500) + 'test "t" for r { given a expect bad }\n', encoding="utf-8")
    workspace = Workspace()
    (found,) = findings(workspace, workspace.document(str(file))).values()
    assert len(found) == 200
    assert "RBR3006" in {d.code for d in found}


# --- what is accepted compiles ----------------------------------------------------------------

NUMBERS = st.one_of(
    st.sampled_from(["-1e39", "3.4e38", "3.5e38", "1e-60", "1e308", "-3.4028235e38", "0", "1", "1e9", "1e10", "0.5", "5e-324"]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**40), 10**40).map(str),
)  # fmt: skip
PATTERNS = st.sampled_from(
    ["a+", "(", "(?:[a-z]{1,1000}){1,1000}", "\\\\1", "(?=a)", "[[:word:]]", "\\u0000", "x{1001}", "é"]
)


@settings(max_examples=80, deadline=None)
@given(
    data=st.data(), relation=st.sampled_from(["=", "<=", ">="]), pattern=PATTERNS, long=st.sampled_from([1, 40, 5_000]),
    parts=st.sets(st.sampled_from(["prior", "noise", "cost", "weight", "margin", "words", "pattern", "count"]), max_size=3),
)  # fmt: skip
def test_whatever_is_accepted_compiles(
    data: st.DataObject,
    relation: str,
    pattern: str,
    long: int,
    parts: set[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    name, number = "n" * long, {part: data.draw(NUMBERS) for part in sorted(parts)}
    rule = [f"words > {number.get('words')}"] * ("words" in parts) + [f'matches("{pattern}")'] * ("pattern" in parts)
    rule += [f'count("x") <= {number.get("count")}'] * ("count" in parts)
    lines = [
        f"@prior({number.get('prior')})" * ("prior" in parts), f"@noise(fp: {number.get('noise')})" * ("noise" in parts),
        f"@cost({number.get('cost')})" * ("cost" in parts), f'prop {name} "Response has trait a."',
        "response r ranks good > bad", f"r.good := {' | '.join([name, *rule])}", "r.bad := otherwise", "reward r {",
        f"  weight {name} {relation} {number.get('weight')}" * ("weight" in parts),
        f"  margin good {number.get('margin')}" * ("margin" in parts), "}",
    ]  # fmt: skip
    checked = check_text("\n".join(filter(None, lines)) + "\n")
    assert checked.ok or parts
    if checked.ok:
        policy = Policy(checked)
        for form in ("exact", "product"):
            circuit = policy.compiled(form)
            weights = default_weights(circuit)
            RuleReward(circuit, jnp.asarray(weights))
            file = tmp_path_factory.mktemp("made") / "p.rbrc"
            write_artefact(file, Artefact(circuit, weights, policy.sources, None, {}, policy.params))
            assert read_artefact(file).circuit == circuit


@pytest.mark.parametrize("line", ["weight a = -1e39", "weight a >= 3.5e38", "weight a <= 1e300", "margin good 1e39"])
def test_a_number_beyond_single_precision_is_refused_where_it_stands(line: str) -> None:
    text = hostile.HEAD + hostile.TWO.format("a | b") + f"reward r {{ {line} }}\n"
    (found,) = check_text(text).diagnostics
    assert (found.code, found.span.text) == (codes.BAD_NUMBER, line.split()[-1])


def test_the_largest_policies_that_are_accepted_compile() -> None:
    for case, size in (
        (hostile.thresholds, 3_000),
        (hostile.tiers, 3_000),
        (hostile.wide_group, 60),
        (hostile.chain, 1_000),
    ):
        checked = check_text(case(size))
        if checked.ok:
            policy = Policy(checked)
            assert len(policy.compiled("product").responses) == 1
