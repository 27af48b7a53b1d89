"""What does an artefact say of itself that nobody can compute from it? For `rbrc inspect` and `rbrc verify`."""

from __future__ import annotations

from typing import Literal, assert_never

from rbrlang.reward.kept.artefact import Artefact
from rbrlang.reward.kept.record import Recorded, recorded

_LONGEST = 200


def claims(artefact: Artefact, *, certificate: bool = True) -> list[str]:
    """One line a claim; without the certificate where that was computed."""
    record = recorded(artefact)
    found = [f"written by rbrlang {artefact.version}"]
    if record.loss is not None:
        found.append(_fit(record))
    if record.grader:
        found.append(f"grader: {record.grader}")
    if certificate and record.certificate is not None:
        found.append(_certificate(record.certificate))
    for key, value in artefact.provenance.items():
        if key not in ("fit", "grader", "weights"):
            found.append(f"{key}: {value}")
    return [line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…" for line in found]


def _fit(record: Recorded) -> str:
    base = f"`{record.base_reward}`" if record.base_reward else "none"
    rows = "?" if record.rows is None else f"{record.rows:,}"
    seed = "?" if record.seed is None else record.seed
    return (
        f"fitted to {rows} rows (data {(record.data or '?')[:12]}): {record.loss} loss, classes from "
        f"{record.class_source or '?'}, base reward {base}, seed {seed}"
    )


def _certificate(certificate: Literal["proved", "overridden", "refuted"]) -> str:
    match certificate:
        case "proved":
            return "certificate: every better case outranks every worse one, base rewards of those rows included"
        case "overridden":
            return "certificate: the rules rank every case as declared; base rewards of those rows can override them"
        case "refuted":
            return "certificate: some better cases do not outrank worse ones; `rbrc eval --certify` shows them"
        case _:
            assert_never(certificate)
