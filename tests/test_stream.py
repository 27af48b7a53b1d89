"""Rows in blocks: the same rows, and the same output, whatever is read by columns, in pieces, or in several processes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rbrlang.cli.main import main
from rbrlang.jsonfast import NotFastError, dumped, fast
from rbrlang.jsontext import parse_with_constants
from rbrlang.rows import ids as ids_module
from rbrlang.rows import pieces, plain, write
from rbrlang.rows.columns import Names
from rbrlang.rows.formats import Broken
from rbrlang.rows.ids import Ids, packed
from rbrlang.rows.kept import Kept, in_blocks
from rbrlang.rows.read import read_rows, row_from
from rbrlang.rows.write import write_rows

HERE = Path(__file__).parent
EXAMPLE = HERE.parent / "examples" / "refusals"
TYPES = ("hard_refusal", "Soft Refusal", "full_compliance", "nothing", "", None)
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
few = settings(relaxed, max_examples=25)


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stream") / "p.rbrc"
    assert main(["compile", str(EXAMPLE / "policy.rbr"), "-o", str(path)]) == 0
    return path


def propositions(artefact: Path) -> tuple[str, ...]:
    from rbrlang.reward.kept.artefact import read_artefact

    return read_artefact(artefact).circuit.propositions


# --- JSON -----------------------------------------------------------------------------------------

KEYS = st.sampled_from(["a", "b", 'a"', "a\\", "", ":", 'x":', "é"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | KEYS
    | st.sampled_from([2**63, 2**64, -(2**63) - 1, 10**30, 1e19, ":)", '":', '\\":', "\\"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


def same(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)  # tells 1 from 1.0 and 0.0 from -0.0, and NaN is itself


def fast_or_not(data: bytes) -> None:
    """What is read fast is what is read with care."""
    try:
        found = fast(data)
    except NotFastError:
        return
    assert same(found, parse_with_constants(data.decode()))


@relaxed
@given(value=VALUES, spaced=st.booleans())
def test_what_is_read_fast_is_what_is_read_with_care(value: Any, spaced: bool) -> None:
    fast_or_not(json.dumps(value, ensure_ascii=False, separators=(" , ", " : ") if spaced else None).encode("utf-8", "surrogatepass"))  # fmt: skip
    fast_or_not(json.dumps(value).encode())


@relaxed
@given(pairs=st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=4), spaces=st.sampled_from(["", " ", "\t", " \n"]))
def test_a_key_that_appears_twice_is_never_read_fast(pairs: list[tuple[str, Any]], spaces: str) -> None:
    text = "{" + ",".join(f"{json.dumps(key)}{spaces}:{json.dumps(value)}" for key, value in pairs) + "}"
    fast_or_not(text.encode())
    if len({key for key, _ in pairs}) < len(pairs):
        with pytest.raises(NotFastError):
            fast(text.encode())


@pytest.mark.parametrize(
    ("text", "quick"),
    [('{"a": {"b": 1.5}, "c": [{"b": null}]}', True), ('{"a": "x\\"y"}', True), ('{"a":1,"a":1}', False), ("[1e19]", False),
     ("[123456789012345678901]", False), ("[NaN]", False), ('["\\ud800"]', False), ("[" * 101 + "]" * 101, False), ("[1e999]", False)],
)  # fmt: skip
def test_the_usual_line_is_read_fast_and_no_other(text: str, quick: bool) -> None:
    if quick:
        assert fast(text.encode()) == json.loads(text)
    else:
        with pytest.raises(NotFastError):
            fast(text.encode())


@relaxed
@given(value=VALUES)
def test_what_is_written_is_read_again(value: Any) -> None:
    assert same(parse_with_constants(dumped(value).decode()), without_nan(value))


def without_nan(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case list():
            return [without_nan(one) for one in value]
        case dict():
            return {key: without_nan(one) for key, one in value.items()}
        case _:
            return value


# --- ids ------------------------------------------------------------------------------------------

FEW_IDS = st.lists(
    st.lists(st.tuples(st.text("ab\u00e9\ud800", max_size=2) | st.sampled_from(["a-2", "a-3", "x" * 40]), st.booleans()), max_size=6),
    max_size=8,
)  # fmt: skip


@relaxed
@given(rows=FEW_IDS)
def test_ids_are_taken_as_a_table_in_memory_has_them(rows: list[list[tuple[str, bool]]]) -> None:
    """Runs of three hashes, pages of two, and a filter that knows next to nothing: every way there is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids_module, "_RUN", 3)
        patch.setattr(ids_module, "_PAGE", 2)
        patch.setattr(ids_module, "_KEPT", 4)
        patch.setattr(ids_module, "_hashes", lambda ids, key: real(ids, key) % ids_module.np.uint64(5))
        seen: dict[str, int] = {}
        line = 0
        with Ids() as ids:
            for block in rows:
                lines = list(range(line, line + len(block)))
                line += len(block)
                found = ids.take(packed([i for i, _ in block]), [named for _, named in block], "f", lines)
                for at, (name, named) in enumerate(block):
                    if name not in seen:
                        assert at not in found
                        seen[name] = lines[at]
                        continue
                    assert found[at].line == seen[name]
                    if named:
                        assert found[at].name == ""
                    else:
                        copies = 2
                        while f"{name}-{copies}" in seen:
                            copies += 1
                        assert found[at].name == f"{name}-{copies}"
                        seen[found[at].name] = lines[at]


