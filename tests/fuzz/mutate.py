"""Random changes to bytes: cuts, copies, splices, words that matter, and changes to what JSON says."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from typing import Any

PIECES = re.compile(rb"\"\"\"|\w+|:=|=>|<=>|[^\w\s]|\s+")
LARGEST = 60_000  # bytes of an input
WORDS = (
    b"NaN", b"Infinity", b"-1", b"1e999", b"9" * 401, b"null", b"true", b"[]", b"{}", b'""', b'"\\ud800"', b"\xff", b"\x00",
    b"\xe2\x80\xae", b"\xef\xbb\xbf", b"\r\n", b"[" * 2000, b'{"a":' * 500, b"../../x", b"1e-400", b"-0.0", b"0" * 50,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, 1e308, -1e-320, 2**63, 10**400, float("nan"), float("inf"), "", "yes", "\ud800", "\x00",
    "\u202e", "a" * 5000, [], {}, [[]], {"": None}, [None, 1, "x"],
)  # fmt: skip


def damaged(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A seed after a few changes; every input is reachable from every other."""
    data = draw.choice(seeds)
    if len(data) > 4000 and data[:1] != b"{" and draw.random() < 0.8:
        start = draw.randrange(len(data))
        data = data[start : start + draw.randint(50, 4000)] if draw.random() < 0.5 else data
    changes = draw.choice((1, 1, 2, 3, 6))
    if draw.random() < (0.8 if data[:1] == b"{" else 0.4):
        for _ in range(draw.choice((1, 1, 2, 4))):
            data = _in_json(draw, data)
        changes = draw.choice((0, 0, 0, 0, 1, 3))
    while changes > 0 or data in seeds:
        data, changes = _change(draw, data, seeds), changes - 1
    return data[:LARGEST]


def _change(draw: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    match draw.randrange(7):
        case 0:  # one byte, or some
            out = bytearray(data or b"\x00")
            for _ in range(draw.choice((1, 1, 2, 8))):
                out[draw.randrange(len(out))] = draw.randrange(256)
            return bytes(out)
        case 1:  # a cut
            at = draw.randrange(len(data) + 1)
            return data[:at] + data[at + draw.choice((1, 2, 10, 100, len(data))) :]
        case 2:  # something said twice
            at = draw.randrange(len(data) + 1)
            size = draw.choice((1, 4, 20, 200))
            return data[:at] + data[at : at + size] * draw.randint(1, 4) + data[at:]
        case 3:  # part of another seed
            other = draw.choice(seeds)
            at, cut = draw.randrange(len(data) + 1), draw.randrange(len(other) + 1)
            return data[:at] + other[cut : cut + draw.choice((5, 60, 1000))] + data[at:]
        case 4:  # a word that matters
            at = draw.randrange(len(data) + 1)
            return data[:at] + draw.choice(WORDS) + data[at:]
        case 5:  # pieces of text
            pieces = PIECES.findall(data[:8000]) or [b""]
            at = draw.randrange(len(pieces))
            if draw.random() < 0.5:
                pieces[at] = draw.choice(PIECES.findall(draw.choice(seeds)[:4000]) or [b""])
            else:
                del pieces[at : at + draw.randint(1, 5)]
            return b"".join(pieces) + data[8000:]
        case _:  # lines in another order
            lines = data.split(b"\n")
            draw.shuffle(lines)
            return b"\n".join(lines)


def _in_json(draw: random.Random, data: bytes) -> bytes:
    """The data with a value somewhere in its JSON (or in that of one line) replaced; as it is where it is none."""
    lines = data.split(b"\n")
    at = draw.randrange(len(lines))
    try:
        plain = json.loads(data)
        whole = True
    except (ValueError, RecursionError):
        whole = False
        try:
            plain = json.loads(lines[at])
        except (ValueError, RecursionError):
            return data
    said = json.dumps(_altered(draw, plain)).encode("utf-8", "surrogatepass")
    if whole:
        return said
    lines[at] = said
    return b"\n".join(lines)


def _altered(draw: random.Random, plain: Any) -> Any:
    if isinstance(plain, dict) and plain and draw.random() < 0.85:
        name = draw.choice(list(plain))
        if draw.random() < 0.1:
            return {k: v for k, v in plain.items() if k != name}
        return {**plain, name: _altered(draw, plain[name])}
    if isinstance(plain, list) and plain and draw.random() < 0.85:
        at = draw.randrange(len(plain))
        return [*plain[:at], _altered(draw, plain[at]), *plain[at + 1 :]]
    if isinstance(plain, str) and plain[:1] in ("{", "[") and draw.random() < 0.85:  # JSON in a text, as recipes have
        try:
            return json.dumps(_altered(draw, json.loads(plain)))
        except (ValueError, RecursionError):
            pass
    if isinstance(plain, str) and len(plain) > 20 and draw.random() < 0.7:
        data = plain.encode("utf-8", "surrogatepass")
        return _change(draw, data, (data,)).decode("utf-8", "replace")
    return draw.choice(VALUES)
