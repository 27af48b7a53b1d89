"""Where is every name of a file mentioned, and what does it stand for?

A `Target` names a declaration by its file and name, not by its place, so that mentions found in several
policies that import one file can be put together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple, assert_never

from rbrlang.lang import syntax as tree
from rbrlang.lang.load import LoadedModule
from rbrlang.lang.meaning.columns import mentions as column_mentions
from rbrlang.lang.meaning.rubrics import asking
from rbrlang.lang.meaning.scope import Entity, Scope, lookup
from rbrlang.source import Source, Span


class Target(NamedTuple):
    """What a name stands for: a declaration, a class, a column, an imported module under its name here, or a file.

    `file` is the key of the declaring file. A class is called `response.class` after the first response type of its
    statement. A column that several files declare is one, and each mention has all of their targets.
    """

    kind: Literal["entity", "class", "column", "module", "file"]
    file: str
    name: str


class Mention(NamedTuple):
    """One place that speaks of a target. `*.class` may speak of several, and so does a column."""

    span: Span
    targets: tuple[Target, ...]
    declares: bool = False


Classes = Mapping[str, tuple[Target, ...]]
Columns = Mapping[str, tuple[Target, ...]]
NO_CLASSES: Classes = MappingProxyType({})


def of_entity(entity: Entity) -> Target:
    """The target of a declaration."""
    return Target("entity", entity.module, entity.name)


def of_class(response: Entity, name: str) -> Target:
    """The target of a response type's class."""
    assert isinstance(response.declaration, tree.Response)
    return Target("class", response.module, f"{response.declaration.names[0].text}.{name}")


def classes_of(response: Entity | None) -> dict[str, tuple[Target, ...]]:
    """The classes of a response type by name; none of anything else."""
    if response is None or not isinstance(response.declaration, tree.Response):
        return {}
    return {ident.text: (of_class(response, ident.text),) for tier in response.declaration.tiers for ident in tier}


def columns_of(modules: Sequence[LoadedModule]) -> dict[str, Columns]:
    """By file, imported ones first, the columns that it knows, each with the files that declare it."""
    known: dict[str, Columns] = {}
    for module in modules:
        found: dict[str, tuple[Target, ...]] = {}
        given = [known[key] for _, key in module.imports]
        own = [s.name.text for s in module.module.statements if isinstance(s, tree.Column)]
        for columns in (*given, {name: (Target("column", module.key, name),) for name in own}):
            for name, targets in columns.items():
                found[name] = tuple(dict.fromkeys((*found.get(name, ()), *targets)))
        known[module.key] = found
    return known


def mentions(module: LoadedModule, scopes: Mapping[str, Scope], columns: Columns) -> tuple[Mention, ...]:
    """Every mention in a file, in the order of the text. Names that mean nothing are left out."""
    found = _Walk(module, scopes, columns).run()
    return tuple(sorted(found, key=lambda m: (m.span.start, m.span.end)))


def mention_at(found: Sequence[Mention], offset: int) -> Mention | None:
    """The mention that an offset lies in or directly behind; the narrowest, and the one that begins there first."""
    touching = [m for m in found if m.span.start <= offset <= m.span.end]
    return min(touching, key=lambda m: (m.span.end == offset, m.span.end - m.span.start), default=None)


