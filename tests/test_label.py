"""What is asked, in which order, what agreement comes to, what is kept, who may ask, and what is written."""

from __future__ import annotations

import json
import re
import sqlite3
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pytest
from label_kit import POLICY, folder, read, rows, start, write
from scipy.stats import norm
from sklearn.metrics import cohen_kappa_score

from rbrlang.cli.main import main
from rbrlang.label.agreement import alpha, cohen, needed
from rbrlang.label.pick import Grader, Order
from rbrlang.label.questions import BETTER, Desk, desk
from rbrlang.label.store import Store, StoreError
from rbrlang.policy import loads
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import row_from

# --- agreement ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(25))
def test_alpha_and_kappa_are_those_of_reference_implementations(seed: int) -> None:
    random = np.random.default_rng(seed)
    values, people = int(random.integers(2, 6)), int(random.integers(2, 5))
    truth = random.integers(0, values, 60)
    table = np.stack(
        [np.where(random.random(60) < 0.6, truth, random.integers(0, values, 60)) for _ in range(people)], 1
    )
    table[random.random(table.shape) < 0.3] = -1
    known = np.where(table < 0, np.nan, table.astype(float)).T
    for ordinal in (False, True):
        level = "ordinal" if ordinal else "nominal"
        want = krippendorff.alpha(known, level_of_measurement=level, value_domain=list(range(values)))
        assert alpha(table, values, ordinal=ordinal) == pytest.approx(want, abs=1e-12)
        both = (table[:, 0] >= 0) & (table[:, 1] >= 0)
        weights = "quadratic" if ordinal else None
        kappa = cohen_kappa_score(table[both, 0], table[both, 1], labels=list(range(values)), weights=weights)
        assert cohen(table[:, 0], table[:, 1], values, quadratic=ordinal) == pytest.approx(kappa, abs=1e-12)


def test_where_agreement_is_not_defined_there_is_no_number() -> None:
    same, alone = np.zeros((9, 2), np.int64), np.array([[0, -1], [-1, 1]])
    for table in (same, alone):
        assert alpha(table, 2, ordinal=False) is None
        assert cohen(table[:, 0], table[:, 1], 2, quadratic=False) is None


@pytest.mark.parametrize("half", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.8, 1.0])
def test_so_many_labels_are_needed_and_no_fewer(half: float, share: float) -> None:
    def width(count: int) -> float:
        """Between the two p that a score test of the share on so many labels just accepts, (share - p)² = z² p (1 - p) / n."""
        z = norm.ppf(0.975) ** 2 / count
        return float(np.ptp(np.roots([1 + z, -2 * share - z, share**2]).real))

    assert needed(share, half) == next(count for count in range(1, 2000) if width(count) <= 2 * half)


# --- what is asked, and in which order --------------------------------------------------------------


def made(number: int, *, probs: bool = True, pairs: bool = False) -> Desk:
    return desk(loads(POLICY), [row_from(row) for row in rows(number, probs=probs)], every=False, only=(), pairs=pairs)


def test_a_response_type_is_asked_what_it_needs_and_a_row_without_one_everything() -> None:
    some = rows(3)
    some[0]["response_type"] = "brief"
    some[1]["response_type"] = "chat"
    del some[2]["response_type"], some[1]["reference"]
    found = desk(loads(POLICY), [row_from(row) for row in some], every=False, only=(), pairs=False)
    asked = {row: {found.questions[u.question].name for u in found.units if u.row == row} for row in range(3)}
    assert asked == {
        0: {"rude"}, 1: {"rude", "plans", "help", "tone", "quality"}, 2: {"rude", "plans", "agrees", "help", "tone"},
    }  # fmt: skip
    assert dict(found.unasked) == {"agrees": 1}
    agrees = next(u for u in found.units if found.questions[u.question].name == "agrees")
    assert found.filled(agrees, found.questions[agrees.question].asked) == "Does it agree with “sea 2”?"


def test_every_completion_is_in_one_pair_at_most_and_pairs_of_rows_stay() -> None:
    some = rows(6)
    for row in some:
        row |= {"prompt": "one", "response_type": "brief"}
    some[0]["pair"] = some[3]["pair"] = "p"
    some[5]["completion"] = some[4]["completion"]
    found = desk(loads(POLICY), [row_from(row) for row in some], every=False, only=(BETTER,), pairs=True)
    pairs = [{u.row, u.place} for u in found.units]
    assert {0, 3} in pairs
    assert len(pairs) == 2
    assert len(set.union(*pairs)) == 4


def grader_of(found: Desk) -> Grader:
    return Grader(found, found.rows, NumpyReward(found.policy.circuit))


