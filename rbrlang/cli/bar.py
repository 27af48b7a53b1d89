"""What is seen of a run while it grades?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rbrlang.cli.terminal import console

if TYPE_CHECKING:
    from rbrlang.grading.endpoint.account import Progress


class Bar:
    """A progress bar on standard error when it is a terminal: rate, cost so far, estimate. Shown once it moves."""

    def __init__(self, what: str = "grading") -> None:
        self._progress, self._task = None, None
        if not sys.stderr.isatty():
            return  # what draws it takes a tenth of a small run's time to load
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich

        self._progress = Rich(
            TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(), console=console(sys.stderr), transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=None, note="")

    def __enter__(self) -> Bar:
        return self

    def update(self, seen: Progress) -> None:
        if self._progress is None or self._task is None:
            return
        self._progress.start()
        note = f"{seen.rate:.0f}/s, {seen.from_cache} cached, {seen.invalid} invalid"
        if seen.cost_estimate:
            note += f", cost {seen.cost:.2f} of about {seen.cost_estimate:.2f}"
        self._progress.update(self._task, total=seen.total, completed=seen.done, note=note)

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()
