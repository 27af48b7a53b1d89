"""The standard library: every module is sound, and its propositions, cues and tests carry their weight."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import assert_never

import pytest
import re2

from rbrlang.cli.main import main
from rbrlang.lang import syntax as tree
from rbrlang.lang.load import standard_library
from rbrlang.lang.program import (
    And,
    AtLeast,
    ClassRef,
    Const,
    Formula,
    Iff,
    Implies,
    Not,
    Or,
    Otherwise,
    Program,
    Proposition,
    Ref,
    ResponseType,
    TruthTest,
    Var,
    walk,
)
from rbrlang.logic.findings.audit import assignment
from rbrlang.policy import Checked, Policy, check, loads

LIBRARY = standard_library()
FILES = tuple(sorted(LIBRARY.rglob("*.rbr")))
MODULES = tuple(".".join(("std", *file.relative_to(LIBRARY).with_suffix("").parts)) for file in FILES)
REFERENCE = Path(__file__).parents[1] / "docs" / "stdlib.md"
EXAMPLE = Path(__file__).parents[1] / "examples" / "refusals"
EXPECTED = {
    "std.agents.tool_use", "std.answers.reference", "std.quality.helpfulness", "std.formatting.instructions", "std.honesty.certainty", "std.honesty.sycophancy",
    "std.review.code_review", "std.safety.compliance", "std.safety.privacy", "std.safety.refusals",
    "std.safety.self_harm", "std.style.brevity", "std.style.tone",
}  # fmt: skip
# Stems that mild text has no use for; a stem matches at the start of a word.
HARSH = re.compile(
    r"\b(?:kill|murder|suicid|overdos|cut myself|bomb|explosi|weapon|guns?\b|knife|knives|poison|"
    r"drugs?\b|cocaine|heroin|meth\b|rape|porn|nude|sex|nazi|terror|blood|fuck|shit|bitch|bastard|cunt|"
    r"retard|cripple|whore|slut)",
    re.IGNORECASE,
)


@cache
def module(name: str) -> Checked:
    return check(FILES[MODULES.index(name)])


def own(name: str) -> tuple[Proposition, ...]:
    """The propositions that the module itself declares."""
    program = module(name).program
    return tuple(p for p in program.propositions if p.span.source.name == program.sources[-1].name)


def declarations(name: str) -> dict[str, list[str]]:
    """Names that the module declares, by kind, in the order of its text."""
    found: dict[str, list[str]] = {"propositions": [], "response types": [], "definitions": [], "groups": []}
    for statement in module(name).modules[-1].module.statements:
        match statement:
            case tree.Prop():
                found["propositions"].append(statement.name.text)
            case tree.Response():
                found["response types"] += [ident.text for ident in statement.names]
            case tree.Assign() if not statement.every and len(statement.target.parts) == 1:
                found["definitions"].append(statement.target.text)
            case tree.Group():
                found["groups"].append(statement.name.text)
            case _:
                pass
    return found


def test_the_library_has_the_modules_that_it_should() -> None:
    assert set(MODULES) == EXPECTED


def test_every_module_checks_clean_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["check", "--deny", "warnings", "--format", "json", *map(str, FILES)])
    report = json.loads(capsys.readouterr().out)
    assert report["diagnostics"] == []
    assert len(report["policies"]) == len(FILES)
    assert code == 0


# --- propositions -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_propositions_are_written_with_care(name: str) -> None:
    assert own(name)
    for proposition in own(name):
        answers = [shot.answer for shot in proposition.shots]
        assert min(answers.count(True), answers.count(False)) >= 2, proposition.name
        assert all(shot.because for shot in proposition.shots), proposition.name
        assert all(shot.messages[-1].role == "assistant" for shot in proposition.shots), proposition.name
        assert len({shot.messages for shot in proposition.shots}) == len(proposition.shots), proposition.name
        assert proposition.doc.strip(), proposition.name
        assert len(proposition.question) > 2 * len(proposition.statement), proposition.name
        assert "?" in proposition.question, proposition.name
        assert {cue.answer for cue in proposition.cues} == {True, False}, proposition.name


@pytest.mark.parametrize("name", MODULES)
def test_every_proposition_declares_a_prior(name: str) -> None:
    for statement in module(name).modules[-1].module.statements:
        if isinstance(statement, tree.Prop):
            assert "prior" in {note.name.text for note in statement.annotations}, statement.name.text


@pytest.mark.parametrize("name", MODULES)
def test_every_definition_is_documented(name: str) -> None:
    for definition in module(name).program.definitions:
        assert definition.doc.strip(), definition.name


@pytest.mark.parametrize("name", MODULES)
def test_layout_is_regular(name: str) -> None:
    text = FILES[MODULES.index(name)].read_text(encoding="utf-8")
    assert text.startswith("rbr 1\n\n# ")
    assert text.endswith("\n")
    assert "\n\n\n" not in text
    for line in text.splitlines():
        assert line == line.rstrip(), line
        assert "\t" not in line, line
        assert len(line) <= 150, line


def test_statements_and_texts_are_not_repeated() -> None:
    everything = [proposition for name in MODULES for proposition in own(name)]
    assert len(everything) >= 50
    assert len({p.name for p in everything}) == len(everything)
    assert len({p.statement for p in everything}) == len(everything)
    endings = [shot.messages for p in everything for shot in p.shots]
    assert len(set(endings)) == len(endings)


def test_few_shots_are_mild() -> None:
    for name in MODULES:
        for proposition in own(name):
            for shot in proposition.shots:
                assert HARSH.search(" ".join(message.content for message in shot.messages)) is None, proposition.name


@pytest.mark.parametrize("text", ["two guns", "Suicide", "explosives"])
def test_the_mildness_check_can_fail(text: str) -> None:
    assert HARSH.search(text)


def hits(proposition: Proposition, answer: bool) -> list[bool]:
    """The answers of the few-shots whose response one of the `cue <answer>` patterns finds."""
    patterns = [re2.compile(cue.pattern) for cue in proposition.cues if cue.answer is answer]
    return [s.answer for s in proposition.shots if any(p.search(s.messages[-1].content) for p in patterns)]


@pytest.mark.parametrize("name", MODULES)
def test_cues_agree_with_the_few_shots(name: str) -> None:
    """On so few texts precision must be 1; that is no estimate of how good a cue is on others."""
    for proposition in own(name):
        for answer in (True, False):
            assert set(hits(proposition, answer)) == {answer}, (proposition.name, answer)


def test_cues_find_most_few_shots(record_property: Callable[[str, object], None]) -> None:
    everything = [proposition for name in MODULES for proposition in own(name)]
    yes = sum(shot.answer for p in everything for shot in p.shots)
    found = sum(len(hits(p, True)) for p in everything)
    record_property("few-shots that answer yes, and of them found by cues", (yes, found))
    assert found / yes > 0.6


def test_cues_hold_on_labelled_text() -> None:
    """Propositions of the same name are labelled in the refusals example: an oracle that cues were not read off."""
    lines = (EXAMPLE / "completions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    known = {p.name: p for name in MODULES for p in own(name) if p.name in rows[0]["labels"]}
    assert len(known) >= 15
    found: list[bool] = []
    positives = 0
    for name, proposition in known.items():
        patterns = [re2.compile(cue.pattern) for cue in proposition.cues if cue.answer]
        hit = [row["labels"][name] for row in rows if any(p.search(row["completion"]) for p in patterns)]
        assert sum(hit) >= 0.7 * len(hit) > 0, name
        found += hit
        positives += sum(row["labels"][name] for row in rows)
    assert sum(found) / len(found) > 0.9
    assert sum(found) / positives > 0.4


# --- rules --------------------------------------------------------------------------------------


def truth_tests(program: Program, number: int) -> list[tuple[frozenset[int], tuple[str, ...]]]:
    """The truth tests of one response type: atoms that hold, and the classes expected."""
    tests = [t for t in program.tests if isinstance(t, TruthTest) and t.response == number]
    return [(assignment(program, test), test.expect) for test in tests]


def truth(formula: Formula, true: frozenset[int], program: Program) -> bool:
    """A formula under an assignment, by the meaning of each connective; no diagram involved."""

    def of(inner: Formula) -> bool:
        return truth(inner, true, program)

    match formula:
        case Const():
            return formula.value
        case Var():
            return formula.atom in true
        case Ref():
            return of(program.definitions[formula.definition].formula)
        case Not():
            return not of(formula.operand)
        case And():
            return all(map(of, formula.operands))
        case Or():
            return any(map(of, formula.operands))
        case Implies():
            return of(formula.right) or not of(formula.left)
        case Iff():
            return of(formula.left) == of(formula.right)
        case AtLeast():
            return sum(map(of, formula.operands)) >= formula.k
        case ClassRef():
            raise AssertionError("rules do not speak of classes")
        case _:
            assert_never(formula)


def classes_of(response: ResponseType, true: frozenset[int], program: Program) -> list[str]:
    """The classes whose rules hold: the first line that does in a cascade, every rule otherwise."""
    held = [r.name for r in response.rules if not isinstance(r.formula, Otherwise) and truth(r.formula, true, program)]
    rest = [r.name for r in response.rules if isinstance(r.formula, Otherwise)]
    return (held[:1] if response.cascade else held) or rest


def compared(formula: Formula, program: Program) -> bool:
    """Whether it compares one scale or choice: its steps mean nothing by themselves."""
    atoms = [part.atom for part in walk(formula, program.definitions, set()) if isinstance(part, Var)]
    of = {program.variable_of(atom) for atom in atoms}
    return len(of) == 1 and None not in of and not used([formula], program)


def mutants(formula: Formula, program: Program) -> Iterator[Formula]:
    """The formula with one occurrence of an atom, a comparison or a definition replaced by a constant."""
    if compared(formula, program):
        yield Const(True, formula.span)
        yield Const(False, formula.span)
        return
    match formula:
        case Var() | Ref():
            yield Const(True, formula.span)
            yield Const(False, formula.span)
        case Not():
            for inner in mutants(formula.operand, program):
                yield formula._replace(operand=inner)
        case And() | Or() | AtLeast():
            for at, operand in enumerate(formula.operands):
                for inner in mutants(operand, program):
                    yield formula._replace(operands=(*formula.operands[:at], inner, *formula.operands[at + 1 :]))
        case Implies() | Iff():
            for inner in mutants(formula.left, program):
                yield formula._replace(left=inner)
            for inner in mutants(formula.right, program):
                yield formula._replace(right=inner)
        case Const() | ClassRef():
            pass
        case _:
            assert_never(formula)


def used(formulas: Sequence[Formula], program: Program) -> set[int]:
    """The definitions that formulas use, directly or not."""
    found: set[int] = set()
    pending = list(formulas)
    while pending:
        match pending.pop():
            case Ref(number, _) if number not in found:
                found.add(number)
                pending.append(program.definitions[number].formula)
            case Not(operand, _):
                pending.append(operand)
            case And() | Or() | AtLeast() as several:
                pending += several.operands
            case Implies() | Iff() as both:
                pending += (both.left, both.right)
            case _:
                pass
    return found


def mutated(program: Program, number: int) -> Iterator[tuple[str, ResponseType, Program]]:
    """Every one-literal mutant of a response type's rules and of the definitions behind them, with its place."""
    response = program.responses[number]
    for at, rule in enumerate(response.rules):
        if isinstance(rule.formula, Otherwise):
            continue
        for formula in mutants(rule.formula, program):
            rules = (*response.rules[:at], rule._replace(formula=formula), *response.rules[at + 1 :])
            yield f"{response.name}.{rule.name}: {formula}", replace(response, rules=rules), program
    formulas = [rule.formula for rule in response.rules if not isinstance(rule.formula, Otherwise)]
    for at in used(formulas, program):
        definition = program.definitions[at]
        for formula in mutants(definition.formula, program):
            changed = definition._replace(formula=formula)
            definitions = (*program.definitions[:at], changed, *program.definitions[at + 1 :])
            yield f"{definition.name}: {formula}", response, replace(program, definitions=definitions)


