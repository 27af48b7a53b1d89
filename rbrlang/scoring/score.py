"""What does each rollout get, and why does one get nothing?

`Scorer` is an artefact and a grader: rollouts in, `Scores` out. It runs on the host with numpy, works on
one completion as on a thousand, and crosses into worker processes: what is sent there is the artefact that
was read, so that a file replaced during the run changes nothing.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import chain
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from rbrlang import functions
from rbrlang.grading.boundary import Bounded
from rbrlang.grading.criteria import criteria, probabilities
from rbrlang.grading.judge import Bench, Judge
from rbrlang.grading.questions.graderfile import applied
from rbrlang.grading.questions.layout import wanted
from rbrlang.grading.questions.options import GraderOptions
from rbrlang.grading.questions.specs import GraderError
from rbrlang.grading.results import Abstained, Answer, Distribution, GradeItem, Invalid, Value
from rbrlang.grading.unfilled import FillingGrader
from rbrlang.logic.circuit import Circuit
from rbrlang.reward import rubrics
from rbrlang.reward.kept.artefact import Artefact, read_artefact
from rbrlang.reward.kept.signature import required_key
from rbrlang.reward.measure import functions_of, measure_atoms, silences
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.reasons import Cause
from rbrlang.reward.rounding import hides_rules, said
from rbrlang.reward.rows import response_ids
from rbrlang.reward.shares import DistributionError, fill
from rbrlang.rows.cells import cells
from rbrlang.rows.conversation import Conversation
from rbrlang.rows.read import Row
from rbrlang.scoring.columns import Rollout, Unusable, unknown_response
from rbrlang.scoring.graders import grader_of

_log = logging.getLogger("rbrlang")

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What a batch of completions is worth, in the order of the rollouts.

    `rewards` [batch] is NaN exactly where `reasons` says why. `responses` [batch] are response type ids,
    −1 where unknown; `probs` [batch, propositions] is NaN where not asked or not answered; `class_probs`
    [batch, max classes] and `contributions` [batch, 1 + max features] are as in `NumpyReward`. `masses`
    [batch] is the smallest share that the grader gave to any form of an answer, NaN where it gave no
    answer. `met` has P(met) of each criterion by rubric, for each completion; `values` how likely each value of a scale or a choice
    is, by its name, of those that are known; `rubrics` [batch, features of rubrics] what the features of rubrics are, NaN where
    that is not known.
    """

    circuit: Circuit
    rewards: Floats
    reasons: tuple[str | None, ...]
    responses: NDArray[np.int32]
    probs: Floats
    class_probs: Floats
    contributions: Floats
    masses: Floats
    met: tuple[Mapping[str, tuple[float | None, ...]], ...]
    values: tuple[Mapping[str, Mapping[str, float]], ...]
    rubrics: Floats

    def __len__(self) -> int:
        return len(self.reasons)

    @property
    def invalid(self) -> NDArray[np.bool_]:
        """Which completions have no reward, bool [batch]."""
        return ~np.isfinite(self.rewards)

    def part(self, start: int, stop: int) -> Scores:
        """The scores of the completions from `start` to before `stop`."""
        return self.taken(range(start, min(stop, len(self))))

    def taken(self, at: Sequence[int]) -> Scores:
        """The scores of these completions."""
        some = np.array(at, np.intp)
        return _each(self.circuit, lambda name: _taken(getattr(self, name), some))


def _taken(all_: NDArray[Any] | tuple[Any, ...], at: NDArray[np.intp]) -> NDArray[Any] | tuple[Any, ...]:
    return tuple(all_[i] for i in at.tolist()) if isinstance(all_, tuple) else all_[at]


def _each(circuit: Circuit, made: Callable[[str], Any]) -> Scores:
    """Scores under this circuit, everything else made by its name."""
    return Scores(circuit, *(made(field.name) for field in fields(Scores)[1:]))


def joined(parts: Sequence[Scores]) -> Scores:
    """The scores of several batches under one policy, at least one, in order."""
    if len(parts) == 1:
        return parts[0]

    def together(name: str) -> Any:
        found = [getattr(part, name) for part in parts]
        return tuple(chain.from_iterable(found)) if isinstance(found[0], tuple) else np.concatenate(found)

    return _each(parts[0].circuit, together)


