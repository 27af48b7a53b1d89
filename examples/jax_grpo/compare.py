"""The paper's comparison in small: one command, one table.

    python examples/jax_grpo/compare.py --seeds 5 --out comparison

A small transformer that has learned to refuse, to lecture, to answer and to leak is trained by GRPO with three
rewards, and judged on prompts that it never saw (`experiment.py` says how). Every seed is a world of its own.
Written to the folder: `results.json`, `table.md`, `samples.md`, `comparison.png` (needs the extra `plot`).
"""

# pyright: basic
from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jax
import numpy as np
from experiment import VARIANTS, Outcome, Plan, SeedRun, run_seed
from judge import Proof
from scipy.stats import t as student
from world import Sizes

SMALL = Plan(Sizes(12, 10, 12, 6, 6, 3), 32, 40, 10, 6, 2)
COLUMNS: tuple[tuple[str, Callable[[Outcome], float]], ...] = (
    ("not unsafe", lambda o: o.not_unsafe),
    ("not over-refusing", lambda o: o.not_overrefuse),
    ("F1", lambda o: o.f1),
    ("answers", lambda o: o.answers),
    ("F1 with answers", lambda o: o.useful),
    ("ideal refusals", lambda o: o.refusal_style),
    ("no sense", lambda o: o.rates["makes no sense"]),
)
# One thread a process: the arrays are small, and the seeds keep the cores busy.
ALONE = {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "OPENBLAS_NUM_THREADS": "1",
}


def interval(values: Sequence[float], low: float = 0.0, high: float = 1.0) -> tuple[float, float] | None:
    """Student's 95 % interval of the mean over seeds, cut to [low, high]; None for fewer than two seeds."""
    if len(values) < 2:
        return None
    mean, half = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half *= float(student.ppf(0.975, len(values) - 1))
    return max(low, mean - half), min(high, mean + half)


# --- running ------------------------------------------------------------------------------------


def _say(begun: float, text: str) -> None:
    print(f"[{time.time() - begun:5.0f} s] {text}", flush=True)


def run_all(plan: Plan, seeds: Sequence[int], workers: int, say: Callable[[str], None]) -> list[SeedRun]:
    """All seeds, in their order. Workers are spawned: a process that has started JAX must not fork."""
    if workers == 1:
        return [run_seed(plan, seed, say) for seed in seeds]
    for name, value in ALONE.items():
        os.environ.setdefault(name, value)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        running = [pool.submit(run_seed, plan, seed, say) for seed in seeds]
        return [done.result() for done in running]


# --- writing ------------------------------------------------------------------------------------


def _cell(values: Sequence[float]) -> str:
    around = interval(values)
    mean = f"{float(np.mean(values)):.3f}"
    return mean if around is None else f"{mean} ({around[0]:.3f} to {around[1]:.3f})"


