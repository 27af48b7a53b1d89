"""An artefact written and read again, with its circuit forged on the way if a test likes."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rbrlang.policy import Policy
from rbrlang.reward.kept.artefact import Artefact, artefact_bytes, read_artefact
from rbrlang.reward.kept.codec import dump_json
from rbrlang.reward.kept.container import pack, unpack
from rbrlang.reward.weights import default_weights


def reread(policy: Policy, forge: Callable[[Any], object] = lambda circuit: None) -> Artefact:
    """What is read of a policy's artefact, whose hashes agree with what `forge` made of its `policy.json`."""
    circuit = policy.circuit
    members = unpack(
        "x", artefact_bytes(Artefact(circuit, default_weights(circuit), policy.sources, None, {}, policy.params))
    )
    told = json.loads(members["policy.json"])
    forge(told)
    members["policy.json"] = dump_json(told)
    manifest = json.loads(members.pop("manifest.json"))
    manifest["members"] = [[n, len(d), hashlib.sha256(d).hexdigest()] for n, d in members.items()]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.rbrc"
        file.write_bytes(pack({"manifest.json": dump_json(manifest), **members}))
        return read_artefact(file)
