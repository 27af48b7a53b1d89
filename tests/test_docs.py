"""What the documents say is run, or at least could be: policies are checked, commands parsed, imports resolved, files read."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from rbrlang.cli.main import COMMANDS, parser_of
from rbrlang.policy import check_text

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(path for path in (ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
FENCED = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(*kinds: str) -> list[Any]:
    """The fenced blocks of some kinds, each with the page's name and its number there."""
    return [
        pytest.param(block, id=f"{path.stem}-{number}")
        for path in PAGES
        for number, (kind, block) in enumerate(FENCED.findall(path.read_text(encoding="utf-8")))
        if kind in kinds
    ]


README = next(param.values[0] for param in blocks("rbr") if param.id == "README-0")
WRONG_TWICE = {"RBR3001", "RBR3002"}


@pytest.mark.parametrize("block", blocks("rbr"))
def test_a_block_of_rbr_does_what_the_text_says(block: str) -> None:
    expected = WRONG_TWICE if block == README else set(re.findall(r"\A# finds (RBR\d+)", block))
    found = {d.code.id for d in check_text(block).diagnostics if d.severity == "error" or d.code.id in expected}
    assert found == expected


def test_the_readme_shows_what_is_wrong_with_its_policy() -> None:
    shown = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^error\[(RBR\d+)\]", shown, re.MULTILINE)) == WRONG_TWICE


def commands(block: str) -> Iterator[list[str]]:
    """Calls of `rbrc` in a block of shell, without what surrounds them."""
    for line in re.sub(r"\\\n", " ", block).splitlines():
        if not re.search(r"(^|[\s$(])rbrc ", line):
            continue
        lexer = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        call: list[str] = []
        for word in (*lexer, ";"):
            if set(word) <= set(";&|()<>"):
                if call[:1] == ["rbrc"]:
                    yield call[1:]
                call = ["the file of"] if set(word) <= {"<", ">"} else []
            else:
                call.append(word)


SHELL = [
    pytest.param(words, id=f"{param.id}-{number}")
    for param in blocks("sh", "bash", "console", "text", "yaml")
    for number, words in enumerate(commands(param.values[0]))
    if words and words[0] in COMMANDS and "…" not in " ".join(words)
]


@pytest.mark.parametrize("words", SHELL)
def test_a_command_is_one_that_there_is(words: list[str]) -> None:
    """Its options exist and take such values; it is not run."""
    if "--help" not in words:
        parser_of(words[0]).parse_args(words)


@pytest.mark.parametrize("block", blocks("python"))
def test_python_compiles_and_imports_what_there_is(block: str) -> None:
    if "..." in block:  # a call with something left out
        block = re.sub(r",\s*\.\.\.\s*\)", ")", block)
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rbrlang":
            module = import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name) or import_module(f"{node.module}.{name.name}")
        elif (
            isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("rbr", "rbrlang")
        ):
            assert hasattr(import_module("rbrlang"), node.attr), f"rbrlang has no {node.attr}"


@pytest.mark.parametrize("block", blocks("json", "toml"))
def test_data_can_be_read(block: str) -> None:
    try:
        json.loads(re.sub(r",\s*…", "", block))
    except ValueError:
        tomllib.loads(block)


def test_there_are_examples_to_run() -> None:
    counts = {kind: len(blocks(kind)) for kind in ("rbr", "python", "sh")}
    assert counts["rbr"] >= 20
    assert counts["python"] >= 10
    assert counts["sh"] >= 20
    assert len(SHELL) >= 60
