"""What does OpenEnv call for a reward?

    class Desk(Environment):
        def __init__(self):
            super().__init__(rubric=rules("policy.rbrc", "judge.toml", completion="message", columns=Columns(every="inform")))

OpenEnv (0.3) calls a `Rubric` with the action and the observation of a step and takes a number; an exception ends the step.
The completion is a field of the action, the columns are fields of the observation. https://github.com/meta-pytorch/OpenEnv
"""

from __future__ import annotations

import os
from typing import Any, ClassVar, Protocol

from rbrlang.grading.judge import Judge
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.scoring.adapter import Adapter
from rbrlang.scoring.columns import Columns, ColumnsError, rollout
from rbrlang.scoring.invalid import OnInvalid, Trainer, numbers


class Dumped(Protocol):
    """What is read of an action and an observation, which are pydantic models there."""

    def model_dump(self) -> dict[str, Any]: ...


class OpenEnvRules(Adapter):
    """The reward of the action's field `completion`; `rules` makes it a rubric. `on_invalid` is `"raise"` or a number."""

    trainer: ClassVar[Trainer] = Trainer("OpenEnv", ("raise",), "a rubric returns a number or raises")

    def of(self, action: Dumped, observation: Dumped, completion: str) -> float:
        """The reward. Raises `UnscoredError` where `on_invalid` is `"raise"`, and `ColumnsError`."""
        said = action.model_dump()
        if completion not in said:
            raise ColumnsError(
                f"the action has no field `{completion}`, but {', '.join(f'`{name}`' for name in said)}; name it with completion=…"
            )
        record = {name: value for name, value in observation.model_dump().items() if name not in ("reward", "done")}
        scores = self.scorer([rollout(said[completion], record, self.columns)])
        (reward,) = numbers(scores, self.on_invalid)
        return float(reward)


def rules(
    artefact: str | os.PathLike[str] | Artefact,
    grader: str | Judge = "embedded",
    *,
    completion: str = "message",
    columns: Columns | None = None,
    on_invalid: OnInvalid | None = None,
    **options: Any,
) -> Any:
    """An `openenv.core.rubrics.Rubric`; the arguments, and what is raised, are `Adapter`'s."""
    from openenv.core.rubrics import Rubric

    made = OpenEnvRules(artefact, grader, columns=columns, on_invalid=on_invalid, **options)

    class Rules(Rubric):
        def forward(self, action: Any, observation: Any) -> float:
            return made.of(action, observation, completion)

    return Rules()
