"""How often does a reward put the worse completion first, and where?

Three rewards are judged on rows of known class: the base reward alone, the rules alone, and both.

*Ranking error*: the share of comparisons, pairs of one prompt whose classes differ in rank, that are
ordered wrongly, ties counting half. The same over the comparisons that involve a class of the best rank is
the paper's error rate (Mu et al. 2024, section 4.4: a non-ideal completion ranked above the ideal one of
its prompt), and over those of two given classes it tells where things go wrong. *Picks*: the class of the
completion that each reward would choose among those of a prompt (best of n). *Histograms* of the reward by
class, centred on the prompt's ideal, show by how much. Intervals are by prompt, see `resample`.

"Rules alone" uses the weights of `RulesAlone`: those of the artefact, or weights refitted without a base
reward (`refit`), for weights fitted to lean on a base reward are not the best without it.

Also counted: known class against most probable class, which shows where grader and rules go wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rbrlang import markup
from rbrlang.learning.comparisons import Comparisons, pair_errors
from rbrlang.learning.judging.histogram import Histogram, histograms
from rbrlang.learning.judging.resample import ByReward, Estimate, Prompts, sums
from rbrlang.learning.sample import UNKNOWN, ClassSource, Sample, Samples, sample_rows
from rbrlang.learning.spread import RewardSpread, spread_of
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import Row
from rbrlang.told import Told, plain

__all__ = ["ByReward", "ClassPair", "Estimate", "Evaluation", "Inversion", "Picks", "ResponseEvaluation",
           "RulesAlone", "evaluate"]  # fmt: skip

Signal = Literal["base", "rules", "both"]
Scores = Mapping[Signal, NDArray[np.float64]]

MOST_INVERSIONS = 20
NOT_BY_CLASS = "completions were not to be ordered by class"


@dataclass(frozen=True, slots=True)
class ClassPair(Told):
    """Ranking error over the comparisons of two classes, `better` the one of better rank."""

    better: str
    worse: str
    prompts: int
    pairs: int
    error: ByReward


@dataclass(frozen=True, slots=True)
class Picks:
    """Best of n: over `prompts` prompts with two completions or more, `mean_n` on average.

    `shares[k]` is the share of prompts in which each reward picks a completion of class k (completions tied
    at the top share the pick); `rows[k]` that of a pick at random.
    """

    prompts: int
    mean_n: float
    rows: tuple[Estimate, ...]
    shares: tuple[ByReward, ...]

    def to_json(self, classes: Sequence[str]) -> dict[str, Any]:
        """Shares by class."""
        return {
            "prompts": self.prompts,
            "mean_n": self.mean_n,
            "rows": {name: share.to_json() for name, share in zip(classes, self.rows, strict=True)},
            "picked": {name: share.to_json() for name, share in zip(classes, self.shares, strict=True)},
        }


@dataclass(frozen=True, slots=True)
class Inversion:
    """A comparison that base and rules together order wrongly, `lead` the worse one's in units of reward.

    `better` and `worse` are positions among the rows given, `better_id` and `worse_id` their ids.
    """

    better: int
    worse: int
    better_id: str
    worse_id: str
    better_class: str
    worse_class: str
    lead: float

    def to_json(self) -> dict[str, Any]:
        """By id."""
        return {
            "better": {"id": self.better_id, "class": self.better_class},
            "worse": {"id": self.worse_id, "class": self.worse_class},
            "lead": self.lead,
        }


@dataclass(frozen=True, slots=True)
class ResponseEvaluation:
    """One response type. `error` is None, and `reason` says why, when there is nothing to compare.

    `ideal_error` is the paper's error, over the `ideal_pairs` comparisons with a class of the best rank.
    `class_pairs` has an entry for every two classes that are compared. `histograms` has one per reward. `reward_spread`
    is that of the rules with the reward's own weights, None without rows.
    `inversions` are the worst, by their lead. `confusion[k][c]` counts rows of known class k whose most
    probable class is c; the last column those whose probabilities leave it open. `set_apart` counts rows
    that took no part, by reason.
    """

    name: str
    classes: tuple[str, ...]
    ranks: tuple[int, ...]
    rows: int
    prompts: int
    pairs: int
    error: ByReward | None
    ideal_error: ByReward | None
    ideal_pairs: int
    class_pairs: tuple[ClassPair, ...]
    picks: Picks | None
    histograms: tuple[Histogram, ...]
    reward_spread: RewardSpread | None
    inversions: tuple[Inversion, ...]
    reason: str | None
    confusion: tuple[tuple[int, ...], ...]
    set_apart: Mapping[str, int]

    @property
    def class_accuracy(self) -> float | None:
        """Share of rows whose most probable class is the known one; None without rows."""
        right = sum(counts[at] for at, counts in enumerate(self.confusion))
        return right / self.rows if self.rows else None

    def to_json(self) -> dict[str, Any]:
        """The entry of this response type."""
        return {
            "rows": self.rows,
            "prompts": self.prompts,
            "pairs": self.pairs,
            "error": plain(self.error),
            "ideal_error": plain(self.ideal_error),
            "ideal_pairs": self.ideal_pairs,
            "reason": self.reason,
            "class_pairs": plain(self.class_pairs),
            "best_of_n": None if self.picks is None else self.picks.to_json(self.classes),
            "histograms": {one.signal: one.to_json() for one in self.histograms},
            "reward_spread": plain(self.reward_spread),
            "inversions": plain(self.inversions),
            "class_accuracy": self.class_accuracy,
            "classes": {
                known: dict(zip((*self.classes, "unknown"), counts, strict=True))
                for known, counts in zip(self.classes, self.confusion, strict=True)
            },
            "set_apart": dict(self.set_apart),
        }


@dataclass(frozen=True, slots=True, eq=False)
class RulesAlone:
    """Weights for "rules alone", float [rows, max features]: each row's, and where they come from.

    A row whose weights are NaN has none. Rows of one prompt must share theirs.
    """

    source: str
    weights: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One entry per response type of the policy, in its order.

    `class_source` is where known classes came from; `graded` makes the confusion trivial. `rules_source` says
    which weights the rules alone were judged with.
    """

    responses: tuple[ResponseEvaluation, ...]
    class_source: str
    rules_source: str
    has_base: bool
    seed: int
    resamples: int
    set_apart: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """What `rbrc eval --format json` prints."""
        return {
            "seed": self.seed,
            "resamples": self.resamples,
            "class_source": self.class_source,
            "rules_weights": self.rules_source,
            "base_reward": self.has_base,
            "set_apart": dict(self.set_apart),
            "response_types": {response.name: response.to_json() for response in self.responses},
        }

    def __repr__(self) -> str:
        return f"<Evaluation of {len(self.responses)} response types, seed {self.seed}>"

    def _repr_html_(self) -> str:
        lines = [
            (one.name, on, pairs, *error.said())
            for one in self.responses
            for on, pairs, error in (
                ("all pairs", one.pairs, one.error),
                ("with an ideal", one.ideal_pairs, one.ideal_error),
            )
            if error is not None
        ]
        title = f"ranking error: share of pairs with the worse completion first (95 % over prompts, seed {self.seed})"
        return markup.block(
            markup.table(title, ("response type", "on", "pairs", "base", "rules", "both"), lines),
            *(markup.line(one.reason, f"{one.name}:") for one in self.responses if one.reason),
        )


