"""How are a grader's probabilities corrected by human labels, without flattering it?

A correction is monotone and belongs to one proposition of one grader:

- `Temperature` divides log-odds: `sigmoid(z / t)`. From 20 labels with at least 5 of each answer.
- `Platt` also shifts: `sigmoid(a · z + b)` (Platt 1999; smoothed targets as there). From 60.
- `Isotonic` is a step function fitted by pool-adjacent-violators (Zadrozny & Elkan 2002,
  https://doi.org/10.1145/775047.775151), linear between the steps' middles. From 400.

A scale's or a choice's distribution has corrections of its own, see `calibrate_values`.

`fit` chooses by the number of labels and reports what the choice is worth **cross-fitted by prompt**: Brier
score and calibration error before and after, on rows that the correction never saw. Where it does not lower
the held-out Brier score, the proposition keeps `Unchanged`.

A `Calibration` is locked to a grader's identity (model, template, heads …), to the propositions' names, and to the names and
values of variables: another grader's answers, and a variable with other values, are refused with a message that says so.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, assert_never, cast

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.judge import Grader, same
from rbrlang.grading.results import Abstained, Answer, Distribution, GradeItem, Invalid, Value
from rbrlang.grading.trust import agreement
from rbrlang.grading.trust.calibrate_values import (
    CalibratedValues,
    corrected_values,
    values_from_json,
    values_to_json,
)
from rbrlang.grading.trust.corrections import (
    EDGE,
    FEWEST_FOR_ISOTONIC,
    FEWEST_FOR_PLATT,
    FEWEST_FOR_TEMPERATURE,
    FOLDS,
    CalibrationError,
    Temperature,
    Unchanged,
    all_once,
    count,
    fields,
    finite,
    gain_numbers,
    items,
    text,
    whole,
)
from rbrlang.jsontext import JsonError, NotJsonError, parse_bytes
from rbrlang.lang.variables import Domain
from rbrlang.writing import write_bytes

FORMAT = "rbrlang-calibration 1"
_MAX_BYTES = 16 << 20
_WAYS = ("unchanged", "temperature", "platt", "isotonic")

Numbers = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Platt:
    """`sigmoid(a · z + b)`, a > 0."""

    a: float
    b: float


@dataclass(frozen=True, slots=True)
class Isotonic:
    """Linear between points (x ascending, y not descending), constant outside."""

    x: tuple[float, ...]
    y: tuple[float, ...]


Correction = Unchanged | Temperature | Platt | Isotonic


@dataclass(frozen=True, slots=True)
class Gain:
    """Held-out Brier score and calibration error, before and after."""

    brier_before: float
    brier_after: float
    ece_before: float
    ece_after: float


@dataclass(frozen=True, slots=True)
class Calibrated:
    """One proposition's correction, the labels behind it, and what it was worth (None: never tried)."""

    name: str
    labels: int
    correction: Correction
    gain: Gain | None


_NO_DOMAINS: Mapping[int, Domain] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Calibration:
    """Corrections of one grader's propositions and variables."""

    grader: str
    seed: int
    propositions: tuple[Calibrated, ...]
    variables: tuple[CalibratedValues, ...] = ()

    @property
    def identity(self) -> str:
        """Sixteen hexadecimal digits that follow from all of it: what graded rows and artefacts name it by."""
        return hashlib.sha256(json.dumps(to_json(self), sort_keys=True).encode()).hexdigest()[:16]

    def corrections(
        self, grader: str, names: Sequence[str], domains: Mapping[int, Domain] = _NO_DOMAINS
    ) -> tuple[Correction | CalibratedValues, ...]:
        """The correction of each named question; `domains` are those of variables, by number.

        Raises `CalibrationError` for another grader, and for a variable that had other values.
        """
        if not same(grader, self.grader):
            raise CalibrationError(
                f"the calibration was made for grader `{self.grader}`, and these answers are of `{grader}`; "
                "calibrate again with `rbrc agree --calibrate`"
            )
        found = {p.name: p.correction for p in self.propositions}
        of_values = {v.name: v for v in self.variables}
        for domain in domains.values():
            one = of_values.get(domain.name)
            if one is not None and {*one.values} != {*domain.values}:
                raise CalibrationError(
                    f"the calibration was made for `{domain.name}` of {', '.join(one.values)}, and the policy has "
                    f"{', '.join(domain.values)}; calibrate again with `rbrc agree --calibrate`"
                )
        missing = Unchanged("it was not among the labels")
        return tuple(
            of_values.get(name, missing) if at in domains else found.get(name, missing) for at, name in enumerate(names)
        )

    def misfit(self, names: Sequence[str], domains: Mapping[int, Domain] = _NO_DOMAINS) -> str | None:
        """Which of a policy's questions it has nothing for, and which of its entries belong to none; None where all fit."""
        values = {d.name for d in domains.values()}
        plain = {name for at, name in enumerate(names) if at not in domains}
        of_plain, of_values = {p.name for p in self.propositions}, {v.name for v in self.variables}
        lacking = [n for at, n in enumerate(names) if n not in (of_values if at in domains else of_plain)]
        idle = [p.name for p in self.propositions if p.name not in plain]
        idle += [v.name for v in self.variables if v.name not in values]
        said = [f"has nothing for {_listed(lacking)}, so those answers stay as they are"] * bool(lacking)
        said += [f"has entries that belong to nothing of this policy: {_listed(idle)}"] * bool(idle)
        return f"calibration {self.identity} {'; it '.join(said)}" if said else None


