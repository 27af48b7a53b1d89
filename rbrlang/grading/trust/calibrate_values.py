"""How is the distribution of a scale or a choice corrected by labels, and what becomes of its bounds?

With z the logarithms of the probabilities of all values:

- `Temperature` is `softmax(z / t)` (Guo et al. 2017, https://arxiv.org/abs/1706.04599). From 20 labels, of which at least two
  values have 5 each.
- `BiasCorrected` is `softmax(z / t + bias)`, a bias for each value (Alexandari et al. 2020, https://arxiv.org/abs/1901.06852), held
  near 0 by a normal prior of variance 1. From 60 labels with at least 5 of every value.

`fit_values` tries those that the labels suffice for **cross-fitted by prompt**, takes the one with the lowest log loss on rows that it
never saw, and leaves the variable `Unchanged` where neither is below the grader's own.

Probabilities of 0 and 1 have no logarithm: a distribution of k values is first mixed with `EDGE` of each, `EDGE + (1 − k · EDGE) · p`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, assert_never, cast

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.results import Distribution
from rbrlang.grading.trust import agreement
from rbrlang.grading.trust.corrections import (
    EDGE,
    FEWEST_FOR_PLATT,
    FEWEST_FOR_TEMPERATURE,
    FOLDS,
    CalibrationError,
    Temperature,
    Unchanged,
    count,
    fields,
    finite,
    gain_numbers,
    items,
    text,
)
from rbrlang.grading.trust.values import half_brier, rps
from rbrlang.lang.variables import Domain

Numbers = NDArray[np.floating]
Whole = NDArray[np.int64]
_COLDEST, _HOTTEST = 1 / 8, 8.0
_LIMIT = 100.0  # of temperatures, their inverses and biases in files: the exponential of any sum of them is finite
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class BiasCorrected:
    """`softmax(z / t + bias)`, t > 0; `bias` [values] sums to 0."""

    t: float
    bias: tuple[float, ...]


ValuesCorrection = Unchanged | Temperature | BiasCorrected


@dataclass(frozen=True, slots=True)
class ValuesGain:
    """Held-out log loss (nats), score (RPS of a scale, half the Brier score of a choice) and ECE of the likeliest value."""

    log_loss_before: float
    log_loss_after: float
    score_before: float
    score_after: float
    ece_before: float
    ece_after: float


@dataclass(frozen=True, slots=True)
class CalibratedValues:
    """One variable's correction, its values in the correction's order, the labels behind it, and its worth (None: never tried)."""

    name: str
    values: tuple[str, ...]
    labels: int
    correction: ValuesCorrection
    gain: ValuesGain | None


def apply_values(correction: ValuesCorrection, p: Numbers) -> Numbers:
    """Corrected distributions [rows, values]; a row with NaN is all NaN."""
    from scipy.special import softmax  # takes a sixth of a second to load; most runs correct nothing

    match correction:
        case Unchanged():
            return p
        case Temperature() | BiasCorrected():
            slope, bias = _parts(correction, p.shape[1])
            return softmax(slope * np.log(_mixed(p)) + bias, 1)
        case _:
            assert_never(correction)


def corrected_values(one: CalibratedValues, answer: Distribution) -> Distribution:
    """An answer with its probabilities corrected; each value's bounds hold whatever the distribution is that the old ones allow."""
    if isinstance(one.correction, Unchanged) or {*answer.p, *answer.low, *answer.high} != {*one.values}:
        return answer
    given, low, high = (np.array([of[v] for v in one.values]) for of in (answer.p, answer.low, answer.high))
    whole = float(given.sum())
    if not whole > 0.0:
        return answer
    p = apply_values(one.correction, given[None] / whole)[0]
    least = most = p
    if (low < high).any():
        slope, bias = _parts(one.correction, len(p))
        least, most = _bounds(slope, bias, _mixed(low[None])[0], _mixed(high[None])[0])
        least, most = np.minimum(least, p), np.maximum(most, p)
    by_value = [dict(zip(one.values, of.tolist(), strict=True)) for of in (p, least, most)]
    p, low, high = ({value: of[value] for value in answer.p} for of in by_value)
    return replace(answer, p=p, low=low, high=high)


