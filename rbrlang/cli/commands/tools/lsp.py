"""`rbrc lsp`: the language server."""

from __future__ import annotations

import argparse

from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc lsp`."""
    parser.add_argument("--stdio", action="store_true", help="speak on standard input and output (always so)")
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Serve until the client leaves."""
    try:
        from rbrlang.lsp.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("pygls", "lsprotocol"):
            raise
        raise UsageError("the language server needs pygls: `pip install 'rbrlang[lsp]'`") from None
    serve()
    return 0
