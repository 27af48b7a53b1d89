"""What does NeMo-Gym ask of a resources server?

    RULES = NeMoGymReward("policy.rbrc")

    class Rules(SimpleResourcesServer):
        config: BaseResourcesServerConfig

        async def verify(self, body: Request) -> Response:
            return Response.model_validate(await asyncio.to_thread(RULES.verify, body.model_dump()))

`Request` and `Response` are models of yours, on `BaseVerifyRequest` and `BaseMultiRewardVerifyResponse`, that keep
the columns and the metrics; docs/training.md has them. NeMo-Gym (0.7) posts a rollout to `verify` and reads the same body back with `reward` and, for several rewards,
`reward_components`. `reward` has to be a number there: a completion without a reward has `mask_sample` set,
which excludes it from scores and training, beside the `failure_kind` and `failure_reason`. NeMo RL used to read
`mask_sample` in `instance_config`, so a masked body has it there too, as NeMo-Gym's own failures have. This module
needs nothing of NeMo-Gym, which asks for Python 3.13.14. https://docs.nvidia.com/nemo/gym/latest/
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rbrlang.jsontext import at, listed, mapping
from rbrlang.logic.circuit import Circuit
from rbrlang.scoring.adapter import Adapter
from rbrlang.scoring.columns import Columns, Rollout, Unusable, rollout
from rbrlang.scoring.invalid import OnInvalid, Trainer, numbers
from rbrlang.scoring.metrics import batch_metrics
from rbrlang.scoring.score import Scores


class NeMoGymReward(Adapter):
    """Rewards for a NeMo-Gym resources server.

    `columns` name entries of the body, of its `verifier_metadata`, or of the `metadata` of its
    `responses_create_params`. `on_invalid` is `"mask"`, `"raise"`, or a number. Raises as `Adapter` does.
    """

    trainer = Trainer("NeMo-Gym", ("mask", "raise"), "a sample is masked there")

    def verify(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body with the reward: `reward`, `reward_components` that sum to it, and the metrics.

        The components have the same names for every body of one policy. Under `"mask"` a completion without
        a reward has `mask_sample` true, `reward` and every component 0, `failure_kind` and
        `failure_reason`. Raises `UnscoredError` where `on_invalid` is `"raise"`, and `ColumnsError`.
        """
        return verified(body, self.scorer([read_body(body, self.columns)]), self.on_invalid)


def verified(body: Mapping[str, Any], scores: Scores, on_invalid: OnInvalid) -> dict[str, Any]:
    """The body with what `verify` adds, by the scores of its only completion. Raises `UnscoredError`."""
    (reward,) = numbers(scores, on_invalid).tolist()
    reason = scores.reasons[0]
    masked = not math.isfinite(reward)
    names = component_names(scores.circuit)
    parts = dict.fromkeys(names, 0.0)
    if reason is None:
        parts |= _parts(scores)
    elif not masked:
        parts["invalid"] = reward
    aside = {"instance_config": {**(mapping(body.get("instance_config")) or {}), "mask_sample": True}} if masked else {}
    return {
        **body,
        **aside,
        "reward": 0.0 if masked else math.fsum(parts.values()),
        "reward_components": parts,
        "mask_sample": masked,
        "failure_kind": None if reason is None else _kind(scores),
        "failure_reason": reason,
        **batch_metrics(scores),
    }


def component_names(circuit: Circuit) -> tuple[str, ...]:
    """The components of every reward of this policy: base reward, features by response type, and `invalid`.

    `invalid` is what the user chose as the reward of a completion that has none, else 0.
    """
    features = (f"{response.name}/{feature.name}" for response in circuit.responses for feature in response.features)
    return ("base_reward", *features, "invalid")


def _parts(scores: Scores) -> dict[str, float]:
    response = scores.circuit.responses[int(scores.responses[0])]
    base, *features = scores.contributions[0].tolist()
    return {"base_reward": base} | {
        f"{response.name}/{feature.name}": value for feature, value in zip(response.features, features, strict=False)
    }


def _kind(scores: Scores) -> str:
    """NeMo-Gym's word for the failure: the body could not be read, or the grader did not answer."""
    return "verifier_error" if scores.responses[0] < 0 else "judge_failed"


def read_body(body: Mapping[str, Any], columns: Columns) -> Rollout:
    """The completion that a body of `verify` holds: all that the response puts out. Raises `ColumnsError`."""
    asked = mapping(body.get("responses_create_params")) or {}
    record = {**(mapping(asked.get("metadata")) or {}), **(mapping(body.get("verifier_metadata")) or {}), **body}
    said = asked.get("input")
    turns: object = said if isinstance(said, str) else list(listed(said))
    if asked.get("instructions"):
        opening = [{"role": "user", "content": turns}] if isinstance(turns, str) else list(listed(turns))
        turns = [{"role": "system", "content": asked["instructions"]}, *opening]
    output = list(listed(at(body, "response", "output")))
    if not output:
        return Unusable("the response holds no message of the assistant")
    return rollout(output, record, columns, turns)
