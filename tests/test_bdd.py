"""Diagrams are their truth tables, canonically, and stay within their budget."""

from __future__ import annotations

import math
import random
import sys
from fractions import Fraction

import pytest
from dd import autoref
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Model, Tree, trees

from rbrlang.logic.bdd import FALSE, TRUE, Bdd, NodeBudget
from rbrlang.logic.order import force_order
from rbrlang.logic.sift import sift

ATOMS = 5
MODEL = Model(ATOMS)
formulas = trees(ATOMS, 0, ())
orders = st.permutations(range(ATOMS))


def build(bdd: Bdd, tree: Tree) -> int:
    """The edge of a formula, by the manager's own operations."""
    kind, *rest = tree
    match kind:
        case "atom":
            return bdd.variable(rest[0])
        case "const":
            return TRUE if rest[0] else FALSE
        case "not":
            return build(bdd, rest[0]) ^ 1
        case "and":
            return bdd.conjoin_all([build(bdd, part) for part in rest])
        case "or":
            return bdd.disjoin_all([build(bdd, part) for part in rest])
        case "=>":
            return bdd.disjoin(build(bdd, rest[0]) ^ 1, build(bdd, rest[1]))
        case "<=>":
            return bdd.equal(build(bdd, rest[0]), build(bdd, rest[1]))
        case _:
            k, members = rest
            edges = [bdd.variable(atom) for atom in members]
            low, high = {
                "any": (1, None), "all": (len(edges), None), "none": (0, 0),
                "at_least": (k, None), "at_most": (0, k), "exactly": (k, k),
            }[kind]  # fmt: skip
            enough = bdd.at_least(low, edges)
            too_many = FALSE if high is None else bdd.at_least(high + 1, edges)
            return bdd.conjoin(enough, too_many ^ 1)


def table(bdd: Bdd, edge: int, atoms: int = ATOMS) -> int:
    """The truth table of an edge, asked world by world."""
    return sum(
        1 << world
        for world in range(1 << atoms)
        if bdd.holds(edge, frozenset(a for a in range(atoms) if world >> a & 1))
    )


@given(formulas, orders)
def test_a_diagram_is_its_truth_table(tree: Tree, order: list[int]) -> None:
    bdd = Bdd(order)
    assert table(bdd, build(bdd, tree)) == MODEL.table(tree)


@given(formulas, formulas, orders)
def test_equal_edges_are_equal_functions(one: Tree, other: Tree, order: list[int]) -> None:
    bdd = Bdd(order)
    assert (build(bdd, one) == build(bdd, other)) == (MODEL.table(one) == MODEL.table(other))


@given(formulas, st.lists(st.floats(0, 1), min_size=ATOMS, max_size=ATOMS))
def test_probability_is_the_weighted_sum(tree: Tree, priors: list[float]) -> None:
    bdd = Bdd(range(ATOMS))
    (found,) = bdd.probability([build(bdd, tree)], priors)
    assert found == pytest.approx(MODEL.weight(MODEL.table(tree), priors), abs=1e-12)


tiny = st.sampled_from([0.0, 1e-300, 1e-20, 0.3, 0.5, 1.0])


@given(formulas, formulas, st.lists(tiny, min_size=ATOMS, max_size=ATOMS))
def test_a_share_is_exact_however_small_its_context(tree: Tree, given_tree: Tree, priors: list[float]) -> None:
    bdd = Bdd(range(ATOMS))
    shares = bdd.shares([build(bdd, tree)], build(bdd, given_tree), priors)

    def count(worlds: int) -> Fraction:
        odds = [(Fraction(prior), Fraction(1 - prior)) for prior in priors]
        return sum(
            (math.prod((odds[a][not world >> a & 1] for a in range(ATOMS)), start=Fraction(1))
             for world in range(1 << ATOMS) if worlds >> world & 1),
            start=Fraction(0),
        )  # fmt: skip

    context = MODEL.table(given_tree)
    whole = count(context)
    if not whole:
        assert shares is None
    else:
        assert shares == [pytest.approx(float(count(context & MODEL.table(tree)) / whole), rel=1e-12, abs=1e-290)]


