"""How many rows a second does `rbrc score` read, reward and write, and how much memory does it take at any number of rows?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rbrlang.bench import made, peers
from rbrlang.bench.outcome import Curve, Goal, Line, Outcome, figure, ratio
from rbrlang.bench.process import Bench, NotMeasured, Used, best

JSON = "beside the parser: checks that no key or digit is lost, the reward in numpy, and writing"
COLUMNS = "packing and writing columns take a third, the reward's arithmetic in numpy a fifth, reading them a sixth"


# --- tasks ------------------------------------------------------------------------------------


def make(policy: str, path: str, rows: int, seed: int, kind: str) -> dict[str, int]:
    """A file of graded rows, JSON Lines or Parquet."""
    from rbrlang.policy import load

    circuit = load(Path(policy)).circuit
    file = Path(path)
    lines = file if kind == "jsonl" else file.with_suffix(".jsonl")
    made.rows(lines, rows, list(circuit.propositions), list(circuit.response_names), seed)
    if kind == "parquet":
        from pyarrow import json as arrow_json
        from pyarrow import parquet

        parquet.write_table(arrow_json.read_json(lines), file)
        lines.unlink()
    return {"bytes": file.stat().st_size}


def parsing(path: str) -> dict[str, float]:
    """Seconds to read and write the same lines as JSON, with `json` and, where it is installed, `orjson`."""
    lines = Path(path).read_bytes().splitlines()
    found = {"json": best(lambda: [json.dumps(json.loads(line)) for line in lines], 2)}
    if peers.installed("orjson"):
        import orjson  # pyright: ignore[reportMissingImports]

        found["orjson"] = best(lambda: [orjson.dumps(orjson.loads(line)) for line in lines], 3)
    return found


def reading(path: str) -> dict[str, float]:
    """Seconds to read a Parquet file with pyarrow: as arrays, and as Python's objects."""
    from pyarrow import parquet

    def arrays() -> Any:
        return parquet.read_table(path)

    def objects() -> list[Any]:
        return arrays().to_pylist()

    return {"arrays": best(arrays, 3), "objects": best(objects, 2)}


# --- rows of the table ------------------------------------------------------------------------


def _scored(bench: Bench, artefact: Path, kind: str, sizes: list[int]) -> tuple[list[tuple[int, Used]], str]:
    """What scoring takes by size, and why larger sizes are missing."""
    found: list[tuple[int, Used]] = []
    for size in sizes:
        rows = bench.folder / f"rows{size}.{kind}"
        try:
            bench.task("scoring:make", policy=str(bench.policy), path=str(rows), rows=size, seed=bench.seed, kind=kind)
            used = bench.command(
                "score", str(artefact), str(rows), "-o", str(bench.folder / f"scored.{kind}"), codes=(0, 3)
            )
        except NotMeasured as error:
            return found, f"{size:,} and more: {error}"
        found.append((size, used))
    return found, ""


def _score(bench: Bench, kind: str, most: int, bound: float, reason: str) -> Outcome:
    artefact = bench.folder / "score.rbrc"
    bench.command("compile", str(bench.policy), "-o", str(artefact))
    sizes = [size for size in bench.sizes((500, 4_000), (1_000, 10_000, 100_000, 1_000_000)) if size <= most]
    found, left_out = _scored(bench, artefact, kind, sizes)
    if not found:
        raise NotMeasured(left_out)
    largest, used = found[-1]
    # Starting costs the same at every size: the rows beyond the smallest are what the rate is of.
    smallest, least = found[0]
    more = max(used.processor - least.processor, 1e-9)
    rate = (largest - smallest) / more if len(found) > 1 else largest / used.processor
    beside = f"rows{min(largest, 100_000 if not bench.quick else 4_000)}.{kind}"
    lines = [
        Line(
            "rows a second of a core", rate, "rows/s", goal=Goal(bound, "at least", "grading must cost more than scoring", reason)
        ),
        Line(
            f"most memory, {largest:,} rows", used.peak, "MiB",
            goal=Goal(250, "at most", "a file may be larger than the machine's memory", "all rows are held until the last is read"),
        ),
    ]  # fmt: skip
    if len(found) > 1:
        earlier = found[-2]
        lines.append(
            Line(
                f"memory for {largest / earlier[0]:.0f} times the rows", ratio(used.peak, earlier[1].peak), "×",
                goal=Goal(1.3, "at most", "rows are a stream", "all rows are held until the last is read", gate=not bench.quick),
            )
        )  # fmt: skip
    count = int(beside.removeprefix("rows").partition(".")[0])
    lines += _peers(bench, bench.folder / beside, kind, count, rate)
    points = tuple((float(size), one.seconds) for size, one in found)
    memory = tuple((float(size), one.peak) for size, one in found)
    curves = (
        Curve(f"score by rows, {kind}", "rows", "s", points, left_out),
        Curve(f"most memory of score by rows, {kind}", "rows", "MiB", memory, left_out),
    )
    return Outcome(tuple(lines), curves, {"rows": [size for size, _ in found], "policy": bench.policy.name})


def _peers(bench: Bench, path: Path, kind: str, rows: int, rate: float) -> list[Line]:
    if kind == "jsonl":
        found = bench.task("scoring:parsing", path=str(path))
        words = {"json": "reads and writes the same lines: json", "orjson": "reads and writes the same lines: orjson"}
    else:
        found = bench.task("scoring:reading", path=str(path))
        words = {"objects": "reads the file as objects: pyarrow", "arrays": "reads the file as arrays: pyarrow"}
    lines: list[Line] = []
    for name, what in words.items():
        if name not in found:
            lines.append(Line(what, None, "rows/s", note=f"{name} is not installed"))
            continue
        theirs = rows / found[name]
        lines.append(Line(what, theirs, "rows/s", f"`rbrc score`: {figure(rate, 'rows/s')}", ratio(theirs, rate)))
    return lines


def json_lines(bench: Bench) -> Outcome:
    """`rbrc score` of JSON Lines."""
    return _score(bench, "jsonl", 100_000, 20_000, JSON)


def parquet(bench: Bench) -> Outcome:
    """`rbrc score` of Parquet."""
    if not peers.installed("pyarrow"):
        raise NotMeasured("pyarrow is not installed: `pip install 'rbrlang[parquet]'`")
    return _score(bench, "parquet", 1_000_000, 200_000, COLUMNS)
