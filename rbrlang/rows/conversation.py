"""Which text of a conversation is judged, and what came before it?

A `Conversation` is what was said before (`context`) and what the model is judged for (`completion`), turn by turn. A
user's or a tool's turn within the completion (a dialogue that an environment went on with, the result of a call) is
never judged as the model's words. What is read of a completion is one of four texts, which a policy chooses with
`judge` and a proposition with `over`:

| | the text |
| --- | --- |
| `final` | what the assistant says in its last turn of the completion; messages with no other turn between are one |
| `assistant` | all that it says in the completion, turn after turn |
| `trajectory` | every turn of the completion, calls and results included, each with its speaker |
| `thought` | what it thinks in the completion, which none of the others shows |

    >>> spoken = Conversation((Turn("user", "Hi"),), (Turn("assistant", "Hello.", "a greeting"),))
    >>> spoken.text("final"), spoken.text("thought")
    ('Hello.', 'a greeting')

`shapes` reads the public forms of messages into this. docs/conversations.md has the table of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as _json
from typing import Any, Literal, TypeAlias, assert_never

from rbrlang.lang.program import Judged, Message

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool: its name, and its arguments as given, which is JSON text where the model wrote JSON."""

    name: str
    arguments: str

    def __str__(self) -> str:
        return f"{self.name}({self.arguments})"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation.

    `text` is what was said, without thoughts and calls; parts that are no text are marks such as `[image]`. `thought`
    and `calls` are the assistant's. `name` says which tool answered, or which of several people spoke. `failed` says
    that a tool's result is an error.
    """

    role: Role
    text: str
    thought: str = ""
    calls: tuple[Call, ...] = ()
    name: str = ""
    failed: bool = False

    def __reduce__(self) -> tuple[Any, ...]:  # dataclasses' own way takes several times as long
        return Turn, (self.role, self.text, self.thought, self.calls, self.name, self.failed)

    def texts(self) -> tuple[str, ...]:
        """All text in it, of whatever kind."""
        return (
            self.text,
            self.thought,
            self.name,
            *(text for call in self.calls for text in (call.name, call.arguments)),
        )

    def to_json(self) -> dict[str, Any]:
        """The turn as a chat message, which reads back as the same turn."""
        plain: dict[str, Any] = {"role": self.role, "content": self.text}
        # Said apart even where it is nothing, lest a mark that was left in the text be read as one.
        if self.role == "assistant" and (self.thought or "<" in self.text):
            plain["reasoning_content"] = self.thought
        if self.calls:
            functions = ({"name": call.name, "arguments": call.arguments} for call in self.calls)
            plain["tool_calls"] = [{"type": "function", "function": function} for function in functions]
        if self.name:
            plain["name"] = self.name
        if self.failed:
            plain["is_error"] = True
        return plain


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said before, and the completion that is judged."""

    context: tuple[Turn, ...]
    completion: tuple[Turn, ...]

    def __reduce__(self) -> tuple[Any, ...]:  # dataclasses' own way takes several times as long
        return Conversation, (self.context, self.completion)

    def text(self, over: Judged = "final") -> str:
        """The text that is judged; empty where the assistant says nothing of the kind."""
        match over:
            case "final":
                last = self.last()
                return "" if last is None else last.text
            case "assistant":
                return joined(turn.text for turn in self.completion if turn.role == "assistant")
            case "thought":
                return joined(turn.thought for turn in self.completion if turn.role == "assistant")
            case "trajectory":
                return joined(_labelled(turn) for turn in self.completion)
            case _:
                assert_never(over)

    def before(self, over: Judged = "final") -> tuple[Turn, ...]:
        """The turns before the text that is judged: the context, and under `final` what led to the last turn."""
        run = self._run()
        if over != "final" or run is None:
            return self.context
        return self.context + self.completion[: run.start]

    def answered(self, text: str) -> Conversation:
        """The same conversation with another text of the assistant's last turn."""
        old, run = self.last(), self._run()
        if old is None or run is None:
            return Conversation(self.context, (*self.completion, Turn("assistant", text)))
        turn = Turn("assistant", text, old.thought, old.calls, old.name)
        return Conversation(self.context, (*self.completion[: run.start], turn, *self.completion[run.stop :]))

    def last(self) -> Turn | None:
        """The assistant's last turn; messages with no other turn between them are one."""
        if len(self.completion) == 1:
            return self.completion[0] if self.completion[0].role == "assistant" else None
        run = self._run()
        if run is None:
            return None
        turns = self.completion[run]
        if len(turns) == 1:
            return turns[0]
        calls = tuple(call for turn in turns for call in turn.calls)
        text, thought = joined(turn.text for turn in turns), joined(turn.thought for turn in turns)
        return Turn("assistant", text, thought, calls, turns[-1].name)

    def silence(self) -> str:
        """What to say of a completion whose last turn holds no text; nothing where it does."""
        last = self.last()
        if last is None or last.text:
            return ""
        if last.calls:
            return "the assistant says nothing, it only calls " + ", ".join(f"`{call.name}`" for call in last.calls[:3])
        return "the assistant only thinks" if last.thought else "the assistant says nothing"

    def steps(self) -> int:
        """How many turns of the completion are the assistant's."""
        return sum(turn.role == "assistant" for turn in self.completion)

    def calls(self) -> tuple[Call, ...]:
        """The calls of the completion, in order."""
        return tuple(call for turn in self.completion for call in turn.calls)

    def tool_errors(self) -> int:
        """How many results of tools in the completion are errors."""
        return sum(turn.failed for turn in self.completion)

    def _run(self) -> slice | None:
        """Where the assistant's last turn stands in the completion."""
        said = [turn.role == "assistant" for turn in self.completion]
        if True not in said:
            return None
        stop = len(said) - said[::-1].index(True)
        start = stop
        while start and said[start - 1]:
            start -= 1
        return slice(start, stop)


