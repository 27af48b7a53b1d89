"""Which JSON value is a Python value, and which of them can an output hold?

Rows hold JSON values only: what another library made of a cell becomes one here. JSON has no NaN and no infinity;
Parquet, Arrow and CSV are UTF-8, which has no half of a surrogate pair.
"""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

_HALF = re.compile("[\ud800-\udfff]")


def json_value(value: Any) -> Any:
    """A value as JSON has it: moments and durations as ISO 8601, bytes as text or a `data:` address, else its text."""
    match value:
        case bool() | int() | float() | str() | None:
            return value
        case bytes():
            return text_of(value)
        case Decimal():
            return decimal_text(value)
        case datetime.date() | datetime.time():
            return value.isoformat()
        case datetime.timedelta():
            return seconds_text(value // datetime.timedelta(microseconds=1), 6)
        case list() | tuple():
            return [json_value(one) for one in cast("list[Any]", value)]
        case Mapping():
            return {str(name): json_value(one) for name, one in cast("Mapping[Any, Any]", value).items()}
        case _:
            return str(value)


def text_of(value: bytes) -> str:
    """Bytes as the text that they are in UTF-8, or as a `data:` address."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "data:application/octet-stream;base64," + base64.b64encode(value).decode()


def decimal_text(number: Decimal) -> str:
    """A decimal number without an exponent and without zeros at its end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def seconds_text(count: int, places: int) -> str:
    """A duration of `count` parts of a second, of which there are 10 to the power `places`: `PT1.5S`."""
    return f"PT{decimal_text(Decimal(count).scaleb(-places))}S"


def without_halves(value: Any) -> Any:
    """The value with U+FFFD in the place of half surrogate pairs; itself where it has none."""
    match value:
        case str():
            return value if value.isascii() else _HALF.sub("\ufffd", value)
        case list():
            return _same_or([without_halves(one) for one in cast("list[Any]", value)], value)
        case dict():
            inside = cast("dict[str, Any]", value)
            return _same_or({without_halves(name): without_halves(one) for name, one in inside.items()}, inside)
        case _:
            return value


def _same_or(changed: Any, value: Any) -> Any:
    """The value itself where nothing in it changed, so that a caller can tell."""
    if isinstance(value, dict):
        inside = cast("dict[str, Any]", value)
        same = list(changed) == list(inside) and all(changed[name] is one for name, one in inside.items())
    else:
        same = all(a is b for a, b in zip(changed, value, strict=True))
    return value if same else changed
