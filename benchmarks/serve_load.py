"""How many completions a second does `rbrc serve` reward, and how long does one request wait?

    python benchmarks/serve_load.py [--seconds 5] [--json]          (needs wrk: apt-get install wrk)

Goal: a completion in requests of 64 costs the server at most 1.25 times the processor time that `Scorer` alone
takes for it with the embedded grader, and no request is refused or fails. Reason: grading is what costs; HTTP
and batching should be a small part beside it. Processor times (Linux) are compared because wrk and whoever else
uses the machine share it; its load is printed beside completions a second. Traffic goes over loopback only. Before and after the load, the server's rewards of all rows are compared with the scorer's.
Completions are those of `examples/refusals`; wrk draws the requests from a fixed list of bodies in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

import rbrlang as rbr
from rbrlang.rows.read import read_rows
from rbrlang.scoring.score import Scorer

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "refusals"
GOAL = 1.25
SEED = 0
SETTINGS = ((1, 1), (1, 16), (64, 4), (64, 16))
"""Completions of a request, connections."""

SCRIPT = """
local bodies, at = {}, 0
for line in io.lines("%s") do bodies[#bodies + 1] = line end
wrk.method, wrk.headers["Content-Type"] = "POST", "application/json"
request = function() at = at %% #bodies + 1; return wrk.format(nil, "/score", nil, bodies[at]) end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\nJSON {"requests": %%d, "seconds": %%f, "p50_ms": %%f, "p99_ms": %%f, "failed": %%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def load(url: str, rows: Sequence[dict[str, Any]], size: int, connections: int, seconds: int, folder: Path) -> Any:
    """What wrk measured with requests of `size` rows over so many connections."""
    rng = random.Random(SEED)
    bodies = folder / "bodies.jsonl"
    bodies.write_text("".join(json.dumps({"rows": rng.choices(rows, k=size)}) + "\n" for _ in range(64)))
    script = folder / "load.lua"
    script.write_text(SCRIPT % bodies)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", str(script), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"^JSON (.*)$", said, re.MULTILINE)
    if found is None:
        raise SystemExit(f"wrk said something else:\n{said}")
    return json.loads(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="of load for each setting (default: 5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing: apt-get install wrk")
    found = read_rows(EXAMPLE / "completions.jsonl").rows
    rows = [{"prompt": r.raw["prompt"], "completion": r.raw["completion"], "response_type": r.response_type,
             "base_reward": r.base_reward} for r in found]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        artefact = folder / "policy.rbrc"
        policy = rbr.load(EXAMPLE / "policy.rbr")
        rbr.write(artefact, policy, rbr.compile(policy))
        scorer = Scorer(artefact)
        expected = scorer(found).rewards.tolist()
        alone = _alone(lambda some: scorer(some), found)
        command = [sys.executable, "-m", "rbrlang.cli", "serve", str(artefact), "--port", "0", "--format", "json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            _compare(url, rows, expected)
            measured: list[dict[str, Any]] = []
            for size, connections in SETTINGS:
                before = _processor_seconds(server.pid)
                one = load(url, rows, size, connections, arguments.seconds, folder)
                used = (_processor_seconds(server.pid) - before) / (size * one["requests"])
                measured.append({"rows": size, "connections": connections, **one, "cpu_ms": round(1e3 * used, 3)})
            _compare(url, rows, expected)
            server.terminate()
    for one in measured:
        one["per_second"] = round(one["rows"] * one["requests"] / one["seconds"])
        one["of_scorer"] = round(one["cpu_ms"] / alone, 2)
    large = [one for one in measured if one["rows"] == 64]
    result = {
        "seed": SEED, "completions": len(rows), "characters": round(sum(len(r["completion"]) for r in rows) / len(rows)),
        "propositions": len(policy.circuit.propositions), "cores": os.cpu_count(), "load_average": os.getloadavg()[0],
        "scorer_alone_cpu_ms": round(alone, 3), "settings": measured, "goal": GOAL,
        "met": all(one["of_scorer"] <= GOAL for one in large) and not any(one["failed"] for one in measured),
    }  # fmt: skip
    if arguments.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        if key == "settings":
            print("rows/request  connections  completions/s  cpu ms  of scorer  p50 ms  p99 ms  failed")
            for s in measured:
                print(f"{s['rows']:12d}{s['connections']:13d}{s['per_second']:15d}{s['cpu_ms']:8.2f}{s['of_scorer']:11.2f}"
                      f"{s['p50_ms']:8.1f}{s['p99_ms']:8.1f}{s['failed']:8d}")  # fmt: skip
        else:
            print(f"{key:28s}{value}")


def _alone(score: Any, rows: Sequence[Any]) -> float:
    """Milliseconds of processor time for a completion, in batches of 64; the least of five rounds."""
    batches = [rows[i : i + 64] for i in range(0, len(rows), 64)]
    times: list[float] = []
    for _ in range(5):
        start = time.process_time()
        for some in batches:
            score(some)
        times.append(time.process_time() - start)
    return 1e3 * min(times) / len(rows)


def _processor_seconds(pid: int) -> float:
    """What a process has used so far, in user and system mode (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _compare(url: str, rows: Sequence[dict[str, Any]], expected: Sequence[float]) -> None:
    with httpx.Client(verify=False, timeout=60) as http:
        replies = http.post(f"{url}/score", json={"rows": rows}).json()["rows"]
    if [row["reward"] for row in replies] != list(expected):
        raise SystemExit("the server's rewards are not the scorer's")


if __name__ == "__main__":
    main()
