"""Messages look as reviewed: one golden text for every mistake, and underlining that fits any script."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from rbrlang import codes
from rbrlang.cli.render import dump, pretty, to_json
from rbrlang.diagnostics import Diagnostic, Fix, mass_text, witness_text
from rbrlang.policy import check
from rbrlang.source import Source, Span

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path for path in GOLDEN.glob("*.rbr"))


def rendered(path: Path) -> str:
    """What `rbrc check` prints about a file, its folder left out."""
    checked = check(path)
    text = "\n".join(pretty(d) for d in checked.diagnostics)
    return text.replace(f"{GOLDEN}{os.sep}", "")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_messages_are_as_reviewed(path: Path) -> None:
    """RBR_UPDATE_GOLDEN=1 writes them anew; then read the difference."""
    expected = path.with_suffix(".txt")
    found = rendered(path)
    if os.environ.get("RBR_UPDATE_GOLDEN") == "1":
        expected.write_text(found, encoding="utf-8")
    assert found == expected.read_text(encoding="utf-8")


# Made by a command's arguments or by sizes that no one would review as a file; tested where they are made.
ELSEWHERE = {"RBR1008", "RBR1014", "RBR2016", "RBR3008"}


def test_every_code_of_the_language_has_a_golden_example() -> None:
    wanted = {id for id in codes.ALL if id < "RBR5"} - ELSEWHERE
    shown = {d.code.id for path in CASES for d in check(path).diagnostics}
    assert wanted <= shown
    for path in CASES:  # a file is named for the code it is about
        number = f"RBR{path.stem[:4]}"
        assert number in {d.code.id for d in check(path).diagnostics}, path.name


def test_no_golden_text_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {path.stem for path in CASES}


@pytest.mark.parametrize("code", codes.ALL.values(), ids=lambda code: code.id)
def test_every_code_is_explained_tersely(code: codes.Code) -> None:
    assert code.title[0].islower() or code.title[0] == "`" or code.title.startswith(("RE2", "UTF"))
    assert not code.title.endswith(".")
    assert code.why.endswith(".")
    assert code.severity in ("error", "warning", "note")


def marked(text: str, start: int, end: int) -> list[str]:
    """The lines of a rendered excerpt below its frame."""
    source = Source("f.rbr", text)
    lines = pretty(Diagnostic(codes.SYNTAX, "m", Span(source, start, end))).splitlines()
    return lines[2:]


def test_the_underlining_fits_wide_combining_and_tabbed_text() -> None:
    assert marked("a漢字b", 1, 3) == ["  |", "1 | a漢字b", "  |  ^^^^"]
    assert marked("e\u0301x", 2, 3) == ["  |", "1 | e\u0301x", "  |  ^"]
    assert marked("\ta", 1, 2) == ["  |", "1 |     a", "  |     ^"]
    assert marked("a\x1b[31mb", 0, 1) == ["  |", "1 | a\\u001b[31mb", "  | ^"]


def test_a_span_of_several_lines_is_marked_on_its_first() -> None:
    assert marked("one two\nthree", 4, 13) == ["  |", "1 | one two", "  |     ^^^"]


def test_the_end_of_the_file_is_a_place() -> None:
    assert marked("abc", 3, 3) == ["  |", "1 | abc", "  |    ^"]
    assert marked("", 0, 0) == []


def test_long_lines_are_cut_around_the_mistake() -> None:
    text = "x" * 500 + "HERE" + "y" * 500
    _, line, under = marked(text, 500, 504)
    assert len(line) < 180
    at = under.index("^")
    assert line[at : at + 4] == "HERE"
    assert under.count("^") == 4


def test_other_files_are_named_beside_what_is_related() -> None:
    here, there = Source("here.rbr", "a"), Source("there.rbr", "\n  b")
    text = pretty(Diagnostic(codes.DUPLICATE, "m", Span(here, 0, 1), related=(("first", Span(there, 3, 4)),)))
    assert " ::: there.rbr:2:3\n2 |   b\n  |   - first\n" in text


def test_colour_changes_nothing_but_colour() -> None:
    diagnostic = Diagnostic(codes.GAP, "m", Span(Source("f", "abc"), 0, 1), help="h", witness=(("a", True),), mass=0.5)
    plain, coloured = pretty(diagnostic), pretty(diagnostic, colour=True)
    assert "\x1b[" not in plain

    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_json_counts_from_one_with_exclusive_ends() -> None:
    source = Source("f.rbr", "ab\ncd")
    fix = Fix("t", Span(source, 3, 5), "new", "machine-applicable")
    diagnostic = Diagnostic(
        codes.OVERLAP,
        "m",
        Span(source, 1, 4),
        (("r", Span(source, 0, 1)),),
        "h",
        (("a", True), ("b", False)),
        0.25,
        (fix,),
    )
    assert json.loads(dump(to_json(diagnostic))) == {
        "code": "RBR3002", "severity": "error", "message": "m", "file": "f.rbr", "help": "h",
        "range": {"start": {"line": 1, "column": 2}, "end": {"line": 2, "column": 2}},
        "related": [
            {"message": "r", "file": "f.rbr", "range": {"start": {"line": 1, "column": 1}, "end": {"line": 1, "column": 2}}}
        ],
        "witness": {"a": True, "b": False}, "mass": 0.25,
        "fixes": [{
            "title": "t", "applicability": "machine-applicable",
            "edits": [{
                "file": "f.rbr", "text": "new",
                "range": {"start": {"line": 2, "column": 1}, "end": {"line": 2, "column": 3}},
            }],
        }],
    }  # fmt: skip


def test_masses_and_witnesses_read_well() -> None:
    assert [mass_text(m) for m in (0, 1, 0.0625, 0.00031, 1e-9)] == ["0 %", "100 %", "6.25 %", "0.031 %", "1.0e-09"]
    assert witness_text([("a", True), ("words > 3", False)]) == "a, !words > 3"
