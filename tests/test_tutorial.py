"""The tutorial does what it says: its blocks are run in order, in one folder, and what it shows is what comes out."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import CHECKOUT

PAGE = (CHECKOUT / "docs" / "tutorial.md").read_text(encoding="utf-8")
_FENCE = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, the file that it is or changes, and its text."""

    language: str
    file: str
    text: str


BLOCKS = [Block(*found) for found in _FENCE.findall(PAGE)]


def changed(text: str, change: str) -> str:
    """A text after a change shown as lines with - and +, which fit in one place."""
    before = "".join(line[1:] for line in change.splitlines(keepends=True) if line[0] in " -")
    after = "".join(line[1:] for line in change.splitlines(keepends=True) if line[0] in " +")
    assert text.count(before) == 1, before
    return text.replace(before, after)


def shown(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def run(block: Block, folder: Path, environment: dict[str, str], *, fails: bool) -> tuple[str, Path]:
    """What the commands of a block print, and the folder they end in; each has to end as the page says."""
    said = ""
    for command in block.text.splitlines():
        if command.startswith("cd "):
            folder = folder / shlex.split(command)[1]
            continue
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert (done.returncode != 0) == fails, (command, done.stdout)
        said += done.stdout
    return said, folder


@pytest.mark.slow
def test_every_block_of_the_tutorial_runs_and_shows_what_comes_out(tmp_path: Path) -> None:
    assert PAGE.count("\n```") == 2 * len(BLOCKS), "a fence that the pattern does not know would not be run"
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, words in (("rbrc", (sys.executable, "-m", "rbrlang.cli")), ("python", (sys.executable,))):
        (tools / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        (tools / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "RBR_NEXT"}
    environment |= {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120", "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    folder, said, policies = tmp_path, "", ""
    for block, after in zip(BLOCKS, [*BLOCKS[1:], BLOCKS[-1]], strict=True):
        match block.language:
            case "sh":
                said, folder = run(block, folder, environment, fails=after.text.startswith("error["))
                policies = "".join(file.read_text(encoding="utf-8") for file in folder.glob("*.rbr"))
            case "diff":
                file = folder / block.file
                file.write_text(changed(file.read_text(encoding="utf-8"), block.text), encoding="utf-8")
            case "python":
                (folder / block.file).write_text(block.text, encoding="utf-8")
            case "text" if block.text.startswith("{"):
                row = re.search(r'^{"id": "7a".*', (folder / "rows.jsonl").read_text(encoding="utf-8"), re.MULTILINE)
                said_of_it = re.findall(r'"\w+": (?:"[^"…]*"|[\w.]+)', block.text)
                assert row is not None
                assert len(said_of_it) > 5
                assert [part for part in said_of_it if part not in row[0]] == []
            case "text":
                lines = iter(shown(said) if block.text.split()[0] != "response" else shown(policies))
                for line in shown(block.text):
                    assert line in lines, f"`{line}` does not come out in this place:\n{said}"
            case other:
                pytest.fail(f"a block of `{other}` is not run: {block.text}")
    outcome = {line[:12].strip(): line[12:].split() for line in said.splitlines()}
    assert float(outcome["base reward"][-1]) > 0.5, "the base reward alone learns to promise"
    assert float(outcome["with rules"][1]) > 0.9, "with the rules nearly all is ideal"
