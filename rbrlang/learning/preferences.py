"""Which of two completions do people prefer, by how much, and where do they contradict themselves?

Three columns say it of completions of one prompt and response type, and none of them claims a class:

| source | columns | the better one |
| --- | --- | --- |
| `preferences` | `pair`, `preferred` | is the preferred one of its pair; a row of `chosen` and `rejected` is read as such two rows |
| `ranks` | `rank` | has the smaller number, 1 being the best; equal ones are not ordered |
| `scores` | `score` | has the larger number; equal ones are not ordered |

What is said is said of two *texts*: it counts once, however many rows say it, with the largest `margin` that the better
one's rows ask for. Where rows order the same two texts both ways, neither counts. So neither the order of rows nor copies
of them change anything, and swapping all sides turns every comparison round. A row that speaks and orders nothing has a
reason, always.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.comparisons import Comparisons, compare
from rbrlang.rows.columns import is_missing
from rbrlang.rows.conversation import key_of
from rbrlang.rows.formats import Broken
from rbrlang.rows.read import Row

PairSource = Literal["classes", "preferences", "ranks", "scores"]
PeopleSource = Literal["preferences", "ranks", "scores"]
CLASSES: tuple[PairSource, ...] = ("classes",)
PEOPLE: tuple[PeopleSource, ...] = ("preferences", "ranks", "scores")
PAIR_SOURCES: tuple[PairSource, ...] = (*CLASSES, *PEOPLE)

COLUMNS = ("pair", "preferred", "rank", "score", "margin")
"""Ours, by the names that `columns` maps."""

REPEATED = "other rows say the same of the same two texts"
_SAYS: Mapping[PeopleSource, str] = {"preferences": "preferred", "ranks": "rank", "scores": "score"}
_TRUTHS = {"yes": True, "no": False, "true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


@dataclass(frozen=True, slots=True)
class Apart:
    """What a row says of its completion is not used, or not all of it: `row` is its position among the rows given."""

    row: int
    id: str
    source: PeopleSource
    reason: str


def silent(source: PeopleSource) -> str:
    """Why a row that says nothing by a source takes no part in it."""
    return f"no `{_SAYS[source]}`"


def counts(apart: Sequence[Apart]) -> dict[str, dict[str, int]]:
    """How many rows there are of each source and reason."""
    found: dict[str, dict[str, int]] = {}
    for one in apart:
        reasons = found.setdefault(one.source, {})
        reasons[one.reason] = reasons.get(one.reason, 0) + 1
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What every row says by one source.

    `place` float64 [rows]: smaller is better, NaN for nothing; `pair` int [rows]: only rows of one pair are compared, all
    0 but for `preferences`; `margin` float64 [rows]: the wanted gap over a worse one, NaN where the row asks for none;
    `bad`: rows whose columns cannot be read, with the reason.
    """

    source: PeopleSource
    place: NDArray[np.float64]
    pair: NDArray[np.int64]
    margin: NDArray[np.float64]
    bad: Mapping[int, str]


@dataclass(frozen=True, slots=True, eq=False)
class Ordered:
    """The comparisons of some rows, and why others of them, by position, order nothing or not all that they say.

    `partly` has those of which something else is used.
    """

    comparisons: Comparisons
    reasons: Mapping[int, str]
    partly: Mapping[int, str]


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """For each row: `text` int [rows], the same for the same completion of the same prompt, and its `rank` int [rows] by
    text and id, which does not depend on the order of rows."""

    text: NDArray[np.int64]
    rank: NDArray[np.int64]


def texts_of(rows: Sequence[Row]) -> Texts:
    """Which rows are of one text."""
    both = [(key_of(row.completion, row.prompt_key), row.id) for row in rows]
    text = np.unique(np.array([key for key, _ in both], np.str_), return_inverse=True)[1].astype(np.int64)
    rank = np.empty(len(both), np.int64)
    rank[np.lexsort((np.array([name for _, name in both], np.str_), text))] = np.arange(len(both))
    return Texts(text, rank)


