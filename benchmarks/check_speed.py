"""How long does it take to know that a policy is sound?

Goals and their reasons:

- a cold `rbrc check` of a policy of the size of OpenAI's release (about 20 propositions, 3 response types of 5
  classes) takes under 150 ms as a process, because it runs at every save and in every commit hook;
- checking it again in a running process takes under 10 ms, because an editor does so at every key. What is warm: the
  process keeps the last tree (`rbrlang.lang.reading.reparse`), as the language server and `--watch` do; every run checks a
  text that has one line more or one less in its middle than the text of the run before. Beside it, without a goal:
  an unchanged text, and a process that keeps nothing (`anew`);
- a file of 10,000 lines of class rules, dense with operators, is read within a second, positions and all: twice as long as
  Python takes to parse as much Python is what an interpreted parser can hope for;
- whether each of 24 propositions is monotone in each of 4 response types is known in under 100 ms, so that nobody has
  to choose which claims to make;
- a generated file of 10,000 class rules is checked within a few seconds and in time linear in its length, because
  nothing in reading or proving may be quadratic;
- building and proving 20 class functions takes no longer than with `dd.autoref`, the pure-Python package that one
  would otherwise depend on. Both run here in one process on the same formulas, over the same variables in
  the same order, without reordering, from nested tuples: no parsing on either side.

Run `python benchmarks/check_speed.py`, with `--policy FILE` on a policy of your own; each figure is the best of several runs, as load only ever adds time. Within this
process they are seconds of the processor; a cold check is timed on the clock, with its processor time beside it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rbrlang.lang.load import Parser
from rbrlang.lang.reading.parse import parse
from rbrlang.lang.reading.reparse import Reparser
from rbrlang.logic.bdd import FALSE, TRUE, Bdd
from rbrlang.logic.findings.monotone import Trends
from rbrlang.policy import check, check_text
from rbrlang.source import Source

ROOT = Path(__file__).resolve().parents[1]
POLICY = ROOT / "examples" / "refusals" / "policy.rbr"


def best(run: Callable[[], object], times: int) -> float:
    """Seconds of the processor in the fastest of several runs."""
    found = float("inf")
    for _ in range(times):
        began = time.process_time()
        run()
        found = min(found, time.process_time() - began)
    return found


def cold(arguments: Sequence[str], times: int) -> tuple[float, float]:
    """Seconds on the clock, and of the processor, of the fastest of several processes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    clock = processor = float("inf")
    for _ in range(times):
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], capture_output=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        clock = min(clock, time.perf_counter() - began)
        processor = min(processor, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return clock, processor


def warm(policy: Path) -> tuple[Callable[[], object], Callable[[], object], Callable[[], object]]:
    """Check the policy anew; after one line was put in or taken out; and unchanged."""
    text = policy.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    middle = next(at for at in range(len(lines) // 2, len(lines)) if lines[at - 1] == "\n")
    other = "".join([*lines[:middle], "# one line more\n", *lines[middle:]])
    editing, keeping = Reparser(), Reparser()
    turn = itertools.cycle((other, text))

    def run(text: str, parser: Parser) -> None:
        assert check(policy, read=lambda _: text.encode(), parser=parser).ok

    return (
        lambda: run(text, parse),
        lambda: run(next(turn), editing),
        lambda: run(text, keeping),
    )


def generated(rules: int) -> str:
    """A sound policy of so many class rules: ten to a response type, each type over ten propositions of its own."""
    lines: list[str] = []
    for number in range(rules // 10):
        props = [f"p{number}_{at}" for at in range(10)]
        lines += [f'prop {name} "Response has trait {name}."' for name in props]
        lines.append(f"response r{number} ranks {' > '.join(f'c{at}' for at in range(10))}")
        for at in range(9):
            earlier = "".join(f" & !{name}" for name in props[:at])
            last = f" & {props[9]}" if at == 8 else ""
            lines.append(f"r{number}.c{at} := {props[at]}{earlier}{last}")
        lines.append(f"r{number}.c9 := otherwise")
    return "\n".join(lines) + "\n"


def monotone_policy(seed: int = 0) -> Callable[[], None]:
    """All pairs of proposition and response type of a policy with 24 of one and 4 of the other, five classes each."""
    draw = random.Random(seed)
    lines = [f'prop p{at} "Response has trait {at}."' for at in range(24)]
    for number in range(4):
        lines.append(f"response r{number} ranks a > b > c > d > e {{")
        for name in "edcb":
            literals = [("!" if draw.random() < 0.5 else "") + f"p{at}" for at in draw.sample(range(24), 5)]
            lines.append(f"  {name} if ({' & '.join(literals[:3])}) | ({' & '.join(literals[3:])})")
        lines.append("  a otherwise\n}")
    checked = check_text("\n".join(lines) + "\n")
    assert checked.ok

    def run() -> None:
        bdd = checked.compiled.bdd
        for item in checked.compiled.responses:
            assert item is not None
            with bdd.scratch():
                trends = Trends(bdd, item)
                for atom in range(24):
                    trends.of(atom)

    return run


# --- class functions, by two packages -----------------------------------------------------------------

Tree = tuple[Any, ...]


def class_functions(seed: int = 0) -> list[list[Tree]]:
    """Four response types of five classes over twenty propositions, in the manner of OpenAI's rules."""
    draw = random.Random(seed)
    responses: list[list[Tree]] = []
    for _ in range(4):
        props = draw.sample(range(20), 12)
        taken: list[Tree] = []
        classes: list[Tree] = []
        for _ in range(4):
            literals = [("not", v) if draw.random() < 0.5 else ("var", v) for v in draw.sample(props, 5)]
            rule = ("or", ("and", *literals[:3]), ("and", *literals[3:]))
            classes.append(("and", rule, *(("neg", earlier) for earlier in taken)))
            taken.append(rule)
        responses.append([*classes, ("and", *(("neg", earlier) for earlier in taken))])
    return responses


def ours(responses: list[list[Tree]]) -> None:
    """Build all classes and prove every response type a partition."""
    bdd = Bdd(range(20))

    def edge(tree: Tree) -> int:
        kind, *rest = tree
        if kind in ("var", "not"):
            return bdd.variable(rest[0]) ^ (kind == "not")
        if kind == "neg":
            return edge(rest[0]) ^ 1
        result = TRUE
        for part in rest:
            result = bdd.conjoin(result, edge(part) ^ (kind == "or"))
        return result ^ (kind == "or")

    for classes in responses:
        edges = [edge(tree) for tree in classes]
        union = FALSE
        for one in edges:
            assert bdd.conjoin(union, one) == FALSE
            union = bdd.disjoin(union, one)
        assert union == TRUE


def theirs(responses: list[list[Tree]]) -> None:
    """The same with dd.autoref (https://github.com/tulip-control/dd)."""
    from dd import autoref

    bdd = autoref.BDD()
    bdd.configure(reordering=False)
    bdd.declare(*(f"x{at}" for at in range(20)))

    def node(tree: Tree) -> Any:
        kind, *rest = tree
        if kind in ("var", "not"):
            return bdd.var(f"x{rest[0]}") if kind == "var" else ~bdd.var(f"x{rest[0]}")
        if kind == "neg":
            return ~node(rest[0])
        result = bdd.true if kind == "and" else bdd.false
        for part in rest:
            result = result & node(part) if kind == "and" else result | node(part)
        return result

    for classes in responses:
        nodes = [node(tree) for tree in classes]
        union = bdd.false
        for one in nodes:
            assert union & one == bdd.false
            union = union | one
        assert union == bdd.true


def measure(times: int, policy: Path) -> dict[str, Any]:
    """All figures; seconds unless the name says otherwise."""
    small, large = generated(2_000), generated(10_000)
    lines = large.count("\n")
    # Beyond the budget of steps a policy is refused; how checking grows is seen without it.
    at_2000, at_10000 = (best(lambda text=text: check_text(text, steps=10**9), 2) for text in (small, large))
    functions = class_functions()
    at_once, edited, kept = warm(policy)
    floor, _ = cold(["-c", "pass"], times)
    on_the_clock, processor = cold(["-m", "rbrlang.cli", "check", str(policy)], times)
    lines_per_second = lines / best(lambda: parse(Source("big.rbr", large)), 3)
    return {
        "policy": policy.name,
        "policy_lines": policy.read_text(encoding="utf-8").count("\n"),
        "python": platform.python_version(),
        "process_floor": floor,
        "cold_check": on_the_clock,
        "cold_check_processor": processor,
        "warm_check_anew": best(at_once, 3 * times),
        "warm_check_unchanged": best(kept, 3 * times),
        "warm_check_one_line_edited": best(edited, 3 * times),
        "parse_10000_lines": 10_000 / lines_per_second,
        "check_2000_rules": at_2000,
        "check_10000_rules": at_10000,
        "growth_for_5_times_the_rules": at_10000 / at_2000,
        "monotone_96_pairs": best(monotone_policy(), times),
        "classes_20_ours": best(lambda: ours(functions), times),
        "classes_20_dd_autoref": best(lambda: theirs(functions), times),
    }


GOALS = {
    "cold_check": 0.15,
    "warm_check_one_line_edited": 0.01,
    "parse_10000_lines": 1.0,
    "monotone_96_pairs": 0.1,
    "check_10000_rules": 5.0,
    "growth_for_5_times_the_rules": 7.5,
}


def main() -> int:
    """Print the figures; exit code 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description="Time rbrc check.")
    parser.add_argument("--times", type=int, default=7, help="runs of which the fastest counts")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--policy", type=Path, default=POLICY, metavar="FILE",
        help="the sound policy to check, such as OpenAI's, imported (default: that of examples/refusals)",
    )  # fmt: skip
    options = parser.parse_args()
    found = measure(options.times, options.policy)
    goals = {**GOALS, "classes_20_ours": found["classes_20_dd_autoref"]}
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            shown = f"{value:.4f}" if isinstance(value, float) else str(value)
            goal = f"   goal: at most {goals[name]:.4g}" if name in goals else ""
            print(f"{name:32} {shown:>12}{goal}")
    return int(any(found[name] > goal for name, goal in goals.items()))


if __name__ == "__main__":
    sys.exit(main())
