"""What was found, run by run, and how sure is a mean or a difference of it?

Runs are kept as one JSON line each, added when a run is done: a killed process loses what was not done, and half a line is
passed over. A line counts for the plan and the setting that it was made with, and for no other. The report is one small
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
from scipy.stats import spearmanr
from studies import Setting

Run = Mapping[str, Any]


def key(plan: Plan, seed: int, setting: Setting) -> str:
    """What a line has to have been made with."""
    return json.dumps([asdict(plan), seed, asdict(setting)], sort_keys=True)


class Lines:
    """The file of finished runs. Raises OSError where it cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.found: dict[str, dict[str, Any]] = {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            try:
                one = json.loads(line)
            except json.JSONDecodeError:  # what a killed process left of its last line
                continue
            self.found[one["key"]] = one
        if text and not text.endswith("\n"):
            write(path, "".join(json.dumps(one) + "\n" for one in self.found.values()))

    def add(self, plan: Plan, seed: int, setting: Setting, found: Mapping[str, Any], seconds: float) -> None:
        """One more run."""
        made_with = key(plan, seed, setting)
        one = {"key": made_with, "seconds": round(seconds, 1), "found": finite(found)}
        self.found[made_with] = one
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(one) + "\n")
            file.flush()
            os.fsync(file.fileno())


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
        """The report of a file."""
        found = json.loads(path.read_text(encoding="utf-8"))
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


def foretold(report: Report, settings: Sequence[Setting], most: float = 1.0) -> dict[int, float]:
    """Spearman's rank correlation of ranking error and F1 over settings, on each seed that has five that differ in both.

    Rewards of a ranking error above `most` are left out.
    """
    found = {}
    for seed in report.seeds:
        pairs = [
            (error(run), run["rates"]["F1"])
            for setting in settings
            if (run := report.runs.get(setting.name, {}).get(seed)) is not None
            and "failed" not in run
            and error(run) <= most
        ]
        if len(pairs) >= 5 and all(len(set(column)) > 1 for column in zip(*pairs, strict=True)):
            ranked: Any = spearmanr([one for one, _ in pairs], [other for _, other in pairs])
            found[seed] = float(ranked.statistic)
    return found
