"""What would completions of a known class look like to a grader, if only the rules are known?

For every class of a response type, truth assignments are drawn **exactly** from those that the rules put
into the class, in proportion to their probability under the declared priors and the axioms: one walk per
draw from the root of the diagram, at each node to the side with its share of the class's mass
(Chavira & Darwiche, On probabilistic inference by weighted model counting, 2008). Atoms that the walk
does not meet do not matter to the class and follow their priors, or the axioms that bear on them alone.

*The grader's noise* is signal detection with equal variances (Green & Swets, Signal Detection Theory and
Psychophysics, 1966): evidence x is normal around ±d/2 by the truth, the answer is yes when x exceeds a
criterion k, and P(yes) = sigmoid(d·(x − k)). From the declared error rates follow
d = z(1 − fp) + z(1 − fn) and k = (z(1 − fp) − z(1 − fn)) / 2, so that P(yes) exceeds 1/2 exactly as
often as declared. With fp = fn = 0 it is the truth, 0 or 1.

*Measures* cannot be drawn, for there is no text to measure: filler texts on either side of every
threshold are tried, and a class takes those in which it is possible.

*The base reward*, if asked for, is `lean · value of the class + prompt effect + noise`, the value evenly
spaced from +1 (best) to −1, both effects standard normal: a reward model that knows a little.

Such rows exercise a fit and its code; they say nothing of real completions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbrlang.logic.circuit import AtomInfo, Circuit, Diagram, ResponseCircuit
from rbrlang.reward.measure import measure_atoms
from rbrlang.reward.rows import response_ids
from rbrlang.rows.conversation import spoken
from rbrlang.rows.read import Row, row_from

Bits = NDArray[np.bool_]
Priors = NDArray[np.float64]

MOST_TEXTS = 64
LONGEST_TEXT = 100_000


@dataclass(frozen=True, slots=True)
class Impossible:
    """A class that no completion can have under priors, axioms and the filler texts."""

    response: str
    klass: str


@dataclass(frozen=True, slots=True)
class Synth:
    """Synthetic rows, by response type, prompt and class, and the classes for which there are none."""

    rows: tuple[Row, ...]
    impossible: tuple[Impossible, ...]


def synth_from_rules(
    circuit: Circuit,
    prompts: int | Sequence[Row],
    per_class: int,
    seed: int,
    *,
    base_reward: bool = True,
    lean: float = 0.5,
) -> Synth:
    """So many prompts per response type, or those of rows, each with `per_class` completions of every class.

    Rows carry `class`, `labels` (the truth), `probs` (through the grader's noise), and their origin in the
    column `synthetic`. Raises ValueError when a count is not positive.
    """
    count = prompts if isinstance(prompts, int) else 1
    if count < 1 or per_class < 1:
        raise ValueError(f"{count} prompts with {per_class} completions per class; both have to be 1 or more")
    given = None if isinstance(prompts, int) else prompts_of(circuit, prompts)
    rng = np.random.default_rng(seed)
    texts = _filler_texts(circuit)
    rows: list[tuple[int, int, int, Row]] = []
    impossible: list[Impossible] = []
    for number, response in enumerate(circuit.responses):
        asked = None if given is None else given[number]
        count = count if asked is None else len(asked)
        if count == 0:
            continue
        effects = rng.normal(size=count)
        for place, klass in enumerate(response.classes):
            drawn = draw_class(circuit, response, place, count * per_class, rng, texts)
            if drawn is None:
                impossible.append(Impossible(response.name, klass))
                continue
            truth, text_numbers = drawn
            probs = _graded(circuit.atoms, truth, rng)
            value = class_value(response, place)
            for at in range(len(truth)):
                prompt, copy = divmod(at, per_class)
                data = _row(circuit, response, klass, prompt, copy, truth[at], probs[at], seed)
                data["completion"] = texts[text_numbers[at]]
                if asked is not None:
                    data |= prompt_columns(asked[prompt])
                if base_reward:
                    data["base_reward"] = float(lean * value + effects[prompt] + rng.normal())
                rows.append((number, prompt, len(rows), row_from(data)))
    rows.sort(key=lambda entry: entry[:3])
    return Synth(tuple(row for *_, row in rows), tuple(impossible))


def prompts_of(circuit: Circuit, rows: Sequence[Row]) -> tuple[tuple[Row, ...], ...]:
    """For each response type the first row of every prompt; rows of unknown response type are left out."""
    ids = response_ids(circuit, rows).tolist()
    found: tuple[dict[str, Row], ...] = tuple({} for _ in circuit.responses)
    for row, number in zip(rows, ids, strict=True):
        if number >= 0:
            found[number].setdefault(row.prompt_key, row)
    return tuple(tuple(one.values()) for one in found)


def prompt_columns(row: Row) -> dict[str, Any]:
    """What another completion of this row's prompt takes over from it."""
    category = {} if row.category is None else {"category": row.category}
    return {"prompt": [turn.to_json() for turn in row.prompt], **category}


def draw_class(
    circuit: Circuit,
    response: ResponseCircuit,
    klass: int,
    count: int,
    rng: np.random.Generator,
    texts: Sequence[str] = ("",),
) -> tuple[Bits, NDArray[np.int64]] | None:
    """Truth assignments [count, atoms] of one class, and which of `texts` each has; None if there are none.

    Exact for the propositions given the text; texts are chosen in proportion to the class's mass.
    """
    priors = [_with_measures(circuit, text) for text in texts]
    masses = np.array([
        _mass(response.diagram, klass, p)[response.diagram.root] * (_mass(circuit.axioms, 1, p)[circuit.axioms.root] > 0)
        for p in priors
    ])  # fmt: skip
    if not masses.sum() > 0.0:
        return None
    chosen = rng.choice(len(texts), size=count, p=masses / masses.sum())
    truth = np.zeros((count, len(circuit.atoms)), np.bool_)
    for number in np.unique(chosen).tolist():
        these = np.flatnonzero(chosen == number)
        drawn = draw_truth(circuit, response, klass, len(these), rng, priors[number])
        if drawn is None:
            raise AssertionError("a class with mass has no assignment; this is a bug in rbrlang")
        truth[these] = drawn
    return truth, chosen


def draw_truth(
    circuit: Circuit, response: ResponseCircuit, klass: int, count: int, rng: np.random.Generator, priors: Priors
) -> Bits | None:
    """Truth assignments [count, atoms] of one class for the given P(true) of every atom; None if there are none."""
    if not (_mass(response.diagram, klass, priors)[response.diagram.root] > 0.0
            and _mass(circuit.axioms, 1, priors)[circuit.axioms.root] > 0.0):  # fmt: skip
        return None
    tested = sorted({atom for atom, _, _ in response.diagram.nodes})
    # Axioms that touch the class's atoms are in its diagram; the others speak of other atoms only, so
    # that joining two independent draws is exact.
    drawn = _draw(circuit.axioms, 1, priors, count, rng)
    drawn[:, tested] = _draw(response.diagram, klass, priors, count, rng)[:, tested]
    return drawn


def class_of(response: ResponseCircuit, truth: Sequence[bool]) -> int:
    """The class of an assignment, −1 where the axioms exclude it."""
    diagram = response.diagram
    at, first = diagram.root, len(diagram.terminals)
    while at >= first:
        atom, low, high = diagram.nodes[at - first]
        at = high if truth[atom] else low
    return diagram.terminals[at]


def class_value(response: ResponseCircuit, klass: int) -> float:
    """Evenly spaced by rank, from +1 (best) to −1 (worst); 0 where there is one rank."""
    ranks = len(response.ranks)
    return 0.0 if ranks == 1 else 1.0 - 2.0 * response.rank_of[klass] / (ranks - 1)


# --- diagrams ---------------------------------------------------------------------------------


def _mass(diagram: Diagram, value: int, priors: Priors) -> NDArray[np.float64]:
    """Probability of reaching a terminal of this value from every reference [terminals + nodes]."""
    mass = [float(terminal == value) for terminal in diagram.terminals]
    for atom, low, high in diagram.nodes:
        mass.append((1.0 - priors[atom]) * mass[low] + priors[atom] * mass[high])
    return np.array(mass)


def _draw(diagram: Diagram, value: int, priors: Priors, count: int, rng: np.random.Generator) -> Bits:
    """Assignments [count, atoms] that reach a terminal of this value, by their probability; it has some."""
    mass = _mass(diagram, value, priors)
    first = len(diagram.terminals)
    nodes = np.array(diagram.nodes, np.int64).reshape(-1, 3)
    truth = rng.random((count, len(priors))) < priors
    at = np.full(count, diagram.root)
    while True:
        walking = np.flatnonzero(at >= first)
        if len(walking) == 0:
            return truth
        here = at[walking]
        atom, low, high = nodes[here - first].T
        up = rng.random(len(walking)) * mass[here] < priors[atom] * mass[high]
        truth[walking, atom] = up
        at[walking] = np.where(up, high, low)


# --- what a grader and a text make of it ------------------------------------------------------


def _graded(atoms: Sequence[AtomInfo], truth: Bits, rng: np.random.Generator) -> NDArray[np.float64]:
    """P(yes) [count, atoms] of a grader with the declared error rates; see the module."""
    z = NormalDist().inv_cdf
    noise = rng.normal(size=truth.shape)
    probs = truth.astype(np.float64)
    for column, atom in enumerate(atoms):
        if atom.fp == 0.0 and atom.fn == 0.0:
            continue
        rejects, accepts = (z(1.0 - max(rate, 1e-6)) for rate in (atom.fp, atom.fn))
        distance, criterion = rejects + accepts, (rejects - accepts) / 2.0
        evidence = noise[:, column] + np.where(truth[:, column], 0.5, -0.5) * distance
        probs[:, column] = 1.0 / (1.0 + np.exp(-distance * (evidence - criterion)))
    return probs


def _with_measures(circuit: Circuit, text: str) -> Priors:
    """P(true) of every atom when the text is known: priors of propositions, facts of measures."""
    priors = np.array([atom.prior for atom in circuit.atoms], np.float64)
    propositions = len(circuit.propositions)
    if propositions < len(priors):
        priors[propositions:] = measure_atoms(circuit.atoms, spoken((), text))
    return priors


def _filler_texts(circuit: Circuit) -> tuple[str, ...]:
    """Few texts that differ in what the measures say of them; one text when there are no measures."""
    lengths, literals = {"Text."}, {""}
    for atom in circuit.atoms:
        if atom.measure is None:
            continue
        kind, pattern, threshold = atom.measure
        for count in (threshold, threshold + 1):
            if count > LONGEST_TEXT:
                continue
            match kind:
                case "words":
                    lengths.add(" ".join(["word"] * count))
                case "characters":
                    lengths.add("x" * count)
                case "sentences":
                    lengths.add(" ".join(["Text."] * count))
                case "lines":
                    lengths.add("\n".join(["Text."] * count))
                case _:
                    pass
        if kind == "contains":
            literals.add(pattern)
    found: dict[bytes, str] = {}
    for length, literal in itertools.product(sorted(lengths), sorted(literals)):
        text = f"{length} {literal}".strip() if literal else length
        found.setdefault(_with_measures(circuit, text).tobytes(), text)
        if len(found) == MOST_TEXTS:
            break
    return tuple(found.values())


def _row(
    circuit: Circuit,
    response: ResponseCircuit,
    klass: str,
    prompt: int,
    copy: int,
    truth: Bits,
    probs: NDArray[np.float64],
    seed: int,
) -> dict[str, Any]:
    names = circuit.propositions
    labels: Mapping[str, bool] = dict(zip(names, truth.tolist(), strict=False))
    return {
        "id": f"{response.name}-{prompt + 1}-{klass}-{copy + 1}",
        "prompt": f"(synthetic prompt {prompt + 1} for {response.name})",
        "completion": "",
        "response_type": response.name,
        "class": klass,
        "labels": labels,
        "probs": {name: float(p) for name, p in zip(names, probs.tolist(), strict=False) if math.isfinite(p)},
        "synthetic": {"from": "rules", "seed": seed, "policy": circuit.fingerprint},
    }