class Scorer:
    """Rewards of completions, by an artefact and a grader.

    `artefact` is a file or what was read of one. `grader` is a name (see `graders`) or a `Judge` of the
    caller's, which must pickle where the scorer is to. `require_key` is the file of the public key that has to
    have signed the artefact's file. `allow_python` lets the functions that the policy names be run (`python("…")`). `options` are those of `GraderOptions`, for a grader that is named. Raises
    `ArtefactError`, `SignatureError`, `GraderError`, `FunctionError`; TypeError where a key is required of what was read already.
    """

    def __init__(
        self,
        artefact: str | os.PathLike[str] | Artefact,
        grader: str | Judge = "embedded",
        *,
        require_key: str | os.PathLike[str] | None = None,
        allow_python: bool = False,
        **options: object,
    ) -> None:
        if isinstance(grader, str):
            grader, options = applied(grader, options)
        self._options = GraderOptions.read(options).anywhere()
        if options and not isinstance(grader, str):
            raise GraderError(f"a grader of your own is asked as it is; it takes no option `{next(iter(options))}`")
        self.artefact = _read(artefact, require_key)
        self.reward = NumpyReward.from_artefact(self.artefact)
        self.circuit = self.artefact.circuit
        self._allow_python = allow_python
        if allow_python is True:  # and not any text of a configuration
            functions.allow(functions_of(self.circuit))
        functions.check(functions_of(self.circuit))
        self._grader = grader
        self._noted = False
        _ = self._judge  # a grader that cannot be had is found out now, and not after the first rollout

    @cached_property
    def _judge(self) -> Judge:
        if not isinstance(self._grader, str):
            judge = Bounded(self._grader)
            return FillingGrader("", judge, self.circuit).answers if self.circuit.columns else judge
        return grader_of(self._grader, self.artefact, self._options).answers

    def __reduce__(self) -> tuple[Any, ...]:
        options = self._options.plain() if isinstance(self._grader, str) else {}
        return _rebuilt, (self.artefact, self._grader, options, self._allow_python)

    def __call__(self, rollouts: Sequence[Rollout]) -> Scores:
        """Grade and score. Whatever goes wrong with a completion is a reason; only programs' mistakes raise."""
        rows = [_EMPTY if isinstance(r, Unusable) else r for r in rollouts]
        ids = response_ids(self.circuit, rows)
        items = tuple(
            GradeItem(r.id, r.conversation, int(i), cells=cells(r.raw, self.circuit.columns))
            for r, i in zip(rows, ids, strict=True)
        )
        asked = criteria(self.circuit, rows, items)
        bench = Bench(self.reward, self._judge)
        answers = bench.answer((*items, *asked.items), (*wanted(self.circuit, items), *asked.wanted))
        met = [probabilities(one) for one in asked.met(answers[len(items) :])]
        self._note_hidden_rules(rows, ids)
        return scored(self.reward, rollouts, ids, answers[: len(items)], met)

    def _note_hidden_rules(self, rows: Sequence[Row], ids: NDArray[np.int32]) -> None:
        """Say in the log, the first time it happens, that base rewards leave nothing of the rules."""
        base = [math.nan if row.base_reward is None else row.base_reward for row in rows]
        if self._noted or not any(map(math.isfinite, base)):
            return
        hidden = hides_rules(self.reward, ids, base)
        if hidden.any():
            self._noted = True
            _log.warning("%s", said(int(hidden.sum()), len(rows)))


def _read(artefact: str | os.PathLike[str] | Artefact, require_key: str | os.PathLike[str] | None) -> Artefact:
    if not isinstance(artefact, Artefact):
        return read_artefact(artefact, key=None if require_key is None else required_key(require_key))
    if require_key is not None:
        raise TypeError("`require_key` is asked of an artefact's file, and this artefact was read already")
    return artefact


