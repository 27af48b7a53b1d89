"""How does a score rubric of Prometheus, or a task of BiGGen-Bench, read as a policy?

A rubric has `criteria` and a description of each score from 1 to 5, as JSON or as the text that the judge is shown
(https://github.com/prometheus-eval/prometheus-eval). BiGGen-Bench's tasks are lists of instances with a `score_rubric`, a
reference answer and an `atomic_checklist` each, its responses and evaluations objects of them by id. The reward is
the mean score, from 1 to 5. A rubric that all instances share stands in the policy; else it stays with the rows, in columns.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from rbrlang.imports.checklist import Criterion, reward, variable, yes_or_no
from rbrlang.imports.imported import MAX_CHARACTERS, Imported, Names, Reading, characters, objects, read_any, said
from rbrlang.jsontext import JsonError, parse
from rbrlang.lang.braces import as_text
from rbrlang.lang.printing.write import comment

_LEVELS = range(1, 6)
_PARTS = ("criteria", *(f"score{level}_description" for level in _LEVELS))
_SHOWN = re.compile(r"\s*\[(.+?)\]\s*" + "".join(rf"\n\s*Score {level}:(.+?)" for level in _LEVELS) + r"\s*", re.DOTALL)
_ITS_OWN = (
    "instruction",
    "response",
    "reference_answer",
    "feedback",
    "score",
    *_PARTS,
)  # after `orig_`, in training data
_NAMED = ("capability", "task", "instance_idx")
_WHO = "score_rubric"
_REFERENCE = "reference_answer"
_CHECKLIST = "atomic_checklist"

Rubric = tuple[str, ...]
"""What is judged, and when it deserves each score from 1 to 5."""


def import_prometheus(text: str, source: str) -> Imported:
    """One rubric, or instances with a rubric each as rows. Raises `ImportFormatError`."""
    shown = _SHOWN.fullmatch(text)
    if shown is not None:
        return _policy([], [tuple(part.strip() for part in shown.groups())], [], Reading(source))
    whole = _whole(text, source)
    if isinstance(whole, Mapping) and "criteria" in whole and not {"input", "instruction"} & whole.keys():
        read = Reading(source)
        read.others(whole, _PARTS, "", "")
        return _policy([], [_rubric(whole, read, "the rubric")], [], read)
    if whole is None:
        return _Instances(source).read(objects(text, source))
    if isinstance(whole, list):
        return _Instances(source).read((f"element {number}", value) for number, value in enumerate(whole, 1))
    one = {_WHO, "criteria", "orig_criteria"} & Reading(source).mapping(whole, "the file").keys()
    by_id = [("the file", whole)] if one else [(f"`{said(key)}`", value) for key, value in whole.items()]
    return _Instances(source).read(by_id)


def _whole(text: str, source: str) -> Any:
    """The value that the file is; None where it is none, but perhaps one a line."""
    if PurePath(source).suffix.lower() in (".yaml", ".yml"):
        return read_any(text, source)
    try:
        return characters(parse(text), text, source) if len(text) <= MAX_CHARACTERS else None
    except JsonError:
        return None


class _Instances(Reading):
    """The rows, rubrics and checklists of the instances of one file."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.ids: Counter[str] = Counter()

    def read(self, found: Iterable[tuple[str, Any]]) -> Imported:
        rows, rubrics, checklists = list[dict[str, Any]](), list[Rubric](), list[tuple[str, ...]]()
        bare = judged = 0
        for place, value in found:
            given = {
                key.removeprefix("orig_") if key.removeprefix("orig_") in _ITS_OWN else key: one
                for key, one in self.mapping(value, place).items()
            }
            row, rubric, checklist = self._row(given, place)
            if row is None:
                continue
            bare += "completion" not in row
            judged += "model_score" in row
            rows.append(row)
            rubrics.append(rubric)
            checklists.append(checklist)
        if not rows:
            raise self.unfit("has no instance that can be used")
        if bare:
            self.near(
                f"{bare} instances without a response",
                "rows",
                "they are for sampling: a row is graded once it has a `completion`",
            )
        if judged:
            self.near(
                f"the scores of {judged} responses", "rows", "they are `model_score`: `score` is what people gave"
            )
        return _policy(rows, rubrics, checklists, self)

    def _row(self, given: dict[str, Any], place: str) -> tuple[dict[str, Any] | None, Rubric, tuple[str, ...]]:
        own = given.get(_WHO, given)
        rubric = _rubric(self.mapping(own, f"{place}, `{_WHO}`"), self, place)
        asked = given.get("input", given.get("instruction"))
        if not isinstance(asked, str) or not asked.strip():
            self.drop(f"the instance of {place}", place, "what was asked is not a text")
            return None, rubric, ()
        items = self.listed(given.get(_CHECKLIST) or [], f"{place}, `{_CHECKLIST}`")
        checklist = tuple(self.text(item, f"{place}, `{_CHECKLIST}`") for item in items)
        gone = ("input", "instruction", "system_prompt", "response", "score", "human_score", _WHO, _CHECKLIST, *_PARTS)
        row: dict[str, Any] = {key: one for key, one in given.items() if key not in gone}
        parts = [given["id"]] if given.get("id") is not None else [given[k] for k in _NAMED if k in given]
        name = "_".join(str(part) for part in parts or [self.ids.total() + 1])
        self.ids[name] += 1
        row["id"] = name if self.ids[name] == 1 else f"{name}-{self.ids[name]}"
        system = given.get("system_prompt")
        row["prompt"] = asked if not isinstance(system, str) or not system.strip() else [
            {"role": "system", "content": system}, {"role": "user", "content": asked}
        ]  # fmt: skip
        if given.get("response") is not None:
            row["completion"] = self.text(given["response"], f"{place}, `response`")
        human = given.get("human_score")
        row |= {"score": human} if human is not None else {}
        row |= (
            {"labels": {"quality": int(human)}}
            if isinstance(human, (int, float)) and human is not True and human in _LEVELS
            else {}
        )
        row |= {"model_score": given["score"]} if given.get("score") is not None else {}
        return {**row, "response_type": "answer"}, rubric, checklist


