"""Runs a target on many inputs: see the package."""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from fuzz.mutate import damaged
from fuzz.targets import TARGETS, folder

SLOW = 10.0
"""Seconds of processor time that no input may take."""
CHUNK = 500

Failure = tuple[int, str]
Job = tuple[str, int, int]


class TooSlow(BaseException):
    """An input that takes too long; no `except Exception` on the way may swallow it."""


@contextmanager
def watched(seconds: float = SLOW) -> Generator[None]:
    """Raises `TooSlow` inside after so much processor time, which a busy machine does not use up."""

    def ring(*_: object) -> None:
        raise TooSlow(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


@cache
def seeds(name: str) -> Sequence[bytes]:
    """The seeds of a target."""
    return tuple(TARGETS[name].seeds())


def input_of(name: str, number: int) -> bytes:
    """The input of a number: the seeds themselves first, then damaged ones."""
    start = seeds(name)
    return start[number] if number < len(start) else damaged(random.Random(f"{name} {number}"), start)


def complaint(run: Callable[[bytes], None], data: bytes) -> str | None:
    """What a target did that it must not, as a traceback; None where it behaved."""
    try:
        with watched():
            run(data)
    except (Exception, TooSlow, RecursionError, MemoryError, SystemExit):
        return traceback.format_exc(limit=-6)
    return None


def work(job: Job) -> tuple[Job, float, list[Failure]]:
    """The slowest input of a chunk in seconds of processor time, and those that failed."""
    name, first, count = job
    found: list[Failure] = []
    slowest = 0.0
    for number in range(first, first + count):
        data, start = input_of(name, number), time.process_time()
        said = complaint(TARGETS[name].run, data)
        slowest = max(slowest, time.process_time() - start)
        if said is not None:
            found.append((number, said))
    return job, slowest, found


def done_in(log: Path | None) -> dict[Job, tuple[float, list[Failure]]]:
    """The chunks that an earlier run has written to the log."""
    done: dict[Job, tuple[float, list[Failure]]] = {}
    if log is None or not log.exists():
        return done
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # a run that was killed may leave half a line
            continue
        name, first, count = record["job"]
        done[name, first, count] = record["slowest"], [(number, said) for number, said in record["failures"]]
    return done


def main() -> int:
    """Run a target, or all of them; 1 where anything failed."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz what reads strangers' input.")
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--inputs", type=int, default=1000, help="of each target")
    parser.add_argument("--seed", type=int, default=0, help="where the numbers of the inputs begin, in ten millions")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for inputs that failed")
    parser.add_argument("--log", type=Path, help="where finished chunks are kept: the same command goes on from there")
    parser.add_argument("--atheris", action="store_true", help="let Atheris choose the inputs, without end")
    options = parser.parse_args()
    names = list(TARGETS) if options.target == "all" else [options.target]
    if options.atheris:
        return by_coverage(options.target)
    start = options.seed * 10_000_000
    jobs: list[Job] = [
        (name, start + at, min(CHUNK, options.inputs - at)) for at in range(0, options.inputs, CHUNK) for name in names
    ]
    earlier = done_in(options.log)
    results = {job: earlier[job] for job in jobs if job in earlier}
    left = [job for job in jobs if job not in results]
    with multiprocessing.get_context("spawn").Pool(options.workers, initializer=_quiet) as pool:
        for job, slowest, found in pool.imap_unordered(work, left):
            results[job] = slowest, found
            if options.log is not None:
                with options.log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"job": job, "slowest": slowest, "failures": found}) + "\n")
            for number, said in found:
                _keep(options.keep, job[0], number)
                print(f"{job[0]} input {number}:\n{said}", file=sys.stderr)
            wrong = sum(len(f) for _, f in results.values())
            print(f"{len(results)} of {len(jobs)} chunks, {wrong} failures", file=sys.stderr, flush=True)
        pool.close()
        pool.join()
    for name in names:
        mine = {job: result for job, result in results.items() if job[0] == name}
        inputs, failed = sum(job[2] for job in mine), sum(len(found) for _, found in mine.values())
        slowest = max((s for s, _ in mine.values()), default=0.0)
        print(f"{name}: {inputs:,} inputs from seed {options.seed}, {failed} failures, slowest {slowest:.2f} s")
    return int(any(found for _, found in results.values()))


def _keep(where: Path | None, name: str, number: int) -> None:
    if where is not None:
        where.mkdir(parents=True, exist_ok=True)
        (where / f"{name}-{number}").write_bytes(input_of(name, number))


def _quiet() -> None:
    """A worker's log goes nowhere, and its files go with it."""
    import logging
    from multiprocessing.util import Finalize

    logging.getLogger("rbrlang").setLevel(logging.CRITICAL)
    Finalize(None, shutil.rmtree, args=(os.fspath(folder()),), kwargs={"ignore_errors": True}, exitpriority=1)


def by_coverage(name: str) -> int:
    """Let Atheris drive one target, with the seeds as its corpus; it ends with the first failure."""
    if name == "all" or importlib.util.find_spec("atheris") is None:
        print("--atheris takes one target, and needs the package atheris", file=sys.stderr)
        return 2
    atheris = importlib.import_module("atheris")
    corpus = folder() / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, data in enumerate(seeds(name)):
        (corpus / str(number)).write_bytes(data)
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], os.fspath(corpus), f"-timeout={int(SLOW)}"], TARGETS[name].run)
    atheris.Fuzz()
    return 0
