"""A run of the tests has one verdict: the same examples every day, nothing skipped in silence, never green on nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHECKOUT
from needs import FISH, NEEDS, RELEASE, ZSH, closing_line

NEEDY = """
import needs

def test_one():
    needs.missing(needs.{need}, "it is not here")
"""
DRAWS = """
from hypothesis import given, settings, strategies as st

seen = []

@settings(max_examples=200)
@given(st.tuples(st.integers(), st.text(), st.floats(), st.sets(st.integers()), st.sampled_from(["a", "b"])))
def test_one(drawn):
    seen.append(repr(drawn))

def test_they_vary():
    assert len(set(seen)) > 100
    print("drawn", hash_of(seen))

def hash_of(seen):
    from hashlib import sha256
    return sha256("\\n".join(seen).encode("utf-8", "surrogatepass")).hexdigest()
"""


def run(file: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A run of pytest with this project's settings on a file elsewhere."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS")}
    path = os.pathsep.join((str(CHECKOUT / "tests"), str(CHECKOUT), os.environ.get("PYTHONPATH", "")))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(CHECKOUT / "pyproject.toml"), "-p", "conftest", "-p", "no:cacheprovider",
         "-p", "hypothesispytest", "-s", *options, str(file)],
        env={**inherited, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment}, cwd=file.parent, capture_output=True, text=True,
    )  # fmt: skip


def drawn(file: Path, *options: str, **environment: str) -> str:
    """A hash of all that the tests of `DRAWS` drew."""
    done = run(file, *options, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "drawn " in line)
    return line


def test_a_run_that_selects_nothing_fails(tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(DRAWS)
    assert run(file, "-k", "nothing").returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert run(file, "-m", "trainers").returncode == pytest.ExitCode.NO_TESTS_COLLECTED


def test_what_is_missing_is_said_last_and_fails_in_ci(tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(NEEDY.format(need="ZSH"))
    done = run(file)
    assert done.returncode == 0
    assert "skipped for want of zsh (1; apt-get install zsh)\n" in done.stdout
    in_ci = run(file, CI="true")
    assert in_ci.returncode == pytest.ExitCode.TESTS_FAILED
    assert "needs zsh: it is not here (apt-get install zsh)" in in_ci.stdout


def test_data_that_is_not_ours_is_skipped_in_ci_too_but_is_not_all_that_runs(tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(NEEDY.format(need="RELEASE"))
    alone = run(file, CI="true")
    assert "skipped for want of OpenAI's release (1; RBR_DATA=FOLDER" in alone.stdout
    assert alone.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, "nothing ran"
    file.write_text(NEEDY.format(need="RELEASE") + "\ndef test_two():\n    pass\n")
    assert run(file, CI="true").returncode == 0


def test_the_closing_line_names_each_thing_once() -> None:
    reasons = [f"Skipped: needs {FISH.name}: x", f"Skipped: needs {RELEASE.name}: x", f"Skipped: needs {FISH.name}: y"]
    line = closing_line(reasons)
    assert "\n" not in line
    assert f"{FISH.name} (2; {FISH.brings})" in line
    assert f"{RELEASE.name} (1; {RELEASE.brings})" in line
    assert ZSH.name not in line
    assert closing_line(["Skipped: of no interest"]) == ""
    assert len({need.name for need in NEEDS}) == len(NEEDS)


def test_examples_are_the_same_every_day_whatever_is_loaded_and_fresh_at_night(tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(DRAWS)
    everyday = drawn(file, PYTHONHASHSEED="1")
    file.write_text("import rbrlang.lang.reading.parse, rbrlang.grading.embedded.evidence\n" + DRAWS)
    assert drawn(file, "--hypothesis-seed=1", PYTHONHASHSEED="2") == everyday
    nights = [drawn(file, "--hypothesis-profile=nightly", f"--hypothesis-seed={seed}") for seed in (1, 1, 2)]
    assert nights[0] == nights[1]
    assert len({everyday, *nights}) == 3
