"""`rbrc inspect` tells what an artefact holds, in words, whatever the artefact says of itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learning_rows import artefact

from rbrlang.cli.main import main
from rbrlang.reward.kept.artefact import Artefact, artefact_bytes, write_bytes
from rbrlang.reward.kept.record import recorded

PLAIN = artefact()
NAME = PLAIN.circuit.responses[0].name
FEATURE = PLAIN.circuit.responses[0].features[0].name
FIT = {
    "grader": "embedded", "rows": 1200, "data": "ab" * 32, "seed": 7, "loss": "hinge", "class_source": "labels",
    "base_reward": "score",
    "response_types": {
        NAME: {
            "intervals": {FEATURE: [-0.5, 0.25]}, "held_out": {"pairs": 40, "prompts": 9},
            "error": {"base": 0.25, "both": 0.125},
        }
    },
    "certificates": {"holds": False, "response_types": {NAME: {"holds": True}}},
}  # fmt: skip


def shown(made: Artefact, folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """What the command prints; it must succeed."""
    file = folder / "x.rbrc"
    write_bytes(file, artefact_bytes(made))
    assert main(["inspect", str(file), *options]) == 0
    return capsys.readouterr().out


def test_a_fit_is_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(replace(PLAIN, provenance={"fit": FIT}), tmp_path, capsys)
    assert (
        "fitted to 1,200 rows (data abababababab): hinge loss, classes from labels, base reward `score`, seed 7" in text
    )
    assert "base rewards of those rows can override them" in text
    assert "-0.500 … +0.250" in text
    assert "ranking error on 40 pairs of 9 held-out prompts: 0.125, base reward alone 0.250" in text
    assert "{'" not in text


def test_default_weights_are_called_that(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(PLAIN, tmp_path, capsys)
    assert "weights: the defaults" in text
    assert "no intervals" not in text


def test_json_carries_the_whole_provenance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(replace(PLAIN, provenance={"fit": FIT}), tmp_path, capsys, "--format", "json"))
    assert found["provenance"] == {"fit": FIT}


def test_no_control_character_reaches_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = {**FIT, "loss": "\x1b[2Jhinge", "grader": "a\rb", "response_types": {NAME: {"intervals_refused": "\x07"}}}
    text = shown(replace(PLAIN, provenance={"fit": hostile}), tmp_path, capsys)
    assert all(c.isprintable() or c == "\n" for c in text)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([*FIT, NAME, FEATURE, "holds", "intervals", "held_out", "error", "pairs", "prompts", "both"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_a_provenance_of_any_shape_is_read(fit: Any) -> None:
    found = recorded(replace(PLAIN, provenance={"fit": fit}))
    assert [r.name for r in found.responses] == [r.name for r in PLAIN.circuit.responses]
    assert all(len(r.weights) == len(c.features) for r, c in zip(found.responses, PLAIN.circuit.responses, strict=True))
