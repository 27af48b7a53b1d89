"""The command line: which command, with which arguments, and what its exit code says.

0 done and clean · 1 findings · 2 usage, input/output or configuration · 3 done, but some rows are
invalid. A command's module is imported only when it runs, so that `rbrc check` starts without jax.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import NoReturn

from rbrlang import __version__
from rbrlang.budget import SpentError
from rbrlang.cli.outputs import spare_inputs
from rbrlang.cli.python import python_allowed
from rbrlang.cli.render import show
from rbrlang.cli.terminal import guarded, shown, warn
from rbrlang.errors import UserError

COMMANDS = {
    "new": "a small project that checks, tests, fits and scores as it stands",
    "check": "prove that rules are complete and exclusive, and report every mistake",
    "fmt": "one canonical layout; comments and meaning are kept",
    "diff": "which completions change their class from one policy to another",
    "test": "run the tests, cases and properties of policies",
    "explain": "a page on a diagnostic's code; or why a completion has its class",
    "graph": "the graph from propositions to the reward, to be drawn",
    "import": "turn another format's policy into .rbr",
    "grader": "write a grader file, or see whether what one names can be a grader",
    "plan": "which propositions have to be asked, in which layout, and what that saves",
    "grade": "let a grader fill in P(yes)",
    "label": "a desk where people label completions, blind to graders and each other",
    "agree": "judge a grader by human labels; train heads, calibrate",
    "distil": "a grader that costs nothing, learned from a teacher's answers about a few rows",
    "probe": "try to sway a grader with payloads and degenerate texts",
    "bank": "the phrases that `synth --from templates` needs for a policy of your own: begin them, or see what is missing",
    "synth": "ranked synthetic completions: from the rules alone, from templates, or from a model",
    "fit": "fit the reward's weights to ranked rows and write the artefact",
    "compile": "write the artefact with default or given weights",
    "inspect": "show what an artefact holds",
    "export": "the reward as a StableHLO program, for programs that have JAX and not rbrlang",
    "verify": "compute an artefact again from its sources, or rewards from their rows, and compare",
    "score": "add rewards to rows",
    "eval": "ranking error of an artefact on ranked rows",
    "report": "one self-contained page about an artefact on ranked rows",
    "serve": "an HTTP server of rewards, for trainers elsewhere",
    "watch": "curves and alarms of a training run, live",
    "doctor": "what is here, and what is missing, of all that rbrlang, a policy and a grader need",
    "lsp": "the language server of editors, on standard input and output",
    "repl": "say what holds of a completion, and see its classes and reward move",
    "playground": "one page to try a policy in: findings as you type, classes, reward",
    "completion": "let the shell complete commands and options",
    "bench": "how fast it is here, each figure beside what limits it",
    "demo": "the whole loop on built-in data, offline",
}


# The room of `rbrlang.cli.commands` that each command's module is in.
_ROOMS = {
    "language": ("check", "fmt", "diff", "test", "explain", "graph", "import"),
    "grading": ("grader", "grade", "bank", "synth"),
    "trust": ("plan", "label", "agree", "distil", "probe"),
    "reward": ("fit", "compile", "inspect", "export", "verify", "score", "eval", "report", "serve", "watch"),
    "tools": ("new", "doctor", "lsp", "repl", "playground", "completion", "bench", "demo"),
}


def module(command: str) -> ModuleType:
    """The module of a command, named like it."""
    (room,) = (room for room, commands in _ROOMS.items() if command in commands)
    name = "import_" if command == "import" else command
    return importlib.import_module(f"rbrlang.cli.commands.{room}.{name}")


def _columns() -> int:
    """How wide help may be: the terminal, else 80. Like `shutil.get_terminal_size`, which takes longer to load than to ask."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


class _Parser(argparse.ArgumentParser):
    """Says what was wrong with the arguments in one line, whatever is in them."""

    def error(self, message: str) -> NoReturn:
        super().error(shown(message))


def parser_of(*commands: str) -> argparse.ArgumentParser:
    """The parser of some commands, `rbrc` in front of them."""
    return _parser(commands, only=True)


def _parser(configured: Sequence[str | None], only: bool) -> argparse.ArgumentParser:
    """The parser of the command line; `only` leaves out the other commands, whose parsers take time to make."""
    shape = partial(argparse.HelpFormatter, width=_columns() - 2)
    parser = _Parser(
        prog="rbrc",
        formatter_class=shape,
        description="Rule-based rewards as a language: check, fit and apply .rbr policies.",
        epilog="Exit codes: 0 clean, 1 findings, 2 usage or input/output, 3 done but some rows are invalid.",
    )
    parser.add_argument("--version", action="version", version=f"rbrc {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, help_text in COMMANDS.items():
        if only and name not in configured:
            continue
        description = help_text[0].upper() + help_text[1:] + "."
        sub = commands.add_parser(name, help=help_text, description=description, formatter_class=shape)
        if name in configured:
            module(name).configure(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `rbrc`; returns the exit code."""
    try:
        with guarded():
            return _run(argv)
    except OSError as error:
        warn(f"rbrc: standard output: {_reason(error)}")
        return 2


def _run(argv: Sequence[str] | None) -> int:
    # Arrow's own allocator keeps what it frees; read where pyarrow is imported, here and in the workers.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # Our matrices are small: threads of OpenBLAS wait for one another, busily, longer than they compute, ten times as
    # long where cores are shared. With one, the same heads come from any number of cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = next((a for a in arguments if a in COMMANDS), None)
    parser = _parser([command], only=arguments[:1] == [command])
    options = parser.parse_args(arguments)
    try:
        if command != "synth" and str(getattr(options, "grader", "")).endswith(".toml"):
            from rbrlang.cli.graderfiles import take_file

            take_file(options)  # synth has two servers, and does it itself
        spare_inputs(options)
        with python_allowed(options):
            return int(options.run(options))
    except SpentError as error:  # of what the command asked of a policy that was checked
        show(error.budget.finding(), sys.stderr)
        return 1
    except UserError as error:
        warn(f"rbrc {options.command}: {error}")
        return 2
    except OSError as error:
        warn(f"rbrc {options.command}: {_said(error)}")
        return 2
    except KeyboardInterrupt:
        warn("interrupted")
        return 130


def _reason(error: OSError) -> str:
    """What the system says is wrong, in the case of our own messages."""
    said = str(error.strerror or error)
    return said[:1].lower() + said[1:]


def _said(error: OSError) -> str:
    """An error of a file, and what to look at."""
    if not error.filename:
        return _reason(error)
    step = {
        errno.EACCES: "; check its permissions", errno.EPERM: "; check its permissions",
        errno.ENOSPC: "; make room, or name another place", errno.EROFS: "; name another place",
    }  # fmt: skip
    return f"`{os.fsdecode(error.filename)}`: {_reason(error)}{step.get(error.errno or 0, '; check the path')}"
