"""The command reference is what the program says, and the program explains all that it takes."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from rbrlang.cli.main import COMMANDS, module
from rbrlang.cli.reference import reference

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_published_reference_is_the_programs() -> None:
    published = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert published == reference(), "run: python -m rbrlang.cli.reference > docs/commands.md"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_says_what_it_is_for(command: str) -> None:
    parser = argparse.ArgumentParser(prog=command)
    module(command).configure(parser)
    silent = [a.dest for a in parser._actions if not a.help]  # pyright: ignore[reportPrivateUsage]
    assert silent == []


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("seed", ["-1", "1.5", "", "one", "nan"])
def test_every_seed_is_a_whole_number(command: str, seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(prog=command)
    module(command).configure(parser)
    taken = any("--seed" in action.option_strings for action in parser._actions)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--seed", seed, "--no-such-option"])
    assert (f"--seed: `{seed}` is not a whole number of 0 or more" in capsys.readouterr().err) == taken
