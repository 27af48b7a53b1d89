"""Which kind of word is each word of a policy file?

One table, `KINDS`, from which all highlighting is made: the Pygments lexer (`rbrlang.highlight_pygments`), the TextMate
grammar of editors (`python -m rbrlang.highlight` writes it), and the language server's semantic tokens. The patterns
are tried in the table's order; a test compares what they find with the real lexer on every policy in the repository.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from rbrlang.lang.reading import grammar

TEXTMATE = Path(__file__).resolve().parents[1] / "editors" / "vscode" / "syntaxes" / "rbr.tmLanguage.json"


class Kind(NamedTuple):
    """One kind of word.

    `words` are words of the language, listed; a kind without words has a `pattern`. `pygments` is the token type,
    `scope` the TextMate scope, `semantic` the protocol's type (empty: none).
    """

    name: str
    words: tuple[str, ...]
    pattern: str
    pygments: str
    scope: str
    semantic: str


_STATEMENTS = (
    "rbr", "use", "as", "param", "prop", "group", "axiom", "response", "ranks", "category", "reward", "test", "cases",
    "property", "override", "monotone", "judge", "for",
)  # fmt: skip
_ITEMS = (
    "ask", "yes", "no", "cue", "instruct", "because", "system", "user", "assistant", "features", "weight", "margin",
    "given", "expect", "prompt", "completion", "over",
)  # fmt: skip
_STRING = r'"(?:[^"\\\n]|\\.)*"'

KINDS = (
    Kind("doc comment", (), r"##[^\n]*", "String.Doc", "comment.line.documentation.rbr", "comment"),
    Kind("directive", (), r"#[ \t]*rbr:[^\n]*", "Comment.Special", "comment.line.directive.rbr", "comment"),
    Kind("comment", (), r"#[^\n]*", "Comment.Single", "comment.line.number-sign.rbr", "comment"),
    Kind("long string", (), r'"""(?s:\\(?=""")"""|(?!""").)*"""', "String.Double", "string.quoted.triple.rbr", "string"),
    Kind("string", (), rf'(?!"""){_STRING}', "String.Double", "string.quoted.double.rbr", "string"),
    Kind("annotation", (), r"@[a-z_][a-z0-9_]*(?!\w)", "Name.Decorator", "entity.name.decorator.rbr", "decorator"),
    # Words only where two names follow each other, which is nowhere else.
    Kind(
        "column word", (), r"(?:(?:column|choice)(?=[ \t]+[a-z_][a-z0-9_]*[ \t]*\")|scale(?=[ \t]+[a-z_][a-z0-9_]*[ \t]+[0-9]))", "Keyword.Declaration", "keyword.declaration.rbr", "keyword",
    ),
    Kind(
        "rubric word", (), r"(?:rubric(?=[ \t]+[a-z_][a-z0-9_]*[ \t]+from\b)|from(?=[ \t]+[a-z_][a-z0-9_]*[ \t]*\{))",
        "Keyword.Declaration", "keyword.declaration.rbr", "keyword",
    ),
    Kind(
        "rubric line word", (),
        r"(?:points(?=[ \t]+(?:over[ \t]+(?:positive|absolute)|sum|mean)\b)|clip(?=[ \t]+-?\d)|by(?=[ \t]+tag[ \t]+[a-z_])|(?<=by )tag(?=[ \t]+[a-z_]))",
        "Keyword", "keyword.other.rbr", "keyword",
    ),
    Kind("statement word", _STATEMENTS, "", "Keyword.Declaration", "keyword.declaration.rbr", "keyword"),
    Kind("item word", _ITEMS, "", "Keyword", "keyword.other.rbr", "keyword"),
    Kind("rule word", ("if", "otherwise", "super"), "", "Keyword", "keyword.control.rbr", "keyword"),
    Kind("constant", ("true", "false"), "", "Keyword.Constant", "constant.language.rbr", "keyword"),
    Kind(
        "quantifier", ("any", "all", "none", "at_least", "at_most", "exactly"), "",
        "Name.Builtin", "support.function.quantifier.rbr", "function",
    ),
    Kind(
        "measure", ("words", "characters", "sentences", "lines", "count", "matches", "contains"), "",
        "Name.Builtin", "support.function.measure.rbr", "function",
    ),
    Kind(
        "ramp word", (), r"(?:from|to)(?=[ \t]+\d)", "Keyword", "keyword.other.rbr", "keyword",
    ),
    Kind(
        "check", (), r"(?:equals|number_equals|json_schema|python)(?=[ \t]*\()", "Name.Builtin", "support.function.measure.rbr", "function",
    ),
    Kind("foreign operator", ("and", "or", "not"), "", "Operator.Word", "invalid.illegal.operator.rbr", "operator"),
    Kind("name", (), r"[a-z_][a-z0-9_]*(?!\w)", "Name", "variable.other.rbr", ""),
    Kind(
        "number", (), r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?!\w|\.(?!\.))",
        "Number", "constant.numeric.rbr", "number",
    ),
    Kind("definition sign", (), r":=", "Operator", "keyword.operator.definition.rbr", "operator"),
    Kind("operator", (), r"<=>|=>|->|&&|\|\||<=|>=|==|!=|[&|!<>=*]", "Operator", "keyword.operator.rbr", "operator"),
    Kind("punctuation", (), r"\.\.|[(){},.:@]", "Punctuation", "punctuation.rbr", ""),
)  # fmt: skip


class Word(NamedTuple):
    """A word of the text: its kind and its offsets."""

    kind: Kind
    start: int
    end: int


def pattern_of(kind: Kind) -> str:
    """The regular expression of a kind, without groups that capture."""
    return rf"(?:{'|'.join(kind.words)})(?![a-z0-9_\w])" if kind.words else kind.pattern


@cache
def _scanner() -> re.Pattern[str]:
    # A name that has a stray letter behind it is no name, nor are its parts: `(?<!\w)` is what keeps them out.
    words = "|".join(f"(?P<k{at}>{_bounded(kind)})" for at, kind in enumerate(KINDS))
    return re.compile(words)


def _bounded(kind: Kind) -> str:
    """The pattern of a kind, kept from beginning within a longer word; a minus sign may stand directly behind one."""
    before = (
        r"(?<!\w)"
        if kind.words or kind.name in ("name", "column word", "rubric word", "rubric line word")
        else r"(?:(?<!\w)|(?=-))"
        if kind.name == "number"
        else ""
    )
    return before + pattern_of(kind)


def words(text: str) -> Iterator[Word]:
    """The words of a text in order. White space and characters that belong to no word are passed over."""
    for match in _scanner().finditer(text):
        group = match.lastgroup
        assert group is not None
        yield Word(KINDS[int(group[1:])], match.start(), match.end())


def unlisted() -> set[str]:
    """Words and signs of the grammar that the table does not list, and listed ones that the grammar lacks; none, one hopes."""
    tables = grammar.load()
    listed = {word for kind in KINDS for word in kind.words}
    signs = set(tables.symbols)
    read = {sign for sign in signs if [text for _, *text in _spelled(sign)] == [[sign]]}
    return (set(tables.words) ^ listed) | (signs ^ read)


def _spelled(text: str) -> Iterator[tuple[Kind, str]]:
    for word in words(text):
        yield word.kind, text[word.start : word.end]


_PLACEHOLDER = {"name": "constant.other.placeholder.rbr", "match": r"\{[a-z_][a-z0-9_]*\}"}


def textmate() -> dict[str, Any]:
    """The TextMate grammar (https://macromates.com/manual/en/language_grammars), for VS Code, GitHub and others."""
    patterns: list[dict[str, Any]] = []
    reserved = "|".join(word for kind in KINDS for word in kind.words)
    for kind in KINDS:
        if kind.name == "long string":
            patterns.append({
                "name": kind.scope, "begin": '"""', "end": '"""',
                "patterns": [
                    {"name": "constant.character.escape.rbr", "match": r'\\(?:"""|\{)'}, _PLACEHOLDER,
                ],
            })  # fmt: skip
        elif kind.name == "string":
            patterns.append({
                "name": kind.scope, "begin": '"', "end": r'"|$',
                "patterns": [
                    {"name": "constant.character.escape.rbr", "match": r'\\(?:["\\/bfnrt{]|u[0-9a-fA-F]{4})'},
                    _PLACEHOLDER,
                    {"name": "invalid.illegal.escape.rbr", "match": r"\\."},
                ],
            })  # fmt: skip
        elif kind.name == "name":
            patterns += [
                # What a statement declares, and what stands before `:=`.
                {"match": rf"\b(prop|param|group|column|rubric|scale|choice)\s+(?!(?:{reserved})\b)([a-z_][a-z0-9_]*)\b", "captures": {
                    "1": {"name": "keyword.declaration.rbr"}, "2": {"name": "entity.name.type.rbr"}}},
                {"name": "entity.name.function.rbr", "match": r"\b[a-z_][a-z0-9_.]*(?=\s*:=)"},
                {"name": kind.scope, "match": r"\b[a-z_][a-z0-9_]*\b"},
            ]  # fmt: skip
        elif kind.words:
            patterns.append({"name": kind.scope, "match": rf"\b(?:{'|'.join(kind.words)})\b"})
        else:
            patterns.append({"name": kind.scope, "match": _bounded(kind).replace(r"[^\n]*", ".*$")})
    # What a statement declares has to be seen before the statement's word is taken.
    declared = next(at for at, p in enumerate(patterns) if "captures" in p)
    first = next(at for at, p in enumerate(patterns) if p.get("name") == "keyword.declaration.rbr")
    patterns.insert(first, patterns.pop(declared))
    return {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "rbr",
        "scopeName": "source.rbr",
        "fileTypes": ["rbr"],
        "patterns": patterns,
    }


def textmate_text() -> str:
    """The grammar as the text of its file."""
    return json.dumps(textmate(), indent=2) + "\n"


if __name__ == "__main__":
    TEXTMATE.parent.mkdir(parents=True, exist_ok=True)
    TEXTMATE.write_text(textmate_text(), encoding="utf-8")
    sys.stdout.write(f"wrote {TEXTMATE}\n")