def evaluate(
    reward: NumpyReward,
    rows: Sequence[Row],
    *,
    base_reward: str | None = "base_reward",
    class_source: ClassSource = "auto",
    class_names: Mapping[str, str] | None = None,
    rules_alone: RulesAlone | None = None,
    seed: int = 0,
    resamples: int = 1000,
    by_class: bool = True,
    samples: Samples | None = None,
) -> Evaluation:
    """Judge a reward, weights as they are, on rows of known class; see `sample_rows` for the options.

    Where completions are not ordered `by_class`, no pair is compared, and all but spread and confusion is left out.
    `samples` are those of `sample_rows` with these options, where they are known already.

    `reward` is `NumpyReward.from_artefact(…)` or `RuleReward.host`. The same rows and seed give the same
    numbers. Raises `SampleError` for unusable base rewards.
    """
    if samples is None:
        samples = sample_rows(reward, rows, base_reward=base_reward, class_source=class_source, class_names=class_names)
    ids = samples.facts.names
    found = tuple(
        _response(sample, scores_of(reward, number, sample, samples.has_base, rules_alone),
                  _spread(reward, number, sample, samples.has_base), ids, (seed, number), resamples)
        for number, sample in enumerate(samples.samples)
    )  # fmt: skip
    return Evaluation(
        responses=found if by_class else tuple(map(_unordered, found)),
        class_source=samples.class_source,
        rules_source="artefact" if rules_alone is None else rules_alone.source,
        has_base=samples.has_base,
        seed=seed,
        resamples=resamples,
        set_apart=samples.set_apart,
    )  # fmt: skip