def test_random_rows_are_in_proportion_at_every_beginning_and_share_no_prompt_with_the_others() -> None:
    found = made(240)
    order = Order(found, 3, 0.3, True, "uncertain", grader_of(found).promise("uncertain"))
    honest = [found.rows[u.row] for u in order.of(0) if order.honest[u.row]]
    chat = np.cumsum([row.response_type == "chat" for row in honest]) / np.arange(1, len(honest) + 1)
    assert np.abs(chat - chat[-1])[8:].max() < 0.1
    sides = [{found.rows[at].prompt_key for at in range(240) if order.honest[at] is side} for side in (True, False)]
    assert not sides[0] & sides[1]
    assert 0.15 < len(sides[0]) / 120 < 0.45
    first = [order.honest[u.row] for u in order.of(0)[:100]]
    assert 0.15 < np.mean(first) < 0.45
    assert all(Order(found, 3, 0.3, False, "random", {}).honest)


def test_uncertain_and_influential_come_first() -> None:
    found = made(60)
    grader, reward = grader_of(found), NumpyReward(found.policy.circuit)
    order = Order(found, 0, 0.0, True, "uncertain", grader.promise("uncertain"))
    p = [found.rows[u.row].probs["rude"] for u in order.of(0)]
    assert np.all(np.diff(np.abs(np.array(p, float) - 0.5)) >= -1e-9)
    promise = grader.promise("influential")
    numbers = {question.name: at for at, question in enumerate(found.questions)}
    for name, answers in {
        "rude": [{"rude": 0.0}, {"rude": 1.0}],
        "help": [{f"help.{v}": float(v == w) for v in range(1, 6)} for w in range(1, 6)],
    }.items():
        for unit in found.of_question[numbers[name]]:
            plain = rows(60, probs=True)[unit.row]
            said = {k: v for k, v in found.rows[unit.row].probs.items() if not k.startswith(name)}
            every = [row_from({**plain, "probs": said | answer}) for answer in answers]
            worth = reward(reward.encode(every), reward.response_ids(every))
            assert promise[unit.key] == pytest.approx(float(worth.max() - worth.min()), abs=1e-5)
    some = rows(2, probs=True)
    del some[1]["probs"], some[1]["rubric_probs"]
    paired = grader_of(desk(loads(POLICY), [row_from(row) for row in some], every=False, only=(BETTER,), pairs=True))
    (pair,) = paired.desk.units
    assert "unknown" in paired.told(pair)  # and no number
    assert paired.likeliest(pair) is None
    criteria = [promise[u.key] for u in found.of_question[numbers["quality"]]]
    assert criteria[0] == pytest.approx(3 * criteria[1])


# --- what is kept ----------------------------------------------------------------------------------


def test_answers_to_a_changed_question_or_row_are_told_and_never_used(tmp_path: Path) -> None:
    found = made(4)
    store = Store(str(tmp_path / "l.sqlite"), found)
    for unit in found.units:
        store.save("ann", unit.key, "yes")
    store.close()
    some = rows(4)
    some[2]["completion"] = "Another."
    some[3]["reference"] = "another"
    other = loads(POLICY.replace("Is the response rude?", "Is it rude to the user?"))
    changed = desk(other, [row_from(row) for row in some], every=False, only=(), pairs=False)
    again = Store(str(tmp_path / "l.sqlite"), changed)
    told = again.aside()
    assert (
        told
        == [
            "4 labels of `rude` answer another text of the question; kept aside",
            "7 labels of rows that are not among these, or say something else now; kept aside",  # all of one, `agrees` of the other
        ]
    )
    kept = {changed.questions[changed.units[changed.by_key[key]].question].name for key in again.of("ann")}
    assert kept == {"plans", "quality", "help", "tone"}
    assert again.undo("ann") in changed.by_key
    foreign = desk(loads("rbr 1\nprop odd \"It is odd.\"\nresponse x ranks a > b\nx.a := odd\nx.b := otherwise"),
                   changed.rows, every=True, only=(), pairs=False)  # fmt: skip
    with pytest.raises(StoreError, match="another policy or other rows"):
        Store(str(tmp_path / "l.sqlite"), foreign).aside()


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database " * 100)
    with sqlite3.connect(tmp_path / "other") as db:
        db.execute("create table a (b)")
    for name, why in (("text", "is no database"), ("other", "something else"), (".", "cannot be opened")):
        with pytest.raises(StoreError, match=why):
            Store(str(tmp_path / name), made(2))


# --- the command -----------------------------------------------------------------------------------


