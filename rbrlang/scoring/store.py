"""Where do a run's completions stay, so that an edited policy can reward them again without a new grading?

A folder of Parquet files that is only ever added to. Each part is written beside its place and renamed, so a
reader, or a run that was killed, never meets half of one. `read_rows` reads the folder like one file of rows:

    rbrc score edited.rbrc run/rollouts -o rescored.jsonl --grader rows

| column | is |
| --- | --- |
| `id` | unique in the folder: the run, and a running number |
| `run`, `step` | a name drawn when the store was opened, and the caller's number |
| `prompt`, `completion` | chat messages, with thoughts as `reasoning_content` and calls of tools as `tool_calls` |
| `response_type`, `category`, `base_reward` | as the rollout said, null where it did not |
| each column that questions name | what the row said there, null where it had no text |
| `probs` | P(yes) of every proposition that was answered, and under `variable.value` how likely the values of scales and choices are |
| `grader`, `fingerprint` | who answered, and under which policy |
| `reward`, `rule_reward`, `likely_class`, `valid`, `reason` | what the policy of that time said |

A completion that could not be read has no row. A row that Parquet cannot hold is set aside, and the others of its
part are written: it stands in `unwritten-RUN.txt` beside the parts, one JSON object a line with its `id`, `step`,
`reason` and what it holds as text. Needs the extra `parquet`.
"""

from __future__ import annotations

import io
import json
import logging
import math
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import rbrlang
from rbrlang.logic.circuit import Circuit
from rbrlang.rows.cells import cells
from rbrlang.rows.conversation import Call, Turn
from rbrlang.rows.read import Row
from rbrlang.scoring.columns import Rollout, Unusable
from rbrlang.scoring.metrics import likely_class
from rbrlang.scoring.score import Scores
from rbrlang.writing import sync_folder, write_bytes

_log = logging.getLogger("rbrlang")


# What pyarrow raises for a value that its column cannot hold: its own errors are ValueErrors and TypeErrors too.
_REFUSALS = (ValueError, TypeError, OverflowError)


