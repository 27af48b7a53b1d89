"""How is a report told: tables, verdicts, and what to make of them?

Everything that is said of a number is computed from the report; sentences that explain belong to a verdict (`claims`).
"""

# pyright: basic
from __future__ import annotations

from collections.abc import Callable, Sequence

import wording
from claims import CLAIMS, LOW, Claim, Verdict
from foreign import RATES
from results import Report, Run, error, foretold, low_error, rate, rise, said
from studies import REWARDS, STUDIES, Study, settings_of

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
            trained = len(COLUMNS) if setting.length else len(RATES)  # nothing is trained with the warm start's reward
            lines.append((label, *(said(of) for of in values[:trained]), *("–",) * (len(COLUMNS) - trained)))
        else:
            lines.append((label, *("not run",) * len(COLUMNS)))
    return _rows(("setting", *(name for name, _ in COLUMNS)), lines)


def hacking(report: Report, study: Study) -> str:
    """What those who look on saw of the long runs."""
    lines = []
    for label, setting in study.settings:
        runs = [run for run in report.runs.get(setting.name, {}).values() if "failed" not in run]
        if not runs:
            continue
        lines.append((
            label,
            *(said([rise(run, of) for run in runs], signed=True)
              for of in ("grader's reward", "judge's reward", "ideal, by the judge", "F1, by the judge")),
            _alarms(runs), _probes(runs),
            said([run["asked"] for run in runs]) if "asked" in runs[0] else "all",
        ))  # fmt: skip
    head = (
        "setting", "rise of the grader's reward", "of the judge's", "of ideal texts", "of F1", "alarms: seeds, first step",
        "`rbrc probe`: trials that raise, payloads that outrank", "questions asked",
    )  # fmt: skip
    return _rows(head, lines)


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
        values = claim.of.values(report)
        lines.append((
            claim.marked, claim.theirs or "–", claim.ours,
            said(values, signed=True) if values else "–", f"**{claim.verdict(report)}**",
        ))  # fmt: skip
    text = _rows(("expected", "the paper's numbers", "here", "found", "verdict"), lines)
    return text + "".join(f"\n{why}\n" for claim in claims if (why := claim.why(report)))


def scatter(report: Report) -> str:
    """The correlation of ranking error and F1, seed by seed."""
    found = foretold(report, REWARDS)
    if not found:
        return "No seed has a run of every setting, so that there is no correlation.\n\n"
    each = ", ".join(f"{rho:+.2f}" for rho in found.values())
    low = ", ".join(f"`{one.name}`" for one in low_error(report, REWARDS, LOW))
    return (
        f"Spearman's correlation over all {len(REWARDS)} settings, seed by seed: {each}. "
        f"A mean ranking error of {LOW} at most have {low}.\n\n"
    )


def summary(report: Report) -> str:
    """All verdicts, the unwelcome ones first; what the paper has no number for is told apart."""
    said_of: dict[Verdict, str] = {
        "contradicts": "contradicts", "cannot decide": "cannot decide", "agrees": "agrees with", "not all run": "has not tried on all seeds",
        "no reward": "has no reward on some seed for", "one seed has no interval": "has tried on one seed, which has no interval,"
    }  # fmt: skip
    lines = ["## In short\n\n"]
    for whose, claims in (
        ("the paper reports", [claim for claim in CLAIMS if claim.theirs]),
        ("users expect", [claim for claim in CLAIMS if not claim.theirs]),
    ):
        lines.append(f"Of {len(claims)} things that {whose}, the small world\n\n")
        for verdict, told in said_of.items():
            of = [claim.marked for claim in claims if claim.verdict(report) == verdict]
            if of:
                lines.append(f"- {told} {len(of)}: {' '.join(of)}\n")
        lines.append("\n")
    return "".join(lines)


def cost(report: Report) -> str:
    """How much was run, and what it took."""
    settings = settings_of(STUDIES)
    done = sum(len(report.runs.get(one.name, {})) for one in settings)
    total = len(settings) * len(report.seeds)
    missing = (
        ""
        if done == total
        else f" **{total - done} of {total} runs are not done: where they are missing, it is said.**"
    )
    failed = sum("failed" in run for of in report.runs.values() for run in of.values())
    failures = f" {failed} of them have no reward and so no numbers." if failed else ""
    spent = report.cost["processor_seconds"]
    return (
        f"{done} runs on the seeds {', '.join(map(str, report.seeds))}.{missing}{failures} They took {spent['runs']:,.0f} processor "
        f"seconds, and the models that they share {spent['models']:,.0f}, on a machine of {report.cost['processors']} processors "
        f"that others used too (JAX {report.cost['jax']}, no accelerator).\n"
    )


def parts(report: Report) -> str:
    """How good the parts are that all runs share."""
    names = next(iter(report.parts.values()), {})
    return _rows(("part", "rate"), [(name, said([of[name] for of in report.parts.values()])) for name in names])


def page(report: Report, unpictured: str = "") -> str:
    """The whole page, in Markdown; `unpictured` is why there is no picture."""
    told = [
        wording.INTRODUCTION,
        summary(report),
        f"There is no picture: {unpictured}.\n\n" if unpictured else wording.PICTURE,
        wording.METHOD,
        cost(report),
        "\n",
        parts(report),
        "\n",
        wording.READING,
    ]
    for study in STUDIES:
        told += [f"\n## {study.question}\n\n", wording.ABOUT[study.name], "\n", table(report, study)]
        if study.name == "hacking":
            told += ["\n", wording.LOOKED_ON, "\n", hacking(report, study)]
        told += ["\n", verdicts(report, [claim for claim in CLAIMS if claim.study == study.name])]
    told += [
        "\n## Does the ranking error foretell the result?\n\n",
        wording.ABOUT["foretelling"],
        "\n",
        scatter(report),
    ]
    told += [verdicts(report, [claim for claim in CLAIMS if claim.study == "foretelling"]), "\n", wording.LIMITS]
    return "".join(told)
