"""A run that is killed loses nothing that it had read, and pays for none of it again."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from faultserver import Action, FaultServer, Say, answer, truth
from grading_victim import CONCURRENCY, ITEMS, PROPOSITIONS, WANTED, victim

from rbrlang.grading.endpoint.cache import cache_key

HERE = Path(__file__).parent


def start(url: str, cache: Path, out: Path) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join((str(HERE), str(HERE.parent)))
    command = [sys.executable, str(HERE / "grading_victim.py"), url, str(cache), str(out)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths})


def stored(cache: Path) -> set[bytes]:
    if not cache.exists():
        return set()
    database = sqlite3.connect(cache)
    try:
        return {bytes(key) for (key,) in database.execute("SELECT key FROM answers")}
    except sqlite3.OperationalError:  # killed before the table was made
        return set()
    finally:
        database.close()


def script(body: bytes, before: int) -> Action:
    time.sleep(0.001)  # spreads a run over long enough to be killed in
    return Say(b"", 503) if truth(body + b"%d" % before) < 0.1 else answer(body)


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed(tmp_path: Path) -> None:
    random = Random(7)
    cache, out = tmp_path / "cache", tmp_path / "out.json"
    with FaultServer(script) as server:
        remote, items = victim(server.url)
        kills = 0
        while kills < 5:
            known = stored(cache)
            seen = server.received.copy()
            process = start(server.url, cache, out)
            moment = sum(seen.values()) + random.randint(3, 45)
            while sum(server.received.copy().values()) < moment and process.poll() is None:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            asked = {cache_key(remote.identity, body) for body in server.received.copy() - seen}
            assert asked
            assert not asked & known
        known, seen = stored(cache), server.received.copy()
        assert start(server.url, cache, out).wait() == 0
        assert not {cache_key(remote.identity, body) for body in server.received.copy() - seen} & known
        resumed = out.read_bytes()
        total = len(ITEMS) * PROPOSITIONS
        assert len(stored(cache)) == total
        # What a killed process had not read yet is all that can have been answered twice.
        assert sum(server.answered.values()) <= total + kills * CONCURRENCY
        everything = {remote.bodies(ask, items[ask.item])[0] for group in remote.groups(WANTED, ITEMS) for ask in group}
        assert set(server.received) == everything
        before = sum(server.received.values())
        assert start(server.url, cache, tmp_path / "warm.json").wait() == 0
        assert sum(server.received.values()) == before
        assert start(server.url, tmp_path / "fresh", tmp_path / "fresh.json").wait() == 0
    assert resumed == (tmp_path / "warm.json").read_bytes() == (tmp_path / "fresh.json").read_bytes()
