"""Operands that change nothing: each that is reported can go, and none that can go is passed over."""

from __future__ import annotations

from hypothesis import example, given, settings
from strategies import Model, Response, Tree, models, partitioned

from rbrlang.policy import Checked, check_text


def text_of(model: Model) -> str:
    return model.text() + "".join(f"reward {r.name} {{ features classes }}\n" for r in model.responses)


# A line that the axioms exclude, whose proposition is not reported besides as one that never changes a class.
UNREACHED = Model(
    1, (), (), (("not", ("atom", 0)),),
    (Response("r0", (("c0",),), True, (("c0", ("and", ("atom", 0), ("atom", 0))), ("c0", None))),),
)  # fmt: skip


def needless(checked: Checked) -> list[tuple[int, int, int]]:
    """Line and edit of every report."""
    found = [d for d in checked.diagnostics if d.code.id == "RBR4006"]
    return [(d.span.source.position(d.span.start)[0], d.fixes[0].span.start, d.fixes[0].span.end) for d in found]


@settings(max_examples=60, deadline=None)
@given(models(responses=1, most_atoms=4))
def test_what_is_reported_can_go(model: Model) -> None:
    text = text_of(partitioned(model))
    checked = check_text(text)
    if not checked.ok:
        return
    for _, start, end in needless(checked):
        shorter = check_text(text[:start] + text[end:])
        assert shorter.ok
        assert shorter.fingerprint == checked.fingerprint


@settings(max_examples=60, deadline=None)
@given(models(responses=1, most_atoms=4))
@example(UNREACHED)
def test_what_can_go_is_reported(model: Model) -> None:
    """Of every rule that joins operands with `&` or `|`, by truth table; one report a rule is enough.

    That its line is never reached is one too, and all that is said of the line.
    """
    model = partitioned(model)
    checked = check_text(text_of(model))
    if not checked.ok or not model.allowed():
        return
    response, allowed = model.responses[0], model.allowed()
    inert = {d.message.split("`")[1] for d in checked.diagnostics if d.code.id == "RBR4007"}
    first = next(n for n, line in enumerate(text_of(model).splitlines(), 1) if line.startswith("response"))
    lines = {line for line, _, _ in needless(checked)}
    lines |= {d.span.source.position(d.span.start)[0] for d in checked.diagnostics if d.code.id == "RBR3009"}
    for number, (_, tree) in enumerate(response.rules, first + 1):
        if tree is None or tree[0] not in ("and", "or"):
            continue
        table = model.table(tree) & allowed
        without = [(tree[0], *(part for k, part in enumerate(tree[1:]) if k != at)) for at in range(len(tree) - 1)]
        loose = [at for at, rest in enumerate(without) if model.table(rest) & allowed == table]
        if any(not atoms_of(model, tree[1 + at]) & inert for at in loose):
            assert number in lines


def atoms_of(model: Model, tree: Tree) -> set[str]:
    kind, *rest = tree
    if kind == "atom":
        return {f"p{rest[0]}"}
    if kind == "ref":
        return atoms_of(model, model.definitions[rest[0]])
    if kind == "const":
        return set()
    if kind in ("not", "and", "or", "=>", "<=>"):
        return set().union(*(atoms_of(model, part) for part in rest))
    members = model.groups[rest[1]] if isinstance(rest[1], int) else rest[1]
    return {f"p{atom}" for atom in members}


PROPS = "".join(f'prop {name} "{name}"\n' for name in "abc") + "response r ranks x > y\nr.y := otherwise\n"


def report(rule: str, more: str = "") -> list[tuple[str, str, str]]:
    checked = check_text(PROPS + more + f"r.x := {rule}\nreward r {{ features classes, a, b, c }}\n")
    assert checked.ok
    return [(d.code.id, d.span.text, d.fixes[0].applicability if d.fixes else "") for d in checked.diagnostics]


def test_what_is_said_of_a_rule() -> None:
    safe, unsafe = "machine-applicable", "maybe-incorrect"
    assert report("a & b & c") == []
    assert report("a & b & a") == [("RBR4006", "a", safe)]
    assert report("a & (b | a)") == [("RBR4007", "x", "")]  # of `b`
    assert report("(a & b) | (b & (c | b) & c)") == [("RBR4006", "(c | b)", safe)]
    assert report("(a & b) | (c & (a | c))") == [("RBR4006", "(a | c)", safe)]
    assert report("a & true") == [("RBR4006", "true", safe)]
    assert report("a & b", "axiom a => b\n") == [("RBR4006", "b", unsafe)]
    assert report("a & # why\n  a") == [("RBR4006", "a", unsafe)]  # the comment would go with it
    assert report("(a & b) | (a & !b)") == [("RBR4007", "x", "")]
    assert report("words > 10 & words > 5") == [("RBR4006", "words > 5", unsafe)]
    assert report("words == 5 & a") == []
    assert report("all({a, b, c}) & at_least(2, {a, b, c})") == [("RBR4006", "at_least(2, {a, b, c})", safe)]


def test_a_rule_for_every_response_type_must_be_needless_in_all() -> None:
    text = 'prop a "a"\nprop b "b"\n*.y := a & b\n' + "".join(
        f"response {r} ranks x > y\n{r}.x := otherwise\n" for r in "rs"
    )
    assert check_text(text).diagnostics == ()
