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
from rbrlang.grading.results import GradeItem
from rbrlang.logic.circuit import Circuit
from rbrlang.rows.conversation import spoken

WHY = "no head of this name, no cues, and no few-shots of both answers"
WAYS_OUT = (
    "give them few-shots or cues in the policy, learn heads from 20 labels with `rbrc agree FILE GOLD --train HEADS`, "
    "or name another grader, such as `--grader openai:MODEL`"
)
"""What can be done about it, in the order of effort."""

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
    if not isinstance(grader, EmbeddedGrader):
        return Sight(every, ())
    return Sight(every, tuple(p for p in every if isinstance(grader.standings[p], NoEvidence)))


def asked_of_types(circuit: Circuit) -> tuple[tuple[int, ...], ...]:
    """The propositions that each response type needs."""
    items = [GradeItem(name, spoken((), ""), number) for number, name in enumerate(circuit.response_names)]
    return tuple(tuple(some) for some in wanted(circuit, items))


def named(circuit: Circuit, propositions: Sequence[int]) -> str:
    """Their names, of many the first ones."""
    names = [f"`{circuit.propositions[p]}`" for p in propositions[:_MOST]]
    more = len(propositions) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
