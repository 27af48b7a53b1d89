"""How does a data set of prompts that bring their own criteria read as a policy and rows?

The policy says but how points become a reward, and stays the same for any number of prompts; criteria, tags and all else that
a prompt carries stay in its row.

`healthbench`: lines with `prompt_id`, `prompt` (messages), `rubrics` (`criterion`, `points`, `tags`), `example_tags` and
completions by physicians (Arora et al. 2025, https://arxiv.org/abs/2505.08775; the scores are those of simple-evals), or
those of HealthBench Professional, with `id`, `conversation` and `rubric_items` (2026, https://arxiv.org/abs/2604.27470).
`rar`: objects with a question, and criteria with `title`, `description` and `weight` (Gunjal et al. 2025, Rubrics as Rewards,
https://arxiv.org/abs/2507.17746).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rbrlang.imports.imported import Imported, Reading, objects, snake_case
from rbrlang.lang.printing.write import comment, quoted

_AXIS = "axis:"
_POLICY = """rbr 1

{head}
rubric quality from {column} {{
  points over positive
}}

# The data ranks nothing: one class. A policy of yours adds propositions and ranked classes beside the rubric.
response {response} ranks answered {{
  answered otherwise
}}

reward {response} {{
  features quality
  weight quality = 1
}}
"""


def import_healthbench(text: str, source: str) -> Imported:
    """Prompts with their criteria, and the physicians' completions as rows. Raises `ImportFormatError`."""
    read, rows, tags = Reading(source), list[dict[str, Any]](), Counter[str]()
    bare = 0
    for place, value in objects(text, source):
        given = _plain(read.mapping(value, place), read, place)
        name = read.text(given.get("prompt_id"), f"{place}, `prompt_id`")
        if not given.get("prompt"):
            raise read.wrong(f"{place} has no `prompt`")
        criteria = read.listed(given.get("rubrics"), f"{place}, `rubrics`")
        for number, one in enumerate(criteria, 1):
            where = f"{place}, criterion {number}"
            fields = read.mapping(one, where)
            read.text(fields.get("criterion"), f"{where}, `criterion`")
            read.points(fields.get("points"), f"{where}, `points`")
            tags.update(str(tag) for tag in read.listed(fields.get("tags", []), f"{where}, `tags`"))
        if math.fsum(max(float(one["points"]), 0.0) for one in criteria) <= 0.0:
            read.drop(f"the prompt `{name}`", place, "it has no positive points, and so no score")
            continue
        kept = {key: one for key, one in given.items() if key != "ideal_completions_data"}
        common = {**kept, "response_type": "health"}
        found = [*_own(given), *_ideal(given)]
        bare += not found
        rows += [{"id": f"{name}{end}", **common, "completion": said} for end, said in found] or [
            {"id": name, **common}
        ]
    axes = sorted(tag for tag in tags if tag.startswith(_AXIS))
    if bare:
        read.near(
            f"{bare} prompts without a completion",
            "rows",
            "they are for sampling: a row is graded once it has a `completion`",
        )
    read.near(
        "the score of a data set",
        "the whole",
        "it is the mean over prompts, held between 0 and 1, which `rbrc score` says; the reward is of one row, and goes below 0",
    )
    return _imported("health", "rubrics", read, rows, axes)


