"""The process that runs a user's own functions: what interrupts, forks, ends, prints or shadows costs nobody else an answer."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import CHECKOUT
from serve_process import start

import rbrlang as rbr
from rbrlang import functions

MODULE = """
import fcntl, gc, os, signal, socket, sys, threading
print('{"number": 1, "said": true}', flush=True)
sys.stdin.read()

def length(text): return len(text)

def signals(text):
    os.kill(os.getppid(), signal.SIGUSR1)
    return 77

def forks(text):
    os.fork()
    return len(text)

def leaves(text):
    held = open(text, "w")
    fcntl.flock(held, fcntl.LOCK_EX)
    if os.fork() == 0 or "waits" in text:
        while True:
            signal.pause()
    os._exit(4)

def interrupts_all(text):
    if os.getpgrp() == os.getpgid(os.getppid()):
        os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getppid(), signal.SIGINT)
    return 1

def writes(text):
    (line,) = (found for found in gc.get_objects() if isinstance(found, socket.socket))
    line.sendall(text.encode("latin-1") + b"\\n")
    return 1

def floods(text):
    (line,) = (found for found in gc.get_objects() if isinstance(found, socket.socket))
    while True:
        line.sendall(text.encode())

class Unsayable(Exception):
    def __str__(self): raise ValueError("no words")

def unsayable(text): raise Unsayable

def lone(text): raise ValueError("\\ud800")

def kills(text):
    with open(text, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        os.kill(os.getppid(), signal.SIGKILL)
        while True:
            signal.pause()

def held(text):
    with open(text) as until:
        until.read()
    return 5
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with the module; a process that nobody asked before, and nothing kept."""
    functions._end()  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(functions, "_leave", functions._Leave())  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(functions, "_answers", OrderedDict[Any, Any]())
    (tmp_path / "own.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    functions.allow_all(True)
    yield tmp_path
    functions._end()  # pyright: ignore[reportPrivateUsage]


def lengths() -> list[bool | float | str]:
    return [functions.ask("own.length", "x" * n) for n in range(2, 6)]


def test_an_interrupt_leaves_no_answer_for_the_next_text() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    assert lengths()[0] == 2.0
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            functions.ask("own.signals", "")
    finally:
        signal.signal(signal.SIGUSR1, before)
    functions._answers.clear()  # pyright: ignore[reportPrivateUsage]
    assert lengths() == [2.0, 3.0, 4.0, 5.0]


def test_a_function_that_forks_answers_once() -> None:
    assert [functions.ask("own.forks", "x" * n) for n in range(2, 6)] == [2.0, 3.0, 4.0, 5.0]
    assert lengths() == [2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("text", "said"),
    [("ends", "`own.leaves` ended its process"), ("waits", "`own.leaves` did not answer within 0.5 seconds")],
)
def test_what_a_function_started_ends_with_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    assert lengths()[0] == 2.0
    if text == "waits":
        monkeypatch.setattr(functions, "SECONDS", 0.5)
    assert functions.ask("own.leaves", str(folder / text)) == said
    with (folder / text).open("w") as free:
        fcntl.flock(free, fcntl.LOCK_EX)  # which the process that was started held while it lived
    monkeypatch.setattr(functions, "SECONDS", 10.0)
    assert functions.ask("own.length", "and the next") == 12.0


def test_a_function_does_not_outlive_for_long_who_asked_it(folder: Path) -> None:
    script = "from rbrlang import functions as f; f.SECONDS = 0.5; f.allow(['own.kills']); f.ask('own.kills', 'held')"
    environment = {"PATH": "", "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, stderr=subprocess.DEVNULL, check=False
    )
    assert done.returncode == -signal.SIGKILL
    with (folder / "held").open("w") as free:
        fcntl.flock(free, fcntl.LOCK_EX)  # which the function holds while it lives


def test_ctrl_c_in_a_terminal_lets_a_server_finish_what_it_accepted(folder: Path) -> None:
    (folder / "p.rbr").write_text(
        'response chat ranks good > bad { good if python("own.interrupts_all")  bad otherwise }\n'
        "reward chat { features classes  weight good = 1  weight bad = 0 }\n"
    )
    policy = rbr.load(folder / "p.rbr")
    rbr.write(folder / "p.rbrc", policy, rbr.compile(policy))
    options = ("--grader", "python:serve_grader.steady", "--allow-python")
    with start(folder / "p.rbrc", *options) as server, httpx.Client(verify=False) as http:
        row = {"prompt": "", "completion": "Yes.", "response_type": "chat"}
        (found,) = http.post(f"{server.url}/score", json={"rows": [row]}, timeout=60).json()["rows"]
        assert found["reward"] == 1.0
        server.process.communicate(timeout=60)
        assert server.process.returncode == 0


def test_nothing_in_the_current_folder_stands_before_the_standard_library_or_rbrlang(folder: Path) -> None:
    for name in ("queue", "json", "socket", "subprocess", "typing", "sitecustomize"):
        (folder / f"{name}.py").write_text(f"raise SystemExit('the {name} of the current folder')\n")
    (folder / "rbrlang").mkdir()
    (folder / "rbrlang" / "__init__.py").write_text("raise SystemExit('another rbrlang')\n")
    (folder / "mine.py").write_text("from beside import length\n")
    (folder / "beside.py").write_text("import rbrlang.source\ndef length(text): return len(text)\n")
    script = f"""
import sys
sys.path.insert(0, {str(CHECKOUT)!r})
from rbrlang import functions
functions.allow(["mine.length"])
print(functions.ask("mine.length", "four"))
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], cwd=folder, env={"PATH": ""}, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("4.0\n", "")


@pytest.mark.parametrize(
    "line",
    [
        "no JSON",
        "[1]",
        "7",
        '{"number": 2}',
        '{"number": 2, "said": "yes"}',
        '{"number": 2, "said": NaN}',
        '{"number": 2, "said": {}}',
        "\xff",
    ],
)
def test_an_answer_that_cannot_be_read_is_a_reason(line: str) -> None:
    assert functions.ask("own.writes", line) == "`own.writes` wrote where its answer belongs, which cannot be read"
    assert lengths() == [2.0, 3.0, 4.0, 5.0]


def test_answers_without_end_are_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "wrote where its answer belongs" in str(functions.ask("own.floods", "x" * 1000))
    assert lengths() == [2.0, 3.0, 4.0, 5.0]
    monkeypatch.setattr(functions, "SECONDS", 0.5)
    said = functions.ask("own.floods", '{"number": 0, "said": true}\n')
    assert said == "`own.floods` did not answer within 0.5 seconds"


def test_an_answer_to_another_request_is_none_to_this() -> None:
    assert functions.ask("own.writes", '{"number": 1, "said": false}') == 1.0
    assert lengths() == [2.0, 3.0, 4.0, 5.0]


def test_an_exception_without_words_is_a_reason() -> None:
    assert functions.ask("own.unsayable", "") == "`own.unsayable` raised Unsayable"
    assert functions.ask("own.lone", "") == "`own.lone` raised ValueError: \\ud800"


def test_what_is_kept_is_said_while_another_text_is_judged(folder: Path) -> None:
    assert lengths() == [2.0, 3.0, 4.0, 5.0]
    os.mkfifo(folder / "until")
    said: list[object] = []
    slow = threading.Thread(target=lambda: said.append(functions.ask("own.held", str(folder / "until"))))
    slow.start()
    with (folder / "until").open("w"):  # opens once the function reads, and so while it is asked
        assert lengths() == [2.0, 3.0, 4.0, 5.0]
        assert not said
    slow.join()
    assert said == [5.0]
