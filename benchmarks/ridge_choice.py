"""Does the ridge that `fit` chooses cost ranking, and what does it spare?

Goal: on the example's 330 completions no response type's rules spread more than 10 times as far as the base reward,
and prompts left out are ranked no worse than by the weights of least loss (`--ridge 0`), within the interval of the
difference.

Reason: the least loss on training pairs sends weights to the hundreds where pairs can nearly be ordered. Such a
reward ranks well, and in RL the base reward is lost beside it.

Every prompt is judged once a seed, in five folds, by weights fitted to the prompts of the other folds; its wrongness is
the mean over seeds. Intervals are 1.96 standard errors over prompts. The grader is the embedded one (the policy's cues,
no learning), then the human labels as certain answers; any file of rows with `labels`, `probs` and base rewards can be
given instead. Spreads are of all rows, the largest over seeds and folds.

    python benchmarks/ridge_choice.py [--seeds 5] [--json] [ROWS …]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import rbrlang
from rbrlang.grading.embedded.grader import EmbeddedGrader
from rbrlang.grading.results import GradeItem, probability
from rbrlang.learning.comparisons import pair_errors
from rbrlang.learning.fitting.fit import fit
from rbrlang.learning.sample import Sample, sample_rows
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import Row, read_rows, with_labels_as_probs

EXAMPLE = Path(__file__).parents[1] / "examples" / "refusals"
CHOICES = {"chosen": None, "least loss": 0.0}
FOLDS = 5


def graded_by_cues(policy: rbrlang.Policy, rows: Sequence[Row]) -> list[Row]:
    """Rows with the embedded grader's answers."""
    names = policy.circuit.propositions
    items = [GradeItem(row.id, row.conversation, 0) for row in rows]
    answers = EmbeddedGrader(policy.program.propositions).answers(items, [range(len(names))] * len(items))
    return [
        replace(row, probs={names[p]: probability(answer) for p, answer in found.items()})
        for row, found in zip(rows, answers, strict=True)
    ]


def compare(policy: rbrlang.Policy, rows: Sequence[Row], seeds: int) -> list[dict[str, Any]]:
    """A line per response type, and one of all: held-out ranking error and spread of both choices."""
    reward = NumpyReward(policy.circuit)
    samples = sample_rows(reward, rows, class_source="labels")
    keys = sorted(set(samples.prompt_keys))
    wrong = {choice: [np.zeros(len(one.comparisons)) for one in samples.samples] for choice in CHOICES}
    ratios = {choice: np.zeros(len(samples.samples)) for choice in CHOICES}
    ridges: list[float] = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(keys))
        fold_of = {keys[at]: place % FOLDS for place, at in enumerate(order.tolist())}
        fold_of_prompt = np.array([fold_of[key] for key in samples.prompt_keys])
        for fold in range(FOLDS):
            others = [row for row in rows if fold_of.get(row.prompt_key) != fold]
            for choice, ridge in CHOICES.items():
                result = fit(
                    policy.circuit, others, class_source="labels", ridge=ridge, seed=seed, held_out=0, bootstrap=0
                )
                ridges += [result.path.ridge] if ridge is None else []
                for at, one in enumerate(samples.samples):
                    rules = one.features @ result.weights[at, : one.features.shape[1]].astype(np.float64)
                    judged = fold_of_prompt[one.comparisons.prompt] == fold
                    errors = pair_errors(one.base + rules, one.comparisons)[judged]
                    wrong[choice][at][judged] += errors / seeds
                    ratios[choice][at] = max(ratios[choice][at], rules.std() / one.base.std())
    lines = [
        _line(
            one.response.name,
            [one],
            {choice: [wrong[choice][at]] for choice in CHOICES},
            {c: ratios[c][at] for c in CHOICES},
        )
        for at, one in enumerate(samples.samples)
    ]
    lines.append(_line("all", samples.samples, wrong, {choice: ratios[choice].max() for choice in CHOICES}))
    return [{**line, "ridge": [min(ridges), max(ridges)]} for line in lines]


def _line(
    name: str, samples: Sequence[Sample], wrong: dict[str, list[np.ndarray]], ratios: dict[str, float]
) -> dict[str, Any]:
    prompts = [one.comparisons.prompt for one in samples]
    chosen, least = (_mean(wrong[choice], prompts) for choice in CHOICES)
    worse = _mean([a - b for a, b in zip(*(wrong[choice] for choice in CHOICES), strict=True)], prompts)
    return {
        "response_type": name,
        "error": {"chosen": chosen, "least_loss": least},
        "difference": worse,
        "spread": {"chosen": float(ratios["chosen"]), "least_loss": float(ratios["least loss"])},
    }


def _mean(values: Sequence[np.ndarray], prompts: Sequence[np.ndarray]) -> list[float]:
    """The mean over all pairs, and its 95 % interval over prompts."""
    pairs, prompt = np.concatenate(values), np.concatenate(prompts)
    mean = float(pairs.mean())
    count = len(np.unique(prompt))
    half = 1.96 * float(np.sqrt(np.sum(np.bincount(prompt, pairs - mean) ** 2) * count / (count - 1))) / len(pairs)
    return [mean, mean - half, mean + half]


def main() -> int:
    """Measure and print; the exit code says whether the goals were met."""
    parser = argparse.ArgumentParser(description="Compare the chosen ridge with the least loss.")
    parser.add_argument("rows", nargs="*", help="rows with labels, probs and base rewards, of the example's policy")
    parser.add_argument("--seeds", type=int, default=5, metavar="N")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    policy = rbrlang.load(EXAMPLE / "policy.rbr")
    written = read_rows(EXAMPLE / "completions.jsonl").rows
    sets = {path: list(read_rows(path).rows) for path in options.rows} or {
        "embedded grader": graded_by_cues(policy, written),
        "labels": with_labels_as_probs(written),
    }
    begun = time.process_time()
    tables = {name: compare(policy, rows, options.seeds) for name, rows in sets.items()}
    lines = [line for table in tables.values() for line in table]
    goals = {
        "rules spread at most 10 times as far as the base reward": all(li["spread"]["chosen"] <= 10 for li in lines),
        "held-out ranking error within the interval of the least loss": all(
            li["error"]["chosen"][0] <= li["error"]["least_loss"][2] for li in lines
        ),
    }
    if options.json:
        sys.stdout.write(json.dumps({"seeds": options.seeds, "tables": tables, "goals": goals}, indent=1) + "\n")
        return 0 if all(goals.values()) else 1
    for name, table in tables.items():
        low, high = table[0]["ridge"]
        sys.stdout.write(f"{name}, {options.seeds} seeds, ridges {low:g} … {high:g}\n")
        sys.stdout.write(
            f"{'':>14} | held-out ranking error: chosen | least loss, 95 %      | chosen less least loss, 95 % | most rules / base: chosen, least loss\n"
        )
        for line in table:
            (chosen, *_), (least, *interval), (worse, *apart) = *line["error"].values(), line["difference"]
            sys.stdout.write(
                f"{line['response_type']:>14} | {chosen:>30.3f} | {least:.3f}  {interval[0]:.3f} … {interval[1]:.3f} | "
                f"{worse:+.3f}  {apart[0]:+.3f} … {apart[1]:+.3f}     | {line['spread']['chosen']:.2f}  {line['spread']['least_loss']:.1f}\n"
            )
    sys.stdout.write(f"{time.process_time() - begun:.0f} s of processor time\n")
    for goal, met in goals.items():
        sys.stdout.write(f"goal, {goal}: {'met' if met else 'missed'}\n")
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
