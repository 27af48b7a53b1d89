"""Policies that were written to cost as much as they can: one function a case, `size` is how often its part repeats."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

HEAD = 'prop a "Response has trait a."\nprop b "Response has trait b."\n'
TWO = "response r ranks good > bad\nr.good := {}\nr.bad := otherwise\n"


def thresholds(size: int) -> str:
    """A cascade with a line for each of many thresholds of one measure."""
    lines = "".join(f"  {'good' if at % 2 else 'bad'} if words > {size - at}\n" for at in range(size))
    return HEAD + f"response r ranks good > bad {{\n{lines}  bad otherwise\n}}\n"


def threshold_definitions(size: int) -> str:
    """A definition for each of many thresholds, the last in use."""
    lines = "".join(f"d{at} := words > {at}\n" for at in range(size))
    return HEAD + lines + TWO.format(f"d{size - 1}")


def cascade_of_thresholds_upwards(size: int) -> str:
    """A cascade whose first line has the smallest threshold."""
    lines = "".join(f"  {'good' if at % 2 else 'bad'} if words < {at + 1}\n" for at in range(size))
    return HEAD + f"response r ranks good > bad {{\n{lines}  bad otherwise\n}}\n"


def threshold_definitions_downwards(size: int) -> str:
    """A definition for each of many thresholds, the largest first."""
    lines = "".join(f"d{at} := words > {at}\n" for at in reversed(range(size)))
    return HEAD + lines + TWO.format(f"d{size // 2}")


def threshold_definitions_anyhow(size: int) -> str:
    """A definition for each of many thresholds, in no order."""
    numbers = random.Random(0).sample(range(size), size)
    return (
        HEAD
        + "".join(f"d{at} := words > {at}\n" for at in numbers)
        + TWO.format(" | ".join(f"d{at}" for at in numbers))
    )


def threshold_grid(size: int) -> str:
    """Many measures with many thresholds each, all in one formula."""
    draw = random.Random(0)
    parts = [
        f'count("w{draw.randrange(size)}") > {draw.randrange(1, 100)} & words > {draw.randrange(1, 500)}'
        for _ in range(10 * size)
    ]
    return HEAD + TWO.format("\n  | ".join(f"({part})" for part in parts))


def cascade(size: int) -> str:
    """A cascade of many lines over many propositions."""
    draw = random.Random(0)
    count = max(2, size // 50)
    props = "".join(f'prop p{at} "Response has trait {at}."\n' for at in range(count))
    lines = "".join(
        f"  {'good' if at % 2 else 'bad'} if p{draw.randrange(count)} & !p{draw.randrange(count)}\n"
        for at in range(size)
    )
    return props + f"response r ranks good > bad {{\n{lines}  bad otherwise\n}}\n"


def unused(size: int) -> str:
    """Many definitions that nothing uses."""
    return HEAD + "".join(f"d{at} := a & b\n" for at in range(size)) + TWO.format("a")


def chain(size: int) -> str:
    """Definitions each of which builds on the one before."""
    lines = "".join(f"d{at} := d{at - 1} {'|' if at % 2 else '&'} {'a' if at % 3 else 'b'}\n" for at in range(1, size))
    return HEAD + "d0 := a\n" + lines + TWO.format(f"d{size - 1}")


def doubling(size: int) -> str:
    """Definitions that name the one before twice: a walk that forgets what it saw takes 2^size steps."""
    props = "".join(f'prop p{at} "Response has trait {at}."\n' for at in range(size))
    lines = "".join(f"d{at} := (d{at - 1} & p{at}) | (!d{at - 1} & !p{at})\n" for at in range(1, size))
    return props + "d0 := p0\n" + lines + TWO.format(f"d{size - 1}")


def nested(size: int) -> str:
    """Parentheses within parentheses."""
    return HEAD + TWO.format("(" * size + "a" + ")" * size)


def negations(size: int) -> str:
    """Negation after negation."""
    return HEAD + TWO.format("!" * size + "a")


def wide_group(size: int) -> str:
    """A group of many, counted in several ways."""
    props = "".join(f'prop p{at} "Response has trait {at}."\n' for at in range(size))
    names = ", ".join(f"p{at}" for at in range(size))
    return props + f"group g = {{{names}}}\n" + TWO.format(f"at_least({size // 2}, g) | exactly({size // 3}, g)")


def repeated_group(size: int) -> str:
    """One wide group that every one of many definitions names."""
    props = "".join(f'prop p{at} "Response has trait {at}."\n' for at in range(size))
    names = ", ".join(f"p{at}" for at in range(size))
    lines = "".join(f"d{at} := any(g) & p{at}\n" for at in range(size))
    return props + f"group g = {{{names}}}\n" + lines + TWO.format(" | ".join(f"d{at}" for at in range(size)))


def long_line(size: int) -> str:
    """One formula on one line."""
    props = "".join(f'prop p{at} "Response has trait {at}."\n' for at in range(100))
    draw = random.Random(0)
    return props + TWO.format(" | ".join(f"p{draw.randrange(100)}" for _ in range(size)))


def axioms(size: int) -> str:
    """Many axioms over few propositions."""
    props = "".join(f'prop p{at} "Response has trait {at}."\n' for at in range(40))
    draw = random.Random(0)
    lines = "".join(f"axiom p{draw.randrange(20)} => p{20 + draw.randrange(20)}\n" for _ in range(size))
    return props + lines + TWO.format("p0")


def axiom_chain(size: int) -> str:
    """Each proposition implies the next."""
    props = "".join(f'prop p{at} "Response has trait {at}."\n' for at in range(size))
    lines = "".join(f"axiom p{at} => p{at + 1}\n" for at in range(size - 1))
    return props + lines + TWO.format("p0")


def product(size: int) -> str:
    """A function that every order of the variables blows up: the middle bit of a product, in small."""
    names = [f"{side}{at}" for side in "xy" for at in range(size)]
    props = "".join(f'prop {name} "Response has trait {name}."\n' for name in names)
    columns = [
        "exactly(1, {" + ", ".join(f"x{at}y{column - at}" for at in range(size) if 0 <= column - at < size) + "})"
        for column in range(2 * size - 1)
    ]
    ands = "".join(f"x{i}y{j} := x{i} & y{j}\n" for i in range(size) for j in range(size))
    lines = "".join(f"c{at} := {column}\n" for at, column in enumerate(columns))
    body = "c0"
    for at in range(1, 2 * size - 1):
        lines += f"s{at} := c{at} <=> {body}\n"
        body = f"s{at}"
    return props + ands + lines + TWO.format(body)


def hidden_bit(size: int) -> str:
    """Which proposition counts depends on how many hold (the hidden weighted bit)."""
    props = "".join(f'prop p{at} "Response has trait {at}."\n' for at in range(size))
    names = "{" + ", ".join(f"p{at}" for at in range(size)) + "}"
    parts = [f"(exactly({at + 1}, {names}) & p{at})" for at in range(size)]
    return props + TWO.format("\n  | ".join(parts))


def random_or(size: int) -> str:
    """A disjunction of random triples: no structure."""
    draw = random.Random(0)
    props = "".join(f'prop p{at} "Response has trait {at}."\n' for at in range(size))
    triples = [draw.sample(range(size), 3) for _ in range(4 * size)]
    return props + TWO.format("\n  | ".join("(" + " & ".join(f"p{at}" for at in triple) + ")" for triple in triples))


def many_responses(size: int) -> str:
    """Many response types, each of them hard."""
    draw = random.Random(0)
    props = "".join(f'prop p{at} "Response has trait {at}."\n' for at in range(40))
    lines = ""
    for at in range(size):
        triples = [draw.sample(range(40), 3) for _ in range(60)]
        body = "\n  | ".join("(" + " & ".join(f"p{n}" for n in triple) + ")" for triple in triples)
        lines += f"response r{at} ranks good > bad\nr{at}.good := {body}\nr{at}.bad := otherwise\n"
    return props + lines


def many_classes(size: int) -> str:
    """One response type of many classes, all of which overlap."""
    names = [f"c{at}" for at in range(size)]
    props = "".join(f'prop p{at} "Response has trait {at}."\n' for at in range(size))
    return (
        props + f"response r ranks {' > '.join(names)}\n" + "".join(f"r.{n} := p{at}\n" for at, n in enumerate(names))
    )


def many_tests(size: int) -> str:
    """Many tests, half of which fail."""
    lines = "".join(f'test "t{at}" for r {{ given a expect {"good" if at % 2 else "bad"} }}\n' for at in range(size))
    return HEAD + TWO.format("a") + lines


def many_cases(size: int) -> str:
    """Many lines of one `cases`."""
    lines = "".join(f"  a -> {'good' if at % 2 else 'bad'}\n" for at in range(size))
    return HEAD + TWO.format("a") + f"cases r {{\n{lines}}}\n"


def measure_tests(size: int) -> str:
    """Tests that give measures, each of many thresholds."""
    lines = "".join(f'test "t{at}" for r {{ given words > {at} expect good }}\n' for at in range(1, size))
    return HEAD + TWO.format("words > 0") + lines


def many_properties(size: int) -> str:
    """Many properties."""
    lines = "".join(f'property "t{at}" for r: good => a\n' for at in range(size))
    return HEAD + TWO.format("a") + lines


def many_monotones(size: int) -> str:
    """Many claims of monotonicity."""
    props = "".join(f'prop p{at} "Response has trait {at}."\n' for at in range(size))
    lines = "".join(f"monotone r: p{at} up\n" for at in range(size))
    return props + TWO.format(" | ".join(f"p{at}" for at in range(size))) + lines


def many_weights(size: int) -> str:
    """Many features, each with a weight of its own."""
    props = "".join(f'prop p{at} "Response has trait {at}."\n' for at in range(size))
    lines = "".join(f"  weight p{at} = {at}\n" for at in range(size))
    return props + TWO.format(" | ".join(f"p{at}" for at in range(size))) + f"reward r {{\n{lines}}}\n"


def unknown_names(size: int) -> str:
    """Many names that nothing declares, each close to many that something does."""
    props = "".join(f'prop trait_number_{at} "Response has trait {at}."\n' for at in range(size))
    return props + TWO.format(" | ".join(f"trait_nunber_{at}" for at in range(size)))


def unreadable(size: int) -> str:
    """Many statements that cannot be read."""
    return "porp a b c\n" * size


def unclosed(size: int) -> str:
    """Many brackets that are never closed."""
    return "prop a { ( {\n" * size


def quotes(size: int) -> str:
    """Many strings that are never closed."""
    return 'prop a """x\n' * size


