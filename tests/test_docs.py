"""What the documents say is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rbrlang.policy import check_text

DOCS = Path(__file__).resolve().parents[1] / "docs"
BLOCKS = [
    pytest.param(block, id=f"{path.stem}-{number}")
    for path in sorted(DOCS.glob("*.md"))
    for number, block in enumerate(re.findall(r"```rbr\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_rbr_does_what_the_text_says(block: str) -> None:
    expected = set(re.findall(r"\A# finds (RBR\d+)", block))
    found = {d.code.id for d in check_text(block).diagnostics if d.severity == "error" or d.code.id in expected}
    assert found == expected


def test_there_are_examples_to_run() -> None:
    assert len(BLOCKS) >= 8
