"""What is measured in one run, on which machine, and does it pass?"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rbrlang import __version__
from rbrlang.bench import made
from rbrlang.bench.outcome import failed, from_json, to_json
from rbrlang.bench.process import Bench, NotMeasured
from rbrlang.bench.table import ROWS

QUICK_SECONDS = 50.0
"""Of the processor, after which a quick run begins no other process; rows that are left out say so."""
_PACKAGES = ("jax", "numpy", "optax", "google-re2", "pyarrow", "orjson", "torch", "matplotlib")


def measure(
    names: Sequence[str],
    policy: Path | None,
    texts: Path,
    *,
    quick: bool,
    seed: int,
    limit: float,
    on_progress: Callable[[int, str], None],
    keep: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Measure the rows of these names, as plain values: the machine, the load, and each row's outcome or why it has none.

    `policy` None is a small one that is made up. `limit` is how many seconds of the processor one process may take.
    `on_progress` is told how many rows are done, and what runs; `keep` gets the run so far after every row.
    """
    begun = time.monotonic()
    rows: list[dict[str, Any]] = []
    found = {
        "rbrlang": __version__,
        "quick": quick,
        "seed": seed,
        "policy": "small.rbr" if policy is None else policy.name,
        "machine": {
            "cores": os.cpu_count(),
            "processor": _processor(),
            "system": platform.system(),
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in _PACKAGES},
        },
        "seconds": 0.0,
        "rows": rows,
    }
    with tempfile.TemporaryDirectory(prefix="rbrc-bench-") as folder:
        if policy is None:
            policy = Path(folder) / "small.rbr"
            policy.write_text(made.types(2, 5), encoding="utf-8")
        bench = Bench(Path(folder), policy.absolute(), texts.absolute(), quick, seed, limit)
        if quick:
            bench.budget = QUICK_SECONDS
        for done, name in enumerate(names):
            row = ROWS[name]
            bench.note = lambda what, at=done, of=name: on_progress(at, f"{of}: {what}")
            on_progress(done, name)
            started, load = time.monotonic(), os.getloadavg()[0]
            plain: dict[str, Any] = {"name": name, "title": row.title, "why_not": "", "limit_s": limit}
            try:
                plain |= to_json(row.run(bench))
            except NotMeasured as error:
                plain |= {"why_not": str(error), "lines": [], "curves": [], "sizes": {}}
            took = round(time.monotonic() - started, 1)
            day = datetime.now(UTC).date().isoformat()
            rows.append({**plain, "date": day, "seconds": took, "load": [round(load, 1), round(os.getloadavg()[0], 1)]})
            found["seconds"] = round(time.monotonic() - begun, 1)
            keep(found)
    return found


def renewed(earlier: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """An earlier run with the rows that were measured again, and what was said of the machine then."""
    fresh = {row["name"]: row for row in found["rows"]}
    rows = [fresh.pop(row["name"], row) for row in earlier["rows"]] + list(fresh.values())
    order = list(ROWS)
    return {
        **found,
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "rows": sorted(rows, key=lambda row: order.index(row["name"])),
    }


def gates_missed(found: dict[str, Any]) -> list[str]:
    """The gates that a run missed, in words. Only ratios and counts are gates: no load of a machine fails a run."""
    return [
        f"{row['name']}: {line.what}"
        for row in found["rows"]
        if not row["why_not"]
        for line in failed(from_json(row).lines)
    ]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
