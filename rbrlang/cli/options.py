"""Arguments that several commands share, and what they turn into."""

from __future__ import annotations

import argparse
import gc
import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbrlang.bounds import Number
from rbrlang.budget import STEPS, Budget
from rbrlang.checking import Checked, check
from rbrlang.cli.errors import UsageError
from rbrlang.cli.outputs import spare_inputs
from rbrlang.cli.policies import STDIN, Reader
from rbrlang.cli.render import show
from rbrlang.cli.terminal import warn
from rbrlang.diagnostics import chosen, did_you_mean
from rbrlang.lang.load import Parser
from rbrlang.lang.reading.parse import parse

if TYPE_CHECKING:
    from rbrlang.policy import Policy
    from rbrlang.reward.kept.artefact import Artefact
    from rbrlang.rows.thought import Marks


ROWS = "JSON Lines, JSON, CSV, Parquet, Arrow, or a folder or pattern of such files"


def parameter(text: str) -> tuple[str, float]:
    """`name=number` of `-D`."""
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"`{text}` is not name=number") from None


def policy_arguments(parser: argparse.ArgumentParser, *, artefact: bool = False) -> None:
    """`-D name=number`, `--root`, and `--budget`.

    What becomes an `artefact` is held to the default budget: it is checked again wherever it is read.
    """
    parser.add_argument(
        "-D", dest="params", metavar="NAME=NUMBER", type=parameter, action="append", default=[],
        help="set a `param` of the policy",
    )  # fmt: skip
    parser.add_argument(
        "--root", dest="roots", metavar="DIR", type=Path, action="append", default=[],
        help="a further folder that imports may come from",
    )  # fmt: skip
    if artefact:
        parser.set_defaults(steps=STEPS)
    else:
        budget_argument(parser)


def budget_argument(parser: argparse.ArgumentParser) -> None:
    """`--budget`."""
    parser.add_argument(
        "--budget", dest="steps", metavar="N", type=count, default=STEPS,
        help=f"steps of work after which a policy is refused (default: {STEPS})",
    )  # fmt: skip


def format_argument(parser: argparse.ArgumentParser, *more: str) -> None:
    """`--format pretty|json`, and what else the command can print."""
    parser.add_argument("--format", choices=("pretty", "json", *more), default="pretty", help="how to print the result")


def class_probability_argument(parser: argparse.ArgumentParser) -> None:
    """`--class-probability exact|product`."""
    parser.add_argument(
        "--class-probability", choices=("exact", "product"), default="exact",
        help="exact weighted counts, or the paper's product of literals, normalised",
    )  # fmt: skip


def switch(text: str) -> tuple[str, bool] | None:
    """`name=true|false` of `--template`; None for `none`."""
    name, _, value = text.partition("=")
    if text == "none":
        return None
    if not name.strip() or value not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"`{text}` is neither name=true, name=false nor none")
    return name.strip(), value == "true"


def _number(bounds: Number) -> Callable[[str], Any]:
    """What reads such numbers for argparse."""

    def read(text: str) -> Any:
        try:
            return bounds.of_text(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"`{text}` is not {error}") from None

    return read


count, whole = _number(Number(1, whole=True)), _number(Number(whole=True))
finite, above_zero, not_negative = _number(Number(-math.inf)), _number(Number(above=True)), _number(Number())
share, risk = _number(Number(0, 1)), _number(Number(0, 0.5))

OF_A_GRADER = "the waits and samples of graders behind an endpoint"


def seed_argument(parser: argparse.ArgumentParser, of: str = "all that is drawn at random") -> None:
    """`--seed`."""
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help=f"of {of} (default: 0)")


def lazy_argument(parser: argparse.ArgumentParser) -> None:
    """`--lazy EPS`."""
    parser.add_argument(
        "--lazy", type=not_negative, metavar="EPS",
        help="ask in rounds, and of each row only what its rule reward needs to be known to within EPS; "
        "0: until neither its class nor its reward can change",
    )  # fmt: skip


def layout_argument(parser: argparse.ArgumentParser) -> None:
    """`--layout`."""
    parser.add_argument(
        "--layout", choices=("question-first", "conversation-first"),
        help="one layout for all prompts (default: for each proposition the one that reuses more)",
    )  # fmt: skip


