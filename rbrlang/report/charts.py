"""Which pictures does the report have?

Small figures, each about as wide as a telephone, that a page sets side by side where there is room. They are drawn in the
colours of `svg.COLOURS`. Marks differ in shape as well as in colour. Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rbrlang.grading.trust.agreement import Agreement
from rbrlang.learning.judging.evaluate import ByReward
from rbrlang.learning.judging.histogram import Histogram
from rbrlang.learning.judging.resample import Estimate
from rbrlang.report.plots import draw_reliability
from rbrlang.report.svg import STYLE
from rbrlang.reward.kept.record import RidgeSteps, Weight

WIDTH = 5.0  # inches, of 72 units
_BLUE, _ORANGE, _GREY, _PALE, _SOFT = "#2b6cb0", "#c05621", "#718096", "#e2e8f0", "#4a5568"
_SIGNALS = (("base", _GREY, "s"), ("rules", _ORANGE, "D"), ("both", _BLUE, "o"))


def _figure(
    width: float, height: float, left: float, bottom: float, top: float, right: float = 0.12
) -> tuple[Figure, Any]:
    """A figure with one axes; sizes and margins in inches."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes: Any = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)
    return figure, axes


def error_chart(error: ByReward, limit: float) -> Figure:
    """Ranking error of base, rules and both with intervals, from 0 to `limit` (a share)."""
    shown = [
        (name, colour, marker, one) for name, colour, marker in _SIGNALS if (one := _signal(error, name)) is not None
    ]
    with mpl.rc_context(STYLE):
        figure, axes = _figure(WIDTH, 0.75 + 0.36 * len(shown), 0.75, 0.55, 0.1, 0.75)
        for at, (_, colour, marker, one) in enumerate(shown):
            y = len(shown) - 1 - at
            if one.low is not None and one.high is not None:
                axes.plot([one.low, one.high], [y, y], color=colour, linewidth=3, alpha=0.4, solid_capstyle="butt")
            axes.plot([one.value], [y], marker, color=colour, markersize=8 if marker != "D" else 7, clip_on=False)
            axes.annotate(
                f"{100 * one.value:.1f} %", (1, y), xycoords=("axes fraction", "data"), xytext=(8, 0),
                textcoords="offset points", va="center", color="#1a202c",
            )  # fmt: skip
        axes.set(xlim=(0, limit), ylim=(-0.6, len(shown) - 0.4), yticks=range(len(shown)))
        axes.set_yticklabels([name for name, *_ in reversed(shown)])
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(_percent))
        axes.set_xlabel("pairs with the worse completion first")
        axes.grid(axis="x", color=_PALE, linewidth=0.8)
    return figure


def _signal(error: ByReward, name: str) -> Estimate | None:
    return {"base": error.base, "rules": error.rules, "both": error.both}[name]


def _percent(value: float, _: object) -> str:
    return f"{100 * value:g} %"


