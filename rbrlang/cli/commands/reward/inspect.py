"""`rbrc inspect OUT.rbrc`: what an artefact holds."""

from __future__ import annotations

import argparse
import sys

from rbrlang.cli import options as shared
from rbrlang.cli.commands.reward.claims import claims
from rbrlang.cli.render import dump
from rbrlang.cli.terminal import say, shown
from rbrlang.reward.kept.record import ResponseWeights, Weight, recorded


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc inspect`."""
    parser.add_argument("artefact", metavar="OUT.rbrc", help="a compiled or fitted policy")
    shared.format_argument(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Read, check and show."""
    artefact = shared.artefact(options.artefact)
    from rbrlang.cli.weights import by_name

    circuit = artefact.circuit
    weights = by_name(circuit, artefact.weights)
    if options.format == "json":
        sys.stdout.write(dump({
            "fingerprint": circuit.fingerprint,
            "rbrlang": artefact.version,
            "class_probability": circuit.class_probability,
            "propositions": list(circuit.propositions),
            "variables": [
                {"name": v.domain.name, "kind": v.domain.kind, "values": list(v.domain.values)} for v in circuit.variables
            ],
            "columns": list(circuit.columns),
            "judged": {a.name: a.over for a in circuit.atoms if a.over != "final"},
            "rubrics": [
                {"name": r.name, "column": r.column, "points": r.points, "clip": r.clip, "tags": list(r.tags)}
                for r in circuit.rubrics
            ],
            "measures": [a.name for a in circuit.atoms if a.measure is not None],
            "categories": {name: circuit.response_names[number] for name, number in circuit.categories},
            "response_types": [
                {
                    "name": r.name,
                    "ranks": [list(tier) for tier in r.ranks],
                    "propositions": list(dict.fromkeys(circuit.asked_about(a) for a in r.atoms)),
                    "weights": weights[r.name],
                    "margins": dict(zip(r.classes, r.margins, strict=True)),
                }
                for r in circuit.responses
            ],
            "sources": [source.name for source in artefact.sources],
            "params": dict(artefact.params),
            "calibrated": artefact.calibration is not None,
            "provenance": dict(artefact.provenance),
        }))  # fmt: skip
        return 0
    from rbrlang.cli.tables import show

    sys.stdout.write(
        f"{options.artefact}: fingerprint {circuit.fingerprint}\n"
        f"class probabilities {circuit.class_probability} · {len(circuit.propositions)} propositions · "
        + (f"rubrics {', '.join(shown(r.name) for r in circuit.rubrics)} · " if circuit.rubrics else "")
        + (f"columns {', '.join(map(shown, circuit.columns))} · " if circuit.columns else "")
        + f"sources {', '.join(shown(s.name) for s in artefact.sources)} · "
        f"{'calibrated' if artefact.calibration is not None else 'not calibrated'}\n"
    )
    record = recorded(artefact)
    if record.loss is None:
        say("weights: the defaults, or as the rules fix them; `rbrc fit` learns them")
    say(f"claims, not checked{'' if record.loss is None else ', as are intervals and errors below'}:")
    for line in claims(artefact):
        say(f"  {line}")
    say("")
    for response, known in zip(circuit.responses, record.responses, strict=True):
        ranks = " > ".join("{" + ", ".join(t) + "}" if len(t) > 1 else ", ".join(t) for t in response.ranks)
        rows = [
            (weight.name, weight.kind, f"{weight.value:+.4f}", _between(weight), _limits(*bound))
            for weight, bound in zip(known.weights, response.bounds, strict=True)
        ]
        show(f"{response.name}: {ranks}", ("feature", "kind", "weight", "95 % interval", "bound"), rows)
        if record.loss is not None:
            sys.stdout.write(_fitted(known))
    return 0


def _fitted(known: ResponseWeights) -> str:
    lines = [f"no intervals: {shown(known.no_intervals)}"] if known.no_intervals else []
    if (held := known.held_out) is not None:
        base = "" if held.base is None else f", base reward alone {held.base:.3f}"
        lines.append(
            f"ranking error on {held.pairs:,} pairs of {held.prompts:,} held-out prompts: {held.both:.3f}{base}"
        )
    return "".join(f"{line}\n" for line in lines) + ("\n" if lines else "")


def _between(weight: Weight) -> str:
    return "" if weight.low is None or weight.high is None else f"{weight.low:+.3f} … {weight.high:+.3f}"


def _limits(low: float, high: float) -> str:
    if low == high:
        return "fixed"
    parts = ([f">= {low:g}"] if low > float("-inf") else []) + ([f"<= {high:g}"] if high < float("inf") else [])
    return " and ".join(parts)
