"""`rbrc grade --engine batch`: let a host answer in its own time, at half price.

The rows go through the job without an output until nothing is wanted any more: what no reply is there for is written as request
files, which are submitted, or handed over to be submitted by hand. Every reply ends in the cache of answers, so the job that
then writes the output is the one that asks directly.
"""

from __future__ import annotations

import argparse
import fcntl
import os
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rbrlang.cli.errors import UsageError
from rbrlang.cli.terminal import warn

if TYPE_CHECKING:
    from rbrlang.engines.jobs import Job
    from rbrlang.grading.endpoint.batchfiles import BatchFolder

HALF = 0.5
"""What a batch costs of what the same requests cost directly, with all hosts that sell them."""


def gather(options: argparse.Namespace, job: Job) -> bool:
    """Have every request answered, or failed for good; whether that is done. `options.batch` is its folder from then on.

    Raises `UserError`.
    """
    from rbrlang.cli.graders import spec_of
    from rbrlang.grading.questions.specs import OpenAISpec

    spec = spec_of(options)
    if not isinstance(spec, OpenAISpec):
        raise UsageError(f"`--engine batch` is for `openai:MODEL`, and `--grader {options.grader}` takes no batches")
    if options.lazy is not None:
        raise UsageError("`--lazy` asks in many rounds, and a batch may take a day for each; leave out one of them")
    if options.cache is None:
        raise UsageError("`--engine batch` needs a place for answers: with `-o -` name a file with `--cache`")
    if options.output == "-" and options.checkpoint is None:
        raise UsageError(
            "`--engine batch` keeps files beside the output; with `-o -` name a folder with `--checkpoint`"
        )
    place = Path(options.checkpoint or f"{options.output}.batch")
    try:
        from rbrlang.grading.endpoint.batchfiles import BatchFolder

        url = f"{spec.base_url}/chat/completions"
        with _alone(place):
            options.batch = BatchFolder(place, url)
            return _gathered(options, job, options.batch, url)
    except (OSError, ModuleNotFoundError) as error:
        raise UsageError(f"`--engine batch`: {error}") from error


def _gathered(options: argparse.Namespace, job: Job, folder: BatchFolder, url: str) -> bool:
    by_hand = options.batch_by_hand
    while True:
        _read(options, job)
        fresh = folder.fresh()
        for file in folder.write(fresh):
            warn(f"wrote requests to `{file}`")
        for what, count in folder.strange.items():
            warn(f"left out of the results in `{folder.folder}`: {count} {what}")
        folder.scan()
        waiting = {file: len(left) for file in folder.requests() if (left := folder.unanswered(file))}
        if not waiting:
            return True
        by_hand = by_hand or not _settled(options, folder, url)
        if by_hand:
            for file, count in waiting.items():
                warn(f"`{file}`: {count} requests without a result")
            warn(
                "submit the files named above as batches, put their output and error files (`*.jsonl`) into "
                f"`{folder.folder}`, and give the same command again"
            )
            return False
        folder.scan()


def _read(options: argparse.Namespace, job: Job) -> None:
    """Go through the rows once, and say what the replies that were read took."""
    from rbrlang.cli.commands.grading.told import Told
    from rbrlang.engines import local

    told = Told()
    with closing(local.run(options.rows, job, limit=options.limit)) as results:
        for done in results:
            told.add(done.tally.told)
    for summary in told.summaries:
        if summary.usage.prompt:
            used = summary.usage
            warn(
                f"read from batches: {used.prompt} prompt tokens, {used.completion} answer tokens, cost "
                f"{HALF * summary.cost:.4f} at half price"
            )


def _settled(options: argparse.Namespace, folder: BatchFolder, url: str) -> bool:
    """Submit, wait and fetch; whether the server takes batches. Raises `UserError`."""
    from rbrlang.cli.graders import chosen
    from rbrlang.grading.endpoint.account import run_options
    from rbrlang.grading.endpoint.batches import Batches, NoBatches
    from rbrlang.grading.questions.specs import api_key

    how = chosen(options)
    try:
        Batches(folder, url, api_key(os.environ, how.key_env), run_options(how), warn).settle()
    except NoBatches as error:
        warn(str(error))
        return False
    except KeyboardInterrupt:
        warn("batches go on without us; the same command looks for their results")
        raise
    return True


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Let no second run use the folder, which would submit the same requests."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "wb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another run uses `{folder}`; wait for it, or name another folder with `--checkpoint`"
            ) from None
        yield
