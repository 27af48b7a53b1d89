"""Run a command and say what it took: a script of its own, as small as Python is.

A new process is said to have had as much memory as the one that it was forked from, so that one has to be small.
`python -S launch.py SECONDS FILE COMMAND…` limits the processor's seconds and writes `[status, clock, processor, peak]` to FILE.
"""

import json
import os
import resource
import sys
import time


def main(seconds: int, report: str, command: list[str]) -> None:
    """Run the command to its end, or to that of its seconds; the peak is in bytes on macOS, else in KiB."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    begun = time.perf_counter()
    child = os.posix_spawn(command[0], command, os.environ)
    _, status, used = os.wait4(child, 0)
    clock = time.perf_counter() - begun
    with open(report, "w", encoding="utf-8") as file:
        json.dump([os.waitstatus_to_exitcode(status), clock, used.ru_utime + used.ru_stime, used.ru_maxrss], file)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
