"""Scripts for `faultserver`: servers that refuse requests of one shape and answer those of another."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from faultserver import Action, Say, Script

YES = [("Yes", 0.7), ("No", 0.2), *((f"w{n}", 0.1 / 18) for n in range(18))]
"""P(yes) = 7/9, all of it known."""

Refusal = Callable[[Mapping[str, Any]], str | bytes | None]
"""From a request to what is wrong with it: OpenAI's message, or a whole body; None for nothing."""


def no_max_tokens(body: Mapping[str, Any]) -> str | None:
    if "max_tokens" in body:
        return (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
    return None


def no_max_completion_tokens(body: Mapping[str, Any]) -> bytes | None:
    if "max_completion_tokens" in body:
        detail = {
            "type": "extra_forbidden",
            "loc": ["body", "max_completion_tokens"],
            "msg": "Extra inputs are not permitted",
        }
        return json.dumps({"detail": [detail | {"input": dict(body)}]}).encode()
    return None


def no_temperature(body: Mapping[str, Any]) -> str | None:
    if body.get("temperature", 1) != 1:
        return "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported."
    return None


def at_most(number: int, words: str) -> Refusal:
    return lambda body: words if body.get("top_logprobs", 0) > number else None


def at_least(number: int, words: str) -> Refusal:
    return lambda body: words if max(body.get("max_tokens", 0), body.get("max_completion_tokens", 0)) < number else None


def no_template(body: Mapping[str, Any]) -> bytes | None:
    """As pydantic refuses a field, with the whole request repeated."""
    if "chat_template_kwargs" not in body:
        return None
    detail = {
        "type": "extra_forbidden",
        "loc": ["body", "chat_template_kwargs"],
        "msg": "Extra inputs are not permitted",
    }
    return json.dumps({"detail": [detail | {"input": dict(body)}]}).encode()


def refusing(refusals: Sequence[Refusal], answer: Callable[[Mapping[str, Any]], Action], status: int = 400) -> Script:
    """A server that refuses, the first reason first, and answers what is left; it offers nothing beyond the protocol."""

    def script(body: bytes, before: int) -> Action:
        if not body:
            return Say(b"{}", 404)
        plain = json.loads(body)
        for refusal in refusals:
            said = refusal(plain)
            if said is not None:
                said = said if isinstance(said, bytes) else json.dumps({"error": {"message": said}}).encode()
                return Say(said, status)
        return answer(plain)

    return script


def entry(top: Sequence[tuple[str, float]], most: int) -> dict[str, Any]:
    """One position, with `most` alternatives at most."""
    listed = [{"token": text, "logprob": math.log(p), "bytes": list(text.encode())} for text, p in top]
    return listed[0] | {"top_logprobs": listed[:most]}


def positions(*tops: Sequence[tuple[str, float]]) -> Callable[[Mapping[str, Any]], Action]:
    """Answers whose tokens have these candidates, as many of both as the request asks for."""

    def answer(body: Mapping[str, Any]) -> Action:
        tokens = body.get("max_tokens") or body.get("max_completion_tokens") or 1
        content = [entry(top, body.get("top_logprobs", 0)) for top in tops[:tokens]]
        return reply({"content": content}, "".join(top[0][0] for top in tops[:tokens]))

    return answer


def reply(logprobs: Any, content: str = "Yes") -> Say:
    """A completion with these log-probabilities."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "logprobs": logprobs}
    usage = {"prompt_tokens": 100, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 60}}
    return Say(json.dumps({"choices": [choice], "usage": usage}).encode(), paid=True)
