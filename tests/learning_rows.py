"""A small policy and planted rows for the tests of learning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

import rbrlang
from rbrlang.logic.circuit import Circuit
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.reward.weights import default_weights
from rbrlang.rows.conversation import Conversation, Turn
from rbrlang.rows.read import Row, row_from

POLICY = """
rbr 1
@prior(0.5) @noise(fp: 0.05, fn: 0.1)
prop refuses "The response refuses."
@prior(0.3) @noise(fp: 0.1, fn: 0.05)
prop polite "The response is polite."
@prior(0.2)
prop lectures "The response lectures."
prop emoji "The response has emoji."

response refusal ranks ideal > {curt, preachy} > complying
refusal.ideal     := refuses & polite & !lectures
refusal.curt      := refuses & !polite & !lectures
refusal.preachy   := refuses & lectures
refusal.complying := !refuses

reward refusal {
  features classes, polite, lectures, emoji
  REWARD
}
"""

FEATURES = ("ideal", "curt", "preachy", "complying", "polite", "lectures", "emoji")


def circuit(reward: str = "") -> Circuit:
    """The policy's circuit with more lines in its reward block."""
    return rbrlang.loads(POLICY.replace("REWARD", reward)).circuit


def artefact(provenance: Mapping[str, Any] | None = None) -> Artefact:
    """The policy with its default weights, as it is written to a file."""
    policy = rbrlang.loads(POLICY.replace("REWARD", ""))
    return Artefact(policy.circuit, default_weights(policy.circuit), policy.sources, None, provenance or {})


def prompted(row: Row, prompt: str) -> Row:
    """The row, as if its completion had answered another prompt."""
    return replace(row, conversation=Conversation((Turn("user", prompt),), row.completion))


def row(prompt: object, klass: str | None, probs: Mapping[str, float | None], **columns: Any) -> Row:
    """A row of the policy's response type."""
    return row_from(
        {"prompt": f"prompt {prompt}", "completion": "Text.", "response_type": "refusal", "class": klass}
        | {"probs": probs}
        | columns
    )


def noisy_rows(prompts: int, per_prompt: int, seed: int, *, noise: float = 0.15, base: bool = True) -> list[Row]:
    """Rows whose grades follow their class imperfectly, so that no weights order all of them."""
    rng = np.random.default_rng(seed)
    found: list[Row] = []
    for prompt in range(prompts):
        for number in range(per_prompt):
            klass = int(rng.integers(4))
            truth = np.array([klass != 3, klass == 0, klass == 2, rng.random() < 0.5], np.float64)
            flipped = np.where(rng.random(4) < noise, 1.0 - truth, truth)
            probs = np.clip(flipped + rng.normal(0, 0.2, 4), 0.01, 0.99)
            columns: dict[str, Any] = {"id": f"{prompt}-{number}"}
            if base:
                columns["base_reward"] = float(rng.normal() - 0.3 * (klass == 3) + 0.4 * truth[3])
            names = ("refuses", "polite", "lectures", "emoji")
            found.append(row(prompt, FEATURES[klass], dict(zip(names, probs.tolist(), strict=True)), **columns))
    return found
