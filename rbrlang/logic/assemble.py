"""What remains of a policy for the numbers?

Turns compiled functions into a `Circuit`: per response type one multi-terminal diagram from the atoms
to the class, and the paper's product form of each class rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, assert_never

from rbrlang.lang.program import (
    And,
    AtLeast,
    ClassRef,
    Const,
    Formula,
    Iff,
    Implies,
    Not,
    Or,
    Otherwise,
    Program,
    Ref,
    ResponseType,
    Var,
)  # fmt: skip
from rbrlang.logic.bdd import Bdd, deep_recursion
from rbrlang.logic.circuit import (
    CRITERION,
    AtomInfo,
    Circuit,
    ProductForm,
    ProductTerm,
    ResponseCircuit,
    RubricInfo,
    Variable,
)
from rbrlang.logic.compile import Compiled, CompiledResponse
from rbrlang.logic.diagram import Diagram, diagram
from rbrlang.logic.fingerprint import fingerprint


def assemble(
    program: Program, compiled: Compiled, diagrams: Sequence[Diagram], *,
    class_probability: Literal["exact", "product"] = "exact",
) -> Circuit:  # fmt: skip
    """The circuit of a program that passed its audit, which made the diagrams of its response types."""
    responses = [
        _response(program, compiled.bdd, item, made)
        for item, made in zip(compiled.responses, diagrams, strict=True)
        if item is not None
    ]
    shares = [share for number, (_, domain) in enumerate(program.domains) for share in domain.steps(number)]
    atoms = [AtomInfo(p.name, p.prior, p.fp, p.fn, p.cost, None, p.over, p.columns) for p in program.propositions]
    names, priors = program.atoms, program.priors
    for share in shares:
        over = program.variables[share.variable].over
        atoms.append(AtomInfo(names[len(atoms)], priors[len(atoms)], 0.0, 0.0, 0.0, None, over, share=share))
    atoms += [
        AtomInfo(m.name, 0.5, 0.0, 0.0, 0.0, (m.kind, m.pattern, m.threshold), m.over, m.columns, top=m.top)
        for m in program.measures
    ]
    for reading in program.readings:
        over = program.variables[reading.share.variable].over
        atoms.append(AtomInfo(reading.name, priors[len(atoms)], 0.0, 0.0, 0.0, None, over, share=reading.share))
    atoms += [
        AtomInfo(name, 0.5, 0.0, 0.0, 0.0, None, r.question.over, rubric=(number, tag if r.tags else -1))
        for number, r in enumerate(program.rubrics)
        for tag, name in enumerate(r.features)
    ]
    return Circuit(
        fingerprint=fingerprint(program, compiled), atoms=tuple(atoms), responses=tuple(responses),
        categories=program.categories, axioms=diagram(compiled.bdd, [compiled.axioms], compiled.axioms, yes_no=True),
        class_probability=class_probability,
        rubrics=tuple(
            RubricInfo(
                r.name, r.column, r.points, r.clip, tuple(tag for _, tag in r.tags), r.question.over,
                tuple(column for column in r.question.columns if column != CRITERION),
            )
            for r in program.rubrics
        ),
        variables=tuple(Variable(v.domain, v.prior, v.cost, v.over, v.columns) for v in program.variables),
    )  # fmt: skip


def _response(program: Program, bdd: Bdd, item: CompiledResponse, made: Diagram) -> ResponseCircuit:
    response = item.response
    bounds = [(-math.inf, math.inf)] * len(response.features)
    for bound in response.bounds:
        bounds[bound.feature] = (bound.low, bound.high)
    reached = set(bdd.support([*item.classes, item.context]))
    reached |= {feature.index for feature in response.features if feature.kind == "proposition"}
    return ResponseCircuit(
        name=response.name, ranks=response.ranks, diagram=made,
        product=_Product(program).form(response), features=response.features, bounds=tuple(bounds),
        margins=response.margins, atoms=tuple(sorted(reached)),
    )  # fmt: skip


class _Product:
    """The paper's class value: the product of the rule's literals, derived propositions included.

    Formulas beyond conjunctions are read the same way: `a | b` as 1 − (1 − a)(1 − b).
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.steps: list[ProductTerm] = []
        self.known: dict[ProductTerm, int] = {}
        self.definitions: dict[int, int] = {}

    def form(self, response: ResponseType) -> ProductForm:
        """The unnormalised value of every class."""
        values: list[list[int]] = [[] for _ in response.classes]
        left = self._product([])  # no rule so far
        negated: set[int] = set()  # the factors of `left`, each of which counts once
        rest: int | None = None
        for rule in response.rules:
            at = response.classes.index(rule.name)
            if isinstance(rule.formula, Otherwise):
                rest = at
                continue
            condition = self._step(rule.formula)
            if not response.cascade or not negated:
                values[at].append(condition)
            else:
                values[at].append(left if condition in negated else self._times(condition, left))
            fails = self._not(condition)
            if fails not in negated:
                left = self._times(left, fails) if negated else fails
                negated.add(fails)
        if rest is not None:
            values[rest].append(left)
        outputs = tuple(self._any(parts) for parts in values)
        return ProductForm(tuple(self.steps), outputs)

    def _add(self, term: ProductTerm) -> int:
        if term not in self.known:
            self.known[term] = len(self.steps)
            self.steps.append(term)
        return self.known[term]

    def _not(self, step: int) -> int:
        term = self.steps[step]
        return term.args[0] if term.op == "not" else self._add(ProductTerm("not", (step,)))

    def _product(self, steps: Sequence[int]) -> int:
        flat = tuple(dict.fromkeys(steps))
        return flat[0] if len(flat) == 1 else self._add(ProductTerm("product", flat))

    def _times(self, one: int, other: int) -> int:
        """Of two that are not operands of one `&`: a step may be both, as `none({a, b})` is what `a` and `b` leave."""
        return self._add(ProductTerm("product", (one, other)))

    def _any(self, steps: Sequence[int]) -> int:
        return steps[0] if len(steps) == 1 else self._not(self._product([self._not(s) for s in steps]))

    def _definition(self, number: int) -> int:
        if number not in self.definitions:
            self.definitions[number] = self._step(self.program.definitions[number].formula)
        return self.definitions[number]

    def _step(self, formula: Formula) -> int:
        match formula:
            case Const():
                return self._product([]) if formula.value else self._not(self._product([]))
            case Var():
                return self._add(ProductTerm("atom", (formula.atom,)))
            case Ref():
                with deep_recursion(4 * len(self.program.definitions) + 1000):
                    return self._definition(formula.definition)
            case Not():
                return self._not(self._step(formula.operand))
            case And():
                return self._product([self._step(operand) for operand in formula.operands])
            case Or():
                return self._any([self._step(operand) for operand in formula.operands])
            case Implies():
                return self._any([self._not(self._step(formula.left)), self._step(formula.right)])
            case Iff():
                left, right = self._step(formula.left), self._step(formula.right)
                return self._any([self._product([left, right]), self._product([self._not(left), self._not(right)])])
            case AtLeast():
                return self._at_least(formula)
            case ClassRef():
                raise AssertionError("this is a bug in rbrlang: a class inside a class rule")
            case _:
                assert_never(formula)

    def _at_least(self, formula: AtLeast) -> int:
        needed = [self._product([])] + [self._not(self._product([]))] * formula.k
        for operand in formula.operands:
            step = self._step(operand)
            needed = [needed[0]] + [
                self._any([self._product([step, needed[c - 1]]), self._product([self._not(step), needed[c]])])
                for c in range(1, formula.k + 1)
            ]
        return needed[formula.k]
