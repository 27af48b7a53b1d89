"""What did a judge think before it answered, and at which token does its answer begin?

A thought ends in one of three ways: the server has cut it off into a field of its own (`reasoning_content` or `reasoning`), it is
closed by a mark in the content (`</think>` and its kin), or Harmony's final channel opens
(https://cookbook.openai.com/articles/openai-harmony). Whether the log-probabilities then list the tokens of the thought differs
from server to server, as does whether they show control tokens: so the answer's text is sought from their end backwards, and
nothing is read where it does not stand there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from rbrlang.grading.questions.forms import opens_thought
from rbrlang.grading.questions.prompt import neutral
from rbrlang.grading.results import Invalid

ROOM = 16
"""Answer tokens beyond those of a thought: for what ends it, white space, emphasis and the answer."""
_DIRECT = 20  # characters of an answer that no thought came before
_MOST_KEPT = 100_000  # characters of a thought
_ENDS = re.compile(
    r"</(?:think|thinking|thought|reasoning|seed:think)>|\[/think\]|◁/think▷|<\|end_of_thought\|>|<unused95>"
    r"|<\|channel\|>final<\|message\|>",
    re.IGNORECASE,
)
_OPENS = re.compile(
    r"\s*(?:<(?:think|thinking|thought|reasoning|seed:think)>|\[think\]|◁think▷|<\|begin_of_thought\|>|<unused94>(?:thought)?"
    r"|(?:<\|start\|>assistant)?<\|channel\|>analysis<\|message\|>)",
    re.IGNORECASE,
)
_LINE = re.compile(r"\W*\d+\W")
_BETWEEN = re.compile(r"<\|end\|><\|start\|>assistant$")
_CONTROL = re.compile(rb"\s*(?:<[^<>\s]{1,40}>)?\s*")


@dataclass(frozen=True, slots=True)
class Apart:
    """What a judge said, and what it thought before, with nothing left in it that a tokenizer or terminal would act on."""

    said: str
    thought: str


def apart(choice: Mapping[str, object], message: Mapping[str, object], budget: int, number: int = 1) -> Apart | Invalid:
    """The answer and the thought of a reply to a judge that may think for so many tokens, about a `number` of questions.

    A reply without any end of a thought is an answer where it is one word, or a short line for each question; else it may be a
    thought that the prompt had opened.
    """
    content = message.get("content")
    said = content.strip() if isinstance(content, str) else ""
    fields = (message.get("reasoning_content"), message.get("reasoning"))
    thought = next((found.strip() for found in fields if isinstance(found, str) and found.strip()), "")
    end = _ENDS.search(said)
    if end is not None:
        thought, said = f"{thought}\n{said[: end.start()]}", said[end.end() :].strip()
    lines = said.splitlines()
    direct = len(said.split()) == 1 if number == 1 else len(lines) == number and all(map(_LINE.match, lines))
    ended = not opens_thought(said) and bool(thought or (len(said) <= _DIRECT * number and direct))
    if not ended:
        thought, said = f"{thought}\n{said}", ""
    kept = neutral(_BETWEEN.sub("", _OPENS.sub("", thought.strip(), 1)).strip())[:_MOST_KEPT]
    if said:
        return Apart(said, kept)
    if choice.get("finish_reason") == "length" and end is None:
        why = (
            f"the thought did not end within {budget} tokens; allow more with `--thought-tokens`, or `read.thought_tokens` in the "
            "grader file"
        )
    elif ended:
        why = "the model thought, and gave no answer behind it"
    else:
        why = "the reply is no answer of one word, and no thought ends in it; let the server mark where thoughts end"
    return Invalid("thinking", why, kept)


def beginning(pieces: Sequence[bytes], said: str) -> int | Invalid:
    """Which of the tokens begins what was said: the last ones together are its text, but for control tokens behind it."""
    text, sought = b"".join(pieces), said.encode(errors="replace")
    ends = list(accumulate(map(len, pieces)))
    end = len(text)
    for last in range(len(pieces) - 1, -1, -1):
        end = min(end, ends[last])
        while end and text[end - 1 : end].isspace():
            end -= 1
        start = end - len(sought)
        if start >= 0 and text.startswith(sought, start):
            at = next(place for place, stop in enumerate(ends) if stop > start)
            if not text[ends[at] - len(pieces[at]) : start].strip():
                return at
            break
        if not _CONTROL.fullmatch(pieces[last]):
            break
    return Invalid(
        "malformed",
        "the log-probabilities do not end in the answer's text, so nobody knows which of them are the answer's",
    )
