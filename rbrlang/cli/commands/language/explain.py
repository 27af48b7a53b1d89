"""`rbrc explain CODE`: what a diagnostic means, with an example to avoid and one to prefer.

With a policy file in the place of the code: why a completion has its class (`explain_file`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rbrlang import codes
from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.python import python_argument
from rbrlang.cli.render import dump
from rbrlang.diagnostics import suggest

_GROUPS = {
    "RBR1": "Syntax", "RBR2": "Names, types and imports", "RBR3": "Logic", "RBR4": "Lint",
    "RBR5": "Data, grading and fitting", "RBR6": "Artefacts",
}  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc explain`."""
    parser.add_argument("code", metavar="CODE", help="such as RBR3001; `all` lists every code; or a .rbr file")
    group = parser.add_argument_group("a completion, with a .rbr file")
    group.add_argument("--for", dest="response", metavar="R", help="the response type that its prompt asks for")
    group.add_argument(
        "--given", metavar="FACTS", help='what holds of it, such as "a, b, words > 60"; all else is false'
    )
    group.add_argument("--row", metavar="ROWS:ID", help="a graded or labelled row: file and id")
    shared.row_arguments(parser)
    shared.policy_arguments(parser)
    python_argument(parser)
    shared.format_argument(parser, "markdown")
    shared.run_with(parser, run)


def pages() -> Path:
    """The folder of the codes' pages: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[3]
    inside = package / "codes_pages"
    return inside if inside.is_dir() else package.parent / "docs" / "codes"


def page(code: codes.Code) -> str:
    """The page of a code, as Markdown."""
    return (pages() / f"{code.id}.md").read_text(encoding="utf-8")


def index() -> str:
    """All codes in one page, as Markdown; it is published as docs/codes.md."""
    lines = [
        "# Codes of findings", "",
        "Every finding has a code that never changes its meaning. Each has a page, which `rbrc explain CODE` prints too,",
        "with an example to avoid and one to prefer; the project's tests run them. This page is made by",
        "`rbrc explain all --format markdown`.",
    ]  # fmt: skip
    for prefix, title in _GROUPS.items():
        lines += ["", f"## {title}", "", "| code | severity | finding |", "| --- | --- | --- |"]
        for code in codes.ALL.values():
            if code.id.startswith(prefix):
                title_text = code.title.replace("|", "\\|")
                lines.append(f"| [{code.id}](codes/{code.id}.md) | {code.severity} | {title_text} |")
    return "\n".join(lines) + "\n"


def run(options: argparse.Namespace) -> int:
    """Print the page of a code, or the list of all; or explain a completion."""
    if options.code.endswith(".rbr") or options.given is not None or options.row is not None:
        if options.format == "markdown":
            raise UsageError("a completion is explained as text or JSON: leave out `--format markdown`")
        from rbrlang.cli.commands.language.explain_file import run as explain_completion

        return explain_completion(options)
    if options.code == "all":
        sys.stdout.write(_list(options.format))
        return 0
    code = codes.ALL.get(options.code.upper())
    if code is None:
        near = suggest(options.code.upper(), list(codes.ALL))
        raise UsageError(
            f"no code `{options.code}`; " + (f"did you mean {near}?" if near else "see `rbrc explain all`")
        )
    text = page(code)
    if options.format == "json":
        text = dump({**_row(code), "page": text})
    sys.stdout.write(text)
    return 0


def _row(code: codes.Code) -> dict[str, str]:
    return {"code": code.id, "severity": code.severity, "title": code.title, "why": code.why}


def _list(format: str) -> str:
    if format == "json":
        return dump([_row(code) for code in codes.ALL.values()])
    if format == "markdown":
        return index()
    return "".join(f"{code.id}  {code.severity:7}  {code.title}\n" for code in codes.ALL.values())
