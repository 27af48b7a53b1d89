"""What is in a `policy.rbrc`, and may it be believed?

An artefact carries a policy from where it is written to where it rewards: its sources, what they compiled to, its
weights, the calibration of the grader, and how the weights were obtained.

| member | is |
| --- | --- |
| `manifest.json` | format version, fingerprint, size and SHA-256 of every other member, versions, provenance |
| `policy.json` | the circuit, see `codec` |
| `source/000.rbr` … | the sources; their names, and what each `use` of theirs means, are in the manifest |
| `weights.safetensors` | one float32 tensor `weights` [responses, max features] |
| `calibration.json` | calibration of the grader's probabilities; only if there is one |
| `signature.json` | whose all of this is, see `signature`; only if it is signed, and no part of what is |

The reader takes the file for hostile: it bounds sizes, demands the one form of container that is written
(`container`), checks every hash, and reads JSON strictly. The hashes find damage, not forgery: whoever can
change a member can change the manifest too. So nothing that follows from the sources is believed. They are compiled
again, in memory, and what comes out is what rewards; the circuit, its fingerprint and bounds in the file must be the
very same, since the weights were obtained for those. What does not follow from the sources (weights within their
bounds, calibration, provenance) is a claim of whoever wrote the file; a signature says who that was.

Neither reading nor writing needs JAX, and nothing in an artefact is ever executed.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

import numpy as np
import safetensors
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

import rbrlang
from rbrlang.diagnostics import PolicyError
from rbrlang.lang.carried import CarriedError, check_names
from rbrlang.lang.program import SourceFile
from rbrlang.logic.circuit import Circuit
from rbrlang.policy import Policy, load_sources
from rbrlang.reward.kept.codec import (
    DecodeError,
    Field,
    Json,
    circuit_to_json,
    dump_json,
    first_difference,
    load_json,
)
from rbrlang.reward.kept.container import AGAIN, MAX_MEMBERS, ArtefactError, pack, read_bounded, unpack
from rbrlang.reward.kept.signature import (
    SIGNATURE,
    KeyCheck,
    SignatureError,
    Signed,
    check_predicate,
    read_signature,
    sha256,
    statement,
)
from rbrlang.reward.weights import WeightError, Weights, checked_weights
from rbrlang.writing import write_bytes

__all__ = ["Artefact", "ArtefactError", "artefact_bytes", "read_artefact", "write_artefact", "write_bytes"]

T = TypeVar("T")
ClassProbability = Literal["exact", "product"]

ASK = "ask whoever made it for one that is signed by the right key"

FORMAT = 2
"""Version of the artefact's format; a reader refuses any other."""

MANIFEST, POLICY, WEIGHTS = "manifest.json", "policy.json", "weights.safetensors"
CALIBRATION = "calibration.json"

_MAX_BYTES = {
    MANIFEST: 1 << 20,
    POLICY: 64 << 20,
    WEIGHTS: 16 << 20,
    CALIBRATION: 16 << 20,
    SIGNATURE: 1 << 20,
}
_MAX_SOURCE = 4 << 20
"""Of each source and of all together."""


@dataclass(frozen=True, slots=True, eq=False)
class Artefact:
    """A policy ready to be used: float32 weights [responses, max features] and where all of it came from.

    `sources` and `params` are those of the `Policy` that `circuit` was compiled from. `provenance` is JSON that the
    caller vouches for, such as `grader`, `seed` and `data` of the fit; its `grader` is repeated in the manifest's
    identity of grader and calibration. `version` is that of the rbrlang that wrote the file, and `keys` are the ids of
    the keys that signed it, as the file says.
    """

    circuit: Circuit
    weights: Weights
    sources: tuple[SourceFile, ...]
    calibration: Mapping[str, Json] | None
    provenance: Mapping[str, Json]
    params: tuple[tuple[str, float], ...] = ()
    version: str = rbrlang.__version__
    keys: tuple[str, ...] = ()


