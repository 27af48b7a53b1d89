"""The hashed development requirements are those of `pyproject.toml`."""

from __future__ import annotations

import re
import tomllib

import pytest
from conftest import CHECKOUT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

RENEW = "run: sh .ci/supply"


def _wanted() -> list[Requirement]:
    """What the extra `dev` installs, extras of the project's own followed."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found, pending, seen = [Requirement(r) for r in project["dependencies"]], ["dev"], set[str]()
    while pending:
        extra = pending.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for requirement in map(Requirement, project["optional-dependencies"][extra]):
            if requirement.name == project["name"]:
                pending += sorted(requirement.extras)
            else:
                found.append(requirement)
    return found


def _locked() -> dict[str, list[tuple[str, int]]]:
    """By name, the versions that are pinned (several under markers) and how many hashes each has."""
    text = (CHECKOUT / "requirements" / "dev.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, list[tuple[str, int]]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            pin = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", line)
            assert pin is not None, line
            found.setdefault(canonicalize_name(pin[1]), []).append((pin[2], line.count("--hash=sha256:")))
    return found


@pytest.mark.parametrize("requirement", _wanted(), ids=str)
def test_every_requirement_is_pinned_to_a_version_that_it_allows(requirement: Requirement) -> None:
    pins = _locked().get(canonicalize_name(requirement.name), [])
    assert pins, RENEW
    assert any(requirement.specifier.contains(version, prereleases=True) for version, _ in pins), RENEW


def test_every_pin_has_a_hash() -> None:
    assert [name for name, pins in _locked().items() if not all(count for _, count in pins)] == []
