"""Where are answers kept, so that none is lost, and which of them are about what is asked today?

One file of SQLite: an answer is on the disk before the page hears of it (write-ahead log, synchronised at every commit). Answers are
added at the end, and the last of an annotator to a unit holds; undo takes the annotator's last one away. Several processes may work on
one file. Answers to a question or about a row that changed since stay in the file, and are told, never used.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator

from rbrlang.label.questions import Desk

SHARE = 0.2
"""Of prompts that are drawn at random where nothing else is said."""
_APPLICATION, _VERSION = 0x7262726C, 1  # "rbrl"
_SCHEMA = f"""
begin immediate;
pragma application_id = {_APPLICATION};
pragma user_version = {_VERSION};
create table if not exists labels (
  id integer primary key,
  annotator text not null,
  adjudicated integer not null,
  unit text not null,
  question text not null,
  asked text not null,
  value text not null
);
create table if not exists drawn (
  seed integer not null,
  share real not null,
  picked integer not null
);
create index if not exists labels_of on labels (annotator, adjudicated, id);
commit;
"""


class StoreError(ValueError):
    """A file that holds no answers to what is asked; the message says why."""


class Store:
    """The answers in a file, which is made where there is none. Raises `StoreError`."""

    def __init__(self, path: str, desk: Desk) -> None:
        self._desk = desk
        try:
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
            (own,) = self._db.execute("pragma application_id").fetchone()
            (version,) = self._db.execute("pragma user_version").fetchone()
            (tables,) = self._db.execute("select count(*) from sqlite_master").fetchone()
            if tables and (own, version) != (_APPLICATION, _VERSION):
                raise StoreError(f"`{path}` is a database of something else; name another file with `--db`")
            if not tables:
                os.chmod(path, 0o600)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
            self._db.executescript(_SCHEMA)
        except sqlite3.OperationalError as error:
            raise StoreError(f"`{path}` cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(f"`{path}` is no database; name another file with `--db`") from error

    def close(self) -> None:
        """Nothing more is asked of it."""
        self._db.close()

    def aside(self) -> list[str]:
        """What is kept of other questions and rows, in words. Raises `StoreError` where there is nothing else in the file."""
        digests = {question.name: question.digest for question in self._desk.questions}
        changed, gone, used = Counter[str](), 0, 0
        for unit, name, asked in self._db.execute("select unit, question, asked from labels"):
            if unit in self._desk.by_key:
                used += 1
            elif digests.get(name) != asked:
                changed[name] += 1
            else:
                gone += 1
        if not used and (changed or gone):
            raise StoreError(
                f"the {changed.total() + gone} labels in it are of another policy or other rows; name another file with `--db`"
            )
        found = [
            f"{count} label{'s' * (count != 1)} of `{name}` "
            + ("answer another text of the question" if name in digests else "answer no question of the policy")
            + "; kept aside"
            for name, count in sorted(changed.items())
        ]
        if gone:
            found.append(
                f"{gone} label{'s' * (gone != 1)} of rows that are not among these, or say something else now; kept aside"
            )
        return found

    def drawn(self, seed: int | None, share: float | None, *, picked: bool) -> tuple[int, float, bool]:
        """Seed and share that rows were first drawn by, which are these or the defaults, and whether rows were ever picked.

        Raises `StoreError` for others than those.
        """
        with self._db:
            self._db.execute("begin immediate")
            found = self._db.execute("select seed, share, picked from drawn").fetchone()
            if found is None:
                found = (seed or 0, SHARE if share is None else share, False)
                self._db.execute("insert into drawn values (?, ?, ?)", found)
            for name, given, kept in (("--seed", seed, found[0]), ("--random-share", share, found[1])):
                if given not in (None, kept):
                    raise StoreError(f"its rows were drawn with `{name} {kept:g}`, not {given:g}; leave `{name}` out")
            if picked:
                self._db.execute("update drawn set picked = 1")
        return found[0], found[1], bool(found[2]) or picked

    def save(self, annotator: str, unit: str, value: str, *, adjudicated: bool = False) -> None:
        """An answer is on the disk when this returns."""
        question = self._desk.questions[self._desk.units[self._desk.by_key[unit]].question]
        self._db.execute(
            "insert into labels (annotator, adjudicated, unit, question, asked, value) values (?, ?, ?, ?, ?, ?)",
            (annotator, adjudicated, unit, question.name, question.digest, value),
        )

    def undo(self, annotator: str, *, adjudicated: bool = False) -> str | None:
        """Take away the annotator's last answer to what is asked today; its unit, None where there is none."""
        last = self._db.execute(
            "select id, unit from labels where annotator = ? and adjudicated = ? order by id desc",
            (annotator, adjudicated),
        )
        for number, unit in last.fetchall():
            if unit in self._desk.by_key:
                self._db.execute("delete from labels where id = ?", (number,))
                return unit
        return None

    def of(self, annotator: str, *, adjudicated: bool = False) -> dict[str, str]:
        """What somebody answered, by unit."""
        return {unit: value for unit, who, value in self._answers(adjudicated) if who == annotator}

    def everybody(self) -> dict[str, dict[str, str]]:
        """What annotators answered, by unit."""
        found: dict[str, dict[str, str]] = {}
        for unit, who, value in self._answers(False):
            found.setdefault(unit, {})[who] = value
        return found

    def adjudicated(self) -> dict[str, str]:
        """What was decided where annotators differ, by unit."""
        return {unit: value for unit, _, value in self._answers(True)}

    def _answers(self, adjudicated: bool) -> Iterator[tuple[str, str, str]]:
        query = "select unit, annotator, value from labels where adjudicated = ? order by id"
        return (one for one in self._db.execute(query, (adjudicated,)) if one[0] in self._desk.by_key)
