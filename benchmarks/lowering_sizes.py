"""From how many nodes on is a circuit better off as data than unrolled?

    python benchmarks/lowering_sizes.py
    python benchmarks/lowering_sizes.py --nodes 60 120 --rows 16384

For the policy of examples/refusals and made ones of more and more nodes, counted as `lowering.nodes` does: seconds until
the first reward is there, of the processor or on the clock, whichever is less, and nanoseconds a row of later calls, for
each of the two ways to lower the same circuit, one after the other in one process. `UNROLLED_NODES` is the count up to
which the unrolled program is there in about two seconds on a machine that does little else.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("RBR_COMPILATION_CACHE", "off")

import jax

from rbrlang.bench import made
from rbrlang.bench.reward import compile_time
from rbrlang.policy import load
from rbrlang.reward import lowering

HERE = Path(__file__).resolve().parents[1]
REFUSALS = HERE / "examples" / "refusals" / "policy.rbr"
WAYS = {"unrolled": 10**9, "data": -1}


def axioms(number: int) -> str:
    """A policy of `made.types` whose axioms say of every fifth pair of neighbours that not both hold."""
    said = "".join(f"axiom !(p{at} & p{at + 1})\n" for at in range(0, 10 * number, 5))
    head, _, rest = made.types(number).partition("response ")
    return f"{head}{said}response {rest}"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs=2, default=(10, 200), metavar=("LEAST", "MOST"))
    parser.add_argument("--rows", type=int, default=65_536)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        texts = {"refusals": REFUSALS.read_text(encoding="utf-8")}
        texts |= {f"{n} propositions": made.chain(n, max(2, n // 10)) for n in (20, 50, 80, 100, 120, 140, 180)}
        texts |= {f"{n} types": made.types(n) for n in (1, 2, 4, 6, 8, 10, 12, 16)}
        texts |= {f"{n} types, axioms": axioms(n) for n in (1, 2, 3, 4)}
        policies: list[tuple[int, str, Path]] = []
        for what, text in texts.items():
            path = REFUSALS if what == "refusals" else Path(name) / f"{len(policies)}.rbr"
            if what != "refusals":
                path.write_text(text, encoding="utf-8")
            policies.append((lowering.nodes(load(path).compiled("exact")), what, path))
        print(f"seed {options.seed}; {options.rows:,} rows; processors {os.cpu_count()}; load {os.getloadavg()[0]:.1f}")
        print(
            f"{'nodes':>5} {'policy':20} {'unrolled: s':>12} {'ns a row':>9} {'data: s':>9} {'ns a row':>9} {'times as fast':>14}"
        )
        for nodes, what, path in sorted(policies, key=lambda one: one[0]):
            if not options.nodes[0] <= nodes <= options.nodes[1]:
                continue
            found: dict[str, tuple[float, float]] = {}
            for way, limit in WAYS.items():
                lowering.UNROLLED_NODES = limit
                jax.clear_caches()
                one = compile_time(str(path), options.rows, options.seed)
                found[way] = one["first"], one["ns"]["jax"]
            (first, fast), (other, slow) = found["unrolled"], found["data"]
            print(
                f"{nodes:5} {what:20} {first:12.2f} {fast:9.0f} {other:9.2f} {slow:9.0f} {slow / fast:14.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
