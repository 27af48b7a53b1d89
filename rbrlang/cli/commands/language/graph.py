"""`rbrc graph`: the graph from propositions to the reward, as text that other programs draw."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.render import dump
from rbrlang.diagnostics import suggest
from rbrlang.logic.graph import dot, graph, mermaid


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc graph`."""
    parser.add_argument("file", metavar="FILE", help="a .rbr file")
    parser.add_argument(
        "--for", dest="responses", metavar="R", action="append", default=[], help="only this response type"
    )
    parser.add_argument("--format", choices=("dot", "mermaid", "json"), default="dot", help="how to write the graph")
    shared.policy_arguments(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Write the graph; 1 when the policy has errors."""
    policy = shared.policy(options, options.file)
    if policy is None:
        return 1
    known = [response.name for response in policy.program.responses]
    for name in options.responses:
        response_named(name, known, options.file)
    found = graph(policy.program, frozenset(options.responses or known))
    if options.format == "json":
        nodes, edges = [asdict(node) for node in found.nodes], [asdict(edge) for edge in found.edges]
        sys.stdout.write(dump({"nodes": nodes, "edges": edges}))
    else:
        sys.stdout.write(dot(found, options.file) if options.format == "dot" else mermaid(found))
    return 0


def response_named(name: str, known: list[str], file: str) -> int:
    """The number of a response type. Raises `UserError`."""
    if name in known:
        return known.index(name)
    near = suggest(name, known)
    has = f"it has {', '.join(known)}" if known else "it has none"
    raise UsageError(f"`{file}` has no response type `{name}`; " + (f"did you mean `{near}`?" if near else has))
