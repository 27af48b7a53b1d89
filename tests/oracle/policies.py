"""Random policies, as plain data and as text, and random rows about them. Each follows from its number alone.

A formula is a nested tuple:

    ("prop", n)  ("def", n)  ("const", b)  ("not", f)  ("and" | "or", f, …)  ("=>" | "<=>", f, g)
    ("any" | "all" | "none" | "at_least" | "at_most" | "exactly", k, members)     members: propositions, or a group's number
    ("count", quantity, relation, k)  ("text", "contains" | "matches", what)      measures
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Tree = tuple[Any, ...]
QUANTIFIERS = ("any", "all", "none", "at_least", "at_most", "exactly")
SIGNS = {"and": "&", "or": "|"}
QUANTITIES = ("words", "characters", "lines", 'count("!")')
WORDS = ("river", "tea", "bread", "music", "Tea", "snow!", "boat", "seven", "kind", "and")


@dataclass(frozen=True)
class Response:
    """A response type. `rules` are (class, formula), None for `otherwise`; `features` None for the default ones.

    `fixed` are the author's words on weights: (feature, relation, number).
    """

    name: str
    tiers: tuple[tuple[str, ...], ...]
    cascade: bool
    rules: tuple[tuple[str, Tree | None], ...]
    features: tuple[str, ...] | None = None
    fixed: tuple[tuple[str, str, float], ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(c for tier in self.tiers for c in tier)


@dataclass(frozen=True)
class Policy:
    """A policy. `override` is (response, class, formula with ("super",)), written in a file of its own."""

    propositions: int
    definitions: tuple[Tree, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    axioms: tuple[Tree, ...] = ()
    responses: tuple[Response, ...] = ()
    priors: tuple[float | None, ...] = ()
    categories: tuple[tuple[str, int], ...] = ()
    override: tuple[int, str, Tree] | None = None
    names: tuple[str, ...] = ()  # of the definitions

    @property
    def measured(self) -> bool:
        """Whether anything is computed from a completion's text."""
        return any(_has_measure(tree) for tree in self.formulas())

    def formulas(self) -> list[Tree]:
        """Everything written as a formula."""
        rules = [tree for r in self.responses for _, tree in r.rules if tree is not None]
        return [*self.definitions, *self.axioms, *rules, *([] if self.override is None else [self.override[2]])]


def _has_measure(tree: Tree) -> bool:
    return tree[0] in ("count", "text") or any(isinstance(part, tuple) and part and isinstance(part[0], str)
                                               and _has_measure(part) for part in tree[1:])  # fmt: skip


# --- drawing --------------------------------------------------------------------------------------


def random_policy(seed: int) -> Policy:
    """The policy of a number."""
    draw = random.Random(seed)
    count = draw.choice((1, 2, 3, 3, 4, 4, 5, 6))
    groups = tuple(tuple(draw.sample(range(count), draw.randint(1, count))) for _ in range(draw.choice((0, 0, 1, 2))))
    measured = draw.random() < 0.2
    definitions: list[Tree] = []

    def tree() -> Tree:
        return _tree(draw, count, len(definitions), groups, measured, draw.choice((1, 2, 2, 3)))

    for _ in range(draw.choice((0, 0, 1, 2, 3))):
        definitions.append(tree())
    # Axioms over few propositions leave others without any: those cancel in somebody's probabilities.
    few = draw.sample(range(count), min(count, 2))
    axioms = tuple(
        _tree(draw, count, 0, (), False, 1, few) if draw.random() < 0.6 else tree()
        for _ in range(draw.choice((0, 0, 1, 1, 2, 3)))
    )
    responses = tuple(_response(draw, f"r{n}", count, tree) for n in range(draw.choice((1, 1, 2))))
    override = None
    if draw.random() < 0.1:
        at = draw.randrange(len(responses))
        ruled = [c for c, formula in responses[at].rules if formula is not None]
        once = [c for c in ruled if sum(c == other for other, _ in responses[at].rules) == 1]
        if once:
            formula = draw.choice([("and", ("super",), tree()), ("or", ("super",), tree()), tree()])
            override = (at, draw.choice(once), formula)
    return Policy(
        propositions=count,
        definitions=tuple(definitions),
        groups=groups,
        axioms=axioms,
        responses=responses,
        priors=tuple(round(draw.uniform(0.05, 0.95), 3) if draw.random() < 0.4 else None for _ in range(count)),
        categories=tuple((f"topic-{n}", draw.randrange(len(responses))) for n in range(draw.choice((0, 0, 1, 2)))),
        override=override,
        names=tuple(f"d{n}" for n in range(len(definitions))),
    )


