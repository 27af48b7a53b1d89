"""How do the rubrics of OpenEnv, made of judges, read as a policy?

A rubric is a Python object: an `LLMJudge` with a template of its prompt, or a `WeightedSum`, a `Gate` or a `Sequential` of others
(https://github.com/meta-pytorch/OpenEnv, rfcs/004-rubrics.md). It has no file: read are the Python source that makes it, which
is not run, and with `from_rubric` the object itself. A judge gives a number from 0 to 1, and becomes a scale of tenths.

What a judge gives behind gates is `n / 10` from some level up, else 0, and adds up in a sum as it is. A `Sequential` is 0
where any of its rubrics is. Whether all before the last are not is a formula; where the last is one judge, each of its values
is a class, and the reward is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from string import Formatter
from typing import Any, NamedTuple

from rbrlang.imports.checklist import definitions, reward, steps, variable
from rbrlang.imports.imported import Imported, Reading, said, snake_case
from rbrlang.imports.python_calls import Call, Member, Unread, calls
from rbrlang.lang.braces import as_text
from rbrlang.lang.printing.write import comment

_TOP = 10
_JUDGE = ("prompt_template", "client", "score_pattern", "default_score", "normalize")
_ARGUMENTS = {
    "LLMJudge": _JUDGE,
    "Gate": ("rubric", "threshold"),
    "WeightedSum": ("rubrics", "weights"),
    "Sequential": (),
}
_OWN = {"forward", "__call__", "_render_prompt", "_parse_score"}  # what a subclass would compute otherwise
_MOST_NESTED = 50


class Rubric(NamedTuple):
    """A rubric as it was found: its class, what it is made with, where it stands, and what tells it from others."""

    kind: str
    given: dict[str, Any]
    children: tuple[Rubric, ...]
    place: str
    identity: object


class _Part(NamedTuple):
    """One judge behind its gates: `n / 10` from level `cut` up, else 0."""

    scale: str
    cut: int


class _Value(NamedTuple):
    """`base` + Σ weight · part where all of `gates` hold, each of which is one of several comparisons, else 0."""

    parts: tuple[tuple[_Part, float], ...]
    gates: tuple[tuple[str, ...], ...] = ()
    base: float = 0.0


def import_openenv(text: str, source: str) -> Imported:
    """The outermost rubrics of a Python source, a response type each. Raises `ImportFormatError`."""
    return _imported([_of_call(call, 0) for call in calls(text, source, frozenset(_ARGUMENTS))], source)


def from_rubric(rubric: object) -> Imported:
    """A rubric of OpenEnv that the program has at hand. Raises `ImportFormatError`."""
    return _imported([_of_object(rubric, "rubric", 0)], "the rubric")


def _imported(found: Sequence[Rubric], source: str) -> Imported:
    reader = _Reader(source)
    for rubric in found:
        reader.response(rubric)
    return reader.made()


def _of_call(call: Any, deep: int) -> Rubric:
    if not isinstance(call, Call) or call.name not in _ARGUMENTS or deep > _MOST_NESTED:
        line = getattr(call, "line", None)
        return Rubric(getattr(call, "name", "a value"), {}, (), f"line {line}" if line else "the source", None)
    given = {**dict(zip(_ARGUMENTS[call.name], call.positional, strict=False)), **call.named}
    match call.name:
        case "WeightedSum":
            below = given.pop("rubrics", None)
        case "Sequential":
            below = list(call.positional)
        case "Gate":
            below = [given.pop("rubric", None)]
        case _:
            below = []
    if not isinstance(below, list) or "**" in given:
        return Rubric(f"computed {call.name}", {}, (), call.place, None)
    children = tuple(_of_call(one, deep + 1) for one in below)
    return Rubric(call.name, given, children, call.place, (call.line, call.column))


def _of_object(rubric: object, place: str, deep: int) -> Rubric:
    classes = type(rubric).__mro__
    kind = next((at for at, one in enumerate(classes) if one.__name__ in _ARGUMENTS), None)
    if kind is None or deep > _MOST_NESTED or any(_OWN & vars(one).keys() for one in classes[:kind]):
        return Rubric(type(rubric).__name__, {}, (), place, rubric)
    name = classes[kind].__name__
    given: dict[str, Any] = {}
    if name == "LLMJudge":
        given = {key: getattr(rubric, key, None) for key in ("prompt_template", "default_score", "normalize")}
        given["score_pattern"] = getattr(getattr(rubric, "_score_pattern", None), "pattern", None)
    elif name == "Gate":
        given = {"threshold": getattr(rubric, "threshold", None)}
    elif name == "WeightedSum":
        given = {"weights": getattr(rubric, "_weights", None)}
    below = [getattr(rubric, "rubric", None)] if name == "Gate" else getattr(rubric, "_rubric_list", ())
    children = tuple(
        _of_object(one, f"{place}.rubric" if name == "Gate" else f"{place}.rubric_{at}", deep + 1)
        for at, one in enumerate(below)
    )
    return Rubric(name, given, children, place, id(rubric))


class _Reader(Reading):
    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.scales: dict[object, str] = {}
        self.columns: dict[str, str] = {}
        self.texts: list[str] = []
        self.responses: list[str] = []
        self.found = 0

    def made(self) -> Imported:
        """The policy of all that was read."""
        if not self.responses:
            raise self.unfit("has no rubric of judges that can be asked")
        if self.found > 1:
            self.near(f"{self.found} rubrics", "the whole", "each is a response type: say which in the rows")
        self.drop("the clients of the judges", "client", "who grades is said to `rbrc grade`")
        head = comment(f"Imported from {self.title}: rubrics of OpenEnv.")
        columns = [f'column {name} "`{there}` of OpenEnv."\n' for there, name in self.columns.items()]
        return Imported("\n".join(["rbr 1\n", head, *columns, *self.texts, *self.responses]), (), tuple(self.notes))

    def response(self, rubric: Rubric) -> None:
        """Adds a response type."""
        value = self.value(rubric)
        if value is None or not value.parts:
            return
        self.found += 1
        name = self.names("rubric")
        if not value.gates:
            self.responses.append(self._added(name, value, "graded"))
            return
        passed = self.names("passed")
        gates = [(" | ".join(any_of), len(any_of)) for any_of in dict.fromkeys(value.gates)]
        rule = " & ".join(f"({gate})" if several > 1 else gate for gate, several in gates)
        self.responses.append(f"{passed} := {rule}\n")
        if len(value.parts) == 1 and not value.base:
            part, weight = next(iter(value.parts))
            self.responses.append(_by_level(name, passed, part, weight))
            return
        self.near(
            "a Sequential that ends in a sum",
            rubric.place,
            "where it stops early, the reward is what the sum earns less 1 instead of 0",
        )
        self.responses.append(self._added(name, value, "passes", passed))

    def _added(self, name: str, value: _Value, best: str, passed: str = "") -> str:
        """A sum of what judges give; where it has gates, what does not pass them loses 1."""
        base, compared = value.base, dict[str, float]()
        for part, weight in value.parts:
            start, one = steps(part.scale, 0, [n / _TOP if n >= part.cut else 0.0 for n in range(_TOP + 1)])
            base += weight * start
            for formula, share in one.items():
                compared[formula] = compared.get(formula, 0.0) + weight * share
        defined, shares = definitions(self.names, compared)
        rules = f"  {best} if {passed}\n  fails otherwise\n" if passed else f"  {best} otherwise\n"
        starts = {best: base, "fails": base - 1.0} if passed else {best: base}
        ranks = f"{best} > fails" if passed else best
        weights = {key: weight for key, weight in starts.items() if weight} | shares
        return f"{defined}\nresponse {name} ranks {ranks} {{\n{rules}}}\n\n" + reward(name, weights)

    def column(self, field: str) -> str:
        """The column for a part of the observation."""
        name = snake_case(field)
        while name in self.columns.values():
            name += "_"
        self.columns[field] = name
        return name

    def value(self, rubric: Rubric) -> _Value | None:
        """What a rubric gives; None where a program computes it."""
        match rubric.kind:
            case "LLMJudge":
                return self._judge(rubric)
            case "Gate":
                return self._gate(rubric)
            case "WeightedSum":
                return self._sum(rubric)
            case "Sequential":
                values = [self.value(child) for child in rubric.children]
                if not values:
                    return _Value((), (), 1.0)
                last = values.pop()
                if last is None:
                    self.drop(
                        "a Sequential", rubric.place, "its last rubric, which is its value, is computed by a program"
                    )
                    return None
                gates = [gate for value in values if value is not None for gate in self._not_zero(value)]
                return last._replace(gates=(*gates, *last.gates))
            case _:
                self.drop(f"`{said(rubric.kind)}`", rubric.place, "a program computes it, and no model is asked")
                return None

    def _not_zero(self, value: _Value) -> Iterator[tuple[str, ...]]:
        yield from value.gates
        any_of = tuple(f"{part.scale} >= {part.cut}" for part, weight in value.parts if weight)
        if any_of and not value.base:
            yield any_of

    def _gate(self, rubric: Rubric) -> _Value | None:
        value = self.value(rubric.children[0]) if rubric.children else None
        if value is None:
            return None
        given = rubric.given.get("threshold", 1.0)
        if isinstance(given, (Unread, Member, Call)):
            self.drop("a Gate", rubric.place, "its threshold is computed by a program")
            return None
        threshold = self.points(given, f"the threshold of {rubric.place}")
        cut = math.ceil(threshold * _TOP - 1e-9)
        if cut > _TOP:
            raise self.wrong(f"the Gate of {rubric.place} is never passed: its threshold is above 1")
        if len(value.parts) == 1 and not value.base and math.isclose(value.parts[0][1], 1.0):
            part = value.parts[0][0]
            return value._replace(parts=((part._replace(cut=max(part.cut, cut)), 1.0),))
        if cut > 0:
            self.drop(f"the threshold {threshold:g} of a Gate", rubric.place, "it is one of a sum of several judges")
        return value

    def _sum(self, rubric: Rubric) -> _Value | None:
        given = rubric.given.get("weights")
        if any(isinstance(one, (Unread, Member, Call)) for one in (given if isinstance(given, list) else [given])):
            self.drop("a WeightedSum", rubric.place, "its weights are computed by a program")
            return None
        if not isinstance(given, list) or len(given) != len(rubric.children):
            raise self.wrong(f"the WeightedSum of {rubric.place} has not one weight for each rubric")
        weights = [self.points(weight, f"a weight of {rubric.place}") for weight in given]
        if abs(math.fsum(weights) - 1.0) > 1e-6:
            raise self.wrong(f"the weights of {rubric.place} do not sum to 1")
        values = [self.value(child) for child in rubric.children]
        parts, base = list[tuple[_Part, float]](), 0.0
        for child, weight, value in zip(rubric.children, weights, values, strict=True):
            if value is None:
                continue
            if value.gates:
                self.drop(
                    "the first rubrics of a Sequential", child.place, "within a sum, only the last one counts here"
                )
            base += weight * value.base
            parts += [(part, weight * share) for part, share in value.parts]
        return _Value(tuple(parts), (), base) if parts or base else None

    def _judge(self, rubric: Rubric) -> _Value | None:
        given = rubric.given
        template = given.get("prompt_template")
        if not isinstance(template, str) or not template.strip():
            self.drop("a judge", rubric.place, "its prompt is computed by a program")
            return None
        if given.get("normalize", True) is not True:
            self.drop("a judge", rubric.place, "its scores are not held between 0 and 1 (`normalize=False`)")
            return None
        if rubric.identity not in self.scales:
            question = self._question(template, rubric.place)
            if question is None:
                return None
            if given.get("score_pattern") not in (None, r"(\d+\.?\d*)"):
                self.drop(
                    "`score_pattern` of a judge", rubric.place, "a level is asked for, and nothing is read out of words"
                )
            if given.get("default_score") not in (None, 0, 0.0):
                self.drop(
                    "`default_score` of a judge", rubric.place, "an answer that fails is missing, and never a number"
                )
            self.near("a judge", rubric.place, "its score is the mean of a scale of tenths")
            name = self.names(question.partition("\n")[2].split("(the response)")[0].split("{")[0].strip() or "judged")
            about = {str(n): f"A score of {n / _TOP:g}." for n in range(_TOP + 1)}
            self.texts.append(variable(f"scale {name} 0..{_TOP}", question, about, filled=True))
            self.scales[rubric.identity] = name
        return _Value(((_Part(self.scales[rubric.identity], 1), 1.0),))

    def _question(self, template: str, place: str) -> str | None:
        """The template with the response's place in words and the observation's as columns."""
        text = "Which score does the response get, from 0 to 1?\n"
        try:
            pieces = list(Formatter().parse(template))
        except ValueError as error:
            raise self.wrong(f"the prompt of {place} is no template: {error}") from error
        literal = ""
        for before, field, *_ in pieces:
            literal += before
            if field is None:  # an escaped brace
                continue
            text, literal = text + as_text(literal), ""
            root = field.partition(".")[0].partition("[")[0]
            if root not in ("action", "observation"):
                self.drop("a judge", place, f"`{{{said(field)}}}` is neither its action nor its observation")
                return None
            if root == "action":
                text += "(the response)"
            else:
                column = self.columns.get(field) or self.column(field)
                text += f"{' ' if text.endswith(chr(92)) else ''}{{{column}}}"
        return (text + as_text(literal)).rstrip()


def _by_level(name: str, passed: str, part: _Part, weight: float) -> str:
    """A class for every value of one judge behind gates; the worst one has not passed them."""
    levels = range(_TOP, part.cut - 1, -1)
    classes = {f"score_{level}": weight * level / _TOP for level in levels}
    rules = [f"  stopped if !{passed} | {part.scale} < {part.cut}\n"]
    rules += [f"  score_{level} if {part.scale} == {level}\n" for level in levels if level > part.cut]
    rules.append(f"  score_{part.cut} otherwise\n")
    return (
        f"# One class for each score, and one where a gate before it is not passed.\n"
        f"response {name} ranks {' > '.join(classes)} > stopped {{\n{''.join(rules)}}}\n\n" + reward(name, classes)
    )
