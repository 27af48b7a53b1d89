"""What do shells complete with the script of `rbrc completion`? Each is asked as its user would: it runs the script itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from needs import BASH, FISH, ZSH, Need, missing

from rbrlang.cli.main import COMMANDS, main

BASH_ASKED = """
source "$1"; COMP_WORDS=("${@:2}"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE="${COMP_WORDS[*]}"
_shtab_rbrc rbrc "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"; printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH_ASKED = "source $argv[1]; complete -C (string join ' ' -- $argv[2..])"
# A terminal of its own: what Tab made of the line is what Enter hands to the command.
ZSH_ASKED = """
zmodload zsh/zpty; zpty -b terminal zsh -f -i; zpty -w terminal 'rbrc() { print "TOOK:$*:" }; eval "$(cat '$1')"; print READY'
zpty -r terminal said $'*READY\\r*'; zpty -w -n terminal "${*:2}"$'\\t\\n'; zpty -r terminal said '*TOOK:*:*'; print -r -- "$said"
"""
LINES = (
    (("comp",), {"compile", "completion"}),
    (("check", "--fo"), {"--format"}),
    (("check", "--format", "sa"), {"sarif"}),
    (("check", "po"), {"policy.rbr"}),
    (("check", "one.rbr", "po"), {"policy.rbr"}),
    (("check", "--format", "json", "--de"), {"--deny"}),
    (("grade", "--grader", "po"), {"policy.rbr"}),
    (("import", "llama-guard", "po"), {"policy.rbr"}),
    (("completion", "z"), {"zsh"}),
)


def _script(shell: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["completion", shell]) == 0
    script = folder / f"complete.{shell}"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    (folder / "policy.rbr").touch()
    return script


def _asked(shell: str, need: Need, program: str, script: Path, *words: str) -> list[str]:
    found = shutil.which(shell)
    if found is None:
        missing(need, "it is not installed")
    bare = {
        "bash": ["--norc", "-c", program, "-"],
        "fish": ["--no-config", "-c", program],
        "zsh": ["-fc", program, "-"],
    }
    command = [found, *bare[shell], str(script), "rbrc", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=script.parent, timeout=60)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = _script("bash", tmp_path, capsys)
    assert set(_asked("bash", BASH, BASH_ASKED, script, "")) == set(COMMANDS)
    assert set(_asked("bash", BASH, BASH_ASKED, script, "--v")) == {"--version"}
    for words, expected in LINES:
        assert set(_asked("bash", BASH, BASH_ASKED, script, *words)) == expected, words


def test_fish_completes_and_says_what_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = _script("fish", tmp_path, capsys)
    for words, expected in LINES:
        found = [line.split("\t") for line in _asked("fish", FISH, FISH_ASKED, script, *words)]
        assert {line[0] for line in found} == expected, words
    (option,) = _asked("fish", FISH, FISH_ASKED, script, "check", "--form")
    assert option == "--format\thow to print the result"


def test_zsh_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = _script("zsh", tmp_path, capsys)
    for words, expected in LINES[1:4]:
        said = "\n".join(_asked("zsh", ZSH, ZSH_ASKED, script, *words))
        assert f"TOOK:{' '.join([*words[:-1], *expected])}" in said


@pytest.mark.parametrize("shell", ["tcsh", "powershell"])
def test_other_shells_have_a_script_with_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(command in script for command in COMMANDS)
