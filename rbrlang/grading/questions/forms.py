"""How likely is yes, or each value of a scale or a choice, given what a server reports of the first token of an answer?

A model spreads its yes over surface forms (`yes`, `Yes`, ` YES`, `Yes.`) and its no likewise. All reported
forms are summed; `p = yes / (yes + no)` and **mass** `= yes + no`. A mass under the threshold is invalid,
never renormalised: the model wanted to say something else.

Servers report the `k` most probable tokens, so a form may be missing. A missing token is at most as
probable as the least probable reported one, and all missing tokens together hold at most what the
reported ones leave, so `p` is bounded; bounds wider than the limit are invalid as well. Of a server that reports the chosen token
alone, yes at .95, `p` is .95 in [.95, 1], and never 1: nothing is known of the rest. Only whole words
count as forms: a first piece such as `Y` may begin another word, and no server tells its vocabulary.

A level is answered with its digit, an option with the letter that it was shown under. The same is done with those: forms are
the sign with a space or none before it, letters in both cases, and each value has bounds of its own.

Without log-probabilities, sampled answers give `Beta(1 + yes, 1 + no)` (uniform prior), its mean as `p`
and its central 95 % interval as bounds; those to a variable of k values the Dirichlet distribution of the same prior, 1 + count
of each.

    >>> round(read_tokens((Token("Yes", -0.223), Token("no", -1.609)), Limits()).p, 3)
    0.8
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rbrlang.grading.results import Abstained, Answer, Distribution, Invalid, Value, spread

FORMS = tuple(space + word for word in ("yes", "Yes", "YES", "no", "No", "NO") for space in ("", " "))
"""The surface forms that are sought by token id, and those a top-k list may be missing."""

_SPACES = " \t\r\n\u2581\u0120\u010a"  # and how SentencePiece and byte-level vocabularies spell them
_MARKS = "\"'`*_.,:;!?()[]«»“”‘’"
_LEADS = "\"'`*_([«“‘"
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
class Step:
    """One position of an answer: the token that was chosen there, and all candidates that were reported, it among them."""

    chosen: Token
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What makes a reading invalid: too little mass on yes and no, or bounds further apart than `width`."""

    mass: float = 0.5
    width: float = 0.1


def answer_form(text: str) -> Literal["yes", "no"] | None:
    """Which answer a whole first token is, if it is one."""
    word = text.strip(_SPACES).strip(_MARKS).strip(_SPACES).lower()
    return "yes" if word == "yes" else "no" if word == "no" else None


def sign_form(text: str) -> str:
    """The sign that a whole first token is, letters as capitals; empty where it is none.

    >>> sign_form(" b."), sign_form("4"), sign_form("10")
    ('B', '4', '')
    """
    sign = text.strip(_SPACES).strip(_MARKS).strip(_SPACES).upper()
    return sign if len(sign) == 1 and sign.isascii() and sign.isalnum() else ""


def sign_forms(signs: Iterable[str]) -> tuple[str, ...]:
    """The surface forms of signs that are sought by token id, and those that a top-k list may be missing."""
    return tuple(space + one for sign in signs for one in dict.fromkeys((sign, sign.lower())) for space in ("", " "))


def leads_in(text: str) -> bool:
    """Whether a token is white space, emphasis or an opening quote alone, so that the answer begins behind it."""
    return bool(text) and not text.strip(_SPACES + _LEADS)


def opens_thought(text: str) -> bool:
    """Whether a first token begins a train of thought rather than an answer."""
    return text.strip(_SPACES).lower().startswith(_THOUGHT)


def read_tokens(tokens: Sequence[Token], limits: Limits, asked: Iterable[str] = ()) -> Value | Invalid:
    """P(yes) from the reported candidates for the first token.

    `asked` are the forms whose log-probabilities were asked for by token id. Where all of them came back,
    nothing is missing and the bounds are tight; a server that ignores the wish returns its top tokens
    instead, and they are read as such.
    """
    seen = _seen(tokens, answer_form, FORMS, asked)
    return seen if isinstance(seen, Invalid) else _yes_no(seen, limits, alone=len(tokens) == 1)


def read_behind(steps: Sequence[Step], limits: Limits) -> Value | Invalid:
    """P(yes) of an answer whose first tokens are white space or emphasis, all but the last of `steps`.

    Yes and no are summed over the positions, each weighted by the probability of what was chosen before it. What nothing
    is known of, behind white space that was not chosen and among tokens that were not reported, may be either.
    """
    seen = _behind(steps, answer_form, ("yes", "no"))
    return (
        seen if isinstance(seen, Invalid) else _yes_no(seen, limits, alone=all(len(step.tokens) == 1 for step in steps))
    )


