"""`--allow-python`: may the functions that a policy names be run?"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rbrlang.logic.circuit import Circuit


def python_argument(parser: argparse.ArgumentParser) -> None:
    """`--allow-python`."""
    parser.add_argument(
        "--allow-python", action="store_true",
        help="run the functions that `python(\"…\")` in the policy names, each text in a process beside this one",
    )  # fmt: skip


@contextlib.contextmanager
def python_allowed(options: argparse.Namespace) -> Generator[None]:
    """Let functions be asked in this process while a command runs that was told to."""
    if not getattr(options, "allow_python", False):
        yield
        return
    from rbrlang.functions import allow_all

    before = allow_all(True)
    try:
        yield
    finally:
        allow_all(before)


def allow_python(options: argparse.Namespace, circuit: Circuit) -> None:
    """The same from now on, in a worker too; raises `FunctionError` at once where a function of the policy cannot be asked."""
    if any(atom.measure is not None and atom.measure[0] == "python" for atom in circuit.atoms):
        from rbrlang.functions import allow_all, check
        from rbrlang.reward.measure import functions_of

        if options.allow_python:
            allow_all(True)
        check(functions_of(circuit))
