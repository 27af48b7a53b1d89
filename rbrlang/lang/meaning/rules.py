"""Which rule does each class of a response type have?

Collects the class rules of all files: flat ones (`R.c := …`), those for every response type
(`*.c := …`), the lines of cascades, and overrides of imported rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rbrlang import codes
from rbrlang.budget import Budget
from rbrlang.diagnostics import Diagnostic, Fix, twice
from rbrlang.lang import syntax as tree
from rbrlang.lang.load import LoadedModule
from rbrlang.lang.meaning.formulas import Formulas, known_classes, names_super
from rbrlang.lang.meaning.scope import STATEMENT, Entity, Scope, resolve
from rbrlang.lang.program import ClassRule, Formula, Otherwise, ResponseType
from rbrlang.source import Span

Body = tree.Formula | tree.OtherwiseBody


@dataclass(frozen=True, slots=True)
class _Line:
    """One rule as written in the file `home`; `name` is the class's name there.

    An override keeps the line that it `replaced`, for `super`.
    """

    name: tree.Ident
    body: Body
    home: str
    replaced: _Line | None = None


@dataclass
class _Rules:
    """The rules written for one response type, in order; what stands first for each class."""

    classes: dict[str, None]
    lines: list[_Line] = field(default_factory=list[_Line])
    first: dict[str, tree.Ident] = field(default_factory=dict[str, tree.Ident])
    rest: tree.Ident | None = None
    broken: bool = False


class RuleBook:
    """The class rules of every response type in the loaded files."""

    def __init__(
        self, modules: Mapping[str, LoadedModule], scopes: dict[str, Scope], diagnostics: list[Diagnostic]
    ) -> None:
        self._modules = modules
        self._scopes = scopes
        self._diagnostics = diagnostics
        self._rules: dict[Entity, _Rules] = {}
        for module in modules.values():
            self._collect(module)
        for module in modules.values():  # children first: an importer overrides what it imports
            for statement in module.module.statements:
                if isinstance(statement, tree.Override):
                    self._override(statement, module.key)

    def formulas_of(self, response: Entity) -> Iterator[tuple[tree.Formula, Scope]]:
        """The formulas of a response type's rules, as written, each with the scope of its names."""
        for line in self._rules[response].lines:
            current: _Line | None = line
            while current is not None and not isinstance(current.body, tree.OtherwiseBody):
                yield current.body, self._scopes[current.home]
                current = current.replaced if names_super(current.body) else None

    def _collect(self, module: LoadedModule) -> None:
        budget = self._scopes[module.key].budget
        own = [e for e in self._scopes[module.key].own.values() if isinstance(e.declaration, tree.Response)]
        for entity in own:
            assert isinstance(entity.declaration, tree.Response)
            budget.at(entity.span)
            budget.spend(len(entity.declaration.tiers) + len(entity.declaration.cascade or ()))
            rules = self._rules.setdefault(entity, _Rules(_classes(entity.declaration)))
            for line in entity.declaration.cascade or ():
                self._add(entity, rules, line.name, line.body, cascade=True)
        everywhere: list[tree.Assign] = []
        first: dict[str, tree.Ident] = {}  # the first `*` rule of each class
        for statement in module.module.statements:
            if isinstance(statement, tree.Assign) and statement.every:
                everywhere.append(statement)
            elif isinstance(statement, tree.Assign) and len(statement.target.parts) > 1:
                self._flat(statement, module.key)
        for statement in everywhere:
            name = statement.target.parts[0]
            budget.at(statement.span)
            budget.spend(STATEMENT + len(own))
            having = [entity for entity in own if name.text in self._rules[entity].classes]
            if not having:
                self._diagnostics.append(Diagnostic(
                    codes.UNKNOWN_CLASS, f"no response type of this file has a class `{name.text}`", name.span,
                    help="`*.class` gives a rule to every response type here that ranks the class",
                ))  # fmt: skip
            earlier = first.setdefault(name.text, name)
            lacking = [entity for entity in having if name.text not in self._rules[entity].first]
            if earlier is not name:
                self._diagnostics.append(Diagnostic(
                    codes.TWO_RULES, f"`*.{name.text}` has two rules", name.span,
                    related=(("the first", earlier.span),), help="join them with `|`, or remove one",
                ))  # fmt: skip
            elif having and not lacking:
                self._diagnostics.append(Diagnostic(
                    codes.UNUSED_DEFINITION, f"every response type with a class `{name.text}` has a rule of its own for it",
                    name.span, help=f"remove one of the two; `*.{name.text}` holds where there is no other rule",
                ))  # fmt: skip
            for entity in lacking:
                self._add(entity, self._rules[entity], name, statement.body, cascade=False)

    def _owner(self, target: tree.Path, key: str) -> Entity | None:
        """The response type whose class a dotted target names; reported when there is none."""
        owner = tree.Path(target.parts[:-1], target.parts[0].span.to(target.parts[-2].span))
        entity = resolve(self._scopes[key], owner, "response type", (tree.Response,))
        if isinstance(entity, Diagnostic):
            self._diagnostics.append(entity)
            return None
        return entity

    def _flat(self, statement: tree.Assign, key: str) -> None:
        target = statement.target
        self._scopes[key].budget.at(statement.span)
        self._scopes[key].budget.spend(STATEMENT)
        entity = self._owner(target, key)
        if entity is None:
            return
        if entity.module != key:
            start = Span(statement.span.source, statement.span.start, statement.span.start)
            self._diagnostics.append(Diagnostic(
                codes.WRONG_KIND, f"`{entity.name}` is imported; its rules belong to its own file", target.span,
                related=(("declared here", entity.span),), help=f"to replace the rule, write `override {target.text} := …`",
                fixes=(Fix("write `override`", start, "override ", "maybe-incorrect"),),
            ))  # fmt: skip
            return
        self._add(entity, self._rules[entity], target.parts[-1], statement.body, cascade=False)

    def _override(self, statement: tree.Override, key: str) -> None:
        """Put another line in the place of the one that an imported response type has for a class."""
        target = statement.target
        self._scopes[key].budget.at(statement.span)
        self._scopes[key].budget.spend(STATEMENT)
        if len(target.parts) < 2 or (len(target.parts) == 2 and target.parts[0].text in self._scopes[key].modules):
            self._diagnostics.append(Diagnostic(
                codes.BAD_OVERRIDE, f"`{target.text}` is not the class of a response type", target.span,
                help="write `override response_type.class := …`",
            ))  # fmt: skip
            return
        entity = self._owner(target, key)
        if entity is None:
            return
        name, rules = target.parts[-1], self._rules[entity]
        self._scopes[key].budget.spend(len(rules.lines) // 5)
        lines = [at for at, line in enumerate(rules.lines) if line.name.text == name.text]
        problem = known_classes(name, rules.classes, entity.name)
        start = Span(statement.span.source, statement.span.start, target.span.start)
        if problem is None and entity.module == key:
            problem = Diagnostic(
                codes.BAD_OVERRIDE, f"`{entity.name}` is declared in this file", target.span,
                related=(("declared here", entity.span),), help="change its rule where it stands",
                fixes=(Fix("remove `override`", start, "", "maybe-incorrect"),),
            )  # fmt: skip
        elif problem is None and len(lines) > 1:
            problem = Diagnostic(
                codes.BAD_OVERRIDE, f"`{name.text}` has {len(lines)} lines in the cascade of `{entity.name}`", target.span,
                related=tuple(("one of them", rules.lines[at].name.span) for at in lines[:2]),
                help="only a class with one line can be overridden; declare a response type of this file instead",
            )  # fmt: skip
        if problem is None and lines:
            problem = self._replace(entity, rules, lines[0], _Line(name, statement.body, key, rules.lines[lines[0]]))
        if problem is not None:
            self._diagnostics.append(problem)

    def _replace(self, entity: Entity, rules: _Rules, at: int, line: _Line) -> Diagnostic | None:
        """Set a line anew, unless that would lose an override that this file does not know of."""
        earlier = rules.lines[at]
        if earlier.home == line.home or (earlier.replaced is not None and not self._imports(line.home, earlier.home)):
            return Diagnostic(
                codes.TWO_RULES, f"`{entity.name}.{line.name.text}` is overridden twice", line.name.span,
                related=(("the first", earlier.name.span),), help="keep one of them",
            )  # fmt: skip
        if isinstance(earlier.body, tree.OtherwiseBody):
            if not isinstance(line.body, tree.OtherwiseBody) and names_super(line.body):
                return Diagnostic(
                    codes.BAD_OVERRIDE, f"the rule of `{entity.name}.{line.name.text}` is `otherwise`, which is no formula",
                    line.name.span, related=(("the rule", earlier.name.span),), help="say without `super` what it should be",
                )  # fmt: skip
            rules.rest = None
        if isinstance(line.body, tree.OtherwiseBody):
            if rules.rest is not None:
                return _two_rests(entity, line.body, rules.rest)
            rules.rest = line.name
        rules.lines[at] = line
        return None

    def _imports(self, key: str, other: str) -> bool:
        """Whether one file imports another, directly or through others."""
        pending, seen = [key], {key}
        while pending:
            for _, child in self._modules[pending.pop()].imports:
                if child not in seen:
                    seen.add(child)
                    pending.append(child)
        return other in seen

    def _add(self, entity: Entity, rules: _Rules, name: tree.Ident, body: Body, *, cascade: bool) -> None:
        assert isinstance(entity.declaration, tree.Response)
        problem = known_classes(name, rules.classes, entity.name)
        if problem is None and not cascade and entity.declaration.cascade is not None:
            problem = Diagnostic(
                codes.TWO_RULES, f"`{entity.name}` is a cascade; its classes have no rules of their own", name.span,
                related=(("the cascade", entity.span),), help="add a line to the cascade instead",
            )  # fmt: skip
        earlier = rules.first.get(name.text)
        if problem is None and not cascade and earlier is not None:
            problem = Diagnostic(
                codes.TWO_RULES, f"`{entity.name}.{name.text}` has two rules", name.span,
                related=(("the first", earlier.span),), help="join them with `|`, or remove one",
            )  # fmt: skip
        if problem is None and isinstance(body, tree.OtherwiseBody) and rules.rest is not None:
            problem = _two_rests(entity, body, rules.rest)
        if problem is not None:
            self._diagnostics.append(problem)
            rules.broken = True
            return
        rules.lines.append(_Line(name, body, entity.module))
        rules.first.setdefault(name.text, name)
        if isinstance(body, tree.OtherwiseBody):
            rules.rest = name

    def response(self, entity: Entity, formulas: Formulas) -> ResponseType | None:
        """The elaborated response type; None when a class lacks a rule or a rule is broken."""
        declaration = entity.declaration
        assert isinstance(declaration, tree.Response)
        rules = self._rules[entity]
        broken = rules.broken or self._duplicate_classes(declaration, self._scopes[entity.module].budget)
        lost = self._modules[entity.module].module.lost
        for ident in (ident for tier in declaration.tiers for ident in tier):
            if ident.text not in rules.first:
                broken = True
                if not rules.broken and not {f"{entity.name}.{ident.text}", f"*.{ident.text}"} & lost:
                    self._diagnostics.append(_without_rule(entity, declaration, ident))
        built: list[ClassRule] = []
        for line in rules.lines:
            if isinstance(line.body, tree.OtherwiseBody):
                built.append(ClassRule(line.name.text, Otherwise(line.body.span), line.name.span))
                continue
            formula = self._formula(line, formulas)
            if formula is None:
                broken = True
            else:
                built.append(ClassRule(line.name.text, formula, line.name.span))
        if broken:
            return None
        ranks = tuple(tuple(ident.text for ident in tier) for tier in declaration.tiers)
        return ResponseType(
            name=entity.name, ranks=ranks, rules=tuple(built), cascade=declaration.cascade is not None,
            features=(), bounds=(), margins=(), span=entity.span,
        )  # fmt: skip

    def _formula(self, line: _Line, formulas: Formulas) -> Formula | None:
        """The formula of a line, with those that it builds on through `super`."""
        chain = [line]
        while (below := chain[-1].replaced) is not None and names_super(chain[-1].body):
            chain.append(below)
        formula: Formula | None = None
        for at, current in enumerate(reversed(chain)):
            if isinstance(current.body, tree.OtherwiseBody) or (at and formula is None):
                return None
            formula = formulas.elaborate(current.body, self._scopes[current.home], replaced=formula)
        return formula

    def _duplicate_classes(self, declaration: tree.Response, budget: Budget) -> bool:
        seen: dict[str, Span] = {}
        broken = False
        for ident in (ident for tier in declaration.tiers for ident in tier):
            first = seen.setdefault(ident.text, ident.span)
            if first is not ident.span:
                broken = True
                message = f"class `{ident.text}` is ranked twice"
                problem = twice(message, ident.span, first, "remove one of them", at="first ranked here")
                budget.spend(len(self._diagnostics) // 5)
                if problem not in self._diagnostics:
                    self._diagnostics.append(problem)
        return broken


def _two_rests(entity: Entity, body: tree.OtherwiseBody, first: tree.Ident) -> Diagnostic:
    return Diagnostic(
        codes.TWO_RULES, f"`{entity.name}` has two `otherwise`", body.span,
        related=(("the first", first.span),), help="only one class can take the rest",
    )  # fmt: skip


def _classes(declaration: tree.Response) -> dict[str, None]:
    return dict.fromkeys(ident.text for tier in declaration.tiers for ident in tier)


def _without_rule(entity: Entity, declaration: tree.Response, ident: tree.Ident) -> Diagnostic:
    if declaration.cascade is not None:
        help_text = f"add a line `{ident.text} if …`, or `{ident.text} otherwise` as the last"
    else:
        help_text = f"add `{entity.name}.{ident.text} := …`, or `:= otherwise` for all that is left"
    return Diagnostic(
        codes.CLASS_WITHOUT_RULE, f"class `{ident.text}` of `{entity.name}` has no rule", ident.span, help=help_text
    )
