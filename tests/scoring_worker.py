"""What a spawned worker runs, in a module that it can import by name."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Sequence

import numpy as np

from rbrlang.rows.read import Row
from rbrlang.scoring.score import Scorer


def scored(pickled: bytes, made: Sequence[Row]) -> tuple[np.ndarray, bool]:
    """The rewards by a scorer that was sent here, and whether that loaded jax."""
    scorer: Scorer = pickle.loads(pickled)
    return scorer(made).rewards, "jax" in sys.modules
