"""Why may the small world agree or not? An explanation a claim and verdict.

In a text `{setting|measure}` is a mean of the report, and `{one less other|measure}` a difference taken seed by seed, with its
interval. A sentence that compares is an `If`: it is said where the interval of its own difference lies where the sentence
has it. An explanation that names a setting without numbers on some seed is not shown.
"""

# pyright: basic
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from results import Report, Run, between, rise, said

_NUMBER = re.compile(r"\{([^|{}]+)\|([^|{}]+)\}")


@dataclass(frozen=True, slots=True)
class If:
    """A sentence, said where `more` has more of a measure than `less`, by at least `by`; with `within`, where they differ by less than that."""

    more: str
    less: str
    measure: str
    text: str
    by: float = 0.0
    within: float | None = None

    def holds(self, report: Report) -> bool:
        """Whether the interval lies there."""
        around = between(_differences(report, self.more, self.less, self.measure))
        if around is None:
            return False
        low, high = around
        return low > self.by if self.within is None else -self.within < low and high < self.within


Why = str | Sequence[str | If]


def _names(part: str | If) -> set[str]:
    if isinstance(part, If):
        return {part.more, part.less} | _names(part.text)
    return {name for found in _NUMBER.finditer(part) for name in found[1].split(" less ")}


def filled(report: Report, why: Why) -> str:
    """A text with its numbers; nothing where a setting that it names lacks them on a seed."""
    parts = [why] if isinstance(why, str) else why
    names = set().union(*map(_names, parts))
    if not all(report.has(seed, *names) for seed in report.seeds):
        return ""
    told = [
        part.text if isinstance(part, If) else part for part in parts if isinstance(part, str) or part.holds(report)
    ]

    def number(found: re.Match[str]) -> str:
        name, _, other = found[1].partition(" less ")
        if other:
            return said(_differences(report, name, other, found[2]), signed=True)
        mean = float(np.mean([_of(run, found[2]) for run in report.runs[name].values()]))
        return f"{mean:g}" if found[2] == "alarms" else f"{mean:.3f}"

    return _NUMBER.sub(number, "\n".join(told))


def _differences(report: Report, one: str, other: str, measure: str) -> list[float]:
    first, second = report.runs[one], report.runs[other]
    return [_of(first[seed], measure) - _of(second[seed], measure) for seed in report.seeds]


def _of(run: Run, measure: str) -> float:
    match measure:
        case "ranking error":
            return run["ranking"]["error"]
        case "spread":
            return run["ranking"]["spread"]
        case "asked":
            return run["asked"]
        case "alarms":
            return len(run["watched"]["alarms"])
        case "rise by the grader" | "rise by the judge":
            return rise(run, f"{measure.split()[-1]}'s reward")
        case _:
            return run["rates"][measure]


_RULES, _HELPFUL, _HUMAN = "helpful + rules", "helpful only", "human preferences"
_FEW, _HAND, _BOTH = (
    "human preferences, as many labels as the rules",
    "helpful + rules, weights by hand",
    "human preferences + rules",
)
_PPO, _RIDGE, _RIDGED = "helpful + rules, PPO", "ridge chosen", "ridge chosen, PPO"
_NONE, _SOME, _MANY = "0% planted mistakes", "10% planted mistakes", "30% planted mistakes"

