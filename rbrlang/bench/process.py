"""What does one process of its own cost: seconds, and the most memory that it ever had?

Whatever compiles, or is judged by its peak of memory, runs in a fresh process, so that nothing is compiled, cached or
held before; it is started by `launch`, since a process inherits the peak of the one that it was forked from. A task of the bench is a function of a module here, called in such a process with plain values:

    found = bench.task("reward:compile_time", policy="policy.rbr", rows=4096)

A process that takes more of the processor than it may is ended, and its row says so. Needs `os.wait4`, which Windows lacks.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, cast

MIB = 1024.0
_SLOWER = 8.0  # how many times its seconds of the processor a process may take on the clock


class NotMeasured(Exception):
    """A process that gave no value; the message says why, for the table."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a process took: `clock` and `processor` seconds, `peak` MiB, and what it said."""

    code: int
    clock: float
    processor: float
    peak: float
    said: str
    complained: str

    @property
    def seconds(self) -> float:
        """The lesser of clock and processor: other load stretches the one, several cores the other."""
        return min(self.clock, self.processor)


@dataclass(slots=True)
class Bench:
    """Where rows are measured: files, sizes, and how long a process may take (`limit`, seconds of the processor).

    `quick` asks for sizes that take seconds. When all processes together took `budget` seconds, none begins any more.
    """

    folder: Path
    policy: Path
    texts: Path
    quick: bool = False
    seed: int = 0
    limit: float = 120.0
    budget: float = float("inf")
    spent: float = 0.0
    note: Callable[[str], None] = field(default=lambda _: None)

    def sizes(self, quick: Sequence[int], full: Sequence[int]) -> Sequence[int]:
        """The sizes of this run."""
        return quick if self.quick else full

    def task(self, name: str, *, environment: Mapping[str, str] | None = None, **arguments: Any) -> dict[str, Any]:
        """What a task of a module here returns, with what its process took under `used`. Raises `NotMeasured`."""
        self.note(name.partition(":")[2].replace("_", " "))
        given = self.folder / "task.json"
        given.write_text(json.dumps(arguments), encoding="utf-8")
        used = self.run([sys.executable, "-m", "rbrlang.bench", name, str(given)], environment)
        last = used.said.strip().rpartition("\n")[2]
        if used.code or not last.startswith("{"):
            raise NotMeasured(_failure(used))
        return {**cast("dict[str, Any]", json.loads(last)), "used": used}

    def command(
        self, *arguments: str, environment: Mapping[str, str] | None = None, codes: Sequence[int] = (0,)
    ) -> Used:
        """What `rbrc` with these arguments takes. Raises `NotMeasured` for another exit code."""
        self.note("rbrc " + arguments[0])
        used = self.run([sys.executable, "-m", "rbrlang.cli", *arguments], environment)
        if used.code not in codes:
            raise NotMeasured(_failure(used))
        return used

    def run(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Used:
        """Run a process to its end. Raises `NotMeasured` where it takes too long."""
        if self.spent >= self.budget:
            raise NotMeasured("left out: the time of this run was over")
        # Programs kept by an earlier run are nobody's speed; an installed package has its bytecode.
        variables = {**os.environ, "RBR_COMPILATION_CACHE": "off", **(environment or {})}
        variables.pop("PYTHONDONTWRITEBYTECODE", None)
        report = self.folder / "took.json"
        report.unlink(missing_ok=True)
        launch = [sys.executable, "-S", str(Path(__file__).with_name("launch.py")), str(ceil(self.limit)), str(report)]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = subprocess.Popen(
                [*launch, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=variables, cwd=self.folder,
                start_new_session=True,
            )  # fmt: skip
            try:
                child.wait(_SLOWER * self.limit)
            except subprocess.TimeoutExpired:
                raise NotMeasured(f"ended after {_SLOWER * self.limit:.0f} s on the clock") from None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)  # itself or what it left behind
                child.wait()
            texts: list[str] = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode(errors="replace"))
        code, clock, processor, size = json.loads(report.read_text(encoding="utf-8"))
        self.spent += min(clock, processor)
        if code in (-signal.SIGXCPU, -signal.SIGKILL):
            short = processor < 0.8 * self.limit
            raise NotMeasured(
                "ended by the system, perhaps for want of memory" if short else f"ended after {self.limit:.0f} s"
            )
        peak = size / (MIB if sys.platform != "darwin" else MIB * MIB)
        return Used(code, clock, processor, peak, texts[0], texts[1])


def _failure(used: Used) -> str:
    lines = [line.strip() for line in (used.complained or used.said).splitlines() if line.strip()]
    return f"exit code {used.code}" + (f": {lines[-1][:200]}" if lines else "")


def best(work: Callable[[], object], times: int, least: float = 0.25) -> float:
    """Least seconds of several runs, each the lesser of clock and processor.

    What takes less than `least` seconds is repeated within a run: the processor's clock may tick a hundred times a second.
    """
    found, repeat = float("inf"), 1
    for _ in range(times):
        clock, processor = time.perf_counter(), time.process_time()
        for _ in range(repeat):
            work()
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        found = min(found, (min(clock, processor) if processor > 0.1 else clock) / repeat)
        repeat = max(repeat, ceil(least / max(found, 1e-9)))
    return found


def in_turn(programs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Least seconds on the clock of each program, all of them in turn, so that other load weighs on none alone."""
    found = dict.fromkeys(programs, float("inf"))
    for _ in range(rounds):
        for name, program in programs.items():
            begun = time.perf_counter()
            program()
            found[name] = min(found[name], time.perf_counter() - begun)
    return found