class RolloutStore:
    """A folder that rollouts are added to; several processes may add to one, each with a store of its own.

    `grader` names who answers. Parts have at least `part` rows; what is not yet in one is written by `flush`, at
    the end of a `with` block, and lost with a process that is killed. Raises OSError, and ImportError without
    pyarrow.
    """

    def __init__(self, folder: str | os.PathLike[str], circuit: Circuit, grader: str, *, part: int = 1024) -> None:
        try:
            import pyarrow
        except ImportError:
            raise ImportError("a rollout store needs the extra `parquet`: pip install 'rbrlang[parquet]'") from None
        self.run = secrets.token_hex(4)
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        sync_folder(self._folder.parent)
        self._circuit, self._grader, self._part = circuit, grader, part
        self._rows: list[dict[str, Any]] = []
        self._unwritten: list[dict[str, Any]] = []
        self._count = 0
        text, number = pyarrow.string(), pyarrow.float64()
        function = pyarrow.struct([("name", text), ("arguments", text)])
        calls = pyarrow.list_(pyarrow.struct([("type", text), ("function", function)]))
        messages = pyarrow.list_(pyarrow.struct([
            ("role", text), ("content", text), ("reasoning_content", text), ("tool_calls", calls), ("name", text),
            ("is_error", pyarrow.bool_()),
        ]))  # fmt: skip
        self._schema = pyarrow.schema(
            [
                ("id", text), ("run", text), ("step", pyarrow.int64()), ("prompt", messages), ("completion", messages),
                ("response_type", text), ("category", text), ("base_reward", number),
                ("probs", pyarrow.map_(text, number)), ("grader", text), ("fingerprint", text), ("reward", number),
                ("rule_reward", number), ("likely_class", text), ("valid", pyarrow.bool_()), ("reason", text),
                *((name, text) for name in circuit.columns),
                *([("rubric_probs", text)] if circuit.rubrics else []),
            ],
            metadata={"rbrlang": rbrlang.__version__},
        )  # fmt: skip

    def __enter__(self) -> RolloutStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def add(self, step: int, rollouts: Sequence[Rollout], scores: Scores) -> None:
        """Keep the completions of a step with their scores."""
        for at, rollout in enumerate(rollouts):
            if not isinstance(rollout, Unusable):
                self._rows.append(self._row(step, rollout, scores, at))
        if len(self._rows) >= self._part:
            self.flush()

    def flush(self) -> None:
        """Write what is not yet in a part. Raises OSError; what could not be written is kept."""
        if not self._rows:
            return
        import pyarrow
        import pyarrow.parquet as parquet

        try:
            table = pyarrow.Table.from_pylist(self._rows, schema=self._schema)
        except _REFUSALS:
            self._set_aside()
            table = pyarrow.Table.from_pylist(self._rows, schema=self._schema)
        if self._rows:
            sink = io.BytesIO()
            parquet.write_table(table, sink, compression="zstd")
            last = max((int(p.name[:8]) for p in self._folder.glob("[0-9]" * 8 + "-*.parquet")), default=-1)
            # The run's name keeps two processes that chose the same number apart.
            write_bytes(self._folder / f"{last + 1:08d}-{self.run}.parquet", sink.getvalue())
        self._rows.clear()

    def _set_aside(self) -> None:
        """Take the rows that Parquet cannot hold out of those to be written. Raises OSError."""
        import pyarrow

        kept: list[dict[str, Any]] = []
        aside: list[dict[str, Any]] = []
        for row in self._rows:
            try:
                pyarrow.Table.from_pylist([row], schema=self._schema)
                kept.append(row)
            except _REFUSALS as error:
                aside.append({"id": row["id"], "step": str(row["step"]), "reason": str(error), "row": repr(row)})
        lines = [json.dumps(row) + "\n" for row in (*self._unwritten, *aside)]
        write_bytes(self._folder / f"unwritten-{self.run}.txt", "".join(lines).encode("ascii"))
        self._unwritten += aside
        self._rows = kept
        for row in aside:
            _log.warning("rollout %s of step %s was not stored: %s", row["id"], row["step"], row["reason"])

    def _row(self, step: int, row: Row, scores: Scores, at: int) -> dict[str, Any]:
        self._count += 1
        probs = [*zip(self._circuit.propositions, scores.probs[at].tolist(), strict=True)]
        probs += [(f"{name}.{value}", p) for name, of in scores.values[at].items() for value, p in of.items()]
        return {
            "id": f"{self.run}-{self._count}",
            "run": self.run,
            "step": step,
            "prompt": [_message(turn) for turn in row.prompt],
            "completion": [_message(turn) for turn in row.completion],
            "response_type": _said(row.response_type),
            "category": _said(row.category),
            "base_reward": row.base_reward,
            "probs": [(name, p) for name, p in probs if math.isfinite(p)],
            "grader": self._grader,
            "fingerprint": self._circuit.fingerprint,
            "reward": _number(scores.rewards[at]),
            "rule_reward": _number(scores.contributions[at, 1:].sum()),
            "likely_class": likely_class(scores, at),
            "valid": scores.reasons[at] is None,
            "reason": _said(scores.reasons[at]),
            **{
                name: _said(cell) if isinstance(cell, str) else None
                for name, cell in cells(row.raw, self._circuit.columns)
            },
            **_criteria(row, scores.met[at], self._circuit),
        }


def _criteria(row: Row, met: Mapping[str, Sequence[float | None]], circuit: Circuit) -> dict[str, str | None]:
    """What a row says of rubrics, as JSON in columns of text: that is read back as it was."""
    if not circuit.rubrics:
        return {}
    told = {rubric.column: row.raw.get(rubric.column) for rubric in circuit.rubrics}
    found = {name: value if isinstance(value, str) else _json(value) for name, value in told.items()}
    return {name: _said(text) for name, text in found.items()} | {"rubric_probs": _json(dict(met)) if met else None}


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _message(turn: Turn) -> dict[str, Any]:
    calls = (Call(_clean(call.name), _clean(call.arguments)) for call in turn.calls)
    clean = replace(
        turn, text=_clean(turn.text), thought=_clean(turn.thought), name=_clean(turn.name), calls=tuple(calls)
    )
    thought = {"reasoning_content": clean.thought} if turn.role == "assistant" else {}
    return {**clean.to_json(), **thought}


def _clean(text: str) -> str:
    """Text as UTF-8 can hold it: half of a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _said(text: str | None) -> str | None:
    return None if text is None else _clean(text)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
