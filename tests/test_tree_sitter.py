"""Does the tree-sitter grammar accept what the Lark grammar accepts, and nothing else?"""

from __future__ import annotations

import ctypes
import importlib.util
import random
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT
from lark import Lark
from lark.exceptions import LarkError
from needs import COMPILER, missing
from tree_sitter import Language, Parser, Query, QueryCursor

import rbrlang
from rbrlang.lang.reading.parse import parse
from rbrlang.lang.reading.tokens import lex
from rbrlang.source import Source

FOLDER = CHECKOUT / "editors" / "tree-sitter-rbr"
FILES = sorted(p for room in ("stdlib_rules", "examples", "tests/golden") for p in (CHECKOUT / room).rglob("*.rbr"))
# What the reader refuses and no grammar could: it is found in the tree, in a string or a number, or by the words around it.
BEYOND = {"RBR1006", "RBR1007", "RBR1009", "RBR1011", "RBR1013", "RBR1015"}
BY_NAME = {"1001_misspelt_keyword", "2018_check", "2020_variable"}  # a name where only some names have a meaning


def _maker() -> Any:
    spec = importlib.util.spec_from_file_location("make_tree_sitter", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = _maker()


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Language:
    """The grammar, compiled as an editor compiles it."""
    compiler = shutil.which("cc")
    if compiler is None:
        missing(COMPILER, "there is no cc")
    library = tmp_path_factory.mktemp("grammar") / "rbr.so"
    sources = [FOLDER / "src" / "parser.c", FOLDER / "src" / "scanner.c"]
    subprocess.run([compiler, "-shared", "-fPIC", "-I", FOLDER / "src", *sources, "-o", library], check=True)
    function = ctypes.CDLL(str(library)).tree_sitter_rbr
    function.restype = ctypes.c_void_p
    capsule = ctypes.pythonapi.PyCapsule_New
    capsule.restype, capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return Language(capsule(function(), b"tree_sitter.Language", None))


def test_it_is_made_from_the_lark_grammar() -> None:
    assert MAKER.made() == tuple(p.read_text(encoding="utf-8") for p in (MAKER.GRAMMAR, MAKER.QUERIES)), (
        "run: python editors/tree-sitter-rbr/make.py, and what it says"
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_read_as_the_reader_reads_it(path: Path, language: Language) -> None:
    content = path.read_bytes()
    try:
        _, found = parse(Source(str(path), content.decode()))
    except UnicodeDecodeError:
        return  # no text, and so no policy
    errors = {finding.code.id for finding in found if finding.severity == "error"}
    tree = Parser(language).parse(content)
    if errors and (errors <= BEYOND or path.stem in BY_NAME):
        assert not tree.root_node.has_error
    else:
        assert tree.root_node.has_error == bool(errors)


def _accepted(grammar: Lark, text: str) -> bool:
    try:
        grammar.parse(text)
    except LarkError:
        return False
    return True


def test_a_statement_with_a_word_too_few_or_too_many_is_judged_alike(language: Language) -> None:
    strict, lenient = (
        MAKER.lark(),
        MAKER.lark("contextual"),
    )  # which takes a word of the language for a name where it can
    parser, chance = Parser(language), random.Random(1)
    judged = {True: 0, False: 0}
    for path in (CHECKOUT / "stdlib_rules").rglob("*.rbr"):
        for chunk in lex(Source("policy", path.read_text(encoding="utf-8"))).chunks:
            words = [token.text for token in chunk.tokens]
            at = chance.randrange(len(words))
            for instead in ([words[at]], [], [words[at]] * 2, words[at + 1 : at + 2]):
                text = " ".join([*words[:at], *instead, *words[at + 1 :]])
                good = _accepted(strict, text)
                judged[good] += 1
                read = not parser.parse(text.encode()).root_node.has_error
                assert good <= read <= _accepted(lenient, text), text
    assert min(judged.values()) > 100, judged


def test_the_query_colours_a_policy(language: Language) -> None:
    text = b'# why\n@prior(0.2)\nprop sorry "Says sorry."\nresponse r ranks good > bad\nr.good := sorry &\n  !(sorry)\n'
    tree = Parser(language).parse(text)
    query = Query(language, MAKER.QUERIES.read_text(encoding="utf-8"))
    found = {
        kind: sorted(node.text.decode() for node in nodes)
        for kind, nodes in QueryCursor(query).captures(tree.root_node).items()
    }
    assert found["keyword"] == ["prop", "ranks", "response"]
    assert (found["comment"], found["string"], found["number"]) == (["# why"], ['"Says sorry."'], ["0.2"])
    assert (found["variable"], found["type"], found["constant"]) == (["sorry"], ["r"], ["bad", "good"])
    assert found["operator"] == ["!", "&", ":=", ">"]


def test_zeds_extension_is_of_this_grammar_and_colours_what_zed_knows(language: Language) -> None:
    folder = CHECKOUT / "editors" / "zed"
    manifest = tomllib.loads((folder / "extension.toml").read_text(encoding="utf-8"))
    assert {"id", "name", "version", "schema_version"} <= manifest.keys()
    grammar = manifest["grammars"]["rbr"]
    assert (grammar["rev"], manifest["version"]) == (f"v{rbrlang.__version__}", rbrlang.__version__)
    assert CHECKOUT / grammar["path"] == FOLDER
    (room,) = (folder / "languages").iterdir()
    config = tomllib.loads((room / "config.toml").read_text(encoding="utf-8"))
    assert (config["grammar"], config["path_suffixes"]) == ("rbr", ["rbr"])
    query = Query(language, (room / "highlights.scm").read_text(encoding="utf-8"))
    # Of those that its themes colour (zed.dev/docs/extensions/languages).
    known = {"attribute", "comment", "constant", "keyword", "number", "operator", "string", "type", "variable"}
    assert {query.capture_name(at) for at in range(query.capture_count)} == known