def _parts(correction: Temperature | BiasCorrected, k: int) -> tuple[float, Numbers]:
    bias = np.array(correction.bias) if isinstance(correction, BiasCorrected) else np.zeros(k)
    return 1.0 / correction.t, bias


def _mixed(p: Numbers) -> Numbers:
    return EDGE + (1.0 - p.shape[1] * EDGE) * p


# --- bounds -------------------------------------------------------------------------------------


def _bounds(slope: float, bias: Numbers, low: Numbers, high: Numbers) -> tuple[Numbers, Numbers]:
    """Bounds [values] of `softmax(slope · log q + bias)` over all distributions q with `0 < low <= q <= high`.

    A value is least likely where its own q is least and what the others weigh, Σ exp(bias) · q^slope, is most, and the reverse.
    That sum is bounded over all ways to share out what is left: by chords on the side where they lie outside of the power, by
    Lagrange's dual function on the other, which is a bound for any multiplier.
    """
    low, high = np.maximum(low, 1.0 - (high.sum() - high)), np.minimum(high, 1.0 - (low.sum() - low))
    low, high = np.minimum(low, high), np.maximum(low, high)
    of = bias - float(np.max(bias + slope * np.log(high)))

    def weight(q: Numbers) -> Numbers:
        return np.exp(of + slope * np.log(q))

    concave = slope < 1.0
    most = (_by_dual if concave else _by_chords)(slope, of, low, high, 1.0 - low, 1.0)
    least = (_by_chords if concave else _by_dual)(slope, of, low, high, 1.0 - high, -1.0)
    least = np.maximum(least, 0.0)
    own_low, own_high = weight(low), weight(high)
    with np.errstate(invalid="ignore", divide="ignore"):
        least_p = np.nan_to_num(own_low / (own_low + most), nan=0.0)
        most_p = np.nan_to_num(own_high / (own_high + least), nan=1.0)
    return np.clip(least_p - _ROUNDING, 0.0, 1.0), np.clip(most_p + _ROUNDING, 0.0, 1.0)


def _by_chords(slope: float, of: Numbers, low: Numbers, high: Numbers, left: Numbers, sign: float) -> Numbers:
    """The most (sign 1) or least (−1) that the chords of all other values add up to when these have `left` [values] to share."""
    start, room = np.exp(of + slope * np.log(low)), high - low
    rise = np.where(room > 0.0, (np.exp(of + slope * np.log(high)) - start) / np.where(room > 0.0, room, 1.0), 0.0)
    order = np.argsort(-sign * rise, kind="stable")
    others = 1.0 - np.eye(len(low))
    rooms = (others * room)[:, order]
    before = np.cumsum(rooms, 1) - rooms
    filled = np.clip((left - others @ low)[:, None] - before, 0.0, rooms)
    return others @ start + filled @ rise[order]


def _by_dual(slope: float, of: Numbers, low: Numbers, high: Numbers, left: Numbers, sign: float) -> Numbers:
    """The same of the powers themselves, which are concave for the most and convex for the least."""
    others = 1.0 - np.eye(len(low))
    if slope == 1.0:
        return _by_chords(slope, of, low, high, left, sign)
    edges = np.concatenate([math.log(slope) + of + (slope - 1.0) * np.log(end) for end in (low, high)])
    bottom, top = np.full(len(low), edges.min()), np.full(len(low), edges.max())

    def shares(multiplier: Numbers) -> Numbers:
        stationary = (multiplier[:, None] - math.log(slope) - of) / (slope - 1.0)
        return np.exp(np.clip(stationary, np.log(low), np.log(high)))

    for _ in range(60):
        middle = (bottom + top) / 2
        over = ((others * shares(middle)).sum(1) > left) == (slope < 1.0)
        bottom, top = np.where(over, middle, bottom), np.where(over, top, middle)
    q, price = shares(bottom), np.exp(bottom)
    return (others * (np.exp(of + slope * np.log(q)) - price[:, None] * q)).sum(1) + price * left


