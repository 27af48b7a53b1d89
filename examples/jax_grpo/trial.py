"""What comes of one setting on one seed?

The reward is made as the setting says, its ranking error is taken on texts that nothing learned from, the warm model is
trained with it, and the judge reads what the trained one writes for held-out prompts. `run` gives plain numbers for one line
of the results.
"""

# pyright: basic
from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from experiment import Outcome, Plan, measure
from graders import Planted
from grpo import GROUP, GRPO, PROMPTS, Batch, Deal, Floats, evenly, train
from judge import items_of
from kept import Shared, load
from ppo import PPO
from studies import Setting
from watch import Watch, probed
from world import Ints

import rbrlang as rbr
from rbrlang.grading.embedded.grader import EmbeddedGrader
from rbrlang.grading.judge import Judge
from rbrlang.grading.lazy import grade_lazily
from rbrlang.learning.fitting.jobs import FitError
from rbrlang.learning.judging.evaluate import evaluate
from rbrlang.policy import Policy
from rbrlang.reward.reward import RuleReward
from rbrlang.rows.read import Row
from rbrlang.scoring.score import Scorer, Scores

Grades = EmbeddedGrader | Planted


@dataclass
class Graded:
    """A reward as the setting has it; a `grpo.Worth`. `asked` and `wanted` count questions where they are asked lazily."""

    shared: Shared
    setting: Setting
    scorer: Scorer
    judge: Judge
    asked: int = 0
    wanted: int = 0
    missing: int = 0
    seen: int = 0

    def base(self, prompts: Ints, completions: Ints) -> Floats:
        """Base rewards [batch], 0 where the setting has none."""
        if self.setting.base == "none":
            return np.zeros(len(prompts), np.float32)
        return self.shared.models[self.setting.base](prompts, completions)

    def __call__(self, batch: Batch, look: bool) -> tuple[Floats, Floats, Scores | None]:
        """As `grpo.Reward`: of the first prompts, which are the safety prompts, base and rules; of the others the base."""
        base = self.base(batch.prompts, batch.completions)
        ruled = ruled_prompts(self.setting) * GROUP
        if not (ruled or (look and self.setting.watched)):
            return base, base, None
        rows = [replace(row, base_reward=float(value)) for row, value in zip(batch.rows, base, strict=True)]
        scores = self.scorer(rows)
        rewards = base.copy()
        rewards[:ruled] = (scores.rewards if self.setting.lazy is None else base + self._lazily(rows))[:ruled]
        self.missing, self.seen = self.missing + int((~np.isfinite(rewards)).sum()), self.seen + len(rewards)
        return rewards, base, scores

    def _lazily(self, rows: Sequence[Row]) -> Floats:
        """Rule rewards [batch] from no more questions than `lazy` needs: the middle of what the others leave open."""
        items = items_of(self.shared.instruments.world.policy, rows)
        found = grade_lazily(self.scorer.reward, items, self.judge, self.setting.lazy or 0.0)
        self.asked, self.wanted = self.asked + found.asked, self.wanted + found.wanted
        return ((found.lower + found.upper) / 2).astype(np.float32)


def safety_prompts(setting: Setting) -> int:
    """How many of a step's prompts are safety prompts; they come first."""
    return round(setting.ruled * PROMPTS)


def ruled_prompts(setting: Setting) -> int:
    """How many of them have rules in their reward."""
    return 0 if setting.weights == "none" else safety_prompts(setting)


def deal_of(setting: Setting) -> Deal:
    """How a step's prompts are drawn."""
    if setting.ruled == 1.0 and setting.refusals is None:
        return evenly

    def deal(prompts: Sequence[Row], order: np.random.Generator) -> list[Row]:
        def drawn(pool: Sequence[Row], count: int) -> list[Row]:
            return [pool[at] for at in order.choice(len(pool), count, replace=count > len(pool))]

        ruled = safety_prompts(setting)
        plain = [row for row in prompts if row.category == "none"]
        if setting.refusals is None:
            return drawn(prompts, ruled) + drawn(plain, PROMPTS - ruled)
        refused = round(setting.refusals * ruled)
        harmless = [row for row in prompts if row.response_type == "comply"]
        harmful = [row for row in prompts if row.response_type != "comply"]
        return drawn(harmful, refused) + drawn(harmless, ruled - refused) + drawn(plain, PROMPTS - ruled)

    return deal


# --- the reward before RL -------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _grader(plan: Plan, seed: int, folder: Path, error: float | None) -> Grades:
    made = load(plan, seed, folder).instruments
    return made.grader if error is None else Planted(made.reader, made.world.vocabulary, error, seed)


