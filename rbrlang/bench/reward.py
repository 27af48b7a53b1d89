"""How long does a reward take to compile, and how fast does it run then, at any size of the policy?

Functions without a `Bench` are tasks: each runs in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rbrlang.bench import made
from rbrlang.bench.outcome import Curve, Goal, Line, Outcome, figure, ratio
from rbrlang.bench.process import Bench, NotMeasured, best, in_turn

ROWS = 4096
SINGLES = 200
"""Rows that are timed one at a time: a clock is too coarse for one, and so is a cache that others filled."""
UNROLLED = "a small policy is unrolled, and XLA compiles it node by node; a large one is data for one program"
ONE_PROGRAM = "each function is a program of its own, compiled when it is first called"
GRADIENT = "the rules alone are differentiated, and XLA still makes one CPU kernel of each column of the result"
BOUNDS = "an interval is four times a value, and is searched for where features and classes pull apart"
SINGLE = "every node costs about 0.1 µs of Python, under axioms twice"
_SHAPES: tuple[tuple[str, Callable[[], str]], ...] = (
    ("100 propositions, 10 types", partial(made.types, 10)),
    ("200 propositions, 20 types", partial(made.types, 20)),
    ("500 propositions, one type of 50 classes", partial(made.chain, 500, 50)),
    ("500 propositions, 50 types", partial(made.types, 50)),
    ("2,000 propositions, one type of 50 classes", partial(made.chain, 2000, 50)),
    ("500 types over 100 propositions", partial(made.types, 500, 10, 100)),
)


# --- tasks ------------------------------------------------------------------------------------


def _made(policy: str, rows: int, seed: int) -> tuple[Any, Any, Any, Any]:
    """A reward and arrays for it: probabilities, response ids, base rewards."""
    import numpy as np

    from rbrlang.policy import load
    from rbrlang.reward.reward import RuleReward

    reward = RuleReward.from_circuit(load(Path(policy)).compiled("exact"))
    rng = np.random.default_rng(seed)
    probs = rng.random((rows, len(reward.circuit.atoms)), np.float32)
    ids = rng.integers(0, len(reward.circuit.responses), rows).astype(np.int32)
    return reward, probs, ids, rng.standard_normal(rows).astype(np.float32)


def _awaited(call: Callable[..., Any], *arguments: Any) -> Callable[[], None]:
    """The call with its result awaited."""
    import jax

    def run() -> None:
        jax.block_until_ready(call(*arguments))

    return run


def _first(call: Callable[..., Any], *arguments: Any) -> float:
    """Seconds of a call that was not made before, the lesser of clock and processor."""
    return best(_awaited(call, *arguments), 1, 0.0)


def _read(probs: Any, ids: Any, base: Any) -> Any:
    """Reads what a reward reads and writes as much: the bound that memory sets, and the least that there is to compile."""
    return probs.sum(axis=1) + ids + base


def _total(reward: Any, probs: Any, ids: Any, base: Any) -> Any:
    """A number to differentiate."""
    return reward(probs, ids, base).sum()


def compile_time(policy: str, rows: int, seed: int) -> dict[str, Any]:
    """Seconds of the first call, of an empty program's beside it, and nanoseconds a row of later calls."""
    import jax
    import jax.numpy as jnp

    reward, probs, ids, base = _made(policy, rows, seed)
    arrays = tuple(jnp.asarray(a) for a in (probs, ids, base))
    empty = jax.jit(_read)
    floor = _first(empty, *arrays)
    first = _first(reward, *arrays)
    few = min(rows, 512)
    found = in_turn(
        {
            "jax": _awaited(reward, *arrays),
            "read": _awaited(empty, *arrays),
            "numpy": partial(reward.host, probs[:few], ids[:few], base[:few]),
        },
        5,
    )
    return {
        "first": first,
        "floor": floor,
        "nodes": sum(len(r.diagram.nodes) for r in reward.circuit.responses),
        "ns": {name: 1e9 * s / (few if name == "numpy" else rows) for name, s in found.items()},
    }