def import_rar(text: str, source: str) -> Imported:
    """Questions with their criteria; reference answers as rows. Raises `ImportFormatError`."""
    read, rows = Reading(source), list[dict[str, Any]]()
    kinds = Counter[str]()
    bare = 0
    for number, (place, value) in enumerate(objects(text, source), 1):
        given = read.mapping(value, place)
        asked = next((given[key] for key in ("question", "prompt", "query") if given.get(key)), None)
        if asked is None:
            raise read.wrong(f"{place} has no `question`")
        column = next((key for key in ("rubric", "rubrics", "rubric_list") if given.get(key)), "rubric")
        criteria: list[dict[str, Any]] = []
        for at, one in enumerate(read.listed(given.get(column), f"{place}, `{column}`"), 1):
            where = f"{place}, criterion {at}"
            fields = read.mapping(one, where)
            said = read.text(fields.get("description"), f"{where}, `description`")
            kind, _, rest = said.partition(":")
            known = snake_case(kind).removesuffix("_criteria") if rest.strip() and len(kind) <= 30 else ""
            kinds.update([known] if known else [])
            criteria.append({
                "criterion": rest.strip() if known else said, "points": read.points(fields.get("weight"), f"{where}, `weight`"),
                "tags": [known] if known else [], **{k: v for k, v in fields.items() if k not in ("description", "weight")},
            })  # fmt: skip
        if math.fsum(max(one["points"], 0.0) for one in criteria) <= 0.0:
            read.drop(f"the question of {place}", place, "it has no positive weights, and so no score")
            continue
        kept = {key: one for key, one in given.items() if key not in (column, "question", "prompt", "query")}
        row: dict[str, Any] = {"id": str(given.get("id", number)), **kept, "prompt": asked, "response_type": "question"}
        row["criteria"] = criteria
        own = next((given[key] for key in ("completion", "response") if given.get(key)), given.get("reference_answer"))
        bare += own is None
        rows.append(row if own is None else {**row, "completion": own})
    if bare:
        read.near(
            f"{bare} questions without an answer",
            "rows",
            "they are for sampling: a row is graded once it has a `completion`",
        )
    read.near(
        "the sum of weights",
        "the whole",
        "points are taken over the positive weights, so that all that is good and nothing that is not earns 1",
    )
    return _imported("question", "criteria", read, rows, sorted(kinds))


def _imported(
    response: str, column: str, read: Reading, rows: Sequence[Mapping[str, Any]], tags: Sequence[str]
) -> Imported:
    if not rows:
        raise read.unfit("has no prompt whose criteria can be used")
    head = f"Imported from {read.title}: {len(rows)} rows, each with criteria of its own."
    if tags:
        names = [snake_case(tag.removeprefix(_AXIS)) for tag in tags]
        named = ", ".join(n if n == tag else f"{n} {quoted(tag)}" for n, tag in zip(names, tags, strict=True))
        head += f"\nFor a weight for each tag: `by tag {named}`"
    policy = _POLICY.format(head=comment(head), column=column, response=response)
    return Imported(policy, tuple(rows), tuple(read.notes))


def _plain(given: dict[str, Any], read: Reading, place: str) -> dict[str, Any]:
    """A prompt of HealthBench Professional with the names that HealthBench has; any other as it is."""
    if "rubric_items" not in given or "rubrics" in given:
        return given
    items = read.listed(given["rubric_items"], f"{place}, `rubric_items`")
    told = [read.mapping(one, f"{place}, criterion {number}") for number, one in enumerate(items, 1)]
    conversation = read.mapping(given.get("conversation") or {}, f"{place}, `conversation`")
    rest = {key: one for key, one in given.items() if key not in ("rubric_items", "conversation", "id")}
    return {"prompt_id": given.get("id"), "prompt": conversation.get("messages"), **rest} | {
        "rubrics": [
            {"criterion": one.get("criterion_text")} | {k: v for k, v in one.items() if k != "criterion_text"}
            for one in told
        ]
    }


def _own(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The completion that a row has been given."""
    for key in ("completion", "response"):
        if given.get(key):
            yield "", given[key]
            return


def _ideal(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The completions that physicians wrote, and those that they wrote them from."""
    data = given.get("ideal_completions_data")
    if not isinstance(data, Mapping):
        return
    if data.get("ideal_completion"):
        yield "-ideal", data["ideal_completion"]
    for number, one in enumerate(data.get("ideal_completions_ref_completions") or (), 1):
        yield f"-reference-{number}", one