def rows_arguments(parser: argparse.ArgumentParser) -> None:
    """`--with FILE` and `--class-names`: rows that others wrote."""
    parser.add_argument(
        "--with", dest="more", metavar="FILE", action="append", default=[],
        help="probabilities, labels or base rewards of the same completions from another file, by id or text",
    )  # fmt: skip
    parser.add_argument(
        "--class-names", metavar="THEIRS=OURS,…", default="",
        help='what the rows call the classes, such as "perfect refusal=ideal"',
    )  # fmt: skip


def pair_sources(text: str) -> tuple[str, ...]:
    """`preferences` or `classes,ranks` of `--pairs`."""
    from rbrlang.learning.preferences import PAIR_SOURCES

    asked = tuple(part.strip() for part in text.split(","))
    for one in asked:
        if one not in PAIR_SOURCES:
            raise argparse.ArgumentTypeError(
                f"`{one}` orders nothing; " + did_you_mean(one, PAIR_SOURCES, f"there are {', '.join(PAIR_SOURCES)}")
            )
    return asked


def pairs_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """`--pairs` and `--contradictions`."""
    parser.add_argument(
        "--pairs", type=pair_sources, action="append", default=[], metavar="SOURCE,…",
        help="what orders the completions of a prompt: classes, by the policy's ranks; preferences, as in rows of chosen and "
        f"rejected; ranks, of a column rank; scores, of a column score; several count alike (default: {default})",
    )  # fmt: skip
    parser.add_argument(
        "--contradictions", type=whole, default=2, metavar="N",
        help="show so many pairs, of each source and response type, where the policy says the opposite of people (default: 2)",
    )  # fmt: skip


def ranking_arguments(parser: argparse.ArgumentParser) -> None:
    """What ranks completions, what is added to the rules, and how sure to be: for `rbrc eval` and `rbrc report`."""
    parser.add_argument("--base-reward", metavar="COL", default="base_reward", help="the reward model's column")
    parser.add_argument(
        "--class-source", choices=("auto", "intent", "labels", "graded"), default="auto", help="what ranks a completion"
    )
    pairs_arguments(parser, "what rows know: classes, and preferences of pairs")
    parser.add_argument(
        "--refit", nargs="?", const="", metavar="TRAIN_ROWS",
        help="judge the rules alone by weights refitted without base reward: on these rows, or in folds by prompt",
    )  # fmt: skip
    parser.add_argument("--resamples", type=count, default=1000, metavar="N", help="bootstrap resamples of prompts")
    seed_argument(parser)