def _listed(names: Sequence[str], most: int = 8) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"`{name}`" for name in names[:most]) + rest


def apply(correction: Correction, p: Numbers) -> Numbers:
    """Corrected probabilities, same shape; NaN stays NaN."""
    from scipy.special import expit  # takes a sixth of a second to load; most runs correct nothing

    match correction:
        case Unchanged():
            return p
        case Temperature(t):
            return expit(_logit(p) / t)
        case Platt(a, b):
            return expit(a * _logit(p) + b)
        case Isotonic(x, y):
            return np.interp(p, x, y)
        case _:
            assert_never(correction)


def corrected(correction: Correction | CalibratedValues, answer: Answer) -> Answer:
    """An answer with its probabilities and bounds corrected; what has none stays as it is."""
    if isinstance(correction, CalibratedValues):
        return corrected_values(correction, answer) if isinstance(answer, Distribution) else answer
    match answer:
        case Value():
            low, p, high = (float(v) for v in apply(correction, np.array([answer.low, answer.p, answer.high])))
            return replace(answer, p=p, low=low, high=high)
        case Distribution() | Abstained() | Invalid():
            return answer
        case _:
            assert_never(answer)


# --- fitting ------------------------------------------------------------------------------------


def fit(
    grader: str, names: Sequence[str], labels: Numbers, p: Numbers, prompts: NDArray[np.int64], seed: int
) -> Calibration:
    """Corrections from labels (1, 0, NaN) and P(yes) (NaN = no value), both [rows, propositions]."""
    out: list[Calibrated] = []
    for name, y, q in zip(names, labels.T, p.T, strict=True):
        known = np.isfinite(y) & np.isfinite(q)
        out.append(_fit_one(name, y[known] == 1, q[known].astype(float), prompts[known], seed))
    return Calibration(grader, seed, tuple(out))


def _fit_one(name: str, truth: NDArray[np.bool_], p: Numbers, prompts: NDArray[np.int64], seed: int) -> Calibrated:
    lacking = agreement.too_little(truth)
    if lacking is None and len(truth) < FEWEST_FOR_TEMPERATURE:
        lacking = f"{len(truth)} labels; at least {FEWEST_FOR_TEMPERATURE} are needed"
    if lacking is not None:
        return Calibrated(name, len(truth), Unchanged(lacking), None)
    held_out = np.array(p)
    fold = agreement.folds(prompts, seed, FOLDS)
    for number in range(FOLDS):
        held = fold == number
        if held.any() and agreement.too_little(truth[~held]) is None:
            held_out[held] = apply(_choose(truth[~held], p[~held], len(truth)), p[held])
    before, after = agreement.brier(truth, p).score, agreement.brier(truth, held_out).score
    gain = Gain(before, after, agreement.ece(truth, p), agreement.ece(truth, held_out))
    if after >= before:
        return Calibrated(name, len(truth), Unchanged("a correction does not lower the held-out error"), gain)
    return Calibrated(name, len(truth), _choose(truth, p, len(truth)), gain)


