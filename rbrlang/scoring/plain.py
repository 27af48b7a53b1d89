"""What do the atoms of a policy say of rows that are held by columns?

Answers are columns already. Measures of a text are counted where it lies: words and characters of ASCII for all rows at
once, everything else text by text. Completions that hold more than what is said (thoughts, calls) are read as the turn
that they are.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rbrlang.lang.program import CHECKS
from rbrlang.logic.circuit import AtomInfo, Circuit
from rbrlang.reward.measure import TEXT_KINDS, measure_atoms, measure_text
from rbrlang.reward.rows import UNKNOWN_RESPONSE
from rbrlang.reward.shares import fill
from rbrlang.rows.conversation import Conversation
from rbrlang.rows.ids import packed
from rbrlang.rows.plain import Plain, packed_array

_U = np.uint64
_AT_ONCE = 2**16  # signs: they and what is made of them stay in the processor's cache


def response_ids(circuit: Circuit, rows: Plain) -> NDArray[np.int32]:
    """As `reward.rows.response_ids`."""
    types = {name: number for number, name in enumerate(circuit.response_names)}
    named = rows.types.mapped(types, UNKNOWN_RESPONSE)
    by_category = rows.categories.mapped(dict(circuit.categories), UNKNOWN_RESPONSE)
    return np.where(rows.types.codes >= 0, named, by_category).astype(np.int32)


def encode(circuit: Circuit, rows: Plain) -> NDArray[np.float32]:
    """As `reward.rows.encode`."""
    table = np.full((len(rows), len(circuit.atoms)), np.nan, np.float32, order="F")  # read column by column
    for column, name in enumerate(circuit.propositions):
        if name in rows.probs:
            table[:, column] = rows.probs[name]
    assert not circuit.rubrics, "this is a bug in rbrlang: criteria are read row by row"
    fill(circuit, table, rows.probs)
    if measures := circuit.atoms[circuit.measures]:
        table[:, circuit.measures] = _measures(measures, rows)
    return table


def _measures(atoms: tuple[AtomInfo, ...], rows: Plain) -> NDArray[np.float32]:
    """Truth of the measures [rows, measures], NaN where it cannot be told."""
    assert not any(atom.columns for atom in atoms), "this is a bug in rbrlang: columns are compared row by row"
    found = np.zeros((len(rows), len(atoms)), np.float32)
    marked = rows.marked()
    said = np.flatnonzero(~marked)
    texts: list[str] | None = None
    counts: dict[tuple[str, str], NDArray[np.int64] | NDArray[np.float64]] = {}
    for column, atom in enumerate(atoms):
        kind, pattern, threshold = cast("tuple[str, str, int]", atom.measure)
        if kind not in TEXT_KINDS or atom.over not in ("final", "assistant"):
            marked, said = np.ones(len(rows), np.bool_), said[:0]
            break
        if (kind, pattern) not in counts:
            quick = _of_ascii(kind, rows.completions)
            if quick is None:
                texts = rows.texts(said) if texts is None else texts
                quick = np.zeros(len(rows))
                quick[said] = [measure_text(kind, pattern, text) for text in texts]
            counts[kind, pattern] = quick
        count = counts[kind, pattern]
        if atom.top is not None:
            found[:, column] = np.clip((count - threshold) / (atom.top - threshold), 0.0, 1.0)
            continue
        found[:, column] = np.where(np.isnan(count), np.nan, count > (0 if kind in CHECKS else threshold))
    slow = np.flatnonzero(marked)
    for at, text in zip(slow.tolist(), rows.texts(slow), strict=True):
        found[at] = measure_atoms(atoms, Conversation((), (rows.turn(text),)))
    return found


def _of_ascii(kind: str, completions: Any) -> NDArray[np.int64] | None:
    """Words or characters of each text [rows]; None where that is not asked, or where not all of them are ASCII."""
    if kind not in ("words", "characters"):
        return None
    texts = packed(cast("list[str]", completions)) if isinstance(completions, list) else packed_array(completions)
    data = texts.data
    if len(data) and data.max() >= 128:
        return None
    if kind == "characters":
        return np.diff(texts.ends)
    return _words(data, texts.ends)


def _words(data: NDArray[np.uint8], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Words of each text of ASCII [rows], as `str.split` has them: the signs that begin one are counted as bits."""
    said = np.zeros(len(data) // 64 + 1, "<u8")  # a bit for each sign, whether it is in a word
    for at in range(0, len(data), _AT_ONCE):
        some = data[at : at + _AT_ONCE]
        # The spaces of ASCII that `str.split` splits at: 9 to 13 and 28 to 32.
        bits = np.packbits(((some - np.uint8(9)) > 4) & ((some - np.uint8(28)) > 4), bitorder="little")
        said.view(np.uint8)[at // 8 : at // 8 + len(bits)] = bits
    after = said << _U(1)
    after[1:] |= said[:-1] >> _U(63)
    begins = said & ~after
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(_ones(begins))])

    def until(sign: NDArray[np.int64]) -> NDArray[np.int64]:
        below = (_U(1) << (sign & 63).astype(_U)) - _U(1)
        return sums[sign >> 6] + _ones(begins[sign >> 6] & below)

    starts, stops = ends[:-1], ends[1:]
    # The first sign of a text begins a word whatever stands before it.
    first = ((said[starts >> 6] >> (starts & 63).astype(_U)) & _U(1)).astype(np.int64)
    return until(stops) - until(np.minimum(starts + 1, stops)) + np.where(starts < stops, first, 0)


def _ones(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How many bits of each are 1."""
    pairs = words - ((words >> _U(1)) & _U(0x5555555555555555))
    fours = (pairs & _U(0x3333333333333333)) + ((pairs >> _U(2)) & _U(0x3333333333333333))
    eights = (fours + (fours >> _U(4))) & _U(0x0F0F0F0F0F0F0F0F)
    return ((eights * _U(0x0101010101010101)) >> _U(56)).astype(np.int64)