RESPONSES = tuple((name, number) for name in MODULES for number in range(len(module(name).program.responses)))


@pytest.mark.parametrize(("name", "number"), RESPONSES)
def test_every_class_is_expected_by_a_test(name: str, number: int) -> None:
    program = module(name).program
    expected = {expect[0] for _, expect in truth_tests(program, number) if len(expect) == 1}
    assert expected == set(program.responses[number].classes)


@pytest.mark.parametrize(("name", "number"), RESPONSES)
def test_no_literal_of_a_rule_can_be_fixed_without_a_test_failing(name: str, number: int) -> None:
    """Mutation testing: each occurrence, set to true and to false, must change what some test expects."""
    program = module(name).program
    tests = truth_tests(program, number)
    assert all(classes_of(program.responses[number], true, program) == list(expect) for true, expect in tests)
    survivors = [
        place
        for place, response, changed in mutated(program, number)
        if all(classes_of(response, true, changed) == list(expect) for true, expect in tests)
    ]
    assert survivors == []


@pytest.mark.parametrize(("name", "number"), RESPONSES)
def test_every_response_type_states_properties_and_signs(name: str, number: int) -> None:
    program = module(name).program
    response = program.responses[number]
    assert any(item.response == number for item in program.properties)
    assert response.bounds
    assert max(response.margins) > 1
    signs = {response.features[bound.feature].name: bound for bound in response.bounds}
    assert all((bound.low, bound.high).count(0.0) == 1 for bound in signs.values())


