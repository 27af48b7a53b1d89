"""Which grader answers while a model trains?

The grader is named as on the command line (`embedded`, `openai:MODEL`, `local:FILE.gguf`, `systemone:URL`,
`python:module.function`, or as a jury's or a cascade's file has it) and made where it is used, since connections and compiled patterns do not cross
into a worker process. Labels and tables are no graders here: they know rows by id, and a rollout is new.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import assert_never

from rbrlang.diagnostics import PolicyError
from rbrlang.grading.embedded.names import WAYS_OUT
from rbrlang.grading.judge import Grader, same
from rbrlang.grading.local import reading_grader
from rbrlang.grading.questions.graderfile import applied
from rbrlang.grading.questions.options import GraderOptions
from rbrlang.grading.questions.specs import (
    EmbeddedSpec,
    GraderError,
    GraderSpec,
    LabelsSpec,
    LocalSpec,
    OpenAISpec,
    PythonSpec,
    RemoteSpec,
    RowsSpec,
    SeveralSpec,
    SystemOneSpec,
    TableSpec,
    api_key,
    parse_grader,
)
from rbrlang.grading.results import GradeItem
from rbrlang.grading.several.opening import opened
from rbrlang.grading.sight import OTHERS, WHY, asked_of_types, beyond, named, sight, yes_no
from rbrlang.grading.trust.calibrate import CalibratedGrader, Calibration, CalibrationError, from_json, read
from rbrlang.grading.unfilled import filling
from rbrlang.lang.carried import CarriedError
from rbrlang.logic.circuit import Circuit
from rbrlang.policy import Policy
from rbrlang.reward.kept import artefact as artefacts
from rbrlang.reward.kept.artefact import Artefact

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


def grader_of(
    name: str, artefact: Artefact, options: GraderOptions, items: Sequence[GradeItem] | None = None
) -> Grader:
    """The grader of this name, asked as `options` say, for a process that goes on and on.

    It corrects by the calibration of `options`, else by the artefact's where that is of this grader. `items` are what
    an endpoint's layouts are chosen for, None the first that are graded. The address, unless in `options`, and the
    key of an endpoint are those of the environment, `OPENAI_BASE_URL` and `OPENAI_API_KEY`. Raises `GraderError`.
    """
    policy, circuit = policy_of(artefact), artefact.circuit
    spec = parse_grader(name, os.environ, options.base_url)
    unknown = beyond(spec, circuit, asked_of_types(circuit))
    if unknown is not None and not options.allow_abstain:
        raise GraderError(f"{unknown}; {OTHERS}; `allow_abstain` goes on with what rows say of them")
    grader = _opened(name, spec, policy, circuit, options, items)
    check_sight(grader, circuit, options.allow_abstain)
    grader = filling(grader, circuit, yes_no=yes_no(spec))
    return _calibrated(grader, circuit, _calibration(grader.identity, artefact, options))


def _opened(
    name: str,
    spec: GraderSpec,
    policy: Policy,
    circuit: Circuit,
    options: GraderOptions,
    items: Sequence[GradeItem] | None,
) -> Grader:
    """The grader itself, uncorrected."""
    match spec:
        case EmbeddedSpec() | PythonSpec():
            try:
                return reading_grader(spec, policy.program.questions, options.heads)
            except OSError as error:
                raise _unreadable(options.heads, error) from error
        case OpenAISpec() | SystemOneSpec() | LocalSpec():
            return _endpoint(name, spec, policy, options, items)
        case SeveralSpec():
            return opened(spec, policy, circuit, lambda one: _member(one, policy, circuit, options, items))
        case RowsSpec() | LabelsSpec() | TableSpec():
            raise GraderError(
                f"`{name}` knows rows by their id, and a rollout is new: this needs a grader that reads text"
            )
        case _:
            assert_never(spec)


def _member(
    name: str, policy: Policy, circuit: Circuit, options: GraderOptions, items: Sequence[GradeItem] | None
) -> tuple[Grader, bool]:
    """One grader among several, by its own file and corrected by its own calibration; and whether it knows yes and no alone."""
    name, given = applied(name, options.given())
    own = GraderOptions.read(given)
    spec = parse_grader(name, os.environ, own.base_url)
    grader = filling(_opened(name, spec, policy, circuit, own, items), circuit, yes_no=yes_no(spec))
    calibration = None if own.calibration is None else _chosen(own.calibration, grader.identity, circuit)
    return _calibrated(grader, circuit, calibration), yes_no(spec)


def _calibrated(grader: Grader, circuit: Circuit, calibration: Calibration | None) -> Grader:
    if calibration is None:
        return grader
    if misfit := calibration.misfit(circuit.questions, circuit.asked_domains):
        _log.warning("%s", misfit)
    return CalibratedGrader(grader, calibration, circuit.questions, circuit.asked_domains)


def _endpoint(
    name: str, spec: RemoteSpec, policy: Policy, options: GraderOptions, items: Sequence[GradeItem] | None
) -> Grader:
    try:
        endpoints = import_module("rbrlang.scoring.endpoints")  # late, since it needs an extra
    except ImportError:
        raise GraderError(f"the grader `{name}` needs the extra `endpoint`: pip install 'rbrlang[endpoint]'") from None
    return endpoints.EndpointGrader(spec, policy, options, api_key(os.environ, options.key_env), items)


def check_sight(grader: Grader, circuit: Circuit, allow_abstain: bool = False) -> None:
    """Whether the grader can read all that the response types ask, before a run finds out.

    Warns of response types without any reward under it. Raises `GraderError` where that is all of them, unless
    `allow_abstain` says that it is meant.
    """
    of_types = asked_of_types(circuit)
    found = sight(grader, of_types)
    blind = [
        name
        for name, asked in zip(circuit.response_names, of_types, strict=True)
        if not set(found.unread).isdisjoint(asked)
    ]
    if not blind:
        return
    said = f"the embedded grader cannot read {named(circuit, found.unread)}: {WHY}; {WAYS_OUT}"
    if len(blind) == len(of_types) and not allow_abstain:
        raise GraderError(f"no completion would have a reward: {said}; `allow_abstain` goes on without answers")
    _log.warning("completions of %s will have no reward: %s", ", ".join(f"`{name}`" for name in blind), said)


def _calibration(identity: str, artefact: Artefact, options: GraderOptions) -> Calibration | None:
    """What corrects the answers of this grader; a warning where the artefact's calibration is another's."""
    circuit = artefact.circuit
    if options.calibration is not None:
        return _chosen(options.calibration, identity, circuit)
    if artefact.calibration is None:
        return None
    try:
        found = from_json(artefact.calibration)
        found.corrections(found.grader, circuit.questions, circuit.asked_domains)
    except CalibrationError as error:
        raise GraderError(f"the artefact's calibration cannot be used: {error}") from error
    if same(found.grader, identity):
        return found
    _log.warning(
        "the artefact's calibration %s is of `%s`; it was not applied to answers of `%s`",
        found.identity, found.grader, identity,
    )  # fmt: skip
    return None


def _chosen(file: Path, identity: str, circuit: Circuit) -> Calibration:
    try:
        found = read(file)
        found.corrections(identity, circuit.questions, circuit.asked_domains)
    except OSError as error:
        raise _unreadable(file, error) from error
    except CalibrationError as error:
        raise GraderError(str(error)) from error
    return found


def _unreadable(file: Path | None, error: OSError) -> GraderError:
    return GraderError(f"cannot read `{file}`: {(error.strerror or str(error)).lower()}")
