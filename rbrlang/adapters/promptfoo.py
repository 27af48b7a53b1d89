"""What does promptfoo call for an assertion in Python?

    # rules.py, beside promptfooconfig.yaml; there: assert: [{type: python, value: "file://rules.py"}]
    from rbrlang.adapters.promptfoo import PromptfooAssert

    get_assert = PromptfooAssert("policy.rbrc", "judge.toml", threshold=0.0)

promptfoo (0.123) runs `get_assert(output, context)` and takes `{"pass", "score", "reason"}`. Columns are the test's `vars`.
It has no missing score: an exception in an assertion is a test that failed, with score 0 and the
exception as its reason. https://www.promptfoo.dev/docs/configuration/expected-outputs/python
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from rbrlang.grading.judge import Judge
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.scoring.adapter import Adapter
from rbrlang.scoring.columns import Columns, rollout
from rbrlang.scoring.invalid import OnInvalid, Trainer, numbers
from rbrlang.scoring.metrics import likely_class


class PromptfooAssert(Adapter):
    """The reward of an output as an assertion, which passes from `threshold` up.

    `on_invalid` is `"raise"` (the test fails, and its reason says what is missing) or a number. The other arguments, and what is raised, are `Adapter`'s.
    """

    trainer: ClassVar[Trainer] = Trainer(
        "promptfoo",
        ("raise",),
        "of an assertion that cannot be judged, what is raised becomes the reason of a test that failed",
    )
    arguments: ClassVar[tuple[str, ...]] = (*Adapter.arguments, "threshold")

    def __init__(
        self,
        artefact: str | os.PathLike[str] | Artefact,
        grader: str | Judge = "embedded",
        *,
        threshold: float = 0.0,
        columns: Columns | None = None,
        on_invalid: OnInvalid | None = None,
        **options: Any,
    ) -> None:
        super().__init__(artefact, grader, columns=columns, on_invalid=on_invalid, **options)
        self._threshold = threshold

    def __call__(self, output: object, context: Mapping[str, Any]) -> dict[str, Any]:
        """What promptfoo takes. Raises `UnscoredError` where `on_invalid` is `"raise"`, and `ColumnsError`."""
        record = dict(context.get("vars") or {})
        prompt = None if self.columns.prompt in record else context.get("prompt")
        scores = self.scorer([rollout(output, record, self.columns, prompt)])
        (reward,) = numbers(scores, self.on_invalid)
        klass = likely_class(scores, 0)
        return {
            "pass": bool(reward >= self._threshold),
            "score": float(reward),
            "reason": scores.reasons[0] or f"class `{klass}`, reward {reward:.3f}; passes from {self._threshold:g}",
        }
