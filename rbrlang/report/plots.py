"""How does a grader's agreement with people look at a glance?

One figure: areas under the ROC curve with their intervals, weakest first, then a reliability diagram for each
proposition. Drawn by matplotlib (extra `plot`) into PNG, SVG or PDF, by the file's suffix; the same assessment
gives the same bytes on the same machine. Nothing is computed here.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rbrlang.grading.trust.agreement import BINS, Agreement, TooLittle
from rbrlang.grading.trust.assessment import Assessment, Judged
from rbrlang.grading.trust.bill import Offer
from rbrlang.writing import write_bytes

FORMATS = (".png", ".svg", ".pdf")
_COLUMNS = 5
_STRIP = -0.26  # below the diagram, where the rows are counted
_BLUE, _ORANGE, _GREY, _PALE = "#2b6cb0", "#c05621", "#718096", "#e2e8f0"
_STYLE: Any = {
    "font.size": 8.5,
    "axes.edgecolor": _GREY,
    "axes.linewidth": 0.7,
    "axes.titlesize": 8.5,
    "xtick.color": "#4a5568",
    "ytick.color": "#4a5568",
    "svg.hashsalt": "rbrlang",
    "svg.fonttype": "path",
}


def draw_agreement(found: Assessment, grader: str, path: Path) -> None:
    """Draw and write, by way of a temporary file. Raises `ValueError` for another suffix, `OSError`."""
    _write(lambda: agreement_figure(found, grader), path)


def draw_bill(offers: Sequence[Offer], path: Path) -> None:
    """`bill_figure` into a file, as `draw_agreement` does it."""
    _write(lambda: bill_figure(offers), path)


def _write(drawn: Callable[[], Figure], path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"`{path}` ends in none of {', '.join(FORMATS)}")
    with mpl.rc_context(_STYLE):
        figure = drawn()
        content = io.BytesIO()
        nothing = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[suffix]
        figure.savefig(content, format=suffix[1:], dpi=150, metadata=nothing)
    write_bytes(path, content.getvalue())


def agreement_figure(found: Assessment, grader: str) -> Figure:
    """The figure itself, for a notebook or a page of one's own."""
    told = [(j, j.result) for j in found.propositions if isinstance(j.result, Agreement)]
    told.sort(key=lambda pair: (pair[1].auc.value, pair[0].name))
    refused = [j for j in found.propositions if isinstance(j.result, TooLittle)]
    lines = -(-len(told) // _COLUMNS)
    bars, panels, foot = 0.8 + 0.24 * max(len(told), 1), 2.25 * lines, 0.3 + 0.17 * (1 + len(refused) // 2)
    height = 0.9 + bars + panels + foot
    figure = Figure(figsize=(11, height), facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(
        0.02, 1 - 0.28 / height, "How far the grader agrees with people", fontsize=13, weight="bold", va="center"
    )
    figure.text(0.02, 1 - 0.56 / height, _subtitle(found, grader), color="#4a5568", va="center")
    if told:
        left, right = 0.27, 0.98
        top = 1 - 0.9 / height
        axes: Any = figure.add_axes((left, top - (bars - 0.5) / height, right - left, (bars - 0.5) / height))
        _areas(axes, told)
        grid = figure.add_gridspec(
            lines, _COLUMNS, left=0.05, right=0.98, top=top - (bars + 0.35) / height, bottom=(foot + 0.35) / height,
            wspace=0.28, hspace=0.5,
        )  # fmt: skip
        for at, (judged, result) in enumerate(told):
            panel: Any = figure.add_subplot(grid[at // _COLUMNS, at % _COLUMNS])
            draw_reliability(panel, judged.name, result, at // _COLUMNS == lines - 1, at % _COLUMNS == 0)
    figure.text(0.02, 0.12 / height, _footnote(refused), color="#4a5568", fontsize=7.5, va="bottom")
    return figure


def bill_figure(offers: Sequence[Offer]) -> Figure:
    """How often graders give the right class against what 1,000 completions cost, with 95 % intervals.

    A line joins those that no cheaper one equals; costs grow by powers of ten where all have one.
    """
    figure = Figure(figsize=(7.5, 4.6), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot()
    costs = [1000 * one.spent.cost / max(one.spent.rows, 1) for one in offers]
    places: dict[tuple[float, float], int] = {}
    for one, cost in zip(offers, costs, strict=True):
        colour = _GREY if one.beaten_by else _BLUE
        above = places[cost, one.right.value] = places.get((cost, one.right.value), -1) + 1
        if not math.isnan(one.right.low):
            axes.vlines(cost, one.right.low, one.right.high, color=colour, linewidth=2, alpha=0.45)
        axes.plot(cost, one.right.value, "o", color=colour, markersize=6, zorder=3)
        axes.annotate(
            _short(Path(one.name).name, 34), (cost, one.right.value), xytext=(7, 5 + 11 * above), textcoords="offset points",
            fontsize=8, color=colour,
        )  # fmt: skip
    front = sorted((cost, one.right.value) for one, cost in zip(offers, costs, strict=True) if one.beaten_by is None)
    axes.step(*zip(*front, strict=True), where="post", color=_BLUE, linewidth=0.9, alpha=0.6)
    if min(costs) > 0:
        axes.set_xscale("log")
        axes.margins(x=0.25)
    else:
        axes.set_xlim(-0.03 * (max(costs) or 1), 1.35 * (max(costs) or 1))
    axes.set_ylim(top=min(axes.get_ylim()[1], 1.03))
    axes.set(xlabel="cost of 1,000 completions", ylabel="rows given their class")
    axes.set_title(
        f"What graders cost, and how often they are right ({offers[0].spent.rows} rows)", loc="left", fontsize=11
    )
    axes.grid(color=_PALE, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure


def _subtitle(found: Assessment, grader: str) -> str:
    classes = found.class_accuracy
    right = "" if classes is None else f"; classes right in {classes.value:.3f} of {found.class_rows} rows"
    name = textwrap.shorten(grader, 90, placeholder=" …")
    return f"{name}. {found.rows} labelled rows of {found.prompts} prompts, seed {found.seed}{right}"


def _footnote(refused: list[Judged]) -> str:
    counts = [
        f"{j.name} ({j.result.positives} yes of {j.result.support})" for j in refused if isinstance(j.result, TooLittle)
    ]
    if not counts:
        return (
            "Reliability: share of yes labels in each tenth of P; a dot's area grows with its rows, which bars count."
        )
    text = "Not judged, too few labels of one answer: " + ", ".join(counts)
    return textwrap.fill(text, 170)


def _areas(axes: Any, told: list[tuple[Judged, Agreement]]) -> None:
    """Area under the ROC curve with interval, and within response types, weakest on top."""
    places = list(range(len(told), 0, -1))
    values = [r.auc.value for _, r in told]
    ends = [
        (r.auc.value, r.auc.value) if math.isnan(r.auc.low) else (r.auc.low, r.auc.high) for _, r in told
    ]  # fmt: skip
    axes.hlines(places, [low for low, _ in ends], [high for _, high in ends], color=_BLUE, linewidth=2, alpha=0.45)
    axes.plot(values, places, "o", color=_BLUE, markersize=5, label="all rows, with 95 % interval", zorder=3)
    inside = [(j.within, y) for (j, _), y in zip(told, places, strict=True) if j.within is not None]
    if inside:
        axes.plot(
            [w for w, _ in inside], [y - 0.25 for _, y in inside], "D", color="white", markeredgecolor=_ORANGE, markersize=4.5,
            label="within response types", zorder=4,
        )  # fmt: skip
    axes.axvline(0.5, color=_GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    low = min([0.5, *(w for w, _ in inside), *(e for e, _ in ends)])
    axes.set(xlim=(low - 0.02, 1.012), ylim=(0.3, len(told) + 0.7), yticks=places)
    axes.set_yticklabels([f"{_short(j.name, 40)}  ({r.positives} yes of {r.support})" for j, r in told])
    axes.set_xlabel("area under the ROC curve (0.5: no better than chance)")
    axes.grid(axis="x", color=_PALE, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower left", frameon=True, framealpha=0.9, edgecolor=_PALE, fontsize=8)


def draw_reliability(axes: Any, name: str, result: Agreement, last: bool, first: bool, counted: bool = True) -> None:
    """Share of yes labels against mean P, with rows as bars below, their numbers too if `counted`."""
    bins = result.reliability
    most = max(b.rows for b in bins)
    at = [min(int(b.predicted * BINS), BINS - 1) / BINS + 0.5 / BINS for b in bins]
    axes.bar(at, [0.2 * b.rows / most for b in bins], width=0.085, bottom=_STRIP, color=_PALE, zorder=1)
    for x, b in zip(at, bins, strict=True) if counted else ():
        axes.text(x, _STRIP + 0.02, str(b.rows), ha="center", va="bottom", fontsize=5.5, color=_GREY, zorder=2)
    axes.axhline(0, color=_GREY, linewidth=0.7)
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=2)
    axes.plot([b.predicted for b in bins], [b.observed for b in bins], color=_BLUE, linewidth=1, alpha=0.6, zorder=3)
    axes.scatter(
        [b.predicted for b in bins], [b.observed for b in bins], s=[10 + 70 * b.rows / result.support for b in bins],
        color=_BLUE, zorder=4, clip_on=False,
    )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(_STRIP, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.set_title(
        f"{_short(name, 27)}\nECE {result.ece.value:.2f}, Brier {result.brier.score:.3f}",
        pad=4,
        loc="left",
        fontsize=7.5,
    )
    axes.tick_params(labelsize=7, length=2)
    if last:
        axes.set_xlabel("P(yes)", fontsize=7.5)
    if first:
        axes.set_ylabel("share of yes", fontsize=7.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _short(name: str, length: int) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
