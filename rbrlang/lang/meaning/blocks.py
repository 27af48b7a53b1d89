"""What do the blocks of a policy say: propositions and tests?

Pure functions from the tree's blocks to the program's values; what is wrong goes to `diagnostics`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import assert_never

from rbrlang import codes
from rbrlang.budget import Budget
from rbrlang.diagnostics import Diagnostic, suggest, twice
from rbrlang.lang import syntax as tree
from rbrlang.lang.meaning import columns
from rbrlang.lang.meaning.asked import asked, shown
from rbrlang.lang.meaning.formulas import Formulas, check_pattern, known_classes
from rbrlang.lang.meaning.scope import Scope
from rbrlang.lang.program import (
    And,
    Cue,
    Definition,
    Formula,
    Instruction,
    Judged,
    Message,
    Not,
    Or,
    Proposition,
    Ref,
    ResponseType,
    Shot,
    TextTest,
    TruthTest,
    Var,
)  # fmt: skip
from rbrlang.source import Span

# Each annotation: its arguments with their defaults, and the open range in which a value must lie.
_ANNOTATIONS: dict[str, tuple[dict[str, float], float, float]] = {
    "prior": ({"p": 0.5}, 0.0, 1.0),
    "noise": ({"fp": 0.0, "fn": 0.0}, -1e-300, 1.0),
    "cost": ({"units": 1.0}, 0.0, math.inf),
}


def _annotations(prop: tree.Prop, diagnostics: list[Diagnostic]) -> dict[str, float]:
    values = {name: value for defaults, _, _ in _ANNOTATIONS.values() for name, value in defaults.items()}
    seen: set[str] = set()
    for annotation in prop.annotations:
        name = annotation.name.text
        if name not in _ANNOTATIONS:
            near = suggest(name, list(_ANNOTATIONS))
            diagnostics.append(Diagnostic(
                codes.BAD_ANNOTATION, f"unknown annotation `@{name}`", annotation.name.span,
                help=f"did you mean `@{near}`?" if near else "there are `@prior(p)`, `@noise(fp: …, fn: …)` and `@cost(units)`",
            ))  # fmt: skip
            continue
        defaults, low, high = _ANNOTATIONS[name]
        if name in seen:
            diagnostics.append(twice(f"`@{name}` is given twice", annotation.span, None))
        seen.add(name)
        order = list(defaults)
        for at, (ident, number) in enumerate(annotation.arguments):
            argument = ident.text if ident is not None else (order[at] if at < len(order) else "")
            if argument not in defaults:
                diagnostics.append(Diagnostic(
                    codes.BAD_ANNOTATION, f"`@{name}` takes {' and '.join(f'`{n}`' for n in order)}",
                    ident.span if ident is not None else number.span,
                    help=f"write `@{name}({', '.join(f'{n}: …' for n in order)})`",
                ))  # fmt: skip
            elif not low < number.value < high:
                limits = f"between 0 and {high:g}" if high < math.inf else "greater than 0"
                diagnostics.append(Diagnostic(
                    codes.BAD_ANNOTATION, f"`{number.span.text}` is out of range for `{argument}`", number.span,
                    help=f"it must be {limits}",
                ))  # fmt: skip
            else:
                values[argument] = number.value
    if values["fp"] + values["fn"] >= 1:
        diagnostics.append(Diagnostic(
            codes.BAD_ANNOTATION, "a grader with these error rates says the opposite of what it sees",
            prop.name.span, help="`fp` and `fn` together must be less than 1",
        ))  # fmt: skip
    return values


def proposition(
    prop: tree.Prop, name: str, over: Judged, known: columns.Known, scope: Scope, diagnostics: list[Diagnostic]
) -> Proposition:
    """A proposition with its question, few-shots, cues and declared numbers.

    `over` is what its file is judged by, `known` are the columns that its texts may name. Raises `SpentError`.
    """
    question, over = asked(prop, over, diagnostics)
    shots: list[Shot] = []
    cues: list[Cue] = []
    instructions: dict[bool, Instruction] = {}
    for item in prop.items:
        match item:
            case tree.Ask() | tree.OverItem():
                pass  # as `asked` has them
            case tree.Example():
                shots.append(Shot(item.answer, *shown(item)))
            case tree.CueItem():
                problem = check_pattern(item.pattern)
                if problem is not None:
                    diagnostics.append(problem)
                else:
                    cues.append(Cue(item.answer, item.pattern.value, item.span))
            case tree.InstructItem():
                _instruct(item, instructions, diagnostics)
            case _:
                assert_never(item)
    if not prop.statement.value.strip():
        diagnostics.append(Diagnostic(
            codes.SYNTAX, f"`{prop.name.text}` states nothing", prop.statement.span,
            help="say in a sentence what is true of a completion when it holds",
        ))  # fmt: skip
    numbers = _annotations(prop, diagnostics)
    return Proposition(
        name=name, statement=prop.statement.value, question=question,
        shots=tuple(shots), cues=tuple(cues), prior=numbers["p"], fp=numbers["fp"], fn=numbers["fn"],
        cost=numbers["units"], doc=prop.doc, span=prop.name.span, instructions=tuple(instructions.values()), over=over,
        columns=columns.check(prop, known, scope, diagnostics),
    )  # fmt: skip


def _instruct(
    item: tree.InstructItem, found: dict[bool, Instruction], diagnostics: list[Diagnostic]
) -> None:  # fmt: skip
    word = "yes" if item.answer else "no"
    first = found.get(item.answer)
    if first is not None:
        diagnostics.append(twice(f"`instruct {word}` is given twice", item.span, first.span))
    elif not item.instruction.value.strip():
        diagnostics.append(Diagnostic(
            codes.SYNTAX, f"`instruct {word}` says nothing", item.instruction.span,
            help="tell a writer what to do, or leave the line out",
        ))  # fmt: skip
    else:
        found[item.answer] = Instruction(item.answer, item.instruction.value, item.span)


_TEST = 5  # steps

# --- tests ------------------------------------------------------------------------------------


def tests(
    block: tree.Test | tree.Cases,
    number: int,
    response: ResponseType,
    formulas: Formulas,
    scope: Scope,
    definitions: Sequence[Definition],
    known: columns.Known,
) -> list[TruthTest | TextTest]:
    """The tests of a `test` or `cases` block; a broken one is reported and left out. `known` columns may have cells."""
    report = formulas.diagnostics.append
    built: list[TruthTest | TextTest] = []
    if isinstance(block, tree.Cases):
        for case in block.cases:
            formulas.budget.at(case.span)
            formulas.budget.spend(_TEST)
            given = _given(case.literals, formulas, scope, definitions)
            expect = _expect(case.classes, response, formulas)
            if given is not None and expect is not None:
                title = ", ".join(literal.span.text for literal in case.literals) or "nothing holds"
                built.append(TruthTest(title, number, given, expect, case.span))
        return built
    formulas.budget.spend(_TEST)
    givens = [item for item in block.items if isinstance(item, tree.Given)]
    prompts = [item for item in block.items if isinstance(item, tree.PromptItem)]
    completions = [item for item in block.items if isinstance(item, tree.CompletionItem)]
    expects = [item for item in block.items if isinstance(item, tree.Expect)]
    cells = [item for item in block.items if isinstance(item, tree.Cell)]
    problem = ""
    if len(expects) != 1:
        problem = "a test has one `expect`"
    elif (prompts or completions or cells) and givens:
        problem = "a test has either `given` or a `completion`, not both"
    elif ((prompts or cells) and not completions) or len(completions) > 1 or len(prompts) > 1:
        problem = "a test on text has one `completion` and at most one `prompt`"
    if problem:
        body = 'prompt "…" completion "…"' if prompts or completions or cells else "given a, !b"
        report(
            Diagnostic(
                codes.BAD_TEST, problem, block.title.span, help=f"write `{{ {body} expect {response.classes[0]} }}`"
            )
        )
        return []
    expect = _expect(expects[0].classes, response, formulas)
    if completions:
        prompt = tuple(Message("user", item.text.value) for item in prompts)
        row = columns.test_cells(cells, known, scope, formulas.diagnostics)
        if expect is not None:
            text = completions[0].text.value
            built.append(TextTest(block.title.value, number, prompt, text, expect, block.span, row))
        return built
    given = _given(tuple(literal for item in givens for literal in item.literals), formulas, scope, definitions)
    if given is not None and expect is not None:
        built.append(TruthTest(block.title.value, number, given, expect, block.span))
    return built


def _expect(idents: tuple[tree.Ident, ...], response: ResponseType, formulas: Formulas) -> tuple[str, ...] | None:
    formulas.budget.spend(len(response.ranks) // 10)
    problems = [known_classes(ident, response.classes, response.name) for ident in idents]
    found = [problem for problem in problems if problem is not None]
    formulas.diagnostics += found
    return None if found else tuple(ident.text for ident in idents)


def _determined(formula: Formula, definitions: Sequence[Definition], budget: Budget) -> dict[int, bool] | None:
    """The truth of atoms that a formula fixes when it holds; None unless it is a conjunction of literals."""
    if isinstance(formula, Var):  # as nearly all are
        return {formula.atom: True}
    found: dict[int, bool] = {}
    pending: list[tuple[Formula, bool]] = [(formula, True)]
    while pending:
        current, value = pending.pop()
        budget.spend(1)
        match current:
            case Var() if found.setdefault(current.atom, value) == value:
                pass
            case Not():
                pending.append((current.operand, not value))
            case Ref():
                pending.append((definitions[current.definition].formula, value))
            case And() if value:
                pending += [(operand, True) for operand in current.operands]
            case Or() if not value:
                pending += [(operand, False) for operand in current.operands]
            case _:
                return None
    return found


def _given(
    literals: tuple[tree.Formula, ...], formulas: Formulas, scope: Scope, definitions: Sequence[Definition]
) -> tuple[tuple[int, bool], ...] | None:
    values: dict[int, tuple[bool, Span]] = {}
    whole = True
    for literal in literals:
        formula = formulas.elaborate(literal, scope)
        if formula is None:
            whole = False
            continue
        fixed = _determined(formula, definitions, formulas.budget)
        if fixed is None:
            whole = False
            formulas.diagnostics.append(Diagnostic(
                codes.BAD_TEST, f"`{literal.span.text}` does not say which propositions are true", literal.span,
                help="`given` takes propositions, measures, values of scales and choices (`tone == formal`), and definitions that are "
                "one of them or join several with `&`",
            ))  # fmt: skip
            continue
        for atom, value in fixed.items():
            if values.setdefault(atom, (value, literal.span))[0] != value:
                whole = False
                formulas.diagnostics.append(Diagnostic(
                    codes.BAD_TEST, f"`{literal.span.text}` contradicts what is given", literal.span,
                    related=(("given here", values[atom][1]),), help="remove one of them",
                ))  # fmt: skip
                break
    for _, first, domain in filter(None, formulas.domains.values()):
        steps = {
            atom - first: value for atom, (value, _) in values.items() if 0 <= atom - first < len(domain.values) - 1
        }
        left = domain.allowed(steps)
        if steps and len(left) != 1:
            whole = False
            span = next(span for atom, (_, span) in values.items() if atom - first in steps)
            formulas.diagnostics.append(Diagnostic(
                codes.BAD_TEST, f"`{span.text}` leaves open which value `{domain.name}` has", span,
                help=f"give one, as in `{domain.name} == {domain.values[left[-1]] if left else domain.values[0]}`",
            ))  # fmt: skip
    return tuple((atom, value) for atom, (value, _) in sorted(values.items())) if whole else None
