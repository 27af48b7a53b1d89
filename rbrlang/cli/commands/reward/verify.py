"""`rbrc verify OUT.rbrc`: is an artefact what its sources say? With `--artefact`: are rows what it gives?"""

from __future__ import annotations

import argparse
from pathlib import Path

from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.python import python_argument
from rbrlang.cli.terminal import say


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc verify`."""
    parser.add_argument("file", metavar="FILE", help="a compiled or fitted policy; or rows that `rbrc score` wrote")
    parser.add_argument(
        "--artefact", metavar="OUT.rbrc", help="compute the rewards of the rows in FILE again, by this artefact"
    )
    parser.add_argument(
        "--key", metavar="PUB", help="the public key, in PEM, that has to have signed it (extra `sign`)"
    )
    shared.seed_argument(parser, shared.OF_A_GRADER)
    python_argument(parser)
    shared.grader_arguments(parser, default=None)
    shared.row_arguments(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Compile the sources again and compare, compute the claims that can be, and show the others as claims."""
    if options.artefact is not None:
        from rbrlang.cli.commands.reward.verify_rows import verify_rows

        return verify_rows(options)
    artefact = shared.artefact(options.file, options.key)
    from rbrlang.cli.commands.reward.claims import claims
    from rbrlang.lang.carried import changed_standard_sources
    from rbrlang.learning.judging.claims import ClaimError, settle
    from rbrlang.reward.measure import functions_of

    try:
        settled = settle(artefact)
    except ClaimError as error:
        raise UsageError(f"`{options.file}`: {error}; compile or fit the policy again") from error
    size = Path(options.file).stat().st_size
    same = ("circuit", "bounds", "fixed weights", "fingerprint", *settled)
    say(f"{options.file}: intact, {size} bytes, fingerprint {artefact.circuit.fingerprint}")
    say(f"computed again from its sources, and the same: {', '.join(same)}")
    for name in changed_standard_sources(artefact.sources):
        say(f"`{name}` is not the text that this rbrlang has; the artefact's own was used")
    for name in functions_of(artefact.circuit):
        say(f'it asks `python("{name}")`: code that it does not hold, and that is run only with `--allow-python`')
    say("claims, not checked:")
    for line in claims(artefact, certificate=False):
        say(f"  {line}")
    say(_signature(artefact.keys, options.key))
    return 0


def _signature(keys: tuple[str, ...], required: str | None) -> str:
    if required is not None:
        return f"signed by `{required}`"
    if not keys:
        return "the artefact is not signed"
    return f"signed, as it says, by the key {', '.join(keys)}; `--key PUB` checks that"
