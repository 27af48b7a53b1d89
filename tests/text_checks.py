"""A user's own checks of a text: `python("text_checks.cites")` and others, some of which go wrong."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np


def cites(text: str) -> bool:
    """Whether it cites a source."""
    print("a check that prints")
    return "[1]" in text


def halves(text: str) -> float:
    """Half its length."""
    return len(text) / 2


def empty(text: str) -> np.bool_:
    """Whether it is empty, as numpy says it."""
    return np.array([len(text)]).sum() == 0


def odd(text: str) -> object:
    """Whatever the text asks for."""
    match text:
        case "raises":
            raise ValueError("no such thing")
        case "exits":
            raise SystemExit(3)
        case "ends":
            os._exit(4)
        case "waits":
            threading.Event().wait()
            return True
        case "nan":
            return float("nan")
        case "large":
            return 10**400
        case "text":
            return "yes"
        case "list":
            return [True]
        case "nothing":
            return None
        case "half":
            return 0.5
        case _:
            return 1


def counted(text: str) -> bool:
    """True; each call leaves a line in the file that the text names."""
    with Path(text).open("a") as calls:
        calls.write("called\n")
    return True


not_callable = True
