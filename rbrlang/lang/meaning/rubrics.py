"""What does a rubric ask, and what are its features?

The criteria are in the rows; the policy says how one is asked and how points become numbers. A rubric has one feature, or one
for each tag that it names, and they are atoms of their own: no rule can speak of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import get_args

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, suggest, twice
from rbrlang.lang import syntax as tree
from rbrlang.lang.meaning import blocks, columns
from rbrlang.lang.meaning.asked import once
from rbrlang.lang.meaning.scope import Entity, Scope, lookup
from rbrlang.lang.program import Feature, Judged, PointsOver, Proposition, ResponseType, Rubric
from rbrlang.source import Span

FIRST = 1 << 30
"""Rubrics' atoms are numbered from here until all measures are known, behind which they come."""

CRITERION = "criterion"
QUESTION = """\
Is this criterion met? It stands between markers.
{criterion}
It is judged as it is written: where it describes a fault or an omission, it is met if that is there to be seen. Examples that
it gives ("such as", "for instance") need not all be present; everything else that it demands has to be."""
STATEMENT = "It meets the criterion {criterion}"


def rubric(
    declaration: tree.Rubric, name: str, over: Judged, known: columns.Known, scope: Scope, diagnostics: list[Diagnostic]
) -> Rubric:
    """A rubric with its question. `over` is what its file is judged by, `known` the columns that it may name beside its criterion.

    Raises `SpentError`.
    """
    gives = f"`{declaration.name.text}` gives"
    points = once(tree.PointsItem, declaration.items, f"{gives} how points are taken twice", diagnostics)
    clip = once(tree.ClipItem, declaration.items, f"{gives} a clip twice", diagnostics)
    tags = once(tree.TagsItem, declaration.items, f"{gives} tags twice", diagnostics)
    if declaration.column.text in columns.RESERVED:
        diagnostics.append(Diagnostic(
            codes.BAD_COLUMN, f"the column `{declaration.column.text}` has a meaning of its own, and holds no criteria",
            declaration.column.span, help="give the criteria a column of their own",
        ))  # fmt: skip
    question = _question(declaration, name, over, known, scope, diagnostics)
    return Rubric(
        name=name, column=declaration.column.text, points=_points(points, diagnostics), clip=_clip(clip, diagnostics),
        tags=_tags(tags, diagnostics), question=question, doc=declaration.doc, span=declaration.name.span,
    )  # fmt: skip


def _points(item: tree.PointsItem | None, diagnostics: list[Diagnostic]) -> PointsOver:
    if item is None:
        return "positive"
    for known in get_args(PointsOver):
        if item.over.text == known and (known in ("sum", "mean")) == (item.over.span.start == item.span.start + 7):
            return known
    said = item.over.text
    near = suggest(said, get_args(PointsOver)) or ("positive" if said not in get_args(PointsOver) else said)
    diagnostics.append(Diagnostic(
        codes.SYNTAX, f"`{item.span.text}` is no way to take points", item.span,
        help=f"did you mean `points {near if near in ('sum', 'mean') else 'over ' + near}`? "
        "There are `points over positive`, `points over absolute`, `points sum` and `points mean`",
    ))  # fmt: skip
    return "positive"


def _clip(item: tree.ClipItem | None, diagnostics: list[Diagnostic]) -> tuple[float, float] | None:
    if item is None:
        return None
    low, high = item.low.value, item.high.value
    if low < high and max(abs(low), abs(high)) <= 1e30:
        return low, high
    diagnostics.append(Diagnostic(
        codes.BAD_NUMBER, f"`{item.span.text}` leaves no room between its ends", item.span, help="write the smaller number first",
    ))  # fmt: skip
    return None


def _tags(item: tree.TagsItem | None, diagnostics: list[Diagnostic]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    written: dict[str, Span] = {}
    for tag in item.tags if item is not None else ():
        name, text = tag.name.text, tag.name.text if tag.written is None else tag.written.value
        if name in found or text in written:
            diagnostics.append(twice(f"the tag `{text}` is named twice", tag.name.span, None))
            continue
        found[name] = text
        written[text] = tag.name.span
    return tuple(found.items())


def asking(declaration: tree.Rubric) -> tree.Prop:
    """The proposition that a rubric asks of each criterion."""
    place = declaration.name.span
    asked = [item for item in declaration.items if isinstance(item, tree.Ask | tree.Example | tree.OverItem)]
    if not any(isinstance(item, tree.Ask) for item in asked):
        asked.append(tree.Ask(tree.Text(QUESTION, place), place))
    statement = tree.Text(STATEMENT, place)
    return tree.Prop((), declaration.name, statement, tuple(asked), declaration.doc, declaration.span)


def _question(
    declaration: tree.Rubric, name: str, over: Judged, known: columns.Known, scope: Scope, diagnostics: list[Diagnostic]
) -> Proposition:
    place = declaration.name.span
    prop = asking(declaration)
    criterion = tree.Column(tree.Ident(CRITERION, place), tree.Text("The criterion.", place), "", place)
    asks = blocks.proposition(prop, name, over, {**known, CRITERION: criterion}, scope, diagnostics)
    item = next((item for item in declaration.items if isinstance(item, tree.Ask)), None)
    if item is not None and f"{{{CRITERION}}}" not in asks.question:
        diagnostics.append(Diagnostic(
            codes.BAD_COLUMN, f"the question of `{declaration.name.text}` does not show the criterion", item.question.span,
            help="write `{criterion}` where each criterion is to stand",
        ))  # fmt: skip
    return asks


class Features:
    """The features of the rubrics that a policy uses, and their provisional numbers."""

    def __init__(self, rubrics: Sequence[tuple[Entity, Rubric]]) -> None:
        self._of: dict[Entity, dict[str, Feature]] = {}
        number = FIRST
        for entity, item in rubrics:
            found: dict[str, Feature] = {}
            for tag, name in zip([tag for tag, _ in item.tags] or [""], item.features, strict=True):
                found[tag] = Feature(name, "proposition", number, rubric=True)
                number += 1
            self._of[entity] = found

    def named(self, scope: Scope, path: tree.Path) -> list[Feature] | None:
        """The features that a path names, all of a rubric or the one of a tag; None where it names no rubric, or no tag of one."""
        entity = lookup(scope, path)
        if entity in self._of:
            return [*self._of[entity].values()]
        if len(path.parts) < 2:
            return None
        of = lookup(scope, tree.Path(path.parts[:-1], path.span))
        found = self._of[of].get(path.parts[-1].text) if of in self._of else None
        return None if found is None else [found]


def placed(response: ResponseType, behind: int) -> ResponseType:
    """The response type with its rubrics' features where they belong, `behind` so many atoms."""
    features = tuple(replace(f, index=behind + f.index - FIRST) if f.rubric else f for f in response.features)
    return replace(response, features=features)


def in_use(scope: Scope, reward: Iterator[tuple[tree.Path, Scope]]) -> Iterator[Entity]:
    """The rubrics of the root file, and those that rewards name."""
    for entity in scope.own.values():
        if isinstance(entity.declaration, tree.Rubric):
            yield entity
    for path, own in reward:
        for end in (len(path.parts), len(path.parts) - 1):
            entity = lookup(own, tree.Path(path.parts[:end], path.span)) if end else None
            if entity is not None and isinstance(entity.declaration, tree.Rubric):
                yield entity
