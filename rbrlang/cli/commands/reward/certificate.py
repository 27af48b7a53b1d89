"""What `--certify` prints: is the order of the classes proved, and what breaks it?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rbrlang.cli.errors import UsageError
from rbrlang.cli.terminal import say

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from rbrlang.learning.judging.certificates import BaseRange, Certificates, Lead, ResponseCertificate
    from rbrlang.logic.circuit import Circuit


def arguments(parser: argparse.ArgumentParser) -> None:
    """`--certify` and `--base-range`."""
    parser.add_argument(
        "--certify", action="store_true",
        help="prove for every assignment that better classes outrank worse ones, or show what breaks the order",
    )  # fmt: skip
    parser.add_argument(
        "--base-range", nargs=2, type=float, metavar=("LOW", "HIGH"),
        help="base rewards that --certify has to reckon with (default: those of the rows)",
    )  # fmt: skip


def asked(options: argparse.Namespace) -> bool:
    """Whether the user wants certificates."""
    return options.certify or options.base_range is not None


def proof(options: argparse.Namespace, circuit: Circuit, weights: ArrayLike, observed: Sequence[float]) -> Certificates:
    """The certificates; `observed` base rewards give the range unless the user does."""
    from rbrlang.learning.judging.certificates import BaseRangeError, certify

    extent = options.base_range or ((min(observed), max(observed)) if observed else None)
    try:
        return certify(circuit, weights, (extent[0], extent[1]) if extent else None)
    except BaseRangeError as error:
        raise UsageError(f"--base-range: {error}") from error


def show(found: Certificates) -> None:
    """Per response type the least lead of every two classes, and the assignments that break an order."""
    from rbrlang.cli.tables import show as table

    base = found.base_range
    for response in found.responses:
        if response.impossible:
            say(f"{response.name}: no assignment is {', '.join(response.impossible)}")
        if not response.leads:
            say(f"{response.name}: nothing to prove: no two classes of different rank")
            continue
        head = ("better", "over worse", "least lead", "rules alone")
        extra = () if base is None else (f"with base rewards {base[0]:g} … {base[1]:g}",)
        added = response.rubrics
        extra += () if added is None else (f"with rubrics {added[0]:+.4g} … {added[1]:+.4g}",)
        table(
            f"{response.name}: does every assignment of a better class outrank every one of a worse?",
            (*head, *extra),
            [_row(lead, base) + _with_rubrics(lead, added) for lead in response.leads],
        )
        _explain(response, base)


def _row(lead: Lead, base: BaseRange | None) -> tuple[str, ...]:
    row = (lead.better, lead.worse, f"{lead.lead:+.4g}", "proved" if lead.holds else "broken")
    if base is None:
        return row
    if not lead.holds:
        return (*row, "broken")
    if not lead.overridden(base):
        return (*row, "proved")
    return (*row, f"overridden from {base[0] + lead.lead:.4g}")


def _with_rubrics(lead: Lead, added: BaseRange | None) -> tuple[str, ...]:
    if added is None:
        return ()
    return ("broken" if not lead.holds else "overridden" if lead.overridden(added) else "proved",)


def _explain(response: ResponseCertificate, base: BaseRange | None) -> None:
    worst = response.leads[0]
    if not worst.holds:
        say(
            f"broken: a completion that is {worst.better} can earn {worst.better_reward:+.4g} where one that is "
            f"{worst.worse} earns {worst.worse_reward:+.4g}"
        )
    elif base is not None and worst.overridden(base):
        say(
            f"the base reward overrides the rules: a completion that is {worst.worse} with base reward "
            f"{base[0] + worst.lead:.4g} or more outranks one that is {worst.better} with {base[0]:g}"
        )
    elif response.rubrics is not None and worst.overridden(response.rubrics):
        low, high = response.rubrics
        say(
            f"rubrics override the rules: they add {low:+.4g} to {high:+.4g}, and a completion that is {worst.worse} outranks "
            f"one that is {worst.better} once it leads by {worst.lead:.4g} of that"
        )
    else:
        sys.stdout.write("proved for every assignment that satisfies the axioms\n\n")
        return
    sys.stdout.write(f"  {worst.better}: {_case(worst.better_case)}\n  {worst.worse}: {_case(worst.worse_case)}\n\n")


def _case(case: Mapping[str, bool]) -> str:
    true = [name for name, holds in case.items() if holds]
    return f"{', '.join(true) or 'none of its propositions'} {'hold' if len(true) > 1 else 'holds'}"
