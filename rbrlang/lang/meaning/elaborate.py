"""What does a policy mean, once every name is resolved?

    modules ─scopes→ entities ─reach→ numbered propositions, ordered definitions ─formulas→ Program

The policy consists of the root file's declarations and of what they reach in imported files: imported
propositions that nothing reaches get no column. A declaration with a mistake is reported and left
out, with what depends on it, so that the rest can still be checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from rbrlang import codes
from rbrlang.budget import Budget
from rbrlang.diagnostics import Diagnostic, twice
from rbrlang.lang import syntax as tree
from rbrlang.lang.load import LoadedModule
from rbrlang.lang.meaning import blocks, columns, variables
from rbrlang.lang.meaning.formulas import Formulas, mentioned, pattern_steps
from rbrlang.lang.meaning.judged import texts
from rbrlang.lang.meaning.reach import Reach
from rbrlang.lang.meaning.rewards import numbered, with_reward
from rbrlang.lang.meaning.rubrics import Features, in_use, placed, rubric
from rbrlang.lang.meaning.rules import RuleBook
from rbrlang.lang.meaning.scope import STATEMENT, Entity, Scope, build_scopes, lookup, module_name, resolve
from rbrlang.lang.meaning.unused import unused
from rbrlang.lang.program import (
    Axiom,
    Definition,
    Monotone,
    Program,
    Property,
    Proposition,
    ResponseType,
    Rubric,
    SourceFile,
    TextTest,
    TruthTest,
    Variable,
)  # fmt: skip
from rbrlang.lang.variables import Domain
from rbrlang.source import Source, Span

EDITION = 1
_PROPOSITION = 20  # steps
_RESPONSE = 150


def elaborate(
    modules: Sequence[LoadedModule], params: Mapping[str, float] | None = None, budget: Budget | None = None
) -> tuple[Program, tuple[Diagnostic, ...]]:
    """Resolve loaded files (children first, root last) into a `Program`.

    `params` overrides the values of parameters, those of an imported module under `module.name`. The program holds whatever was free
    of mistakes; it stands for the whole policy only when no diagnostic is an error. `budget` is by default one of its
    own. Raises `SpentError`.
    """
    return _Elaborator(modules, params or {}, budget or Budget()).run()


class _Elaborator:
    def __init__(self, modules: Sequence[LoadedModule], params: Mapping[str, float], budget: Budget) -> None:
        self.budget = budget
        self.modules = {module.key: module for module in modules}
        self.root = modules[-1]
        self.scopes, self.diagnostics = build_scopes(modules, budget)
        self.scope = self.scopes[self.root.key]
        self.params = self._params(params)
        self.columns = columns.known_columns(modules, self.diagnostics)
        self.judged = texts(self.modules, self.root.key, self.diagnostics)
        self.rules = RuleBook(self.modules, self.scopes, self.diagnostics)
        self.rewards = self._rewards()
        self.reach = Reach(self.scopes, self.diagnostics, budget)

    def run(self) -> tuple[Program, tuple[Diagnostic, ...]]:
        """Elaborate everything, in the order in which the parts need each other."""
        for module in self.modules.values():
            self._editions(module)
        responses = self._responses_in_policy()
        self._reach(responses)
        declared, domains = self._variables()
        steps = sum(len(variable.domain.values) - 1 for variable in declared)
        propositions = tuple(
            self._proposition(entity, name) for entity, name in zip(self.reach.columns, self.reach.names, strict=True)
        )
        rubrics = self._rubrics(responses)
        features = Features(rubrics)
        formulas = Formulas(
            self.scopes, self.reach.columns, lambda entity: self.reach.defined[entity],
            self.params, self.diagnostics, len(propositions) + steps, self.judged, self.judged[self.root.key], self.budget,
            domains, self.columns,
        )  # fmt: skip
        self._groups(formulas)
        definitions = self._definitions(formulas)
        axioms = self._axioms(formulas)
        built: list[ResponseType] = []
        numbers: dict[Entity, int] = {}
        for entity in responses:
            self.budget.at(entity.span)
            self.budget.spend(_RESPONSE)
            response = self.rules.response(entity, formulas)
            if response is not None:
                block, scope = self._reward_block(entity)
                response = with_reward(response, block, formulas, scope, definitions, self.reach.names, features)
                numbers[entity] = len(built)
                built.append(response)
        tests, properties = self._tests(numbers, tuple(built), formulas, definitions)
        monotones = self._monotones(numbers, formulas)
        first_reading = formulas.first_measure + len(formulas.measures)
        categories = self._categories(numbers, responses)
        used = tuple(rubric for _, rubric in rubrics)
        asked = (*propositions, *declared, *(rubric.question for rubric in used), *formulas.measures.values())
        program = Program(
            propositions=propositions,
            judged=self.judged[self.root.key],
            measures=tuple(formulas.measures.values()),
            definitions=tuple(definitions),
            axioms=(*axioms, *formulas.implied_axioms()),
            responses=tuple(
                placed(numbered(response, first_reading), first_reading + len(formulas.readings)) for response in built
            ),
            categories=categories,
            tests=tests,
            properties=properties,
            monotones=monotones,
            params=tuple(sorted((name, value) for (key, name), value in self.params.items() if key == self.root.key)),
            unused=(
                *unused(self.root, self.modules, self.scope, formulas.used),
                *columns.unused(self.root, asked),
            ),
            sources=self._sources(),
            columns=columns.named(self.columns[self.root.key], asked),
            variables=declared,
            readings=tuple(formulas.readings),
            rubrics=used,
        )
        return program, self._reported()

    def _sources(self) -> tuple[SourceFile, ...]:
        number = {key: at for at, key in enumerate(self.modules)}
        return tuple(
            SourceFile(m.module.source.name, m.module.source.text, tuple(number[target] for _, target in m.imports))
            for m in self.modules.values()
        )

    def _reported(self) -> tuple[Diagnostic, ...]:
        """Every finding once: not where what it misses could not be read, nor for every use of one unknown name."""
        missing: set[str] = set()
        for module in self.modules.values():
            missing |= module.module.lost
            found = {id(use) for use, _ in module.imports}
            for use in module.module.statements:
                if isinstance(use, tree.Use) and id(use) not in found:
                    missing |= {ident.text for ident in use.names or ()} or {module_name(use)[0]}
        uses: dict[tuple[Source, str], list[Diagnostic]] = {}
        kept: list[Diagnostic] = []
        for found in dict.fromkeys(self.diagnostics):
            if found.code is not codes.UNKNOWN_NAME and found.code is not codes.BAD_COLUMN:
                kept.append(found)
            elif found.span.text not in missing:
                uses.setdefault((found.span.source, found.message), []).append(found)
        for first, *others in uses.values():
            note = f"also used {len(others)} more time{'s' if len(others) > 1 else ''}, first here"
            kept.append(replace(first, related=((note, others[0].span),)) if others else first)
        return tuple(kept)

    def _groups(self, formulas: Formulas) -> None:
        for statement in self.root.module.statements:
            if isinstance(statement, tree.Group):
                self.budget.at(statement.span)
                self.budget.spend(len(statement.members))
                for path in statement.members:
                    entity = resolve(self.scope, path, "proposition", (tree.Prop, tree.Assign))
                    if isinstance(entity, Diagnostic):
                        formulas.diagnostics.append(entity)

    def _editions(self, module: LoadedModule) -> None:
        for at, statement in enumerate(module.module.statements):
            if not isinstance(statement, tree.Edition):
                continue
            if at:
                self.diagnostics.append(Diagnostic(
                    codes.BAD_EDITION, "the edition is not the first statement", statement.span,
                    help="move `rbr 1` to the first line",
                ))  # fmt: skip
            if statement.number.value != EDITION:
                self.diagnostics.append(Diagnostic(
                    codes.BAD_EDITION, f"edition {statement.number.span.text} is not known", statement.number.span,
                    help=f"this rbrc reads edition {EDITION}; a newer edition needs a newer rbrc",
                ))  # fmt: skip

    def _params(self, given: Mapping[str, float]) -> dict[tuple[str, str], float]:
        values: dict[tuple[str, str], float] = {}
        for key, scope in self.scopes.items():
            for name, entity in scope.own.items():
                if isinstance(entity.declaration, tree.Param):
                    values[key, name] = entity.declaration.value.value
        params = {
            name: entity for name, entity in self.scope.names.items() if isinstance(entity.declaration, tree.Param)
        }
        for module, names in self.scope.modules.items():
            for name, entity in names.items():
                if isinstance(entity.declaration, tree.Param):
                    params[f"{module}.{name}"] = entity
        known = list(params)
        for name, value in given.items():
            if name in params:
                values[params[name].module, params[name].name] = value
                continue
            near = self.scope.meant(name, known)
            self.diagnostics.append(Diagnostic(
                codes.UNKNOWN_PARAM, f"the policy declares no parameter `{name}`", Span(self.root.module.source, 0, 0),
                help=f"did you mean `-D {near}=…`?" if near else f"declare it with `param {name} = …`",
            ))  # fmt: skip
        return values

    # --- what belongs to the policy -----------------------------------------------------------

    def _responses_in_policy(self) -> list[Entity]:
        """The root's response types, those it imports by name, and those its other statements speak of."""
        found = [e for e in self.scope.names.values() if isinstance(e.declaration, tree.Response)]
        for statement in self.root.module.statements:
            match statement:
                case tree.Category() | tree.Test() | tree.Cases() | tree.PropertyDecl() | tree.MonotoneDecl():
                    path = statement.response
                case tree.Override() if len(statement.target.parts) > 1:
                    path = tree.Path(statement.target.parts[:-1], statement.target.span)
                case _:
                    continue
            entity = lookup(self.scope, path)
            if entity is not None and isinstance(entity.declaration, tree.Response):
                found.append(entity)
        return list(dict.fromkeys(found))

    def _reach(self, responses: list[Entity]) -> None:
        for entity in self.scope.own.values():
            if isinstance(entity.declaration, (tree.Prop, tree.Variable)):
                self.reach.visit(entity)
        for name in self._imported_names():
            self.reach.visit(name)
        for entity in self.scope.own.values():
            if isinstance(entity.declaration, tree.Assign):
                self.reach.visit(entity)
        for response in responses:
            self.budget.at(response.span)
            for formula, scope in self.rules.formulas_of(response):
                for entity in mentioned(formula, scope, self.scopes):
                    self.reach.visit(entity)
        for statement in self.root.module.statements:
            self.budget.at(statement.span)
            for formula in _formulas_beside_rules(statement):
                for entity in mentioned(formula, self.scope, self.scopes):
                    self.reach.visit(entity)
            for trend in statement.trends if isinstance(statement, tree.MonotoneDecl) else ():
                entity = lookup(self.scope, trend.name)
                if entity is not None and isinstance(entity.declaration, (tree.Prop, tree.Group, tree.Variable)):
                    for member in self._members(entity):
                        self.reach.visit(member)
        for block, scope in map(self._reward_block, responses):
            for item in block.items if block is not None else ():
                for path in item.names if isinstance(item, tree.FeatureList) else ():
                    entity = lookup(scope, path)
                    if entity is not None and isinstance(entity.declaration, (tree.Prop, tree.Assign, tree.Variable)):
                        self.reach.visit(entity)
        for module in self.modules.values():
            for statement in module.module.statements if module is not self.root else ():
                if isinstance(statement, tree.AxiomDecl):
                    named = tuple(mentioned(statement.formula, self.scopes[module.key], self.scopes))
                    if self.reach.spans(named):  # what the axiom's derived propositions say is in use, if not they
                        for entity in named:
                            self.reach.visit(entity)

    def _imported_names(self) -> Iterator[Entity]:
        for name, entity in self.scope.names.items():
            if name not in self.scope.own and isinstance(entity.declaration, (tree.Prop, tree.Variable)):
                yield entity

    # --- the parts ----------------------------------------------------------------------------

    def _proposition(self, entity: Entity, name: str) -> Proposition:
        assert isinstance(entity.declaration, tree.Prop)
        self.budget.at(entity.span)
        patterns = (item.pattern for item in entity.declaration.items if isinstance(item, tree.CueItem))
        self.budget.spend(_PROPOSITION + sum(map(pattern_steps, patterns)))
        return blocks.proposition(
            entity.declaration, name, self.judged[entity.module], self.columns[entity.module], self.scopes[entity.module],
            self.diagnostics,
        )  # fmt: skip

    def _rubrics(self, responses: Sequence[Entity]) -> list[tuple[Entity, Rubric]]:
        """The rubrics of the root file, and those that rewards name, each with its name here."""
        named = (
            (path, scope)
            for block, scope in map(self._reward_block, responses)
            for item in (block.items if block is not None else ())
            for path in (item.names if isinstance(item, tree.FeatureList) else ())
        )
        found: list[tuple[Entity, Rubric]] = []
        for entity in dict.fromkeys(in_use(self.scope, named)):
            assert isinstance(entity.declaration, tree.Rubric)
            self.budget.at(entity.span)
            self.budget.spend(_PROPOSITION)
            found.append((entity, rubric(
                entity.declaration, self.reach.name(entity), self.judged[entity.module], self.columns[entity.module],
                self.scopes[entity.module], self.diagnostics,
            )))  # fmt: skip
        return found

    def _variables(self) -> tuple[tuple[Variable, ...], dict[Entity, tuple[int, int, Domain] | None]]:
        """The scales and choices in use; and for each its number, the atom of its first step and its values."""
        built: list[Variable] = []
        domains: dict[Entity, tuple[int, int, Domain] | None] = {}
        first = len(self.reach.columns)
        for entity, name in self.reach.variables.items():
            assert isinstance(entity.declaration, tree.Variable)
            self.budget.at(entity.span)
            self.budget.spend(_PROPOSITION + len(entity.declaration.items))
            values = variables.domain(entity.declaration, name, self.diagnostics)
            domains[entity] = None if values is None else (len(built), first, values)
            if values is not None:
                first += len(values.values) - 1
                built.append(variables.variable(
                    entity.declaration, values, self.judged[entity.module], self.columns[entity.module],
                    self.scopes[entity.module], self.diagnostics,
                ))  # fmt: skip
        return tuple(built), domains

    def _definitions(self, formulas: Formulas) -> list[Definition]:
        """Definitions, each behind those it uses. Numbers are given anew as broken ones drop out."""
        built: list[Definition] = []
        for entity in self.reach.order:
            declaration = entity.declaration
            assert isinstance(declaration, tree.Assign)
            assert not isinstance(declaration.body, tree.OtherwiseBody)
            self.budget.at(declaration.span)
            scope, body = self.scopes[entity.module], declaration.body
            formula = formulas.ramp(body, scope) if isinstance(body, tree.Ramp) else formulas.elaborate(body, scope)
            self.reach.defined[entity] = None if formula is None else len(built)
            if formula is not None:
                imported = entity.module != self.root.key
                built.append(Definition(entity.name, formula, declaration.doc, entity.span, imported))
        return built

    def _axioms(self, formulas: Formulas) -> list[Axiom]:
        """The root's axioms, and those of imported files that speak only of propositions in use."""
        found: list[Axiom] = []
        for module in self.modules.values():
            scope = self.scopes[module.key]
            for statement in module.module.statements:
                if not isinstance(statement, tree.AxiomDecl):
                    continue
                self.budget.at(statement.span)
                if module is not self.root and not self._in_use(statement.formula, scope):
                    continue
                formula = formulas.elaborate(statement.formula, scope)
                if formula is not None:
                    found.append(Axiom(formula, statement.span, implied=False))
        return found

    def _in_use(self, formula: tree.Formula, scope: Scope) -> bool:
        return all(
            entity in self.reach.columns or entity in self.reach.defined or entity in self.reach.variables
            for entity in mentioned(formula, scope, self.scopes)
        )

    def _reward_block(self, response: Entity) -> tuple[tree.Reward | None, Scope]:
        """The reward block of a response type and its scope: the root's if any, else its own file's."""
        for key in (self.root.key, response.module):
            block = self.rewards.get((key, response))
            if block is not None:
                return block, self.scopes[key]
        return None, self.scope

    def _rewards(self) -> dict[tuple[str, Entity], tree.Reward]:
        """The first reward block of every file for every response type."""
        found: dict[tuple[str, Entity], tree.Reward] = {}
        for key, module in self.modules.items():
            names = self.scopes[key].names
            for statement in module.module.statements:
                if isinstance(statement, tree.Reward):
                    for ident in statement.responses:
                        if ident.text in names:
                            found.setdefault((key, names[ident.text]), statement)
        return found

    def _tests(
        self,
        numbers: dict[Entity, int],
        built: tuple[ResponseType, ...],
        formulas: Formulas,
        definitions: list[Definition],
    ) -> tuple[tuple[TruthTest | TextTest, ...], tuple[Property, ...]]:
        tests: list[TruthTest | TextTest] = []
        properties: list[Property] = []
        rewarded: dict[Entity, Span] = {}
        for statement in self.root.module.statements:
            for ident in statement.responses if isinstance(statement, tree.Reward) else ():
                entity = self._response(tree.Path((ident,), ident.span))
                if entity is not None and rewarded.setdefault(entity, ident.span) is not ident.span:
                    again = f"`{ident.text}` has two reward blocks"
                    self.diagnostics.append(twice(again, ident.span, rewarded[entity], "join them"))
            if not isinstance(statement, (tree.Test, tree.Cases, tree.PropertyDecl)):
                continue
            self.budget.at(statement.span)
            entity = self._response(statement.response)
            if entity is None or entity not in numbers:
                continue
            response = built[numbers[entity]]
            if isinstance(statement, tree.PropertyDecl):
                formula = formulas.elaborate(statement.formula, self.scope, response.classes)
                if formula is not None:
                    properties.append(Property(statement.title.value, numbers[entity], formula, statement.span))
            else:
                tests += blocks.tests(
                    statement, numbers[entity], response, formulas, self.scope, definitions, self.columns[self.root.key]
                )
        return tuple(tests), tuple(properties)

    def _monotones(self, numbers: dict[Entity, int], formulas: Formulas) -> tuple[Monotone, ...]:
        """The root's `monotone` claims, one for each proposition or scale; a group stands for its members."""
        claims: list[Monotone] = []
        for statement in self.root.module.statements:
            if not isinstance(statement, tree.MonotoneDecl):
                continue
            self.budget.at(statement.span)
            response = self._response(statement.response)
            for trend in statement.trends:
                if trend.direction.text not in ("up", "down"):
                    self.diagnostics.append(Diagnostic(
                        codes.SYNTAX, f"expected `up` or `down`, found `{trend.direction.text}`", trend.direction.span,
                        help="`up`: being true, or a higher level, never makes the class worse; `down`: it never makes it better",
                    ))  # fmt: skip
                    continue
                entity = resolve(
                    self.scope, trend.name, "proposition, scale or group", (tree.Prop, tree.Group, tree.Variable)
                )
                if isinstance(entity, Diagnostic):
                    self.diagnostics.append(entity)
                elif isinstance(entity.declaration, tree.Variable):
                    known = formulas.domains[entity]
                    if entity.declaration.kind == "choice":
                        self.diagnostics.append(Diagnostic(
                            codes.WRONG_KIND, f"the options of `{trend.name.text}` have no order", trend.name.span,
                            related=(("it is declared here", entity.span),),
                            help="claim something of an option in a `property`; what has an order is a `scale`",
                        ))  # fmt: skip
                    elif known is not None and response is not None and response in numbers:
                        up = trend.direction.text == "up"
                        claims.append(Monotone(numbers[response], known[1], up, trend.span, known[0]))
                elif response is not None and response in numbers:
                    up = trend.direction.text == "up"
                    atoms = [self.reach.columns[member] for member in self._members(entity)]
                    self.budget.spend(len(atoms))
                    claims += [Monotone(numbers[response], atom, up, trend.span) for atom in atoms]
        return tuple(claims)

    def _members(self, entity: Entity) -> Iterator[Entity]:
        """A proposition itself, or the propositions of a group; derived ones have no truth of their own to raise."""
        if isinstance(entity.declaration, tree.Group):
            for path in entity.declaration.members:
                member = lookup(self.scopes[entity.module], path)
                if member is not None and isinstance(member.declaration, tree.Prop):
                    yield member
        else:
            yield entity

    def _response(self, path: tree.Path) -> Entity | None:
        entity = resolve(self.scope, path, "response type", (tree.Response,))
        if isinstance(entity, Diagnostic):
            self.diagnostics.append(entity)
            return None
        return entity

    def _categories(self, numbers: dict[Entity, int], responses: list[Entity]) -> tuple[tuple[str, int], ...]:
        """Content-policy categories: the root's, then those of imported response types' files."""
        found: dict[str, tuple[int, Span]] = {}
        homes = dict.fromkeys([self.root.key, *(r.module for r in responses)])
        for key in homes:
            scope = self.scopes[key]
            for statement in self.modules[key].module.statements:
                if not isinstance(statement, tree.Category):
                    continue
                entity = (
                    self._response(statement.response) if key == self.root.key else lookup(scope, statement.response)
                )
                self.budget.at(statement.span)
                self.budget.spend(STATEMENT * len(statement.names))
                for text in statement.names:
                    if text.value in found:
                        if key == self.root.key:
                            again, first = f'category "{text.value}" is mapped twice', found[text.value][1]
                            self.diagnostics.append(
                                twice(again, text.span, first, "remove one of them", at="first mapped here")
                            )
                    elif entity is not None and entity in numbers:
                        found[text.value] = (numbers[entity], text.span)
        return tuple((name, number) for name, (number, _) in found.items())


def _formulas_beside_rules(statement: tree.Statement) -> list[tree.Formula]:
    """The formulas of a statement that is neither a definition nor a class rule."""
    match statement:
        case tree.AxiomDecl() | tree.PropertyDecl():
            return [statement.formula]
        case tree.Test():
            return [f for item in statement.items if isinstance(item, tree.Given) for f in item.literals]
        case tree.Cases():
            return [f for case in statement.cases for f in case.literals]
        case _:
            return []
