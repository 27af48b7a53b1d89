"""`rbrc bench`: how fast is it on this machine, each figure beside what limits it?"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rbrlang.checking import check
from rbrlang.cli import options as shared
from rbrlang.cli.commands.tools.demo import examples
from rbrlang.cli.errors import UsageError
from rbrlang.cli.terminal import console, say, warn

LIMIT = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc bench`."""
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        default=[],
        help="only this row, several times for several; `--list` names them",
    )
    parser.add_argument("--list", action="store_true", help="name the rows, and measure nothing")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="sizes that take less than a minute in all; no ratio of run times is a gate then",
    )
    parser.add_argument(
        "--policy", metavar="FILE", help="the policy that is not made up: any sound .rbr file (default: that of examples/refusals, with --quick a made one of 10 propositions)"
    )  # fmt: skip
    shared.seed_argument(parser)
    parser.add_argument(
        "--limit", type=shared.above_zero, default=LIMIT, metavar="S",
        help=f"seconds of the processor after which a process is ended, and its row says so (default: {LIMIT:g})",
    )  # fmt: skip
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT.md",
        help="write the table as a page, with pictures (extra `plot`) and the figures in OUT.json beside it, after every row",
    )
    parser.add_argument(
        "--from",
        dest="figures",
        metavar="FILE.json",
        help="take the figures of an earlier run, and measure nothing; with --only those rows again",
    )
    shared.format_argument(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Measure and print; 1 when a gate is missed."""
    if os.name == "nt":
        raise UsageError("memory of processes cannot be measured on Windows; run it under WSL")
    from rbrlang.bench.run import gates_missed, renewed
    from rbrlang.bench.table import ROWS

    if options.list:
        for name, row in ROWS.items():
            say(f"{name:14} {row.title}")
        return 0
    names = _names(options.only, tuple(ROWS))
    found = _earlier(options.figures, ROWS) if options.figures else _measured(options, names)
    if options.figures and options.only:
        earlier = found
        if earlier["quick"] != options.quick:
            raise UsageError(f"`{options.figures}` is of a run {'with' if earlier['quick'] else 'without'} `--quick`")
        found = renewed(earlier, _measured(options, names, earlier))
    if options.output:
        _write(Path(options.output), found)
    if options.format == "json":
        from rbrlang.cli.render import dump

        sys.stdout.write(dump(found))
    elif not options.output:
        _show(found)
    missed = gates_missed(found)
    for gate in missed:
        warn(f"missed: {gate}")
    return 1 if missed else 0


def _names(only: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    from rbrlang.diagnostics import suggest

    for name in only:
        if name not in known:
            near = suggest(name, known)
            raise UsageError(
                f"no row `{name}`; " + (f"did you mean `{near}`?" if near else f"there are {', '.join(known)}")
            )
    return [name for name in known if name in only or not only]


def _measured(
    options: argparse.Namespace, names: Sequence[str], earlier: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Measure these rows; what was measured `earlier` is kept beside them."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from rbrlang.bench.run import measure

    policy = None if options.quick else examples() / "refusals" / "policy.rbr"
    if options.policy:
        policy = Path(options.policy)
        if not check(policy).ok:
            raise UsageError(
                f"`{policy}` has errors, so there is no reward to measure; `rbrc check {policy}` shows them"
            )
    bar = Progress(
        TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"),
        console=console(sys.stderr), disable=not sys.stderr.isatty(), transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task("", total=len(names))
        return measure(
            names, policy, examples() / "refusals" / "completions.jsonl", quick=options.quick, seed=options.seed,
            limit=options.limit, on_progress=lambda done, what: bar.update(task, completed=done, description=what),
            keep=partial(_keep, options.output, earlier),
        )  # fmt: skip


def _keep(output: str | None, earlier: dict[str, Any] | None, found: dict[str, Any]) -> None:
    """What was measured so far, so that a run that is interrupted has not run in vain."""
    from rbrlang.bench.run import renewed
    from rbrlang.cli.files import write_text
    from rbrlang.cli.render import dump

    if output is not None:
        write_text(str(Path(output).with_suffix(".json")), dump(found if earlier is None else renewed(earlier, found)))


def _earlier(path: str, known: Collection[str]) -> dict[str, Any]:
    from rbrlang.jsontext import JsonError, parse_bytes

    try:
        found = parse_bytes(Path(path).read_bytes())
    except JsonError as error:
        raise UsageError(f"`{path}`: {error}") from error
    if not isinstance(found, dict) or not {"rows", "machine"} <= found.keys():
        raise UsageError(f"`{path}` has no figures of `rbrc bench --format json`")
    other = [row["name"] for row in found["rows"] if row["name"] not in known]
    if other:
        raise UsageError(f"`{path}` has the row `{other[0]}`, which this version does not know; measure again")
    return found


def _write(path: Path, found: dict[str, Any]) -> None:
    from rbrlang.bench.page import page
    from rbrlang.cli.files import write_text
    from rbrlang.cli.render import dump

    try:
        from rbrlang.bench.pictures import picture
    except ModuleNotFoundError:
        pictured = None
        warn("no pictures: matplotlib is not installed (`pip install 'rbrlang[plot]'`)")
    else:
        pictured = picture(found)
    if pictured is not None:
        write_text(str(path.with_suffix(".svg")), pictured)
    write_text(str(path.with_suffix(".json")), dump(found))
    write_text(str(path), page(found, path.with_suffix(".svg").name if pictured is not None else None))


def _show(found: dict[str, Any]) -> None:
    from rbrlang.bench.outcome import from_json
    from rbrlang.bench.page import cells, head
    from rbrlang.cli.tables import show

    say(head(found))
    for row in found["rows"]:
        sys.stdout.write("\n")
        if row["why_not"]:
            say(row["title"])
            say(f"  not measured: {row['why_not']}")
            continue
        outcome = from_json(row)
        show(
            row["title"],
            ("", "here", "beside it, in the same run", "ratio", "goal"),
            [cells(one) for one in outcome.lines],
        )
        for line in outcome.lines:
            if line.met is False and line.goal is not None and line.goal.limit:
                say(f"  missed, {line.what}: {line.goal.limit}")
        for curve in outcome.curves:
            if curve.exponent is not None:
                more = f"; {curve.left_out}" if curve.left_out else ""
                say(f"  {curve.name}: grows as size^{curve.exponent:.2f}{more}")
