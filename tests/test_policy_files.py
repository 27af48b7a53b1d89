"""Folders, standard input, line ends, and documents that are no file."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from rbrlang.cli.main import main
from rbrlang.lang.printing.format import formatted
from rbrlang.lsp.act import findings, format
from rbrlang.lsp.workspace import Workspace, key_of
from rbrlang.source import Source

SMALL = 'prop a "It is."\nresponse r ranks good > bad\nr.good := a\nr.bad := otherwise\n'

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "refusals" / "policy.rbr"
TEXT = EXAMPLE.read_text(encoding="utf-8")
WRONG = 'use "there.rbr" (p)\nx := nothing\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b/two.rbr", "a.rbr", ".hidden/three.rbr", "b/.git/four.rbr"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(EXAMPLE, name)
    Path("empty").mkdir()
    return tmp_path


def given(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize("command", ["check", "test", "fmt"])
def test_a_folder_is_all_policies_below_it(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("--check",) if command == "fmt" else ()
    assert main([command, ".", "b", *more, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    files = [one["file"] for one in found["policies" if command == "check" else "files"]]
    assert files == ["./a.rbr", "./b/two.rbr", "b/two.rbr"]
    assert main([command, "empty"]) == 2
    assert f"rbrc {command}: `empty` is a folder without a .rbr file" in capsys.readouterr().err


def test_standard_input_is_a_file_with_a_name(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, code, there in (("<stdin>", 1, False), ("b/new.rbr", 1, True)):
        Path("b/there.rbr").write_text('prop p "P."\n', encoding="utf-8")
        given(monkeypatch, WRONG.encode())
        assert main(["check", "-", "--stdin-filename", name]) == code
        out = capsys.readouterr().out
        assert f"--> {name}:2:6" in out
        assert ("no file `there.rbr`" in out) != there
    given(monkeypatch, TEXT.encode())
    assert main(["test", "-"]) == 0
    assert capsys.readouterr().out.startswith("<stdin>: ")
    given(monkeypatch, b"prop \xff")
    assert main(["check", "-"]) == 1
    assert "not UTF-8 text: byte 0xff on line 1" in capsys.readouterr().out
    for wrong in (
        ["check", "-", "--fix"],
        ["check", "-", "--watch"],
        ["check", "-", "a.rbr"],
        ["test", "-", "--watch"],
    ):
        assert main(wrong) == 2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_are_kept(end: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "ends.rbr"
    file.write_bytes(TEXT.replace("\n", end).encode())
    assert main(["fmt", "--check", str(file)]) == 0
    assert main(["check", str(file), "--format", "json"]) == 0
    fingerprint = json.loads(capsys.readouterr().out)["policies"][0]["fingerprint"]
    assert main(["check", "a.rbr", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["policies"][0]["fingerprint"] == fingerprint
    file.write_bytes(TEXT.replace("\n", end).replace("prop apology", "prop   apology").encode())
    assert main(["fmt", str(file)]) == 0
    assert file.read_bytes() == TEXT.replace("\n", end).encode()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_language_server_agrees(end: str) -> None:
    text = TEXT.replace("\n", end)
    workspace = Workspace()
    key = key_of("untitled:Untitled-1")
    workspace.put(key, "untitled:Untitled-1", text)
    document = workspace.document(key)
    assert format(document.source, workspace.encoding.of(document.source)) == []
    assert formatted(Source("x", text)) == text
    assert document.source.position(text.index("param ")) == Source("x", TEXT).position(TEXT.index("param "))


@pytest.mark.parametrize(
    "uri", ["untitled:Untitled-1", "git:/home/me/p.rbr?%7B%22ref%22%3A%22%22%7D", "vscode-vfs://github/a/b/p.rbr", "x:"]
)
def test_documents_that_are_no_file_have_findings(uri: str) -> None:
    workspace = Workspace()
    key = key_of(uri)
    workspace.put(key, uri, "x := nothing\n")
    found = findings(workspace, workspace.document(key))
    assert [d.message for d in found[key] if "nothing" in d.message]
    assert workspace.uri(key) == uri
    assert not Path(key).exists()
    assert key_of(uri + "2") != key


# --- an artefact in the place of a policy's text ----------------------------------------------


COMMANDS = [
    ("check",), ("fmt", "--check"), ("test",), ("graph",), ("explain", "--given", ""), ("plan",), ("diff", "again"),
    ("compile", "-o", "out"), ("synth", "-o", "out"), ("grade", "rows", "-o", "out"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_an_artefact_in_the_place_of_a_text_is_called_one(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.rbr").write_text(SMALL, encoding="utf-8")
    assert main(["compile", "p.rbr", "-o", "p.rbrc"]) == 0
    Path("rows").write_text('{"prompt": "p", "completion": "c"}\n', encoding="utf-8")
    capsys.readouterr()
    name, *more = command
    file = "again.rbr" if name == "explain" else "p.rbrc"  # whatever it is called
    Path("again.rbr").write_bytes(Path("p.rbrc").read_bytes())
    assert main([name, file, *(["p.rbr"] if more == ["again"] else more)]) in (1, 2)
    said = capsys.readouterr()
    assert "an artefact, a compiled policy, and not the text of one" in said.err + said.out
    assert "rbrc inspect" in said.err + said.out
