"""Weights as people read and write them: by response type and feature."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.diagnostics import no_such
from rbrlang.jsontext import JsonError, NotJsonError, parse_bytes
from rbrlang.logic.circuit import Circuit
from rbrlang.policy import Policy
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.weights import WeightError, checked_weights, default_weights


def by_name(circuit: Circuit, weights: NDArray[np.float32]) -> dict[str, dict[str, float]]:
    """Weights [responses, max features] as `{response type: {feature: weight}}`."""
    return {
        response.name: {f.name: float(w) for f, w in zip(response.features, row, strict=False)}
        for response, row in zip(circuit.responses, weights, strict=True)
    }


def read_weights(path: str, circuit: Circuit) -> NDArray[np.float32]:
    """Weights from JSON `{response type: {feature: number}}`; what is not named keeps its default."""
    try:
        data = parse_bytes(Path(path).read_bytes())
    except JsonError as error:
        raise UsageError(f"`{path}` is {error}" if isinstance(error, NotJsonError) else f"`{path}`: {error}") from error
    table = default_weights(circuit)
    for name, row in _object(path, data, "the file").items():
        if name not in circuit.response_names:
            raise UsageError(f"`{path}`: {no_such('response type', name, circuit.response_names)}")
        number = circuit.response_names.index(name)
        features = [feature.name for feature in circuit.responses[number].features]
        for feature, value in _object(path, row, f"`{name}`").items():
            if feature not in features:
                raise UsageError(f"`{path}`: {no_such(f'feature of `{name}`', feature, features)}")
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise UsageError(f"`{path}`: the weight of `{name}.{feature}` is not a number")
            table[number, features.index(feature)] = value
    try:
        return checked_weights(circuit, table)
    except WeightError as error:
        raise UsageError(f"`{path}`: {error}") from error


def reward_with(policy: Policy, weights: str | None, file: str) -> NumpyReward:
    """The policy's reward with default weights, those of an artefact of the same policy, or those of JSON."""
    if weights is None:
        return NumpyReward(policy.circuit)
    if not weights.endswith(".rbrc"):
        return NumpyReward(policy.circuit, read_weights(weights, policy.circuit))
    artefact = shared.artefact(weights)
    if artefact.circuit.fingerprint != policy.fingerprint:
        raise UsageError(
            f"`{weights}` was made from another policy (fingerprint {artefact.circuit.fingerprint[:12]}, "
            f"`{file}` has {policy.fingerprint[:12]}); fit it again"
        )
    return NumpyReward.from_artefact(artefact)


def _object(path: str, value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"`{path}`: {where} is not an object; weights are {{response type: {{feature: number}}}}")
    return value
