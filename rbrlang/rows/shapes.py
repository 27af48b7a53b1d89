"""Which turns do messages hold, in whichever of the public shapes?

Text; chat messages (OpenAI's, Anthropic's and Gemini's parts, LangChain's `type`, ShareGPT's `from` and `value`); items of
the Responses API; `<tool_call>` text of Hermes and Qwen; transcripts with a line `|USER|: …`. A part that is no text
becomes a mark such as `[image]`; what an assistant thinks, wherever a shape keeps it, becomes the turn's `thought`.
docs/conversations.md has the table of all of it.

    >>> turns([{"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "find", "arguments": "{}"}}]}], "x")
    (Turn(role='assistant', text='', thought='', calls=(Call(name='find', arguments='{}'),), name='', failed=False),)
    >>> turns("<think>So…</think>Hello.", "completion", "assistant")[0].text
    'Hello.'

Only what a server would act on counts as a call: a `<tool_call>` that holds no call stays text, so that nothing can hide
in it. For the same reason the result of a tool is never taken out of a text that the model wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from rbrlang.rows.called import call_of, dumped, function_of, turn_of
from rbrlang.rows.conversation import Call, Conversation, Role, Turn, joined
from rbrlang.rows.thought import THOUGHT_MARKS, Marks

ROLES: dict[str, Role] = {
    "system": "system", "developer": "developer", "user": "user", "human": "user", "assistant": "assistant",
    "model": "assistant", "ai": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "function_response": "tool", "ipython": "tool",
    "function_call": "assistant",
}  # fmt: skip
_SPEAKER = re.compile(r"(?:\A|\n)\|(SYSTEM|USER|ASSISTANT)\|: ")
_PART = re.compile(r"[a-z][a-z0-9_ -]{0,30}\Z")
_ERROR = re.compile(
    r"\s*(?:\[?error\b|traceback \(most recent call last\)|[\w.]*(?:error|exception)\s*:)", re.IGNORECASE
)
_MARKS = {
    "image_url": "image", "input_image": "image", "image_file": "image", "inlineData": "file", "inline_data": "file",
    "input_audio": "audio", "audio_url": "audio", "input_file": "file", "file_url": "file", "fileData": "file",
    "file_data": "file", "document": "file", "video_url": "video", "input_video": "video",
}  # fmt: skip


class ShapeError(ValueError):
    """Messages that cannot be read; the message says what is wrong with them."""


# --- whole conversations ----------------------------------------------------------------------


def conversation(prompt: object, completion: object, marks: Marks = THOUGHT_MARKS) -> Conversation:
    """The conversation of a prompt and its completion: texts, messages, or one message. Raises `ShapeError`."""
    answer = turns(completion, "completion", "assistant", marks)
    if not any(turn.role == "assistant" for turn in answer):
        raise ShapeError("`completion` holds no turn of the assistant")
    return Conversation(turns(prompt, "prompt", "user", marks), answer)


def split(
    messages: object, prompt: object = None, name: str = "messages", marks: Marks = THOUGHT_MARKS
) -> Conversation:
    """The conversation in one list of messages: the completion is what follows the prompt, where the list begins with it.

    Else it is what follows the last user turn. Raises `ShapeError`.
    """
    read = turns(messages, name, "user", marks)
    opening = turns(prompt, "prompt", "user", marks)
    if opening and read[: len(opening)] == opening:
        begins = len(opening)
    else:
        users = [at for at, turn in enumerate(read) if turn.role == "user"]
        openings = (at for at, turn in enumerate(read) if turn.role not in ("system", "developer"))
        begins = users[-1] + 1 if users else next(openings, len(read))
    if not any(turn.role == "assistant" for turn in read[begins:]):
        raise ShapeError(f"`{name}` does not end with the assistant's turn")
    return Conversation(tuple(read[:begins]), tuple(read[begins:]))


def transcript(text: str, role: Role, marks: Marks = THOUGHT_MARKS) -> tuple[Turn, ...]:
    """The turns of a transcript with a line `|USER|: …` for each; text without such a line is one turn."""
    parts = _SPEAKER.split(text)
    if len(parts) < 3 or parts[0]:
        return (turn_of(role, text, marks),)
    speakers: list[Role] = [ROLES[name.lower()] for name in parts[1::2]]
    return tuple(turn_of(who, said, marks) for who, said in zip(speakers, parts[2::2], strict=True))


def turns(value: object, name: str, role: Role = "user", marks: Marks = THOUGHT_MARKS) -> tuple[Turn, ...]:
    """The turns of a text (said by `role`), of a message, or of a list of messages or items. Raises `ShapeError`.

    `name` is what the value is called in messages. Nothing was said where a prompt is None or an empty text.
    """
    if value is None or isinstance(value, str):
        if not value and role != "assistant":
            return ()
        return (turn_of(role, value or "", marks),)
    listed = [value] if isinstance(value, dict) else value
    if not isinstance(listed, list):
        raise ShapeError(f"`{name}` is neither text nor a list of messages")
    reader = _Reader(name, marks)
    try:
        for item in cast(list[Any], listed):
            reader.item(item)
    except RecursionError:
        raise ShapeError(f"`{name}` is nested too deep, or holds itself") from None
    return reader.read()


# --- items ------------------------------------------------------------------------------------


class _Reader:
    """Turns of a list of messages, read one after the other; `named` are tools by the id of their call."""

    def __init__(self, name: str, marks: Marks) -> None:
        self.name, self.marks = name, marks
        self.turns: list[Turn] = []
        self.named: dict[str, str] = {}
        self._last: list[Turn] = []  # the items of the last turn
        self._said = False  # whether they say or call anything
        self._open = False  # whether that is the assistant's, and further items may belong to it

    def read(self) -> tuple[Turn, ...]:
        """The turns of all items."""
        self._close()
        return tuple(self.turns)

    def item(self, item: object) -> None:
        """One message or item."""
        if not isinstance(item, dict):
            raise ShapeError(f"`{self.name}` holds {_kind(item)} among its messages")
        fields = cast(dict[str, Any], item)
        data = fields.get("data")
        if isinstance(data, dict) and fields.get("role") is None and fields.get("content") is None:
            fields = {**fields, **cast(dict[str, Any], data)}  # as LangChain writes messages
        aside = fields.get("additional_kwargs")
        if isinstance(aside, dict):  # LangChain's, where its provider has keys of its own
            fields = {**fields, **{key: aside[key] for key in _ASIDE if key in aside and not fields.get(key)}}
        kind = fields.get("type")
        kind = kind if isinstance(kind, str) else "message"
        if kind == "mcp_list_tools":
            return  # what a server offers: nobody's words
        if kind == "reasoning":
            self._add(Turn("assistant", "", _thought(fields)), joins=False)
        elif kind.endswith("_output") and "output" in fields:
            self._result(fields, fields["output"])
        elif (
            kind.endswith(("_call", "_approval_request")) and fields.get("role") is None and fields.get("from") is None
        ):
            self._call(kind, fields)
        else:
            self._message(fields, typed=kind == "message" and "type" in fields)

    def _message(self, fields: Mapping[str, Any], *, typed: bool) -> None:
        said = next((fields[key] for key in ("role", "from", "type") if fields.get(key) is not None), None)
        role = ROLES.get(said.lower()) if isinstance(said, str) else None
        if role is None:
            known = "system, developer, user, assistant or tool"
            found = f"of the role `{str(said)[:40]}`, which is none" if said is not None else "without a role"
            raise ShapeError(f"`{self.name}` holds a message {found} of {known}")
        if not any(
            key in fields for key in ("content", "value", "parts", "text", "tool_calls", "function_call", "refusal")
        ):
            raise ShapeError(f"`{self.name}` holds a message without `content`")
        content = next(
            (fields[key] for key in ("content", "value", "parts", "text") if fields.get(key) is not None), None
        )
        if role == "tool":
            self._result(fields, content)
            return
        parts = _Parts(self.name, self.named)
        parts.read(content)
        for result in parts.results:
            self._add(result, joins=False)
        name = fields.get("name") if isinstance(fields.get("name"), str) and role != "assistant" else ""
        if role != "assistant":
            if parts.texts or not parts.results:
                self._add(Turn(role, "".join(parts.texts), name=cast(str, name)), joins=False)
            return
        text = "".join(parts.texts) or _said_otherwise(fields)
        own = [*parts.calls, *self._calls(fields)]
        if said == "function_call" and (call := call_of(text)) is not None:
            text, own = "", [*own, call]
        # Where the thought is said apart, the text is what was shown: a mark left in it hides nothing.
        aside = any(isinstance(fields.get(key), str) for key in _THOUGHT[:3])
        turn = turn_of("assistant", text, () if aside else self.marks)
        thoughts = (_thought(fields), *parts.thoughts, turn.thought)
        turn = replace(turn, thought=joined(thoughts), calls=(*turn.calls, *own))
        self._add(turn, joins=typed)
        self._open = typed

    def _calls(self, fields: Mapping[str, Any]) -> list[Call]:
        found = [function_of(call) for call in _listed(fields.get("tool_calls"))]
        for call, given in zip(found, _listed(fields.get("tool_calls")), strict=True):
            self._know(given, call.name)
        legacy = fields.get("function_call")
        return [*found, function_of(legacy)] if isinstance(legacy, dict) else found

    def _call(self, kind: str, fields: Mapping[str, Any]) -> None:
        """A call as an item of its own, with its result where the item holds that too."""
        if kind in ("function_call", "custom_tool_call", "mcp_approval_request"):
            call = function_of(fields)
        else:
            aside = ("type", "id", "status", "call_id", "name", "output", "error", "results")
            rest = {key: value for key, value in fields.items() if key not in aside and value is not None}
            call = Call(str(fields.get("name") or kind.removesuffix("_call")), dumped(rest))
        self._know(fields, call.name)
        self._add(Turn("assistant", "", calls=(call,)), joins=True)
        for key in ("output", "results", "error"):
            if fields.get(key) is not None:
                text = _plain(fields[key], self.name)
                failed = key == "error" or _failed(fields, text)
                self._add(Turn("tool", text, name=call.name, failed=failed), joins=False)

    def _result(self, fields: Mapping[str, Any], content: object) -> None:
        self._add(_result(fields, content, self.name, self.named), joins=False)

    def _know(self, fields: object, name: str) -> None:
        for key in ("id", "call_id"):
            number = cast(dict[str, Any], fields).get(key) if isinstance(fields, dict) else None
            if isinstance(number, str):
                self.named[number] = name

    def _add(self, turn: Turn, *, joins: bool) -> None:
        """Add a turn, or add it to the last where it belongs to one response; a text begins anew behind another."""
        if not (joins and self._open) or (turn.text and self._said):
            self._close()
        self._last.append(turn)
        self._said = self._said or bool(turn.text or turn.calls)
        self._open = turn.role == "assistant"

    def _close(self) -> None:
        """Make one turn of the items of the last."""
        if self._last:
            text = next((item.text for item in self._last if item.text), "")
            thought = joined(item.thought for item in self._last)
            calls = tuple(call for item in self._last for call in item.calls)
            self.turns.append(replace(self._last[0], text=text, thought=thought, calls=calls))
        self._last, self._said = [], False


class _Parts:
    """What a message's content holds: texts and marks in order, thoughts, calls, and results of tools."""

    def __init__(self, name: str, named: dict[str, str]) -> None:
        self.name, self.named = name, named
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.calls: list[Call] = []
        self.results: list[Turn] = []

    def read(self, content: object) -> None:
        """Text, a part, or a list of parts."""
        if content is None:
            return
        if isinstance(content, str):
            self.texts.append(content)
        elif isinstance(content, list):
            for part in cast(list[Any], content):
                self.read(part)
        elif isinstance(content, dict):
            self._part(cast(dict[str, Any], content))
        else:
            raise ShapeError(f"`{self.name}` holds a message whose content is {_kind(content)}, neither text nor parts")

    def _part(self, part: Mapping[str, Any]) -> None:
        kind = part.get("type")
        if not isinstance(kind, str):
            kind = next((key for key, value in part.items() if value is not None and key in _UNTYPED), "")
        if kind in ("thinking", "reasoning", "redacted_thinking"):
            self.thoughts.append(_thought(part))
        elif kind == "reasoningContent":  # Bedrock's
            given = part["reasoningContent"]
            self.thoughts.append(_thoughts(given.get("reasoningText") if isinstance(given, dict) else given))
        elif part.get("thought") is True and isinstance(part.get("text"), str):  # Gemini's
            self.thoughts.append(part["text"])
        elif kind in ("tool_use", "toolUse", "functionCall", "function_call", "tool_call", "server_tool_use"):
            given = part.get("functionCall") or part.get("function_call") or part.get("toolUse") or part
            call = function_of(given)
            number = part.get("id") or (given.get("toolUseId") if isinstance(given, dict) else None)
            if isinstance(number, str):
                self.named[number] = call.name
            self.calls.append(call)
        elif kind in ("tool_result", "toolResult", "functionResponse", "function_response"):
            given = part.get("functionResponse") or part.get("function_response") or part.get("toolResult") or part
            content = cast(dict[str, Any], given).get("content", cast(dict[str, Any], given).get("response"))
            self.results.append(_result(cast(dict[str, Any], given), content, self.name, self.named))
        elif isinstance(part.get("text"), str):
            self.texts.append(part["text"])
        elif isinstance(part.get("refusal"), str):
            self.texts.append(part["refusal"])
        elif kind in ("text", "input_text", "output_text"):
            self._worded(part)
        elif "parts" in part:
            self.read(part["parts"])
        elif kind == "json":
            self.texts.append(dumped(part["json"]))
        elif kind == "cachePoint":
            pass
        elif not kind:
            if any(value is not None for value in part.values()):
                raise ShapeError(f"`{self.name}` holds a part of content without `type` and `text`")
        else:
            mark = _MARKS.get(kind, kind)
            self.texts.append(f"[{mark}]" if _PART.match(mark) else "[part]")

    def _worded(self, part: Mapping[str, Any]) -> None:
        """A part of text whose text is no string: an object with its `value` (OpenAI's Assistants), or further parts."""
        text = part["text"] if part.get("text") is not None else part.get("content")
        value = cast(dict[str, Any], text).get("value") if isinstance(text, dict) else None
        self.read(value if isinstance(value, str) else text)


