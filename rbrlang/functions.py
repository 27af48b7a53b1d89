"""What does a function of the user's own say of a text, and may it be asked?

A policy may come from elsewhere, and so nothing that it names is imported until the user allows it: for one command
(`--allow-python`), or by `allow_python=True` in Python, for the functions of that policy. Without leave `NotAllowedError` is
raised by whatever would ask one.

A function gets the text that is judged and returns true, false, a finite number, or None where it cannot say. It runs in
a process of its own, so that one that never returns, ends its process or writes to standard output costs nobody else anything:
whatever is no such value is a reason, never a number. It is asked once a text; what it said is kept for the next who asks.

    >>> ask("posixpath.isabs", "/usr")
    Traceback (most recent call last):
    ...
    rbrlang.diagnostics.NotAllowedError: the policy asks `python("posixpath.isabs")`, code that is run only with your leave: read it, then \
give `--allow-python` to the command, or `allow_python=True` in Python
    >>> allow(["posixpath.isabs"])
    >>> ask("posixpath.isabs", "/usr"), ask("posixpath.isabs", "usr")
    (True, False)
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from rbrlang.diagnostics import FunctionError, NotAllowedError

SECONDS = 10.0
"""How long one answer may take."""
IMPORT_SECONDS = 120.0
_KEPT = 8192
_LONGEST = 1 << 20


@dataclass
class _Leave:
    """What may be asked in this process: functions by name, or whatever a policy names."""

    names: set[str] = field(default_factory=set[str])
    everything: bool = False


_leave = _Leave()


def allow(names: Iterable[str]) -> None:
    """Let these functions be asked in this process. Raises `FunctionError` where one cannot be imported."""
    for name in sorted(set(names)):
        with _lock:
            _here().found(name)
        _leave.names.add(name)


def allow_all(allowed: bool) -> bool:
    """Whether whatever a policy names may be asked in this process, as in a command with `--allow-python`; what was so before."""
    before, _leave.everything = _leave.everything, allowed
    return before


def check(names: Iterable[str]) -> None:
    """Raise `NotAllowedError` where one of these functions may not be asked, `FunctionError` where it cannot be imported."""
    for name in sorted(set(names)):
        _check_leave(name)
        with _lock:
            _here().found(name)


def _check_leave(name: str) -> None:
    if not (_leave.everything or name in _leave.names):
        raise NotAllowedError(
            f'the policy asks `python("{name}")`, code that is run only with your leave: read it, then give '
            "`--allow-python` to the command, or `allow_python=True` in Python"
        )


def ask(name: str, text: str) -> bool | float | str:
    """What the function says of a text: true or false, a finite number, or why there is neither, in words. Raises as `check`."""
    _check_leave(name)
    key = name, hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).digest()
    if (known := _known(key)) is not None:  # without the lock, which another thread's slow text may hold
        return known
    with _lock:
        if (known := _known(key)) is not None:
            return known
        _here().found(name)
        found = _asked(name, text)
        _answers[key] = found
        if len(_answers) > _KEPT:
            _answers.popitem(last=False)
        return found


# --- the process that asks ------------------------------------------------------------------------

_lock = threading.RLock()
_answers: OrderedDict[tuple[str, bytes], bool | float | str] = OrderedDict()
_child: list[_Child] = []


_START = """
import json, sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
_, home, line, places = sys.argv
del sys.argv[1:]
spec = PathFinder.find_spec("rbrlang", [home])
sys.modules["rbrlang"] = package = module_from_spec(spec)
spec.loader.exec_module(package)
from rbrlang.functions import serve
serve(int(line), json.loads(places))
"""
"""This very rbrlang, and a standard library that no module in the current folder stands before."""
_GLANCE = 0.05
"""How often, in seconds, a wait looks whether the process still lives: another that it started may hold its line open."""


class _Child:
    """A process that functions run in, of this process alone: not of those that were forked from it.

    It leads a session of its own, so that Ctrl-C in a terminal does not reach it, and so that what it started ends with it.
    """

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._imported: set[str] = set()
        self._number = 0
        self._read = b""
        self._line, theirs = socket.socketpair()
        with theirs:
            home, places = str(Path(__file__).parent.parent), json.dumps(_places())
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, home, str(theirs.fileno()), places],
                env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
                stdin=subprocess.DEVNULL, stdout=2, pass_fds=(theirs.fileno(),), start_new_session=True,
            )  # fmt: skip

    def found(self, name: str) -> None:
        """Import a function, once. Raises `FunctionError` where that cannot be done."""
        if name not in self._imported:
            said = _told(name, {"import": name, "from": _places()}, IMPORT_SECONDS)
            if isinstance(said, dict):
                reason = cast("dict[str, object]", said)["reason"]
                raise FunctionError(
                    f'`python("{name}")` cannot be asked: {reason}; modules are looked for from the current folder'
                )
            self._imported.add(name)

    def told(self, request: dict[str, Any], seconds: float) -> Any:
        """The answer. Raises TimeoutError where it takes longer, EOFError where the process ended, ValueError for what is none."""
        self._number += 1
        until = time.monotonic() + seconds
        try:
            self._line.settimeout(seconds)
            self._line.sendall(json.dumps({**request, "number": self._number, "seconds": seconds}).encode() + b"\n")
            while True:
                try:
                    answer = json.loads(self._next(until))
                    if answer["number"] == self._number:
                        return _checked(answer["said"])
                except (KeyError, TypeError, OverflowError, RecursionError):
                    raise ValueError from None
        except TimeoutError:
            if self._process.poll() is None:
                raise
            raise EOFError from None
        except OSError:
            raise EOFError from None

    def _next(self, until: float) -> bytes:
        """The next line. Raises as `told`."""
        self._line.settimeout(_GLANCE)
        while b"\n" not in self._read:
            if len(self._read) > _LONGEST:
                raise ValueError
            try:
                more = self._line.recv(65536)
            except TimeoutError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                continue
            if not more:
                raise EOFError
            self._read += more
        if time.monotonic() > until:
            raise TimeoutError
        line, _, self._read = self._read.partition(b"\n")
        return line

    def end(self) -> None:
        """End the process and what it started; wait for it alone, and not for long."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._line.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)