def _yes_no(seen: _Seen, limits: Limits, *, alone: bool) -> Value | Invalid:
    more = {word: min(seen.rest, seen.least * seen.missing.get(word, 0)) for word in ("yes", "no")}
    yes, no = (seen.sums.get(word, 0.0) for word in ("yes", "no"))
    found = _judged(yes, no, more["yes"], more["no"], limits, seen.complete)
    if alone and isinstance(found, Value):  # all the rest may be the other answer
        return replace(found, p=found.low if yes else found.high)
    return found


def read_signs(
    tokens: Sequence[Token], signs: Mapping[str, str], limits: Limits, asked: Iterable[str] = ()
) -> Distribution | Invalid:
    """How likely each value is, from the reported candidates for the first token; `signs` are the values by their signs.

    `asked` as in `read_tokens`. A value whose forms are not reported is at most as likely as those leave room for.
    """
    seen = _seen(tokens, sign_form, sign_forms(signs), asked)
    return seen if isinstance(seen, Invalid) else _signed(seen, signs, limits, alone=len(tokens) == 1)


def read_signs_behind(steps: Sequence[Step], signs: Mapping[str, str], limits: Limits) -> Distribution | Invalid:
    """`read_behind` for a question with values."""
    seen = _behind(steps, sign_form, tuple(signs))
    alone = all(len(step.tokens) == 1 for step in steps)
    return seen if isinstance(seen, Invalid) else _signed(seen, signs, limits, alone=alone)


def _signed(seen: _Seen, signs: Mapping[str, str], limits: Limits, *, alone: bool) -> Distribution | Invalid:
    sums = {value: seen.sums.get(sign, 0.0) for sign, value in signs.items()}
    below = {value: seen.least * seen.missing.get(sign, 0) for sign, value in signs.items()}
    whole = math.fsum(sums.values())
    mass = min(1.0, whole)
    if mass < limits.mass or mass == 0.0:
        return Invalid(
            "low-mass",
            f"{', '.join(signs)} hold {mass:.3g} of the probability, under {limits.mass:g}: the model did not want to "
            "answer with one of them",
        )
    p, low, high = dict[str, float](), dict[str, float](), dict[str, float]()
    for value, own in sums.items():
        more = min(seen.rest, below[value])
        others = min(seen.rest, math.fsum(below.values()) - below[value])
        p[value] = own / whole if not alone or seen.complete else own if own else (1.0 - whole) / (len(sums) - 1)
        low[value], high[value] = min(own / (whole + others), p[value]), max((own + more) / (whole + more), p[value])
    widest = max(p, key=lambda value: high[value] - low[value])
    if high[widest] - low[widest] > limits.width:
        return _wide(f"P({widest})", low[widest], high[widest])
    return Distribution(p, mass, low, high, "token-ids" if seen.complete else "top-k")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the reported tokens hold: sums by answer, how many forms of each are missing, and what room is left for them.

    The least probable token is as probable as `least`, and those that are not reported hold `rest`.
    """

    sums: Mapping[str, float]
    missing: Mapping[str, int]
    least: float
    rest: float
    complete: bool


def _seen(
    tokens: Sequence[Token], answer: Callable[[str], str | None], forms: Iterable[str], asked: Iterable[str]
) -> _Seen | Invalid:
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
    sums: dict[str, list[float]] = {}
    for text, chance in chances:
        sums.setdefault(answer(text) or "", []).append(chance)
    reported = {text for text, _ in chances}
    wishes = frozenset(asked)
    complete = bool(wishes) and wishes <= reported
    plain = {text.replace("\u2581", " ").replace("\u0120", " ") for text in reported}
    missing: dict[str, int] = {}
    for form in forms:
        if form not in plain:
            missing[answer(form) or ""] = missing.get(answer(form) or "", 0) + 1
    return _Seen(
        {name: math.fsum(some) for name, some in sums.items()}, missing, min(chance for _, chance in chances),
        0.0 if complete else max(0.0, 1.0 - total), complete,
    )  # fmt: skip


def _behind(steps: Sequence[Step], answer: Callable[[str], str | None], names: Sequence[str]) -> _Seen | Invalid:
    """What the positions of an answer hold together: as if all were candidates for one."""
    weight, rest = 1.0, 0.0
    sums: dict[str, list[float]] = {}
    for number, step in enumerate(steps, 1):
        seen = _seen(step.tokens, answer, (), ())
        if isinstance(seen, Invalid):
            return seen
        rest += weight * seen.rest
        for token in step.tokens:
            chance = weight * math.exp(token.logprob)
            name = answer(token.text)
            if name:
                sums.setdefault(name, []).append(chance)
            elif leads_in(token.text) and (number == len(steps) or token.text != step.chosen.text):
                rest += chance
        weight *= math.exp(step.chosen.logprob)
    return _Seen(
        {name: math.fsum(some) for name, some in sums.items()}, dict.fromkeys(names, 1), 1.0, min(1.0, rest), False
    )


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
        return _wide("P(yes)", low, high)
    # Division may round past the neighbours that it equals exactly where nothing is missing.
    return Value(p, mass, min(low, p), max(high, p), "token-ids" if complete else "top-k")


def _wide(what: str, low: float, high: float) -> Invalid:
    return Invalid(
        "wide-bounds",
        f"{what} lies between {low:.3g} and {high:.3g}: too few log-probabilities were returned; "
        "ask the server to allow 20 (`--max-logprobs 20` on vLLM)",
    )


def thinking() -> Invalid:
    """A thinking model that thinks."""
    return Invalid(
        "thinking",
        "the first token opens a train of thought, not an answer; turn thinking off on the server or with "
        "the chat template's argument, or let it think: `--thought-tokens 2048`",
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


def sign_vote(text: str, signs: Mapping[str, str]) -> Answer:
    """One sampled answer to a variable: all of its value, or an abstention for anything else."""
    if opens_thought(text):
        return thinking()
    said = signs.get(sign_form(text))
    if said is None:
        return Abstained(f"none of {', '.join(signs)}")
    return spread({value: float(value == said) for value in signs.values()}, "samples")


def sign_tally(votes: Sequence[Answer], values: Sequence[str], limits: Limits) -> Answer:
    """The posterior over a variable's values given sampled answers. The first invalid one makes the whole invalid."""
    from scipy.special import betaincinv  # takes a sixth of a second to load; most questions are asked once

    for one in votes:
        if isinstance(one, Invalid):
            return one
    said = [one.best for one in votes if isinstance(one, Distribution)]
    mass = len(said) / len(votes)
    if mass < limits.mass:
        return Invalid("low-mass", f"{len(votes) - len(said)} of {len(votes)} samples say none of its values")
    count, k = {value: said.count(value) for value in values}, len(values)
    # What is left of a Dirichlet distribution for one value is a Beta distribution.
    ends = {
        value: [float(betaincinv(1 + n, k - 1 + len(said) - n, q)) for q in (0.025, 0.975)]
        for value, n in count.items()
    }
    p = {value: (1 + n) / (k + len(said)) for value, n in count.items()}
    low = {value: min(ends[value][0], p[value]) for value in values}
    high = {value: max(ends[value][1], p[value]) for value in values}
    return Distribution(p, mass, low, high, "samples")


