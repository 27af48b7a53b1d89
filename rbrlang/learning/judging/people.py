"""Does the policy say what people prefer?

People's comparisons (`preferences`, `ranks`, `scores`) are held against two orders. The policy's own is that of its
ranks: a completion's class is known as elsewhere (`sample`), and of two classes of different rank the better one should be
the preferred one. That does not depend on weights, and is known before any fit. The reward's is judged by its ranking
error, as for comparisons of classes (`evaluate`). Intervals are by prompt (`resample`).

Where the ranks say the opposite of people, either the policy does not say what people want, or the grader errs, or these
people want something else than the policy does: that is for a person to read. So the surest contradictions are given,
with the answers that decided each class. How sure: the probability, under the answers of both completions, that the one
people like less is of better rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.texttests import Decisive, decided
from rbrlang.learning.judging.evaluate import ByReward, PairErrors, RulesAlone, picked_once, scores_of
from rbrlang.learning.judging.resample import Estimate, Prompts, sums
from rbrlang.learning.preferences import PEOPLE, Apart, PairSource, PeopleSource, counts
from rbrlang.learning.sample import UNKNOWN, ClassSource, Facts, KnownSource, Sample, sample_rows
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.shares import distribution
from rbrlang.rows.read import Row, with_labels_as_probs
from rbrlang.told import Told


@dataclass(frozen=True, slots=True)
class Side:
    """One completion of a contradiction: its position among the rows given, its class, and the answers that decided it.

    `decided_by` are propositions whose opposite answer alone would give another class, those first whose answers differ most
    between the two completions; none where no single answer decides, and where the class is the row's own word.
    """

    row: int
    id: str
    klass: str
    decided_by: tuple[Decisive, ...]

    def to_json(self) -> dict[str, Any]:
        """By name."""
        answers = [{"proposition": one.name, "p": one.p, "otherwise": one.otherwise} for one in self.decided_by]
        return {"id": self.id, "class": self.klass, "decided_by": answers}


@dataclass(frozen=True, slots=True)
class Contradiction(Told):
    """People prefer one completion, and the policy the other.

    `sure`: P(the other one is of better rank), None where their ranks are equal and only the rules' reward differs. `lead`:
    of the other one, by the rules' reward.
    """

    preferred: Side
    other: Side
    sure: float | None
    lead: float


@dataclass(frozen=True, slots=True)
class PeopleOrder(Told, called={"name": None, "source": None}):
    """One source's comparisons of one response type.

    `ranked`: the share of pairs of known class whose classes differ in rank; `agree`: the share of those whose preferred
    one is of better rank. `unknown` pairs have a class that is not known. `against`: pairs in which the ranks say the
    opposite. `error`: the ranking error. All None, and `reason` says why, where nothing is compared.
    """

    name: str
    source: PeopleSource
    rows: int
    prompts: int
    pairs: int
    ranked: Estimate | None
    agree: Estimate | None
    against: int
    unknown: int
    error: ByReward | None
    contradictions: tuple[Contradiction, ...]
    reason: str | None
    set_apart: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class People:
    """By source, and in each by response type of the policy, in its order.

    `class_source` is where classes came from. `apart` names the rows whose preference is not used, or not all of it.
    """

    orders: tuple[PeopleOrder, ...]
    class_source: KnownSource
    has_base: bool
    apart: tuple[Apart, ...]

    def to_json(self) -> dict[str, Any]:
        """The entry `people` of `rbrc eval --format json` and `rbrc fit --format json`."""
        by_type: dict[str, dict[str, Any]] = {}
        for one in self.orders:
            by_type.setdefault(one.name, {})[one.source] = one.to_json()
        return {"class_source": self.class_source, "unused": counts(self.apart), "response_types": by_type}


def compare_with_people(
    reward: NumpyReward,
    rows: Sequence[Row],
    pairs: Sequence[PairSource] = ("preferences",),
    *,
    columns: Mapping[str, str] = MappingProxyType({}),
    base_reward: str | None = "base_reward",
    class_source: ClassSource = "auto",
    class_names: Mapping[str, str] | None = None,
    rules_alone: RulesAlone | None = None,
    seed: int = 0,
    resamples: int = 1000,
    contradictions: int = 2,
    facts: Facts | None = None,
) -> People:
    """Hold the policy's ranks and the reward, weights as they are, against what people say in `rows`.

    Of `pairs` those that are people's are looked at; `contradictions` of each response type and source are told at most.
    For the other options see `sample_rows` (also for `facts`) and `evaluate`. The same rows and seed give the same numbers. Raises
    `SampleError`, `TooManyComparisons`.
    """
    orders: list[PeopleOrder] = []
    apart: list[Apart] = []
    source: KnownSource = "graded"
    has_base = False
    for at, one in enumerate(PEOPLE):
        if one not in pairs:
            continue
        samples = sample_rows(
            reward, rows, base_reward=base_reward, class_source=class_source, class_names=class_names, pairs=(one,),
            columns=columns, facts=facts,
        )  # fmt: skip
        facts = samples.facts
        source, has_base = samples.class_source, samples.has_base
        apart += samples.apart
        for number, sample in enumerate(samples.samples):
            scores = scores_of(reward, number, sample, samples.has_base, rules_alone)
            prompts, prompt_of = np.unique(sample.prompts, return_inverse=True)
            draws = Prompts(len(prompts), (seed, number, 11 + at), resamples)
            ranked, agree = _ranks(sample, prompt_of, draws, len(prompts))
            everything = np.ones(len(sample.comparisons), np.bool_)
            (error,) = PairErrors(sample, scores, prompt_of, len(prompts)).estimates([everything], draws)
            against = np.flatnonzero(_rank_gap(sample) < 0)
            orders.append(
                PeopleOrder(
                    name=sample.response.name,
                    source=one,
                    rows=len(sample.rows),
                    prompts=len(np.unique(sample.comparisons.prompt)),
                    pairs=len(sample.comparisons),
                    ranked=ranked,
                    agree=agree,
                    against=len(against),
                    unknown=int((~_both_known(sample)).sum()),
                    error=error,
                    contradictions=_contradictions(reward, number, rows, facts, sample, source, contradictions),
                    reason=None if len(sample.comparisons) else _nothing(sample, one),
                    set_apart=sample.set_apart,
                )
            )
    return People(tuple(orders), source, has_base, tuple(apart))


def _nothing(sample: Sample, source: PeopleSource) -> str:
    if not sample.set_apart:
        return "no row has this response type"
    reason, count = max(sample.set_apart.items(), key=lambda item: item[1])
    return f"{source} order nothing: of {count} of its {sum(sample.set_apart.values())} rows, {reason}"


def _both_known(sample: Sample) -> NDArray[np.bool_]:
    pairs = sample.comparisons
    return (sample.classes[pairs.better] != UNKNOWN) & (sample.classes[pairs.worse] != UNKNOWN)


def _rank_gap(sample: Sample) -> NDArray[np.int64]:
    """By how many ranks the preferred one of each pair is better [pairs]; 0 where a class is not known."""
    ranks = np.array(sample.response.rank_of, np.int64)[sample.classes]
    gap = ranks[sample.comparisons.worse] - ranks[sample.comparisons.better]
    return np.where(_both_known(sample), gap, 0)


def _ranks(
    sample: Sample, prompt_of: NDArray[np.int64], draws: Prompts, prompts: int
) -> tuple[Estimate | None, Estimate | None]:
    """Share of pairs of different rank, and of those that are ranked as people do."""
    at = prompt_of[sample.comparisons.better]
    gap, known = _rank_gap(sample), _both_known(sample)
    columns = [sums(at, one.astype(np.float64), prompts) for one in (gap != 0, gap > 0, known)]
    differ, right, of = columns
    ranked, agree = draws.rates(np.stack([differ, right], axis=1), np.stack([of, differ], axis=1))
    return ranked, agree


def _contradictions(
    reward: NumpyReward, number: int, rows: Sequence[Row], facts: Facts, sample: Sample, source: KnownSource, most: int
) -> tuple[Contradiction, ...]:
    """Those by rank, the surest first, then those by the rules' reward alone, the largest lead first."""
    pairs = sample.comparisons
    if most == 0 or len(pairs) == 0:
        return ()
    weights = np.asarray(reward.weights[number, : sample.features.shape[1]], np.float64)
    rules = sample.features @ weights
    lead = rules[pairs.worse] - rules[pairs.better]
    gap = _rank_gap(sample)
    sure = _sure(reward, number, facts, sample, source)
    by_rank, by_reward = gap < 0, (gap == 0) & _both_known(sample) & (lead > 0.0)
    order = np.lexsort((-lead, np.where(by_rank, -sure, 0.0), np.where(by_rank, 0, 1)))
    told = order[(by_rank | by_reward)[order]][: 50 * most].tolist()
    kept = picked_once([(int(pairs.better[at]), int(pairs.worse[at])) for at in told], most)
    return tuple(
        Contradiction(
            *_sides(reward, number, rows, sample, (int(pairs.better[at]), int(pairs.worse[at])), source),
            float(sure[at]) if by_rank[at] else None,
            float(lead[at]),
        )
        for at in (told[place] for place in kept)
    )


