"""`rbrc compile FILE -o OUT.rbrc`: a policy as an artefact, before or without any fit."""

from __future__ import annotations

import argparse

from rbrlang.cli import options as shared
from rbrlang.cli.keys import signer
from rbrlang.cli.terminal import warn


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc compile`."""
    parser.add_argument("file", metavar="FILE", help="a .rbr file")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="the artefact to write")
    parser.add_argument(
        "--weights", metavar="JSON", help="{response type: {feature: weight}}; others keep their default"
    )
    shared.sign_argument(parser)
    shared.class_probability_argument(parser)
    shared.policy_arguments(parser, artefact=True)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Compile and write."""
    policy = shared.policy(options, options.file)
    if policy is None:
        return 1
    sign = signer(options.sign)
    circuit = policy.compiled(options.class_probability)
    from rbrlang.cli.weights import read_weights
    from rbrlang.reward.kept.artefact import Artefact
    from rbrlang.reward.weights import default_weights

    given = read_weights(options.weights, circuit) if options.weights else None
    weights = default_weights(circuit) if given is None else given
    how = "default weights" if given is None else f"weights of {options.weights}"
    provenance = {"weights": "default" if given is None else "given"}
    shared.write_artefact(
        options.output, Artefact(circuit, weights, policy.sources, None, provenance, policy.params), sign
    )
    warn(f"wrote {options.output}: {how}, fingerprint {circuit.fingerprint}")
    return 0