def programs(policy: str, rows: int, seed: int) -> dict[str, float]:
    """Seconds of the first call of every function of a reward."""
    import jax
    import jax.numpy as jnp

    reward, *arrays = _made(policy, rows, seed)
    p, i, b = (jnp.asarray(a) for a in arrays)
    _first(jax.jit(_read), p, i, b)  # starting JAX is nobody's cost
    return {
        "reward": _first(reward, p, i, b),
        "class_probs": _first(reward.class_probs, p, i),
        "contributions": _first(reward.contributions, p, i, b),
        "bounds": _first(reward.bounds, p, i, b),
        "gradient of weights": _first(jax.jit(jax.grad(_total)), reward, p, i, b),
        "gradient of probabilities": _first(jax.jit(jax.grad(_total, 1)), reward, p, i, b),
    }


def first_call(policy: str, rows: int, seed: int) -> dict[str, float]:
    """Seconds of the first reward through the public interface."""
    import jax

    import rbrlang
    from rbrlang.policy import load

    _, probs, ids, base = _made(policy, rows, seed)
    _first(jax.jit(_read), probs, ids, base)
    return {"first": _first(rbrlang.compile(load(Path(policy))), probs, ids, base)}


def retraces(policy: str, rows: int, seed: int) -> dict[str, Any]:
    """How often a reward compiles again: other kinds of the same numbers, and batches of one to `rows`."""
    import jax
    import jax.numpy as jnp

    from rbrlang.reward.rows import bucket

    reward, probs, ids, base = _made(policy, rows, seed)
    compiled: list[float] = []

    def heard(event: str, duration_secs: float, **_: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(heard)
    reward(probs, ids, base)
    floor = max(compiled) / 10  # what takes less is a conversion and not the reward

    def count(calls: Sequence[tuple[Any, ...]]) -> dict[str, float]:
        compiled.clear()
        for arguments in calls:
            reward(*arguments)
        large = [seconds for seconds in compiled if seconds > floor]
        needed = {bucket(len(arguments[0])) for arguments in calls} - {bucket(rows)}
        return {"times": len(large), "seconds": sum(large), "needed": len(needed)}

    sizes = sorted({max(1, round(rows * part)) for part in (0.05, 0.55, 0.7, 0.99)})
    kinds: dict[str, list[tuple[Any, ...]]] = {
        "a number as base reward": [(probs, ids, 0.5)],
        "bfloat16 probabilities": [(jnp.asarray(probs, jnp.bfloat16), ids, base)],
        "64-bit ids": [(probs, ids.astype("int64"), base)],
        f"batches of {', '.join(map(str, sizes))} rows": [(probs[:n], ids[:n], base[:n]) for n in sizes],
    }
    return {name: count(calls) for name, calls in kinds.items()}


def speed(policy: str, rows: int, seed: int, rounds: int, every: bool) -> dict[str, Any]:
    """Nanoseconds a row of a reward and of its peers, which are compared first; of `every` function of it, if asked."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from rbrlang.bench import peers

    reward, probs, ids, base = _made(policy, rows, seed)
    p, i, b = (jnp.asarray(a) for a in (probs, ids, base))
    q = jnp.where(jnp.arange(p.size).reshape(p.shape) % 20 == 7, jnp.nan, p)
    circuit, weights = reward.circuit, reward.host.weights.tolist()
    few, fewer = min(rows, 16_384), min(rows, 1_000)
    dictionaries = [dict(zip(circuit.atom_names, row, strict=True)) for row in probs[:fewer].tolist()]
    by_hand = partial(peers.by_dictionary, circuit, weights, dictionaries, ids[:fewer].tolist())

    def one_by_one() -> None:
        for at in range(SINGLES):
            reward.host(probs[at : at + 1], ids[at : at + 1], base[at : at + 1])

    calls: dict[str, tuple[int, Callable[[], object]]] = {
        "read": (rows, _awaited(jax.jit(_read), p, i, b)),
        "reward": (rows, _awaited(reward, p, i, b)),
        "unknown": (rows, _awaited(reward, q, i, b)),
        "numpy": (few, partial(reward.host, probs[:few], ids[:few], base[:few])),
        "one row in numpy": (SINGLES, one_by_one),
        "dictionary": (fewer, by_hand),
    }
    if every:
        calls |= {
            "gradient of probabilities": (rows, _awaited(jax.jit(jax.grad(_total, 1)), reward, p, i, b)),
            "bounds": (rows, _awaited(reward.bounds, p, i, b)),
            "bounds beside unknowns": (rows, _awaited(reward.bounds, q, i, b)),
            "class probabilities": (rows, _awaited(reward.class_probs, p, i)),
            "contributions": (rows, _awaited(reward.contributions, p, i, b)),
        }
    agreed: dict[str, Any] = {"dictionary": np.asarray(by_hand())}
    if peers.installed("torch"):
        theirs = peers.by_torch(circuit, weights, probs, ids)
        agreed["torch"] = theirs()[:fewer]
        calls["torch"] = (rows, theirs)
    expected = np.asarray(reward(probs[:fewer], ids[:fewer]))
    for name, values in agreed.items():
        if not np.allclose(values, expected, rtol=1e-3, atol=1e-3):
            raise ValueError(f"the peer `{name}` computes another reward")
    for _, call in calls.values():
        call()
    found = in_turn({name: call for name, (_, call) in calls.items()}, rounds)
    return {
        "ns": {name: 1e9 * found[name] / count for name, (count, _) in calls.items()},
        "atoms": len(circuit.atoms),
        "nodes": sum(len(r.diagram.nodes) for r in circuit.responses),
    }


def by_rows(policy: str, sizes: list[int], seed: int) -> dict[str, list[float]]:
    """Seconds of one call for each number of rows, compiled before."""
    import jax.numpy as jnp

    found: list[float] = []
    for rows in sizes:
        reward, probs, ids, base = _made(policy, rows, seed)
        call = _awaited(reward, *(jnp.asarray(a) for a in (probs, ids, base)))
        call()
        found.append(best(call, 2))
    return {"seconds": found}


# --- rows of the table ------------------------------------------------------------------------


def _written(bench: Bench, name: str, text: str) -> str:
    file = bench.folder / f"{name}.rbr"
    file.write_text(text, encoding="utf-8")
    return str(file)


def _shape(bench: Bench, policy: str, rows: int = ROWS) -> dict[str, Any] | str:
    """What compiling a policy took, or why that is not known."""
    try:
        return bench.task("reward:compile_time", policy=policy, rows=rows, seed=bench.seed)
    except NotMeasured as error:
        return str(error)


def compiling(bench: Bench) -> Outcome:
    """Compile time, memory, and run time against numpy, by the size of the policy."""
    lines: list[Line] = []
    shapes = [(f"{bench.policy.name}", str(bench.policy))]
    chosen = () if bench.quick else _SHAPES
    shapes += [(name, _written(bench, f"shape{at}", text())) for at, (name, text) in enumerate(chosen)]
    for name, policy in shapes:
        found = _shape(bench, policy)
        if isinstance(found, str):
            lines.append(Line(f"compile: {name}", None, "s", goal=_compile_goal(10**6), note=found))
            continue
        first, ns, peak = found["first"], found["ns"], found["used"].peak
        lines.append(
            Line(
                f"compile: {name}", first, "s", f"a program that only adds: {figure(found['floor'], 's')}",
                ratio(first, found["floor"]), _compile_goal(found["nodes"]), f"{found['nodes']:,} nodes",
            )
        )  # fmt: skip
        lines.append(
            Line(
                f"most memory: {name}", peak, "MiB",
                goal=Goal(1024, "at most", "a trainer's process has other uses for its memory", UNROLLED),
            )
        )  # fmt: skip
        lines.append(
            Line(
                f"times as fast as numpy, {ROWS:,} rows: {name}", ratio(ns["numpy"], ns["jax"]), "×",
                f"numpy: {figure(ns['numpy'], 'ns a row')}; compiled: {figure(ns['jax'], 'ns')}",
                goal=Goal(3, "at least", "or compiling it would not be worth it", "nodes are taken from a table, where numpy computes them one by one"),
            )
        )  # fmt: skip
    return Outcome(tuple(lines), sizes={"rows": ROWS, "policies": [name for name, _ in shapes]})


def _compile_goal(nodes: int) -> Goal:
    bound = 2.0 if nodes <= 100 else 4.0
    return Goal(bound, "at most", "nobody waits for a policy, whatever its size", UNROLLED)


def growth(bench: Bench) -> Outcome:
    """Compile time by propositions and by response types."""
    curves: list[Curve] = []
    lines: list[Line] = []
    families: tuple[tuple[str, str, Callable[[int], str], tuple[int, ...], tuple[int, ...]], ...] = (
        ("propositions", "propositions of one type of at most 50 classes", lambda n: made.chain(n, min(50, max(2, n // 10))), (5, 20), (5, 20, 50, 100, 200, 500, 1000, 2000)),
        ("types", "response types over 100 propositions", lambda n: made.types(n, 10, 100), (1, 4), (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    )  # fmt: skip
    for name, what, text, quick, full in families:
        seconds: list[tuple[float, float]] = []
        memory: list[tuple[float, float]] = []
        run: list[tuple[float, float]] = []
        left_out = ""
        for size in bench.sizes(quick, full):
            found = _shape(bench, _written(bench, f"{name}{size}", text(size)))
            if isinstance(found, str):
                left_out = f"{size:,} and more: {found}"
                break
            seconds.append((size, found["first"]))
            memory.append((size, found["used"].peak))
            run.append((size, found["ns"]["jax"]))
        made_of = (("compile", "s", seconds), ("most memory", "MiB", memory), ("run", "ns a row", run))
        curves += [Curve(f"{kind} by {name}", what, unit, tuple(points), left_out) for kind, unit, points in made_of]
        exponent = curves[-3].exponent
        lines.append(
            Line(
                f"exponent of compile time by {name}", None if left_out else exponent, "", note=left_out,
                goal=Goal(1.1, "at most", "twice the policy must not cost more than twice the wait", UNROLLED, gate=not bench.quick),
            )
        )  # fmt: skip
    return Outcome(tuple(lines), tuple(curves), {"rows": ROWS})


def together(bench: Bench) -> Outcome:
    """All functions of a reward against the reward alone, and a second process against the first."""
    rows = 1024
    found = bench.task("reward:programs", policy=str(bench.policy), rows=rows, seed=bench.seed)
    first = found["reward"]
    others = sum(found[name] for name in found if name not in ("reward", "used"))
    lines = [
        Line(
            "compile: class probabilities, contributions, bounds and gradients", others, "s", f"the reward: {figure(first, 's')}",
            ratio(others, first),
        ),
        Line(
            "the same, in compiles of the reward", ratio(others, first), "×",
            goal=Goal(1.5, "at most", "who explains a reward should not wait for it again", ONE_PROGRAM, gate=True),
        ),
    ]  # fmt: skip
    cache = {"XDG_CACHE_HOME": str(bench.folder / "cache"), "RBR_COMPILATION_CACHE": ""}
    both = [
        bench.task("reward:first_call", policy=str(bench.policy), rows=rows, seed=bench.seed, environment=cache)[
            "first"
        ]
        for _ in range(2)
    ]
    lines += [
        Line(
            "first reward in a second process", both[1], "s", f"in the first: {figure(both[0], 's')}", ratio(both[1], both[0]),
        ),
        Line(
            "the same, in first processes", ratio(both[1], both[0]), "×",
            goal=Goal(0.5, "at most", "a restart is no reason to compile again", "the cache is not on where a library calls the reward", gate=True),
        ),
    ]  # fmt: skip
    return Outcome(tuple(lines), sizes={"rows": rows, "policy": bench.policy.name})


def traces(bench: Bench) -> Outcome:
    """How often a reward compiles again."""
    rows = 64
    found = bench.task("reward:retraces", policy=str(bench.policy), rows=rows, seed=bench.seed)
    found.pop("used")
    why = "the same numbers in another form are the same program, and batches are filled up to few sizes, each compiled once"
    lines = tuple(
        Line(
            f"compiles again for {name}", kind["times"], "times", note=figure(kind["seconds"], "s"),
            goal=Goal(kind["needed"], "at most", why, "a form of the arguments is traced anew", gate=True),
        )
        for name, kind in found.items()
    )  # fmt: skip
    return Outcome(lines, sizes={"rows": rows, "policy": bench.policy.name})


def running(bench: Bench) -> Outcome:
    """Nanoseconds a row, beside reading alone, numpy, a dictionary loop and PyTorch; and by rows."""
    rows = 16_384 if bench.quick else 65_536
    found = bench.task(
        "reward:speed",
        policy=str(bench.policy),
        rows=rows,
        seed=bench.seed,
        rounds=5 if bench.quick else 10,
        every=not bench.quick,
    )
    ns = found["ns"]
    reads = "probabilities are read twice, first to see whether any is unknown"
    gate = not bench.quick
    lines = [
        Line(
            "reward", ns["reward"], "ns a row", f"reading the same arrays: {figure(ns['read'], 'ns')}", ratio(ns["reward"], ns["read"])
        ),
        Line(
            "speed relative to reading", ratio(ns["read"], ns["reward"]), "×",
            goal=Goal(0.6, "at least", "bound by memory, no better logic could make it faster", reads, gate=False),
        ),
        *(
            Line(
                f"times as fast as {name}", ratio(ns[kind], ns["reward"]), "×", f"{name}: {figure(ns[kind], 'ns a row')}",
                goal=Goal(bound, "at least", "or compiling it would not be worth it", limit, gate=gate),
            )
            for name, kind, bound, limit in (
                ("numpy", "numpy", 8.0, "an array call for every operation of every node is what numpy costs"),
                ("a loop over dictionaries", "dictionary", 50.0, "Python's operations"),
            )
        ),
    ]  # fmt: skip
    lines.append(
        Line(
            "times as fast as eager PyTorch",
            ratio(ns["torch"], ns["reward"]),
            "×",
            f"PyTorch: {figure(ns['torch'], 'ns a row')}",
        )
        if "torch" in ns
        else Line("times as fast as eager PyTorch", None, "×", note="PyTorch is not installed")
    )
    lines += _others(ns)
    sizes = {"rows": rows, "policy": bench.policy.name, "atoms": found["atoms"], "nodes": found["nodes"]}
    if bench.quick:
        return Outcome(tuple(lines), sizes=sizes)
    counts = [1_000, 100_000, 1_000_000, 10_000_000]
    try:
        took = bench.task("reward:by_rows", policy=str(bench.policy), sizes=counts, seed=bench.seed)["seconds"]
        curve = Curve("reward by rows", "rows", "s", tuple(zip(map(float, counts), took, strict=True)))
    except NotMeasured as error:
        curve = Curve("reward by rows", "rows", "s", (), str(error))
    return Outcome(tuple(lines), (curve,), sizes)


def _others(ns: Mapping[str, float]) -> Iterator[Line]:
    """What else a reward answers, in rewards."""
    goals = {
        "gradient of probabilities": Goal(100, "at most", "a gradient should cost a few rewards", GRADIENT),
        "bounds beside unknowns": Goal(500, "at most", "lazy grading asks for bounds after every answer", BOUNDS),
    }
    for what, kind in (
        ("reward where one probability in twenty is unknown", "unknown"),
        ("class probabilities", "class probabilities"),
        ("contributions", "contributions"),
        ("gradient of probabilities", "gradient of probabilities"),
        ("bounds, nothing unknown", "bounds"),
        ("bounds where one probability in twenty is unknown", "bounds beside unknowns"),
    ):
        if kind in ns:
            beside = f"the reward: {figure(ns['reward'], 'ns')}"
            yield Line(what, ns[kind], "ns a row", beside, ratio(ns[kind], ns["reward"]), goals.get(kind))
    single = Goal(30, "at most", "some trainers score one completion a call", SINGLE)
    yield Line("one row at a time, in numpy", ns["one row in numpy"] / 1e3, "µs", f"{SINGLES} in turn", goal=single)
