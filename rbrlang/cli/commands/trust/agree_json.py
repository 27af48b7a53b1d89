"""How does an agreement look to a program?"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any, assert_never

from rbrlang.cli.commands.trust import agree_values
from rbrlang.grading.trust.assessment import Disagreement, disagreements
from rbrlang.grading.trust.calibrate import Calibrated, Correction, Isotonic, Platt, Temperature, Unchanged

if TYPE_CHECKING:
    from rbrlang.cli.commands.trust.agree_outcome import Outcome, Training
    from rbrlang.policy import Policy
    from rbrlang.rows.read import Row


def to_json(outcome: Outcome, policy: Policy, options: argparse.Namespace) -> dict[str, Any]:
    """What `--format json` prints."""
    plain = outcome.assessment.to_json()
    for name, note in zip(plain["propositions"], outcome.notes, strict=False):
        plain["propositions"][name]["note"] = note or None
    found = disagreements(outcome.labels, outcome.p, options.disagreements)
    return {
        "grader": outcome.grader,
        "fingerprint": policy.fingerprint,
        "cross_validated": None if outcome.folds is None else {"folds": outcome.folds, "seed": options.seed, "by": "prompt"},
        "applied_calibration": outcome.applied,
        **plain,
        "variables": {one.domain.name: one.to_json() for one in outcome.values},
        "compared": outcome.compared,
        "unlabelled_rows": outcome.unlabelled,
        "invalid_answers": dict(outcome.invalid),
        "disagreements": [_disagreement_json(d, outcome, policy) for d in found],
        "calibration": None if outcome.calibration is None else {
            "file": options.calibrate,
            "propositions": {c.name: _calibrated_json(c) for c in outcome.calibration.propositions},
            "variables": agree_values.corrections_json(outcome.calibration.variables),
        },
        "training": None if outcome.training is None else _training_json(outcome.training, options.train),
    }  # fmt: skip


def _disagreement_json(found: Disagreement, outcome: Outcome, policy: Policy) -> dict[str, Any]:
    row = outcome.rows[found.row]
    return {
        "id": row.id, "response_type": row.response_type, "proposition": policy.circuit.propositions[found.proposition],
        "label": found.label, "p": found.p, "prompt": last_turn(row),
        "completion": row.conversation.text(policy.program.propositions[found.proposition].over),
        "thought": outcome.thoughts.get((found.row, found.proposition)),
    }  # fmt: skip


def _calibrated_json(one: Calibrated) -> dict[str, Any]:
    gain = one.gain
    return {
        "labels": one.labels,
        "correction": describe(one.correction),
        "brier": None if gain is None else {"before": gain.brier_before, "after": gain.brier_after},
        "ece": None if gain is None else {"before": gain.ece_before, "after": gain.ece_after},
    }


def _training_json(training: Training, file: str) -> dict[str, Any]:
    def known(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return {
        "file": file,
        "identity": training.heads.identity,
        "source": training.heads.source,
        "learned": [info.name for info in training.heads.infos if info.learned],
        "not_learned": [info.name for info in training.heads.infos if not info.learned],
        "auc_before": {i.name: known(a) for i, a in zip(training.heads.infos, training.before, strict=True)},
        "learning_curve": [
            {"completions": n, "auc": known(a)} for n, a in zip(training.curve.sizes, training.curve.auc, strict=True)
        ],
    }


def describe(correction: Correction) -> str:
    """A correction in words."""
    match correction:
        case Unchanged(reason):
            return f"unchanged: {reason}"
        case Temperature(t):
            return f"temperature {t:.2f}"
        case Platt(a, b):
            return f"Platt, slope {a:.2f}, shift {b:+.2f}"
        case Isotonic(x, _):
            return f"isotonic, {len(x)} steps"
        case _:
            assert_never(correction)


def last_turn(row: Row) -> str:
    """What the completion answers."""
    return row.prompt[-1].text if row.prompt else ""
