"""Which `Remote` does a `--grader` word stand for, once its server has said what it offers?

A local model is asked like the server of llama.cpp, which it is, and need not be asked what it offers.

    spec ─ask the server, not the model→ ChatOptions ─plan for the items→ Remote

Needs the extra `endpoint`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import assert_never, cast

from rbrlang.grading.endpoint.cache import AnswerCache, CacheError, cache_key
from rbrlang.grading.endpoint.llama import check, digest, local_model
from rbrlang.grading.endpoint.protocol.discover import LLAMA_TOP, discovered
from rbrlang.grading.endpoint.protocol.endpoint import THINKING_OFF, THINKING_ON, ChatOptions, chat_endpoint
from rbrlang.grading.endpoint.protocol.lines import TOKENS_OF_A_LINE
from rbrlang.grading.endpoint.protocol.systemone import SystemOne
from rbrlang.grading.endpoint.remote import Remote
from rbrlang.grading.questions.forms import Limits, sign_forms
from rbrlang.grading.questions.layout import estimated_tokens, plan
from rbrlang.grading.questions.options import GraderOptions
from rbrlang.grading.questions.prompt import signs
from rbrlang.grading.questions.specs import GraderError, LocalSpec, OpenAISpec, RemoteSpec, Secret, SystemOneSpec
from rbrlang.grading.results import GradeItem
from rbrlang.lang.program import Proposition
from rbrlang.policy import Policy


def remote(spec: RemoteSpec, policy: Policy, items: Sequence[GradeItem], key: Secret, options: GraderOptions) -> Remote:
    """The grader behind an endpoint, its layouts the cheapest for these items. No model is asked anything."""
    propositions = policy.program.questions
    match spec:
        case LocalSpec(path):
            chat = _local(path, options)
            made = plan(propositions, policy.circuit, items, estimated_tokens, chat.layout, chat.questions)
            return chat_endpoint(
                propositions, made, chat, Secret(""), local_model(path, options.context, options.threads)
            )
        case OpenAISpec():
            chat = _chat(spec.model, spec.base_url, options)
            signed = {sign: None for variable in policy.program.variables for sign in signs(variable)}
            chat = (
                _offered(chat, key, options.cache, sign_forms(signed))
                if options.discover and chat.request.top_logprobs is None
                else chat
            )
            made = plan(propositions, policy.circuit, items, estimated_tokens, chat.layout, chat.questions)
            return chat_endpoint(propositions, made, chat, key)
        case SystemOneSpec(base_url, model):
            # Scales and choices come last, and are not asked.
            return SystemOne(base_url, model, key, tuple(p for p in propositions if isinstance(p, Proposition)))
        case _:
            assert_never(spec)


def identity(spec: RemoteSpec, options: GraderOptions) -> str:
    """The identity that `remote` has, whatever the server will say."""
    match spec:
        case LocalSpec(path):
            return _local(path, options).identity
        case OpenAISpec():
            return _chat(spec.model, spec.base_url, options).identity
        case SystemOneSpec(base_url, model):
            return SystemOne(base_url, model, Secret(""), ()).identity
        case _:
            assert_never(spec)


def _offered(chat: ChatOptions, key: Secret, cache: Path | None, more: tuple[str, ...]) -> ChatOptions:
    """The options with what the server offers, and `more` forms of answers than yes and no. It is kept with the answers, which were asked for in this very way: so
    they are found again when the server is gone."""
    if cache is None or chat.samples or chat.hosted:
        return discovered(chat, key, more)
    thinks = ["thinks"] if chat.thought_tokens else [chat.questions] if chat.questions > 1 else []
    place = cache_key("offered", json.dumps([chat.base_url, chat.model, *thinks, *more]).encode())
    try:
        with AnswerCache(cache) as kept:
            match kept.read(place):
                case {"top_logprobs": int(top), "token_ids": list(ids)}:
                    pairs = cast("list[list[str | int]]", ids)
                    return replace(chat, top_logprobs=top, token_ids=tuple((str(form), int(at)) for form, at in pairs))
                case _:
                    found = discovered(chat, key, more)
            if found != chat:
                kept.write(
                    place, {"top_logprobs": found.top_logprobs, "token_ids": [list(pair) for pair in found.token_ids]}
                )
            return found
    except CacheError:  # the run says it
        return discovered(chat, key, more)


def _local(path: Path, options: GraderOptions) -> ChatOptions:
    """How a local model is read: by its own bytes, wherever they lie. Raises `GraderError`."""
    check(path)
    chat = replace(_chat("local", "http://local/v1", options), weights=digest(path))
    fixed = options.request.top_logprobs is not None or options.thought_tokens  # see `discover`
    return chat if fixed else replace(chat, top_logprobs=max(chat.top_logprobs, LLAMA_TOP // chat.questions))


def _chat(model: str, base_url: str, options: GraderOptions) -> ChatOptions:
    """How the chat server is read, as far as it need not be asked."""
    if options.sample_risk and not options.samples:
        raise GraderError("`--sample-risk` ends sampling early; say how many samples to take at most, with `--samples`")
    fixed, least = options.request.max_tokens, TOKENS_OF_A_LINE * options.questions
    if options.questions > 1 and fixed is not None and fixed < least:
        raise GraderError(
            f"`request.max_tokens` is {fixed}, and {options.questions} answers take up to {least} tokens; leave it out, or ask "
            "fewer questions in one request, with `--questions`"
        )
    usual = THINKING_ON if options.thought_tokens else THINKING_OFF
    chat = ChatOptions(
        model, base_url, replace(Limits(), mass=options.min_mass), samples=options.samples,
        seed=options.seed, template=usual if options.template is None else options.template,
        layout=options.layout, order=options.order, request=options.request, file_digest=options.file_digest,
        thought_tokens=options.thought_tokens, risk=options.sample_risk, questions=options.questions,
    )  # fmt: skip
    if options.request.top_logprobs is not None:
        chat = replace(chat, top_logprobs=options.request.top_logprobs)
    return chat.for_host() if options.template is None else chat
