"""How do the assertions of a promptfoo configuration read as a policy?

A YAML file with `tests`, each with assertions on the answer to one prompt (https://www.promptfoo.dev/docs/configuration/
expected-outputs/). A test becomes a response type with the classes `passes` and `fails`, and its reward is the weighted
mean that promptfoo calls the test's score. What asks a model becomes a proposition; what looks at the text, a measure.
Code, similarity and costs have no place here and are named as dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import re2

from rbrlang.imports.checklist import proposition, reward
from rbrlang.imports.imported import Imported, Reading, read_any, said
from rbrlang.imports.templates import Templates
from rbrlang.lang.printing.write import comment, quoted
from rbrlang.schema import problem

_ASKED = ("llm-rubric", "model-graded-closedqa")
_TEXT = (
    "equals",
    "contains",
    "icontains",
    "contains-any",
    "icontains-any",
    "contains-all",
    "icontains-all",
    "starts-with",
    "regex",
)
_OF_A_COLUMN = {"equals": "equals({})", "contains": "contains({})", "icontains": "contains({}, fold: case)"}
_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_MOST_REFERENCES = 10
_COMMAS = re.compile(r'[\s,]*(?:"((?:""|\\["\\]|\\(?!["\\])|[^"\\])*)"\s*(?=,|\Z)|([^\s,"][^,]*))[\s,]*')
_UNKNOWN = "its value is not a text that is known before the test runs"


class _Part(NamedTuple):
    """A proposition's name or a measure's, whether it or its contrary is wanted, and its share of the assertion."""

    name: str
    held: bool
    share: float


def import_promptfoo(text: str, source: str) -> Imported:
    """A policy with a response type for every test that has something to judge. Raises `ImportFormatError`."""
    read = read_any(text, source)
    if isinstance(read, list):  # a file that a configuration names: of assertions, or of tests
        alone = cast("list[Any]", read)
        asserted = all(isinstance(one, Mapping) and ("type" in one or "$ref" in one) for one in alone)
        read = {"tests": [{"description": "every test", "assert": alone}] if asserted else alone}
    return _Reader(read, source).read()


class _Reader(Reading):
    def __init__(self, root: Any, source: str) -> None:
        super().__init__(source, "passes", "fails", "graded")
        self.root = self.mapping(root, "the file")
        self.declared: dict[tuple[str, str], str] = {}  # what was said before, by its kind and text
        self.texts: list[str] = []
        self.columns = Templates(r"([A-Za-z_]\w*)")

    def read(self) -> Imported:
        known = ("tests", "defaultTest", "assertionTemplates", "description")
        self.others(self.root, known, "", "", "it is about running the tests, not about what is good")
        responses: list[str] = []
        default = self.root.get("defaultTest") or {}
        shared = self.mapping(default, "`defaultTest`").get("assert") or []
        tests = self.root.get("tests", [] if shared else None)
        for at, test in enumerate([tests] if _elsewhere(tests) else self.listed(tests, "`tests`")):
            place = f"tests[{at}]"
            if _elsewhere(test):
                self.drop(
                    f"the tests in `{said(test)}`", place, "they lie in another file, which can be imported by itself"
                )
                continue
            responses += self._test(self.mapping(test, f"`{place}`"), place, shared)
        if not responses and shared:
            responses += self._test({"description": "every test"}, "defaultTest", shared)
        if not responses:
            raise self.unfit("has no assertion that can be asked or measured")
        head = comment(f"Imported from {self.title}, a promptfoo configuration.")
        policy = "\n".join(["rbr 1\n", head, *self.columns.declared(), *self.texts, *responses])
        return Imported(policy, (), (*self.notes, *self.columns.notes()))

    def _test(self, test: dict[str, Any], place: str, shared: list[Any]) -> Iterator[str]:
        known = ("description", "vars", "assert", "threshold")
        self.others(test, known, " of a test", place, "it is about running the test")
        variables: Mapping[str, Any] = test["vars"] if isinstance(test.get("vars"), Mapping) else {}
        weighed: list[tuple[_Part, float]] = []
        needed: list[str] = []
        texts, declared = len(self.texts), dict(self.declared)
        own = self.listed(test.get("assert") or [], f"`{place}.assert`")
        for item, where, weight in self._assertions([*own, *shared], f"{place}.assert"):
            parts = self._parts(item, where, variables)
            weighed += [(part, weight * part.share) for part in parts]
            if item.get("weight", 1):  # what weighs 0 itself passes always
                needed += [("" if part.held else "!") + part.name for part in parts]
        total = sum(weight for _, weight in weighed)
        if not weighed or total <= 0:
            self.drop(
                f"test `{said(test.get('description') or place)}`", place, "nothing of it can be asked or measured"
            )
            self.texts, self.declared = self.texts[:texts], declared
            return
        both = next((one for one in needed if f"!{one}" in needed), None)
        if both is not None:
            self.near(
                f"test `{said(test.get('description') or place)}`",
                place,
                f"no answer has all of it, which asks for `{both}` and for the contrary; its score is the same",
            )
        elif test.get("threshold") is not None:
            self.near(
                f"the threshold {said(test['threshold'])}",
                f"{place}.threshold",
                "a test passes here when all of it holds; its score is the same",
            )
        weights: dict[str, float] = {}
        start = 0.0
        for part, weight in weighed:
            share = weight / total
            start += 0.0 if part.held else share
            weights[part.name] = weights.get(part.name, 0.0) + (share if part.held else -share)
        name = self.names(str(test.get("description") or place))
        rule = " & ".join(dict.fromkeys(needed))
        prompt = f"  # vars: {said(dict(variables))}\n" if variables else ""
        classes, rules = ("passes", "fails"), f"  passes if {rule}\n  fails  otherwise\n"
        if both is not None:
            classes, rules = ("graded",), "  graded otherwise\n"
        yield (
            f"response {name} ranks {' > '.join(classes)} {{\n{prompt}{rules}}}\n\n"
            + reward(name, (dict.fromkeys(classes, start) if start else {}) | weights)
        )

    def _assertions(self, items: list[Any], place: str, depth: int = 0) -> Iterator[tuple[dict[str, Any], str, float]]:
        """Assertions with what they refer to put in, their places and weights; of a set each has its share of the set's."""
        for at, item in enumerate(items):
            where = f"{place}[{at}]"
            fields = self.mapping(item, f"`{where}`")
            while isinstance(fields.get("$ref"), str) and depth < _MOST_REFERENCES:
                reference, depth = fields["$ref"], depth + 1
                template = self._template(reference, where)
                if template is None:
                    self.drop(f"`{said(reference)}`", f"{where}.$ref", "there is no such template in the file")
                    break
                fields = {**template, **{key: value for key, value in fields.items() if key != "$ref"}}
            if "$ref" in fields:
                continue
            own = self.points(fields.get("weight", 1), f"`{where}.weight`")
            if fields.get("type") != "assert-set":
                yield fields, where, own
                continue
            if fields.get("threshold") is not None:
                self.near("the threshold of a set", f"{where}.threshold", "all of the set has to hold here")
            inner = self.listed(fields.get("assert") or [], f"`{where}.assert`")
            opened = [*self._assertions(inner, f"{where}.assert", depth)] if depth < _MOST_REFERENCES else []
            whole = sum(weight for *_, weight in opened)
            for one, below, weight in opened:
                yield one, below, own * weight / whole if whole else 0.0

    def _template(self, reference: str, where: str) -> dict[str, Any] | None:
        templates = self.mapping(self.root.get("assertionTemplates") or {}, "`assertionTemplates`")
        found = templates.get(reference.removeprefix("#/assertionTemplates/"))
        return None if found is None else self.mapping(found, f"`{where}`")

    def _parts(self, item: dict[str, Any], place: str, variables: Mapping[str, Any]) -> list[_Part]:
        self.others(item, ("type", "value", "metric", "weight"), " of an assertion", place)
        kind = str(item.get("type"))
        held = not kind.startswith("not-")
        kind = kind.removeprefix("not-")
        value, called = item.get("value"), item.get("metric") or kind
        if kind == "is-json":
            return [_Part(self._measure(called, self._form(value, place)), held, 1.0)]
        column = self._column(kind, value, variables)
        if column is not None:
            return [_Part(self._measure(called, column), held, 1.0)]
        if kind not in (*_ASKED, *_TEXT):
            self.drop(f"an assertion `{kind}`", place, "it is neither a question nor a measure of the text")
            return []
        if kind in _ASKED:
            return self._question(item, place, variables, held)
        if kind.endswith(("-any", "-all")):
            several = value if isinstance(value, list) else _separate(_known(value, variables))
            texts = [_filled(v, variables) for v in several]
        else:
            texts = [_filled(value, variables)]
        if not texts or None in texts:
            self.drop(f"an assertion `{kind}`", f"{place}.value", _UNKNOWN)
            return []
        known = [text for text in texts if text is not None]
        if kind.endswith("-all") and held and len(known) > 1:
            self.near(f"an assertion `{kind}`", place, "each of its texts is a part of its score")
            return [_Part(self._measure(t, _formula(kind, [t])), True, 1.0 / len(known)) for t in known]
        if kind.endswith("-all") and len(known) > 1:
            self.drop(
                f"an assertion `not-{kind}`", place, "that not all of several texts are there is no single measure"
            )
            return []
        formula = _formula(kind, known)
        if formula is None:
            self.drop(
                f"an assertion `{kind}`",
                f"{place}.value",
                "RE2 does not read its pattern, and others may take for ever",
            )
            return []
        return [_Part(self._measure(known[0] or called, formula), held, 1.0)]

    def _question(self, item: Mapping[str, Any], place: str, variables: Mapping[str, Any], held: bool) -> list[_Part]:
        """What asks a model; a variable that the test does not give is a column of the rows."""
        value = _known(item.get("value"), variables)
        text, rest = ("", value) if value is None else self.columns.filled(value)
        if rest is not None or not text:
            self.drop(f"an assertion `{said(item['type'])}`", f"{place}.value", _UNKNOWN)
            return []
        key = ("prop", text)
        if key not in self.declared:
            self.declared[key] = self.names(str(item.get("metric") or text))
            self.texts.append(proposition(self.declared[key], text, filled=True))
        return [_Part(self.declared[key], held, 1.0)]

    def _form(self, schema: Any, place: str) -> str:
        """The check of a schema, of which nothing is lost where it can be used."""
        if schema is None:
            return "json"
        reason = problem(schema)
        if reason is None:
            return f"json_schema({quoted(json.dumps(schema, ensure_ascii=False))})"
        self.near("a schema of `is-json`", f"{place}.value", f"that it is JSON is what is measured: {reason}")
        return "json"

    def _column(self, kind: str, value: Any, variables: Mapping[str, Any]) -> str | None:
        """The comparison with a variable that the test does not give, and that is a column of the rows; None for another."""
        known, check = _known(value, variables), _OF_A_COLUMN.get(kind)
        place = None if known is None or check is None else _VARIABLE.fullmatch(known)
        if place is None or check is None:
            return None
        self.columns.filled(place[0])
        return check.format(self.columns.columns[place[1]])

    def _measure(self, called: str, formula: str | None) -> str:
        key = ("measure", formula or "")
        if key not in self.declared:
            self.declared[key] = self.names(f"has_{called}")
            self.texts.append(f"{self.declared[key]} := {formula}\n")
        return self.declared[key]


