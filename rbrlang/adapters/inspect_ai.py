"""What does Inspect call for a score?

    @task
    def refusals():
        return Task(dataset=json_dataset("prompts.jsonl"), solver=generate(), scorer=rules("policy.rbrc", "judge.toml"))

Inspect (0.3) awaits `score(state, target)` for each sample and takes a `Score`; one that is `unscored` is kept with its reason
and left out of all metrics. Columns are those of the sample's metadata. https://inspect.aisi.org.uk/scorers.html
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from rbrlang.grading.judge import Judge
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.scoring.adapter import Adapter
from rbrlang.scoring.columns import Columns, Rollout, Unusable, rollout
from rbrlang.scoring.invalid import OnInvalid, Trainer, numbers
from rbrlang.scoring.metrics import likely_class


class _Dumped(Protocol):
    @property
    def source(self) -> str | None: ...
    def model_dump(self) -> dict[str, Any]: ...


class State(Protocol):
    """What is read of an `inspect_ai.solver.TaskState`."""

    @property
    def messages(self) -> Sequence[_Dumped]: ...
    @property
    def metadata(self) -> dict[str, Any]: ...


class InspectRules(Adapter):
    """The rules for one sample after another; `rules` makes it a scorer. `on_invalid` is `"none"` (the sample is unscored),
    `"raise"` (Inspect ends the sample with an error), or a number."""

    trainer: ClassVar[Trainer] = Trainer("Inspect", ("none", "raise"), "an unscored sample is left out already")

    async def __call__(self, state: State, target: object) -> Any:
        """A `Score`: the reward, the class as its answer, the reason as its explanation, and what was graded as metadata."""
        from inspect_ai.scorer import Score

        scores = await asyncio.to_thread(self.scorer, [read_state(state, self.columns)])
        (reward,) = numbers(scores, self.on_invalid)
        klass, reason = likely_class(scores, 0) or None, scores.reasons[0] or None
        more = {"fingerprint": self.scorer.circuit.fingerprint}
        if np.isfinite(reward):
            return Score(value=float(reward), answer=klass, explanation=reason, metadata=more)
        return Score.unscored(reason="grader_failed", answer=klass, explanation=reason, metadata=more)


def read_state(state: State, columns: Columns) -> Rollout:
    """The completion of a sample: from the first message that was generated on. Raises `ColumnsError`."""
    begins = next((at for at, message in enumerate(state.messages) if message.source == "generate"), None)
    if begins is None:
        return Unusable("the sample holds no message that was generated")
    messages = [message.model_dump() for message in state.messages]
    return rollout(messages[begins:], state.metadata, columns, messages[:begins])


def rules(
    artefact: str | os.PathLike[str] | Artefact,
    grader: str | Judge = "embedded",
    *,
    columns: Columns | None = None,
    on_invalid: OnInvalid | None = None,
    name: str = "rbr",
    **options: Any,
) -> Callable[[Any, Any], Awaitable[Any]]:
    """A scorer of Inspect, with the mean of the rewards and its standard error. The arguments, and what is raised, are
    `Adapter`'s."""
    from inspect_ai.scorer import mean, scorer, stderr

    made = InspectRules(artefact, grader, columns=columns, on_invalid=on_invalid, name=name, **options)

    @scorer(metrics=[mean(), stderr()], name=name)
    def of_rules() -> Any:
        async def score(state: Any, target: Any) -> Any:
            return await made(state, target)

        return score

    return of_rules()
