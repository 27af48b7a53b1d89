"""How does a GEval metric of DeepEval read as a policy?

A metric has criteria or evaluation steps, the parts of a test case that it looks at, a rubric of score ranges and a threshold
(https://deepeval.com/docs/metrics-llm-evals). It has no file of its own: read are the Python source that makes it, which is
not run, what it sends to its platform and gets from there (`evaluationSteps`, `scoreRange`, …), and its arguments as JSON or
YAML, one metric or a list, or under `metrics`. The score, from 0 to 1, is the mean of a scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from rbrlang.imports.checklist import proposition, reward, variable
from rbrlang.imports.imported import Imported, Reading, read_any, said, snake_case
from rbrlang.imports.python_calls import Call, Member, Unread, calls
from rbrlang.lang.braces import as_text
from rbrlang.lang.printing.write import comment

_ARGUMENTS = ("name", "evaluation_params", "criteria", "evaluation_steps", "rubric", "model", "threshold")
_READ = (
    "id",
    "name",
    "criteria",
    "evaluation_steps",
    "evaluation_params",
    "rubric",
    "threshold",
    "strict_mode",
    "multi_turn",
)
_CALLS = frozenset({"GEval", "ConversationalGEval", "ArenaGEval"})
_COLUMNS = {
    "expected_output": "What the answer should have been.",
    "context": "What is true, as the answer should have it.",
    "retrieval_context": "What was retrieved for the answer.",
    "metadata": "What else is known of the case.",
    "tags": "The tags of the case.",
    "expected_tools": "The tools that should have been called.",
}
_SHOWN = {"input": "the prompt", "actual_output": "the response", "tools_called": "those of the conversation"}
_SEVERAL = "it is about several turns or answers, and a metric here judges one response"


def import_geval(text: str, source: str) -> Imported:
    """A scale for each metric, whose mean is the score. Raises `ImportFormatError`."""
    reader = _Reader(source)
    for place, fields in _metrics(text, reader):
        reader.metric(place, fields)
    return reader.made()


def _metrics(text: str, read: Reading) -> Iterator[tuple[str, dict[str, Any]]]:
    """The arguments of every metric by their names in Python, with its place."""
    source = read.source
    if PurePath(source).suffix.lower() == ".py":
        for call in calls(text, source, _CALLS):
            if call.name != "GEval":
                read.drop(f"a `{call.name}`", call.place, _SEVERAL)
                continue
            yield call.place, {**dict(zip(_ARGUMENTS, call.positional, strict=False)), **call.named}
        return
    data = read_any(text, source)
    if isinstance(data, Mapping) and "metrics" in data:
        read.others(data, ("metrics",), "", "", "it is no metric")
        data = data["metrics"]
    for at, item in enumerate(data if isinstance(data, list) else [data]):
        place = f"metrics[{at}]" if isinstance(data, list) else "the metric"
        fields = {snake_case(key): value for key, value in read.mapping(item, f"`{place}`").items()}
        if "required_parameters" in fields:
            fields.setdefault("evaluation_params", fields.pop("required_parameters"))
        yield place, fields


class _Reader(Reading):
    def __init__(self, source: str) -> None:
        super().__init__(source, "passes", "fails", "graded")
        self.columns: dict[str, str] = {}
        self.texts: list[str] = []
        self.features: list[str] = []
        self.passes: list[str] = []

    def made(self) -> Imported:
        """The policy of the metrics that were read."""
        if not self.features:
            raise self.unfit("has no GEval metric that can be asked")
        if len(self.features) > 1:
            self.near("the scores of several metrics", "the whole", "the reward is their mean")
        names, share = self.names, 1 / len(self.features)
        response = names("answer")
        rule = (
            f"response {response} ranks passes > fails {{\n  passes if {' & '.join(self.passes)}\n  fails  otherwise\n}}\n"
            if self.passes else f"response {response} ranks graded {{\n  graded otherwise\n}}\n"
        )  # fmt: skip
        head = comment(f"Imported from {self.title}: metrics of DeepEval.")
        columns = [f'column {name} "{about}"\n' for name, about in self.columns.items()]
        weights = reward(response, dict.fromkeys(self.features, share))
        return Imported("\n".join(["rbr 1\n", head, *columns, *self.texts, rule, weights]), (), tuple(self.notes))

    def metric(self, place: str, fields: dict[str, Any]) -> None:
        """Adds one metric."""
        name = fields.get("name") if isinstance(fields.get("name"), str) else "geval"
        for key, value in list(fields.items()):
            if key not in (*_READ, "**"):
                self.drop(f"`{said(key)}` of `{said(name)}`", f"{place}.{key}", "it is about running the metric")
                continue
            asked = (
                [one for one in value if not isinstance(one, Member)]
                if key == "evaluation_params" and isinstance(value, list)
                else value
            )
            line = _unread(asked)
            if line is None:
                continue
            if key in ("criteria", "evaluation_steps", "rubric", "evaluation_params"):
                self.drop(f"metric `{said(name)}`", f"{place}.{key}", f"line {line} computes it when the program runs")
                return
            self.drop(
                f"`{said(key)}` of `{said(name)}`", f"{place}.{key}", f"line {line} computes it when the program runs"
            )
            fields[key] = None
        if not fields.get("criteria") and not fields.get("evaluation_steps"):
            self.drop(f"metric `{said(name)}`", place, "it has neither `criteria` nor `evaluation_steps`")
            return
        if fields.get("multi_turn"):
            self.drop(f"metric `{said(name)}`", f"{place}.multi_turn", _SEVERAL)
            return
        steps = self._steps(fields, place)
        shown = self._shown(fields, name, place)
        strict = fields.get("strict_mode") is True
        low, high, about = self._rubric(fields.get("rubric"), place)
        called = self.names(name or "geval")
        self.columns.update((one, _COLUMNS[one]) for one in shown if one in _COLUMNS)
        question = "\n".join([*(as_text(line, _COLUMNS) for line in steps), *self._where(shown)])
        if strict:
            if about:
                self.drop(
                    f"the rubric of `{said(name)}`", f"{place}.rubric", "a strict metric follows its steps or does not"
                )
            self.texts.append(proposition(called, f"The response follows all of this.\n{question}", filled=True))
            self.passes.append(called)
        else:
            levels = {str(level): as_text(text, _COLUMNS) for level, text in about.items()}
            self.texts.append(variable(f"scale {called} {low}..{high}", question, levels, filled=True))
            self._threshold(fields.get("threshold", 0.5), called, low, high, f"{place}.threshold")
        self.features.append(called)

    def _steps(self, fields: Mapping[str, Any], place: str) -> list[str]:
        criteria, steps = fields.get("criteria"), fields.get("evaluation_steps") or []
        said_of = [] if criteria is None else self.text(criteria, f"`{place}.criteria`").splitlines()
        given = [
            self.text(step, f"`{place}.evaluation_steps`") for step in self.listed(steps, f"`{place}.evaluation_steps`")
        ]
        if not given:
            self.near(
                "the evaluation steps", place, "a model writes them there; here the criteria themselves are asked"
            )
        return [
            *(said_of or ["How well does the response do by these steps?"]),
            *(f"{n}. {step}" for n, step in enumerate(given, 1)),
        ]

    def _shown(self, fields: Mapping[str, Any], name: Any, place: str) -> list[str]:
        given = fields.get("evaluation_params")
        if not given:
            self.near(
                "what is judged",
                f"{place}.evaluation_params",
                "without them the whole trace is: add `judge trajectory` for that",
            )
            return []
        shown = [
            snake_case(one.name if isinstance(one, Member) else self.text(one, f"`{place}.evaluation_params`").rsplit(".", 1)[-1])
            for one in self.listed(given, f"`{place}.evaluation_params`")
        ]  # fmt: skip
        unknown = next((one for one in shown if one not in _COLUMNS and one not in _SHOWN), None)
        if unknown is not None:
            self.drop(f"`{unknown}`, shown to `{said(name)}`", f"{place}.evaluation_params", "no row has such a part")
        lists = [one for one in dict.fromkeys(shown) if one in _COLUMNS and one != "expected_output"]
        if lists:
            self.near(
                f"the columns {', '.join(lists)}",
                f"{place}.evaluation_params",
                "each is a text here, no list or mapping",
            )
        if not {"input", "actual_output"} <= set(shown):
            self.near(
                f"what `{said(name)}` is shown", f"{place}.evaluation_params", "prompt and response are always shown"
            )
        return shown

    def _where(self, shown: list[str]) -> Iterator[str]:
        """Which part of a row is what the criteria call it."""
        for one in dict.fromkeys(shown):
            called = one.replace("_", " ").capitalize()
            if one in _SHOWN:
                yield f"{called}: {_SHOWN[one]}."
            elif one in _COLUMNS:
                yield f"{called}: {{{one}}}"

    def _rubric(self, value: Any, place: str) -> tuple[int, int, dict[int, str]]:
        """The lowest and the highest score, and what scores mean."""
        about: dict[int, str] = {}
        for at, item in enumerate(self.listed(value or [], f"`{place}.rubric`")):
            where = f"{place}.rubric[{at}]"
            given = item.named if isinstance(item, Call) else self.mapping(item, f"`{where}`")
            fields = {snake_case(key): one for key, one in given.items()}
            expected = self.text(fields.get("expected_outcome"), f"`{where}.expected_outcome`")
            between = self.listed(fields.get("score_range"), f"`{where}.score_range`")
            ends = [self.points(end, f"`{where}.score_range`") for end in between]
            if len(ends) != 2 or not all(end == int(end) for end in ends) or not 0 <= ends[0] <= ends[1] <= 10:
                raise self.wrong(f"`{where}.score_range` is no range of whole scores from 0 to 10")
            levels = range(int(ends[0]), int(ends[1]) + 1)
            if any(level in about for level in levels):
                raise self.wrong(f"`{where}.score_range` overlaps with another")
            about |= dict.fromkeys(levels, expected)
        low, high = (min(about), max(about)) if about else (0, 10)
        if low == high:
            raise self.wrong(f"`{place}.rubric` has one score, and a score is to differ")
        return low, high, dict(sorted(about.items()))

    def _threshold(self, value: Any, name: str, low: int, high: int, place: str) -> None:
        if value is None:
            return
        threshold = self.points(value, f"`{place}`")
        level = low + math.ceil(threshold * (high - low) - 1e-9)
        if level > high:
            self.drop(f"the threshold {threshold:g}", place, "no score reaches it: scores go from 0 to 1")
        elif level > low:
            self.near(
                f"the threshold {threshold:g}",
                place,
                f"it passes where the level is at least {level}; there, where the mean score is",
            )
            self.passes.append(f"{name} >= {level}")


def _unread(value: Any) -> int | None:
    """The line that computes a value, or a part of it; None for one that is read."""
    match value:
        case Unread(line) | Member(_, line) | Call(line=line) if not isinstance(value, Call) or value.name != "Rubric":
            return line
        case Call():
            parts = [*value.positional, *value.named.values()]
        case list():
            parts = value
        case _:
            return None
    return next((line for part in parts if (line := _unread(part)) is not None), None)