def _elsewhere(tests: Any) -> bool:
    """Whether tests are named by a file or an address and not written down."""
    return isinstance(tests, str) and bool(tests.strip())


def _known(value: Any, variables: Mapping[str, Any]) -> str | None:
    """A text with the test's variables put in; None where there is no text."""
    if not isinstance(value, str) or not value.strip() or value.startswith(("file://", "python:", "javascript:")):
        return None

    def known(match: re.Match[str]) -> str:
        found = _written(variables.get(match[1]))
        return found if isinstance(found, str) else match[0]

    return re.sub(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}", known, value)


def _filled(value: Any, variables: Mapping[str, Any]) -> str | None:
    """Such a text, or a number as it is written; None besides where something is left that only a run knows."""
    filled = _known(_written(value), variables)
    return None if filled is None or "{{" in filled or "{%" in filled else filled


def _written(value: Any) -> Any:
    """A number as JavaScript writes it, without an exponent; anything else as it is.

    >>> _written(4.0), _written(-0.25), _written("4.0"), _written(1e-9)
    ('4', '-0.25', '4.0', 1e-09)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (1e-4 <= abs(value) < 2**53 or value == 0):
        return value
    return str(value or 0).removesuffix(".0")


def _separate(text: str | None) -> list[str]:
    """The texts between commas, which may be in quotes; none where a quotation does not end.

    >>> _separate('foo, "a, b",, c d '), _separate('"a" b')
    (['foo', 'a, b', 'c d'], [])
    """
    found: list[str] = []
    at = 0
    while text is not None and (match := _COMMAS.match(text, at)):
        quotation, plain = match.groups()
        found.append(plain.strip() if plain else re.sub(r'""|\\(["\\])', lambda m: m[1] or '"', quotation))
        at = match.end()
    return found if text is not None and at == len(text) else []


def _formula(kind: str, texts: list[str]) -> str | None:
    """The measure of a text; None for a pattern that RE2 does not read."""
    pattern = "|".join(re2.escape(text) for text in texts)
    pattern = f"(?:{pattern})" if len(texts) > 1 else pattern
    match kind:
        case "regex":
            options = re2.Options()
            options.log_errors = False
            try:
                re2.compile(texts[0], options)
            except re2.error:
                return None
            return f"matches({quoted(texts[0])})"
        case "equals":
            return f"matches({quoted(f'(?s)^{pattern}$')})"
        case "starts-with":
            return f"matches({quoted(f'^{pattern}')})"
        case "icontains" | "icontains-any" | "icontains-all":
            return f"matches({quoted(f'(?i){pattern}')})"
        case _:
            return f"contains({quoted(texts[0])})" if len(texts) == 1 else f"matches({quoted(pattern)})"
