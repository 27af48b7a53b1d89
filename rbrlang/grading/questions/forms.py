"""How likely is yes, given what a server reports of the first token of an answer?

A model spreads its yes over surface forms (`yes`, `Yes`, ` YES`, `Yes.`) and its no likewise. All reported
forms are summed; `p = yes / (yes + no)` and **mass** `= yes + no`. A mass under the threshold is invalid,
never renormalised: the model wanted to say something else.

Servers report the `k` most probable tokens, so a form may be missing. A missing token is at most as
probable as the least probable reported one, and all missing tokens together hold at most what the
reported ones leave, so `p` is bounded; bounds wider than the limit are invalid as well. Only whole words
count as forms: a first piece such as `Y` may begin another word, and no server tells its vocabulary.

Without log-probabilities, sampled answers give `Beta(1 + yes, 1 + no)` (uniform prior), its mean as `p`
and its central 95 % interval as bounds.

    >>> round(read_tokens((Token("Yes", -0.223), Token("no", -1.609)), Limits()).p, 3)
    0.8
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rbrlang.grading.results import Abstained, Answer, Invalid, Value

FORMS = tuple(space + word for word in ("yes", "Yes", "YES", "no", "No", "NO") for space in ("", " "))
"""The surface forms that are sought by token id, and those a top-k list may be missing."""

_SPACES = " \t\r\n\u2581\u0120\u010a"  # and how SentencePiece and byte-level vocabularies spell them
_MARKS = "\"'`*_.,:;!?()[]«»“”‘’"
_THOUGHT = (
    "<think", "<|think", "<thinking", "<thought", "<reason", "<|channel", "<|start_of_thought", "<unused94",
    "<seed:think", "[think", "◁think▷", "<|begin_of_thought",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """A candidate for the first token: its text and natural log-probability."""

    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What makes a reading invalid: too little mass on yes and no, or bounds further apart than `width`."""

    mass: float = 0.5
    width: float = 0.1


def answer_form(text: str) -> Literal["yes", "no"] | None:
    """Which answer a whole first token is, if it is one."""
    word = text.strip(_SPACES).strip(_MARKS).strip(_SPACES).lower()
    return "yes" if word == "yes" else "no" if word == "no" else None


def opens_thought(text: str) -> bool:
    """Whether a first token begins a train of thought rather than an answer."""
    return text.strip(_SPACES).lower().startswith(_THOUGHT)


def read_tokens(tokens: Sequence[Token], limits: Limits, asked: Iterable[str] = ()) -> Value | Invalid:
    """P(yes) from the reported candidates for the first token.

    `asked` are the forms whose log-probabilities were asked for by token id. Where all of them came back,
    nothing is missing and the bounds are tight; a server that ignores the wish returns its top tokens
    instead, and they are read as such.
    """
    if not tokens:
        return Invalid("no-logprobs", "the server returned an empty list of log-probabilities")
    if any(math.isnan(t.logprob) or t.logprob > 1e-3 for t in tokens):
        return Invalid("malformed", "the server returned a log-probability that is positive or not a number")
    chances = [(t.text, math.exp(t.logprob)) for t in tokens]
    total = math.fsum(chance for _, chance in chances)
    if total > 1.01:
        return Invalid("malformed", f"the reported probabilities sum to {total:.3g}, more than 1")
    if opens_thought(max(chances, key=lambda pair: pair[1])[0]):
        return thinking()
    yes = math.fsum(chance for text, chance in chances if answer_form(text) == "yes")
    no = math.fsum(chance for text, chance in chances if answer_form(text) == "no")
    reported = {text for text, _ in chances}
    wishes = frozenset(asked)
    complete = bool(wishes) and wishes <= reported
    rest = 0.0 if complete else max(0.0, 1.0 - total)
    least = min(chance for _, chance in chances)
    return _judged(
        yes,
        no,
        min(rest, least * _missing(reported, "yes")),
        min(rest, least * _missing(reported, "no")),
        limits,
        complete,
    )


def _missing(reported: Iterable[str], word: Literal["yes", "no"]) -> int:
    """How many of a word's `FORMS` may lie below the reported tokens."""
    plain = {text.replace("\u2581", " ").replace("\u0120", " ") for text in reported}
    return sum(answer_form(form) == word and form not in plain for form in FORMS)


def _judged(yes: float, no: float, more_yes: float, more_no: float, limits: Limits, complete: bool) -> Value | Invalid:
    mass = min(1.0, yes + no)
    if mass < limits.mass or mass == 0.0:
        return Invalid(
            "low-mass",
            f"yes and no hold {mass:.3g} of the probability, under {limits.mass:g}: "
            "the model did not want to answer yes or no",
        )
    p = yes / (yes + no)
    low, high = yes / (yes + no + more_no), (yes + more_yes) / (yes + more_yes + no)
    if high - low > limits.width:
        return Invalid(
            "wide-bounds",
            f"P(yes) lies between {low:.3g} and {high:.3g}: too few log-probabilities were returned; "
            "ask the server to allow 20 (`--max-logprobs 20` on vLLM)",
        )
    # Division may round past the neighbours that it equals exactly where nothing is missing.
    return Value(p, mass, min(low, p), max(high, p), "token-ids" if complete else "top-k")


def thinking() -> Invalid:
    """A thinking model that thinks."""
    return Invalid(
        "thinking",
        "the first token opens a train of thought, not an answer; turn thinking off on the server or with "
        "the chat template's argument",
    )


# --- samples ----------------------------------------------------------------------------------


def vote(text: str) -> Answer:
    """One sampled answer: a probability of 1 or 0, or an abstention for any other word."""
    if opens_thought(text):
        return thinking()
    match answer_form(text):
        case "yes":
            return Value(1.0, 1.0, 1.0, 1.0, "samples")
        case "no":
            return Value(0.0, 1.0, 0.0, 0.0, "samples")
        case None:
            return Abstained("neither yes nor no")


def tally(votes: Sequence[Answer], limits: Limits) -> Answer:
    """The posterior over P(yes) given sampled answers. The first invalid one makes the whole invalid."""
    for one in votes:
        if isinstance(one, Invalid):
            return one
    said = [one.p for one in votes if isinstance(one, Value)]
    yes, no = said.count(1.0), said.count(0.0)
    mass = len(said) / len(votes)
    if mass < limits.mass:
        return Invalid("low-mass", f"{len(votes) - len(said)} of {len(votes)} samples say neither yes nor no")
    low, high = (_beta_quantile(q, 1 + yes, 1 + no) for q in (0.025, 0.975))
    return Value((1 + yes) / (2 + yes + no), mass, low, high, "samples")


def _beta_quantile(q: float, a: int, b: int) -> float:
    """Where the distribution function of Beta(a, b), a and b whole, reaches `q`; by bisection.

    For whole parameters it is a binomial tail: `I_x(a, b) = Σ_{j≥a} C(n, j) x^j (1 − x)^(n−j)`,
    `n = a + b − 1` (https://dlmf.nist.gov/8.17#E5).
    """
    n = a + b - 1
    low, high = 0.0, 1.0
    for _ in range(60):
        x = (low + high) / 2
        below = math.fsum(math.comb(n, j) * x**j * (1 - x) ** (n - j) for j in range(a, n + 1))
        low, high = (x, high) if below < q else (low, x)
    return (low + high) / 2
