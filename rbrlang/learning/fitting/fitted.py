"""What was learned, and what should be known before it is trusted?

The result of `fit`: plain values, with the JSON that `rbrc fit --format json` prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
from numpy.typing import NDArray

from rbrlang import markup
from rbrlang.learning.fitting.path import NoPath, RidgePath
from rbrlang.learning.preferences import Apart, PairSource, counts
from rbrlang.learning.spread import RewardSpread
from rbrlang.logic.circuit import Circuit

if TYPE_CHECKING:
    from rbrlang.reward.reward import RuleReward


@dataclass(frozen=True, slots=True)
class Interval:
    """Central 95 % of a weight over resampled prompts."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Folds:
    """Ranking error of base and rules on each fold of prompts, by weights fitted without it; or why there is none."""

    errors: tuple[float, ...]
    refused: str | None

    @property
    def mean(self) -> float:
        """Mean over the folds."""
        return float(np.mean(self.errors))

    @property
    def spread(self) -> float:
        """Standard deviation over the folds, of n − 1."""
        return float(np.std(self.errors, ddof=1))

    def to_json(self) -> dict[str, Any]:
        """By name."""
        known = bool(self.errors)
        return {
            "errors": list(self.errors),
            "mean": self.mean if known else None,
            "spread": self.spread if known else None,
            "refused": self.refused,
        }


@dataclass(frozen=True, slots=True)
class Errors:
    """Share of comparisons ordered wrongly, ties counting half, by four rewards.

    The base reward alone (None without one); base and rules before the fit; fitted rules alone; both.
    """

    base: float | None
    default: float
    rules: float
    both: float

    def to_json(self) -> dict[str, float | None]:
        """By name."""
        return {"base": self.base, "default": self.default, "rules": self.rules, "both": self.both}


_NO_ERRORS: dict[str, float | None] = {"base": None, "default": None, "rules": None, "both": None}


@dataclass(frozen=True, slots=True)
class SourceFit:
    """What one source of comparisons gave: pairs to fit to, which count `share` of all, and pairs to judge by.

    `error_train` and `error_held_out` are of its pairs alone, None where it has none.
    """

    name: PairSource
    share: float
    pairs: int
    prompts: int
    held_out_pairs: int
    held_out_prompts: int
    error_train: Errors | None
    error_held_out: Errors | None

    def to_json(self) -> dict[str, Any]:
        """By name; `error` is that on held-out prompts."""
        return {
            "share": self.share,
            "pairs": self.pairs,
            "prompts": self.prompts,
            "held_out": {"pairs": self.held_out_pairs, "prompts": self.held_out_prompts},
            "error": dict(_NO_ERRORS) if self.error_held_out is None else self.error_held_out.to_json(),
            "train_error": dict(_NO_ERRORS) if self.error_train is None else self.error_train.to_json(),
        }


@dataclass(frozen=True, slots=True)
class ResponseFit:
    """One response type's weights and the evidence for them.

    `rows` take part, `set_apart` counts the others by reason. `sources` has what each source of comparisons gave; losses
    and errors of all are means in which every source counts as much as every other. `pairs`, `prompts` are those fitted to;
    `held_out_…` those kept for judging (None results where there are none). `undetermined`: features that
    never differ within a pair, whose weights are still the defaults. `at_bound`: weights that stopped at a
    bound of the author. `free_directions`: dimensions of
    weight space that no pair speaks of; 1 is usual, for adding a constant to every class changes no order.
    `gap`: no weights have an objective lower by more than this share of it. `steps`: see `Solution`.
    `base_spread`: standard deviation of the base reward within prompts, the scale that the weights live on.
    `error_interval`: central 95 % of the ranking error of refits, each on the prompts that it did not draw.
    `folds`: cross-validation, None when not asked for. `reward_spread`: of the rules' reward over all rows, beside the
    base reward's. `notes`: what to know of the data before believing it.
    """

    name: str
    rows: int
    prompts: int
    pairs: int
    held_out_prompts: int
    held_out_pairs: int
    set_apart: Mapping[str, int]
    features: tuple[str, ...]
    weights: tuple[float, ...]
    intervals: tuple[Interval, ...] | None
    intervals_refused: str | None
    error_interval: Interval | None
    folds: Folds | None
    undetermined: tuple[str, ...]
    at_bound: tuple[str, ...]
    free_directions: int
    loss_train: float
    loss_held_out: float | None
    error_train: Errors
    error_held_out: Errors | None
    sources: tuple[SourceFit, ...]
    gap: float
    steps: int
    ridge: float
    ridge_is_automatic: bool
    base_spread: float | None
    reward_spread: RewardSpread
    notes: tuple[str, ...]

    def weight_rows(self) -> Iterator[tuple[str, str, float, str]]:
        """Response type (on the first line), feature, weight and what is known of it, as a table shows them."""
        for at, (name, weight) in enumerate(zip(self.features, self.weights, strict=True)):
            interval = f"{self.intervals[at].low:+.2f} … {self.intervals[at].high:+.2f}" if self.intervals else ""
            yield self.name if at == 0 else "", name, weight, "undetermined" if name in self.undetermined else interval

    def to_json(self) -> dict[str, Any]:
        """The entry of this response type; `error` is that on held-out prompts, nulls where there are none."""
        intervals = self.intervals
        return {
            "pairs": self.pairs,
            "prompts": self.prompts,
            "rows": self.rows,
            "set_apart": dict(self.set_apart),
            "weights": dict(zip(self.features, self.weights, strict=True)),
            "intervals": None
            if intervals is None
            else {name: [i.low, i.high] for name, i in zip(self.features, intervals, strict=True)},
            "intervals_refused": self.intervals_refused,
            "error_interval": None
            if self.error_interval is None
            else [self.error_interval.low, self.error_interval.high],
            "cross_validation": None if self.folds is None else self.folds.to_json(),
            "notes": list(self.notes),
            "undetermined": list(self.undetermined),
            "at_bound": list(self.at_bound),
            "free_directions": self.free_directions,
            "gap": self.gap,
            "steps": self.steps,
            "ridge": {"value": self.ridge, "automatic": self.ridge_is_automatic},
            "base_spread": self.base_spread,
            "reward_spread": self.reward_spread.to_json(),
            "loss": {"train": self.loss_train, "held_out": self.loss_held_out},
            "held_out": {"pairs": self.held_out_pairs, "prompts": self.held_out_prompts},
            "error": dict(_NO_ERRORS) if self.error_held_out is None else self.error_held_out.to_json(),
            "train_error": self.error_train.to_json(),
            "sources": {source.name: source.to_json() for source in self.sources},
        }


