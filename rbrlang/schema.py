"""Is a JSON value of the form that a schema asks for, whoever wrote the two?

JSON Schema (https://json-schema.org/specification) as `jsonschema` has it (extra `schema`), 2020-12 where `$schema` names no
other draft. What a policy from elsewhere could do harm with is taken out: patterns are RE2 (time linear in the text),
references stay inside the schema, and a value costs at most `STEPS` keywords.

    >>> holds('{"type":"object","required":["answer"]}', {"answer": 4})
    True
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

from rbrlang.jsontext import parse

STEPS = 100_000
NEEDED = "it needs the extra `schema`: pip install 'rbrlang[schema]'"
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_ANCHORS = ("$anchor", "$dynamicAnchor")
_Keyword = Callable[[Any, Any, Any, Any], Any]


class _SpentError(Exception):
    """More keywords than a value may cost."""


def problem(schema: object) -> str | None:
    """Why a schema cannot be used, in words; None for one that can."""
    try:
        jsonschema: Any = importlib.import_module("jsonschema")
    except ImportError:
        return NEEDED
    if not isinstance(schema, dict | bool):
        return "it is neither an object nor true or false"
    draft = _draft(jsonschema, schema)
    if draft is None:
        return "`$schema` names no draft that is known here; leave it out for 2020-12"
    try:
        draft.check_schema(schema)
    except jsonschema.exceptions.SchemaError as error:
        place = "/".join(map(str, error.absolute_path))
        return f"{'at `' + place + '`: ' if place else ''}{' '.join(error.message.split())[:200]}"
    except RecursionError:
        return "it is nested too deep"
    within = list(_objects(schema))
    anchors = {one[word] for one in within for word in _ANCHORS if isinstance(one.get(word), str)}
    for one in within:
        if "patternProperties" in one:
            return "`patternProperties` is not offered: name the properties"
        for word in _REFERENCES:
            reason = _unreachable(schema, one.get(word), anchors)
            if reason:
                return reason
        if isinstance(one.get("pattern"), str):
            reason = _unreadable(one["pattern"])
            if reason:
                return f"`{one['pattern']}` is not an RE2 pattern: {reason}"
    return None


def holds(schema: str, value: object) -> bool | None:
    """Whether a value has the form; None where that was not decided within `STEPS`, or without the extra."""
    try:
        return bool(_validator(schema)().is_valid(value))
    except (ImportError, _SpentError, RecursionError, OverflowError):
        return None


def _draft(jsonschema: Any, schema: Any) -> Any:
    """The draft of a schema; None where it names one that is not known."""
    if not isinstance(schema, dict) or "$schema" not in schema:
        return jsonschema.Draft202012Validator
    named = cast("dict[str, Any]", schema)["$schema"]
    return jsonschema.validators.validator_for({"$schema": named}, default=None) if isinstance(named, str) else None


@lru_cache(64)
def _validator(schema: str) -> Callable[[], Any]:
    """Makes a validator with a count of its own."""
    jsonschema: Any = importlib.import_module("jsonschema")
    registry = cast(Any, importlib.import_module("referencing")).Registry()  # which fetches nothing
    read = parse(schema)
    draft = _draft(jsonschema, read)
    own: Mapping[str, _Keyword] = {"pattern": _pattern, "uniqueItems": _unique, "multipleOf": _multiple}
    known: Mapping[str, _Keyword] = {
        **draft.VALIDATORS,
        **{word: own[word] for word in own if word in draft.VALIDATORS},
    }

    def make() -> Any:
        left = [STEPS]
        counted = {word: _counted(keyword, left) for word, keyword in known.items()}
        return jsonschema.validators.extend(draft, counted)(read, registry=registry)

    return make


def _counted(keyword: _Keyword, left: list[int]) -> _Keyword:
    def step(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise _SpentError
        return keyword(validator, value, instance, schema)

    return step


def _pattern(validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[Any]:
    if (
        validator.is_type(instance, "string")
        and _compiled(pattern).search(instance.encode("utf-8", "replace").decode()) is None
    ):
        yield cast(Any, importlib.import_module("jsonschema")).ValidationError("no match")


def _unique(validator: Any, wanted: bool, instance: Any, _schema: Any) -> Iterator[Any]:
    if wanted and validator.is_type(instance, "array") and len({_key(one) for one in instance}) < len(instance):
        yield cast(Any, importlib.import_module("jsonschema")).ValidationError("not unique")


def _multiple(validator: Any, of: float, instance: Any, _schema: Any) -> Iterator[Any]:
    """By the digits as they are written: 19.99 is a multiple of 0.01, which no float says."""
    from fractions import Fraction  # beside the rare schema, the check of every policy would wait for it

    if validator.is_type(instance, "number") and Fraction(repr(instance)) % Fraction(repr(of)):
        yield cast(Any, importlib.import_module("jsonschema")).ValidationError("no multiple")


def _key(value: Any) -> object:
    """The same for equal JSON values: 1 and 1.0 are, 1 and true are not."""
    match value:
        case bool():
            return "truth", value
        case list():
            return "list", tuple(_key(one) for one in cast("list[Any]", value))
        case dict():
            return "object", frozenset((name, _key(one)) for name, one in cast("dict[str, Any]", value).items())
        case _:
            return "value", value


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    left: list[Any] = [schema]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield cast("dict[str, Any]", one)
            left += cast("dict[str, Any]", one).values()
        elif isinstance(one, list):
            left += cast("list[Any]", one)


def _unreachable(schema: Any, reference: object, anchors: set[str]) -> str:
    """Why a reference leads nowhere in the schema; empty where it leads somewhere, or where there is none."""
    if not isinstance(reference, str):
        return ""
    if not reference.startswith("#"):
        return f"`{reference}` is not in it: a reference begins with `#`"
    if reference == "#" or reference[1:] in anchors:
        return ""
    place: Any = schema
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(place, list) and name.isdecimal() and int(name) < len(cast("list[Any]", place)):
            place = place[int(name)]
        elif isinstance(place, dict) and name in place:
            place = place[name]
        else:
            return f"`{reference}` is not in it"
    return "" if reference.startswith("#/") else f"`{reference}` is not in it"


@lru_cache(256)
def _compiled(pattern: str) -> Any:
    re2: Any = importlib.import_module("re2")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 8 << 20
    return re2.compile(pattern, options)


def _unreadable(pattern: str) -> str:
    re2: Any = importlib.import_module("re2")
    try:
        _compiled(pattern)
    except (re2.error, UnicodeError) as error:
        return str(error.args[0], "utf-8") if isinstance(error.args[0], bytes) else str(error.args[0])
    return ""
