"""`rbrc watch LOG`: the curves and alarms of a training run, live."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from rbrlang.cli import options as shared
from rbrlang.cli import terminal
from rbrlang.cli.terminal import shown

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rbrlang.monitor.logs import Log

_BARS = "▁▂▃▄▅▆▇█"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc watch`."""
    parser.add_argument("log", metavar="LOG", help="the file that `rbrlang.monitor.Jsonl` writes")
    parser.add_argument("--once", action="store_true", help="print what there is, and end; 1 if an alarm is active")
    parser.add_argument(
        "--last", type=shared.count, default=1000, metavar="N", help="points of each curve (default: 1000)"
    )
    parser.add_argument("--every", type=shared.above_zero, default=1.0, metavar="S", help="seconds between two looks")
    shared.format_argument(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Show until interrupted; the exit code says whether an alarm is active."""
    from rbrlang.monitor.logs import Log

    log = Log(options.log, options.last)
    log.read()
    console = terminal.console(sys.stdout, None if sys.stdout.isatty() else 120)
    if options.format == "json":
        sys.stdout.write(json.dumps(_json(log), ensure_ascii=False) + "\n")
    elif options.once or not sys.stdout.isatty():
        console.print(frame(log, console.width))
    else:
        from rich.live import Live

        with Live(frame(log, console.width), console=console, screen=True, auto_refresh=False) as live:
            try:
                while True:
                    time.sleep(options.every)
                    log.read()
                    live.update(frame(log, console.width), refresh=True)
            except KeyboardInterrupt:
                pass
    return 1 if log.active else 0


def frame(log: Log, width: int) -> RenderableType:
    """One picture of a log: its alarms, then its curves, a line each."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    policy = f" · policy {shown(log.fingerprint[:12])}" if log.fingerprint else ""
    parts: list[RenderableType] = [
        Text(f"{shown(log.path)}{policy} · " + (f"step {log.step}" if log.step >= 0 else "no step yet"), style="bold")
    ]
    if log.unreadable:
        parts.append(Text(f"{log.unreadable} lines are not a monitor's and were passed over", style="yellow"))
    active = log.active
    for event in active.values():
        parts.append(
            Text(f"ALARM  since step {event.step}  {shown(event.kind)}: {shown(event.message)}", style="bold red")
        )
    past = [event for event in log.events if (event.kind, event.about) not in active][-5:]
    for event in past:
        parts.append(Text(f"       step {event.step}  {shown(event.kind)}: {shown(event.message)}", style="dim"))
    if not log.events:
        parts.append(Text("no alarm", style="green"))
    table = Table(box=None, pad_edge=False)
    table.add_column("curve", no_wrap=True)
    for name in ("last", "least", "most"):
        table.add_column(name, justify="right")
    table.add_column("")
    for name in _in_order(list(log.curves)):
        values = [value for _, value in log.curves[name]]
        numbers = (f"{number:.3f}" for number in (values[-1], min(values), max(values)))
        table.add_row(Text(shown(name)), *numbers, Text(sparkline(values, max(10, min(60, width - 70)))))
    return Group(*parts, table)


def sparkline(values: Sequence[float], width: int) -> str:
    """Values as bars, the newest to the right, neighbours averaged where there are more than `width`.

    >>> sparkline([0.0, 0.5, 1.0], 10)
    '▁▅█'
    """
    if len(values) > width:
        ends = [round(i * len(values) / width) for i in range(width + 1)]
        values = [sum(values[a:b]) / (b - a) for a, b in pairwise(ends)]
    low, high = min(values), max(values)
    if high == low:
        return _BARS[0] * len(values)
    return "".join(_BARS[round((v - low) / (high - low) * (len(_BARS) - 1))] for v in values)


def _in_order(names: list[str]) -> list[str]:
    """Rewards and rates first, then classes, then propositions."""
    first = ("rbr/reward/", "rbr/rules/", "rbr/invalid_rate", "rbr/degenerate_rate", "rbr/answer_mass/", "rbr/class/")
    return sorted(names, key=lambda n: (next((i for i, p in enumerate(first) if n.startswith(p)), len(first)), n))


def _json(log: Log) -> dict[str, object]:
    return {
        "step": log.step,
        "fingerprint": log.fingerprint,
        "unreadable": log.unreadable,
        "active": [
            {"step": e.step, "alarm": e.kind, "about": e.about, "message": e.message} for e in log.active.values()
        ],
        "last": {name: points[-1][1] for name, points in log.curves.items()},
    }