@pytest.mark.parametrize(("name", "number"), RESPONSES)
def test_an_empty_answer_is_never_the_best_one(name: str, number: int) -> None:
    """Nothing said breaks no prohibition, so each response type must ask for something."""
    program = module(name).program
    response = program.responses[number]
    assert classes_of(response, frozenset(), program) != [response.classes[0]]


def test_safety_modules_state_facts_or_build_on_those_that_do() -> None:
    for name in MODULES:
        if name.startswith("std.safety."):
            assert any(not axiom.implied for axiom in module(name).program.axioms), name


# --- imports ------------------------------------------------------------------------------------


def columns(policy: Policy) -> tuple[str, ...]:
    return tuple(p.name for p in policy.program.propositions)


def test_names_of_two_modules_compile_together() -> None:
    policy = loads(
        "use std.safety.refusals (apology, judgmental)\nuse std.style.tone (lecturing)\n"
        "response r ranks good > bad\nr.good := apology & !judgmental & !lecturing\nr.bad := otherwise\n"
    )
    assert sorted(columns(policy)) == ["apology", "judgmental", "lecturing"]
    assert policy.diagnostics == ()


def test_two_modules_under_aliases_compile() -> None:
    policy = loads(
        "use std.style.tone as manner\nuse std.honesty.sycophancy as honesty\n"
        "response r ranks good > bad {\n  bad if any(manner.rude) | honesty.gives_way\n  good otherwise\n}\n"
    )
    assert sorted(columns(policy)) == ["accepts_false_premise", "caves_in", "insulting", "judgmental", "threatening"]
    assert policy.diagnostics == ()


