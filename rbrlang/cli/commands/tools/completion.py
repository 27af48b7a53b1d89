"""`rbrc completion SHELL`: a script that lets the shell complete commands, options, their choices and files.

shtab makes it from the parsers themselves.
"""

from __future__ import annotations

import argparse
import sys

from rbrlang.cli import options as shared

# `eval` needs a zsh that has begun its completions; most ~/.zshrc do that themselves.
_BEFORE = "(( $+functions[compdef] )) || { autoload -U compinit && compinit -u; }"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc completion`."""
    parser.add_argument(
        "shell", choices=("bash", "zsh", "fish", "tcsh", "powershell"),
        help='for which shell; put `eval "$(rbrc completion bash)"` into ~/.bashrc, the same for zsh into ~/.zshrc, '
        "`rbrc completion fish | source` into config.fish",
    )  # fmt: skip
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Write the script."""
    import shtab

    from rbrlang.cli.main import COMMANDS, parser_of

    parser = parser_of(*COMMANDS)
    _complete_files(parser, shtab.FILE)
    sys.stdout.write(
        shtab.complete(parser, options.shell, preamble=_BEFORE if options.shell == "zsh" else "").rstrip() + "\n"
    )
    return 0


def _complete_files(parser: argparse.ArgumentParser, files: object) -> None:
    """Let values without choices be file names: most are, and the shell still takes any other."""
    # argparse has no public list of a parser's actions; shtab reads the attribute `complete` of each.
    for action in parser._actions:  # pyright: ignore[reportPrivateUsage]
        if isinstance(action, argparse._SubParsersAction):  # pyright: ignore[reportPrivateUsage]
            for command in action.choices.values():
                _complete_files(command, files)
        elif action.nargs != 0 and not action.choices:
            action.complete = files  # pyright: ignore[reportAttributeAccessIssue]
