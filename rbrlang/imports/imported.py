"""What becomes of a file of another format, and what of it does not?

An importer makes the text of a policy, rows where the source has completions, and a note for everything that did not
come over as it was: `approximated` where it means nearly the same here, `dropped` where it has no place. What has no
note was kept.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any, Literal, NamedTuple

import yaml

from rbrlang.errors import UserError
from rbrlang.jsontext import JsonError, parse
from rbrlang.lang.printing.write import is_keyword

MAX_CHARACTERS = 16 * 2**20
MAX_NAME = 60


class ImportFormatError(UserError):
    """The source is not in the format that it was said to be; the message says where and what to do."""


class Note(NamedTuple):
    """One thing of the source that is not here as it was there."""

    verdict: Literal["approximated", "dropped"]
    what: str
    place: str
    why: str


class Imported(NamedTuple):
    """A policy's text, the rows that came with it, and what was not kept."""

    policy: str
    rows: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[Note, ...] = ()


Importer = Callable[[str, str], Imported]
"""From the text of a source and its name. Raises `ImportFormatError`."""


def snake_case(name: str) -> str:
    """A name of the source as a name of the language: `Hard Refuse` becomes `hard_refuse`."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    plain = re.sub(r"[^a-z0-9_]+", "_", plain.lower()).strip("_")
    if not plain or plain[0].isdigit():
        plain = f"p_{plain}".rstrip("_")
    return plain + "_" if is_keyword(plain) else plain


class Names:
    """Gives every thing of a source a name of its own."""

    def __init__(self, *taken: str) -> None:
        """`taken` are names that nothing gets, as those of classes, which features must not have."""
        self._taken = set(taken)

    def __call__(self, original: str) -> str:
        """The first words of `original` that fit, with a number behind where they are taken."""
        words = snake_case(original)
        if len(words) > MAX_NAME:
            words = words[:MAX_NAME].rpartition("_")[0] or words[:MAX_NAME]
        base, number, name = words.rstrip("_") if not is_keyword(words.rstrip("_")) else words, 1, ""
        while not name or name in self._taken:
            name = base if number == 1 else f"{base}_{number}"
            number += 1
        self._taken.add(name)
        return name


class _UniqueKeys(yaml.SafeLoader):
    """YAML whose mappings say everything once: of two values for one key the reader would lose one without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.MarkedYAMLError(None, None, f"the key `{key.value[:40]}` appears twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def number(self, node: yaml.ScalarNode) -> Any:
        """A number as YAML 1.2 has it: `12:30` is a text, not 750, and `010` is ten."""
        text = self.construct_scalar(node)
        if ":" in text:
            return text
        if re.fullmatch(r"[-+]?[0-9]+", text):
            return int(text)
        return self.construct_yaml_int(node) if node.tag.endswith(":int") else self.construct_yaml_float(node)


_UniqueKeys.add_constructor("tag:yaml.org,2002:int", _UniqueKeys.number)
_UniqueKeys.add_constructor("tag:yaml.org,2002:float", _UniqueKeys.number)


def read_yaml(text: str, source: str) -> Any:
    """The values of a YAML text. Raises `ImportFormatError`."""
    try:
        return characters(yaml.load(_within(text, source), _UniqueKeys), text, source)
    except yaml.MarkedYAMLError as error:
        place = "" if error.problem_mark is None else f" (line {error.problem_mark.line + 1})"
        said = error.problem or str(error).splitlines()[0]
        raise ImportFormatError(f"`{source}` is not YAML as it is wanted here: {said}{place}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ImportFormatError(f"`{source}` is not YAML: {str(error).splitlines()[0]}") from error
    except ValueError as error:  # a date or a number that does not exist
        raise ImportFormatError(f"`{source}` holds a value that YAML cannot read: {error}") from error


def read_any(text: str, source: str) -> Any:
    """The values of a JSON, TOML or YAML text, as the name of the file says. Raises `ImportFormatError`."""
    ending = PurePath(source).suffix.lower()
    if ending in (".yaml", ".yml"):
        return read_yaml(text, source)
    try:
        return (
            tomllib.loads(_within(text, source)) if ending == ".toml"
            else characters(parse(_within(text, source)), text, source)
        )  # fmt: skip
    except tomllib.TOMLDecodeError as error:
        raise ImportFormatError(f"`{source}` is not TOML: {error}") from error
    except JsonError as error:
        raise ImportFormatError(f"`{source}`: {error}") from error


def objects(text: str, source: str) -> Iterator[tuple[str, Any]]:
    """The objects of JSON Lines, or of one JSON array, each with its place. Raises `ImportFormatError`."""
    if text.lstrip()[:1] == "[":
        for number, value in enumerate(Reading(source).listed(read_any(text, source), "the whole"), 1):
            yield f"element {number}", value
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        if len(line) > MAX_CHARACTERS:
            raise ImportFormatError(f"`{source}`: line {number} is larger than {MAX_CHARACTERS // 2**20} MiB")
        try:
            yield f"line {number}", characters(parse(line), line, source)
        except JsonError as error:
            raise ImportFormatError(f"`{source}`: line {number}: {error}") from error


def characters(value: Any, text: str, source: str) -> Any:
    """The value of a text, whose escapes may write half a character, which no file can hold. Raises `ImportFormatError`."""
    if "\\" in text:
        try:
            json.dumps(value, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(error.object[error.start]):04x}"
            raise ImportFormatError(f"`{source}` writes half of a character, `{half}`") from error
        except (
            TypeError,
            ValueError,
            RecursionError,
        ):  # keys that are no text, or what holds itself: said where it is read
            pass
    return value


class Reading:
    """A source as it is read: what of it was not kept, the names that things of it get, and checks of what it holds.

    `taken` are names that nothing gets. What checks raises `ImportFormatError`, with where the value stands.
    """

    def __init__(self, source: str, *taken: str) -> None:
        self.source, self.title = source, PurePath(source).name
        self.notes: list[Note] = []
        self.names = Names(*taken)

    def near(self, what: str, place: str, why: str) -> None:
        """Note what means nearly the same here."""
        self.notes.append(Note("approximated", what, place, why))

    def drop(self, what: str, place: str, why: str) -> None:
        """Note what has no place here."""
        self.notes.append(Note("dropped", what, place, why))

    def others(
        self, fields: Iterable[str], known: Collection[str], of: str, place: str, why: str = "it has no place"
    ) -> None:
        """Note all fields `of` a thing at a place but those that are known."""
        for key in fields:
            if key not in known:
                self.drop(f"`{said(key)}`{of}", f"{place}.{key}" if place else str(key), why)

    def wrong(self, said: str) -> ImportFormatError:
        """That something in the source is not as it has to be: `said` begins with its place."""
        return ImportFormatError(f"`{self.source}`: {said}")

    def unfit(self, said: str) -> ImportFormatError:
        """That the source itself is not as it has to be."""
        return ImportFormatError(f"`{self.source}` {said}")

    def mapping(self, value: Any, where: str) -> dict[str, Any]:
        """A mapping from names."""
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise self.wrong(f"{where} is not a mapping from names")
        return dict(value)

    def listed(self, value: Any, where: str) -> list[Any]:
        """A list."""
        if not isinstance(value, list):
            raise self.wrong(f"{where} is not a list")
        return value

    def text(self, value: Any, where: str) -> str:
        """A statement."""
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(f"{where} is not a text")
        return value.strip()

    def points(self, value: Any, where: str) -> float:
        """A number of points."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.wrong(f"{where} is {value!r:.40}, not a number")
        return float(value)


def said(value: Any) -> str:
    """A value of a source as it is shown in a note."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "…"


def _within(text: str, source: str) -> str:
    if len(text) > MAX_CHARACTERS:
        raise ImportFormatError(f"`{source}` is larger than {MAX_CHARACTERS // 2**20} MiB")
    return text
