"""One table of words: what it finds is what the language's own lexer finds, and every highlighter shows it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from needs import NODE, missing
from pygments.token import Error, Keyword, Name, String

from rbrlang import highlight
from rbrlang.cli.main import parser_of
from rbrlang.highlight_pygments import RbrLexer
from rbrlang.lang.reading import grammar
from rbrlang.lang.reading.tokens import lex
from rbrlang.source import Source

CHECKOUT = Path(__file__).resolve().parents[1]
VSCODE = CHECKOUT / "editors" / "vscode"
FOLDERS = ("stdlib_rules", "examples", "tests", "benchmarks", "docs")
POLICIES = sorted(path for folder in FOLDERS for path in (CHECKOUT / folder).rglob("*.rbr"))


def _readable(path: Path) -> str | None:
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if any(d.code.id in ("RBR1002", "RBR1003") for d in lex(Source("", text)).diagnostics) else text


TEXTS = {path: text for path in POLICIES if (text := _readable(path)) is not None}


def _real(text: str) -> list[tuple[int, int]]:
    lexed = lex(Source("", text))
    tokens = [(t.start, t.end) for chunk in lexed.chunks for t in chunk.tokens]
    return sorted(tokens + [(c.span.start, c.span.end) for c in lexed.comments])


def _table(text: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for word in highlight.words(text):
        if word.kind.name == "annotation":  # two tokens to the parser
            found += [(word.start, word.start + 1), (word.start + 1, word.end)]
        else:
            found.append((word.start, word.end))
    return found


def test_the_table_lists_the_words_and_signs_of_the_grammar() -> None:
    assert len(TEXTS) > 50
    assert highlight.unlisted() == set()


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_words_are_those_of_the_lexer_in_every_policy_of_the_repository(path: Path) -> None:
    assert _table(TEXTS[path]) == _real(TEXTS[path])


_TABLES = grammar.load()
_PIECES = st.sampled_from([
    *_TABLES.words, *_TABLES.symbols, "a", "ab_1", "_", "0", "-3", "1.5e-3", '"x"', '"\\""', '"# no"', '"""a\n"b"""',
    '"""\\""""""', "# rbr: allow RBR1 -- x\n", "## doc\n", "# c\n", " ", "\n", "\t", "é", "A", "@prior",
])  # fmt: skip


@given(st.lists(_PIECES, max_size=12).map("".join))
def test_words_are_those_of_the_lexer_in_any_readable_text(text: str) -> None:
    if any(d.code.id in ("RBR1002", "RBR1003") for d in lex(Source("", text)).diagnostics):
        assert list(highlight.words(text)) is not None  # unreadable text only has to be survived
    else:
        assert _table(text) == _real(text)


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_pygments_loses_nothing_and_sees_no_error(path: Path) -> None:
    pieces = list(RbrLexer(stripnl=False, ensurenl=False).get_tokens(TEXTS[path]))
    assert "".join(text for _, text in pieces) == TEXTS[path].replace("\r\n", "\n").replace("\r", "\n")
    assert not [text for kind, text in pieces if kind is Error]


def test_pygments_tells_words_apart() -> None:
    pieces = {text: kind for kind, text in RbrLexer().get_tokens('@prior(0.3) prop x "any" # any\ny := any(g) é')}
    assert pieces["prop"] is Keyword.Declaration
    assert pieces["@prior"] is Name.Decorator
    assert pieces["any"] is Name.Builtin
    assert pieces['"any"'] in String
    assert pieces["é"] is Error


def test_pygments_finds_the_lexer_by_its_entry_point() -> None:
    declared = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    [(name, value)] = declared["pygments.lexers"].items()
    assert EntryPoint(name, value, "pygments.lexers").load() is RbrLexer
    assert RbrLexer.filenames == ("*.rbr",)


def test_the_published_textmate_grammar_is_the_tables() -> None:
    assert highlight.TEXTMATE.read_text(encoding="utf-8") == highlight.textmate_text(), (
        "run: python -m rbrlang.highlight"
    )


_NAMES = {"variable.other.rbr", "entity.name.type.rbr", "entity.name.function.rbr"}


