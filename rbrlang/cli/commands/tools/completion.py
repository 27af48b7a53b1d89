"""`rbrc completion SHELL`: a script that lets the shell complete commands, options and their choices.

Made from the parsers themselves; file names are left to the shell.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import NamedTuple

from rbrlang.cli import options as shared


class _Option(NamedTuple):
    """One option: its spellings, whether a value follows, the values it allows, and what it is for."""

    names: tuple[str, ...]
    takes: bool
    choices: tuple[str, ...]
    help: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc completion`."""
    parser.add_argument(
        "shell", choices=("bash", "zsh", "fish"),
        help='for which shell; put `eval "$(rbrc completion bash)"` into ~/.bashrc, the same for zsh into ~/.zshrc, '
        "`rbrc completion fish | source` into config.fish",
    )  # fmt: skip
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Write the script."""
    from rbrlang.cli.main import COMMANDS

    table = {name: tuple(_options(name)) for name in COMMANDS}
    if options.shell == "fish":
        sys.stdout.write(_fish(table))
        return 0
    # zsh runs bash's completions since 2003: https://zsh.sourceforge.io/Doc/Release/Completion-System.html
    start = "autoload -U +X compinit bashcompinit && compinit -u && bashcompinit\n" if options.shell == "zsh" else ""
    sys.stdout.write(start + _bash(table))
    return 0


def _options(command: str) -> Iterator[_Option]:
    from rbrlang.cli.main import module

    parser = argparse.ArgumentParser(prog=command)
    module(command).configure(parser)
    # argparse has no public list of a parser's actions.
    for action in parser._actions:  # pyright: ignore[reportPrivateUsage]
        choices = tuple(map(str, action.choices or ()))
        text = (action.help or "").replace("%%", "%").replace("%(default)s", str(action.default))
        yield _Option(tuple(action.option_strings), action.nargs != 0, choices, " ".join(text.split()))


def _bash(table: dict[str, tuple[_Option, ...]]) -> str:
    cases: list[str] = []
    for command, options in table.items():
        names = [name for option in options for name in option.names]
        positional = [choice for option in options if not option.names for choice in option.choices]
        cases.append(f'        {command}) words="{" ".join([*names, *positional])}" ;;')
    values = [
        f'        {command}:{name}) COMPREPLY=($(compgen -W "{" ".join(option.choices)}" -- "$cur")); return ;;'
        for command, options in table.items()
        for option in options
        if option.choices
        for name in option.names
    ]
    files = [
        f"{command}:{name}" for command, options in table.items() for option in options
        if option.takes and not option.choices for name in option.names
    ]  # fmt: skip
    return "\n".join([
        "_rbrc() {",
        '    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" words=""',
        "    COMPREPLY=()",
        "    if [ \"$COMP_CWORD\" -eq 1 ]; then",
        f'        COMPREPLY=($(compgen -W "{" ".join(table)} --help --version" -- "$cur"))',
        "        return",
        "    fi",
        '    case "${COMP_WORDS[1]}:$prev" in',
        *values,
        f'        {"|".join(files)}) COMPREPLY=($(compgen -f -- "$cur")); return ;;',
        "    esac",
        '    case "${COMP_WORDS[1]}" in',
        *cases,
        "    esac",
        '    COMPREPLY=($(compgen -W "$words" -- "$cur"))',
        '    case "$cur" in -*) ;; *) COMPREPLY+=($(compgen -f -- "$cur")) ;; esac',
        "}",
        "complete -o filenames -F _rbrc rbrc",
        "",
    ])  # fmt: skip


def _fish(table: dict[str, tuple[_Option, ...]]) -> str:
    def quoted(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    from rbrlang.cli.main import COMMANDS

    lines = [f"complete -c rbrc -n __fish_use_subcommand -f -a {name} -d {quoted(COMMANDS[name])}" for name in table]
    for command, options in table.items():
        where = f"complete -c rbrc -n {quoted(f'__fish_seen_subcommand_from {command}')}"
        for option in options:
            flags = "".join(f" -l {n[2:]}" if n.startswith("--") else f" -s {n[1:]}" for n in option.names)
            values = f" -x -a {quoted(' '.join(option.choices))}" if option.choices and option.names else ""
            if not option.names:
                if option.choices:
                    lines.append(f"{where} -f -a {quoted(' '.join(option.choices))} -d {quoted(option.help)}")
                continue
            needs = values or (" -r" if option.takes else "")
            lines.append(f"{where}{flags}{needs} -d {quoted(option.help)}")
    return "\n".join(lines) + "\n"
