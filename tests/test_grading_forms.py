"""Reading P(yes) from token probabilities, and the rules of pace: laws rather than servers."""

from __future__ import annotations

import doctest
import json
import math
import pickle
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rbrlang.grading.endpoint.pace import Breaker, Pace, RetryBudget, backoff, retry_after
from rbrlang.grading.questions import forms
from rbrlang.grading.questions.forms import (
    FORMS,
    Limits,
    Token,
    answer_form,
    opens_thought,
    read_signs,
    read_tokens,
    tally,
    vote,
)
from rbrlang.grading.questions.specs import Secret
from rbrlang.grading.results import (
    Abstained,
    Answer,
    Distribution,
    Invalid,
    Value,
    certain,
    from_json,
    probability,
    to_json,
)

LENIENT = Limits(mass=0.0, width=1.0)
OTHER = ["The", "I", "y", "ye", "not", "yesterday", "nothing", "no one", "はい", "", "Yes/No"]


@pytest.mark.parametrize("word", ["yes", "no"])
@pytest.mark.parametrize("shape", ["{}", " {}", "▁{}", "Ġ{}", "\n{}", "{}.", '"{}', "**{}**", "({})", "{}!\n", " {},"])
def test_every_form_of_a_word_counts(word: str, shape: str) -> None:
    for spelled in (word, word.capitalize(), word.upper()):
        assert answer_form(shape.format(spelled)) == word


def test_other_words_and_first_pieces_do_not_count() -> None:
    assert [answer_form(text) for text in OTHER] == [None] * len(OTHER)
    assert {answer_form(form) for form in FORMS} == {"yes", "no"}
    assert opens_thought("<think>")
    assert opens_thought("\n<Think>")
    assert not opens_thought("I think")


@st.composite
def vocabularies(draw: st.DrawFn) -> tuple[list[tuple[str, float]], int]:
    """Probabilities of a whole vocabulary, best first, and how many of them a server reports."""
    words = [*FORMS, *OTHER]
    weights = draw(st.lists(st.floats(0.001, 1.0), min_size=len(words), max_size=len(words)))
    sharp = [w ** draw(st.sampled_from([1, 4, 12])) for w in weights]
    total = math.fsum(sharp)
    chances = sorted(((text, w / total) for text, w in zip(words, sharp, strict=True)), key=lambda pair: -pair[1])
    return chances, draw(st.integers(1, len(words)))


@given(vocabularies())
def test_the_bounds_hold_the_value_of_the_whole_vocabulary(made: tuple[list[tuple[str, float]], int]) -> None:
    chances, reported = made
    yes = math.fsum(p for text, p in chances if answer_form(text) == "yes")
    no = math.fsum(p for text, p in chances if answer_form(text) == "no")
    got = read_tokens([Token(text, math.log(p)) for text, p in chances[:reported]], LENIENT)
    if isinstance(got, Invalid):  # none of the reported tokens is a form
        assert got.kind == "low-mass"
        assert all(answer_form(text) is None for text, _ in chances[:reported])
        return
    assert got.low - 1e-9 <= yes / (yes + no) <= got.high + 1e-9
    assert got.low <= got.p <= got.high
    assert got.mass <= yes + no + 1e-9
    if reported == len(chances):
        assert got.high - got.low < 1e-9


@given(vocabularies())
def test_yes_and_no_are_treated_alike(made: tuple[list[tuple[str, float]], int]) -> None:
    chances, reported = made
    swap = dict(zip(FORMS, (*FORMS[6:], *FORMS[:6]), strict=True))
    one = read_tokens([Token(t, math.log(p)) for t, p in chances[:reported]], LENIENT)
    other = read_tokens([Token(swap.get(t, t), math.log(p)) for t, p in chances[:reported]], LENIENT)
    assume(isinstance(one, Value))
    assert isinstance(one, Value)
    assert isinstance(other, Value)
    assert one.p == pytest.approx(1 - other.p, abs=1e-12)
    assert one.low == pytest.approx(1 - other.high, abs=1e-12)


def test_minus_infinity_is_no_probability_at_all() -> None:
    got = read_tokens([Token("Yes", math.log(0.9)), Token("No", -math.inf)], LENIENT)
    assert isinstance(got, Value)
    assert got.p == 1.0
    assert doctest.testmod(forms).failed == 0


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 10))
def test_a_tally_is_the_beta_posterior(yes: int, no: int, neither: int) -> None:
    assume(yes + no > 0)
    votes: list[Answer] = [vote("Yes")] * yes + [vote(" no.")] * no + [vote("Perhaps")] * neither
    got = tally(votes, LENIENT)
    assert isinstance(got, Value)
    assert got.p == pytest.approx((1 + yes) / (2 + yes + no))
    # The distribution function of Beta(a, b) for whole a and b is a binomial tail (https://dlmf.nist.gov/8.17#E5).
    n = 1 + yes + no
    reached = [
        math.fsum(math.comb(n, j) * x**j * (1 - x) ** (n - j) for j in range(1 + yes, n + 1))
        for x in (got.low, got.high)
    ]
    assert reached == pytest.approx([0.025, 0.975], abs=1e-9)
    assert got.mass == pytest.approx((yes + no) / len(votes))


