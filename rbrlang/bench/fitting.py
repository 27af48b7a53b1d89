"""How long does a fit take, as a process and against the published procedure?"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from rbrlang.bench import peers
from rbrlang.bench.outcome import Goal, Line, Outcome, figure, ratio
from rbrlang.bench.process import Bench, best

PROMPTS, COMPLETIONS = 349, 17
REFITS = "half of it is the resamples and the path of ridges, half starting, reading rows and judging what was fitted"


# --- tasks ------------------------------------------------------------------------------------


def against_published(part: float, repeat: int) -> dict[str, Any]:
    """Milliseconds of our fit, first and best, and of the published procedure on the same rows; mean losses of both."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from rbrlang.bench import published as theirs
    from rbrlang.learning.fitting.problem import pair_loss
    from rbrlang.learning.fitting.solve import solve_all

    rng = np.random.default_rng(theirs.SEED)
    sets = [
        theirs.generate(max(2, round(part * prompts)), rng, theirs.CLASS_SHARES[name])
        for name, prompts in theirs.PROMPTS.items()
    ]

    def ours() -> Any:
        return solve_all([theirs.problem_of(data) for data in sets])

    def timed(call: Callable[[], Any], times: int) -> tuple[Any, float]:
        results: list[Any] = []
        return results, 1e3 * best(lambda: results.append(call()), times, 0.0)

    jax.block_until_ready(jnp.zeros(4) + 1.0)  # starting JAX is nobody's cost
    _, cold = timed(ours, 1)
    solutions, warm = timed(ours, repeat)
    found = solutions[-1]
    spent = dict.fromkeys(("pairs", "steps", "one loop", "PyTorch"), 0.0)
    losses: list[tuple[float, float]] = []
    pairs = 0
    torch = peers.installed("torch")
    for data, solution in zip(sets, found, strict=True):
        (listed,), took = timed(partial(theirs.published_pairs, data), 1)
        spent["pairs"] += took
        pairs += len(listed)
        train, held = theirs.split(listed)
        features, base = (jnp.asarray(a, jnp.float32) for a in (data.features, data.base))
        arrays = (features, base, jnp.asarray(train), jnp.asarray(held))
        theirs.published_descent(*arrays)
        (weights,), took = timed(partial(theirs.published_descent, *arrays), 1)
        spent["steps"] += took
        loop = partial(_awaited, theirs.compiled_descent, *arrays)
        loop()
        spent["one loop"] += timed(loop, 2)[1]
        if torch:
            spent["PyTorch"] += timed(partial(theirs.torch_descent, data.features, data.base, train, held), 1)[1]
        published = pair_loss(theirs.problem_of(data), np.asarray(weights, np.float64))
        losses.append((float(solution.loss), float(published)))
    return {
        "cold": cold, "warm": warm, "spent": spent, "torch": torch, "pairs": pairs,
        "rows": sum(len(data.base) for data in sets), "losses": losses, "gap": max(s.gap for s in found),
    }  # fmt: skip


def _awaited(call: Callable[..., Any], *arguments: Any) -> None:
    call(*arguments).block_until_ready()


# --- rows of the table ------------------------------------------------------------------------


def process(bench: Bench) -> Outcome:
    """`rbrc fit` with everything that it does by default: first with an empty folder of kept programs, then again."""
    ranked = _ranked(bench)
    resamples = ("--bootstrap", "20") if bench.quick else ()
    keeping = {"XDG_CACHE_HOME": str(bench.folder / "fit-cache"), "RBR_COMPILATION_CACHE": ""}
    cold, cached = (
        bench.command(
            "fit", str(bench.policy), str(ranked), "-o", str(bench.folder / "fitted.rbrc"), *resamples, environment=keeping
        )
        for _ in range(2)
    )  # fmt: skip
    made, why = ranked.read_bytes().count(b"\n"), "weights are refitted at every change of a rule"
    lines = (
        Line(
            f"`rbrc fit`, {made:,} rows, nothing kept from before", cold.processor, "s of the processor",
            goal=Goal(5, "at most", why, REFITS), note=f"{figure(cold.clock, 's')} on the clock",
        ),
        Line(
            "the same, once more", cached.processor, "s of the processor",
            goal=Goal(3, "at most", why, REFITS), note=f"{figure(cached.clock, 's')} on the clock",
        ),
    )  # fmt: skip
    return Outcome(lines, sizes={"rows": made, "policy": bench.policy.name})


def _ranked(bench: Bench) -> Path:
    """Made rows of the notebook's shape, 349 prompts of 17 completions, fewer prompts where it shall be quick."""
    from rbrlang.policy import load

    responses = load(bench.policy).circuit.responses
    prompts = 36 if bench.quick else PROMPTS
    each = max(1, ceil(COMPLETIONS / min(len(response.classes) for response in responses)))
    drawn, kept = bench.folder / "drawn.jsonl", bench.folder / "ranked.jsonl"
    bench.command(
        "synth", str(bench.policy), "--prompts", str(ceil(prompts / len(responses))), "--per-class", str(each),
        "--seed", str(bench.seed), "-o", str(drawn),
    )  # fmt: skip
    of: dict[str, list[str]] = {}
    for line in drawn.read_text(encoding="utf-8").splitlines(keepends=True):
        of.setdefault(json.loads(line)["prompt"], []).append(line)
    kept.write_text("".join(line for some in [*of.values()][:prompts] for line in some[:COMPLETIONS]), encoding="utf-8")
    return kept


def published(bench: Bench) -> Outcome:
    """Our fit against the published procedure, both in one process."""
    found = bench.task("fitting:against_published", part=0.1 if bench.quick else 1.0, repeat=3 if bench.quick else 10)
    spent, warm, cold = found["spent"], found["warm"], found["cold"]
    usual = "PyTorch" if found["torch"] else "steps"
    how = "eager PyTorch" if found["torch"] else "steps compiled by JAX (PyTorch is not installed)"
    reference = spent["pairs"] + spent[usual]
    gate = not bench.quick and found["torch"]
    lines = [
        Line("fit, pairs included", warm, "ms", f"the published procedure in {how}: {figure(reference, 'ms')}", ratio(reference, warm)),
        Line(
            "times as fast as the published procedure", ratio(reference, warm), "×",
            goal=Goal(150, "at least", "a fit that takes seconds is not repeated for a hundred resamples", "its steps in JAX take a tenth of eager PyTorch's time", gate=gate),
        ),
        Line(
            "the same in the first fit of a process", ratio(reference, cold), "×",
            goal=Goal(5, "at least", "the first fit is the one that people wait for", "tables that numpy and the machine fill", gate=gate),
        ),
        Line("times as fast as its descent in one compiled loop", ratio(spent["pairs"] + spent["one loop"], warm), "×"),
        Line(
            "proved distance from the least loss", 100 * found["gap"], "%",
            goal=Goal(0.01, "at most", "weights should be the data's and not the solver's", "the bound's own arithmetic", gate=True),
            note="mean loss " + ", ".join(f"{ours:.4f} (published {other:.4f})" for ours, other in found["losses"]),
        ),
    ]  # fmt: skip
    return Outcome(tuple(lines), sizes={"rows": found["rows"], "pairs": found["pairs"]})
