"""Which calibration corrects the answers of a grader that a command asks?"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from rbrlang.cli.errors import UsageError
from rbrlang.cli.terminal import warn
from rbrlang.policy import Policy

if TYPE_CHECKING:
    from rbrlang.grading.trust.calibrate import Calibration
    from rbrlang.reward.kept.artefact import Artefact


def calibration_of(
    options: argparse.Namespace,
    policy: Policy | Artefact,
    identity: str,
    before: Collection[object],
    note: Callable[[str], object] = warn,
) -> Calibration | None:
    """The calibration to apply to this grader's answers; `before` are those that rows were corrected by, or None."""
    from rbrlang.grading.judge import same
    from rbrlang.grading.trust.calibrate import CalibrationError, from_json, read

    circuit, corrected = policy.circuit, any(name is not None for name in before)
    if options.calibration is not None:
        calibration = read(Path(options.calibration))
        calibration.corrections(identity, circuit.questions, circuit.asked_domains)
        if corrected:
            raise UsageError("these rows are calibrated already; grade them again without `--calibration`")
        if misfit := calibration.misfit(circuit.questions, circuit.asked_domains):
            note(misfit)
        return calibration
    if isinstance(policy, Policy) or policy.calibration is None:
        return None
    try:
        calibration = from_json(policy.calibration)
        calibration.corrections(calibration.grader, circuit.questions, circuit.asked_domains)
    except CalibrationError as error:
        raise UsageError(f"the artefact's calibration cannot be used: {error}") from error
    if not corrected and same(calibration.grader, identity):
        if misfit := calibration.misfit(circuit.questions, circuit.asked_domains):
            note(misfit)
        return calibration
    if options.grader != "labels" and set(before) != {calibration.identity}:
        note(
            f"the artefact's calibration {calibration.identity} is of `{calibration.grader}`; it was not applied to "
            + ("rows that another calibration corrected" if corrected else f"answers of `{identity}`")
        )
    return None
