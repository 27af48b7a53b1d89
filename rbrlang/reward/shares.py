"""What do the steps and readings of scales and choices say, given how likely each value is?

A row says of a variable how likely each of its values is, in the columns `variable.value`; they sum to 1. A step is the
chance of a part of the values among those that earlier steps leave (`rbrlang.lang.variables`): where nothing is left it is
0, which changes nothing. What a row does not say is NaN, for all steps and readings of the variable.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rbrlang.lang.variables import Domain
from rbrlang.logic.circuit import Circuit
from rbrlang.rows.answers import SUM_TOLERANCE
from rbrlang.rows.columns import OfValues


class DistributionError(ValueError):
    """Probabilities of a variable's values that do not sum to 1; the message names row and variable."""


def columns(domain: Domain) -> tuple[str, ...]:
    """The names of a variable's columns, one for each value."""
    return tuple(f"{domain.name}.{value}" for value in domain.values)


def every_column(circuit: Circuit) -> OfValues:
    """The variables, each with its columns."""
    return tuple((variable.domain.name, columns(variable.domain)) for variable in circuit.variables)


def fill(
    circuit: Circuit, table: NDArray[np.float32], given: Mapping[str, NDArray[np.float64]], first: int = 0
) -> None:
    """Fill the columns of steps and readings in `table` [rows, atoms] from the columns `given` [rows], NaN = not said.

    The rows are counted from `first`. A value that is not said where others are has probability 0. Raises `DistributionError`.
    """
    for number, variable in enumerate(circuit.variables):
        none = np.full(len(table), np.nan)
        p = np.stack([given.get(column, none) for column in columns(variable.domain)])
        said = ~np.isnan(p).all(0)
        p = np.where(np.isnan(p), 0.0, p)
        wrong = said & ~(np.abs(p.sum(0) - 1.0) <= SUM_TOLERANCE)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise DistributionError(
                f"row {first + row} has probabilities of `{variable.domain.name}` that sum to {p[:, row].sum():.4g}, not to 1"
            )
        for atom, info in enumerate(circuit.atoms):
            if info.share is not None and info.share.variable == number:
                # In one order, so that a part never exceeds the whole by rounding.
                part, whole = np.zeros(len(table)), np.zeros(len(table))
                for worth, chance in zip(info.share.worth, p, strict=True):
                    if worth is not None:
                        part, whole = part + worth * chance, whole + chance
                share = np.divide(part, whole, out=np.zeros(len(table)), where=whole > 0.0)
                table[:, atom] = np.where(said, share, np.nan)


def put(circuit: Circuit, row: NDArray[np.float32], number: int, p: Mapping[str, float]) -> None:
    """Fill the steps and readings of a variable in `row` [atoms] by how likely each of its values is."""
    given = [p[value] for value in circuit.variables[number].domain.values]
    for atom, info in enumerate(circuit.atoms):
        if info.share is not None and info.share.variable == number:
            row[atom] = info.share.of(given)


def distribution(circuit: Circuit, number: int, atoms: NDArray[np.float32]) -> NDArray[np.float64]:
    """How likely each value of a variable is by the steps in `atoms` [rows, atoms]: [rows, values]; NaN where unknown."""
    first, domain = circuit.domains[number]
    steps = atoms[:, first : first + len(domain.values) - 1].astype(np.float64)
    found = np.ones((len(atoms), len(domain.values)))
    for value in range(len(domain.values)):
        for step, holds in domain.literals(value):
            found[:, value] *= steps[:, step] if holds else 1.0 - steps[:, step]
    return np.where(np.isnan(steps).any(1, keepdims=True), np.nan, found)