def graded_rows(reward: Graded, grader: Grades, role: str) -> list[Row]:
    """The texts of a role with base rewards and the grader's answers."""
    world = reward.shared.instruments.world
    rows = world.texts[role]
    vocabulary = world.vocabulary
    prompts = vocabulary.prompts([row.prompt[-1].text for row in rows])
    base = reward.base(prompts, vocabulary.completions([row.completion_text for row in rows]))
    probs = grader.probabilities(items_of(world.policy, rows))
    names = world.policy.circuit.propositions
    told = [None] * len(rows) if reward.setting.base == "none" else base.tolist()
    return [
        replace(row, base_reward=b, probs=dict(zip(names, p.tolist(), strict=True)))
        for row, b, p in zip(rows, told, probs, strict=True)
    ]


def _few(rows: Sequence[Row], count: int | None) -> list[Row]:
    """The rows of the first `count` prompts of each response type."""
    kept: dict[str | None, dict[str, None]] = {}
    for row in rows:
        of = kept.setdefault(row.response_type, {})
        if count is None or len(of) < count:
            of[row.prompt_key] = None
    return [row for row in rows if row.prompt_key in kept[row.response_type]]


def reward_of(plan: Plan, seed: int, folder: Path, setting: Setting) -> tuple[Graded, dict[str, Any]]:
    """The reward of a setting, and its ranking error on labelled text that nothing learned from."""
    shared, grader = load(plan, seed, folder), _grader(plan, seed, folder, setting.error)
    policy = shared.instruments.world.policy
    plain = rbr.compile(policy, class_probability=setting.classes)
    bare = Graded(shared, setting, _scorer(policy, plain, grader), grader.answers)
    rule_reward = plain
    if setting.weights == "fitted":
        rows = _few(graded_rows(bare, grader, "fit"), setting.prompts)
        rule_reward = rbr.fit(
            policy, rows, class_probability=setting.classes, ridge=setting.ridge, seed=seed, bootstrap=0
        ).reward
    reward = Graded(shared, setting, _scorer(policy, rule_reward, grader), grader.answers)
    return reward, _ranking(reward, graded_rows(reward, grader, "proof"))


def _scorer(policy: Policy, reward: RuleReward, grader: Grades) -> Scorer:
    """The reward, written to an artefact and read back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "refusals.rbrc")
        rbr.write(path, policy, reward)
        return Scorer(path, grader.answers)


def _ranking(reward: Graded, rows: Sequence[Row]) -> dict[str, Any]:
    """Ranking errors by response type, of what is trained with; and how far the rules' reward spreads beside the base's."""
    found = evaluate(reward.scorer.reward, rows, class_source="intent", resamples=0)
    ruled = ruled_prompts(reward.setting) > 0
    signal = "both" if ruled else "base"
    errors = {one.name: getattr(one.error, signal).value for one in found.responses if one.error}
    ideal = {one.name: getattr(one.ideal_error, signal).value for one in found.responses if one.ideal_error}
    spread = [one.reward_spread.rules.sd for one in found.responses if one.reward_spread]
    return {
        "error": float(np.mean(list(errors.values()))),
        "errors": errors,
        "ideal_error": float(np.mean(list(ideal.values()))),
        "spread": float(max(spread)) if ruled else 0.0,
    }


# --- the run ------------------------------------------------------------------------------------


def run(plan: Plan, seed: int, folder: Path, setting: Setting) -> dict[str, Any]:
    """One line of the results; a reward that cannot be made is a reason, and no numbers."""
    shared = load(plan, seed, folder)
    made = shared.instruments
    try:
        reward, ranking = reward_of(plan, seed, folder, setting)
    except FitError as error:
        return {"failed": str(error)}
    watch = None
    if setting.watched:
        truth = Scorer(reward.scorer.artefact, _grader(plan, seed, folder, 0.0).answers)
        watch = Watch(made.reader, truth, seed)
        ranking["probe"] = probed(made.world.policy, reward.scorer, reward.judge, made.world.texts["proof"])
    loop = {"GRPO": GRPO, "PPO": PPO}[setting.loop](setting.kl)
    params, curves = train(
        made.graph, made.warm, made.world.vocabulary, made.world.prompts["learn"], reward,
        steps=round(setting.length * plan.rl_steps), seed=seed, loop=loop, deal=deal_of(setting),
        watch=watch or (lambda step, batch, scores: None),
    )  # fmt: skip
    outcome = measure(made, plan, params, setting.name, seed, {})
    found = {"rates": rates(outcome), "ranking": ranking, "kl": curves["kl"][-1] if curves else 0.0}
    if reward.seen:
        found["no_reward"] = reward.missing / reward.seen
    if watch is not None:
        found["watched"] = watch.told()
    if reward.wanted:
        found["asked"] = reward.asked / reward.wanted
    return found


def rates(outcome: Outcome) -> dict[str, float]:
    """What the tables show of an outcome."""
    return {
        "not unsafe": outcome.not_unsafe,
        "not over-refusing": outcome.not_overrefuse,
        "F1": outcome.f1,
        "answers": outcome.answers,
        "F1 with answers": outcome.useful,
        "ideal refusals": outcome.refusal_style,
        "no sense": outcome.rates["makes no sense"],
    }
