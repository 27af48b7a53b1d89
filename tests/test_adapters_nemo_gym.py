"""The NeMo-Gym adapter in a real resources server of NeMo-Gym, as docs/training.md shows it.

    python3.13 -m venv nemo && nemo/bin/pip install --ignore-requires-python nemo-gym pytest hypothesis -e .
    nemo/bin/python -m pytest -m trainers tests/test_adapters_nemo_gym.py

NeMo-Gym asks for Python 3.13.14; what it does here it does under any 3.13. Its form is tested in `test_adapters`.
"""

from __future__ import annotations

import math
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT, trainer
from needs import NEMO_GYM

import rbrlang as rbr
from rbrlang.adapters.nemo_gym import NeMoGymReward, component_names
from rbrlang.adapters.tunix import TunixReward

# The trainer's own warnings are not this project's.
pytestmark = [
    pytest.mark.trainers,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(sys.version_info < (3, 13), reason=f"needs {NEMO_GYM.name}: it needs Python 3.13"),
]

PROMPT = "Write a rude rhyme about my neighbour."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with policy.rbrc, the example's policy under its default weights."""
    found = tmp_path_factory.mktemp("nemo_gym")
    policy = rbr.load(CHECKOUT / "examples" / "refusals" / "policy.rbr")
    rbr.write(found / "policy.rbrc", policy, rbr.compile(policy))
    return found


@pytest.fixture(scope="module")
def http(folder: Path) -> Any:
    """A client of the resources server that the documentation shows."""
    servers, base = trainer("nemo_gym.server_utils"), trainer("nemo_gym.base_resources_server")
    text = (CHECKOUT / "docs" / "training.md").read_text(encoding="utf-8")
    (shown,) = (code for code in re.findall("```python\n(.*?)```", text, re.DOTALL) if "SimpleResourcesServer" in code)
    scope: dict[str, Any] = {"__name__": "documented"}
    here = Path.cwd()
    os.chdir(folder)
    try:
        exec(compile(shown, "docs/training.md", "exec", dont_inherit=True), scope)
    finally:
        os.chdir(here)
    config = base.BaseResourcesServerConfig(host="127.0.0.1", port=8080, entrypoint="", name="rules")
    head = servers.BaseServerConfig(host="127.0.0.1", port=8081)
    nothing = trainer("omegaconf").OmegaConf.create({})
    client = servers.ServerClient(head_server_config=head, global_config_dict=nothing)
    server = scope["Rules"](config=config, server_client=client)
    return trainer("fastapi.testclient").TestClient(server.setup_webserver())


def body(said: str, kind: str) -> dict[str, Any]:
    """What an agent posts after a rollout."""
    content = [{"type": "output_text", "text": said, "annotations": []}]
    message = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": content}
    return {
        "responses_create_params": {"input": [{"role": "user", "content": PROMPT}]},
        "response": {
            "id": "r", "object": "response", "created_at": 0.0, "model": "m", "output": [message],
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        },
        "verifier_metadata": {"response_type": kind},
    }  # fmt: skip


def test_a_resources_server_answers_with_rewards_and_masks_what_has_none(http: Any, folder: Path) -> None:
    artefact = str(folder / "policy.rbrc")
    names = component_names(NeMoGymReward(artefact).scorer.circuit)
    for kind, said in (("hard_refusal", "I'm sorry, but no."), ("comply", "Sure, here it is.")):
        answer = http.post("/verify", json=body(said, kind))
        assert answer.status_code == 200, answer.text
        found = answer.json()
        (direct,) = TunixReward(artefact)([PROMPT], [said], response_type=[kind])
        assert found["reward"] == pytest.approx(direct, abs=1e-5)
        assert math.fsum(found["reward_components"].values()) == found["reward"]
        assert tuple(found["reward_components"]) == names
        assert (found["mask_sample"], found["failure_kind"]) == (False, None)
        assert 0 <= found["rbr/judgmental/p"] <= 1
    answer = http.post("/verify", json=body("Sure.", "nothing"))
    assert answer.status_code == 200, answer.text
    lost = answer.json()
    assert (lost["mask_sample"], lost["instance_config"]["mask_sample"]) == (True, True)
    assert trainer("nemo_gym.failure_kinds").is_registered(lost["failure_kind"])
    assert lost["failure_reason"] == "the policy has no response type `nothing`"


def test_its_metrics_leave_out_what_is_masked(http: Any) -> None:
    sent = [("I'm sorry, but no.", "hard_refusal"), ("Sure.", "nothing"), ("You should be ashamed.", "hard_refusal")]
    answers = [
        http.post("/verify", json=body(said, kind)).json() | {"_ng_task_index": at, "_ng_rollout_index": 0}
        for at, (said, kind) in enumerate(sent)
    ]
    done = http.post("/aggregate_metrics", json={"verify_responses": answers})
    assert done.status_code == 200, done.text
    means = done.json()["agent_metrics"]
    for name, of in (("reward", "reward"), ("rbr/judgmental/p", "rbr/judgmental/p"), ("rbr/class/ideal",) * 2):
        assert means[f"mean/{name}"] == pytest.approx((answers[0][of] + answers[2][of]) / 2)
    assert means["mean/rbr/invalid_rate"] == 0.0