@dataclass(frozen=True, slots=True)
class Unfitted:
    """A response type without comparisons: why, and the default weights that it keeps."""

    name: str
    reason: str
    rows: int
    set_apart: Mapping[str, int]
    weights: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """The entry under `unfitted`."""
        return {"reason": self.reason, "rows": self.rows, "set_apart": dict(self.set_apart)}


@dataclass(frozen=True, eq=False)
class Fit:
    """Weights float32 [responses, max features] and one outcome per response type, in the policy's order.

    `path` is how the ridge of all response types came about. `pairs` are the sources of comparisons. `class_source` and `base_reward` are what was used; `base_reward` None means that none was there. The
    counts of `set_apart` are rows of no response type of the policy. `apart` names rows whose preference is not used, or not all
    of it. `whitened`:
    margins are in spreads of the base reward; the weights are in its units all the same. `base_extent`: least and greatest base
    reward of the rows that took part, empty without one.
    """

    circuit: Circuit
    weights: NDArray[np.float32]
    responses: tuple[ResponseFit | Unfitted, ...]
    path: RidgePath | NoPath
    seed: int
    loss: str
    pairs: tuple[PairSource, ...]
    class_source: str
    base_reward: str | None
    whitened: bool
    ties: tuple[str, ...]
    set_apart: Mapping[str, int]
    apart: tuple[Apart, ...]
    base_extent: tuple[float, ...]

    @cached_property
    def reward(self) -> RuleReward:
        """The policy with the fitted weights, for JAX."""
        from rbrlang.reward.reward import RuleReward

        return RuleReward.from_circuit(self.circuit, self.weights)

    def to_json(self) -> dict[str, Any]:
        """What `rbrc fit --format json` prints; also the provenance of an artefact."""
        fitted: dict[str, Any] = {}
        unfitted: dict[str, Any] = {}
        for outcome in self.responses:
            match outcome:
                case ResponseFit():
                    fitted[outcome.name] = outcome.to_json()
                case Unfitted():
                    unfitted[outcome.name] = outcome.to_json()
                case _:
                    assert_never(outcome)
        return {
            "seed": self.seed,
            "loss": self.loss,
            "pairs": list(self.pairs),
            "class_source": self.class_source,
            "base_reward": self.base_reward,
            "whitened": self.whitened,
            "ties": list(self.ties),
            "set_apart": dict(self.set_apart),
            "unused_preferences": counts(self.apart),
            "ridge_path": self.path.to_json(),
            "response_types": fitted,
            "unfitted": unfitted,
        }

    def __repr__(self) -> str:
        return f"<Fit of {len(self.responses)} response types, seed {self.seed}>"

    def _repr_html_(self) -> str:
        base = f"base reward `{self.base_reward}`" if self.base_reward else "no base reward"
        said = f"{self.loss} loss, pairs by {', '.join(self.pairs)}, {base}, seed {self.seed}"
        fitted = [one for one in self.responses if isinstance(one, ResponseFit)]
        kept = [one for one in self.responses if isinstance(one, Unfitted)]
        errors = [
            (one.name, what, pairs, error.base, error.default, error.rules, error.both)
            for one in fitted
            for what, pairs, error in (("train", one.pairs, one.error_train), ("held out", one.held_out_pairs, one.error_held_out))
            if error is not None
        ]  # fmt: skip
        return markup.block(
            markup.line(said, "fit:"),
            markup.table(
                "ranking error: share of pairs with the worse completion first",
                ("response type", "on", "pairs", "base", "default weights", "fitted rules", "both"), errors,
            ),
            markup.table(
                "weights", ("response type", "feature", "weight", "95 % interval"),
                [row for one in fitted for row in one.weight_rows()],
            ),
            *(markup.line(f"keeps its default weights: {one.reason}", f"{one.name}:") for one in kept),
            *(markup.line(note, f"{one.name}:") for one in fitted for note in one.notes),
        )  # fmt: skip