def _unordered(found: ResponseEvaluation) -> ResponseEvaluation:
    return replace(
        found, prompts=0, pairs=0, error=None, ideal_error=None, ideal_pairs=0, class_pairs=(), picks=None, histograms=(),
        inversions=(), reason=NOT_BY_CLASS,
    )  # fmt: skip


def scores_of(
    reward: NumpyReward, response: int, sample: Sample, has_base: bool, rules_alone: RulesAlone | None
) -> Scores:
    """The rewards of a sample's rows, [n] each; `base` only when there is one."""
    rules = _rules(reward, response, sample)
    both = sample.base + rules
    if rules_alone is not None:
        rules = np.sum(sample.features * rules_alone.weights[sample.rows, : sample.features.shape[1]], axis=1)
    return {"base": sample.base, "rules": rules, "both": both} if has_base else {"rules": rules, "both": both}


def _rules(reward: NumpyReward, response: int, sample: Sample) -> NDArray[np.float64]:
    """What the rules add, [n], with the reward's own weights."""
    return sample.features @ np.asarray(reward.weights[response, : sample.features.shape[1]], np.float64)


def _spread(reward: NumpyReward, response: int, sample: Sample, has_base: bool) -> RewardSpread | None:
    if len(sample.rows) == 0:
        return None
    return spread_of(_rules(reward, response, sample), sample.base if has_base else None)


def _response(
    sample: Sample,
    scores: Scores,
    spread: RewardSpread | None,
    ids: Sequence[str],
    seed: tuple[int, int],
    resamples: int,
) -> ResponseEvaluation:
    response, pairs = sample.response, sample.comparisons
    count = len(response.classes)
    numbers, prompt_of = np.unique(sample.prompts, return_inverse=True)
    prompts = Prompts(len(numbers), seed, resamples)
    confusion = np.zeros((count, count + 1), np.int64)
    np.add.at(confusion, (sample.classes, np.where(sample.predicted == UNKNOWN, count, sample.predicted)), 1)
    errors = PairErrors(sample, scores, prompt_of, len(numbers))
    ranks = np.array(response.rank_of)
    of_ideal = ranks[sample.classes[pairs.better]] == 0
    everything = np.ones(len(pairs), np.bool_)
    two = [(a, b) for a in range(count) for b in range(count) if ranks[a] < ranks[b]]
    subsets = [everything, of_ideal] + [
        (sample.classes[pairs.better] == a) & (sample.classes[pairs.worse] == b) for a, b in two
    ]
    error, ideal_error, *by_pair = errors.estimates(subsets, prompts)
    return ResponseEvaluation(
        name=response.name,
        classes=response.classes,
        ranks=response.rank_of,
        rows=len(sample.rows),
        prompts=len(np.unique(pairs.prompt)),
        pairs=len(pairs),
        error=error,
        ideal_error=ideal_error,
        ideal_pairs=int(of_ideal.sum()),
        class_pairs=tuple(
            ClassPair(
                response.classes[a], response.classes[b], len(np.unique(pairs.prompt[chosen])), int(chosen.sum()), found
            )
            for (a, b), chosen, found in zip(two, subsets[2:], by_pair, strict=True)
            if found is not None
        ),
        picks=_picks(sample, scores, prompt_of, prompts, len(numbers)),
        histograms=histograms(scores, sample.classes, ranks, prompt_of),
        reward_spread=spread,
        inversions=_inversions(sample, scores["both"], ids),
        reason=None if error else "no prompt has completions of different rank",
        confusion=tuple(tuple(counts) for counts in confusion.tolist()),
        set_apart=sample.set_apart,
    )


