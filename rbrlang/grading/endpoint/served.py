"""Which `Remote` does a `--grader` word stand for, once its server has said what it offers?

    spec ─ask the server, not the model→ ChatOptions ─plan for the items→ Remote

Needs the extra `endpoint`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from rbrlang.grading.endpoint.discover import discovered
from rbrlang.grading.endpoint.endpoint import THINKING_OFF, ChatOptions, chat_endpoint
from rbrlang.grading.endpoint.remote import Remote
from rbrlang.grading.endpoint.systemone import SystemOne
from rbrlang.grading.questions.forms import Limits
from rbrlang.grading.questions.layout import estimated_tokens, plan
from rbrlang.grading.questions.options import GraderOptions
from rbrlang.grading.questions.specs import OpenAISpec, RemoteSpec, Secret, SystemOneSpec
from rbrlang.grading.results import GradeItem
from rbrlang.policy import Policy


def remote(spec: RemoteSpec, policy: Policy, items: Sequence[GradeItem], key: Secret, options: GraderOptions) -> Remote:
    """The grader behind an endpoint, its layouts the cheapest for these items. No model is asked anything."""
    propositions = policy.program.propositions
    match spec:
        case OpenAISpec():
            chat = _chat(spec, options)
            chat = discovered(chat, key) if options.discover else chat
            return chat_endpoint(
                propositions, plan(propositions, policy.circuit, items, estimated_tokens, chat.layout), chat, key
            )
        case SystemOneSpec(base_url, model):
            return SystemOne(base_url, model, key, propositions)
        case _:
            assert_never(spec)


def identity(spec: RemoteSpec, options: GraderOptions) -> str:
    """The identity that `remote` has, whatever the server will say."""
    match spec:
        case OpenAISpec():
            return _chat(spec, options).identity
        case SystemOneSpec(base_url, model):
            return SystemOne(base_url, model, Secret(""), ()).identity
        case _:
            assert_never(spec)


def _chat(spec: OpenAISpec, options: GraderOptions) -> ChatOptions:
    """How the chat server is read, as far as it need not be asked."""
    chat = ChatOptions(
        spec.model, spec.base_url, replace(Limits(), mass=options.min_mass), samples=options.samples,
        seed=options.seed, template=THINKING_OFF if options.template is None else options.template,
        layout=options.layout,
    )  # fmt: skip
    return chat.for_host() if options.template is None else chat
