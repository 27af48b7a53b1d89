"""What must a writer be told, so that what it writes belongs to a class?

A *specification* is a partial assignment: some propositions true, some false, that forces the class
whatever the others are. It is drawn as an assignment of the class (`synth.draw_truth`: by the declared
priors, within the axioms) and then stripped of every literal that the class does not need, the likeliest
first, so that what stays is what makes the draw special. Each literal becomes an instruction: the
proposition's own (`instruct yes`, `instruct no`), or one made from its statement. As in the paper (Mu et
al., 2024, appendix on synthetic data) the instructions are appended to the prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rbrlang.grading.questions.prompt import UnfilledError, told
from rbrlang.grading.results import GradeItem
from rbrlang.lang.checks import Against
from rbrlang.lang.program import OF_A_COLUMN, OF_THE_TRAJECTORY, Proposition, Variable
from rbrlang.learning.synthesis.synth import draw_truth
from rbrlang.logic.circuit import AtomInfo, Circuit, Diagram, ResponseCircuit
from rbrlang.reward.measure import measure_atoms
from rbrlang.rows.cells import Cell, Unfilled, missing
from rbrlang.rows.conversation import Turn, spoken


@dataclass(frozen=True, slots=True)
class Specification:
    """Literals (atom, truth) in the order of the atoms that together force a class."""

    literals: tuple[tuple[int, bool], ...]


def specify(
    circuit: Circuit, response: ResponseCircuit, klass: int, rng: np.random.Generator
) -> Specification | None:  # fmt: skip
    """A specification of a class, None where no text of one turn has it. Measures of that text have prior 1/2."""
    priors = np.array([atom.prior for atom in circuit.atoms], np.float64)
    facts = of_one_turn(circuit)
    priors[list(facts)] = list(facts.values())
    drawn = draw_truth(circuit, response, klass, 1, rng, priors)
    if drawn is None:
        return None
    truth: list[bool] = drawn[0].tolist()
    chance = [prior if bit else 1.0 - prior for prior, bit in zip(priors.tolist(), truth, strict=True)]
    tested = {atom for atom, _, _ in response.diagram.nodes}
    kept = {atom: truth[atom] for atom in tested}
    for atom in sorted(tested, key=lambda atom: (-chance[atom], atom)):
        without = {a: bit for a, bit in kept.items() if a != atom}
        if _reachable(response.diagram, without) <= {klass, -1}:
            kept = without
    return Specification(tuple(sorted((atom, bit) for atom, bit in kept.items() if atom not in facts)))


def of_one_turn(circuit: Circuit) -> dict[int, bool]:
    """The atoms that are settled once a completion is one turn of text: no calls, no results, no thoughts."""
    measures = circuit.measures
    truths = measure_atoms(circuit.atoms[measures], spoken((), ""))
    return {
        measures.start + at: truth == 1.0
        for at, (atom, truth) in enumerate(zip(circuit.atoms[measures], truths, strict=True))
        if atom.over == "thought" or (atom.measure is not None and atom.measure[0] in OF_THE_TRAJECTORY)
    }


def _reachable(diagram: Diagram, fixed: dict[int, bool]) -> set[int]:
    """Terminals that some way to fill the rest of a partial assignment reaches."""
    first = len(diagram.terminals)
    found: set[int] = set()
    seen: set[int] = set()
    pending = [diagram.root]
    while pending:
        at = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        if at < first:
            found.add(diagram.terminals[at])
            continue
        atom, low, high = diagram.nodes[at - first]
        if fixed.get(atom) is not True:
            pending.append(low)
        if fixed.get(atom) is not False:
            pending.append(high)
    return found


# --- words ------------------------------------------------------------------------------------


def instruction(proposition: Proposition, answer: bool) -> str:
    """What a writer is told so that a proposition holds (`answer`), or does not; columns of the row are named in braces.

    >>> from rbrlang.source import Source, Span
    >>> nowhere = Span(Source("", ""), 0, 0)
    >>> prop = Proposition("apology", "Response apologises.", "", (), (), 0.5, 0.0, 0.0, 1.0, "", nowhere)
    >>> instruction(prop, True)
    'Write the response such that this is true of it: Response apologises.'
    >>> instruction(prop, False)
    'Write the response such that this is not true of it: Response apologises.'
    """
    for own in proposition.instructions:
        if own.answer == answer:
            return " ".join(own.text.split())
    statement = " ".join(proposition.statement.split())
    if statement.endswith("?"):
        return f"Write the response such that the answer to this question is {'yes' if answer else 'no'}: {statement}"
    return f"Write the response such that this is {'' if answer else 'not '}true of it: {statement}"


def measure_instruction(atom: AtomInfo, answer: bool, cell: Callable[[str], Cell] = missing) -> str:
    """The same for a measure of the text; `cell` is what the row says in a column.

    Raises ValueError for an atom that is none, `UnfilledError` where the row lacks the column.
    """
    if atom.measure is None:
        raise ValueError(f"`{atom.name}` is no measure")
    kind, pattern, threshold = atom.measure
    if kind == "contains":
        return f"{'Use' if answer else 'Do not use'} these exact characters: {pattern}"
    if kind == "matches":
        return f"{'Include' if answer else 'Avoid'} text that matches this regular expression: {pattern}"
    if kind == "json":
        return "Write one JSON value and nothing else." if answer else "Do not write JSON alone."
    if kind == "json_schema":
        return f"Write {'' if answer else 'no '}JSON of the form that this schema asks for, and nothing else: {pattern}"
    if kind == "python":
        return f"Write a text of which this check says {'yes' if answer else 'no'}: {pattern}"
    if kind in OF_A_COLUMN:
        said = cell(Against.read(pattern).column)
        if isinstance(said, Unfilled):
            raise UnfilledError(said.reason)
        what = {
            "equals": "exactly this text", "contains_column": "a text that contains this one",
        }.get(kind, "a text whose last number is the last one of this text")  # fmt: skip
        return f"Write {'' if answer else 'anything but '}{what}: {said}"
    if kind in OF_THE_TRAJECTORY:
        raise ValueError(f"`{atom.name}` is of what an assistant does, and no text makes it so")
    what = f"matches of this regular expression: {pattern}" if kind == "count" else kind
    return f"Use {'more than' if answer else 'at most'} {threshold} {what}" + ("" if kind == "count" else ".")


def allowed(circuit: Circuit, specification: Specification) -> dict[int, tuple[int, ...]]:
    """The values of scales and choices that a specification leaves, by the number of each that it speaks of."""
    found: dict[int, tuple[int, ...]] = {}
    for number, (first, domain) in enumerate(circuit.domains):
        steps = {
            atom - first: answer
            for atom, answer in specification.literals
            if 0 <= atom - first < len(domain.values) - 1
        }
        if steps:
            found[number] = domain.allowed(steps)
    return found


def value_instruction(variable: Variable, values: Sequence[int]) -> str:
    """What a writer is told so that a scale or a choice has one of these values; columns of the row are named in braces."""
    named: list[str] = []
    for value in values:
        about = " ".join(variable.about[value].split())
        named.append(
            f"{variable.domain.values[value]} ({about.rstrip('.')})" if about else variable.domain.values[value]
        )
    what = f"{named[0]}" if len(named) == 1 else f"one of {', '.join(named)}"
    scale = variable.domain.values
    of = f", on a scale from {scale[0]} to {scale[-1]}" if variable.domain.kind == "scale" else ""
    asked = " ".join((variable.statement.strip() or variable.question).split())
    return f"Write the response such that the answer to this question is {what}{of}: {asked}"


def instructions(
    circuit: Circuit, questions: Sequence[Proposition | Variable], specification: Specification, item: GradeItem
) -> tuple[str, ...]:  # fmt: skip
    """One instruction a literal, and one a scale or choice: first what has to hold, then what must not, then values.

    `questions` are the program's, `item` is the row that it is about. Raises `UnfilledError` where the row lacks a column that an
    instruction names.
    """
    literals = sorted(specification.literals, key=lambda literal: (not literal[1], literal[0]))
    said: list[str] = []
    for atom, answer in literals:
        asked = questions[atom] if atom < len(circuit.propositions) else None
        if isinstance(asked, Proposition):
            said.append(told(asked, instruction(asked, answer), item))
        elif circuit.atoms[atom].share is None:
            said.append(measure_instruction(circuit.atoms[atom], answer, item.cell))
    for number, values in allowed(circuit, specification).items():
        variable = questions[circuit.first_variable + number]
        if isinstance(variable, Variable):
            said.append(told(variable, value_instruction(variable, values), item))
    return tuple(said)


def ordered(prompt: Sequence[Turn], told: Sequence[str]) -> tuple[Turn, ...]:
    """The conversation with the instructions appended to its last user turn (or in one of their own)."""
    lines = "\n".join(f"- {line}" for line in told)
    wish = (
        "(Notes for the writer, not part of the conversation. Write the assistant's next response. "
        f"It is a test case and has to follow all of these:\n{lines}\nWrite the response only, without these notes.)"
        if told
        else "(Write the assistant's next response.)"
    )
    *before, last = prompt if prompt else (Turn("user", ""),)
    if last.role == "user":
        return (*before, Turn("user", f"{last.text}\n\n{wish}".strip()))
    return (*before, last, Turn("user", wish))
