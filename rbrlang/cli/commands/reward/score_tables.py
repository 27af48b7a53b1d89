"""`rbrc score` from a table to a table: columns stay as they came, rewards are columns beside them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rbrlang.rows.plain import made, numbers_made, sparse_texts_made, texts_made

if TYPE_CHECKING:
    from rbrlang.logic.circuit import Circuit
    from rbrlang.rows.columns import Names
    from rbrlang.rows.plain import Plain
    from rbrlang.scoring.rewarding import Rewarded


def schema(options: argparse.Namespace, circuit: Circuit, names: Names) -> Any:
    """The output's schema where all files are tables of one, whose columns can be written as they are; else None.

    Raises `RowsError`, OSError.
    """
    from rbrlang.rows.formats import named_format
    from rbrlang.rows.pieces import schema_of
    from rbrlang.rows.plain import is_plain_schema

    form = named_format(options.output)
    if form is None or form.kind not in ("parquet", "arrow") or names.mapped or options.rows == "-":
        return None
    if (
        options.grader != "rows"
        or options.calibration is not None
        or options.lazy is not None
        or options.correct is not None
    ):
        return None
    given = schema_of(options.rows)
    if (
        given is None
        or not is_plain_schema(given)
        or "id" not in given.names
        or not any(r.classes for r in circuit.responses)
    ):
        return None
    return _with_rewards(given, circuit, bounds=options.bounds)


def _with_rewards(given: Any, circuit: Circuit, *, bounds: bool) -> Any:
    """The columns as they came, the id first, with those of the rewards: in their place where they were there."""
    import pyarrow as arrow

    number, text = arrow.float64(), arrow.string()
    classes = arrow.struct([(name, number) for name in _classes(circuit)])
    added: dict[str, Any] = {
        "reward": number, "rule_reward": number, "class_probs": classes, "class": text, "valid": arrow.bool_(),
        "reason": text,
    }  # fmt: skip
    if "class" in given.names:
        added["intended_class"] = text
    if bounds:
        added["reward_bounds"] = arrow.list_(number)
    kinds = {name: given.field(name).type for name in ("id", *given.names)} | added
    return arrow.schema(list(kinds.items()))


def _classes(circuit: Circuit) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for response in circuit.responses for name in response.classes))


def batch(circuit: Circuit, given: Any, block: Plain, found: Rewarded, reasons: Mapping[int, str]) -> Any:
    """A record batch of the output's schema."""
    import pyarrow as arrow

    valid = np.isfinite(found.total)
    added: dict[str, Any] = {
        "reward": numbers_made(found.total), "rule_reward": numbers_made(found.rules), "class_probs": _probs(circuit, found),
        "class": _best(circuit, found), "valid": made(arrow.bool_(), len(block), None, np.packbits(valid, bitorder="little")),
        "reason": _reasons(len(block), reasons), "reward_bounds": _bounds(found),
    }  # fmt: skip
    if "intended_class" in given.names:
        added["intended_class"] = _said(block.held.column("class"))
    arrays = [added[name] if name in added else block.held.column(name) for name in given.names]
    return arrow.RecordBatch.from_arrays(arrays, schema=given)


def _probs(circuit: Circuit, found: Rewarded) -> Any:
    import pyarrow as arrow

    columns: dict[str, NDArray[np.float32]] = {
        name: np.full(len(found.ids), np.nan, np.float32) for name in _classes(circuit)
    }
    for number, response in enumerate(circuit.responses):
        at = np.flatnonzero(found.ids == number)
        for position, name in enumerate(response.classes):
            columns[name][at] = found.classes[at, position]
    return arrow.StructArray.from_arrays([numbers_made(column) for column in columns.values()], list(columns))


def _best(circuit: Circuit, found: Rewarded) -> Any:
    import pyarrow as arrow

    names = _classes(circuit)
    numbers = {name: at for at, name in enumerate(names)}
    width = max(len(response.classes) for response in circuit.responses)
    table = np.full((len(circuit.responses), width), -1)
    for at, response in enumerate(circuit.responses):
        table[at, : len(response.classes)] = [numbers[name] for name in response.classes]
    known = found.best >= 0
    codes = np.where(known, table[np.where(known, found.ids, 0), np.where(known, found.best, 0)], 0)
    numbered = made(arrow.int32(), len(codes), known, codes.astype(np.int32))
    return arrow.DictionaryArray.from_arrays(numbered, texts_made(names)).dictionary_decode()


def _reasons(rows: int, reasons: Mapping[int, str]) -> Any:
    import pyarrow as arrow

    return sparse_texts_made(rows, reasons) if reasons else arrow.nulls(rows, arrow.string())


def _bounds(found: Rewarded) -> Any:
    import pyarrow as arrow

    both = np.stack([found.low, found.high], 1).reshape(-1)
    ends = made(arrow.int32(), len(found.low) + 1, None, np.arange(0, len(both) + 1, 2, dtype=np.int32))
    return arrow.ListArray.from_arrays(ends, numbers_made(both))


def _said(column: Any) -> Any:
    """The texts of a column, null where they are empty."""
    import pyarrow as arrow

    text = column.cast(arrow.string())
    return texts_made([one or None for one in text.to_pylist()]) if "" in text.unique().to_pylist() else text
