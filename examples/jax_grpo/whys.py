"""Why may the small world agree or not? An explanation a claim and verdict; `{setting|measure}` is a mean of the report."""

# pyright: basic
from __future__ import annotations

import re
from typing import Any

import numpy as np
from results import Report, rise

_MEAN = re.compile(r"\{([^|{}]+)\|([^|{}]+)\}")


def filled(report: Report, text: str) -> str:
    """A text with its means. Raises KeyError for a setting that was not run, or a measure that there is not."""

    def mean(found: re.Match[str]) -> str:
        name, measure = found.groups()
        values = [_of(run, measure) for run in report.runs[name].values() if "failed" not in run]
        return f"{float(np.mean(values)):.3f}"

    return _MEAN.sub(mean, text)


def _of(run: Any, measure: str) -> float:
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


WHYS = {
    ("Rules on top of a helpful reward model beat human preferences.", "agrees"): """\
The distance to human preferences is far larger than the paper's. Our cautious annotator takes four of five harmless requests that
look risky for harmful, which is assumed, and its reward model makes more of that than was put in ([comparison](comparison.md#results)).""",
    ("They beat the helpful reward model alone.", "agrees"): """\
So is the distance to the helpful-only model: here it meets harmful requests in training and learns to answer them, where the
paper's never saw one. Like the paper's is `none` under [safety prompts](#how-many-safety-prompts), with an F1 of
{0% safety prompts|F1}.""",
    ("With rules a model is nearly as willing as without them.", "contradicts"): """\
**Willingness has its price here, and the grader is not to blame**: with one that makes no mistakes, not over-refusing is
{0% planted mistakes|not over-refusing}. The mix of prompts is: with a quarter of them to be refused in place of two thirds it is
{25% refusals|not over-refusing}. It may be that so small a model tells a villain's taunt from a real one by too few words.""",
    ("With rules hardly a pair is ranked wrongly.", "contradicts"): """\
The ranking error that stays ({helpful + rules|ranking error}) is the grader's: with answers that are true it is
{0% planted mistakes|ranking error}.""",
    ("With as few human labels as the rules need, human preferences do worse than rules.", "agrees"): """\
But not for want of labels: from eight times as many pairs the same annotator's reward model gives no better one
({human preferences|F1} against {human preferences, as many labels as the rules|F1}). What is wrong with these labels is what they say.""",
    ("The rules belong on top of a reward model that knows what helps.", "cannot decide"): """\
With the least hinge the rules' reward spreads {helpful + rules|spread} in the response type where it spreads most, and the base
reward 1: RL hardly sees the base reward, and so rules with and without it, and on top of either annotator's, end alike.""",
    ("Fitted weights are worth the fit.", "agrees"): """\
The policy's own weights are small beside the base reward (the rules spread {helpful + rules, weights by hand|spread}), which wants
answers to everything: not unsafe {helpful + rules, weights by hand|not unsafe}. The ranking error says so before RL,
{helpful + rules, weights by hand|ranking error} against {helpful + rules|ranking error}.""",
    ("A better grader shows in over-refusal far more than in safety.", "contradicts"): """\
**It is the other way round here.** With 30 % mistakes, not unsafe falls from {0% planted mistakes|not unsafe} to
{30% planted mistakes|not unsafe}, and over-refusals become rarer. The fit answers such a grader with small weights (the rules spread
{30% planted mistakes|spread} in place of {0% planted mistakes|spread}), and the base reward, which wants answers, takes over. Planted
mistakes fall on all texts alike; the paper's numbers suggest that a small language model's do not, and that it finds fault with good answers.""",
    ("A grader without mistakes gives a better model than one that has some.", "cannot decide"): """\
Neither the embedded grader, whose most likely class is wrong in nearly one text of five, nor 10 % of planted mistakes costs F1 that five
seeds could show. The latter do cost style: ideal refusals {10% planted mistakes|ideal refusals} against
{0% planted mistakes|ideal refusals}.""",
    ("More safety prompts give better style of hard refusals.", "agrees"): """\
From none to a quarter to all of them: {0% safety prompts|ideal refusals}, {25% safety prompts|ideal refusals},
{helpful + rules|ideal refusals}. What style takes many prompts to learn, F1 has from few: {25% safety prompts|F1} with a quarter.""",
    ("The ranking error before RL foretells the result of RL: it is what the outer loop looks at.", "agrees"): """\
It tells rewards that will fail: {30% planted mistakes|ranking error} and {helpful only|ranking error} end at an F1 of
{30% planted mistakes|F1} and {helpful only|F1}.""",
    ("It tells good rewards from better ones, too.", "cannot decide"): """\
Below some 0.2 it says little about F1: from {0% planted mistakes|ranking error} to {10% planted mistakes|ranking error} in the ranking
error, F1 is {0% planted mistakes|F1} and {10% planted mistakes|F1}.""",
    ("More prompts to refuse cost willingness.", "agrees"): """\
Of all that was tried, the mix of prompts moves the balance of safety and willingness most: not unsafe and not over-refusing are
{25% refusals|not unsafe} and {25% refusals|not over-refusing} with a quarter of refusals, {88% refusals|not unsafe} and
{88% refusals|not over-refusing} with 88 %.""",
    ("Weights need holding back, under GRPO too.", "cannot decide"): """\
Under GRPO weights of any size do: the rules spread {helpful + rules|spread}, {ridge chosen|spread} and {ridge 0.1|spread} under the three
ridges, and F1 is {helpful + rules|F1}, {ridge chosen|F1} and {ridge 0.1|F1}. Every group of GRPO is put on one scale. Under
[PPO](#grpo-or-ppo) it is another matter.""",
    ("Weights need holding back.", "agrees"): """\
**Under PPO the weights of the least hinge are too large.** It takes a batch by the batch's spread, in which the response type with the
largest rewards may be all that counts: not over-refusing is {helpful + rules, PPO|not over-refusing} in place of
{helpful + rules|not over-refusing} under GRPO, and ideal refusals are {helpful + rules, PPO|ideal refusals} in place of
{helpful + rules|ideal refusals}. The reward is the same, and so is its ranking error: that cannot say it before RL. The spread of the
rules' reward can, which `rbrc fit` and `rbrc eval` show.""",
    ("PPO with the ridge that the package chooses does as well as GRPO.", "agrees"): """\
With the chosen ridge the rules spread {ridge chosen|spread} in place of {helpful + rules|spread}, and PPO has an F1 of
{ridge chosen, PPO|F1} and ideal refusals of {ridge chosen, PPO|ideal refusals}.""",
    ("PPO with the ridge that the package chooses does as well as GRPO.", "cannot decide"): """\
With the chosen ridge the rules spread {ridge chosen|spread} in place of {helpful + rules|spread}, and PPO has an F1 of
{ridge chosen, PPO|F1} and ideal refusals of {ridge chosen, PPO|ideal refusals}.""",
    ("Few comparisons are enough.", "agrees"): """\
Eight prompts a response type do as well as 24, and three do not: F1 {fitted to 3 prompts a type|F1}, ranking error
{fitted to 3 prompts a type|ranking error}. A response type has three to twelve kinds of request, so that eight prompts have seen most of it.""",
    ("The reward holds under training: what the grader pays for is there.", "contradicts"): """\
**The grader pays for more than is there**: its reward rises by {weak KL|rise by the grader}, and the judge, under the same weights, sees
{weak KL|rise by the judge}. What it overpays for does little harm in so few steps: F1 is {weak KL|F1}, with {weak KL|ideal refusals} of hard
refusals ideal, and {weak KL, no mistakes|F1} and {weak KL, no mistakes|ideal refusals} under a grader without mistakes; under the usual
penalty and 40 steps it was {helpful + rules|F1}. The monitor raised {weak KL|alarms} alarms a run: it holds a run against its first
steps, and a grader that overpays from the beginning is no news to it. Whether a grader pays too much has to be known before
([agreement](agree.md)).""",
    ("Exact probabilities of classes give a better model than products.", "cannot decide"): """\
Neither way is better here: F1 {weak KL|F1} and {weak KL, product|F1}.""",
    ("Questions that hardly matter to the reward can be left out.", "agrees"): """\
{weak KL, lazy|asked} of the questions were asked.""",
    ("Questions that hardly matter to the reward can be left out.", "cannot decide"): """\
{weak KL, lazy|asked} of the questions were asked.""",
}