def many_annotations(size: int) -> str:
    """Many annotations before one proposition."""
    return "@prior(0.5) " * size + 'prop a "Response has trait a."\nprop b "x"\n' + TWO.format("a")


def comments(size: int) -> str:
    """Comments alone."""
    return HEAD + "## a line of a comment\n" * size + TWO.format("a")


def allows(size: int) -> str:
    """Many excuses, of many findings."""
    lines = "".join(f"# rbr: allow RBR4002 -- as it is\nd{at} := a & b\n" for at in range(size))
    return HEAD + lines + TWO.format("a")


def patterns(size: int) -> str:
    """Many patterns, each of which takes RE2 long to compile."""
    lines = "".join(f'd{at} := matches("(?:[a-z]{{1,100}}{at}){{1,9}}")\n' for at in range(size))
    return HEAD + lines + TWO.format(" | ".join(f"d{at}" for at in range(size)))


def cues(size: int) -> str:
    """Many cues of one proposition."""
    lines = "".join(f'  cue yes "(?:[a-z]{{1,100}}{at}){{1,9}}"\n' for at in range(size))
    return f'prop a "Response has trait a." {{\n{lines}}}\n' + TWO.format("a")


def tiers(size: int) -> str:
    """Cascade lines without any proposition."""
    return HEAD + "response r ranks good > bad {\n" + "  good if true\n" * size + "  bad otherwise\n}\n"


