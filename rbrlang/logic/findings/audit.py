"""Do the rules say what they mean, for every completion at once?

Each response type's classes must partition the assignments that the axioms allow: no gap, no overlap,
no class that cannot be. Every finding carries the smallest witness and its mass under the declared
priors, given the axioms.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from rbrlang import codes
from rbrlang.codes import Code
from rbrlang.diagnostics import Diagnostic, has_errors
from rbrlang.lang.program import Judged, Monotone, Program, Property, TruthTest
from rbrlang.logic.bdd import FALSE, TRUE, NodeBudget
from rbrlang.logic.compile import Compiled, CompiledResponse, compile_formula, too_large
from rbrlang.logic.diagram import Diagram, diagram
from rbrlang.logic.findings.lint import lint
from rbrlang.logic.findings.monotone import Trends, climb, is_strictly
from rbrlang.logic.findings.redundant import redundant
from rbrlang.logic.witness import smallest_witness
from rbrlang.source import Span
from rbrlang.values import NamedTuple

_TEST, _PROPERTY = 5, 20  # steps


class ResponseAudit(NamedTuple):
    """What was found out about one response type. `masses[c]` is class c's prior probability."""

    name: str
    partition: bool
    masses: tuple[float, ...]
    atoms: tuple[int, ...]


class Audit(NamedTuple):
    """All findings about a program's logic, and a summary per response type that could be decided.

    `diagrams` are those of a circuit, one a response type, which a program without errors has: they are made once.
    """

    diagnostics: tuple[Diagnostic, ...]
    responses: tuple[ResponseAudit, ...]
    diagrams: tuple[Diagram, ...] = ()


def audit(program: Program, compiled: Compiled, *, whole: bool = True, reported: Collection[Span] = ()) -> Audit:
    """Prove the partition of every response type; run truth tests and properties; lint.

    `whole` says that nothing was left out of the program for a mistake in its text; operands `reported` already are not
    called needless too.
    """
    auditor = _Auditor(program, compiled)
    diagnostics = list(auditor.axioms())
    responses: list[ResponseAudit] = []
    if not diagnostics:
        for response, item in zip(program.responses, compiled.responses, strict=True):
            auditor.work.at(response.span)
            try:
                if item is None:
                    raise NodeBudget
                compiled.bdd.budget = len(compiled.bdd) + compiled.budget
                findings = list(auditor.response(item))
                summary = auditor.summary(item, findings)
            except NodeBudget:
                diagnostics.append(too_large(response))
                continue
            diagnostics += findings
            responses.append(summary)
        diagnostics += auditor.tests()
        diagnostics += auditor.properties()
        diagnostics += auditor.monotones()
    if whole and not has_errors(diagnostics):
        diagnostics += auditor.signs()
        said = {*reported, *(diagnostic.span for diagnostic in diagnostics)}  # a line that is never reached, above all
        diagnostics += [d for d in redundant(program, compiled) if d.span not in said]
        diagnostics += auditor.together()
    diagnostics += lint(program, whole=whole, work=auditor.work)
    return Audit(tuple(diagnostics), tuple(responses), tuple(auditor.diagrams))


