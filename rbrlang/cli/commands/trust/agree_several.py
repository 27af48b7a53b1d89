"""`rbrc agree --jury G …` and `--cascade FIRST THEN`: what are several graders worth together, and when is a cheap one enough?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbrlang.cli import options as shared
from rbrlang.cli.commands.trust.agree_labels import labelled_rows
from rbrlang.cli.errors import UsageError
from rbrlang.cli.terminal import say, warn, wrapped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rbrlang.grading.several.thresholds import Threshold
    from rbrlang.grading.several.verdict import Judged, Verdict
    from rbrlang.grading.several.weights import Fitted
    from rbrlang.policy import Policy
    from rbrlang.rows.read import Row

_ALONE = ("folds", "train", "calibrate", "calibration", "plot", "order_effect", "gate", "heads")
"""Options that are about one grader."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """`--jury`, `--cascade` and what they take."""
    group = parser.add_argument_group("several graders")
    group.add_argument(
        "--jury", nargs="+", metavar="G",
        help="judge these graders together, and write the weights learned from the labels to -o",
    )  # fmt: skip
    group.add_argument(
        "--cascade", nargs=2, metavar=("FIRST", "THEN"),
        help="learn when the first grader's answers suffice, and write the threshold to -o; no labels are needed",
    )  # fmt: skip
    group.add_argument(
        "--risk", type=shared.share, metavar="R",
        help="--cascade: the share of rows that may get another class than by THEN (default: 0.02)",
    )  # fmt: skip
    group.add_argument(
        "--confidence", type=shared.share, metavar="C",
        help="--cascade: the probability with which that holds (default: 0.95)",
    )  # fmt: skip


def run(options: argparse.Namespace, policy: Policy) -> int:
    """Grade the rows by each grader, learn, write, say; 1 where no threshold can be had, 3 when a row is unusable."""
    _check(options)
    from rbrlang.cli import data
    from rbrlang.reward.rows import response_ids

    found = data.read_kept(options, options.gold, policy.circuit)
    rows = found.rows if options.cascade else labelled_rows(found.rows, policy, options.gold)
    ids = response_ids(policy.circuit, rows)
    unknown = data.check_response_types(rows, ids.tolist(), options.gold, policy.circuit.response_names)
    _say_flattered(options)
    done = _cascade(options, policy, rows, ids) if options.cascade else _jury(options, policy, rows)
    return done or (data.EXIT_SOME_INVALID if unknown or found.bad else 0)


def _check(options: argparse.Namespace) -> None:
    if options.jury and options.cascade:
        raise UsageError("`--jury` and `--cascade` learn different things; give one of them")
    if options.jury and len(options.jury) < 2:
        raise UsageError("`--jury` names one grader, and a jury has two or more; leave it out to judge one")
    what = "--jury" if options.jury else "--cascade"
    for name in _ALONE:
        if getattr(options, name):
            flag = {"folds": "cross-validate"}.get(name, name.replace("_", "-"))
            raise UsageError(f"`--{flag}` is about one grader; leave it out with `{what}`, or use it on each before")
    if options.grader != "embedded":
        raise UsageError(f"`--grader {options.grader}` has no say with `{what}`, which names its graders; leave it out")
    if options.jury and (options.risk is not None or options.confidence is not None):
        raise UsageError("`--risk` and `--confidence` are for `--cascade`")
    options.risk, options.confidence = (
        usual if given is None else given for given, usual in ((options.risk, 0.02), (options.confidence, 0.95))
    )
    for name in ("risk", "confidence"):
        if not 0 < getattr(options, name) < 1:
            raise UsageError(f"`--{name} {getattr(options, name):g}` must lie between 0 and 1")
    if options.output == "-" or (options.output and not Path(options.output).absolute().parent.is_dir()):
        raise UsageError(f"`-o {options.output}`: name a file in a folder that is there")


def _say_flattered(options: argparse.Namespace) -> None:
    """The embedded grader knows the rows that its heads were learned from better than any new one."""
    from rbrlang.cli import graders
    from rbrlang.grading.questions.specs import EmbeddedSpec

    named = options.cascade or options.jury
    if any(
        isinstance(leaf, EmbeddedSpec) for name in named for leaf in graders.leaves_of(graders.member(options, name))
    ):
        warn(
            "where heads of the embedded grader were learned from these rows, what follows flatters it and guarantees "
            "nothing; take other rows, or cross-fitted answers: `rbrc agree --cross-validate 5 -o judged.jsonl`, then "
            "`table:judged.jsonl`"
        )


# --- grading ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Graded:
    """What one grader said: who it is, rows with its `probs`, how many answers and requests, and what they cost in all."""

    name: str
    identity: str
    rows: Sequence[Row]
    answers: NDArray[np.int64]
    requests: int
    cost: float


def _graded(options: argparse.Namespace, policy: Policy, name: str, rows: Sequence[Row], *, every: bool) -> _Graded:
    import numpy as np

    from rbrlang.cli import graders
    from rbrlang.cli.commands.grading.told import tell_costs
    from rbrlang.grading.endpoint.account import together
    from rbrlang.grading.judge import unshaped
    from rbrlang.rows.kept import Kept, in_blocks

    own = graders.member(options, name)
    grading, kept = graders.Grading(own, policy, every=every), Kept["Row"]()
    summaries, answers, identity = [], [], own.grader
    for _, some in in_blocks(rows, graders.AT_ONCE):
        graded = grading(some)
        kept.extend(graded.rows)
        summaries += [] if graded.summary is None else [graded.summary]
        answers += [len(of) for of in graded.answers] or [0] * len(some)
        identity = unshaped(graded.identity)
        identity += "" if graded.calibration is None else f" calibration {graded.calibration.identity}"
    spent = together(summaries)
    if spent is None:
        return _Graded(name, identity, kept, np.array(answers), 0, 0.0)
    tell_costs(spent, own.cache)
    # What a cache gave was paid for once: it counts as if it were asked now.
    return _Graded(name, identity, kept, np.array(answers), spent.asks, spent.cost + spent.cost_reused)


def _each_graded(
    options: argparse.Namespace, policy: Policy, names: Sequence[str], rows: Sequence[Row], *, every: bool
) -> list[_Graded]:
    """What each says, unless one is named twice. Raises `UserError`."""
    from rbrlang.grading.several.opening import check_distinct

    found: list[_Graded] = []
    check_distinct(names, names)  # before anything is paid for
    for name in names:
        found.append(_graded(options, policy, name, rows, every=every))
        check_distinct(names, [one.identity for one in found])
    return found


# --- juries -------------------------------------------------------------------------------------


def _jury(options: argparse.Namespace, policy: Policy, rows: Sequence[Row]) -> int:
    import numpy as np

    from rbrlang.grading.several import weights
    from rbrlang.grading.several.verdict import verdict
    from rbrlang.grading.trust.values import numbers

    names = policy.circuit.propositions
    labels = numbers(names, (row.labels for row in rows), len(rows))
    prompts = _prompts(rows)
    if len(np.unique(prompts)) < 2:
        raise UsageError(
            f"`{options.gold}` has labels of one prompt, and weights are judged on other prompts than their own"
        )
    members = _each_graded(options, policy, options.jury, rows, every=True)
    p = np.array([numbers(names, (row.probs for row in one.rows), len(rows)) for one in members])
    found = verdict(names, labels, p, prompts, options.seed, options.bootstrap)
    fitted = weights.fit([one.identity for one in members], names, labels, p, options.seed)
    if options.output:
        weights.write_learned(Path(options.output), weights.to_json(fitted))
    if options.format == "json":
        from rbrlang.cli.render import dump

        sys.stdout.write(dump(_jury_json(options, policy, members, found, fitted)))
    else:
        _show_jury(options, policy, members, found, fitted)
    return 0


def _jury_json(
    options: argparse.Namespace, policy: Policy, members: Sequence[_Graded], found: Verdict, fitted: Fitted
) -> dict[str, Any]:
    from rbrlang.grading.several import weights
    from rbrlang.grading.trust.agreement import Agreement, TooLittle

    def plain(one: Judged) -> dict[str, Any]:
        macro = one.macro
        means = (
            {"refused": macro.reason} if isinstance(macro, TooLittle)
            else {"auc": macro.auc.value, "balanced_accuracy": macro.balanced_accuracy, "ece": macro.ece.value}
        )  # fmt: skip
        aucs = {
            name: each.auc.value if isinstance(each, Agreement) else None
            for name, each in zip(policy.circuit.propositions, one.each, strict=True)
        }
        return means | {"answered": one.answered, "labels": one.labels, "propositions": aucs}

    return {
        "seed": options.seed,
        "members": [
            {"name": one.name, "identity": one.identity, "requests": one.requests, "cost": one.cost} | plain(judged)
            | {"without": plain(without)}
            for one, judged, without in zip(members, found.jurors, found.without, strict=True)
        ],
        "mean": plain(found.mean), "fitted": plain(found.fitted),
        "kappa": [[None if k != k else k for k in row] for row in found.kappa.tolist()],
        "weights": weights.to_json(fitted),
    }  # fmt: skip


def _show_jury(
    options: argparse.Namespace, policy: Policy, members: Sequence[_Graded], found: Verdict, fitted: Fitted
) -> None:
    from rbrlang.cli.tables import show
    from rbrlang.grading.trust.agreement import Agreement, TooLittle

    def cells(one: Judged) -> tuple[str, ...]:
        if isinstance(one.macro, TooLittle):
            return "", "", "", "", f"{one.answered} of {one.labels}"
        area, macro = one.macro.auc, one.macro
        return (
            f"{area.value:.3f}", "" if area.low != area.low else f"{area.low:.2f} to {area.high:.2f}",
            f"{macro.balanced_accuracy:.3f}", f"{macro.ece.value:.3f}", f"{one.answered} of {one.labels}",
        )  # fmt: skip

    rows = [
        (one.name, *cells(judged), str(one.requests or "-"), f"{one.cost:.4f}" if one.cost else "-")
        for one, judged in zip(members, found.jurors, strict=True)
    ]
    rows += [
        ("mean of log-odds", *cells(found.mean), "", ""),
        ("fitted, on other prompts", *cells(found.fitted), "", ""),
    ]
    show("Means over propositions", ("", "AUC", "", "bal.", "ECE", "answered", "requests", "cost"), rows)
    full = found.fitted.macro
    if isinstance(full, TooLittle):
        wrapped(f"not judged: {full.reason}", after="  ")
    lost: list[tuple[str, ...]] = []
    for at, (one, without) in enumerate(zip(members, found.without, strict=True)):
        loss = (
            None
            if isinstance(full, TooLittle) or isinstance(without.macro, TooLittle)
            else full.auc.value - without.macro.auc.value
        )
        each = "-" if loss is None or not one.cost else f"{loss / one.cost:+.3g}"
        kappas = (("" if at == to else "-" if k != k else f"{k:.2f}") for to, k in enumerate(found.kappa[at].tolist()))
        lost.append(
            (one.name, "-" if loss is None else f"{loss:+.3f}", each, f"{fitted.shared.weights[at]:.2f}", *kappas)
        )
    show(
        "What each adds: AUC that the fitted jury would lose without it, for its cost too; its shared weight; kappa with the others",
        ("", "adds", "per cost", "weight", *(one.name for one in members)), lost,
    )  # fmt: skip
    if options.details:
        own = [
            (name, *(f"{w:.2f}" for w in fitted.propositions.get(name, fitted.shared).weights),
             "" if name in fitted.propositions else "shared", *(f"{each.auc.value:.3f}" if isinstance(each, Agreement) else "-"
             for each in (found.mean.each[at], found.fitted.each[at])))
            for at, name in enumerate(policy.circuit.propositions)
        ]  # fmt: skip
        show("Weights", ("proposition", *(one.name for one in members), "", "AUC of mean", "fitted"), own)
    say(f"{found.fitted.labels} labels, folds by prompt, seed {options.seed}")
    if options.output:
        say(f'wrote {options.output}; name it in the file of a jury: weights = "{Path(options.output).name}"')


# --- cascades -----------------------------------------------------------------------------------


def _cascade(options: argparse.Namespace, policy: Policy, rows: Sequence[Row], ids: NDArray[np.int32]) -> int:
    import numpy as np

    from rbrlang.grading.several import thresholds, weights
    from rbrlang.grading.several.cascade import rules_of
    from rbrlang.reward.numpy import NumpyReward

    least, prompts = thresholds.needed(options.risk, options.confidence), _prompts(rows)
    if len(np.unique(prompts)) < least:  # before anything is paid for
        raise UsageError(
            f"`{options.gold}` has {len(np.unique(prompts))} prompts, and to show a risk of {options.risk:g} at "
            f"{options.confidence:g} takes {least} even if no class differs; give more prompts, or allow a higher `--risk`"
        )
    first, then = _each_graded(options, policy, options.cascade, rows, every=False)
    reward = NumpyReward(policy.circuit)
    of = [reward.class_probs(reward.encode(one.rows), ids) for one in (first, then)]
    known = [~np.isnan(one).any(1) for one in of]
    told = np.flatnonzero(known[1])  # where the second grader gives no class, none can differ from it
    sure = np.where(known[0], np.nan_to_num(of[0]).max(1), np.nan)
    differs = np.nan_to_num(of[0]).argmax(1) != np.nan_to_num(of[1]).argmax(1)
    found = thresholds.learn(sure[told], differs[told], prompts[told], options.risk, options.confidence, options.seed)
    if len(told) < len(rows):
        warn(
            f"`{options.cascade[1]}` gives no class to {len(rows) - len(told)} of {len(rows)} rows, which take no part"
        )
    if isinstance(found, thresholds.Refused):
        warn(f"rbrc agree: {found.reason}")
        return 1
    plain = thresholds.to_json(found, [first.identity, then.identity], rules_of(policy, policy.circuit))
    if options.output:
        weights.write_learned(Path(options.output), plain)
    kept = sure[told] >= found.value
    asked = then.answers[told]
    saved = {
        "rows": len(told), "kept": int(kept.sum()), "differing": int((kept & differs[told]).sum()),
        "questions": int(asked.sum()), "questions_saved": int(asked[kept].sum()),
        "cost": then.cost, "cost_saved": then.cost * float(asked[kept].sum() / max(asked.sum(), 1)), "first_cost": first.cost,
    }  # fmt: skip
    if options.format == "json":
        from rbrlang.cli.render import dump

        sys.stdout.write(
            dump({"threshold": asdict(found), "first": first.identity, "then": then.identity, "saved": saved})
        )
    else:
        _show_cascade(options, found, saved)
    return 0


def _show_cascade(options: argparse.Namespace, found: Threshold, saved: dict[str, Any]) -> None:
    first, then = options.cascade
    wrapped(
        f"rule: a row whose likeliest class has {found.value:.4g} or more by `{first}` keeps its answers; any other row, and "
        f"any without a class, is asked of `{then}`", after="  ",
    )  # fmt: skip
    share = saved["questions_saved"] / max(saved["questions"], 1)
    wrapped(
        f"saved on these rows: {saved['kept']} of {saved['rows']} rows are not asked of `{then}`, "
        f"{saved['questions_saved']} of {saved['questions']} questions ({share:.0%})"
        + (f", {saved['cost_saved']:.4f} of {saved['cost']:.4f} in cost" if saved["cost"] else "")
        + (f", for {saved['first_cost']:.4f} of `{first}`" if saved["first_cost"] else ""), after="  ",
    )  # fmt: skip
    wrapped(
        f"guaranteed: with probability {found.confidence:g}, at most {found.risk:.2%} of rows get another class than by "
        f"`{then}`, each prompt counting the same. One row of each of {found.prompts} prompts was drawn (seed {found.seed}): "
        f"{found.differing} differ, so the share is at most {found.bound:.2%} by the exact binomial bound. That holds for new "
        "rows that are drawn as these were, and for this policy and these graders alone", after="  ",
    )  # fmt: skip
    if options.output:
        say(f'wrote {options.output}; a cascade\'s file names it: thresholds = "{Path(options.output).name}"')


def _prompts(rows: Sequence[Row]) -> NDArray[np.int64]:
    import numpy as np

    return np.unique(np.array([row.prompt_key for row in rows], np.str_), return_inverse=True)[1]