def said_by(rows: Sequence[Row], source: PeopleSource, columns: Mapping[str, str]) -> Said:
    """What rows say by a source; `columns` are ours by the names that they have in the rows, where those differ."""
    place, margin = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    names: list[str] = [""] * len(rows)
    bad: dict[int, str] = {}
    says, pairs, wanted = (columns.get(own, own) for own in (_SAYS[source], "pair", "margin"))
    for at, row in enumerate(rows):
        value = row.raw.get(says)
        try:
            if is_missing(value) and not _is_nan(value):
                if source == "preferences" and not is_missing(row.raw.get(pairs)):
                    raise ValueError(f"it is one of a `{pairs}`, but does not say whether it is `{says}`")
                continue
            margin[at] = _margin(row.raw.get(wanted), wanted)
            match source:
                case "preferences":
                    names[at] = _pair_name(row.raw.get(pairs), pairs)
                    place[at] = 0.0 if _truth(value, says) else 1.0
                case "ranks":
                    place[at] = _number(value, says)
                case "scores":
                    place[at] = -_number(value, says)
                case _:
                    assert_never(source)
        except ValueError as error:
            bad[at] = str(error)
            place[at] = np.nan
    return Said(
        source, place, np.unique(np.array(names, np.str_), return_inverse=True)[1].astype(np.int64), margin, bad
    )


def ordered(
    said: Said,
    mine: NDArray[np.int64],
    usable: NDArray[np.bool_],
    prompts: NDArray[np.int64],
    texts: Texts,
    wanted: float,
) -> Ordered:
    """The comparisons of the rows of one response type.

    `mine` int [n]: their positions among all rows; `usable` bool [n]: whether they have numbers. `prompts` int [rows] is of
    all rows; `wanted` is the margin where a row asks for none. Indices of the result go into `mine`. Raises
    `TooManyComparisons`.
    """
    place, prompt, text = said.place[mine], prompts[mine], texts.text[mine]
    speaks = ~np.isnan(place)
    reasons: dict[int, str] = {at: said.bad[row] for at, row in enumerate(mine.tolist()) if row in said.bad}
    group = _numbers(prompt, said.pair[mine])
    if said.source == "preferences":
        several = _several(group, place, text) & speaks
        reasons |= dict.fromkeys(
            np.flatnonzero(several).tolist(), "its pair has several preferred, or several other, completions"
        )
        speaks &= ~several
    used = speaks & usable
    rank = np.full(len(mine), -1, np.int64)
    rank[used] = np.unique(place[used], return_inverse=True)[1]
    margin = said.margin[mine]
    found = compare(group, rank, np.where(np.isnan(margin), wanted, margin))
    found = replace(found, prompt=prompt[found.better])
    kept, against = _settled(found, text, texts.rank[mine])
    in_found, in_kept, in_against, of_one = (
        _members(len(mine), one)
        for one in (found, kept, found.of(against), found.of(text[found.better] == text[found.worse]))
    )
    partly: dict[int, str] = {}
    for at in np.flatnonzero(in_against).tolist():
        (partly if in_kept[at] else reasons)[at] = (
            "the same text is both the better and the worse one" if of_one[at]
            else "other rows order the same two texts the other way round"
        )  # fmt: skip
    reasons |= _alone(said, mine, used & ~in_found, group, speaks, used)
    for at in np.flatnonzero(in_found & ~in_kept & ~in_against).tolist():
        reasons[at] = REPEATED
    return Ordered(kept, reasons, partly)