def histogram_chart(found: Histogram, classes: Sequence[str], ranks: Sequence[int]) -> Figure:
    """One line per class with rows: the reward less that of the prompt's ideal completion."""
    lines = [at for at, counts in enumerate(found.counts) if sum(counts)]
    with mpl.rc_context(STYLE):
        figure, axes = _figure(WIDTH, 0.75 + 0.62 * len(lines), 0.12, 0.55, 0.12)
        for place, at in enumerate(lines):
            floor = float(len(lines) - 1 - place)
            colour = _BLUE if ranks[at] == 0 else _ORANGE
            counts = found.counts[at]
            heights = [floor + 0.62 * count / max(counts) for count in counts]
            axes.stairs(heights, found.edges, baseline=floor, fill=True, color=colour, alpha=0.75)
            axes.plot([found.edges[0], found.edges[-1]], [floor, floor], color=_PALE, linewidth=0.8)
            mean = found.means[at]
            if mean is not None:
                axes.plot([mean, mean], [floor, floor + 0.62], color="#1a202c", linewidth=1.6, zorder=4)
            axes.text(
                0, floor + 0.95, f"{_short(classes[at], 34)}, {sum(counts)}", transform=axes.get_yaxis_transform(),
                va="top", ha="left", fontsize=10.5, color="#1a202c",
            )  # fmt: skip
        axes.axvline(0, color=_GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axes.set(xlim=(found.edges[0], found.edges[-1]), ylim=(-0.05, len(lines)), yticks=())
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlabel("reward, compared with the prompt's ideal")
    return figure


def weight_chart(weights: Sequence[Weight]) -> Figure:
    """Weights with intervals where there are some; those that the data did not determine are hollow."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure(6.4, 0.7 + 0.27 * len(weights), 2.75, 0.55, 0.08)
        axes.axvline(0, color=_GREY, linewidth=1)
        for at, weight in enumerate(weights):
            y = len(weights) - 1 - at
            colour = _BLUE if weight.kind == "class" else _ORANGE
            if weight.low is not None and weight.high is not None:
                axes.plot(
                    [weight.low, weight.high], [y, y], color=colour, linewidth=3, alpha=0.4, solid_capstyle="butt"
                )
            face = "none" if weight.undetermined else colour
            axes.plot([weight.value], [y], "o" if weight.kind == "class" else "D", markersize=6.5,
                      color=colour, markerfacecolor=face, clip_on=False)  # fmt: skip
        axes.set(ylim=(-0.7, len(weights) - 0.3), yticks=range(len(weights)))
        axes.set_yticklabels([_short(weight.name, 28) for weight in reversed(weights)])
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlabel("weight, in units of reward")
        axes.grid(axis="x", color=_PALE, linewidth=0.8)
        axes.margins(x=0.06)
    return figure


def ridge_chart(found: RidgeSteps) -> Figure:
    """Held-out loss with standard errors by ridge, strong to weak; a dashed line where the chosen one is."""
    with mpl.rc_context(STYLE):
        figure, axes = _ridges(found, "held-out loss")
        at = [step.ridge for step in found.steps]
        loss = [step.loss for step in found.steps]
        axes.errorbar(at, loss, [step.loss_se for step in found.steps], color=_BLUE, ecolor=_GREY, elinewidth=1.2)
        axes.plot(at, loss, "o", color=_BLUE, markersize=5.5, zorder=3)
        axes.set_ylim(bottom=0)
    return figure


def scale_chart(found: RidgeSteps) -> Figure:
    """The rules' standard deviation by ridge, one line per response type; a dashed line where the chosen ridge is."""
    names = list(found.steps[0].spreads)
    with mpl.rc_context(STYLE):
        figure, axes = _ridges(found, "spread of the rules' reward")
        axes.set_yscale("log")
        axes.minorticks_off()
        for number, name in enumerate(names):
            points = [(step.ridge, step.spreads[name]) for step in found.steps if step.spreads.get(name, 0.0) > 0.0]
            style = {"color": (_BLUE, _ORANGE, _GREY)[number % 3], "marker": "oDs^v"[number % 5], "markersize": 5}
            axes.plot([x for x, _ in points], [y for _, y in points], label=_short(name, 28), **style)
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.legend(frameon=False, loc="upper left", fontsize=10)
    return figure


def _ridges(found: RidgeSteps, what: str) -> tuple[Figure, Any]:
    figure, axes = _figure(WIDTH, 2.9, 0.75, 0.55, 0.12)
    at = [step.ridge for step in found.steps]
    axes.set_xscale("log")
    axes.set_xlim(1.6 * max(at), min(at) / 1.6)
    axes.axvline(found.chosen, color=_SOFT, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.minorticks_off()
    axes.set_xlabel("ridge, strong to weak")
    axes.set_ylabel(what)
    axes.grid(axis="y", color=_PALE, linewidth=0.8)
    return figure, axes


def _plain(value: float, _: object) -> str:
    return f"{value:g}"


def reliability_chart(name: str, found: Agreement) -> Figure:
    """Share of yes labels against P(yes), the bars below are rows."""
    with mpl.rc_context({**STYLE, "font.size": 9}):
        figure = Figure(figsize=(2.0, 1.95))
        FigureCanvasAgg(figure)
        axes: Any = figure.add_axes((0.2, 0.2, 0.76, 0.75))
        draw_reliability(axes, name, found, last=True, first=True, counted=False)
        axes.set_title("", loc="left")
    return figure


def _short(name: str, length: int) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
