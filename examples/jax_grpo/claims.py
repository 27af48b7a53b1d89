"""What does the paper say, and what does the small world say to it?

A claim is a number a seed that is expected to be above 0, or, `bound`, within ± that. The verdict is the interval's: `agrees`
where all of it lies where it is expected, `contradicts` where none of it does, and otherwise `cannot decide`; without an
interval it is the reason why there is none. An explanation (`whys`) belongs to a verdict, and is not shown beside another; its
numbers are those of the report.
"""

# pyright: basic
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from results import Report, between, error, foretold, rate, rise
from studies import BOTH, CENTRE, HAND, HELPFUL, HUMAN, MATCHED, REWARDS, RULES, STUDIES, Setting, settings_of
from whys import WHYS, filled

Verdict = Literal["agrees", "contradicts", "cannot decide", "not all run", "no reward", "one seed has no interval"]

LOW = 0.2  # chosen after results were seen, and said so on the page
_SET = {setting.name: setting for setting in settings_of(STUDIES)}


@dataclass(frozen=True, slots=True)
class Found:
    """A number a seed, and the settings of whose runs it is made."""

    settings: tuple[Setting, ...]
    values: Callable[[Report], list[float]]


@dataclass(frozen=True, slots=True)
class Claim:
    """What is `expected`, by the paper where it has numbers (`theirs`); `ours` says what `of` is.

    `late`: added or worded after results were seen.
    """

    study: str
    expected: str
    theirs: str
    ours: str
    of: Found
    bound: float | None = None
    late: bool = False

    @property
    def marked(self) -> str:
        """What is expected, with † where that was written after results were seen."""
        return f"{self.expected} †" if self.late else self.expected

    def why(self, report: Report) -> str:
        """What explains the verdict, or nothing."""
        return filled(report, WHYS.get((self.expected, self.verdict(report)), ""))

    def verdict(self, report: Report) -> Verdict:
        """What the interval says, once every seed has all runs."""
        runs = [report.runs.get(one.name, {}).get(seed) for one in self.of.settings for seed in report.seeds]
        if any(run is None for run in runs):
            return "not all run"
        if any("failed" in run for run in runs if run is not None):
            return "no reward"
        if len(report.seeds) == 1:
            return "one seed has no interval"
        values = self.of.values(report)
        around = between(values)
        if around is None or len(values) < len(report.seeds):  # a correlation of what does not differ
            return "cannot decide"
        low, high = around
        if self.bound is None:
            return "agrees" if low > 0 else "contradicts" if high < 0 else "cannot decide"
        if -self.bound < low and high < self.bound:
            return "agrees"
        return "contradicts" if high < -self.bound or low > self.bound else "cannot decide"


def _more(one: Setting, other: Setting, name: str) -> Found:
    return Found((one, other), lambda report: report.differences(one, other, rate(name)))


def _less_error(one: Setting, other: Setting) -> Found:
    return Found((one, other), lambda report: report.differences(other, one, error))


def _foretells(most: float = 1.0) -> Found:
    return Found(REWARDS, lambda report: [-rho for rho in foretold(report, REWARDS, most).values()])


def _unseen(report: Report) -> list[float]:
    found = report.values(_SET["weak KL"], lambda run: rise(run, "judge's reward") - rise(run, "grader's reward"))
    return list(found.values())


