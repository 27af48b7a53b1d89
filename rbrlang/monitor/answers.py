"""How much do the answers to each question vary, and how far are two gradings of the same completions apart?

One number a question, in the order of `Circuit.questions`, so that every question is watched by the same rule. What an answer
is as numbers:

| question | numbers | apart |
| --- | --- | --- |
| a proposition | P(yes) | their difference |
| a scale | its mean, moved to [0, 1] | their difference |
| a choice | P of each option | half the sum of the differences: the share that went to other options |
| a rubric | P(met) of each criterion | the mean difference |

A choice of two options is as far apart, and varies as much, as a proposition.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rbrlang.scoring.metrics import shares
from rbrlang.scoring.score import Scores

Floats = NDArray[np.float64]


def answers(scores: Scores) -> tuple[Floats, ...]:
    """The answers to each question [batch, numbers of the question], NaN = unknown."""
    circuit = scores.circuit
    found = [scores.probs[:, [at]].astype(np.float64) for at in range(len(circuit.propositions))]
    for rubric in circuit.rubrics:
        width = max((len(met.get(rubric.name, ())) for met in scores.met), default=0)
        table = np.full((len(scores), width), math.nan)
        for at, met in enumerate(scores.met):
            given = met.get(rubric.name, ())
            table[at, : len(given)] = [math.nan if p is None else p for p in given]
        found.append(table)
    for domain in circuit.asked_domains.values():
        table = shares(scores, domain)
        if domain.kind == "scale":
            table = table @ np.linspace(0.0, 1.0, len(domain.values))[:, None]
        found.append(table)
    return tuple(found)


def apart(scores: Scores, first: tuple[Floats, ...], second: tuple[Floats, ...]) -> Floats:
    """How far two gradings are apart [batch, questions], in [0, 1]; NaN where one of them says nothing."""
    domains, each = scores.circuit.asked_domains, list[Floats]()
    for question, (a, b) in enumerate(zip(first, second, strict=True)):
        width = max(a.shape[1], b.shape[1])
        a, b = (np.pad(one, ((0, 0), (0, width - one.shape[1])), constant_values=math.nan) for one in (a, b))
        differences = np.abs(a - b)
        known = np.isfinite(differences)
        sums, counts = np.where(known, differences, 0.0).sum(1), known.sum(1)
        over = 2.0 if question in domains and domains[question].kind == "choice" else np.maximum(counts, 1)
        each.append(np.minimum(np.where(counts > 0, sums / over, math.nan), 1.0))
    return np.stack(each, 1) if each else np.zeros((len(scores), 0))


def spreads(scores: Scores) -> Floats:
    """How much each question's answers vary within the batch, and the reward, [questions + 1]; NaN of fewer than two values.

    It is a standard deviation. The options of a choice are taken together, and so are the features of a rubric: the root of
    the sum of their variances, half of it for a choice.
    """
    circuit = scores.circuit
    tables = list(answers(scores))
    place = 0
    for at, rubric in enumerate(circuit.rubrics, len(circuit.propositions)):
        width = len(rubric.tags) or 1
        tables[at] = scores.rubrics[:, place : place + width].astype(np.float64)
        place += width
    halved = {at for at, domain in circuit.asked_domains.items() if domain.kind == "choice"}
    found = [_spread(table, 0.5 if at in halved else 1.0) for at, table in enumerate(tables)]
    return np.array([*found, _spread(scores.rewards[:, None].astype(np.float64), 1.0)])


def _spread(table: Floats, share: float) -> float:
    known = table[np.isfinite(table).all(axis=1)]
    if len(known) < 2:
        return math.nan
    return float(known.std()) if table.shape[1] == 1 else math.sqrt(share * float(known.var(axis=0).sum()))
