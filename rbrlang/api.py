"""The few calls that a training script needs, under `import rbrlang as rbr`.

They join stages that know nothing of each other; importing this module loads jax.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from jax.typing import ArrayLike

from rbrlang import functions
from rbrlang.learning.fitting.fit import fit as fit_circuit
from rbrlang.learning.fitting.fitted import Fit
from rbrlang.learning.fitting.ties import Tie
from rbrlang.logic.circuit import Circuit
from rbrlang.policy import Policy
from rbrlang.reward.kept.artefact import Artefact, read_artefact, write_artefact
from rbrlang.reward.kept.signature import required_key
from rbrlang.reward.measure import functions_of
from rbrlang.reward.reward import RuleReward
from rbrlang.rows.read import Row


def read(
    path: str | os.PathLike[str], *, require_key: str | os.PathLike[str] | None = None, allow_python: bool = False
) -> RuleReward:
    """The reward in an artefact, signed by the public key in the file `require_key` if one is named.

    `allow_python` lets the functions that its policy names be run; else `encode` raises `FunctionError` where there are any.
    Raises `ArtefactError` whatever else the file holds, `SignatureError` for a file without a key, OSError.
    """
    found = read_artefact(path, key=None if require_key is None else required_key(require_key))
    _allow(found.circuit, allow_python)
    return RuleReward.from_artefact(found)


def _allow(circuit: Circuit, allow_python: bool) -> None:
    if allow_python is True:
        functions.allow(functions_of(circuit))


def compile(  # the word of the interface
    policy: Policy,
    weights: ArrayLike | None = None,
    *,
    class_probability: Literal["exact", "product"] = "exact",
    allow_python: bool = False,
) -> RuleReward:
    """The reward of a policy, weights float [response types, max features] or the defaults.

    `class_probability="product"` multiplies literals and normalises, as the paper does (section 4.1). `allow_python` as in `read`.
    Raises `WeightError` for weights of another shape, or outside the policy's bounds.
    """
    circuit = policy.compiled(class_probability)
    _allow(circuit, allow_python)
    return RuleReward.from_circuit(circuit, weights)


def fit(
    policy: Policy,
    rows: Sequence[Row],
    *,
    class_probability: Literal["exact", "product"] = "exact",
    loss: Literal["hinge", "logistic"] = "hinge",
    ridge: float | None = None,
    margin: float | None = None,
    pairs: Sequence[Literal["classes", "preferences", "ranks", "scores"]] = ("classes",),
    columns: Mapping[str, str] = MappingProxyType({}),
    whiten: bool = False,
    ties: Sequence[Tie] = (),
    seed: int = 0,
    held_out: float = 0.2,
    bootstrap: int = 200,
    folds: int = 0,
    allow_python: bool = False,
) -> Fit:
    """Weights from ranked rows; see `rbrlang.learning.fitting.fit.fit` (paper, section 4.3). Raises `FitError`, `SampleError`.

    `pairs`: what orders completions, classes by the policy's ranks or what people prefer; `columns`: what the columns
    `pair`, `preferred`, `rank`, `score` and `margin` are called in the rows, where they are called otherwise; `allow_python` as in `read`.
    """
    circuit = policy.compiled(class_probability)
    _allow(circuit, allow_python)
    return fit_circuit(
        circuit, rows, loss=loss, ridge=ridge, margin=margin, pairs=pairs,
        columns=columns, whiten=whiten, ties=ties, seed=seed, held_out=held_out, bootstrap=bootstrap, folds=folds,
    )  # fmt: skip


def write(path: str | os.PathLike[str], policy: Policy, reward: RuleReward) -> None:
    """Write an artefact: the reward and the policy's sources.

    Raises ValueError for the reward of another policy, or for sources whose names no artefact may carry; OSError.
    """
    if reward.circuit != policy.compiled(reward.circuit.class_probability):
        raise ValueError("the reward was compiled from another policy than the one given")
    write_artefact(
        path,
        Artefact(
            circuit=reward.circuit,
            weights=reward.host.weights,
            sources=policy.sources,
            calibration=None,
            provenance={},
            params=policy.params,
        ),
    )
