"""`rbrc label FILE ROWS -o OUT`: a desk where people label completions, by keyboard and blind to graders and each other."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rbrlang.cli import guide
from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.listening import hosts, listen, missing, port, serve, url
from rbrlang.cli.python import allow_python, python_argument
from rbrlang.cli.terminal import say, warn, wrapped
from rbrlang.diagnostics import did_you_mean

if TYPE_CHECKING:
    from rbrlang.label.pick import Grader, Order, Pick
    from rbrlang.label.questions import Desk
    from rbrlang.label.settled import Agreed
    from rbrlang.label.store import Store
    from rbrlang.policy import Policy
    from rbrlang.rows.read import Row

_PICKS = ("random", "uncertain", "influential")
_GRACE = 10
_SCREEN = 80  # columns of a small terminal


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc label`."""
    parser.add_argument("file", metavar="FILE", help="a .rbr file")
    parser.add_argument("rows", metavar="ROWS", help=f"completions: {shared.ROWS}")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        required=True,
        help="where the labelled rows are written, for `rbrc agree` and others",
    )
    parser.add_argument("--db", metavar="DB", help="the file of SQLite that keeps every answer (default: OUT.sqlite)")
    parser.add_argument(
        "--export", action="store_true", help="write OUT from the answers that are kept, and start no desk"
    )
    parser.add_argument(
        "--status", action="store_true", help="say how far labels and agreement have come, and start no desk"
    )
    parser.add_argument(
        "--majority", action="store_true",
        help="where annotators differ take what more than half of them say (default: not labelled, until adjudicated)",
    )  # fmt: skip
    what = parser.add_argument_group("what is asked, and in which order")
    what.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="this question alone; may be repeated (default: all)",
    )
    what.add_argument("--all", action="store_true", help="ask every question, not only what each response type needs")
    what.add_argument(
        "--preferences", action="store_true", help="ask also which of two completions of a prompt is better"
    )
    what.add_argument(
        "--pick", choices=_PICKS,
        help="what is asked first: what the grader is least sure of, or what moves the reward most "
        "(default: uncertain where there are a grader's answers, else random)",
    )  # fmt: skip
    what.add_argument(
        "--random-share", type=shared.share, metavar="S",
        help="share of prompts that is drawn at random whatever is picked, for honest estimates (default: 0.2)",
    )  # fmt: skip
    what.add_argument(
        "--until", type=shared.above_zero, default=0.1, metavar="H",
        help="a 95 %% interval is narrow enough at this half width (default: 0.1)",
    )  # fmt: skip
    what.add_argument(
        "--weights",
        metavar="W",
        help="influential: the reward's weights, an artefact or JSON (default: the policy's own)",
    )
    what.add_argument(
        "--seed", type=shared.whole, metavar="N", help="of the order, and of what is drawn at random (default: 0)"
    )
    desk = parser.add_argument_group("desk")
    desk.add_argument("--annotator", metavar="NAME", help="who labels (default: asked on the page)")
    desk.add_argument("--title", metavar="TEXT", help="what the page is called (default: FILE's name)")
    desk.add_argument("--port", type=port, default=0, help="of 127.0.0.1 (default: a free one)")
    shared.format_argument(parser)
    shared.grader_arguments(parser, default=None)
    shared.policy_arguments(parser)
    python_argument(parser)
    shared.row_arguments(parser)
    parser.set_defaults(engine="local", workers=1)  # of a grader whose answers are kept
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Serve the page until told to end, then write the labels; or only write them, or only tell."""
    policy = shared.policy(options, options.file)
    if policy is None:
        return 1
    allow_python(options, policy.circuit)
    _check_options(options)
    from rbrlang.cli import data
    from rbrlang.label.pick import Order
    from rbrlang.label.questions import desk as every
    from rbrlang.label.store import Store, StoreError

    data.check_output(options.output)
    found = data.read(options, options.rows, policy.circuit)
    desk, full = _desk(options, policy, found.rows), every(policy, found.rows, every=True, only=(), pairs=True)
    path = options.db or f"{options.output}.sqlite"
    if (options.export or options.status) and not Path(path).is_file():
        raise UsageError(
            f"there are no labels yet: `{path}` is not there; `rbrc label` without `--export` and `--status` starts the desk"
        )
    try:
        store, kept = Store(path, desk), Store(path, full)
        for line in kept.aside():
            warn(f"{path}: {line}")
        grader, pick = (None, "random") if options.export else _grader(options, desk, policy)
        serves = not (options.export or options.status)
        drawn = store.drawn(options.seed, options.random_share, picked=serves and pick != "random")
    except StoreError as error:
        raise UsageError(str(error) if f"`{path}`" in str(error) else f"`{path}`: {error}") from error
    promise = {} if grader is None or pick == "random" else grader.promise(pick)
    order = Order(desk, *drawn, pick, promise)
    if options.status:
        _status(options, order, grader, store)
    else:
        if serves:
            _serve(options, order, grader, store)
        _export(options, replace(order, desk=full), kept)
    store.close()
    kept.close()
    return data.EXIT_SOME_INVALID if found.bad else 0


def _check_options(options: argparse.Namespace) -> None:
    """Refuse what cannot be meant. Raises `UserError`."""
    if options.export and options.status:
        raise UsageError("`--export` writes and `--status` tells; give one of them")
    if options.output == "-":
        raise UsageError("`-o -`: answers are kept beside the output; name a file")
    if options.rows == "-":
        raise UsageError("the desk reads the same rows again when it goes on; name a file instead of `-`")
    if options.until >= 0.5:
        raise UsageError(f"`--until {options.until:g}` is no half width of an interval of shares; give one below 0.5")
    name = options.annotator
    if name is not None and not (0 < len(name) <= 40 and name.isprintable() and name == name.strip()):
        raise UsageError(f"`--annotator {name}`: a name has 1 to 40 characters that can be seen")


def _desk(options: argparse.Namespace, policy: Policy, rows: Sequence[Row]) -> Desk:
    from rbrlang.cli import data
    from rbrlang.label.questions import BETTER, desk
    from rbrlang.reward.rows import response_ids

    names = (*policy.circuit.questions, *([BETTER] if options.preferences else []))
    for name in options.only:
        if name not in names:
            raise UsageError(
                f"`--only {name}` is no question of the policy; "
                + did_you_mean(name, names, f"there are {', '.join(names)}")
            )
    data.check_response_types(
        rows, response_ids(policy.circuit, rows).tolist(), options.rows, policy.circuit.response_names
    )
    only = {*options.only, *([BETTER] if options.preferences else [])} if options.only else set[str]()
    found = desk(policy, rows, every=options.all, only=only, pairs=options.preferences)
    for name, count in sorted(found.unasked.items()):
        warn(f"{options.rows}: `{name}` is not asked of {count} row{'s' * (count > 1)} without a column that it names")
    if not found.units:
        raise UsageError(
            f"there is nothing to ask of `{options.rows}`: no row needs a question; `--all` asks every question"
        )
    return found


def _grader(options: argparse.Namespace, desk: Desk, policy: Policy) -> tuple[Grader | None, Pick]:
    """The grader, if anybody graded the rows, and what is asked first."""
    from rbrlang.cli import graders
    from rbrlang.cli.weights import reward_with
    from rbrlang.label.pick import Grader

    rows = desk.rows
    if options.grader is not None:
        graders.keep_answers(options, options.output)
        rows = tuple(graders.Grading(options, policy, every=options.all)(rows).rows)
    grader = Grader(desk, rows, reward_with(policy, options.weights, options.file))
    known = any(p is not None for row in rows for p in row.probs.values()) or any(map(grader.likeliest, desk.units))
    if not known and options.pick in ("uncertain", "influential"):
        raise UsageError(
            f"`--pick {options.pick}` needs a grader's answers: rows with `probs`, or `--grader`; `--pick random` needs none"
        )
    return grader if known else None, options.pick or ("uncertain" if known else "random")


def _serve(options: argparse.Namespace, order: Order, grader: Grader | None, store: Store) -> None:
    try:
        from rbrlang.label.app import Labelling, application
    except ModuleNotFoundError as error:
        raise missing(error) from error
    token = secrets.token_urlsafe(32)
    listening = listen("127.0.0.1", options.port)
    address = f"{url(listening)}/#token={token}"
    title = options.title or f"Labels for {Path(options.file).name}"
    labelling = Labelling(
        title,
        order,
        store,
        grader,
        options.annotator,
        options.until,
        token,
        hosts("127.0.0.1", listening.getsockname()[1]),
    )

    def tell() -> None:
        from rbrlang.cli.render import dump

        if options.format == "json":
            facts = {
                "url": address,
                "pid": os.getpid(),
                "units": len(order.desk.units),
                "pick": order.pick,
                "seed": order.seed,
            }
            sys.stdout.write(" ".join(dump(facts).split()) + "\n")
        else:
            say(f"{len(order.desk.units)} answers to give, {order.pick} order, seed {order.seed}; open")
            say(f"  {address}")
            say("Ctrl-C ends the desk and writes the labels; every answer is kept at once")
        sys.stdout.flush()

    serve(application(labelling), listening, _GRACE, tell)


def _export(options: argparse.Namespace, order: Order, store: Store) -> None:
    from rbrlang.cli import data
    from rbrlang.label.gold import gold
    from rbrlang.label.settled import settled

    found = settled(store, majority=options.majority)
    if not found.said:
        warn("nobody labelled anything, so nothing was written")
        return
    rows = list(gold(order, found))
    data.write(options.output, rows)
    warn(f"{options.output}: {len(found.labels)} labels in {len(rows)} rows")
    if found.open:
        warn(
            f"{len(found.open)} more are left out because annotators differ; adjudicate them at the desk"
            + ("" if options.majority else ", or take the majority with `--majority`")
        )
    guide.after_label(options, order.desk.policy.program, sum(bool(row.get("labels")) for row in rows))


def _status(options: argparse.Namespace, order: Order, grader: Grader | None, store: Store) -> None:
    from rbrlang.cli.render import dump
    from rbrlang.cli.tables import show
    from rbrlang.label.settled import agreed, settled

    found = list(agreed(order, grader, settled(store, majority=options.majority), options.until))
    if options.format == "json":
        facts = {
            "seed": order.seed,
            "pick": order.pick,
            "until": options.until,
            "questions": [one.to_json() for one in found],
        }
        sys.stdout.write(dump(facts))
        return
    head = ("", "settled", "alpha", "differ", "share", "more")
    show(
        f"Labels, {order.share:.0%} of prompts at random, seed {order.seed}"
        if order.picked
        else f"Labels of all rows at random, seed {order.seed}",
        head,
        [_line(one) for one in found],
        narrow=False,
    )
    for one in found:
        of = [", ".join(f"{who} {count}" for who, count in one.annotators.items())]
        of += ["kappa " + "; ".join(f"{a}, {b}: {_two(kappa)}" for a, b, kappa in one.kappas)] if one.kappas else []
        if one.annotators:
            wrapped(f"{one.question.name}: {'; '.join(of)}", after="  ", width=_SCREEN)
    for line in (
        "kappa: Cohen's, of scales weighted by squared distance",
        "alpha: Krippendorff's, of scales ordinal",
        "share: of the random rows alone, with its 95 % interval",
        f"more: how many labels of random rows bring the interval to ±{options.until:g}",
    ):
        say(line)


def _line(one: Agreed) -> tuple[str | tuple[str, ...], ...]:
    p = one.progress
    of = "agrees with grader" if p.of == "agreement" else p.answer
    return (
        one.question.name, f"{p.done} of {p.units}", _two(one.alpha), str(one.open),
        (of, f"{p.share:.2f} ({p.low:.2f}-{p.high:.2f})") if p.counted else "",
        ("too few", "rows") if p.more is None else str(p.more),
    )  # fmt: skip


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
