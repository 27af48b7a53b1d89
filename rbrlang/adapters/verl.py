"""What does verl call for a reward?

    custom_reward_function.path=pkg://rbrlang.adapters.verl
    custom_reward_function.name=compute_score_async
    +custom_reward_function.reward_kwargs.artefact=/runs/policy.rbrc

verl (0.9) has three ways to call, and each has its function here:

| function | is called by | with |
| --- | --- | --- |
| `compute_score_async` | the managers of the reward loop but `remote` | one completion; all that wait are graded together |
| `compute_score` | the same and `remote`, in threads or processes | one completion |
| `compute_scores` | `BatchRewardManager` | a batch, graded as one |

They take a mapping with `score` for each completion; all other entries are logged, and have to be the same every
time. verl has no word for "not scored", so a completion without a reward raises unless the user names a number. It
does not hand over the prompt: put it into `extra_info`.
https://verl.readthedocs.io/en/latest/preparation/reward_function.html
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, cast
from weakref import WeakKeyDictionary

from rbrlang.grading.questions.graderfile import applied
from rbrlang.grading.questions.options import GraderOptions
from rbrlang.scoring.adapter import Adapter
from rbrlang.scoring.batching import Batcher
from rbrlang.scoring.columns import Columns, ColumnsError, Rollout, rollout
from rbrlang.scoring.invalid import OnInvalid, Trainer, numbers
from rbrlang.scoring.metrics import one_metrics
from rbrlang.scoring.score import Scores

_LARGEST = 512  # completions graded together
_OF_VERL = frozenset({"reward_router_address", "reward_model_tokenizer"})  # given along with a reward model of verl's
_making = threading.Lock()

Logged = dict[str, float | None]
"""`score` and the metrics of a completion; None where a metric is of no meaning for it, which verl leaves out."""


class VerlReward(Adapter):
    """A reward for verl; the functions below make one from a configuration alone.

    `columns` name entries of `extra_info`, or `data_source` and `ground_truth`. `on_invalid` is `"raise"` or
    a number. Every answer has the same keys. Raises as `Adapter` does.
    """

    trainer = Trainer("verl", ("raise",), "it takes a number for every completion")

    def __call__(
        self,
        data_source: Any,
        solution_str: str,
        ground_truth: Any,
        extra_info: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> Logged:
        """One completion. Raises `UnscoredError` where `on_invalid` is `"raise"`, and `ColumnsError`."""
        (found,) = self._logged(self.scorer([self._rollout(data_source, solution_str, ground_truth, extra_info)]))
        return found

    def batch(
        self,
        data_sources: Sequence[Any],
        solution_strs: Sequence[str],
        ground_truths: Sequence[Any],
        extra_infos: Sequence[Mapping[str, Any] | None],
        **_: Any,
    ) -> list[Logged]:
        """A batch, graded as one, in order. Raises as a call does; the message says which completion."""
        rows: list[Rollout] = []
        for given in zip(data_sources, solution_strs, ground_truths, extra_infos, strict=True):
            try:
                rows.append(self._rollout(*given))
            except ColumnsError as error:
                raise ColumnsError(f"completion {len(rows)}: {error}") from None
        return self._logged(self.scorer(rows)) if rows else []

    async def together(
        self,
        data_source: Any,
        solution_str: str,
        ground_truth: Any,
        extra_info: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> Logged:
        """One completion, graded with all that wait in this event loop. Raises as a call does."""
        row = self._rollout(data_source, solution_str, ground_truth, extra_info)
        loop = asyncio.get_running_loop()
        if loop not in self._batchers:
            self._batchers[loop] = Batcher(lambda rows: self.scorer(rows), largest=_LARGEST)
        (found,) = self._logged(await self._batchers[loop].score([row]))
        return found

    @cached_property
    def _batchers(self) -> WeakKeyDictionary[asyncio.AbstractEventLoop, Batcher]:
        return WeakKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to this process."""
        return {name: value for name, value in vars(self).items() if name != "_batchers"}

    def _rollout(
        self, data_source: Any, solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None
    ) -> Rollout:
        record = {"data_source": data_source, "ground_truth": ground_truth, **(extra_info or {})}
        return rollout(solution_str, record, self.columns)

    def _logged(self, scores: Scores) -> list[Logged]:
        found = numbers(scores, self.on_invalid).tolist()
        return [
            {"score": score} | {k: v if math.isfinite(v) else None for k, v in one_metrics(scores, at).items()}
            for at, score in enumerate(found)
        ]


# --- from a configuration ---------------------------------------------------------------------


def compute_score(
    data_source: Any, solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None = None, **kwargs: Any
) -> Logged:
    """`VerlReward` of one completion, made from verl's `reward_kwargs`.

    These are `artefact`, `grader`, `columns` (a mapping), `on_invalid`, `require_key`, `allow_python`, and every option of a grader. Raises
    `ColumnsError` where `artefact` is missing or `columns` has an entry that `Columns` has not, and as
    `VerlReward` does.
    """
    return _reward(kwargs)(data_source, solution_str, ground_truth, extra_info)


def compute_scores(
    data_sources: Sequence[Any],
    solution_strs: Sequence[str],
    ground_truths: Sequence[Any],
    extra_infos: Sequence[Mapping[str, Any] | None],
    **kwargs: Any,
) -> list[Logged]:
    """`compute_score` of a batch, graded as one."""
    return _reward(kwargs).batch(data_sources, solution_strs, ground_truths, extra_infos)


async def compute_score_async(
    data_source: Any, solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None = None, **kwargs: Any
) -> Logged:
    """`compute_score`, graded with all completions that wait in this event loop."""
    return await _reward(kwargs).together(data_source, solution_str, ground_truth, extra_info)


def _reward(kwargs: Mapping[str, Any]) -> VerlReward:
    given = {name: value for name, value in kwargs.items() if name not in _OF_VERL}
    artefact, columns = given.pop("artefact", None), given.pop("columns", None)
    grader, on_invalid = given.pop("grader", "embedded"), given.pop("on_invalid", None)
    require_key, allow_python = given.pop("require_key", None), given.pop("allow_python", False)
    beside = ("artefact", "grader", "columns", "on_invalid", "require_key", "allow_python")
    if isinstance(grader, str):
        grader, given = applied(grader, given)
    options = GraderOptions.read(given, beside=beside)
    if artefact is None:
        raise ColumnsError("no artefact; set custom_reward_function.reward_kwargs.artefact to a policy.rbrc")
    chosen = tuple(sorted((name, _fixed(value)) for name, value in (columns or {}).items()))
    with _making:  # many threads ask for the same one at once
        return _made(artefact, grader, chosen, on_invalid, require_key, allow_python, options)


@lru_cache(maxsize=8)
def _made(
    artefact: str,
    grader: str,
    chosen: tuple[tuple[str, object], ...],
    on_invalid: OnInvalid | None,
    require_key: str | None,
    allow_python: bool,
    options: GraderOptions,
) -> VerlReward:
    known = [name for name in Columns.__dataclass_fields__ if name != "named"]
    for name, _ in chosen:
        if name not in known:
            raise ColumnsError(f"reward_kwargs.columns has `{name}`; it takes " + ", ".join(f"`{k}`" for k in known))
    named = Columns(**cast("dict[str, Any]", dict(chosen)))
    return VerlReward(
        artefact, grader, columns=named, on_invalid=on_invalid, require_key=require_key, allow_python=allow_python,
        **options.plain(),
    )  # fmt: skip


def _fixed(value: object) -> object:
    """A value of a configuration with its lists as tuples, all the way down."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_fixed(one) for one in cast("Sequence[object]", value))
    return value
