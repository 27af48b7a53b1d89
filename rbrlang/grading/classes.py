"""Which class do yes and no answers lead to, and do they lead to one at all?

Answers are truth values, not probabilities: what a person labelled, or what a grader said at a threshold.
An answer may be missing. The class is decided when every way to fill the gaps that the axioms allow leads to
it; `OPEN` where more than one class is left, `CONTRADICTION` where the axioms allow none at all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rbrlang.logic.circuit import Circuit, Diagram, ResponseCircuit

OPEN = -1
CONTRADICTION = -2


def classes_of(response: ResponseCircuit, answers: NDArray[np.floating]) -> NDArray[np.int64]:
    """Class number [rows] from answers [rows, atoms]: 1, 0 or NaN (missing); `OPEN` or `CONTRADICTION` where none.

    Each node of the diagram holds the set of classes that it can still lead to. An atom is met at most once on
    a path, so these sets are exact.
    """
    rows, count = len(answers), len(response.classes)
    diagram = response.diagram
    sets: list[NDArray[np.bool_]] = []
    for terminal in diagram.terminals:
        reached = np.zeros((rows, count), np.bool_)
        if terminal >= 0:
            reached[:, terminal] = True
        sets.append(reached)
    for atom, low, high in diagram.nodes:
        answer = answers[:, atom][:, None]
        sets.append(np.where(np.isnan(answer), sets[low] | sets[high], np.where(answer == 1, sets[high], sets[low])))
    left = sets[diagram.root]
    number = left.sum(axis=1)
    return np.where(number == 1, left.argmax(axis=1), np.where(number == 0, CONTRADICTION, OPEN)).astype(np.int64)


def contradict(axioms: Diagram, answers: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether the axioms of a circuit allow no way to fill the gaps [rows], for answers as in `classes_of`.

    Also where the axiom speaks of nothing that the row's response type reads: `classes_of` does not see those.
    """
    left = [np.full(len(answers), terminal == 1) for terminal in axioms.terminals]
    for atom, low, high in axioms.nodes:
        answer = answers[:, atom]
        left.append(np.where(np.isnan(answer), left[low] | left[high], np.where(answer == 1, left[high], left[low])))
    return ~left[axioms.root]


def of_rows(circuit: Circuit, responses: NDArray[np.integer], answers: NDArray[np.floating]) -> NDArray[np.int64]:
    """Class number [rows] from answers [rows, atoms] as in `classes_of`, axioms and all; `responses` [rows] are the numbers
    of the response types, −1 where there is none, which leaves the class open."""
    found = np.full(len(answers), OPEN, np.int64)
    for number, response in enumerate(circuit.responses):
        mine = responses == number
        found[mine] = classes_of(response, answers[mine])
    return np.where((responses >= 0) & contradict(circuit.axioms, answers), CONTRADICTION, found)
