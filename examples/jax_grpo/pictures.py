"""The page's picture: a panel a question, means over seeds with their intervals."""

# pyright: basic
from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from textwrap import fill

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # after the backend was chosen
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from PIL import Image
from results import Report, Run, between, error, rate
from studies import FORETOLD, STUDIES, WARM, Study, settings_of

SHOWN = (("not unsafe", "#2d6a9f"), ("not over-refusing", "#c8553d"), ("F1", "#2f7d4f"))
_STUDY = {study.name: study for study in STUDIES}


def picture(report: Report) -> bytes:
    """The picture, as PNG."""
    figure, axes = plt.subplots(3, 3, figsize=(15, 12), constrained_layout=True)
    _lying(axes.flat[0], report, _STUDY["reward"])
    for axis, name in zip(
        axes.flat[1:7], ("grader", "safety prompts", "refusals", "comparisons", "ridge", "optimiser"), strict=True
    ):
        _standing(axis, report, _STUDY[name])
    _scatter(axes.flat[7], report)
    _hacked(axes.flat[8], report, _STUDY["hacking"])
    handles = [Line2D([], [], color=colour, marker="o", linestyle="", label=name) for name, colour in SHOWN]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=72)
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(48).save(small, format="png", optimize=True)
    return small.getvalue()


def _points(report: Report, study: Study, of: Callable[[Run], float]) -> list[list[float]]:
    return [list(report.values(setting, of).values()) for _, setting in study.settings]


def _bar(values: Sequence[float]) -> tuple[float, list[list[float]]]:
    """Mean and lengths of the interval below and above."""
    mean = float(np.mean(values))
    low, high = between(values) or (mean, mean)
    return mean, [[mean - max(low, 0.0)], [min(high, 1.0) - mean]]


def _standing(axis: Axes, report: Report, study: Study) -> None:
    for place, (name, colour) in enumerate(SHOWN):
        for at, values in enumerate(_points(report, study, rate(name))):
            if values:
                mean, around = _bar(values)
                axis.errorbar(at + 0.12 * (place - 1), mean, around, fmt="o", color=colour, capsize=3)
    axis.set_xticks(range(len(study.settings)), [fill(label, 14) for label, _ in study.settings], fontsize=8)
    axis.set_ylim(0, 1.02)
    axis.set_title(study.question)


def _lying(axis: Axes, report: Report, study: Study) -> None:
    for place, (name, colour) in enumerate(SHOWN):
        for at, values in enumerate(_points(report, study, rate(name))):
            if values:
                mean, around = _bar(values)
                axis.errorbar(mean, -at - 0.2 * (place - 1), xerr=around, fmt="o", color=colour, capsize=2)
    labels = [label.replace(", ", ",\n") for label, _ in study.settings]
    axis.set_yticks([-at for at in range(len(labels))], labels, fontsize=8)
    axis.set_xlim(0, 1.02)
    axis.set_title(study.question)


def _scatter(axis: Axes, report: Report) -> None:
    seen = {WARM.name}
    for name in FORETOLD:
        points = [
            (error(run), run["rates"]["F1"])
            for setting in settings_of([_STUDY[name]])
            if setting.name not in seen
            for run in report.runs.get(setting.name, {}).values()
            if "failed" not in run
        ]
        seen |= {setting.name for setting in settings_of([_STUDY[name]])}
        if points:
            axis.plot(*zip(*points, strict=True), "o", markersize=4, alpha=0.8, label=f"of `{name}`")
    axis.set_xlabel("ranking error before RL")
    axis.set_ylabel("F1 after it")
    axis.set_ylim(0, 1.02)
    axis.set_title("Does the ranking error foretell F1?")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=8)


def _hacked(axis: Axes, report: Report, study: Study) -> None:
    for number, (label, setting) in enumerate(study.settings):
        runs = [run["watched"] for run in report.runs.get(setting.name, {}).values() if "failed" not in run]
        if not runs:
            continue
        for of, line in (("grader's reward", "-"), ("judge's reward", ":")):
            curves = np.array([run["curves"][of] for run in runs])
            axis.plot(runs[0]["steps"], curves.mean(axis=0), line, color=f"C{number}", label=f"{label}, {of}")
    axis.set_xlabel("step")
    axis.set_title("The rules' reward, by two graders")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=7)