@pytest.mark.editors
def test_vs_codes_own_engine_colours_what_the_table_says() -> None:
    node = _node()
    paths = [path for path, text in TEXTS.items() if text.strip() and "\r" not in text]
    command = [node, "test/grammar.js", *map(str, paths)]
    done = subprocess.run(command, cwd=VSCODE, capture_output=True, text=True, check=True)
    for path, line in zip(paths, done.stdout.splitlines(), strict=True):
        text = TEXTS[path]
        scopes: list[str] = [""] * (len(text.encode("utf-16-le")) // 2)
        for start, end, scope in json.loads(line):
            scopes[start:end] = [scope] * (end - start)
        units = [0]
        for character in text:
            units.append(units[-1] + 1 + (character > "\uffff"))
        for word in highlight.words(text):
            shown = {
                scopes[u]
                for at in range(word.start, word.end)
                if not text[at].isspace()
                for u in range(units[at], units[at + 1])
            }
            allowed = _NAMES if word.kind.name == "name" else {word.kind.scope}
            if text[word.start : word.end] == ".":
                allowed = allowed | {"entity.name.function.rbr"}  # `response.class :=` is one thing to a reader
            assert shown <= allowed, (path.name, text[word.start : word.end], shown)


_LOADED = """
const vscode = new Proxy(class {}, { get: (own, name) => (name === "prototype" ? own.prototype : vscode) });
require("node:module")._load = ((load) => (name, ...rest) => (name === "vscode" ? vscode : load(name, ...rest)))(
  require("node:module")._load,
);
console.log(Object.keys(require(process.argv[1])).sort().join());
"""


@pytest.mark.editors
def test_the_extension_is_packaged_in_one_file_with_all_licences(tmp_path: Path) -> None:
    node = _node()
    package = tmp_path / "rbr.vsix"
    command = ["npm", "run", "--silent", "package", "--", "-o", str(package)]
    done = subprocess.run(command, cwd=VSCODE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path)
    inside = tmp_path / "extension"
    assert {path.relative_to(inside).as_posix() for path in inside.rglob("*") if path.is_file()} == {
        "LICENSE.txt", "readme.md", "package.json", "language-configuration.json", "syntaxes/rbr.tmLanguage.json",
        "dist/extension.js", "dist/LICENSES.txt",
    }  # fmt: skip
    assert (inside / "syntaxes/rbr.tmLanguage.json").read_bytes() == highlight.TEXTMATE.read_bytes()
    manifest = json.loads((inside / "package.json").read_text(encoding="utf-8"))
    program, *arguments = manifest["contributes"]["configuration"]["properties"]["rbr.command"]["default"]
    assert program == "rbrc"
    assert parser_of(*arguments).parse_args(arguments).command == "lsp"
    licences = (inside / "dist/LICENSES.txt").read_text(encoding="utf-8").splitlines()
    assert {"vscode-languageclient", "vscode-jsonrpc", "minimatch", "semver"} <= set(licences)
    loaded = [node, "-e", _LOADED, str(inside / manifest["main"])]
    exports = subprocess.run(loaded, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert exports.stdout.strip() == "activate,deactivate"


def _node() -> str:
    node = shutil.which("node")
    if node is None or not (VSCODE / "node_modules").is_dir():
        missing(NODE, "there is no node" if node is None else "`npm ci` was not run in editors/vscode")
    return node


def test_the_extension_names_files_that_are_there() -> None:
    package = json.loads((VSCODE / "package.json").read_text(encoding="utf-8"))
    named = [Path(package["main"]).name, package["contributes"]["grammars"][0]["path"]]  # `main` is built of it
    named.append(package["contributes"]["languages"][0]["configuration"])
    assert [name for name in named if not (VSCODE / name).is_file()] == []
    assert package["contributes"]["grammars"][0]["scopeName"] == highlight.textmate()["scopeName"]


def test_the_pre_commit_hooks_run(tmp_path: Path) -> None:
    good = tmp_path / "good.rbr"
    good.write_text(
        'prop a "A."\nresponse r ranks x > y\nr.x := a\nr.y := otherwise\ncategory "c" -> r\ntest "t" for r { given a expect x }\n',
        encoding="utf-8",
    )
    subprocess.run([sys.executable, "-m", "rbrlang.cli", "fmt", good], check=True, capture_output=True)
    bad = tmp_path / "bad.rbr"
    bad.write_text("axiom a &\n", encoding="utf-8")
    for hook in yaml.safe_load((CHECKOUT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")):
        program, *arguments = hook["entry"].split()
        assert program == "rbrc"
        codes = [
            subprocess.run([sys.executable, "-m", "rbrlang.cli", *arguments, file], capture_output=True).returncode
            for file in (good, bad)
        ]
        assert (hook["id"], *codes) == (hook["id"], 0, 1)
