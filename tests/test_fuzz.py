"""Every fuzz target on some hundred inputs, and that a target that misbehaves is noticed. RBR_FUZZ says how many inputs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.drive import complaint, input_of, seeds, watched
from fuzz.mutate import WORDS
from fuzz.targets import SEEDS, TARGETS

MANY = int(os.environ.get("RBR_FUZZ", "200"))


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_documented_errors_comes_out(name: str) -> None:
    for number in range(MANY):
        data = input_of(name, number)
        said = complaint(TARGETS[name].run, data)
        assert said is None, f"{name} input {number}: {data[:2000]!r}\n{said}"
    assert len(seeds(name)) < MANY or name == "policy"


@pytest.mark.parametrize("name", ["policy", "rows", "server", "replies"])
def test_what_was_found_stays_found(name: str) -> None:
    """Every kept seed by itself, also those that lie behind many others."""
    for path in sorted((SEEDS / name).iterdir()):
        assert complaint(TARGETS[name].run, path.read_bytes()) is None, path.name


def test_inputs_follow_from_their_numbers_and_differ() -> None:
    first = [input_of("rows", number) for number in range(300)]
    assert first == [input_of("rows", number) for number in range(300)]
    assert len(set(first)) > 270
    assert any(len(data) > 2_000 for data in first)
    assert sum(any(word in data for data in first) for word in WORDS) > len(WORDS) / 2


def test_a_failure_and_a_hang_are_noticed() -> None:
    def fails(data: bytes) -> None:
        raise KeyError(data)

    def leaves(data: bytes) -> None:
        sys.exit(3)

    def hangs(data: bytes) -> None:
        with watched(0.05):
            while True:
                try:
                    while True:
                        pass
                except Exception:  # as careless code does
                    continue

    assert "KeyError: b'x'" in (complaint(fails, b"x") or "")
    assert "SystemExit: 3" in (complaint(leaves, b"x") or "")
    assert "TooSlow" in (complaint(hangs, b"x") or "")
    assert complaint(len, b"x") is None  # type: ignore[arg-type]


def test_the_command_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    log = tmp_path / "fuzz.jsonl"
    command = [sys.executable, "-m", "fuzz", "replies", "--inputs", "600", "--seed", "2", "--log", str(log)]
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)])}
    for chunks in (2, 2):
        done = subprocess.run(command, cwd=tests, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("replies: 600 inputs from seed 2, 0 failures")
        assert len(log.read_text(encoding="utf-8").splitlines()) == chunks
