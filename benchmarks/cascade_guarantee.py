"""Does a cascade's guarantee hold on real labels, and what does it save?

Goal: of 200 samples, at most 5 % (and what 200 draws may differ from that) give a threshold that lets more rows through with
another class than the strong grader's than the risk allows.

OpenAI's gold rows are the pool, the labels the strong grader, and the embedded grader with heads cross-fitted by prompt (five folds)
the cheap one: no row is judged by heads that saw its prompt. A threshold's true share is that of the whole pool, so no noise of a
held-out part is counted. Samples are drawn in two ways:

    split    half of the prompts, at random; the other half is held out, and what is seen there is printed too
    draw     as many prompts with replacement: exchangeable with the pool, as the guarantee assumes

    python benchmarks/cascade_guarantee.py RELEASE [--samples 200] [--seed 0]

RELEASE is a folder with `proposition_prompts.yaml` and `gold_train.jsonl` of OpenAI's release.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np

import rbrlang
from rbrlang.cli.main import main as rbrc
from rbrlang.grading.embedded.train import cross_validated
from rbrlang.grading.questions.layout import wanted
from rbrlang.grading.results import GradeItem, certain
from rbrlang.grading.several.cascade import classes
from rbrlang.grading.several.thresholds import Threshold, learn
from rbrlang.grading.trust.values import numbers
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.rows import response_ids
from rbrlang.rows.read import read_rows


def pool(release: Path, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """How sure the cheap grader is of each row's class, whether that differs, the prompt, and the questions of the row."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "openai.rbr"
        rbrc(["import", "openai-rbr", str(release / "proposition_prompts.yaml"), "-o", str(file)])
        policy = rbrlang.load(str(file))
    rows = read_rows(release / "gold_train.jsonl").rows
    ids = response_ids(policy.circuit, rows)
    items = [GradeItem(row.id, row.conversation, int(number)) for row, number in zip(rows, ids, strict=True)]
    labels = numbers(policy.circuit.propositions, (row.labels for row in rows), len(rows))
    cheap = cross_validated(policy.program.propositions, items, labels, seed)
    asked, reward = wanted(policy.circuit, items), NumpyReward(policy.circuit)
    (sure, first), (_, then) = (
        classes(
            reward, items, [{q: certain(float(p[q]), "label") for q in of} for p, of in zip(table, asked, strict=True)]
        )
        for table in (cheap, labels)
    )
    prompts = np.unique(np.array([row.prompt_key for row in rows]), return_inverse=True)[1]
    return sure, first != then, prompts, np.array([len(of) for of in asked])


def main() -> None:
    """Measure, print a line for each risk and way of drawing."""
    parser = argparse.ArgumentParser()
    parser.add_argument("release", type=Path)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sure, differs, prompts, questions = pool(arguments.release, arguments.seed)
    distinct = np.unique(prompts)
    half = len(distinct) // 2
    print(
        f"{len(sure)} rows of {len(distinct)} prompts; the classes differ in {differs.mean():.3f}; seed {arguments.seed}"
    )
    allowed = 0.05 + 2 * math.sqrt(0.05 * 0.95 / arguments.samples)
    for risk in (0.02, 0.05, 0.1):
        for way in ("split", "draw"):
            random = np.random.default_rng(arguments.seed)
            over, seen, kept, saved, refused = 0, 0, [], [], 0
            for sample in range(arguments.samples):
                chosen = random.choice(distinct, half, replace=way == "draw")
                at = np.concatenate([np.flatnonzero(prompts == one) for one in chosen])
                as_drawn = np.repeat(np.arange(half), [int((prompts == one).sum()) for one in chosen])
                found = learn(sure[at], differs[at], as_drawn, risk, 0.95, sample)
                value = found.value if isinstance(found, Threshold) else math.inf
                refused += not isinstance(found, Threshold)
                stays = sure >= value
                out = ~np.isin(prompts, chosen)
                over += bool((stays & differs).mean() > risk)
                seen += bool((stays & differs)[out].mean() > risk)
                kept.append(stays.mean())
                saved.append(questions[stays].sum() / questions.sum())
            number = arguments.samples
            print(
                f"risk {risk:g}, {way}: above it in the pool {over / number:.3f} of {number} (allowed {allowed:.3f}), in what was "
                f"not drawn {seen / number:.3f}; rows kept {np.mean(kept):.3f}, questions saved {np.mean(saved):.3f}, refused {refused}"
            )


if __name__ == "__main__":
    main()
