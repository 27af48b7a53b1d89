"""Which tables drive the parser?

`grammar/rbr.lark` is the grammar; Lark turns it into LALR(1) tables, strictly (a conflict is an
error). That takes a few hundred milliseconds, more than everything else that `rbrc check` does, so
the tables are kept as data in `tables.json`, next to this module, under the hash of the grammar that
they came from. When the grammar at hand has another hash, the tables are made afresh: an edited
grammar works at once, and `python -m rbrlang.lang.reading.grammar` then renews the file. A test compares the
two, and Lark's own parser is the oracle of `lalr.py`.

Not a standalone parser in Lark's sense: none of Lark's code is copied, only tables of our grammar.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from rbrlang.values import NamedTuple

TABLES = Path(__file__).with_name("tables.json")


class Rule(NamedTuple):
    """One production: what it makes, how many symbols it takes, which of them are passed on.

    `splice` marks the helper rules that Lark makes for repetition; their children join their parent's. A `plain` rule
    passes on all its symbols and has no such child.
    """

    origin: str
    size: int
    keep: tuple[int, ...]
    action: str
    splice: bool
    plain: bool


class Tables(NamedTuple):
    """LALR(1) tables. In `states`, an entry `n >= 0` shifts to state n, `n < 0` reduces by rule `-n - 1`."""

    words: dict[str, str]
    symbols: dict[str, str]
    patterns: tuple[tuple[str, str], ...]
    states: tuple[dict[str, int], ...]
    rules: tuple[Rule, ...]
    start: int
    accept: int


def grammar_path() -> Path:
    """The grammar file: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "grammar" / "rbr.lark"
    return inside if inside.exists() else package.parent / "grammar" / "rbr.lark"


def _digest(grammar: bytes) -> str:
    return hashlib.sha256(grammar.replace(b"\r\n", b"\n")).hexdigest()


def _numbered(states: Any, start: Any) -> list[Any]:
    """Lark's states in the order in which they are met from the start; its own order depends on hash seeds."""
    order = {start: None}
    for state in (pending := [start]):
        for _, (action, argument) in sorted(states[state].items(), key=lambda item: item[0]):
            if str(action) == "Shift" and argument not in order:
                order[argument] = None
                pending.append(argument)
    return list(order)


def build(grammar: bytes) -> dict[str, Any]:
    """Make the tables from the grammar's text, as JSON data. Raises Lark's GrammarError on a conflict."""
    from lark import Lark  # the one use of lark, needed only when the grammar has changed
    from lark.lexer import PatternStr

    parser = Lark(grammar.decode(), parser="lalr", lexer="basic")
    table: Any = parser.parser.parser._parse_table  # pyright: ignore  # no public access
    numbers = {id(rule): number for number, rule in enumerate(parser.rules)}
    names = {str(rule): number for number, rule in enumerate(parser.rules)}
    assert len(names) == len(parser.rules)
    order = _numbered(table.states, table.start_states["start"])
    index = {state: number for number, state in enumerate(order)}
    states: list[dict[str, int]] = []
    for state in order:
        entries: dict[str, int] = {}
        for symbol, (action, argument) in table.states[state].items():
            if str(action) == "Shift":
                entries[symbol] = index[argument]
            else:
                entries[symbol] = -(numbers.get(id(argument), names[str(argument)]) + 1)
        states.append(dict(sorted(entries.items())))
    rules: list[list[Any]] = []
    grammar_rules: list[Any] = parser.rules
    for rule in grammar_rules:
        origin = str(rule.origin.name)
        keep = [n for n, symbol in enumerate(rule.expansion) if not (symbol.is_term and symbol.filter_out)]
        plain = len(keep) == len(rule.expansion) and not any(symbol.name.startswith("__") for symbol in rule.expansion)
        rules.append([origin, len(rule.expansion), keep, rule.alias or origin, origin.startswith("__"), plain])
    words: dict[str, str] = {}
    symbols: dict[str, str] = {}
    patterns: list[list[str]] = []
    for terminal in sorted(parser.terminals, key=lambda t: -t.priority):
        if terminal.name.startswith("__IGNORE"):
            continue
        text = terminal.pattern.value
        if not isinstance(terminal.pattern, PatternStr):
            patterns.append([terminal.name, text])
        elif re.fullmatch("[a-z_]+", text):
            words[text] = terminal.name
        else:
            symbols[re.sub(r"\\(.)", r"\1", text)] = terminal.name
    start = index[table.start_states["start"]]
    return {
        "grammar": _digest(grammar),
        "words": words,
        "symbols": dict(sorted(symbols.items(), key=lambda item: (-len(item[0]), item[0]))),
        "patterns": patterns,
        "states": states,
        "rules": rules,
        "start": start,
        "accept": states[start]["start"],
    }


@cache
def load() -> Tables:
    """The tables of the grammar at hand."""
    grammar = grammar_path().read_bytes()
    try:
        data = json.loads(TABLES.read_bytes())
    except (OSError, ValueError):
        data = {}
    if data.get("grammar") != _digest(grammar):
        data = build(grammar)
    return Tables(
        words=data["words"],
        symbols=data["symbols"],
        patterns=tuple((name, pattern) for name, pattern in data["patterns"]),
        states=tuple(data["states"]),
        rules=tuple(
            Rule(origin, size, tuple(keep), action, splice, plain)
            for origin, size, keep, action, splice, plain in data["rules"]
        ),
        start=data["start"],
        accept=data["accept"],
    )


def render(data: dict[str, Any]) -> str:
    """The tables as the text of `tables.json`, one state or rule a line."""
    lines = [
        f"{json.dumps(key)}: "
        + (
            "[\n" + ",\n".join(json.dumps(item) for item in value) + "\n]"
            if key in ("states", "rules")
            else json.dumps(value)
        )
        for key, value in data.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    TABLES.write_text(render(build(grammar_path().read_bytes())), encoding="utf-8")
    sys.stdout.write(f"wrote {TABLES}\n")
