"""What does a policy mean, by enumeration of all truth assignments of its propositions?

A table is an integer with one bit for each of the 2^n assignments. Measures are constants, since they follow from the
completion's text. Nothing here is shared with the package, and nothing is clever.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from oracle.policies import Policy, Response, Tree

Answers = Sequence[float | None]


@dataclass(frozen=True)
class Truth:
    """A policy about completions of one text."""

    policy: Policy
    text: str

    @property
    def worlds(self) -> int:
        return 1 << self.policy.propositions

    @property
    def full(self) -> int:
        return (1 << self.worlds) - 1

    @cached_property
    def props(self) -> list[int]:
        """The table of every proposition."""
        return [
            sum(1 << world for world in range(self.worlds) if world >> n & 1) for n in range(self.policy.propositions)
        ]

    def table(self, tree: Tree, replaced: int = 0) -> int:
        """The table of a formula; `replaced` is that of `super`."""
        kind, *rest = tree
        full = self.full
        match kind:
            case "prop":
                return self.props[rest[0]]
            case "def":
                return self.table(self.policy.definitions[rest[0]])
            case "const":
                return full if rest[0] else 0
            case "super":
                return replaced
            case "not":
                return full ^ self.table(rest[0], replaced)
            case "and":
                result = full
                for part in rest:
                    result &= self.table(part, replaced)
                return result
            case "or":
                result = 0
                for part in rest:
                    result |= self.table(part, replaced)
                return result
            case "=>":
                return (full ^ self.table(rest[0], replaced)) | self.table(rest[1], replaced)
            case "<=>":
                return full ^ self.table(rest[0], replaced) ^ self.table(rest[1], replaced)
            case "count" | "text":
                return full if measured(tree, self.text) else 0
            case _:
                k, members = rest
                atoms = self.policy.groups[members] if isinstance(members, int) else members
                lowest, highest = between(kind, k, len(atoms))
                held = [sum(world >> a & 1 for a in atoms) for world in range(self.worlds)]
                return sum(1 << world for world, n in enumerate(held) if lowest <= n <= highest)

    @cached_property
    def allowed(self) -> int:
        """The assignments that satisfy every axiom."""
        result = self.full
        for axiom in self.policy.axioms:
            result &= self.table(axiom)
        return result

    def rules(self, number: int) -> list[tuple[str, int | None]]:
        """The conditions of a response type's rules, overridden; None for `otherwise`."""
        response, override = self.policy.responses[number], self.policy.override
        found: list[tuple[str, int | None]] = []
        for klass, tree in response.rules:
            condition = None if tree is None else self.table(tree)
            if override is not None and condition is not None and override[:2] == (number, klass):
                condition = self.table(override[2], condition)
            found.append((klass, condition))
        return found

    def classes(self, number: int) -> dict[str, int]:
        """The table of every class of a response type, before any axiom."""
        response, rules = self.policy.responses[number], self.rules(number)
        found = dict.fromkeys(response.classes, 0)
        left = self.full
        if response.cascade:
            for klass, condition in rules:
                condition = self.full if condition is None else condition
                found[klass] |= condition & left
                left &= ~condition
            return found
        for klass, condition in rules:
            if condition is not None:
                found[klass] = condition
                left &= ~condition
        for klass, condition in rules:
            if condition is None:
                found[klass] = left
        return found

    def possible(self, table: int, answers: Answers) -> int:
        """The part of a table that certain answers leave."""
        for prop, p in zip(self.props, answers, strict=True):
            if p == 1.0:
                table &= prop
            elif p == 0.0:
                table &= ~prop
        return table

    def contradicts(self, answers: Answers) -> bool:
        """Whether the answers leave no assignment that the axioms allow."""
        return not self.possible(self.allowed, answers)

    def mass(self, table: int, weights: Sequence[float]) -> float:
        """The probability of a table, from those of all assignments."""
        return math.fsum(w for world, w in enumerate(weights) if table >> world & 1)

    def left(self, kind: str, number: int, p: Sequence[float]) -> float:
        """What class probabilities are divided by, exactly or as products."""
        if kind == "exact":
            return self.mass(self.allowed, world_weights(p))
        return math.fsum(Products(self, p).masses(number))

    def exact(self, number: int, p: Sequence[float]) -> list[float] | None:
        """P(class given the axioms); None for a contradiction."""
        weights = world_weights(p)
        whole = self.mass(self.allowed, weights)
        if self.contradicts(p):
            return None
        tables = self.classes(number)
        return [self.mass(tables[c] & self.allowed, weights) / whole for c in self.policy.responses[number].classes]

    def product(self, number: int, p: Sequence[float]) -> list[float] | None:
        """The paper's product of each class's literals, normalised; None for a contradiction or where all are 0."""
        if self.contradicts(p):
            return None
        masses = Products(self, p).masses(number)
        whole = math.fsum(masses)
        return [m / whole for m in masses] if whole > 0.0 else None

    def features(self, number: int) -> list[tuple[str, str, int]]:
        """(kind, name, index) of every feature of a response type, in order."""
        response = self.policy.responses[number]
        classes = [("class", c, n) for n, c in enumerate(response.classes)]
        if response.features is None:
            reached: set[int] = set()
            for klass, tree in response.rules:
                override = self.policy.override
                overridden = tree is not None and override is not None and override[:2] == (number, klass)
                if overridden and override is not None:
                    reached |= self.mentions(override[2], tree)
                elif tree is not None:
                    reached |= self.mentions(tree)
            return classes + [("proposition", f"p{n}", n) for n in sorted(reached)]
        found: list[tuple[str, str, int]] = []
        for name in response.features:
            if name == "classes":
                found += classes
            elif name.startswith("p"):
                found.append(("proposition", name, int(name[1:])))
            else:
                found.append(("class", name, response.classes.index(name)))
        return found

    def mentions(self, tree: Tree, replaced: Tree | None = None) -> set[int]:
        """The propositions that a formula mentions, through derived ones too."""
        kind, *rest = tree
        match kind:
            case "prop":
                return {rest[0]}
            case "def":
                return self.mentions(self.policy.definitions[rest[0]])
            case "const" | "count" | "text":
                return set()
            case "super":
                return set() if replaced is None else self.mentions(replaced)
            case "not" | "and" | "or" | "=>" | "<=>":
                return set().union(*(self.mentions(part, replaced) for part in rest))
            case _:
                return set(self.policy.groups[rest[1]] if isinstance(rest[1], int) else rest[1])

    def reward(self, kind: str, number: int, weights: Sequence[float], p: Sequence[float]) -> float:
        """The rules' reward at known probabilities; NaN where there is none."""
        if self.contradicts(p):
            return math.nan
        features = self.features(number)
        chances: list[float] | None = None
        if any(f[0] == "class" for f in features):
            chances = self.exact(number, p) if kind == "exact" else self.product(number, p)
            if chances is None:
                return math.nan
        return math.fsum(
            w * (p[at] if what == "proposition" else (chances or [])[at])
            for w, (what, _, at) in zip(weights, features, strict=True)
        )


