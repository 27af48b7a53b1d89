"""How does a language model answer without a server?

A GGUF file is loaded by llama.cpp, of the wheel `xllamacpp`, in a process of its own that listens on a Unix socket in a folder
that is ours alone: no port, and the requests, the chat template, the reuse of beginnings and the numbers are those of
llama.cpp's server. Model files are other people's, and llama.cpp is C++: a file that brings it down costs that process, and
what was asked of it is invalid with the reason. It ends with the process that started it, however that ends.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import json
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from rbrlang.grading.questions.specs import GraderError

LOADING_SECONDS = 600.0
_CHUNK = 1 << 24
_METADATA = 1 << 28  # a file says what it is at its beginning, long vocabularies included
_NAME = b"tokenizer.chat_template"
_TEMPLATE = len(_NAME).to_bytes(8, "little") + _NAME + (8).to_bytes(4, "little")
"""The key of the chat template, a text: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md."""
_LONGEST_SOCKET = 100  # bytes of a path; the system takes 107
_ERROR = re.compile(r"\d[\d.]* E (.+)")  # as llama.cpp logs
_PART = re.compile(r"(.*-)\d{5}(-of-\d{5}\.gguf)")


def check(path: Path) -> None:
    """Raise `GraderError` where the file can be seen to be no chat model, or llama.cpp is not there. Nothing is loaded."""
    try:
        with open(path, "rb") as file:
            if file.read(4) != b"GGUF":
                raise GraderError(
                    f"`{path}` is not a GGUF file; name one that llama.cpp can load, such as `Qwen3-4B-Q4_K_M.gguf`"
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as seen:
                if seen.find(_TEMPLATE, 0, _METADATA) < 0:
                    raise GraderError(
                        f"the model `{path}` has no chat template, so it is none to ask questions; take one that was trained "
                        "to follow instructions"
                    )
    except OSError as error:
        raise GraderError(
            f"cannot read the model `{path}`: {(error.strerror or str(error)).lower()}; check the path"
        ) from error
    if importlib.util.find_spec("xllamacpp") is None:
        raise GraderError(f"the grader `local:{path}` needs the extra `local`: pip install 'rbrlang[local]'")


_digests: dict[tuple[str, int, int], str] = {}


def digest(path: Path, on_bytes: Callable[[int, int], object] | None = None) -> str:
    """The SHA-256 of the file's bytes, or of all parts of a model in several files, read once in a process.

    `on_bytes` is told how many of how many were read. Raises `GraderError`.
    """
    part = _PART.fullmatch(path.name)
    parts = sorted(path.parent.glob(f"{part[1]}?????{part[2]}")) if part else [path]
    total, read = hashlib.sha256(), 0
    try:
        sizes = [file.stat() for file in parts]
        key = str(path.absolute()), sum(one.st_size for one in sizes), max(one.st_mtime_ns for one in sizes)
        if key not in _digests:
            for name in parts:
                with open(name, "rb") as file:
                    while chunk := file.read(_CHUNK):
                        total.update(chunk)
                        read += len(chunk)
                        if on_bytes is not None:
                            on_bytes(read, key[1])
            _digests[key] = total.hexdigest()[:32]
    except (OSError, ValueError) as error:
        raise GraderError(f"cannot read the model `{path}`: {str(error).lower()}") from error
    return _digests[key]


class LocalModel:
    """A model in a process of its own, of this process alone. Any thread may use it; it answers one question at a time."""

    def __init__(self, path: Path, context: int, threads: int) -> None:
        self.owner = os.getpid()
        self._path, self._context, self._threads = path, context, threads
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = _folder()
        self.socket = os.path.join(self._folder, "model.sock")  # by its ending llama.cpp knows what it is

    def ready(self) -> str | None:
        """Load the model unless that is done; why it cannot be loaded, in words."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return None
            return self._start()

    def _start(self) -> str | None:
        self._close()
        os.makedirs(self._folder, 0o700, exist_ok=True)
        Path(self.socket).unlink(missing_ok=True)
        told = {
            "model": str(self._path.absolute()), "socket": self.socket, "context": self._context, "threads": self._threads
        }  # fmt: skip
        script = Path(__file__).with_name("llama_child.py")
        with tempfile.TemporaryFile() as log:
            self._process = process = subprocess.Popen(
                [sys.executable, "-P", str(script), json.dumps(told)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
            )  # fmt: skip
            late = threading.Timer(LOADING_SECONDS, process.kill)
            late.start()
            try:
                said = process.stdout.readline() if process.stdout is not None else b""
            finally:
                late.cancel()
            if said == b"ready\n":
                return None
            process.wait()
            self._close()
            return f"the model `{self._path}` cannot be loaded: {_ended(process.returncode, log)}; take another file"

    def end(self) -> None:
        """End the process, and remove its socket."""
        self._close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


_models: dict[tuple[str, str, int, int], LocalModel] = {}
_taking = threading.Lock()


def local_model(path: Path, context: int, threads: int) -> LocalModel:
    """The process for a model, which those who ask for the same one share. It is started when it is first asked."""
    key = str(path.absolute()), digest(path), context, threads
    with _taking:
        if key not in _models or _models[key].owner != os.getpid():  # after a fork it is the parent's
            _models[key] = LocalModel(path, context, threads)
        return _models[key]


@atexit.register
def end_all() -> None:
    """End the processes that were started here."""
    for key, model in list(_models.items()):
        if model.owner == os.getpid():
            _models.pop(key).end()


def _folder() -> str:
    """A folder that only we can enter, with a name that is short enough for a socket."""
    made = tempfile.mkdtemp(prefix="rbrc-")
    if len(os.fsencode(made)) > _LONGEST_SOCKET - len("/model.sock"):
        os.rmdir(made)
        made = tempfile.mkdtemp(prefix="rbrc-", dir="/tmp")
    return made


def _ended(code: int, log: IO[bytes]) -> str:
    """Why the process ended, in words: what llama.cpp says first is wrong, without control characters."""
    if code < 0:
        return (
            f"llama.cpp ended with {signal.Signals(-code).name}; the file may be damaged, or too large for the memory"
        )
    log.seek(0)
    lines = [
        " ".join(re.sub(r"[^\x20-\x7e]+", " ", line).split())
        for line in log.read(1 << 20).decode(errors="replace").splitlines()
    ]
    wrong = [found[1] for line in lines if (found := _ERROR.fullmatch(line))]
    return (wrong[:1] or lines[-1:] or [f"exit code {code}"])[0][:200]
