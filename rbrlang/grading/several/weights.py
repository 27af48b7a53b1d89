"""How much does each juror count on each proposition, by labels?

Stacking (Wolpert, Neural Networks 5, 1992): a logistic regression of labels on the jurors' log-odds, no weight below 0, so that a
juror who is surer of yes never makes the jury less so. First one set of weights is fitted to all propositions together, drawn
towards the mean of log-odds; then each proposition's own, drawn towards those shared ones, both by a ridge of `PRIOR`. So
few labels leave the shared weights, and many overrule them. A juror that answers nothing about a
proposition has weight 0 there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.judge import unshaped
from rbrlang.grading.several.jury import Floats, Joined, Weights, joined, log_odds
from rbrlang.grading.trust import agreement
from rbrlang.grading.trust.corrections import CalibrationError, all_once, count, fields, finite, items, text, whole
from rbrlang.jsontext import JsonError, parse_bytes
from rbrlang.writing import write_bytes

FORMAT = "rbrlang-jury 1"
PRIOR = 10.0
FOLDS = 5
_MAX_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Stacked:
    """Weights of jurors, by their order, and a bias; `labels` stand behind them."""

    weights: tuple[float, ...]
    bias: float
    labels: int


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was learned of jurors: their identities, the shared weights, and those of propositions."""

    members: tuple[str, ...]
    seed: int
    shared: Stacked
    propositions: Mapping[str, Stacked]

    def weights(self, names: Sequence[str], first_variable: int) -> Weights:
        """For these questions; scales and choices are joined by the shared weights, and have no bias."""
        each = [self.propositions.get(name, self.shared) for name in names[:first_variable]]
        each += [self.shared] * (len(names) - first_variable)
        bias = [one.bias if at < first_variable else 0.0 for at, one in enumerate(each)]
        return Weights(np.array([one.weights for one in each]).T.reshape(len(self.members), len(names)), np.array(bias))


def fit(members: Sequence[str], names: Sequence[str], labels: Floats, p: Floats, seed: int) -> Fitted:
    """Weights from labels [rows, propositions] (1, 0, NaN) and the jurors' P(yes) [members, rows, propositions]."""
    z = np.nan_to_num(log_odds(p))
    used = np.isfinite(labels) & np.isfinite(p).any(0)
    mean = np.append(np.full(len(members), 1 / len(members)), 0.0)
    shared = _stacked(z[:, used], labels[used], mean, np.ones(len(members), np.bool_))
    own: dict[str, Stacked] = {}
    for at, name in enumerate(names):
        here = used[:, at]
        seats = np.asarray(np.isfinite(p[:, :, at]).any(1))
        if agreement.too_little(labels[here, at] == 1) is None:
            own[name] = _stacked(z[:, here, at], labels[here, at], np.append(shared.weights, shared.bias), seats)
    return Fitted(tuple(unshaped(one) for one in members), seed, shared, own)


def _stacked(z: Floats, truth: Floats, prior: Floats, seats: NDArray[np.bool_]) -> Stacked:
    """The likeliest weights; `seats` are the jurors that may have one."""
    from scipy.optimize import minimize  # takes a third of a second to load, and only learning needs it
    from scipy.special import expit

    x = np.vstack([z, np.ones(z.shape[1])]).T

    def loss(at: Floats) -> tuple[float, Floats]:
        score, moved = x @ at, at - prior
        value = float(np.sum(np.logaddexp(0, score) - truth * score) + PRIOR / 2 * moved @ moved)
        return value, x.T @ (expit(score) - truth) + PRIOR * moved

    ends = [*((0.0, None if seat else 0.0) for seat in seats.tolist()), (None, None)]
    found: Any = minimize(
        loss, prior, jac=True, bounds=ends, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000}
    )
    return Stacked(tuple(found.x[:-1].tolist()), float(found.x[-1]), len(truth))


def by_weights(weights: Weights, p: Floats) -> Joined:
    """What a jury says by the members' P(yes) [members, rows, propositions]."""
    members, rows, _ = p.shape
    of = np.broadcast_to(weights.of[:, None, :], p.shape).reshape(members, -1)
    flat, bias = p.reshape(members, -1), np.tile(weights.bias, rows)
    return joined(flat, flat, flat, of, bias)