class _Walk:
    def __init__(self, module: LoadedModule, scopes: Mapping[str, Scope], columns: Columns) -> None:
        self.module, self.columns = module, columns
        self.scopes = scopes
        self.scope = scopes[module.key]
        self.source: Source = module.module.source

    def run(self) -> Iterator[Mention]:
        files = {id(use): key for use, key in self.module.imports}
        for statement in self.module.module.statements:
            match statement:
                case tree.Use():
                    yield from self._use(statement, files.get(id(statement)))
                case tree.Edition() | tree.Judge():
                    pass
                case tree.Column():
                    yield Mention(statement.name.span, self.columns[statement.name.text], True)
                case tree.Prop() | tree.Variable():
                    yield self._declared(statement.name)
                    for name, span in column_mentions(statement, self.columns):
                        yield Mention(span, self.columns[name])
                case tree.Rubric():
                    yield self._declared(statement.name)
                    for name, span in column_mentions(asking(statement), self.columns):
                        yield Mention(span, self.columns[name])
                case tree.Param():
                    yield self._declared(statement.name)
                case tree.Group():
                    yield self._declared(statement.name)
                    yield from self._inside(statement.members)
                case tree.Assign():
                    yield from self._assign(statement)
                case tree.Override():
                    yield from self._rule(statement.target)
                    yield from self._inside(statement.body)
                case tree.Response():
                    yield from self._response(statement)
                case tree.Reward():
                    yield from self._reward(statement)
                case tree.AxiomDecl() | tree.Category() | tree.MonotoneDecl():
                    yield from self._inside(statement)
                case tree.Test(response=response, items=inside) | tree.Cases(response=response, cases=inside):
                    yield from self._path(response)
                    yield from self._inside(inside, classes_of(lookup(self.scope, response)))
                case tree.PropertyDecl(response=response):
                    yield from self._path(response)
                    yield from self._inside(statement.formula, classes_of(lookup(self.scope, response)), named=True)
                case _:
                    assert_never(statement)

    # --- names --------------------------------------------------------------------------------

    def _declared(self, ident: tree.Ident) -> Mention:
        return Mention(ident.span, (Target("entity", self.module.key, ident.text),), True)

    def _path(self, path: tree.Path) -> Iterator[Mention]:
        entity = lookup(self.scope, path)
        if len(path.parts) == 2 and path.parts[0].text in self.scope.modules:
            yield self._module(path.parts[0])
        if entity is not None:
            yield Mention(path.parts[-1].span, (of_entity(entity),))

    def _module(self, ident: tree.Ident, *, declares: bool = False) -> Mention:
        return Mention(ident.span, (Target("module", self.module.key, ident.text),), declares)

    def _use(self, use: tree.Use, key: str | None) -> Iterator[Mention]:
        if key is None:
            return
        yield Mention(use.module.span, (Target("file", key, ""),))
        if use.alias is not None and use.alias.text in self.scope.modules:
            yield self._module(use.alias, declares=True)
        for ident in use.names or ():
            entity = self.scopes[key].names.get(ident.text)
            if entity is not None:
                yield Mention(ident.span, (of_entity(entity),))

    # --- statements ---------------------------------------------------------------------------

    def _assign(self, statement: tree.Assign) -> Iterator[Mention]:
        if statement.every:
            name = statement.target.parts[0]
            own = [classes_of(entity).get(name.text, ()) for entity in self.scope.own.values()]
            targets = tuple(dict.fromkeys(target for found in own for target in found))
            if targets:
                yield Mention(name.span, targets)
        elif len(statement.target.parts) == 1:
            yield self._declared(statement.target.parts[0])
        else:
            yield from self._rule(statement.target)
        yield from self._inside(statement.body)

    def _rule(self, target: tree.Path) -> Iterator[Mention]:
        """`response.class` or `module.response.class`."""
        if len(target.parts) < 2:
            return
        owner = tree.Path(target.parts[:-1], target.parts[0].span.to(target.parts[-2].span))
        yield from self._path(owner)
        yield from _class_names(target.parts[-1:], classes_of(lookup(self.scope, owner)))

    def _response(self, statement: tree.Response) -> Iterator[Mention]:
        for ident in statement.names:
            yield self._declared(ident)
        classes = classes_of(Entity(self.module.key, statement.names[0].text, statement, statement.names[0].span))
        for tier in statement.tiers:
            yield from (Mention(ident.span, classes[ident.text], True) for ident in tier)
        for line in statement.cascade or ():
            yield from _class_names((line.name,), classes)
            yield from self._inside(line.body)

    def _reward(self, statement: tree.Reward) -> Iterator[Mention]:
        classes: dict[str, tuple[Target, ...]] = {}
        for ident in statement.responses:
            yield from self._path(tree.Path((ident,), ident.span))
            for name, targets in classes_of(self.scope.names.get(ident.text)).items():
                classes[name] = tuple(dict.fromkeys((*classes.get(name, ()), *targets)))
        for item in statement.items:
            match item:
                case tree.FeatureList():
                    for path in item.names:
                        yield from self._feature(path, classes)
                case tree.WeightItem():
                    yield from self._feature(item.feature, classes)
                case tree.MarginItem():
                    yield from _class_names((item.name,), classes)
                case _:
                    assert_never(item)

    def _feature(self, path: tree.Path, classes: Classes) -> Iterator[Mention]:
        if len(path.parts) == 1 and path.text in classes:
            yield Mention(path.span, classes[path.text])
        elif len(path.parts) > 1 and lookup(self.scope, path) is None:  # a tag of a rubric
            yield from self._path(tree.Path(path.parts[:-1], path.parts[0].span.to(path.parts[-2].span)))
        else:
            yield from self._path(path)

    def _inside(self, node: object, classes: Classes = NO_CLASSES, *, named: bool = False) -> Iterator[Mention]:
        """The names within a part of the tree; formulas speak of `classes` too where these are `named`."""
        options: set[int] = set()  # an option is a name of its choice alone
        for part in tree.walk(node):
            match part:
                case tree.Path() if named and part.text in classes:
                    yield Mention(part.span, classes[part.text])
                case tree.Path() if id(part) not in options:
                    yield from self._path(part)
                case tree.Compared():
                    entity = lookup(self.scope, part.path)
                    if entity is not None and isinstance(entity.declaration, tree.Variable) and entity.kind == "choice":
                        options.add(id(part.bound))
                case tree.ColumnCheck(column=column) | tree.Cell(name=column) if column.text in self.columns:
                    yield Mention(column.span, self.columns[column.text])
                case tree.Case(classes=idents) | tree.Expect(classes=idents):
                    yield from _class_names(idents, classes)
                case _:
                    pass


def _class_names(idents: Sequence[tree.Ident], classes: Classes) -> Iterator[Mention]:
    for ident in idents:
        if ident.text in classes:
            yield Mention(ident.span, classes[ident.text])
