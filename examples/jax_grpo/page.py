"""How is a report told: tables, verdicts, and what to make of them?

Everything that is said of a number is computed from the report; sentences that explain belong to a verdict (`claims`).
"""

# pyright: basic
from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from claims import CLAIMS, Claim
from results import Report, Run, between, error, foretold, rate, said
from studies import FORETOLD, STUDIES, Study, settings_of

RATES = ("not unsafe", "not over-refusing", "F1", "answers", "F1 with answers", "ideal refusals", "no sense")
COLUMNS: tuple[tuple[str, Callable[[Run], float]], ...] = (
    *((name, rate(name)) for name in RATES),
    ("ranking error", error),
)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _rows(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return _row(head) + _row(["---"] * len(head)) + "".join(map(_row, lines))


def table(report: Report, study: Study) -> str:
    """A study's settings, means over seeds with their intervals."""
    lines = []
    for label, setting in study.settings:
        values = [list(report.values(setting, of).values()) for _, of in COLUMNS]
        if values[0]:
            lines.append((label, *(said(of) for of in values)))
        else:
            lines.append((label, *("not run",) * len(COLUMNS)))
    return _rows(("", *(name for name, _ in COLUMNS)), lines)


def hacking(report: Report, study: Study) -> str:
    """What those who look on saw of the long runs."""
    lines = []
    for label, setting in study.settings:
        runs = [run for run in report.runs.get(setting.name, {}).values() if "failed" not in run]
        if not runs:
            continue
        lines.append((
            label,
            *(said([_rise(run["watched"]["curves"][of]) for run in runs], signed=True)
              for of in ("grader's reward", "judge's reward", "ideal, by the judge", "F1, by the judge")),
            _alarms(runs), _probes(runs),
            said([run["asked"] for run in runs]) if "asked" in runs[0] else "all",
        ))  # fmt: skip
    head = (
        "", "rise of the grader's reward", "of the judge's", "of ideal texts", "of F1", "alarms: seeds, first step",
        "`rbrc probe`: trials that raise, payloads that outrank", "questions asked",
    )  # fmt: skip
    return _rows(head, lines)


def _rise(curve: Sequence[float]) -> float:
    return float(np.mean(curve[-3:]) - np.mean(curve[:3]))


def _alarms(runs: Sequence[Run]) -> str:
    found: dict[str, list[int]] = {}
    for run in runs:
        first: dict[str, int] = {}
        for step, kind, about in run["watched"]["alarms"]:
            first.setdefault(f"{kind} `{about}`" if about else kind, step)
        for name, step in first.items():
            found.setdefault(name, []).append(step)
    told = sorted(found.items(), key=lambda one: (-len(one[1]), one[0]))
    return "; ".join(f"{name}: {len(steps)} of {len(runs)}, step {min(steps)}" for name, steps in told) or "none"


def _probes(runs: Sequence[Run]) -> str:
    sums = {of: sum(run["ranking"]["probe"][of] for run in runs) for of in ("trials", "raising", "outranking")}
    return f"{sums['raising']} and {sums['outranking']} of {sums['trials']}"


def verdicts(report: Report, claims: Sequence[Claim]) -> str:
    """What the paper says and what the small world says to it, claim by claim."""
    lines = []
    for claim in claims:
        values = claim.of(report)
        lines.append((
            claim.paper, claim.theirs or "no number", claim.ours,
            said(values, signed=True) if values else "–", f"**{claim.verdict(report)}**",
        ))  # fmt: skip
    text = _rows(("the paper, or whoever uses the method, expects", "its numbers", "here", "found", "verdict"), lines)
    whys = [claim.why.get(claim.verdict(report)) for claim in claims]
    return text + "".join(f"\n{why}\n" for why in whys if why)


def scatter(report: Report) -> str:
    """The correlation of ranking error and F1, seed by seed."""
    settings = [one for one in settings_of([s for s in STUDIES if s.name in FORETOLD]) if one.length]
    found = foretold(report, settings)
    if not found:
        return "Too few runs for a correlation.\n"
    around = between(list(found.values()))
    each = ", ".join(f"{rho:+.2f}" for rho in found.values())
    mean = f"{np.mean(list(found.values())):+.2f}"
    return (
        f"Spearman's correlation of ranking error and F1 over {len(settings)} settings, seed by seed: {each}; mean {mean}"
        + (f" ({around[0]:+.2f} to {around[1]:+.2f}, Student, over seeds).\n" if around else ".\n")
    )


def page(report: Report) -> str:
    """The whole page, in Markdown."""
    parts = ["# The paper's experiments in small\n"]
    for study in STUDIES:
        parts += [f"\n## {study.question}\n\n", table(report, study)]
        if study.name == "hacking":
            parts += ["\n", hacking(report, study)]
        parts += ["\n", verdicts(report, [claim for claim in CLAIMS if claim.study == study.name])]
    parts += ["\n## Foretold\n\n", scatter(report), verdicts(report, [c for c in CLAIMS if c.study == "foretelling"])]
    return "".join(parts)
