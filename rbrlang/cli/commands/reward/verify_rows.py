"""`rbrc verify ROWS --artefact OUT.rbrc`: do the rewards in rows follow from what stands beside them?

Whatever `rbrc score` writes can be computed again from a row's probabilities, text and base reward, so no row has to say
which artefact it is of. The probabilities themselves are a grader's answers: with `--grader` it is asked once more, an
endpoint's grader out of the `--cache` that its answers were kept in.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rbrlang.cli import data, graders
from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.graded import OF_A_GRADING
from rbrlang.cli.python import allow_python
from rbrlang.cli.terminal import say
from rbrlang.grading.judge import same
from rbrlang.grading.results import Abstained, Invalid
from rbrlang.grading.trust.calibrate import CalibrationError, from_json
from rbrlang.jsontext import JsonError, parse_with_constants
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.rubrics import spans
from rbrlang.rows.read import Row

_SHOWN = 20
_ATOL, _RTOL = 1e-6, 1e-5  # float32, whatever the size of the batch
_ANSWERS = 1e-4  # a grader's sums depend on how many completions are graded together
_CELLS = ("reward", "rule_reward", "valid", "reward_bounds", "asked")  # JSON where a table's cells are text


def verify_rows(options: argparse.Namespace) -> int:
    """Name each row that does not fit; 1 when there is one, 3 when some could not be read."""
    artefact = shared.artefact(options.artefact, options.key)
    allow_python(options, artefact.circuit)
    found = data.read(options, options.file, artefact.circuit)
    found = replace(found, rows=[replace(row, raw=_told(row.raw)) for row in found.rows])
    if not any("reward" in row.raw for row in found.rows):
        raise UsageError(f"`{options.file}` has no column `reward`; rows to verify are those that `rbrc score` wrote")
    faults = [list(of_row) for of_row in _rewards(artefact, found.rows)]
    checked = "rewards, class probabilities, classes"
    if options.grader is not None:
        checked += ", answers"
        for of_row, more in zip(faults, _answers(options, artefact, found.rows), strict=True):
            of_row += more
    wrong = [(at, row, of_row) for at, (row, of_row) in enumerate(zip(found.rows, faults, strict=True), 1) if of_row]
    for at, row, of_row in wrong[:_SHOWN]:
        say(f"row {at}, `{row.id}`: {'; '.join(of_row)}")
    if len(wrong) > _SHOWN:
        say(f"and {len(wrong) - _SHOWN} rows more")
    say(
        f"{options.file}: {len(found.rows) - len(wrong)} of {len(found.rows)} rows follow from {options.artefact} "
        f"(fingerprint {artefact.circuit.fingerprint[:12]}): {checked}"
    )
    if options.grader is None:
        names = sorted({str(row.raw.get("grader", "nobody")) for row in found.rows})
        say(f"claims, not checked: the answers of {', '.join(names[:5])}; `--grader` asks again")
    return 1 if wrong else data.EXIT_SOME_INVALID if found.bad else 0


def _rewards(artefact: Artefact, rows: Sequence[Row]) -> Iterator[list[str]]:
    """For each row what does not follow from its probabilities."""
    reward = NumpyReward.from_artefact(artefact)
    probs, ids = reward.encode(rows), reward.response_ids(rows)
    base = np.array([0.0 if row.base_reward is None else row.base_reward for row in rows], np.float32)
    total, rules = reward(probs, ids, base), reward(probs, ids)
    classes, (low, high) = (
        reward.class_probs(probs, ids),
        reward.bounds(probs, ids, base, spans(artefact.circuit, rows)),
    )
    try:
        calibration = None if artefact.calibration is None else from_json(artefact.calibration)
    except CalibrationError as error:
        raise UsageError(f"the artefact's calibration cannot be used: {error}") from error
    for at, row in enumerate(rows):
        said = row.raw
        faults = list[str]()
        expected, of_rules = float(total[at]), float(rules[at])
        if "reward_bounds" in said:
            ends = (float(low[at]), float(high[at]))
            given = said["reward_bounds"]
            if not isinstance(given, list) or len(given) != 2 or not all(map(_same, given, ends)):
                faults.append(f"the bounds {_shown(given)} stand there, and {_shown(list(ends))} follow")
            if math.isnan(expected) and said.get("reward") is not None:
                expected = sum(ends) / 2  # `--lazy` takes the middle of what is left open
                of_rules = expected - float(base[at])
        for name, value in (("reward", expected), ("rule_reward", of_rules)):
            if not _same(said.get(name), value):
                faults.append(f"the {name} {_shown(said.get(name))} stands there, and {_shown(value)} follows")
        if said.get("valid") is not (said.get("reward") is not None):
            faults.append(f"valid is {_shown(said.get('valid'))}")
        names = artefact.circuit.responses[ids[at]].classes if ids[at] >= 0 else ()
        faults += _classes(said, dict(zip(names, classes[at].tolist(), strict=False)))
        if (
            calibration is not None
            and same(str(said.get("grader")), calibration.grader)
            and said.get("calibration") != calibration.identity
        ):
            faults.append("its probabilities are not corrected by the artefact's calibration")
        yield faults


def _told(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row of CSV with what `rbrc score` wrote into its cells; a row of any other format as it is."""
    written = [name for name in _CELLS if name in raw]
    if not written or not all(isinstance(raw[name], str) for name in written):
        return raw
    row = {name: None if value == "" else value for name, value in raw.items()}
    probs = {name: row.pop(name) for name in raw if name.startswith("class_probs.")}
    row |= {name: _value(row[name]) for name in written}
    return {**row, "class_probs": {name.partition(".")[2]: _value(cell) for name, cell in probs.items()}}


