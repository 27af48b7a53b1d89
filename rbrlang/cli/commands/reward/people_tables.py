"""Does the policy say what people prefer? For people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rbrlang.cli.tables import show
from rbrlang.cli.terminal import excerpt, say, wrapped
from rbrlang.learning.preferences import silent

if TYPE_CHECKING:
    from rbrlang.grading.texttests import Decisive
    from rbrlang.learning.judging.people import Contradiction, People, PeopleOrder, Side
    from rbrlang.learning.judging.resample import Estimate
    from rbrlang.logic.circuit import Circuit
    from rbrlang.rows.read import Row

_MOST_DECISIVE = 3


def show_people(people: People, rows: Sequence[Row], circuit: Circuit, *, fitted: bool) -> None:
    """Agreement of ranks and reward with people, and where they contradict; `fitted` weights, or the defaults."""
    title = "does the policy say what people prefer?" + ("" if fitted else " (before the fit, with default weights)")
    judged = [one for one in people.orders if one.pairs]
    if judged:
        show(title, ("response type", "by", "pairs", "of two ranks", "ranked as people do", "wrong: base", "rules", "both"), [
            (one.name, one.source, str(one.pairs), _share(one.ranked), _share(one.agree),
             *map(_share, (None, None, None) if one.error is None else (one.error.base, one.error.rules, one.error.both)))
            for one in judged
        ])  # fmt: skip
        say(
            f"of two ranks: pairs whose classes, from {people.class_source}, differ in rank; wrong: pairs in which the one that "
            "people like less has the higher reward, a tie counting half"
        )
    several = len({one.source for one in people.orders}) > 1
    for one in people.orders:
        _remarks(one, several=several)
    say("")
    for one in judged:
        _contradictions(one, rows, circuit)


def _remarks(one: PeopleOrder, *, several: bool) -> None:
    """What took no part; of `several` sources a row need not speak by each."""
    if one.reason is not None:
        if one.set_apart:
            say(f"{one.name}: {one.reason}")
        return
    for reason, count in one.set_apart.items():
        if several and reason == silent(one.source):
            continue
        say(f"{one.name}, {one.source}: {count} row{'s' if count > 1 else ''} set apart: {reason}")
    if one.unknown:
        say(f"{one.name}, {one.source}: {one.unknown} pairs have a completion whose class is not known")
    if one.error is not None and one.error.both.refused not in (None, "not asked for"):
        say(f"{one.name}, {one.source}: no interval: {one.error.both.refused}")


def _contradictions(one: PeopleOrder, rows: Sequence[Row], circuit: Circuit) -> None:
    if not one.contradictions:
        return
    by_rank = sum(found.sure is not None for found in one.contradictions)
    shown = len(one.contradictions)
    what = (
        "where the ranks say the opposite, the surest first" if by_rank else "where only the reward says the opposite"
    )
    of = f"{by_rank} of {one.against}" + (f", then {shown - by_rank} by the reward alone" if shown > by_rank else "")
    say(f"{one.name}, {one.source}: {what} ({of if by_rank else shown}; `--contradictions N` shows more)")
    say("")
    for found in one.contradictions:
        _contradiction(found, rows, circuit)


def _contradiction(found: Contradiction, rows: Sequence[Row], circuit: Circuit) -> None:
    preferred, other = found.preferred, found.other
    wrapped(
        f"people prefer a completion that is {preferred.klass} to one that is {other.klass}; " + (
            f"the rules are {100 * found.sure:.0f} % sure of the opposite, and the reward leads it by {found.lead:+.2f}"
            if found.sure is not None
            else f"the ranks are equal, and the rules' reward leads the other one by {found.lead:+.2f}"
        ), "  ", "  ",
    )  # fmt: skip
    asked = rows[preferred.row].prompt
    wrapped(excerpt(asked[-1].text if asked else "") or "(nothing)", "    asked:     ", " " * 15)
    for who, side in (("preferred: ", preferred), ("other:     ", other)):
        wrapped(excerpt(rows[side.row].conversation.text(circuit.judged)) or "(nothing)", f"    {who}", " " * 15)
        wrapped(_why(side), " " * 15, " " * 15)
    say("")


def _why(side: Side) -> str:
    decisive = ", ".join(_decisive(one) for one in side.decided_by[:_MOST_DECISIVE])
    return f"[{side.id}] {side.klass}" + (f", decided by {decisive}" if decisive else "")


def _decisive(one: Decisive) -> str:
    return f"`{one.name}` {one.p:.2f} (the opposite: {one.otherwise})"


def _share(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f}  {estimate.low:.3f}…{estimate.high:.3f}"
