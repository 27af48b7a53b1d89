"""Which of an artefact's claims about itself can be settled without what it was made from?

Provenance is what the writer of an artefact says of it. The rows of a fit, its grader and its intervals are not in the
file, so they stay claims. Weights that provenance repeats, and a certificate, follow from circuit and weights alone:
they are computed here and have to agree.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rbrlang.jsontext import at, mapping
from rbrlang.learning.judging.certificates import BaseRangeError, certify
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.reward.kept.codec import DecodeError, dump_json, load_json


class ClaimError(ValueError):
    """A claim that circuit and weights refute; the message says which."""


def settle(artefact: Artefact) -> tuple[str, ...]:
    """What of the provenance was computed again and agrees, in words. Raises `ClaimError` for what does not."""
    fit = mapping(artefact.provenance.get("fit")) or {}
    settled = list[str]()
    if "response_types" in fit:
        _settle_weights(artefact, fit["response_types"])
        settled.append("the weights that its fit names")
    if "certificates" in fit:
        _settle_certificates(artefact, fit["certificates"])
        settled.append("certificate")
    return tuple(settled)


def _settle_weights(artefact: Artefact, fitted: object) -> None:
    for response, row in zip(artefact.circuit.responses, artefact.weights, strict=True):
        named = mapping(at(fitted, response.name, "weights")) or {}
        for feature, weight in zip(response.features, row, strict=False):
            said = named.get(feature.name, float(weight))
            if isinstance(said, bool) or not isinstance(said, (int, float)) or np.float32(said) != weight:
                raise ClaimError(f"its fit names another weight of `{response.name}.{feature.name}` than it has")


def _settle_certificates(artefact: Artefact, said: Any) -> None:
    match at(said, "base_range"):
        case None:
            base = None
        case [int() | float() as low, int() | float() as high]:
            base = float(low), float(high)
        case _:
            raise ClaimError("its certificate names no range of base rewards")
    try:
        found = load_json(dump_json(certify(artefact.circuit, artefact.weights, base).to_json()))
    except (BaseRangeError, DecodeError, OverflowError) as error:
        raise ClaimError(f"its certificate cannot be computed: {error}") from error
    if found != said:
        raise ClaimError("its certificate is not the one that its circuit and weights give")
