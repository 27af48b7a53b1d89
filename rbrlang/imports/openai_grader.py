"""How does a grader of OpenAI's evals and fine-tuning read as a policy?

JSON of one grader, or of a `multi` grader whose `calculate_output` adds others up (https://platform.openai.com/docs/guides/
graders). A `label_model` becomes a proposition where it has two labels, else a choice, a `score_model` a scale, a
`string_check` a measure; `{{ item.… }}` are columns of the rows. What computes a number of the text (`text_similarity`) or
runs code has no place here and is named as dropped.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

import re2

from rbrlang.imports.checklist import ONE_CLASS, TOO_MANY, Criterion, proposition, reward, variable
from rbrlang.imports.imported import Imported, Names, Reading, read_any, said
from rbrlang.imports.templates import Templates
from rbrlang.lang.braces import as_text
from rbrlang.lang.printing.write import comment, quoted
from rbrlang.lang.variables import MAX_VALUES

_KEPT = (
    "type",
    "name",
    "graders",
    "calculate_output",
    "input",
    "labels",
    "passing_labels",
    "operation",
    "reference",
    "range",
)
_STEPS = 10  # of a range whose whole numbers are no scale
_ANSWER = re.compile(r"\{\{\s*sample\.output_text\s*\}\}")
_FIELD = re.compile(r"\{\{\s*sample\.output_json\.([\w.\[\]]+)\s*\}\}")
_ITEM = r"item\.([A-Za-z_]\w*)"
_GIVEN = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_COLUMN = re.compile(r"\{\{\s*" + _ITEM + r"\s*\}\}")
_CHECKS = {"eq": "equals({})", "ne": "equals({})", "like": "contains({})", "ilike": "contains({}, fold: case)"}
_TEXTS = {"eq": "(?s)^{}$", "ne": "(?s)^{}$", "like": "(?s){}", "ilike": "(?is){}"}


_RUNNING = "it is about running the grader, not about what is good"


class _Source(Reading):
    """The graders of one file; `measures` are the checks that were made, by what they check."""

    def __init__(self, source: str) -> None:
        super().__init__(source, ONE_CLASS)
        self.templates = Templates(_ITEM)
        self.measures: dict[str, str] = {}


def import_openai_grader(text: str, source: str) -> Imported:
    """A policy whose one response type adds up what the graders give. Raises `ImportFormatError`."""
    read = _Source(source)
    root = read.mapping(read_any(text, source), "the file")
    graders: dict[str, Any] = {str(root.get("name") or "grader"): root}
    sum_of: dict[str, float] | None = None
    if root.get("type") == "multi":
        graders = read.mapping(root.get("graders"), "`graders`")
        sum_of = linear(read.text(root.get("calculate_output"), "`calculate_output`"), set(graders))
        if sum_of is None:
            raise read.wrong(
                "`calculate_output` is no sum of the graders with numbers before them, and rewards are sums"
            )
    sum_of = sum_of if sum_of is not None else dict.fromkeys(graders, 1.0)
    texts, weights = list[str](), dict[str, float]()
    start = sum_of.pop("", 0.0)
    if root.get("type") == "multi":
        read.others(root, _KEPT, " of the grader", "", _RUNNING)
    for key, item in graders.items():
        fields = read.mapping(item, f"`{key}`")
        made = _grader(key, fields, read)
        if made is None:
            continue
        read.others(fields, _KEPT, f" of grader `{said(key)}`", key, _RUNNING)
        weight = sum_of.get(key, 0.0)
        if made.text not in texts:
            texts.append(made.text)
        start += weight * made.base
        for name, share in made.features.items():
            weights[name] = weights.get(name, 0.0) + weight * share
    if not weights:
        raise read.unfit("has no grader that a text can be asked or measured by")
    head = comment(f"Imported from {read.title}, a grader of OpenAI's.")
    response = read.names("grader")
    policy = "\n".join([
        "rbr 1\n", head, *read.templates.declared(), *texts, f"response {response} ranks {ONE_CLASS} {{\n  {ONE_CLASS} otherwise\n}}\n",
        reward(response, ({ONE_CLASS: start} if start else {}) | weights),
    ])  # fmt: skip
    return Imported(policy, (), (*read.notes, *read.templates.notes()))


def _grader(key: str, fields: dict[str, Any], read: _Source) -> Criterion | None:
    """What one grader becomes; a check that was made before keeps the name that it has in `measures`."""
    kind = fields.get("type")
    if kind in ("label_model", "score_model"):
        question = _question(key, fields, read)
        if question is None:
            return None
        asked = _label_model if kind == "label_model" else _score_model
        return asked(key, fields, question, read)
    if kind != "string_check":
        read.drop(f"grader `{said(key)}`", key, f"a `{said(kind)}` computes a number or runs code, and no policy can")
        return None
    pattern, reference = _TEXTS.get(str(fields.get("operation"))), fields.get("reference")
    if pattern is None:
        raise read.wrong(f"`{key}.operation` is {fields.get('operation')!r:.40}, not eq, ne, like or ilike")
    if not isinstance(fields.get("input"), str) or not _ANSWER.fullmatch(fields["input"].strip()):
        read.drop(f"grader `{said(key)}`", f"{key}.input", "it looks at more than the answer's text")
        return None
    column = _COLUMN.fullmatch(reference) if isinstance(reference, str) else None
    if column is not None:
        read.templates.filled(column[0])
        check = _CHECKS[fields["operation"]].format(read.templates.columns[column[1]])
    elif not isinstance(reference, str) or not reference or _GIVEN.search(reference):
        read.drop(f"grader `{said(key)}`", f"{key}.reference", "it compares with another text in each row")
        return None
    else:
        check = f"matches({quoted(pattern.format(re2.escape(reference)))})"
    name = read.measures[check] if check in read.measures else read.measures.setdefault(check, read.names(key))
    base, share = (1.0, -1.0) if fields["operation"] == "ne" else (0.0, 1.0)
    return Criterion(name, f"{name} := {check}\n", 1.0, {name: share}, base)


def _question(key: str, fields: dict[str, Any], read: _Source) -> str | None:
    """What a model is asked, with columns in braces; None where it is shown more than a text and a row."""
    said_to: list[str] = []
    for turn in read.listed(fields.get("input"), f"`{key}.input`"):
        content = read.mapping(turn, f"`{key}.input`").get("content")
        for part in content if isinstance(content, list) else [content]:
            if isinstance(part, Mapping) and "text" not in part:
                read.drop(f"grader `{said(key)}`", f"{key}.input", "it looks at more than texts")
                return None
            said_to.append(read.text(part["text"] if isinstance(part, Mapping) else part, f"`{key}.input`"))
    text, fields_of_it = _FIELD.subn(r"(`\1` of the response)", "\n\n".join(said_to))
    question, rest = read.templates.filled(_ANSWER.sub("(the response)", text))
    if rest is not None:
        read.drop(f"grader `{said(key)}`", f"{key}.input", f"`{said(rest)}` is no column of a row")
        return None
    if fields_of_it:
        read.near(f"grader `{said(key)}`", f"{key}.input", "it is shown the whole response, not a field of its JSON")
    return question


def _label_model(key: str, fields: dict[str, Any], question: str, read: _Source) -> Criterion | None:
    labels, passing = (
        [*dict.fromkeys(read.text(one, f"`{key}.{which}`") for one in read.listed(fields.get(which), f"`{key}.{which}`"))]
        for which in ("labels", "passing_labels")
    )  # fmt: skip
    unknown = next((label for label in passing if label not in labels), None)
    if unknown is not None:
        raise read.wrong(f"`{key}.passing_labels` has `{said(unknown)}`, which is no label of it")
    columns = read.templates.columns.values()
    if len(labels) > MAX_VALUES:
        read.drop(f"grader `{said(key)}`", f"{key}.labels", TOO_MANY)
        return None
    name = read.names(key)
    if len(labels) > 2:
        own = Names()
        options = {own(label): as_text(label, columns) for label in labels}
        text = variable(f"choice {name}", f"Which label does the response deserve?\n{question}", options, filled=True)
        compared = {
            read.names(f"{name}_{option}"): f"{name} == {option}"
            for option, label in zip(options, labels, strict=True)
            if label in passing
        }
        text += "".join(f"\n{feature} := {formula}\n" for feature, formula in compared.items())
        return Criterion(name, text, 1.0, dict.fromkeys(compared, 1.0))
    read.near(f"grader `{said(key)}`", key, "it is asked for yes or no instead of a label")
    named = " or ".join(f"`{said(label)}`" for label in passing)
    among = ", ".join(f"`{said(label)}`" for label in labels)
    statement = as_text(f"Of the labels {among} the response deserves {named}.", columns)
    return Criterion(name, proposition(name, f"{statement}\n{question}", filled=True), 1.0, {name: 1.0})


def _score_model(key: str, fields: dict[str, Any], question: str, read: _Source) -> Criterion:
    given = fields.get("range")
    between = [0.0, 1.0] if given is None else read.listed(given, f"`{key}.range`")
    low, high = (read.points(n, f"`{key}.range`") for n in (between if len(between) == 2 else [0, 0]))
    if not low < high:
        raise read.wrong(f"`{key}.range` does not go from a number to a higher one")
    name = read.names(key)
    whole = low >= 0 and low == int(low) and high == int(high) and 1 < high - low < MAX_VALUES
    levels = (int(low), int(high)) if whole else (0, _STEPS)
    values = {} if whole else {
        str(n): f"A score of {low + (high - low) * n / _STEPS:.6g}." for n in range(_STEPS + 1)
    }  # fmt: skip
    asked = f"Which score does the response get, from {low:.6g} to {high:.6g}?\n{question}"
    read.near(
        f"grader `{said(key)}`",
        key,
        f"its score is the mean of a scale of {levels[1] - levels[0] + 1} levels, instead of one number that a model writes",
    )
    text = variable(f"scale {name} {levels[0]}..{levels[1]}", asked, values, filled=True)
    return Criterion(name, text, 1.0, {name: high - low}, low)


def linear(formula: str, names: set[str]) -> dict[str, float] | None:
    """The numbers before each name of a sum, the one without a name under ""; None for anything but a sum.

    >>> linear("0.5 * a + (b - 1) / 4", {"a", "b"})
    {'a': 0.5, 'b': 0.25, '': -0.25}
    """

    def of(node: ast.expr) -> dict[str, float] | None:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return {"": float(number)}
            case ast.Name(id=name) if name in names:
                return {name: 1.0}
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=inner):
                return scaled(of(inner), -1.0 if isinstance(sign, ast.USub) else 1.0)
            case ast.BinOp(left=left, op=op, right=right):
                one, other = of(left), of(right)
                if one is None or other is None:
                    return None
                match op:
                    case ast.Add() | ast.Sub():
                        other = scaled(other, -1.0 if isinstance(op, ast.Sub) else 1.0) or {}
                        return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}
                    case ast.Mult() if set(one) == {""} or set(other) == {""}:
                        return scaled(other, one[""]) if set(one) == {""} else scaled(one, other[""])
                    case ast.Div() if set(other) == {""} and other[""]:
                        return scaled(one, 1.0 / other[""])
                    case _:
                        return None
            case _:
                return None

    def scaled(terms: Mapping[str, float] | None, by: float) -> dict[str, float] | None:
        return None if terms is None else {name: value * by for name, value in terms.items()}

    try:
        return of(ast.parse(formula[:10_000].strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
