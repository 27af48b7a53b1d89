"""`rbrc score OUT.rbrc ROWS -o OUT`: rewards for graded rows."""

from __future__ import annotations

import argparse
import math

from rbrlang.cli import options as shared
from rbrlang.cli.terminal import warn


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc score`."""
    parser.add_argument("artefact", metavar="OUT.rbrc", help="a compiled or fitted policy")
    shared.require_key_argument(parser)
    parser.add_argument("rows", metavar="ROWS", help=f"rows: {shared.ROWS}; `-` is standard input")
    parser.add_argument(
        "-o", "--output", metavar="OUT", required=True, help="where to write the rows, `-` for standard output"
    )
    parser.add_argument("--bounds", action="store_true", help="add `reward_bounds` over what is unknown")
    shared.lazy_argument(parser)
    shared.seed_argument(parser, shared.OF_A_GRADER)
    shared.grader_arguments(parser)
    shared.row_arguments(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Score every row; 3 when some got no reward."""
    artefact = shared.artefact(options.artefact, options.require_key)
    import numpy as np

    from rbrlang.cli import data
    from rbrlang.cli.commands.grading.grade import tell
    from rbrlang.cli.graders import Lazily, grade_rows, keep_answers
    from rbrlang.reward.numpy import NumpyReward
    from rbrlang.scoring.columns import unknown_response

    found = data.fitted(options.output, data.read(options, options.rows))
    reward = NumpyReward.from_artefact(artefact)
    keep_answers(options, options.output)
    graded = grade_rows(
        options, artefact, found.rows, lazily=None if options.lazy is None else Lazily(reward, options.lazy)
    )
    rows = graded.rows
    probs, ids = reward.encode(rows), reward.response_ids(rows)
    base = np.array([0.0 if row.base_reward is None else row.base_reward for row in rows], np.float64)
    total, rules = reward(probs, ids, base), reward(probs, ids)
    data.note_hidden_rules(reward, ids, base)
    classes = reward.class_probs(probs, ids)
    reasons = reward.reasons(probs, ids, base)
    low, high = total, total
    if options.bounds or options.lazy:
        low, high = reward.bounds(probs, ids, base)
    if options.lazy:
        # Unknowns are left, but they move the reward by less than what was asked for: take the middle.
        settled = np.isnan(total) & (high - low <= options.lazy)
        total, rules = np.where(settled, (low + high) / 2, total), np.where(settled, (low + high) / 2 - base, rules)
    out: list[dict[str, object]] = []
    for at, row in enumerate(rows):
        names = artefact.circuit.responses[ids[at]].classes if ids[at] >= 0 else ()
        of_class = {name: _number(p) for name, p in zip(names, classes[at], strict=False)}
        known = [name for name, p in of_class.items() if p is not None]
        best = max(known, key=lambda name: of_class[name] or 0.0) if len(known) == len(names) and known else None
        valid = math.isfinite(total[at])
        reason = reasons[at] if ids[at] >= 0 else unknown_response(row, artefact.circuit)
        columns: dict[str, object] = {
            "reward": _number(total[at]),
            "rule_reward": _number(rules[at]),
            "class_probs": of_class,
            "class": best,
            "valid": valid,
            "reason": None if valid else "; ".join(filter(None, (reason, row.conversation.silence()))),
        }
        if row.klass is not None:
            columns["intended_class"] = row.klass
        if options.bounds or options.lazy:
            columns["reward_bounds"] = [_number(low[at]), _number(high[at])]
        out.append(graded.row(at, **columns))
    data.write(options.output, out)
    invalid = sum(not row["valid"] for row in out)
    warn(f"scored {len(out) - invalid} of {len(out)} rows")
    tell(graded, options.cache)
    if invalid:
        first = next(row for row in out if not row["valid"])
        warn(
            f"{invalid} {'row has' if invalid == 1 else 'rows have'} no reward; the first, {first.get('id', '(no id)')}: {first['reason']}"
        )
        if options.grader == "rows" and not any(row.probs for row in rows):
            warn("no row carries `probs`; name a grader with `--grader`")
    return data.EXIT_SOME_INVALID if invalid or found.bad else 0


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
