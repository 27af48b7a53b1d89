"""In one sentence: is this reward any good, as far as these rows can tell?

There is no threshold of our own. The reward with rules is compared with the base reward alone, for each response
type; *clearly* means that their 95 % intervals do not overlap, which is stricter than a test of the difference. Where that
cannot be told, the verdict says so. All that should temper it follows as cautions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rbrlang.learning.judging.behaviour import Rates
from rbrlang.learning.judging.evaluate import ByReward
from rbrlang.learning.judging.resample import Estimate
from rbrlang.report.gather import Findings
from rbrlang.report.words import count, listed, percent, spread

Tone = Literal["good", "mixed", "bad", "open"]
Mark = Literal["good", "bad", "caution", "fact"]
Outcome = Literal["helps", "hurts", "open"]
Rate = Literal["not_unsafe", "not_overrefuse"]
_PICKED: tuple[tuple[str, Rate], ...] = (
    ("are not unsafe", "not_unsafe"), ("of those that should help do not refuse", "not_overrefuse"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence of the summary; `section` is where the page shows more."""

    mark: Mark
    text: str
    section: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Tone, headline, one sentence below it, and the claims that support or temper it."""

    tone: Tone
    headline: str
    detail: str
    claims: tuple[Claim, ...]


def outcome(error: ByReward) -> Outcome:
    """Whether base and rules together rank clearly better than the base reward alone."""
    base, both = error.base, error.both
    if base is None or base.low is None or base.high is None or both.low is None or both.high is None:
        return "open"
    if both.high < base.low:
        return "helps"
    return "hurts" if both.low > base.high else "open"


@dataclass(frozen=True, slots=True)
class OnPairs:
    """The ranking error of a response type, on the `pairs` of one source; the `name` says which where it is people's."""

    name: str
    pairs: int
    error: ByReward


def all_pairs(found: Findings) -> tuple[OnPairs, ...]:
    """All that was compared, classes first."""
    classes = [OnPairs(r.name, r.pairs, r.error) for r in found.evaluation.responses if r.error is not None]
    people = () if found.people is None else found.people.orders
    return (*classes, *(OnPairs(f"{one.name} by {one.source}", one.pairs, one.error) for one in people if one.error))


def verdict(found: Findings) -> Verdict:
    """The verdict on what was gathered."""
    compared = all_pairs(found)
    claims = (*_claims(found), *_cautions(found))
    if not compared:
        return Verdict("open", "These rows cannot say how good this reward is.", _nothing(found), claims)
    tone, headline = _headline(compared)
    if found.origin.fitted_to_these:
        tone = "mixed" if tone == "good" else tone
        headline = f"On the rows that they were fitted to: {headline[0].lower()}{headline[1:]}"
    return Verdict(tone, headline, _detail(compared), claims)


def _nothing(found: Findings) -> str:
    """Why there is nothing to compare."""
    responses = found.evaluation.responses
    if any(response.rows for response in responses):
        reasons = sorted({response.reason for response in responses if response.reason})
        return f"There is nothing to compare: {'; '.join(reasons)}."
    apart = [
        *found.evaluation.set_apart.items(),
        *(item for response in responses for item in response.set_apart.items()),
    ]
    if not apart:
        return "There is nothing to compare: the policy has no response type."
    reason, number = max(apart, key=lambda item: item[1])
    return f"No row could be used; of {count(number, 'row')} the reason is: {reason}."


def _headline(compared: Sequence[OnPairs]) -> tuple[Tone, str]:
    if all(one.error.base is None for one in compared):
        worst = max(one.error.both.value for one in compared)
        return "open", (
            f"The rules order at least {percent(1 - worst)} of the pairs rightly. "
            "There is no base reward to compare them with."
        )
    by = {kind: [one.name for one in compared if outcome(one.error) == kind] for kind in ("helps", "hurts", "open")}
    every = len(compared)
    cannot = f"For {listed(by['open'])} these rows cannot tell." if by["open"] else ""
    if by["hurts"]:
        return "bad", f"The rules make the ranking worse for {listed(by['hurts'])}. {cannot}".strip()
    if len(by["helps"]) == every:
        return "good", "The rules help: " + (
            "they clearly improve the ranking."
            if every == 1
            else "they clearly improve the ranking of every response type."
        )
    if by["helps"]:
        return "mixed", f"The rules clearly help for {listed(by['helps'])}. {cannot}"
    return "open", "These rows cannot tell whether the rules help."


def _detail(compared: Sequence[OnPairs]) -> str:
    worst = max(compared, key=lambda one: one.error.both.value)
    error = worst.error
    where = "The" if len(compared) == 1 else f"At worst ({worst.name}) the"
    text = f"{where} worse of two completions comes first in {_with_spread(error.both)} of the pairs"
    return f"{text}." if error.base is None else f"{text}; with the base reward alone in {_with_spread(error.base)}."


def _with_spread(estimate: Estimate) -> str:
    between = spread(estimate)
    return percent(estimate.value) + (f" ({between})" if between else "")


