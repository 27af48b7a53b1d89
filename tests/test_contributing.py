"""CONTRIBUTING.md maps the house as it is: every room is on it, and nothing on it is missing."""

from __future__ import annotations

import re

from conftest import CHECKOUT

MAP = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PACKAGE = CHECKOUT / "rbrlang"


def test_the_map_names_every_room_and_no_other() -> None:
    rooms = {module.parent.relative_to(PACKAGE).as_posix() + "/" for module in PACKAGE.rglob("*.py")} - {"./"}
    table = [line for line in MAP.splitlines() if line.startswith("| `")]
    named = [name for line in table for name in re.findall(r"`([\w/]+/)`", line.split("|")[1])]
    assert sorted(named) == sorted(rooms), "one row a room, in the table of CONTRIBUTING.md"


def test_what_the_map_names_is_there() -> None:
    paths = set(re.findall(r"(?<![\w/])(?:rbrlang|tests|docs|\.ci|grammar|stdlib_rules)/[\w./]*", MAP))
    assert len(paths) > 8
    assert [path for path in sorted(paths) if "nnnn" not in path and not (CHECKOUT / path).exists()] == []


def test_the_readme_leads_to_it() -> None:
    assert "(CONTRIBUTING.md)" in (CHECKOUT / "README.md").read_text(encoding="utf-8")