# --- fitting ------------------------------------------------------------------------------------


def fit_values(domain: Domain, labels: Whole, p: Numbers, prompts: Whole, seed: int) -> CalibratedValues:
    """The correction of a variable from `labels` [rows], −1 = none, and distributions `p` [rows, values], NaN = none."""
    known = (labels >= 0) & ~np.isnan(p).any(1)
    truth, given = labels[known], p[known].astype(np.float64)
    given = given / given.sum(1, keepdims=True)
    counts, n = np.bincount(truth, minlength=len(domain.values)), len(truth)
    lacking = _too_little(truth)
    if lacking is None and n < FEWEST_FOR_TEMPERATURE:
        lacking = f"{n} labels; at least {FEWEST_FOR_TEMPERATURE} are needed"
    if lacking is not None:
        return CalibratedValues(domain.name, domain.values, n, Unchanged(lacking), None)
    ways: list[Callable[[Whole, Numbers], Temperature | BiasCorrected]] = [values_temperature]
    if n >= FEWEST_FOR_PLATT and counts.min() >= agreement.FEWEST_OF_EACH:
        ways.append(bias_corrected)
    fold = agreement.folds(prompts[known], seed, FOLDS)
    tried = [(_held_out(way, truth, given, fold), way) for way in ways]
    best, way = min(
        tried, key=lambda pair: log_loss(truth, pair[0])
    )  # of equal ones the first, which has fewer parameters
    gain = _gain(domain, truth, given, best)
    if gain.log_loss_after >= gain.log_loss_before:
        why = Unchanged("a correction does not lower the held-out error")
        return CalibratedValues(domain.name, domain.values, n, why, gain)
    return CalibratedValues(domain.name, domain.values, n, way(truth, given), gain)


def _too_little(truth: Whole) -> str | None:
    if (np.bincount(truth, minlength=1) >= agreement.FEWEST_OF_EACH).sum() >= 2:
        return None
    return f"{len(truth)} labels; at least two values with {agreement.FEWEST_OF_EACH} of them each are needed"


def _held_out(
    way: Callable[[Whole, Numbers], Temperature | BiasCorrected], truth: Whole, p: Numbers, fold: Whole
) -> Numbers:
    found = np.array(p)
    for number in range(FOLDS):
        held = fold == number
        if held.any() and _too_little(truth[~held]) is None:
            found[held] = apply_values(way(truth[~held], p[~held]), p[held])
    return found


def _gain(domain: Domain, truth: Whole, before: Numbers, after: Numbers) -> ValuesGain:
    score = rps if domain.kind == "scale" else half_brier

    def said(p: Numbers) -> tuple[float, float, float]:
        return log_loss(truth, p), float(score(truth, p).mean()), agreement.ece(truth == p.argmax(1), p.max(1))

    (a, b, c), (d, e, f) = said(before), said(after)
    return ValuesGain(a, d, b, e, c, f)


def log_loss(truth: Whole, p: Numbers) -> float:
    """The mean negative logarithm (nats) of what the true value was given, [rows] and [rows, values]; mixed as above, so finite."""
    return float(-np.log(_mixed(p)[np.arange(len(truth)), truth]).mean())


def values_temperature(truth: Whole, p: Numbers) -> Temperature:
    """The temperature of greatest likelihood between 1/8 and 8."""
    slope, _ = _likeliest(truth, np.log(_mixed(p)), biased=False)
    return Temperature(1.0 / slope)


def bias_corrected(truth: Whole, p: Numbers) -> BiasCorrected:
    """Temperature between 1/8 and 8 and biases of greatest posterior probability."""
    slope, bias = _likeliest(truth, np.log(_mixed(p)), biased=True)
    return BiasCorrected(1.0 / slope, tuple((bias - bias.mean()).tolist()))


