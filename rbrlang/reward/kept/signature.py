"""What does a signature of an artefact say, and where is it?

An artefact without a signature is signed as it stands: its SHA-256 is the subject of an in-toto Statement
(https://github.com/in-toto/attestation, v1), the statement is the payload of a DSSE envelope
(https://github.com/secure-systems-lab/dsse), and the envelope becomes the last member, `signature.json`. Taking that
member out gives the signed bytes back, so that signing changes nothing of what is signed.

The predicate repeats what an auditor asks for: digests of sources and data, grader, weights, seed, versions. It is made
from the artefact, and on reading has to be what would be made from it again; only `versions` are the signer's word.

Whether the statement is about these bytes can be told without cryptography, and always is. Whose it is takes a public
key and the extra `sign`, see `signing`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, cast

import rbrlang
from rbrlang.errors import UserError
from rbrlang.reward.kept.codec import DecodeError, Field, Json, dump_json, load_json

SIGNATURE = "signature.json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://github.com/rbrlang/rbrlang/attestation/artefact/v1"


class SignatureError(UserError, ValueError):
    """A signature that is not one of this artefact, or not of the key that was asked for; the message says why."""


@dataclass(frozen=True, slots=True)
class Signed:
    """An envelope whose statement is about the bytes it came with; `keys` are the ids of the keys that it names."""

    envelope: Mapping[str, Any]
    keys: tuple[str, ...]
    predicate: Mapping[str, Json]


class KeyCheck(Protocol):
    """A public key that can tell whether an envelope is signed by it; `signing.PublicKey`."""

    @property
    def id(self) -> str:
        """The key's name."""
        ...

    def check(self, signed: Signed) -> None:
        """Raises `SignatureError` where the envelope has no good signature of this key."""
        ...


def statement(unsigned: bytes, predicate: Mapping[str, Json]) -> bytes:
    """The statement that is signed, for an artefact's bytes without a signature and `predicate_of` it."""
    versions = {
        "rbrlang": rbrlang.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "jax")},
    }
    return dump_json({
        "_type": STATEMENT_TYPE,
        "subject": [{"name": f"{predicate['fingerprint']}.rbrc", "digest": {"sha256": sha256(unsigned)}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {**predicate, "versions": versions},
    })  # fmt: skip


def read_signature(data: bytes, unsigned: bytes) -> Signed:
    """The envelope in `data`, if it is about these bytes. Raises `SignatureError`."""
    try:
        envelope = load_json(data)
        payload, kind, signatures = Field(envelope).fields("payload", "payloadType", "signatures")
        if kind.text() != PAYLOAD_TYPE:
            raise SignatureError("holds no in-toto statement")
        keys = tuple(_key_id(item) for item in signatures.items())
        said = load_json(base64.b64decode(payload.text(), validate=True))
        form, subject, predicate_type, predicate = Field(said).fields("_type", "subject", "predicateType", "predicate")
        if form.text() != STATEMENT_TYPE or predicate_type.text() != PREDICATE_TYPE:
            raise SignatureError("holds a statement that this version does not know")
        (only,) = subject.items(1)
        _, digest = only.fields("name", "digest")
        (digest_field,) = digest.fields("sha256")
        if digest_field.text() != sha256(unsigned):
            raise SignatureError("is of another artefact")
        if not isinstance(predicate.value, dict):
            raise predicate.error("is not an object")
        return Signed(cast(Mapping[str, Any], envelope), keys, cast(Mapping[str, Json], predicate.value))
    except (DecodeError, binascii.Error) as error:
        raise SignatureError(f"is no signature: {error}") from error


def check_predicate(signed: Signed, predicate: Mapping[str, Json]) -> None:
    """Whether the signer states what the artefact holds. Raises `SignatureError`."""
    stated = {key: value for key, value in signed.predicate.items() if key != "versions"}
    if stated != load_json(dump_json(predicate)):
        raise SignatureError("states something else than the artefact holds")


def required_key(path: str | os.PathLike[str]) -> KeyCheck:
    """The public key in a file, Ed25519 in PEM. Raises `SignatureError` without one, or without the extra; OSError."""
    try:
        signing = import_module("rbrlang.reward.kept.signing")  # late, since it needs an extra
    except ModuleNotFoundError as error:
        raise SignatureError(f"`{error.name}` is missing; install the extra: pip install 'rbrlang[sign]'") from error
    try:
        return signing.public_key(Path(path).read_bytes())
    except signing.KeyFileError as error:
        raise SignatureError(
            f"`{os.fspath(path)}` {error}; `openssl pkey -in key.pem -pubout -out key.pub` writes it"
        ) from error


def sha256(data: bytes) -> str:
    """The hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def _key_id(item: Field) -> str:
    key, signature = item.fields("keyid", "sig")
    signature.text()
    return key.text()
