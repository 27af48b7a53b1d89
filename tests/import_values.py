"""What an imported policy makes of answers, for the tests of importers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rbrlang.imports.imported import Imported
from rbrlang.policy import loads
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import row_from


def values(
    made: Imported, answers: Mapping[str, Any], completion: str = "", response: int = 0, **columns: object
) -> tuple[float, float, float]:
    """Reward and bounds of one row; `answers` are as `probs` has them, None for no answer."""
    circuit = loads(made.policy).circuit
    row = row_from({
        "id": "1", "prompt": "p", "completion": completion, "response_type": circuit.response_names[response],
        "probs": {name: p for name, p in answers.items() if p is not None}, **columns,
    })  # fmt: skip
    reward = NumpyReward(circuit)
    probs, ids = reward.encode([row]), reward.response_ids([row])
    low, high = reward.bounds(probs, ids)
    return float(reward(probs, ids)[0]), float(low[0]), float(high[0])


def dropped(made: Imported) -> list[str]:
    """The places of what was dropped."""
    return [note.place for note in made.notes if note.verdict == "dropped"]


def approximated(made: Imported) -> list[str]:
    """The places of what was approximated."""
    return [note.place for note in made.notes if note.verdict == "approximated"]
