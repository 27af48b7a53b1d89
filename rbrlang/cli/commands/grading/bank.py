"""`rbrc bank new|check FILE`: the phrases that `synth --from templates` needs for a policy of one's own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rbrlang.cli import guide
from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.render import dump
from rbrlang.cli.terminal import say, wrapped

if TYPE_CHECKING:
    from rbrlang.learning.synthesis.phrases import Bank
    from rbrlang.policy import Policy


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc bank`."""
    parser.add_argument(
        "action", choices=("new", "check"),
        help="new: write BANK with a line to fill in for each proposition; check: say what of it is missing",
    )  # fmt: skip
    parser.add_argument("file", metavar="FILE", help="a .rbr file")
    parser.add_argument("bank", metavar="BANK", nargs="?", help="the phrase bank (default: FILE's name with .phrases)")
    shared.seed_argument(parser, "the texts that are tried")
    shared.policy_arguments(parser)
    shared.format_argument(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Write, or check; 1 when something is missing."""
    policy = shared.policy(options, options.file)
    if policy is None:
        return 1
    options.bank = options.bank or str(Path(options.file).with_suffix(".phrases"))
    return _new(options, policy) if options.action == "new" else _check(options, policy)


def _new(options: argparse.Namespace, policy: Policy) -> int:
    from rbrlang.learning.synthesis.draft import NoDraft, draft
    from rbrlang.learning.synthesis.phrases import parse_bank

    try:
        text = draft(policy)
    except NoDraft as error:
        raise UsageError(f"{error}; `rbrc synth --from llm` writes for them, `--from rules` needs no text") from error
    open_lines = len(parse_bank(text, options.bank).unwritten)
    try:
        with open(options.bank, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"`{options.bank}` is there already, and is left as it is; name another file") from None
    if options.format == "json":
        sys.stdout.write(dump({"bank": options.bank, "unwritten": open_lines}))
    else:
        say(f"wrote {options.bank}: {open_lines} lines `TODO` to fill in")
    guide.suggest(options, "bank", "check", options.file, options.bank)
    return 0


def _check(options: argparse.Namespace, policy: Policy) -> int:
    from rbrlang.learning.synthesis.phrases import read_bank

    try:
        bank = read_bank(options.bank)
    except FileNotFoundError:
        raise UsageError(
            f"`{options.bank}` is not there; `rbrc bank new {options.file} {options.bank}` begins one"
        ) from None
    lines = Path(options.bank).read_text(encoding="utf-8").splitlines()
    todo = [{"line": number, "what": lines[number - 1].strip()} for number in bank.unwritten]
    unsaid = _unsaid(options, policy, bank)
    if options.format == "json":
        sys.stdout.write(dump({"bank": options.bank, "unwritten": todo, "missing": unsaid}))
        return int(bool(unsaid))
    for one in todo:
        wrapped(f"{options.bank}:{one['line']}: {one['what']}", after="  ")
    for reason in unsaid:
        wrapped(f"missing: {reason}", after="  ")
    if not unsaid:
        left = f"; {len(todo)} lines are still to be written" if todo else ""
        say(f"{options.bank}: every class can be written{left}")
        guide.suggest(
            options, "synth", options.file, "--from", "templates", "--bank", options.bank, "-o", "texts.jsonl"
        )
    return int(bool(unsaid))


def _unsaid(options: argparse.Namespace, policy: Policy, bank: Bank) -> list[str]:
    """What cannot be written, found by writing to one request of each response type."""
    from rbrlang.learning.synthesis.templates import synth_from_templates

    try:
        made = synth_from_templates(policy.circuit, 1, 1, options.seed, bank=bank)
    except ValueError as error:
        return [str(error)]
    return [f"no phrases make a completion of the class `{one.response}.{one.klass}`" for one in made.missing]
