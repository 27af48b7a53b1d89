"""Four ways to decide a policy agree: our diagrams, truth tables, another BDD package, and an SMT solver.

The policies are random, each from its number as a seed: with axioms, groups, derived propositions, flat rules and
cascades. RBR_DIFFERENTIAL=10000 says how many.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest
import z3
from dd import autoref
from strategies import QUANTIFIERS, Model, Response, Tree

from rbrlang.logic.bdd import Bdd
from rbrlang.policy import check_text

MANY = int(os.environ.get("RBR_DIFFERENTIAL", "300"))
SHARDS = 10


def random_tree(draw: random.Random, atoms: int, definitions: int, groups: list[tuple[int, ...]], depth: int) -> Tree:
    kind = draw.random()
    if depth == 0 or kind < 0.3:
        if definitions and draw.random() < 0.3:
            return "ref", draw.randrange(definitions)
        return ("const", draw.random() < 0.5) if draw.random() < 0.05 else ("atom", draw.randrange(atoms))

    def below() -> Tree:
        return random_tree(draw, atoms, definitions, groups, depth - 1)

    if kind < 0.45:
        return "not", below()
    if kind < 0.75:
        return draw.choice(("and", "or")), *(below() for _ in range(draw.randint(2, 4)))
    if kind < 0.85:
        return draw.choice(("=>", "<=>")), below(), below()
    members: Any = draw.randrange(len(groups)) if groups and draw.random() < 0.5 else None
    listed = tuple(draw.sample(range(atoms), draw.randint(1, min(6, atoms))))
    size = len(listed if members is None else groups[members])
    quantifier = draw.choice(QUANTIFIERS if size > 1 else QUANTIFIERS[:3])
    k = draw.randint(1 if quantifier == "at_least" else 0, size - 1 if quantifier == "at_most" else size)
    return quantifier, k, listed if members is None else members


def random_response(draw: random.Random, name: str, tree: Callable[[], Tree]) -> Response:
    classes = [f"c{n}" for n in range(draw.randint(1, 5))]
    tiers: list[tuple[str, ...]] = []
    for c in classes:
        if tiers and draw.random() < 0.3:
            tiers[-1] = (*tiers[-1], c)
        else:
            tiers.append((c,))
    cascade = draw.random() < 0.5
    order = draw.sample(classes, len(classes)) + ([draw.choice(classes)] if cascade and draw.random() < 0.5 else [])
    rules: list[tuple[str, Tree | None]] = [(c, tree()) for c in order]
    if draw.random() < 0.6:
        at = len(rules) - 1 if cascade else draw.randrange(len(rules))
        rules[at] = (rules[at][0], None)
    return Response(name, tuple(tiers), cascade, tuple(rules))


def random_model(seed: int, most_atoms: int) -> Model:
    draw = random.Random(seed)
    atoms = draw.randint(1, most_atoms)
    groups = [tuple(draw.sample(range(atoms), draw.randint(1, min(6, atoms)))) for _ in range(draw.randint(0, 2))]
    definitions: list[Tree] = []
    for _ in range(draw.randint(0, 3)):
        definitions.append(random_tree(draw, atoms, len(definitions), groups, 3))

    def tree() -> Tree:
        return random_tree(draw, atoms, len(definitions), groups, 3)

    axioms = tuple(tree() for _ in range(draw.choice((0, 0, 1, 2))))
    responses = tuple(random_response(draw, f"r{n}", tree) for n in range(draw.randint(1, 2)))
    return Model(atoms, tuple(definitions), tuple(groups), axioms, responses)


class Other:
    """A policy's functions in another package, built from the tests' own trees with five operations."""

    def __init__(self, model: Model, variables: list[Any], true: Any, land: Any, lor: Any, lnot: Any) -> None:
        self.model, self.variables, self.true = model, variables, true
        self.land, self.lor, self.lnot = land, lor, lnot

    def count(self, operands: list[Any], low: int, high: int) -> Any:
        """Between `low` and `high` of the operands hold: a row of a table for each operand."""
        exactly = [self.true] + [self.lnot(self.true)] * len(operands)
        for x in operands:
            exactly = [
                self.lor(self.land(self.lnot(x), same), self.land(x, exactly[n - 1]))
                if n
                else self.land(self.lnot(x), same)
                for n, same in enumerate(exactly)
            ]
        return reduce(self.lor, exactly[low : high + 1], self.lnot(self.true))

    def function(self, tree: Tree) -> Any:
        kind, *rest = tree
        match kind:
            case "atom":
                return self.variables[rest[0]]
            case "ref":
                return self.function(self.model.definitions[rest[0]])
            case "const":
                return self.true if rest[0] else self.lnot(self.true)
            case "not":
                return self.lnot(self.function(rest[0]))
            case "and" | "or":
                return reduce(self.land if kind == "and" else self.lor, map(self.function, rest))
            case "=>":
                return self.lor(self.lnot(self.function(rest[0])), self.function(rest[1]))
            case "<=>":
                left, right = map(self.function, rest)
                return self.lor(self.land(left, right), self.land(self.lnot(left), self.lnot(right)))
            case _:
                k, members = rest
                atoms = self.model.groups[members] if isinstance(members, int) else members
                size = len(atoms)
                low, high = {
                    "any": (1, size), "all": (size, size), "none": (0, 0), "at_least": (k, size), "at_most": (0, k),
                    "exactly": (k, k),
                }[kind]  # fmt: skip
                return self.count([self.variables[a] for a in atoms], low, high)

    def axioms(self) -> Any:
        return reduce(self.land, map(self.function, self.model.axioms), self.true)

    def classes(self, response: Response) -> dict[str, Any]:
        found = dict.fromkeys(response.classes, self.lnot(self.true))
        left = self.true
        for name, tree in response.rules:
            if tree is None and not response.cascade:
                continue
            condition = self.true if tree is None else self.function(tree)
            found[name] = self.lor(found[name], self.land(condition, left) if response.cascade else condition)
            left = self.land(left, self.lnot(condition))
        for name, tree in response.rules:
            if tree is None and not response.cascade:
                found[name] = self.lor(found[name], left)
        return found

    def ours(self, bdd: Bdd, edge: int) -> Any:
        """One of our functions, node by node."""
        made = {0: self.true}
        for at in bdd.reachable([edge]):
            x = self.variables[bdd.order[bdd.levels[at]]]
            low, high = (
                self.lnot(made[e >> 1]) if e & 1 else made[e >> 1] for e in (bdd.lows[at], bdd.highs[at])
            )  # fmt: skip
            made[at] = self.lor(self.land(x, high), self.land(self.lnot(x), low))
        return self.lnot(made[edge >> 1]) if edge & 1 else made[edge >> 1]


def compare(model: Model, other: Other, equal: Callable[[Any, Any], bool], satisfiable: Callable[[Any], bool]) -> None:
    """Every class, the axioms, and the findings that follow from them."""
    checked = check_text(model.text())
    bdd = checked.compiled.bdd
    axioms = other.axioms()
    assert equal(other.ours(bdd, checked.compiled.axioms), axioms)
    codes = {(d.code.id, d.message) for d in checked.diagnostics}
    possible = satisfiable(axioms)
    assert any(code == "RBR3004" for code, _ in codes) != possible
    for response, item in zip(model.responses, checked.compiled.responses, strict=True):
        assert item is not None
        classes = other.classes(response)
        for name, edge in zip(response.classes, item.classes, strict=True):
            assert equal(other.ours(bdd, edge), classes[name])
            impossible = ("RBR3003", f"no completion can be `{response.name}.{name}`") in codes
            assert not possible or impossible != satisfiable(other.land(axioms, classes[name]))
        covered = reduce(other.lor, classes.values())
        gap = ("RBR3001", f"some completions have no class in `{response.name}`") in codes
        assert not possible or gap == satisfiable(other.land(axioms, other.lnot(covered)))


def by_solver(model: Model) -> None:
    solver = z3.Solver()

    def satisfiable(formula: Any) -> bool:
        solver.push()
        solver.add(formula)
        answer = solver.check()
        solver.pop()
        assert answer in (z3.sat, z3.unsat)
        return answer == z3.sat

    variables = [z3.Bool(f"p{n}") for n in range(model.atoms)]
    other = Other(model, variables, z3.BoolVal(True), z3.And, z3.Or, z3.Not)
    compare(model, other, lambda f, g: not satisfiable(z3.Xor(f, g)), satisfiable)


def by_package(model: Model) -> None:
    manager = autoref.BDD()
    manager.declare(*(f"p{n}" for n in range(model.atoms)))
    variables = [manager.var(f"p{n}") for n in range(model.atoms)]
    other = Other(model, variables, manager.true, lambda f, g: f & g, lambda f, g: f | g, lambda f: ~f)
    compare(model, other, lambda f, g: f == g, lambda f: f != manager.false)


def by_table(model: Model) -> None:
    full = model.full
    variables = [model.atom_table(n) for n in range(model.atoms)]
    other = Other(model, variables, full, int.__and__, int.__or__, lambda f: full ^ f)
    compare(model, other, int.__eq__, bool)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_all_four_agree(shard: int) -> None:
    agreed = 0
    for seed in range(shard, MANY, SHARDS):
        try:
            by_solver(random_model(seed, 16))
            by_package(random_model(seed, 16))
            by_table(random_model(seed, 12 if seed % 8 == 0 else 8))
        except AssertionError as error:
            raise AssertionError(f"policy {seed}:\n{random_model(seed, 16).text()}") from error
        agreed += 1
    assert agreed == len(range(shard, MANY, SHARDS)) > 0


def test_the_table_of_sixteen_agrees_once() -> None:
    tree: Tree = ("exactly", 5, tuple(range(16)))
    response = Response("r0", (("c0",), ("c1",)), True, (("c0", tree), ("c1", None)))
    model = Model(16, responses=(response,), axioms=(("=>", ("atom", 3), ("atom", 15)),))
    (item,) = check_text(model.text()).compiled.responses
    assert item is not None
    bdd = check_text(model.text()).compiled.bdd
    counts = [bdd.holds(item.classes[0], {a for a in range(16) if w >> a & 1}) for w in range(0, 1 << 16, 7)]
    assert counts == [w.bit_count() == 5 for w in range(0, 1 << 16, 7)]
