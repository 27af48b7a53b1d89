"""How do graded completions become the arrays that the reward reads?

`encode` fills the columns of the propositions from a grader's answers and computes those of the measures
from the text; `response_ids` finds the response type of every row. What a row does not say becomes NaN or
−1, which the reward turns into NaN: never false, never 1/2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from rbrlang.logic.circuit import Circuit
from rbrlang.reward import rubrics
from rbrlang.reward.measure import measure_atoms
from rbrlang.reward.shares import every_column, fill
from rbrlang.rows.cells import Cell, missing
from rbrlang.rows.conversation import Conversation
from rbrlang.rows.kept import in_blocks
from rbrlang.rows.read import Row, row_from

UNKNOWN_RESPONSE = -1
"""The id of a row whose response type is not known to the policy."""


class GradedRow(Protocol):
    """One completion and what a grader said of it.

    `probs` maps a proposition to P(yes), and `variable.value` to the probability of a variable's value; a missing name or
    None is unknown. `response_type` decides when
    given; otherwise `category` is mapped by the policy. What it says in a column is `cell(column)`, where it has such a method.
    """

    @property
    def probs(self) -> Mapping[str, float | None]: ...
    @property
    def conversation(self) -> Conversation: ...
    @property
    def response_type(self) -> str | None: ...
    @property
    def category(self) -> str | None: ...


AnyRow: TypeAlias = "GradedRow | Mapping[str, Any]"
"""A row that was read, or the JSON object that it is read from."""


class ProbabilityError(ValueError):
    """A grader's answer that is no probability; the message names row, proposition and value."""


def _read(circuit: Circuit, rows: Sequence[AnyRow], first: int) -> list[GradedRow]:
    # A class of its own is the usual case, and looked for first: asking whether it is a mapping takes longer.
    return [
        row if type(row) is Row else _from_json(circuit, number, row) if isinstance(row, Mapping) else row
        for number, row in enumerate(rows, first)
    ]


def _from_json(circuit: Circuit, number: int, row: Mapping[str, Any]) -> GradedRow:
    try:
        return row_from(dict(row), values=every_column(circuit))
    except ValueError as error:
        raise ValueError(f"row {number} cannot be used: {error}") from error


def encode(circuit: Circuit, rows: Sequence[AnyRow]) -> NDArray[np.float32]:
    """Probabilities of the atoms, [batch, atoms]: propositions, steps, measures, readings, features of rubrics; NaN = unknown.

    Rows may also be JSON objects, as they stand in a file of rows. Names that the policy does not know are ignored.
    Raises `ProbabilityError` for a value outside [0, 1], `DistributionError` where those of a variable do not sum to 1,
    ValueError for an object that is no row.
    """
    table = np.full((len(rows), len(circuit.atoms)), np.nan, np.float32)
    for first, some in in_blocks(rows):
        _fill(circuit, table[first : first + len(some)], _read(circuit, some, first), first)
    return table


def _fill(circuit: Circuit, table: NDArray[np.float32], read: Sequence[GradedRow], first: int) -> None:
    """`encode` of some rows, the first of which is number `first`."""
    propositions = circuit.propositions
    names = (*propositions, *(column for _, columns in every_column(circuit) for column in columns))
    if names:
        given = np.array([[row.probs.get(name) for name in names] for row in read], np.float64)  # None is NaN
        outside = (given < 0.0) | (given > 1.0)
        if outside.any():
            number, column = (int(at[0]) for at in np.nonzero(outside))
            p = read[number].probs[names[column]]
            raise ProbabilityError(f"row {first + number} has {p} as probability of `{names[column]}`, outside 0 to 1")
        table[:, : len(propositions)] = given[:, : len(propositions)]
        fill(circuit, table, dict(zip(names, given.T, strict=True)), first)
    if measures := circuit.atoms[circuit.measures]:
        table[:, circuit.measures] = [measure_atoms(measures, row.conversation, _cells(row)) for row in read]
    if circuit.rubrics:
        table[:, -rubrics.size(circuit) :] = rubrics.values(circuit, read)


def _cells(row: GradedRow) -> Callable[[str], Cell]:
    return cast("Callable[[str], Cell]", getattr(row, "cell", missing))


def response_ids(circuit: Circuit, rows: Sequence[AnyRow]) -> NDArray[np.int32]:
    """Response type of every row, [batch]; −1 where the policy knows neither its type nor its category.

    Rows as for `encode`. Raises ValueError for an object that is no row.
    """
    types = {name: number for number, name in enumerate(circuit.response_names)}
    categories = dict(circuit.categories)
    found: list[int] = []
    for row in (row for first, some in in_blocks(rows) for row in _read(circuit, some, first)):
        if row.response_type is not None:
            found.append(types.get(row.response_type, UNKNOWN_RESPONSE))
        elif row.category is not None:
            found.append(categories.get(row.category, UNKNOWN_RESPONSE))
        else:
            found.append(UNKNOWN_RESPONSE)
    return np.array(found, np.int32)


def bucket(rows: int) -> int:
    """The batch size to pad `rows` to: the next of 16, 24, 32, 48, 64, 96, … (at most half again as many).

    A new batch size costs a compilation, and on a CPU XLA neither vectorises nor divides among threads a
    batch of odd size; so ragged batches are padded to few, even sizes.
    """
    size = 16
    while size < rows:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


def pad(
    probs: NDArray[np.float32], ids: NDArray[np.int32], base_reward: NDArray[np.float32] | float, size: int
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """The batch with rows of no response type added up to `size`; their reward is NaN.

    probs [batch, atoms], ids [batch], base_reward [batch] or one number. Drop the added rows with
    `[:batch]`. Raises ValueError when the batch is larger than `size`.
    """
    extra = size - len(ids)
    if extra < 0:
        raise ValueError(f"cannot pad a batch of {len(ids)} rows to {size}")
    base = np.broadcast_to(np.asarray(base_reward, np.float32), ids.shape)
    return (
        # Known probabilities, since a batch without unknowns is not searched for what they change.
        np.pad(probs, ((0, extra), (0, 0))),
        np.pad(ids, (0, extra), constant_values=UNKNOWN_RESPONSE),
        np.pad(base, (0, extra)),
    )