def _places() -> list[str]:
    """Where modules are looked for: the current folder, then wherever this process looks."""
    return [os.getcwd(), *filter(None, sys.path)]


def _here() -> _Child:
    if not _child or _child[0].owner != os.getpid():
        _child[:] = [_Child()]
    return _child[0]


def _fresh() -> None:
    """After a fork: the lock may be another thread's, who is not here."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh)


@atexit.register
def _end() -> None:
    if _child and _child[0].owner == os.getpid():
        _child.pop().end()


def _told(name: str, request: dict[str, Any], seconds: float) -> object:
    try:
        return _here().told(request, seconds)
    except TimeoutError:
        _end()
        return {"reason": f"`{name}` did not answer within {seconds:g} seconds"}
    except EOFError:
        _end()
        return {"reason": f"`{name}` ended its process"}
    except ValueError:
        _end()
        return {"reason": f"`{name}` wrote where its answer belongs, which cannot be read"}
    except BaseException:  # an interrupt, say: the answer would be taken for the next text's
        _end()
        raise


def _asked(name: str, text: str) -> bool | float | str:
    found = _told(name, {"ask": name, "text": text}, SECONDS)
    if isinstance(found, dict):
        return str(cast("dict[str, object]", found)["reason"])
    return cast("bool | float", found)


def _checked(said: Any) -> Any:
    """An answer as `_answer` gives it. Raises ValueError for any other."""
    if isinstance(said, dict):
        if isinstance(cast("dict[str, object]", said).get("reason"), str):
            return cast("dict[str, object]", said)
    elif said is None or isinstance(said, bool) or (isinstance(said, int | float) and math.isfinite(said)):
        return said
    raise ValueError


def _known(key: tuple[str, bytes]) -> bool | float | str | None:
    with contextlib.suppress(KeyError):
        _answers.move_to_end(key)
        return _answers[key]
    return None


# --- the process that is asked --------------------------------------------------------------------


def serve(descriptor: int, places: list[str]) -> None:
    """Answer requests from a socket until it ends; modules are looked for in `places`, and in nothing else before this call."""
    os.set_inheritable(descriptor, False)
    os.environ["PYTHONPATH"] = os.pathsep.join(places)
    sys.path[:] = places
    starter = os.getpid()
    with socket.socket(fileno=descriptor) as line:
        for request in map(json.loads, line.makefile("rb")):
            signal.alarm(math.ceil(request["seconds"]) + 1)  # ends a function whose asker was killed
            said = _answer(request)
            signal.alarm(0)
            if os.getpid() != starter:  # a function forked and returned: the starter answers
                os._exit(0)
            line.sendall(json.dumps({"number": request["number"], "said": said}).encode() + b"\n")


def _answer(request: dict[str, Any]) -> object:
    """True, false, a finite number, or an object with the reason; null for a function that was to be imported."""
    asked = "ask" in request
    name: str = request["ask" if asked else "import"]
    module, _, function = name.rpartition(".")
    try:
        sys.path += [place for place in request.get("from", ()) if place not in sys.path]
        found: Any = getattr(importlib.import_module(module), function, None)
        if not callable(found):
            return {"reason": f"the module `{module}` has no function `{function}`"}
        return value(name, found(request["text"])) if asked else None
    except BaseException as error:  # a module, or a function, may end the process
        said = _words(error)
        return {"reason": f"{f'`{name}` raised ' if asked else ''}{type(error).__name__}{f': {said}' if said else ''}"}


def _words(error: BaseException) -> str:
    try:
        return " ".join(str(error).encode("utf-8", "backslashreplace").decode().split())[:200]
    except BaseException:  # its text is the function's own code too
        return ""


def value(name: str, found: Any) -> object:
    """What a function returned, as `_answer` gives it."""
    if hasattr(found, "dtype") and getattr(found, "ndim", None) == 0:
        found = found.item()  # numpy's truths and numbers
    if found is None:
        return {"reason": f"`{name}` does not say"}
    if isinstance(found, bool):
        return found
    if not isinstance(found, int | float):
        return {"reason": f"`{name}` returned a {type(found).__name__}, neither true nor false nor a number"}
    number = float(found)  # which raises for a whole number beyond all floats
    if not math.isfinite(number):
        return {"reason": f"`{name}` returned {number}, which is no finite number"}
    return number