def parity(size: int) -> str:
    """A chain of equivalences."""
    props = "".join(f'prop p{at} "Response has trait {at}."\n' for at in range(size))
    return props + TWO.format("(" * (size - 1) + "p0" + "".join(f" <=> p{at})" for at in range(1, size)))


def redundancies(size: int) -> str:
    """Formulas most of whose parts change nothing."""
    props = "".join(f'prop p{at} "Response has trait {at}."\n' for at in range(50))
    draw = random.Random(0)
    body = [f"(p{draw.randrange(50)} & p{draw.randrange(50)})" for _ in range(size)]
    return props + TWO.format("\n  | ".join(body))


def numbers(size: int) -> str:
    """A number of many digits."""
    return HEAD + TWO.format(f"words > {'9' * size}")


def noise(size: int) -> str:
    """Characters that mean nothing."""
    return "§ ¤ a" * size


def definitions_again(size: int) -> str:
    """One name defined over and over, in the shortest statements that there are."""
    return 'prop a "It is."\n' + "d := a\n" * size


def rules_again(size: int) -> str:
    """One class ruled over and over."""
    return 'prop a "It is."\n' + TWO.format("a") + "r.good := a\n" * size


def categories_again(size: int) -> str:
    """One category mapped over and over, in one statement."""
    return 'prop a "It is."\n' + TWO.format("a") + "category " + '"x",' * size + '"x" -> r\n'


