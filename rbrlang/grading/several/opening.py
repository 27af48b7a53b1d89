"""How is a grader made of the graders that its file names?

Both doors, the command line and `scoring.graders`, open members as they open any grader, each by its own file and corrected by its
own calibration, and hand them over here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rbrlang.grading.judge import Grader
from rbrlang.grading.questions.members import leaves, members_of
from rbrlang.grading.questions.specs import GraderError, SeveralSpec
from rbrlang.grading.several import thresholds, weights
from rbrlang.grading.several.cascade import Cascade, rules_of
from rbrlang.grading.several.jury import Jury, Weights
from rbrlang.grading.trust.corrections import CalibrationError
from rbrlang.logic.circuit import Circuit
from rbrlang.policy import Policy
from rbrlang.reward.numpy import NumpyReward

Opened = tuple[Grader, bool]
"""A member, and whether it answers yes and no alone."""


def opened(spec: SeveralSpec, policy: Policy, circuit: Circuit, member: Callable[[str], Opened]) -> Grader:
    """The jury or the cascade of a grader file; `member` opens one of its graders by name. Raises `GraderError`."""
    leaves(spec)  # a file that is a member of itself would never end
    found = members_of(spec)
    graders = [member(name) for name in found.members]
    identities = [grader.identity for grader, _ in graders]
    seats = np.ones((len(graders), len(circuit.questions)), np.bool_)
    seats[[yes_no for _, yes_no in graders], circuit.first_variable :] = (
        False  # they have no answer to a scale or a choice
    )
    try:
        if found.kind == "cascade":
            if found.learned is None:
                raise AssertionError("a cascade's file has `thresholds`; this is a bug in rbrlang")
            threshold, plain = thresholds.read(found.learned, identities, rules_of(policy, circuit))
            (first, _), (then, _) = graders
            return Cascade(first, then, NumpyReward(circuit), threshold.value, json.dumps(plain, sort_keys=True))
        if found.learned is not None:
            fitted = weights.read(found.learned, identities)
            digest = hashlib.sha256(json.dumps(weights.to_json(fitted)).encode()).hexdigest()
            joining = fitted.weights(circuit.questions, circuit.first_variable)
            joining = replace(joining, of=joining.of * seats)
            return Jury([grader for grader, _ in graders], joining, digest)
    except CalibrationError as error:
        raise GraderError(str(error)) from error
    except OSError as error:
        raise GraderError(f"cannot read `{found.learned}`: {(error.strerror or str(error)).lower()}") from error
    return Jury([grader for grader, _ in graders], Weights.mean(seats), "mean")
