"""What does a reply report of the tokens of an answer, in whichever shape it does?

Chat completions list `content` with a token, its log-probability and the alternatives of each position
(https://platform.openai.com/docs/api-reference/chat/object). Three older or thinner shapes are read too: that of text
completions (`tokens`, `token_logprobs`, `top_logprobs`), which some servers return for chats; entries without alternatives,
where the chosen token is all there is; and tokens that are given by their `bytes` alone, or as `token_id:N`, as vLLM writes
them under `--return-tokens-as-token-ids`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import cast

from rbrlang.grading.questions.forms import Step, Token
from rbrlang.grading.results import Invalid
from rbrlang.jsontext import at, listed, mapping

_MOST_STEPS = 32
_NUMBERED = re.compile(r"token_id:(\d{1,9})")


def steps_of(logprobs: object, ids: Mapping[int, str], start: int = 0) -> tuple[Step, ...] | Invalid:
    """The positions of an answer from `start` on, at least one; `ids` are the texts of tokens that are known by number."""
    if logprobs is None:
        return Invalid(
            "no-logprobs",
            "the server returned no log-probabilities; use one that does, or `--samples` to sample answers",
        )
    content = listed(at(logprobs, "content"))[start : start + _MOST_STEPS]
    tokens, chances = listed(at(logprobs, "tokens")), listed(at(logprobs, "token_logprobs"))
    tops = listed(at(logprobs, "top_logprobs"))
    found: list[Step | None] = []
    if content and mapping(content[0]) is not None:
        found = [_entry(entry, ids) for entry in content]
    else:
        for place in range(start, min(start + _MOST_STEPS, max(len(tops), min(len(tokens), len(chances))))):
            top = mapping(tops[place]) if place < len(tops) else None
            listing = [_token(text, value, ids) for text, value in (top or {}).items()]
            chosen = _token(tokens[place], chances[place], ids) if place < min(len(tokens), len(chances)) else None
            if (chosen is None and place < min(len(tokens), len(chances))) or None in listing:
                found.append(None)
            else:
                found.append(_step(chosen, [token for token in listing if token is not None]))
    if not found:
        return Invalid("no-logprobs", "the server returned log-probabilities of no token")
    if found[0] is None:
        return Invalid("malformed", "the server returned a log-probability that is not a number")
    whole: list[Step] = []
    for step in found:
        if step is None:
            break
        whole.append(step)
    return tuple(whole)


def numbered(text: str) -> bool:
    """Whether a token is known by its number alone."""
    return bool(_NUMBERED.fullmatch(text))


def pieces_of(logprobs: object) -> list[bytes]:
    """The tokens of a reply as bytes, which make up its text also where one character takes several of them."""
    content = [(at(entry, "token"), at(entry, "bytes")) for entry in listed(at(logprobs, "content"))]
    return [
        bytes(cast("Sequence[int]", said))
        if isinstance(said, list) and said and _are_bytes(listed(said))
        else _plain(text)
        for text, said in content or [(text, None) for text in listed(at(logprobs, "tokens"))]
    ]


def _are_bytes(said: Sequence[object]) -> bool:
    return all(isinstance(one, int) and 0 <= one < 256 for one in said)


def _plain(text: object) -> bytes:
    """A token's text, its white space as SentencePiece and byte-level vocabularies spell it."""
    if not isinstance(text, str):
        return b""
    return text.replace("\u2581", " ").replace("\u0120", " ").replace("\u010a", "\n").encode(errors="replace")


def _entry(entry: object, ids: Mapping[int, str]) -> Step | None:
    chosen = _named(entry, ids)
    listing = [_named(other, ids) for other in listed(at(entry, "top_logprobs"))]
    if chosen is None or None in listing:
        return None
    return _step(chosen, [token for token in listing if token is not None])


def _step(chosen: Token | None, listing: list[Token]) -> Step | None:
    """A position; the chosen token is usually among the alternatives, and must not count twice."""
    if chosen is None:
        return Step(max(listing, key=lambda token: token.logprob), tuple(listing)) if listing else None
    if chosen.text not in {token.text for token in listing}:
        listing = [*listing, chosen]
    return Step(chosen, tuple(listing))


def _named(entry: object, ids: Mapping[int, str]) -> Token | None:
    text = at(entry, "token")
    if not isinstance(text, str) or not text:
        said = listed(at(entry, "bytes"))
        if _are_bytes(said) and (said or text == ""):
            text = bytes(one for one in said if isinstance(one, int)).decode(errors="replace")
    return _token(text, at(entry, "logprob"), ids)


def _token(text: object, logprob: object, ids: Mapping[int, str]) -> Token | None:
    if not isinstance(text, str) or isinstance(logprob, bool) or not isinstance(logprob, (int, float)):
        return None
    number = _NUMBERED.fullmatch(text)
    if number is not None:
        text = ids.get(int(number[1]), text)
    # Servers write minus infinity as -9999, -1e30 or -Infinity; whole numbers in JSON have no limit.
    return Token(text, -1e4 if logprob < -1e4 else float(logprob) if logprob < 1e4 else math.inf)
