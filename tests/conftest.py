"""Shared by the tests: which examples are drawn, the data and trainers where they are, and what a run's verdict is."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.internal.conjecture import providers
from needs import NEMO_GYM, RELEASE, RUBRICS, TRAINERS, Need, closing_line, in_ci, missing

CHECKOUT = Path(__file__).resolve().parents[1]
os.environ["RBR_NEXT"] = "0"  # tests are about what commands do; what they suggest is tested in test_guide.py

# Every day the same examples, so that one tree has one verdict, on a slow machine too.
settings.register_profile(
    "everyday",
    derandomize=True, database=None, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
# At night fresh ones; `.ci/nightly` draws the seed and says it. What fails is kept, and tried first the next time.
settings.register_profile(
    "nightly",
    settings.get_profile("everyday"),
    derandomize=False, database=DirectoryBasedExampleDatabase(CHECKOUT / ".hypothesis" / "examples"),
)  # fmt: skip
settings.load_profile("everyday")


def pytest_configure() -> None:
    """Keep what a test draws from depending on what else is loaded: Hypothesis takes constants out of all modules."""
    if settings.get_current_profile_name() == "everyday":
        none = providers._local_constants
        providers._get_local_constants = lambda: none


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line on what was skipped because this machine lacks something."""
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", ())]
    line = closing_line(skipped)
    if line:
        terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a run in which no test ran is a failure, as one that selects none is everywhere."""
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    ran = any(reporter.stats.get(outcome) for outcome in ("passed", "failed", "error", "xfailed", "xpassed"))
    if in_ci() and not ran and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def data(need: Need, folder: str, file: str) -> Path:
    """A folder of data that is not ours, known by one of its files: below RBR_DATA, or beside the checkout."""
    named = os.environ.get("RBR_DATA")
    candidates = [Path(named), Path(named) / folder] if named else []
    candidates.append(CHECKOUT.parent / "shared" / "data" / folder)
    found = next((c for c in candidates if (c / file).is_file()), None)
    if found is None:
        missing(need, f"there is no {folder}/{file} below RBR_DATA or beside the checkout")
    return found


def trainer(module: str) -> Any:
    """A module of a trainer; where it is missing the test is skipped by name, in CI it fails."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing(NEMO_GYM if module.startswith("nemo_gym") else TRAINERS, str(error))


@pytest.fixture(scope="session")
def openai_release() -> Path:
    """The folder of OpenAI's release; where it is not, its tests are skipped by name."""
    return data(RELEASE, "openai-rbr", "proposition_prompts.yaml")


@pytest.fixture(scope="session")
def published_rubrics() -> Path:
    """The folder of published rubrics in their own formats; where it is not, its tests are skipped by name."""
    return data(RUBRICS, "rubrics", "SOURCES.md")


@pytest.fixture(scope="session")
def rubrics(openai_release: Path) -> Path:
    """Small excerpts of public files, beside OpenAI's release."""
    found = openai_release.parent / "rubrics"
    if not found.is_dir():
        pytest.skip("needs excerpts of public files: set RBR_DATA to the folder that holds rubrics/")
    return found


@pytest.fixture(scope="session")
def openai_policy_file(openai_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release's policy, freshly imported by the command line."""
    from rbrlang.cli.main import main

    target = tmp_path_factory.mktemp("openai") / "openai.rbr"
    assert main(["import", "openai-rbr", str(openai_release / "proposition_prompts.yaml"), "-o", str(target)]) == 0
    return target
