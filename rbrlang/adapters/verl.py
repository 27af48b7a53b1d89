"""What does verl call for a reward?

    custom_reward_function.path=pkg://rbrlang.adapters.verl
    custom_reward_function.name=compute_score
    +custom_reward_function.reward_kwargs.artefact=/runs/policy.rbrc

verl (0.9) calls `compute_score(data_source, solution_str, ground_truth, extra_info, **reward_kwargs)` for one
completion at a time, in worker processes, and takes a mapping with `score`; all other entries are logged, and
have to be the same every time. It has no word for "not scored", so a completion without a reward raises
unless the user names a number. It does not hand over the prompt: put it into `extra_info`.
https://verl.readthedocs.io/en/latest/preparation/reward_function.html
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

from rbrlang.scoring.adapter import Adapter
from rbrlang.scoring.columns import Columns, ColumnsError, rollout
from rbrlang.scoring.invalid import OnInvalid, Trainer, numbers
from rbrlang.scoring.metrics import one_metrics


class VerlReward(Adapter):
    """A `compute_score` for verl; `compute_score` below makes one from a configuration alone.

    `columns` name entries of `extra_info`, or `data_source` and `ground_truth`. `on_invalid` is `"raise"` or
    a number. Raises as `Adapter` does.
    """

    trainer = Trainer("verl", ("raise",), "it takes a number for every completion")

    def __call__(
        self,
        data_source: Any,
        solution_str: str,
        ground_truth: Any,
        extra_info: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> dict[str, float]:
        """`score` and the metrics of this completion, with the same keys for every one; NaN where not known.

        Raises `UnscoredError` where `on_invalid` is `"raise"`, and `ColumnsError`.
        """
        record = {"data_source": data_source, "ground_truth": ground_truth, **(extra_info or {})}
        scores = self.scorer([rollout(solution_str, record, self.columns)])
        (score,) = numbers(scores, self.on_invalid)
        return {"score": float(score), **one_metrics(scores, 0)}


def compute_score(
    data_source: Any,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    artefact: str | None = None,
    grader: str = "embedded",
    columns: Mapping[str, object] | None = None,
    on_invalid: OnInvalid | None = None,
    cache: str | None = None,
    **_: Any,
) -> dict[str, float]:
    """`VerlReward` from verl's `reward_kwargs`: `artefact`, `grader`, `columns` (a mapping), `on_invalid`, `cache`.

    Raises `ColumnsError` where `artefact` is missing or `columns` has an entry that `Columns` has not.
    """
    if artefact is None:
        raise ColumnsError("no artefact; set custom_reward_function.reward_kwargs.artefact to a policy.rbrc")
    chosen = tuple(sorted((name, _fixed(value)) for name, value in (columns or {}).items()))
    return _reward(artefact, grader, chosen, on_invalid, cache)(data_source, solution_str, ground_truth, extra_info)


@lru_cache(maxsize=8)
def _reward(
    artefact: str,
    grader: str,
    chosen: tuple[tuple[str, object], ...],
    on_invalid: OnInvalid | None,
    cache: str | None,
) -> VerlReward:
    known = Columns.__dataclass_fields__
    for name, _ in chosen:
        if name not in known:
            raise ColumnsError(f"reward_kwargs.columns has `{name}`; it takes " + ", ".join(f"`{k}`" for k in known))
    return VerlReward(
        artefact, grader, columns=Columns(**cast("dict[str, Any]", dict(chosen))), on_invalid=on_invalid, cache=cache
    )


def _fixed(value: object) -> object:
    """A value of a configuration with its lists as tuples, all the way down."""
    return tuple(_fixed(one) for one in cast("list[object]", value)) if isinstance(value, (list, tuple)) else value
