"""How do named byte strings become one file that is the same wherever it is written?

A zip with one permitted form: members in the given order, stored and not compressed, one fixed time and
permission, no comments or extra fields. Since the form is unique, a reader can demand it: after the
limits and names are checked, the members are packed again and must give the very same bytes. That leaves
no room for compressed bombs, overlapping or repeated members, or data hidden between them. Compression
would save little and make the bytes depend on the version of zlib.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from rbrlang.errors import UserError

MAX_FILE = 256 << 20
"""Largest artefact that is read, bytes."""
MAX_MEMBERS = 1024

_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]*(/[a-z0-9_][a-z0-9_.-]*)*")
_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16
_MOST = 400  # characters of a message


class ArtefactError(UserError, ValueError):
    """A file that is no acceptable artefact: which file and member, what is wrong, what to do next."""

    def __init__(self, file: str, member: str | None, cause: str, next_step: str) -> None:
        self.file = file
        self.member = member
        self.cause = _one_line(cause)
        self.next_step = _one_line(next_step)
        where = f"`{file}`" if member is None else f"`{_one_line(member)}` in `{file}`"
        super().__init__(f"{where}: {self.cause}; {self.next_step}")


def _one_line(text: str) -> str:
    """What a file says of itself may be told: no control characters, and not without end."""
    shown = "".join(c if c.isprintable() else "�" for c in text[:_MOST])
    return shown if len(text) <= _MOST else f"{shown}…"


AGAIN = "compile or fit the policy again, or fetch the file again"


def pack(members: Mapping[str, bytes]) -> bytes:
    """The one zip of these members, in their order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _TIME)
            info.create_system = 3
            info.external_attr = _MODE
            archive.writestr(info, data)
    return buffer.getvalue()


def read_bounded(path: Path) -> bytes:
    """The bytes of a file of at most `MAX_FILE`. Raises `ArtefactError`, also when it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ArtefactError(str(path), None, f"cannot be read: {reason}", "check the path") from error
    if len(data) > MAX_FILE:
        raise ArtefactError(str(path), None, f"is larger than {MAX_FILE >> 20} MiB", "check the path")
    return data


def unpack(file: str, data: bytes) -> dict[str, bytes]:
    """The members of `pack`'s bytes, in order; `file` is used in messages. Raises `ArtefactError`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check_directory(file, infos, len(data))
            members = {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        if isinstance(error, ArtefactError):
            raise
        raise ArtefactError(file, None, "is damaged or is no artefact (not a readable zip)", AGAIN) from error
    if pack(members) != data:
        raise ArtefactError(file, None, "has bytes that rbrlang does not write around its members", AGAIN)
    return members


def _check_directory(file: str, infos: list[zipfile.ZipInfo], size: int) -> None:
    """Refuses a directory that promises anything `pack` does not write, before a member is read."""
    if len(infos) > MAX_MEMBERS:
        raise ArtefactError(file, None, f"has {len(infos)} members, more than {MAX_MEMBERS}", AGAIN)
    seen: set[str] = set()
    declared = 0
    for info in infos:
        name = info.filename
        if not _NAME.fullmatch(name):
            raise ArtefactError(file, name, "is a name that an artefact may not contain", AGAIN)
        if name in seen:
            raise ArtefactError(file, name, "is there twice", AGAIN)
        seen.add(name)
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ArtefactError(file, name, "is compressed, and artefacts are not", AGAIN)
        declared += info.file_size
        if declared > size:
            raise ArtefactError(file, name, "declares more bytes than the file has", AGAIN)