def _rubric(given: Mapping[str, Any], read: Reading, place: str) -> Rubric:
    return tuple(read.text(given.get(part), f"{place}, `{part}`") for part in _PARTS)


def _policy(
    rows: list[dict[str, Any]], rubrics: Sequence[Rubric], checklists: Sequence[tuple[str, ...]], read: Reading
) -> Imported:
    """One rubric as it is, several as columns; the reference answer, where every row has one, is a column anyhow."""
    shared = len(set(rubrics)) == 1
    columns = (
        {}
        if shared
        else dict(zip(_PARTS, ("What is judged.", *(f"When it deserves {n}." for n in _LEVELS)), strict=True))
    )
    judged, *levels = rubrics[0] if shared else [f"{{{part}}}" for part in _PARTS]
    referred = [isinstance(row.get(_REFERENCE), str) and bool(row[_REFERENCE].strip()) for row in rows]
    if rows and all(referred):
        columns[_REFERENCE] = "An answer that deserves 5."
    elif any(referred):
        read.drop(
            f"the reference answers of {sum(referred)} rows",
            "rows",
            f"{len(rows) - sum(referred)} rows have none, and all are asked alike",
        )
    question = as_text(judged, columns) if shared else judged
    if _REFERENCE in columns:
        question += f"\nAn answer that deserves 5: {{{_REFERENCE}}}"
    about = {str(n): as_text(told, columns) if shared else told for n, told in zip(_LEVELS, levels, strict=True)}
    names = Names("graded")
    quality = names("quality")
    parts = [
        "rbr 1\n", comment(f"Imported from {read.title}: a score from 1 to 5, as Prometheus gives it."),
        *(f'column {name} "{what}"\n' for name, what in columns.items()),
        variable(f"scale {quality} 1..5", question, about, filled=True),
    ]  # fmt: skip
    asked = _asked(rows, checklists, names)
    for one in asked:
        parts.append(one.text)
    if any(checklists):
        read.near("the checklists", _CHECKLIST, "they are asked and weigh 0: no score there counts them")
    if not shared:
        for row, rubric in zip(rows, rubrics, strict=True):
            row |= dict(zip(_PARTS, rubric, strict=True))
    parts.append("response answer ranks graded {\n  graded otherwise\n}\n")
    weights = {"graded": 1.0, quality: 4.0} | {name: 0.0 for one in asked for name in one.features}
    parts.append("# The score: 1, and a step for every level above it.\n" + reward("answer", weights))
    return Imported("\n".join(parts), tuple(rows), tuple(read.notes))


def _asked(rows: list[dict[str, Any]], checklists: Sequence[tuple[str, ...]], names: Names) -> list[Criterion]:
    """What checklists ask: propositions where all instances have the same, else a rubric over what each row has."""
    if not any(checklists):
        return []
    if len(set(checklists)) == 1:
        return [yes_or_no(names(item), item, 0.0) for item in checklists[0]]
    for row, checklist in zip(rows, checklists, strict=True):
        row[_CHECKLIST] = [{"criterion": item, "points": 1} for item in checklist]
    name = names("checklist")
    return [Criterion(name, f"rubric {name} from {_CHECKLIST} {{\n  points mean\n}}\n", 0.0, {name: 0.0})]