_ASIDE = ("reasoning_content", "tool_calls", "function_call")
_UNTYPED = (
    "text", "functionCall", "functionResponse", "function_call", "function_response", "inlineData", "inline_data",
    "fileData", "file_data", "image", "image_url", "audio", "video", "file", "document", "toolUse", "toolResult", "reasoningContent",
    "json", "cachePoint", "parts",
)  # fmt: skip


# --- what items hold --------------------------------------------------------------------------


def _result(fields: Mapping[str, Any], content: object, name: str, named: Mapping[str, str]) -> Turn:
    """The turn of a tool's result; its name is its own, or that of the call that it answers."""
    ids = (fields.get(key) for key in ("tool_call_id", "call_id", "tool_use_id", "toolUseId"))
    called = next((named[i] for i in ids if isinstance(i, str) and i in named), "")
    own = fields.get("name")
    text = _plain(content, name)
    return Turn("tool", text, name=own if isinstance(own, str) else called, failed=_failed(fields, text))


def _failed(fields: Mapping[str, Any], text: str) -> bool:
    """Whether a result is an error: marked so, an object with an `error`, or text that begins like one."""
    if fields.get("is_error") is True or fields.get("isError") is True:
        return True
    if fields.get("status") in ("error", "failed", "incomplete"):
        return True
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return False
        return isinstance(found, dict) and bool(cast(dict[str, Any], found).get("error"))
    return _ERROR.match(text) is not None