def grader_arguments(
    parser: argparse.ArgumentParser, *, default: str | None = "rows", several: bool = False, flag: str = "--grader"
) -> None:
    """`--grader` and what its backends take; a default of None leaves it to the command to do without.

    `several` may be named, and are `graders`. Another `flag` has to be given.
    """
    group = parser.add_argument_group("grader")
    words = (
        "rows, labels, table:FILE, embedded, openai:MODEL, local:FILE.gguf, systemone:URL, python:MODULE.FUNCTION or a grader file, "
        "FILE.toml, of which every option here that is given overrides its own"
    )
    if several:
        group.add_argument(
            "--grader", dest="graders", action="append", default=[], metavar="G",
            help=f"compare graders on labelled rows, once for each: {words}",
        )  # fmt: skip
    else:
        told = f" (default: {default})" if default else ""
        group.add_argument(
            flag, dest="grader", default=default, required=flag != "--grader", metavar="G", help=words + told
        )
    group.add_argument("--heads", metavar="FILE", help="embedded: heads of your own, from `rbrc agree --train`")
    group.add_argument("--base-url", metavar="URL", help="openai: the server (default: OPENAI_BASE_URL, else OpenAI's)")
    group.add_argument(
        "--calibration", metavar="FILE", help="correct probabilities by this file of `rbrc agree --calibrate`"
    )
    group.add_argument(
        "--samples", type=count, metavar="K", help="openai: sample K answers instead of log-probabilities"
    )
    group.add_argument(
        "--sample-risk", type=risk, metavar="R",
        help="openai: stop sampling once the side of one half is known but for this risk (default: 0, all samples)",
    )  # fmt: skip
    group.add_argument(
        "--thought-tokens", type=count, metavar="N",
        help="openai: let the model think for N tokens at most, and read the answer behind its thought",
    )  # fmt: skip
    group.add_argument(
        "--questions", type=count, metavar="N",
        help="openai: ask up to N questions of yes and no about one text in one request (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--min-mass", type=share, metavar="M",
        help="openai: answers with less mass on yes and no are invalid (default: 0.5)",
    )  # fmt: skip
    group.add_argument(
        "--template", type=switch, nargs="+", metavar="NAME=BOOL",
        help="openai: arguments of the chat template, or none (default: enable_thinking=false thinking=false)",
    )  # fmt: skip
    group.add_argument(
        "--no-discover", dest="discover", action="store_false", default=None,
        help="openai: do not ask the server whether it offers more log-probabilities than usual",
    )  # fmt: skip
    layout_argument(parser)
    group.add_argument(
        "--order", type=whole, metavar="N",
        help="openai: which of the drawn orders the options of a choice are shown in (default: 0)",
    )  # fmt: skip
    group.add_argument(
        "--allow-abstain", action="store_true",
        help="embedded: go on where the grader can read nothing of what is asked",
    )  # fmt: skip
    group.add_argument("--cache", metavar="FILE", help="keep answers here, and never ask twice")
    group.add_argument("--concurrency", type=count, metavar="N", help="requests at a time (default: 8)")
    group.add_argument("--rpm", type=above_zero, metavar="N", help="requests a minute at most")
    group.add_argument("--tpm", type=above_zero, metavar="N", help="tokens a minute at most")
    group.add_argument("--timeout", type=above_zero, metavar="S", help="seconds for one request (default: 60)")
    group.add_argument("--price-in", type=not_negative, metavar="X", help="cost of a million prompt tokens")
    group.add_argument("--price-out", type=not_negative, metavar="X", help="cost of a million answer tokens")


def row_arguments(parser: argparse.ArgumentParser) -> None:
    """`--column` and `--all-messages`, of every command that reads rows."""
    group = parser.add_argument_group("rows")
    group.add_argument(
        "--column", dest="columns", type=column, action="append", default=[], metavar="OURS=THEIRS",
        help="what a column is called in the file, such as prompt=instruction or labels.polite=is_polite",
    )  # fmt: skip
    marks_argument(group)
    group.add_argument("--all-messages", action="store_true", help="name every row that cannot be used, not only ten")


def engine_arguments(parser: argparse.ArgumentParser, *, batch: bool = False) -> None:
    """`--workers` and `--engine`, of the commands that write a row for each that they read; `batch` where requests may be batches."""
    group = parser.add_argument_group("where the work is done")
    group.add_argument(
        "--workers", type=count, default=1, metavar="N",
        help="that many processes, or actors of Ray; the same output with any number (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--engine", choices=("local", "ray", *(("batch",) if batch else ())), default="local",
        help="ray: on the cluster of RAY_ADDRESS, else on one that is started here (extra `ray`; default: local)"
        + ("; batch: as files of requests, which hosts answer within a day at half price" if batch else ""),
    )  # fmt: skip
    group.add_argument(
        "--checkpoint", metavar="FOLDER",
        help="ray: where blocks are kept until the output is written, seen by all machines (default: OUT.blocks)"
        + ("; batch: where requests and results are (default: OUT.batch)" if batch else ""),
    )  # fmt: skip
    if batch:
        group.add_argument(
            "--batch-by-hand", action="store_true",
            help="batch: write the files and submit none; results are taken from files put beside them",
        )  # fmt: skip


def marks_argument(group: argparse._ActionsContainer) -> None:  # pyright: ignore[reportPrivateUsage]
    """`--thought-marks`, of everything that reads completions; `thought_marks` gives what it says."""
    group.add_argument(
        "--thought-marks", nargs=2, action="append", default=[], metavar=("OPEN", "CLOSE"),
        help='texts between which an assistant thinks, which is not judged; several times for several pairs, "" "" for '
        "none (default: <think> </think>)",
    )  # fmt: skip


def thought_marks(options: argparse.Namespace) -> Marks:
    """The pairs of `--thought-marks`. Raises `UserError` where one has an empty half."""
    from rbrlang.rows.thought import THOUGHT_MARKS

    if not options.thought_marks:
        return THOUGHT_MARKS
    pairs = tuple((opening, closing) for opening, closing in options.thought_marks if opening or closing)
    if any(not opening or not closing for opening, closing in pairs):
        raise UsageError('`--thought-marks` takes an opening and a closing text, or "" "" for none')
    return pairs


