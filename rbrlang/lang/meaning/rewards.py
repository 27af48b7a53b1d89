"""What enters the reward of a response type, with which bounds and margins?

From a `reward` block, or from the rules where there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic
from rbrlang.lang import syntax as tree
from rbrlang.lang.meaning.formulas import Formulas, known_classes
from rbrlang.lang.meaning.rubrics import Features
from rbrlang.lang.meaning.scope import Entity, Scope, lookup, resolve
from rbrlang.lang.meaning.variables import values_of
from rbrlang.lang.program import (
    Const,
    Definition,
    Feature,
    Formula,
    Not,
    Otherwise,
    ResponseType,
    Var,
    WeightBound,
    named,
    walk,
)

_Items = Sequence[tree.FeatureList | tree.WeightItem | tree.MarginItem]
_LARGEST = 3.4028234663852886e38  # of float32, in which weights are kept
_Report = Callable[[Diagnostic], None]


def atoms_of(formula: Formula, definitions: Sequence[Definition]) -> set[int]:
    """The atoms that a formula mentions, through derived propositions too."""
    return {part.atom for part in walk(formula, definitions, set()) if isinstance(part, Var)}


def with_reward(
    response: ResponseType, block: tree.Reward | None, formulas: Formulas, scope: Scope,
    definitions: Sequence[Definition], names: Sequence[str], rubrics: Features,
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
        seen: dict[Feature, str] = {}
        listed = [
            feature
            for item in lists
            for feature in _listed(item, response, formulas, scope, definitions, names, rubrics, seen)
        ]
    else:
        listed = [*_classes(response), *_reached(response, definitions, names, formulas)]
    features = tuple(dict.fromkeys(listed))
    places = {(f.kind, f.name if f.kind == "class" else f.index): at for at, f in enumerate(features)}
    bounds: dict[int, WeightBound] = {}
    classes = dict.fromkeys(response.classes)
    margins = dict.fromkeys(classes, 1.0)
    for item in items:
        match item:
            case tree.WeightItem():
                of_rubric = rubrics.named(scope, item.feature)
                for feature in of_rubric or ():
                    at = places.get(("proposition", feature.index))
                    _bound(item, at, feature.index, features, bounds, scope, report)
                if of_rubric is not None:
                    continue
                entity = lookup(scope, item.feature)
                atom = None if entity is None else _atom(entity, formulas, definitions)
                _bound(item, _position(item.feature.text, atom, places), atom, features, bounds, scope, report)
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
        if entity is not None and isinstance(entity.declaration, (tree.Prop, tree.Variable)):
            report(Diagnostic(
                codes.BAD_REWARD, f"`{path.text}` is a class of `{response.name}` and a {entity.kind}", path.span,
                related=((f"the {entity.kind}", entity.span), ("the response type", response.span)),
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
    response: ResponseType, definitions: Sequence[Definition], names: Sequence[str], formulas: Formulas
) -> list[Feature]:
    """Every proposition that the rules reach, and the mean of every scale; measures are none by themselves."""
    reached: set[int] = set()
    entered: set[int] = set()
    for rule in response.rules:
        if not isinstance(rule.formula, Otherwise):
            reached.update(part.atom for part in walk(rule.formula, definitions, entered) if isinstance(part, Var))
    formulas.budget.spend(len(reached) + len(entered))
    found = [Feature(names[atom], "proposition", atom) for atom in sorted(reached) if atom < len(names)]
    for entity, known in formulas.domains.items():
        if known is not None and known[2].kind == "scale":
            _, first, domain = known
            if not reached.isdisjoint(range(first, first + len(domain.values) - 1)):
                found.append(_read(entity, None, formulas))
    return found


def _read(entity: Entity, holds: Sequence[bool] | None, formulas: Formulas) -> Feature:
    """A reading as a feature; its index is negative until all measures, which come before, are known."""
    name, number = formulas.reading(entity, holds)
    return Feature(name, "proposition", -1 - number)


def numbered(response: ResponseType, first_reading: int) -> ResponseType:
    """The response type with the atoms of its readings, once the first one's is known."""
    return replace(response, features=tuple(
        replace(f, index=first_reading - 1 - f.index) if f.index < 0 else f for f in response.features
    ))  # fmt: skip


def _listed(
    item: tree.FeatureList, response: ResponseType, formulas: Formulas, scope: Scope,
    definitions: Sequence[Definition], names: Sequence[str], rubrics: Features, seen: dict[Feature, str],
) -> Iterator[Feature]:  # fmt: skip
    """The features of one list; a name that is none is reported, as is a second one for a feature that was `seen`."""
    numbers = {name: at for at, name in enumerate(response.classes)}
    for path in item.names:
        if path.text == "classes":
            yield from _classes(response)
        elif path.text in numbers:
            yield Feature(path.text, "class", numbers[path.text])
        elif (found := rubrics.named(scope, path)) is not None:
            yield from found
        else:
            entity = resolve(
                scope, path, "class, proposition, scale or measure", (tree.Prop, tree.Assign, tree.Variable)
            )
            if not isinstance(entity, Entity):
                formulas.diagnostics.append(entity)
            elif isinstance(entity.declaration, tree.Variable) and entity.declaration.kind == "choice":
                formulas.diagnostics.append(_unordered(path, entity, formulas))
            elif (reading := _reading(entity, formulas, definitions)) is not None:
                if reading.name in numbers:
                    formulas.diagnostics.append(Diagnostic(
                        codes.BAD_REWARD, f"`{reading.name}` is a class of `{response.name}` too", path.span,
                        related=(("the response type", response.span),), help="rename the class",
                    ))  # fmt: skip
                _again(path, reading, seen, formulas)
                yield reading
            elif (atom := _atom(entity, formulas, definitions)) is None:
                if isinstance(entity.declaration, tree.Assign) and formulas.definition(entity) is not None:
                    formulas.diagnostics.append(_combination(path, entity, formulas, definitions))
            elif atom < len(names):
                yield Feature(names[atom], "proposition", atom)
            elif (name := formulas.measured(atom).name) in numbers:
                formulas.diagnostics.append(Diagnostic(
                    codes.BAD_REWARD, f"`{path.text}` is `{name}`, which is a class of `{response.name}` too", path.span,
                    related=(("the response type", response.span),), help="rename the class",
                ))  # fmt: skip
            else:
                _again(path, Feature(name, "proposition", atom), seen, formulas)
                yield Feature(name, "proposition", atom)


