"""Which curves does a training run draw of its rules?

The same names in every trainer:

| metric | is |
| --- | --- |
| `rbr/<proposition>/p` | mean P(yes) over the completions that were asked it |
| `rbr/class/<class>` | share of the class: mean P(class) over the completions whose classes are known |
| `rbr/invalid_rate` | share of completions without a reward |
| `rbr/scale/<scale>/mean` | mean of a scale's mean level |
| `rbr/choice/<choice>/option/<option>` | mean probability of an option |
| `rbr/rubric/<rubric>/mean`, `rbr/rubric/<rubric>/tag/<tag>` | mean of a rubric, or of each of its tags |
| `<question>/unknown_rate` | share of the completions to ask it about that have no answer; of a rubric, no value |
| `rbr/answer_mass/min` | the smallest share that the grader gave to any form of an answer |
| `rbr/reward/mean`, `rbr/rules/mean` | over valid completions: the reward, and its part by the rules |
| `rbr/contribution/<response type>/<feature>` | mean of weight × feature over the valid completions of this response type |

`<question>` is what `question_curves` gives: `rbr/<proposition>`, `rbr/scale/<scale>`, `rbr/choice/<choice>` or
`rbr/rubric/<rubric>`; a proposition named `class` has its curves under `rbr/prop/class`, apart from the classes'. Names of a
policy have no `/`, so no two curves have one name.

A mean over nothing is left out of a batch's metrics; of a single completion's it is NaN, since trainers
that take one completion at a time want the same names every time.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.questions.layout import reached
from rbrlang.lang.variables import Domain
from rbrlang.logic.circuit import Circuit
from rbrlang.reward.rubrics import of_response
from rbrlang.scoring.score import Scores


def class_names(circuit: Circuit) -> tuple[str, ...]:
    """All classes of all response types, each name once."""
    return tuple(dict.fromkeys(name for response in circuit.responses for name in response.classes))


def question_curves(circuit: Circuit) -> tuple[str, ...]:
    """What the names of each question's curves begin with, in the order of `circuit.questions`."""
    return (
        *(f"rbr/prop/{name}" if name == "class" else f"rbr/{name}" for name in circuit.propositions),
        *(f"rbr/rubric/{rubric.name}" for rubric in circuit.rubrics),
        *(f"rbr/{domain.kind}/{domain.name}" for domain in circuit.asked_domains.values()),
    )


def batch_metrics(scores: Scores) -> dict[str, float]:
    """The metrics of a batch; all finite."""
    return {name: value for name, value in _all(scores).items() if math.isfinite(value)}


def one_metrics(scores: Scores, at: int) -> dict[str, float]:
    """The metrics of completion `at`, of the same names for every completion of this policy."""
    return _all(scores.part(at, at + 1))


def _all(scores: Scores) -> dict[str, float]:
    circuit, valid = scores.circuit, ~scores.invalid
    curves = question_curves(circuit)
    found = {f"{curve}/p": _mean(column) for curve, column in zip(curves, scores.probs.T, strict=False)}
    for at, domain in circuit.asked_domains.items():
        of_values = shares(scores, domain)
        if domain.kind == "scale":
            found[f"{curves[at]}/mean"] = _mean(of_values @ levels(domain))
        else:
            found |= {f"{curves[at]}/option/{value}": _mean(of_values[:, i]) for i, value in enumerate(domain.values)}
    for i, name in enumerate(rubric_names(circuit)):
        found[f"rbr/rubric/{name.replace('.', '/tag/') if '.' in name else f'{name}/mean'}"] = _mean(
            scores.rubrics[:, i]
        )
    unknown = unanswered(scores)
    found |= {f"{curve}/unknown_rate": _mean(unknown[:, i]) for i, curve in enumerate(curves)}
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


def rubric_names(circuit: Circuit) -> tuple[str, ...]:
    """The features of rubrics: `quality`, or `quality.accuracy` of a tag."""
    return tuple(atom.name for atom in circuit.atoms if atom.rubric is not None)


def levels(domain: Domain) -> NDArray[np.float64]:
    """The levels of a scale as numbers."""
    return np.array([float(level) for level in domain.values])


def shares(scores: Scores, domain: Domain) -> NDArray[np.float64]:
    """How likely each value of a scale or a choice is, [batch, values], which sum to 1; NaN where that is not known."""
    table = np.full((len(scores), len(domain.values)), math.nan)
    for at, of in enumerate(scores.values):
        if domain.name in of:
            table[at] = [of[domain.name].get(value, 0.0) for value in domain.values]
    return table / table.sum(axis=1, keepdims=True)


def unanswered(scores: Scores) -> NDArray[np.float64]:
    """1 where a question of a completion's response type has no answer, [batch, questions]; NaN where it is not to be asked.

    A rubric has one where its value is known.
    """
    circuit = scores.circuit
    unknown = [~np.isfinite(column) for column in scores.probs.T]
    place = 0
    for rubric in circuit.rubrics:
        width = len(rubric.tags) or 1
        unknown.append(~np.isfinite(scores.rubrics[:, place : place + width]).all(axis=1))
        place += width
    unknown += [np.array([d.name not in of for of in scores.values], np.bool_) for d in circuit.asked_domains.values()]
    table = np.full((len(scores), len(unknown)), math.nan)
    for number, (response, asked) in enumerate(zip(circuit.responses, reached(circuit), strict=True)):
        some = np.flatnonzero(scores.responses == number)
        of_rubrics = (len(circuit.propositions) + rubric for rubric in of_response(circuit, response))
        for question in (*asked, *of_rubrics):
            table[some, question] = unknown[question][some]
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