class Products:
    """The paper's reading of formulas as products, at given probabilities.

    `a & b` is the product of its distinct operands, `!a` is 1 − a, `a | b` is 1 − (1 − a)(1 − b), and the others are
    written with these. Equal operands count once, equal meaning built of the same parts in the same order.
    """

    def __init__(self, truth: Truth, p: Sequence[float]) -> None:
        self.truth, self.p = truth, p
        self.values: dict[Tree, float] = {}

    def masses(self, number: int) -> list[float]:
        policy = self.truth.policy
        response: Response = policy.responses[number]
        parts: dict[str, list[Tree]] = {c: [] for c in response.classes}
        taken: list[Tree] = []
        for klass, tree in response.rules:
            if tree is None:
                continue
            key = self.key(tree)
            if policy.override is not None and policy.override[:2] == (number, klass):
                key = self.key(policy.override[2], key)
            parts[klass].append(_times([key, *(_not(t) for t in taken)] if response.cascade else [key]))
            taken.append(key)
        for klass, tree in response.rules:
            if tree is None:
                parts[klass].append(_times([_not(t) for t in taken]))
        return [self.value(_any(parts[c])) for c in response.classes]

    def key(self, tree: Tree, replaced: Tree | None = None) -> Tree:
        """A formula as nested products and complements."""
        kind, *rest = tree
        match kind:
            case "prop":
                return tree
            case "def":
                return self.key(self.truth.policy.definitions[rest[0]])
            case "const":
                return ("times",) if rest[0] else ("not", ("times",))
            case "super":
                assert replaced is not None
                return replaced
            case "not":
                return _not(self.key(rest[0], replaced))
            case "and":
                return _times([self.key(part, replaced) for part in rest])
            case "or":
                return _any([self.key(part, replaced) for part in rest])
            case "=>":
                return _any([_not(self.key(rest[0], replaced)), self.key(rest[1], replaced)])
            case "<=>":
                left, right = self.key(rest[0], replaced), self.key(rest[1], replaced)
                return _any([_times([left, right]), _times([_not(left), _not(right)])])
            case "text":
                return ("measure", tree, measured(tree, self.truth.text))
            case "count":
                return self.compared(tree)
            case _:
                k, members = rest
                atoms = self.truth.policy.groups[members] if isinstance(members, int) else members
                keys: list[Tree] = [("prop", a) for a in atoms]
                match kind:
                    case "any":
                        return _any(keys)
                    case "all":
                        return _times(keys)
                    case "none":
                        return _not(_any(keys))
                    case "at_least":
                        return _at_least(k, keys)
                    case "at_most":
                        return _not(_at_least(k + 1, keys))
                    case _:
                        least = _at_least(k, keys) if k else ("times",)
                        return _times([least, _not(_at_least(k + 1, keys))]) if k < len(keys) else least

    def compared(self, tree: Tree) -> Tree:
        """A comparison of a count as what it says of whole numbers: every measure asks whether there are more than k."""
        _, quantity, relation, limit = tree

        def above(k: int) -> Tree:
            of = ("count", quantity, ">", k)
            return ("times",) if k < 0 else ("measure", of, measured(of, self.truth.text))

        match relation:
            case ">":
                return above(limit)
            case ">=":
                return above(limit - 1)
            case "<":
                return _not(above(limit - 1))
            case "<=":
                return _not(above(limit))
            case _:
                equal = _times([above(limit - 1), _not(above(limit))])
                return equal if relation == "==" else _not(equal)

    def value(self, key: Tree) -> float:
        match key[0]:
            case "prop":
                return self.p[key[1]]
            case "measure":
                return float(key[2])
            case "not":
                return 1.0 - self.value(key[1])
            case _:
                if key not in self.values:
                    self.values[key] = math.prod(self.value(part) for part in key[1:])
                return self.values[key]


