"""`rbrc plan --data ROWS --grader G --grader G`: which grader is worth its price on these labelled rows?"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rbrlang.cli import data, graders
from rbrlang.cli.commands.trust.agree_labels import labelled_rows
from rbrlang.cli.commands.trust.agree_show import LEARNED
from rbrlang.cli.errors import UsageError
from rbrlang.cli.graderfiles import take_file
from rbrlang.cli.outputs import check_plot
from rbrlang.cli.tables import show
from rbrlang.cli.terminal import say, warn
from rbrlang.grading.endpoint.account import Summary, together
from rbrlang.grading.results import Invalid, Usage, Value
from rbrlang.grading.trust.agreement import TooLittle
from rbrlang.grading.trust.bill import Answered, Offer, Spent, compare
from rbrlang.grading.trust.bootstrap import FEWEST_PROMPTS, Interval
from rbrlang.grading.trust.values import numbers, value_atoms
from rbrlang.policy import Policy
from rbrlang.reward.rows import response_ids
from rbrlang.rows.kept import Kept, in_blocks
from rbrlang.rows.read import Row

_LEGEND = """\
right     rows given the class that their labels lead to; no class is not right. 95 % intervals draw prompts
behind    how much less that is than the best grader's, on the same rows
cost      of 1,000 completions, by the prices of the grader file or --price-in and --price-out
time      of 1,000 completions, as these were asked
"""


def check(options: argparse.Namespace) -> None:
    """Refuse what cannot be meant before anything is asked. Raises `UserError`."""
    if not options.data:
        raise UsageError("`--grader` compares graders on labelled rows; give them with `--data`")
    if options.simulate or options.show_prompt:
        other = "--simulate" if options.simulate else "--show-prompt"
        raise UsageError(f"`{other}` asks no grader anything; leave out `--grader`, or run twice")
    if options.plot:
        check_plot(options.plot)
    doubled = [one for one in options.graders if options.graders.count(one) > 1]
    if doubled:
        raise UsageError(
            f"`--grader {doubled[0]}` is named twice; two files may say how one grader is asked in two ways"
        )


def run(options: argparse.Namespace, policy: Policy) -> int:
    """Ask, compare, show; 3 when an answer is invalid or a row unusable."""
    circuit = policy.circuit
    found = data.read_kept(options, options.data, circuit)
    every = labelled_rows(found.rows, policy, options.data)
    unknown = data.check_response_types(
        every, response_ids(circuit, every).tolist(), options.data, circuit.response_names
    )
    rows = _sample(every, options.sample, options.seed)
    responses = response_ids(circuit, rows)
    asked = [_asked(options, policy, rows, name) for name in options.graders]
    labels = numbers(circuit.propositions, (row.labels for row in rows), len(rows))
    _, prompts = np.unique(np.array([row.prompt_key for row in rows], np.str_), return_inverse=True)
    truth = np.hstack([labels, value_atoms(circuit, rows)[0]])
    try:
        offers = compare(circuit, truth, prompts, responses, asked, seed=options.seed)
    except ValueError as error:
        raise UsageError(f"`{options.data}`: {error}; `rbrc agree` compares proposition by proposition") from error
    counts = {"rows": len(rows), "of": len(every), "prompts": int(prompts.max()) + 1, "seed": options.seed}
    if options.plot:
        from rbrlang.report.plots import draw_bill

        draw_bill(offers, Path(options.plot))
    if options.format == "json":
        from rbrlang.cli.render import dump

        sys.stdout.write(dump(counts | {"graders": [_plain(one) for one in offers]}))
    else:
        _show(offers, counts, options.plot)
    return data.EXIT_SOME_INVALID if unknown or found.bad or any(one.spent.invalid for one in offers) else 0


def _sample(rows: Sequence[Row], count: int | None, seed: int) -> Sequence[Row]:
    """The rows of prompts that are drawn until there are `count`, in the order of the file."""
    if count is None or count >= len(rows):
        return rows
    keys = [row.prompt_key for row in rows]
    distinct = sorted(set(keys))
    drawn: set[str] = set()
    left = count
    for at in np.random.default_rng(seed).permutation(len(distinct)).tolist():
        if left <= 0:
            break
        drawn.add(distinct[at])
        left -= keys.count(distinct[at])
    return Kept(row for row, key in zip(rows, keys, strict=True) if key in drawn)


def _asked(options: argparse.Namespace, policy: Policy, rows: Sequence[Row], name: str) -> Answered:
    """What one grader says of the rows, asked what `rbrc grade` asks."""
    own = argparse.Namespace(**{**vars(options), "grader": name})
    take_file(own)
    grading = graders.Grading(own, policy)
    kept: Kept[Row] = Kept()
    identities: dict[str, None] = {}
    summaries: list[Summary] = []
    answers = invalid = 0
    learned = False
    started = time.perf_counter()
    for _, some in in_blocks(rows, graders.AT_ONCE):
        graded = grading(some)
        kept.extend(graded.rows)
        identities |= {graded.identity: None}
        summaries += [] if graded.summary is None else [graded.summary]
        answers += sum(map(len, graded.answers))
        invalid += sum(isinstance(one, Invalid) for each in graded.answers for one in each.values())
        learned = learned or any(
            isinstance(one, Value) and one.note.startswith(LEARNED) for each in graded.answers for one in each.values()
        )
    seconds = time.perf_counter() - started
    summary = together(summaries)
    if summary is not None and summary.stopped:
        warn(f"`{name}`: the run ended early: {summary.stopped}")
    if learned:
        warn(
            f"`{name}` has learned heads: where these rows are among those that they were learned from, its figures flatter"
        )
    used = Usage() if summary is None else summary.usage + summary.reused
    spent = Spent(
        len(rows), answers, 0 if summary is None else summary.asks, invalid, used,
        0.0 if summary is None else summary.cost + summary.cost_reused,
        None if summary is not None and summary.from_cache else seconds,
    )  # fmt: skip
    circuit = policy.circuit
    p = numbers(circuit.propositions, (row.probs for row in kept), len(kept))
    return Answered(name, ", ".join(identities), np.hstack([p, value_atoms(circuit, kept)[1]]), spent, name != "labels")


# --- showing ------------------------------------------------------------------------------------


def _show(offers: Sequence[Offer], counts: dict[str, int], plot: str | None) -> None:
    drawn = "" if counts["rows"] == counts["of"] else f" of {counts['of']}, drawn by prompt"
    quality: list[tuple[str, ...]] = []
    expense: list[tuple[str, ...]] = []
    for one in offers:
        spent, means = one.spent, one.means
        each = 1000 / max(spent.rows, 1)
        balanced, auc = (
            ("-", "-") if isinstance(means, TooLittle) else (f"{means.balanced_accuracy:.2f}", f"{means.auc.value:.2f}")
        )
        behind = "best" if not one.behind.value else _share(one.behind)
        quality.append((one.name, _share(one.right), behind, balanced, auc, f"{one.none}", f"{spent.invalid}"))
        time = "cached" if spent.seconds is None else f"{spent.seconds * each:.3g} s"
        tokens = (f"{spent.usage.prompt:,}", f"{spent.usage.completion:,}")
        expense.append((one.name, f"{spent.requests:,}", *tokens, f"{spent.cost * each:.4g}", time))
    show(
        f"{len(offers)} grader{'s' * (len(offers) != 1)} on {counts['rows']} labelled rows{drawn}, {counts['prompts']} prompts, "
        f"seed {counts['seed']}",
        ("grader", "right", "behind", "bal.", "AUC", "no class", "invalid"),
        quality,
    )
    show("", ("grader", "requests", "tokens in", "out", "cost", "time"), expense)
    sys.stdout.write(_LEGEND)
    if counts["prompts"] < FEWEST_PROMPTS:
        say(f"no intervals: {counts['prompts']} prompts, and at least {FEWEST_PROMPTS} are needed")
    for one in offers:
        if one.beaten_by is not None:
            say(f"`{one.beaten_by}` costs no more than `{one.name}` and is right at least as often")
    if not any(one.spent.cost for one in offers):
        say(
            "no grader has a price; `[price]` of a grader file, or `--price-in` and `--price-out`, say what a token costs"
        )
    if plot:
        say(f"drew {plot}")


def _share(found: Interval) -> str:
    ends = "" if math.isnan(found.low) else f" ({found.low:.2f}-{found.high:.2f})"
    return f"{found.value:.2f}{ends}"


def _plain(one: Offer) -> dict[str, Any]:
    def interval(found: Interval) -> dict[str, float | None]:
        ends = (None, None) if math.isnan(found.low) else (found.low, found.high)
        return {"value": found.value, "low": ends[0], "high": ends[1]}

    told = None if isinstance(one.means, TooLittle) else one.means
    return {
        "grader": one.name,
        "identity": one.identity,
        "class_accuracy": interval(one.right),
        "behind_the_best": interval(one.behind),
        "no_class": one.none,
        "balanced_accuracy": None if told is None else told.balanced_accuracy,
        "auc": None if told is None else told.auc.value,
        "propositions_judged": 0 if told is None else told.propositions,
        "spent": asdict(one.spent),
        "cost_per_1000": 1000 * one.spent.cost / max(one.spent.rows, 1),
        "beaten_by": one.beaten_by,
    }
