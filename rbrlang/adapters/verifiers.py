"""What does verifiers call for a reward?

    RULES = VerifiersReward("policy.rbrc")

    class MyTask(vf.Task):
        @vf.reward
        async def rules(self, trace: vf.Trace) -> float:
            return await RULES(trace)

verifiers (0.4) awaits methods decorated with `@vf.reward`, gives them the trace of a rollout, and adds up what
they return. A reward that raises leaves the trace unscored and marked as failed, which is the only way to
say so there; the metrics are recorded on the trace in passing. https://github.com/willccbb/verifiers
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from rbrlang.scoring.adapter import Adapter
from rbrlang.scoring.columns import Columns, Rollout, Unusable, rollout
from rbrlang.scoring.invalid import Trainer, numbers
from rbrlang.scoring.metrics import batch_metrics


class _Dumped(Protocol):
    def model_dump(self) -> dict[str, Any]: ...


class _Task(Protocol):
    @property
    def data(self) -> _Dumped: ...


class Trace(Protocol):
    """What is read of a `vf.Trace`, and written to it."""

    @property
    def task(self) -> _Task: ...
    @property
    def branches(self) -> Any: ...
    def record_metrics(self, values: Mapping[str, float]) -> None: ...


class VerifiersReward(Adapter):
    """The reward of a `vf.Trace`; await it in a method that `@vf.reward` decorates.

    `columns` name fields of the task's data. The completion begins with the first message of the trace's final
    branch that was sampled, results of tools and the user's turns among it; the prompt is what comes before. `on_invalid` is `"raise"` or a
    number. Raises as `Adapter` does.
    """

    trainer = Trainer("verifiers", ("raise",), "a trace is left unscored by raising")

    async def __call__(self, trace: Trace) -> float:
        """The reward. Raises `UnscoredError` where `on_invalid` is `"raise"`, and `ColumnsError`."""
        scores = await asyncio.to_thread(self.scorer, [read_trace(trace, self.columns)])
        trace.record_metrics(batch_metrics(scores))
        (reward,) = numbers(scores, self.on_invalid)
        return float(reward)


def read_trace(trace: Trace, columns: Columns) -> Rollout:
    """The completion that a trace holds; see `VerifiersReward`. Raises `ColumnsError`."""
    nodes = trace.branches[-1].nodes if trace.branches else []
    begins = next((at for at, node in enumerate(nodes) if node.sampled), None)
    if begins is None:
        return Unusable("the trace holds no message of the assistant that was sampled")
    messages = [node.message.model_dump() for node in nodes]
    record = trace.task.data.model_dump()
    if columns.prompt == Columns().prompt:
        record.pop("prompt", None)  # the task's opening, of which the trace has all and more
    return rollout(messages[begins:], record, columns, messages[:begins])