def artefact_bytes(artefact: Artefact, sign: Callable[[bytes], bytes] | None = None) -> bytes:
    """The file's content: the same for the same artefact and version, wherever it is made.

    `sign` makes an envelope of a statement, see `signing`; without it the file is not signed. Raises `WeightError` for weights that do not fit the circuit, `CarriedError` for sources whose names no artefact
    may carry.
    """
    weights = checked_weights(artefact.circuit, artefact.weights)
    check_names([source.name for source in artefact.sources])
    members: dict[str, bytes] = {POLICY: dump_json(circuit_to_json(artefact.circuit))}
    for name, source in zip(_source_names(len(artefact.sources)), artefact.sources, strict=True):
        members[name] = source.text.encode("utf-8", "surrogatepass")
    members[WEIGHTS] = save_tensors({"weights": weights})
    if artefact.calibration is not None:
        members[CALIBRATION] = dump_json(artefact.calibration)
    members = {MANIFEST: dump_json(_manifest(artefact, members)), **members}
    unsigned = pack(members)
    if sign is None:
        return unsigned
    return pack({**members, SIGNATURE: sign(statement(unsigned, _predicate(artefact, members)))})


def write_artefact(
    path: str | os.PathLike[str], artefact: Artefact, sign: Callable[[bytes], bytes] | None = None
) -> None:
    """Writes an artefact at once or not at all. Raises as `artefact_bytes` does, and OSError."""
    write_bytes(path, artefact_bytes(artefact, sign))


def policy_of(artefact: Artefact) -> Policy:
    """The policy that the sources of an artefact compile to. Raises `PolicyError` and `CarriedError` if to none."""
    return load_sources(artefact.sources, artefact.params)


def read_artefact(path: str | os.PathLike[str], *, key: KeyCheck | None = None) -> Artefact:
    """Reads an artefact and compiles its sources again; its circuit is the one that this gives.

    With `key`, such as `signing.public_key` gives, nothing else is looked at before its signature has been found good.
    Raises `ArtefactError`, whatever the file holds.
    """
    where = Path(path)
    file = str(where)
    members = unpack(file, read_bounded(where))
    signed = _signed(file, members, key)
    _check_sizes(file, members)
    manifest = _read_manifest(file, members)
    _check_members(file, members, manifest)
    fingerprint, mode = _decode(file, POLICY, members, _identity)
    for field, value in (("fingerprint", fingerprint), ("class_probability", mode)):
        if manifest[field] != value:
            raise ArtefactError(file, MANIFEST, f"names another {field.replace('_', ' ')} than the policy", AGAIN)
    calibration = None
    if CALIBRATION in members:
        calibration = _decode(file, CALIBRATION, members, _object)
    sources = tuple(
        SourceFile(name, _text(file, member, members[member]), tuple(imports))
        for member, (name, imports) in zip(_source_names(len(manifest["sources"])), manifest["sources"], strict=True)
    )
    params = tuple((name, value) for name, value in manifest["params"])
    circuit = _recompiled(file, sources, params, mode, members[POLICY], manifest["rbrlang"])
    weights = _read_weights(file, members[WEIGHTS], circuit)
    provenance = _object(manifest["provenance"])
    keys = () if signed is None else signed.keys
    found = Artefact(circuit, weights, sources, calibration, provenance, params, manifest["rbrlang"], keys)
    if signed is not None:
        try:
            check_predicate(signed, _predicate(found, members))
        except SignatureError as error:
            raise ArtefactError(file, SIGNATURE, str(error), AGAIN) from error
    return found


def _signed(file: str, members: dict[str, bytes], key: KeyCheck | None) -> Signed | None:
    """Takes the signature out of the members. Raises `ArtefactError` unless it is one of the others, and of the key."""
    data = members.pop(SIGNATURE, None)
    if data is None:
        if key is not None:
            raise ArtefactError(file, None, f"is not signed, and has to be by the key `{key.id[:16]}…`", ASK)
        return None
    _check_sizes(file, {SIGNATURE: data})
    try:
        signed = read_signature(data, pack(members))
        if key is not None:
            key.check(signed)
        return signed
    except SignatureError as error:
        raise ArtefactError(file, SIGNATURE, str(error), ASK) from error


