"""What is allowed, but probably not meant?

Findings that need no proof: they look at the program, not at its functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rbrlang import codes
from rbrlang.budget import Budget
from rbrlang.diagnostics import Diagnostic, Fix
from rbrlang.lang.meaning.variables import values_of
from rbrlang.lang.program import (
    Const,
    Formula,
    Otherwise,
    Program,
    Proposition,
    ResponseType,
    Unused,
    Var,
    named,
    walk,
)  # fmt: skip
from rbrlang.lang.variables import Share


def lint(program: Program, *, whole: bool, work: Budget) -> Iterator[Diagnostic]:
    """All lints of a program. Unless it is `whole`, what seems unused may be used where a mistake stands."""
    yield from _few_shots(program)
    if program.responses and whole:
        yield from _unused(program, work)
        yield from _categories(program)
    for response in program.responses:
        work.at(response.span)
        yield from _signs(response, work)
    for proposition in program.propositions:
        if proposition.span.source.name == program.sources[-1].name:
            work.at(proposition.span)
            work.spend(5 + len(proposition.statement) // 20)
            yield from _compound(proposition)


def _roots(program: Program) -> Iterator[Formula]:
    for response in program.responses:
        for rule in response.rules:
            if not isinstance(rule.formula, Otherwise):
                yield rule.formula
    for axiom in program.axioms:
        if not axiom.implied:
            yield axiom.formula
    for item in program.properties:
        yield item.formula


def _unused_import(item: Unused) -> Diagnostic:
    names = ", ".join(f"`{name}`" for name in item.name.split(", "))
    return Diagnostic(
        codes.UNUSED_IMPORT, f"{names} {'are' if ',' in item.name else 'is'} imported but not used", item.span,
        help="use it, or remove it" if "," not in item.name else "use them, or remove the line",
        fixes=(Fix("remove it", item.cut, "", "machine-applicable"),) if item.cut is not None else (),
    )  # fmt: skip


def _unused(program: Program, work: Budget) -> Iterator[Diagnostic]:
    reached: set[int] = set()
    definitions: set[int] = set()
    for formula in _roots(program):
        work.spend(1)
        parts = walk(formula, program.definitions, definitions)
        reached |= {part.atom for part in parts if isinstance(part, Var)}
    features = {f.index for response in program.responses for f in response.features if f.kind == "proposition"}
    reached |= features
    measured_features = {atom for atom in features if atom >= program.first_measure}
    variables = {program.variable_of(atom) for atom in reached} if program.variables else set[int | None]()
    root = program.sources[-1].name
    for atom, proposition in enumerate(program.propositions):
        if atom not in reached and proposition.span.source.name == root:
            yield Diagnostic(
                codes.UNUSED_PROPOSITION, f"no rule or feature reaches `{proposition.name}`", proposition.span,
                help="use it in a rule, name it under `features`, or remove it",
            )  # fmt: skip
    for number, variable in enumerate(program.variables):
        if number not in variables and variable.span.source.name == root:
            yield Diagnostic(
                codes.UNUSED_PROPOSITION, f"no rule or feature reaches `{variable.name}`", variable.span,
                help="compare it in a rule, name it under `features`, or remove it",
            )  # fmt: skip
    for item in program.unused:
        if item.kind == "import":
            yield _unused_import(item)
            continue
        yield Diagnostic(
            codes.UNUSED_DEFINITION, f"{item.kind} `{item.name}` is declared but not used", item.span,
            help="use it, or remove it",
        )  # fmt: skip
    for number, definition in enumerate(program.definitions):
        stands_for = named(definition.formula, program.definitions)
        weighed = (isinstance(stands_for, Var) and stands_for.atom in measured_features) or _read(program, stands_for)
        if number not in definitions and not weighed and not definition.imported:
            work.at(definition.span)
            work.spend(3)
            yield Diagnostic(
                codes.UNUSED_DEFINITION, f"`{definition.name}` is defined but not used", definition.span,
                help="use it in a rule, or remove it",
            )  # fmt: skip


def _read(program: Program, formula: Formula) -> bool:
    """Whether a formula is a comparison whose chance is a feature."""
    for number, (first, domain) in enumerate(program.domains):
        holds = values_of(formula, first, domain)
        if holds is not None and not isinstance(formula, Const):
            return any(reading.share == Share(number, tuple(map(float, holds))) for reading in program.readings)
    return False


# Verbs that continue a statement after "and"; words that are as often nouns ("offers", "uses") are left out.
_VERBS = (
    "acknowledges?|apologi[sz]es?|asks?|avoids?|contains?|declines?|describes?|does|encourages?|explains?|expresses|"
    "fails|gives|has|includes?|invites?|is|lacks|makes?|mentions?|omits?|provides?|refuses?|says|suggests?|tells|was"
)
_COMPOUND = (
    re.compile(rf"\b(?:and|or) (?:also |then |either |neither |not )?(?P<verb>{_VERBS})\b", re.IGNORECASE),
    re.compile(r"\b(?P<verb>and/or)\b", re.IGNORECASE),
    re.compile(
        r"[,;] (?:and|or) (?P<verb>(?:does|is|has|did) (?:it|the (?:response|assistant|reply|answer)))\b", re.IGNORECASE
    ),
)


def _compound(proposition: Proposition) -> Iterator[Diagnostic]:
    """A statement that says two things; the long question may explain, so it is not looked at."""
    for pattern in _COMPOUND:
        match = pattern.search(proposition.statement)
        if match is not None:
            said = " ".join(match.group().split())
            yield Diagnostic(
                codes.COMPOUND_QUESTION, f"`{proposition.name}` states two things: `… {said} …`", proposition.span,
                help="declare a proposition for each, and join them with `&` or `|` in a definition",
            )  # fmt: skip
            return


def _categories(program: Program) -> Iterator[Diagnostic]:
    mapped = {number for _, number in program.categories}
    if not mapped:
        return
    for number, response in enumerate(program.responses):
        if number not in mapped:
            yield Diagnostic(
                codes.UNMAPPED_RESPONSE, f"no category maps to `{response.name}`", response.span,
                help=f'add `category "…" -> {response.name}`, or let every row name its response type',
            )  # fmt: skip


def _signs(response: ResponseType, work: Budget) -> Iterator[Diagnostic]:
    """A better class whose weight cannot reach a worse one's."""
    ranks = response.rank_of
    bounds = [(b, response.features[b.feature]) for b in response.bounds]
    classes = [(b, f.index) for b, f in bounds if f.kind == "class"]
    for better, i in classes:
        work.spend(len(classes) // 10)
        for worse, j in classes:
            if ranks[i] < ranks[j] and better.high < worse.low:
                yield Diagnostic(
                    codes.SIGN_CONTRADICTS_RANK,
                    f"`{response.classes[i]}` ranks above `{response.classes[j]}` but must weigh less",
                    better.span, related=(("the worse class's weight", worse.span),),
                    help="raise the better class's weight, or change the rank",
                )  # fmt: skip


def _few_shots(program: Program) -> Iterator[Diagnostic]:
    for proposition in program.propositions:
        answers = {shot.answer for shot in proposition.shots}
        if len(answers) == 1:
            only, other = ("yes", "no") if True in answers else ("no", "yes")
            yield Diagnostic(
                codes.ONE_POLARITY, f"all examples of `{proposition.name}` answer `{only}`", proposition.span,
                help=f"add a `{other}` example",
            )  # fmt: skip