@pytest.mark.parametrize("size", [50, 60, 3000])
def test_thresholds_of_one_measure_share_what_is_left_of_their_mass(size: int) -> None:
    bdd, counted = Bdd(range(size)), TRUE
    for at in reversed(range(1, size)):  # more than 10 words are more than 9
        counted = bdd.conjoin(bdd.disjoin(bdd.variable(at) ^ 1, bdd.variable(at - 1)), counted)
    some = [0, size // 2, size - 1]
    shares = bdd.shares([bdd.variable(at) for at in some], counted, [0.5] * size)
    assert shares == pytest.approx([(size - at) / (size + 1) for at in some], rel=1e-12)


@given(formulas)
def test_support_is_what_a_function_depends_on(tree: Tree) -> None:
    bdd = Bdd(range(ATOMS))
    whole = MODEL.table(tree)
    flips = [sum((whole >> (w ^ 1 << a) & 1) << w for w in range(1 << ATOMS)) for a in range(ATOMS)]
    assert set(bdd.support([build(bdd, tree)])) == {a for a in range(ATOMS) if flips[a] != whole}


@given(st.lists(formulas, min_size=1, max_size=4), orders)
def test_sifting_keeps_functions_and_never_grows(parts: list[Tree], order: list[int]) -> None:
    bdd = Bdd(order)
    edges = [build(bdd, tree) for tree in parts]
    before = len(bdd.reachable(edges))
    left = sift(bdd, edges)
    assert [table(bdd, edge) for edge in edges] == [MODEL.table(tree) for tree in parts]
    assert left == len(bdd) == len(bdd.reachable(edges)) <= before
    assert sorted(bdd.order) == list(range(ATOMS))
    assert all(bdd.order[bdd.level_of[a]] == a for a in range(ATOMS))
    # Still canonical: what is built now meets the nodes that were moved.
    assert [build(bdd, tree) for tree in parts] == edges


def test_sifting_untangles_a_known_bad_order() -> None:
    half = 7
    bdd = Bdd(range(2 * half))
    edge = bdd.disjoin_all(bdd.conjoin(bdd.variable(i), bdd.variable(i + half)) for i in range(half))
    assert len(bdd.reachable([edge])) == 2 ** (half + 1) - 2
    assert sift(bdd, [edge]) == 2 * half


@given(orders, st.lists(st.lists(st.integers(0, ATOMS - 1), max_size=4), max_size=5))
def test_force_only_reorders(order: list[int], groups: list[list[int]]) -> None:
    def spread(places: list[int]) -> int:
        return sum(max(map(places.index, g)) - min(map(places.index, g)) for g in groups if g)

    found = force_order(order, groups)
    assert sorted(found) == sorted(order)
    assert spread(found) <= spread(order)


def test_force_brings_partners_together() -> None:
    groups = [[i, i + 10] for i in range(10)]
    places = force_order(range(20), groups).index
    assert max(abs(places(a) - places(b)) for a, b in groups) <= 3


@given(formulas, formulas)
def test_scratch_and_collect_keep_what_they_promise(kept: Tree, passing: Tree) -> None:
    bdd = Bdd(range(ATOMS))
    edge = build(bdd, kept)
    nodes = len(bdd)
    with bdd.scratch():
        build(bdd, passing)
    assert len(bdd) == nodes
    assert len(bdd.levels) == nodes + 1
    build(bdd, passing)
    bdd.collect([edge])
    assert len(bdd) == len(bdd.reachable([edge]))
    assert build(bdd, kept) == edge
    assert table(bdd, build(bdd, passing)) == MODEL.table(passing)


def test_the_budget_is_kept_and_the_manager_stays_usable() -> None:
    bdd = Bdd(range(12), budget=20)
    with pytest.raises(NodeBudget):
        bdd.conjoin_all(bdd.equal(bdd.variable(i), bdd.variable(i + 6)) for i in range(6))
    assert len(bdd) <= 20
    bdd.collect([])
    edge = bdd.conjoin(bdd.variable(0), bdd.variable(1))
    assert bdd.holds(edge, {0, 1})


def test_long_orders_do_not_exhaust_the_stack() -> None:
    size = 5_000
    limit = sys.getrecursionlimit()
    bdd = Bdd(range(size))
    odd = bdd.conjoin_all(bdd.variable(i) for i in range(1, size, 2))
    even = bdd.conjoin_all(bdd.variable(i) for i in range(0, size, 2))
    assert bdd.conjoin(odd, even) == bdd.conjoin_all(bdd.variable(i) for i in range(size))
    assert sys.getrecursionlimit() == limit


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_an_independent_package_counts_the_same(seed: int) -> None:
    draw = random.Random(seed)
    size, bdd, other = 12, Bdd(range(12)), autoref.BDD()
    other.declare(*(f"x{i}" for i in range(size)))
    mine, theirs = TRUE, other.true
    for _ in range(6):
        literals = [(draw.randrange(size), draw.random() < 0.5) for _ in range(4)]
        clause = bdd.disjoin_all(bdd.variable(v) ^ flip for v, flip in literals)
        text = " | ".join(("~" if flip else "") + f"x{v}" for v, flip in literals)
        joined = draw.random() < 0.7
        mine = bdd.conjoin(mine, clause) if joined else bdd.equal(mine, clause)
        theirs = theirs & other.add_expr(text) if joined else theirs.equiv(other.add_expr(text))
    (share,) = bdd.probability([mine], [0.5] * size)
    assert share * 2**size == theirs.count(nvars=size)
    assert {f"x{v}" for v in bdd.support([mine])} == theirs.support