def _predicate(artefact: Artefact, members: Mapping[str, bytes]) -> dict[str, Json]:
    """What a signer states of an artefact, beside its digest."""
    fit = artefact.provenance.get("fit")
    of_fit = fit if isinstance(fit, Mapping) else {}
    calibration = members.get(CALIBRATION)
    return {
        "fingerprint": artefact.circuit.fingerprint,
        "classProbability": artefact.circuit.class_probability,
        "sources": [
            {"name": source.name, "digest": {"sha256": sha256(members[member])}}
            for member, source in zip(_source_names(len(artefact.sources)), artefact.sources, strict=True)
        ],
        "params": dict(artefact.params),
        "weights": {"digest": {"sha256": sha256(members[WEIGHTS])}},
        "calibration": None if calibration is None else {"digest": {"sha256": sha256(calibration)}},
        "data": None if "data" not in of_fit else {"digest": {"sha256": of_fit["data"]}},
        "rows": of_fit.get("rows"),
        "seed": of_fit.get("seed"),
        "grader": artefact.provenance.get("grader"),
    }


def _recompiled(
    file: str,
    sources: tuple[SourceFile, ...],
    params: tuple[tuple[str, float], ...],
    mode: ClassProbability,
    claimed: bytes,
    version: str,
) -> Circuit:
    """What the sources compile to, if that is what the file claims."""
    again = AGAIN
    if version != rbrlang.__version__:
        again = f"rbrlang {version} wrote it and this is {rbrlang.__version__}: compile or fit the policy again"
    try:
        circuit = load_sources(sources, params).compiled(mode)
    except CarriedError as error:
        raise ArtefactError(file, MANIFEST, str(error), AGAIN) from error
    except PolicyError as error:
        first = next(d for d in error.diagnostics if d.severity == "error")
        cause = f"the source `{first.span.source.name}` does not compile: {first.message}"
        raise ArtefactError(file, None, cause, again) from error
    true = dump_json(circuit_to_json(circuit))
    place = None if claimed == true else first_difference(load_json(claimed), load_json(true))
    if place is not None:
        where = f"`{place}`" if place else "the document"
        raise ArtefactError(file, POLICY, f"is not what the sources compile to: {where} differs", again)
    return circuit


# --- the manifest -----------------------------------------------------------------------------

_KEYS = (
    "format",
    "rbrlang",
    "fingerprint",
    "class_probability",
    "grader",
    "calibration",
    "members",
    "sources",
    "params",
    "provenance",
)


def _manifest(artefact: Artefact, members: Mapping[str, bytes]) -> Json:
    calibration = members.get(CALIBRATION)
    return {
        "format": FORMAT,
        "rbrlang": rbrlang.__version__,
        "fingerprint": artefact.circuit.fingerprint,
        "class_probability": artefact.circuit.class_probability,
        "grader": artefact.provenance.get("grader"),
        "calibration": None if calibration is None else sha256(calibration),
        "members": [[name, len(data), sha256(data)] for name, data in members.items()],
        "sources": [[source.name, list(source.imports)] for source in artefact.sources],
        "params": [[name, value] for name, value in artefact.params],
        "provenance": artefact.provenance,
    }


def _read_manifest(file: str, members: Mapping[str, bytes]) -> dict[str, Any]:
    """The manifest's fields, those that describe members still unchecked."""
    if MANIFEST not in members:
        raise ArtefactError(file, None, f"has no `{MANIFEST}`: it is no artefact", "check the path")

    def read(document: Json) -> dict[str, Any]:
        if isinstance(document, dict) and type(document.get("format")) is int:
            version = document["format"]
            if version != FORMAT:
                raise ArtefactError(
                    file,
                    MANIFEST,
                    f"has format version {version}, and this rbrlang reads only {FORMAT}",
                    "use the rbrlang that wrote it or compile the policy again",
                )
        fields = dict(zip(_KEYS, Field(document).fields(*_KEYS), strict=True))
        fields["format"].integer(FORMAT, FORMAT + 1)
        _object(fields["provenance"].value)
        for item in fields["members"].items():
            name, size, digest = item.items(3)
            name.text()
            size.integer(0, 1 << 31)
            digest.text()
        fields["rbrlang"].text()
        for item in fields["sources"].items():
            name, imports = item.items(2)
            name.text(empty=True)
            for number in imports.items():
                number.integer(0, MAX_MEMBERS)
        for item in fields["params"].items():
            name, value = item.items(2)
            name.text()
            value.number()
        return {key: field.value for key, field in fields.items()}

    return _decode(file, MANIFEST, members, read)


