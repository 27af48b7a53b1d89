"""How do other programs want to read findings?

`sarif` (SARIF 2.1.0, OASIS standard, https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html) for code
scanning, `github` for annotations of a workflow's log
(https://docs.github.com/actions/reference/workflow-commands-for-github-actions), `junit` for test reports.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rbrlang import __version__
from rbrlang.cli.render import dump, pretty, rest_text
from rbrlang.codes import Code
from rbrlang.diagnostics import Diagnostic, witness_text
from rbrlang.source import Span

_LEVELS = {"error": "error", "warning": "warning", "note": "note"}
_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def details(diagnostic: Diagnostic) -> str:
    """Message, witness and help as lines of text."""
    lines = [diagnostic.message]
    if diagnostic.witness is not None:
        lines.append(f"witness: {witness_text(diagnostic.witness) or 'every completion'}")
    if diagnostic.help:
        lines.append(f"help: {diagnostic.help}")
    return "\n".join(lines)


# --- SARIF ------------------------------------------------------------------------------------


def _uri(name: str) -> str:
    return Path(name).as_uri() if os.path.isabs(name) else quote(Path(name).as_posix())


def _region(span: Span) -> dict[str, int]:
    (line, column), (end_line, end_column) = (span.source.position(at) for at in (span.start, span.end))
    return {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column}


def _place(span: Span) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(span.source.name)}, "region": _region(span)}}


def _result(diagnostic: Diagnostic, rules: Sequence[Code]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": diagnostic.code.id,
        "ruleIndex": rules.index(diagnostic.code),
        "level": _LEVELS[diagnostic.severity],
        "message": {"text": details(diagnostic)},
        "locations": [_place(diagnostic.span)],
    }
    if diagnostic.related:
        result["relatedLocations"] = [{"message": {"text": m}, **_place(span)} for m, span in diagnostic.related]
    safe = [fix for fix in diagnostic.fixes if fix.applicability == "machine-applicable"]
    if safe:
        result["fixes"] = [
            {
                "description": {"text": fix.title},
                "artifactChanges": [{
                    "artifactLocation": {"uri": _uri(fix.span.source.name)},
                    "replacements": [{"deletedRegion": _region(fix.span), "insertedContent": {"text": fix.text}}],
                }],
            }
            for fix in safe
        ]  # fmt: skip
    properties: dict[str, Any] = {}
    if diagnostic.witness is not None:
        properties["witness"] = dict(diagnostic.witness)
    if diagnostic.mass is not None:
        properties["mass"] = diagnostic.mass
    if properties:
        result["properties"] = properties
    return result


def sarif(diagnostics: Sequence[Diagnostic], not_shown: int = 0) -> str:
    """One run with the rules that were met and a result for every finding; its properties count those not shown."""
    rules = list(dict.fromkeys(d.code for d in diagnostics))
    driver = {
        "name": "rbrc",
        "version": __version__,
        "rules": [
            {
                "id": code.id,
                "shortDescription": {"text": code.title},
                "fullDescription": {"text": code.why},
                "help": {"text": f"{code.why} `rbrc explain {code.id}` says more."},
                "defaultConfiguration": {"level": _LEVELS[code.severity]},
            }
            for code in rules
        ],
    }
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(d, rules) for d in diagnostics],
    }
    if not_shown:
        run["properties"] = {"notShown": not_shown}
    return dump({"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]})


# --- GitHub -----------------------------------------------------------------------------------


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def github(diagnostics: Sequence[Diagnostic], not_shown: int = 0) -> str:
    """One workflow command a finding, and one that counts those not shown."""
    lines: list[str] = []
    for diagnostic in diagnostics:
        region = _region(diagnostic.span)
        properties = {
            "file": diagnostic.span.source.name, "line": region["startLine"], "endLine": region["endLine"],
            "col": region["startColumn"], "endColumn": region["endColumn"],
            "title": f"{diagnostic.code.id} {diagnostic.code.title}",
        }  # fmt: skip
        if region["endLine"] != region["startLine"]:  # columns are only understood within one line
            del properties["col"], properties["endColumn"]
        shown = ",".join(
            f"{key}={_data(str(value)).replace(':', '%3A').replace(',', '%2C')}" for key, value in properties.items()
        )
        lines.append(f"::{_COMMANDS[diagnostic.severity]} {shown}::{_data(details(diagnostic))}\n")
    if not_shown:
        lines.append(f"::notice title=rbrc check::{_data(rest_text(not_shown))}\n")
    return "".join(lines)


# --- JUnit ------------------------------------------------------------------------------------


def _xml(text: str) -> str:
    """Text for XML 1.0, which has no way to write most control characters."""
    kept = "".join(
        c if c in "\t\n" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff" else "�" for c in text
    )
    return kept.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def junit(
    results: Sequence[tuple[str, Sequence[Diagnostic]]], failing: Collection[Diagnostic], not_shown: int = 0
) -> str:
    """A suite a file and a case a finding, failed when it is in `failing`; a clean file has one case, which passed.

    Findings that are not shown are one case of a suite of its own.
    """
    suites: list[str] = []
    tests = failures = 0
    for file, diagnostics in results:
        cases: list[str] = []
        for diagnostic in diagnostics:
            line, column = diagnostic.span.source.position(diagnostic.span.start)
            name = f"{diagnostic.code.id} {diagnostic.span.source.name}:{line}:{column}"
            text = _xml(pretty(diagnostic))
            if diagnostic in failing:
                body = f'<failure type="{diagnostic.code.id}" message="{_xml(diagnostic.message)}">{text}</failure>'
            else:
                body = f"<system-out>{text}</system-out>"
            cases.append(f'    <testcase classname="{_xml(file)}" name="{_xml(name)}">{body}</testcase>\n')
        failed = sum(diagnostic in failing for diagnostic in diagnostics)
        if not cases:
            cases.append(f'    <testcase classname="{_xml(file)}" name="no findings"/>\n')
        tests, failures = tests + len(cases), failures + failed
        head = f'  <testsuite name="{_xml(file)}" tests="{len(cases)}" failures="{failed}" errors="0">\n'
        suites.append(head + "".join(cases) + "  </testsuite>\n")
    if not_shown:
        tests += 1
        suites.append(
            '  <testsuite name="rbrc check" tests="1" failures="0" errors="0">\n'
            f'    <testcase classname="rbrc check" name="{_xml(rest_text(not_shown))}"/>\n  </testsuite>\n'
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites name="rbrc check" tests="{tests}" failures="{failures}" errors="0">\n{"".join(suites)}</testsuites>\n'
    )