def test_importing_only_propositions_adds_only_those_columns() -> None:
    policy = loads(
        "use std.honesty.certainty (admits_uncertainty)\nuse std.agents.tool_use (explains_action)\n"
        "response r ranks good > bad\nr.good := admits_uncertainty & explains_action\nr.bad := otherwise\n"
    )
    assert columns(policy) == ("admits_uncertainty", "explains_action")
    assert [r.name for r in policy.program.responses] == ["r"]
    assert policy.program.axioms == ()


def test_a_module_that_nothing_is_used_of_adds_nothing() -> None:
    policy = loads(
        "use std.review.code_review as review\nresponse r ranks good > bad { good if words > 3\nbad otherwise }\n"
    )
    assert columns(policy) == ()


@pytest.mark.parametrize(("name", "number"), RESPONSES)
def test_a_response_type_can_be_imported_by_name_with_its_reward(name: str, number: int) -> None:
    home = module(name).program.responses[number]
    policy = loads(f"use {name} ({home.name})\n")
    (response,) = policy.program.responses
    assert response.ranks == home.ranks
    assert [f.name for f in response.features] == [f.name for f in home.features]
    assert [(b.low, b.high) for b in response.bounds] == [(b.low, b.high) for b in home.bounds]
    assert response.margins == home.margins
    assert set(columns(policy)) <= {p.name for p in module(name).program.propositions}


def test_everything_can_be_imported_into_one_policy() -> None:
    text = "".join(f"use {name} ({', '.join(declarations(name)['response types'])})\n" for name in MODULES)
    policy = loads(text)
    assert len(policy.program.responses) == len(RESPONSES)
    assert len(set(columns(policy))) == len(columns(policy))


# --- the reference ------------------------------------------------------------------------------


def sections() -> dict[str, str]:
    """The text of the reference below each heading that names a module."""
    text = REFERENCE.read_text(encoding="utf-8")
    parts = re.split(r"^## `(std\.[a-z_.]+)`.*$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_reference_has_a_section_for_every_module() -> None:
    assert list(sections()) == list(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_the_reference_lists_every_proposition_with_its_statement(name: str) -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (.+?) \|$", sections()[name], flags=re.MULTILINE)
    assert rows == [(p.name, p.statement) for p in own(name)]


@pytest.mark.parametrize("name", MODULES)
def test_the_reference_gives_every_response_type_with_its_ranks(name: str) -> None:
    for response in module(name).program.responses:
        ranks = " > ".join(tier[0] if len(tier) == 1 else "{" + ", ".join(tier) + "}" for tier in response.ranks)
        assert f"`{response.name}`: {ranks}" in sections()[name]


@pytest.mark.parametrize("name", MODULES)
def test_the_reference_names_every_definition_and_group(name: str) -> None:
    for kind in ("definitions", "groups"):
        for word in declarations(name)[kind]:
            assert f"`{word}`" in sections()[name], word


def test_the_examples_of_the_reference_check_clean() -> None:
    examples = re.findall(r"^```rbr\n(.*?)^```$", REFERENCE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        assert loads(example).diagnostics == ()
