"""What `rbrc eval` found, and what a fit says of spreads, for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from rbrlang.cli.tables import show
from rbrlang.cli.terminal import say
from rbrlang.learning.judging.behaviour import Behaviour
from rbrlang.learning.judging.evaluate import NOT_BY_CLASS, Evaluation, ResponseEvaluation
from rbrlang.learning.judging.mining import Suggestions
from rbrlang.learning.judging.noise import Noise, most_worth
from rbrlang.learning.judging.rates import ErrorRate
from rbrlang.learning.judging.resample import Estimate
from rbrlang.learning.spread import Extent, RewardSpread

_SHADES = " ▁▂▃▄▅▆▇█"
_MOST_WORTH = 8
_MOST_PAIRS = 5


def show_evaluation(result: Evaluation) -> None:
    """Errors, where they are, what would be picked, histograms, and known against most probable class."""
    say(f"classes from {result.class_source}; rules alone with weights {_weights(result.rules_source)}")
    say(f"95 % intervals from {result.resamples} resamples of prompts, seed {result.seed}")
    for reason, count in result.set_apart.items():
        say(f"{_rows(count)} set apart: {reason}")
    say("")
    known = [response for response in result.responses if response.error is not None]
    errors: list[tuple[str, ...]] = []
    for response in known:
        for name, error, pairs in (
            ("all pairs", response.error, response.pairs), ("ideal against others", response.ideal_error, response.ideal_pairs),
        ):  # fmt: skip
            if error is not None:
                first = response.name if name == "all pairs" else ""
                errors.append((first, name, str(pairs), *map(_estimate, (error.base, error.rules, error.both))))
    if errors:
        show("ranking error: share of pairs with the worse completion first",
             ("response type", "of", "pairs", "base", "rules", "both"), errors)  # fmt: skip
    _picks(known)
    show_spreads({one.name: one.reward_spread for one in result.responses if one.reward_spread is not None})
    for response in result.responses:
        _response(response, confusion=result.class_source != "graded")


def _weights(source: str) -> str:
    return "of the artefact (`--refit` fits them to stand alone)" if source == "artefact" else source


def _picks(responses: Sequence[ResponseEvaluation]) -> None:
    rows: list[tuple[str, ...]] = []
    for response in responses:
        if response.picks is None:
            continue
        for klass, rank, chance, share in zip(
            response.classes, response.ranks, response.picks.rows, response.picks.shares, strict=True
        ):
            if rank == 0:
                shown = (chance, share.base, share.rules, share.both)
                rows.append((response.name, klass, f"{response.picks.mean_n:.1f}", *map(_estimate, shown)))
    if rows:
        show("best of n: share of prompts whose top completion is of the best rank",
             ("response type", "class", "n", "at random", "base", "rules", "both"), rows)  # fmt: skip


def _response(response: ResponseEvaluation, *, confusion: bool) -> None:
    if response.error is None and response.reason != NOT_BY_CLASS:
        say(f"{response.name}: not evaluated: {response.reason}")
    elif response.error is not None and response.error.both.refused not in (None, "not asked for"):
        say(f"{response.name}: no interval: {response.error.both.refused}")
    for reason, count in response.set_apart.items():
        say(f"{response.name}: {_rows(count)} set apart: {reason}")
    wrong = [pair for pair in response.class_pairs if pair.error.both.value > 0.0 or pair.error.rules.value > 0.0]
    wrong.sort(key=lambda pair: (-pair.error.both.value, -pair.error.rules.value))
    if wrong:
        more = f", the {_MOST_PAIRS} worst of {len(wrong)}" if len(wrong) > _MOST_PAIRS else ""
        show(f"{response.name}: where it goes wrong{more}", ("better > worse", "pairs", "base", "rules", "both"), [
            (f"{p.better} > {p.worse}", str(p.pairs), *map(_estimate, (p.error.base, p.error.rules, p.error.both)))
            for p in wrong[:_MOST_PAIRS]
        ])  # fmt: skip
    if response.histograms and response.pairs:
        _histograms(response)
    if confusion and response.rows:
        _confusion(response)


def _histograms(response: ResponseEvaluation) -> None:
    rows = [
        (name, *(f"{_bars(one.counts[at])} {_mean(one.means[at])}" for one in response.histograms))
        for at, name in enumerate(response.classes)
    ]
    head = [f"{one.signal} ({one.edges[0]:+.1f} … {one.edges[-1]:+.1f})   mean" for one in response.histograms]
    left = response.histograms[0].left_out
    also = f"; {_rows(left)} of prompts without one left out" if left else ""
    show(f"{response.name}: reward less that of the prompt's ideal completion{also}", ("class", *head), rows)


def _bars(counts: Sequence[int]) -> str:
    most = max(counts, default=0) or 1
    return "".join(_SHADES[-(-count * (len(_SHADES) - 1) // most)] for count in counts)


def _mean(value: float | None) -> str:
    return "     ·" if value is None else f"{value:+6.2f}"


def _confusion(response: ResponseEvaluation) -> None:
    right = sum(response.confusion[at][at] for at in range(len(response.classes)))
    if right == response.rows:
        sys.stdout.write(f"{response.name}: all {response.rows} rows have their known class as most probable\n\n")
        return
    head = ("known class", *response.classes, "open")
    rows = [
        (name, *(str(n) if n else "·" for n in counts))
        for name, counts in zip(response.classes, response.confusion, strict=True)
    ]
    show(f"{response.name}: most probable class ({right} of {response.rows} as known)", head, rows)


def show_behaviour(found: Behaviour, *, asked: bool) -> None:
    """Rates of rows and picks; nothing for a policy that does not speak of refusals, unless asked."""
    if found.meaning.refusal is None and not asked:
        return
    meaning = found.meaning
    named = [("as they are", found.rows), *((f"best of n by {name}", rates) for name, rates in found.picks.items())]
    if any(rate is not None for rates in (found.rows,) for rate in (rates.not_unsafe, rates.not_overrefuse)):
        show("behaviour", ("completions", "not unsafe", "not over-refusing", "F1"), [
            (name, *map(_estimate, (rates.not_unsafe, rates.not_overrefuse, rates.f1))) for name, rates in named
            if rates.not_unsafe is not None or rates.not_overrefuse is not None
        ])  # fmt: skip
    unsafe = f"`{meaning.unsafe}`" if meaning.unsafe else "classes of the worst rank"
    say(
        f"unsafe: {unsafe}, of {', '.join(meaning.refusing) or 'no response type'}; "
        f"refusal: {meaning.refusal or 'not known'}, of {', '.join(meaning.complying) or 'no response type'}"
    )
    for reason in found.refused:
        say(f"{reason}")
    if found.unknown:
        say(f"{_rows(found.unknown)} neither labelled nor graded on this took no part")
    say("")


def show_noise(noise: Noise) -> None:
    """What the grader's mistakes cost, and which question to mend first."""
    out = sys.stdout.write
    declared = [rate.proposition for rate in noise.rates if rate.source != "measured"]
    show("the grader's mistakes and what they cost", ("response type", "class accuracy", "ranking error", "without mistakes", "contradictory answers"), [
        (r.name, f"{r.accuracy:.3f}", _number(r.error), _number(r.perfect_error), f"{r.contradictory:.1%}")
        for r in noise.responses
    ])  # fmt: skip
    say(f"class accuracy exact, ranking error from {noise.draws} draws a row, seed {noise.seed}")
    drawn = [r.name for r in noise.responses if r.truth != "labels"]
    if drawn:
        say(f"truth drawn from the rules, for want of labels: {', '.join(drawn)}")
    if declared:
        say(f"error rates declared by the policy, for want of labels: {', '.join(declared)}")
    for one in noise.values:
        untold = [value for value, rows in zip(one.domain.values, one.rows, strict=True) if not rows]
        if untold:
            say(f"{one.domain.name}: taken to be always found, for want of labels: {', '.join(untold)}")
    say("")
    rates = {rate.proposition: rate for rate in noise.rates}
    best = most_worth(noise)[:_MOST_WORTH]
    if best:
        show("questions worth mending: gain if the answer were always right", ("question", "yes though false", "no though true", "ranking error", "class accuracy"), [
            (name, *_wrong(rates.get(name)), f"−{error:.4f}" if error > 0 else "·", f"+{accuracy:.4f}")
            for name, error, accuracy in best
        ])  # fmt: skip
        out(f"do: improve the question of `{best[0][0]}` first\n\n")
    else:
        out("no question would gain anything by better answers\n\n")