def _claims(found: Findings) -> Iterator[Claim]:
    held = [(w.name, w.held_out) for w in found.weights if w.held_out is not None]
    if held:
        name, worst = max(held, key=lambda pair: pair[1].both)
        base = "" if worst.base is None else f", with the base reward alone {percent(worst.base)}"
        yield Claim("fact", (
            f"On prompts that the fit did not see the error is at most {percent(worst.both)}{base} "
            f"({name}, {count(worst.pairs, 'pair')} of {count(worst.prompts, 'prompt')})."
        ), "errors")  # fmt: skip
    picks = found.behaviour.picks if all_pairs(found) else {}
    both, base_picks = picks.get("both"), picks.get("base")
    said: list[str] = []
    for what, name in _PICKED:
        rate, beside = _rate(both, name), _rate(base_picks, name)
        if rate is not None:
            said.append(
                f"{percent(rate)} {what}" + ("" if beside is None else f" (base reward alone: {percent(beside)})")
            )
    if said:
        yield Claim("fact", f"Of the completions that it picks as the best of several, {' and '.join(said)}.", "errors")
    yield from _people(found)
    yield from _proof(found)
    accuracy = None if found.assessment is None else found.assessment.class_accuracy
    if found.assessment is not None and accuracy is not None:
        yield Claim("fact", (
            f"The grader's answers give {percent(accuracy.value)} of {count(found.assessment.class_rows, 'labelled row')} "
            f"their right class ({100 * accuracy.low:.0f}–{100 * accuracy.high:.0f} %)."
        ), "grader")  # fmt: skip


def _people(found: Findings) -> Iterator[Claim]:
    """Whether the policy's ranks are those of people, where that is least so."""
    orders = () if found.people is None else found.people.orders
    told = [(one, one.agree) for one in orders if one.agree is not None]
    if not told:
        return
    one, agree = min(told, key=lambda pair: pair[1].value)
    mark: Mark = "fact" if agree.low is None or agree.high is None or agree.low > 0.5 else "caution"
    if agree.high is not None and agree.high < 0.5:
        mark = "bad"
    between = spread(agree)
    yield Claim(mark, (
        f"Of the pairs to which the policy gives two ranks, {percent(agree.value)}{f' ({between})' if between else ''} are "
        f"ranked as people do, at least ({one.name}, {one.source})."
    ), "people")  # fmt: skip


def _rate(rates: Rates | None, name: Rate) -> float | None:
    if rates is None:
        return None
    one = rates.not_unsafe if name == "not_unsafe" else rates.not_overrefuse
    return None if one is None else one.value


def _proof(found: Findings) -> Iterator[Claim]:
    proof = found.certificates
    leads = [lead for response in proof.responses for lead in response.leads]
    if not leads:
        return
    broken = [response.name for response in proof.responses if not response.holds]
    if broken:
        yield Claim("bad", (
            f"Even if every answer is right, the weights can put a worse class first for {listed(broken)}."
        ), "proof")  # fmt: skip
        return
    yield Claim(
        "good",
        "It is proved that the rules put every better class above every worse one, if the answers are right.",
        "proof",
    )
    if proof.base_range is not None and not proof.holds:
        yield Claim("caution", (
            "The base reward can overrule the rules: a large enough one puts a worse class first."
        ), "proof")  # fmt: skip


def _cautions(found: Findings) -> Iterator[Claim]:
    if found.origin.fitted_to_these:
        yield Claim(
            "caution", "The weights were fitted to these very rows: on others the error will be higher.", "origin"
        )
    intervals = [one.name for one in all_pairs(found) if one.error.both.low is None]
    if intervals and found.evaluation.resamples:
        yield Claim("caution", f"Too few prompts for an interval: {listed(intervals)}.", "errors")
    compared = {one.name.partition(" ")[0] for one in all_pairs(found)}
    nothing = [r.name for r in found.evaluation.responses if r.name not in compared]
    if nothing:
        yield Claim("caution", f"Not evaluated, for want of comparable rows: {listed(nothing)}.", "coverage")
    drowned = [r for r in found.evaluation.responses if r.reward_spread is not None and r.reward_spread.drowns]
    if drowned:
        names = [
            f"{r.name} ({r.reward_spread.ratio:.0f} times)"
            for r in drowned
            if r.reward_spread and r.reward_spread.ratio
        ]
        yield Claim(
            "caution",
            f"The rules' reward spreads so far that in training the base reward will hardly count beside it: {listed(names)}.",
            "scale",
        )
    if found.evaluation.class_source == "graded" and any(r.error is not None for r in found.evaluation.responses):
        yield Claim(
            "caution",
            "Which completion is better was decided by the grader itself: rows with labels would tell more.",
            "coverage",
        )
    apart = sum(r.set_apart for r in found.coverage.responses) + sum(found.evaluation.set_apart.values())
    if apart:
        yield Claim("caution", f"{count(apart, 'row')} of {found.origin.rows} took no part.", "coverage")
    if found.origin.bad:
        yield Claim("caution", f"{count(found.origin.bad, 'row')} of the file could not be read.", "coverage")
    if found.coverage.empty_classes:
        yield Claim("caution", f"No row shows {listed(found.coverage.empty_classes)}.", "coverage")
