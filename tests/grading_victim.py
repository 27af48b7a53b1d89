"""A run in a process of its own, for tests that kill it: URL, cache file, output file.

Writes the answers as JSON in one go when it is done; a killed run leaves no output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grading_kit import item, proposition, reaching

from rbrlang.grading.endpoint.account import Price, RunOptions
from rbrlang.grading.endpoint.cache import AnswerCache
from rbrlang.grading.endpoint.protocol.endpoint import ChatEndpoint, ChatOptions, chat_endpoint
from rbrlang.grading.endpoint.run import grade
from rbrlang.grading.questions.layout import plan
from rbrlang.grading.questions.specs import Secret
from rbrlang.grading.results import GradeItem, to_json

PROPOSITIONS = 5
CONCURRENCY = 6
ITEMS = [item(f"i{n}", f"Question {n}?", f"Answer {n}.") for n in range(60)]
WANTED = [tuple(range(PROPOSITIONS))] * len(ITEMS)


def victim(url: str) -> tuple[ChatEndpoint, list[GradeItem]]:
    """The grader and the items, the same in every process."""
    made = [proposition(f"p{n}", question=f"Question {n}?" + " Long." * 60 * n) for n in range(PROPOSITIONS)]
    circuit = reaching(made, [tuple(range(PROPOSITIONS))])
    options = ChatOptions("m", url)
    return chat_endpoint(made, plan(made, circuit, ITEMS), options, Secret("")), ITEMS


def main(url: str, cache_file: str, out: str) -> None:
    """Grade everything and write the answers and how many requests it took."""
    remote, items = victim(url)
    with AnswerCache(Path(cache_file)) as cache:
        options = RunOptions(concurrency=CONCURRENCY, first_wait=0.01)
        grades = grade(remote, items, WANTED, cache, options, Price())
    answers = [{str(p): to_json(a) for p, a in each.items()} for each in grades.answers]
    Path(out).write_text(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
