"""What does a trainer get for a completion that has no reward?

Never a number that nobody chose. The user says which of these, as far as the trainer can express it:

| `on_invalid` | does |
| --- | --- |
| `"raise"` | ends the step with `UnscoredError` |
| `"none"` | says "not scored", in a trainer that knows that word |
| `"mask"` | the sample counts nothing for learning |
| a number | that reward, which the user takes responsibility for |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray

from rbrlang.scoring.score import Scores

OnInvalid = Literal["raise", "none", "mask"] | float


@dataclass(frozen=True, slots=True)
class Trainer:
    """A trainer, as far as completions without a reward go.

    `words` are those of "raise", "none" and "mask" that it can express, its default first; `why` says what it
    lacks for the others.
    """

    name: str
    words: tuple[Literal["raise", "none", "mask"], ...]
    why: str


class UnscoredError(RuntimeError):
    """A completion without a reward, where the trainer has no way to say so; the message says why it has none."""


class OnInvalidError(ValueError):
    """An `on_invalid` that is none, or that this trainer cannot express."""


def checked(on_invalid: object, trainer: Trainer) -> OnInvalid:
    """The setting, if the trainer can express it or it is a finite number. Raises `OnInvalidError`."""
    choices = _choices(trainer.words)
    if isinstance(on_invalid, str):
        for word in trainer.words:
            if on_invalid == word:
                return word
        if on_invalid in ("raise", "none", "mask"):
            raise OnInvalidError(f"{trainer.name} has no on_invalid=`{on_invalid}`: {trainer.why}; it takes {choices}")
    elif _is_number(on_invalid) and math.isfinite(on_invalid):
        return float(on_invalid)
    raise OnInvalidError(f"on_invalid is {on_invalid!r}; it takes {choices}")


def numbers(scores: Scores, on_invalid: OnInvalid) -> NDArray[np.float64]:
    """Rewards, float64 [batch], NaN for completions left unscored under `"none"` and `"mask"`.

    Raises `UnscoredError` under `"raise"` where any has no reward.
    """
    bad = scores.invalid
    out = scores.rewards.astype(np.float64)
    if not bad.any():
        return out
    if on_invalid == "raise":
        raise UnscoredError(complaint(scores))
    out[bad] = math.nan if isinstance(on_invalid, str) else on_invalid
    return out


def complaint(scores: Scores) -> str:
    """How many completions of a batch have no reward, and why the first has none."""
    bad = np.flatnonzero(scores.invalid)
    first = int(bad[0])
    return (
        f"{len(bad)} of {len(scores)} completions have no reward; completion {first}: {scores.reasons[first]}; "
        "see to the cause, or choose another on_invalid"
    )


def group_means(rewards: NDArray[np.float64], group: int) -> NDArray[np.float64]:
    """Rewards with NaN replaced by the mean of the known ones of its group, 0 where a group has none.

    Groups are `group` consecutive completions. A reward at the mean of its group has the advantage 0 in
    every estimator that subtracts that mean (GRPO, Dr. GRPO, and RLOO up to a factor), so nothing is
    learned from it. Raises `OnInvalidError` where the batch does not divide into groups.
    """
    if group < 1 or len(rewards) % group:
        raise OnInvalidError(f"{len(rewards)} completions do not divide into groups of {group}")
    table = rewards.reshape(-1, group)
    known = np.isfinite(table)
    means = np.where(known, table, 0.0).sum(1) / np.maximum(known.sum(1), 1)
    return np.where(known, table, means[:, None]).reshape(-1)


def _choices(words: Sequence[str]) -> str:
    return ", ".join([*(f'"{word}"' for word in words), "or a finite number"])


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