def table(outcomes: Sequence[Outcome]) -> str:
    """The comparison in Markdown: means over seeds with their intervals."""
    names = [name for name, _ in COLUMNS]
    lines = [f"| trained on | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for variant in VARIANTS:
        mine = [o for o in outcomes if o.variant == variant]
        lines.append(f"| {variant} | {' | '.join(_cell([of(o) for o in mine]) for _, of in COLUMNS)} |")
    return "\n".join(lines) + "\n"


def proof_table(runs: Sequence[SeedRun]) -> str:
    """How good the parts are, in Markdown: means over seeds with their intervals."""

    def proof(name: str, of: Callable[[SeedRun], Proof]) -> list[tuple[str, list[float]]]:
        return [
            (f"{name}: propositions right, balanced", [of(run).balanced for run in runs]),
            (f"{name}: class right", [of(run).klass for run in runs]),
        ]

    rows = [
        ("helpful reward model: new pairs ordered as the annotator did", [run.agreement["helpful"] for run in runs]),
        ("cautious reward model: the same", [run.agreement["cautious"] for run in runs]),
        *proof("grader in training, on template text", lambda run: run.grader),
        *proof("judge, on template text", lambda run: run.judge),
    ]
    return "\n".join(["| part | rate |", "| --- | --- |", *(f"| {name} | {_cell(of)} |" for name, of in rows)]) + "\n"


def samples(outcomes: Sequence[Outcome]) -> str:
    """What the first seed's models write, in Markdown."""
    parts = ["# What the models write\n"]
    for outcome in (o for o in outcomes if o.seed == outcomes[0].seed):
        parts.append(f"\n## {outcome.variant}\n")
        for s in outcome.samples:
            text = s["completion"].replace("\n", "\n> ")
            parts.append(f"\n**{s['prompt']}** ({s['response_type']})\n\n> {text}\n\n{s['class']}, read {s['read']}: "
                         f"{', '.join(s['holds']) or 'nothing'}\n")  # fmt: skip
    return "".join(parts)


def write(path: Path, content: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(content, encoding="utf-8")
    part.replace(path)


def finite(value: Any) -> Any:
    """What JSON can hold, to five digits: it has no NaN, and null stands in its place."""
    match value:
        case dict():
            return {key: finite(each) for key, each in value.items()}
        case list() | tuple():
            return [finite(each) for each in value]
        case float():
            return round(value, 5) if math.isfinite(value) else None
        case _:
            return value


def _options(argv: Sequence[str] | None) -> tuple[Plan, range, Path, int]:
    """The plan, the seeds, the folder to write to, and the number of processes."""
    parser = argparse.ArgumentParser(description="GRPO on text with three rewards, judged on held-out prompts.")
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument(
        "--world-seed", type=int, default=0, help="the first seed; each is a world and a model of its own"
    )
    parser.add_argument("--out", type=Path, default=Path("comparison"), help="a folder for what is written")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes, for the seeds")
    parser.add_argument("--rl-steps", type=int, help="steps of GRPO")
    parser.add_argument("--warm-steps", type=int, help="steps of the warm start")
    parser.add_argument(
        "--wary", type=float, help="share of risky-looking requests that the cautious annotator takes for harmful"
    )
    parser.add_argument("--nervous", type=float, help="the same, of all other harmless requests")
    parser.add_argument("--small", action="store_true", help="a try of seconds, whose numbers mean nothing")
    options = parser.parse_args(argv)
    plan = SMALL if options.small else Plan()
    names = ("rl_steps", "warm_steps", "wary", "nervous")
    plan = replace(plan, **{name: getattr(options, name) for name in names if getattr(options, name) is not None})
    if min(options.seeds, options.workers, plan.rl_steps, plan.warm_steps) < 1:
        parser.error("--seeds, --workers, --rl-steps and --warm-steps have to be 1 or more")
    if options.world_seed < 0:
        parser.error("--world-seed has to be 0 or more")
    if not (0 <= plan.wary <= 1 and 0 <= plan.nervous <= 1):
        parser.error("--wary and --nervous are shares, from 0 to 1")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out: cannot make the folder `{options.out}`: {error.strerror}")
    seeds = range(options.world_seed, options.world_seed + options.seeds)
    return plan, seeds, options.out, min(options.workers, options.seeds)


def main(argv: Sequence[str] | None = None) -> list[SeedRun]:
    """Run the comparison, print the table, write the files."""
    plan, seeds, out, workers = _options(argv)
    begun = time.time()
    say = partial(_say, begun)
    say(f"seeds {list(seeds)}, {plan}")
    runs = run_all(plan, seeds, workers, say)
    outcomes = [outcome for run in runs for outcome in run.outcomes]
    print("\n" + table(outcomes) + "\n" + proof_table(runs))
    seconds, spent = time.time() - begun, sum(sum(run.processor_seconds.values()) for run in runs)
    report = {
        "plan": asdict(plan), "seeds": list(seeds), "seconds": seconds, "processor_seconds": spent,
        "workers": workers, "jax": jax.__version__, "cpus": os.cpu_count(), "runs": [asdict(run) for run in runs],
    }  # fmt: skip
    write(out / "results.json", json.dumps(finite(report), ensure_ascii=False) + "\n")
    write(out / "table.md", table(outcomes) + "\n" + proof_table(runs))
    write(out / "samples.md", samples(outcomes))
    if importlib.util.find_spec("matplotlib") is None:
        say("no picture: pip install 'rbrlang[plot]'")
    else:
        from figure import draw

        draw(outcomes, out / "comparison.png")
    say(f"{spent:.0f} processor seconds; written to {out}")
    return runs


if __name__ == "__main__":
    main()
