"""`rbrc serve OUT.rbrc`: an HTTP server of rewards."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.listening import hosts, is_loopback, listen, missing, port, serve, url
from rbrlang.cli.python import allow_python, python_argument
from rbrlang.cli.terminal import warn

if TYPE_CHECKING:
    from rbrlang.serve.app import Service

_SHORTEST_TOKEN = 16

# Name, kind, default, unit, and what it bounds.
_LIMITS = (
    ("--max-body", shared.count, 16 << 20, "BYTES", "of a request (default: 16 MiB)"),
    ("--max-batch", shared.count, 512, "N", "completions of a request, and graded together (default: 512)"),
    (
        "--max-text", shared.count, 200_000, "N",
        "characters of a prompt and completion; a longer one has no reward (default: 200000)",
    ),
    (
        "--max-waiting", shared.count, 8192, "N",
        "completions that wait; beyond, requests are turned away with 503 (default: 8192)",
    ),
    ("--body-seconds", shared.above_zero, 30.0, "S", "in which a body has to arrive (default: 30)"),
    ("--grace", shared.count, 120, "S", "for what was accepted when the server is told to end (default: 120)"),
)  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc serve`."""
    parser.add_argument("artefact", metavar="OUT.rbrc", help="a compiled or fitted policy")
    shared.require_key_argument(parser)
    python_argument(parser)
    where = parser.add_argument_group("where")
    where.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    where.add_argument("--port", type=port, default=8642, help="0 takes a free one (default: 8642)")
    where.add_argument(
        "--token-file", metavar="FILE", type=Path,
        help="requests have to bear the token in this file (default: RBRC_TOKEN, if set); "
        "needed to listen on anything but loopback",
    )  # fmt: skip
    where.add_argument(
        "--allow-host", dest="hosts", action="append", default=[], metavar="NAME",
        help="answer requests for this host too, on any port, or NAME:PORT; on loopback others than its own names are "
        "turned away",
    )  # fmt: skip
    shared.marks_argument(parser)
    limits = parser.add_argument_group("limits")
    for name, kind, default, unit, meaning in _LIMITS:
        limits.add_argument(name, type=kind, default=default, metavar=unit, help=meaning)
    columns = parser.add_argument_group("data of OpenRLHF and NeMo-Gym")
    columns.add_argument(
        "--response-type", default="response_type", metavar="COLUMN", help="names the response type of a completion"
    )
    columns.add_argument(
        "--category",
        default="category",
        metavar="COLUMN",
        help="the content-policy category, for rows without a response type",
    )
    columns.add_argument("--base-reward", metavar="COLUMN", help="the reward model's score, which the rules add to")
    columns.add_argument("--every", metavar="TYPE", help="the response type of all completions")
    columns.add_argument(
        "--end", dest="ends", action="append", default=[], metavar="TEXT",
        help="OpenRLHF: a mark that ends a completion, such as `<|im_end|>`; may be repeated",
    )  # fmt: skip
    columns.add_argument(
        "--on-invalid", type=shared.finite, metavar="NUMBER",
        help="what a completion without a reward gets there (default: null, and masked in NeMo-Gym)",
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=shared.above_zero, default=60.0, metavar="S",
        help="seconds for one answer of an endpoint with all attempts (default: 60)",
    )  # fmt: skip
    parser.add_argument(
        "--batches", type=shared.count, default=1, metavar="N",
        help="batches graded at a time, each with its own --concurrency (default: 1)",
    )  # fmt: skip
    shared.seed_argument(parser, shared.OF_A_GRADER)
    shared.format_argument(parser)
    shared.grader_arguments(parser, default="embedded")
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Serve until told to end; 0 after everything accepted was answered."""
    try:
        from rbrlang.serve.app import application
    except ModuleNotFoundError as error:
        raise missing(error) from error
    token = _token(options)
    if token is None and not is_loopback(options.host):
        raise UsageError(
            f"`{options.host}` can be reached from elsewhere; give a token with `--token-file` or RBRC_TOKEN, "
            "or listen on 127.0.0.1"
        )
    service = _service(options, token)
    listening = listen(options.host, options.port)
    service = replace(service, hosts=hosts(options.host, listening.getsockname()[1], options.hosts))
    serve(application(service), listening, options.grace, lambda: _tell(options, service, url(listening)))
    warn("ended")
    return 0


def _service(options: argparse.Namespace, token: str | None) -> Service:
    from rbrlang.cli.graders import standing
    from rbrlang.reward.shares import every_column
    from rbrlang.scoring.columns import Columns, ColumnsError, of_policy
    from rbrlang.scoring.score import Scorer
    from rbrlang.serve.app import Limits, Service
    from rbrlang.serve.forms import Reading

    artefact = shared.artefact(options.artefact, options.require_key)
    allow_python(options, artefact.circuit)
    grader = standing(options, artefact)
    columns = Columns(
        response_type=options.response_type, category=options.category, base_reward=options.base_reward,
        every=options.every, thought_marks=shared.thought_marks(options),
    )  # fmt: skip
    try:
        columns = of_policy(columns, artefact.circuit)
    except ColumnsError as error:
        raise UsageError(f"`--every`: {error}") from error
    return Service(
        circuit=artefact.circuit,
        score=Scorer(artefact, grader.answers),
        grader=grader.identity,
        token=token,
        reading=Reading(
            columns, tuple(options.ends), options.max_text, options.on_invalid, every_column(artefact.circuit)
        ),
        limits=Limits(options.max_body, options.max_batch, options.max_waiting, options.body_seconds, options.batches),
    )


def _token(options: argparse.Namespace) -> str | None:
    if options.token_file is not None:
        name, found = (
            f"`{options.token_file}`",
            options.token_file.read_text(encoding="utf-8", errors="replace").strip(),
        )
    elif "RBRC_TOKEN" in os.environ:
        name, found = "RBRC_TOKEN", os.environ["RBRC_TOKEN"].strip()
    else:
        return None
    if len(found) < _SHORTEST_TOKEN or not found.isascii() or not found.isprintable() or " " in found:
        raise UsageError(
            f"{name} holds no token: at least {_SHORTEST_TOKEN} printable ASCII characters without a space, "
            "such as `openssl rand -hex 32` prints"
        )
    return found


def _tell(options: argparse.Namespace, service: Service, address: str) -> None:
    circuit = service.circuit
    if options.format == "json":
        told = {"url": address, "fingerprint": circuit.fingerprint, "grader": service.grader, "pid": os.getpid()}
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        guard = "with the token" if service.token else "without a token, from this machine only"
        sys.stdout.write(
            f"{options.artefact} (fingerprint {circuit.fingerprint[:12]}) at {address}, {guard}\n"
            f"  response types  {', '.join(circuit.response_names)}\n"
            f"  grader          {service.grader}\n"
            f"  POST            /score  /openrlhf  /verify (NeMo-Gym)\n"
            f"  GET             /  /healthz  /metrics\n"
            "Ctrl-C ends it after what was accepted\n"
        )
    sys.stdout.flush()