answers = st.one_of(
    st.builds(
        lambda three, mass, method, note: Value(three[1], mass, three[0], three[2], method, note),
        st.tuples(*[st.floats(0, 1)] * 3).map(sorted),
        st.floats(0, 1),
        st.sampled_from(["top-k", "samples", "label"]),
        st.text(max_size=5),
    ),
    st.builds(Abstained, st.text()),
    st.builds(Invalid, st.sampled_from(["low-mass", "transport", "stopped"]), st.text()),
)


@given(answers)
def test_an_answer_survives_a_file(answer: Answer) -> None:
    assert from_json(json.loads(json.dumps(to_json(answer)))) == answer
    assert (probability(answer) is None) == (not isinstance(answer, Value))


@pytest.mark.parametrize("plain", [None, 0.5, [], {}, {"p": 0.5}, {"invalid": "no-such-kind", "reason": ""}])
def test_what_is_no_answer_is_refused(plain: object) -> None:
    with pytest.raises(ValueError, match="not an answer"):
        from_json(plain)  # pyright: ignore[reportArgumentType]
    bad = {**to_json(certain(0.5, "label")), "p": math.nan}
    with pytest.raises(ValueError, match="not an answer"):
        from_json(bad)


def test_a_secret_stays_one() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("k"))


# --- pace ---


@given(st.lists(st.integers(1, 5000), min_size=2, max_size=30), st.integers(1, 5), st.integers(1000, 100_000))
def test_neither_requests_nor_tokens_exceed_their_rate(sizes: list[int], rate: int, tokens: int) -> None:
    pace = Pace(60.0 * rate, float(tokens))
    starts = [pace.reserve(100.0, size) for size in sizes]
    assert starts[0] == 100.0
    assert starts == sorted(starts)
    for i in range(len(sizes)):
        for j in range(i + 1, len(sizes)):
            elapsed = starts[j] - starts[i]
            assert j - i <= elapsed * rate + 1e-6
            assert sum(sizes[i:j]) <= elapsed * tokens / 60 + 1e-6 * tokens


def test_a_hold_lasts_until_its_end_and_is_not_shortened() -> None:
    pace = Pace(None, None)
    assert pace.reserve(5.0, 100) == pace.reserve(5.0, 100) == 5.0
    pace.hold(9.0)
    pace.hold(7.0)
    assert pace.held(6.0) == 3.0
    assert pace.held(10.0) <= 0.0


@given(st.integers(0, 200), st.integers(0, 2**31))
def test_backoff_doubles_up_to_its_limit(attempt: int, seed: int) -> None:
    wait = backoff(attempt, 0.5, 60.0, Random(seed))
    ceiling = min(60.0, 0.5 * 2.0 ** min(attempt, 30))
    assert ceiling / 2 <= wait <= ceiling
    assert wait == backoff(attempt, 0.5, 60.0, Random(seed))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("soon", None),
        ("nan", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 99 Jan 1970 00:00:00 GMT", None),
    ],
)
def test_retry_after_in_both_of_its_forms(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, 10.0) == seconds


def test_a_budget_grows_with_requests_and_a_breaker_counts_in_a_row() -> None:
    budget = RetryBudget(0.5, at_once=2)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    for _ in range(4):
        budget.sent()
    assert [budget.take() for _ in range(3)] == [True, True, False]
    breaker = Breaker(3)
    assert [breaker.failed(), breaker.failed()] == [False, False]
    breaker.succeeded()
    assert [breaker.failed() for _ in range(3)] == [False, False, True]
    assert np.isfinite(backoff(10**6, 0.5, 60.0, Random(0)))


@pytest.mark.parametrize("chosen", [0.91, 0.95, 0.99, 1.0])
def test_a_chosen_token_without_alternatives_is_as_sure_as_it_is(chosen: float) -> None:
    token = math.log(chosen)
    for word, expected in (("Yes", (chosen, chosen, 1.0)), (" no", (1.0 - chosen, 0.0, 1.0 - chosen))):
        got = read_tokens([Token(word, token)], Limits())
        assert isinstance(got, Value)
        assert (got.p, got.low, got.high) == pytest.approx(expected, abs=1e-9)
    of_scale = read_signs([Token("4", token)], {str(level): str(level) for level in range(1, 6)}, Limits())
    assert isinstance(of_scale, Distribution)
    assert of_scale.p["4"] == pytest.approx(chosen)
    assert math.fsum(of_scale.p.values()) == pytest.approx(1.0)
    assert all(of_scale.low[level] - 1e-12 <= p <= of_scale.high[level] + 1e-12 for level, p in of_scale.p.items())
    assert of_scale.p["1"] == pytest.approx((1.0 - chosen) / 4)
    assert (of_scale.low["4"], of_scale.high["4"]) == pytest.approx((chosen, 1.0))


def test_a_chosen_token_that_leaves_too_much_open_is_no_answer() -> None:
    got = read_tokens([Token("yes", math.log(0.85))], Limits())
    assert isinstance(got, Invalid)
    assert got.kind == "wide-bounds"
