"""Do rows that are picked teach more than rows drawn at random, at the same price?

OpenAI's gold rows with their labels as the teacher. By each seed a quarter of the prompts is kept aside, and `teach` learns heads from
as many of the other rows as the budget says, picked in six ways:

    random        drawn
    uncertain     the first round drawn, then how near one half P(yes) is, times how far it moves the reward, summed over propositions
    rare          the first round drawn, then the rarer answers, one after another, propositions alike
    rare-moving   the same, propositions weighted by how far they move the reward: what `rbrc distil` does
    half          of each round after the first a half like that, and a half drawn
    half-later    of each round after the second

The heads that ship were learned from these rows, and take no part. Printed are means over seeds on all rows kept aside, and how far
each is from `random` with the 95 % interval of the paired difference (Student's t).

    python benchmarks/distil_picks.py RELEASE [--seeds 5] [--budgets 20 50 100 200]

RELEASE is a folder with `proposition_prompts.yaml` and `gold_train.jsonl` of OpenAI's release.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
from scipy.stats import t

import rbrlang
from rbrlang.cli.main import main as rbrc
from rbrlang.grading.distil import Choose, Sight, promising, teach
from rbrlang.grading.embedded.grader import EmbeddedGrader
from rbrlang.grading.results import GradeItem
from rbrlang.grading.trust.agreement import Macro
from rbrlang.grading.trust.assessment import assess
from rbrlang.grading.trust.values import numbers, value_atoms
from rbrlang.policy import Policy
from rbrlang.reward.rows import response_ids
from rbrlang.rows.read import Row, read_rows

ASIDE = 0.25


def uncertain(sight: Sight, number: int) -> list[int]:
    """How near one half, times how far it moves the reward."""
    promise = ((1 - np.abs(2 * sight.p - 1)) * sight.influence()).sum(1)
    return np.argsort(-promise, kind="stable")[:number].tolist()


def rare(sight: Sight, number: int) -> list[int]:
    """`promising`, whatever the propositions move."""
    alike = np.ones_like(sight.p)
    return promising(Sight(sight.left, sight.p, lambda: alike, sight.known), number)


def at_random(seed: int) -> Choose:
    """Rows as they are drawn."""
    random = np.random.default_rng((seed, 1))
    return lambda sight, number: random.permutation(len(sight.left))[:number].tolist()


def half(seed: int, after: int) -> Choose:
    """As `promising`, and a half of each round drawn, once so many rounds were picked."""
    random, rounds = np.random.default_rng((seed, 2)), count()

    def choose(sight: Sight, number: int) -> list[int]:
        drawn = number // 2 if next(rounds) >= after else 0
        first = promising(sight, number - drawn)
        others = np.setdiff1d(np.arange(len(sight.left)), first)
        return first + random.permutation(others)[:drawn].tolist()

    return choose


def measured(policy: Policy, rows: list[Row], budget: int, seed: int, choose: Choose) -> list[float]:
    """AUC, balanced accuracy, accuracy of classes, and how many propositions have a head, on the prompts kept aside."""
    circuit, names = policy.circuit, policy.circuit.propositions
    ids = response_ids(circuit, rows)
    items = [GradeItem(row.id, row.conversation, int(number)) for row, number in zip(rows, ids, strict=True)]
    labels = numbers(names, (row.labels for row in rows), len(rows))
    of_labels, given = value_atoms(circuit, rows)
    prompts = np.unique(np.array([row.prompt_key for row in rows]), return_inverse=True)[1]
    distinct = int(prompts.max()) + 1
    held = np.isin(prompts, np.random.default_rng(seed).permutation(distinct)[: round(ASIDE * distinct)])
    pool = np.flatnonzero(~held).tolist()
    lesson = teach(
        policy, items, given, pool, budget, seed, lambda chosen: labels[list(chosen)], lambda: "labels", choose
    )
    kept = [item for item, here in zip(items, held.tolist(), strict=True) if here]
    p = EmbeddedGrader(policy.program.propositions, lesson.heads, shipped_heads=False).probabilities(kept)
    found = assess(
        circuit, np.hstack([labels, of_labels])[held], np.hstack([p, given[held]]), prompts[held], ids[held], seed=seed,
        resamples=0,
    )  # fmt: skip
    if not isinstance(found.macro, Macro) or found.class_accuracy is None:
        raise ValueError("too few labels on the prompts kept aside")
    learned = sum(info.learned for info in lesson.heads.infos)
    return [found.macro.auc.value, found.macro.balanced_accuracy, found.class_accuracy.value, learned]


WAYS: dict[str, Callable[[int], Choose]] = {
    "random": at_random,
    "uncertain": lambda seed: uncertain,
    "rare": lambda seed: rare,
    "rare-moving": lambda seed: promising,
    "half": lambda seed: half(seed, 0),
    "half-later": lambda seed: half(seed, 1),
}
"""How rows are picked, by a seed."""


def main() -> None:
    """Measure, print a line of a table for each budget and way of picking."""
    parser = argparse.ArgumentParser()
    parser.add_argument("release", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budgets", type=int, nargs="+", default=[20, 50, 100, 200])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "openai.rbr"
        rbrc(["import", "openai-rbr", str(arguments.release / "proposition_prompts.yaml"), "-o", str(file)])
        policy = rbrlang.load(str(file))
    rows = list(read_rows(arguments.release / "gold_train.jsonl").rows)
    print("| rows | picked | AUC | against random | bal. | against random | classes | against random | heads |")
    print("| --- " * 9 + "|")
    quantile = t.ppf(0.975, arguments.seeds - 1) / np.sqrt(arguments.seeds)
    for budget in arguments.budgets:
        base = None
        for name, of in WAYS.items():
            found = np.array([measured(policy, rows, budget, seed, of(seed)) for seed in range(arguments.seeds)])
            base = found if base is None else base
            mean, apart = found.mean(0), found - base
            cells = [f"{mean[0]:.3f}", "", f"{mean[1]:.3f}", "", f"{mean[2]:.3f}", ""]
            if name != "random":
                half = quantile * apart.std(0, ddof=1)
                cells[1::2] = [f"{apart.mean(0)[i]:+.3f} ± {half[i]:.3f}" for i in range(3)]
            print(f"| {budget} | {name} | {' | '.join(cells)} | {mean[3]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
