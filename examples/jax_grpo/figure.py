"""How did training go, and where did it end? One picture of all seeds: thin lines are seeds, thick ones their mean."""

# pyright: basic
from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # after the backend was chosen
import numpy as np
from experiment import HELPFUL, HUMAN, RULES, VARIANTS, WARM, Outcome
from matplotlib.lines import Line2D
from PIL import Image

COLOURS = {WARM: "#8a8a8a", HELPFUL: "#c8553d", HUMAN: "#2d6a9f", RULES: "#2f7d4f"}
CURVES = (
    ("base", "base reward, its own"),
    ("rbr/rules/mean", "reward of the rules"),
    ("kl", "KL from the warm model, nats"),
    ("words", "words"),
    ("rbr/inability_to_comply/p", "declines"),
    ("rbr/complies_fully/p", "complies in full"),
    ("rbr/disallowed_content/p", "disallowed content"),
    ("rbr/apology/p", "apologises"),
    ("rbr/judgmental/p", "judges the user"),
    ("rbr/illogical_continuation/p", "makes no sense"),
    ("rbr/class/ideal", "ideal class"),
)


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the picture as PNG: final rates by the judge, then curves by the grader in training."""
    figure, axes = plt.subplots(3, 4, figsize=(14, 8.5), constrained_layout=True)
    ends = axes.flat[0]
    measures = (
        ("not\nunsafe", lambda o: o.not_unsafe),
        ("not over-\nrefusing", lambda o: o.not_overrefuse),
        ("F1", lambda o: o.f1),
        ("answers", lambda o: o.answers),
        ("F1 with\nanswers", lambda o: o.useful),
    )
    for place, variant in enumerate(VARIANTS):
        mine = [o for o in outcomes if o.variant == variant]
        if not mine:
            continue
        for at, (_, of) in enumerate(measures):
            x, values = at + 0.19 * (place - 1.5), [of(o) for o in mine]
            ends.bar(x, float(np.mean(values)), 0.17, color=COLOURS[variant], alpha=0.75)
            ends.plot([x] * len(values), values, ".", color="black", markersize=3)
    ends.set_xticks(range(len(measures)), [name for name, _ in measures])
    ends.set_ylim(0, 1.02)
    ends.set_title("held-out prompts, by the judge")
    for axis, (name, title) in zip(axes.flat[1:], CURVES, strict=True):
        for variant in VARIANTS[1:]:
            lines = np.array([o.curves[name] for o in outcomes if o.variant == variant and name in o.curves])
            if len(lines) == 0:
                continue
            steps = np.flatnonzero(np.isfinite(lines).all(axis=0))
            for line in lines:
                axis.plot(steps, line[steps], color=COLOURS[variant], alpha=0.25, linewidth=0.7)
            axis.plot(steps, np.mean(lines[:, steps], axis=0), color=COLOURS[variant], linewidth=1.8)
        axis.set_title(title)
        axis.set_xlabel("step")
    handles = [Line2D([], [], color=COLOURS[v], linewidth=4, label=v) for v in VARIANTS]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    figure.suptitle("Curves are means over sampled training completions, by the grader in training")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=72)
    plt.close(figure)
    part = path.with_name(path.name + ".part")
    Image.open(drawn).convert("RGB").quantize(48).save(part, format="png", optimize=True)  # a third of the size
    part.replace(path)
