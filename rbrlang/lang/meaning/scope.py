"""What does a name stand for in a file?

Every file has one flat scope: its own declarations and the names it imports. An `Entity` is a
declaration with the file it lives in, so that the same proposition imported twice is one thing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from rbrlang import codes
from rbrlang.budget import Budget
from rbrlang.diagnostics import Diagnostic, respelled, suggest, twice
from rbrlang.lang import syntax as tree
from rbrlang.lang.load import LoadedModule
from rbrlang.lang.reading import grammar
from rbrlang.source import Span

_LOOKING = 20  # steps for comparing two names
STATEMENT = 10
"""Steps for a small statement that is taken apart, and for what is wrong with it."""

Declaration = tree.Prop | tree.Variable | tree.Assign | tree.Group | tree.Param | tree.Response | tree.Rubric


@dataclass(frozen=True, slots=True, eq=False)
class Entity:
    """A named declaration. `name` matters for responses, where one statement declares several."""

    module: str
    name: str
    declaration: Declaration
    span: Span

    @property
    def kind(self) -> str:
        """What to call it in a message."""
        match self.declaration:
            case tree.Prop():
                return "proposition"
            case tree.Variable():
                return self.declaration.kind
            case tree.Assign():
                return "derived proposition"
            case tree.Group():
                return "group"
            case tree.Param():
                return "parameter"
            case tree.Response():
                return "response type"
            case tree.Rubric():
                return "rubric"
            case _:
                assert_never(self.declaration)


@dataclass(frozen=True, slots=True)
class Scope:
    """The names of one file: `names` are used bare, `modules` qualify with a dot.

    Looking for what a name that nobody declared may have meant is charged to the `budget`.
    """

    key: str
    own: dict[str, Entity]
    names: dict[str, Entity]
    modules: dict[str, dict[str, Entity]]
    budget: Budget

    def meant(self, name: str, known: Sequence[str]) -> str | None:
        """The known name closest to a misspelt one, if any is close. Raises `SpentError`."""
        self.budget.spend(_LOOKING * len(known))
        return suggest(name, known)


def _declared(module: LoadedModule) -> list[Entity]:
    found: list[Entity] = []
    for statement in module.module.statements:
        match statement:
            case tree.Prop() | tree.Variable() | tree.Group() | tree.Param() | tree.Rubric():
                found.append(Entity(module.key, statement.name.text, statement, statement.name.span))
            case tree.Assign() if not statement.every and len(statement.target.parts) == 1:
                found.append(Entity(module.key, statement.target.text, statement, statement.target.span))
            case tree.Response():
                found += [Entity(module.key, n.text, statement, n.span) for n in statement.names]
            case _:
                pass
    return found


def build_scopes(
    modules: Sequence[LoadedModule], budget: Budget | None = None
) -> tuple[dict[str, Scope], list[Diagnostic]]:
    """The scopes of all files, and what is declared twice, hidden or missing.

    `budget` is by default one of their own. Raises `SpentError`.
    """
    budget = budget or Budget()
    scopes: dict[str, Scope] = {}
    diagnostics: list[Diagnostic] = []
    for module in modules:
        own: dict[str, Entity] = {}
        for entity in _declared(module):
            first = own.setdefault(entity.name, entity)
            if first is not entity:
                budget.at(entity.span)
                budget.spend(STATEMENT)
                diagnostics.append(_twice(entity.name, entity.span, first.span))
        scope = Scope(module.key, own, dict(own), {}, budget)
        for use, key in module.imports:
            budget.at(use.span)
            budget.spend(1)
            diagnostics += _bring(scope, use, scopes[key].names)
        scopes[module.key] = scope
    return scopes, diagnostics


def _twice(name: str, span: Span, first: Span) -> Diagnostic:
    return twice(f"`{name}` is defined twice", span, first, "rename one of them, or remove it", at="first defined here")


def module_name(use: tree.Use) -> tuple[str, Span]:
    """The name by which a file that is imported whole is known, and where that name stands."""
    if use.alias is not None:
        return use.alias.text, use.alias.span
    if isinstance(use.module, tree.Path):
        return use.module.parts[-1].text, use.module.span
    return Path(use.module.value).stem, use.module.span


def _bring(scope: Scope, use: tree.Use, exported: dict[str, Entity]) -> list[Diagnostic]:
    """Bring the names of one `use` into a scope."""
    diagnostics: list[Diagnostic] = []
    if use.names is None:
        name, span = module_name(use)
        if re.fullmatch("[a-z_][a-z0-9_]*", name) is None or name in grammar.load().words:
            return [Diagnostic(
                codes.KEYWORD_AS_NAME, f"`{name}` cannot be the name of a module", span,
                help="give the file one that can: `use … as another_name`",
            )]  # fmt: skip
        if name in scope.modules or name in scope.names:
            diagnostics.append(Diagnostic(
                codes.DUPLICATE, f"`{name}` already stands for something else", span,
                help=f"import it under another name: `use … as {name}_rules`",
            ))  # fmt: skip
        else:
            scope.modules[name] = exported
        return diagnostics
    for ident in use.names:
        entity = exported.get(ident.text)
        if entity is None:
            near = scope.meant(ident.text, sorted(exported))
            diagnostics.append(Diagnostic(
                codes.UNKNOWN_NAME, f"the module has no `{ident.text}`", ident.span,
                help=f"did you mean `{near}`?" if near else "it exports " + ", ".join(f"`{n}`" for n in sorted(exported)[:8]),
                fixes=respelled(ident.span, near),
            ))  # fmt: skip
        elif ident.text in scope.names and scope.names[ident.text] is not entity:
            diagnostics.append(_twice(ident.text, ident.span, scope.names[ident.text].span))
        else:
            scope.names[ident.text] = entity
    return diagnostics


def lookup(scope: Scope, path: tree.Path) -> Entity | None:
    """The entity that a path names in a scope, if any."""
    if len(path.parts) == 1:
        return scope.names.get(path.text)
    if len(path.parts) == 2:
        return scope.modules.get(path.parts[0].text, {}).get(path.parts[1].text)
    return None


def resolve(scope: Scope, path: tree.Path, wanted: str, kinds: tuple[type, ...]) -> Entity | Diagnostic:
    """The entity that a path names in a scope, or the diagnostic that says why there is none.

    `wanted` is what the place needs, in words; `kinds` are the declarations that serve.
    """
    parts = path.parts
    if len(parts) == 1:
        table, name = scope.names, parts[0]
    elif len(parts) == 2 and parts[0].text in scope.modules:
        table, name = scope.modules[parts[0].text], parts[1]
    elif (owner := scope.names.get(parts[0].text)) is not None:
        return Diagnostic(
            codes.WRONG_KIND, f"`{path.text}` is not a {wanted}", path.span,
            related=((f"`{parts[0].text}` is a {owner.kind}", owner.span),),
            help="rules speak of propositions; only a `property` speaks of classes, by their bare names"
            if isinstance(owner.declaration, tree.Response) else "only imported files have names behind a dot",
        )  # fmt: skip
    else:
        known = [*scope.modules, *(n for n, e in scope.names.items() if isinstance(e.declaration, tree.Response))]
        near = scope.meant(parts[0].text, known)
        return Diagnostic(
            codes.UNKNOWN_NAME, f"no module `{parts[0].text}` is imported here", parts[0].span,
            help=f"did you mean `{near}`?" if near else "a dotted name is `module.name`; import the module with `use`",
            fixes=respelled(parts[0].span, near),
        )  # fmt: skip
    entity = table.get(name.text)
    if entity is None and len(parts) == 1 and (ranked := _ranking(scope, name.text)) is not None:
        response, span = ranked
        return Diagnostic(
            codes.WRONG_KIND, f"`{name.text}` is a class, not a {wanted}", path.span,
            related=((f"a class of `{response}`", span),),
            help="a rule speaks of propositions: name the formula that both need, `NAME := …`, or write a cascade, "
            "whose lines exclude the ones above",
        )  # fmt: skip
    if entity is None:
        serving = sorted(n for n, e in table.items() if isinstance(e.declaration, kinds))
        near = scope.meant(name.text, serving)
        return Diagnostic(
            codes.UNKNOWN_NAME, f"unknown {wanted} `{path.text}`", path.span,
            help=f"did you mean `{near}`?" if near else f"declare it: `{_declaration(name.text, kinds)}`"
            if len(parts) == 1 else f"`{parts[0].text}` declares no such name",
            fixes=respelled(name.span, near),
        )  # fmt: skip
    if not isinstance(entity.declaration, kinds):
        return Diagnostic(
            codes.WRONG_KIND, f"`{path.text}` is a {entity.kind}, not a {wanted}", path.span,
            related=((f"the {entity.kind} is declared here", entity.span),),
            help=_instead(path.text, entity, kinds),
        )  # fmt: skip
    return entity


def _ranking(scope: Scope, name: str) -> tuple[str, Span] | None:
    """The response type of a scope that ranks a class of this name, and where it does."""
    scope.budget.spend(len(scope.names) // 10)
    for found, entity in scope.names.items():
        if isinstance(entity.declaration, tree.Response):
            scope.budget.spend(len(entity.declaration.tiers))
            for ident in (ident for tier in entity.declaration.tiers for ident in tier):
                if ident.text == name:
                    return found, ident.span
    return None


def _declaration(name: str, kinds: tuple[type, ...]) -> str:
    """How a missing name would be declared."""
    if tree.Prop in kinds:
        return f'prop {name} "…"'
    forms: dict[type, str] = {
        tree.Variable: f'scale {name} 1..5 "…"', tree.Param: f"param {name} = 1", tree.Group: f"group {name} = {{ … }}", tree.Response: f"response {name} ranks …",
    }  # fmt: skip
    return forms[kinds[0]]


def _instead(name: str, entity: Entity, kinds: tuple[type, ...]) -> str:
    """What to write where a name of another kind was used, if that is clear."""
    if tree.Prop in kinds and isinstance(entity.declaration, tree.Group):
        return f"write `any({name})`, `all({name})` or `none({name})`"
    if tree.Prop in kinds and isinstance(entity.declaration, tree.Variable):
        scale = entity.declaration.kind == "scale"
        return f"compare it: `{name} >= …`" if scale else f"compare it: `{name} == …`"
    if tree.Prop in kinds and isinstance(entity.declaration, tree.Param):
        return f"a parameter is a bound of a measure, as in `words > {name}`"
    if isinstance(entity.declaration, tree.Rubric):
        return "a rubric is a number: name it under `features`, and let rules speak of propositions"
    if tree.Group in kinds and tree.Prop in kinds:  # a claim
        help = "claim it of a `prop`, a `scale` or a group of `prop`s"
        if isinstance(entity.declaration, tree.Assign):
            help += f'; what has to follow from `{name}` is for a `property`: `property "…" for R: {name} => …`'
        return help
    if tree.Group in kinds:
        return f"list propositions in braces: `{{{name}}}`"
    return ""
