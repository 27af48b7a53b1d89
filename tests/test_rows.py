"""Rows are read as they are, bad ones are named, and nothing is lost on the way through."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbrlang.policy import load
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import (
    MAX_LINE,
    RowsError,
    filled_in,
    read_rows,
    row_from,
    with_labels_as_probs,
)
from rbrlang.rows.write import write_rows

GOOD = {"prompt": "Hi.", "completion": "Hello."}


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), encoding="utf-8")
    return path


def test_a_full_row(tmp_path: Path) -> None:
    data = {
        "id": "r17", "prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
        "completion": "C", "response_type": "Hard Refuse", "category": "C-R", "class": "ideal",
        "labels": {"a": True, "b": None}, "probs": {"a": 0.98, "b": None}, "base_reward": 1.5, "mine": {"x": [1]},
    }  # fmt: skip
    (row,) = read_rows(lines(tmp_path / "r.jsonl", data)).rows
    assert (row.id, row.response_type, row.category, row.klass) == ("r17", "hard_refuse", "C-R", "ideal")
    assert [m.role for m in row.prompt] == ["system", "user"]
    assert (row.labels, row.probs, row.base_reward) == ({"a": True, "b": None}, {"a": 0.98, "b": None}, 1.5)
    write_rows(tmp_path / "out.jsonl", [row.raw])
    assert json.loads((tmp_path / "out.jsonl").read_text()) == data


def test_messages_are_split_behind_the_last_user_turn() -> None:
    turns = [{"role": r, "content": r[0]} for r in ("user", "assistant", "user", "assistant")]
    row = row_from({"messages": turns})
    assert [m.text for m in row.prompt] == ["u", "a", "u"]
    assert row.completion_text == "a"
    same = row_from({"prompt": turns[:3], "completion": "a"})
    assert (same.prompt_key, same.id) == (row.prompt_key, row.id)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{", "not JSON"),
        ("[1]", "not an object"),
        ('{"prompt": "x"}', "there is no `completion`"),
        ('{"prompt": "x", "completion": null}', "there is no `completion`: `completion` is null"),
        ('{"prompt": "x", "response": null}', "there is no `completion`: `completion` is null"),
        ('{"messages": null}', "there is no `completion`: `messages` is null"),
        ({**GOOD, "probs": {"a": 1.2}}, "P(yes) of `a` is 1.2, not a number from 0 to 1"),
        ('{"completion": "c", "probs": {"a": NaN}}', "P(yes) of `a` is nan"),
        ({**GOOD, "probs": {"a": True}}, "P(yes) of `a` is True"),
        ({**GOOD, "labels": {"a": 2}}, "the label of `a` is 2, not true, false or null"),
        ({**GOOD, "labels": ["a"]}, "`labels` is not an object"),
        ('{"completion": "c", "base_reward": Infinity}', "`base_reward` is inf"),
        ({**GOOD, "base_reward": "3"}, "`base_reward` is '3'"),
        ({**GOOD, "category": 3}, "`category` is not text"),
        (
            {**GOOD, "prompt": [{"role": "judge", "content": "x"}]},
            "a message of the role `judge`, which is none of system, developer, user",
        ),
        ({"messages": [{"role": "user", "content": "x"}]}, "does not end with the assistant's turn"),
        ("[" * 100_000, "not"),
        ({**GOOD, "id": ["x"]}, "`id` is neither text nor a whole number"),
    ],
)
def test_a_bad_row_is_named_and_the_rest_is_kept(tmp_path: Path, bad: object, reason: str) -> None:
    path = lines(tmp_path / "r.jsonl", GOOD, bad, {**GOOD, "completion": "Bye."})
    found = read_rows(path)
    assert [row.completion_text for row in found.rows] == ["Hello.", "Bye."]
    (named,) = found.bad
    assert str(named).startswith(f"{path}:2: ")
    assert reason in named.reason


def test_bytes_that_are_not_text_and_lines_that_do_not_end(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    row = json.dumps(GOOD).encode()
    path.write_bytes(
        b"\xef\xbb\xbf" + row + b"\n\n\xff\xfe\n" + b'{"completion": "' + b"x" * MAX_LINE + b'"}\r\n' + row
    )
    found = read_rows(path)
    assert len(found.rows) == 2
    assert [b.line for b in found.bad] == [3, 4]
    assert "longer than 64 MiB" in found.bad[1].reason


def test_ids(tmp_path: Path) -> None:
    path = lines(tmp_path / "r.jsonl", {**GOOD, "id": "a"}, {**GOOD, "id": "a"}, GOOD, GOOD, GOOD)
    found = read_rows(path)
    assert [b.reason for b in found.bad] == ["the id `a` is already that of line 1"]
    ids = [row.id for row in found.rows]
    assert len(set(ids)) == 4
    assert ids[2:] == [f"{ids[1]}-2", f"{ids[1]}-3"]


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(["prompt", "completion", "labels", "probs", "id", "role", "content"]), inner),
    max_leaves=8,
)  # fmt: skip


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["prompt", "completion", "messages", "labels", "probs", "id", "class"]), json_values
    )
)
def test_any_json_is_a_row_or_a_reason(data: dict[str, Any]) -> None:
    try:
        probs = row_from(data).probs
    except ValueError:
        probs = {}
    assert all(p is None or 0 <= p <= 1 for p in probs.values())


def test_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    data = [{"id": str(n), **GOOD, "probs": {"a": n / 10, "b": None}, "extra": n} for n in range(5)]
    write_rows(tmp_path / "r.parquet", data)
    write_rows(tmp_path / "r.jsonl", data)
    (one, other) = (read_rows(tmp_path / f"r.{kind}").rows for kind in ("parquet", "jsonl"))
    assert [(r.id, r.completion, r.raw["extra"]) for r in one] == [(r.id, r.completion, r.raw["extra"]) for r in other]
    assert [r.probs["a"] for r in one] == [r.probs["a"] for r in other]
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(RowsError, match="not readable Parquet"):
        read_rows(tmp_path / "bad.parquet")


def test_nothing_is_half_written(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("before\n")
    with pytest.raises(RowsError, match="NaN"):
        write_rows(target, [{"a": 1}, {"a": math.nan}])
    assert target.read_text() == "before\n"
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]


# The release's own forms, with texts of ours.
TURNS = [{"role": "user", "content": "Hi.\nAre you there?"}]
REPLIES = ("Hello.", "No.", "|Who| asks?")


def comparisons() -> list[object]:
    items = [
        {"prompt": TURNS, "completion": [{"role": "assistant", "content": text}], "response_type": "Hard Refuse",
         "completion_type": "bad hard refusal", "category": "C-R"}
        for text in REPLIES
    ]  # fmt: skip
    return ["|USER|: Hi.\nAre you there?", items]


def named(text: str, **columns: object) -> dict[str, object]:
    return {"prompt_completion": ["|USER|: Hi.\nAre you there?", f"|ASSISTANT|: {text}"], **columns}


def test_comparisons_of_the_release_have_one_prompt_a_line(tmp_path: Path) -> None:
    path = lines(tmp_path / "c.jsonl", comparisons(), ["prompt", [3, GOOD]], ["prompt", []], ["prompt", "text"])
    found = read_rows(path)
    assert [row.completion_text for row in found.rows] == [*REPLIES, "Hello."]
    assert {(row.response_type, row.klass) for row in found.rows[:3]} == {("hard_refuse", "bad hard refusal")}
    assert len({row.prompt_key for row in found.rows[:3]}) == 1
    assert [str(bad) for bad in found.bad] == [f"{path}:2: not an object", f"{path}:4: not an object"]


def test_tables_of_the_release_are_joined_by_what_they_speak_of(tmp_path: Path) -> None:
    rows = read_rows(lines(tmp_path / "c.jsonl", comparisons())).rows
    features = read_rows(lines(tmp_path / "f.jsonl", *(named(t, features={"rude": 0.25, "ideal": 1}) for t in REPLIES)))
    scores = read_rows(lines(tmp_path / "s.jsonl", named("No.", rm_score=-1.5), named("Other.", rm_score=2)))
    filled, matched = filled_in(rows, features.rows)
    assert matched == 3
    filled, matched = filled_in(filled, scores.rows)
    assert matched == 1
    assert [row.probs for row in filled] == [{"rude": 0.25, "ideal": 1.0}] * 3
    assert [row.base_reward for row in filled] == [None, -1.5, None]
    kept, _ = filled_in([row_from({**GOOD, "id": "a", "probs": {"x": 0.1}, "base_reward": 1})],
                        [row_from({**GOOD, "id": "a", "probs": {"x": 0.9, "y": 0.8}, "base_reward": 2})])  # fmt: skip
    assert (kept[0].probs, kept[0].base_reward) == ({"x": 0.1, "y": 0.8}, 1.0)


@pytest.mark.parametrize("features", [[1, 2], {"length": 310.0}, {"a": "b"}, {"a": True}, "text", None])
def test_columns_called_features_that_are_no_probabilities_pass_through(features: object) -> None:
    row = row_from({**GOOD, "features": features})
    assert row.probs == {}
    assert row.raw["features"] == features
    assert row_from({**GOOD, "features": {"a": 0.5}, "probs": {"b": 0.5}}).probs == {"b": 0.5}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant", "system"]), st.text(max_size=12)), min_size=1, max_size=4)
)
def test_transcripts_give_the_ids_of_their_conversations(turns: list[tuple[str, str]]) -> None:
    prompt = [{"role": role, "content": text} for role, text in turns]
    transcript = "\n".join(f"|{role.upper()}|: {text}" for role, text in turns)
    plain = row_from({"prompt": prompt, "completion": "Yes."})
    assert row_from({"prompt_completion": [transcript, "|ASSISTANT|: Yes."]}).id == plain.id
    assert row_from({"prompt_completion": [transcript, "Yes."]}).id == plain.id


def test_the_gold_rows_fall_into_the_published_classes(openai_release: Path, openai_policy_file: Path) -> None:
    circuit = load(openai_policy_file).circuit
    found = read_rows(openai_release / "gold_train.jsonl")
    assert len(found.rows) == 351
    assert found.bad == ()
    rows = with_labels_as_probs(found.rows)
    reward = NumpyReward(circuit)
    ids = reward.response_ids(rows)
    probs = reward.class_probs(reward.encode(rows), ids)
    assert np.array_equal(np.sort(probs, axis=1)[:, -1], np.ones(351))
    names = [circuit.responses[i].classes[c] for i, c in zip(ids, probs.argmax(axis=1), strict=True)]
    counts = Counter((circuit.responses[i].name, name.split("_")[0]) for i, name in zip(ids, names, strict=True))
    assert counts == {
        ("comply", "ideal"): 149, ("comply", "minimum"): 2, ("comply", "unacceptable"): 27, ("comply", "illogical"): 18,
        ("hard_refuse", "minimum"): 6, ("hard_refuse", "unacceptable"): 72, ("hard_refuse", "illogical"): 4,
        ("hard_refuse", "disallowed"): 6, ("safe_refuse_1", "unacceptable"): 9,
        ("safe_refuse_2", "minimum"): 2, ("safe_refuse_2", "unacceptable"): 43, ("safe_refuse_2", "illogical"): 2,
        ("safe_refuse_2", "disallowed"): 11,
    }  # fmt: skip