CLAIMS = (
    Claim(
        "reward", "Rules on top of a helpful reward model beat human preferences.", "F1 97.1 against 91.7",
        "F1: helpful + rules, less human preferences", _more(CENTRE, HUMAN, "F1"),
    ),
    Claim(
        "reward", "They beat the helpful reward model alone.", "F1 97.1 against 95.8",
        "F1: helpful + rules, less helpful only", _more(CENTRE, HELPFUL, "F1"),
    ),
    Claim(
        "reward", "Human preferences are the safest.", "not unsafe 100 against 97.3",
        "not unsafe: human preferences, less helpful + rules", _more(HUMAN, CENTRE, "not unsafe"),
    ),
    Claim(
        "reward", "Human preferences over-refuse.", "not over-refusing 84.7 against 97.0",
        "not over-refusing: helpful + rules, less human preferences", _more(CENTRE, HUMAN, "not over-refusing"),
    ),
    Claim(
        "reward", "With rules a model is nearly as willing as without them.", "not over-refusing 97.0 against 98.1",
        "not over-refusing: helpful + rules, less helpful only (within ±0.05)",
        _more(CENTRE, HELPFUL, "not over-refusing"), bound=0.05,
    ),
    Claim(
        "reward", "With rules hardly a pair is ranked wrongly.", "ranking error 0.005 to 0.011, by response type",
        "0.011, less the ranking error of helpful + rules",
        Found((CENTRE,), lambda report: [0.011 - value for value in report.values(CENTRE, error).values()]),
    ),
    Claim(
        "reward", "With as few human labels as the rules need, human preferences do worse than rules.", "",
        "F1: helpful + rules, less human preferences of as many labels", _more(CENTRE, MATCHED, "F1"),
    ),
    Claim(
        "reward", "Rules on top of the human-preference reward model refuse less.", "over-refusals down by 16 %",
        "not over-refusing: human preferences + rules, less human preferences", _more(BOTH, HUMAN, "not over-refusing"),
    ),
    Claim(
        "reward", "The rules belong on top of a reward model that knows what helps.", "",
        "F1 with answers: helpful + rules, less rules only", _more(CENTRE, RULES, "F1 with answers"),
    ),
    Claim(
        "reward", "Rules lower the ranking error.", "hard refusals 0.67 to 0.005, soft 0.32 to 0.010, comply 0.11 to 0.011",
        "ranking error: helpful only, less helpful + rules", _less_error(CENTRE, HELPFUL),
    ),
    Claim(
        "reward", "Fitted weights are worth the fit.", "",
        "F1: fitted weights, less weights by hand", _more(CENTRE, HAND, "F1"),
    ),
    Claim(
        "grader", "A better grader makes over-refusals rarer.", "not over-refusing 0.705 to 0.938",
        "not over-refusing: no mistakes, less 30 %",
        _more(_SET["0% planted mistakes"], _SET["30% planted mistakes"], "not over-refusing"), late=True,
    ),
    Claim(
        "grader", "Safety hardly hangs on the grader.", "not unsafe near 0.95 to 0.98",
        "not unsafe: no mistakes, less 30 % (within ±0.05)",
        _more(_SET["0% planted mistakes"], _SET["30% planted mistakes"], "not unsafe"), bound=0.05, late=True,
    ),
    Claim(
        "grader", "A grader without mistakes gives a better model than one that has some.", "",
        "F1: no mistakes, less the embedded grader", _more(_SET["0% planted mistakes"], CENTRE, "F1"), late=True,
    ),
    Claim(
        "safety prompts", "More safety prompts give better style of hard refusals.", "up to 0.83",
        "ideal hard refusals: all safety prompts, less 25 %", _more(CENTRE, _SET["25% safety prompts"], "ideal refusals"),
    ),
    Claim(
        "refusals", "More prompts to refuse cost willingness.", "",
        "not over-refusing: 25 % refusals, less 88 %",
        _more(_SET["25% refusals"], _SET["88% refusals"], "not over-refusing"),
    ),
    Claim(
        "comparisons", "Few comparisons are enough.", "300 a category",
        "F1: fitted to all 24 prompts a response type, less 8 (within ±0.05)",
        _more(CENTRE, _SET["fitted to 8 prompts a type"], "F1"), bound=0.05,
    ),
    Claim(
        "ridge", "Weights need holding back, under GRPO too.", "",
        "F1: ridge chosen by cross-validation, less none", _more(_SET["ridge chosen"], CENTRE, "F1"), late=True,
    ),
    Claim(
        "foretelling", "The ranking error before RL foretells the result of RL: it is what the outer loop looks at.", "",
        "Spearman's correlation of ranking error and F1 over settings, sign turned", _foretells(),
    ),
    Claim(
        "foretelling", "It tells good rewards from better ones, too.", "",
        f"the same of settings with a mean ranking error of {LOW} at most", _foretells(LOW), late=True,
    ),
    Claim(
        "optimiser", "Whether GRPO or PPO does not matter.", "",
        "F1 of helpful + rules: PPO, less GRPO (within ±0.05)", _more(_SET["helpful + rules, PPO"], CENTRE, "F1"), bound=0.05,
        late=True,
    ),
    Claim(
        "optimiser", "Weights need holding back.", "weight decay of 0.05, with PPO",
        "F1 under PPO: ridge chosen by cross-validation, less none",
        _more(_SET["ridge chosen, PPO"], _SET["helpful + rules, PPO"], "F1"), late=True,
    ),
    Claim(
        "optimiser", "PPO with the ridge that the package chooses does as well as GRPO.", "",
        "F1 of helpful + rules: PPO with the ridge chosen, less GRPO (within ±0.05)",
        _more(_SET["ridge chosen, PPO"], CENTRE, "F1"), bound=0.05, late=True,
    ),
    Claim(
        "hacking", "The reward holds under training: what the grader pays for is there.", "",
        "rise of the judge's reward over the run, less that of the grader's",
        Found((_SET["weak KL"],), _unseen),
    ),
    Claim(
        "hacking", "Exact probabilities of classes give a better model than products.", "",
        "F1: exact, less product", _more(_SET["weak KL"], _SET["weak KL, product"], "F1"), late=True,
    ),
    Claim(
        "hacking", "Questions that hardly matter to the reward can be left out.", "",
        "F1: lazy, less exact (within ±0.05)", _more(_SET["weak KL, lazy"], _SET["weak KL"], "F1"), bound=0.05,
        late=True,
    ),
)  # fmt: skip
