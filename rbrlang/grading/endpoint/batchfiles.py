"""What stands in the folder of a batch: which requests were written, and what came back to them?

    requests-0001.jsonl    {"custom_id": "…", "method": "POST", "url": "/v1/chat/completions", "body": {…}}
    anything else.jsonl    {"custom_id": "…", "response": {"status_code": 200, "body": {…}}, "error": null}

The format is OpenAI's: https://platform.openai.com/docs/guides/batch. A request goes by the digest of whatever could change its
answer, so an answer is found wherever its line lies. `Replay` stands where a run sends: it gives the replies of the folder to
the same reading, cache and change of shape as those of a server, and keeps what there is none for. Result files come from
elsewhere: what is no such line, or answers nothing that was asked, is counted and left out.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from rbrlang.grading.endpoint.account import RunOptions
from rbrlang.grading.endpoint.exchange import OF_THE_SHAPE, TRY_AGAIN, Sender
from rbrlang.grading.endpoint.pace import Patience
from rbrlang.grading.endpoint.remote import Garbled, encoded, parsed
from rbrlang.grading.endpoint.wire import MOST_BYTES, Reply, complaint
from rbrlang.grading.questions.specs import Secret
from rbrlang.grading.results import Invalid
from rbrlang.jsontext import at, mapping
from rbrlang.writing import replacing

if TYPE_CHECKING:
    import httpx

MOST_REQUESTS = 50_000
MOST_FILE = 200_000_000
"""Of one file, as OpenAI takes them."""
TRIES = 3
"""How often a request is asked that fails in a way that may pass."""
REQUESTS = "requests-*.jsonl"

R = TypeVar("R")


class BatchFolder:
    """The requests and results of a folder. `url` is where the requests go."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self._url = folder, url
        self.wanted: dict[str, bytes] = {}
        self.strange: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self._back: Counter[str] = Counter()
        self._found: dict[str, tuple[Path, int]] = {}
        self._succeeded: set[str] = set()
        self.scan()

    def scan(self) -> None:
        """Look again at what lies there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.wanted.clear()
        self.strange.clear()
        self._asked.clear()
        self._back.clear()
        self._found.clear()
        self._succeeded.clear()
        for file in self.requests():
            self._asked.update(name for _, plain in _lines(file) if isinstance(name := plain.get("custom_id"), str))
        for file in sorted(set(self.folder.glob("*.jsonl")) - set(self.requests())):
            for place, plain in _lines(file):
                name = plain.get("custom_id")
                if not isinstance(name, str) or ("response" not in plain and "error" not in plain):
                    self.strange["not lines of a result file"] += 1
                    continue
                if name not in self._asked:
                    self.strange["about requests of nobody here"] += 1
                    continue
                self._back[name] += 1
                success = at(plain, "response", "status_code") == 200
                if success or name not in self._succeeded:  # of several, the last success
                    self._found[name] = file, place
                if success:
                    self._succeeded.add(name)

    def requests(self) -> list[Path]:
        """The request files, in the order in which they were written."""
        return sorted(self.folder.glob(REQUESTS))

    def unanswered(self, file: Path) -> list[str]:
        """The requests of a file that have no result yet."""
        names = (plain.get("custom_id") for _, plain in _lines(file))
        return [name for name in names if isinstance(name, str) and self._open(name)]

    def _open(self, name: str) -> bool:
        return self._back[name] < self._asked[name]

    def fresh(self) -> list[bytes]:
        """What is wanted and stands in no request file, or came back from all of them without an answer."""
        return [body for name, body in self.wanted.items() if not self._open(name)]

    def last_round(self, body: bytes) -> bool:
        """Whether a request that failed is not asked again."""
        return self._asked[_name(body)] >= TRIES

    def reply(self, body: bytes) -> Reply | Invalid | None:
        """What came back to a request: a reply, why there is none, or None where nothing did."""
        name = _name(body)
        place = self._found.get(name)
        if place is None or (self._open(name) and name not in self._succeeded):
            return None
        with open(place[0], "rb") as file:
            file.seek(place[1])
            plain = parsed(file.readline(2 * MOST_BYTES))
        if isinstance(plain, Garbled):  # the file has changed since it was looked at
            return Invalid("malformed", "the line of the result file is not complete JSON")
        status, answer = at(plain, "response", "status_code"), at(plain, "response", "body")
        if isinstance(status, int) and not isinstance(status, bool) and answer is not None:
            return Reply(status, encoded_reply(answer), None)
        said = at(plain, "error", "message")
        return Invalid(
            "transport", " ".join(said.split())[:300] if isinstance(said, str) else "the batch has no answer to it"
        )

    def write(self, bodies: Sequence[bytes]) -> list[Path]:
        """Write request files for these bodies, as many as their limits demand. A file is there whole or not at all."""
        written: list[Path] = []
        number = len(self.requests())
        path = urlsplit(self._url).path
        lines = (
            b'{"custom_id":"%s","method":"POST","url":%s,"body":%s}\n'
            % (_name(body).encode(), json.dumps(path).encode(), body)
            for body in bodies
        )
        for some in _packed(lines):
            number += 1
            file = self.folder / f"requests-{number:04d}.jsonl"
            with replacing(file) as out:
                out.writelines(some)
            written.append(file)
        return written


class Replay(Sender):
    """A `Sender` whose replies are those of a folder. What it has none for is `wanted` there, and has no answer."""

    def __init__(self, url: str, key: Secret, options: RunOptions, folder: BatchFolder) -> None:
        super().__init__(url, key, options)
        self._folder, self._secret = folder, key

    def foresee(self, bodies: Sequence[bytes]) -> None:
        """All that an ask will send, where one reply that is missing would hide the others."""
        for body in bodies:
            if self._folder.reply(body) is None:
                self._folder.wanted[_name(body)] = body

    def failed(self, reason: str) -> None:
        """No failure says anything of the next request: all of them were answered long ago."""

    async def exchange(
        self,
        http: httpx.AsyncClient,
        body: bytes,
        read: Callable[[bytes], R | Garbled],
        patience: Patience,
        reshaped: Callable[[bytes, bytes], bytes | str | None] | None = None,
    ) -> R | Invalid:
        """See `Sender.exchange`."""
        while True:
            reply = self._folder.reply(body)
            if reply is None:
                self._folder.wanted[_name(body)] = body
                return Invalid("stopped", "its batch has no result yet")
            again = True
            if isinstance(reply, Invalid):
                failure = reply
            elif reply.status == 200:
                reading = read(reply.body)
                if not isinstance(reading, Garbled):
                    return reading
                failure = Invalid("malformed", reading.reason)
            else:
                other = reshaped(body, reply.body) if reshaped is not None and reply.status in OF_THE_SHAPE else None
                if isinstance(other, bytes):
                    body = other
                    continue
                again = reply.status in TRY_AGAIN
                said = complaint(reply, self._secret)
                failure = Invalid("transport" if again else "refused", said if other is None else f"{said} ({other})")
            if again and not self._folder.last_round(body):
                self._folder.wanted[_name(body)] = body
            return failure


def _name(body: bytes) -> str:
    """The name of a request: as unlikely to be another's as its body."""
    return "rbrc-" + hashlib.sha256(body).hexdigest()[:40]


def encoded_reply(answer: object) -> bytes:
    """The body of a reply as a server would have sent it; what is no object is read as text."""
    if mapping(answer) is None:
        return answer.encode(errors="replace") if isinstance(answer, str) else b""
    try:
        return encoded(answer)
    except (ValueError, RecursionError):  # NaN: the reader says what is wrong
        return json.dumps(answer).encode()


def _lines(file: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """The JSON objects of a file with their places; anything else is an empty one."""
    place = 0
    with open(file, "rb") as lines:
        while line := lines.readline(2 * MOST_BYTES):
            if line.strip():
                plain = parsed(line)
                yield place, {} if isinstance(plain, Garbled) else dict(plain)
            place += len(line)


def _packed(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Lines in files that keep their limits."""
    some: list[bytes] = []
    size = 0
    for line in lines:
        if some and (len(some) == MOST_REQUESTS or size + len(line) > MOST_FILE):
            yield some
            some, size = [], 0
        some.append(line)
        size += len(line)
    if some:
        yield some
