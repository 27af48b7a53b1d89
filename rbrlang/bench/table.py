"""Which rows does the bench have, in which order, and what does each ask?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rbrlang.bench import checking, fitting, grading, reward, scoring
from rbrlang.bench.outcome import Outcome
from rbrlang.bench.process import Bench


@dataclass(frozen=True, slots=True)
class Row:
    """A question of the table and what answers it."""

    title: str
    run: Callable[[Bench], Outcome]


# What is cheap comes first: a quick run leaves out what it has no time for.
ROWS: Mapping[str, Row] = {
    "check": Row("How does a check grow with the policy?", checking.growth),
    "odd": Row("What do policies cost that were written to be costly?", checking.odd),
    "score": Row("How many rows a second does `rbrc score` reward in JSON Lines?", scoring.json_lines),
    "score-parquet": Row("How many in Parquet?", scoring.parquet),
    "grade": Row("How many completions a second does the embedded grader answer?", grading.completions),
    "reward": Row("How fast does a compiled reward run?", reward.running),
    "compile": Row("How long does a reward take to compile, at any size of the policy?", reward.compiling),
    "retraces": Row("When does the same reward compile again?", reward.traces),
    "programs": Row("What do its other functions, and a second process, compile again?", reward.together),
    "fit": Row("How long does `rbrc fit` take?", fitting.process),
    "fit-published": Row("How does the fit compare with the published procedure?", fitting.published),
    "growth": Row("How does compiling grow with propositions and response types?", reward.growth),
}
