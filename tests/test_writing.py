"""Files appear whole or not at all, links and permissions stay, and what is no file is never replaced."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from rbrlang.writing import write_bytes


def test_a_file_is_replaced_whole_and_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "a"
    write_bytes(target, b"one")
    os.chmod(target, 0o640)
    before = target.stat().st_ino
    write_bytes(target, b"two")
    assert target.read_bytes() == b"two"
    assert target.stat().st_ino != before
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["a"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"one")
    (tmp_path / "link").symlink_to("real")
    write_bytes(tmp_path / "link", b"two")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"two"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_bytes(pipe, b"data")
    reader.join()
    assert read == [b"data"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"one")

    def full(handle: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_bytes(target, b"two")
    assert target.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["a"]


def test_the_folder_is_synchronised_after_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    replace, sync = os.replace, os.fsync

    def renamed(source: Path, target: Path) -> None:
        replace(source, target)
        done.append("renamed")

    def synchronised(handle: int) -> None:
        sync(handle)
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")

    monkeypatch.setattr(os, "replace", renamed)
    monkeypatch.setattr(os, "fsync", synchronised)
    write_bytes(tmp_path / "a", b"one")
    assert done == ["file", "renamed", "folder"]


@pytest.mark.parametrize(("code", "raises"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synchronised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, raises: bool
) -> None:
    """A file system that has no such thing is no failure; a disk that fails is, and the new file is whole."""
    sync = os.fsync

    def fails(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(code, "no")
        sync(handle)

    monkeypatch.setattr(os, "fsync", fails)
    if raises:
        with pytest.raises(OSError) as failure:  # noqa: PT011  its name is what counts
            write_bytes(tmp_path / "a", b"one")
        assert failure.value.filename == str(tmp_path / "a")
    else:
        write_bytes(tmp_path / "a", b"one")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"one"


@pytest.mark.parametrize("name", ["absent/a", "."])
def test_the_error_names_what_was_asked_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError) as failure:  # noqa: PT011  the kind depends on the system, the name does not
        write_bytes(tmp_path / name, b"")
    assert failure.value.filename == str(tmp_path / name)