def answered(weights: Weights, p: Floats) -> Floats:
    """P(yes) of a jury [rows, propositions], NaN where it has no value."""
    found = by_weights(weights, p)
    return np.where(found.known, found.p, np.nan).reshape(p.shape[1:])


def cross_fitted(names: Sequence[str], labels: Floats, p: Floats, prompts: NDArray[np.int64], seed: int) -> Floats:
    """`answered` by weights that were fitted to other prompts, each fold by the others."""
    out = np.full(labels.shape, np.nan)
    fold = agreement.folds(prompts, seed, min(FOLDS, len(np.unique(prompts))))
    members = [""] * len(p)
    for number in np.unique(fold):
        held = fold == number
        found = fit(members, names, labels[~held], p[:, ~held], seed)
        out[held] = answered(found.weights(names, len(names)), p[:, held])
    return out


# --- files --------------------------------------------------------------------------------------


def to_json(fitted: Fitted) -> dict[str, Any]:
    """The plain form, for files."""

    def plain(one: Stacked) -> dict[str, Any]:
        return {"labels": one.labels, "weights": list(one.weights), "bias": one.bias}

    return {
        "format": FORMAT, "members": list(fitted.members), "seed": fitted.seed, "shared": plain(fitted.shared),
        "propositions": [{"name": name} | plain(one) for name, one in fitted.propositions.items()],
    }  # fmt: skip


def write_learned(path: Path, plain: Mapping[str, Any]) -> None:
    """Write the file. Raises `OSError`."""
    write_bytes(path, (json.dumps(plain, indent=1, ensure_ascii=False) + "\n").encode())


def read(path: Path, members: Sequence[str]) -> Fitted:
    """The weights of a file, which has to be of these members. Raises `OSError`, `CalibrationError`."""
    plain = read_learned(path, FORMAT, "a jury's weights", "--jury")
    found = fields(plain, "the file", ("format", "members", "seed", "shared", "propositions"))
    of = tuple(text(one, "a member") for one in items(found["members"], "`members`"))
    if of != tuple(unshaped(one) for one in members):
        raise CalibrationError(
            f"`{path}` was learned of {_listed(of)}, and the members are {_listed(members)}; learn it again with "
            "`rbrc agree --jury`"
        )
    named: dict[str, Stacked] = {}
    all_once(text(cast("Mapping[str, Any]", one)["name"], "`name`") for one in items(found["propositions"], "`propositions`")
             if isinstance(one, Mapping) and "name" in one)  # fmt: skip
    for one in items(found["propositions"], "`propositions`"):
        entry = fields(one, "a proposition", ("name", "labels", "weights", "bias"))
        named[text(entry["name"], "`name`")] = _read(entry, f"`{entry['name']}`", len(of))
    shared = fields(found["shared"], "`shared`", ("labels", "weights", "bias"))
    return Fitted(of, whole(found["seed"], "`seed`"), _read(shared, "`shared`", len(of)), named)


def read_learned(path: Path, form: str, what: str, option: str) -> object:
    """The JSON of a file that `rbrc agree` wrote, by its format. Raises `OSError`, `CalibrationError`."""
    if path.stat().st_size > _MAX_BYTES:
        raise CalibrationError(f"`{path}` is larger than {_MAX_BYTES >> 20} MiB; it holds no {what.partition(' ')[2]}")
    try:
        plain = parse_bytes(path.read_bytes())
    except JsonError:
        plain = None
    if not isinstance(plain, Mapping) or cast("Mapping[str, Any]", plain).get("format") != form:
        raise CalibrationError(f"`{path}` is not {what} of this version; write it with `rbrc agree {option}`")
    return cast("object", plain)


def _read(entry: Mapping[str, Any], where: str, number: int) -> Stacked:
    weights = tuple(finite(one, f"a weight of {where}") for one in items(entry["weights"], f"the weights of {where}"))
    if len(weights) != number or min(weights) < 0 or max(weights) > 1000:
        raise CalibrationError(f"{where} must have {number} weights from 0 to 1000")
    bias = finite(entry["bias"], f"the bias of {where}")
    if abs(bias) > 1000:
        raise CalibrationError(f"the bias of {where} must be from -1000 to 1000")
    return Stacked(weights, bias, count(entry["labels"], f"the labels of {where}"))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{unshaped(name)}`" for name in names)
