"""What other programs get from `rbrc check`, read by readers that are not ours; and `--deny`, `--watch`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from sarif_pydantic import Sarif

from rbrlang.cli.commands.language.formats import junit
from rbrlang.cli.main import main
from rbrlang.policy import check, check_text

GOLDEN = Path(__file__).parent / "golden"
FILES = [str(path) for path in sorted(GOLDEN.glob("*.rbr"))]
SOUND = 'prop a "a"\nresponse r ranks x > y\nr.x := a\nr.y := otherwise\n'


def printed(capsys: pytest.CaptureFixture[str], format: str, *files: str) -> str:
    assert main(["check", "--format", format, *files]) == 1
    return capsys.readouterr().out


def test_sarif_is_read_by_another_reader_and_places_every_finding(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "sarif", *FILES)
    log = Sarif.model_validate_json(text)
    (run,) = log.runs
    found = {d for file in FILES for d in check(file).diagnostics}
    assert len(run.results or ()) == len({(d.code, d.message, repr(d.span)) for d in found})
    rules = [rule.id for rule in run.tool.driver.rules or ()]
    assert len(rules) == len(set(rules))
    data: Any = json.loads(text)
    assert data["version"] == "2.1.0"
    for result in data["runs"][0]["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        for place in (*result["locations"], *result.get("relatedLocations", ())):
            region = place["physicalLocation"]["region"]
            assert region["startLine"] >= 1
            assert region["startColumn"] >= 1
            assert (region["endLine"], region["endColumn"]) >= (region["startLine"], region["startColumn"])
            assert " " not in place["physicalLocation"]["artifactLocation"]["uri"]


def test_sarif_fixes_say_what_check_fix_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a b.rbr"
    path.write_text(SOUND.replace(":= a", ":= not a"))
    data = json.loads(printed(capsys, "sarif", str(path)))
    (result,) = data["runs"][0]["results"]
    (change,) = result["fixes"][0]["artifactChanges"]
    assert change["artifactLocation"]["uri"].endswith("a%20b.rbr")
    assert change["replacements"] == [
        {"deletedRegion": {"startLine": 3, "startColumn": 8, "endLine": 3, "endColumn": 12}, "insertedContent": {"text": "!"}}
    ]  # fmt: skip


def test_a_clean_run_is_an_empty_sarif_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.rbr"
    path.write_text(SOUND)
    assert main(["check", "--format", "sarif", str(path)]) == 0
    assert Sarif.model_validate_json(capsys.readouterr().out).runs[0].results == []


def test_github_commands_are_one_line_each_and_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a,b%.rbr"
    path.write_text("d := a and b\n")
    lines = printed(capsys, "github", str(path)).splitlines()
    assert lines
    for line in lines:
        head, _, message = line.removeprefix("::").partition("::")
        command, _, properties = head.partition(" ")
        assert command in ("error", "warning", "notice")
        values = dict(item.split("=", 1) for item in properties.split(","))
        assert values["file"].endswith("a%2Cb%25.rbr")
        assert values["line"] == "1"
        assert message


def test_junit_counts_what_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = tmp_path / "clean.rbr"
    clean.write_text(SOUND)
    root = ET.fromstring(
        printed(capsys, "junit", str(GOLDEN / "3001_announcement.rbr"), str(GOLDEN / "4001_unused.rbr"), str(clean))
    )
    suites = root.findall("testsuite")
    assert [(s.get("tests"), s.get("failures")) for s in suites] == [("2", "2"), ("1", "0"), ("1", "0")]
    assert (root.get("tests"), root.get("failures")) == ("4", "2")
    assert len(root.findall(".//failure")) == 2
    assert "witness: apology" in (root.find(".//failure").text or "")  # type: ignore[union-attr]
    assert main(["check", "--deny", "warnings", "--format", "junit", str(GOLDEN / "4001_unused.rbr")]) == 1
    assert ET.fromstring(capsys.readouterr().out).get("failures") == "1"


def test_junit_survives_what_xml_cannot_say() -> None:
    checked = check_text('prop a "\x07\ufffe<&>"\nd := \x1b[31m\n', name='<"&\x01>.rbr')
    root = ET.fromstring(junit([('<"&>', checked.diagnostics)], set(checked.diagnostics)))
    assert root.findall(".//failure")


@pytest.mark.parametrize(
    ("deny", "code"),
    [
        ([], 0),
        (["warnings"], 1),
        (["RBR4001"], 1),
        (["rbr4001"], 1),
        (["RBR4002"], 0),
        (["RBR4002", "RBR4001"], 1),
        (["warning"], 2),
        (["RBR4999"], 2),
    ],
)
def test_what_is_denied_fails(deny: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [part for text in deny for part in ("--deny", text)]
    assert main(["check", *arguments, str(GOLDEN / "4001_unused.rbr")]) == code
    if code == 2:
        assert "did you mean" in capsys.readouterr().err


def test_notes_are_denied_by_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--deny", "RBR4003", str(GOLDEN / "4003_unmapped.rbr")]) == 1


# --- watching ---------------------------------------------------------------------------------


# A shell starts background jobs, and so perhaps this test, with SIGINT ignored; children inherit that.
_INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from rbrlang.cli.main import main
sys.exit(main())
"""


class Watcher:
    """`rbrc check --watch` as a process of its own; every report ends with the line `watching …`."""

    def __init__(self, *files: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _INTERRUPTIBLE, "check", "--watch", *map(str, files)],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip

    def report(self) -> str:
        assert self.process.stdout is not None
        lines: list[str] = []
        hang = threading.Timer(60, self.process.kill)
        hang.start()
        try:
            return self._read(lines)
        finally:
            hang.cancel()

    def _read(self, lines: list[str]) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("watching "):
                return "".join(lines)
        raise AssertionError("".join(lines))

    def interrupted(self) -> int:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)
        return self.process.returncode


def test_watching_follows_the_file_and_what_it_imports(tmp_path: Path) -> None:
    base, root = tmp_path / "base.rbr", tmp_path / "root.rbr"
    base.write_text('prop a "a"\n')
    root.write_text('use "base.rbr" (a)\nresponse r ranks x > y\nr.x := a\nr.y := otherwise\n')
    watcher = Watcher(root)
    try:
        first = watcher.report()
        assert "no findings" in first
        assert "watching 2 files" in first
        base.write_text('prop b "b"\n')
        assert "RBR2001" in watcher.report()
        base.unlink()
        assert "RBR2005" in watcher.report()
        base.write_text('prop a "a"\n')
        assert "no findings" in watcher.report()
        root.unlink()
        assert "there is no such file" in watcher.report()
        root.write_text(SOUND)
        assert "no findings" in watcher.report()
        assert watcher.interrupted() == 0
    finally:
        watcher.process.kill()
        watcher.process.wait()


def test_watching_ends_with_the_last_result(tmp_path: Path) -> None:
    path = tmp_path / "p.rbr"
    path.write_text("prop a 3\n")
    watcher = Watcher(path)
    try:
        assert "RBR1001" in watcher.report()
        assert watcher.interrupted() == 1
    finally:
        watcher.process.kill()
        watcher.process.wait()


@pytest.mark.parametrize("more", [["--fix"], ["--format", "json"]])
def test_watching_is_for_people(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--watch", *more, str(GOLDEN / "4001_unused.rbr")]) == 2
    assert "leave out" in capsys.readouterr().err
