"""Can a grader read what it will be asked, before a run finds out?

Only the embedded grader can be blind to a proposition from the start: without a head of its name, cues or few-shots of
both answers it abstains on every completion. A run in which it reads nothing would look like work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rbrlang.grading.embedded.grader import EmbeddedGrader, NoEvidence
from rbrlang.grading.judge import Grader
from rbrlang.grading.questions.layout import wanted
from rbrlang.grading.questions.members import leaves
from rbrlang.grading.questions.specs import EmbeddedSpec, GraderSpec, SeveralSpec, SystemOneSpec
from rbrlang.grading.results import GradeItem
from rbrlang.logic.circuit import Circuit
from rbrlang.reward.rubrics import of_response
from rbrlang.rows.conversation import spoken

WHY = "no head of this name, no cues, and no examples of both answers"
OTHERS = "name a grader that reads them, such as `--grader openai:MODEL` or `--grader python:module.function`"
"""What can be done where a grader knows yes and no alone."""

_MOST = 8


@dataclass(frozen=True, slots=True)
class Sight:
    """The propositions that are asked, and those of them that the grader cannot read, ascending."""

    asked: tuple[int, ...]
    unread: tuple[int, ...]

    @property
    def blind(self) -> bool:
        """Whether something is asked and nothing of it can be read."""
        return bool(self.asked) and self.asked == self.unread


def sight(grader: Grader, asked: Iterable[Sequence[int]]) -> Sight:
    """What this grader sees of all that is asked."""
    every = tuple(sorted({p for some in asked for p in some}))
    if isinstance(grader, EmbeddedGrader):
        every = tuple(p for p in every if p < len(grader.standings))  # of others see `beyond`
    if not isinstance(grader, EmbeddedGrader):
        return Sight(every, ())
    return Sight(every, tuple(p for p in every if isinstance(grader.standings[p], NoEvidence)))


def yes_no(spec: GraderSpec) -> bool:
    """Whether such a grader answers yes and no alone."""
    return all(isinstance(one, EmbeddedSpec | SystemOneSpec) for one in leaves(spec))


def beyond(spec: GraderSpec, circuit: Circuit, asked: Iterable[Sequence[int]]) -> str | None:
    """What is wrong where scales and choices are asked of a grader that answers yes and no alone."""
    found = sorted({p for some in asked for p in some if p >= circuit.first_variable}) if yes_no(spec) else ()
    if not found:
        return None
    if isinstance(spec, SeveralSpec):
        who = "no grader among the members has answers"
    else:
        who = (
            "the embedded grader has no heads" if isinstance(spec, EmbeddedSpec) else "a decision model has no answers"
        )
    return f"{who} for scales and choices ({named(circuit, found)})"


def asked_of_types(circuit: Circuit) -> tuple[tuple[int, ...], ...]:
    """The questions that each response type needs."""
    items = [GradeItem(name, spoken((), ""), number) for number, name in enumerate(circuit.response_names)]
    first = len(circuit.propositions)
    of_rubrics = [tuple(first + r for r in of_response(circuit, response)) for response in circuit.responses]
    return tuple((*some, *more) for some, more in zip(wanted(circuit, items), of_rubrics, strict=True))


def named(circuit: Circuit, propositions: Sequence[int]) -> str:
    """Their names, of many the first ones."""
    names = [f"`{circuit.questions[p]}`" for p in propositions[:_MOST]]
    more = len(propositions) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
