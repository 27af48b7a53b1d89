"""How does a scale or a choice become Booleans that are independent, so that its probabilities stay exact?

A variable has one of k values. It is written as a chain of k − 1 Boolean *steps*, each conditional on those before it:
for a scale P(at least l | at least l − 1), for a choice P(option i | none of the options before it, by name). Any
distribution over the values is one of independent steps, and every value is a conjunction of the first few. So nothing
has to be excluded by an axiom, which would bend the probabilities; a step that is never come to has no meaning, and
nothing depends on it.

    scale 1..3:  P(2) = s₂ · (1 − s₃),  s₂ = P(≥ 2),  s₃ = P(≥ 3) / P(≥ 2)

What an atom takes of a variable's distribution is a `Share`: a step, the mean of a scale, or the chance of some values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

from rbrlang.values import NamedTuple

MAX_VALUES = 26
"""Levels or options of one variable; a grader names an option by a letter."""


class Share(NamedTuple):
    """What an atom takes of the distribution p of a variable, by its number: Σ worth · p / Σ p, 0 where that is 0 / 0.

    The sums are over the values whose `worth` [values] is not None; it lies in [0, 1].
    """

    variable: int
    worth: tuple[float | None, ...]

    def of(self, p: Sequence[float]) -> float:
        """The share of a distribution [values].

        >>> Share(0, (None, 0.0, 1.0)).of([0.5, 0.25, 0.25])
        0.5
        """
        both = [(w, q) for w, q in zip(self.worth, p, strict=True) if w is not None]
        whole = sum(q for _, q in both)
        return sum(w * q for w, q in both) / whole if whole > 0.0 else 0.0


class Domain(NamedTuple):
    """The values of a variable as they are spoken of: levels upwards, or options in the order of the declaration."""

    name: str
    kind: Literal["scale", "choice"]
    values: tuple[str, ...]

    @property
    def chain(self) -> tuple[int, ...]:
        """The values in the order of the steps: options by name, so that their order in the text means nothing."""
        places = range(len(self.values))
        return tuple(places if self.kind == "scale" else sorted(places, key=lambda at: self.values[at]))

    @property
    def default(self) -> int:
        """The value in a test that gives none: the lowest level, the first option."""
        return 0

    def steps(self, variable: int) -> tuple[Share, ...]:
        """What each step takes of the distribution; `variable` is this one's number."""
        chain, found = self.chain, list[Share]()
        for at in range(len(chain) - 1):
            worth: list[float | None] = [None] * len(chain)
            for place, value in enumerate(chain[at:]):
                worth[value] = float((place > 0) == (self.kind == "scale"))
            found.append(Share(variable, tuple(worth)))
        return tuple(found)

    def literals(self, value: int) -> tuple[tuple[int, bool], ...]:
        """The steps that make a value, each with its truth."""
        at, passes = self.chain.index(value), self.kind == "scale"
        before = tuple((step, passes) for step in range(at))
        return before if at == len(self.values) - 1 else (*before, (at, not passes))

    def allowed(self, steps: Mapping[int, bool]) -> tuple[int, ...]:
        """The values that some steps leave possible."""
        return tuple(
            value
            for value in range(len(self.values))
            if all(steps.get(step, holds) == holds for step, holds in self.literals(value))
        )

    def value(self, steps: Collection[int]) -> int:
        """The value when exactly these steps hold."""
        return self.allowed({step: step in steps for step in range(len(self.values) - 1)})[0]

    def step_name(self, step: int) -> str:
        """A step where nothing better can be said: a chance given another."""
        name, said = self.name, [self.values[at] for at in self.chain]
        if self.kind == "scale":
            return f"{name} >= {said[step + 1]} | {name} >= {said[step]}"
        return f"{name} == {said[step]} | " + (" & ".join(f"{name} != {one}" for one in said[:step]) or name)

    def step_key(self, step: int) -> str:
        """A step in fingerprints: another name, value or number of values makes it another."""
        return f"{self.name} of {{{', '.join(self.values[at] for at in self.chain)}}}: {step}"

    def step_said(self, step: int, holds: bool) -> str:
        """A step as what it decides, whatever was decided before.

        >>> Domain("tone", "choice", ("formal", "casual")).step_said(0, False)
        'tone != casual'
        """
        chain = self.chain
        if self.kind == "choice":
            return f"{self.name} {'==' if holds else '!='} {self.values[chain[step]]}"
        return f"{self.name} >= {self.values[step + 1]}" if holds else f"{self.name} <= {self.values[step]}"

    def said(self, allowed: Collection[int]) -> tuple[str, ...]:
        """The facts that hold of a value exactly when it is one of those, in the words of the language.

        >>> Domain("help", "scale", ("1", "2", "3", "4")).said({0, 2, 3})
        ('help != 2',)
        """
        inside = sorted(allowed)
        last = len(self.values) - 1
        if len(inside) == 1:
            return (f"{self.name} == {self.values[inside[0]]}",)
        low, high = (inside[0], inside[-1]) if self.kind == "scale" else (0, last)
        found = [f"{self.name} >= {self.values[low]}"] * (low > 0) + [f"{self.name} <= {self.values[high]}"] * (
            high < last
        )
        holes = (at for at in range(low, high + 1) if at not in allowed)
        return (*found, *(f"{self.name} != {self.values[at]}" for at in holes))

    def mean(self, variable: int) -> Share:
        """A scale's mean, moved to [0, 1]."""
        last = len(self.values) - 1
        return Share(variable, tuple(at / last for at in range(last + 1)))


def said(
    names: Sequence[str], domains: Sequence[tuple[int, Domain]], facts: Mapping[int, bool]
) -> tuple[tuple[str, bool], ...]:
    """Facts about atoms by their names, those about steps as what they say of the variable.

    `domains` are the variables, each with the atom of its first step.
    """
    return tuple(fact for _, fact in sorted(_said(names, domains, facts)))


def _said(
    names: Sequence[str], domains: Sequence[tuple[int, Domain]], facts: Mapping[int, bool]
) -> Iterator[tuple[tuple[int, int], tuple[str, bool]]]:
    left = dict(facts)
    for first, domain in domains:
        steps = {at: left.pop(first + at) for at in range(len(domain.values) - 1) if first + at in left}
        if steps:
            for place, text in enumerate(domain.said(domain.allowed(steps))):
                yield (first, place), (text, True)
    for atom, value in left.items():
        yield (atom, 0), (names[atom], value)