def test_labels_of_every_kind_go_through_agree_and_fit_and_disagreement_is_explicit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder(tmp_path, 24, probs=True))
    with start(tmp_path, "--preferences", "--pick", "random") as served:
        info = served.ask("begin")
        by_kind = {one["kind"]: one for one in info["questions"]}
        assert set(by_kind) == {"yes_no", "scale", "choice", "criterion", "better"}
        given: dict[str, dict[str, str]] = {}
        for question in info["questions"]:
            for at, unit in enumerate(served.ask("queue", question=question["at"])["units"]):
                values = question["values"]
                given[unit[0]] = {"ann": values[at % len(values)]}
                given[unit[0]]["bob"] = values[0] if at % 5 == 0 else given[unit[0]]["ann"]
                for who, value in given[unit[0]].items():
                    served.ask("label", who, unit=unit[0], value=value)
        differ = [key for key, said in given.items() if len(set(said.values())) > 1]
        assert {one[0] for one in served.ask("queue", adjudicate=True)["units"]} == set(differ)
        shown = served.ask("unit", "cleo", unit=differ[0], adjudicate=True)
        assert shown["said"] == given[differ[0]]
        served.ask("label", "cleo", unit=differ[0], value="?", adjudicate=True)
        served.ask("label", "cleo", unit=differ[1], value=given[differ[1]]["bob"], adjudicate=True)
        said = served.end()
    assert f"{len(differ) - 2} more are left out because annotators differ" in said
    labelled = read(tmp_path / "labels.jsonl")
    assert len(labelled) == 24
    assert {row["sample"] for row in labelled} == {"random"}
    open_units = sum(value is None for row in labelled for value in row["labels"].values())
    open_units += sum(one["met"] is None for row in labelled for one in row["criteria"] if "met" in one)
    assert open_units
    assert {type(row["labels"]["help"]) for row in labelled if row["labels"].get("help") is not None} == {int}
    pairs: dict[str, list[bool]] = {}
    for row in labelled:
        if row.get("preferred") is not None:
            pairs.setdefault(row["pair"], []).append(row["preferred"])
    assert pairs
    assert all(sorted(sides) == [False, True] for sides in pairs.values())

    assert (
        main(["agree", "policy.rbr", "labels.jsonl", "--grader", "labels", "--format", "json", "--bootstrap", "10"])
        == 0
    )
    out = capfd.readouterr()
    found = json.loads(out.out)
    assert found["propositions"]["rude"]["accuracy"] == 1.0
    for grader in ("rows", "embedded"):
        assert main(["agree", "policy.rbr", "labels.jsonl", "--grader", grader, "--allow-abstain"]) in (0, 1)
    assert main(
        ["fit", "policy.rbr", "labels.jsonl", "-o", "p.rbrc", "--pairs", "preferences", "--grader", "labels"]
    ) in (0, 3)
    capfd.readouterr()

    command = ["label", "policy.rbr", "rows.jsonl", "-o", "labels.jsonl"]
    assert main([*command, "--export", "--majority"]) == 0
    assert "differ" in capfd.readouterr().err  # two who differ have no majority
    assert main([*command, "--status", "--format", "json", "--preferences"]) == 0
    status = {one["question"]: one for one in json.loads(capfd.readouterr().out)["questions"]}
    for name, one in status.items():
        table = np.array([[given[u.key][who] for who in ("ann", "bob")] for u in units_of(name)])
        kappa = cohen_kappa_score(*table.T, weights="quadratic" if name == "help" else None)
        assert one["kappa"][0]["kappa"] == pytest.approx(kappa)
        assert one["annotators"] == {"ann": len(table), "bob": len(table)}
    assert main([*command, "--status", "--preferences"]) == 0
    shown = capfd.readouterr().out
    assert "ann, bob: " in shown
    assert "\\u000a" not in shown
    assert "alpha: Krippendorff's, of scales ordinal\nshare: " in shown


