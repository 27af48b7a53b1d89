"""How are request files submitted once, whatever kills whom, and their results fetched?

`/files` and `/batches` as OpenAI has them (https://platform.openai.com/docs/api-reference/batch) and others after it: upload a
file, create a batch of it, look at it now and then, fetch its output and its errors. What is known of each file stands in
`batches.json`, replaced at once before and after every step. Whoever was killed while a batch was created finds it by its
uploaded file in the server's list; where there is no list, nothing is submitted a second time without a word of the user.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rbrlang.errors import UserError
from rbrlang.grading.endpoint.account import RunOptions
from rbrlang.grading.endpoint.batchfiles import BatchFolder
from rbrlang.grading.endpoint.exchange import TRY_AGAIN
from rbrlang.grading.endpoint.pace import backoff
from rbrlang.grading.endpoint.remote import Garbled, encoded, parsed
from rbrlang.grading.endpoint.wire import Lost, Reply, clients, complaint, get, post, upload, waited
from rbrlang.grading.questions.specs import Secret
from rbrlang.jsontext import at, listed, mapping
from rbrlang.writing import write_bytes

if TYPE_CHECKING:
    import httpx

_STATE = "batches.json"
_MOST_RESULTS = 2_000_000_000
_TRANSFER_SECONDS = 1800.0
_NONE_HERE = frozenset({404, 405, 501})
_ENDED = frozenset({"completed", "expired", "cancelled"})
_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")


class BatchError(UserError):
    """A batch cannot go on; the message says why, and what to do."""


class NoBatches(BatchError):
    """The server has no `/files` or `/batches`."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What is known of a request file: the `file` that it was uploaded as, whether its batch was being created, the `batch`
    and its last `status`; `fetched` where its results lie in the folder."""

    digest: str
    file: str = ""
    creating: bool = False
    batch: str = ""
    status: str = ""
    fetched: bool = False


class Batches:
    """The batches of a folder's request files at one server. `on_status` is told of every change."""

    def __init__(
        self, folder: BatchFolder, url: str, key: Secret, options: RunOptions, on_status: Callable[[str], object]
    ) -> None:
        self._folder, self._key, self._options, self._tell = folder, key, options, on_status
        self._root = url.removesuffix("/chat/completions")
        self._endpoint = urlsplit(url).path
        self._random = Random(options.seed)
        self._known = self._read()

    def settle(self) -> None:
        """Submit what was not, wait until all batches have ended, and put their results into the folder.

        Raises `BatchError`, also where it has to be called again.
        """
        waited(self._settle)

    async def _settle(self) -> None:
        (http,) = clients(1)
        async with http:
            files = [file for file in self._folder.requests() if not self._of(file).fetched]
            for file in files:
                await self._submit(http, file)
            looks = 0
            while files:
                left = [file for file in files if not await self._fetched(http, file)]
                looks = looks + 1 if left == files else 0
                files = left
                if files:
                    await asyncio.sleep(
                        backoff(min(looks, 10), self._options.first_wait, self._options.longest_wait, self._random)
                    )

    # --- one file ---

    async def _submit(self, http: httpx.AsyncClient, file: Path) -> None:
        known = self._of(file)
        if known.batch:
            return
        if not known.file:
            send = partial(
                upload, http, f"{self._root}/files", self._key, file.name, file.read_bytes(), _TRANSFER_SECONDS
            )  # fmt: skip
            plain = await self._asked(send, "upload", of_all=True)
            known = self._keep(file, replace(known, file=_id(plain, "id", f"{self._root}/files")))
        elif known.creating and (found := await self._listed(http, known.file, file)):
            self._keep(file, replace(known, batch=found, creating=False))
            return
        known = self._keep(file, replace(known, creating=True))
        body = {"input_file_id": known.file, "endpoint": self._endpoint, "completion_window": "24h"}
        reply = await post(http, f"{self._root}/batches", self._key, encoded(body), self._options.timeout)
        if isinstance(reply, Lost) or reply.status in TRY_AGAIN:
            why = reply.reason if isinstance(reply, Lost) else complaint(reply, self._key)
            raise BatchError(
                f"it is not known whether the batch of `{file.name}` was created: {why}; the same command looks for it"
            )
        if reply.status not in (200, 201):
            self._keep(file, replace(known, creating=False))
            raise self._refused("create a batch", reply, of_all=True)
        known = self._keep(
            file, replace(known, creating=False, batch=_id(parsed(reply.body), "id", f"{self._root}/batches"))
        )
        self._tell(f"submitted `{file.name}` as {known.batch}")

    async def _listed(self, http: httpx.AsyncClient, uploaded: str, file: Path) -> str | None:
        """The batch that was made of an uploaded file, if one was."""
        after = ""
        while True:
            url = f"{self._root}/batches?limit=100" + (f"&after={after}" if after else "")
            try:
                plain = await self._asked(partial(get, http, url, self._key, self._options.timeout), "list batches")
            except NoBatches:
                raise BatchError(
                    f"a batch of `{file.name}` may have been created, and the server does not list its batches; where there is "
                    f"none of the file `{uploaded}`, remove `{file.name}` from `{_STATE}`, and it is submitted again"
                ) from None
            every = listed(plain.get("data"))
            for one in every:
                if at(one, "input_file_id") == uploaded:
                    return _id(mapping(one), "id", url)
            if not every or plain.get("has_more") is not True:
                return None
            after = _id(mapping(every[-1]), "id", url)

    async def _fetched(self, http: httpx.AsyncClient, file: Path) -> bool:
        """Look at the batch of a file; whether it has ended and its results are in the folder."""
        known = self._of(file)
        url = f"{self._root}/batches/{known.batch}"
        plain = await self._asked(partial(get, http, url, self._key, self._options.timeout), f"look at {known.batch}")
        status = plain.get("status")
        if not isinstance(status, str):
            raise BatchError(f"`{url}` answers without a `status`")
        if status != known.status:
            known = self._keep(file, replace(known, status=status[:40]))
            self._tell(f"{known.batch} ({file.name}): {known.status}")
        if status == "failed":
            said = at(plain, "errors", "data", 0, "message")
            self._keep(file, replace(known, file="", batch="", status=""))
            raise BatchError(
                f"the batch of `{file.name}` failed before a request of it was answered"
                + (f": {' '.join(said.split())[:300]}" if isinstance(said, str) else "")
                + "; the same command submits it again"
            )
        if status not in _ENDED:
            return False
        number = file.stem.removeprefix("requests-")
        for field, kind in (("output_file_id", "results"), ("error_file_id", "errors")):
            if plain.get(field):
                place = f"{self._root}/files/{_id(plain, field, url)}/content"
                fetch = partial(get, http, place, self._key, _TRANSFER_SECONDS, _MOST_RESULTS)
                data = await self._reply(fetch, f"fetch {field}")
                write_bytes(self._folder.folder / f"{kind}-{number}.jsonl", data.body)
        self._fill(file, number, f"the batch is {status} and has no answer to it")
        self._keep(file, replace(known, fetched=True))
        return True

    def _fill(self, file: Path, number: str, why: str) -> None:
        """Give every request that came back in neither file a result: none."""
        self._folder.scan()
        lacking = self._folder.unanswered(file)
        if lacking:
            lines = (
                encoded({"custom_id": name, "response": None, "error": {"message": why}}) + b"\n" for name in lacking
            )
            write_bytes(self._folder.folder / f"lacking-{number}.jsonl", b"".join(lines))

    # --- what is known ---

    def _of(self, file: Path) -> Submitted:
        with open(file, "rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
        known = self._known.get(file.name)
        return known if known is not None and known.digest == digest else Submitted(digest)

    def _keep(self, file: Path, known: Submitted) -> Submitted:
        self._known[file.name] = known
        plain = {name: asdict(one) for name, one in self._known.items()}
        write_bytes(self._folder.folder / _STATE, json.dumps(plain, indent=1).encode() + b"\n")
        return known

    def _read(self) -> dict[str, Submitted]:
        path = self._folder.folder / _STATE
        try:
            return {name: Submitted(**one) for name, one in json.loads(path.read_bytes()).items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise BatchError(f"`{path}` cannot be read, and with it which batches run: {str(error)[:100]}") from error

    # --- exchanges ---

    async def _asked(
        self, send: Callable[[], Awaitable[Reply | Lost]], what: str, *, of_all: bool = False
    ) -> dict[str, object]:
        plain = parsed((await self._reply(send, what, of_all=of_all)).body)
        if isinstance(plain, Garbled):
            raise BatchError(f"cannot {what}: {plain.reason}")
        return dict(plain)

    async def _reply(self, send: Callable[[], Awaitable[Reply | Lost]], what: str, *, of_all: bool = False) -> Reply:
        """A reply with status 200 to a request that may be sent again. Raises `BatchError`."""
        reply: Reply | Lost = Lost("nothing was sent")
        for attempt in range(self._options.attempts):
            reply = await send()
            if isinstance(reply, Reply) and reply.status in (200, 201):
                return reply
            if isinstance(reply, Reply) and reply.status not in TRY_AGAIN:
                raise self._refused(what, reply, of_all=of_all)
            wait = backoff(attempt, self._options.first_wait, self._options.longest_wait, self._random)
            asked = reply.wait if isinstance(reply, Reply) else None
            await asyncio.sleep(max(wait, min(asked or 0.0, self._options.longest_wait)))
        why = reply.reason if isinstance(reply, Lost) else complaint(reply, self._key)
        raise BatchError(f"cannot {what}: {why} (tried {self._options.attempts} times); the same command goes on")

    def _refused(self, what: str, reply: Reply, *, of_all: bool = False) -> BatchError:
        said = complaint(reply, self._key)
        if reply.status in _NONE_HERE:
            return NoBatches(f"`{self._root}` takes no batches ({said})")
        return BatchError(f"cannot {what}: the server answers with {said}")


def _id(plain: object, field: str, where: str) -> str:
    """An id that a server gives, which goes into addresses."""
    found = at(plain, field)
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise BatchError(f"`{where}` answers without a usable `{field}`")
    return found
