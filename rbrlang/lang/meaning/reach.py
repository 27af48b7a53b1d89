"""Which propositions does a policy use, and in which order can its definitions be built?

Whatever is visited gets a number: propositions the columns of every array downstream, derived propositions a place
behind all that they need. What nothing visits gets neither, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from rbrlang import codes
from rbrlang.budget import Budget
from rbrlang.diagnostics import Diagnostic
from rbrlang.lang import syntax as tree
from rbrlang.lang.meaning.formulas import mentioned
from rbrlang.lang.meaning.scope import Entity, Scope


class Reach:
    """What has been visited so far.

    `columns` numbers propositions, `names[column]` is unique even where two files use one name, as are the names of `variables`. `order` lists derived
    propositions, each behind those it uses; `defined` gives their places in it, None for broken ones (reported).
    """

    def __init__(self, scopes: dict[str, Scope], diagnostics: list[Diagnostic], budget: Budget) -> None:
        self.budget = budget
        self.scopes = scopes
        self.diagnostics = diagnostics
        self.columns: dict[Entity, int] = {}
        self.names: list[str] = []
        self.variables: dict[Entity, str] = {}
        self.order: list[Entity] = []
        self.defined: dict[Entity, int | None] = {}
        self._taken: set[str] = set()

    def visit(self, entity: Entity) -> None:
        """Number a proposition; order a definition behind what it needs. Depth first, without recursion."""
        path: list[tuple[Entity, Iterator[Entity]]] = []
        open_: dict[Entity, None] = {}

        def enter(entity: Entity) -> None:
            if entity in self.columns or entity in self.defined or entity in self.variables:
                return
            declaration = entity.declaration
            if isinstance(declaration, tree.Prop):
                self.columns[entity] = len(self.names)
                self.names.append(self.name(entity))
            elif isinstance(declaration, tree.Variable):
                self.variables[entity] = self.name(entity)
            elif entity in open_:
                self.budget.spend(len(open_) // 20)
                self._recursive([*open_][list(open_).index(entity) :])
            elif isinstance(declaration, tree.Assign) and not isinstance(declaration.body, tree.OtherwiseBody):
                self.budget.at(entity.span)
                open_[entity] = None
                path.append((entity, mentioned(declaration.body, self.scopes[entity.module], self.scopes)))
            else:
                self.defined[entity] = None
                self.diagnostics.append(Diagnostic(
                    codes.WRONG_KIND, "`otherwise` belongs to the rules of a response type", declaration.span,
                    help=f"write a formula, or `response_type.{entity.name} := otherwise`",
                ))  # fmt: skip

        enter(entity)
        while path:
            current, needs = path[-1]
            self.budget.spend(1)
            following = next(needs, None)
            if following is not None:
                enter(following)
                continue
            path.pop()
            del open_[current]
            if current not in self.defined:
                self.defined[current] = len(self.order)
                self.order.append(current)

    def spans(self, entities: Iterable[Entity]) -> bool:
        """Whether some entities, derived ones through all that they need, speak of nothing but what was visited."""
        pending, seen = list(entities), set[Entity]()
        while pending:
            entity = pending.pop()
            if entity in self.columns or entity in self.variables or entity in self.defined or entity in seen:
                continue
            seen.add(entity)
            declaration = entity.declaration
            if not isinstance(declaration, tree.Assign) or isinstance(declaration.body, tree.OtherwiseBody):
                return False
            pending += mentioned(declaration.body, self.scopes[entity.module], self.scopes)
        return True

    def _recursive(self, cycle: list[Entity]) -> None:
        self.budget.at(cycle[0].span)
        self.budget.spend(len(cycle))
        for entity in cycle:
            self.defined[entity] = None
        names = [e.name for e in cycle[:6]] + ["…"] * (len(cycle) > 6) + [cycle[0].name]
        self.diagnostics.append(Diagnostic(
            codes.RECURSIVE, f"`{cycle[0].name}` is defined by itself: " + " → ".join(names), cycle[0].span,
            related=tuple((f"`{e.name}` is defined here", e.span) for e in cycle[1:6]),
            help="a definition may only use what is defined without it",
        ))  # fmt: skip

    def name(self, entity: Entity) -> str:
        """A name that nothing else in use has, nor a variable's value in the columns of rows; it is taken from now on."""
        name = entity.name
        if name in self._taken:
            name = f"{Path(entity.module).stem}.{name}"
            base, copy = name, 1
            while name in self._taken:
                self.budget.spend(1)
                copy += 1
                name = f"{base}_{copy}"
        self._taken.add(name)
        if isinstance(entity.declaration, tree.Variable):
            options = (item.value for item in entity.declaration.items if isinstance(item, tree.ValueItem))
            self._taken |= {f"{name}.{option.text}" for option in options if isinstance(option, tree.Ident)}
        return name
