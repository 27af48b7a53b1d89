"""Who signed an artefact? Ed25519 keys in PEM, and DSSE envelopes; needs the extra `sign`.

    sign = signer(Path("key.pem").read_bytes(), None)             # bytes of a statement → bytes of an envelope
    check = public_key(Path("key.pub").read_bytes())

A key is named by the SHA-256 of its public half in DER, which `openssl pkey -pubin -in key.pub -outform DER |
sha256sum` prints. Sigstore's keys without files are not used here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as EnvelopeError
from securesystemslib.signer import CryptoSigner, SSlibKey  # pyright: ignore[reportPrivateImportUsage]

from rbrlang.reward.kept.codec import dump_json
from rbrlang.reward.kept.signature import PAYLOAD_TYPE, SignatureError, Signed, sha256


class KeyFileError(ValueError):
    """A file that holds no key of the kind that is needed; the message says what it holds."""


class PassphraseError(KeyFileError):
    """An encrypted private key, and no passphrase or not its own."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Whose signature is asked for; `id` as the module says."""

    id: str
    key: SSlibKey

    def check(self, signed: Signed) -> None:
        """Whether the envelope has a signature of this key. Raises `SignatureError`."""
        if self.id not in signed.keys:
            names = ", ".join(f"`{key[:16]}…`" for key in signed.keys[:3]) or "no key"
            raise SignatureError(f"is of {names}, and not of the key `{self.id[:16]}…` that is required")
        try:
            # `from_dict` writes into what it is given.
            Envelope.from_dict(copy.deepcopy(dict(signed.envelope))).verify([self.key], 1)
        except (EnvelopeError, ValueError, KeyError, TypeError) as error:
            raise SignatureError(f"was not made by the key `{self.id[:16]}…` that it names") from error


def signer(pem: bytes, passphrase: bytes | None) -> Callable[[bytes], bytes]:
    """What signs a statement by an Ed25519 private key. Raises `KeyFileError`, `PassphraseError`."""
    try:
        private = load_pem_private_key(pem, passphrase)
    except TypeError as error:
        if passphrase is None:
            raise PassphraseError("is encrypted, and there is no passphrase for it") from error
        return signer(pem, None)  # a passphrase for a key that needs none
    except (ValueError, UnsupportedAlgorithm) as error:
        if b"ENCRYPTED" in pem:
            raise PassphraseError("cannot be decrypted by this passphrase") from error
        raise KeyFileError("holds no private key in PEM") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyFileError("holds a private key that is not Ed25519")
    made = CryptoSigner(private, _named(private.public_key()))

    def sign(payload: bytes) -> bytes:
        envelope = Envelope(payload, PAYLOAD_TYPE, {})
        envelope.sign(made)
        return dump_json(envelope.to_dict())

    return sign


def public_key(pem: bytes) -> PublicKey:
    """An Ed25519 public key. Raises `KeyFileError`."""
    try:
        found = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        private = b"PRIVATE KEY" in pem
        raise KeyFileError(
            "holds a private key; give the public one" if private else "holds no public key in PEM"
        ) from error
    if not isinstance(found, Ed25519PublicKey):
        raise KeyFileError("holds a public key that is not Ed25519")
    key = _named(found)
    return PublicKey(key.keyid, key)


def _named(public: Ed25519PublicKey) -> SSlibKey:
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SSlibKey.from_crypto(public, keyid=sha256(der))