def responses_together(size: int) -> str:
    """Response types named by one statement, all ruled by two."""
    names = ", ".join(f"r{at}" for at in range(size))
    return f'prop a "It is."\nresponse {names} ranks good > bad\n*.good := a\n*.bad := otherwise\n'


def operands(size: int) -> str:
    """One operand over and over."""
    return 'prop a "It is."\n' + TWO.format("a | " * size + "a")


Case = tuple[Callable[[int], str], int]

CASES: Sequence[Case] = (
    (thresholds, 3_000), (threshold_definitions, 3_000), (threshold_definitions, 100_000), (threshold_grid, 100), (threshold_grid, 2_000),
    (cascade, 1_000), (cascade, 100_000), (unused, 100_000), (chain, 100_000), (chain, 3_000), (doubling, 300), (doubling, 5_000),
    (nested, 100), (nested, 100_000), (negations, 100_000), (wide_group, 200), (wide_group, 1_000), (wide_group, 20_000), (repeated_group, 300), (repeated_group, 3_000),
    (long_line, 1_000_000), (axioms, 100_000), (axiom_chain, 2_000), (axiom_chain, 50_000), (product, 8), (product, 24), (hidden_bit, 30), (hidden_bit, 200),
    (random_or, 50), (random_or, 1_000), (many_responses, 100), (many_responses, 1_000), (many_classes, 100), (many_classes, 1_000), (many_tests, 10_000), (many_tests, 100_000),
    (many_cases, 100_000), (measure_tests, 2_000), (many_properties, 100_000), (many_monotones, 300), (many_monotones, 10_000),
    (many_weights, 300), (many_weights, 10_000), (unknown_names, 3_000), (unreadable, 100_000), (unclosed, 100_000), (quotes, 100_000),
    (many_annotations, 100_000), (comments, 500_000), (allows, 30_000), (patterns, 1_000), (cues, 3_000), (tiers, 100_000), (parity, 60), (redundancies, 2_000), (redundancies, 50_000),
    (numbers, 1_000_000), (noise, 1_000_000), (definitions_again, 90_000), (definitions_again, 300_000), (rules_again, 70_000),
    (categories_again, 400_000), (responses_together, 80_000), (operands, 400_000),
)  # fmt: skip
