"""How much work may one policy take, whoever wrote it?

Work is counted in steps, never in seconds: the same text is checked or refused on every machine. One budget goes
through all stages, from the first character to the last lint, and what a command asks of the policy beyond that takes
from what the check left: each says what it works at and what that costs. A step is about a microsecond of an ordinary processor, and the sizes that are built along the way are bounded
by the steps that build them: with `STEPS` a policy from elsewhere costs less than 5 s and 500 MB.

    reading   a step a byte, more for signs, which make small tokens, and for lines, which make small statements
    meaning   a few steps for each part of a formula and each name
    diagrams  a step for each node and each entry of an operation's table

Whoever needs more for a policy of their own says so (`--budget`).
"""

from __future__ import annotations

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic
from rbrlang.source import Source, Span

STEPS = 4_000_000

_SIGNS = "&|!(){},:=<>@."
_PER_SIGN = 5
_PER_LINE = 10


class SpentError(Exception):
    """The budget is spent; `budget` says at which statement."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(f"the budget of {budget.limit} steps is spent")
        self.budget = budget


class Budget:
    """So many steps for one policy, or no limit where that is None.

    `left` is the one thing that changes, with the place that is being worked at.
    """

    __slots__ = ("_place", "left", "limit")

    def __init__(self, limit: int | None = STEPS) -> None:
        self.limit = limit
        self.left: float = float("inf") if limit is None else limit
        self._place: Span | None = None

    @classmethod
    def of(cls, steps: int | Budget | None) -> Budget:
        """So many steps, or what is left of a budget."""
        return steps if isinstance(steps, Budget) else cls(steps)

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.left < 0

    def at(self, place: Span) -> None:
        """What follows is work at this statement."""
        self._place = place

    def spend(self, steps: int) -> None:
        """Take steps. Raises `SpentError` when there are not so many; then nothing is left for anybody."""
        self.left -= steps
        if self.left < 0:
            raise SpentError(self)

    def read(self, source: Source, times: int = 1) -> None:
        """Take what reading a text so many times costs, which its characters alone decide. Raises `SpentError`."""
        signs = sum(source.text.count(sign) for sign in _SIGNS)
        size = len(source.text) if source.text.isascii() else len(source.text.encode("utf-8", "surrogatepass"))
        lines = source.text.count("\n") + source.text.count("\r") - source.text.count("\r\n")
        cost = times * (size + _PER_SIGN * signs + _PER_LINE * lines)
        reached = int(len(source.text) * max(0.0, self.left) / cost) if cost > self.left else 0
        line = source.text.rfind("\n", 0, reached) + 1
        self.at(Span(source, line, max(line, reached)))
        self.spend(cost)

    def finding(self) -> Diagnostic:
        """What to say when it is spent: where the work ended, and what can be done about that."""
        if self._place is None:
            raise RuntimeError("this is a bug in rbrlang: a budget was spent at no place")
        return Diagnostic(
            codes.TOO_MUCH_WORK, f"the policy takes more than {self.limit:,} steps of work, which end here", self._place,
            help="nothing behind this was looked at; split the policy, or, if you trust its author, allow more with "
            f"`--budget {10 * (self.limit or STEPS)}`",
        )  # fmt: skip
