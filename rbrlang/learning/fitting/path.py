"""How strongly should weights be held near their defaults, so that they hold on other prompts too?

The least hinge alone does not care how far weights go for the last pair: where a response type's training pairs
can nearly be ordered, weights go to the hundreds, rank other prompts no better, and drown the base reward in RL.
A ridge holds them. Its strength is chosen by cross-validation over prompts: every prompt is judged by weights
fitted to the other folds, at each ridge of a path from strong to weak, and the *strongest* is taken whose
held-out loss and ranking error are no more than one standard error above those of the ridge of least held-out loss
(Breiman's rule): what the weaker one gains cannot be told from chance. The standard error is that of the difference:
all ridges are judged on the same prompts, and by the standard error of either one, which is much larger, rankings
would be given up that are surely better.

One ridge serves all response types. Features are probabilities and weights are in units of reward in each of
them, so one price for weight keeps their rewards on one scale, whether or not the pairs of one are separable; few
prompts of a response type lean on those of the others; and `--ridge` with the number chosen gives the same
weights. For the same reason features are *not* standardised: a feature that hardly varies in the rows would get
the largest weight, and RL is what makes it vary.

The path is relative to the data: a ridge of `g · lever / scale` costs g typical offsets when weights move so far
that a typical pair's rewards change by one (`lever` the mean squared distance of a pair's features, `scale` the
mean size of an offset), with g from 10, where weights stay at the defaults, down to 10⁻⁵, where none is felt.
Folds and path are refits like the bootstrap's, with other shares and ridges, every fit started from the one
before it.

Standard errors are by prompt, over all response types at once: pairs of a prompt share completions.

Reference: Breiman, Friedman, Olshen & Stone, Classification and Regression Trees, 1984, section 3.4.3 (the rule of
one standard error); Friedman, Hastie & Tibshirani, Regularization paths …, Journal of Statistical Software 33, 2010.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.comparisons import FEWEST_PROMPTS
from rbrlang.learning.fitting.jobs import Job, Options, ticket
from rbrlang.learning.fitting.problem import Problem, Vector, losses, total
from rbrlang.learning.fitting.solve import paths

FOLDS = 5
STRONGEST, WEAKEST = 10.0, 1e-5
FEW = 1e-2
"""The g of fewer prompts than can be cross-validated: on the strong side of what is usually chosen."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A mean over prompts left out of the fit, and how far it lies above that at the best ridge, with standard errors."""

    value: float
    se: float
    over: float
    over_se: float

    @property
    def tells(self) -> bool:
        """Whether it is worse than at the best ridge by more than one standard error."""
        return self.over > self.over_se

    def to_json(self) -> dict[str, float]:
        """By name."""
        return {"value": self.value, "se": self.se, "over_best": self.over, "over_best_se": self.over_se}


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Mean loss, and ranking error of base and rules, on prompts left out of the fit."""

    loss: Measured
    error: Measured

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {"loss": self.loss.to_json(), "error": self.error.to_json()}


@dataclass(frozen=True, slots=True)
class Along:
    """One response type along the path: held out, and of weights fitted to all training prompts, by ridge.

    `train`: their mean loss; `spreads`: standard deviation of the rules' reward over the rows.
    """

    name: str
    held_out: tuple[HeldOut, ...]
    train: tuple[float, ...]
    spreads: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RidgePath:
    """Ridges in reward⁻¹ from strong to weak, what prompts left out say of each, and the choice.

    `pooled` is the mean over response types; `best` is the ridge of least loss, `chosen` the strongest within one
    standard error, as positions in `ridges`. `prompts` were divided into `folds` folds.
    """

    ridges: tuple[float, ...]
    pooled: tuple[HeldOut, ...]
    responses: tuple[Along, ...]
    best: int
    chosen: int
    folds: int
    prompts: int

    @property
    def ridge(self) -> float:
        """The one chosen."""
        return self.ridges[self.chosen]

    def to_json(self) -> dict[str, Any]:
        """The whole path."""
        return {
            "chosen": self.ridge,
            "best": self.ridges[self.best],
            "folds": self.folds,
            "prompts": self.prompts,
            "refused": None,
            "path": [
                {
                    "ridge": ridge,
                    **self.pooled[at].to_json(),
                    "response_types": {
                        one.name: {
                            **one.held_out[at].to_json(), "train_loss": one.train[at], "rules_sd": one.spreads[at],
                        }
                        for one in self.responses
                    },
                }
                for at, ridge in enumerate(self.ridges)
            ],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class NoPath:
    """Why no ridge was chosen by cross-validation; the ridge used instead, in reward⁻¹."""

    reason: str
    ridge: float

    def to_json(self) -> dict[str, Any]:
        """With the names of a path."""
        return {"chosen": self.ridge, "refused": self.reason}


def choose_ridge(jobs: Sequence[Job], keys: tuple[str, ...], options: Options) -> RidgePath | NoPath:
    """The ridge for all of `jobs` (at least one); `keys` are those of the prompts. Deterministic."""
    ridges = _ridges([job.problem for job in jobs])
    prompts = np.unique(np.concatenate([job.train.prompt for job in jobs]))
    if len(prompts) < FEWEST_PROMPTS:
        why = f"{len(prompts)} prompts are too few to choose a ridge by cross-validation; {FEWEST_PROMPTS} are needed"
        return NoPath(why, ridges[round(2 * math.log10(STRONGEST / FEW))])
    fold_of = _folds(jobs, keys, options.seed)
    groups = [fold_of[job.train.prompt] for job in jobs]
    draws = np.vstack([1 - np.eye(FOLDS, dtype=np.int64), np.ones((1, FOLDS), np.int64)])
    found = paths([job.problem for job in jobs], groups, draws, ridges)
    judged = [_judged(job, weights, group) for job, weights, group in zip(jobs, found, groups, strict=True)]
    means = [np.sum(job.problem.shares * one.loss, axis=1) for job, one in zip(jobs, judged, strict=True)]
    best = int(np.argmin(np.mean(means, axis=0)))
    pooled = tuple(_held_out(jobs, judged, best, at) for at in range(len(ridges)))
    chosen = next(at for at, held in enumerate(pooled) if not held.loss.tells and not held.error.tells)
    return RidgePath(
        ridges=ridges,
        pooled=pooled,
        responses=tuple(
            Along(
                job.sample.response.name,
                tuple(_held_out([job], [one], best, at) for at in range(len(ridges))),
                tuple(_loss(job.problem, weights).tolist()),
                tuple(np.std(np.einsum("nf,rf->rn", job.sample.features, job.tied.spread(weights)), axis=1).tolist()),
            )
            for job, one, weights in zip(jobs, judged, (weights[FOLDS] for weights in found), strict=True)
        ),
        best=best,
        chosen=chosen,
        folds=FOLDS,
        prompts=len(prompts),
    )


def _ridges(problems: Sequence[Problem]) -> tuple[float, ...]:
    """The path for some problems, strong to weak, in steps of 1 and 3 that are easily written."""
    levers, scales = [], []
    for problem in problems:
        offsets = problem.offsets - problem.pairs.gaps(problem.centre)
        scales.append(float(problem.shares @ np.abs(offsets)))
        features = problem.pairs.features[:, problem.low < problem.high]
        apart = [column[problem.pairs.better] - column[problem.pairs.worse] for column in features.T]
        levers.append(float(sum(np.sum(problem.shares * one**2) for one in apart)))
    unit = (float(np.mean(levers)) or 1.0) / (float(np.mean(scales)) or 1.0)
    most = round(2 * math.log10(STRONGEST * unit))
    count = round(2 * math.log10(STRONGEST / WEAKEST)) + 1
    return tuple(_half_decade(most - at) for at in range(count))


def _half_decade(number: int) -> float:
    """… 0.1, 0.3, 1, 3, 10 …; number 0 is 1."""
    return float(f"{'13'[number % 2]}e{number // 2}")


def _folds(jobs: Sequence[Job], keys: tuple[str, ...], seed: int) -> NDArray[np.int64]:
    """The fold of every training prompt, [prompts]: even for each response type, the same in any order of rows."""
    fold_of = np.full(len(keys), -1, np.int64)
    dealt = 0
    for job in jobs:
        prompts = np.unique(job.train.prompt)
        new = sorted(prompts[fold_of[prompts] < 0].tolist(), key=lambda prompt: ticket(seed, keys[prompt]))
        fold_of[new] = (dealt + np.arange(len(new))) % FOLDS
        dealt += len(new)
    return fold_of


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """Loss and wrongness of every pair by weights that did not see its prompt, [ridges, N]."""

    loss: NDArray[np.float64]
    error: NDArray[np.float64]


def _judged(job: Job, weights: NDArray[np.float64], fold: NDArray[np.int64]) -> _Judged:
    """`weights` [folds + 1, ridges, F]; `fold` int [N] of each pair."""
    problem, pairs = job.problem, job.train
    base = job.sample.base[pairs.better] - job.sample.base[pairs.worse]
    loss, error = (np.zeros((weights.shape[1], len(pairs))) for _ in range(2))
    for number in range(FOLDS):
        these = np.flatnonzero(fold == number)
        lead = _leads(problem, weights[number], these)
        loss[:, these] = losses(problem.offsets[these] - lead, problem.loss)
        error[:, these] = 0.5 - 0.5 * np.sign(lead + base[these])
    return _Judged(loss, error)


def _leads(problem: Problem, weights: NDArray[np.float64], of: NDArray[np.int64]) -> NDArray[np.float64]:
    """D·w of some pairs for many weights [ridges, F], [ridges, pairs]."""
    scores = np.einsum("nf,rf->rn", problem.pairs.features, weights)
    return scores[:, problem.pairs.better[of]] - scores[:, problem.pairs.worse[of]]


def _loss(problem: Problem, weights: NDArray[np.float64]) -> Vector:
    """Mean loss of all pairs for many weights [ridges, F], [ridges]."""
    lead = _leads(problem, weights, np.arange(len(problem.offsets)))
    return np.sum(problem.shares * losses(problem.offsets - lead, problem.loss), axis=1)


def _held_out(jobs: Sequence[Job], judged: Sequence[_Judged], best: int, at: int) -> HeldOut:
    """The mean over response types at one ridge, and beside that at the best."""

    def measured(values: Sequence[NDArray[np.float64]]) -> Measured:
        value, se = _mean(jobs, [one[at] for one in values])
        return Measured(value, se, *_mean(jobs, [one[at] - one[best] for one in values]))

    return HeldOut(measured([one.loss for one in judged]), measured([one.error for one in judged]))


def _mean(jobs: Sequence[Job], values: Sequence[Vector]) -> tuple[float, float]:
    """The mean over response types of the mean over pairs [N], and its standard error, prompts being independent.

    To first order a mean of ratios moves by the sum, over response types, of (values − mean) · shares of a prompt's pairs.
    """
    prompts, shares = [job.train.prompt for job in jobs], [job.problem.shares for job in jobs]
    means = [total(share, one) for share, one in zip(shares, values, strict=True)]
    moves = np.zeros(1 + max(int(one.max()) for one in prompts))
    for one, mean, prompt, share in zip(values, means, prompts, shares, strict=True):
        moves += np.bincount(prompt, share * (one - mean), len(moves)) / len(values)
    count = len(np.unique(np.concatenate(prompts)))
    return float(np.mean(means)), math.sqrt(float(np.sum(moves**2)) * count / max(1, count - 1))
