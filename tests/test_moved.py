"""Names that documentation once gave import what they did, and say the new name."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from rbrlang.moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_is_the_same_module(old: str):
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"`{MOVED[old]}` now"):
        module = import_module(old)
    assert module is import_module(MOVED[old])
    assert module.__name__ == module.__spec__.name == MOVED[old]


def test_an_old_name_imports_from_its_package():
    code = (
        "from rbrlang.grading import agreement\nfrom rbrlang.learning.rows import read_rows\nprint(agreement.__name__)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "rbrlang.grading.trust.agreement\n"


def test_a_module_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        import_module("rbrlang.learning.nothing")
