"""How well would the rules rank if they had been fitted to stand alone?

Weights fitted to a base reward lean on it: where it already ranks well they need not, and without it they
are not the best that the rules can do. So the paper fits the rules a second time, without base reward,
before it judges them alone. Two ways, neither of which lets a prompt be judged by weights that saw it:

- on other rows (`refit_on`), the prompts to be judged left out;
- on the judged rows themselves (`refit_across`), in folds by prompt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.fitting.fit import FitError, fit
from rbrlang.learning.fitting.fitted import Unfitted
from rbrlang.learning.judging.evaluate import RulesAlone
from rbrlang.learning.preferences import CLASSES, PairSource
from rbrlang.learning.sample import ClassSource
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import Row

FOLDS = 5


def refit_on(
    reward: NumpyReward,
    rows: Sequence[Row],
    training: Sequence[Row],
    *,
    class_source: ClassSource = "auto",
    class_names: Mapping[str, str] | None = None,
    pairs: Sequence[PairSource] = CLASSES,
    columns: Mapping[str, str] = MappingProxyType({}),
    seed: int = 0,
) -> RulesAlone:
    """Weights for `rows` fitted without base reward to `training`, less the prompts of `rows`; see `fit` for the options.

    Raises `FitError` when nothing can be fitted. A response type that cannot keeps the reward's weights, and
    `source` names it.
    """
    judged = {row.prompt_key for row in rows}
    others = [row for row in training if row.prompt_key not in judged]
    if not others:
        raise FitError("all prompts of the rows to refit on are among those to be judged; give rows of other prompts")
    table, kept = _weights(
        reward, others, class_source=class_source, class_names=class_names, pairs=pairs, columns=columns, seed=seed
    )
    source = f"refitted without base reward on {len(others)} other rows"
    return RulesAlone(source + _except(kept), np.broadcast_to(table, (len(rows), *table.shape))[_own(reward, rows)])


def refit_across(
    reward: NumpyReward,
    rows: Sequence[Row],
    *,
    class_source: ClassSource = "auto",
    class_names: Mapping[str, str] | None = None,
    pairs: Sequence[PairSource] = CLASSES,
    columns: Mapping[str, str] = MappingProxyType({}),
    folds: int = FOLDS,
    seed: int = 0,
) -> RulesAlone:
    """Weights for each of `rows` fitted without base reward to the rows of the other folds; see `refit_on`."""
    fold = _folds(rows, folds, seed)
    table = np.zeros((len(rows), len(reward.circuit.responses), reward.weights.shape[1]))
    kept: set[str] = set()
    for number in np.unique(fold).tolist():
        others = [row for row, other in zip(rows, fold.tolist(), strict=True) if other != number]
        weights, unfitted = _weights(
            reward, others, class_source=class_source, class_names=class_names, pairs=pairs, columns=columns, seed=seed
        )
        table[fold == number] = weights
        kept.update(unfitted)
    source = f"refitted without base reward in {folds} folds by prompt"
    return RulesAlone(source + _except(sorted(kept)), table[_own(reward, rows)])


def _weights(reward: NumpyReward, rows: Sequence[Row], **options: Any) -> tuple[NDArray[np.float64], list[str]]:
    """Weights [responses, max features] and the response types that keep the reward's."""
    found = fit(reward.circuit, rows, base_reward=None, held_out=0.0, bootstrap=0, **options)
    table = np.asarray(reward.weights, np.float64).copy()
    kept: list[str] = []
    for number, outcome in enumerate(found.responses):
        if isinstance(outcome, Unfitted):
            kept.append(outcome.name)
        else:
            table[number, : len(outcome.weights)] = outcome.weights
    return table, kept


def _own(reward: NumpyReward, rows: Sequence[Row]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Picks from [rows, responses, features] each row's own response type; any for a row without one."""
    return np.arange(len(rows)), np.maximum(reward.response_ids(rows), 0).astype(np.int64)


def _folds(rows: Sequence[Row], folds: int, seed: int) -> NDArray[np.int64]:
    """A fold for each row, one for all rows of a prompt, whatever their order; evenly filled by prompts."""
    keys = sorted({row.prompt_key for row in rows}, key=lambda k: hashlib.sha256(f"{seed}:{k}".encode()).digest())
    if len(keys) < folds:
        raise FitError(f"{len(keys)} prompts cannot be divided into {folds} folds; give rows to refit on")
    of = {key: at % folds for at, key in enumerate(keys)}
    return np.array([of[row.prompt_key] for row in rows], np.int64)


def _except(names: Sequence[str]) -> str:
    return f" (but the artefact's for {', '.join(names)}, which could not be fitted)" if names else ""