def _tree(
    draw: random.Random, count: int, definitions: int, groups: tuple[tuple[int, ...], ...], measured: bool, depth: int,
    only: list[int] | None = None,
) -> Tree:  # fmt: skip
    kind = draw.random()
    if depth == 0 or kind < 0.25:
        if measured and draw.random() < 0.25:
            return _measure(draw)
        if definitions and draw.random() < 0.3:
            return "def", draw.randrange(definitions)
        if draw.random() < 0.03:
            return "const", draw.random() < 0.5
        return "prop", draw.choice(only if only is not None else range(count))

    def below() -> Tree:
        return _tree(draw, count, definitions, groups, measured, depth - 1, only)

    if kind < 0.42:
        return "not", below()
    if kind < 0.75:
        return draw.choice(("and", "or")), *(below() for _ in range(draw.randint(2, 3)))
    if kind < 0.87:
        return draw.choice(("=>", "<=>")), below(), below()
    members: Any = draw.randrange(len(groups)) if groups and only is None and draw.random() < 0.5 else None
    pool = list(only) if only is not None else list(range(count))
    listed = tuple(draw.sample(pool, draw.randint(1, len(pool))))
    size = len(listed if members is None else groups[members])
    quantifier = draw.choice(QUANTIFIERS if size > 1 else QUANTIFIERS[:3])
    k = draw.randint(1 if quantifier == "at_least" else 0, size - 1 if quantifier == "at_most" else size)
    return quantifier, k, listed if members is None else members


def _measure(draw: random.Random) -> Tree:
    if draw.random() < 0.7:
        quantity = draw.choice(QUANTITIES)
        limit = draw.randint(0, 60) if quantity == "characters" else draw.randint(0, 6)
        return "count", quantity, draw.choice(("<", "<=", ">", ">=", "==", "!=")), limit
    return draw.choice((("text", "contains", "tea"), ("text", "matches", "(?i)\\btea\\b"), ("text", "contains", "!")))


def _response(draw: random.Random, name: str, count: int, tree: Callable[[], Tree]) -> Response:
    classes = [f"c{n}" for n in range(draw.choice((1, 2, 2, 3, 3, 4)))]
    tiers: list[tuple[str, ...]] = []
    for c in classes:
        if tiers and draw.random() < 0.25:
            tiers[-1] = (*tiers[-1], c)
        else:
            tiers.append((c,))
    cascade = draw.random() < 0.5
    order = draw.sample(classes, len(classes))
    rules: list[tuple[str, Tree | None]]
    if cascade:
        order += [draw.choice(classes)] if draw.random() < 0.3 else []
        rules = [(c, tree()) for c in order]
        if draw.random() < 0.9:
            rules[-1] = (rules[-1][0], None)
    elif draw.random() < 0.8:  # flat rules that partition, since chance alone hardly ever does
        rules, taken = [], []
        for c in order[:-1]:
            formula = tree()
            rules.append((c, ("and", formula, *(("not", t) for t in taken)) if taken else formula))
            taken.append(formula)
        rules.append((order[-1], None))
        draw.shuffle(rules)
    else:
        rules = [(c, tree()) for c in order]
        if draw.random() < 0.5:
            rules[-1] = (rules[-1][0], None)
    features = None
    fixed: list[tuple[str, str, float]] = []
    if draw.random() < 0.4:
        listed = draw.sample(
            [*classes, *(f"p{n}" for n in range(count))], draw.randint(1, min(4, len(classes) + count))
        )
        features = tuple(listed) if draw.random() < 0.6 else ("classes", *(f for f in listed if f.startswith("p")))
        named = [*classes, *features[1:]] if features[0] == "classes" else list(features)
        for feature in draw.sample(named, min(len(named), draw.choice((0, 1, 2)))):
            fixed.append((feature, draw.choice(("=", "<=", ">=")), round(draw.uniform(-2, 2), 2)))
    return Response(name, tuple(tiers), cascade, tuple(rules), features, tuple(fixed))


def random_text(draw: random.Random) -> str:
    """A harmless completion, of so few words and lines that every limit is met."""
    lines = [" ".join(draw.choices(WORDS, k=draw.randint(0, 6))) for _ in range(draw.choice((1, 1, 2, 4)))]
    return "\n".join(lines) or "tea"