def column(text: str) -> tuple[str, str]:
    """`ours=theirs` of `--column`."""
    ours, equals, theirs = text.partition("=")
    if not (ours.strip() and equals and theirs):
        raise argparse.ArgumentTypeError(f"`{text}` is not a pair such as prompt=instruction")
    return ours.strip(), theirs


def policy_of(artefact: Artefact) -> Policy:
    """The policy whose sources an artefact carries. Raises `UserError` when they are not what was compiled."""
    from rbrlang.grading.questions.specs import GraderError
    from rbrlang.scoring.graders import policy_of as found

    try:
        return found(artefact)
    except GraderError as error:
        raise UsageError(
            f"{error}; or grade the rows first with `rbrc grade FILE`, then use `--grader rows`"
        ) from error


def artefact(path: str, key: str | None = None) -> Artefact:
    """The artefact a command was given, checked, and by the public key in the file `key` where that is required."""
    from rbrlang.reward.kept.artefact import read_artefact
    from rbrlang.reward.kept.signature import required_key

    return read_artefact(path, key=None if key is None else required_key(key))


def require_key_argument(parser: argparse.ArgumentParser) -> None:
    """`--require-key`."""
    parser.add_argument(
        "--require-key", metavar="PUB", help="refuse an artefact that is not signed by this public key (extra `sign`)"
    )


def sign_argument(parser: argparse.ArgumentParser) -> None:
    """`--sign`."""
    parser.add_argument(
        "--sign", metavar="KEY",
        help="sign the artefact by this Ed25519 private key in PEM (extra `sign`); RBRC_KEY_PASSPHRASE decrypts it",
    )  # fmt: skip


def write_artefact(path: str, artefact: Artefact, sign: Callable[[bytes], bytes] | None) -> None:
    """Write what a command made. Raises `UserError` for sources whose names no artefact may carry, OSError."""
    from rbrlang.lang.carried import CarriedError
    from rbrlang.reward.kept import artefact as artefacts

    try:
        artefacts.write_artefact(path, artefact, sign)
    except CarriedError as error:
        raise UsageError(f"`{path}` was not written: {error}; rename the file") from error


def checked(options: argparse.Namespace, path: str, parser: Parser = parse, budget: Budget | None = None) -> Checked:
    """Check the policy file a command was given; `parser` gives the tree of each of its files.

    What the command asks of it takes from what the check leaves of its steps, or of the budget given.
    """
    collecting = gc.isenabled()
    gc.disable()  # what a check makes it keeps to its end; looking for garbage takes up to half of its time
    try:
        steps = options.steps if budget is None else budget
        settled = partial(check, params=dict(options.params), roots=options.roots, steps=steps, parser=parser)
        if path == STDIN and "stdin_filename" in options:
            reader = Reader(options.stdin_filename)
            found = settled(reader.path, read=reader)
        else:
            found = settled(path)
        found.held()
        return found
    except IsADirectoryError:
        raise UsageError(f"`{path}` is a folder; name a .rbr file in it") from None
    except FileNotFoundError:
        raise UsageError(f"`{path}`: there is no such file") from None
    finally:
        if collecting:
            gc.enable()


def policy(options: argparse.Namespace, path: str, budget: Budget | None = None) -> Policy | None:
    """The policy a command works on; None after its errors were shown (exit code 1). `budget`: see `checked`."""
    from rbrlang.policy import Policy

    result = checked(options, path, budget=budget)
    if result.ok:
        spare_inputs(options, (one.module.source.name for one in result.modules))
        return Policy(result)
    errors = [diagnostic for diagnostic in result.diagnostics if diagnostic.severity == "error"]
    shown = chosen(errors, all_messages=False)
    for diagnostic in shown:
        show(diagnostic, sys.stderr)
    if len(shown) < len(errors):
        warn(f"and {len(errors) - len(shown):,} more; `rbrc check {path} --all-messages` shows all")
    warn(f"rbrc: `{path}` has errors; nothing was done")
    return None


def run_with(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    """Let a parsed command run this function."""
    parser.set_defaults(run=run)
