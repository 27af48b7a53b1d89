"""Measures of a text, rows to arrays, and padding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reward_circuits import random_case

from rbrlang.lang.program import MeasureKind
from rbrlang.logic.circuit import AtomInfo
from rbrlang.reward.measure import PatternError, measure, measure_atoms
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.rows import ProbabilityError, bucket, encode, pad, response_ids
from rbrlang.rows.conversation import Conversation, spoken
from rbrlang.rows.read import row_from


@dataclass(frozen=True)
class Row:
    """A `GradedRow`."""

    probs: Mapping[str, float | None]
    text: str = ""
    response_type: str | None = None
    category: str | None = None

    @property
    def conversation(self) -> Conversation:
        """The text as a completion."""
        return spoken((), self.text)


def count(kind: MeasureKind, pattern: str, text: str) -> float:
    """The count behind a measure of a plain text."""
    return measure(kind, pattern, "final", spoken((), text))


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", 0),
        ("...", 0),
        ("no end", 1),
        ("Hello there. How are you?", 2),
        ("Dr. No has 3.5 cats.", 2),
        ("Wow!!!\n\nYes… ok", 3),
        ("你好。再见。", 2),
        ("half a pair \ud800. Next.", 2),
    ],
)
def test_sentences(text: str, sentences: int) -> None:
    assert count("sentences", "", text) == sentences


def test_other_measures_by_hand() -> None:
    text = "One two,\nthree. ÄÖ\n"
    assert count("words", "", text) == 4
    assert count("characters", "", text) == 19
    assert count("lines", "", text) == 2
    assert count("count", "(t)(w|h)", text) == 2
    assert count("matches", "(?i)^one", text) == 1
    assert count("matches", "^two", text) == 0
    assert count("contains", "ÄÖ", text) == 1
    assert count("contains", "äö", text) == 0


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ('{"a": [1, 2.5e3, null, "b"]}', 1), (' \n "text"\t', 1), ("3", 1),
        ("", 0), ("Here it is: {}", 0), ("{} {}", 0), ('{"a": 1, "a": 2}', 0), ("NaN", 0), ("1e999", 0), ("9" * 5000, 0),
        ("[" * 100 + "]" * 100, 1), ("[" * 101 + "]" * 101, 0), ("[" * 100_000, 0), ("{'a': 1}", 0), ("```json\n{}\n```", 0),
    ],
)  # fmt: skip
def test_json_is_one_value_that_every_reader_reads_alike(text: str, held: int) -> None:
    assert count("json", "", text) == held


@given(st.text(st.characters()))
def test_measures_take_any_text(text: str) -> None:
    """Lone surrogates included, which JSON can carry and UTF-8 cannot."""
    assert count("count", "(?s).", text) == count("characters", "", text) == len(text)
    assert count("words", "", text) <= len(text)
    assert count("sentences", "", text) <= count("count", r"[\pL\pN]", text)


def test_a_hard_pattern_takes_linear_time_and_a_bad_one_is_refused() -> None:
    assert count("matches", "(a*)*b", "a" * 200_000) == 0
    for pattern in ("(?=x)", "(", r"(a)\1", "\ud800"):
        with pytest.raises(PatternError, match="RE2"):
            count("count", pattern, "x")


@given(st.integers(-1, 6), st.text("a b", max_size=12))
def test_a_threshold_is_exceeded_strictly(threshold: int, text: str) -> None:
    atoms = [
        AtomInfo("p", 0.5, 0, 0, 1, None),
        AtomInfo("long", 0.5, 0, 0, 1, ("words", "", threshold)),
        AtomInfo("has a", 0.5, 0, 0, 1, ("matches", "a", 99)),
    ]
    assert measure_atoms(atoms, spoken((), text)) == [len(text.split()) > threshold, "a" in text]


def test_encode_and_response_ids() -> None:
    case = random_case(0, axioms=False)
    atoms = (
        AtomInfo("polite", 0.5, 0, 0, 1, None),
        AtomInfo("short", 0.5, 0, 0, 1, None),
        AtomInfo("long", 0.5, 0, 0, 1, ("words", "", 2)),
    )
    circuit = replace(case.circuit, atoms=atoms)
    rows = [
        Row({"polite": 0.25, "short": None, "other": 7.0}, "one two three", "r1", "x"),
        Row({"short": 1.0, "long": 1.0}, "one two", None, "y"),
        Row({"polite": float("nan"), "short": 0}, "", "no such type", "x"),
        Row({}, "", None, "no such category"),
        Row({}, "", None, None),
    ]
    nan = np.nan
    expected = [[0.25, nan, 1], [nan, 1, 0], [nan, 0, 0], [nan, nan, 0], [nan, nan, 0]]
    table, ids = encode(circuit, rows), response_ids(circuit, rows)
    np.testing.assert_array_equal(table, np.array(expected, np.float32))
    assert (table.dtype, ids.dtype) == (np.float32, np.int32)
    assert ids.tolist() == [1, 1, -1, -1, -1]
    assert encode(circuit, []).shape == (0, 3)
    for bad in (1.5, -0.1, float("inf")):
        with pytest.raises(ProbabilityError, match=r"row 1 has .* as probability of `short`"):
            encode(circuit, [Row({}), Row({"short": bad})])


@given(st.integers(0, 10**7))
def test_buckets_are_few_even_and_close(rows: int) -> None:
    size = bucket(rows)
    assert size % 8 == 0
    assert rows <= size <= max(16, 1.5 * rows)
    assert bucket(size) == size


@given(st.integers(0, 2**31), st.integers(1, 30))
def test_padding_adds_rows_without_a_reward_and_changes_no_other(seed: int, rows: int) -> None:
    case = random_case(seed, axioms=False, rows=rows)
    reward = NumpyReward(case.circuit, case.weights)
    padded = reward(*pad(case.probs, case.ids, case.base, bucket(rows)))
    np.testing.assert_array_equal(padded[:rows], reward(case.probs, case.ids, case.base))
    assert np.isnan(padded[rows:]).all()
    assert pad(case.probs, case.ids, 2.0, rows + 1)[2].tolist() == [2.0] * rows + [0.0]
    with pytest.raises(ValueError, match="cannot pad"):
        pad(case.probs, case.ids, 0.0, rows - 1)


def test_rows_may_be_json_objects() -> None:
    reward = NumpyReward(random_case(3, axioms=False).circuit)
    names, first = reward.circuit.propositions, reward.circuit.response_names[0]
    plain: list[dict[str, Any]] = [
        {"prompt": "x", "completion": "One two.", "response_type": first, "probs": {names[0]: 0.25, "other": 1.0}},
        {"prompt": "x", "completion": "", "response_type": "nobody's", "probs": {names[-1]: None}},
    ]
    read = [row_from(row) for row in plain]
    np.testing.assert_array_equal(reward.encode(plain), reward.encode(read))
    np.testing.assert_array_equal(reward.encode([plain[0], read[1]]), reward.encode(read))
    assert reward.encode(plain)[0, 0] == 0.25
    assert reward.response_ids(plain).tolist() == [0, -1]
    for bad in ({"prompt": "x"}, {**plain[0], "probs": {names[0]: 7}}, {**plain[0], "response_type": 3}):
        with pytest.raises(ValueError, match="row 1 cannot be used: "):
            reward.encode([plain[0], bad])
