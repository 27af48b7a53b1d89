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
often as declared. With fp = fn = 0 it is the truth, 0 or 1. Of scales and choices, whose mistakes nobody declares, it is the truth.

*Measures* cannot be drawn, for there is no text to measure: fillers on either side of every threshold are tried, and a
class takes those in which it is possible. A filler is a text; where the policy judges trajectories or thoughts, it is
turns with calls and their results, or has thoughts.

*The base reward*, if asked for, is `lean · value of the class + prompt effect + noise`, the value evenly
spaced from +1 (best) to −1, both effects standard normal: a reward model that knows a little.

Such rows exercise a fit and its code; they say nothing of real completions.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbrlang.lang.program import OF_A_COLUMN, Judged
from rbrlang.logic.circuit import AtomInfo, Circuit, Diagram, ResponseCircuit
from rbrlang.reward.measure import compile_pattern, measure_atoms
from rbrlang.reward.rows import response_ids
from rbrlang.reward.shares import every_column
from rbrlang.rows.conversation import Call, Conversation, Turn
from rbrlang.rows.read import Row, row_from

Bits = NDArray[np.bool_]
Priors = NDArray[np.float64]

Filler = tuple[Turn, ...]
"""A completion that measures can read."""

SHORT: Filler = (Turn("assistant", "Text."),)
MOST_FILLERS = 64
MOST_TRIED = 5_000
LONGEST_TEXT = 100_000
LONGEST_TRAJECTORY = 200
EXPECTED = "4"
"""What rows made from the rules say in a column that a measure compares with."""


@dataclass(frozen=True, slots=True)
class Impossible:
    """A class that no completion can have under priors, axioms and the fillers."""

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
    fillers, measures = _fillers(circuit), circuit.atoms[circuit.measures]
    rows: list[tuple[int, int, int, Row]] = []
    impossible: list[Impossible] = []
    for number, response in enumerate(circuit.responses):
        asked = None if given is None else given[number]
        count = count if asked is None else len(asked)
        if count == 0:
            continue
        effects = rng.normal(size=count)
        for place, klass in enumerate(response.classes):
            drawn = draw_class(circuit, response, place, count * per_class, rng, fillers)
            if drawn is None:
                impossible.append(Impossible(response.name, klass))
                continue
            truth, chosen = drawn
            probs = _graded(circuit.atoms, truth, rng)
            value = class_value(response, place)
            for at in range(len(truth)):
                prompt, copy = divmod(at, per_class)
                data = _row(circuit, response, klass, prompt, copy, truth[at], probs[at], seed)
                data["completion"] = _said(fillers[chosen[at]])
                if asked is not None:
                    data |= prompt_columns(asked[prompt], circuit.columns)
                data |= dict.fromkeys((name for atom in measures for name in atom.columns), EXPECTED)
                if base_reward:
                    data["base_reward"] = float(lean * value + effects[prompt] + rng.normal())
                rows.append((number, prompt, len(rows), row_from(data, values=every_column(circuit))))
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


def prompt_columns(row: Row, named: Sequence[str]) -> dict[str, Any]:
    """What another completion of this row's prompt takes over from it, the columns that questions name among it."""
    category = {} if row.category is None else {"category": row.category}
    columns = {name: row.raw[name] for name in named if name in row.raw}
    return {"prompt": [turn.to_json() for turn in row.prompt], **category, **columns}


def draw_class(
    circuit: Circuit,
    response: ResponseCircuit,
    klass: int,
    count: int,
    rng: np.random.Generator,
    fillers: Sequence[Filler] = (SHORT,),
) -> tuple[Bits, NDArray[np.int64]] | None:
    """Truth assignments [count, atoms] of one class, and which of the fillers each has; None if there are none.

    Exact for the propositions given the filler; fillers are chosen in proportion to the class's mass.
    """
    priors = np.stack([_with_measures(circuit, filler) for filler in fillers])
    masses = _mass(response.diagram, klass, priors)[response.diagram.root]
    masses = masses * (_mass(circuit.axioms, 1, priors)[circuit.axioms.root] > 0)
    if not masses.sum() > 0.0:
        return None
    chosen = rng.choice(len(fillers), size=count, p=masses / masses.sum())
    return _drawn(circuit, response, klass, rng, priors, chosen), chosen


