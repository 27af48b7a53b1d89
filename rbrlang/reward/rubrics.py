"""What is a rubric worth on a row, from the answers to its criteria?

The features of rubrics are atoms like any others to the reward, behind all others, with two differences: they are numbers
that need not lie between 0 and 1, and no rule speaks of them. So a reward is rules plus Σ weight · rubric, and what is
unknown of a rubric moves the reward by itself: bounds of the two parts add up.

A criterion with points m and P(met) p adds m · p. What that is divided by is the sum of the positive points (`points over
positive`), of all points without their signs (`absolute`), 1 (`sum`) or the number of criteria (`mean`). With tags each
criterion counts under the first of the policy's tags that it carries, one without any for nothing, and every tag is divided by
the same: the features of the tags add up to the whole rubric's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rbrlang.logic.circuit import Circuit, ResponseCircuit, RubricInfo
from rbrlang.rows import criteria
from rbrlang.rows.criteria import CriteriaError, Criterion
from rbrlang.rows.read import Row

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Marked:
    """The criteria of one row under a rubric.

    `tags` are the numbers of their features, −1 for a criterion that counts for nothing; `p` is P(met), None = unknown. `over` is
    what points are divided by.
    """

    criteria: tuple[Criterion, ...]
    tags: tuple[int, ...]
    p: tuple[float | None, ...]
    over: float

    @property
    def counted(self) -> tuple[int, ...]:
        """The places of those that count: the ones to ask."""
        return tuple(at for at, tag in enumerate(self.tags) if tag >= 0)


def marked(rubric: RubricInfo, row: object) -> Marked:
    """The criteria of a row, with what is known of them. Raises `CriteriaError`."""
    found = _criteria(rubric, row)
    given = cast("Mapping[str, Sequence[float | None]]", getattr(row, "rubrics", {})).get(rubric.name)
    p = criteria.answered(found, given, rubric.name)
    tags = tuple(_tag(rubric, one) for one in found)
    return Marked(found, tags, tuple(p), _over(rubric, [one for one, tag in zip(found, tags, strict=True) if tag >= 0]))


def with_met(circuit: Circuit, row: Row) -> Row:
    """The row graded by what people said of its criteria; what cannot be used is left as it is."""
    met: dict[str, tuple[float | None, ...]] = dict(row.rubrics)
    for rubric in circuit.rubrics:
        with suppress(CriteriaError):
            found = row.criteria(rubric.column)
            if any(one.met is not None for one in found):
                met[rubric.name] = tuple(None if one.met is None else float(one.met) for one in found)
    return replace(row, rubrics=met)


def _criteria(rubric: RubricInfo, row: object) -> tuple[Criterion, ...]:
    if isinstance(row, Row):
        return row.criteria(rubric.column)
    return criteria.read(cast("Mapping[str, Any]", getattr(row, "raw", {})), rubric.column)


def _tag(rubric: RubricInfo, criterion: Criterion) -> int:
    if not rubric.tags:
        return 0
    return next((at for at, tag in enumerate(rubric.tags) if tag in criterion.tags), -1)


def _over(rubric: RubricInfo, counted: Sequence[Criterion]) -> float:
    match rubric.points:
        case "sum":
            over = 1.0 if counted else 0.0
        case "mean":
            over = float(len(counted))
        case "absolute":
            over = math.fsum(abs(one.points) for one in counted)
        case "positive":
            over = math.fsum(one.points for one in counted if one.points > 0)
    if over > 0.0:
        return over
    if not counted:
        raise CriteriaError(f"no criterion of `{rubric.column}` has a tag of `{rubric.name}`")
    what = "positive points" if rubric.points == "positive" else "points"
    raise CriteriaError(f"no criterion of `{rubric.column}` has {what}, which those of `{rubric.name}` are taken over")


def extent(rubric: RubricInfo, found: Marked) -> tuple[list[float], list[float]]:
    """The least and the greatest value of each feature over all ways to answer what is unknown; equal where nothing is."""
    ends: tuple[list[list[float]], list[list[float]]] = (
        [[] for _ in rubric.tags or "1"],
        [[] for _ in rubric.tags or "1"],
    )
    for one, tag, p in zip(found.criteria, found.tags, found.p, strict=True):
        if tag >= 0:
            for terms, q in zip(ends, ((one.points < 0, one.points > 0) if p is None else (p, p)), strict=True):
                terms[tag].append(one.points * q)
    low, high = ([_clipped(rubric, math.fsum(terms) / found.over) for terms in end] for end in ends)
    return low, high


def _clipped(rubric: RubricInfo, value: float) -> float:
    return value if rubric.clip is None else min(max(value, rubric.clip[0]), rubric.clip[1])


def spans(circuit: Circuit, rows: Sequence[object]) -> Floats:
    """`extent` of all rubrics, [rows, features of rubrics, 2]; NaN where a row's criteria cannot be used."""
    table = np.full((len(rows), size(circuit), 2), np.nan)
    for number, row in enumerate(rows):
        at = 0
        for rubric in circuit.rubrics:
            width = len(rubric.tags) or 1
            with suppress(CriteriaError):
                table[number, at : at + width] = np.transpose(extent(rubric, marked(rubric, row)))
            at += width
    return table


