"""What must a writer be told, so that what it writes belongs to a class?

A *specification* is a partial assignment: some propositions true, some false, that forces the class
whatever the others are. It is drawn as an assignment of the class (`synth.draw_truth`: by the declared
priors, within the axioms) and then stripped of every literal that the class does not need, the likeliest
first, so that what stays is what makes the draw special. Each literal becomes an instruction: the
proposition's own (`instruct yes`, `instruct no`), or one made from its statement. As in the paper (Mu et
al., 2024, appendix on synthetic data) the instructions are appended to the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rbrlang.lang.program import OF_THE_TRAJECTORY, Proposition
from rbrlang.learning.synthesis.synth import draw_truth
from rbrlang.logic.circuit import AtomInfo, Circuit, Diagram, ResponseCircuit
from rbrlang.reward.measure import measure_atoms
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
    truths = measure_atoms(circuit.atoms, spoken((), ""))
    first = len(circuit.propositions)
    return {
        first + at: truth
        for at, (atom, truth) in enumerate(zip(circuit.atoms[first:], truths, strict=True))
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
    """What a writer is told so that a proposition holds (`answer`), or does not.

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


def measure_instruction(atom: AtomInfo, answer: bool) -> str:
    """The same for a measure of the text. Raises ValueError for an atom that is none."""
    if atom.measure is None:
        raise ValueError(f"`{atom.name}` is no measure")
    kind, pattern, threshold = atom.measure
    if kind == "contains":
        return f"{'Use' if answer else 'Do not use'} these exact characters: {pattern}"
    if kind == "matches":
        return f"{'Include' if answer else 'Avoid'} text that matches this regular expression: {pattern}"
    if kind in OF_THE_TRAJECTORY:
        raise ValueError(f"`{atom.name}` is of what an assistant does, and no text makes it so")
    what = f"matches of this regular expression: {pattern}" if kind == "count" else kind
    return f"Use {'more than' if answer else 'at most'} {threshold} {what}" + ("" if kind == "count" else ".")


def instructions(
    circuit: Circuit, propositions: Sequence[Proposition], specification: Specification
) -> tuple[str, ...]:  # fmt: skip
    """One instruction a literal: first what has to hold, then what must not."""
    literals = sorted(specification.literals, key=lambda literal: (not literal[1], literal[0]))
    return tuple(
        instruction(propositions[atom], answer)
        if atom < len(propositions)
        else measure_instruction(circuit.atoms[atom], answer)
        for atom, answer in literals
    )


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
