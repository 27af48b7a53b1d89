"""Shared by the tests: the release's data where it can be had, policies made from it, and trainers where they are."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]


def release_folder() -> Path | None:
    """The folder of OpenAI's release: below RBR_DATA, or beside the checkout."""
    named = os.environ.get("RBR_DATA")
    candidates = [Path(named), Path(named) / "openai-rbr"] if named else []
    candidates.append(CHECKOUT.parent / "shared" / "data" / "openai-rbr")
    return next((c for c in candidates if (c / "proposition_prompts.yaml").is_file()), None)


def trainer(module: str) -> Any:
    """A module of a trainer; where it is missing the test is skipped by name, in CI it fails."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if os.environ.get("CI"):
            pytest.fail(f"{module} cannot be imported: {error}")
        pytest.skip(f"needs {module.split('.')[0]}: {error}")


@pytest.fixture(scope="session")
def openai_release() -> Path:
    """OpenAI's release; absent data skips by name, except in CI, where it is a failure."""
    found = release_folder()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("the release's data is missing: set RBR_DATA to the folder that holds openai-rbr/")
        pytest.skip("needs OpenAI's release: set RBR_DATA to the folder that holds openai-rbr/")
    return found


@pytest.fixture(scope="session")
def openai_policy_file(openai_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release's policy, freshly imported by the command line."""
    from rbrlang.cli.main import main

    target = tmp_path_factory.mktemp("openai") / "openai.rbr"
    assert main(["import", "openai-rbr", str(openai_release / "proposition_prompts.yaml"), "-o", str(target)]) == 0
    return target
