"""What is said on standard error of how answers came about, of all blocks together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rbrlang.cli.terminal import warn

if TYPE_CHECKING:
    from rbrlang.cli.graded import GradedRows
    from rbrlang.grading.endpoint.account import Summary


@dataclass(slots=True)
class Told:
    """Methods, calibrations, what was saved and spent. `identities` are the graders'."""

    identities: dict[str, None] = field(default_factory=dict)
    answers: int = 0
    methods: Counter[str] = field(default_factory=Counter)
    calibrations: dict[str, None] = field(default_factory=dict)
    lazy: tuple[int, int, int] | None = None
    summaries: list[Summary] = field(default_factory=list)

    @classmethod
    def of(cls, graded: GradedRows) -> Told:
        """That of a block."""
        from rbrlang.grading.results import Distribution, Value

        given = [a for answers in graded.answers for a in answers.values()]
        given += [a for met in graded.met for each in met.values() for a in each if a is not None]
        methods = Counter(a.method for a in given if isinstance(a, Value | Distribution))
        lazy = None if graded.lazy is None else (graded.lazy.asked, graded.lazy.wanted, graded.lazy.rounds)
        return cls(
            {graded.identity: None},
            len(given),
            Counter(methods),
            {} if graded.calibration is None else {graded.calibration.identity: None},
            lazy,
            [] if graded.summary is None else [graded.summary],
        )

    def add(self, more: Told) -> None:
        """That of a later block."""
        from rbrlang.grading.endpoint.account import together

        self.identities |= more.identities
        self.answers += more.answers
        self.methods.update(more.methods)
        self.calibrations |= more.calibrations
        if more.lazy is not None:
            asked, wanted, rounds = self.lazy or (0, 0, 0)
            self.lazy = asked + more.lazy[0], wanted + more.lazy[1], max(rounds, more.lazy[2])
        whole = together([*self.summaries, *more.summaries])
        self.summaries = [] if whole is None else [whole]

    def tell(self, cache: str | None) -> None:
        """Say it."""
        if self.methods:
            warn("read by " + ", ".join(f"{name} {count}" for name, count in self.methods.most_common()))
        for calibration in self.calibrations:
            warn(f"corrected by calibration {calibration}")
        if self.lazy is not None:
            asked, wanted, rounds = self.lazy
            saved = 1 - asked / wanted if wanted else 0.0
            warn(f"lazy: asked {asked} of {wanted} questions in {rounds} rounds, {saved:.0%} saved")
        for summary in self.summaries:
            tell_costs(summary, cache)


def tell_costs(summary: Summary, cache: str | None) -> None:
    """Requests, tokens and cost of a run, and how to go on with one that ended early, on standard error."""
    used = summary.usage
    warn(
        f"P(yes) from {summary.reading}; sent {summary.sent} requests ({summary.retried} again, {summary.from_cache} "
        f"more answered from the cache) in {summary.seconds:.1f} s: {used.prompt} prompt tokens ({used.cached} from the "
        f"server's cache), {used.completion} answer tokens, cost {summary.cost:.4f}"
    )
    if summary.request:
        warn(f"asked as the server takes it: {summary.request}")
    if summary.alone:
        warn(
            f"asked again alone, as the reply to several did not say which answer was theirs: {summary.alone} questions"
        )
    for note in summary.notes:
        warn(note)
    if summary.stopped:
        warn(f"the run ended early: {summary.stopped}")
        if cache and summary.sent:  # a model that was never loaded answered nothing
            warn(f"what was answered is in `{cache}`; run the same command with --resume to continue")
