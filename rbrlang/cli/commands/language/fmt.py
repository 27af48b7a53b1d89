"""`rbrc fmt`: one canonical layout of policy files."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from rbrlang.budget import Budget
from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.files import replace_text
from rbrlang.cli.policies import files_arguments, named, shown_name
from rbrlang.cli.render import dump, show, to_json
from rbrlang.cli.terminal import say, warn, write_data
from rbrlang.diagnostics import Diagnostic, PolicyError
from rbrlang.lang.load import AN_ARTEFACT, is_artefact
from rbrlang.lang.printing.format import formatted
from rbrlang.source import Source


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc fmt`."""
    files_arguments(parser, "`-` formats standard input to output")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a file would change")
    parser.add_argument("--diff", action="store_true", help="as --check, and show what would change")
    shared.budget_argument(parser)
    shared.format_argument(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Format every file; 1 when one cannot be read as rbr or, with `--check` or `--diff`, would change."""
    look = options.check or options.diff
    options.files = named(options.files)
    if options.files == ["-"] and not look and options.format == "json":
        raise UsageError("`fmt -` writes the text to standard output: leave out `--format`, or add `--check`")
    states: dict[str, str] = {}
    findings: list[Diagnostic] = []
    for file in options.files:
        before = _read(file)
        try:
            after = formatted(Source(shown_name(options, file), before), Budget(options.steps))
        except PolicyError as error:
            states[file] = "unreadable"
            findings += error.diagnostics
            continue
        states[file] = "unchanged" if after == before else "would change" if look else "formatted"
        if file == "-" and not look:
            write_data(after.encode())
        elif options.diff and options.format == "pretty":
            # Line ends are shown as `\\n`, since others would only be noise on a screen.
            old, new = (Source(file, text).text.replace("\r\n", "\n") for text in (before, after))
            name = shown_name(options, file)
            lines = difflib.unified_diff(
                old.splitlines(keepends=True), new.splitlines(keepends=True), name, f"{name} (formatted)"
            )
            if old == new and before != after:
                say(f"{name}: its lines do not all end as the first does")
            sys.stdout.writelines(
                line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines
            )
        elif after != before and not look and not replace_text(file, before, after):
            raise UsageError(f"`{file}` changed while it was being formatted; it was left alone, run the command again")
    _report(options, states, findings)
    return int("unreadable" in states.values() or (look and "would change" in states.values()))


def _read(file: str) -> str:
    """The text of a file. Raises `UserError`, OSError."""
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    if is_artefact(data):
        raise UsageError(f"`{file}` is {'; '.join(AN_ARTEFACT)}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"`{file}` is not UTF-8 text: byte {data[error.start]:#04x} on line {line}") from None
    if "\0" in text:
        raise UsageError(f"`{file}` is not text: NUL on line {text[: text.index(chr(0))].count(chr(10)) + 1}")
    return text


def _report(options: argparse.Namespace, states: dict[str, str], findings: list[Diagnostic]) -> None:
    if options.format == "json":
        files = [{"file": file, "state": state} for file, state in states.items()]
        sys.stdout.write(dump({"files": files, "diagnostics": [to_json(d) for d in findings]}))
        return
    for finding in findings:
        show(finding, sys.stderr)
        warn("")
    for file, state in states.items():
        if state == "unreadable":
            warn(f"{shown_name(options, file)}: cannot be formatted before its errors are mended")
        elif state != "unchanged" and file != "-" and not options.diff:
            say(f"{file}: {state}")
    if states.get("-") == "would change" and not options.diff:
        say("standard input: would change")
