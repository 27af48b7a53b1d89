"""Which rows have labels of a policy's questions?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rbrlang.cli.errors import UsageError
from rbrlang.cli.terminal import warn
from rbrlang.diagnostics import suggest

if TYPE_CHECKING:
    from rbrlang.policy import Policy
    from rbrlang.rows.read import Row


def labelled_rows(rows: Sequence[Row], policy: Policy, path: str) -> Sequence[Row]:
    """The rows with a label of a question; names what is left out. Raises `UserError` when nothing is left."""
    from rbrlang.reward.rubrics import with_met
    from rbrlang.rows.kept import Kept

    known = set(policy.circuit.propositions)
    kept: Kept[Row] = Kept()
    strange: Counter[str] = Counter()
    for row in rows:
        labelled = {name for name, label in row.labels.items() if label is not None}
        strange.update(labelled - known)
        if labelled & known or row.value_labels or with_met(policy.circuit, replace(row, rubrics={})).rubrics:
            kept.extend((row,))
    derived = {definition.name for definition in policy.program.definitions}
    for name, count in sorted(strange.items()):
        near = suggest(name, sorted(known))
        if name in derived:
            why = "is derived in the policy, so its labels are not used"
        else:
            why = "is no proposition of the policy, so its labels are not used" + (
                f"; did you mean `{near}`?" if near else ""
            )
        warn(f"{path}: `{name}` (labelled in {count} rows) {why}")
    if not kept:
        names = ", ".join(sorted({*known, *(variable.domain.name for variable in policy.circuit.variables)}))
        raise UsageError(f"`{path}` has no label of a question of the policy; `labels` of a row may name {names}")
    if len(kept) < len(rows):
        warn(f"{path}: {len(rows) - len(kept)} of {len(rows)} rows have no labels and take no part")
    return kept