def _likeliest(truth: Whole, z: Numbers, *, biased: bool) -> tuple[float, Numbers]:
    """The slope within its limits and the biases, 0 unless `biased`, that minimise the penalised log loss, convex in both."""
    from scipy.optimize import minimize  # takes a third of a second to load, and only learning needs it
    from scipy.special import logsumexp, softmax

    n, k = z.shape
    right = np.eye(k)[truth]

    def loss(x: Numbers) -> tuple[float, Numbers]:
        s = x[0] * z + x[1:]
        off = softmax(s, 1) - right
        value = float(logsumexp(s, 1).sum() - s[np.arange(n), truth].sum() + x[1:] @ x[1:] / 2)
        return value, np.array([(off * z).sum(), *(off.sum(0) + x[1:])])

    ends = [(1.0 / _HOTTEST, 1.0 / _COLDEST), *[(None, None) if biased else (0.0, 0.0)] * k]
    start = np.array([1.0, *[0.0] * k])
    found: Any = minimize(
        loss, start, jac=True, bounds=ends, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000}
    )
    return float(found.x[0]), found.x[1:]


# --- files --------------------------------------------------------------------------------------


def values_to_json(one: CalibratedValues) -> dict[str, Any]:
    """The plain form of a variable's correction."""
    match one.correction:
        case Unchanged(reason):
            correction: dict[str, Any] = {"unchanged": reason}
        case Temperature(t):
            correction = {"temperature": t}
        case BiasCorrected(t, bias):
            correction = {"temperature": t, "bias": dict(zip(one.values, bias, strict=True))}
        case _:
            assert_never(one.correction)
    plain = {"name": one.name, "values": list(one.values), "labels": one.labels, "correction": correction}
    return plain | ({} if one.gain is None else {"gain": {k: getattr(one.gain, k) for k in ValuesGain.__slots__}})


def values_from_json(plain: object, at: int) -> CalibratedValues:
    """Inverse of `values_to_json` for the entry of this number. Raises `CalibrationError` for any other form."""
    where = f"entry {at} of `variables`"
    found = fields(plain, where, ("name", "values", "labels", "correction"), ("gain",))
    name = text(found["name"], f"`name` of {where}")
    if not isinstance(found["values"], list):
        raise CalibrationError(f"`values` of `{name}` must be a list of its levels or options")
    values = tuple(text(value, f"each of `values` of `{name}`") for value in items(found["values"], where))
    if len(values) < 2 or len({*values}) < len(values):
        raise CalibrationError(f"`values` of `{name}` must be at least two different levels or options")
    gain = gain_numbers(found["gain"], f"`gain` of `{name}`", (*ValuesGain.__slots__,)) if "gain" in found else None
    labels = count(found["labels"], f"`labels` of `{name}`")
    correction = _correction(name, values, found["correction"])
    return CalibratedValues(name, values, labels, correction, ValuesGain(**gain) if gain is not None else None)


def _correction(name: str, values: tuple[str, ...], plain: object) -> ValuesCorrection:
    where = f"the correction of `{name}`"
    found = fields(plain, where, (), ("unchanged", "temperature", "bias"))
    if ("unchanged" in found) == ("temperature" in found) or ("unchanged" in found and "bias" in found):
        raise CalibrationError(f"{where} must be either `unchanged` or a `temperature`, with or without `bias`")
    if "unchanged" in found:
        return Unchanged(text(found["unchanged"], f"`unchanged` of `{name}`"))
    t = finite(found["temperature"], f"the temperature of `{name}`")
    if not 1 / _LIMIT <= t <= _LIMIT:
        raise CalibrationError(f"the temperature of `{name}` must be a number from {1 / _LIMIT:g} to {_LIMIT:g}")
    if "bias" not in found:
        return Temperature(t)
    bias: object = found["bias"]
    if not isinstance(bias, dict) or {*cast("dict[str, Any]", bias)} != {*values}:
        raise CalibrationError(f"`bias` of `{name}` must have one number for each of {', '.join(values)}")
    numbers = tuple(finite(cast("dict[str, Any]", bias)[value], f"each of `bias` of `{name}`") for value in values)
    if not all(abs(b) <= _LIMIT for b in numbers):
        raise CalibrationError(f"the numbers of `bias` of `{name}` must lie between {-_LIMIT:g} and {_LIMIT:g}")
    return BiasCorrected(t, numbers)
