"""Which `Remote` does a `--grader` word stand for, once its server has said what it offers?

    spec ─ask the server, not the model→ ChatOptions ─plan for the items→ Remote

Needs the extra `endpoint`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from rbrlang.grading.endpoint.discover import discovered
from rbrlang.grading.endpoint.endpoint import THINKING_OFF, ChatOptions, chat_endpoint
from rbrlang.grading.endpoint.remote import Remote
from rbrlang.grading.endpoint.systemone import SystemOne
from rbrlang.grading.questions.forms import Limits
from rbrlang.grading.questions.layout import estimated_tokens, plan
from rbrlang.grading.questions.prompt import Layout
from rbrlang.grading.questions.specs import OpenAISpec, RemoteSpec, Secret, SystemOneSpec
from rbrlang.grading.results import GradeItem
from rbrlang.policy import Policy


@dataclass(frozen=True, slots=True)
class Reading:
    """How a chat server is to be read; see `ChatOptions`.

    `template` None is the usual one, as far as the host takes it. `discover` asks the server what more than
    the common protocol it offers.
    """

    limits: Limits = field(default_factory=Limits)
    samples: int = 0
    seed: int = 0
    template: tuple[tuple[str, bool], ...] | None = None
    layout: Layout | None = None
    discover: bool = True


def remote(
    spec: RemoteSpec, policy: Policy, items: Sequence[GradeItem], key: Secret, reading: Reading | None = None
) -> Remote:
    """The grader behind an endpoint, its layouts the cheapest for these items. No model is asked anything."""
    reading = reading or Reading()
    propositions = policy.program.propositions
    match spec:
        case OpenAISpec(model, base_url):
            chat = ChatOptions(
                model, base_url, reading.limits, samples=reading.samples, seed=reading.seed,
                template=THINKING_OFF if reading.template is None else reading.template, layout=reading.layout,
            )  # fmt: skip
            chat = chat.for_host() if reading.template is None else chat
            chat = discovered(chat, key) if reading.discover else chat
            return chat_endpoint(
                propositions, plan(propositions, policy.circuit, items, estimated_tokens, chat.layout), chat, key
            )
        case SystemOneSpec(base_url, model):
            return SystemOne(base_url, model, key, propositions)
        case _:
            assert_never(spec)
