"""How far the rules' reward spreads beside the base reward, for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rbrlang.cli.tables import show
from rbrlang.learning.spread import Extent, RewardSpread


def show_spreads(spreads: Mapping[str, RewardSpread]) -> None:
    """A line per response type, and a warning for each whose rules drown the base reward."""
    if spreads:
        show(
            "reward over the rows: standard deviation, least … greatest",
            ("response type", "rows", "rules", "base", "rules / base"),
            [
                (name, str(one.rows), _extent(one.rules), "" if one.base is None else _extent(one.base),
                 "" if one.ratio is None else f"{one.ratio:.2f}")
                for name, one in spreads.items()
            ],
        )  # fmt: skip
    for name, one in spreads.items():
        warning = one.warning(name)
        if warning is not None:
            sys.stdout.write(f"warning: {warning}\n\n")


def _extent(extent: Extent) -> str:
    return f"{extent.sd:.2f}  {extent.least:+.2f} … {extent.greatest:+.2f}"