WHYS: dict[tuple[str, str], Why] = {
    ("Rules on top of a helpful reward model beat human preferences.", "agrees"): (
        If(_RULES, _HUMAN, "F1", "The distance is far larger than the paper's.", by=0.054),
        """\
Our cautious annotator takes four of five harmless requests that look risky for harmful, which is assumed; the
[comparison](comparison.md#results) says what its reward model makes of that.""",
    ),
    ("They beat the helpful reward model alone.", "agrees"): (
        If(_RULES, _HELPFUL, "F1", "The distance to the helpful-only model is larger than the paper's, too.", by=0.013),
        """\
Here it meets harmful requests in training, where the paper's never saw one. Like the paper's is `none` under
[safety prompts](#how-many-safety-prompts).""",
        If(_RULES, "0% safety prompts", "F1", "Helpful + rules has more F1 than that, too: {helpful + rules less 0% safety prompts|F1}."),
    ),
    ("With rules a model is nearly as willing as without them.", "contradicts"): (
        """\
**Willingness has its price here.** With a grader without mistakes not over-refusing changes by
{0% planted mistakes less helpful + rules|not over-refusing}.""",
        If("25% refusals", _RULES, "not over-refusing", """\
The mix of prompts is part of it: with a quarter of them to be refused in place of two thirds it changes by
{25% refusals less helpful + rules|not over-refusing}."""),
        "It may be that so small a model tells a villain's taunt from a real one by too few words.",
    ),
    ("With rules hardly a pair is ranked wrongly.", "contradicts"): (
        If(_RULES, _NONE, "ranking error", """\
The grader's mistakes are in it: the ranking error is {helpful + rules|ranking error}, and with answers that are true
{0% planted mistakes|ranking error}."""),
    ),
    ("With as few human labels as the rules need, human preferences do worse than rules.", "agrees"): """\
Whether more labels help human preferences these seeds do not say: with eight times as many pairs, and twice the steps, F1 changes
by {human preferences less human preferences, as many labels as the rules|F1}.""",
    ("The rules belong on top of a reward model that knows what helps.", "cannot decide"): (
        """\
With the least hinge the rules' reward spreads {helpful + rules|spread} in the response type where it spreads most, and the base
reward 1, so that RL may hardly see the base reward.""",
        If(_RULES, "rules only", "F1", "Without it F1 is the same within 0.05.", within=0.05),
        If(_RULES, _BOTH, "F1", "On top of either annotator's reward model F1 is the same within 0.05.", within=0.05),
    ),
    ("Fitted weights are worth the fit.", "agrees"): (
        """\
The policy's own weights are small beside the base reward, which wants answers to everything: the rules spread
{helpful + rules, weights by hand|spread} in place of {helpful + rules|spread}.""",
        If(_RULES, _HAND, "not unsafe", "Not unsafe is lower with them, {helpful + rules, weights by hand|not unsafe}."),
        If(_HAND, _RULES, "ranking error", """\
The ranking error says so before RL, {helpful + rules, weights by hand|ranking error} against {helpful + rules|ranking error}."""),
    ),
    ("A better grader makes over-refusals rarer.", "contradicts"): """\
**It is the other way round here**: with 30 % mistakes over-refusals are rarer. Planted mistakes fall on all texts alike; the paper's
numbers suggest that a small language model's do not, and that it finds fault with good answers.""",
    ("Safety hardly hangs on the grader.", "contradicts"): (
        "With 30 % mistakes, not unsafe is {30% planted mistakes|not unsafe} in place of {0% planted mistakes|not unsafe}.",
        If(_NONE, _MANY, "spread", """\
The fit answers such a grader with smaller weights (the rules spread {30% planted mistakes|spread} in place of
{0% planted mistakes|spread}), so that the base reward, which wants answers, may take over."""),
    ),
    ("A grader without mistakes gives a better model than one that has some.", "cannot decide"): (
        "The embedded grader's most likely class is wrong in nearly one text of five, and costs no F1 that these seeds could show.",
        If(_NONE, _SOME, "F1", "Nor do 10 % of planted mistakes cost 0.05 of it.", within=0.05),
        If(_NONE, _SOME, "ideal refusals", """\
They do cost style: with no mistakes ideal refusals are more by {0% planted mistakes less 10% planted mistakes|ideal refusals}."""),
    ),
    ("More safety prompts give better style of hard refusals.", "agrees"): """\
From none to a quarter to all of them: {0% safety prompts|ideal refusals}, {25% safety prompts|ideal refusals},
{helpful + rules|ideal refusals}. F1 changes by {25% safety prompts less 0% safety prompts|F1} from none to a quarter, and from there to
all by {helpful + rules less 25% safety prompts|F1}.""",
    ("The ranking error before RL foretells the result of RL: it is what the outer loop looks at.", "agrees"): """\
The two ends of it: `helpful only` with a ranking error of {helpful only|ranking error} has an F1 of {helpful only|F1}, and `no mistakes`
with {0% planted mistakes|ranking error} one of {0% planted mistakes|F1}.""",
    ("It tells good rewards from better ones, too.", "cannot decide"): """\
From no planted mistakes to 10 % of them the ranking error changes by {10% planted mistakes less 0% planted mistakes|ranking error}, and F1
by {10% planted mistakes less 0% planted mistakes|F1}.""",
    ("More prompts to refuse cost willingness.", "agrees"): (
        If("88% refusals", "25% refusals", "not unsafe", """\
They buy safety: not unsafe is more with 88 % than with 25 %, by {88% refusals less 25% refusals|not unsafe}."""),
    ),
    ("Weights need holding back, under GRPO too.", "cannot decide"): (
        "The rules spread {helpful + rules|spread}, {ridge chosen|spread} and {ridge 0.1|spread} under the three ridges.",
        If(_RIDGE, _RULES, "F1", "With the chosen one F1 is the same within 0.05.", within=0.05),
        If("ridge 0.1", _RULES, "F1", "With 0.1 it is the same within 0.05, too.", within=0.05),
        "Every group of GRPO is put on one scale. [PPO](#grpo-or-ppo) is asked below.",
    ),
    ("Weights need holding back.", "agrees"): (
        """\
**Under PPO the weights of the least hinge are too large.** It takes a batch by the batch's spread, in which the response type with the
largest rewards may be all that counts.""",
        If(_RULES, _PPO, "not over-refusing", """\
Not over-refusing is lower than under GRPO: {helpful + rules, PPO less helpful + rules|not over-refusing}."""),
        """\
The reward is the same, and so is its ranking error: that cannot say it before RL. The spread of the rules' reward can, which
`rbrc fit` and `rbrc eval` show.""",
    ),
    ("PPO with the ridge that the package chooses does as well as GRPO.", "agrees"): """\
With the chosen ridge the rules spread {ridge chosen|spread} in place of {helpful + rules|spread}, and PPO has an F1 of
{ridge chosen, PPO|F1}; ideal refusals change by
{ridge chosen, PPO less helpful + rules, PPO|ideal refusals} against no ridge.""",
    ("Few comparisons are enough.", "agrees"): (
        "A response type has three to twelve kinds of request, so that eight prompts have seen most of it.",
        If("fitted to 3 prompts a type", _RULES, "ranking error", """\
With three the ranking error is higher, by {fitted to 3 prompts a type less helpful + rules|ranking error}; F1 changes by
{fitted to 3 prompts a type less helpful + rules|F1}."""),
    ),
    ("The reward holds under training: what the grader pays for is there.", "contradicts"): (
        """\
**The grader pays for more than is there**: its reward rises by {weak KL|rise by the grader}, and the judge, under the same weights, sees
{weak KL|rise by the judge}.""",
        If("weak KL", "weak KL, no mistakes", "F1", """\
What it overpays for does little harm in so few steps: F1 is within 0.05 of what a grader without mistakes gives
({weak KL less weak KL, no mistakes|F1}).""", within=0.05),
        """\
The monitor raised {weak KL|alarms} alarms a run; it holds a run against its first steps, so that a grader that overpays from the
beginning need not be news to it. Whether a grader pays too much has to be known before ([agreement](agree.md)).""",
    ),
    ("Exact probabilities of classes give a better model than products.", "cannot decide"): """\
Neither way is shown to be better: F1 {weak KL|F1} and {weak KL, product|F1}.""",
    ("Questions that hardly matter to the reward can be left out.", "agrees"): """\
{weak KL, lazy|asked} of the questions were asked.""",
    ("Questions that hardly matter to the reward can be left out.", "cannot decide"): """\
{weak KL, lazy|asked} of the questions were asked.""",
}  # fmt: skip
"""By what is expected, and the verdict on it."""