def scored(
    reward: NumpyReward,
    rollouts: Sequence[Rollout],
    ids: NDArray[np.int32],
    answers: Sequence[Mapping[int, Answer]],
    met: Sequence[Mapping[str, tuple[float | None, ...]]] = (),
) -> Scores:
    """The scores of rollouts that were graded: `answers[i]` to those propositions that rollout `i` was asked.

    `met[i]` is P(met) of each criterion, by rubric.
    """
    given_met = met or ({},) * len(rollouts)
    rollouts = [
        replace(one, rubrics=of) if isinstance(one, Row) and of else one
        for one, of in zip(rollouts, given_met, strict=True)
    ]
    circuit, size = reward.circuit, len(rollouts)
    count = len(circuit.propositions)
    atoms = np.full((size, len(circuit.atoms)), np.nan, np.float32)
    masses = np.full(size, np.nan, np.float32)
    base = np.zeros(size)
    broken = [""] * size
    values: list[Mapping[str, Mapping[str, float]]] = [{}] * size
    for i, (rollout, given) in enumerate(zip(rollouts, answers, strict=True)):
        if isinstance(rollout, Unusable):
            continue
        answered = {p: a for p, a in given.items() if isinstance(a, Value | Distribution)}
        for p, answer in answered.items():
            if isinstance(answer, Value):
                atoms[i, p] = answer.p
        if answered:
            masses[i] = min(a.mass for a in answered.values())
        atoms[i, circuit.measures] = measure_atoms(circuit.atoms[circuit.measures], rollout.conversation, rollout.cell)
        base[i] = 0.0 if rollout.base_reward is None else rollout.base_reward
        values[i], broken[i] = _values(circuit, rollout, given, atoms[i : i + 1])
    of_rubrics = atoms[:, len(circuit.atoms) - rubrics.size(circuit) :]
    if circuit.rubrics:
        of_rubrics[:] = rubrics.values(circuit, rollouts)
    rewards = reward(atoms, ids, base)
    causes = reward.causes(atoms, ids, base)
    return Scores(
        circuit,
        rewards,
        tuple(
            None if cause is None else "; ".join(filter(None, (_reason(circuit, rollout, given, cause), wrong)))
            for rollout, given, cause, wrong in zip(rollouts, answers, causes, broken, strict=True)
        ),
        ids,
        atoms[:, :count],
        reward.class_probs(atoms, ids),
        reward.contributions(atoms, ids, base),
        masses,
        tuple(given_met),
        tuple(values),
        of_rubrics,
    )


def _values(
    circuit: Circuit, row: Row, answers: Mapping[int, Answer], atoms: NDArray[np.float32]
) -> tuple[Mapping[str, Mapping[str, float]], str]:
    """How likely each value of scales and choices is, filled into `atoms` [1, atoms]; and what is wrong with what the row says.

    It is the grader's answer, or what the row says itself where there is none and it was not to have one.
    """
    found: dict[str, Mapping[str, float]] = {}
    for question, domain in circuit.asked_domains.items():
        answer = answers.get(question)
        if isinstance(answer, Distribution):
            found[domain.name] = answer.p
        elif answer is None or isinstance(answer, Abstained):
            own = {value: row.probs.get(f"{domain.name}.{value}") for value in domain.values}
            own = {value: p for value, p in own.items() if p is not None}
            if own:
                found[domain.name] = own
    given = {f"{name}.{value}": np.array([p], np.float64) for name, of in found.items() for value, p in of.items()}
    try:
        fill(circuit, atoms, given)
    except DistributionError as error:
        return {}, str(error).removeprefix("row 0 ")
    return found, ""


def _reason(circuit: Circuit, rollout: Rollout, answers: Mapping[int, Answer], cause: Cause) -> str:
    match rollout:
        case Unusable(reason):
            return reason
        case Row():
            if not answers and response_ids(circuit, [rollout])[0] < 0:
                return unknown_response(rollout, circuit)
        case _:
            assert_never(rollout)
    failed = [(p, a) for p, a in answers.items() if isinstance(a, (Abstained, Invalid))]
    unanswered = {circuit.question_of(atom) for atom in cause.unanswered}
    missing = [(p, a) for p, a in failed if p in unanswered]
    worst = next((m for m in missing if isinstance(m[1], Invalid)), next(iter(missing), None))
    number = int(response_ids(circuit, [rollout])[0])
    others = [*rubrics.reasons(circuit, number, rollout), *silences(circuit, number, rollout.conversation)]
    said = (
        [cause.reason, *others]
        if worst is None
        else [cause.reason, f"`{circuit.questions[worst[0]]}`: {worst[1].reason}"]
    )
    return "; ".join(filter(None, (*said, rollout.conversation.silence())))


_EMPTY = Row(
    id="", conversation=Conversation((), ()), response_type=None, category=None, klass=None,
    labels={}, probs={}, base_reward=None, raw={},
)  # fmt: skip


def _rebuilt(artefact: Artefact, grader: str | Judge, options: Mapping[str, object], allow_python: bool) -> Scorer:
    return Scorer(artefact, grader, require_key=None, allow_python=allow_python, **options)
