"""Which curves does a training run draw of its rules?

The same names in every trainer:

| metric | is |
| --- | --- |
| `rbr/<proposition>/p` | mean P(yes) over the completions that were asked it |
| `rbr/class/<class>` | share of the class: mean P(class) over the completions whose classes are known |
| `rbr/invalid_rate` | share of completions without a reward |
| `rbr/<scale>/mean` | mean of a scale's mean level |
| `rbr/<choice>/<option>` | mean probability of an option |
| `rbr/answer_mass/min` | the smallest share that the grader gave to any form of an answer |
| `rbr/reward/mean`, `rbr/rules/mean` | over valid completions: the reward, and its part by the rules |
| `rbr/contribution/<response type>/<feature>` | mean of weight × feature over the valid completions of this response type |

A mean over nothing is left out of a batch's metrics; of a single completion's it is NaN, since trainers
that take one completion at a time want the same names every time.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rbrlang.logic.circuit import Circuit
from rbrlang.scoring.score import Scores


def class_names(circuit: Circuit) -> tuple[str, ...]:
    """All classes of all response types, each name once."""
    return tuple(dict.fromkeys(name for response in circuit.responses for name in response.classes))


def batch_metrics(scores: Scores) -> dict[str, float]:
    """The metrics of a batch; all finite."""
    return {name: value for name, value in _all(scores).items() if math.isfinite(value)}


def one_metrics(scores: Scores, at: int) -> dict[str, float]:
    """The metrics of completion `at`, of the same names for every completion of this policy."""
    return _all(scores.part(at, at + 1))


def _all(scores: Scores) -> dict[str, float]:
    circuit, valid = scores.circuit, ~scores.invalid
    found = {f"rbr/{name}/p": _mean(scores.probs[:, i]) for i, name in enumerate(circuit.propositions)}
    for domain in (variable.domain for variable in circuit.variables):
        known = [of[domain.name] for of in scores.values if domain.name in of]
        if domain.kind == "scale":
            means = [sum(int(level) * p for level, p in of.items()) / sum(of.values()) for of in known]
            found[f"rbr/{domain.name}/mean"] = _mean(np.array(means))
        else:
            shares = {value: np.array([of.get(value, 0.0) for of in known]) for value in domain.values}
            found |= {f"rbr/{domain.name}/{value}": _mean(p) for value, p in shares.items()}
    table = class_table(scores)
    found |= {f"rbr/class/{name}": _mean(table[:, i]) for i, name in enumerate(class_names(circuit))}
    found["rbr/invalid_rate"] = float(np.mean(~valid)) if len(scores) else math.nan
    known = scores.masses[np.isfinite(scores.masses)]
    found["rbr/answer_mass/min"] = float(known.min()) if len(known) else math.nan
    found["rbr/reward/mean"] = _mean(scores.rewards[valid])
    found["rbr/rules/mean"] = _mean(scores.contributions[valid, 1:].sum(1))
    for number, response in enumerate(circuit.responses):
        parts = scores.contributions[valid & (scores.responses == number), 1:]
        found |= {
            f"rbr/contribution/{response.name}/{feature.name}": _mean(parts[:, i])
            for i, feature in enumerate(response.features)
        }
    return found


def class_table(scores: Scores) -> NDArray[np.float64]:
    """P(class) under the names of `class_names`, float64 [batch, names].

    0 for classes that a completion's response type lacks; a whole row of NaN where they are not known.
    """
    names = {name: i for i, name in enumerate(class_names(scores.circuit))}
    table = np.full((len(scores), len(names)), math.nan)
    known = ~np.isnan(scores.class_probs).any(axis=1)
    for number, response in enumerate(scores.circuit.responses):
        some = np.flatnonzero(known & (scores.responses == number))
        table[some] = 0.0
        for i, name in enumerate(response.classes):
            table[some, names[name]] = scores.class_probs[some, i]
    return table


def likely_class(scores: Scores, at: int) -> str | None:
    """The most probable class of a completion; None where the classes are not known."""
    probs, number = scores.class_probs[at], int(scores.responses[at])
    if number < 0 or np.isnan(probs).any():
        return None
    return scores.circuit.responses[number].classes[int(probs.argmax())]


def _mean(values: NDArray[np.floating]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean(dtype=np.float64)) if len(known) else math.nan
