"""How often does the grader err on each proposition, and how is that known?

Rates are those of labelled rows, (mistakes + ½) / (rows + 1): a few rows without a mistake do not make a
perfect grader. Where a side has fewer than 5 rows the policy's declared `@noise` stands in, and is named.

Of a scale or a choice it is how often each value is answered, the likeliest being the answer, where each is true:
(count + ½) / (rows + half the number of values). Where a value has fewer than 5 rows it is taken to be always found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.trust.agreement import FEWEST_OF_EACH
from rbrlang.grading.trust.values import chances_of, labels_of
from rbrlang.lang.variables import Domain
from rbrlang.logic.circuit import AtomInfo, Circuit
from rbrlang.rows.read import Row
from rbrlang.told import Told


class AgreementFileError(ValueError):
    """What was given as agreement is not what `rbrc agree --format json` prints."""


@dataclass(frozen=True, slots=True)
class ErrorRate(Told, called={"proposition": None}, also={"source": "source"}):
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


@dataclass(frozen=True, slots=True)
class ValueRates:
    """How often each value of a scale or a choice is answered: `answered[i][j]` is P(answer j | value i).

    `rows[i]` are behind that, 0 where value `i` is taken to be always found.
    """

    domain: Domain
    answered: tuple[tuple[float, ...], ...]
    rows: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """By value."""
        values = self.domain.values
        return {
            "rows": dict(zip(values, self.rows, strict=True)),
            "answered": {
                value: dict(zip(values, row, strict=True)) for value, row in zip(values, self.answered, strict=True)
            },
        }


def value_rates(domain: Domain, counts: NDArray[np.int64]) -> ValueRates:
    """The rates of a confusion [true, answered]."""
    k = len(domain.values)
    rows = counts.sum(1)
    told = rows >= FEWEST_OF_EACH
    answered = np.where(told[:, None], (counts + 0.5) / (rows[:, None] + k / 2), np.eye(k))
    return ValueRates(domain, tuple(map(tuple, answered.tolist())), tuple(np.where(told, rows, 0).tolist()))


def value_rates_from_rows(circuit: Circuit, rows: Sequence[Row]) -> tuple[ValueRates, ...]:
    """Those of all scales and choices from rows that carry both labels and `probs` of them."""
    found: list[ValueRates] = []
    for domain in (variable.domain for variable in circuit.variables):
        truth, p = labels_of(domain, rows), chances_of(domain, rows)
        known = (truth >= 0) & ~np.isnan(p).any(1)
        counts = np.zeros((len(domain.values),) * 2, np.int64)
        np.add.at(counts, (truth[known], np.nan_to_num(p[known]).argmax(1)), 1)
        found.append(value_rates(domain, counts))
    return tuple(found)


def value_rates_from_agreement(circuit: Circuit, agreement: object) -> tuple[ValueRates, ...]:
    """Those of all scales and choices from the JSON of `rbrc agree`, which has their confusions. Raises `AgreementFileError`."""
    variables = _mapping(agreement).get("variables", {})
    found: list[ValueRates] = []
    for domain in (variable.domain for variable in circuit.variables):
        table = _mapping(_mapping(variables).get(domain.name, {})).get("confusion")
        counts = np.zeros((len(domain.values),) * 2, np.int64)
        for i, true in enumerate(domain.values if table is not None else ()):
            for j, given in enumerate(domain.values):
                row = _mapping(table).get(true)
                count = cast("Mapping[str, Any]", row).get(given) if isinstance(row, Mapping) else None
                if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count < 2**53:
                    raise AgreementFileError(f"the confusion of `{domain.name}` has no count of `{given}` for `{true}`")
                counts[i, j] = count
        found.append(value_rates(domain, counts))
    return tuple(found)


def rates_from_rows(circuit: Circuit, rows: Sequence[Row]) -> tuple[ErrorRate, ...]:
    """Error rates of all propositions from rows that carry both `labels` and `probs` (yes from 0.5)."""
    asked = [atom for atom in circuit.atoms if atom.asked]
    counts = {atom.name: [0, 0, 0, 0] for atom in asked}  # claimed, no, missed, yes
    for row in rows:
        for name, count in counts.items():
            label, p = row.labels.get(name), row.probs.get(name)
            if label is not None and p is not None:
                count[2 * label + 1] += 1
                count[2 * label] += (p >= 0.5) != label
    return tuple(_rate(atom, *counts[atom.name]) for atom in asked)


def rates_from_agreement(circuit: Circuit, agreement: object) -> tuple[ErrorRate, ...]:
    """Error rates of all propositions from the JSON of `rbrc agree`. Raises `AgreementFileError`.

    Read are `support`, `positives`, `sensitivity` and `specificity` of each entry of `propositions`; a
    proposition that it refuses or does not know keeps its declared rates.
    """
    propositions = _mapping(_mapping(agreement).get("propositions"))
    found: list[ErrorRate] = []
    for atom in circuit.atoms:
        if not atom.asked:
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
    of_values = value_rates_from_agreement(circuit, agreement)
    if not any(rate.positives or rate.negatives for rate in found) and not any(any(one.rows) for one in of_values):
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
