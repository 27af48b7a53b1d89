"""Which tools does a text call, and which does a value?

Hermes and Qwen write calls into their text, `<tool_call>{"name": …, "arguments": …}</tool_call>` or `<function=…>` with
a `<parameter=…>` for each argument. What is not wholly a call stays text, so that nothing can hide between the marks. The
text is an adversary's, and is read in time that grows as its length.
"""

from __future__ import annotations

import json
import re
from typing import Any, cast

from rbrlang.rows.conversation import Call, Role, Turn
from rbrlang.rows.thought import Marks, apart

_OPENING, _CLOSING = "<tool_call>", "</tool_call>"
_FUNCTION = re.compile(r"<function=([^>\s]{1,200})>")
_PARAMETER = re.compile(r"\s*<parameter=([^>\s]{1,200})>\n?")


def turn_of(role: Role, text: str, marks: Marks) -> Turn:
    """A turn of text; the assistant's thoughts and calls are taken out of it."""
    if role != "assistant":
        return Turn(role, text)
    said, thought = apart(text, marks)
    if _OPENING not in said:
        return Turn(role, said, thought)
    left: list[str] = []
    calls: list[Call] = []
    at = 0
    while (start := said.find(_OPENING, at)) >= 0:
        inside = start + len(_OPENING)
        end = said.find(_CLOSING, inside)
        after = len(said) if end < 0 else end + len(_CLOSING)
        call = call_of(said[inside : len(said) if end < 0 else end])
        left.append(said[at:after] if call is None else said[at:start])
        calls += [] if call is None else [call]
        at = after
    left.append(said[at:])
    return Turn(role, "".join(left).strip() if calls else said, thought, tuple(calls))


def call_of(text: str) -> Call | None:
    """The call that a text is: JSON with a name, or Qwen's `<function=…>`; None where it is none.

    >>> call_of("<function=find><parameter=q>hours</parameter></function>")
    Call(name='find', arguments='{"q": "hours"}')
    >>> call_of("<function=find>So there.</function>")
    """
    text = text.strip()
    function = _FUNCTION.match(text)
    if function is not None:
        arguments = _arguments(text[function.end() :].removesuffix("</function>"))
        return None if arguments is None else Call(function[1], dumped(arguments))
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    call = function_of(found)
    return call if call.name else None


def _arguments(text: str) -> dict[str, str] | None:
    """The values of a text of `<parameter=…>`; None where anything else is in it."""
    found: dict[str, str] = {}
    at = 0
    while (opening := _PARAMETER.match(text, at)) is not None:
        end = text.find("</parameter>", opening.end())
        if end < 0:
            return None
        found[opening[1]] = text[opening.end() : end].removesuffix("\n")
        at = end + len("</parameter>")
    return None if text[at:].strip() else found


def function_of(given: object) -> Call:
    """A call in any shape: with a `function` of its own, which may be the name alone, or with name and arguments beside
    each other."""
    fields = cast(dict[str, Any], given) if isinstance(given, dict) else {}
    inner = fields.get("function")
    if isinstance(inner, dict):
        fields = cast(dict[str, Any], inner)
    keys = ("arguments", "args", "input", "parameters")
    arguments = next((fields[key] for key in keys if fields.get(key) is not None), None)
    name = inner if isinstance(inner, str) else fields.get("name")
    return Call(name if isinstance(name, str) else "", arguments if isinstance(arguments, str) else dumped(arguments))


def dumped(value: object) -> str:
    """A value as JSON; no arguments are `{}`."""
    if value is None:
        return "{}"
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return str(type(value).__name__)