def _numbers(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each two numbers of 0 or more [n], the same for the same two."""
    return np.unique(left * (int(right.max(initial=0)) + 1) + right, return_inverse=True)[1].astype(np.int64)


def _members(rows: int, found: Comparisons) -> NDArray[np.bool_]:
    inside = np.zeros(rows, np.bool_)
    inside[found.better] = inside[found.worse] = True
    return inside


def _several(group: NDArray[np.int64], place: NDArray[np.float64], text: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows [n] are of pairs with more than one text on a side."""
    found = np.zeros(len(group), np.bool_)
    for side in (0.0, 1.0):
        here = place == side
        at_most, at_least = np.full(len(group), -1), np.full(len(group), np.iinfo(np.int64).max)
        np.maximum.at(at_most, group[here], text[here])
        np.minimum.at(at_least, group[here], text[here])
        found |= (at_most > at_least)[group]
    return found


def _settled(
    found: Comparisons, text: NDArray[np.int64], rank: NDArray[np.int64]
) -> tuple[Comparisons, NDArray[np.bool_]]:
    """Comparisons said once, and which of those `found` [pairs] are said both ways, or of one text, and left out."""
    a, b = text[found.better], text[found.worse]
    of = _numbers(np.minimum(a, b), np.maximum(a, b))
    against = ((np.bincount(of, a <= b) > 0) & (np.bincount(of, a >= b) > 0))[of]
    # Of several rows that say the same, those that come first by content: copies may have other numbers.
    order = np.lexsort((rank[found.worse], rank[found.better], of))
    order = order[~against[order]]
    first = order[np.unique(of[order], return_index=True)[1]]
    margin = np.zeros(int(of.max(initial=-1)) + 1)
    np.maximum.at(margin, of, found.margin)
    first = first[np.lexsort((found.worse[first], found.better[first], found.prompt[first]))]
    return replace(found.of(first), margin=margin[of[first]]), against


def _alone(
    said: Said,
    mine: NDArray[np.int64],
    alone: NDArray[np.bool_],
    group: NDArray[np.int64],
    speaks: NDArray[np.bool_],
    used: NDArray[np.bool_],
) -> dict[int, str]:
    """Why the rows `alone` [n], which speak and have numbers, are ordered with no other."""
    many, ties = np.bincount(group[speaks], minlength=len(group)), np.bincount(group[used], minlength=len(group))
    column, others = _SAYS[said.source], "of its prompt and response type"
    if said.source != "preferences":
        return {
            at: f"it ties with every other completion of its prompt that has a `{column}`" if ties[group[at]] > 1
            else f"every other completion {others} with a `{column}` was set apart" if many[group[at]] > 1
            else f"no other completion {others} has a `{column}`"
            for at in np.flatnonzero(alone).tolist()
        }  # fmt: skip
    sides = {(int(pair), place) for pair, place in zip(said.pair.tolist(), said.place.tolist(), strict=True)}
    found: dict[int, str] = {}
    beside = {(int(group[at]), float(said.place[mine[at]])) for at in np.flatnonzero(speaks).tolist()}
    for at in np.flatnonzero(alone).tolist():
        row, other = int(mine[at]), 1.0 - float(said.place[mine[at]])
        if (int(group[at]), other) in beside:
            found[at] = "the other side of its pair was set apart"
        elif (int(said.pair[row]), other) in sides:
            found[at] = "the other side of its pair has another prompt or response type"
        else:
            found[at] = "the other side of its pair is not among the rows"
    return found


# --- what a cell says ---------------------------------------------------------------------------


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _number(value: Any, name: str) -> float:
    """A finite number, also one of a table, whose cells are text. Raises ValueError."""
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or (isinstance(value, str) and "_" in value):
        raise ValueError(f"`{name}` is {_shown(value)}, not a finite number")
    return number


def _margin(value: Any, name: str) -> float:
    if is_missing(value) and not _is_nan(value):
        return math.nan
    number = _number(value, name)
    if number < 0.0:
        raise ValueError(f"`{name}` is {_shown(value)}; a margin is 0 or more, the better completion says how much")
    return number


def _truth(value: Any, name: str) -> bool:
    if isinstance(value, str):
        found = _TRUTHS.get(value.strip().lower())
    else:
        found = bool(value) if isinstance(value, (bool, int, float)) and value in (0, 1) else None
    if found is None:
        raise ValueError(f"`{name}` is {_shown(value)}, not true or false")
    return found


def _pair_name(value: Any, name: str) -> str:
    if is_missing(value):
        raise ValueError(f"there is no `{name}` to say with which row it was compared")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"`{name}` is {_shown(value)}, neither text nor a number")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _shown(value: Any) -> str:
    if isinstance(value, Broken):
        return f"a cell that cannot be told: {value.reason}"
    text = "NaN" if _is_nan(value) else repr(value) if not isinstance(value, str) else f"`{value}`"
    return text if len(text) <= 40 else text[:37] + "…"
