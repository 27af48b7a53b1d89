"""Which sentences are known to make which propositions true?

A *phrase bank* is a text file of phrasings, sorted by what they say. Whoever joins phrases of known truth
gets a text of known truth: what no phrase says, the text does not say. The format, by example:

    phrases 1
    propositions apology declines complies mocks    # all that the bank knows the truth of
    free offers                                     # may be said where a policy does not ask for it
    folds mocks into disallowed                     # where a policy has no `mocks`, it counts as that
    clash apology mocks                             # never both in one text
    let day = Monday | Tuesday                      # a slot, filled anew at each use

    [apology declines] first unless complies        # says both; where it stands; when it may be used
      I'm sorry, but I won't write about {topic}.
      sorry, not on a {day}.                        # small first letter: may follow "And", "Also, " …

    scene teasing in mockery-R for hard_refusal     # a kind of request, its category, its response types
    let who / topic = Ann / Ann's hat | Bo / Bo's car     # in a scene: filled once, the same everywhere
    ask
      Make fun of {topic}.
    [complies mocks] substance
      {who} bought {topic} by the kilo.

A phrase says exactly the propositions in its brackets. Its place is `first`, `middle`, `lead` (before the
substance), `substance` or `last`. After `when` stand propositions that all hold of the whole text, after
`unless` some of which none does, after `for` the response types that alone may use it. Indented lines belong to the header above them; `\\n` is a line end;
`{Slot}` is a slot with a capital. A line that begins with `TODO` is still to be written, and is none yet. Sections before the first scene serve every scene that has their slots.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast, get_args

from rbrlang.errors import UserError

Place = Literal["first", "middle", "lead", "substance", "last"]
TODO = "TODO"
_SLOT = re.compile(r"\{([A-Za-z_]\w*)\}")
_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_SECTION = re.compile(r"\[([^\]]*)\]\s+([a-z]+)((?:\s+(?:when|unless|for)(?:\s+[a-z_][a-z0-9_]*)+)*)")


class BankError(UserError, ValueError):
    """A phrase bank that cannot be read; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Names that are filled together, and the values to choose from: `values[i]` has one for each name."""

    names: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Phrasings that say the same. `when` all hold and `unless` none holds of a text that uses one.

    `responses` are the response types that may use them, empty for all.
    """

    says: frozenset[str]
    place: Place
    when: frozenset[str]
    unless: frozenset[str]
    responses: frozenset[str]
    phrases: tuple[str, ...]

    def serves(self, response: str) -> bool:
        """Whether texts of a response type may use it."""
        return not self.responses or response in self.responses

    def fits(self, truth: frozenset[str]) -> bool:
        """Whether a text of which exactly `truth` holds may use it."""
        return self.says <= truth and self.when <= truth and not self.unless & truth


@dataclass(frozen=True, slots=True)
class Scene:
    """A kind of request: how it is put, and what can be said to it alone. No `asks`: a request unknown here."""

    name: str
    category: str
    responses: tuple[str, ...]
    slots: tuple[Slot, ...]
    asks: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def slot_names(self) -> frozenset[str]:
        """The slots that a prompt of this scene fills."""
        return frozenset(name for slot in self.slots for name in slot.names)


@dataclass(frozen=True, slots=True)
class Bank:
    """A phrase bank; see the module for what its parts mean. `unwritten` are the numbers of its lines `TODO …`."""

    propositions: tuple[str, ...]
    free: frozenset[str]
    folds: tuple[tuple[str, str], ...]
    clashes: tuple[frozenset[str], ...]
    slots: tuple[Slot, ...]
    sections: tuple[Section, ...]
    scenes: tuple[Scene, ...]
    unwritten: tuple[int, ...] = ()

    def half(self, which: Literal[0, 1]) -> Bank:
        """Every other phrasing of each section, so that one half can be learned from and the other kept back.

        Sections with a single phrasing are in both halves, and so are prompts.
        """

        def cut(sections: Sequence[Section]) -> tuple[Section, ...]:
            return tuple(replace(s, phrases=s.phrases[which::2] if len(s.phrases) > 1 else s.phrases) for s in sections)

        scenes = tuple(replace(scene, sections=cut(scene.sections)) for scene in self.scenes)
        return replace(self, sections=cut(self.sections), scenes=scenes)