class _Auditor:
    def __init__(self, program: Program, compiled: Compiled) -> None:
        self.program = program
        self.compiled = compiled
        self.bdd = compiled.bdd
        self.names = program.atoms
        self.priors = program.priors
        self.work = compiled.bdd.work
        self.diagrams: list[Diagram] = []
        # What holds of every text, and is no axiom that an author could change: a count above 9 is above 5. Made now, since
        # what is made within `scratch` is gone at its end.
        both = zip(compiled.axiom_edges, program.axioms, strict=False)
        self._counted = self.bdd.conjoin_all(edge for edge, axiom in both if axiom.implied)

    def _can_be(self, edge: int) -> bool:
        """Whether a text could make a function true, the author's axioms aside."""
        return self.bdd.conjoin(edge, self._counted) != FALSE

    def _finding(
        self, code: Code, message: str, span: Span, edge: int, context: int, *,
        related: tuple[tuple[str, Span], ...] = (), help: str = "",
    ) -> Diagnostic:  # fmt: skip
        """A diagnostic with the smallest witness of `edge` within `context`, and its mass."""
        found = smallest_witness(self.bdd, edge, context)
        witness = None if found is None else self.program.said(found)
        return Diagnostic(
            code, message, span, related=related, help=help, witness=witness, mass=self.mass(edge, context),
        )  # fmt: skip

    def mass(self, edge: int, context: int) -> float:
        """P(edge | context) under the priors; 0 when the context has no mass."""
        shares = self.bdd.shares([edge], context, self.priors)
        return shares[0] if shares is not None else 0.0

    def axioms(self) -> Iterator[Diagnostic]:
        """The first axiom that leaves nothing possible, with those of the earlier ones that it needs for that."""
        axioms, edges = self.program.axioms, self.compiled.axiom_edges
        if len(edges) < len(axioms):
            yield Diagnostic(
                codes.TOO_LARGE, "the axioms are too large to decide", axioms[0].span,
                help="state fewer independent combinations; axioms speak of the few facts that rules rely on",
            )  # fmt: skip
            return
        if self.compiled.axioms != FALSE:
            return
        so_far, last = TRUE, 0
        while so_far != FALSE:
            so_far = self.bdd.conjoin(so_far, edges[last])
            last += 1
        core = list(range(last))
        for at in range(last - 1):
            self.work.at(axioms[at].span)
            self.work.spend(len(core))
            without = [other for other in core if other != at]
            if self.bdd.conjoin_all(edges[other] for other in without) == FALSE:
                core = without
        yield Diagnostic(
            codes.CONTRADICTORY_AXIOMS, "no completion satisfies all axioms", axioms[last - 1].span,
            related=tuple(("together with this", axioms[at].span) for at in core[:-1] if not axioms[at].implied),
            help="remove or weaken one of them",
        )  # fmt: skip

    def response(self, item: CompiledResponse) -> Iterator[Diagnostic]:
        """Gap, overlaps, impossible classes, implied rules, unreachable lines."""
        response, context, bdd = item.response, item.context, self.bdd
        name = response.name
        gap = bdd.conjoin(context, bdd.disjoin_all(item.classes) ^ 1)
        if gap != FALSE:
            yield self._finding(
                codes.GAP, f"some completions have no class in `{name}`", response.span, gap, context,
                help="add the case to a rule, or give one class `otherwise`",
            )  # fmt: skip
        spans = {rule.name: rule.span for rule in response.rules}
        classes = response.classes
        if not response.cascade:
            yield from self._overlaps(item, spans)
        for at, class_name in enumerate(classes):
            if bdd.conjoin(context, item.classes[at]) == FALSE:
                yield Diagnostic(
                    codes.IMPOSSIBLE_CLASS, f"no completion can be `{name}.{class_name}`", spans[class_name],
                    help=self._why_impossible(item, at),
                )  # fmt: skip
        if response.cascade:
            with bdd.scratch():
                yield from tuple(self._unreachable(item))

    def _why_impossible(self, item: CompiledResponse, at: int) -> str:
        """What leaves nothing to a class: its own rule, the axioms, or what other rules take before it."""
        self.work.spend(len(item.rules) // 10)
        mine = [rule for rule in item.rules if rule.class_index == at]
        asked = TRUE if any(rule.otherwise for rule in mine) else self.bdd.disjoin_all(r.condition for r in mine)
        others = "earlier lines" if item.response.cascade else "the other rules"
        if not self._can_be(asked):
            return "its rule contradicts itself; change it, or remove the class"
        if self.bdd.conjoin(self.compiled.axioms, asked) == FALSE:
            return "the axioms exclude all that its rule describes; change one of them"
        if not self._can_be(item.classes[at]):
            return f"{others} leave nothing for it; change one of them, or remove the class"
        return f"{others} and the axioms leave nothing for it; change one of them, or remove the class"

    def _overlaps(self, item: CompiledResponse, spans: dict[str, Span]) -> Iterator[Diagnostic]:
        response, context, bdd = item.response, item.context, self.bdd
        classes = response.classes
        inside = [bdd.conjoin(edge, context) for edge in item.classes]
        suspects: list[int] = []  # classes that meet a later one
        later = FALSE
        for first in reversed(range(len(classes))):
            if bdd.conjoin(inside[first], later) != FALSE:
                suspects.append(first)
            later = bdd.disjoin(inside[first], later)
        for second in range(len(classes)):
            for first in (first for first in reversed(suspects) if first < second):
                both = bdd.conjoin(inside[first], inside[second])
                if both == FALSE:
                    continue
                a, b = classes[first], classes[second]
                yield self._finding(
                    codes.OVERLAP, f"some completions are both `{a}` and `{b}` in `{response.name}`", spans[b],
                    both, context, related=((f"`{a}` is ruled here", spans[a]),),
                    help=f"exclude one from the other, or let `{b}` be `otherwise`",
                )  # fmt: skip
                if both in (inside[first], inside[second]):
                    inner, outer = (a, b) if both == inside[first] else (b, a)
                    same = inside[first] == inside[second]
                    says = "says the same as" if same else "is contained in"
                    part, whole = item.classes[classes.index(inner)], item.classes[classes.index(outer)]
                    apart = bdd.equal(part, whole) ^ 1 if same else bdd.conjoin(part, whole ^ 1)
                    reason = " under the axioms" if self._can_be(apart) else ""
                    yield Diagnostic(
                        codes.IMPLIED_RULE, f"the rule of `{inner}` {says} that of `{outer}`{reason}", spans[inner],
                        related=((f"`{outer}` is ruled here", spans[outer]),),
                        help=f"if `{inner}` should win, add `!(…)` to `{outer}`, or write a cascade",
                    )  # fmt: skip

    def _unreachable(self, item: CompiledResponse) -> Iterator[Diagnostic]:
        """Lines that earlier ones leave nothing to. On a very long cascade the later lines are not looked at."""
        remaining = self.compiled.axioms  # a line may mention what its class does not depend on
        for rule, line in zip(item.rules, item.response.rules, strict=True):
            self.work.at(line.span)
            try:
                reached = self.bdd.conjoin(remaining, rule.condition) != FALSE
                allowed = self.bdd.conjoin(self.compiled.axioms, rule.condition) != FALSE
                sound = self._can_be(rule.condition)
                remaining = self.bdd.conjoin(remaining, rule.condition ^ 1)
            except NodeBudget:
                return
            possible = self.bdd.conjoin(item.context, item.classes[rule.class_index]) != FALSE
            if not reached and possible:  # else the class is reported as impossible
                if not sound:
                    help = "it contradicts itself; change it, or remove it"
                elif not allowed:
                    help = "the axioms exclude all that it describes; remove it, or change one of them"
                else:
                    help = "earlier lines leave nothing to it; remove it" + ", or move it up" * (not rule.otherwise)
                yield Diagnostic(
                    codes.UNREACHABLE_LINE, f"this line of `{item.response.name}` is never reached", line.span, help=help,
                )  # fmt: skip

    def summary(self, item: CompiledResponse, findings: list[Diagnostic]) -> ResponseAudit:
        """The response type in numbers."""
        partition = not any(f.code in (codes.GAP, codes.OVERLAP) for f in findings)
        masses = tuple(self.mass(edge, item.context) for edge in item.classes)
        atoms = tuple(sorted(self.bdd.support([*item.classes, item.context])))
        return ResponseAudit(item.response.name, partition, masses, atoms)

    # --- tests and properties -----------------------------------------------------------------

    def tests(self) -> Iterator[Diagnostic]:
        """Every truth test that fails."""
        for test in self.program.tests:
            if isinstance(test, TruthTest):
                self.work.at(test.span)
                problem = test_failure(self.program, self.compiled, test)
                if problem is not None:
                    yield problem

    def properties(self) -> Iterator[Diagnostic]:
        """Every property that some completion violates."""
        for item in self.program.properties:
            compiled = self.compiled.responses[item.response]
            if compiled is None:
                continue
            self.work.at(item.span)
            self.work.spend(_PROPERTY + len(self.compiled.definitions) // 50)
            try:
                with self.bdd.scratch():
                    problem = self._violation(item, compiled)
            except NodeBudget:
                problem = Diagnostic(
                    codes.TOO_LARGE, f'"{item.title}" is too large to decide', item.span,
                    help="state it as several smaller properties",
                )  # fmt: skip
            if problem is not None:
                yield problem

    def _violation(self, item: Property, compiled: CompiledResponse) -> Diagnostic | None:
        context = self.compiled.axioms
        self.bdd.budget = len(self.bdd) + self.compiled.budget
        holds = compile_formula(self.compiled, self.program, item.formula, compiled)
        violated = self.bdd.conjoin(holds ^ 1, context)
        if violated == FALSE:
            return None
        return self._finding(
            codes.PROPERTY_VIOLATED, f'"{item.title}" does not hold for `{compiled.response.name}`',
            item.span, violated, context, help="change the rules, the property, or state the axiom it needs",
        )  # fmt: skip

    def monotones(self) -> Iterator[Diagnostic]:
        """Every `monotone` claim that some pair of completions breaks."""
        of: dict[int, list[Monotone]] = {}
        for claim in self.program.monotones:
            of.setdefault(claim.response, []).append(claim)
        for number, claims in sorted(of.items()):
            compiled = self.compiled.responses[number]
            if compiled is None:
                continue
            self.work.at(claims[0].span)
            with self.bdd.scratch():
                self.bdd.budget = len(self.bdd) + self.compiled.budget
                try:
                    trends = Trends(self.bdd, compiled)
                    found = [self._against(claim, compiled, trends) for claim in claims]
                except NodeBudget:
                    found = [Diagnostic(
                        codes.TOO_LARGE, f"monotonicity of `{compiled.response.name}` is too large to decide",
                        claims[0].span, help="claim it of fewer propositions, or split the response type",
                    )]  # fmt: skip
            yield from (diagnostic for diagnostic in found if diagnostic is not None)

    def _against(self, claim: Monotone, compiled: CompiledResponse, trends: Trends) -> Diagnostic | None:
        self.work.at(claim.span)
        if claim.scale is not None:
            return self._against_scale(claim, claim.scale, compiled)
        trend = trends.of(claim.atom)
        wrong = trend.worse if claim.up else trend.better
        move = None if wrong == FALSE else trends.move(claim.atom, up=not claim.up)
        if move is None:
            return None
        classes, name = compiled.response.classes, self.names[claim.atom]
        spans = {rule.name: rule.span for rule in compiled.response.rules}
        before, after = classes[move.before], classes[move.after]
        direction = "worse" if claim.up else "better"
        witness = self.program.said({**move.others, claim.atom: True})
        return Diagnostic(
            codes.NOT_MONOTONE, f"`{name}` can make `{compiled.response.name}` {direction}: `{before}` becomes `{after}`",
            claim.span, related=((f"with `{name}`", spans[after]), (f"with `!{name}`", spans[before])),
            witness=witness, mass=self.mass(wrong, trends.both(claim.atom)),
            help=f"the witness is `{after}`; with `!{name}` instead it is `{before}`; change the rules or the claim",
        )  # fmt: skip

    def _against_scale(self, claim: Monotone, scale: int, compiled: CompiledResponse) -> Diagnostic | None:
        first, domain = self.program.domains[scale]
        found = climb(self.bdd, compiled, first, domain, up=not claim.up)
        if found is None:
            return None
        classes = compiled.response.classes
        spans = {rule.name: rule.span for rule in compiled.response.rules}
        before, after = classes[found.before], classes[found.after]
        low, high = (domain.values[level] for level in found.levels)
        direction = "worse" if claim.up else "better"
        steps = {first + step: holds for step, holds in domain.literals(found.levels[1])}
        return Diagnostic(
            codes.NOT_MONOTONE,
            f"a higher `{domain.name}` can make `{compiled.response.name}` {direction}: `{before}` becomes `{after}`",
            claim.span, related=((f"at {high}", spans[after]), (f"at {low}", spans[before])),
            witness=self.program.said({**found.others, **steps}), mass=self.mass(found.wrong, found.both),
            help=f"the witness is `{after}`; at {low} instead it is `{before}`; change the rules or the claim",
        )  # fmt: skip

    def together(self) -> Iterator[Diagnostic]:
        """Response types whose classes fit the budget each, but not in the one diagram that a circuit has of them."""
        for item in self.compiled.responses:
            if item is not None:
                self.work.at(item.response.span)
                self.bdd.budget = len(self.bdd) + self.compiled.budget
                try:
                    with self.bdd.scratch():
                        made = diagram(self.bdd, item.classes, item.context)
                except NodeBudget:
                    made = None
                if made is None or len(made.nodes) > self.compiled.budget:
                    yield too_large(item.response)
                else:
                    self.diagrams.append(made)
        # A circuit is made of what was just seen to fit, whatever was asked of the manager before.
        self.bdd.budget = len(self.bdd) + 4 * self.compiled.budget

    def signs(self) -> Iterator[Diagnostic]:
        """Weights that must be positive though their proposition only ever makes the class worse, or the reverse."""
        for item in self.compiled.responses:
            signed = [] if item is None else [
                (bound, item.response.features[bound.feature]) for bound in item.response.bounds
                if bound.low > 0 or bound.high < 0
            ]  # fmt: skip
            if item is not None:
                self.work.at(item.response.span)
                self.work.spend(len(signed))
            if item is None or not any(feature.kind == "proposition" for _, feature in signed):
                continue
            self.bdd.budget = len(self.bdd) + self.compiled.budget
            try:
                with self.bdd.scratch():
                    trends = Trends(self.bdd, item)
                    wrong = [
                        (bound, feature.name) for bound, feature in signed
                        if feature.kind == "proposition" and is_strictly(trends.of(feature.index), up=bound.high < 0)
                    ]  # fmt: skip
            except NodeBudget:
                continue  # too large to say: saying nothing is right
            for bound, name in wrong:
                moves, sign = ("worse", "positive") if bound.low > 0 else ("better", "negative")
                yield Diagnostic(
                    codes.SIGN_CONTRADICTS_RANK,
                    f"`{name}` only ever makes `{item.response.name}` {moves}, but its weight is {sign}", bound.span,
                    help="change the sign, or leave the weight to fitting",
                )  # fmt: skip


_NOT_GIVEN = "every proposition that is not given is false"
_LOWEST = ", every scale at its lowest level, every choice its first option"


def _shown(program: Program, test: TruthTest, true: frozenset[int]) -> tuple[tuple[str, bool], ...]:
    """What holds in a test, of variables what it gives."""
    given = dict(test.given)
    steps = {
        atom: atom in true
        for first, domain in program.domains
        for atom in range(first, first + len(domain.values) - 1)
        if any(first <= one < first + len(domain.values) - 1 for one in given)
    }
    last, first = program.first_measure, len(program.propositions)
    return program.said({**{atom: True for atom in true if not first <= atom < last}, **steps})


def assignment(program: Program, test: TruthTest) -> frozenset[int]:
    """The atoms that hold in a test: those given, and every smaller threshold of a given measure.

    A variable that is not given has its lowest level, or its first option.
    """
    given = dict(test.given)
    true = {atom for atom, value in given.items() if value}
    for start, domain in program.domains:
        if not any(start <= atom < start + len(domain.values) - 1 for atom in given):
            true |= {start + step for step, holds in domain.literals(domain.default) if holds}
    first = program.first_measure
    highest: dict[tuple[str, str, Judged], int] = {}
    for atom in true:
        if atom >= first:
            measure = program.measures[atom - first]
            highest[measure.quantity] = max(measure.threshold, highest.get(measure.quantity, 0))
    for number, other in enumerate(program.measures) if highest else ():
        if other.threshold < highest.get(other.quantity, 0) and given.get(first + number, True):
            true.add(first + number)
    return frozenset(true)


def test_failure(program: Program, compiled: Compiled, test: TruthTest) -> Diagnostic | None:
    """Run one truth test; the diagnostic when it fails."""
    item = compiled.responses[test.response]
    if item is None:
        return None
    if any(value and atom >= program.first_measure for atom, value in test.given):
        compiled.bdd.work.spend(len(program.measures) // 5)
    true = assignment(program, test)
    title = f'test "{test.title}"'
    compiled.bdd.work.spend(_TEST)
    if not compiled.bdd.holds(compiled.axioms, true):
        broken = [
            axiom.span for axiom, edge in zip(program.axioms, compiled.axiom_edges, strict=True)
            if not compiled.bdd.holds(edge, true)
        ]  # fmt: skip
        return Diagnostic(
            codes.TEST_FAILED, f"{title} gives what the axioms exclude", test.span,
            related=(("excluded here", broken[0]),) if broken else (),
            help="propositions that are not given are false; give those that the axiom implies",
        )  # fmt: skip
    found = [
        name for name, edge in zip(item.response.classes, item.classes, strict=True)
        if compiled.bdd.holds(edge, true)
    ]  # fmt: skip
    if len(found) == 1 and found[0] in test.expect:
        return None
    compiled.bdd.work.spend((len(program.atoms) + len(item.response.rules)) // 20)
    got = " and ".join(f"`{name}`" for name in found) or "no class"
    return Diagnostic(
        codes.TEST_FAILED, f"{title} expects {' or '.join(f'`{e}`' for e in test.expect)}, got {got}", test.span,
        related=tuple((f"`{r.name}` is ruled here", r.span) for r in item.response.rules if r.name in found)[:2],
        witness=_shown(program, test, true),
        help=_NOT_GIVEN + (_LOWEST if program.variables else ""),
    )  # fmt: skip
