"""What does Tunix call for a reward?

    from rbrlang.adapters import tunix

    tunix.register()                                            # the reward manager "rbr"
    config = GRPOConfig(reward_manager="rbr", num_generations=8)
    learner = GRPOLearner(cluster, config, reward_fns=[tunix.TunixReward("policy.rbrc")])

Tunix (0.1.7) calls its reward manager once for each batch of rollouts, on the host, and logs what it returns as
`log_metrics`. Further reward functions beside the `TunixReward` are the base reward: their sum is what the
rules are added to. A `TunixReward` also works alone, in Tunix's own manager, without the curves.

Two things in Tunix turn a failure into a number, and both are refused here. Its manager adds rewards with
`nansum`, so that a NaN becomes 0, the best reward of a group of negative ones. Its `PPOLearner` keeps
rewards in an integer array, which cuts off every fraction. https://tunix.readthedocs.io
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from typing import Any

import numpy as np

from rbrlang.scoring.adapter import Adapter
from rbrlang.scoring.columns import rollouts
from rbrlang.scoring.invalid import Trainer, UnscoredError, group_means, numbers
from rbrlang.scoring.metrics import batch_metrics
from rbrlang.scoring.score import Scores

_NOT_COLUMNS = ("trajectory_ids", "mode")


class TunixError(RuntimeError):
    """Something that this reward cannot do in Tunix, or Tunix missing; the message says what to do."""


class TunixReward(Adapter):
    """A reward function for Tunix, and what the reward manager `"rbr"` asks.

    `columns` say where the data set has the response type; its columns have to be numpy arrays, since Tunix
    repeats them for each generation; one named `prompt` is graded in the place of a templated prompt.
    `on_invalid` is `"raise"`, a number, or, under the manager `"rbr"`, `"mask"`: the completion gets the mean
    of its group, hence no advantage. Raises as `Adapter` does.
    """

    trainer = Trainer("Tunix", ("raise", "mask"), "it reads None as 0, the best of bad rewards")

    def scores(
        self, prompts: Sequence[Any], completions: Sequence[Any], columns: dict[str, Any], base: Sequence[float] | None
    ) -> Scores:
        """The scores of a batch; `columns` as Tunix hands them over. Raises `ColumnsError`."""
        given = {name: values for name, values in columns.items() if name not in _NOT_COLUMNS}
        return self.scorer(rollouts(prompts, completions, given, self.columns, base))

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], algo_variant: str = "", **columns: Any
    ) -> list[float]:
        """Rewards, one for each completion, for Tunix's own reward manager, which fills `algo_variant`.

        Raises `UnscoredError`, `ColumnsError`, and `TunixError` under PPO or with `on_invalid="mask"`.
        """
        _refuse_ppo(algo_variant)
        if self.on_invalid == "mask":
            raise TunixError(
                'on_invalid="mask" needs the mean of a group: use the reward manager, GRPOConfig(reward_manager="rbr")'
            )
        return numbers(self.scores(prompts, completions, columns, None), self.on_invalid).tolist()


class RewardManager:
    """The reward manager `"rbr"`: one `TunixReward`, and any further functions as its base reward.

    Tunix makes it from the learner's `reward_fns` and `algo_config`. Raises `TunixError` for another
    number of `TunixReward`s than one, and for PPO.
    """

    def __init__(self, reward_fns: Any, algo_config: Any, **_: Any) -> None:
        functions: list[Any] = list(reward_fns) if isinstance(reward_fns, Sequence) else [reward_fns]
        rules = [f for f in functions if isinstance(f, TunixReward)]
        if len(rules) != 1:
            raise TunixError(f"the reward manager `rbr` takes one TunixReward in reward_fns, not {len(rules)}")
        _refuse_ppo(algo_config.algo_variant)
        self.reward = rules[0]
        # PPO is refused above, and what else has no groups cannot be masked.
        self.group: int = getattr(algo_config, "num_generations", 0)
        if self.reward.on_invalid == "mask" and not self.group:
            raise TunixError(f'on_invalid="mask" needs groups, which `{type(algo_config).__name__}` has not')
        others = [_finite(f) for f in functions if not isinstance(f, TunixReward)]
        self._base = _tunix("tunix.rl.reward_manager").SequenceRewardManager(others, algo_config) if others else None

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> dict[str, Any]:
        """`rewards`, float64 [batch], all finite; `log_metrics`, name to (value, how Tunix averages it).

        Raises `UnscoredError` where a completion or the base reward has no number, and `ColumnsError`.
        """
        log_metrics: dict[str, Any] = {}
        base: Any = columns.pop("trajectory_rewards", None)  # of environments, in Tunix's agentic learners
        if self._base is not None:
            found = self._base(prompts=prompts, completions=completions, **columns)
            log_metrics |= found["log_metrics"]
            base = found["rewards"] if base is None else found["rewards"] + np.asarray(base)
        scores = self.reward.scores(prompts, completions, columns, None if base is None else np.asarray(base).tolist())
        rewards = numbers(scores, self.reward.on_invalid)
        if self.reward.on_invalid == "mask":
            rewards = group_means(rewards, self.group)
        log_metrics |= {
            name: (value, np.min if name.endswith("/min") else np.mean) for name, value in batch_metrics(scores).items()
        }
        return {"rewards": rewards, "log_metrics": log_metrics}


def register(name: str = "rbr") -> None:
    """Make the reward manager known to Tunix under this name. Raises `TunixError` where Tunix is missing."""
    _tunix("tunix.rl.function_registry").register_reward_manager(name)(RewardManager)


def _tunix(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise TunixError(f"Tunix cannot be imported ({error}): pip install 'rbrlang[tunix]'") from None


def _refuse_ppo(algo_variant: str) -> None:
    if algo_variant == "ppo":
        raise TunixError(
            "Tunix's PPOLearner keeps rewards of reward functions in an integer array, which cuts 0.9 off to 0; "
            "use GRPOLearner, or give PPO a reward model"
        )


def _finite(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, refusing what Tunix would add as 0. Its parameters stay visible, since Tunix fills them."""

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        values = function(*args, **kwargs)
        bad = [at for at, v in enumerate(values) if v is None or not math.isfinite(v)]
        if bad:
            raise UnscoredError(
                f"the reward function `{function.__name__}` gave {values[bad[0]]} for completion {bad[0]}; "
                "Tunix would count that as 0"
            )
        return values

    return guarded
