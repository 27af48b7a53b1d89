"""How does a grader behind an endpoint answer one batch of rollouts after another?

Every batch is a run of its own, with its own retries and its own breaker: an outage costs the batches that
fall into it and no later one. The layout of the prompts is planned once, on the first batch unless said otherwise.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from rbrlang.grading.endpoint.account import price_of, run_options
from rbrlang.grading.endpoint.run import StandingGrader
from rbrlang.grading.endpoint.served import identity, remote
from rbrlang.grading.questions.options import GraderOptions
from rbrlang.grading.questions.specs import RemoteSpec, Secret
from rbrlang.grading.results import Answer, GradeItem
from rbrlang.policy import Policy


class EndpointGrader:
    """A `Grader` that asks a server, from any thread, with a running event loop or without; several may at once.

    `items` are what the layouts are chosen for, None the first that it is asked about. `answers` raises
    `CacheError` where the cache cannot be used; what goes wrong with the server becomes an answer.
    """

    def __init__(
        self, spec: RemoteSpec, policy: Policy, options: GraderOptions, key: Secret, items: Sequence[GradeItem] | None
    ) -> None:
        self._identity = identity(spec, options)
        self._spec, self._key = spec, key
        self._policy, self._options = policy, options
        self._planning = threading.Lock()
        self._grader = None if items is None else self._planned(items)

    @property
    def identity(self) -> str:
        """The grader's, with the shape of its requests as far as that is known."""
        return self._identity if self._grader is None else self._grader.identity

    def _planned(self, items: Sequence[GradeItem]) -> StandingGrader:
        options = self._options
        found = remote(self._spec, self._policy, items, self._key, options)
        return StandingGrader(found, options.cache, run_options(options), price_of(options))

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> Sequence[Mapping[int, Answer]]:
        """The answers, in the order of the items."""
        with self._planning:
            if self._grader is None:
                self._grader = self._planned(items)
        return self._grader.answers(items, wanted)