def settled(votes: Sequence[Answer], risk: float) -> bool:
    """Whether sampled answers say on which side of one half P(yes) lies, whatever further ones say.

    If P(yes) is at most one half, more of yes than here comes up at any time with probability `risk` at most; likewise no. For
    that, the likelihood of a uniform P(yes) above one half over that of one half, `2 ∫ (2q)^yes (2(1 - q))^no dq`, has to
    reach 1 / `risk`: a supermartingale, so Ville's inequality holds at every moment of stopping (Howard et al. 2021,
    https://arxiv.org/abs/1810.08240).

    >>> [settled([vote("yes")] * n, 0.05) for n in (6, 7)]
    [False, True]
    """
    said = [one.p for one in votes if isinstance(one, Value)]
    n, most = len(said), max(said.count(1.0), said.count(0.0))
    above = sum(math.comb(n + 1, j) for j in range(most + 1))
    return risk > 0 and above * risk >= (n + 1) * math.comb(n, most)


def _at_any_time(yes: int, no: int, error: float = 0.05) -> tuple[float, float]:
    """Between which ends P(yes) lies, wherever sampling stopped: the confidence sequence of a uniform mixture."""
    n = yes + no

    def inside(x: float) -> bool:
        return (n + 1) * math.comb(n, yes) * x**yes * (1 - x) ** no > error

    def end(within: float, without: float) -> float:
        for _ in range(60):
            middle = (within + without) / 2
            within, without = (middle, without) if inside(middle) else (within, middle)
        return without

    mean = yes / n if n else 0.5
    return 0.0 if inside(0.0) else end(mean, 0.0), 1.0 if inside(1.0) else end(mean, 1.0)


def tally(votes: Sequence[Answer], limits: Limits, risk: float = 0.0) -> Answer:
    """The posterior over P(yes) given sampled answers. The first invalid one makes the whole invalid.

    At a `risk` above 0 sampling may have stopped early, and the bounds are such as hold all the same.
    """
    for one in votes:
        if isinstance(one, Invalid):
            return one
    said = [one.p for one in votes if isinstance(one, Value)]
    yes, no = said.count(1.0), said.count(0.0)
    mass = len(said) / len(votes)
    if mass < limits.mass:
        return Invalid("low-mass", f"{len(votes) - len(said)} of {len(votes)} samples say neither yes nor no")
    from scipy.special import betaincinv

    low, high = _at_any_time(yes, no) if risk else (float(betaincinv(1 + yes, 1 + no, q)) for q in (0.025, 0.975))
    return Value((1 + yes) / (2 + yes + no), mass, low, high, "samples")