def by_reward(scores: Scores, estimates: Sequence[Estimate | None]) -> ByReward | None:
    """Estimates in the order of `scores`, which may lack a base; None when there was nothing to count."""
    found = dict(zip(scores, estimates, strict=True))
    rules, both = found["rules"], found["both"]
    return None if rules is None or both is None else ByReward(found.get("base"), rules, both)


class PairErrors:
    """How wrong each comparison is under each reward, and sums of that by prompt."""

    def __init__(self, sample: Sample, scores: Scores, prompt_of: NDArray[np.int64], prompts: int) -> None:
        self._scores = scores
        self._wrong = [pair_errors(values, sample.comparisons) for values in scores.values()]
        self._prompt = prompt_of[sample.comparisons.better]
        self._prompts = prompts

    def estimates(self, subsets: Sequence[NDArray[np.bool_]], prompts: Prompts) -> list[ByReward | None]:
        """The ranking error over each subset of the comparisons, bool [pairs]; None for an empty one."""
        counts: list[NDArray[np.float64]] = []
        of: list[NDArray[np.float64]] = []
        for chosen in subsets:
            at = self._prompt[chosen]
            size = sums(at, np.ones(len(at)), self._prompts)
            for wrong in self._wrong:
                counts.append(sums(at, wrong[chosen], self._prompts))
                of.append(size)
        found = prompts.rates(np.stack(counts, axis=1), np.stack(of, axis=1))
        step = len(self._scores)
        return [by_reward(self._scores, found[at : at + step]) for at in range(0, len(found), step)]


def picked(scores: NDArray[np.float64], prompt_of: NDArray[np.int64], prompts: int) -> NDArray[np.float64]:
    """Best of n: each row's share [n] of its prompt's pick, 1 divided by the number tied at the top, else 0."""
    best = np.full(prompts, -np.inf)
    np.maximum.at(best, prompt_of, scores)
    top = scores == best[prompt_of]
    return top / np.bincount(prompt_of, top, minlength=prompts)[prompt_of]


def picked_once(pairs: Sequence[tuple[int, int]], most: int) -> list[int]:
    """Which of some pairs to show, in order: each completion once as long as there are others.

    The same text five times teaches little.
    """
    seen: set[int] = set()
    fresh: list[int] = []
    for at, pair in enumerate(pairs):
        if seen.isdisjoint(pair):
            fresh.append(at)
            seen.update(pair)
    rest = [at for at in range(len(pairs)) if at not in set(fresh)]
    return sorted((fresh + rest)[:most])


def _picks(sample: Sample, scores: Scores, prompt_of: NDArray[np.int64], prompts: Prompts, number: int) -> Picks | None:
    sizes = np.bincount(prompt_of, minlength=number)
    several = sizes >= 2
    if not several.any():
        return None
    shares = [several[prompt_of] / sizes[prompt_of], *(picked(values, prompt_of, number) for values in scores.values())]
    counts = [
        sums(prompt_of, share * several[prompt_of] * (sample.classes == klass), number)
        for klass in range(len(sample.response.classes))
        for share in shares
    ]
    of = np.repeat(several[:, None].astype(np.float64), len(counts), axis=1)
    found = prompts.rates(np.stack(counts, axis=1), of)
    rows: list[Estimate] = []
    by_class: list[ByReward] = []
    for at in range(0, len(found), len(shares)):
        by, one = by_reward(scores, found[at + 1 : at + len(shares)]), found[at]
        if by is not None and one is not None:
            rows.append(one)
            by_class.append(by)
    return Picks(int(several.sum()), float(sizes[several].mean()), tuple(rows), tuple(by_class))


def _inversions(sample: Sample, both: NDArray[np.float64], ids: Sequence[str]) -> tuple[Inversion, ...]:
    pairs: Comparisons = sample.comparisons
    lead = both[pairs.worse] - both[pairs.better]
    worst = np.argsort(-lead, kind="stable")[:MOST_INVERSIONS]
    classes = sample.response.classes
    found: list[Inversion] = []
    for at in worst[lead[worst] > 0.0].tolist():
        a, b = int(pairs.better[at]), int(pairs.worse[at])
        i, j = int(sample.rows[a]), int(sample.rows[b])
        found.append(
            Inversion(
                i, j, ids[i], ids[j], classes[sample.classes[a]], classes[sample.classes[b]], float(lead[at])
            )
        )  # fmt: skip
    return tuple(found)