def _wrong(rate: ErrorRate | None) -> tuple[str, str]:
    """Both error rates of a proposition; nothing of a scale or a choice."""
    return ("", "") if rate is None else (f"{rate.fp:.3f}", f"{rate.fn:.3f}")


def show_suggestions(found: Suggestions) -> None:
    """What to do, each with the line to paste where there is one."""
    out = sys.stdout.write
    out("what the rows suggest\n\n")
    for one in found.axioms:
        say(f"- {_holds(one.rows, one.violations)} ({one.low:.1%} … {one.high:.1%}); "
            f"if unrelated, {one.expected:.0f} would break it")  # fmt: skip
        if one.breaks:
            say(f"  not an axiom of this policy: it would make {', '.join(one.breaks)} impossible: {one.line}")
        else:
            say(f"  add: {one.line}")
        if one.examples:
            say(f"  look first at: {', '.join(one.examples)}; the axiom would rule out what they are labelled")
    for constant in found.constant:
        say(f"- `{constant.proposition}` is {str(constant.value).lower()} in all {constant.rows} labelled rows: "
            f"these rows cannot tell what it is worth; label some where it is {str(not constant.value).lower()}")  # fmt: skip
    for weight in found.maybe_zero:
        out(f"- the weight of `{weight.feature}` for {weight.response} may be 0 ({weight.low:+.2f} … {weight.high:+.2f})\n"
            f"  add to `reward {weight.response}`: {weight.line}\n")  # fmt: skip
    if found.influential:
        show("check these labels first: leaving one out moves the reward most", ("completion", "response type", "class", "pairs", "moves reward by"), [
            (one.id, one.response, one.klass, str(one.pairs), f"{one.influence:.3f}") for one in found.influential
        ])  # fmt: skip
    if not (found.axioms or found.constant or found.maybe_zero or found.influential):
        say("- nothing")
    for reason in found.refused:
        say(f"not looked for: {reason}")


def _holds(rows: int, violations: int) -> str:
    return f"holds in all {rows} rows" if not violations else f"holds in {rows - violations} of {rows} rows"


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f}  {estimate.low:.3f}…{estimate.high:.3f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def show_spreads(spreads: Mapping[str, RewardSpread]) -> None:
    """A line per response type, and a warning for each whose rules drown the base reward."""
    if spreads:
        show(
            "reward over the rows: standard deviation, least … greatest",
            ("response type", "rows", "rules", "base", "rules / base"),
            [
                (name, str(one.rows), _extent(one.rules), "" if one.base is None else _extent(one.base),
                 "" if one.ratio is None else f"{one.ratio:.2f}")
                for name, one in spreads.items()
            ],
        )  # fmt: skip
    for name, one in spreads.items():
        warning = one.warning(name)
        if warning is not None:
            sys.stdout.write(f"warning: {warning}\n\n")


def _extent(extent: Extent) -> str:
    return f"{extent.sd:.2f}  {extent.least:+.2f} … {extent.greatest:+.2f}"
