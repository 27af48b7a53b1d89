"""What is known about a name: what an editor shows beside the cursor.

Everything is said of the policy at hand: how probable a proposition or class is under the declared priors, given the
axioms, and whether the axioms already decide it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import assert_never

from rbrlang.budget import SpentError
from rbrlang.diagnostics import listed
from rbrlang.lang import syntax as tree
from rbrlang.lang.meaning.scope import Entity
from rbrlang.lang.program import Formula, Var
from rbrlang.logic.bdd import FALSE, NodeBudget
from rbrlang.logic.compile import edge_of
from rbrlang.lsp.names import Target
from rbrlang.lsp.workspace import Document, View
from rbrlang.source import Span


def percent(mass: float) -> str:
    """A probability as people read it."""
    if mass in (0.0, 1.0):
        return f"{100 * mass:.0f} %"
    return f"{100 * mass:.3g} %" if mass >= 1e-5 else f"{mass:.1e}"


def entity_of(view: View, target: Target) -> Entity | None:
    """The declaration that a target names, if the policy still has it."""
    scope = view.scopes.get(target.file)
    return None if scope is None else scope.own.get(target.name)


def response_of(view: View, target: Target) -> tuple[Entity, str] | None:
    """The response type and class that a class's target names."""
    owner, _, name = target.name.rpartition(".")
    entity = entity_of(view, Target("entity", target.file, owner))
    return None if entity is None else (entity, name)


def probabilities(document: Document, entities: Sequence[Entity]) -> list[float | None]:
    """P(true) of propositions and derived propositions under the priors, given the axioms; None where it is not decided.

    None too for what the policy does not reach, and while the axioms contradict each other.
    """
    program, compiled = document.checked.program, document.checked.compiled
    found: list[float | None] = [None] * len(entities)
    if compiled.axioms == FALSE:
        return found
    formulas: dict[Span, Formula] = {one.span: Var(atom, one.span) for atom, one in enumerate(program.propositions)}
    formulas |= {one.span: one.formula for one in program.definitions}
    edge, edges = edge_of(compiled, program), dict[int, int]()
    try:
        for at, entity in enumerate(entities):
            if entity.span in formulas:
                with suppress(NodeBudget):
                    edges[at] = edge(formulas[entity.span])
        shares = compiled.bdd.shares([*edges.values()], compiled.axioms, program.priors) if edges else None
    except (NodeBudget, SpentError):
        return found
    for at, share in zip(edges, shares or (), strict=False):
        found[at] = share
    return found


def probability(document: Document, entity: Entity) -> float | None:
    """`probabilities` of one."""
    return probabilities(document, [entity])[0]


def masses(document: Document, response: Entity) -> dict[str, float]:
    """The probability of each class of a response type under the priors; empty where it could not be decided."""
    built = {item.span: item for item in document.checked.program.responses}.get(response.span)
    audits = {item.name: item for item in document.checked.audit.responses}
    audit = audits.get(built.name) if built is not None else None
    return {} if built is None or audit is None else dict(zip(built.classes, audit.masses, strict=True))


def line_masses(document: Document, response: Entity) -> dict[Span, float]:
    """What each line of a cascade takes of what the lines before it leave, by the span of its class's name.

    Probabilities under the priors, given the axioms; empty where it could not be decided. The manager of diagrams keeps
    what it was asked, so that asking again costs no more than counting.
    """
    compiled = document.checked.compiled
    item = next((one for one in compiled.responses if one is not None and one.response.span == response.span), None)
    if item is None:
        return {}
    remaining, taken = compiled.axioms, list[int]()
    try:
        for rule in item.rules:
            taken.append(compiled.bdd.conjoin(remaining, rule.condition))
            remaining = compiled.bdd.conjoin(remaining, rule.condition ^ 1)
        shares = compiled.bdd.shares(taken, compiled.axioms, document.checked.program.priors)
    except (NodeBudget, SpentError):
        return {}
    return dict(zip((rule.span for rule in item.response.rules), shares or (), strict=False))


def hover(document: Document, target: Target) -> str | None:
    """A page about a target, in Markdown."""
    match target.kind:
        case "file":
            module = next((m for m in document.modules if m.key == target.file), None)
            if module is None:
                return None
            names = sorted(document.scopes[module.key].own)
            return f"**{module.module.source.name}**\n\n" + (
                "declares " + ", ".join(f"`{name}`" for name in names) if names else "declares nothing"
            )
        case "module":
            names = document.scopes[target.file].modules.get(target.name, {})
            return f"module **{target.name}**: " + ", ".join(f"`{name}`" for name in sorted(names))
        case "column":
            return "\n\n".join(_column(document, target))
        case "class":
            found = response_of(document, target)
            return None if found is None else "\n\n".join(_class(document, *found))
        case "entity":
            entity = entity_of(document, target)
            return None if entity is None else "\n\n".join(_entity(document, entity))
        case _:
            assert_never(target.kind)


def column_of(view: View, target: Target) -> tree.Column | None:
    """The declaration of a column that a target names."""
    for module in view.modules:
        for statement in module.module.statements if module.key == target.file else ():
            if isinstance(statement, tree.Column) and statement.name.text == target.name:
                return statement
    return None


