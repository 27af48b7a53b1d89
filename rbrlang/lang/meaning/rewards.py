"""What enters the reward of a response type, with which bounds and margins?

From a `reward` block, or from the rules where there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from rbrlang import codes
from rbrlang.budget import Budget
from rbrlang.diagnostics import Diagnostic
from rbrlang.lang import syntax as tree
from rbrlang.lang.meaning.formulas import Formulas, known_classes
from rbrlang.lang.meaning.scope import Entity, Scope, lookup, resolve
from rbrlang.lang.program import Definition, Feature, Formula, Otherwise, ResponseType, Var, WeightBound, walk

_Items = Sequence[tree.FeatureList | tree.WeightItem | tree.MarginItem]
_LARGEST = 3.4028234663852886e38  # of float32, in which weights are kept
_Report = Callable[[Diagnostic], None]


def atoms_of(formula: Formula, definitions: Sequence[Definition]) -> set[int]:
    """The atoms that a formula mentions, through derived propositions too."""
    return {part.atom for part in walk(formula, definitions, set()) if isinstance(part, Var)}


def with_reward(
    response: ResponseType, block: tree.Reward | None, formulas: Formulas, scope: Scope,
    definitions: Sequence[Definition], names: Sequence[str],
) -> ResponseType:  # fmt: skip
    """The response type with its features, weight bounds and margins.

    `scope` is that of the block's file, `names` are the propositions' names in column order.
    """
    report = formulas.diagnostics.append
    items: _Items = block.items if block is not None else ()
    _shadowed(items, response, scope, report)
    formulas.budget.spend(len(items))
    lists = [item for item in items if isinstance(item, tree.FeatureList)]
    if lists:
        listed = [feature for item in lists for feature in _listed(item, response, formulas, scope, names)]
    else:
        listed = [*_classes(response), *_reached(response, definitions, names, formulas.budget)]
    features = tuple(dict.fromkeys(listed))
    places = {(f.kind, f.name if f.kind == "class" else f.index): at for at, f in enumerate(features)}
    bounds: dict[int, WeightBound] = {}
    classes = dict.fromkeys(response.classes)
    margins = dict.fromkeys(classes, 1.0)
    for item in items:
        match item:
            case tree.WeightItem():
                _bound(item, _position(item.feature, places, formulas, scope), features, bounds, scope, report)
            case tree.MarginItem():
                problem = known_classes(item.name, classes, response.name)
                if problem is None and item.value.value < 0:
                    problem = Diagnostic(
                        codes.BAD_REWARD, "a margin is not negative", item.value.span, help="use 0 or more",
                    )  # fmt: skip
                if problem is None and item.value.value > _LARGEST:
                    problem = _too_large(item.value, "margin")
                if problem is not None:
                    report(problem)
                else:
                    margins[item.name.text] = item.value.value
            case tree.FeatureList():
                pass
            case _:
                assert_never(item)
    return replace(
        response, features=features, bounds=tuple(bounds[at] for at in sorted(bounds)), margins=tuple(margins.values()),
    )  # fmt: skip


def _too_large(number: tree.Number, what: str) -> Diagnostic:
    return Diagnostic(
        codes.BAD_NUMBER, f"a {what} of `{number.span.text}` is too large", number.span,
        help="rewards are computed in single precision, whose numbers go up to 3.4e38",
    )  # fmt: skip


def _shadowed(items: _Items, response: ResponseType, scope: Scope, report: _Report) -> None:
    """Report names that are a class and a proposition."""
    classes = frozenset(response.classes)
    for path in _named(items):
        entity = lookup(scope, path) if path.text in classes else None
        if entity is not None and isinstance(entity.declaration, tree.Prop):
            report(Diagnostic(
                codes.BAD_REWARD, f"`{path.text}` is a class of `{response.name}` and a proposition", path.span,
                related=(("the proposition", entity.span), ("the response type", response.span)),
                help="rename one of them; a reward must not depend on which is taken",
            ))  # fmt: skip


def _named(items: Sequence[tree.FeatureList | tree.WeightItem | tree.MarginItem]) -> Iterator[tree.Path]:
    """The features that a reward block names."""
    for item in items:
        if isinstance(item, tree.FeatureList):
            yield from item.names
        elif isinstance(item, tree.WeightItem):
            yield item.feature


def _classes(response: ResponseType) -> list[Feature]:
    return [Feature(name, "class", index) for index, name in enumerate(response.classes)]


def _reached(
    response: ResponseType, definitions: Sequence[Definition], names: Sequence[str], budget: Budget
) -> list[Feature]:
    """Every proposition that the rules reach; measures come after them in the order of columns."""
    reached: set[int] = set()
    entered: set[int] = set()
    for rule in response.rules:
        if not isinstance(rule.formula, Otherwise):
            reached.update(part.atom for part in walk(rule.formula, definitions, entered) if isinstance(part, Var))
    budget.spend(len(reached) + len(entered))
    return [Feature(names[atom], "proposition", atom) for atom in sorted(reached) if atom < len(names)]


def _listed(
    item: tree.FeatureList, response: ResponseType, formulas: Formulas, scope: Scope, names: Sequence[str]
) -> Iterator[Feature]:
    """The features of one list; a name that is none is reported."""
    numbers = {name: at for at, name in enumerate(response.classes)}
    for path in item.names:
        if path.text == "classes":
            yield from _classes(response)
        elif path.text in numbers:
            yield Feature(path.text, "class", numbers[path.text])
        else:
            entity = resolve(scope, path, "class or proposition", (tree.Prop,))
            if isinstance(entity, Entity):
                atom = formulas.columns[entity]
                yield Feature(names[atom], "proposition", atom)
            else:
                formulas.diagnostics.append(entity)


def _position(
    path: tree.Path, places: Mapping[tuple[str, str | int], int], formulas: Formulas, scope: Scope
) -> int | None:
    """Which feature a path means; a column's name may be longer than the name in this file."""
    entity = lookup(scope, path)
    atom = None if entity is None else formulas.columns.get(entity)
    found = [places.get(("class", path.text)), None if atom is None else places.get(("proposition", atom))]
    return min((at for at in found if at is not None), default=None)


def _bound(
    item: tree.WeightItem, at: int | None, features: Sequence[Feature], bounds: dict[int, WeightBound],
    scope: Scope, report: _Report,
) -> None:  # fmt: skip
    if at is None:
        names = [feature.name for feature in features]
        near = scope.meant(item.feature.text, names)
        report(Diagnostic(
            codes.BAD_REWARD, f"`{item.feature.text}` is not a feature here", item.feature.span,
            help=f"did you mean `{near}`?" if near else "features are " + ", ".join(f"`{n}`" for n in names[:10]),
        ))  # fmt: skip
        return
    value = item.value.value
    if abs(value) > _LARGEST:
        report(_too_large(item.value, "weight"))
        return
    limits = {"==": (value, value), "<=": (-math.inf, value), ">=": (value, math.inf)}.get(item.relation)
    if limits is None:
        report(Diagnostic(
            codes.BAD_REWARD, f"a weight cannot be bounded with `{item.relation}`", item.span,
            help="use `=`, `<=` or `>=`",
        ))  # fmt: skip
        return
    earlier = bounds.get(at)
    low, high = limits
    if earlier is not None:
        low, high = max(low, earlier.low), min(high, earlier.high)
        if low > high:
            report(Diagnostic(
                codes.BAD_REWARD, f"no weight of `{features[at].name}` satisfies both bounds", item.span,
                related=(("the other bound", earlier.span),), help="remove one of them",
            ))  # fmt: skip
            return
    bounds[at] = WeightBound(at, low, high, item.span)
