"""When do a cheap grader's answers suffice, such that the class is seldom another than the strong grader's?

A row keeps the cheap grader's answers where its likeliest class has a probability of at least a threshold by them; any other row
is asked of the strong grader, and cannot differ. The share of rows that keep a class which the strong grader would not give is
held below `risk` with probability `confidence` over the draw of the sample, by Learn then Test (Angelopoulos, Bates, Candès,
Jordan & Lei, arXiv 2110.01052): the thresholds of a fixed list are tested from the safest on, each by the exact binomial tail of
the hypothesis that its share is above `risk`, and the last one before the first that is not rejected is taken (fixed-sequence
testing, so nothing has to be divided by the number of tests).

Rows of one prompt depend on one another, so one row of each prompt is drawn and the others are left out: the guarantee is of a row
that is drawn from a prompt that is drawn, each prompt counting the same. It assumes that new rows are drawn as the sample was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.judge import unshaped
from rbrlang.grading.several.jury import Floats
from rbrlang.grading.several.weights import read_learned
from rbrlang.grading.trust.corrections import CalibrationError, count, fields, finite, text, whole

FORMAT = "rbrlang-cascade 1"
THRESHOLDS = (*(1 - 10 ** (-at / 40) for at in range(240, 12, -1)), 0.0)
"""From 1 - 10⁻⁶ down to one half, then none: fixed before any sample is seen, as the tests demand."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A row goes on to the strong grader where its likeliest class has less than `value`, or has no probability.

    `differing` of `prompts` drawn rows keep another class than the strong grader's; their share is at most `risk` with
    probability `confidence`, and at most `bound` by the same test.
    """

    value: float
    risk: float
    confidence: float
    seed: int
    prompts: int
    differing: int
    bound: float


@dataclass(frozen=True, slots=True)
class Refused:
    """Why there is no threshold."""

    reason: str


def needed(risk: float, confidence: float) -> int:
    """The fewest prompts that can show it, if not one differs."""
    return math.ceil(math.log(1 - confidence) / math.log1p(-risk))


def learn(
    sure: Floats, differs: NDArray[np.bool_], prompts: NDArray[np.int64], risk: float, confidence: float, seed: int
) -> Threshold | Refused:
    """The lowest threshold that holds the risk.

    `sure` [rows] is the likeliest class's probability by the cheap grader, NaN for none; `differs` [rows]: the strong grader
    gives another class.
    """
    drawn = one_of_each(prompts, seed)
    number, least = len(drawn), needed(risk, confidence)
    if number < least:
        return Refused(
            f"{number} prompts cannot show a risk of {risk:g} at {confidence:g}: with no difference at all it takes "
            f"{least} prompts, and more with any"
        )
    sure, differs = sure[drawn], differs[drawn]
    kept = np.array([(sure >= value) for value in THRESHOLDS])
    wrong = (kept & differs).sum(1).tolist()
    at = -1
    while at + 1 < len(wrong) and tail(wrong[at + 1], number, risk) <= 1 - confidence:
        at += 1
    if at < 0 or not kept[at].any():
        return Refused(
            f"no threshold holds a risk of {risk:g} at {confidence:g} and saves anything: the first grader's class differs in "
            f"{int(differs.sum())} of {number} prompts, also where it is surest"
        )
    return Threshold(THRESHOLDS[at], risk, confidence, seed, number, wrong[at], upper(wrong[at], number, confidence))


def one_of_each(prompts: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The number of one row of each prompt, drawn."""
    order = np.random.default_rng(seed).permutation(len(prompts))
    return order[np.unique(prompts[order], return_index=True)[1]]


def tail(errors: int, number: int, risk: float) -> float:
    """P(at most so many errors in so many draws) where each is one with probability `risk`, exactly."""
    from scipy.special import bdtr  # takes a sixth of a second to load, and only learning needs it

    return float(bdtr(errors, number, risk))


def upper(errors: int, number: int, confidence: float) -> float:
    """Clopper and Pearson's upper end (Biometrika 26, 1934) of the share, one-sided."""
    from scipy.special import betaincinv

    return 1.0 if errors == number else float(betaincinv(errors + 1, number - errors, confidence))


# --- files --------------------------------------------------------------------------------------


def to_json(threshold: Threshold, members: Sequence[str], policy: str) -> dict[str, Any]:
    """The plain form, for files; `policy` says of which rules and questions."""
    first, then = (unshaped(one) for one in members)
    return {"format": FORMAT, "first": first, "then": then, "policy": policy, **asdict(threshold)}


def read(path: Path, members: Sequence[str], policy: str) -> tuple[Threshold, Mapping[str, Any]]:
    """The threshold of a file, which has to be of these graders and this policy, and the plain form.

    Raises `OSError`, `CalibrationError`.
    """
    plain = read_learned(path, FORMAT, "a cascade's thresholds", "--cascade")
    numbers = ("value", "risk", "confidence", "seed", "prompts", "differing", "bound")
    found = fields(plain, f"`{path}`", ("format", "first", "then", "policy", *numbers))
    for key, member in zip(("first", "then"), members, strict=True):
        if text(found[key], f"`{key}`") != unshaped(member):
            raise CalibrationError(
                f"`{path}` was learned with `{found[key]}` as `{key}`, and here it is `{unshaped(member)}`; learn it again "
                "with `rbrc agree --cascade`"
            )
    if text(found["policy"], "`policy`") != policy:
        raise CalibrationError(
            f"`{path}` was learned under other rules or questions than this policy's, so nothing is guaranteed; learn it "
            "again with `rbrc agree --cascade`"
        )
    shares = {key: finite(found[key], f"`{key}`") for key in ("value", "risk", "confidence", "bound")}
    if not all(0 <= one <= 1 for one in shares.values()):
        raise CalibrationError(f"`{path}`: `value`, `risk`, `confidence` and `bound` must be from 0 to 1")
    return Threshold(
        shares["value"], shares["risk"], shares["confidence"], whole(found["seed"], "`seed`"),
        count(found["prompts"], "`prompts`"), count(found["differing"], "`differing`"), shares["bound"],
    ), found  # fmt: skip
