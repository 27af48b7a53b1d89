"""A policy with every kind of question, rows for it, and a real `rbrc label` process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT

POLICY = """rbr 1
column reference "What a good answer says."
prop rude "Response is rude." {
  ask "Is the response rude?"
  yes "That is a silly question." because "it belittles the person"
  no { user "Where?" assistant "Certainly." }
}
prop plans "Response plans to stall." { over thought  ask "Does it think of stalling?" }
prop agrees "Response agrees with the reference." { ask "Does it agree with {reference}?" }
scale help 1..5 "How far does the response help?" { 5 "It solves the task."  1 "It does not help." }
choice tone "What is the tone?" { formal "It is formal."  casual "It is casual." }
rubric quality from criteria { points over positive }
response chat ranks good > fair > bad {
  bad if rude | help <= 2 | plans
  good if help >= 4 & tone == formal & agrees
  fair otherwise
}
response brief ranks fine > poor
brief.poor := rude
brief.fine := otherwise
reward chat { features classes, quality }
"""
HOSTILE = "<img src=x onerror='window.harmed = 1'><script>window.harmed = 1</script>\u202e"


def rows(number: int, *, probs: bool = False) -> list[dict[str, Any]]:
    """Rows, two of each prompt, every third of them brief."""
    found: list[dict[str, Any]] = []
    for n in range(number):
        p = round((n * 37 % 101) / 101, 4)
        found.append({
            "id": f"r{n}", "prompt": f"Where does river {n // 2} end?", "response_type": "brief" if n // 2 % 3 == 0 else "chat",
            "completion": [
                {"role": "assistant", "content": f"Let me look it up, {n}.", "reasoning_content": f"thought {n}",
                 "tool_calls": [{"type": "function", "function": {"name": "look", "arguments": "{}"}}]},
                {"role": "tool", "content": f"result {n}"},
                {"role": "assistant", "content": f"River {n // 2} ends in sea {n}. {HOSTILE}"},
            ],
            "reference": f"sea {n}", "criteria": [
                {"criterion": "Names a sea.", "points": 3}, {"criterion": "Is long-winded.", "points": -1},
            ],
        } | ({"probs": {
            "rude": p, "plans": 0.1, "agrees": 0.9, "help": {"4": 0.6, "5": 0.4}, "tone": {"formal": 0.7, "casual": 0.3},
        }, "rubric_probs": {"quality": [0.9, 0.2]}} if probs else {}))  # fmt: skip
    return found


def folder(path: Path, number: int, *, probs: bool = False) -> Path:
    """A folder with `policy.rbr` and `rows.jsonl`."""
    (path / "policy.rbr").write_text(POLICY, "utf-8")
    write(path / "rows.jsonl", rows(number, probs=probs))
    return path


def write(path: Path, some: list[dict[str, Any]]) -> None:
    """Rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in some), "utf-8")


def read(path: Path) -> list[dict[str, Any]]:
    """Rows from JSON Lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@dataclass
class Started:
    """A desk that listens: `address` is what a person opens."""

    process: subprocess.Popen[str]
    address: str

    @property
    def origin(self) -> str:
        """Where it listens."""
        return self.address.partition("/#")[0]

    @property
    def token(self) -> str:
        """What requests bear."""
        return self.address.partition("token=")[2]

    def ask(self, route: str, who: str = "ann", **more: Any) -> Any:
        """What the page asks, without the page."""
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.token}", "origin": self.origin}
        body = json.dumps({"annotator": who, **more}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.origin}/api/{route}", body, headers)) as reply:
            return json.loads(reply.read())

    def refused(self, route: str, body: bytes, headers: dict[str, str], method: str = "POST") -> int:
        """The status of a request."""
        try:
            request = urllib.request.Request(f"{self.origin}/{route}", body, headers, method=method)
            with urllib.request.urlopen(request) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code

    def end(self, number: int = signal.SIGTERM) -> str:
        """Send a signal; what was said on standard error."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=30)[1]

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        with self.process:
            pass


def start(place: Path, *options: str) -> Started:
    """A desk over the folder's policy and rows that writes `labels.jsonl`."""
    environment = {**os.environ, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", "rbrlang.cli", "label", "policy.rbr", "rows.jsonl", "-o", "labels.jsonl"]
    process = subprocess.Popen(
        [*command, "--format", "json", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=place, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        pytest.fail(f"the desk did not start: {process.communicate()[1]}")
    return Started(process, json.loads(line)["url"])