real = ids_module._hashes  # pyright: ignore[reportPrivateUsage]


def test_ids_that_occur_twice_are_told_across_pieces_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "ROWS", 3)
    rows = [{"id": str(n), "completion": "x"} for n in (1, 2, 3, 4, 5, 2, 6)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_rows(tmp_path / "b.parquet", [{"id": 7, "completion": "x"}, {"id": 4, "completion": "x"}])
    found = read_rows(tmp_path)
    assert [row.id for row in found.rows] == list("1234567")
    assert [(bad.line, bad.reason) for bad in found.bad] == [
        (6, "the id `2` is already that of line 2"),
        (2, f"the id `4` is already that of {tmp_path / 'a.jsonl'}:4"),
    ]
    assert [row.id for row in read_rows(tmp_path, limit=5).rows] == list("12345")


# --- by columns, row by row -----------------------------------------------------------------------

TEXT = st.sampled_from(["Yes.", "", "No, I can't.", "é è", "a\x1cb  c\n d", "<think>so</think> Hello there.", "x" * 300 + " y",
                        '<tool_call>{"name": "f", "arguments": {}}</tool_call>', "</think>", "word " * 70])  # fmt: skip
PROB = st.none() | st.floats(0.0, 1.0) | st.sampled_from([0.0, 1.0])


def plain_rows(names: Sequence[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    row = st.fixed_dictionaries(
        {"completion": TEXT, "prompt": st.sampled_from(["Hi.", "", None]), "response_type": st.sampled_from(TYPES),
         "probs": st.none() | st.fixed_dictionaries(dict.fromkeys(names, PROB))},
        optional={"base_reward": st.none() | st.floats(-5, 5), "class": st.sampled_from(["ideal", "", None]), "mine": st.integers(-9, 9)},
    )  # fmt: skip
    return st.lists(row, min_size=1, max_size=6)


ODD = st.sampled_from([
    {"completion": None}, {"id": ""}, {"id": "0"}, {"id": None}, {"base_reward": 1e39}, {"probs": {"apology": 2.0}},
    {"probs": {"apology": math.nan}}, {"probs": {"apology": True}}, {"labels": {"apology": "perhaps"}}, {"response_type": 3},
    {"prompt": [{"role": "user", "content": "Hi."}]}, {"prompt": [{"role": "nobody", "content": "Hi."}]}, {"mine": math.nan},
    {"mine": "\ud800"}, {"messages": [{"role": "assistant", "content": "x"}]}, {"question": "What?"}, {"prompt": None, "question": "?"},
    {"id": 5}, {"labels.apology": "yes"}, {"features": {"apology": 0.5}}, {"probs": []},
])  # fmt: skip


def scored(artefact: Path, path: Path, out: Path, by_columns: bool, *more: str) -> tuple[int, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        if not by_columns:
            patch.setattr(plain, "plain", lambda *_: None)
        code = main(["score", str(artefact), str(path), "-o", str(out), *more])
    return code, out.read_bytes() if out.exists() else b""


@few
@given(data=st.data())
def test_lines_by_columns_are_lines_row_by_row(
    data: st.DataObject, artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = data.draw(plain_rows(propositions(artefact)))
    rows = [{"id": str(at)} | row for at, row in enumerate(rows)]
    if data.draw(st.booleans()):
        rows[data.draw(st.integers(0, len(rows) - 1))].update(data.draw(ODD))
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = []
    for by_columns in (True, False):
        out = tmp_path / "out.jsonl"
        out.unlink(missing_ok=True)
        capsys.readouterr()
        found.append((*scored(artefact, path, out, by_columns, "--bounds"), capsys.readouterr().err))
    assert found[0] == found[1]


@few
@given(data=st.data())
def test_tables_by_columns_are_tables_row_by_row(
    data: st.DataObject, artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = data.draw(plain_rows(propositions(artefact)))
    table = pyarrow.Table.from_pylist([{"id": str(at)} | row for at, row in enumerate(rows)])
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(table, path, row_group_size=data.draw(st.integers(1, 4)))
    for ending in ("parquet", "jsonl"):
        found = []
        for by_columns in (True, False):
            out = tmp_path / f"out.{ending}"
            out.unlink(missing_ok=True)
            capsys.readouterr()
            code, whole = scored(artefact, path, out, by_columns, "--bounds")
            values = pyarrow.parquet.read_table(out).to_pylist() if ending == "parquet" and code != 2 else whole
            found.append((code, values, capsys.readouterr().err))
        assert found[0] == found[1]


def test_the_usual_rows_are_read_by_columns(tmp_path: Path, artefact: Path) -> None:
    """Else the two tests above compare nothing."""
    names = propositions(artefact)
    row = {"id": "1", "prompt": "Hi.", "completion": "Yes.", "response_type": "hard_refusal", "base_reward": 0.5}
    row |= {
        "probs": dict.fromkeys(names, 0.25),
        "labels": dict.fromkeys(names, True),
        "class": "ideal",
        "mine": [{"a": "b"}],
    }
    for prompt in ("Hi.", None, [{"role": "user", "content": "Hi."}]):
        for ending in ("jsonl", "parquet", "arrow"):
            write_rows(
                tmp_path / f"r.{ending}",
                [row | {"prompt": prompt}, row | {"id": "2", "base_reward": None}][: 1 + (prompt == "Hi.")],
            )
            (piece,) = pieces.pieces(str(tmp_path / f"r.{ending}"), Names())
            found = plain.plain(piece, Names())
            assert found is not None, ending
            assert found.ids().text(0) == b"1"


# --- what is written ------------------------------------------------------------------------------


@few
@given(values=st.lists(VALUES, min_size=1, max_size=9))
def test_a_column_has_one_type_however_many_parts_it_was_written_in(values: list[Any], tmp_path: Path) -> None:
    rows = [{"id": str(n), "completion": "x", "mine": without_nan(value)} for n, value in enumerate(values)]
    found = []
    for at_once in (2, 2048):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(write, "_AT_ONCE", at_once)
            for ending in ("parquet", "csv"):
                write_rows(tmp_path / f"r.{ending}", rows)
                found.append([row.raw["mine"] for row in read_rows(tmp_path / f"r.{ending}").rows])
    assert repr(found[1]) == repr(found[3])
    assert found[0] == found[2]


def test_whole_numbers_that_no_float_holds_stay_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "_AT_ONCE", 1)
    mixed = [0.5, 2**53 + 1, None, {"a": 1}, {"a": 0.5}]
    for values in (mixed[:3], mixed[3:]):
        write_rows(tmp_path / "r.parquet", [{"completion": str(n), "mine": value} for n, value in enumerate(values)])
        assert [row.raw["mine"] for row in read_rows(tmp_path / "r.parquet").rows] == values


# --- several processes ----------------------------------------------------------------------------


def many(path: Path, names: Sequence[str], rows: int) -> None:
    lines = [
        {"id": str(n % (rows - 3)), "prompt": f"Say {n // 4}.", "completion": f"Sorry, I can't. {n}", "response_type": "hard_refusal",
         "probs": {name: (n * 7 + at) % 11 / 10 for at, name in enumerate(names)}}
        for n in range(rows)
    ]  # fmt: skip
    lines[5]["completion"] = None
    del lines[6]["id"], lines[7]["id"]
    lines[7] |= {"completion": lines[6]["completion"], "prompt": lines[6]["prompt"]}
    path.write_text("".join(json.dumps(row) + "\n" for row in lines))


@pytest.mark.slow
def test_any_number_of_workers_writes_the_same(
    artefact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pieces, "ROWS", 16)
    many(tmp_path / "rows.jsonl", propositions(artefact), 100)
    commands = (
        ["score", str(artefact), str(tmp_path / "rows.jsonl")],
        ["grade", str(EXAMPLE / "policy.rbr"), str(tmp_path / "rows.jsonl"), "--grader", "embedded", "--limit", "90"],
    )
    for command in commands:
        found = []
        for workers in ("1", "2"):
            out = tmp_path / "out.jsonl"
            capsys.readouterr()
            code = main([*command, "-o", str(out), "--workers", workers])
            found.append((code, out.read_bytes(), capsys.readouterr().err))
        assert found[0] == found[1]
        assert "the id `0` is already that of line 1" in found[0][2] or "--limit" in command


@pytest.mark.slow
@pytest.mark.parametrize("again", [False, True])
def test_a_worker_that_dies_is_replaced_or_named(
    again: bool, artefact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pieces, "ROWS", 16)
    monkeypatch.chdir(tmp_path)
    many(tmp_path / "rows.jsonl", propositions(artefact), 64)
    (tmp_path / "stream_killer.py").write_text(f"""
import multiprocessing, os, pathlib, signal
def steady(items, names):
    if any(item.id == "40" for item in items) and multiprocessing.parent_process() is not None:
        first = not pathlib.Path("killed").exists()
        pathlib.Path("killed").touch()
        if first or {again}:
            os.kill(os.getpid(), signal.SIGKILL)
    return [dict.fromkeys(names, 0.5) for _ in items]
""")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    command = ["grade", str(EXAMPLE / "policy.rbr"), "rows.jsonl", "--grader", "python:stream_killer.steady", "-o"]
    assert main([*command, "alone.jsonl"]) == 3
    capsys.readouterr()
    code = main([*command, "out.jsonl", "--workers", "2"])
    if again:
        assert code == 2
        err = capsys.readouterr().err
        assert "2 workers died, one after the other, over rows.jsonl, lines 33 to 48 (SIGKILL" in err
        assert not Path("out.jsonl").exists()
    else:
        assert code == 3
        assert Path("out.jsonl").read_bytes() == Path("alone.jsonl").read_bytes()


# --- items on the disk ------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 700])
def test_what_is_kept_is_read_as_it_was_given(count: int) -> None:
    given = [(at, f"item {at}") for at in range(count)]
    kept = Kept(given[: count // 3])
    kept.extend(given[count // 3 :])
    assert len(kept) == count
    assert list(kept) == list(kept) == given
    assert [kept[at] for at in range(-count, count)] == given + given
    for part in (slice(None), slice(100, 300), slice(256, 512), slice(-3, None), slice(5, 2), slice(None, None, -7)):
        assert kept[part] == given[part]
    assert [at for at, _ in in_blocks(kept, 100)] == list(range(0, count, 100))
    assert [one for _, some in in_blocks(kept, 100) for one in some] == given
    with pytest.raises(IndexError):
        kept[count]


def test_a_row_is_kept_with_all_that_it_has() -> None:
    """Conversations with calls and thoughts, columns of others, cells that cannot be told, criteria."""
    rows = read_rows(EXAMPLE.parent / "healthbench_like" / "rows.jsonl").rows
    called = row_from({
        "messages": [
            {"role": "user", "content": "What is 2 + 2?"},
            {"role": "assistant", "content": "<think>Simple.</think>", "tool_calls": [{"function": {"name": "add", "arguments": "{}"}}]},
            {"role": "tool", "name": "add", "content": "4", "is_error": True},
            {"role": "assistant", "content": "It is 4."},
        ],
        "rubric_probs": {"quality": [0.5, None]}, "probs": {"x": 0.25, "y": None}, "mine": [1, {"a": None}],
    })  # fmt: skip
    valued = replace(called, raw={**called.raw, "cell": Broken("too deep")}, value_labels={"tone": "kind"})
    given = [*rows, called, valued] * 9
    assert list(Kept(given)) == given


# --- memory ---------------------------------------------------------------------------------------

MAKE = """
import sys; sys.path.insert(0, sys.argv[3])
from pathlib import Path
import score_rows
score_rows.make("parquet", Path(sys.argv[1]), int(sys.argv[2]), 7)
"""
# Not `ru_maxrss`: where it is larger, Linux keeps that of the process that started this one.
LARGEST = """
import sys
from pathlib import Path
from rbrlang.cli.main import main
code = main(sys.argv[1:])
print("MIB", int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024)
sys.exit(code)
"""


@pytest.mark.slow
def test_many_rows_take_no_more_memory_than_few(artefact: Path, tmp_path: Path) -> None:
    """A million rows hold 830 MiB of text and answers, and their objects held six GiB."""
    path = str(tmp_path / "rows.parquet")
    subprocess.run([sys.executable, "-c", MAKE, path, "1000000", str(HERE.parent / "benchmarks")], check=True)
    command = [sys.executable, "-c", LARGEST, "score", str(artefact), path, "-o", str(tmp_path / "out.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    assert int(done.stdout.split("MIB")[1]) <= 250
    assert pyarrow.parquet.read_metadata(tmp_path / "out.parquet").num_rows == 1_000_000


def labelled(path: Path, artefact: Path, count: int) -> str:
    """Rows with all that `eval` and `agree` look at; four completions a prompt."""
    names = propositions(artefact)
    with path.open("w") as file:
        for at in range(count):
            row = {
                "id": f"row-{at}", "prompt": f"Question {at // 4}: " + "why is that so? " * 20,
                "completion": f"Answer {at}: " + "it is so because it was so before. " * 20, "response_type": "comply",
                "class": ("ideal", "unacceptable_completion")[at % 2], "base_reward": at % 7, "score": at % 5,
                "labels": {name: (at + n) % 3 == 0 for n, name in enumerate(names)},
                "probs": {name: (at * 7 + n * 3) % 11 / 10 for n, name in enumerate(names)},
            }  # fmt: skip
            file.write(json.dumps(row) + "\n")
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["eval", "agree"])
def test_rows_that_are_judged_are_numbers_in_memory(artefact: Path, tmp_path: Path, command: str) -> None:
    """27,000 rows more were 210 MiB more in `eval` and 175 in `agree`: 93 and 78 for these 12,000, which are 27 in the file."""
    judged = str(artefact) if command == "eval" else str(EXAMPLE / "policy.rbr")
    few = ["--resamples", "20", "--pairs", "classes,scores", "--noise"] if command == "eval" else ["--bootstrap", "20"]
    most: list[int] = []
    for count in (3_000, 15_000):
        rows = labelled(tmp_path / f"{count}.jsonl", artefact, count)
        run = [sys.executable, "-c", LARGEST, command, judged, rows, "--grader", "rows", *few]
        done = subprocess.run(run, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 3), done.stderr
        most.append(int(done.stdout.split("MIB")[1]))
    assert most[1] - most[0] <= 45, most
