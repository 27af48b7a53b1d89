"""Keys that a command was given: to sign an artefact, or to ask for a signature. Needs the extra `sign`."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path

from rbrlang.cli.errors import UsageError

PASSPHRASE = "RBRC_KEY_PASSPHRASE"


def signer(path: str | None) -> Callable[[bytes], bytes] | None:
    """What signs by the private key of `--sign`, before the command's work; None without one. Raises `UserError`."""
    if path is None:
        return None
    try:
        from rbrlang.reward.kept import signing
    except ModuleNotFoundError as error:
        raise UsageError(f"`{error.name}` is missing; install the extra: pip install 'rbrlang[sign]'") from error
    pem, told = Path(path).read_bytes(), os.environ.get(PASSPHRASE)
    try:
        try:
            return signing.signer(pem, None if told is None else told.encode())
        except signing.PassphraseError:
            if told is not None or not sys.stdin.isatty():
                raise
            return signing.signer(pem, getpass.getpass(f"passphrase of {path}: ").encode())
    except signing.PassphraseError as error:
        step = f"put it into {PASSPHRASE}" if told is None else f"check {PASSPHRASE}"
        raise UsageError(f"`{path}` {error}; {step}") from error
    except signing.KeyFileError as error:
        raise UsageError(f"`{path}` {error}; `openssl genpkey -algorithm ed25519 -out key.pem` makes one") from error
