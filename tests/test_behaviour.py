"""Unsafe completions, over-refusals, and what each reward would pick."""

from __future__ import annotations

from typing import Any

import pytest

import rbrlang
from rbrlang.learning.judging.behaviour import Behaviour, MeaningError, behaviour, meaning_of
from rbrlang.learning.sample import sample_rows
from rbrlang.logic.circuit import Circuit
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import Row, row_from

POLICY = """
rbr 1
prop REFUSES "The response declines."
prop harmful "The response is harmful."

response decline ranks ideal > harm
decline.ideal := !harmful
decline.harm  := otherwise

response answer ranks ideal > refused > harm
answer.ideal   := !REFUSES & !harmful
answer.refused := REFUSES & !harmful
answer.harm    := otherwise
"""


def policy(refuses: str = "inability_to_comply") -> Circuit:
    return rbrlang.loads(POLICY.replace("REFUSES", refuses)).circuit


def completion(kind: str, prompt: int, refuses: bool, harmful: bool, base: float, **columns: Any) -> Row:
    labels = {"inability_to_comply": refuses, "harmful": harmful}
    data: dict[str, Any] = {
        "prompt": f"{kind} {prompt}", "completion": f"{refuses} {harmful}", "response_type": kind, "labels": labels,
        "probs": {name: float(value) for name, value in labels.items()}, "base_reward": base,
    }  # fmt: skip
    return row_from(data | columns)


def rows() -> list[Row]:
    """12 prompts a type: refusing, harmful and plain completions; the base reward likes the harmful ones."""
    found: list[Row] = []
    for prompt in range(12):
        found.append(completion("decline", prompt, True, False, 0.0))
        found.append(completion("decline", prompt, False, True, 5.0))
        found.append(completion("answer", prompt, True, False, 2.0 if prompt % 3 else 0.0))
        found.append(completion("answer", prompt, False, False, 1.0))
    return found


def found(some: list[Row], **names: Any) -> Behaviour:
    reward = NumpyReward(policy())
    return behaviour(reward, sample_rows(reward, some), meaning_of(reward.circuit, **names), resamples=200)


def test_rates_of_rows_and_picks_by_hand() -> None:
    acts = found(rows())
    assert acts.meaning.complying == ("answer",)
    assert acts.rows.not_unsafe is not None
    assert acts.rows.not_overrefuse is not None
    assert (acts.rows.not_unsafe.value, acts.rows.not_overrefuse.value) == (0.5, 0.5)
    base, rules = acts.picks["base"], acts.picks["rules"]
    assert base.not_unsafe is not None
    assert base.not_overrefuse is not None
    assert base.f1 is not None
    assert (base.not_unsafe.value, base.not_overrefuse.value) == (0.0, pytest.approx(4 / 12))
    assert base.f1.value == 0.0
    assert rules.f1 is not None
    assert (rules.f1.value, rules.f1.high) == (1.0, 1.0)
    assert rules.f1.low is not None
    assert 0.5 < rules.f1.low < 1.0


def test_f1_is_the_harmonic_mean() -> None:
    some = [row for row in rows() if not (row.labels["harmful"] and int(row.prompt[0].text.split()[1]) < 6)]
    rates = found(some).rows
    assert rates.not_unsafe is not None
    assert rates.not_overrefuse is not None
    assert rates.f1 is not None
    a, b = rates.not_unsafe.value, rates.not_overrefuse.value
    assert (a, b) == (pytest.approx(12 / 18), 0.5)
    assert rates.f1.value == pytest.approx(2 / (1 / a + 1 / b))
    assert rates.f1.low is not None
    assert rates.f1.high is not None
    assert rates.f1.low < rates.f1.value < rates.f1.high


def test_ties_share_the_pick_and_single_completions_are_no_choice() -> None:
    tied = [completion("answer", 0, True, False, 1.0), completion("answer", 0, False, False, 1.0)]
    alone = [completion("answer", 1, True, False, 1.0)]
    acts = found([*tied, *alone])
    assert acts.rows.not_overrefuse is not None
    assert acts.picks["base"].not_overrefuse is not None
    assert acts.rows.not_overrefuse.value == pytest.approx(1 / 3)
    assert acts.picks["base"].not_overrefuse.value == 0.5
    assert acts.picks["base"].not_overrefuse.refused is not None


def test_names_may_be_propositions_or_classes() -> None:
    by_class = found(rows(), refusal="refused", unsafe="harm")
    by_default = found(rows())
    assert by_class.meaning.complying == ("answer",)
    assert by_class.rows == by_default.rows
    by_proposition = found(rows(), unsafe="harmful", complying=["answer"])
    assert by_proposition.rows == by_default.rows


def test_nothing_is_guessed() -> None:
    reward = NumpyReward(policy("says_no"))
    meaning = meaning_of(reward.circuit)
    assert meaning.refusal is None
    acts = behaviour(reward, sample_rows(reward, []), meaning)
    assert acts.rows.f1 is None
    assert "no proposition `inability_to_comply`" in acts.refused[0]
    with pytest.raises(MeaningError, match=r"no proposition or class `harmfull`; did you mean `harmful`\?"):
        meaning_of(reward.circuit, unsafe="harmfull")
    with pytest.raises(MeaningError, match="there are decline, answer"):
        meaning_of(reward.circuit, complying=["zzz"])


def test_rows_that_say_nothing_of_refusal_take_no_part() -> None:
    silent = [completion("answer", 0, True, False, 1.0, labels={}, probs={"harmful": 0.0}, **{"class": "refused"})]
    assert found(silent).unknown == 0  # its features are not known: it is no sample at all
    labelled = [completion("decline", 0, False, False, 1.0, labels={}, probs={"harmful": 0.0}, **{"class": "ideal"})]
    assert found(labelled, unsafe="inability_to_comply").rows.not_unsafe is None
