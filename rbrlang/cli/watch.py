"""Running a command again whenever a file that it read changes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

from rbrlang.cli.render import use_colour
from rbrlang.cli.terminal import painted, say, unread
from rbrlang.errors import UserError

_PAUSE = 0.3  # seconds between two looks; a look is one `stat` a file

Stamp = dict[Path, tuple[int, int] | None]


def _stamp(files: Collection[Path]) -> Stamp:
    """When each file was last written, and its size; None where there is none."""
    found: Stamp = {}
    for file in files:
        try:
            status = file.stat()
            found[file] = (status.st_mtime_ns, status.st_size)
        except OSError:
            found[file] = None
    return found


def watch(named: Collection[Path], run: Callable[[], tuple[int, Collection[Path]]]) -> int:
    """Run, wait for a change, run again, until interrupted or until nobody reads on; the exit code of the last run.

    `run` gives its exit code and the files that it read. A run that fails (a file is gone, or just being replaced)
    says so, and those `named` on the command line are watched until it works again.
    """
    files, code = dict.fromkeys(named), 0
    try:
        while True:
            began, before = time.time_ns(), _stamp(files)
            if use_colour(sys.stdout):
                painted(sys.stdout, "\x1b[2J\x1b[H")  # a fresh screen
            try:
                code, read = run()
                files |= dict.fromkeys(read)  # those of earlier runs stay: what is gone may come back
            except (UserError, OSError) as error:
                code = 2
                say(f"{error}")
            late = {file: stamp for file, stamp in _stamp(files).items() if file not in before}
            changed = any(stamp is not None and stamp[0] >= began for stamp in late.values())
            before |= late
            say(f"watching {len({file.resolve() for file in files})} files; Ctrl-C ends")
            sys.stdout.flush()
            if unread():
                return code
            while not changed:
                time.sleep(_PAUSE)
                changed = _stamp(before) != before
    except KeyboardInterrupt:
        return code
