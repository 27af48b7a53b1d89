"""What does a JSON text of somebody else's say, and what in it cannot be believed?

Python's reader takes the last of two values with the same key, and reads `1e999` as infinity. Here a repeated key
is an error, for one of the two values would be lost without a word; so are nesting that no later step survives and
whole numbers too long to be read. Numbers that no float holds are errors too, unless the caller takes them.

Needs nothing beside Python. Lines of rows have a faster way, `jsonfast`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

MAX_DEPTH = 100
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_PLAIN = re.compile(r"[^,\]\s]*")
_HALF = re.compile("[\ud800-\udfff]")


class JsonError(ValueError):
    """A text that is not JSON as it is wanted here; the message says why, without the file."""


class NotJsonError(JsonError):
    """A text that is not JSON at all, so that its end is not known either."""


def parse(text: str) -> Any:
    """The value of a JSON text. Raises `JsonError`, also for NaN, infinity and numbers beyond the floats."""
    return _parsed(_STRICT, text)


def parse_bytes(data: bytes) -> Any:
    """`parse` of UTF-8, with or without a mark at its beginning. Raises `JsonError`."""
    try:
        return parse(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise NotJsonError(f"not UTF-8 (byte {error.start})") from None


def parse_with_constants(text: str) -> Any:
    """`parse` where `NaN` and `Infinity`, which many write, and numbers like `1e999` are floats."""
    return _parsed(_LENIENT, text)


def carefully_dumped(value: Any, default: Callable[[Any], Any] | None = None, *, constants: bool = False) -> bytes:
    """`dumped` where NaN is to be told: a ValueError, or one of the `constants` that Python's reader takes."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=constants, separators=(",", ":"), default=default)
    # Half a surrogate pair has no place in UTF-8, but it has an escape in JSON.
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text).encode()


def without_constants(value: Any) -> Any:
    """The value with null in the place of NaN and infinities; itself where it has none."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case list():
            listed = cast("list[Any]", value)
            changed = [without_constants(one) for one in listed]
            return value if all(a is b for a, b in zip(changed, listed, strict=True)) else changed
        case dict():
            inside = cast("dict[str, Any]", value)
            kept = {name: without_constants(one) for name, one in inside.items()}
            return value if all(kept[name] is one for name, one in inside.items()) else kept
        case _:
            return value


def element(text: str, at: int) -> tuple[Any, int]:
    """The value that begins at `at`, read as by `parse_with_constants`, and where it ends.

    Raises `NotJsonError` where there is none. What can be told from its neighbours and still not be used is a
    `JsonError` in the place of the value.
    """
    try:
        value, end = _LENIENT.raw_decode(text, at)
        _check_depth(text[at:end] if at or end < len(text) else text)
        return value, end
    except json.JSONDecodeError as error:
        raise NotJsonError(_said(error)) from None
    except (RecursionError, ValueError) as error:
        return _as_json_error(error), _end_of(text, at)


def _parsed(decoder: json.JSONDecoder, text: str) -> Any:
    try:
        value = decoder.decode(text)
    except json.JSONDecodeError as error:
        raise NotJsonError(_said(error)) from None
    except (RecursionError, ValueError) as error:
        raise _as_json_error(error) from None
    _check_depth(text)
    return value


def _as_json_error(error: Exception) -> JsonError:
    if isinstance(error, JsonError):
        return error
    if isinstance(error, RecursionError):
        return _too_deep()
    # The only other ValueError is about Python's bound.
    return JsonError("not usable: it holds a whole number of more than 4300 digits")


def _said(error: json.JSONDecodeError) -> str:
    place = f"line {error.lineno}, " if error.lineno > 1 else ""
    return f"not JSON: {error.msg[:1].lower()}{error.msg[1:]} ({place}column {error.colno})"


def _too_deep() -> JsonError:
    return JsonError(f"not usable: nested more than {MAX_DEPTH} deep")


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for mark in _MARKS.finditer(text):
        if mark[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise _too_deep()
        elif mark[0] in "]}":
            depth -= 1


def _end_of(text: str, at: int) -> int:
    """Where an element ends that cannot be read: after the bracket that closes its first one, if it has one."""
    if text[at : at + 1] not in ("[", "{"):
        found = _PLAIN.match(text, at)
        return at if found is None else found.end()
    depth = 0
    for mark in _MARKS.finditer(text, at):
        if mark[0] in "[{":
            depth += 1
        elif mark[0] in "]}":
            depth -= 1
            if depth == 0:
                return mark.end()
    return len(text)


def _pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) != len(items):
        names = [name for name, _ in items]
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise JsonError(f"the key `{twice[:40]}` appears twice")
    return found


def _no_constant(name: str) -> float:
    raise JsonError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise JsonError(f"{text[:20]} is too large a number")
    return value


# --- what lies in JSON that nobody vouches for; what is missing or of another shape is not said ------


def mapping(plain: object) -> Mapping[str, object] | None:
    """The value as a JSON object, or None."""
    return cast("Mapping[str, object]", plain) if isinstance(plain, Mapping) else None


def listed(plain: object) -> Sequence[object]:
    """The value as a JSON array, empty where it is none."""
    return cast("Sequence[object]", plain) if isinstance(plain, list) else ()


def at(plain: object, *path: str | int) -> object:
    """What lies at a path of keys and indices, None where nothing does."""
    for step in path:
        if isinstance(step, int):
            items = listed(plain)
            plain = items[step] if step < len(items) else None
        else:
            found = mapping(plain)
            plain = found.get(step) if found is not None else None
    return plain


def whole(plain: object) -> int:
    """A count, 0 where it is none."""
    return plain if isinstance(plain, int) and not isinstance(plain, bool) and plain >= 0 else 0


def text(plain: object, *path: str | int) -> str | None:
    """A text that is not empty, at a path."""
    found = at(plain, *path)
    return found if isinstance(found, str) and found else None


def number(plain: object, *path: str | int) -> float | None:
    """A finite number, at a path."""
    found = at(plain, *path)
    if not isinstance(found, (int, float)) or isinstance(found, bool):
        return None
    try:
        return float(found) if math.isfinite(found) else None
    except OverflowError:  # a whole number beyond all floats
        return None


def integer(plain: object, *path: str | int) -> int | None:
    """A whole number, at a path."""
    found = at(plain, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


_STRICT = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_no_constant, parse_float=_finite)
_LENIENT = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=float)
