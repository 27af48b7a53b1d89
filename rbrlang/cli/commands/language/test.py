"""`rbrc test`: run the tests, cases and properties of some policy files; those on text with a grader."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from rbrlang import codes
from rbrlang.cli import guide
from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.policies import STDIN, files_arguments, named, shown_name
from rbrlang.cli.python import allow_python, python_argument
from rbrlang.cli.render import dump, show, to_json
from rbrlang.cli.terminal import warn
from rbrlang.diagnostics import Diagnostic, PolicyError
from rbrlang.lang.program import TextTest, TruthTest
from rbrlang.policy import Checked, Policy, check_text

if TYPE_CHECKING:
    from rbrlang.grading.texttests import Graded

_MOST_SHOWN = 6
_RESULTS = (codes.TEST_FAILED, codes.PROPERTY_VIOLATED)


@dataclass(frozen=True, slots=True)
class _Outcome:
    kind: Literal["test", "text", "property"]
    title: str
    response: str
    state: Literal["passed", "failed", "skipped"]
    failure: Diagnostic | None
    graded: Graded | None = None


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc test`."""
    files_arguments(parser)
    parser.add_argument("--run", dest="pattern", metavar="RE", default="", help="only tests whose title matches")
    shared.seed_argument(parser, shared.OF_A_GRADER)
    parser.add_argument("-v", "--verbose", action="store_true", help="name the tests that passed, too")
    parser.add_argument("--watch", action="store_true", help="test again whenever a file changes")
    group = parser.add_argument_group("how good the tests are")
    group.add_argument(
        "--coverage", action="store_true", help="which conditions of the classes some test shows to matter (MC/DC)"
    )
    group.add_argument(
        "--threshold",
        type=_percent,
        metavar="X",
        help="fail when a file's tests cover less than X percent of conditions",
    )
    group.add_argument(
        "--suggest", action="store_true", help="write the missing cases as .rbr text; everything else to standard error"
    )
    group.add_argument(
        "--mutate", action="store_true", help="negate and drop every literal: is there a check that notices?"
    )
    shared.grader_arguments(parser, default=None)
    shared.policy_arguments(parser)
    python_argument(parser)
    shared.format_argument(parser)
    shared.run_with(parser, run)


def _percent(text: str) -> float:
    """A number from 0 to 100, with or without a percent sign, as a share."""
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"`{text}` is not a percentage from 0 to 100")
    return value / 100


def run(options: argparse.Namespace) -> int:
    """Run the tests; 1 when any fails, when the policy has errors, or when none was selected."""
    try:
        wanted = re.compile(options.pattern)
    except re.error as error:
        raise UsageError(f"`--run {options.pattern}` is not a regular expression: {error}") from error
    if options.suggest and options.format == "json":
        raise UsageError("`--suggest` writes .rbr text: leave out `--format json`")
    options.files = named(options.files)
    if options.watch and STDIN in options.files:
        raise UsageError("standard input is read once: leave out `--watch`")
    if not options.watch:
        return _once(options, wanted)[0]
    if options.format != "pretty" or options.suggest:
        raise UsageError("`--watch` shows results as text: leave out `--format` and `--suggest`")
    from rbrlang.cli.watch import watch

    return watch([Path(file) for file in options.files], lambda: _once(options, wanted))


def _once(options: argparse.Namespace, wanted: re.Pattern[str]) -> tuple[int, list[Path]]:
    """One run: its exit code, and the files it read."""
    reports: list[dict[str, Any]] = []
    read: list[Path] = []
    failed = selected = ran = 0
    for file in options.files:
        result = shared.checked(options, file)
        file = shown_name(options, file)
        read += [Path(module.key) for module in result.modules]
        # Failing tests are findings of `check` too; here they are results.
        broken = [d for d in result.diagnostics if d.severity == "error" and d.code not in _RESULTS]
        outcomes = [] if broken else _outcomes(options, result, wanted)
        selected += len(outcomes)
        ran += sum(o.state != "skipped" for o in outcomes)
        failed += len(broken) + sum(o.state == "failed" for o in outcomes)
        report: dict[str, Any] = {
            "file": file,
            "errors": [to_json(d) for d in broken],
            "tests": [
                {
                    "kind": o.kind, "title": o.title, "response_type": o.response, "state": o.state,
                    "failure": None if o.failure is None else to_json(o.failure),
                    **({} if o.graded is None else {"graded": _plain(o.graded)}),
                }
                for o in outcomes
            ],
        }  # fmt: skip
        if options.format == "pretty":
            _show(file, broken, outcomes, options.verbose, sys.stderr if options.suggest else sys.stdout)
        if not broken and (options.coverage or options.suggest or options.mutate or options.threshold is not None):
            failed += _measure(options, file, result, wanted, report)
        reports.append(report)
        if len(options.files) == 1 and ran and not failed and not options.watch:
            guide.after_test(options, result.program, report.get("coverage", {}).get("share"))
    nothing = None if ran or failed else _nothing(options, selected)
    if options.format == "json":
        sys.stdout.write(dump({"files": reports, "ran": ran, "nothing": nothing}))
    if nothing is not None:
        warn(f"rbrc test: {nothing}; a run without tests proves nothing")
        return 1, read
    return int(failed > 0), read


def _nothing(options: argparse.Namespace, selected: int) -> str:
    """Why no test ran."""
    if selected:
        return "every test is on text and needs a grader, such as `--grader embedded`"
    return f"no test's title matches `{options.pattern}`" if options.pattern else "there are no tests"


