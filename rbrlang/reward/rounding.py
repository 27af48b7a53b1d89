"""Is a base reward so large that nothing of the rules is left in their sum?

Rewards are 32-bit floats, whose neighbours lie 1 apart at 10⁷ and 64 at 10⁹. A reward model of such a scale hides the
rules without a word. The measure is the rules' spread, the distance between the best and the worst that they can give
under a response type: where a step between two floats of the base reward's size is more than a hundredth of it, the
rules are lost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbrlang.reward.numpy import NumpyReward

SHARE = 0.01


def spreads(reward: NumpyReward) -> NDArray[np.float64]:
    """How far apart the rules' best and worst reward are, [responses]; 0 where the rules give nothing."""
    circuit = reward.circuit
    count = len(circuit.responses)
    unknown = np.full((count, len(circuit.atoms)), np.nan, np.float32)
    low, high = reward.bounds(unknown, np.arange(count, dtype=np.int32))
    return high.astype(np.float64) - low


def hides_rules(reward: NumpyReward, ids: ArrayLike, base_reward: ArrayLike) -> NDArray[np.bool_]:
    """Which base rewards hide the rules, bool [batch]; never where the response type is unknown.

    ids [batch] as for the reward, base_reward [batch], NaN where there is none.
    """
    return hidden(spreads(reward), ids, base_reward)


def hidden(spread: NDArray[np.float64], ids: ArrayLike, base_reward: ArrayLike) -> NDArray[np.bool_]:
    """`hides_rules` where the `spreads` are known."""
    numbers, base = np.asarray(ids), np.asarray(base_reward, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        step = np.spacing(np.abs(base).astype(np.float32)).astype(np.float64)
    of_row = np.append(spread, np.nan)[numbers]  # −1 is the last
    return step > SHARE * of_row  # NaN is never more


def said(count: int, rows: int) -> str:
    """The sentence on them."""
    return (
        f"{count} of {rows} base rewards {'is' if count == 1 else 'are'} so large that 32-bit floats lose what the rules "
        "add; scale the reward model's scores down, for instance to a standard deviation of 1"
    )
