"""How is a grader made of the graders that its file names?

Both doors, the command line and `scoring.graders`, open members as they open any grader, each by its own file and corrected by its
own calibration, and hand them over here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from rbrlang.grading.judge import Grader, unshaped
from rbrlang.grading.questions.members import leaves, member_named, members_of
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
    graders: list[Opened] = []
    for at, name in enumerate(found.members):
        with member_named(spec, found, at):
            graders.append(member(name))
    identities = [grader.identity for grader, _ in graders]
    check_distinct(
        [f"{found.key(at)} = {name}" for at, name in enumerate(found.members)], identities,
        f"the grader file `{spec.path.name}`: ",
    )  # fmt: skip
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


def check_distinct(names: Sequence[str], identities: Sequence[str], where: str = "") -> None:
    """Refuse one grader that is named twice: it would count twice. Raises `GraderError`."""
    first: dict[str, int] = {}
    for at, identity in enumerate(map(unshaped, identities)):
        if first.setdefault(identity, at) != at:
            raise GraderError(
                f"{where}`{names[first[identity]]}` and `{names[at]}` are the same grader, `{identity}`, which would count "
                "twice; name another, or leave one out"
            )