def _measure(
    options: argparse.Namespace, file: str, result: Checked, wanted: re.Pattern[str], report: dict[str, Any]
) -> int:
    """Show how good the tests of one file are; 1 when they cover less than the threshold."""
    from rbrlang.cli.commands.language import test_measure

    failures = {d.span for d in result.diagnostics if d.code in _RESULTS}
    tests = [t for t in result.program.tests if isinstance(t, TruthTest) and wanted.search(t.title)]
    mutate = options.mutate and not failures
    try:
        found = test_measure.measured(result, [t for t in tests if t.span not in failures], mutate=mutate)
    except PolicyError as error:
        for problem in error.diagnostics:
            show(problem, sys.stderr)
        return 1
    report["coverage"] = test_measure.to_data(found)
    out = sys.stderr if options.suggest or options.format == "json" else sys.stdout
    if options.format == "pretty":
        test_measure.show(file, found, out.write)
    if options.mutate and failures:
        out.write(f"{file}: mutants need tests that pass; nothing was mutated\n")
    if options.suggest:
        text = test_measure.suggestion(found)
        sys.stdout.write(text)
        for problem in test_measure.unusable(found, text, lambda t: _again(options, file, t)) if text else ():
            warn(f"{file}: before these cases can be used: {problem.message}; {problem.help}")
    if options.threshold is not None and not found.covered[1]:
        out.write(f"{file}: there is no condition to cover, so no threshold is met\n")
        return 1
    if options.threshold is not None and found.share < options.threshold:
        out.write(f"{file}: {100 * found.share:.1f} % is below the threshold of {100 * options.threshold:g} %\n")
        return 1
    return 0


def _again(options: argparse.Namespace, file: str, text: str) -> Checked:
    return check_text(text, name=file, params=dict(options.params), roots=options.roots, steps=options.steps)


def _outcomes(options: argparse.Namespace, result: Checked, wanted: re.Pattern[str]) -> list[_Outcome]:
    program = result.program
    failures = {d.span: d for d in result.diagnostics if d.code in _RESULTS}
    names = [response.name for response in program.responses]
    outcomes: list[_Outcome] = []
    tests = [test for test in program.tests if wanted.search(test.title)]
    texts = [test for test in tests if isinstance(test, TextTest)]
    graded = iter(_graded(options, Policy(result), texts) if options.grader and texts else ())
    for test in tests:
        if isinstance(test, TextTest):
            given = next(graded, None)
            outcomes.append(_text_outcome(test, names[test.response], given))
            continue
        failure = failures.get(test.span)
        outcomes.append(_Outcome("test", test.title, names[test.response], "failed" if failure else "passed", failure))
    for item in program.properties:
        failure = failures.get(item.span)
        if wanted.search(item.title):
            outcomes.append(
                _Outcome("property", item.title, names[item.response], "failed" if failure else "passed", failure)
            )
    return outcomes


# --- tests on text ----------------------------------------------------------------------------


def _graded(options: argparse.Namespace, policy: Policy, tests: list[TextTest]) -> tuple[Graded, ...]:
    from rbrlang.cli.graders import make
    from rbrlang.grading.texttests import items_of, run_text_tests
    from rbrlang.reward.numpy import NumpyReward

    allow_python(options, policy.circuit)
    grader = make(options, policy, items_of(tests), "a test on text")
    return run_text_tests(NumpyReward(policy.circuit), grader.answers, tests)


def _text_outcome(test: TextTest, response: str, graded: Graded | None) -> _Outcome:
    if graded is None:
        return _Outcome("text", test.title, response, "skipped", None)
    from rbrlang.grading.texttests import Decided, passed

    if passed(test, graded):
        return _Outcome("text", test.title, response, "passed", None, graded)
    expected = " or ".join(f"`{name}`" for name in test.expect)
    if isinstance(graded, Decided):
        chance = dict(graded.chances)
        found = f"graded `{graded.klass}` (P {chance[graded.klass]:.2f}; " + ", ".join(
            f"`{name}` {chance[name]:.2f}" for name in test.expect
        ) + ")"  # fmt: skip
        decisive = [f"`{d.name}` {d.p:.2f} (the opposite: `{d.otherwise}`)" for d in graded.decisive[:_MOST_SHOWN]]
        help_text = f"decided by {', '.join(decisive)}" if decisive else "no single answer decided it"
    else:
        found, help_text = "its class is undecided", graded.reason
    failure = Diagnostic(codes.TEST_FAILED, f"test on text expects {expected}, {found}", test.span, help=help_text)
    return _Outcome("text", test.title, response, "failed", failure, graded)


def _plain(graded: Graded) -> dict[str, Any]:
    from rbrlang.grading.texttests import Decided

    if not isinstance(graded, Decided):
        return {"class": None, "reason": graded.reason}
    return {
        "class": graded.klass,
        "class_probs": dict(graded.chances),
        "decided_by": [{"proposition": d.name, "p": d.p, "otherwise": d.otherwise} for d in graded.decisive],
    }


# --- what is shown ----------------------------------------------------------------------------


def _show(file: str, broken: list[Diagnostic], outcomes: list[_Outcome], verbose: bool, out: TextIO) -> None:
    for diagnostic in broken:
        show(diagnostic, out)
        out.write("\n")
    for outcome in outcomes:
        if outcome.failure is not None:
            show(outcome.failure, out)
            out.write("\n")
        elif verbose:
            out.write(f"  {outcome.state:8} {outcome.response}: {outcome.title}\n")
    counts = {state: sum(o.state == state for o in outcomes) for state in ("passed", "failed", "skipped")}
    line = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no tests"
    if counts["skipped"]:
        line += " (tests on text need a grader: `--grader embedded`)"
    out.write(f"{file}: {'has errors; nothing was tested' if broken else line}\n")