def _sure(reward: NumpyReward, number: int, facts: Facts, sample: Sample, source: KnownSource) -> NDArray[np.float64]:
    """P(the other one is of better rank) of each pair [pairs], completions being independent; NaN where classes are open."""
    response, pairs = sample.response, sample.comparisons
    if source == "intent":
        chances = np.eye(len(response.classes))[sample.classes]
    else:
        table = (facts.labels if source == "labels" else facts.probs)[sample.rows]
        found = reward.class_probs(table, np.full(len(table), number, np.int32))
        chances = found[:, : len(response.classes)].astype(np.float64)
    of_rank = (np.array(response.rank_of)[:, None] == np.arange(max(response.rank_of, default=0) + 1)).astype(
        np.float64
    )
    by_rank = chances @ of_rank
    worse_than = 1.0 - np.cumsum(by_rank, axis=1)
    return np.sum(by_rank[pairs.worse] * worse_than[pairs.better], axis=1).clip(0.0, 1.0)


def _sides(
    reward: NumpyReward, number: int, rows: Sequence[Row], sample: Sample, pair: tuple[int, int], source: KnownSource
) -> tuple[Side, Side]:
    """The two completions of a pair, by their numbers in the sample."""
    both = [rows[int(sample.rows[at])] for at in pair]
    answers = reward.encode(with_labels_as_probs(both) if source == "labels" else both)
    apart = dict(zip(reward.circuit.atom_names, np.abs(answers[0] - answers[1]).tolist(), strict=True))
    for number_of, (_, domain) in enumerate(reward.circuit.domains):
        first, second = distribution(reward.circuit, number_of, answers)
        moved = float(np.abs(first - second).sum() / 2)
        apart |= {f"{domain.name} == {value}": moved for value in domain.values}
    sides: list[Side] = []
    for at, row, answered in zip(pair, both, answers, strict=True):
        klass = sample.response.classes[int(sample.classes[at])]
        found = None if source == "intent" else decided(reward, answered, number)
        decisive = found.decisive if found is not None and found.klass == klass else ()
        # An answer that only one of them has differs from nothing: NaN is no number to sort by.
        ordered = sorted(decisive, key=lambda one: -apart[one.name] if apart[one.name] == apart[one.name] else 0.0)
        sides.append(Side(int(sample.rows[at]), row.id, klass, tuple(ordered)))
    return sides[0], sides[1]
