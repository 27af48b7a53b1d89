"""`rbrc export OUT.rbrc -o FILE`: the reward as a StableHLO program."""

from __future__ import annotations

import argparse

from rbrlang.cli import options as shared
from rbrlang.cli.terminal import warn


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc export`."""
    parser.add_argument("artefact", metavar="OUT.rbrc", help="a compiled or fitted policy")
    shared.require_key_argument(parser)
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the program to write")
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Lower the reward with its weights and write it."""
    artefact = shared.artefact(options.artefact, options.require_key)
    from rbrlang.reward.export import export_reward
    from rbrlang.writing import write_bytes

    program = export_reward(artefact)
    write_bytes(options.output, program.data)
    warn(f"wrote {options.output}: {len(program.data)} bytes, made by JAX {program.jax_version}")
    return 0
