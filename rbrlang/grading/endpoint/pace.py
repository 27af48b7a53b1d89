"""How fast may a run go, how long does it wait after a failure, and when does it give up?

Pure bookkeeping on a clock that the caller reads, so every rule can be tested without waiting:
`Pace` spaces requests and tokens evenly over a minute and holds everybody back while a server asks for
it; `backoff` grows exponentially with jitter; `RetryBudget` keeps retries in proportion to requests, so
that an outage is not multiplied by the number of attempts (https://sre.google/sre-book/handling-overload/);
`Breaker` opens when nothing succeeds any more.
"""

from __future__ import annotations

import threading
from email.utils import parsedate_to_datetime
from random import Random


class Pace:
    """When the next request may start. Times are seconds on one monotonic clock. Runs of several threads may share it."""

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._per_request = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._per_token = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._requests_free = 0.0
        self._tokens_free = 0.0
        self._held_until = 0.0
        self._lock = threading.Lock()

    def reserve(self, now: float, tokens: int) -> float:
        """The earliest start of a request with so many tokens; its share of the minute is taken."""
        with self._lock:
            start = max(now, self._requests_free, self._tokens_free)
            self._requests_free = start + self._per_request
            self._tokens_free = start + self._per_token * tokens
            return start

    def hold(self, until: float) -> None:
        """Nothing starts before `until`: a server said when to come back."""
        with self._lock:
            self._held_until = max(self._held_until, until)

    def held(self, now: float) -> float:
        """Seconds for which everything is held back; 0 or less for none."""
        return self._held_until - now


class Patience:
    """Until when one ask may be worked on, whatever requests and attempts that takes.

    What the run's own pace makes a request wait is not the server's doing, and is given back.
    """

    def __init__(self, seconds: float, now: float) -> None:
        self._until = now + seconds

    def left(self, now: float) -> float:
        """Seconds that remain; 0 or less when it is over."""
        return self._until - now

    def give_back(self, seconds: float) -> None:
        """So much more."""
        self._until += max(0.0, seconds)


class RetryBudget:
    """Retries that a run may still spend: a few at once, and `per_request` for each request sent."""

    def __init__(self, per_request: float, at_once: int) -> None:
        self._per_request = per_request
        self._left = float(at_once)

    def sent(self) -> None:
        """A request went out for the first time."""
        self._left += self._per_request

    def take(self) -> bool:
        """Whether one retry is left; if so it is spent."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Breaker:
    """Opens after so many failures without a single success between them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._failures = 0

    def succeeded(self) -> None:
        """A usable answer came."""
        self._failures = 0

    def failed(self) -> bool:
        """No usable answer after all retries. True when this was one too many."""
        self._failures += 1
        return self._failures >= self._limit


def backoff(attempt: int, first: float, longest: float, random: Random) -> float:
    """Seconds to wait after failure number `attempt` (from 0): doubled each time, less up to half."""
    return min(longest, first * 2.0 ** min(attempt, 30)) * random.uniform(0.5, 1.0)


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds that a `Retry-After` header asks for; `now` is wall-clock time. None where it says nothing.

    Either a number of seconds or an HTTP date (RFC 9110, section 10.2.3).
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None