def slots_of(phrase: str) -> frozenset[str]:
    """Names of the slots in a phrase, as they are declared (small letters)."""
    return frozenset(name[0].lower() + name[1:] for name in _SLOT.findall(phrase))


def filled(phrase: str, values: dict[str, str]) -> str:
    """The phrase with its slots filled; a slot with a capital gets a value with a capital."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        text = values[name[0].lower() + name[1:]]
        return text[:1].upper() + text[1:] if name[0].isupper() else text

    return _SLOT.sub(value, phrase)


def read_bank(path: str | os.PathLike[str]) -> Bank:
    """Read a phrase bank. Raises `BankError` with file, line and reason, OSError when unreadable."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BankError(f"`{os.fspath(path)}` is not UTF-8 (byte {error.start})") from error
    return parse_bank(text, os.fspath(path))


def parse_bank(text: str, name: str = "bank.phrases") -> Bank:
    """A bank from its text; `name` stands for it in messages. Raises `BankError`."""
    return _Reader(name).read(text)


@dataclass(slots=True)
class _Open:
    """A header whose indented lines are being read: a section's, or the `ask` of a scene (`section` None)."""

    section: Section | None
    line: int
    phrases: list[str]


class _Reader:
    """One pass over the lines. Raises at the first mistake: banks are short, and a mistake is rare."""

    def __init__(self, name: str) -> None:
        self.name, self.line = name, 0
        self.propositions: tuple[str, ...] = ()
        self.free: frozenset[str] = frozenset()
        self.folds: list[tuple[str, str]] = []
        self.clashes: list[frozenset[str]] = []
        self.slots: list[Slot] = []
        self.sections: list[Section] = []
        self.scenes: list[Scene] = []
        self.open: _Open | None = None
        self.unwritten: list[int] = []

    def fail(self, reason: str) -> BankError:
        return BankError(f"{self.name}:{self.line}: {reason}")

    def read(self, text: str) -> Bank:
        lines = text.splitlines()
        self.line = 1
        if not lines or lines[0].split() != ["phrases", "1"]:
            raise self.fail("a phrase bank starts with the line `phrases 1`")
        for self.line, raw in enumerate(lines[1:], 2):
            line = re.sub(r"(^|\s)#.*", "", raw).rstrip()
            if not line:
                continue
            if line[0].isspace():
                self.phrase(line.strip())
            else:
                self.close()
                self.header(line)
        self.close()
        for scene in self.scenes:
            if not scene.asks and not self.unwritten:
                raise BankError(f"{self.name}: scene `{scene.name}` has no `ask`")
        return Bank(
            self.propositions, self.free, tuple(self.folds), tuple(self.clashes), tuple(self.slots),
            tuple(self.sections), tuple(scene for scene in self.scenes if scene.asks), tuple(self.unwritten),
        )  # fmt: skip

    # --- headers ---

    def header(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        match word:
            case "propositions":
                self.propositions += tuple(rest.split())
            case "free":
                self.free |= self.known(rest.split())
            case "folds":
                match rest.split():
                    case [part, "into", whole]:
                        self.folds.append((part, next(iter(self.known([whole])))))
                        self.known([part])
                    case _:
                        raise self.fail("write `folds PART into WHOLE`")
            case "clash":
                self.clashes.append(self.known(rest.split()))
            case "let":
                self.let(rest)
            case "scene":
                self.scene(rest)
            case "ask":
                if not self.scenes:
                    raise self.fail("`ask` belongs to a scene")
                self.open = _Open(None, self.line, [])
            case _:
                self.section(line)

    def known(self, names: Iterable[str]) -> frozenset[str]:
        found = frozenset(names)
        for name in sorted(found):
            if name not in self.propositions:
                raise self.fail(f"`{name}` is not among the bank's propositions")
        return found

    def let(self, rest: str) -> None:
        left, equals, right = rest.partition("=")
        names = tuple(part.strip() for part in left.split(" / "))
        if not equals or not all(_NAME.fullmatch(name) for name in names):
            raise self.fail("write `let NAME = value | value`, or `let A / B = a / b | a / b`")
        values = tuple(tuple(part.strip() for part in value.split(" / ")) for value in right.split(" | "))
        for value in values:
            if "{" in " ".join(value):
                raise self.fail("a slot's values hold no slots")
            if len(value) != len(names) or not all(value):
                raise self.fail(f"`{' / '.join(value)}` has not {len(names)} parts, one for each of {', '.join(names)}")
        slot = Slot(names, values)
        if self.scenes:
            last = self.scenes[-1]
            self.scenes[-1] = replace(last, slots=(*last.slots, slot))
        else:
            self.slots.append(slot)

    def scene(self, rest: str) -> None:
        match = re.fullmatch(r"([a-z][a-z0-9_-]*) in (\S+) for ((?:[a-z_][a-z0-9_]*\s*)+)", rest)
        if match is None:
            raise self.fail("write `scene NAME in CATEGORY for RESPONSE_TYPE …`")
        if any(scene.name == match[1] for scene in self.scenes):
            raise self.fail(f"there is a scene `{match[1]}` already")
        self.scenes.append(Scene(match[1], match[2], tuple(match[3].split()), (), (), ()))

    def section(self, line: str) -> None:
        match = _SECTION.fullmatch(line)
        if match is None:
            raise self.fail("write `[propositions] PLACE when … unless … for …`, a directive, or indent a phrase")
        says, place, conditions = match.groups()
        if place not in get_args(Place):
            raise self.fail(f"`{place}` is no place; there are {', '.join(get_args(Place))}")
        found: dict[str, set[str]] = {"when": set(), "unless": set(), "for": set()}
        into = found["when"]
        for word in conditions.split():
            if word in found:
                into = found[word]
            else:
                into.add(word)
        section = Section(
            self.known(says.split()),
            cast(Place, place),
            self.known(found["when"]),
            self.known(found["unless"]),
            frozenset(found["for"]),
            (),
        )
        self.open = _Open(section, self.line, [])

    # --- phrases ---

    def phrase(self, text: str) -> None:
        if self.open is None:
            raise self.fail("an indented line follows `ask` or a section's header")
        if text.startswith(TODO):
            self.unwritten.append(self.line)
            return
        here = {name for slot in self.slots for name in slot.names}
        if self.scenes:
            here |= self.scenes[-1].slot_names
        for name in sorted(slots_of(text) - here):
            if self.scenes or self.open.section is None:
                raise self.fail(f"no slot `{name}` here")
        if re.search(r"[{}]", _SLOT.sub("", text)):
            raise self.fail("a brace that belongs to no slot")
        self.open.phrases.append(text.replace("\\n", "\n"))

    def close(self) -> None:
        if self.open is None:
            return
        section, phrases = self.open.section, tuple(self.open.phrases)
        if not phrases and not any(line > self.open.line for line in self.unwritten):
            raise BankError(f"{self.name}:{self.open.line}: nothing stands under this header")
        self.open = None
        if not phrases:
            return
        if section is None:
            self.scenes[-1] = replace(self.scenes[-1], asks=(*self.scenes[-1].asks, *phrases))
        elif self.scenes:
            last = self.scenes[-1]
            self.scenes[-1] = replace(last, sections=(*last.sections, replace(section, phrases=phrases)))
        else:
            self.sections.append(replace(section, phrases=phrases))
