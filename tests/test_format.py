"""`rbrc fmt`: idempotent, keeps what a file says, and every comment, wherever it stands."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import models, partitioned

from rbrlang.cli.main import main
from rbrlang.diagnostics import PolicyError
from rbrlang.lang.printing.format import WIDTH, formatted
from rbrlang.lang.reading.parse import parse
from rbrlang.lang.reading.tokens import lex
from rbrlang.policy import check_text
from rbrlang.source import Source

CHECKOUT = Path(__file__).resolve().parents[1]
OURS = sorted(
    [*CHECKOUT.glob("stdlib_rules/**/*.rbr"), *CHECKOUT.glob("examples/**/*.rbr"), *CHECKOUT.glob("rbrlang/**/*.rbr")]
)
EVERY = sorted(
    path for path in CHECKOUT.rglob("*.rbr") if not {".git", "build", ".venv"} & set(path.relative_to(CHECKOUT).parts)
)


def fmt(text: str) -> str:
    return formatted(Source("t.rbr", text))


def comments(text: str) -> list[str]:
    return [comment.text for comment in lex(Source("t.rbr", text)).comments]


def scattered(text: str, seed: int) -> str:
    """The same text with comments, line ends and blanks wherever white space may stand; strings left alone."""
    source = Source("t.rbr", text)
    rng = random.Random(seed)
    out, end, number = [], 0, 0
    for chunk in lex(source).chunks:
        for at, token in enumerate(chunk.tokens):
            gap = text[end : token.start]
            depth = sum({"{": 1, "(": 1, "}": -1, ")": -1}.get(t.text, 0) for t in chunk.tokens[:at])
            free = at == 0 or depth > 0 or chunk.tokens[at - 1].text in ("&", "|", "=>", "<=>", ":=", ",", "!")
            free = free or token.text in ("&", "|", "=>", "<=>", ":=", "->", "{", ">")
            if "#" not in gap and rng.random() < 0.25:
                if free:
                    mark = rng.choice(("#", "##", "# rbr: allow RBR4001 -- why", "#  x  ", "#{ not code"))
                    gap = (
                        gap
                        + rng.choice((" ", "\n", "\n\n\n"))
                        + f"{mark} {number}"
                        + rng.choice(("\n", "\n\n\n", "\n\t"))
                    )
                    number += 1
                elif at:
                    gap += rng.choice(("", "  ", "\t"))
            out.append(gap + token.text)
            end = token.end
    return "".join(out) + text[end:]


@settings(max_examples=100, deadline=None)
@given(models(responses=2), st.integers(0, 2**32))
def test_generated_policies_with_comments_anywhere(model: object, seed: int) -> None:
    text = partitioned(model).text()  # pyright: ignore[reportArgumentType]
    wild = scattered(text, seed)
    assert not parse(Source("t.rbr", wild))[1], "the scattering must leave a good file"
    once = fmt(wild)
    assert fmt(once) == once
    assert comments(once) == comments(wild)
    before, after = check_text(text), check_text(once)
    assert after.ok == before.ok
    if before.ok:
        assert after.fingerprint == before.fingerprint


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_our_own_files_survive_anything(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for seed in range(3):
        wild = scattered(text, seed)
        assert not parse(Source("t.rbr", wild))[1]
        once = fmt(wild)
        assert fmt(once) == once
        assert comments(once) == comments(wild)


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_our_own_files_are_formatted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert fmt(text) == text


def test_every_file_that_can_be_read_is_formatted_once_and_for_all() -> None:
    done = 0
    for path in EVERY:
        text = path.read_bytes().decode("utf-8", "replace")
        try:
            once = fmt(text)
        except PolicyError:
            continue
        assert fmt(once) == once, path
        assert [d.code for d in check_text(once, name=str(path)).diagnostics] == [
            d.code for d in check_text(text, name=str(path)).diagnostics
        ], path
        done += 1
    assert done > 60


def test_the_release_keeps_its_fingerprint(openai_policy_file: Path) -> None:
    text = openai_policy_file.read_text(encoding="utf-8")
    once = fmt(text)
    assert fmt(once) == once
    assert check_text(once).fingerprint == check_text(text).fingerprint


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a:=b&!c\n", "a := b & !c\n"),
        ("a := b\nlonger:=c   # why\n\n\n\nx := y\n", "a      := b\nlonger := c  # why\n\nx := y\n"),
        ("group g={ a,b , }\n", "group g = { a, b }\n"),
        ("a := b & # one\n  # two\n  c\n", "a := b  # one\n  # two\n  & c\n"),
        ("a := at_least( 2,{ b,c } )|words>60\n", "a := at_least(2, {b, c}) | words > 60\n"),
        ("use std.x( a,b )\nuse std.y   as  z\n", "use std.x (a, b)\nuse std.y as z\n"),
        ("test \"t\" for r {given a,!b expect x|y}\n", "test \"t\" for r {\n  given a, !b\n  expect x | y\n}\n"),
        ("cases r{->i a,b->j}\n", "cases r {\n  -> i\n  a, b -> j\n}\n"),
        ("prop a \"s\" {ask \"\"\"\n x\n   y\n\"\"\"}\n", "prop a \"s\" {\n  ask \"\"\"\n    x\n      y\n    \"\"\"\n}\n"),
        ("@prior(.5)\n", None),
        ("\r\n\r\n# c\r\n\r\n\r\na := b\r\n\r\n", "# c\r\n\r\na := b\r\n"),
        ("# c\r\r\ra := b\r", "# c\r\ra := b\r"),
        ("# c\na :=   b\r\n", "# c\na := b\n"),
        ("# c\r\na :=   b\n", "# c\r\na := b\r\n"),
        ("## doc\na := b ## not the doc of c\nc := d\n", "## doc\na := b  ## not the doc of c\nc := d\n"),
        ("", ""),
        ("\n\n", ""),
    ],
)  # fmt: skip
def test_one_layout(before: str, after: str | None) -> None:
    if after is None:
        with pytest.raises(PolicyError):
            fmt(before)
    else:
        assert fmt(before) == after
        assert fmt(after) == after


def test_long_things_break_where_they_are_loosest() -> None:
    parts = [f"proposition_number_{n}" for n in range(6)]
    once = fmt(f"x := ({' & '.join(parts)}) => {' | '.join(parts)}\ngroup g = {{{', '.join(parts)}}}\n")
    assert all(len(line) <= WIDTH for line in once.splitlines())
    assert once.splitlines()[0].startswith("x := (proposition_number_0")
    assert "\n  => proposition_number_0\n    | proposition_number_1\n" in once
    assert fmt(once) == once


def test_a_statement_with_an_excuse_is_not_broken() -> None:
    long = " & ".join(f"proposition_number_{n}" for n in range(8))
    once = fmt(f"# rbr: allow RBR4001 -- why\nx := {long}\n")
    assert once == f"# rbr: allow RBR4001 -- why\nx := {long}\n"


# --- the command ------------------------------------------------------------------------------


def test_files_are_rewritten_and_then_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.rbr"
    file.write_bytes(b'\xef\xbb\xbfprop   a "s"\r\n')
    assert main(["fmt", "--check", str(file)]) == 1
    assert "would change" in capsys.readouterr().out
    assert main(["fmt", "--diff", str(file)]) == 1
    assert '+prop a "s"' in capsys.readouterr().out
    assert main(["fmt", str(file)]) == 0
    assert file.read_bytes() == b'\xef\xbb\xbfprop a "s"\r\n'
    stamp = file.stat().st_mtime_ns
    assert main(["fmt", str(file)]) == 0 == main(["fmt", "--check", str(file)])
    assert file.stat().st_mtime_ns == stamp


def test_what_cannot_be_read_is_left_alone_and_the_rest_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = tmp_path / "bad.rbr", tmp_path / "good.rbr"
    bad.write_text("a := b & | c\n  prop\n")
    good.write_text("a:=b\n")
    assert main(["fmt", "--format", "json", str(bad), str(good)]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [file["state"] for file in report["files"]] == ["unreadable", "formatted"]
    assert report["diagnostics"][0]["code"] == "RBR1001"
    assert bad.read_text() == "a := b & | c\n  prop\n"
    assert good.read_text() == "a := b\n"
    bad.write_bytes(b"a := \xff")
    assert main(["fmt", str(bad)]) == 2
    assert main(["fmt", str(tmp_path)]) == 2
    assert main(["fmt", str(tmp_path / "none.rbr")]) == 2


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a:=b")))
    assert main(["fmt", "-"]) == 0
    assert capsys.readouterr().out == "a := b\n"
