"""What of a policy do these rows show, and what would they never reveal?

Per class: how many rows are known to be in it, beside the share that the priors expect. Per proposition:
how often people said yes and no, and how often the grader did. A class without rows, or a proposition that
never varies, is one that neither a fit nor an evaluation on these rows can say anything about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rbrlang.learning.judging.evaluate import Evaluation
from rbrlang.learning.judging.noise import chance
from rbrlang.logic.circuit import Circuit, ResponseCircuit
from rbrlang.rows.read import Row

ANSWERED_YES = 0.5


@dataclass(frozen=True, slots=True)
class ClassCoverage:
    """One class: its rank (0 is best), its rows, and P(class) under the declared priors, None where undefined."""

    name: str
    rank: int
    rows: int
    prior: float | None


@dataclass(frozen=True, slots=True)
class ResponseCoverage:
    """One response type: the rows of known class that took part, and those set apart for whatever reason."""

    name: str
    rows: int
    set_apart: int
    classes: tuple[ClassCoverage, ...]


@dataclass(frozen=True, slots=True)
class PropositionCoverage:
    """One proposition. `yes`, `no`: human labels; `said_yes`, `said_no`: P(yes) from 0.5 up, and below."""

    name: str
    prior: float
    yes: int
    no: int
    said_yes: int
    said_no: int

    @property
    def varies(self) -> bool:
        """Whether labels, or without any the grader's answers, are of both kinds."""
        labelled = self.yes + self.no > 0
        return bool(self.yes and self.no) if labelled else bool(self.said_yes and self.said_no)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What rows show of a policy."""

    responses: tuple[ResponseCoverage, ...]
    propositions: tuple[PropositionCoverage, ...]

    @property
    def empty_classes(self) -> tuple[str, ...]:
        """`response.class` of the classes without rows."""
        return tuple(f"{r.name}.{c.name}" for r in self.responses for c in r.classes if c.rows == 0)

    @property
    def constant(self) -> tuple[str, ...]:
        """Propositions that never vary."""
        return tuple(p.name for p in self.propositions if not p.varies)


def coverage(circuit: Circuit, rows: Sequence[Row], evaluation: Evaluation) -> Coverage:
    """Count what `rows` show; `evaluation` is that of the same rows."""
    responses = tuple(
        ResponseCoverage(
            found.name, found.rows, sum(found.set_apart.values()),
            tuple(
                ClassCoverage(name, rank, sum(counts), prior)
                for name, rank, counts, prior in zip(
                    found.classes, found.ranks, found.confusion, prior_shares(circuit, response), strict=True
                )
            ),
        )
        for found, response in zip(evaluation.responses, circuit.responses, strict=True)
    )  # fmt: skip
    return Coverage(responses, tuple(_proposition(circuit, name, rows) for name in circuit.propositions))


def _proposition(circuit: Circuit, name: str, rows: Sequence[Row]) -> PropositionCoverage:
    labels = [row.labels.get(name) for row in rows]
    answers = [p for row in rows if (p := row.probs.get(name)) is not None]
    said = sum(p >= ANSWERED_YES for p in answers)
    prior = circuit.atoms[circuit.atom_names.index(name)].prior
    return PropositionCoverage(name, prior, labels.count(True), labels.count(False), said, len(answers) - said)


def prior_shares(circuit: Circuit, response: ResponseCircuit) -> tuple[float | None, ...]:
    """P(class | axioms) of every class when atoms are independent and have their declared priors."""
    priors = np.array([[atom.prior for atom in circuit.atoms]])
    joint = [float(chance(response.diagram, number, priors)[0]) for number in range(len(response.classes))]
    total = sum(joint)
    return tuple(one / total if total > 0.0 else None for one in joint)


def fingerprint_of(rows: Sequence[Row]) -> str:
    """A hash of which completions these are: of the rows' prompts and ids, in any order."""
    digest = hashlib.sha256()
    for key in sorted(f"{row.prompt_key} {row.id}" for row in rows):
        digest.update(key.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()
