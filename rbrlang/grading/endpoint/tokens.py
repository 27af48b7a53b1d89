"""How many tokens does a text have, for the model that will read it?

A `Counter` counts many texts at once. It is made from what a price list says of a model: bytes a token, a
tokenizer's file, or a server that counts with its own vocabulary and chat template and generates nothing: llama.cpp
(`POST /tokenize`, `POST /apply-template`, its server's README) or vLLM (`POST /tokenize`, which takes messages too,
https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html).
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rbrlang.grading.endpoint.protocol.endpoint import THINKING_OFF
from rbrlang.grading.endpoint.remote import Garbled, encoded, parsed
from rbrlang.grading.questions.prices import Model, PriceError
from rbrlang.grading.questions.specs import Secret
from rbrlang.grading.results import Json
from rbrlang.jsontext import at

Counts = Callable[[Sequence[str]], Sequence[float]]

_SECONDS = 60.0
_AT_A_TIME = 16
_PROBE = "rbrc asks where this stands."


@dataclass(frozen=True, slots=True)
class Counter:
    """`count` gives the tokens of each text. The chat template puts `before` in front of a prompt and `after` behind."""

    how: str
    count: Counts
    before: float
    after: float


def counter(model: Model, key: Secret) -> Counter:
    """How this model's tokens are counted. Raises `PriceError` where they cannot be, `ModuleNotFoundError`."""
    match model.tokens:
        case float() | int() as each:
            return Counter(
                f"{each:g} bytes a token",
                lambda texts: [len(text.encode(errors="replace")) / each for text in texts],
                model.template_tokens,
                0.0,
            )
        case str() as url if url.startswith(("http://", "https://")):
            return _served(model.name, url.removesuffix("/v1"), key)
        case file:
            return Counter(f"the tokenizer `{file}`", _tokenizer(file), model.template_tokens, 0.0)


def _tokenizer(file: str) -> Counts:
    try:
        tokenizers: Any = importlib.import_module("tokenizers")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"reading `{file}` needs a package; install it with `pip install tokenizers`"
        ) from error
    try:
        tokenizer: Any = tokenizers.Tokenizer.from_file(file)
    except Exception as error:  # the library raises bare exceptions of its own
        raise PriceError(f"`{file}` is no tokenizer that `tokenizers` can read: {error}") from error
    return lambda texts: [
        len(found.ids) for found in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    ]


# --- a server that counts ----------------------------------------------------------------------


def _served(model: str, root: str, key: Secret) -> Counter:
    from rbrlang.grading.endpoint.wire import clients, get, waited

    async def version() -> object:
        (http,) = clients(1)
        async with http:
            return await get(http, f"{root}/version", key, _SECONDS)

    vllm = isinstance(_field(waited(version), "version"), str)
    ask = partial(_asked, root, key)

    def count(texts: Sequence[str]) -> Sequence[float]:
        if vllm:
            bodies: list[dict[str, Json]] = [
                {"model": model, "prompt": text, "add_special_tokens": False} for text in texts
            ]
            return [_count(root, at(reply, "count")) for reply in ask("/tokenize", bodies)]
        return [
            _count(root, _length(at(reply, "tokens")))
            for reply in ask("/tokenize", [{"content": text, "parse_special": True} for text in texts])
        ]

    messages: dict[str, Json] = {
        "messages": [{"role": "user", "content": _PROBE}],
        "chat_template_kwargs": dict(THINKING_OFF),
    }
    if vllm:
        (reply,) = ask("/tokenize", [{"model": model, **messages}])
        whole, (own,) = _count(root, at(reply, "count")), count([_PROBE])
        # How much of the template stands in front is not said; nearly all of it does, in the templates in use.
        return Counter(f"the server `{root}`", count, whole - own, 0.0)
    (reply,) = ask("/apply-template", [messages])
    prompt = at(reply, "prompt")
    if not isinstance(prompt, str) or _PROBE not in prompt:
        raise PriceError(f"`{root}` did not say what its chat template makes of a message; give `tokens` another way")
    before, _, after = prompt.partition(_PROBE)
    head, tail = count([before, after])
    # The token that opens a text is not part of the template but of the prompt.
    (bare, opened) = ask("/tokenize", [{"content": _PROBE, "add_special": special} for special in (False, True)])
    start = _count(root, _length(at(opened, "tokens"))) - _count(root, _length(at(bare, "tokens")))
    return Counter(f"the server `{root}`", count, head + start, tail)


def _asked(root: str, key: Secret, path: str, bodies: Sequence[dict[str, Json]]) -> Sequence[object]:
    """The replies to bodies, in order."""
    from rbrlang.grading.endpoint.wire import Lost, clients, complaint, post, waited

    async def work() -> list[object]:
        replies: list[object] = [None] * len(bodies)
        left = iter(enumerate(bodies))

        async def worker(http: Any) -> None:
            async with http:
                for number, body in left:
                    found = await post(http, root + path, key, encoded(body), _SECONDS)
                    if isinstance(found, Lost):
                        raise PriceError(f"`tokens`: {found.reason}")
                    if found.status != 200:
                        raise PriceError(
                            f"`tokens`: `{root}{path}` answered with {complaint(found, key)}; vLLM and llama.cpp count "
                            "tokens there, for others give bytes a token or a `tokenizer.json`"
                        )
                    replies[number] = parsed(found.body)

        try:
            async with asyncio.TaskGroup() as group:
                for http in clients(min(_AT_A_TIME, len(bodies))):
                    group.create_task(worker(http))
        except* PriceError as errors:
            raise errors.exceptions[0] from None
        return replies

    return waited(work)


def _field(reply: object, name: str) -> object:
    from rbrlang.grading.endpoint.wire import Reply

    if not isinstance(reply, Reply) or reply.status != 200:
        return None
    plain = parsed(reply.body)
    return None if isinstance(plain, Garbled) else at(plain, name)


def _length(plain: object) -> int | None:
    return len(plain) if isinstance(plain, list) else None


def _count(root: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int):
        raise PriceError(f"`{root}` did not say how many tokens a text has; give `tokens` another way")
    return value
