"""How many completions a second does the embedded grader answer on one core?

    python benchmarks/embedded_speed.py [--json]

Goal: 1,000 completions a second for the 23 propositions of OpenAI's release, and a completion of a million
characters in under 50 ms. Reason: a reward is asked for every rollout; at 1,000 a second grading is a small
part of any generation step, and no single text may stall a batch. Texts are those of `examples/refusals`,
as they are (about 190 characters) and four joined (about 760, the length of the release's completions); the
goal holds for the longer ones. The same is measured for the four joined by a blank line, since some heads read by
paragraphs, and for the example's policy, of which all do. The process's processor time is measured, best of several rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rbrlang.grading.embedded.grader import EmbeddedGrader
from rbrlang.grading.embedded.openai_cues import OPENAI_CUES
from rbrlang.grading.results import GradeItem
from rbrlang.lang.program import Message, Proposition
from rbrlang.policy import load
from rbrlang.rows.conversation import spoken
from rbrlang.source import Source, Span

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "refusals" / "completions.jsonl"
GOAL_RATE, GOAL_LONG = 1_000, 0.050
ROUNDS = 5


def best(work: Callable[[], object]) -> float:
    """Least processor time of several rounds, in seconds."""
    times: list[float] = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def rates(grader: EmbeddedGrader, *texts: Sequence[GradeItem]) -> list[float]:
    """Completions a second for each list of texts."""
    for items in texts:
        grader.probabilities(items)  # the automata are built by use
    return [len(items) / best(lambda items=items: grader.probabilities(items)) for items in texts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    span = Span(Source("benchmark", ""), 0, 0)
    propositions = [Proposition(name, name, "", (), (), 0.5, 0.0, 0.0, 1.0, "", span) for name in OPENAI_CUES]
    grader = EmbeddedGrader(propositions)
    with EXAMPLES.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    items = [
        GradeItem(
            row["id"], spoken(tuple(Message(m["role"], m["content"]) for m in row["prompt"]), row["completion"]), -1
        )
        for row in rows
    ]
    characters = sum(len(item.completion) for item in items) / len(items)
    joined, apart = (
        [
            replace(first, completion=between.join(item.completion for item in items[i : i + 4]))
            for i, first in enumerate(items)
        ]
        for between in (" ", "\n\n")
    )
    own = EmbeddedGrader(load(EXAMPLES.parent / "policy.rbr").program.propositions)
    short, rate, in_paragraphs = rates(grader, items, joined, apart)
    own_short, own_joined, own_apart = rates(own, items, joined, apart)
    words = " ".join(item.completion for item in items)
    long = GradeItem("long", spoken(items[0].prompt, (words * (1_000_000 // len(words) + 1))[:1_000_000]), -1)
    seconds = best(lambda: grader.probabilities([long]))
    result = {
        "propositions": len(propositions), "completions": len(items), "mean_characters": round(characters),
        "per_second": round(short), "per_second_joined": round(rate), "per_second_in_paragraphs": round(in_paragraphs), "per_second_goal": GOAL_RATE,
        "example_per_second": round(own_short), "example_joined": round(own_joined),
        "example_in_paragraphs": round(own_apart),
        "million_characters_ms": round(1e3 * seconds, 1), "million_characters_goal_ms": 1e3 * GOAL_LONG,
        "met": rate >= GOAL_RATE and seconds <= GOAL_LONG,
    }  # fmt: skip
    if arguments.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        print(f"{key:28s}{value}")


if __name__ == "__main__":
    main()