def _again(path: tree.Path, feature: Feature, seen: dict[Feature, str], formulas: Formulas) -> None:
    """Report another name of a feature that was listed: its weights would be one weight."""
    first = seen.setdefault(feature, path.text)
    if first != path.text:
        formulas.diagnostics.append(Diagnostic(
            codes.BAD_REWARD, f"`{path.text}` is the same feature as `{first}`: {feature.name}", path.span,
            help="list one of them, with the sum of their weights",
        ))  # fmt: skip


def _meant(entity: Entity, formulas: Formulas, definitions: Sequence[Definition]) -> Formula | None:
    """What a derived proposition stands for; None for one that is broken."""
    number = formulas.definition(entity)
    return None if number is None else named(definitions[number].formula, definitions)


def _reading(entity: Entity, formulas: Formulas, definitions: Sequence[Definition]) -> Feature | None:
    """What a feature's name stands for that is a scale, or a definition that compares one scale or choice."""
    if isinstance(entity.declaration, tree.Variable):
        return None if formulas.domains[entity] is None else _read(entity, None, formulas)
    formula = _meant(entity, formulas, definitions) if isinstance(entity.declaration, tree.Assign) else None
    if formula is None or isinstance(formula, Const):
        return None
    for variable, known in formulas.domains.items():
        holds = None if known is None else values_of(formula, known[1], known[2])
        if holds is not None:
            return _read(variable, holds, formulas)
    return None


def _unordered(path: tree.Path, entity: Entity, formulas: Formulas) -> Diagnostic:
    known = formulas.domains[entity]
    option = "option" if known is None else known[2].values[0]
    return Diagnostic(
        codes.WRONG_KIND, f"`{path.text}` is a choice, whose options have no worth of their own", path.span,
        related=(("it is declared here", entity.span),),
        help=f"weigh an option: `{option}_{path.parts[-1].text} := {path.text} == {option}`, and that name as the feature",
    )  # fmt: skip


def _atom(entity: Entity, formulas: Formulas, definitions: Sequence[Definition]) -> int | None:
    """The atom that a feature's name stands for: a proposition, a reading, or the one measure that a definition names."""
    if isinstance(entity.declaration, tree.Variable) and entity.declaration.kind == "choice":
        return None
    reading = _reading(entity, formulas, definitions)
    if reading is not None:
        return reading.index
    if not isinstance(entity.declaration, tree.Assign):
        return formulas.columns.get(entity)
    formula = _meant(entity, formulas, definitions)
    return formula.atom if isinstance(formula, Var) and formula.atom >= formulas.first_measure else None


def _combination(
    path: tree.Path, entity: Entity, formulas: Formulas, definitions: Sequence[Definition]
) -> Diagnostic:  # fmt: skip
    formula = _meant(entity, formulas, definitions)
    help = (
        "a reward weighs classes, graded propositions, single measures, scales and single comparisons of a scale or a choice; "
        "let a combination be a class, or list its parts"
    )
    if isinstance(formula, Not) and isinstance(formula.operand, Var) and formula.operand.atom >= formulas.first_measure:
        held = formulas.measured(formula.operand.atom).name
        help = f"a reward weighs what a measure says: name the opposite, `NAME := {held}`, and give it a weight of the other sign"
    return Diagnostic(
        codes.WRONG_KIND, f"`{path.text}` is a combination, and no feature", path.span,
        related=(("it is defined here", entity.span),), help=help,
    )  # fmt: skip


def _position(name: str, atom: int | None, places: Mapping[tuple[str, str | int], int]) -> int | None:
    """Which feature a name means; a column's name may be longer than the name in this file."""
    found = [places.get(("class", name)), None if atom is None else places.get(("proposition", atom))]
    return min((at for at in found if at is not None), default=None)


def _bound(
    item: tree.WeightItem, at: int | None, atom: int | None, features: Sequence[Feature],
    bounds: dict[int, WeightBound], scope: Scope, report: _Report,
) -> None:  # fmt: skip
    if at is None:
        names = [feature.name for feature in features]
        near = None if atom is not None else scope.meant(item.feature.text, names)
        help = f"did you mean `{near}`?" if near else "features are " + ", ".join(f"`{n}`" for n in names[:10])
        report(Diagnostic(
            codes.BAD_REWARD, f"`{item.feature.text}` is not a feature here", item.feature.span,
            help=help if atom is None else f"add it to the list: `features …, {item.feature.text}`",
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
