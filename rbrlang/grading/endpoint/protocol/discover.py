"""What more than the common protocol does this chat server offer?

Two servers can do better than the 20 most probable tokens: vLLM returns the log-probabilities of given
token ids, and llama.cpp returns as many top tokens as are asked for. Both say who they are under an
address of their own, so nothing is guessed from a model's name, and a server that says nothing is read
the common way.

vLLM: `GET /version`, `POST /tokenize`, `logprob_token_ids`
(https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html). llama.cpp: `GET /props` (its server's README).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from rbrlang.grading.endpoint.protocol.endpoint import ChatOptions
from rbrlang.grading.endpoint.remote import Garbled, encoded, parsed
from rbrlang.grading.endpoint.wire import Reply, clients, get, post, waited
from rbrlang.grading.questions.forms import FORMS
from rbrlang.grading.questions.specs import Secret
from rbrlang.jsontext import at, listed

LLAMA_TOP = 200
_SECONDS = 10.0


def discovered(options: ChatOptions, key: Secret, more: Sequence[str] = ()) -> ChatOptions:
    """The options with what this server offers; unchanged where it does not answer.

    Sends up to fourteen small requests, none to a model, and one for each of the forms `more` than yes and no. Sampled answers need none of it, and OpenAI's own
    servers offer nothing of it.
    """
    return options if options.samples or options.hosted else waited(partial(_discovered, options, key, more))


async def _discovered(options: ChatOptions, key: Secret, more: Sequence[str]) -> ChatOptions:
    root = options.base_url.rstrip("/").removesuffix("/v1")
    (http,) = clients(1)
    async with http:
        version = _field(await get(http, f"{root}/version", key, _SECONDS), "version")
        if isinstance(version, str):
            ids: list[tuple[str, int]] = []
            for form in (*FORMS, *more):
                asked = encoded({"model": options.model, "prompt": form, "add_special_tokens": False})
                reply = await post(http, f"{root}/tokenize", key, asked, _SECONDS)
                tokens = listed(_field(reply, "tokens"))
                # A form that the vocabulary splits has no token of its own; its first piece is ambiguous.
                if len(tokens) == 1 and isinstance(tokens[0], int) and tokens[0] not in dict(ids).values():
                    ids.append((form, tokens[0]))
            both = {form.strip().lower() for form, _ in ids} >= {"yes", "no"}
            return replace(options, token_ids=tuple(ids)) if both else options
        settings = _field(await get(http, f"{root}/props", key, _SECONDS), "default_generation_settings")
        if not settings or options.thought_tokens:  # so many of each token of a thought would be megabytes
            return options
        # Several answers come with as many in all, so that replies do not grow with them.
        return replace(options, top_logprobs=max(options.top_logprobs, LLAMA_TOP // options.questions))


def _field(reply: object, name: str) -> object:
    """A field of a reply with status 200, None of any other."""
    if not isinstance(reply, Reply) or reply.status != 200:
        return None
    plain = parsed(reply.body)
    return None if isinstance(plain, Garbled) else at(plain, name)
