"""What was found, run by run, and how sure is a mean or a difference of it?

Runs are kept as one JSON line each, added when a run is done: a killed process loses what was not done, and half a line of it is
cut off before the next. Any other line that is no run stays in the file, and is counted. A line counts for the plan and the setting that it was made with, and for no other. The report is one small
JSON file of the same runs in the order of the studies, from which page and picture are drawn.

Intervals are Student's over seeds. Settings of one seed share world, warm model and reward models, so that differences are
taken seed by seed.
"""

# pyright: basic
from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from compare import finite, interval, write
from experiment import Plan
from foreign import checked
from scipy.stats import spearmanr
from studies import Setting

Run = Mapping[str, Any]


def key(plan: Plan, seed: int, setting: Setting) -> str:
    """What a line has to have been made with."""
    return json.dumps([asdict(plan), seed, asdict(setting)], sort_keys=True)


class Lines:
    """The file of finished runs; `unread` counts lines that are none. Raises OSError where it cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.found: dict[str, dict[str, Any]] = {}
        self.unread = 0
        *lines, self._rest = path.read_bytes().split(b"\n") if path.exists() else [b""]
        for line in (*lines, self._rest):
            one = _run_of(line)
            if one is not None:
                self.found[one["key"]] = one
            elif line.strip():
                self.unread += 1

    def add(self, plan: Plan, seed: int, setting: Setting, found: Mapping[str, Any], seconds: float) -> None:
        """One more run."""
        made_with = key(plan, seed, setting)
        one = {"key": made_with, "seconds": round(seconds, 1), "found": finite(found)}
        self.found[made_with] = one
        with self._path.open("ab") as file:
            if self._rest and _run_of(self._rest) is None:
                file.truncate(file.tell() - len(self._rest))
            elif self._rest:
                file.write(b"\n")
            self._rest = b""
            file.write(json.dumps(one).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _run_of(line: bytes) -> dict[str, Any] | None:
    try:
        match json.loads(line.decode()):
            case {"key": str(), "seconds": int() | float(), "found": dict()} as one:
                return one
    except (ValueError, RecursionError):  # not UTF-8, or not JSON
        pass
    return None


@dataclass(frozen=True, slots=True)
class Report:
    """All of `paper.json`: the runs by setting's name and seed, `parts` by seed, and what it `cost`."""

    plan: Mapping[str, Any]
    seeds: tuple[int, ...]
    runs: Mapping[str, Mapping[int, Run]]
    parts: Mapping[int, Mapping[str, float]]
    cost: Mapping[str, Any]

    @staticmethod
    def read(path: Path) -> Report:
        """The report of a file. Raises ValueError with what is wrong and what to do, of whatever is no report to be shown."""
        try:
            found = checked(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise ValueError(
                f"cannot read `{path}`: {error.strerror}; give the `paper.json` of a run's folder"
            ) from error
        except (ValueError, RecursionError) as error:
            cause = "too deep" if isinstance(error, RecursionError) else error
            raise ValueError(
                f"`{path}` is not a report that can be shown: {cause}; give the `paper.json` that a run wrote, or write it again "
                "from the runs that are kept in its folder, with `--all --done --out FOLDER`"
            ) from error
        return Report(
            found["plan"], tuple(found["seeds"]),
            {name: {int(seed): run for seed, run in of.items()} for name, of in found["runs"].items()},
            {int(seed): parts for seed, parts in found["parts"].items()}, found["cost"],
        )  # fmt: skip

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write(path, json.dumps(finite(asdict(self)), ensure_ascii=False, separators=(",", ":")) + "\n")

    def values(self, setting: Setting, of: Callable[[Run], float]) -> dict[int, float]:
        """What a run found, by seed; failed and missing runs are left out."""
        mine = self.runs.get(setting.name, {})
        return {seed: of(run) for seed, run in mine.items() if "failed" not in run}

    def has(self, seed: int, *names: str) -> bool:
        """Whether all these settings have numbers on a seed."""
        runs = [self.runs.get(name, {}).get(seed) for name in names]
        return all(run is not None and "failed" not in run for run in runs)

    def differences(self, one: Setting, other: Setting, of: Callable[[Run], float]) -> list[float]:
        """By how much the first has more, on every seed that has both."""
        first, second = self.values(one, of), self.values(other, of)
        return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def rate(name: str) -> Callable[[Run], float]:
    """A rate of the judge's."""
    return lambda run: run["rates"][name]


def error(run: Run) -> float:
    """The ranking error before RL: the mean over response types."""
    return run["ranking"]["error"]


def rise(run: Run, curve: str) -> float:
    """By how much a curve of a watched run rose: its last three looks less its first three."""
    values = run["watched"]["curves"][curve]
    return float(np.mean(values[-3:]) - np.mean(values[:3]))


def between(values: Sequence[float]) -> tuple[float, float] | None:
    """Student's 95 % interval of a mean of any size."""
    return interval(values, -np.inf, np.inf)


def said(values: Sequence[float], *, signed: bool = False) -> str:
    """A mean with its interval, for a table."""
    around = between(values) if signed else interval(values)
    form = "{:+.3f}" if signed else "{:.3f}"
    mean = form.format(float(np.mean(values)))
    return mean if around is None else f"{mean} ({form.format(around[0])} to {form.format(around[1])})"


def low_error(report: Report, settings: Sequence[Setting], most: float) -> list[Setting]:
    """The settings whose mean ranking error over seeds is `most` or less: one choice for all seeds."""
    means = {one: list(report.values(one, error).values()) for one in settings}
    return [one for one, errors in means.items() if errors and float(np.mean(errors)) <= most]


def foretold(report: Report, settings: Sequence[Setting], most: float = 1.0) -> dict[int, float]:
    """Spearman's rank correlation of ranking error and F1 over settings, on each seed that has every one of them.

    Settings with a mean ranking error above `most` are left out; of fewer than five there is no correlation, and none on a seed where one of the two never differs.
    """
    kept, found = low_error(report, settings, most), {}
    if len(kept) < 5:  # ranks of so few say nothing
        return {}
    for seed in report.seeds:
        if not report.has(seed, *(one.name for one in settings)):
            continue
        runs = [report.runs[one.name][seed] for one in kept]
        errors, ends = [error(run) for run in runs], [run["rates"]["F1"] for run in runs]
        if len(set(errors)) > 1 and len(set(ends)) > 1:
            ranked: Any = spearmanr(errors, ends)
            found[seed] = float(ranked.statistic)
    return found