@pytest.mark.parametrize("probs", [True, False])
def test_the_status_of_several_annotators_fits_a_small_terminal(
    probs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder(tmp_path, 12, probs=probs))
    people = ("annabel", "bob", "cleopatra", "d. o'neill")
    with start(tmp_path) as served:
        for question in served.ask("begin")["questions"]:
            for at, unit in enumerate(served.ask("queue", question=question["at"])["units"]):
                for number, who in enumerate(people):
                    value = question["values"][(at * number) % len(question["values"])]
                    served.ask("label", who, unit=unit[0], value=value)
        served.end()
    assert main(["label", "policy.rbr", "rows.jsonl", "-o", "labels.jsonl", "--status"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80, shown
    words = " ".join(shown.split())
    assert "rude: annabel 12, bob 12, cleopatra 12, d. o'neill 12; kappa annabel, bob: " in words
    assert re.search(r"rude +\d+ of 12 .* \d\.\d\d \(\d\.\d\d-\d\.\d\d\)", words)


def units_of(name: str) -> list[Any]:
    found = made(24, pairs=True)
    return found.of_question[[question.name for question in found.questions].index(name)]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--only", "rud"], "did you mean `rude`?"),
        (["--pick", "uncertain"], "needs a grader's answers"),
        (["--export"], "there are no labels yet"),
        (["--export", "--status"], "give one of them"),
        (["--annotator", " "], "1 to 40 characters"),
        (["--until", "0.6"], "below 0.5"),
        (["-o", "rows.jsonl"], "is read by this command, and `-o` would write over it"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(
    more: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder(tmp_path, 2))
    assert main(["label", "policy.rbr", "rows.jsonl", "-o", "labels.jsonl", *more]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_only_the_page_of_the_desk_may_ask_and_nobody_is_told_before_having_answered(tmp_path: Path) -> None:
    folder(tmp_path, 8, probs=True)
    with start(tmp_path, "--annotator", "ann") as served:
        key, *_ = served.ask("queue", question=0)["units"][0]
        json_body = json.dumps({"annotator": "ann", "unit": key, "value": "yes"}).encode()
        right = {"content-type": "application/json", "authorization": f"Bearer {served.token}", "origin": served.origin}
        refused = {
            "token": (401, {"authorization": "Bearer " + "x" * 43}),
            "no token": (401, {"authorization": ""}),
            "origin": (403, {"origin": "http://evil.example"}),
            "opaque origin": (403, {"origin": "null"}),
            "other port": (403, {"origin": served.origin.rpartition(":")[0] + ":1"}),
            "site": (403, {"sec-fetch-site": "cross-site"}),
            "host": (421, {"host": "evil.example"}),
            "kind": (415, {"content-type": "text/plain"}),
        }
        foreign = urllib.request.Request(served.origin, headers={"host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError) as turned_away:
            urllib.request.urlopen(foreign)
        assert json.loads(turned_away.value.read())["error"]["message"] == (
            "this server does not answer for `evil.example`; open the address that `rbrc label` printed"
        )
        for status, headers in refused.values():
            assert served.refused("api/label", json_body, right | headers) == status
        assert served.refused("api/label", b"[" * 70_000, right) == 413
        assert served.refused("api/label", b"[]", right) == 422
        assert served.refused("api/label", json_body, right, "OPTIONS") == 405  # no CORS
        assert served.refused("api/label", json_body.replace(b'"ann"', b'"bob"'), right) == 403
        assert served.refused("api/label", json_body.replace(b'"yes"', b'"perhaps"'), right) == 422
        assert served.refused("api/grader", json_body, right) == 403
        assert served.ask("queue", question=0)["units"][0][3] is None
        shown = json.dumps(served.ask("unit", unit=key)) + json.dumps(served.ask("begin"))
        assert not any(name in shown for name in ("probs", "rewards", "0.66", "likeliest"))
        served.ask("label", unit=key, value="yes")
        assert served.ask("grader", unit=key)["says"].startswith("yes 0.")
        said = served.ask("undo")
        assert (said["unit"], said["answer"]) == (key, None)
        assert served.refused("api/grader", json_body, right) == 403


def test_rows_are_drawn_once_and_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.chdir(folder(tmp_path, 40, probs=True))
    with start(tmp_path, "--seed", "7") as served, start(tmp_path, "--pick", "random") as other:
        for key, *_ in served.ask("queue", question=0)["units"]:
            served.ask("label", unit=key, value="no")
        other.ask("label", "bob", unit=key, value="yes")  # two desks on one file
        assert served.ask("status")["questions"][0]["annotators"] == {"ann": 40, "bob": 1}
        served.end()
    samples = [(row["id"], row["sample"]) for row in read(tmp_path / "labels.jsonl")]
    assert {sample for _, sample in samples} == {"random", "picked"}
    write(tmp_path / "plain.jsonl", rows(40))  # without a grader's answers: what was picked stays picked
    assert main(["label", "policy.rbr", "plain.jsonl", "-o", "labels.jsonl", "--export"]) == 0
    assert [(row["id"], row["sample"]) for row in read(tmp_path / "labels.jsonl")] == samples
    assert main(["label", "policy.rbr", "rows.jsonl", "-o", "labels.jsonl", "--status", "--seed", "8"]) == 2
    assert "drawn with `--seed 7`, not 8" in capfd.readouterr().err
