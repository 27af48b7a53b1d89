"""Does the rules' reward stand beside the base reward, or does it drown it?

RL sees the sum of both. Where the rules' reward of a response type spreads many times as far as the base reward,
the base reward counts for nothing there, advantages of that response type dwarf those of the others, and whatever
the rules get wrong is all that is learned. Ranking errors do not show this: a thousandfold of weights ranks alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.told import Told

DROWNS = 10.0
"""Rules that spread so many times as far as the base reward are warned of."""


@dataclass(frozen=True, slots=True)
class Extent(Told):
    """A reward over rows: standard deviation, least and greatest, in units of reward."""

    sd: float
    least: float
    greatest: float


@dataclass(frozen=True, slots=True)
class RewardSpread(Told, also={"ratio": "ratio", "drowns_base": "drowns"}):
    """The rules' reward of one response type over its `rows` rows, and the base reward's; None where rows have none."""

    rows: int
    rules: Extent
    base: Extent | None

    @property
    def ratio(self) -> float | None:
        """The rules' standard deviation in the base reward's; None where that does not vary."""
        return None if self.base is None or self.base.sd == 0.0 else self.rules.sd / self.base.sd

    @property
    def drowns(self) -> bool:
        """Whether the base reward is as good as lost beside the rules."""
        return self.ratio is not None and self.ratio >= DROWNS

    def warning(self, response: str) -> str | None:
        """What to tell of rules that drown the base reward, and what to do about it; None when they do not."""
        if self.base is None or self.ratio is None or not self.drowns:
            return None
        return (
            f"the rules' reward of `{response}` spreads {self.ratio:.3g} times as far as the base reward "
            f"(standard deviations {self.rules.sd:.3g} and {self.base.sd:.3g} over {self.rows} rows; rules "
            f"{self.rules.least:.3g} … {self.rules.greatest:.3g}), which hardly counts beside it in RL; fit with a stronger "
            f"`--ridge`, or none, which chooses one, bound weights in the policy (`weight NAME <= NUMBER`), or add "
            "completions that the rules find hard to tell apart"
        )


def spread_of(rules: NDArray[np.float64], base: NDArray[np.float64] | None) -> RewardSpread:
    """How far the rewards [n] of the rows of one response type, at least one, spread."""
    return RewardSpread(len(rules), _extent(rules), None if base is None else _extent(base))


def _extent(rewards: NDArray[np.float64]) -> Extent:
    least, greatest = float(rewards.min()), float(rewards.max())
    # About the least one, so that equal rewards have a deviation of 0 and large ones lose no digits.
    return Extent(float(np.std(rewards - least)), least, greatest)
