"""What does the server tell Prometheus?

Counters and histograms in a registry of their own, so that several applications in one process do not
share them. `rbr_proposition_p`, `rbr_scale_level`, `rbr_option_p`, `rbr_rubric_value` and `rbr_class_mass_total` draw the
curves of `rbrlang.scoring.metrics` over everything that was served: the mean of P(yes) is
`rate(rbr_proposition_p_sum) / rate(rbr_proposition_p_count)`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest

from rbrlang.logic.circuit import Circuit
from rbrlang.scoring.metrics import class_names, class_table, levels, rubric_names, shares, unanswered
from rbrlang.scoring.score import Scores

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Meters:
    """The server's meters; `waiting` and `grading`, numbers of completions, are read when they are."""

    def __init__(self, circuit: Circuit, waiting: Callable[[], int], grading: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "rbr_requests", "Requests by route and status of the answer", ("route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "rbr_request_seconds", "From the first byte of a request to its answer", ("route",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._completions = Counter(
            "rbr_completions", "Completions scored, by whether they have a reward", ("outcome",), registry=registry
        )
        self._batches = Histogram("rbr_batch_size", "Completions graded together", buckets=_SIZES, registry=registry)
        self._batch_seconds = Histogram(
            "rbr_batch_seconds", "Grading and scoring of one batch", buckets=_SECONDS, registry=registry
        )
        self._reward = Summary("rbr_reward", "Rewards of the completions that have one", registry=registry)
        self._propositions = Summary(
            "rbr_proposition_p", "P(yes) of the propositions that were answered", ("proposition",), registry=registry
        )
        self._scales = Summary(
            "rbr_scale_level", "Mean levels of the scales that were answered", ("scale",), registry=registry
        )
        self._options = Summary(
            "rbr_option_p", "P(option) of the choices that were answered", ("choice", "option"), registry=registry
        )
        self._rubrics = Summary(
            "rbr_rubric_value",
            "Values of the rubrics, or of their tags, that are known",
            ("rubric",),
            registry=registry,
        )
        self._questions = Counter(
            "rbr_questions", "Questions of the completions' response types, by whether they have an answer",
            ("question", "outcome"), registry=registry,
        )  # fmt: skip
        self._classes = Counter(
            "rbr_class_mass", "Sum of P(class) over completions whose classes are known", ("class",), registry=registry
        )
        for name, said, read in (("waiting", "wait for a batch", waiting), ("grading", "are graded now", grading)):
            gauge = Gauge(f"rbr_completions_{name}", f"Completions that {said}", registry=registry)
            gauge.set_function(read)
        for outcome in ("valid", "invalid"):
            self._completions.labels(outcome)
        self._circuit = circuit

    def answered(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def scored(self, scores: Scores, seconds: float) -> None:
        """A batch was scored. May be called from any thread."""
        self._batches.observe(len(scores))
        self._batch_seconds.observe(seconds)
        invalid = int(scores.invalid.sum())
        self._completions.labels("invalid").inc(invalid)
        self._completions.labels("valid").inc(len(scores) - invalid)
        for reward in scores.rewards[~scores.invalid].tolist():
            self._reward.observe(reward)
        for name, column in zip(self._circuit.propositions, scores.probs.T, strict=True):
            for p in column[np.isfinite(column)].tolist():
                self._propositions.labels(name).observe(p)
        for domain in self._circuit.asked_domains.values():
            of_values = shares(scores, domain)
            known = of_values[np.isfinite(of_values).all(axis=1)]
            if domain.kind == "scale":
                for level in (known @ levels(domain)).tolist():
                    self._scales.labels(domain.name).observe(level)
            else:
                for option, column in zip(domain.values, known.T, strict=True):
                    for p in column.tolist():
                        self._options.labels(domain.name, option).observe(p)
        for name, column in zip(rubric_names(self._circuit), scores.rubrics.T, strict=True):
            for value in column[np.isfinite(column)].tolist():
                self._rubrics.labels(name).observe(value)
        for name, column in zip(self._circuit.questions, unanswered(scores).T, strict=True):
            self._questions.labels(name, "known").inc(int((column == 0.0).sum()))
            self._questions.labels(name, "unknown").inc(int((column == 1.0).sum()))
        for name, mass in zip(class_names(self._circuit), np.nansum(class_table(scores), axis=0), strict=True):
            self._classes.labels(name).inc(float(mass))

    def text(self) -> bytes:
        """All meters in Prometheus's text format."""
        return generate_latest(self._registry)
