"""How many completions a second does the embedded grader answer on one core?

    python benchmarks/embedded_speed.py [--json]
    python benchmarks/embedded_speed.py --against CHECKOUT    # the code of another checkout beside it, in turns

Goal: for the 23 propositions of OpenAI's release 2,500 completions a second, 1,800 where the text comes in
paragraphs, and a completion of a million characters in under 50 ms. Reason: a reward is asked for every rollout; at
such rates grading is a small part of any generation step, and no single text may stall a batch. Texts are those of
`examples/refusals`, as they are (about 190 characters) and four joined (about 760, the length of the release's
completions); the goal holds for the longer ones. The same is measured for the four joined by a blank line, since some
heads read by paragraphs, and for the example's policy, of which all do. The process's processor time is measured, best
of several rounds. With `--against` two processes take turns, so that what else the machine does meets both; the
ratio is that of their best rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rbrlang.grading.embedded.grader import EmbeddedGrader
from rbrlang.grading.embedded.openai_cues import OPENAI_CUES
from rbrlang.grading.results import GradeItem
from rbrlang.lang.program import Message, Proposition
from rbrlang.policy import load
from rbrlang.rows.conversation import spoken
from rbrlang.source import Source, Span

HERE = Path(__file__).resolve()
EXAMPLES = HERE.parents[1] / "examples" / "refusals" / "completions.jsonl"
GOALS = {"joined": 2_500, "in_paragraphs": 1_800}
GOAL_LONG = 0.050
ROUNDS = 9


def texts() -> dict[str, list[GradeItem]]:
    """The completions of the example as they are, and four joined by a space and by a blank line."""
    with EXAMPLES.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    items = [
        GradeItem(
            row["id"], spoken(tuple(Message(m["role"], m["content"]) for m in row["prompt"]), row["completion"]), -1
        )
        for row in rows
    ]
    joined, apart = (
        [
            first.saying(between.join(item.completion for item in items[i : i + 4]))
            for i, first in enumerate(items)
        ]
        for between in (" ", "\n\n")
    )  # fmt: skip
    return {"short": items, "joined": joined, "in_paragraphs": apart}


def measurements() -> dict[str, tuple[Callable[[], object], int]]:
    """What is timed, and how many completions it answers."""
    span = Span(Source("benchmark", ""), 0, 0)
    graders = {
        "openai": EmbeddedGrader(
            [Proposition(name, name, "", (), (), 0.5, 0.0, 0.0, 1.0, "", span) for name in OPENAI_CUES]
        ),
        "example": EmbeddedGrader(load(EXAMPLES.parent / "policy.rbr").program.propositions),
    }
    found: dict[str, tuple[Callable[[], object], int]] = {}
    for name, items in texts().items():
        for who, grader in graders.items():
            found[f"{who} {name}"] = lambda grader=grader, items=items: grader.probabilities(items), len(items)
    first = texts()["short"][0]
    words = " ".join(item.completion for item in texts()["short"])
    long = first.saying((words * (1_000_000 // len(words) + 1))[:1_000_000])
    found["a million characters"] = lambda: graders["openai"].probabilities([long]), 1
    for work, _ in found.values():
        work()  # the automata are built by use
    return found


def processor_time(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def serve() -> None:
    """A round of all measurements for each line that comes in."""
    found = measurements()
    print(flush=True)
    for _ in sys.stdin:
        print(json.dumps({name: processor_time(work) for name, (work, _) in found.items()}), flush=True)


def rounds(checkouts: Sequence[Path]) -> list[dict[str, float]]:
    """Best processor time of each measurement with each checkout's code, in turns."""
    workers = [
        subprocess.Popen(
            [sys.executable, str(HERE), "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(checkout)},
        )
        for checkout in checkouts
    ]  # fmt: skip
    pipes = [(worker.stdin, worker.stdout) for worker in workers]
    best: list[dict[str, float]] = [{} for _ in workers]
    for turn in range(ROUNDS + 1):
        for (said, heard), least in zip(pipes, best, strict=True):
            if turn:
                said.write("\n")
                said.flush()
            line = heard.readline()
            for name, seconds in json.loads(line if turn else "{}").items():
                least[name] = min(seconds, least.get(name, seconds))
    for worker in workers:
        worker.communicate()
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="a folder with another `rbrlang`")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    best = rounds([HERE.parents[1], *([arguments.against.resolve()] if arguments.against else [])])
    count = {f"{who} {name}": len(items) for name, items in texts().items() for who in ("openai", "example")}
    result: dict[str, object] = {}
    for name, seconds in best[0].items():
        result[name] = round(count[name] / seconds) if name in count else f"{1e3 * seconds:.1f} ms"
        if arguments.against:
            result[f"{name}: times as fast"] = round(best[1][name] / seconds, 2)
    result["met"] = best[0]["a million characters"] <= GOAL_LONG and all(
        count[f"openai {name}"] / best[0][f"openai {name}"] >= goal for name, goal in GOALS.items()
    )
    if arguments.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        print(f"{key:38s}{value}")


if __name__ == "__main__":
    main()
