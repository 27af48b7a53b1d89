"""Where do curves and alarms go: a file of JSON lines, TensorBoard, Weights & Biases.

A line of the file is one of

    {"type": "start", "fingerprint": …, "propositions": […], "false_alarms": 1e-05}
    {"type": "step", "step": 3, "metrics": {"rbr/apology/p": 0.61, …}}
    {"type": "alarm", "step": 90, "alarm": "saturated", "about": "apology", "value": …, "bound": …, "message": …}
    {"type": "over", …}                                                                 (the same names)

with more `start` lines where a run was resumed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from rbrlang.logic.circuit import Circuit
from rbrlang.monitor.alarms import Alarm


class Sink(Protocol):
    """What a monitor writes to."""

    def start(self, circuit: Circuit, false_alarms: float) -> None:
        """A run begins, or goes on."""
        ...

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Finite values of some curves at a step."""
        ...

    def alarm(self, alarm: Alarm) -> None:
        """An alarm began or ended."""
        ...


class Jsonl:
    """JSON lines appended to a file, each flushed. Raises OSError where that fails.

    What a killed process left of its last line stays a line of its own, which readers pass over.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._path = target
        torn = target.exists() and target.stat().st_size > 0 and not _ends_a_line(target)
        if torn:
            self._append("\n")

    def start(self, circuit: Circuit, false_alarms: float) -> None:
        """The policy's fingerprint and propositions."""
        self._line(
            "start", fingerprint=circuit.fingerprint, propositions=list(circuit.propositions), false_alarms=false_alarms
        )

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """A line of type `step`."""
        self._line("step", step=step, metrics=dict(values))

    def alarm(self, alarm: Alarm) -> None:
        """A line of type `alarm` or `over`."""
        self._line(
            "over" if alarm.over else "alarm", step=alarm.step, alarm=alarm.kind, about=alarm.about,
            value=alarm.value, bound=alarm.bound, message=alarm.message,
        )  # fmt: skip

    def _line(self, kind: str, **fields: Any) -> None:
        self._append(json.dumps({"type": kind, **fields}, ensure_ascii=False, allow_nan=False) + "\n")

    def _append(self, text: str) -> None:
        # Opened for each line: nothing to close, and a monitor crosses into workers.
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


class TensorBoard:
    """Curves as scalars; alarms as text and as `rbr/alarm/<kind>`, 1 where one begins, 0 where it ends.

    Needs the extra `monitor` (tensorboardX, which needs neither torch nor TensorFlow). Close it at the end.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise ImportError("TensorBoard's files need the extra `monitor`: pip install 'rbrlang[monitor]'") from None
        self._writer: Any = SummaryWriter(os.fspath(folder))

    def start(self, circuit: Circuit, false_alarms: float) -> None:
        """The policy's fingerprint, as text."""
        self._writer.add_text("rbr/policy", circuit.fingerprint, 0)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """One scalar a curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def alarm(self, alarm: Alarm) -> None:
        """The message, and a mark."""
        name = f"rbr/alarm/{alarm.kind}" + (f"/{alarm.about}" if alarm.about else "")
        self._writer.add_scalar(name, 0.0 if alarm.over else 1.0, alarm.step)
        self._writer.add_text(name, alarm.message, alarm.step)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class Run(Protocol):
    """What is used of a `wandb.Run`."""

    def log(self, data: dict[str, Any], /) -> object:
        """Log some values at the present step."""
        ...

    def alert(self, title: str, text: str) -> object:
        """Tell somebody."""
        ...


class WeightsAndBiases:
    """Curves and alerts of a run, `wandb.init(…)`, against an axis of their own, `rbr/step`.

    The trainer's own steps go on undisturbed: to see the curves against ours, define the axis once with
    `run.define_metric("rbr/*", step_metric="rbr/step")`.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def start(self, circuit: Circuit, false_alarms: float) -> None:
        """Nothing: the run has its configuration from the trainer."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """The values, with their step."""
        self._run.log({"rbr/step": step, **values})

    def alarm(self, alarm: Alarm) -> None:
        """An alert where an alarm begins."""
        if not alarm.over:
            self._run.alert(title=f"rbr: {alarm.kind} {alarm.about}".rstrip(), text=alarm.message)
