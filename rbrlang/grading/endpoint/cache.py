"""Has this very question been answered before?

A SQLite file in write-ahead mode, one row for each exchange that gave a usable reading. The key is a hash
of the grader's identity and the exact bytes of the request, so whatever can change an answer (model,
prompt, layout, parameters, endpoint, version of the reading) is in it; the API key is not. Every answer
is committed by itself before it is counted, so a run that is killed has lost nothing that it had read.
Several processes may share one file.

Each row has a digest of key and answer. A row that is not as it was stored (an editor, a bad disk, an answer moved
under another key) counts as absent: it is asked again, and `notes` says so. The digest holds no secret, so whoever
can write the file and knows this program can still forge an answer. A file of format 1, which had no digests, gets
them when it is first opened, for its answers as they are.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import cast

from rbrlang.errors import UserError
from rbrlang.grading.endpoint.remote import Answered
from rbrlang.grading.results import Json, Usage, from_json, to_json
from rbrlang.jsontext import at, listed, whole

_APPLICATION = 0x52425243  # "RBRC": tells a cache from any other SQLite file
_FORMAT = 2
_WITHOUT_DIGESTS = 1


class CacheError(UserError):
    """The cache file cannot be used. The message says which, why, and what to do."""


def cache_key(identity: str, body: bytes) -> bytes:
    """The key of an exchange, 32 bytes."""
    return hashlib.sha256(len(identity.encode()).to_bytes(8, "big") + identity.encode() + body).digest()


def _digest(key: bytes, reading: bytes) -> bytes:
    return hashlib.sha256(b"rbr:answer:" + len(key).to_bytes(8, "big") + key + reading).digest()


class AnswerCache:
    """Answers by key; a context manager. `path` None keeps them in memory.

    `altered` counts the rows met so far that were not as they were stored, `adopted` those that got their digests on
    opening. Raises `CacheError` where the file is not such a cache, is damaged, or cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._name = str(path) if path is not None else ":memory:"
        self._altered: set[bytes] = set()
        self.adopted = 0
        try:
            # Autocommit: the commit of an answer is the moment from which it is not paid for again.
            # Whoever opened it waits while another thread uses it: see `wire.waited`.
            self._database = sqlite3.connect(self._name, timeout=30.0, isolation_level=None, check_same_thread=False)
            self._prepare()
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _prepare(self) -> None:
        database = self._database
        # One transaction, so that a second process meets either no cache or a whole one.
        database.execute("BEGIN IMMEDIATE")
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            database.execute(f"PRAGMA application_id={_APPLICATION}")
            database.execute(f"PRAGMA user_version={_FORMAT}")
            database.execute("CREATE TABLE answers (key BLOB PRIMARY KEY, reading TEXT, digest BLOB) WITHOUT ROWID")
        elif (application, version) == (_APPLICATION, _WITHOUT_DIGESTS):
            self._adopt()
            version = _FORMAT
        database.execute("COMMIT")
        if tables and application != _APPLICATION:
            raise self._unusable("is not an answer cache; name another file")
        if tables and version != _FORMAT:
            raise self._unusable(
                f"was written by another version of rbrlang (format {version}); name another file or delete this one"
            )
        database.execute("PRAGMA journal_mode=WAL")
        # In write-ahead mode this keeps every commit through a killed process; only a power cut may
        # lose the last ones.
        database.execute("PRAGMA synchronous=NORMAL")

    def _adopt(self) -> None:
        """Give the answers of a file without digests theirs."""
        database = self._database
        database.execute("ALTER TABLE answers ADD COLUMN digest BLOB")
        for (key,) in database.execute("SELECT key FROM answers").fetchall():
            (reading,) = database.execute("SELECT CAST(reading AS BLOB) FROM answers WHERE key = ?", (key,)).fetchone()
            database.execute("UPDATE answers SET digest = ? WHERE key = ?", (_digest(key, reading or b""), key))
            self.adopted += 1
        database.execute(f"PRAGMA user_version={_FORMAT}")

    @property
    def altered(self) -> int:
        """How many rows were met that are not as they were stored."""
        return len(self._altered)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the file, after a run."""
        found: list[str] = []
        if self.adopted:
            found.append(
                f"the answer cache `{self._name}` is of an older version, which kept no digests: its answers are taken as "
                f"they are, and changes from now on will be noticed (answers: {self.adopted})"
            )
        if self.altered:
            found.append(
                f"answers in the cache `{self._name}` that are not as they were stored were asked again: {self.altered}"
            )
        return tuple(found)

    def get(self, key: bytes) -> Answered | None:
        """The reading stored under a key. A row that cannot be read counts as absent."""
        plain = self.read(key)
        try:
            answers = tuple(from_json(cast(Json, answer)) for answer in listed(at(plain, "answers")))
        except (ValueError, TypeError):
            self._altered.add(key)
            return None
        prompt, completion, cached = (whole(at(plain, "usage", place)) for place in range(3))
        return Answered(answers, Usage(prompt, completion, cached)) if answers else None

    def put(self, key: bytes, reading: Answered) -> None:
        """Store a reading; on return it survives the end of the process, however it ends."""
        usage = [reading.usage.prompt, reading.usage.completion, reading.usage.cached]
        self.write(key, {"answers": [to_json(answer) for answer in reading.answers], "usage": usage})

    def read(self, key: bytes) -> object:
        """The JSON stored under a key, None where there is none that can be read."""
        try:
            # As bytes: what somebody put there need not be text.
            row = self._database.execute(
                "SELECT CAST(reading AS BLOB), digest FROM answers WHERE key = ?", (key,)
            ).fetchone()
        except sqlite3.Error as error:
            raise self._failure(error) from error
        if row is None:
            return None
        reading, digest = cast("tuple[object, object]", row)
        if not isinstance(reading, bytes) or digest != _digest(key, reading):
            self._altered.add(key)
            return None
        try:
            return cast(object, json.loads(reading))
        except (ValueError, RecursionError):
            self._altered.add(key)
            return None

    def write(self, key: bytes, plain: Json) -> None:
        """Store JSON; on return it survives the end of the process, however it ends."""
        reading = json.dumps(plain)
        row = key, reading, _digest(key, reading.encode())
        try:
            self._database.execute("INSERT OR REPLACE INTO answers (key, reading, digest) VALUES (?, ?, ?)", row)
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM answers").fetchone()[0])

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def _unusable(self, why: str) -> CacheError:
        self._database.close()
        return CacheError(f"`{self._name}` {why}")

    def _failure(self, error: sqlite3.Error) -> CacheError:
        return CacheError(
            f"cannot use the answer cache `{self._name}`: {str(error).lower()}; "
            "check the folder and its permissions, or delete the file to start afresh"
        )
