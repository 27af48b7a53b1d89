"""What does TRL call for a reward?

    trainer = GRPOTrainer(model, args=config, train_dataset=data, reward_funcs=[TRLReward("policy.rbrc")])

TRL (1.16) awaits `f(prompts, completions, completion_ids, **columns, log_extra, log_metric)` and takes a list
of numbers, where None leaves a completion out of its group's baseline and gives it no advantage. In a
conversational data set prompts and completions are lists of messages.
https://huggingface.co/docs/trl/main/en/grpo_trainer#using-a-custom-reward-function
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rbrlang.scoring.adapter import Adapter
from rbrlang.scoring.columns import rollouts
from rbrlang.scoring.invalid import Trainer, numbers
from rbrlang.scoring.metrics import batch_metrics, likely_class

_NOT_COLUMNS = ("completion_ids", "trainer_state", "environments", "log_extra", "log_metric")


class TRLReward(Adapter):
    """A reward function for TRL's GRPO and RLOO trainers.

    `columns` say where the data set has the response type. `on_invalid` is `"none"` (TRL leaves the completion
    out), `"raise"`, or a number. The other arguments, and what is raised, are `Adapter`'s.
    """

    trainer = Trainer("TRL", ("none", "raise"), "None already masks a completion there")

    async def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        log_metric: Callable[[str, float], None] | None = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Rewards, one for each completion; None where there is none. Grades in a thread of its own.

        Raises `UnscoredError` where `on_invalid` is `"raise"`, and `ColumnsError`.
        """
        given = {name: values for name, values in columns.items() if name not in _NOT_COLUMNS}
        rows = rollouts(prompts, completions, given, self.columns)
        scores = await asyncio.to_thread(self.scorer, rows)
        if log_metric is not None:
            for name, value in batch_metrics(scores).items():
                log_metric(name, value)
        if log_extra is not None:
            log_extra("rbr_class", [likely_class(scores, at) for at in range(len(scores))])
            log_extra("rbr_reason", list(scores.reasons))
        return [float(r) if np.isfinite(r) else None for r in numbers(scores, self.on_invalid)]
