"""How often does the grader err on each proposition, and how is that known?

Rates are those of labelled rows, (mistakes + ½) / (rows + 1): a few rows without a mistake do not make a
perfect grader. Where a side has fewer than 5 rows the policy's declared `@noise` stands in, and is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from rbrlang.grading.trust.agreement import FEWEST_OF_EACH
from rbrlang.logic.circuit import AtomInfo, Circuit
from rbrlang.rows.read import Row


class AgreementFileError(ValueError):
    """What was given as agreement is not what `rbrc agree --format json` prints."""


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """How often the grader errs on one proposition: P(yes | false) and P(no | true), and how that is known.

    `negatives`, `positives`: rows behind the two rates, 0 where the policy's declared rate stands in.
    """

    proposition: str
    fp: float
    fn: float
    negatives: int
    positives: int

    @property
    def source(self) -> str:
        """`measured`, `declared`, or which of both."""
        if self.negatives and self.positives:
            return "measured"
        if not (self.negatives or self.positives):
            return "declared"
        return "fn declared" if self.negatives else "fp declared"

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {
            "fp": self.fp, "fn": self.fn, "negatives": self.negatives, "positives": self.positives,
            "source": self.source,
        }  # fmt: skip


def rates_from_rows(circuit: Circuit, rows: Sequence[Row]) -> tuple[ErrorRate, ...]:
    """Error rates of all propositions from rows that carry both `labels` and `probs` (yes from 0.5)."""
    found: list[ErrorRate] = []
    for atom in circuit.atoms:
        if atom.measure is not None:
            continue
        yes, no, missed, claimed = 0, 0, 0, 0
        for row in rows:
            label, p = row.labels.get(atom.name), row.probs.get(atom.name)
            if label is None or p is None:
                continue
            yes, no = yes + label, no + (not label)
            missed, claimed = missed + (label and p < 0.5), claimed + (not label and p >= 0.5)
        found.append(_rate(atom, claimed, no, missed, yes))
    return tuple(found)


def rates_from_agreement(circuit: Circuit, agreement: object) -> tuple[ErrorRate, ...]:
    """Error rates of all propositions from the JSON of `rbrc agree`. Raises `AgreementFileError`.

    Read are `support`, `positives`, `sensitivity` and `specificity` of each entry of `propositions`; a
    proposition that it refuses or does not know keeps its declared rates.
    """
    propositions = _mapping(_mapping(agreement).get("propositions"))
    found: list[ErrorRate] = []
    for atom in circuit.atoms:
        if atom.measure is not None:
            continue
        entry = _mapping(propositions.get(atom.name, {}))
        sensitivity, specificity = _value(entry, "sensitivity"), _value(entry, "specificity")
        if sensitivity is None or specificity is None:
            found.append(_rate(atom, 0, 0, 0, 0))
            continue
        support, yes = entry.get("support"), entry.get("positives")
        if not isinstance(support, int) or not isinstance(yes, int) or not 0 <= yes <= support:
            raise AgreementFileError(f"`{atom.name}` has no counts `support` and `positives`")
        no = support - yes
        found.append(_rate(atom, round((1 - specificity) * no), no, round((1 - sensitivity) * yes), yes))
    if not any(rate.positives or rate.negatives for rate in found):
        raise AgreementFileError(
            "no proposition of this policy has a measured `sensitivity` and `specificity`; "
            "was it made with `rbrc agree … --format json` for this policy?"
        )
    return tuple(found)


def _rate(atom: AtomInfo, claimed: int, no: int, missed: int, yes: int) -> ErrorRate:
    """Mistakes among rows, with half a mistake added; the declared rate of a side with too few rows."""
    no, yes = (n if n >= FEWEST_OF_EACH else 0 for n in (no, yes))
    return ErrorRate(
        atom.name,
        (claimed + 0.5) / (no + 1) if no else atom.fp,
        (missed + 0.5) / (yes + 1) if yes else atom.fn,
        no,
        yes,
    )


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise AgreementFileError("it has no object `propositions` with an entry for each proposition")
    return cast(Mapping[str, Any], value)


def _value(entry: Mapping[str, Any], name: str) -> float | None:
    value = entry.get(name)
    if isinstance(value, Mapping):
        value = cast(Mapping[str, Any], value).get("value")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
        raise AgreementFileError(f"a `{name}` is {value!r}, not a number from 0 to 1")
    return float(value)
