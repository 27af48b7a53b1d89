"""Which tree-sitter grammar accepts what `grammar/rbr.lark` does? `python editors/tree-sitter-rbr/make.py` writes it.

Rules and words are those of the Lark grammar; a few terminals are said anew, as tree-sitter's patterns know neither
look-ahead nor possessive repetition. `src/scanner.c` decides where a statement ends. After a change:
`tree-sitter generate --no-bindings src/grammar.json` (0.22 or later) in this folder writes `src/parser.c`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from lark import Lark
from lark.grammar import Rule

HERE = Path(__file__).resolve().parent
GRAMMAR, QUERIES = HERE / "src" / "grammar.json", HERE / "queries" / "highlights.scm"
PATTERNS = {
    "NAME": "[a-z_][a-z0-9_]*",
    "NUMBER": r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?",
    "STRING": r'"([^"\\\n]|\\.)*"',
    "LONG_STRING": r'"""([^"\\]|\\[^"]|\\"|"[^"\\]|"\\.|""[^"\\]|""\\.)*"""',
    "comment": r"#[^\n]*",
}
QUERY = """\
; Written by make.py.
[{words}] @keyword
(comment) @comment
[(string) (long_string)] @string
(number) @number
(annotation "@" @attribute (name) @attribute)
[{signs}] @operator
(prop (name) @variable)
(response (name_list (name) @type))
(tier (name) @constant)
(cascade_line (name) @constant)
"""


def lark(lexer: Literal["basic", "contextual"] = "basic") -> Lark:
    """The grammar as it is."""
    text = (HERE.parents[1] / "grammar" / "rbr.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", lexer=lexer, keep_all_tokens=True, maybe_placeholders=False)


def made() -> tuple[str, str]:
    """The text of `grammar.json` and of `highlights.scm`."""
    grammar = lark()
    values = {terminal.name: terminal.pattern.value for terminal in grammar.terminals}
    end, statement = ({"type": "SYMBOL", "name": name} for name in ("_line_end", "statement"))
    lines = _choice([end, {"type": "SEQ", "members": [statement, end]}])
    last = _choice([statement, {"type": "BLANK"}])
    rules: dict[str, Any] = {"source_file": {"type": "SEQ", "members": [{"type": "REPEAT", "content": lines}, last]}}
    alternatives: dict[str, list[Any]] = {}
    for rule in grammar.rules:
        alternatives.setdefault(_name(str(rule.origin.name)), []).append(_sequence(rule, values))
    rules |= {name: _choice(members) for name, members in alternatives.items()}
    rules |= {name.lower(): {"type": "PATTERN", "value": value} for name, value in PATTERNS.items()}
    blanks = [{"type": "PATTERN", "value": r"[ \t\f\r\n]"}, {"type": "SYMBOL", "name": "comment"}]
    document = {"name": "rbr", "word": "name", "rules": rules, "extras": blanks, "externals": [end]}
    fixed = sorted(value for name, value in values.items() if name not in PATTERNS and "IGNORE" not in name)
    words = " ".join(f'"{value}"' for value in fixed if value.isidentifier())
    signs = " ".join(f'"{value}"' for value in fixed if set(value) <= set("!&|=<>:-"))
    empty = {name: list[Any]() for name in ("conflicts", "precedences", "inline", "supertypes")}
    return json.dumps(document | empty, indent=1) + "\n", QUERY.format(words=words, signs=signs)


def _name(rule: str) -> str:
    """A repetition that Lark made of a rule is no node of its own: its name begins with `_`."""
    return "statement" if rule == "start" else f"_{rule.strip('_')}" if rule.startswith("_") else rule


def _sequence(rule: Rule, values: dict[str, str]) -> Any:
    members: list[Any] = []
    for symbol in rule.expansion:
        name = str(symbol.name)
        if symbol.is_term and name not in PATTERNS:
            members.append({"type": "STRING", "value": values[name]})
        else:
            members.append({"type": "SYMBOL", "name": name.lower() if symbol.is_term else _name(name)})
    return members[0] if len(members) == 1 else {"type": "SEQ", "members": members}


def _choice(members: list[Any]) -> Any:
    return members[0] if len(members) == 1 else {"type": "CHOICE", "members": members}


if __name__ == "__main__":
    for path, text in zip((GRAMMAR, QUERIES), made(), strict=True):
        path.write_text(text, encoding="utf-8")