def draw_truth(
    circuit: Circuit, response: ResponseCircuit, klass: int, count: int, rng: np.random.Generator, priors: Priors
) -> Bits | None:
    """Truth assignments [count, atoms] of one class for the given P(true) of every atom; None if there are none."""
    of_one = priors[None]
    if not (_mass(response.diagram, klass, of_one)[response.diagram.root] > 0.0
            and _mass(circuit.axioms, 1, of_one)[circuit.axioms.root] > 0.0):  # fmt: skip
        return None
    return _drawn(circuit, response, klass, rng, of_one, np.zeros(count, np.int64))


def _drawn(
    circuit: Circuit, response: ResponseCircuit, klass: int, rng: np.random.Generator, priors: Priors,
    chosen: NDArray[np.int64],
) -> Bits:  # fmt: skip
    """Truth assignments [count, atoms] by the `chosen` rows of `priors` [fillers, atoms], each of which has some."""
    tested = sorted({atom for atom, _, _ in response.diagram.nodes})
    # Axioms that touch the class's atoms are in its diagram; the others speak of other atoms only, so
    # that joining two independent draws is exact.
    drawn = _draw(circuit.axioms, 1, priors, chosen, rng)
    drawn[:, tested] = _draw(response.diagram, klass, priors, chosen, rng)[:, tested]
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
    """Probability of reaching a terminal of this value from every reference [terminals + nodes, fillers].

    priors [fillers, atoms].
    """
    if len(priors) == 1:  # the usual case, in plain numbers
        one, chance = [float(terminal == value) for terminal in diagram.terminals], priors[0].tolist()
        for atom, low, high in diagram.nodes:
            one.append((1.0 - chance[atom]) * one[low] + chance[atom] * one[high])
        return np.array(one)[:, None]
    first = len(diagram.terminals)
    mass = np.empty((first + len(diagram.nodes), len(priors)))
    mass[:first] = np.array([[float(terminal == value)] for terminal in diagram.terminals]).reshape(-1, 1)
    yes = np.ascontiguousarray(priors.T)
    no = 1.0 - yes
    for at, (atom, low, high) in enumerate(diagram.nodes, first):
        mass[at] = no[atom] * mass[low] + yes[atom] * mass[high]
    return mass


def _draw(diagram: Diagram, value: int, priors: Priors, chosen: NDArray[np.int64], rng: np.random.Generator) -> Bits:
    """Assignments [count, atoms] that reach a terminal of this value, by their probability under the `chosen` priors; it has some."""
    mass = _mass(diagram, value, priors)
    first = len(diagram.terminals)
    nodes = np.array(diagram.nodes, np.int64).reshape(-1, 3)
    truth = rng.random((len(chosen), priors.shape[1])) < priors[chosen]
    at = np.full(len(chosen), diagram.root)
    while True:
        walking = np.flatnonzero(at >= first)
        if len(walking) == 0:
            return truth
        here, by = at[walking], chosen[walking]
        atom, low, high = nodes[here - first].T
        up = rng.random(len(walking)) * mass[here, by] < priors[by, atom] * mass[high, by]
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


def _with_measures(circuit: Circuit, filler: Filler) -> Priors:
    """P(true) of every atom when the completion is known: priors of propositions, facts of measures."""
    priors = np.array([atom.prior for atom in circuit.atoms], np.float64)
    measures = circuit.measures
    truths = np.array(measure_atoms(circuit.atoms[measures], Conversation((), filler), lambda _: EXPECTED), np.float64)
    priors[measures] = np.where(np.isnan(truths), priors[measures], truths)
    return priors


def _fillers(circuit: Circuit) -> tuple[Filler, ...]:
    """Few completions that differ in what the measures say of them; one when there are no measures."""
    atoms = circuit.atoms
    parts = (
        *_texts([atom for atom in atoms if atom.over != "thought"], "Text."),
        *_texts([atom for atom in atoms if atom.over == "thought"], "I think." if _judged(atoms, "thought") else ""),
        _shapes(atoms),
    )
    found: dict[bytes, Filler] = {}
    for length, literal, thought, thought_literal, shape in itertools.islice(itertools.product(*parts), MOST_TRIED):
        filler = _turns(f"{length} {literal}".strip(" "), f"{thought} {thought_literal}".strip(" "), shape)
        found.setdefault(_with_measures(circuit, filler).tobytes(), filler)
        if len(found) == MOST_FILLERS:
            break
    return tuple(found.values())


def _judged(atoms: Sequence[AtomInfo], over: Judged) -> bool:
    return any(atom.over == over for atom in atoms)


