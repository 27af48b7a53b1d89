"""How many completions a second does the embedded grader answer?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

from rbrlang.bench.outcome import Goal, Line, Outcome, figure, ratio
from rbrlang.bench.process import Bench, best

READS = "word by word in Python; patterns and n-grams once more by paragraphs where heads ask for it"


def _items(texts: str, between: str, together: int, limit: int) -> list[Any]:
    """Completions of the example, `together` of them joined as one."""
    from rbrlang.grading.results import GradeItem
    from rbrlang.lang.program import Message
    from rbrlang.rows.conversation import spoken

    rows = [json.loads(line) for line in Path(texts).read_text(encoding="utf-8").splitlines()]
    prompts = [tuple(Message(m["role"], m["content"]) for m in row["prompt"]) for row in rows]
    said = [row["completion"] for row in rows]
    return [
        GradeItem(str(at), spoken(prompts[at], between.join(said[at : at + together])), -1)
        for at in range(min(limit, len(rows) - together))
    ]


def embedded(texts: str, limit: int, rounds: int) -> dict[str, Any]:
    """Completions a second for the 23 propositions of OpenAI's release, and of what only reads the texts once."""
    import re2

    from rbrlang.grading.embedded.grader import EmbeddedGrader
    from rbrlang.grading.embedded.openai_cues import OPENAI_CUES
    from rbrlang.lang.program import Proposition
    from rbrlang.source import Source, Span

    span = Span(Source("bench", ""), 0, 0)
    propositions = [Proposition(name, name, "", (), (), 0.5, 0.0, 0.0, 1.0, "", span) for name in OPENAI_CUES]
    grader = EmbeddedGrader(propositions)
    plain, apart = (_items(texts, between, 4, limit) for between in (" ", "\n\n"))

    def rate(items: Sequence[Any]) -> float:
        grader.probabilities(items)  # automata are built by use
        return len(items) / best(lambda: grader.probabilities(items), rounds)

    words = sorted({word for item in plain for word in item.completion.lower().split() if word.isalpha()})
    found = re2.Set.SearchSet()
    for word in words:
        found.Add(rf"\b{word}\b")
    found.Compile()

    def once() -> None:
        for item in plain:
            text = item.completion.lower()
            found.Match(text)
            parts = text.split()
            Counter(pairwise(parts))

    once()
    words_of_all = " ".join(item.completion for item in plain)
    long = plain[0].saying((words_of_all * (1_000_000 // len(words_of_all) + 1))[:1_000_000])
    return {
        "million": 1e3 * best(lambda: grader.probabilities([long]), rounds),
        "plain": rate(plain),
        "apart": rate(apart),
        "once": len(plain) / best(once, rounds),
        "patterns": len(words),
        "characters": sum(len(item.completion) for item in plain) / len(plain),
        "propositions": len(propositions),
    }


def completions(bench: Bench) -> Outcome:
    """Completions a second of a core."""
    limit, rounds = (60, 2) if bench.quick else (300, 5)
    found = bench.task("grading:embedded", texts=str(bench.texts), limit=limit, rounds=rounds)
    once = f"one pass of RE2 over {found['patterns']} words and one over pairs of words: {figure(found['once'], '/s')}"
    why = "a reward is asked for every rollout; grading should be a small part of a step"
    lines = [
        Line("completions a second of a core", found["plain"], "/s", once, ratio(found["once"], found["plain"]), Goal(2500, "at least", why, READS)),
        Line("the same in paragraphs", found["apart"], "/s", once, ratio(found["once"], found["apart"]), Goal(1800, "at least", why, READS)),
    ]  # fmt: skip
    lines.append(
        Line(
            "a completion of a million characters", found["million"], "ms",
            goal=Goal(50, "at most", "no single text may stall a batch", "more is read of it than its first part"),
        )
    )  # fmt: skip
    lines += _workers(bench)
    sizes = {"completions": limit, "characters": round(found["characters"]), "propositions": found["propositions"]}
    return Outcome(tuple(lines), sizes=sizes)


def _workers(bench: Bench) -> list[Line]:
    """How much faster two processes grade than one: once all have started, and with their start."""
    from rbrlang.rows.pieces import ROWS

    what, whole = "times as fast with `--workers 2`", f"the same with the start of all processes, {6 * ROWS:,} rows"
    goal = Goal(
        1.6, "at least", "a second core should nearly double the rate",
        "a busy machine has no second core to give, and two cores share caches and memory",
    )  # fmt: skip
    if bench.quick:
        return [Line(what, None, "×", goal=goal, note=f"left out: it takes {8 * ROWS:,} rows, twice")]
    said = [json.loads(line) for line in bench.texts.read_text(encoding="utf-8").splitlines()]

    def seconds(pieces: int, workers: int) -> float:
        """On the clock: what a second core saves. So many pieces, which are what a worker is given."""
        rows = bench.folder / f"texts{pieces}.jsonl"
        if not rows.exists():
            with rows.open("w", encoding="utf-8") as file:
                for n, row in zip(range(pieces * ROWS), cycle(said), strict=False):
                    file.write(json.dumps({**row, "id": str(n)}) + "\n")
        out = str(bench.folder / "graded.jsonl")
        arguments = ("grade", str(bench.policy), str(rows), "-o", out, "--workers", str(workers))
        return bench.command(*arguments, codes=(0, 3)).clock

    first, second = ([seconds(pieces, workers) for workers in (1, 2)] for pieces in (2, 6))
    alone, both = (after - before for before, after in zip(first, second, strict=True))
    note = f"of {4 * ROWS:,} rows more than {2 * ROWS:,}, so that no start counts"
    return [
        Line(
            what,
            ratio(alone, both) if both > 0 else None,
            "×",
            f"one process: {figure(alone, 's')}",
            goal=goal,
            note=note,
        ),
        Line(whole, ratio(second[0], second[1]), "×", f"one process: {figure(second[0], 's')}"),
    ]
