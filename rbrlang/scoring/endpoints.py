"""How does a grader behind an endpoint answer one batch of rollouts after another?

Every batch is a run of its own, with its own retries and its own breaker: an outage costs the batches that
fall into it and no later one. The layout of the prompts is planned once, on the first batch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rbrlang.grading.endpoint.account import Price, RunOptions
from rbrlang.grading.endpoint.run import StandingGrader
from rbrlang.grading.endpoint.served import remote
from rbrlang.grading.judge import Grader
from rbrlang.grading.questions.specs import RemoteSpec, Secret
from rbrlang.grading.results import Answer, GradeItem
from rbrlang.policy import Policy


class EndpointJudge:
    """A `Judge` that asks a server. Call it from threads without a running event loop; several may at once.

    `corrected` puts a calibration over the grader, once the server has said what it is. Raises `CacheError`
    where `cache` cannot be used; what goes wrong with the server becomes an answer.
    """

    def __init__(
        self, spec: RemoteSpec, policy: Policy, cache: Path | None, key: Secret, corrected: Callable[[Grader], Grader]
    ) -> None:
        self._spec, self._key = spec, key
        self._policy = policy
        self._cache = cache
        self._corrected = corrected
        self._planning = threading.Lock()
        self._grader: Grader | None = None

    def __call__(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> Sequence[Mapping[int, Answer]]:
        """The answers, in the order of the items."""
        with self._planning:
            if self._grader is None:
                found = remote(self._spec, self._policy, items, self._key)
                self._grader = self._corrected(StandingGrader(found, self._cache, RunOptions(), Price()))
        return self._grader.answers(items, wanted)