def _column(document: Document, target: Target) -> Iterator[str]:
    found = column_of(document, target)
    yield f"column **{target.name}** of the rows"
    if found is not None:
        yield f"> {found.about.value}"
    program = document.checked.program
    users = [p.name for p in (*program.propositions, *program.variables) if target.name in p.columns]
    if users:
        yield f"asked about by {listed(users)}"
    if found is not None and found.doc:
        yield found.doc


def _class(document: Document, response: Entity, name: str) -> Iterator[str]:
    assert isinstance(response.declaration, tree.Response)
    tiers = [[ident.text for ident in tier] for tier in response.declaration.tiers]
    rank = next((at for at, tier in enumerate(tiers) if name in tier), None)
    if rank is None:
        return
    others = [other for other in tiers[rank] if other != name]
    place = "best" if rank == 0 else "worst" if rank == len(tiers) - 1 else f"{rank + 1} of {len(tiers)}"
    yield f"class **{response.name}.{name}** · rank: {place}" + (f", with {listed(others)}" if others else "")
    mass = masses(document, response).get(name)
    if mass is not None:
        yield f"probability under the priors: {percent(mass)}"
    built = {item.span: item for item in document.checked.program.responses}.get(response.span)
    rules = [rule for rule in built.rules if rule.name == name] if built is not None else []
    yield from (_code(rule.formula.span.text) for rule in rules)


def _entity(document: Document, entity: Entity) -> Iterator[str]:
    declaration = entity.declaration
    match declaration:
        case tree.Prop():
            yield f"proposition **{entity.name}**"
            yield f"> {declaration.statement.value}"
            asks = [item.question.value for item in declaration.items if isinstance(item, tree.Ask)]
            yield from (f"asked: {question}" for question in asks[:1])
            yield from _judged(document, entity)
            yield from _probability(document, entity)
            polarity = [item.answer for item in declaration.items if isinstance(item, tree.Example)]
            if polarity:
                yield f"examples: {sum(polarity)} yes, {len(polarity) - sum(polarity)} no"
        case tree.Variable():
            yield f"{declaration.kind} **{entity.name}**"
            yield f"> {declaration.statement.value}"
            asks = [item.question.value for item in declaration.items if isinstance(item, tree.Ask)]
            yield from (f"asked: {question}" for question in asks[:1])
            about = {
                item.value.text if isinstance(item.value, tree.Ident) else f"{item.value.value:g}": item.about.value
                for item in declaration.items
                if isinstance(item, tree.ValueItem)
            }
            for variable in document.checked.program.variables:
                if variable.span == entity.span:
                    chances = zip(variable.domain.values, variable.prior, strict=True)
                    yield "\n".join(
                        f"- `{v}` (prior {percent(p)})" + (f": {about[v]}" if v in about else "") for v, p in chances
                    )
        case tree.Assign():
            yield f"derived proposition **{entity.name}**"
            yield _code(declaration.body.span.text)
            yield from _probability(document, entity)
        case tree.Rubric():
            rubric = {item.span: item for item in document.checked.program.rubrics}.get(entity.span)
            yield f"rubric **{entity.name}**: what the criteria in the column `{declaration.column.text}` are worth"
            if rubric is not None:
                yield f"asked of each criterion: {rubric.question.question}"
                yield "features: " + listed(list(rubric.features))
        case tree.Group():
            yield f"group **{entity.name}**: " + (listed([path.text for path in declaration.members]) or "empty")
        case tree.Param():
            value = dict(document.checked.program.params).get(entity.name, declaration.value.value)
            yield f"parameter **{entity.name}** = {value:g} · set it with `-D {entity.name}=…`"
        case tree.Response():
            yield f"response type **{entity.name}**"
            found = masses(document, entity)
            for at, tier in enumerate(declaration.tiers):
                parts = [
                    f"`{c.text}`" + (f" {percent(found[c.text])}" if c.text in found else "") for c in tier
                ]  # fmt: skip
                yield f"{at + 1}. " + ", ".join(parts)
        case _:
            assert_never(declaration)
    if declaration.doc:
        yield declaration.doc


def _judged(document: Document, entity: Entity) -> Iterator[str]:
    """The text that a proposition is judged over, where that is not the one which needs no word."""
    for proposition in document.checked.program.propositions:
        if proposition.span == entity.span and proposition.over != "final":
            yield f"judged over: `{proposition.over}`"


def _probability(document: Document, entity: Entity) -> Iterator[str]:
    proposition = {item.span: item for item in document.checked.program.propositions}.get(entity.span)
    value = probability(document, entity)
    if value is None:
        return
    if value == 0.0:
        yield "never true, given the axioms"
    elif value == 1.0:
        yield "always true, given the axioms"
    else:
        given = " and the axioms" if document.checked.program.axioms else ""
        prior = f" (prior {proposition.prior:g})" if proposition is not None else ""
        yield f"probability under the priors{given}: {percent(value)}{prior}"


def _code(text: str) -> str:
    return f"```rbr\n{text}\n```"
