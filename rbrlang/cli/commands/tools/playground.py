"""`rbrc playground`: a policy as one page to try it in, without a network."""

from __future__ import annotations

import argparse
from pathlib import Path

from rbrlang import codes
from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.files import write_text
from rbrlang.cli.outputs import spare_inputs
from rbrlang.cli.terminal import say
from rbrlang.lang.load import load
from rbrlang.playground.build import HOW_TO_GET, PyodideError, find_pyodide, page


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc playground`."""
    parser.add_argument("file", metavar="FILE", help="a .rbr file; what it imports comes along")
    parser.add_argument(
        "-o", "--output", metavar="PAGE", required=True, help="where the page is written; `-` is standard output"
    )
    parser.add_argument(
        "--pyodide", metavar="FOLDER", type=Path,
        help=f"the npm package of that name (default: node_modules/pyodide, here or above: {HOW_TO_GET})",
    )  # fmt: skip
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Write the page; a policy with errors is as welcome as another."""
    modules, found = load(Path(options.file))
    for diagnostic in found:
        if diagnostic.code is codes.NOT_TEXT:
            raise UsageError(f"{diagnostic.message}; {diagnostic.help}")
    spare_inputs(options, (module.module.source.name for module in modules))
    try:
        text = page(modules, find_pyodide(options.pyodide))
    except PyodideError as error:
        raise UsageError(str(error)) from None
    write_text(options.output, text)
    if options.output != "-":
        say(f"wrote {options.output} ({len(text) / 1e6:.1f} MB): open it in a browser, it needs no network")
    return 0
