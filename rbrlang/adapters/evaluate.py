"""What does Hugging Face `evaluate` call for a metric?

    metric = rules("policy.rbrc", "judge.toml")
    metric.compute(predictions=texts, references=[{"prompt": asked, "response_type": "hard_refusal"} for asked in prompts])

`evaluate` (0.4) gathers predictions and references, in batches and over processes, and computes once over all of them. A
prediction is a completion, as text or as chat messages; its reference is the record of its other columns. Whoever has no reward is
counted apart, with the reason, and is in no mean. https://huggingface.co/docs/evaluate
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rbrlang.grading.judge import Judge
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.scoring.adapter import Adapter
from rbrlang.scoring.columns import Columns, ColumnsError, rollout
from rbrlang.scoring.invalid import OnInvalid, Trainer, numbers
from rbrlang.scoring.metrics import likely_class


class EvaluateRules(Adapter):
    """The rules over all predictions; `rules` makes it a metric. `on_invalid` is `"none"` (counted as unscored, in no mean),
    `"raise"`, or a number."""

    trainer: ClassVar[Trainer] = Trainer("evaluate", ("none", "raise"), "an unscored prediction is in no mean already")

    def __call__(self, predictions: Sequence[object], references: Sequence[object]) -> dict[str, Any]:
        """The mean reward under the metric's name, NaN where nothing was scored; how many were scored and how many not; and for
        each prediction its reward, its class and the reason for having none, in lists with None. Raises `ColumnsError`, and
        `UnscoredError` where `on_invalid` is `"raise"`."""
        pairs = zip(predictions, references, strict=True)
        scores = self.scorer([rollout(said, _record(of, at), self.columns) for at, (said, of) in enumerate(pairs)])
        rewards = numbers(scores, self.on_invalid)
        known = rewards[np.isfinite(rewards)]
        name = self.__name__
        return {
            name: float(known.mean()) if len(known) else math.nan,
            f"{name}_scored": len(scores) - int(scores.invalid.sum()),
            f"{name}_unscored": int(scores.invalid.sum()),
            f"{name}_rewards": [float(reward) if math.isfinite(reward) else None for reward in rewards],
            f"{name}_classes": [likely_class(scores, at) for at in range(len(scores))],
            f"{name}_reasons": list(scores.reasons),
        }


def _record(reference: object, at: int) -> Mapping[str, Any]:
    if isinstance(reference, Mapping):
        return reference
    raise ColumnsError(
        f"reference {at} is no record of columns; give one such as "
        '{"prompt": …, "response_type": …} for each prediction, or {} where there is nothing to say'
    )


def rules(
    artefact: str | os.PathLike[str] | Artefact,
    grader: str | Judge = "embedded",
    *,
    columns: Columns | None = None,
    on_invalid: OnInvalid | None = None,
    name: str = "rbr",
    module: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """An `evaluate.Metric`; `module` is what that takes (`num_process`, `process_id`, `experiment_id`, …). The other arguments, and
    what is raised, are `Adapter`'s."""
    import evaluate
    from datasets import Features, Json

    made = EvaluateRules(artefact, grader, columns=columns, on_invalid=on_invalid, name=name, **options)

    class Rbr(evaluate.Metric):
        def _info(self) -> Any:
            return evaluate.MetricInfo(
                description="The mean reward by the rules of a policy.",
                citation="",
                features=Features(predictions=Json(), references=Json()),
                inputs_description="\npredictions: completions; references: a record of the other columns for each.",
            )

        # Each prediction is stored in a list of its own: bare, one whose text is JSON would come back as what that says.
        def add(self, *, prediction: Any = None, reference: Any = None, **others: Any) -> None:
            """One completion and its record."""
            super().add(prediction=[prediction], reference={} if reference is None else reference, **others)

        def add_batch(self, *, predictions: Any = None, references: Any = None, **others: Any) -> None:
            """Completions and their records."""
            given = [{}] * len(predictions) if references is None else references
            super().add_batch(predictions=[[said] for said in predictions], references=given, **others)

        def _compute(self, *, predictions: Any = None, references: Any = None, **others: Any) -> dict[str, Any]:
            return made([said for (said,) in predictions], references, **others)

    return Rbr(**(module or {}))
