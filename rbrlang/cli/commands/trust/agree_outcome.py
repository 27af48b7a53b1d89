"""What did a run of `rbrc agree` find?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rbrlang.grading.embedded.heads import Heads
    from rbrlang.grading.embedded.train import Curve
    from rbrlang.grading.trust.assessment import Assessment
    from rbrlang.grading.trust.calibrate import Calibration
    from rbrlang.grading.trust.values import ValuesJudged
    from rbrlang.rows.read import Row


@dataclass(frozen=True, slots=True)
class Training:
    """Heads learned from the file's labels, and what they are worth.

    `before` [propositions] is the area under the ROC curve of what training starts with, NaN where unknown.
    """

    heads: Heads
    curve: Curve
    before: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a run found. `p` [rows, propositions] is what was judged; `invalid` counts failures by reason.

    `folds` is None where the grader was judged as it is, `notes` say what each proposition's answers rest on,
    `applied` names the calibration that corrected probabilities, `calibration` is one that was learned. `values` are scales and choices.
    `rows` are as graded. `thoughts` are what the grader thought before a wrong answer, by row and proposition.
    """

    grader: str
    folds: int | None
    rows: Sequence[Row]
    thoughts: Mapping[tuple[int, int], str]
    labels: NDArray[np.float64]
    p: NDArray[np.float64]
    assessment: Assessment
    notes: tuple[str, ...]
    invalid: Counter[str]
    unlabelled: int
    applied: str | None
    calibration: Calibration | None
    training: Training | None
    values: tuple[ValuesJudged, ...]

    @property
    def valued(self) -> NDArray[np.bool_]:
        """Which propositions have a value in any row, bool [propositions]."""
        return (self.p == self.p).any(axis=0)

    @property
    def compared(self) -> int:
        """How many labels met an answer of the grader."""
        met = int(((self.labels == self.labels) & (self.p == self.p)).sum())
        return met + sum(one.support for one in self.values)
