"""How do the rows of a file go through a job on one machine, in this process or in several?

Pieces are cut here, in order, and given to whichever worker is free; few are under way at a time. Results are taken in
the order of the pieces, so that the output is the same with any number of workers. Workers are spawned, never forked.
One that dies is replaced and its piece given once more; a piece that kills two is named in the error.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

from rbrlang.engines.jobs import Done, Job, Part, counted, worked
from rbrlang.errors import UserError
from rbrlang.rows.pieces import Piece, pieces

_AHEAD = 3  # pieces under way for each worker
_DEATHS = 2  # of workers that one piece may cost


class WorkerError(UserError):
    """A worker that died again and again; the message names the rows."""


def run(path: str, job: Job, *, workers: int = 1, limit: int | None = None) -> Generator[Done]:
    """The results of all blocks of a file, in order. Raises `RowsError`, OSError, `WorkerError`, and what the job raises.

    The first `limit` rows that can be used are all, where it is given.
    """
    cut = pieces(path, job.names)
    if workers == 1:
        job.open()
        yield from counted(path, job, ((piece, None) for piece in cut), limit)
        return
    with Workers(job, workers) as pool:
        job.open()  # blocks with an id that is taken are worked on here
        yield from counted(path, job, pool.results(cut), limit)


class Workers:
    """Processes that work on pieces."""

    def __init__(self, job: Job, count: int) -> None:
        self._job = job
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._count = count

    def __enter__(self) -> Workers:
        try:
            self._workers += [_Worker(self._context, self._job) for _ in range(self._count)]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def results(self, cut: Iterable[Piece]) -> Iterator[tuple[Piece, Sequence[Part]]]:
        """Each piece with its results, in order. Raises `WorkerError`, and what a job raised."""
        left = iter(cut)
        under_way: dict[int, Piece] = {}
        again: deque[int] = deque()
        deaths: dict[int, int] = {}
        ready: dict[int, Sequence[Part]] = {}
        first = following = 0
        ended = False
        while True:
            for worker in self._workers:
                if worker.number is None and again:
                    worker.give(again[0], under_way[again.popleft()])
                elif worker.number is None and not ended and following - first < _AHEAD * self._count:
                    piece = next(left, None)
                    if piece is None:
                        ended = True
                    else:
                        under_way[following] = piece
                        worker.give(following, piece)
                        following += 1
            while first in ready:
                yield under_way.pop(first), ready.pop(first)
                first += 1
            if first == following:
                if ended:
                    return
                continue
            idle = any(worker.number is None for worker in self._workers)
            if idle and (again or (not ended and following - first < _AHEAD * self._count)):
                continue
            busy = {worker.connection: worker for worker in self._workers if worker.number is not None}
            for connection in wait(list(busy)):
                worker = busy[cast("Connection[Any, Any]", connection)]
                number = cast(int, worker.number)
                parts = worker.taken()
                if parts is not None:
                    ready[number] = parts
                    continue
                deaths[number] = deaths.get(number, 0) + 1
                how = worker.end()
                if deaths[number] == _DEATHS:
                    raise WorkerError(
                        f"{_DEATHS} workers died, one after the other, over {under_way[number]} ({how}); nothing was written"
                    )
                again.append(number)
                self._workers[self._workers.index(worker)] = _Worker(self._context, self._job)


class _Worker:
    """A process, and the number of the piece that it has; None where it is idle."""

    def __init__(self, context: Any, job: Job) -> None:
        ours, theirs = context.Pipe()
        self.connection: Connection[Any, Any] = ours
        self.number: int | None = None
        self._process: BaseProcess = context.Process(target=_work, args=(theirs, job), daemon=True)
        self._process.start()
        theirs.close()

    def give(self, number: int, piece: Piece) -> None:
        self.number = number
        with contextlib.suppress(OSError):  # a worker that is dead is found out when it is listened to
            self.connection.send(piece)

    def taken(self) -> Sequence[Part] | None:
        """The results of the piece; None where the worker died. Raises what the job raised."""
        try:
            found = self.connection.recv()
        except (EOFError, OSError):
            return None
        self.number = None
        if isinstance(found, BaseException):
            raise found
        return cast("Sequence[Part]", found)

    def end(self) -> str:
        """End it; how it had ended before."""
        self._process.join(0.2 if self.number is not None else 0)
        code = self._process.exitcode
        self.connection.close()
        if code is None:
            self._process.terminate()
            self._process.join()
            return "it no longer answered"
        if code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name
        return f"{name}: perhaps the system had no more memory" if name == "SIGKILL" else name


def _work(connection: Connection[Any, Any], job: Job) -> None:
    """A worker: pieces in, results out, until nobody sends any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to say
    answer: Callable[[Piece], object]
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # said once, by the parent
            job.open()
        answer = lambda piece: worked(job, piece)  # noqa: E731
    except Exception as error:
        refused = error
        answer = lambda _: refused  # noqa: E731
    while True:
        try:
            piece = connection.recv()
        except (EOFError, OSError):
            return
        try:
            found = answer(piece)
        except Exception as error:
            found = error
        try:
            connection.send(found)
        except (EOFError, BrokenPipeError):
            return
