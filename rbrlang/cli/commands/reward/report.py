"""`rbrc report OUT.rbrc ROWS -o report.html`: what eval, agree and fit know, as one page for people."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from rbrlang.cli import guide
from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.outputs import check_folder
from rbrlang.cli.python import allow_python, python_argument
from rbrlang.cli.terminal import say, warn

NEEDED = ("jinja2", "matplotlib")
HOW_TO_GET = "pip install 'rbrlang[report]'"


def missing() -> tuple[str, ...]:
    """The packages of the extra `report` that are not installed."""
    return tuple(name for name in NEEDED if importlib.util.find_spec(name) is None)


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc report`."""
    parser.add_argument("artefact", metavar="OUT.rbrc", help="a compiled or fitted policy")
    shared.require_key_argument(parser)
    python_argument(parser)
    parser.add_argument("rows", metavar="ROWS", help=f"ranked rows: {shared.ROWS}")
    parser.add_argument(
        "-o", "--output", metavar="HTML", required=True, help="the page to write, `-` for standard output"
    )
    parser.add_argument("--title", metavar="TEXT", help="the page's title (default: after the artefact)")
    shared.rows_arguments(parser)
    shared.ranking_arguments(parser)
    parser.add_argument(
        "--cases", type=shared.count, default=5, metavar="N", help="mistakes to show of each response type (default: 5)"
    )
    shared.grader_arguments(parser)
    shared.row_arguments(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Gather, draw, write; 3 when some rows took no part."""
    lacking = missing()
    if lacking:
        raise UsageError(f"the page needs {' and '.join(lacking)}: {HOW_TO_GET}")
    target = Path(options.output)
    if options.output != "-" and target.is_dir():
        raise UsageError(f"`--output {options.output}` is a folder; name a file in it")
    check_folder("--output", options.output)  # and that of `-` is there
    artefact = shared.artefact(options.artefact, options.require_key)
    allow_python(options, artefact.circuit)
    from rbrlang.cli import data, graders
    from rbrlang.cli.commands.reward.eval import nothing_compared, refitted
    from rbrlang.cli.files import write_text
    from rbrlang.report.gather import Given, gather
    from rbrlang.report.page import render
    from rbrlang.report.verdict import verdict
    from rbrlang.reward.numpy import NumpyReward
    from rbrlang.reward.rows import response_ids

    names = data.class_names(options.class_names)
    found = data.read_joined(options, options.rows, options.more, artefact.circuit)
    graded = graders.grade_rows(options, artefact, found.rows)
    rows = graded.rows
    ids = response_ids(artefact.circuit, rows).tolist()
    data.tell_rubrics(artefact.circuit, rows)
    unknown = data.check_response_types(rows, ids, options.rows, artefact.circuit.response_names)
    pairs = data.pairs_of(options, rows)
    alone = (
        None if options.refit is None else refitted(options, NumpyReward.from_artefact(artefact), rows, names, pairs)
    )
    given = Given(
        artefact=Path(options.artefact).name, rows_file=Path(options.rows).name, grader=graded.identity,
        calibration=None if graded.calibration is None else graded.calibration.identity, bad=len(found.bad),
        base_reward=options.base_reward, class_source=options.class_source, class_names=names, pairs=pairs,
        columns=data.columns_of(options), contradictions=options.contradictions, seed=options.seed,
        resamples=options.resamples, cases=options.cases, rules_alone=alone,
    )  # fmt: skip
    findings = gather(artefact, rows, given)
    people = findings.people
    if people is not None:
        data.name_preferences(options, people.apart, found.places)
    write_text(options.output, render(findings, options.title))
    if options.output != "-":
        said = verdict(findings)
        for line in (said.headline, said.detail, f"wrote {options.output}"):
            say(line)
    apart = sum(response.set_apart for response in findings.coverage.responses)
    if apart == len(rows) and options.grader == "rows" and not any(row.probs for row in rows):
        warn("no row carries `probs`; name a grader with `--grader`, or their file with `--with`")
    nothing = nothing_compared(pairs, sum(response.pairs for response in findings.evaluation.responses), people)
    if nothing is not None:
        warn(f"rbrc report: {nothing}")
        return 1
    guide.after_report(options)
    unused = people is not None and people.apart
    return data.EXIT_SOME_INVALID if unknown or found.bad or apart or unused else 0
