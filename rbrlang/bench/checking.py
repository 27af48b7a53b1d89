"""How long does it take to know that a policy is sound, however long or odd it is?"""

from __future__ import annotations

import ast
import sys
from functools import partial
from typing import Any

from rbrlang.bench import made
from rbrlang.bench.outcome import Curve, Goal, Line, Outcome, figure, ratio
from rbrlang.bench.process import Bench, NotMeasured, best

LINEAR = "linear, or refused within one budget of steps"


# --- tasks ------------------------------------------------------------------------------------


def checked(rules: int) -> dict[str, Any]:
    """Seconds to check a policy of so many class rules, and of Python to parse as many lines of Python.

    The budget of steps, which refuses some ten thousand rules, is out of the way: what is sought is growth.
    """
    from rbrlang.checking import check_text

    text = made.rules(rules)
    python = "\n".join(f"c{at} = p{at} and not q{at} and not r{at} and not s{at}" for at in range(text.count("\n")))
    times = 3 if rules <= 1_000 else 1
    settled = partial(check_text, text, steps=10**9)
    found: list[bool] = []
    seconds = best(lambda: found.append(settled().ok), times)
    if not all(found):
        raise ValueError("the made policy has errors")
    return {
        "seconds": seconds,
        "python": best(lambda: ast.parse(python), times),
        "lines": text.count("\n"),
    }


# --- rows of the table ------------------------------------------------------------------------


def odd(bench: Bench) -> Outcome:
    """Policies that were written to be costly."""
    lines: list[Line] = []
    cases = (
        ("lines of `words > i`", made.thresholds, 300, 3_000),
        ("definitions, each on the one before", made.definitions, 1_000, 100_000),
    )
    for what, text, quick, full in cases:
        size = quick if bench.quick else full
        file = bench.folder / "odd.rbr"
        file.write_text(text(size), encoding="utf-8")
        goal = Goal(5, "at most", "a policy from elsewhere is checked or refused, and stalls nobody", LINEAR)
        try:
            used = bench.command("check", str(file), codes=(0, 1))
        except NotMeasured as error:
            lines.append(Line(f"check: {size:,} {what}", None, "s", goal=goal, note=str(error)))
            continue
        said = "refused" if used.code else "proved"
        lines.append(
            Line(f"check: {size:,} {what}", used.processor, "s", goal=goal, note=f"{said}, {figure(used.peak, 'MiB')}")
        )
    return Outcome(tuple(lines))


def growth(bench: Bench) -> Outcome:
    """Check time by rules, beside Python's own parser; and a process that checks a small policy."""
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    left_out = ""
    for size in bench.sizes((10, 300), (10, 30, 100, 300, 1_000, 3_000, 10_000)):
        try:
            found = bench.task("checking:checked", rules=size)
        except NotMeasured as error:
            left_out = f"{size:,} and more: {error}"
            break
        ours.append((size, found["seconds"]))
        theirs.append((size, found["python"]))
    curves = (
        Curve("check by rules", "class rules", "s", tuple(ours), left_out),
        Curve("Python parses as many lines", "class rules", "s", tuple(theirs), left_out),
    )
    runs = [bench.command("check", str(bench.policy), codes=(0, 1)).seconds for _ in range(3)]

    floor = min(bench.run([sys.executable, "-c", "pass"]).seconds for _ in range(3))
    size, seconds = ours[-1]
    lines = (
        Line(
            "exponent of check time by rules", curves[0].exponent, "",
            goal=Goal(1.2, "at most", "nothing in reading or proving may be quadratic", "proofs", gate=not bench.quick),
        ),
        Line(
            f"check: {size:,.0f} rules", seconds, "s", f"Python parses as many lines: {figure(theirs[-1][1], 's')}",
            ratio(seconds, theirs[-1][1]), Goal(5, "at most", "a generated policy is checked like a written one", "an interpreted parser"),
        ),
        Line(
            f"`rbrc check {bench.policy.name}` as a process", min(runs), "s", f"a process of Python that does nothing: {figure(floor, 's')}",
            ratio(min(runs), floor), Goal(0.15, "at most", "it runs at every save and in every commit hook", "two thirds of it are the start of Python and of some seventy modules"),
        ),
    )  # fmt: skip
    return Outcome(lines, curves)