def _value(cell: Any) -> Any:
    """What a cell says; its text where that is no JSON, as in True and FALSE of a spreadsheet, which are truth values."""
    if not isinstance(cell, str):
        return cell
    lower = cell.lower()
    try:
        return parse_with_constants(lower if lower in ("true", "false") else cell)
    except JsonError:
        return cell


def _classes(said: Mapping[str, Any], expected: Mapping[str, float]) -> Iterator[str]:
    given = said.get("class_probs")
    if isinstance(given, Mapping):  # a table has the classes of other response types too, and nothing in them
        given = {name: p for name, p in given.items() if p is not None or name in expected}
    if not isinstance(given, Mapping) or given.keys() != expected.keys():
        yield "its class probabilities are not of the classes of its response type"
        return
    for name, value in expected.items():
        if not _same(given[name], value):
            yield f"P({name}) {_shown(given[name])} stands there, and {_shown(value)} follows"
    known = not any(math.isnan(p) for p in expected.values()) and bool(expected)
    best, named = max(expected.values(), default=0.0), said.get("class")
    if not known and named is None:
        return
    if not known or not isinstance(named, str) or expected.get(named, -1.0) < best - _ATOL:
        yield f"the class {_shown(named)} is not the most probable"


def _answers(options: argparse.Namespace, artefact: Artefact, rows: Sequence[Row]) -> Iterator[list[str]]:
    """For each row which probabilities are not those that the grader gives now."""
    bare = [
        replace(row, probs={}, rubrics={}, raw={k: v for k, v in row.raw.items() if k not in OF_A_GRADING})
        for row in rows
    ]
    again = graders.grade_rows(options, artefact, bare)
    named = None if again.calibration is None else again.calibration.identity
    names = artefact.circuit.questions
    for row, now, answers in zip(rows, again.rows, again.answers or ({},) * len(rows), strict=True):
        why = {names[p]: answer.reason for p, answer in answers.items() if isinstance(answer, Abstained | Invalid)}
        faults = list[str]()
        if row.raw.get("grader") != again.identity:
            faults.append(f"its grader is {_shown(row.raw.get('grader'))}, and not {again.identity}")
        if row.raw.get("calibration") != named:
            faults.append(f"its calibration is {_shown(row.raw.get('calibration'))}, and not {_shown(named)}")
        asked = row.raw.get("asked")
        pairs = [
            (name, p, now.probs.get(name)) for name, p in row.probs.items()
            if p is not None or not isinstance(asked, list) or name in asked or name.rpartition(".")[0] in asked
        ]  # fmt: skip
        for name, each in row.rubrics.items():
            again_each = now.rubrics.get(name, (None,) * len(each))
            pairs += [(f"{name}:{n}", p, q) for n, (p, q) in enumerate(zip(each, again_each, strict=True), 1)]
        for name, p, new in pairs:
            if (p is None) != (new is None) or (p is not None and new is not None and abs(p - new) > _ANSWERS):
                asked = name.partition(".")[0]
                said = f"gives no answer: {why[asked]}" if asked in why else f"says {_shown(new)}"
                faults.append(f"P({name}) {_shown(p)} stands there, and the grader {said}")
        yield faults


def _same(said: object, value: float) -> bool:
    """Whether JSON says this number; null where it is not finite."""
    if said is None or isinstance(said, bool) or not isinstance(said, (int, float)):
        return said is None and not math.isfinite(value)
    most = max(_ATOL, _RTOL * abs(value))  # compared, as a whole number may be more than a float holds
    return math.isfinite(value) and value - most <= said <= value + most


def _shown(value: object) -> str:
    match value:
        case float():
            return f"{value:.6g}" if math.isfinite(value) else "none"
        case None:
            return "none"
        case list():
            return f"[{', '.join(map(_shown, value))}]"
        case _:
            return str(value)[:60]
