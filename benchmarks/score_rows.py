"""How many rows does `rbrc score` score in a second, in how much memory, beside what only reading them costs?

    python benchmarks/score_rows.py                             # 10⁷ rows of Parquet, 10⁶ of JSON Lines
    python benchmarks/score_rows.py --parquet 1000000 --lines 100000 --workers 1 2

Rows are made from a seed: an id, a prompt, a completion of about 300 characters, P(yes) of the 19 propositions of
examples/refusals, a base reward. Every figure is of a process of its own, which is all of it: start, reading, ids,
rewards, writing. `rows/s` is by the clock, `rows/s a core` by the processor time of the process and its workers, `MiB`
the peak of resident memory of the largest. The limits read the same file and do nothing else, in the same run.

Goals: 200,000 rows/s a core of Parquet and 20,000 of JSON Lines, for then a night is enough for 10⁹ rows, or 10⁸; 250 MiB,
since a job's memory must not depend on how many rows it is given.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parents[1]
POLICY = HERE / "examples" / "refusals" / "policy.rbr"
SEED = 7
STEP = 2**16

LIMITS = {
    "parquet": """
import pyarrow.parquet as parquet, sys
rows = 0
with parquet.ParquetFile(sys.argv[1]) as file:
    for batch in file.iter_batches(batch_size=8192):
        rows += batch.num_rows
print(rows)
""",
    "jsonl": """
import orjson, sys
rows = 0
with open(sys.argv[1], "rb") as file:
    for line in file:
        orjson.loads(line)
        rows += 1
print(rows)
""",
}
MEASURE = """
import resource, subprocess, sys, time
begun = time.perf_counter()
code = subprocess.run(sys.argv[1:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print("MEASURED", time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss, code)
"""


def batches(rows: int, seed: int):
    """Record batches of `rows` rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    import rbrlang as rbr

    circuit = rbr.load(POLICY).circuit
    rng = np.random.default_rng(seed)
    words = np.array(
        [
            "we",
            "can",
            "not",
            "help",
            "with",
            "that",
            "but",
            "here",
            "is",
            "what",
            "you",
            "could",
            "do",
            "instead",
            "please",
            "call",
            "a",
            "friend",
        ]
    )
    sentences = pa.array([" ".join(rng.choice(words, 22)).capitalize() + "." for _ in range(4096)])
    types = pa.array(circuit.response_names)
    for start in range(0, rows, STEP):
        size = min(STEP, rows - start)

        def pick(size: int = size) -> pa.Array:
            return sentences.take(pa.array(rng.integers(0, len(sentences), size)))

        probs = rng.beta(0.3, 0.3, (len(circuit.propositions), size)).round(4)
        yield pa.RecordBatch.from_arrays(
            [
                pc.binary_join_element_wise("row-", pa.array(np.arange(start, start + size)).cast(pa.string()), ""),
                pc.binary_join_element_wise("Tell me: ", pick(), ""),
                pc.binary_join_element_wise(pick(), pick(), pick(), " "),
                types.take(pa.array(rng.integers(0, len(types), size))),
                pa.StructArray.from_arrays([pa.array(p) for p in probs], list(circuit.propositions)),
                pa.array(rng.normal(0, 1, size).round(4)),
            ],
            ["id", "prompt", "completion", "response_type", "probs", "base_reward"],
        )


def make(kind: str, path: Path, rows: int, seed: int) -> None:
    """Write a file of rows."""
    import orjson
    import pyarrow.parquet as parquet

    if kind == "parquet":
        writer = None
        for batch in batches(rows, seed):
            writer = writer or parquet.ParquetWriter(path, batch.schema)
            writer.write_batch(batch)
        assert writer is not None
        writer.close()
    else:
        with path.open("wb") as file:
            for batch in batches(rows, seed):
                file.writelines(orjson.dumps(row) + b"\n" for row in batch.to_pylist())


def measured(command: list[str]) -> tuple[float, float, float]:
    """Seconds, seconds of processor, MiB of a command. Raises RuntimeError where it fails."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *command], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(HERE)}, check=False,
    )  # fmt: skip
    line = next((line for line in done.stdout.splitlines() if line.startswith("MEASURED")), "")
    if not line.endswith((" 0", " 3")):  # 3: some rows of answers drawn at random contradict the axioms
        raise RuntimeError(f"{command}: {done.stdout[-500:]} {done.stderr[-2000:]}")
    seconds, processor, memory = map(float, line.split()[1:4])
    return seconds, processor, memory / 1024


def main() -> None:
    """Make the rows, score them, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parquet", type=int, default=10**7, metavar="ROWS")
    parser.add_argument("--lines", type=int, default=10**6, metavar="ROWS")
    parser.add_argument("--workers", type=int, nargs="*", default=[1])
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--folder", type=Path, help="where to put the files (default: a temporary folder)")
    parser.add_argument("--json", action="store_true", help="print JSON Lines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        artefact = str(folder / "p.rbrc")
        rbrc = [sys.executable, "-m", "rbrlang.cli"]
        measured([*rbrc, "compile", str(POLICY), "-o", artefact])
        if not options.json:
            print(f"seed {options.seed}; processors {os.cpu_count()}; load {os.getloadavg()[0]:.1f}")
            print(f"{'what':34} {'rows':>10} {'file MiB':>9} {'rows/s':>10} {'a core':>10} {'MiB':>6}")
        for kind, rows in (("parquet", options.parquet), ("jsonl", options.lines)):
            if not rows:
                continue
            path = folder / f"rows.{kind}"
            make(kind, path, rows, options.seed)
            runs = {f"limit: {'pyarrow' if kind == 'parquet' else 'orjson'} reads {kind}": [
                sys.executable, "-c", LIMITS[kind], str(path)
            ]}  # fmt: skip
            for workers in options.workers:
                out = str(folder / f"out.{kind}")
                runs[f"rbrc score {kind}, workers {workers}"] = [
                    *rbrc, "score", artefact, str(path), "-o", out, "--workers", str(workers),
                ]  # fmt: skip
            for what, command in runs.items():
                seconds, processor, memory = measured(command)
                size = path.stat().st_size / 2**20
                if options.json:
                    found = {
                        "what": what, "rows": rows, "seed": options.seed, "seconds": seconds, "processor": processor,
                        "rows_per_second": rows / seconds, "rows_per_second_core": rows / processor, "mib": memory,
                    }  # fmt: skip
                    print(json.dumps(found), flush=True)
                else:
                    print(
                        f"{what:34} {rows:10} {size:9.0f} {rows / seconds:10.0f} {rows / processor:10.0f} {memory:6.0f}",
                        flush=True,
                    )
            path.unlink()


if __name__ == "__main__":
    main()