def random_answers(draw: random.Random, count: int) -> list[float | None]:
    """Answers as graders give them: certain, nearly certain, anything between, and none."""
    style = draw.random()
    certain = 1.0 if style < 0.25 else 0.5
    missing = 0.0 if style < 0.6 else 0.35
    answers: list[float | None] = []
    for _ in range(count):
        if draw.random() < missing:
            answers.append(None)
        elif draw.random() < certain:
            answers.append(float(draw.random() < 0.5))
        else:
            answers.append(
                draw.choice((draw.random(), draw.random(), draw.random(), 2.0**-20, 1 - 2.0**-20, 1 - 2.0**-24, 1e-30))
            )
    while sum(a is None for a in answers) > 3:
        answers[answers.index(None)] = 0.5
    return answers


# --- text -----------------------------------------------------------------------------------------


def show(policy: Policy, tree: Tree, inside: bool = False) -> str:
    """A formula as text, with parentheses wherever it is an operand."""
    kind, *rest = tree
    match kind:
        case "prop":
            return f"p{rest[0]}"
        case "def":
            return policy.names[rest[0]]
        case "const":
            return "true" if rest[0] else "false"
        case "super":
            return "super"
        case "not":
            return "!" + show(policy, rest[0], True)
        case "count":
            quantity, relation, limit = rest
            return f"({quantity} {relation} {limit})" if inside else f"{quantity} {relation} {limit}"
        case "text":
            escaped = rest[1].replace("\\", "\\\\")
            return f'{rest[0]}("{escaped}")'
        case "and" | "or" | "=>" | "<=>":
            text = f" {SIGNS.get(kind, kind)} ".join(show(policy, part, True) for part in rest)
            return f"({text})" if inside else text
        case _:
            k, members = rest
            where = f"g{members}" if isinstance(members, int) else "{" + ", ".join(f"p{a}" for a in members) + "}"
            return f"{kind}({where})" if kind in ("any", "all", "none") else f"{kind}({k}, {where})"


def statements(policy: Policy) -> list[str]:
    """The statements of the file with the response types, one an item; their order does not matter."""
    lines: list[str] = []
    for n in range(policy.propositions):
        prior = policy.priors[n]
        lines.append(("" if prior is None else f"@prior({prior!r}) ") + f'prop p{n} "Statement {n}."')
    lines += [f"{policy.names[n]} := {show(policy, tree)}" for n, tree in enumerate(policy.definitions)]
    lines += [f"group g{n} = {{{', '.join(f'p{a}' for a in atoms)}}}" for n, atoms in enumerate(policy.groups)]
    lines += [f"axiom {show(policy, tree)}" for tree in policy.axioms]
    for response in policy.responses:
        tiers = " > ".join(t[0] if len(t) == 1 else "{" + ", ".join(t) + "}" for t in response.tiers)
        head = f"response {response.name} ranks {tiers}"
        bodies = [(c, None if tree is None else show(policy, tree)) for c, tree in response.rules]
        if response.cascade:
            head += " {" + "".join(f"\n  {c} otherwise" if b is None else f"\n  {c} if {b}" for c, b in bodies) + "\n}"
        lines.append(head)
        if not response.cascade:
            lines += [f"{response.name}.{c} := {'otherwise' if b is None else b}" for c, b in bodies]
        if response.features is not None:
            said = [f"  features {', '.join(response.features)}"]
            said += [f"  weight {feature} {relation} {number!r}" for feature, relation, number in response.fixed]
            lines.append(f"reward {response.name} {{\n" + "\n".join(said) + "\n}")
    return lines


def categories(policy: Policy) -> list[str]:
    """The statements that map categories."""
    return [f'category "{name}" -> {policy.responses[number].name}' for name, number in policy.categories]


def files(policy: Policy) -> dict[str, str]:
    """The files of a policy; the last is the root."""
    body = statements(policy)
    if policy.override is None:
        return {"root.rbr": "\n".join([*body, *categories(policy)]) + "\n"}
    number, klass, formula = policy.override
    said = show(policy, formula)
    imported = [r.name for r in policy.responses] + [f"p{n}" for n in range(policy.propositions)]
    imported += [*policy.names, *(f"g{n}" for n in range(len(policy.groups)))]
    root = [f'use "base.rbr" ({", ".join(imported)})', f"override {policy.responses[number].name}.{klass} := {said}"]
    return {"base.rbr": "\n".join(body) + "\n", "root.rbr": "\n".join([*root, *categories(policy)]) + "\n"}
