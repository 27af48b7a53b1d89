"""Which two completions are in a row of `chosen` and `rejected`, and what is their prompt?

Preference data has a line for each pair. It becomes two rows of one prompt, with the columns of the pair and besides

| column | is |
| --- | --- |
| `id` | that of the pair with `-chosen` or `-rejected` |
| `pair` | the pair's `id`, or a name made from its text |
| `preferred` | whether people chose this one |

`prompt` is what the pair says; where it says none, what the two have in common up to the last turn of the user.
Texts may be transcripts, as HH-RLHF (https://github.com/anthropics/hh-rlhf) has them: blank line, `Human: …`, blank
line, `Assistant: …`.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from rbrlang.rows.columns import Names, UnusableError, is_missing
from rbrlang.rows.shapes import ShapeError, turns
from rbrlang.rows.thought import Marks

_SPEAKER = re.compile(r"(?:\A|\n\n)(Human|Assistant):[ ]?")
_ROLES = {"Human": "user", "Assistant": "assistant"}
_Turns = list[dict[str, Any]]


def is_pair(fields: dict[str, Any]) -> bool:
    """Whether a row holds two completions rather than one."""
    return (
        "chosen" in fields
        and "rejected" in fields
        and all(fields.get(name) is None for name in ("completion", "messages", "prompt_completion"))
    )


def pair_rows(names: Names, row: dict[str, Any], fields: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two rows of a pair, by our names, the chosen one first. Raises `UnusableError`."""
    prompt, chosen, rejected = _parts(fields, names.marks)
    name = fields.get("id")
    if is_missing(name):
        text = json.dumps([prompt, chosen, rejected])
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
    elif not isinstance(name, (str, int, float)) or isinstance(name, bool):
        raise UnusableError("`id` is neither text nor a whole number")
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    # What was mapped or called otherwise is under our names from here on; the rest passes through.
    ours = {own: fields[own] for own, _ in names.mapped if own in fields}
    kept = {column: value for column, value in {**row, **ours}.items() if column not in ("id", "chosen", "rejected")}
    of_both = {"prompt": prompt, "pair": str(name)}
    return (
        {"id": f"{name}-chosen", **kept, **of_both, "completion": chosen, "preferred": True},
        {"id": f"{name}-rejected", **kept, **of_both, "completion": rejected, "preferred": False},
    )


def _parts(fields: dict[str, Any], marks: Marks) -> tuple[Any, Any, Any]:
    sides = [_side(fields[name], name, marks) for name in ("chosen", "rejected")]
    chosen, rejected = sides
    if isinstance(chosen, str) or isinstance(rejected, str):
        if type(chosen) is not type(rejected):
            raise UnusableError("one of `chosen` and `rejected` is text, the other a list of messages")
        return fields.get("prompt") or "", chosen, rejected
    same = 0
    while same < min(len(chosen), len(rejected)) and chosen[same] == rejected[same]:
        same += 1
    while same and chosen[same - 1].get("role") == "assistant":
        same -= 1
    if not same and not is_missing(fields.get("prompt")):
        return fields["prompt"], chosen, rejected
    return chosen[:same], chosen[same:], rejected[same:]


def _side(value: Any, name: str, marks: Marks) -> str | _Turns:
    if isinstance(value, str):
        return _transcript(value)
    try:
        read = turns(value, name, "user", marks)
    except ShapeError as error:
        raise UnusableError(str(error)) from None
    if not read:
        raise UnusableError(f"`{name}` is neither text nor a list of messages")
    return [turn.to_json() for turn in read]


def _transcript(text: str) -> str | _Turns:
    parts = _SPEAKER.split(text)
    if len(parts) < 3 or parts[0].strip():
        return text
    return [{"role": _ROLES[who], "content": said} for who, said in zip(parts[1::2], parts[2::2], strict=True)]