def _texts(atoms: Sequence[AtomInfo], shortest: str) -> tuple[list[str], list[str]]:
    """Texts on either side of every threshold of these measures, and what they may contain."""
    lengths, literals = {shortest}, {""}
    for atom in atoms:
        if atom.measure is None:
            continue
        kind, pattern, threshold = atom.measure
        for count in (threshold, threshold + 1 if atom.top is None else atom.top):
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
        if kind in OF_A_COLUMN:
            lengths.add("")
            literals.add(EXPECTED)
    if any(atom.measure is not None and atom.measure[0] == "json" for atom in atoms):
        lengths |= {json.dumps(length) for length in lengths}
    return sorted(lengths), sorted(literals)


Shape = tuple[int, tuple[str, ...], int]
"""Of a trajectory: turns of the assistant, names of the tools that it calls, results that are errors."""


def _shapes(atoms: Sequence[AtomInfo]) -> list[Shape]:
    """Trajectories on either side of every threshold; one turn where nothing of the policy is of a trajectory."""
    steps, errors = {1}, {0}
    named: dict[str, set[int]] = {}
    for atom in atoms:
        if atom.measure is None:
            continue
        kind, pattern, threshold = atom.measure
        counts = {count for count in (threshold, threshold + 1) if count <= LONGEST_TRAJECTORY}
        match kind:
            case "steps":
                steps |= counts - {0}
            case "tool_errors":
                errors |= counts
            case "calls":
                named.setdefault(_name_for(pattern), {0}).update(counts)
            case _:
                pass
    if _judged(atoms, "trajectory") or errors != {0} or named:
        steps.add(2)
        named.setdefault("look_up", {0, 1})
    found: set[Shape] = set()
    names = sorted(named)
    for turns, failed, *counts in itertools.islice(
        itertools.product(sorted(steps), sorted(errors), *(sorted(named[name]) for name in names)), MOST_TRIED
    ):
        calls = [name for name, count in zip(names, counts, strict=True) for _ in range(count)]
        calls += ["look_up"] * max(failed - len(calls), 0)
        if turns > 1 or not calls:
            found.add((turns, tuple(calls), failed))
    return sorted(
        found, key=lambda shape: (not shape[1], shape)
    )  # of two that measures cannot tell apart, one with calls


def _name_for(pattern: str) -> str:
    """A tool's name that a pattern is found in; one that it is not where none is at hand."""
    wanted = compile_pattern(pattern)
    plain = [re.sub(r"[^A-Za-z0-9_.-]", "", part) for part in (*pattern.split("|"), pattern)]
    return next((name for name in (*plain, "look_up") if name and wanted.search(name)), "look_up")


def _turns(text: str, thought: str, shape: Shape) -> Filler:
    """The calls one a turn and the rest with the last of them, each with its result; the text at the end."""
    steps, calls, failed = shape
    before = steps - 1
    turns: list[Turn] = []
    for at in range(before):
        here = calls[at:] if at == before - 1 else calls[at : at + 1]
        turns.append(Turn("assistant", "" if here else "Next.", calls=tuple(Call(name, "{}") for name in here)))
        for number, name in enumerate(here, start=at):
            wrong = number < failed
            turns.append(Turn("tool", "Error: not found" if wrong else "found", name=name, failed=wrong))
        if not here:
            turns.append(Turn("user", "Go on."))
    return (*turns, Turn("assistant", text, thought))


def _said(filler: Filler) -> str | list[dict[str, Any]]:
    """A completion as rows hold it: a text, or messages where there is more."""
    plain = len(filler) == 1 and not filler[0].thought
    return filler[0].text if plain else [turn.to_json() for turn in filler]


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
    labels: dict[str, bool | int | str] = dict(zip(names, truth.tolist(), strict=False))
    given: dict[str, Any] = {n: float(p) for n, p in zip(names, probs.tolist(), strict=False) if math.isfinite(p)}
    for first, domain in circuit.domains:
        value = domain.values[domain.value(np.flatnonzero(truth[first : first + len(domain.values) - 1]).tolist())]
        labels[domain.name] = int(value) if domain.kind == "scale" else value
        given[domain.name] = {value: 1.0}
    return {
        "id": f"{response.name}-{prompt + 1}-{klass}-{copy + 1}",
        "prompt": f"(synthetic prompt {prompt + 1} for {response.name})",
        "completion": "",
        "response_type": response.name,
        "class": klass,
        "labels": labels,
        "probs": given,
        "synthetic": {"from": "rules", "seed": seed, "policy": circuit.fingerprint},
    }
