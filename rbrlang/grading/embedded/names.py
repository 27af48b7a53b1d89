"""What can the embedded grader read, and what can be done where it cannot? Told without numpy, from the heads' files alone."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

WAYS_OUT = (
    "give them few-shots or cues in the policy, learn heads from 20 labels with `rbrc agree FILE GOLD --train HEADS`, "
    "or name another grader, such as `--grader openai:MODEL`"
)
"""What can be done about it, in the order of effort."""


@cache
def shipped_names() -> frozenset[str]:
    """Names whose propositions are read by a head that ships, where they declare no cues."""
    names: set[str] = set()
    for entry in Path(__file__).with_name("learned").iterdir():
        if entry.name.endswith(".safetensors"):
            with entry.open("rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            found = json.loads(header["__metadata__"]["rbrlang"])
            names |= {head["name"] for head in found["heads"] if found["match"] == "name"}
    return frozenset(names)
