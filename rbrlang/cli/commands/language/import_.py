"""`rbrc import FORMAT SRC -o FILE`: another format's policy as `.rbr`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.files import write_text
from rbrlang.cli.render import show
from rbrlang.cli.terminal import warn
from rbrlang.imports.openai_rbr import ImportFormatError, import_openai_rbr
from rbrlang.policy import check_text

FORMATS = {"openai-rbr": import_openai_rbr}


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc import`."""
    parser.add_argument(
        "source_format", metavar="FORMAT", choices=sorted(FORMATS), help="one of: " + ", ".join(FORMATS)
    )
    parser.add_argument("source", metavar="SRC", help="the file to import")
    parser.add_argument(
        "-o", "--output", metavar="FILE", required=True, help="the .rbr file to write, `-` for standard output"
    )
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Import, check what was made, and write it."""
    data = Path(options.source).read_bytes()
    try:
        text = FORMATS[options.source_format](data.decode("utf-8-sig"), options.source)
    except UnicodeDecodeError as error:
        raise UsageError(f"`{options.source}` is not UTF-8 text (byte {error.start})") from error
    except ImportFormatError as error:
        raise UsageError(str(error)) from error
    result = check_text(text, name=options.output)
    write_text(options.output, text)
    for diagnostic in result.diagnostics:
        show(diagnostic, sys.stderr)
        warn("")
    program = result.program
    warn(
        f"imported {len(program.propositions)} propositions, {len(program.definitions)} derived ones and "
        f"{len(program.responses)} response types to {options.output}"
    )
    return 0 if result.ok else 1
