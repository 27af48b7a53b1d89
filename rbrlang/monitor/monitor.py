"""What do the curves of a run say, step by step, and when do they call for somebody?

| alarm | says that | compared with |
| --- | --- | --- |
| `invalid` | completions without a reward are more | the first steps, and `tolerated_invalid` at most |
| `degenerate` | empty or repeating completions are among those that score well | `tolerated_degenerate` |
| `saturated` | the answers to a question, or the reward, hardly vary within a step any more | the first steps |
| `drift` | the grader answers the anchors otherwise than at first | `tolerated_drift` |
| `divergence` | a second grader disagrees with the first more | the first steps |

Questions are propositions, scales, choices and rubrics; `answers` says how each is a number.

Each is a test of `series` on one number a step. Over all series together the chance of a false alarm within T
steps is at most `T · false_alarms`, where a healthy run is one whose means stay within those bounds. A monitor
draws no random numbers and reads no clock: the same steps give the same alarms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rbrlang.logic.circuit import Circuit
from rbrlang.monitor.alarms import Alarm, Kind
from rbrlang.monitor.answers import answers, apart, spreads
from rbrlang.monitor.degenerate import is_degenerate
from rbrlang.monitor.series import Detectors, Floats, Reference, upper
from rbrlang.monitor.sinks import Sink
from rbrlang.scoring.columns import Rollout, Unusable
from rbrlang.scoring.metrics import batch_metrics, question_curves
from rbrlang.scoring.score import Scores, joined

_LEAST_SPREAD = 0.05  # what never varied has no variance to lose


@dataclass(frozen=True, slots=True)
class Settings:
    """When a monitor alarms.

    `false_alarms` is per step, over all series. The first `settle` steps are what later ones are compared with.
    A step has at least `least` completions; smaller batches are put together. `tolerated_invalid` and
    `tolerated_degenerate` are shares of completions, `tolerated_drift` the mean change of an answer about an
    anchor by grading it again, `slack` how much more the two graders may disagree than at first.
    """

    false_alarms: float = 1e-5
    settle: int = 20
    least: int = 32
    tolerated_invalid: float = 0.1
    tolerated_degenerate: float = 0.05
    tolerated_drift: float = 0.03
    slack: float = 0.05


class Monitor:
    """Curves and alarms of one run under one policy; see the module. Not for several threads at once."""

    def __init__(self, circuit: Circuit, sinks: Sequence[Sink] = (), settings: Settings | None = None) -> None:
        self._settings = found = settings or Settings()
        self._circuit, self._sinks = circuit, tuple(sinks)
        names = circuit.questions
        spread = [*names, "reward"]
        threshold = (2 + len(spread) + 2 * len(names)) / found.false_alarms
        self._batch = _Group(("invalid", "degenerate"), ("", ""), threshold)
        self._spread = _Group(("saturated",) * len(spread), spread, threshold)
        self._anchor = _Group(("drift",) * len(names), names, threshold)
        self._second = _Group(("divergence",) * len(names), names, threshold)
        self._invalid_at_first = Reference(1, found.settle)
        self._spread_at_first = Reference(len(spread), found.settle)
        self._usual_spread, self._loss_bound = np.full((2, len(spread)), math.nan)
        self._second_at_first = Reference(len(names), found.settle)
        self._anchors: tuple[int, tuple[Floats, ...]] | None = None
        self._waiting: list[tuple[Sequence[Rollout], Scores]] = []
        for sink in self._sinks:
            sink.start(circuit, found.false_alarms)

    def observe(self, step: int, rollouts: Sequence[Rollout], scores: Scores) -> tuple[Alarm, ...]:
        """The completions of a training step and their scores; the alarms that began or ended with it."""
        self._waiting.append((rollouts, scores))
        if sum(len(s) for _, s in self._waiting) < self._settings.least:
            return ()
        rollouts = [rollout for some, _ in self._waiting for rollout in some]
        scores = joined([s for _, s in self._waiting])
        self._waiting.clear()
        judged = self._circuit.judged
        degenerate = np.array(
            [not isinstance(r, Unusable) and is_degenerate(r.conversation.text(judged)) for r in rollouts]
        )
        spread = spreads(scores)
        metrics = batch_metrics(scores)
        metrics["rbr/degenerate_rate"] = float(degenerate.mean())
        for curve, value in zip(question_curves(self._circuit), spread, strict=False):
            metrics[f"{curve}/spread"] = float(value)
        metrics["rbr/reward/spread"] = float(spread[-1])
        self._tell(step, {name: value for name, value in metrics.items() if math.isfinite(value)})
        well = _among_the_best(scores, degenerate)
        found = self._batch.update(step, np.array([[metrics["rbr/invalid_rate"], well]]), self._batch_bounds(metrics))
        found += self._spread.update(step, *self._losses(spread))
        return self._raised(found)

    def observe_anchors(self, step: int, scores: Scores) -> tuple[Alarm, ...]:
        """The scores of the fixed set of completions, graded again; those of the first call are the reference.

        Raises ValueError where their number changed.
        """
        found = answers(scores)
        if self._anchors is None:
            self._anchors = len(scores), found
            return ()
        count, at_first = self._anchors
        if count != len(scores):
            raise ValueError(f"there are {len(scores)} anchors, and at first there were {count}")
        shift = apart(scores, at_first, found)
        means = _column_means(shift)
        self._tell(step, {f"{curve}/drift": v for curve, v in self._named(means)})
        bound = np.full(shift.shape[1], self._settings.tolerated_drift)
        return self._raised(self._anchor.update(step, shift, bound))

    def observe_second(self, step: int, scores: Scores, second: Scores) -> tuple[Alarm, ...]:
        """Scores of the same completions by the grader and by a second one. Raises ValueError where they are not."""
        if len(scores) != len(second):
            raise ValueError(f"the second grader has {len(second)} completions, the first {len(scores)}")
        differences = _column_means(apart(scores, answers(scores), answers(second)))
        self._tell(step, {f"{curve}/divergence": v for curve, v in self._named(differences)})
        settled = self._second_at_first.add(differences)
        bound = np.array(
            [
                min(1.0, upper(self._second_at_first.values(i), self._settings.slack)) if done else math.nan
                for i, done in enumerate(settled)
            ]
        )
        return self._raised(self._second.update(step, differences[None, :], bound))

    def _batch_bounds(self, metrics: dict[str, float]) -> Floats:
        found = self._settings
        invalid = metrics["rbr/invalid_rate"]
        bound = found.tolerated_invalid
        if self._invalid_at_first.add(np.array([invalid]))[0]:
            bound = min(bound, upper(self._invalid_at_first.values(0), 0.02))
        return np.array([bound, found.tolerated_degenerate])

    def _losses(self, spread: Floats) -> tuple[Floats, Floats]:
        """How much of its first spread each series lost, 0 to 1, and the bound, above half."""
        settled = self._spread_at_first.add(spread)
        for at in np.flatnonzero(settled & np.isnan(self._usual_spread)):
            first = self._spread_at_first.values(int(at))
            usual = float(first.mean())
            self._usual_spread[at] = usual
            if usual >= _LEAST_SPREAD:
                lost = 1.0 - np.minimum(1.0, first / usual)
                self._loss_bound[at] = min(0.98, max(0.5, (1.0 + upper(lost, 0.0)) / 2))
        varied = np.isfinite(self._loss_bound)
        loss = np.full(len(spread), math.nan)
        loss[varied] = 1.0 - np.minimum(1.0, spread[varied] / self._usual_spread[varied])
        return loss[None, :], self._loss_bound

    def _named(self, values: Floats) -> list[tuple[str, float]]:
        pairs = zip(question_curves(self._circuit), values.tolist(), strict=True)
        return [(curve, value) for curve, value in pairs if value == value]

    def _tell(self, step: int, metrics: dict[str, float]) -> None:
        for sink in self._sinks:
            sink.metrics(step, metrics)

    def _raised(self, alarms: list[Alarm]) -> tuple[Alarm, ...]:
        for alarm in alarms:
            for sink in self._sinks:
                sink.alarm(alarm)
        return tuple(alarms)


class _Group:
    """Series of the same origin: their detectors, and which of them have alarmed and not yet recovered."""

    def __init__(self, kinds: Sequence[Kind], names: Sequence[str], threshold: float) -> None:
        self._kinds, self._names = tuple(kinds), tuple(names)
        self._detectors = Detectors(len(names), threshold)
        self._active = np.zeros(len(names), bool)
        self._recent = np.full(len(names), math.nan)

    def update(self, step: int, x: Floats, bound: Floats) -> list[Alarm]:
        """Alarms that begin, and those that end because the recent mean is within the bound."""
        means = _column_means(x)
        fresh = np.isnan(self._recent)
        self._recent = np.where(fresh, means, np.where(np.isnan(means), self._recent, 0.8 * self._recent + 0.2 * means))
        alarmed = self._detectors.update(x, bound)
        begun = alarmed & ~self._active
        ended = self._active & ~alarmed & (self._recent <= bound)
        self._active = (self._active | begun) & ~ended
        return [
            self._alarm(step, int(at), float(bound[at]), over=bool(ended[at])) for at in np.flatnonzero(begun | ended)
        ]

    def _alarm(self, step: int, at: int, bound: float, *, over: bool) -> Alarm:
        kind, name, value = self._kinds[at], self._names[at], float(self._recent[at])
        text = _OVER[kind] if over else _SAID[kind]
        return Alarm(step, kind, name, value, bound, text.format(name=name, value=value, bound=bound), over)


_SAID: dict[Kind, str] = {
    "invalid": "{value:.0%} of the completions have no reward, more than {bound:.0%}",
    "degenerate": "{value:.0%} of the completions that score well are empty or repeat themselves, more than {bound:.0%}",
    "saturated": "`{name}` hardly varies any more: {value:.0%} of its first spread is gone",
    "drift": "the grader's `{name}` of the anchors moved by {value:.2f} on average, more than {bound:.2f}",
    "divergence": "the two graders' `{name}` differ by {value:.2f} on average, more than {bound:.2f}",
}
_OVER: dict[Kind, str] = {
    "invalid": "{value:.0%} of the completions have no reward, within {bound:.0%} again",
    "degenerate": "{value:.0%} of the completions that score well are empty or repeat themselves, within {bound:.0%} again",
    "saturated": "`{name}` varies again",
    "drift": "the grader's `{name}` of the anchors is back within {bound:.2f}",
    "divergence": "the two graders' `{name}` are back within {bound:.2f}",
}


def _among_the_best(scores: Scores, degenerate: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    """The share of degenerate texts among those at or above the median reward of their response type."""
    valid = ~scores.invalid
    best = np.zeros(len(scores), bool)
    for number in np.unique(scores.responses[valid]):
        of_type = valid & (scores.responses == number)
        best |= of_type & (scores.rewards >= np.median(scores.rewards[of_type]))
    return float(degenerate[best].mean()) if best.any() else math.nan


def _column_means(x: Floats) -> Floats:
    known = np.isfinite(x)
    counts = known.sum(axis=0)
    return np.where(counts > 0, np.where(known, x, 0.0).sum(axis=0) / np.maximum(counts, 1), math.nan)
