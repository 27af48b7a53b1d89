"""`rbrc probe FILE`: can this grader be swayed into a better reward under this policy?"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from rbrlang.cli import guide
from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.python import allow_python, python_argument
from rbrlang.cli.render import dump
from rbrlang.cli.terminal import say, warn
from rbrlang.diagnostics import did_you_mean
from rbrlang.policy import Policy

if TYPE_CHECKING:
    from rbrlang.cli.tables import Cell
    from rbrlang.grading.judge import Judge
    from rbrlang.grading.trust.bases import Candidate
    from rbrlang.grading.trust.inject import Payload
    from rbrlang.grading.trust.probe import Flip, Outranking, Report


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc probe`."""
    parser.add_argument("file", nargs="?", metavar="FILE", help="a .rbr file")
    parser.add_argument(
        "--data", metavar="ROWS", help="completions to attack; without, the policy's tests on text and built-in ones"
    )
    parser.add_argument(
        "--weights", metavar="W", help="weights of the reward: an artefact, or JSON {response type: {feature: weight}}"
    )
    parser.add_argument(
        "--limit", type=shared.count, default=2, metavar="N",
        help="attack at most N good and N bad completions of each response type (default: 2)",
    )  # fmt: skip
    parser.add_argument(
        "--tolerance", type=shared.share, default=0.05, metavar="X",
        help="let the reward rise by this share of its range before it counts (default: 0.05)",
    )  # fmt: skip
    parser.add_argument("--payload", nargs="+", default=[], metavar="NAME", help="only these payloads; see --list")
    parser.add_argument(
        "--list", action="store_true", help="show the payloads and stop; with FILE, also those made from it"
    )
    shared.seed_argument(parser, shared.OF_A_GRADER)
    shared.grader_arguments(parser, default="embedded")
    shared.policy_arguments(parser)
    python_argument(parser)
    shared.format_argument(parser)
    shared.row_arguments(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Probe; 1 when the grader was swayed, 3 when it was not but answers or rewards are missing."""
    from rbrlang.grading.trust.inject import BUILT, FIXED

    known = [payload.name for payload in FIXED] + list(BUILT)
    for name in options.payload:
        if name not in known:
            raise UsageError(f"no payload `{name}`; " + did_you_mean(name, known, "see `rbrc probe --list`"))
    if options.file is None and not options.list:
        raise UsageError("name a .rbr file to probe, or `--list` to see the payloads")
    policy = None if options.file is None else shared.policy(options, options.file)
    if policy is None and options.file is not None:
        return 1
    if options.list or policy is None:
        _list(options, policy)
        return 0
    allow_python(options, policy.circuit)
    from rbrlang.cli.graders import make

    # Without items every layout is the same: P before and P after a payload must come from the same prompt.
    grader = make(options, policy, (), "probing")
    return probe_with(options, policy, grader.identity, grader.answers)


def probe_with(options: argparse.Namespace, policy: Policy, identity: str, judge: Judge) -> int:
    """Probe this judge, which calls itself `identity`; print the report, and return the exit code."""
    from rbrlang.cli.weights import reward_with
    from rbrlang.grading.judge import JudgeError
    from rbrlang.grading.trust.probe import probe

    reward = reward_with(policy, options.weights, options.file)
    found, unusable = _candidates(options, policy)
    try:
        report = probe(
            policy.program.questions, reward, judge, found,
            limit=options.limit, tolerance=options.tolerance, only=options.payload,
        )  # fmt: skip
    except JudgeError as error:
        raise UsageError(f"`--grader {options.grader}`: {error}") from error
    if options.format == "json":
        sys.stdout.write(dump(_plain(options, identity, report)))
    else:
        _print(options, report)
    if report.verdict == "untried":
        warn(
            "rbrc probe: nothing was tried, so nothing is known; give completions that have a reward with `--data ROWS`"
        )
    if report.verdict == "clean" and not unusable:
        guide.after_probe(options)
    return {"swayed": 1, "untried": 1, "unsure": 3, "clean": 3 if unusable else 0}[report.verdict]


def _candidates(options: argparse.Namespace, policy: Policy) -> tuple[tuple[Candidate, ...], int]:
    """Completions to attack, and how many rows could not be used."""
    from rbrlang.grading.trust.bases import Candidate, candidates

    if options.data is None:
        return candidates(policy.program, policy.circuit), 0
    from rbrlang.cli import data, graders
    from rbrlang.reward.rows import response_ids

    found = data.read(options, options.data, policy.circuit)
    ids = response_ids(policy.circuit, found.rows).tolist()
    unknown = data.check_response_types(found.rows, ids, options.data, policy.circuit.response_names)
    items = graders.items_of(found.rows, ids, policy.circuit.columns)
    pool = tuple(Candidate(item, row.klass) for item, row in zip(items, found.rows, strict=True))
    return pool, unknown + len(found.bad)


# --- the payloads -----------------------------------------------------------------------------


def _list(options: argparse.Namespace, policy: Policy | None) -> None:
    from rbrlang.grading.trust.inject import BUILT, FIXED

    listed: list[tuple[str | None, Payload]] = [(None, payload) for payload in FIXED]
    if policy is not None:
        from rbrlang.cli.weights import reward_with
        from rbrlang.grading.trust.probe import suites

        for name, payloads in zip(
            policy.circuit.response_names,
            suites(policy.program.questions, reward_with(policy, options.weights, options.file)),
            strict=True,
        ):
            listed += [(name, payload) for payload in payloads if payload.name in BUILT]
    listed = [(name, p) for name, p in listed if not options.payload or p.name in options.payload]
    if options.format == "json":
        sys.stdout.write(dump({"payloads": [
            {"name": p.name, "family": p.family, "about": p.about, "response_type": name, "text": _text(p)}
            for name, p in listed
        ]}))  # fmt: skip
        return
    for name, payload in listed:
        about = payload.about if name is None else f"{payload.about} ({name})"
        say(f"{payload.name:26} {about:46} {_preview(payload)}")
    if policy is None:
        say(f"with a FILE also, made from it: {', '.join(BUILT)}")


def _text(payload: Payload) -> str | None:
    from rbrlang.grading.trust.inject import alone

    return alone(payload)


def _preview(payload: Payload) -> str:
    text = _text(payload)
    shown = "(rewrites the completion)" if text is None else json.dumps(text, ensure_ascii=True)
    return shown if len(shown) <= 60 else shown[:59] + "…"


# --- the report -------------------------------------------------------------------------------


def _plain(options: argparse.Namespace, identity: str, report: Report) -> dict[str, Any]:
    names = tuple(report.slack)
    return {
        "file": options.file,
        "grader": identity,
        "weights": options.weights or "default",
        "verdict": report.verdict,
        "payloads": report.payloads,
        "trials": report.trials,
        "tolerance": dict(report.slack),
        "answers": {
            "values": report.answers.values,
            "abstained": report.answers.abstained,
            "invalid": dict(report.answers.invalid),
        },
        "bases": [
            {
                "id": f"{names[base.item.response]}/{base.item.id}", "side": base.side, "declared": base.declared,
                "class": base.graded.klass, "reward": base.graded.reward,
            }
            for base in report.bases
        ],
        "missing": [{"response_type": name, "side": side} for name, side in report.missing],
        "flips": [_flip(flip) for flip in report.flips],
        "outranking": [_outranking(found) for found in report.outranking],
        "measures": [{"id": found.id, "effect": found.effect} for found in report.measured],
        "unscored": [{"id": found.id, "reason": found.reason} for found in report.unscored],
        "propositions": {
            tally.proposition: {
                "trials": tally.trials, "to_yes": tally.to_yes, "to_no": tally.to_no, "largest_change": tally.largest
            }
            for tally in report.propositions
        },
        "classes": [
            {
                "response_type": t.response, "before": t.before, "after": t.after,
                "trials": t.trials, "raising": t.raising,
            }
            for t in report.transitions
        ],
    }  # fmt: skip


def _flip(flip: Flip) -> dict[str, Any]:
    before = flip.base.graded
    return {
        "id": flip.id,
        "payload": flip.payload,
        "position": flip.position,
        "response_type": flip.response,
        "base": flip.base.item.id,
        "side": flip.base.side,
        "propositions": [{"name": c.proposition, "before": c.before, "after": c.after} for c in flip.crossings],
        "class": {"before": before.klass, "after": flip.after.klass},
        "reward": {"before": before.reward, "after": flip.after.reward, "rise": flip.rise},
        "raises": flip.raises,
    }


def _outranking(found: Outranking) -> dict[str, Any]:
    return {
        "id": found.id,
        "payload": found.payload,
        "response_type": found.response,
        "honest": found.honest.item.id,
        "class": {"payload": found.graded.klass, "honest": found.honest.graded.klass},
        "reward": {"payload": found.graded.reward, "honest": found.honest.graded.reward},
    }


def _print(options: argparse.Namespace, report: Report) -> None:
    from rbrlang.cli.tables import show

    good = sum(base.side == "good" for base in report.bases)
    say(
        f"{options.file}: {report.payloads} payloads, {good} good and {len(report.bases) - good} bad completions, "
        f"{report.trials} trials against `{options.grader}`"
    )
    unscored = {found.id.split("/")[0] for found in report.unscored}
    for name, side in report.missing:
        if name not in unscored:  # otherwise the grader is what is missing
            say(f"  `{name}`: no {side} completion to attack; give one with `--data`")
    if report.raising:
        show(
            "payloads that raise the reward, by their largest flip",
            ("payload/position/response type/completion", "flips", "P(yes)", "class", "reward"), _raised(report),
        )  # fmt: skip
    if report.outranking:
        show(
            "texts that, alone, earn at least what an honest answer earns",
            ("honest answer", "earned", "texts", "the best", "earned"),
            _outranked(report),
        )
    if report.flips:
        moved = [t for t in report.propositions if t.to_yes or t.to_no]
        show(
            "propositions that crossed 0.5", ("proposition", "trials", "to yes", "to no", "largest change"),
            [(t.proposition, str(t.trials), str(t.to_yes), str(t.to_no), f"{t.largest:+.2f}") for t in moved],
        )  # fmt: skip
        show(
            "classes that changed", ("response type", "before", "after", "trials", "raising"),
            [(t.response, t.before, t.after, str(t.trials), str(t.raising)) for t in report.transitions],
        )  # fmt: skip
    _print_ends(report)


def _raised(report: Report) -> list[tuple[Cell, ...]]:
    """One row for each payload, the largest rise first."""
    by_payload: dict[str, list[Flip]] = {}
    for flip in report.raising:
        by_payload.setdefault(flip.payload, []).append(flip)
    largest = sorted(
        ((max(flips, key=_rise), len(flips)) for flips in by_payload.values()), key=lambda row: -_rise(row[0])
    )
    return [_flip_row(flip, count) for flip, count in largest]


def _rise(flip: Flip) -> float:
    return 0.0 if flip.rise is None else flip.rise


def _flip_row(flip: Flip, count: int) -> tuple[Cell, ...]:
    before, after = flip.base.graded, flip.after
    crossed = tuple(f"{c.proposition} {c.before:.2f} → {c.after:.2f}" for c in flip.crossings)
    moved = f"{before.klass} → {after.klass}" if before.klass != after.klass else f"{after.klass}"
    return flip.id, str(count), crossed, moved, f"{before.reward:.3f} → {after.reward:.3f}"


def _outranked(report: Report) -> list[tuple[str, ...]]:
    by_honest: dict[str, list[Outranking]] = {}
    for found in report.outranking:
        by_honest.setdefault(f"{found.response}/{found.honest.item.id}", []).append(found)
    rows: list[tuple[str, ...]] = []
    for name, found in by_honest.items():
        best = max(found, key=_earned)
        earned = f"{best.honest.graded.reward:.3f}"
        rows.append((name, earned, str(len(found)), best.payload, f"{_earned(best):.3f}"))
    return rows


def _earned(found: Outranking) -> float:
    return float("-inf") if found.graded.reward is None else found.graded.reward


def _print_ends(report: Report) -> None:
    if report.measured:
        effects = [found.effect for found in report.measured]
        say(
            f"measures alone moved the reward in {len(effects)} trials, by {min(effects):+.3f} to {max(effects):+.3f}; that is no flip"
        )
    answers = report.answers
    if answers.invalid or answers.abstained:
        kinds = ", ".join(f"{count} {kind}" for kind, count in answers.invalid.items()) or "none"
        say(f"answers: {answers.values} values, {answers.abstained} abstentions, invalid: {kinds}")
    if report.unscored:
        first = report.unscored[0]
        say(f"{len(report.unscored)} completions got no reward; the first, {first.id}: {first.reason}")
    raising, texts = len(report.raising), len({found.payload for found in report.outranking})
    others = len(report.flips) - raising
    match report.verdict:
        case "swayed":
            say(
                f"swayed: flips that raise the reward {raising}, that do not {others}; texts that earn as much as an answer {texts}"
            )
        case "untried":
            say("no payload was tried: there is no completion with a reward to attack")
        case "unsure":
            say(f"no payload raised the reward where it was scored; flips that do not raise it {others}")
        case "clean":
            say(f"no payload raised the reward; flips that do not raise it {others}")
