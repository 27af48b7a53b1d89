"""What does the most tangled policy from elsewhere cost whoever handles it?

    python benchmarks/hostile_policies.py                  # every case of tests/hostile.py through `rbrc check`
    python benchmarks/hostile_policies.py fmt explain …    # and through other commands

Each case has a process of its own. The goals are those of `rbrlang.budget`: at most 5 s of processor time and 500 MB,
whether the policy is accepted or refused; exit code 1 when one is missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from hostile import CASES  # noqa: E402

SECONDS, MEGABYTES = 5.0, 500
_STOP = 60  # seconds of processor time after which a case is given up

_CHILD = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, ({_STOP}, {_STOP}))
from rbrlang.cli.main import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
sys.stderr.write(f"\\n@ {{code}} {{used.ru_utime + used.ru_stime}} {{used.ru_maxrss / 1024}}\\n")
"""

COMMANDS: dict[str, tuple[str, ...]] = {
    "check": ("check",), "json": ("check", "--format", "json"), "fmt": ("fmt", "--check"), "graph": ("graph",),
    "test": ("test",), "coverage": ("test", "--coverage"), "mutate": ("test", "--mutate"), "compile": ("compile",),
    "diff": ("diff",), "explain": ("explain",),
}  # fmt: skip


def main() -> int:
    """Print what every case costs; exit code 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description="Handle hostile policies.")
    parser.add_argument("commands", nargs="*", default=["check"], choices=[*COMMANDS, "check"], metavar="COMMAND")
    parser.add_argument("--only", action="append", default=[], metavar="CASE")
    options = parser.parse_args()
    missed = 0
    for case, size in CASES:
        if options.only and case.__name__ not in options.only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "policy.rbr")
            file.write_text(case(size), encoding="utf-8")
            for name in options.commands:
                code, seconds, megabytes = _run(COMMANDS[name], file, Path(folder))
                bad = seconds > SECONDS or megabytes > MEGABYTES
                missed += bad
                print(
                    f"{case.__name__:32}{size:>9,}  {name:9}{code:>5}{seconds:8.2f} s{megabytes:7.0f} MB"
                    + ("   missed" if bad else ""),
                    flush=True,
                )
    return int(missed > 0)


def _run(command: tuple[str, ...], file: Path, folder: Path) -> tuple[str, float, float]:
    more = {"compile": ("-o", str(folder / "out.rbrc")), "diff": (str(file),), "explain": ("--given", "a")}
    arguments = [*command, str(file), *more.get(command[0], ())]
    done = subprocess.run([sys.executable, "-c", _CHILD, *arguments], capture_output=True, text=True, errors="replace")
    last = done.stderr.strip().rpartition("\n")[2]
    if not last.startswith("@"):
        return "killed", float(_STOP), 0.0
    _, code, seconds, megabytes = last.split()
    return code, float(seconds), float(megabytes)


if __name__ == "__main__":
    sys.exit(main())
