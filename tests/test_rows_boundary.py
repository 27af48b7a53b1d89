"""Whatever stands among good rows is a value or unusable for a reason: the others come out of every command."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from learning_rows import POLICY, artefact, noisy_rows
from serve_process import start

from rbrlang.cli.main import main
from rbrlang.jsontext import JsonError, parse, parse_bytes
from rbrlang.reward.kept.artefact import write_artefact
from rbrlang.rows.arrow import cells
from rbrlang.rows.formats import Broken, RowsError
from rbrlang.rows.read import read_rows, row_from
from rbrlang.rows.write import write_rows

GOOD = [dict(row.raw) | {"id": f"a good row {n}"} for n, row in enumerate(noisy_rows(6, 4, seed=1))]
IDS = {row["id"] for row in GOOD}
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.sampled_from([10**400, -(10**400), 1e300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=10,
)
COLUMNS = ["id", "prompt", "completion", "messages", "labels", "probs", "class", "category", "response_type",
           "base_reward", "chosen", "rejected", "features", "prompt_completion", "grader", "mine"]  # fmt: skip
ODD = JSON | st.dictionaries(st.sampled_from(COLUMNS), JSON, max_size=6) | st.builds(
    lambda column, value: {**GOOD[0], "id": "an odd one", column: value}, st.sampled_from(COLUMNS), JSON
)  # fmt: skip
SEEDS: tuple[Any, ...] = (
    {**GOOD[0], "id": 1, "base_reward": int("9" * 401)},
    {**GOOD[0], "id": 2, "mine": math.nan},
    {**GOOD[0], "id": "\ud800", "category": "\udfff", "response_type": None},
    {**GOOD[0], "id": 3, "base_reward": 1e38, "mine": [math.inf]},
    {**GOOD[0], "id": {"a": 1}},
    [[[[[[[[]]]]]]]],
)


def seeded(test: Any) -> Any:
    for seed in SEEDS:
        test = example(odd=seed, at=1)(test)
    return test


few = settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
many = settings(few, max_examples=60)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boundary")
    (folder / "p.rbr").write_text(POLICY.replace("REWARD", ""))
    write_artefact(folder / "p.rbrc", artefact())
    return folder


def among(place: Path, odd: Any, at: int) -> str:
    """A file of good rows with one other thing."""
    rows = [json.dumps(row) for row in GOOD]
    rows.insert(at, json.dumps(odd))
    path = place / "rows.jsonl"
    path.write_text("".join(row + "\n" for row in rows))
    return str(path)


def ids_of(path: Path) -> set[str]:
    return {row.id for row in read_rows(path).rows}


@seeded
@few
@given(odd=ODD, at=st.integers(0, len(GOOD)))
def test_grade_writes_the_others(place: Path, odd: Any, at: int) -> None:
    rows = among(place, odd, at)
    for name in ("out.jsonl", "out.parquet", "out.csv"):
        out = place / name
        assert main(["grade", str(place / "p.rbr"), rows, "-o", str(out), "--grader", "rows"]) in (0, 3)
        assert ids_of(out) >= IDS


@seeded
@few
@given(odd=ODD, at=st.integers(0, len(GOOD)))
def test_score_writes_the_others(place: Path, odd: Any, at: int) -> None:
    rows = among(place, odd, at)
    for name in ("out.json", "out.feather", "out.tsv"):
        out = place / name
        assert main(["score", str(place / "p.rbrc"), rows, "-o", str(out), "--bounds"]) in (0, 3)
        assert ids_of(out) >= IDS


@seeded
@few
@given(odd=ODD, at=st.integers(0, len(GOOD)))
def test_eval_and_fit_and_plan_use_the_others(
    place: Path, odd: Any, at: int, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = among(place, odd, at)
    commands = (
        ["eval", str(place / "p.rbrc"), rows, "--resamples", "10"],
        ["fit", str(place / "p.rbr"), rows, "-o", str(place / "fitted.rbrc"), "--bootstrap", "0"],
        ["plan", str(place / "p.rbr"), "--data", rows],
    )
    for command in commands:
        capsys.readouterr()
        assert main([*command, "--format", "json"]) in (0, 3), capsys.readouterr().err
        assert json.loads(capsys.readouterr().out)["rows"] >= len(GOOD)


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[httpx.Client]:
    with (
        start(place / "p.rbrc", "--grader", "python:serve_grader.steady") as running,
        httpx.Client(base_url=running.url) as client,
    ):
        yield client


@seeded
@many
@given(odd=ODD, at=st.integers(0, len(GOOD)))
def test_the_server_scores_the_others(server: httpx.Client, odd: Any, at: int) -> None:
    rows: list[Any] = [*GOOD[:at], without_nan(odd), *GOOD[at:]]
    reply = server.post("/score", content=json.dumps({"rows": rows}), headers={"Content-Type": "application/json"})
    assert reply.status_code == 200, reply.text
    found = reply.json()["rows"]
    assert len(found) == len(rows)
    assert {row["id"] for row in found if row["valid"]} >= IDS, {row["reason"] for row in found}


def without_nan(value: Any) -> Any:
    """NaN is no JSON, and a body with it is refused as a whole."""
    match value:
        case float():
            return value if math.isfinite(value) else 0.0
        case list():
            return [without_nan(one) for one in value]
        case dict():
            return {key: without_nan(one) for key, one in value.items()}
        case _:
            return value


# --- cells of Arrow -------------------------------------------------------------------------------


def union() -> pyarrow.Array:
    kinds = pyarrow.array([0, 1, 0], pyarrow.int8())
    return pyarrow.UnionArray.from_sparse(kinds, [pyarrow.array([1, 2, 3]), pyarrow.array(["a", "b", "c"])])


NOON = datetime.datetime(2024, 5, 1, 12, 0, 0, 250_000)
CELLS: Mapping[str, tuple[pyarrow.Array, list[Any]]] = {
    "moment": (pyarrow.array([NOON, None]), ["2024-05-01T12:00:00.25", None]),
    "zone": (pyarrow.array([NOON], pyarrow.timestamp("ms", "Europe/Berlin")), ["2024-05-01T12:00:00.25Z"]),
    "nanoseconds": (pyarrow.array([1, 10**18]).cast(pyarrow.timestamp("ns")),
                    ["1970-01-01T00:00:00.000000001", "2001-09-09T01:46:40"]),
    "day": (pyarrow.array([NOON.date()]), ["2024-05-01"]),
    "time": (pyarrow.array([NOON.time()]), ["12:00:00.25"]),
    "duration": (pyarrow.array([1500, None], pyarrow.duration("ms")), ["PT1.5S", None]),
    "interval": (pyarrow.array([pyarrow.MonthDayNano([1, 2, 3_000_000_000])]), ["P1M2DT3S"]),
    "decimal": (pyarrow.array([Decimal("1.10")], pyarrow.decimal128(10, 2)), [1.1]),
    "long decimal": (pyarrow.array([Decimal("1.10")], pyarrow.decimal128(30, 2)), ["1.10"]),
    "bytes": (pyarrow.array([b"text", b"\xff"]), ["text", "data:application/octet-stream;base64,/w=="]),
    "uuid": (pyarrow.array([bytes(16)], pyarrow.uuid()), ["00000000-0000-0000-0000-000000000000"]),
    "dictionary": (pyarrow.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
    "runs": (pyarrow.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"]), ["a", "a", "b"]),
    "mixed": (union(), [1, "b", 3]),
    "nested": (pyarrow.array([{"a": [{"b": NOON}]}, None, {"a": None}]),
               [{"a": [{"b": "2024-05-01T12:00:00.25"}]}, None, {"a": None}]),
    "map": (pyarrow.array([[("a", 1)], None, [("b", 2), ("c", 3)]], pyarrow.map_(pyarrow.string(), pyarrow.int8())),
            [{"a": 1}, None, {"b": 2, "c": 3}]),
    "fixed list": (pyarrow.array([[1, 2], None], pyarrow.list_(pyarrow.int8(), 2)), [[1, 2], None]),
    "half": (pyarrow.array([np.float16(0.5)]), [0.5]),
}  # fmt: skip


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_of_every_type_is_a_json_value(name: str) -> None:
    array, want = CELLS[name]
    assert cells(array) == want
    assert (
        cells(pyarrow.concat_arrays([array.slice(0, 1), array])[1:] if name not in ("mixed", "runs") else array) == want
    )
    json.dumps(want)


def test_a_cell_that_has_no_value_costs_its_row_only(tmp_path: Path) -> None:
    texts = pyarrow.Array.from_buffers(
        pyarrow.string(), 2, [None, pyarrow.py_buffer(b"\0\0\0\0\2\0\0\0\3\0\0\0"), pyarrow.py_buffer(b"\xff\xfex")]
    )
    twice = pyarrow.array([[("a", 1)], [("a", 1), ("a", 2)]], pyarrow.map_(pyarrow.string(), pyarrow.int8()))
    assert cells(texts) == [Broken("its text is not UTF-8"), "x"]
    assert cells(twice) == [{"a": 1}, Broken("a key of a map appears twice")]
    far = pyarrow.array([0, 10**14]).cast(pyarrow.timestamp("s"))
    assert cells(far) == ["1970-01-01T00:00:00", "100000000000000 s since 1970-01-01"]  # passed on, whatever it is
    table = pyarrow.table({"completion": ["x", "y"], "when": far, "what": twice})
    pyarrow.feather.write_feather(table, tmp_path / "r.arrow")
    found = read_rows(tmp_path / "r.arrow")
    assert [row.completion_text for row in found.rows] == ["x", "y"]  # nobody reads `what`
    assert found.rows[1].raw["what"] == Broken("a key of a map appears twice")
    for column in ("labels", "probs.a", "question", "features"):
        read = pyarrow.table({"completion": ["x", "y"], column: twice})
        pyarrow.feather.write_feather(read, tmp_path / "r.arrow")
        found = read_rows(tmp_path / "r.arrow")
        assert found.bad[-1].line == 2
        assert found.bad[-1].reason == f"`{column}`: a key of a map appears twice"
    both = pyarrow.table({"completion": ["x", "y"], "prompt": ["p", "q"], "question": twice})
    pyarrow.feather.write_feather(both, tmp_path / "r.arrow")
    assert not read_rows(tmp_path / "r.arrow").bad
    with pytest.raises(RowsError, match=r"`what` of a row for .* cannot be told: a key of a map appears twice"):
        write_rows(tmp_path / "out.jsonl", [{"completion": "x", "what": Broken("a key of a map appears twice")}])


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
@pytest.mark.parametrize("command", ["grade", "score"])
def test_a_cell_that_nobody_reads_costs_no_row(
    command: str, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is null in the output, and that is said; also where a table becomes a table of its own columns."""
    bad = pyarrow.Array.from_buffers(
        pyarrow.string(), 2, [None, pyarrow.py_buffer(b"\0\0\0\0\2\0\0\0\3\0\0\0"), pyarrow.py_buffer(b"\xff\xfex")]
    )
    policy = str(Path(__file__).parents[1] / "examples" / "refusals" / "policy.rbr")
    rows = pyarrow.table({"id": ["1", "2"], "completion": ["Sorry.", "No."], "response_type": ["hard_refusal"] * 2, "mine": bad})  # fmt: skip
    pyarrow.parquet.write_table(rows, tmp_path / "r.parquet")
    out = tmp_path / f"out.{ending}"
    main(["compile", policy, "-o", str(tmp_path / "p.rbrc")])
    of = policy if command == "grade" else str(tmp_path / "p.rbrc")
    grader = ["--grader", "embedded"] if command == "grade" else []
    main([command, of, str(tmp_path / "r.parquet"), "-o", str(out), *grader])
    found = read_rows(out)
    assert [row.completion_text for row in found.rows] == ["Sorry.", "No."]
    assert [row.raw.get("mine") for row in found.rows] == ["" if ending == "csv" else None, "x"]
    as_what = "empty" if ending == "csv" else "null"
    told = f"1 row with a cell that cannot be told (its text is not UTF-8): written as {as_what}, in the column `mine`"
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_moment_beyond_any_calendar_is_passed_on(tmp_path: Path) -> None:
    far = pyarrow.array([0, 10**14]).cast(pyarrow.timestamp("s"))
    days = pyarrow.array([0, 2**31 - 1]).cast(pyarrow.int32()).cast(pyarrow.date32())
    table = pyarrow.table({"completion": ["x", "y"], "when": far, "day": days, "in": pyarrow.array([{"at": t} for t in (None, None)], pyarrow.struct([("at", pyarrow.timestamp("us"))]))})  # fmt: skip
    pyarrow.feather.write_feather(table, tmp_path / "r.arrow")
    found = read_rows(tmp_path / "r.arrow")
    assert not found.bad
    assert found.rows[1].raw["when"] == "100000000000000 s since 1970-01-01"
    assert found.rows[1].raw["day"]


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet", "arrow"])
def test_columns_of_every_type_pass_through_every_output(
    ending: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns: dict[str, list[Any]] = {name: (want * len(GOOD))[: len(GOOD)] for name, (_, want) in CELLS.items()}
    table = pyarrow.Table.from_pylist(GOOD)
    for name, (array, want) in CELLS.items():
        times = -(-len(GOOD) // len(want))
        if name not in ("mixed", "runs", "interval"):  # Parquet has none of these
            table = table.append_column(name, pyarrow.concat_arrays([array] * times)[: len(GOOD)])
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    out = tmp_path / f"out.{ending}"
    assert main(["score", str(place / "p.rbrc"), str(tmp_path / "rows.parquet"), "-o", str(out)]) == 0
    assert "written as" not in capsys.readouterr().err
    for at, row in enumerate(read_rows(out).rows):
        for name in table.column_names[len(GOOD[0]) :]:
            want = columns[name][at]
            if ending != "csv":
                # A column of objects has the keys of all its rows in Parquet and Arrow, null where one has none.
                found = row.raw[name]
                if name == "map" and isinstance(found, dict):
                    found = {key: value for key, value in found.items() if value is not None}
                assert found == want, name
            elif want is None or isinstance(want, str):
                assert row.raw[name] == (want or ""), name


# --- what outputs hold ----------------------------------------------------------------------------


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(JSON, min_size=1, max_size=4))
def test_any_values_of_a_column_are_read_as_they_were_written(values: list[Any], tmp_path: Path) -> None:
    rows = [{"id": str(n), "completion": "x", "mine": without_nan(value)} for n, value in enumerate(values)]
    write_rows(tmp_path / "r.jsonl", rows)
    assert [row.raw["mine"] for row in read_rows(tmp_path / "r.jsonl").rows] == [row["mine"] for row in rows]
    for ending in ("parquet", "arrow", "csv"):
        write_rows(tmp_path / f"r.{ending}", rows)
        assert [row.id for row in read_rows(tmp_path / f"r.{ending}").rows] == [row["id"] for row in rows]


def test_mixed_columns_of_parquet_are_read_as_they_were(tmp_path: Path) -> None:
    mixed = [1, "a", [2], {"b": None}, {}, 10**30, None, 0.5]
    write_rows(tmp_path / "r.parquet", [{"completion": str(n), "mine": value} for n, value in enumerate(mixed)])
    assert [row.raw["mine"] for row in read_rows(tmp_path / "r.parquet").rows] == mixed


def test_what_an_output_cannot_hold_is_said_before_the_work(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{**GOOD[0], "id": n, "mine": value} for n, value in enumerate([math.nan, [math.inf], 1.0, "\ud800"])]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    score = ["score", str(place / "p.rbrc"), str(path), "-o"]
    assert main([*score, str(tmp_path / "out.jsonl")]) == 0
    err = capsys.readouterr().err
    assert (
        "out.jsonl`: 2 rows with NaN or an infinity, which JSON has not: written as null, in the column `mine`" in err
    )
    assert [row.raw["mine"] for row in read_rows(tmp_path / "out.jsonl").rows] == [None, [None], 1.0, "\ud800"]
    assert main([*score, str(tmp_path / "out.parquet")]) == 0
    err = capsys.readouterr().err
    assert "1 row with half a surrogate pair, which Parquet has not: written as U+FFFD, in the column `mine`" in err
    assert "no type holds all of the column `mine`; its cells are JSON text" in err
    for wrong, reason in ((tmp_path, "is a directory"), (tmp_path / "no" / "out.csv", "no such file")):
        assert main([*score, str(wrong)]) == 2
        err = capsys.readouterr().err
        assert reason in err
        assert "scored" not in err


# --- what rows may say ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "means"),
    [(1, True), (0, False), (1.0, True), (0.0, False), ("Yes", True), ("NO", False), ("true", True), (" False ", False),
     ("1", True), ("0.0", False), (None, None), ("", None), (math.nan, None), (True, True)],
)  # fmt: skip
def test_labels_are_said_in_many_ways(label: object, means: bool | None) -> None:
    row = row_from({"completion": "x", "labels": {"a": label}, "category": label if means is None else "c"})
    assert (row.labels, row.category) == ({"a": means}, None if means is None else "c")


