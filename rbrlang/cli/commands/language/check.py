"""`rbrc check`: every finding about some policy files."""

from __future__ import annotations

import argparse
import atexit
import gc
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from rbrlang import codes
from rbrlang.checking import Checked
from rbrlang.cli import guide
from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.policies import STDIN, files_arguments, named, shown_name
from rbrlang.cli.render import dump, rest_text, show, to_json
from rbrlang.cli.terminal import say, shown
from rbrlang.diagnostics import MOST, Diagnostic, chosen, counted, mass_text, suggest
from rbrlang.lang.load import Parser
from rbrlang.lang.program import Program
from rbrlang.lang.reading.parse import parse
from rbrlang.values import NamedTuple


class _Result(NamedTuple):
    """One file of the command line, checked; `fixed` are the findings that `--fix` mended before."""

    file: str
    checked: Checked
    fixed: tuple[Diagnostic, ...]


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc check`."""
    files_arguments(parser)
    parser.add_argument(
        "--deny", metavar="warnings|CODE", action="append", default=[],
        help="warnings, or findings of one code, make the command fail; may be repeated",
    )  # fmt: skip
    parser.add_argument("--fix", action="store_true", help="apply the fixes that are certain, and check again")
    parser.add_argument(
        "--unsafe-fixes", action="store_true", help="with --fix: also those that may not be what was meant"
    )
    parser.add_argument(
        "--all-messages", action="store_true",
        help=f"show every finding (default: at most {MOST}, errors first, and how many more there are)",
    )  # fmt: skip
    parser.add_argument("--watch", action="store_true", help="check again whenever a file changes")
    shared.policy_arguments(parser)
    shared.format_argument(parser, "sarif", "github", "junit")
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Check every file; 1 when any has an error, or a finding that is denied."""
    # All of it goes at the end: to look for garbage among it first would take a tenth of the process's time.
    atexit.register(gc.freeze)
    denied = {_denied(text) for text in options.deny}
    if options.unsafe_fixes and not options.fix:
        raise UsageError("`--unsafe-fixes` needs `--fix`")
    options.files = named(options.files)
    if STDIN in options.files and (options.fix or options.watch):
        raise UsageError(
            "standard input is read once and not written: leave out `--fix` and `--watch`, or see `rbrc fmt -`"
        )
    if not options.watch:
        return _once(options, denied)[0]
    if options.fix or options.format != "pretty":
        raise UsageError("`--watch` shows findings as text and changes no file: leave out `--fix` and `--format`")
    from rbrlang.cli.watch import watch
    from rbrlang.lang.reading.reparse import Reparser

    parser = Reparser()
    return watch([Path(file) for file in options.files], lambda: _once(options, denied, parser))


def _denied(text: str) -> str:
    """`warnings`, or the id of a code."""
    wanted = text.upper()
    if text == "warnings" or wanted in codes.ALL:
        return text if text == "warnings" else wanted
    near = suggest(wanted, list(codes.ALL)) or suggest(text, ["warnings"])
    raise UsageError(
        f"`--deny {text}` is neither `warnings` nor a code; "
        + (f"did you mean `{near}`?" if near else "see `rbrc explain all`")
    )


def _once(options: argparse.Namespace, denied: Collection[str], parser: Parser = parse) -> tuple[int, list[Path]]:
    """One run: its exit code, and the files it read."""
    gc.disable()  # what a check makes it keeps to its end; looking for garbage takes a tenth of its time
    try:
        results = [_check(options, file, parser) for file in options.files]
    finally:
        gc.enable()
    found = list(dict.fromkeys(d for result in results for d in result.checked.diagnostics))
    failing = {
        d for d in found
        if d.severity == "error" or d.code.id in denied or (d.severity == "warning" and "warnings" in denied)
    }  # fmt: skip
    _write(options, results, found, failing)
    if len(results) == 1 and results[0].checked.ok and not failing and options.files != [STDIN] and not options.watch:
        guide.after_check(options, results[0].checked.program)
    read = [Path(module.key) for result in results for module in result.checked.modules]
    return int(bool(failing)), read


def _check(options: argparse.Namespace, file: str, parser: Parser) -> _Result:
    checked = shared.checked(options, file, parser)
    if not options.fix:
        return _Result(shown_name(options, file), checked, ())
    from rbrlang.checking import check_text
    from rbrlang.cli.files import replace_text
    from rbrlang.mend import mend

    def recheck(text: str) -> Checked:
        return check_text(text, name=file, params=dict(options.params), roots=options.roots, steps=checked.budget)

    mended = mend(checked, recheck, unsafe=options.unsafe_fixes)
    if mended.fixed and not replace_text(file, checked.modules[-1].module.source.text, mended.text):
        raise UsageError(f"`{file}` changed while it was being fixed; it was left alone, run the command again")
    return _Result(file, mended.checked, mended.fixed)


def _write(
    options: argparse.Namespace,
    results: Sequence[_Result],
    found: Sequence[Diagnostic],
    failing: Collection[Diagnostic],
) -> None:
    format, whole = options.format, len(found)
    found = chosen(found, all_messages=options.all_messages)
    if format == "json":
        sys.stdout.write(dump(_report(results, found, whole - len(found))))
        return
    if format == "pretty":
        left = dict.fromkeys(found)
        for result in results:
            for diagnostic in result.checked.diagnostics:
                if diagnostic in left:
                    del left[diagnostic]
                    show(diagnostic, sys.stdout)
                    say("")
            sys.stdout.write(_summary(result))
        if whole > len(found):
            sys.stdout.write(rest_text(whole - len(found)) + "\n")
        return
    from rbrlang.cli.commands.language import formats

    if format == "sarif":
        sys.stdout.write(formats.sarif(found, whole - len(found)))
    elif format == "github":
        sys.stdout.write(formats.github(found, whole - len(found)))
    else:
        kept = set(found)
        suites = [(r.file, [d for d in r.checked.diagnostics if d in kept]) for r in results]
        sys.stdout.write(formats.junit(suites, failing, whole - len(found)))


def _summary(result: _Result) -> str:
    checked = result.checked
    lines = [f"{shown(result.file)}: {counted(checked.diagnostics)}"]
    if result.fixed:
        lines[0] += f" · {len(result.fixed)} fixed"
    if checked.ok:
        program = checked.program
        tests = len(program.tests)
        kinds = [variable.domain.kind for variable in program.variables]
        asked = [f"{len(program.propositions)} propositions"] * (not kinds or bool(program.propositions))
        asked += [f"{n} {kind}{'s' * (n > 1)}" for kind in ("scale", "choice") if (n := kinds.count(kind))]
        lines[0] += f" · {' · '.join(asked)} · {tests} tests · fingerprint {checked.fingerprint[:12]}"
        for response, item in zip(program.responses, checked.audit.responses, strict=True):
            masses = " · ".join(f"{c} {mass_text(m)}" for c, m in zip(response.classes, item.masses, strict=True))
            over = f"{len(_asked(program, item.atoms))} {'questions' if program.variables else 'propositions'}"
            lines.append(f"  {item.name}: a partition over {over} ({masses})")
    return "\n".join(lines) + "\n"


def _asked(program: Program, atoms: Sequence[int]) -> tuple[str, ...]:
    """What atoms are: propositions, measures, and the scales and choices that they are steps of."""
    of, called = ((atom, program.variable_of(atom)) for atom in atoms), program.atoms
    names = (called[atom] if number is None else program.variables[number].name for atom, number in of)
    return tuple(dict.fromkeys(names))


def _report(results: Sequence[_Result], found: Sequence[Diagnostic], not_shown: int) -> dict[str, Any]:
    policies: list[dict[str, Any]] = []
    for file, checked, fixed in results:
        responses = {response.name: response for response in checked.program.responses}
        policies.append({
            "file": file,
            "fixed": len(fixed),
            "fingerprint": checked.fingerprint if checked.ok else None,
            "propositions": [p.name for p in checked.program.propositions],
            "variables": [{"name": v.name, "kind": v.domain.kind, "values": list(v.domain.values)} for v in checked.program.variables],
            "response_types": [
                {
                    "name": item.name,
                    "ranks": [list(tier) for tier in responses[item.name].ranks],
                    "partition": item.partition,
                    "propositions": list(_asked(checked.program, item.atoms)),
                    "classes": {
                        c: {"mass": m} for c, m in zip(responses[item.name].classes, item.masses, strict=True)
                    },
                }
                for item in checked.audit.responses
            ],
        })  # fmt: skip
    return {"diagnostics": [to_json(d) for d in found], "not_shown": not_shown, "policies": policies}