def spoken(prompt: Sequence[Message] | Sequence[Turn], completion: str) -> Conversation:
    """A conversation of plain messages, answered by a text."""
    return Conversation(as_turns(prompt), (Turn("assistant", completion),))


def as_turns(messages: Iterable[Message | Turn]) -> tuple[Turn, ...]:
    """Messages of a policy as turns; turns stay as they are."""
    return tuple(m if isinstance(m, Turn) else Turn(m.role, m.content) for m in messages)


def key_of(turns: Sequence[Turn], prompt_key: str | None = None) -> str:
    """16 hexadecimal digits that tell turns apart, those of a completion with the key of its prompt.

    For plain messages they are those of earlier versions.
    """
    # `json.dumps(…, separators=(",", ":"))`, put together here: it is half of what reading a row takes.
    text = ",".join(map(_identity, turns))
    text = f"[{text}]" if prompt_key is None else f"[{_json(prompt_key)},[{text}]]"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _identity(turn: Turn) -> str:
    plain = f"{_json(turn.role)},{_json(turn.text)}"
    if turn.thought or turn.calls or turn.name or turn.failed:
        calls = ",".join(f"[{_json(call.name)},{_json(call.arguments)}]" for call in turn.calls)
        failed = "true" if turn.failed else "false"
        return f"[{plain},{_json(turn.thought)},[{calls}],{_json(turn.name)},{failed}]"
    return f"[{plain}]"


def joined(texts: Iterable[str]) -> str:
    """Texts with a blank line between them, without those that say nothing."""
    return "\n\n".join(text for text in texts if text)


def _labelled(turn: Turn) -> str:
    """A turn with its speaker, as a trajectory shows it; thoughts are apart."""
    who = " ".join(f"{turn.role} {turn.name}".split()) + (" (error)" if turn.failed else "")
    said = [f"{who}: {turn.text}"] if turn.text or turn.role != "assistant" else []  # silence has no words
    return "\n".join((*said, *(f"{turn.role} calls {call}" for call in turn.calls)))