@pytest.mark.parametrize(
    ("given_id", "means"), [(1, "1"), (1.0, "1"), ("1.0", "1.0"), (-3, "-3"), (10**400, str(10**400))]
)
def test_ids_may_be_numbers(given_id: object, means: str) -> None:
    assert row_from({"completion": "x", "id": given_id}).id == means
    text_of_its_own = row_from({"completion": "x"}).id
    assert all(row_from({"completion": "x", "id": none}).id == text_of_its_own for none in (None, "", math.nan))


@pytest.mark.parametrize(
    ("fields", "prompt", "completion"),
    [
        ({"instruction": "Add.", "input": "1 2", "output": "3"}, "Add.\n\n1 2", "3"),
        ({"instruction": "Add.", "input": "", "output": "3"}, "Add.", "3"),
        ({"question": "Q?", "answer": "A.", "completion": "C."}, "Q?", "C."),
        ({"query": "Q?", "response": "same", "answer": "same"}, "Q?", "same"),
        ({"conversations": [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A."}]}, "Q?", "A."),
        ({"prompt": "P", "input": "not it", "generated_text": ""}, "P", ""),
    ],
)
def test_public_names_of_columns(fields: dict[str, Any], prompt: str, completion: str) -> None:
    row = row_from(fields)
    assert [message.text for message in row.prompt] == [prompt]
    assert row.completion_text == completion
    assert row.raw == fields


def test_two_public_names_are_never_guessed_about() -> None:
    with pytest.raises(ValueError, match=r"`response` and `answer` could each be the `completion`; .*--column"):
        row_from({"question": "Q?", "answer": "A.", "response": "B."})


def test_pairs_of_messages_and_of_plain_text(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Q?"}]
    rows = [
        {"id": 1.0, "prompt": "P", "chosen": "good", "rejected": "bad", "mine": 7},
        {"id": "m", "chosen": [*turns, {"role": "assistant", "content": "good"}],
         "rejected": [*turns, {"role": "assistant", "content": "bad"}]},
        {"chosen": "good", "rejected": ["bad"]},
    ]  # fmt: skip
    (tmp_path / "r.json").write_text(json.dumps(rows))
    found = read_rows(tmp_path / "r.json")
    assert [row.id for row in found.rows] == ["1-chosen", "1-rejected", "m-chosen", "m-rejected"]
    assert [row.completion_text for row in found.rows] == ["good", "bad"] * 2
    assert [row.prompt[0].text for row in found.rows] == ["P", "P", "Q?", "Q?"]
    assert [row.raw["preferred"] for row in found.rows] == [True, False] * 2
    assert found.rows[0].raw["mine"] == 7
    assert "element 3" in found.bad[0].reason
    write_rows(tmp_path / "out.csv", [row.raw for row in found.rows])
    assert [row.id for row in read_rows(tmp_path / "out.csv").rows] == [row.id for row in found.rows]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', "the key `a` appears twice"), ('{"a": [{"b": 1, "b": 1}]}', "the key `b` appears twice"),
        ("[NaN]", "NaN is no JSON number"), ("[1e999]", "1e999 is too large a number"),
        ("[" * 101 + "]" * 101, "nested more than 100 deep"), ("[" * 10**6, "nested more than 100 deep"),
        ("1" * 5000, "more than 4300 digits"), ("{", "not JSON: expecting property name"),
    ],
)  # fmt: skip
def test_json_that_cannot_be_believed(text: str, reason: str) -> None:
    for read in (parse, lambda text: parse_bytes(b"\xef\xbb\xbf" + text.encode())):
        with pytest.raises(JsonError) as found:
            read(text)
        assert reason in str(found.value)
    assert parse("[" * 100 + "]" * 100 + " ") is not None
    assert parse('["' + "[" * 500 + '"]') == ["[" * 500]


def test_weights_and_bodies_refuse_a_key_twice(
    place: Path, tmp_path: Path, server: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w.json").write_text('{"refusal": {"polite": 1, "polite": 2}}')
    rows = among(place, GOOD[0] | {"id": "x"}, 0)
    grade = ["grade", str(place / "p.rbr"), rows, "-o", "-", "--lazy", "0.1", "--weights", str(tmp_path / "w.json")]
    assert main(grade) == 2
    assert "w.json`: the key `polite` appears twice" in capsys.readouterr().err
    assert main(["eval", str(place / "p.rbrc"), rows, "--noise", "--agreement", str(tmp_path / "w.json")]) == 2
    assert "w.json`: the key `polite` appears twice" in capsys.readouterr().err
    reply = server.post("/score", content='{"rows": [], "rows": []}', headers={"Content-Type": "application/json"})
    assert reply.status_code == 400
    assert "the key `rows` appears twice" in reply.json()["error"]["message"]


# --- base rewards beside which the rules are nothing --------------------------------------------------


def test_base_rewards_that_hide_the_rules_are_said(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    from rbrlang.reward.numpy import NumpyReward
    from rbrlang.reward.rounding import hides_rules, spreads
    from rbrlang.scoring.score import Scorer

    reward = NumpyReward.from_artefact(artefact())
    (spread,) = spreads(reward)
    assert spread > 0.5
    base = np.array([0.0, 1.0, 1e4, 1e9, -1e9, np.nan])
    assert hides_rules(reward, np.zeros(6, int), base).tolist() == [False, False, False, True, True, False]
    assert not hides_rules(reward, np.full(6, -1), base).any()
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps(row | {"base_reward": 1e9 * n}) + "\n" for n, row in enumerate(GOOD))
    )
    rows = str(tmp_path / "rows.jsonl")
    for command in (
        ["score", str(place / "p.rbrc"), rows, "-o", str(tmp_path / "out.jsonl")],
        ["eval", str(place / "p.rbrc"), rows, "--resamples", "10"],
        ["fit", str(place / "p.rbr"), rows, "-o", str(tmp_path / "f.rbrc"), "--bootstrap", "0", "--ridge", "1e6"],
    ):
        assert main(command) in (0, 3)
        err = capsys.readouterr().err
        assert err.count("base rewards are so large that 32-bit floats lose what the rules add") == 1, err
        assert "23 of 24" in err
    scorer = Scorer(artefact(), "python:serve_grader.steady")
    with caplog.at_level("WARNING", "rbrlang"):
        for _ in range(3):
            scorer(read_rows(rows).rows)
    assert caplog.text.count("23 of 24 base rewards are so large") == 1