def _choose(truth: NDArray[np.bool_], p: Numbers, labels: int) -> Correction:
    if labels >= FEWEST_FOR_ISOTONIC:
        return isotonic(truth, p)
    if labels >= FEWEST_FOR_PLATT:
        return platt(truth, p)
    return temperature(truth, p)


def temperature(truth: NDArray[np.bool_], p: Numbers) -> Temperature:
    """The temperature of greatest likelihood between 1/8 and 8, sought on its logarithm."""
    z = _logit(p)

    def loss(log_t: float) -> float:
        return _loss(truth, z / math.exp(log_t))

    ends = math.log(1 / 8), math.log(8)
    from scipy.optimize import minimize_scalar  # takes a third of a second to load, and only learning needs it

    found: Any = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-10})
    return Temperature(math.exp(found.x))


def platt(truth: NDArray[np.bool_], p: Numbers) -> Platt:
    """The likeliest slope and shift by Platt's smoothed targets; slope 1 where the slope would not be positive."""
    from scipy.optimize import minimize  # takes a third of a second to load, and only learning needs it
    from scipy.special import expit

    z = _logit(p)
    yes, no = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (yes + 1) / (yes + 2), 1 / (no + 2))

    def loss(at: Numbers) -> tuple[float, Numbers]:
        score = at[0] * z + at[1]
        off = expit(score) - target
        return _loss(target, score), np.array([off @ z, off.sum()])

    found: Any = minimize(loss, (1.0, 0.0), jac=True, method="BFGS")
    a, b = found.x.tolist()
    return Platt(a, b) if a > 0 and math.isfinite(a + b) else Platt(1.0, 0.0)


def isotonic(truth: NDArray[np.bool_], p: Numbers) -> Isotonic:
    """Pool-adjacent-violators on (p, truth). Each block gives one point: mean p, and its share of yes,
    smoothed by one imaginary row split evenly so that no corrected probability is exactly 0 or 1."""
    values, at, counts = np.unique(p, return_inverse=True, return_counts=True)
    yes = np.bincount(at, truth)
    from scipy.optimize import isotonic_regression  # takes a third of a second to load, and only learning needs it

    found: Any = isotonic_regression(yes / counts, weights=counts)
    starts = found.blocks[:-1]
    rows, yes, total = (np.add.reduceat(of, starts) for of in (counts, yes, counts * values))
    y = np.maximum.accumulate((yes + 0.5) / (rows + 1))
    return Isotonic(tuple((total / rows).tolist()), tuple(y.tolist()))


def _loss(truth: NDArray[Any], z: Numbers) -> float:
    return float(np.sum(np.logaddexp(0, z) - truth * z))


def _logit(p: Numbers) -> Numbers:
    from scipy.special import logit

    return logit(np.clip(p, EDGE, 1 - EDGE))


# --- files --------------------------------------------------------------------------------------


def write(path: Path, calibration: Calibration) -> None:
    """Write the file. Raises `OSError`."""
    write_bytes(path, (json.dumps(to_json(calibration), indent=1, ensure_ascii=False) + "\n").encode())


def read(path: Path) -> Calibration:
    """Read a file of `write`. Raises `OSError`, `CalibrationError`."""
    if path.stat().st_size > _MAX_BYTES:
        raise CalibrationError(f"`{path}` is larger than {_MAX_BYTES >> 20} MiB; it is no calibration")
    try:
        return from_json(parse_bytes(path.read_bytes()))
    except NotJsonError as error:
        raise CalibrationError(f"`{path}` is not a calibration; write one with `rbrc agree --calibrate`") from error
    except (CalibrationError, JsonError) as error:
        raise CalibrationError(f"`{path}`: {error}") from error


def to_json(calibration: Calibration) -> dict[str, Any]:
    """The plain form of a calibration, for files and for the artefact."""
    return {
        "format": FORMAT,
        "grader": calibration.grader,
        "seed": calibration.seed,
        "propositions": [
            {"name": p.name, "labels": p.labels, "correction": _correction_to_json(p.correction)}
            | ({} if p.gain is None else {"gain": {k: getattr(p.gain, k) for k in Gain.__slots__}})
            for p in calibration.propositions
        ],
    } | ({"variables": [values_to_json(v) for v in calibration.variables]} if calibration.variables else {})


