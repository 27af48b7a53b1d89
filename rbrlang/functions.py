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
import queue
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import IO, Any, cast

from rbrlang.diagnostics import FunctionError, NotAllowedError

SECONDS = 10.0
"""How long one answer may take."""
IMPORT_SECONDS = 120.0
_KEPT = 8192


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
        if not (_leave.everything or name in _leave.names):
            raise NotAllowedError(
                f'the policy asks `python("{name}")`, code that is run only with your leave: read it, then give '
                "`--allow-python` to the command, or `allow_python=True` in Python"
            )
        with _lock:
            _here().found(name)


def ask(name: str, text: str) -> bool | float | str:
    """What the function says of a text: true or false, a finite number, or why there is neither, in words. Raises as `check`."""
    check((name,))
    key = name, hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).digest()
    with _lock:
        if key in _answers:
            _answers.move_to_end(key)
            return _answers[key]
        found = _asked(name, text)
        _answers[key] = found
        if len(_answers) > _KEPT:
            _answers.popitem(last=False)
        return found


# --- the process that asks ------------------------------------------------------------------------

_lock = threading.RLock()
_answers: OrderedDict[tuple[str, bytes], bool | float | str] = OrderedDict()
_child: list[_Child] = []


class _Child:
    """A process that functions run in, of this process alone: not of those that were forked from it."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._imported: set[str] = set()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(_places())}
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from rbrlang.functions import serve; serve()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
        )  # fmt: skip
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()

    def _read(self, lines: IO[bytes]) -> None:
        for line in lines:
            self._lines.put(line)
        self._lines.put(b"")

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
        """The answer. Raises TimeoutError where it takes longer, EOFError where the process ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None
        except OSError:
            line = b""
        if not line:
            raise EOFError
        return json.loads(line)

    def end(self) -> None:
        self._process.kill()
        with contextlib.suppress(OSError):
            self._process.communicate()


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


def _asked(name: str, text: str) -> bool | float | str:
    found = _told(name, {"ask": name, "text": text}, SECONDS)
    if isinstance(found, dict):
        return str(cast("dict[str, object]", found)["reason"])
    return cast("bool | float", found)


# --- the process that is asked --------------------------------------------------------------------


def serve() -> None:
    """Answer requests from standard input until it ends; what functions print goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for line in requests:
        answers.write(json.dumps(_answer(json.loads(line))).encode() + b"\n")
        answers.flush()


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
        said = " ".join(str(error).split())[:200]
        return {"reason": f"{f'`{name}` raised ' if asked else ''}{type(error).__name__}{f': {said}' if said else ''}"}


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
