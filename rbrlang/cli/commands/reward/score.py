"""`rbrc score OUT.rbrc ROWS -o OUT`: rewards for graded rows."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbrlang.cli import guide
from rbrlang.cli import options as shared
from rbrlang.cli.commands.grading.told import Told
from rbrlang.cli.python import allow_python, python_argument
from rbrlang.cli.terminal import warn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rbrlang.cli.data import UnknownTypes
    from rbrlang.engines.jobs import Done
    from rbrlang.reward.kept.artefact import Artefact
    from rbrlang.reward.rubrics import Noted
    from rbrlang.rows.columns import Names
    from rbrlang.rows.formats import Kind
    from rbrlang.rows.pieces import Piece
    from rbrlang.rows.plain import Plain
    from rbrlang.rows.read import Block, Row
    from rbrlang.scoring.correct import Correction
    from rbrlang.scoring.rewarding import Rewarded


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc score`."""
    parser.add_argument("artefact", metavar="OUT.rbrc", help="a compiled or fitted policy")
    shared.require_key_argument(parser)
    python_argument(parser)
    parser.add_argument("rows", metavar="ROWS", help=f"rows: {shared.ROWS}; `-` is standard input")
    parser.add_argument(
        "-o", "--output", metavar="OUT", required=True, help="where to write the rows, `-` for standard output"
    )
    parser.add_argument("--bounds", action="store_true", help="add `reward_bounds` over what is unknown")
    parser.add_argument(
        "--correct", metavar="FILE",
        help="add `corrected_reward`, whose mean is that of a grader without the mistakes that `rbrc agree --format json` "
        "measured, and `corrected_variance`, what that costs",
    )  # fmt: skip
    shared.lazy_argument(parser)
    shared.seed_argument(parser, shared.OF_A_GRADER)
    shared.grader_arguments(parser)
    shared.row_arguments(parser)
    shared.engine_arguments(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Score every row; 3 when some got no reward."""
    artefact = shared.artefact(options.artefact, options.require_key)
    from rbrlang.cli import data
    from rbrlang.cli.commands.reward import score_tables
    from rbrlang.cli.graders import keep_answers
    from rbrlang.reward.rounding import said

    keep_answers(options, options.output)
    data.check_output(options.output)
    tally = Scored(data.UnknownTypes())
    names = data.names(options, artefact.circuit)
    schema = score_tables.schema(options, artefact.circuit, names)
    rows, bad = data.through(options, Score(options, artefact, names, schema), tally)
    tally.unknown.tell(options.rows, artefact.circuit.response_names)
    if tally.hidden:
        warn(said(tally.hidden, rows))
    warn(f"scored {rows - tally.invalid} of {rows} rows")
    tally.told.tell(options.cache)
    for line in () if tally.noted is None else tally.noted.lines():
        warn(line)
    for line in tally.corrected.lines() if options.correct else ():
        warn(line)
    if tally.invalid:
        what = "row has" if tally.invalid == 1 else "rows have"
        warn(f"{tally.invalid} {what} no reward; the first, {tally.first}")
        if options.grader == "rows" and not tally.answered:
            warn("no row carries `probs`; name a grader with `--grader`")
    if not tally.invalid:
        guide.after_score(options)
    return data.EXIT_SOME_INVALID if tally.invalid or bad else 0


@dataclass(slots=True)
class Scored:
    """What is said of a block's rows, and of all of them."""

    unknown: UnknownTypes
    told: Told = field(default_factory=Told)
    invalid: int = 0
    first: str = ""
    hidden: int = 0
    answered: bool = False
    noted: Noted | None = None
    corrected: Means = field(default_factory=lambda: Means())

    def add(self, more: Scored) -> None:
        """Those of later rows."""
        self.unknown.update(more.unknown)
        self.told.add(more.told)
        self.first = self.first or more.first
        self.invalid += more.invalid
        self.hidden += more.hidden
        self.answered = self.answered or more.answered
        self.corrected.add(more.corrected)
        if self.noted is None:
            self.noted = more.noted
        elif more.noted is not None:
            self.noted.add(more.noted)


@dataclass(slots=True)
class Means:
    """Sums over the rows that have both rewards, plain and corrected."""

    rows: int = 0
    plain: float = 0.0
    squares: float = 0.0
    corrected: float = 0.0
    variance: float = 0.0

    def add(self, more: Means) -> None:
        """Those of later rows."""
        self.rows += more.rows
        self.plain += more.plain
        self.squares += more.squares
        self.corrected += more.corrected
        self.variance += more.variance

    def lines(self) -> list[str]:
        """What is said of them."""
        if not self.rows:
            return ["no row has a corrected reward: each needs an answer to all that its response type reads"]
        plain, corrected = self.plain / self.rows, self.corrected / self.rows
        apart = math.sqrt(max(self.squares / self.rows - plain * plain, 0.0))
        by_mistakes = math.sqrt(max(self.variance / self.rows, 0.0))
        noise = f"a corrected reward is off by about {by_mistakes:.3g} (standard deviation, from these mistakes)"
        return [
            f"corrected {self.rows} rows: mean reward {plain:.4g} as graded, {corrected:.4g} without the grader's mistakes",
            f"{noise}; the rewards as graded lie {apart:.3g} apart",
        ]


class Score:
    """The job: rows with probabilities, or a grader's, to rows with rewards.

    `schema` is that of the output where a table becomes a table and its columns stay as they came.
    """

    def __init__(self, options: argparse.Namespace, artefact: Artefact, names: Names, schema: Any = None) -> None:
        self.names = names
        self._options, self._artefact, self._schema = options, artefact, schema
        self._bounded = options.bounds or options.lazy is not None
        self._correction: Correction | None = None
        # Probabilities that are taken as they stand need no row, but criteria do, and what compares with a column.
        self._as_they_stand = (
            options.grader == "rows" and options.calibration is None and options.lazy is None
            and artefact.calibration is None and not artefact.circuit.rubrics and options.correct is None
            and not any(atom.columns for atom in artefact.circuit.atoms[artefact.circuit.measures])
        )  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        return Score, (self._options, self._artefact, self.names, self._schema)

    @property
    def about(self) -> str:
        """The policy's sources, however they were reached, its weights and corrections."""
        from rbrlang.engines.jobs import digest

        artefact = self._artefact
        rates = None if self._options.correct is None else Path(self._options.correct).read_bytes()
        return digest(artefact.sources, artefact.params, artefact.weights.tobytes(), artefact.calibration, rates)

    def open(self, first: Piece | None = None) -> None:
        """Make the reward and the grader. Raises `UserError`."""
        from rbrlang.cli.graded import Lazily
        from rbrlang.cli.graders import Grading
        from rbrlang.reward.numpy import NumpyReward
        from rbrlang.rows.read import blocks
        from rbrlang.rows.write import output_format
        from rbrlang.scoring.rewarding import Rewarding

        options = self._options
        allow_python(options, self._artefact.circuit)
        reward = NumpyReward.from_artefact(self._artefact)
        lazily = None if options.lazy is None else Lazily(reward, options.lazy)
        self._correction, measured = _correction(options, self._artefact)

        def suits(grader: str) -> None:
            if self._correction is not None:
                _same_grader(options=options, said=measured, grader=grader)

        self._grading = Grading(options, self._artefact, lazily=lazily, suits=suits)
        self._rewarding = Rewarding(reward, bounds=self._bounded, settled=options.lazy or 0.0)
        self._kind: Kind = output_format(options.output).kind
        if first is not None:
            self._grading.prepare([row for block in blocks(first, self.names) for row in block.rows])

    def read(self, piece: Piece) -> Iterable[Block | Plain]:
        """The piece's rows, by columns where that can be."""
        from rbrlang.rows.plain import plain
        from rbrlang.rows.read import blocks

        found = plain(piece, self.names) if self._as_they_stand else None
        return blocks(piece, self.names) if found is None else (found,)

    def finish(self, block: Block | Plain) -> Done:
        """The rows with their rewards."""
        from rbrlang.rows.read import Block

        return self._one_by_one(block) if isinstance(block, Block) else self._by_columns(block)

    def _one_by_one(self, block: Block) -> Done:
        import numpy as np

        from rbrlang.engines.jobs import Done
        from rbrlang.reward.rubrics import noted, spans
        from rbrlang.rows.write import encoded, fitting

        graded = self._grading(block.rows)
        rows, reward = graded.rows, self._rewarding.reward
        atoms, ids = reward.encode(rows), reward.response_ids(rows)
        base = np.array([0.0 if row.base_reward is None else row.base_reward for row in rows], np.float64)
        rubrics = self._artefact.circuit.rubrics
        found = self._rewarding(atoms, ids, base, spans(self._artefact.circuit, rows) if rubrics else None)
        reasons = self._reasons(found, atoms, base, dict(enumerate(rows)))
        corrected = None if self._correction is None else self._correction(atoms, ids, base)
        out: list[dict[str, Any]] = []
        for at, columns in enumerate(self._columns(found, reasons)):
            row = rows[at]
            if corrected is not None:
                columns["corrected_reward"] = _number(float(corrected.total[at]))
                columns["corrected_variance"] = _number(float(corrected.variance[at]))
            if row.klass is not None:
                columns["intended_class"] = row.klass
            if self._schema is not None:
                columns["probs"] = row.raw.get("probs")  # as it came
            out.append(graded.row(at, **columns))
        tally = self._tally(found, reasons, {at: rows[at] for at in reasons})
        tally.told, tally.answered = Told.of(graded), any(row.probs for row in rows)
        if corrected is not None:
            both = np.isfinite(corrected.total) & np.isfinite(found.total)
            plain = found.total[both].astype(np.float64)
            tally.corrected = Means(
                int(both.sum()), float(plain.sum()), float((plain * plain).sum()), float(corrected.total[both].sum()),
                float(corrected.variance[both].sum()),
            )  # fmt: skip
        tally.noted = noted(self._artefact.circuit, ids.tolist(), rows) if rubrics else None
        made = encoded(self._kind, out, exact=block.exact) if self._schema is None else fitting(self._schema, out)
        return Done(made, len(out), block.bad, tally)

    def _by_columns(self, block: Plain) -> Done:
        import numpy as np

        from rbrlang.engines.jobs import Done
        from rbrlang.rows.write import Encoded, encoded
        from rbrlang.scoring.plain import encode, response_ids

        circuit = self._artefact.circuit
        atoms, ids = encode(circuit, block), response_ids(circuit, block)
        base = np.nan_to_num(block.base, nan=0.0)
        found = self._rewarding(atoms, ids, base)
        at = np.flatnonzero(~np.isfinite(found.total))
        lost = dict(zip(at.tolist(), block.rows(at), strict=True))
        reasons = self._reasons(found, atoms, base, lost)
        tally = self._tally(found, reasons, lost)
        tally.answered = bool(block.probs)
        if self._schema is not None:
            made = Encoded(self._batch(block, found, reasons), Counter())
        else:
            out: list[dict[str, Any]] = []
            for row, columns in zip(block.objects(), self._columns(found, reasons), strict=True):
                if row.get("class"):
                    columns["intended_class"] = row["class"]
                out.append({"id": None, **row, "probs": row.get("probs") or {}, **columns})
            made = encoded(self._kind, out, exact=block.exact)
        return Done(made, len(block), (), tally)

    def _reasons(
        self, found: Rewarded, atoms: NDArray[np.float32], base: NDArray[np.float64], rows: Mapping[int, Row]
    ) -> dict[int, str]:
        from rbrlang.reward import rubrics
        from rbrlang.reward.measure import silences
        from rbrlang.scoring.columns import unknown_response

        said: dict[int, str] = {}
        for at, reason in self._rewarding.reasons(atoms, found, base).items():
            why = reason if found.ids[at] >= 0 else unknown_response(rows[at], self._artefact.circuit)
            of_rubrics = rubrics.reasons(self._artefact.circuit, int(found.ids[at]), rows[at])
            of_functions = silences(self._artefact.circuit, int(found.ids[at]), rows[at].conversation)
            said[at] = "; ".join(filter(None, (why, *of_rubrics, *of_functions, rows[at].conversation.silence())))
        return said

    def _tally(self, found: Rewarded, reasons: Mapping[int, str], rows: Mapping[int, Row]) -> Scored:
        from rbrlang.cli.data import UnknownTypes

        unknown = UnknownTypes()
        unknown.add(list(rows.values()), [int(found.ids[at]) for at in rows])
        first = next((f"{rows[at].raw.get('id', rows[at].id)}: {reason}" for at, reason in reasons.items()), "")
        return Scored(unknown, Told(), len(reasons), first, found.hidden)

    def _columns(self, found: Rewarded, reasons: Mapping[int, str]) -> Iterator[dict[str, Any]]:
        """What is added to each row."""
        names = [response.classes for response in self._artefact.circuit.responses]
        arrays = (found.total, found.rules, found.classes, found.ids, found.best, found.low, found.high)
        for at, (total, rules, classes, number, best, low, high) in enumerate(
            zip(*(array.tolist() for array in arrays), strict=True)
        ):
            of = names[number] if number >= 0 else ()
            probs = (
                dict(zip(of, classes, strict=False)) if best >= 0
                else {name: _number(p) for name, p in zip(of, classes, strict=False)}
            )  # fmt: skip
            reason = reasons.get(at)
            columns: dict[str, Any] = {
                "reward": total if reason is None else None, "rule_reward": _number(rules), "class_probs": probs,
                "class": of[best] if best >= 0 else None, "valid": reason is None, "reason": reason,
            }  # fmt: skip
            if self._bounded:
                columns["reward_bounds"] = [_number(low), _number(high)]
            yield columns

    def _batch(self, block: Plain, found: Rewarded, reasons: Mapping[int, str]) -> Any:
        """The record batch with its rewards."""
        from rbrlang.cli.commands.reward.score_tables import batch

        return batch(self._artefact.circuit, self._schema, block, found, reasons)


def _correction(options: argparse.Namespace, artefact: Artefact) -> tuple[Correction | None, str | None]:
    """What `--correct` says, and whose mistakes they are, as far as the file tells. Raises `UserError`, OSError."""
    if options.correct is None:
        return None, None
    from rbrlang.cli.commands.reward.eval import agreement_in, measured
    from rbrlang.cli.errors import UsageError
    from rbrlang.scoring.correct import Correction, CorrectionError

    if options.grader == "labels" or options.lazy is not None:
        what = "labels have no such mistakes" if options.grader == "labels" else "`--lazy` leaves answers out"
        raise UsageError(f"`--correct` takes a grader's mistakes out of its answers, and {what}")
    plain = agreement_in("--correct", options.correct)
    rates, _ = measured("--correct", options.correct, plain, artefact.circuit)
    try:
        found = Correction(artefact.circuit, artefact.weights, rates)
    except CorrectionError as error:
        raise UsageError(f"`--correct {options.correct}`: {error}") from error
    if found.declared:
        names = ", ".join(f"`{name}`" for name in found.declared[:5]) + (" …" if len(found.declared) > 5 else "")
        warn(
            f"no rates were measured of {len(found.declared)} propositions ({names}): `@noise` of the policy stands in, "
            "0 without it"
        )
    grader = plain.get("grader")
    return found, grader if isinstance(grader, str) else None


def _same_grader(*, options: argparse.Namespace, said: str | None, grader: str) -> None:
    """Whether rates are of the grader that they are to correct; heads may have been judged by cross-validation. Raises `UserError`."""
    from rbrlang.cli.errors import UsageError
    from rbrlang.grading.judge import same

    if (
        said is None
        or same(said, grader)
        or (said.startswith("embedded, cross-validated") and grader.startswith("embedded "))
    ):
        return
    raise UsageError(
        f"`--correct {options.correct}` holds the mistakes of `{said}`, and these answers are of `{grader}`: measure that one, "
        "`rbrc agree … --format json`"
    )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