def from_json(plain: object) -> Calibration:
    """Inverse of `to_json`. Raises `CalibrationError` for any other form."""
    if not isinstance(plain, Mapping) or "format" not in plain:
        raise CalibrationError("this is not a calibration; write one with `rbrc agree --calibrate`")
    said = text(cast("Mapping[str, Any]", plain)["format"], "`format`")
    if said != FORMAT:
        raise CalibrationError(f"format `{said}` is not the one this version reads, `{FORMAT}`")
    whole_file = fields(
        cast("object", plain), "the calibration", ("format", "grader", "seed", "propositions"), ("variables",)
    )
    propositions = items(whole_file["propositions"], "`propositions`")
    variables = items(whole_file.get("variables", []), "`variables`")
    found = Calibration(
        text(whole_file["grader"], "`grader`"),
        whole(whole_file["seed"], "`seed`"),
        tuple(_calibrated(one, at) for at, one in enumerate(propositions, 1)),
        tuple(values_from_json(one, at) for at, one in enumerate(variables, 1)),
    )
    all_once([one.name for one in (*found.propositions, *found.variables)])
    return found


def _calibrated(plain: object, at: int) -> Calibrated:
    where = f"entry {at} of `propositions`"
    found = fields(plain, where, ("name", "labels", "correction"), ("gain",))
    name = text(found["name"], f"`name` of {where}")
    gain = gain_numbers(found["gain"], f"`gain` of `{name}`", (*Gain.__slots__,)) if "gain" in found else None
    labels = count(found["labels"], f"`labels` of `{name}`")
    return Calibrated(name, labels, _correction(found["correction"], name), Gain(**gain) if gain is not None else None)


def _correction_to_json(correction: Correction) -> dict[str, Any]:
    match correction:
        case Unchanged(reason):
            return {"unchanged": reason}
        case Temperature(t):
            return {"temperature": t}
        case Platt(a, b):
            return {"platt": [a, b]}
        case Isotonic(x, y):
            return {"isotonic": [list(x), list(y)]}
        case _:
            assert_never(correction)


def _correction(plain: object, name: str) -> Correction:
    where = f"the correction of `{name}`"
    found = fields(plain, where, (), _WAYS)
    if len(found) != 1:
        raise CalibrationError(f"{where} must be one of {', '.join(_WAYS)}, and it has {len(found)} of them")
    ((way, of),) = found.items()
    what = f"`{way}` of `{name}`"
    match way:
        case "unchanged":
            return Unchanged(text(of, what))
        case "temperature":
            if not (t := finite(of, what)) > 0:
                raise CalibrationError(f"{what} must be a number above 0")
            return Temperature(t)
        case "platt":
            pair = [finite(v, what) for v in items(of, what)]
            if len(pair) != 2 or not (math.isfinite(sum(pair)) and pair[0] > 0):
                raise CalibrationError(f"{what} must be two numbers, the first above 0")
            return Platt(pair[0], pair[1])
        case _:
            sides = [tuple(finite(v, what) for v in items(side, what)) for side in items(of, what)]
            x, y = sides if len(sides) == 2 else ((), ())
            rising = all(a < b for a, b in pairwise(x)) and all(a <= b for a, b in pairwise(y))
            if not x or len(x) != len(y) or not rising or not all(0 <= v <= 1 for v in (*x, *y)):
                raise CalibrationError(f"{what} must be two lists of probabilities of one length, in ascending order")
            return Isotonic(x, y)


class CalibratedGrader:
    """A grader whose values are corrected. Raises `CalibrationError` where the calibration is of another."""

    def __init__(
        self,
        grader: Grader,
        calibration: Calibration,
        names: Sequence[str],
        domains: Mapping[int, Domain] = _NO_DOMAINS,
    ) -> None:
        self._corrections = calibration.corrections(grader.identity, names, domains)
        self._grader = grader
        self.identity = f"{grader.identity} calibration {calibration.identity}"

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
        """The grader's answers, corrected."""
        return [
            {p: corrected(self._corrections[p], answer) for p, answer in given.items()}
            for given in self._grader.answers(items, wanted)
        ]