def _not(key: Tree) -> Tree:
    return key[1] if key[0] == "not" else ("not", key)


def _times(keys: Sequence[Tree]) -> Tree:
    distinct = tuple(dict.fromkeys(keys))
    return distinct[0] if len(distinct) == 1 else ("times", *distinct)


def _any(keys: Sequence[Tree]) -> Tree:
    return keys[0] if len(keys) == 1 else _not(_times([_not(k) for k in keys]))


def _at_least(k: int, keys: Sequence[Tree]) -> Tree:
    """So many of the operands: after each of them either it is one of so many, or the earlier ones are."""
    held: list[Tree] = [("times",)] + [("not", ("times",))] * k
    for key in keys:
        held = [held[0]] + [_any([_times([key, held[n - 1]]), _times([_not(key), held[n]])]) for n in range(1, k + 1)]
    return held[k]


def between(kind: str, k: int, size: int) -> tuple[int, int]:
    """How many members of a quantifier hold, at least and at most."""
    return {
        "any": (1, size), "all": (size, size), "none": (0, 0), "at_least": (k, size), "at_most": (0, k), "exactly": (k, k),
    }[kind]  # fmt: skip


def measured(tree: Tree, text: str) -> bool:
    """Whether a measure holds of a text."""
    if tree[0] == "text":
        return tree[2] in text if tree[1] == "contains" else re.search(tree[2], text) is not None
    _, quantity, relation, limit = tree
    count = {
        "words": len(text.split()), "characters": len(text), "lines": len(text.splitlines()), 'count("!")': text.count("!"),
    }[quantity]  # fmt: skip
    return {
        "<": count < limit, "<=": count <= limit, ">": count > limit, ">=": count >= limit, "==": count == limit,
        "!=": count != limit,
    }[relation]  # fmt: skip


def world_weights(p: Sequence[float]) -> list[float]:
    """The probability of every assignment."""
    weights = [1.0]
    for chance in p:
        weights = [w * (1.0 - chance) for w in weights] + [w * chance for w in weights]
    return weights


def fills(answers: Answers, grid: Sequence[float]) -> Iterator[list[float]]:
    """The answers with the missing ones at every combination of the grid's values."""
    missing = [n for n, p in enumerate(answers) if p is None]
    for values in itertools.product(grid, repeat=len(missing)):
        filled = [0.0 if p is None else p for p in answers]
        for n, value in zip(missing, values, strict=True):
            filled[n] = value
        yield filled