def values(circuit: Circuit, rows: Sequence[object]) -> Floats:
    """The features of rubrics [rows, features of rubrics], as they stand in `Circuit.atoms`; NaN = unknown."""
    found = spans(circuit, rows)
    return np.where(found[:, :, 0] == found[:, :, 1], found[:, :, 0], np.nan)


def size(circuit: Circuit) -> int:
    """The number of features of rubrics, which are the last atoms."""
    return sum(len(rubric.tags) or 1 for rubric in circuit.rubrics)


def of_response(circuit: Circuit, response: ResponseCircuit) -> tuple[int, ...]:
    """The rubrics whose features a response type has, by number."""
    places = (circuit.atoms[feature.index].rubric for feature in response.features if feature.rubric)
    return tuple(sorted({place[0] for place in places if place is not None}))


def reasons(circuit: Circuit, number: int, row: object) -> tuple[str, ...]:
    """Why the rubrics of a row of response type `number` have no value; nothing where they have."""
    if not 0 <= number < len(circuit.responses):
        return ()
    found: list[str] = []
    for rubric in (circuit.rubrics[at] for at in of_response(circuit, circuit.responses[number])):
        try:
            whole = marked(rubric, row)
        except CriteriaError as error:
            found.append(str(error))
            continue
        missing = [at for at in whole.counted if whole.p[at] is None]
        low, high = extent(rubric, whole)
        if low != high:
            found.append(f"{len(missing)} of {len(whole.counted)} criteria of `{rubric.name}` have no answer")
    return tuple(found)


@dataclass(slots=True)
class Noted:
    """What is to be known of the rubrics of rows: what they are worth, which features a clip moved, which tags count for nothing.

    `values` has the number of rows on which a feature is known, and the sum of it. `strays` counts, by rubric, the criteria without any tag of the policy, under the tags that they have.
    """

    rows: int = 0
    values: dict[str, list[float]] = field(default_factory=dict)
    clipped: Counter[str] = field(default_factory=Counter)
    strays: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, more: Noted) -> None:
        """What is to be known of later rows."""
        self.rows += more.rows
        for name, (count, total) in more.values.items():
            mine = self.values.setdefault(name, [0.0, 0.0])
            mine[0] += count
            mine[1] += total
        self.clipped.update(more.clipped)
        for name, tags in more.strays.items():
            self.strays.setdefault(name, Counter()).update(tags)

    @property
    def means(self) -> dict[str, float]:
        """The mean of each feature over the rows on which it is known."""
        return {name: total / count for name, (count, total) in self.values.items()}

    def lines(self) -> Iterator[str]:
        """It in words."""
        for name, mean in self.means.items():
            held = "" if 0.0 <= mean <= 1.0 else f", {min(max(mean, 0.0), 1.0):g} held between 0 and 1"
            yield f"`{name}` is {mean:.6g} on average of {self.values[name][0]:.0f} rows{held}"
        for name, count in self.clipped.items():
            yield f"the clip holds `{name}` on {count} of {self.rows} rows"
        for name, tags in self.strays.items():
            shown = ", ".join(f"{tag} {count}" for tag, count in tags.most_common(5))
            more = f" and {len(tags) - 5} more" if len(tags) > 5 else ""
            total = tags.total()
            what = "criterion has" if total == 1 else "criteria have"
            yield f"{total} {what} no tag that `{name}` names, and count{'s' * (total == 1)} for nothing: {shown}{more}"


