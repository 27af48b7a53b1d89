"""How good are the tests? Coverage, missing cases and surviving mutants, for `rbrc test`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rbrlang.diagnostics import Diagnostic
from rbrlang.lang.printing.format import formatted
from rbrlang.lang.program import Program, TruthTest
from rbrlang.logic.findings.coverage import Case, Condition, ResponseCoverage, coverage, suggest_cases
from rbrlang.logic.findings.mutate import Mutant, mutants
from rbrlang.policy import Checked
from rbrlang.source import Source

_MOST_SHOWN = 8


class Measured(NamedTuple):
    """What was measured of one file; `mutated` is None unless it was asked for."""

    checked: Checked
    responses: tuple[ResponseCoverage, ...]
    mutated: tuple[Mutant, ...] | None

    @property
    def covered(self) -> tuple[int, int]:
        """Conditions covered, and all."""
        return sum(r.covered for r in self.responses), sum(r.conditions for r in self.responses)

    @property
    def share(self) -> float:
        """The share of conditions that is covered; 1 where there is none."""
        done, every = self.covered
        return done / every if every else 1.0


def measured(checked: Checked, passed: Sequence[TruthTest], *, mutate: bool) -> Measured:
    """Coverage by the tests that passed and, on request, the fate of every mutant of the root file."""
    root = checked.modules[-1].module.source.name
    return Measured(
        checked, coverage(checked.program, checked.compiled, passed),
        tuple(mutants(checked.program, root, checked.compiled.bdd.work)) if mutate else None,
    )  # fmt: skip


def show(file: str, found: Measured, out: Callable[[str], object]) -> None:
    """Coverage and mutants for a person."""
    program = found.checked.program
    done, every = found.covered
    if not every:
        out(f"{file}: no class depends on anything, so there is nothing to cover\n")
        return
    out(f"{file}: {done} of {every} conditions covered ({100 * found.share:.1f} %)\n")
    for number, response in enumerate(found.responses):
        if response.missing or response.untested:
            out(f"  {response.name}: {response.covered} of {response.conditions}\n")
            names = program.responses[number].classes
            if response.untested:
                out(f"    no test of {', '.join(names[at] for at in response.untested)}\n")
            for condition in response.missing[:_MOST_SHOWN]:
                out(f"    nothing shows that {_condition(program, names, condition)}\n")
            if len(response.missing) > _MOST_SHOWN:
                out(f"    and {len(response.missing) - _MOST_SHOWN} more; `--suggest` writes the missing cases\n")
    if found.mutated is not None:
        by = {fate: sum(m.fate == fate for m in found.mutated) for fate in ("checks", "proofs", "survived")}
        noticed = by["checks"] + by["proofs"]
        score = f" ({100 * noticed / len(found.mutated):.1f} %)" if found.mutated else ""
        out(
            f"{file}: {noticed} of {len(found.mutated)} mutants noticed{score}: {by['checks']} by tests and claims, "
            f"{by['proofs']} by the proofs\n"
        )
        for mutant in found.mutated:
            if mutant.fate == "survived":
                line, column = mutant.span.source.position(mutant.span.start)
                out(
                    f"  {mutant.span.source.name}:{line}:{column}: `{mutant.span.text}` {mutant.change} in "
                    f"`{mutant.owner}`, and nothing fails\n"
                )


def _condition(program: Program, classes: Sequence[str], condition: Condition) -> str:
    return f"`{program.fact(condition.atom, condition.value)}` decides about `{classes[condition.klass]}`"


def to_data(found: Measured) -> dict[str, Any]:
    """Coverage and mutants for a program."""
    program = found.checked.program
    done, every = found.covered
    data: dict[str, Any] = {
        "conditions": every, "covered": done, "share": found.share,
        "response_types": {
            response.name: {
                "conditions": response.conditions, "covered": response.covered,
                "untested_classes": [program.responses[number].classes[at] for at in response.untested],
                "missing": [
                    {
                        "class": program.responses[number].classes[c.klass],
                        "atom": program.fact(c.atom, True), "value": c.value,
                    }
                    for c in response.missing
                ],
            }
            for number, response in enumerate(found.responses)
        },
    }  # fmt: skip
    if found.mutated is not None:
        data["mutants"] = [
            {
                "file": m.span.source.name, "line": m.span.source.position(m.span.start)[0],
                "column": m.span.source.position(m.span.start)[1], "text": m.span.text, "of": m.owner,
                "change": m.change, "fate": m.fate,
            }
            for m in found.mutated
        ]  # fmt: skip
    return data


# --- the missing cases ------------------------------------------------------------------------


def suggestion(found: Measured) -> str:
    """Tables of cases that cover what is missing, as .rbr text; empty when nothing is."""
    program, compiled = found.checked.program, found.checked.compiled
    text = ""
    for number, response in enumerate(found.responses):
        item = compiled.responses[number]
        if response.missing and item is not None:
            cases = suggest_cases(program, compiled, item, response.missing)
            lines = [_line(program, case, program.responses[number].classes) for case in cases]
            text += f"cases {response.name} {{\n" + "\n".join(lines) + "\n}\n\n"
    if not text:
        return ""
    note = "# What the rules say today of cases that no test covers: keep what you mean, correct the rest.\n"
    return formatted(Source("suggestion", note + text))


def _line(program: Program, case: Case, classes: Sequence[str]) -> str:
    first = program.first_measure
    given = [
        f"{domain.name} == {domain.values[value]}"
        for (_, domain), value in zip(program.domains, program.values(case.true), strict=True)
        if value != domain.default
    ]
    measures = {atom: program.measures[atom - first] for atom in case.true if atom >= first}
    most: dict[tuple[str, str, str], int] = {}
    for one in measures.values():
        most[one.quantity] = max(one.threshold, most.get(one.quantity, one.threshold))
    called = program.atoms
    for atom in sorted(case.true):
        if len(program.propositions) <= atom < first:
            continue
        if atom in measures and measures[atom].threshold < most[measures[atom].quantity]:
            continue  # `words > 60` says `words > 10` too
        given.append(called[atom])
    return f"{', '.join(given)} -> {classes[case.klass]}"


def unusable(found: Measured, text: str, recheck: Callable[[str], Checked]) -> list[Diagnostic]:
    """Why a suggestion could not be pasted below the policy: names that only its imports know."""
    source = found.checked.modules[-1].module.source
    checked = recheck(source.text + "\n" + text)
    return [d for d in checked.diagnostics if d.severity == "error" and d.span.start >= len(source.text)]
