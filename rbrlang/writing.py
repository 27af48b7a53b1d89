"""How is a file written so that nobody ever meets half of it?

A temporary file beside it, synchronised, then a rename, and the folder synchronised: after a power cut there is the
old file or the new one under that name, and once `write_bytes` has returned it is the new one. A link is followed, so that the file behind it is
replaced and not the link. What is no regular file (a device, a pipe) is written to, never replaced.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the file at once, keeping its permissions. Raises OSError, naming `path`."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Generator[BinaryIO]:
    """A file to write to, which takes the place of `path` at once when the block ends, and never where it raises.

    Raises OSError, naming `path`.
    """
    target = Path(os.path.realpath(path))
    try:
        found = target.stat() if target.exists() else None
        if found is not None and not stat.S_ISREG(found.st_mode):
            with open(target, "wb") as file:
                yield file
            return
        temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        error.filename = os.fspath(path)  # nobody asked for the temporary file
        raise
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if found is not None:
            os.chmod(temporary, stat.S_IMODE(found.st_mode))
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    try:
        sync_folder(target.parent)
    except OSError as error:
        error.filename = os.fspath(path)
        raise


def sync_folder(folder: Path) -> None:
    """Bring the entries of a folder (what was created, renamed, removed in it) to the disk. Raises OSError.

    Does nothing where a folder cannot be opened or synchronised at all, as on Windows and some network file systems.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except (PermissionError, IsADirectoryError):
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)
