"""How do the curves of growth look? One SVG with a panel a kind of size, both axes logarithmic. Needs matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from rbrlang.bench.outcome import Curve, from_json

_COLOURS = ("#2b6cb0", "#c05621", "#718096", "#2f855a", "#6b46c1")
_STYLE: Any = {
    "font.family": "sans-serif", "font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "rbrlang",
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8,
    "axes.edgecolor": "#718096", "text.color": "#1a202c", "axes.labelcolor": "#4a5568",
    "xtick.color": "#4a5568", "ytick.color": "#4a5568", "figure.facecolor": "#ffffff", "text.parse_math": False,
}  # fmt: skip
_WIDTH, _HEIGHT = 5.2, 3.4  # inches a panel
_UNITS = {"s": "seconds", "MiB": "MiB, at most", "ns a row": "ns a row"}


def picture(found: Mapping[str, Any]) -> str | None:
    """The curves of a run as SVG; None where none has two sizes. The same figures give the same text."""
    panels: dict[tuple[str, str], list[Curve]] = {}
    for row in found["rows"]:
        for curve in from_json(row).curves:
            if len(curve.points) > 1:
                panels.setdefault((curve.x, curve.unit), []).append(curve)
    if not panels:
        return None
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH * across, _HEIGHT * down), layout="constrained")
        FigureCanvasSVG(figure)
        every: Any = figure.subplots(down, across, squeeze=False)
        for number, ((x, unit), curves) in enumerate(panels.items()):
            _panel(every[number // across][number % across], x, unit, curves)
        for number in range(len(panels), across * down):
            every[number // across][number % across].set_axis_off()
        content = io.StringIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    # Lines end without blanks: the file is kept among others that people edit.
    return "\n".join(line.rstrip() for line in content.getvalue().splitlines()) + "\n"


def _panel(axes: Any, x: str, unit: str, curves: list[Curve]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for number, curve in enumerate(curves):
        sizes, values = zip(*curve.points, strict=True)
        exponent = "" if curve.exponent is None else f"  ∝ size^{curve.exponent:.2f}"
        axes.plot(
            sizes, values, color=_COLOURS[number % len(_COLOURS)], marker="osD^v"[number % 5], markersize=4,
            linewidth=1.4, label=curve.name + exponent,
        )  # fmt: skip
    axes.set_xlabel(x)
    axes.set_ylabel(_UNITS.get(unit, unit))
    plain = FuncFormatter(_plain)
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_formatter(plain)
    low, high = axes.get_ylim()
    if high < 10 * low:  # else no decade may fall into the panel, and no number beside it
        middle = (low * high) ** 0.5
        axes.set_ylim(min(low, middle / 4), max(high, middle * 4))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(which="major", color="#e2e8f0", linewidth=0.8)
    axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)


def _plain(value: float, _: object) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
