"""Run the oracle on many policies: see the package."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from pathlib import Path

import jax

from oracle.compare import examine

CHUNK = 200
MOST_SHOWN = 20


def work(job: tuple[int, int, int]) -> tuple[int, dict[str, int], list[str]]:
    """The counts and differences of one chunk of policies: first number, how many, and which of them go slowly."""
    first, count, every = job
    counts: Counter[str] = Counter()
    differences: list[str] = []
    for number in range(first, first + count):
        slow = every > 0 and number % every == 0
        try:
            found = examine(number, slow=slow)
        except Exception as error:  # whatever it is, it is a difference of this policy
            differences.append(f"policy {number}: {type(error).__name__}: {error}")
            continue
        counts.update(found.counts)
        counts["policies under JAX"] += slow
        if slow:
            jax.clear_caches()  # each policy compiles anew, and a process has room for some tens of thousands of kernels
        differences += found.differences
    return first, dict(counts), differences


def done_in(log: Path | None, jobs: list[tuple[int, int, int]]) -> dict[int, tuple[dict[str, int], list[str]]]:
    """The chunks of these jobs that an earlier run has written to the log."""
    wanted = {job[0]: list(job) for job in jobs}
    done: dict[int, tuple[dict[str, int], list[str]]] = {}
    if log is None or not log.exists():
        return done
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # a run that was killed may leave half a line
            continue
        if wanted.get(record["job"][0]) == record["job"]:
            done[record["job"][0]] = record["counts"], record["differences"]
    return done


def main() -> int:
    """Compare so many policies; 1 where any differs."""
    parser = argparse.ArgumentParser(prog="python -m oracle", description="Compare rbrlang with a brute force.")
    parser.add_argument("--policies", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="where the numbers of the policies begin, in millions")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--jax-every", type=int, default=500, metavar="N", help="ask JAX about every Nth; 0 for none")
    parser.add_argument("--log", type=Path, help="where finished chunks are kept: the same command goes on from there")
    options = parser.parse_args()
    start = options.seed * 1_000_000
    jobs = [
        (start + at, min(CHUNK, options.policies - at), options.jax_every) for at in range(0, options.policies, CHUNK)
    ]
    results = done_in(options.log, jobs)
    left = [job for job in jobs if job[0] not in results]
    began, earlier = time.monotonic(), len(results)
    sizes = {first: count for first, count, _ in jobs}
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for first, counts, differences in pool.imap_unordered(work, left):
            results[first] = counts, differences
            if options.log is not None:
                record = {"job": [first, sizes[first], options.jax_every], "counts": counts, "differences": differences}
                with options.log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
            for difference in differences[:MOST_SHOWN]:
                print(difference, file=sys.stderr)
            here = len(results) - earlier
            seconds = (time.monotonic() - began) / here * (len(left) - here)
            wrong = sum(len(d) for _, d in results.values())
            tell = f"{len(results)} of {len(jobs)} chunks, {wrong} differences, {seconds / 60:.0f} min left"
            print(tell, file=sys.stderr, flush=True)
    total: Counter[str] = Counter()
    for counts, _ in results.values():
        total.update(counts)
    wrong = sum(len(d) for _, d in results.values())
    print(f"seed {options.seed}: {', '.join(f'{count:,} {what}' for what, count in total.items())}")
    print(f"{wrong} differences")
    return int(wrong > 0)
