"""What does DSPy call for a metric?

    metric = DSPyMetric("policy.rbrc", "judge.toml", output="answer", columns=Columns(every="comply", prompt="question"))
    dspy.Evaluate(devset=examples, metric=metric, failure_score=float("nan"))(program)
    dspy.GEPA(metric=metric.with_feedback, reflection_lm=model, auto="light")

DSPy (3.4) calls `metric(example, prediction, trace)` and takes a number; GEPA's takes a score with words on it, which are the
class, and what would have changed it. A metric that raises counts as `failure_score` in `Evaluate`, which is **0 by default**: give
NaN there, so that nobody's failure becomes a number. https://dspy.ai/learn/evaluation/metrics
"""

from __future__ import annotations

import os
from typing import Any, ClassVar, Protocol

from rbrlang.grading.judge import Judge
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.scoring.adapter import Adapter
from rbrlang.scoring.columns import Columns, ColumnsError, rollout
from rbrlang.scoring.invalid import OnInvalid, Trainer, numbers
from rbrlang.scoring.metrics import likely_class
from rbrlang.scoring.score import Scores


class Fields(Protocol):
    """What is read of a `dspy.Example` and of a `dspy.Prediction`."""

    def toDict(self) -> dict[str, Any]: ...  # noqa: N802  (DSPy's name)


class DSPyMetric(Adapter):
    """The reward of what a program predicts in the field `output`; `columns` name fields of the example.

    `on_invalid` is `"raise"` or a number. The other arguments, and what is raised, are `Adapter`'s.
    """

    trainer: ClassVar[Trainer] = Trainer("DSPy", ("raise",), "a metric says that it failed by raising")
    arguments: ClassVar[tuple[str, ...]] = (*Adapter.arguments, "output")

    def __init__(
        self,
        artefact: str | os.PathLike[str] | Artefact,
        grader: str | Judge = "embedded",
        *,
        output: str = "answer",
        columns: Columns | None = None,
        on_invalid: OnInvalid | None = None,
        **options: Any,
    ) -> None:
        super().__init__(artefact, grader, columns=columns, on_invalid=on_invalid, **options)
        self._output = output

    def __call__(self, example: Fields, prediction: Fields, trace: object = None) -> float:
        """The reward. Raises `UnscoredError` where `on_invalid` is `"raise"`, and `ColumnsError`."""
        return self._of(example, prediction)[0]

    def with_feedback(
        self,
        example: Fields,
        prediction: Fields,
        trace: object = None,
        pred_name: object = None,
        pred_trace: object = None,
    ) -> Any:
        """The same as a `dspy.Prediction` with `score` and `feedback`, as GEPA takes it."""
        import dspy

        reward, scores = self._of(example, prediction)
        probs = dict(zip(scores.circuit.propositions, scores.probs[0].tolist(), strict=False))
        held = ", ".join(f"{name} {p:.2f}" for name, p in sorted(probs.items(), key=lambda pair: -pair[1]) if p == p)
        words = f"class `{likely_class(scores, 0)}`, reward {reward:.3f}; P(yes): {held}"
        return dspy.Prediction(score=reward, feedback=words)

    def _of(self, example: Fields, prediction: Fields) -> tuple[float, Scores]:
        said = prediction.toDict()
        if self._output not in said:
            raise ColumnsError(
                f"the prediction has no field `{self._output}`, but {', '.join(f'`{name}`' for name in said)}; name it with output=…"
            )
        scores = self.scorer([rollout(said[self._output], example.toDict(), self.columns)])
        (reward,) = numbers(scores, self.on_invalid)
        return float(reward), scores
