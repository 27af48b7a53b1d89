"""The command reference: `python -m rbrlang.cli.reference > docs/commands.md`.

Made from the parsers themselves, so that what is documented is what runs; a test compares the two.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from rbrlang.cli.main import COMMANDS, module

_HEAD = """\
# Commands

Generated from the program by `python -m rbrlang.cli.reference`; `rbrc COMMAND --help` says the same.

Exit codes: **0** done and clean · **1** findings · **2** usage, input/output or configuration · **3** done, but some
rows are invalid. Output files appear whole or not at all.

"""


def reference() -> str:
    """Every command with its arguments, as Markdown."""
    parts = [_HEAD, "| command | does |\n| --- | --- |\n"]
    parts += [f"| [`rbrc {name}`](#rbrc-{name}) | {_cell(text)} |\n" for name, text in COMMANDS.items()]
    for name, text in COMMANDS.items():
        parser = argparse.ArgumentParser(prog=f"rbrc {name}", add_help=False)
        module(name).configure(parser)
        parts += [f"\n## `rbrc {name}`\n\n{text[0].upper()}{text[1:]}.\n", *_arguments(parser)]
    return "".join(parts)


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    # argparse has no public list of a parser's groups and actions.
    groups = parser._action_groups  # pyright: ignore[reportPrivateUsage]
    for group in groups:
        actions = group._group_actions  # pyright: ignore[reportPrivateUsage]
        shown = [action for action in actions if action.help != argparse.SUPPRESS]
        if not shown:
            continue
        if group.title not in ("positional arguments", "options"):
            yield f"\n**{(group.title or '').capitalize()}**\n"
        yield "\n| argument | meaning |\n| --- | --- |\n"
        for action in shown:
            yield f"| {_invocation(action)} | {_cell(_help(action))} |\n"


def _invocation(action: argparse.Action) -> str:
    metavar = action.metavar
    name = action.dest.upper() if metavar is None else metavar if isinstance(metavar, str) else " ".join(metavar)
    if action.choices is not None and action.metavar is None:
        name = "{" + ",".join(map(str, action.choices)) + "}"
    if not action.option_strings:
        return f"`{name}`" + ("…" if action.nargs in ("+", "*") else "")
    takes = f" {name}" if action.nargs != 0 else ""
    return ", ".join(f"`{option}{takes}`" for option in action.option_strings).replace("|", "\\|")


def _help(action: argparse.Action) -> str:
    text = (action.help or "").replace("%%", "%").replace("%(default)s", str(action.default))
    told = action.default in (None, False, "", argparse.SUPPRESS) or action.default == [] or "default" in text
    return text if told or not action.option_strings else f"{text} (default: {action.default})".strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
