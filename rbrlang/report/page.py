"""What does the page look like?

One HTML file: no script, no network (its own policy forbids both), pictures inside, light and dark, for a screen, a
telephone or paper. Templates fill in what was gathered. Completions, prompts, names and provenance are untrusted: everything
is escaped, and what cannot be seen is made visible (`markup.visible`).

    html = render(gather(artefact, rows, Given(artefact="policy.rbrc")), title="Our policy")

The same findings give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from rbrlang.grading.trust.agreement import Agreement, TooLittle
from rbrlang.learning.judging.evaluate import ByReward
from rbrlang.learning.judging.people import People
from rbrlang.learning.preferences import counts
from rbrlang.markup import visible
from rbrlang.report import charts, words
from rbrlang.report.gather import Findings
from rbrlang.report.highlight import highlighted
from rbrlang.report.svg import inline_svg
from rbrlang.report.verdict import all_pairs, outcome, verdict
from rbrlang.reward.kept.record import ResponseWeights, Weight

MOST_WEIGHTS = 40
MOST_RELIABILITY = 24
MOST_TERMS = 6
MOST_PLOTS = 12
MOST_TEXT = 700
MOST_SOURCE = 100_000


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing with its caption."""

    svg: Markup
    caption: str


def render(found: Findings, title: str | None = None) -> str:
    """The page as HTML."""
    folder = Path(__file__).parent / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined, finalize=_shown,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    filters: Any = environment.filters
    filters.update(
        percent=words.percent, spread=words.spread, signed=words.signed, count=words.count, excerpt=words.excerpt,
        listed=words.listed, json=_json,
    )  # fmt: skip
    return environment.get_template("page.html").render(
        f=found,
        title=title or f"Report on {found.origin.artefact}",
        verdict=verdict(found),
        judged=tuple((one, outcome(one.error)) for one in all_pairs(found)),
        unused=() if found.people is None else tuple(_unused(found.people)),
        errors=_error_pictures(found),
        histograms=_histogram_pictures(found),
        weights={response.name: _weight_picture(at, response) for at, response in enumerate(found.weights)},
        ridges=_ridge_pictures(found),
        reliability=tuple(_reliability_pictures(found)),
        grades=tuple(_grades(found)),
        sources=tuple(
            (source.name, len(source.text), tuple(highlighted(source.text[:MOST_SOURCE])))
            for source in reversed(found.artefact.sources)
        ),
        style=Markup((folder / "style.css").read_text("utf-8")),
        most_text=MOST_TEXT,
        most_source=MOST_SOURCE,
        most_weights=MOST_WEIGHTS,
        most_terms=MOST_TERMS,
        most_plots=MOST_PLOTS,
    )


def _unused(people: People) -> Iterator[tuple[str, int]]:
    """Why what rows say of preference is not used, and how many rows that concerns."""
    for source, reasons in counts(people.apart).items():
        for reason, number in reasons.items():
            yield f"{source}: {reason}", number


def _shown(value: Any) -> Any:
    """What a template prints of a value: hidden characters of plain text made visible."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True, default=str)


def _picture(figure: Any, prefix: str, label: str, caption: str = "") -> Picture:
    return Picture(Markup(inline_svg(figure, visible(label), prefix)), caption)


def _error_pictures(found: Findings) -> dict[str, Picture]:
    errors = {r.name: r.error for r in found.evaluation.responses if r.error is not None}
    ends = [
        end
        for error in errors.values()
        for one in (error.base, error.rules, error.both)
        if one is not None
        for end in (one.value, one.high)
        if end is not None
    ]
    limit = min(1.0, 1.05 * max((*ends, 0.05)))
    return {
        name: _picture(charts.error_chart(error, limit), f"e{at}", _error_label(name, error))
        for at, (name, error) in enumerate(errors.items())
    }


def _error_label(name: str, error: ByReward) -> str:
    parts = [
        f"{signal} {words.percent(one.value)}" + (f" ({between})" if (between := words.spread(one)) else "")
        for signal, one in (("base", error.base), ("rules", error.rules), ("both", error.both))
        if one is not None
    ]
    return f"Ranking error for {name}: {', '.join(parts)}"


_SIGNAL_NAMES = {"base": "Base reward alone", "rules": "Rules alone", "both": "Base reward and rules"}


def _histogram_pictures(found: Findings) -> dict[str, tuple[Picture, ...]]:
    pictures: dict[str, tuple[Picture, ...]] = {}
    for at, response in enumerate(found.evaluation.responses):
        if not (response.histograms and response.pairs):
            continue
        pictures[response.name] = tuple(
            _picture(
                charts.histogram_chart(one, response.classes, response.ranks), f"h{at}{one.signal}",
                f"{_SIGNAL_NAMES[one.signal]}, {response.name}: mean reward compared with the ideal: " + ", ".join(
                    f"{name} {words.signed(mean)}" for name, mean in zip(response.classes, one.means, strict=True)
                    if mean is not None
                ),
                _SIGNAL_NAMES[one.signal],
            )
            for one in response.histograms
        )  # fmt: skip
    return pictures


def _weight_picture(at: int, response: ResponseWeights) -> Picture | None:
    shown: Sequence[Weight] = response.weights
    if len(shown) > MOST_WEIGHTS:
        largest = set(sorted(range(len(shown)), key=lambda i: (-abs(shown[i].value), i))[:MOST_WEIGHTS])
        shown = [weight for i, weight in enumerate(shown) if i in largest]
    if not shown:
        return None
    return _picture(
        charts.weight_chart(shown), f"w{at}", f"Weights for {response.name}; the table below has the numbers"
    )


def _ridge_pictures(found: Findings) -> tuple[Picture, ...]:
    path = found.ridges
    if path is None:
        return ()
    chosen = f"the dashed line is at {path.chosen:g}, the one chosen; the table below has the numbers"
    return (
        _picture(
            charts.ridge_chart(path), "g0", f"Held-out loss by ridge; {chosen}", "Loss on prompts left out of the fit"
        ),
        _picture(
            charts.scale_chart(path),
            "g1",
            f"Spread of the rules' reward by ridge; {chosen}",
            "How far the rules' reward spreads",
        ),
    )


def _reliability_pictures(found: Findings) -> Iterator[Picture]:
    if found.assessment is None:
        return
    told = [(j.name, j.result) for j in found.assessment.propositions if isinstance(j.result, Agreement)]
    told.sort(key=lambda pair: (-pair[1].ece.value, pair[0]))
    for at, (name, result) in enumerate(told[:MOST_RELIABILITY]):
        label = f"{name}: calibration error {result.ece.value:.2f} on {result.support} labelled rows"
        yield _picture(charts.reliability_chart(name, result), f"r{at}", label, name)


@dataclass(frozen=True, slots=True)
class Grade:
    """One proposition's agreement with people; all but the counts None where there is too little to say, for `reason`."""

    name: str
    support: int
    positives: int
    accuracy: float | None
    auc: float | None
    ece: float | None
    reason: str


def _grades(found: Findings) -> Iterator[Grade]:
    if found.assessment is None:
        return
    for judged in found.assessment.propositions:
        result = judged.result
        match result:
            case Agreement():
                yield Grade(
                    judged.name,
                    result.support,
                    result.positives,
                    result.balanced_accuracy,
                    result.auc.value,
                    result.ece.value,
                    "",
                )
            case TooLittle():
                yield Grade(judged.name, result.support, result.positives, None, None, None, result.reason)
