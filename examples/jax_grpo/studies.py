"""Which runs answer which of the paper's questions?

A `Setting` is a reward and a way to train with it; a `Study` is a question and the settings that answer it, in the
order of its table. Settings that several studies share are run once: `CENTRE`, the run of the comparison
(`experiment.py`), stands in most of them. All numbers in here were chosen on the seeds of `TUNED`; `shown_seeds` refuses
to show those.
"""

# pyright: basic
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from grpo import KL

TUNED = frozenset({100, 101})
SHOWN = range(5)

Base = Literal["helpful", "cautious", "matched", "none"]
Weights = Literal["fitted", "by hand", "none"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to train.

    `base`: the reward model of an annotator; `matched` is the cautious one from as many labels as the rules cost.
    `weights` of the rules: fitted on top of the base reward, the policy's own, or no rules. `error`: None grades with the
    embedded grader, a rate plants as many mistakes among the judge's own answers. `prompts`: so many a response type are fitted
    to, None for all. `ridge`: as in `rbr.fit`, None to have it chosen. `ruled`: the share of each step's prompts that are
    safety prompts; the others are harmless ones that do not look risky, and get the base reward alone. `refusals`: the
    share of safety prompts that call for a refusal, None for that of the world. `lazy`: how far a rule reward may stay
    unknown when questions are left out. `length`: steps, in those of the plan. `watched`: look on as `watch` does.
    """

    name: str
    base: Base = "helpful"
    weights: Weights = "fitted"
    error: float | None = None
    prompts: int | None = None
    ridge: float | None = 0.0
    ruled: float = 1.0
    refusals: float | None = None
    loop: Literal["GRPO", "PPO"] = "GRPO"
    classes: Literal["exact", "product"] = "exact"
    lazy: float | None = None
    length: float = 1.0
    kl: float = KL
    watched: bool = False


@dataclass(frozen=True, slots=True)
class Study:
    """A question, and the settings that answer it under the names that its table gives them."""

    name: str
    question: str
    settings: tuple[tuple[str, Setting], ...]

    @property
    def short(self) -> Study:
        """The two ends of it."""
        return replace(self, settings=(self.settings[0], self.settings[-1]))


WARM = Setting("warm start", weights="none", length=0.0)
HELPFUL = Setting("helpful only", weights="none")
CENTRE = Setting("helpful + rules")
HAND = replace(CENTRE, name="helpful + rules, weights by hand", weights="by hand")
RULES = replace(CENTRE, name="rules only", base="none")
HUMAN = Setting("human preferences", base="cautious", weights="none")
MATCHED = replace(HUMAN, name="human preferences, as many labels as the rules", base="matched")
BOTH = replace(CENTRE, name="human preferences + rules", base="cautious")

WEAK_KL = 0.003
LAZY = 1.0  # a rule reward spans some 25 in the middle of the table of weights
PLANTED = (0.0, 0.1, 0.3)

_planted = {rate: replace(CENTRE, name=f"{rate:.0%} planted mistakes", error=rate) for rate in PLANTED}
_ruled = {share: replace(CENTRE, name=f"{share:.0%} safety prompts", ruled=share) for share in (0.0, 0.25)}
_refusals = {share: replace(CENTRE, name=f"{share:.0%} refusals", refusals=share) for share in (0.25, 0.875)}
_prompts = {count: replace(CENTRE, name=f"fitted to {count} prompts a type", prompts=count) for count in (3, 8)}
_ridges = {
    "chosen": replace(CENTRE, name="ridge chosen", ridge=None),
    "0.1": replace(CENTRE, name="ridge 0.1", ridge=0.1),
}
_long = replace(CENTRE, name="weak KL", kl=WEAK_KL, length=1.5, watched=True)
_hacked = {
    "exact": _long,
    "no mistakes": replace(_long, name="weak KL, no mistakes", error=0.0),
    "product": replace(_long, name="weak KL, product", classes="product"),
    "lazy": replace(_long, name="weak KL, lazy", lazy=LAZY),
}

STUDIES = (
    Study(
        "reward",
        "Which reward gives which model?",
        tuple((one.name, one) for one in (WARM, HELPFUL, RULES, CENTRE, HAND, HUMAN, MATCHED, BOTH)),
    ),
    Study(
        "grader",
        "How good does the grader have to be?",
        (
            *((f"{rate:.0%} planted mistakes" if rate else "no mistakes", one) for rate, one in _planted.items()),
            ("embedded grader", CENTRE),
        ),
    ),
    Study(
        "safety prompts",
        "How many safety prompts?",
        (("none", _ruled[0.0]), ("25 %", _ruled[0.25]), ("all", CENTRE)),
    ),
    Study(
        "refusals",
        "How many of them to refuse?",
        (("25 %", _refusals[0.25]), ("67 %, the world's", CENTRE), ("88 %", _refusals[0.875])),
    ),
    Study(
        "comparisons",
        "How many comparisons?",
        (
            ("3 prompts a response type", _prompts[3]),
            ("8 prompts a response type", _prompts[8]),
            ("all 24", CENTRE),
        ),
    ),
    Study(
        "ridge",
        "How large may weights be?",
        (("0, the least hinge", CENTRE), ("chosen by cross-validation", _ridges["chosen"]), ("0.1", _ridges["0.1"])),
    ),
    Study(
        "optimiser",
        "GRPO or PPO?",
        (
            ("helpful only, GRPO", HELPFUL),
            ("helpful only, PPO", replace(HELPFUL, name="helpful only, PPO", loop="PPO")),
            ("helpful + rules, GRPO", CENTRE),
            ("helpful + rules, PPO", replace(CENTRE, name="helpful + rules, PPO", loop="PPO")),
            ("helpful + rules, ridge chosen, PPO", replace(_ridges["chosen"], name="ridge chosen, PPO", loop="PPO")),
        ),
    ),
    Study(
        "hacking",
        "Is the reward hacked?",
        tuple((name, one) for name, one in _hacked.items()),
    ),
)
# Their rewards differ in more than the prompts of RL: in these the ranking error can foretell something.
FORETOLD = ("reward", "grader", "comparisons", "ridge")


def settings_of(studies: Sequence[Study]) -> tuple[Setting, ...]:
    """Every setting once, in the order of the studies."""
    found = {setting.name: setting for study in studies for _, setting in study.settings}
    return tuple(found.values())


def shown_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """The seeds, unless settings were chosen on one of them. Raises ValueError then."""
    chosen = sorted(TUNED & set(seeds))
    if chosen:
        raise ValueError(f"settings were chosen on seed {chosen[0]}; numbers on it would flatter, so show others")
    return tuple(seeds)


# What the foretelling is asked of: a model that was not trained has no reward.
REWARDS = tuple(one for one in settings_of([study for study in STUDIES if study.name in FORETOLD]) if one != WARM)
