"""How do the rows of a file go through a job on several machines, so that a death costs a block and never the run?

The driver cuts the file into pieces, in order, and puts each into the run's folder, which all machines see. Ray Data
(https://docs.ray.io/en/latest/data/data.html) gives pieces to actors, each with a job of its own that is opened once, and
holds back what they have no room for. An actor writes what came of a piece beside it, at once or not at all, and the
driver takes these results in the order of the pieces: so the output is that of one process, byte for byte. A run that was
killed goes on from its folder: a result counts where it is of the same piece and the same job.

A piece is a run of rows as they stand in the file, and one actor has all of it: completions of a prompt that stand
together meet the same server, whose prefix cache knows their beginning.

The folder's files are pickles. They are read by whoever goes on, so it has to be as safe from others as the program.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import pickle
import shutil
import threading
import time
from collections.abc import Generator, Iterator, Sequence, Set
from pathlib import Path
from typing import Any, cast

from rbrlang.engines.jobs import Done, Job, Part, counted, worked
from rbrlang.engines.local import WorkerError
from rbrlang.errors import UserError
from rbrlang.rows.pieces import Piece, pieces
from rbrlang.writing import write_bytes

_DEATHS = 3  # of actors that one piece may cost
_STARTS = 3  # of Ray on this machine
_PATIENCE = 10  # seconds for threads that are about to end


class EngineError(UserError):
    """Ray cannot be had; the message says how."""


def run(
    path: str, job: Job, folder: Path, *, identity: str, workers: int = 1, limit: int | None = None
) -> Generator[Done]:
    """See `local.run`. `folder` is the run's; `identity` tells the job apart from others that use the same folder.

    Ray's cluster is that of `RAY_ADDRESS`, else one is started on this machine. Raises `EngineError` besides.
    """
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise EngineError("`--engine ray` needs the extra `ray`: pip install 'rbrlang[ray]'") from None

    folder.mkdir(parents=True, exist_ok=True)
    job.open()
    cut = _put(path, job, folder, identity)
    if cut:
        job.open(cast("Piece", _loaded(cut[0][0])))  # as the actors do
    begun = not ray.is_initialized()
    if begun:
        address = os.environ.get("RAY_ADDRESS")
        here: dict[str, Any] = {"address": address} if address else {"num_cpus": workers, "include_dashboard": False}
        _start(ray, here, tries=1 if address else _STARTS)
    threads = set(threading.enumerate())
    try:
        yield from counted(path, job, _results(job, folder, cut, workers), limit)
    finally:
        if begun:
            _joined(threads)
            ray.shutdown()


def _start(ray: Any, options: dict[str, Any], *, tries: int) -> None:
    """Reach a cluster or start one, again where Ray gave up on its own processes: on a busy machine they take longer than
    it waits, and less long when they have been read from the disk once. Raises `EngineError`.
    """
    for left in reversed(range(tries)):
        try:
            ray.init(log_to_driver=False, logging_level="error", **options)
            return
        except Exception as error:  # of many kinds, by what of it did not come up
            ray.shutdown()
            if left:
                continue
            address = options.get("address")
            where = f"the cluster at RAY_ADDRESS={address} cannot be reached" if address else "Ray does not start here"
            reason = f"{str(error).splitlines()[0] if str(error) else type(error).__name__}"
            raise EngineError(
                f"{where}: {reason}; the same command goes on, and `--workers` works without Ray"
            ) from error


def _joined(before: Set[threading.Thread]) -> None:
    """Wait for what Ray Data left running: Ray ends the whole process when a thread asks for anything after its shutdown."""
    deadline = time.monotonic() + _PATIENCE
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, deadline - time.monotonic()))


def forget(folder: Path) -> None:
    """Remove the folder of a run whose output is written."""
    shutil.rmtree(folder, ignore_errors=True)


def _put(path: str, job: Job, folder: Path, identity: str) -> list[tuple[Path, bool]]:
    """The files of all pieces, each named by its number and what it holds, and whether there is a result already."""
    cut: list[tuple[Path, bool]] = []
    for number, piece in enumerate(pieces(path, job.names)):
        data = pickle.dumps(piece)
        told = hashlib.sha256(identity.encode() + b"\0" + data).hexdigest()[:32]
        file = folder / f"{number:08d}-{told}.piece"
        there = file.with_suffix(".done").exists()
        if (not there or number == 0) and not file.exists():
            write_bytes(file, data)
        cut.append((file, there))
    return cut


def _results(
    job: Job, folder: Path, cut: Sequence[tuple[Path, bool]], workers: int
) -> Iterator[tuple[Piece, Sequence[Part]]]:
    """Each piece with its results, in order, as soon as they are there. Raises `WorkerError`, and what a job raised."""
    left = [str(file) for file, there in cut if not there]
    for file in left:
        Path(file).with_suffix(".tries").unlink(missing_ok=True)  # what killed an earlier run may have been anything
    arrived = _worked_on(job, left, workers, folder, str(cut[0][0])) if left else iter(())
    for file, _ in cut:
        result = file.with_suffix(".done")
        while not result.exists():
            if next(arrived, None) is None and not result.exists():
                raise WorkerError(f"Ray ended without a result for {_loaded(file)}; the same command goes on")
        found = _loaded(result)
        if isinstance(found, BaseException):
            result.unlink()  # tried again by the next run
            raise found
        piece, parts = cast("tuple[Piece, Sequence[Part]]", found)
        yield piece, parts
    for _ in arrived:  # to its end, or it goes on while Ray is shut down
        pass


def _worked_on(job: Job, files: Sequence[str], workers: int, folder: Path, begin: str) -> Iterator[bool]:
    """Have actors work on these pieces; True each time that there are further results."""
    ray: Any = importlib.import_module("ray")
    data: Any = importlib.import_module("ray.data")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    write_bytes(folder / "job", pickle.dumps(job))  # an actor that is made again reads it again
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    source = data.from_items([{"file": file} for file in files], override_num_blocks=len(files))
    # Actors that die are made again, and given their piece again: how often is counted there.
    done = source.map_batches(
        _Actor, fn_constructor_args=(str(folder / "job"), begin), batch_size=1, num_cpus=1,
        compute=data.ActorPoolStrategy(size=workers),
    )  # fmt: skip
    try:
        for _ in done.iter_internal_ref_bundles():  # without the threads that fetch what nobody looks at
            yield True
    except ray.exceptions.RayError as error:
        first = next((Path(file) for file in files if not Path(file).with_suffix(".done").exists()), None)
        at = "" if first is None else f"; the first piece without a result is {_loaded(first)}"
        raise WorkerError(f"Ray gave up: {str(error).splitlines()[0]}{at}") from error


class _Actor:
    """A job on some machine."""

    def __init__(self, job: str, begin: str) -> None:
        self._job: Job = _loaded(Path(job))
        self._refused: Exception | None = None
        try:
            self._job.open(cast("Piece", _loaded(Path(begin))))
        except Exception as error:
            self._refused = error

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Work on pieces, and put the results beside them."""
        for name in batch["file"]:
            file = Path(str(name))
            result = file.with_suffix(".done")
            if not result.exists():
                write_bytes(result, pickle.dumps(self._found(file)))
        return batch

    def _found(self, file: Path) -> object:
        if self._refused is not None:
            return self._refused
        piece = cast("Piece", _loaded(file))
        with file.with_suffix(".tries").open("ab") as tries:
            if tries.tell() == _DEATHS:
                return WorkerError(f"{_DEATHS} actors died, one after the other, over {piece}; nothing was written")
            tries.write(b".")
        try:
            return piece, worked(self._job, piece)
        except Exception as error:
            return error


def _loaded(file: Path) -> Any:
    return pickle.loads(file.read_bytes())
