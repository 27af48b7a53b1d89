"""Which policies and rows is speed measured on, at any size? All are made, from a seed."""

from __future__ import annotations

import json
import random
from pathlib import Path

_SENTENCE = (
    "the answer is that you can ask a person near you who knows more of it and take your time with what they say because "
    "most of what helps is simple to do at home in an hour when the weather is good"
)
WORDS = tuple(_SENTENCE.split())


def types(number: int, each: int = 10, pool: int | None = None) -> str:
    """A policy of so many response types of five classes, each over `each` propositions: its own, or of a pool."""
    total = number * each if pool is None else pool
    lines = [f'prop p{at} "Response has trait {at}."' for at in range(total)]
    for at in range(number):
        mine = [f"p{(at * each + k) % total}" for k in range(each)]
        lines.append(f"response r{at} ranks a > b > c > d > e {{")
        for place, name in enumerate("edcb"):
            part = mine[place::4]
            lines.append(f"  {name} if " + " & ".join(part))
        lines.append("  a otherwise\n}")
    return "\n".join(lines) + "\n"


def chain(propositions: int, classes: int) -> str:
    """One response type: a cascade of classes, each over propositions of its own, joined by `|`."""
    classes = max(2, min(classes, propositions + 1))
    names = [f"c{at}" for at in range(classes)]
    lines = [f'prop p{at} "Response has trait {at}."' for at in range(propositions)]
    lines.append(f"response r ranks {' > '.join(names)} {{")
    for at, name in enumerate(reversed(names[1:])):
        lines.append(f"  {name} if " + " | ".join(f"p{p}" for p in range(at, propositions, classes - 1)))
    lines.append(f"  {names[0]} otherwise\n}}")
    return "\n".join(lines) + "\n"


def rules(number: int) -> str:
    """A sound policy of so many class rules: ten to a response type, each type over ten propositions of its own."""
    lines: list[str] = []
    for at in range(max(1, number // 10)):
        props = [f"p{at}_{k}" for k in range(10)]
        lines += [f'prop {name} "Response has trait {name}."' for name in props]
        lines.append(f"response r{at} ranks {' > '.join(f'c{k}' for k in range(10))}")
        for k in range(9):
            earlier = "".join(f" & !{name}" for name in props[:k])
            last = f" & {props[9]}" if k == 8 else ""
            lines.append(f"r{at}.c{k} := {props[k]}{earlier}{last}")
        lines.append(f"r{at}.c9 := otherwise")
    return "\n".join(lines) + "\n"


def thresholds(number: int) -> str:
    """A cascade with a line for each of many thresholds of one measure."""
    lines = "".join(f"  {'good' if at % 2 else 'bad'} if words > {number - at}\n" for at in range(number))
    return f'prop a "Response has trait a."\nresponse r ranks good > bad {{\n{lines}  bad otherwise\n}}\n'


def definitions(number: int) -> str:
    """Many definitions, each of which builds on the one before."""
    lines = "".join(
        f"d{at} := d{at - 1} {'|' if at % 2 else '&'} {'a' if at % 3 else 'b'}\n" for at in range(1, number)
    )
    head = 'prop a "Response has trait a."\nprop b "Response has trait b."\nd0 := a\n'
    return f"{head}{lines}response r ranks good > bad\nr.good := d{number - 1}\nr.bad := otherwise\n"


def rows(path: Path, number: int, propositions: list[str], responses: list[str], seed: int) -> Path:
    """Graded rows as JSON Lines: a prompt, a completion of about 300 characters, P(yes) to three digits.

    Each has an id of its own; what else is in a row comes again after a thousand.
    """
    draw = random.Random(seed)
    bodies: list[str] = []
    for at in range(min(number, 1_000)):
        said = " ".join(draw.choices(WORDS, k=70))
        row = {
            "prompt": f"Question {at // 8}: " + " ".join(draw.choices(WORDS, k=15)) + "?",
            "completion": said[:1].upper() + said[1:] + ".",
            "response_type": responses[at % len(responses)],
            "base_reward": round(draw.gauss(0.0, 1.0), 4),
            "probs": {name: round(draw.random(), 3) for name in propositions},
        }
        bodies.append(json.dumps(row)[1:])
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f'{{"id": "row-{at}", {bodies[at % 1_000]}\n' for at in range(number))
    return path
