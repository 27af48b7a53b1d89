"""How else could a reward be computed? The same numbers, by hand: a dictionary a row, numpy, PyTorch where installed.

Each peer is what one would write without a compiler, and each is compared with the compiled reward before it is timed.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rbrlang.logic.circuit import Circuit, ResponseCircuit


def installed(*packages: str) -> bool:
    """Whether all these packages are there."""
    return all(importlib.util.find_spec(package) is not None for package in packages)


def by_dictionary(
    circuit: Circuit, weights: Sequence[Sequence[float]], rows: Sequence[Mapping[str, float]], ids: Sequence[int]
) -> list[float]:
    """Rule rewards of rows as people hold them, by a loop over each row's nodes."""
    names = circuit.atom_names
    return [
        _one(circuit.responses[r], weights[r], [row[name] for name in names]) for row, r in zip(rows, ids, strict=True)
    ]


def _one(response: ResponseCircuit, weights: Sequence[float], p: Sequence[Any]) -> Any:
    """The rule reward of one row, or of columns of rows: the arithmetic is the same."""
    of_class = {f.index: weights[j] for j, f in enumerate(response.features) if f.kind == "class"}
    terminals = response.diagram.terminals
    value = _fold(response, [of_class.get(t, 0.0) for t in terminals], p)
    if -1 in terminals:
        value = value / _fold(response, [float(t >= 0) for t in terminals], p)
    for j, feature in enumerate(response.features):
        if feature.kind == "proposition":
            value = value + weights[j] * p[feature.index]
    return value


def _fold(response: ResponseCircuit, leaves: Sequence[float], p: Sequence[Any]) -> Any:
    values: list[Any] = list(leaves)
    for atom, low, high in response.diagram.nodes:
        values.append(values[low] + p[atom] * (values[high] - values[low]))
    return values[response.diagram.root]


def by_torch(circuit: Circuit, weights: Sequence[Sequence[float]], probs: Any, ids: Any) -> Callable[[], Any]:
    """Rule rewards of arrays in eager PyTorch, every response type for all rows, then chosen by id."""
    torch: Any = importlib.import_module("torch")
    columns = [torch.tensor(column) for column in probs.T]
    chosen = torch.tensor(ids).long()

    def run() -> Any:
        zero = torch.zeros_like(columns[0])
        every = [_one(r, w, columns) + zero for r, w in zip(circuit.responses, weights, strict=True)]
        return torch.stack(every).gather(0, chosen[None])[0].numpy()

    return run