def _check_members(file: str, members: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    """Checks that the file has exactly the members that the manifest lists."""
    expected = [POLICY, *_source_names(len(manifest["sources"])), WEIGHTS]
    if CALIBRATION in members:
        expected.append(CALIBRATION)
    for name in members:
        if name != MANIFEST and name not in expected:
            raise ArtefactError(file, name, "does not belong in an artefact", AGAIN)
    for name in expected:
        if name not in members:
            raise ArtefactError(file, name, "is missing", AGAIN)
    listed = {name: (size, digest) for name, size, digest in manifest["members"]}
    if list(members) != [MANIFEST, *expected] or [m[0] for m in manifest["members"]] != expected:
        raise ArtefactError(file, MANIFEST, "does not list the members that the file has", AGAIN)
    for name in expected:
        if listed[name] != (len(members[name]), sha256(members[name])):
            raise ArtefactError(file, name, "is not what the manifest says (its SHA-256 differs)", AGAIN)
    calibration = sha256(members[CALIBRATION]) if CALIBRATION in members else None
    if manifest["calibration"] != calibration:
        raise ArtefactError(file, MANIFEST, "names another calibration than the file has", AGAIN)


# --- members ----------------------------------------------------------------------------------


def _check_sizes(file: str, members: Mapping[str, bytes]) -> None:
    for name, data in members.items():
        limit = _MAX_BYTES.get(name, _MAX_SOURCE)
        if len(data) > limit:
            raise ArtefactError(file, name, f"has {len(data)} bytes, more than the {limit} allowed", AGAIN)
    together = sum(len(data) for name, data in members.items() if name not in _MAX_BYTES)
    if together > _MAX_SOURCE:
        raise ArtefactError(file, None, f"has {together} bytes of sources, more than the {_MAX_SOURCE} allowed", AGAIN)


def _decode(file: str, name: str, members: Mapping[str, bytes], read: Callable[[Json], T]) -> T:
    try:
        return read(load_json(members[name]))
    except DecodeError as error:
        raise ArtefactError(file, name, str(error), AGAIN) from error


def _object(document: Json) -> dict[str, Json]:
    if not isinstance(document, dict):
        raise DecodeError("", "is not an object")
    return document


def _identity(document: Json) -> tuple[str, ClassProbability]:
    """The fingerprint of a policy, and how its classes are computed: what has to be known to compile it again."""
    said = _object(document)
    fingerprint, mode = (Field(said.get(name), name) for name in ("fingerprint", "class_probability"))
    return fingerprint.text(), cast(ClassProbability, mode.choice(get_args(ClassProbability)))


def _read_weights(file: str, data: bytes, circuit: Circuit) -> Weights:
    try:
        tensors = load_tensors(data)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, struct.error) as error:
        raise ArtefactError(file, WEIGHTS, "is no readable safetensors file", AGAIN) from error
    if list(tensors) != ["weights"] or tensors["weights"].dtype != np.float32:
        raise ArtefactError(file, WEIGHTS, "does not hold one float32 tensor `weights`", AGAIN)
    try:
        return checked_weights(circuit, tensors["weights"])
    except WeightError as error:
        raise ArtefactError(file, WEIGHTS, str(error), AGAIN) from error


def _text(file: str, name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise ArtefactError(file, name, "is not UTF-8 text", AGAIN) from error


def _source_names(count: int) -> list[str]:
    return [f"source/{number:03}.rbr" for number in range(count)]
