"""Which grader answers while a model trains?

The grader is named as on the command line (`embedded`, `openai:MODEL`, `systemone:URL`,
`python:module.function`) and made where it is used, since connections and compiled patterns do not cross
into a worker process. Labels and tables are no graders here: they know rows by id, and a rollout is new.
"""

from __future__ import annotations

import logging
import os
from functools import partial
from importlib import import_module
from pathlib import Path

from rbrlang.diagnostics import PolicyError
from rbrlang.grading.embedded.grader import EmbeddedGrader, NoEvidence
from rbrlang.grading.judge import Grader, Judge
from rbrlang.grading.local import reading_grader
from rbrlang.grading.questions.layout import wanted
from rbrlang.grading.questions.specs import (
    EmbeddedSpec,
    GraderError,
    LabelsSpec,
    PythonSpec,
    RowsSpec,
    TableSpec,
    api_key,
    parse_grader,
)
from rbrlang.grading.results import GradeItem
from rbrlang.grading.trust.calibrate import CalibratedGrader, from_json
from rbrlang.lang.carried import CarriedError
from rbrlang.logic.circuit import Circuit
from rbrlang.policy import Policy
from rbrlang.reward import artefact as artefacts
from rbrlang.reward.artefact import Artefact

_log = logging.getLogger("rbrlang")


def policy_of(artefact: Artefact) -> Policy:
    """The policy whose sources an artefact carries. Raises `GraderError` when they are not what was compiled."""
    try:
        policy = artefacts.policy_of(artefact)
        same = policy.compiled(artefact.circuit.class_probability) == artefact.circuit
    except (CarriedError, PolicyError) as error:
        raise GraderError(f"the artefact's sources do not compile: {error}") from error
    if not same:
        raise GraderError("the artefact's sources do not compile to its policy; compile or fit the policy again")
    return policy


def judge_of(name: str, artefact: Artefact, cache: Path | None) -> Judge:
    """The grader of this name, with the artefact's calibration where it is of this grader.

    `cache` is a file of answers for graders behind an endpoint. The endpoint's address and key are those of the
    environment, `OPENAI_BASE_URL` and `OPENAI_API_KEY`. Raises `GraderError`.
    """
    policy = policy_of(artefact)
    spec = parse_grader(name, os.environ, None)
    if isinstance(spec, EmbeddedSpec | PythonSpec):
        grader = reading_grader(spec, policy.program.propositions)
        check_sight(grader, artefact.circuit)
        return calibrated(grader, artefact).answers
    if isinstance(spec, RowsSpec | LabelsSpec | TableSpec):
        raise GraderError(f"`{name}` knows rows by their id, and a rollout is new; name a grader that reads text")
    try:
        endpoints = import_module("rbrlang.scoring.endpoints")  # late, since it needs an extra
    except ImportError:
        raise GraderError(f"the grader `{name}` needs the extra `endpoint`: pip install 'rbrlang[endpoint]'") from None
    return endpoints.EndpointJudge(spec, policy, cache, api_key(os.environ), partial(calibrated, artefact=artefact))


def check_sight(grader: Grader, circuit: Circuit) -> None:
    """Whether the embedded grader can answer all that the response types ask, before a run finds out.

    Warns of response types without any reward under it. Raises `GraderError` where that is all of them.
    """
    if not isinstance(grader, EmbeddedGrader):
        return
    items = [GradeItem(name, (), "", number) for number, name in enumerate(circuit.response_names)]
    unseen = {p for p, standing in enumerate(grader.standings) if isinstance(standing, NoEvidence)}
    missing = {
        item.id: [p for p in asked if p in unseen] for item, asked in zip(items, wanted(circuit, items), strict=True)
    }
    blind = [name for name, some in missing.items() if some]
    if not blind:
        return
    names = ", ".join(f"`{circuit.propositions[p]}`" for p in sorted({p for some in missing.values() for p in some}))
    said = (
        f"the embedded grader cannot read {names}: no head of this name, no cues, and no few-shots of both answers; "
        "give the propositions cues, or name another grader"
    )
    if len(blind) == len(items):
        raise GraderError(f"no completion would have a reward: {said}")
    _log.warning("completions of %s will have no reward: %s", ", ".join(f"`{name}`" for name in blind), said)


def calibrated(grader: Grader, artefact: Artefact) -> Grader:
    """The grader, corrected by the artefact's calibration; as it is, with a warning, where that is another's.

    Raises `GraderError` for a calibration that cannot be read.
    """
    if artefact.calibration is None:
        return grader
    try:
        calibration = from_json(artefact.calibration)
        if calibration.grader == grader.identity:
            return CalibratedGrader(grader, calibration, artefact.circuit.propositions)
    except (KeyError, TypeError, ValueError) as error:
        raise GraderError(f"the artefact's calibration cannot be used: {error}") from error
    _log.warning(
        "the artefact's calibration %s is of `%s`; it was not applied to answers of `%s`",
        calibration.identity, calibration.grader, grader.identity,
    )  # fmt: skip
    return grader