def noted(circuit: Circuit, ids: Sequence[int], rows: Sequence[object]) -> Noted:
    """What is to be known of the rubrics of rows of these response types."""
    found = Noted(len(rows))
    for number, row in zip(ids, rows, strict=True):
        if not 0 <= number < len(circuit.responses):
            continue
        for rubric in (circuit.rubrics[at] for at in of_response(circuit, circuit.responses[number])):
            try:
                whole = marked(rubric, row)
            except CriteriaError:
                continue
            stray = [one for one, tag in zip(whole.criteria, whole.tags, strict=True) if tag < 0]
            if stray:
                tags = found.strays.setdefault(rubric.name, Counter())
                tags.update(", ".join(one.tags) or "no tag" for one in stray)
            held = extent(rubric, whole)
            for name, a, b in zip(_names(circuit, rubric), *held, strict=True):
                if a == b:
                    known = found.values.setdefault(name, [0.0, 0.0])
                    known[0] += 1.0
                    known[1] += a
            if rubric.clip is not None:
                free = extent(replace(rubric, clip=None), whole)
                found.clipped.update(
                    name
                    for name, a, b, c, d in zip(_names(circuit, rubric), *held, *free, strict=True)
                    if (a, b) != (c, d)
                )
    return found


def _names(circuit: Circuit, rubric: RubricInfo) -> list[str]:
    return [a.name for a in circuit.atoms if a.rubric is not None and circuit.rubrics[a.rubric[0]] is rubric]


def reach(circuit: Circuit, response: ResponseCircuit, weights: Sequence[float]) -> tuple[float, float]:
    """What the rubrics of a response type add to a reward at least and at most, whatever the criteria of a row are.

    `weights` are those of its features. A feature lies within its clip; points over the positive ones are 1 at most, over
    all without signs between −1 and 1, and what several tags win is shared among them.
    """
    low = high = 0.0
    for number in of_response(circuit, response):
        rubric = circuit.rubrics[number]
        least, most = {"positive": (-math.inf, 1.0), "absolute": (-1.0, 1.0)}.get(rubric.points, (-math.inf, math.inf))
        if rubric.clip is not None:
            least, most = (min(max(end, rubric.clip[0]), rubric.clip[1]) for end in (least, most))
        own = [
            weight
            for feature, weight in zip(response.features, weights, strict=False)
            if feature.rubric and (circuit.atoms[feature.index].rubric or (-1,))[0] == number and weight != 0.0
        ]
        worth = [sorted((weight * least, weight * most)) for weight in own]
        low += sum(ends[0] for ends in worth)
        shared = rubric.points in ("positive", "absolute") and least <= 0.0 and all(weight > 0.0 for weight in own)
        high += max((ends[1] for ends in worth), default=0.0) if shared else sum(ends[1] for ends in worth)
    return low, high


def weighed(circuit: Circuit, weights: NDArray[np.float32]) -> Floats:
    """The weights of rubrics' features [responses, features of rubrics], 0 where a response type has not got one."""
    first = len(circuit.atoms) - size(circuit)
    table = np.zeros((len(circuit.responses), size(circuit)))
    for number, response in enumerate(circuit.responses):
        for feature, weight in zip(response.features, weights[number].tolist(), strict=False):
            if feature.rubric:
                table[number, feature.index - first] = weight
    return table


def added(weights: Floats, ids: NDArray[np.int32], found: Floats) -> tuple[Floats, Floats]:
    """What rubrics add to rewards at least and at most [rows]. weights as of `weighed`, spans [rows, features, 2]."""
    if not len(weights):
        return np.zeros(len(ids)), np.zeros(len(ids))
    own = np.where((ids >= 0) & (ids < len(weights)), ids, 0)
    each = weights[own][:, :, None]
    with np.errstate(invalid="ignore"):
        terms = np.where(each == 0.0, 0.0, each * found)
    return terms.min(2).sum(1), terms.max(2).sum(1)


def anything(circuit: Circuit) -> Floats:
    """Spans of a row of which nothing is known [features of rubrics, 2]: the clips, or everything."""
    ends = [
        (-math.inf, math.inf) if rubric.clip is None else rubric.clip
        for rubric in circuit.rubrics
        for _ in range(len(rubric.tags) or 1)
    ]
    return np.array(ends, np.float64).reshape(-1, 2)