def _plain(content: object, name: str) -> str:
    """The text of a result: its texts and marks, or its value as JSON."""
    if isinstance(content, (str, list)) or content is None or (isinstance(content, dict) and "type" in content):
        parts = _Parts(name, {})
        try:
            parts.read(content)
        except ShapeError:
            return dumped(content)
        return "".join(parts.texts)
    return dumped(content)


_THOUGHT = (
    "reasoning_content", "reasoning", "thinking", "thinking_blocks", "reasoning_details", "summary", "content", "text",
)  # fmt: skip


def _thought(fields: Mapping[str, Any]) -> str:
    """What a message, part or item says that was thought: the first of the places where that is kept."""
    whole = fields.get("type") in ("reasoning", "thinking", "redacted_thinking")
    for key in _THOUGHT if whole else _THOUGHT[:5]:
        text = _thoughts(fields.get(key))
        if text:
            return text
    return ""


def _thoughts(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        return next(
            (text for key in ("text", "thinking", "content", "summary") if (text := _thoughts(fields.get(key)))), ""
        )
    return joined(_thoughts(one) for one in _listed(value))


def _said_otherwise(fields: Mapping[str, Any]) -> str:
    """What an assistant without content said: a refusal, or speech of which there is a transcript."""
    refusal, audio = fields.get("refusal"), fields.get("audio")
    if isinstance(refusal, str):
        return refusal
    said = cast(dict[str, Any], audio).get("transcript") if isinstance(audio, dict) else None
    return said if isinstance(said, str) else ""


def _listed(value: object) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return {"str": "text", "dict": "an object"}.get(type(value).__name__, f"a {type(value).__name__}")
