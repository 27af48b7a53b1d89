"""The paper's experiments, in short: the same code as `examples/jax_grpo/paper.py`, at the smallest sizes."""

# pyright: basic
from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import claims
import graders
import grpo
import jax.numpy as jnp
import kept
import numpy as np
import page
import paper
import pictures
import ppo
import pytest
import results
import studies
import trial
import whys
from judge import Reader, items_of
from world import build_world

DOCS = Path(__file__).resolve().parent.parent / "docs"
SEED = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every study in short, on one seed."""
    out = tmp_path_factory.mktemp("paper")
    paper.main(["--all", "--short", "--seeds", str(SEED), "--workers", "1", "--out", str(out)])
    return out


def _found(folder: Path) -> dict:
    """What was found, without what it cost."""
    report = json.loads((folder / "paper.json").read_text(encoding="utf-8"))
    del report["cost"]
    return report


# --- the settings -----------------------------------------------------------------------------


def test_no_seed_is_shown_that_settings_were_chosen_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert not studies.TUNED & set(studies.SHOWN)
    assert len(studies.SHOWN) == 5
    with pytest.raises(ValueError, match="seed 100"):
        studies.shown_seeds([0, 100])
    with pytest.raises(SystemExit):
        paper.main(["--all", "--seeds", "101"])
    assert "settings were chosen on seed 101" in capsys.readouterr().err


def test_a_name_is_one_setting_and_a_setting_has_one_name() -> None:
    every = [setting for study in studies.STUDIES for _, setting in study.settings]
    assert len({one.name for one in every}) == len(set(every))
    assert len({replace(one, name="") for one in every}) == len(set(every))
    assert len([one for one in every if one == studies.CENTRE]) > 5


# --- running ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_study_runs_in_short(folder: Path) -> None:
    report = results.Report.read(folder / "paper.json")
    wanted = {one.name for one in studies.settings_of([study.short for study in studies.STUDIES])}
    assert report.runs.keys() == wanted
    for of in report.runs.values():
        assert of.keys() == {SEED}
        assert all(0 <= value <= 1 for value in of[SEED]["rates"].values())
        assert 0 <= results.error(of[SEED]) <= 1
    lazy = report.runs["weak KL, lazy"][SEED]
    assert 0 < lazy["asked"] < 1
    assert lazy["watched"]["steps"] == [0]
    assert lazy["ranking"]["probe"]["trials"] > 1000
    assert (folder / "paper.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert not list(folder.glob("*.part"))


@pytest.mark.slow
def test_two_runs_with_one_seed_are_identical_and_a_killed_one_goes_on(folder: Path, tmp_path: Path) -> None:
    argv = ["--study", "grader", "--short", "--seeds", str(SEED), "--workers", "1", "--out", str(tmp_path)]
    paper.main(argv)
    first, whole = _found(tmp_path), (tmp_path / "paper.md").read_bytes()
    for name, of in first["runs"].items():
        assert of == _found(folder)["runs"][name]
    lines = (tmp_path / "runs.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    assert len(lines) == 2
    (tmp_path / "runs.jsonl").write_text(lines[0] + lines[1][: len(lines[1]) // 2], encoding="utf-8")
    paper.main(argv)
    assert _found(tmp_path) == first
    assert (tmp_path / "paper.md").read_bytes() == whole
    again = (tmp_path / "runs.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    assert again[0] == lines[0]  # it was not run again, for its seconds would differ
    assert len(again) == 2


def test_a_line_counts_for_its_plan_and_its_setting_alone(tmp_path: Path) -> None:
    lines = results.Lines(tmp_path / "runs.jsonl")
    lines.add(paper.SHORT, 0, studies.CENTRE, {"rates": {"F1": math.nan}}, 1.0)
    read = results.Lines(tmp_path / "runs.jsonl").found
    assert read[results.key(paper.SHORT, 0, studies.CENTRE)]["found"] == {"rates": {"F1": None}}
    for plan, seed, setting in (
        (replace(paper.SHORT, rl_steps=3), 0, studies.CENTRE),
        (paper.SHORT, 1, studies.CENTRE),
        (paper.SHORT, 0, replace(studies.CENTRE, kl=0.1)),
    ):
        assert results.key(plan, seed, setting) not in read


@pytest.mark.slow
def test_models_of_another_plan_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="another plan"):
        kept.told(replace(paper.SHORT, width=8), SEED, folder)


# --- the parts --------------------------------------------------------------------------------


def test_planted_mistakes_come_at_their_rate_and_stay() -> None:
    world = build_world(paper.SHORT.sizes, SEED)
    reader, items = Reader(world.policy, world.bank), items_of(world.policy, world.texts["fit"])
    truth = graders.Planted(reader, world.vocabulary, 0.0, SEED).probabilities(items)
    labels = [[bool(row.labels[name]) for name in world.policy.circuit.propositions] for row in world.texts["fit"]]
    np.testing.assert_array_equal(truth > 0.5, labels)
    wrong = graders.Planted(reader, world.vocabulary, 0.2, SEED)
    mistaken = (wrong.probabilities(items) > 0.5) != (truth > 0.5)
    assert 0.17 < mistaken.mean() < 0.23
    again = graders.Planted(reader, world.vocabulary, 0.2, SEED).probabilities(items[::-1])[::-1]
    np.testing.assert_array_equal(again, wrong.probabilities(items))


def test_prompts_come_in_the_shares_that_were_asked_for() -> None:
    prompts = build_world(replace(paper.SHORT.sizes, learn=60), SEED).prompts["learn"]
    order = np.random.default_rng(0)

    def dealt(**changes: Any) -> Sequence:
        return trial.deal_of(replace(studies.CENTRE, **changes))(prompts, order)

    some = dealt(ruled=0.25)
    assert trial.safety_prompts(replace(studies.CENTRE, ruled=0.25)) == 4
    assert {row.category for row in some[4:]} == {"none"}
    assert len(some) == grpo.PROMPTS
    refused = [row.response_type != "comply" for row in dealt(refusals=0.25)]
    assert refused == [True] * 4 + [False] * 12
    assert trial.deal_of(studies.CENTRE) is grpo.evenly


def test_ppo_raises_the_chance_of_what_is_paid_for() -> None:
    words = jnp.array([[True, True, True], [True, True, False]])
    values = jnp.array([[0.5, 0.25, 0.75], [0.0, 1.0, 9.0]])
    found = ppo.gains(values, jnp.array([1.0, -1.0]), words)
    later = ppo.LAMBDA * (-2.0)
    np.testing.assert_allclose(found[1], [1.0 + later, -2.0, 0.0], rtol=1e-6)
    last = 0.25
    middle = 0.5 + ppo.LAMBDA * last
    np.testing.assert_allclose(found[0], [-0.25 + ppo.LAMBDA * middle, middle, last], rtol=1e-6)
    scaled = ppo.scaled(np.array([30.0, math.nan, -10.0], np.float32))
    assert scaled[[0, 2]].tolist() == [1.0, -1.0]
    assert math.isnan(scaled[1])


# --- what is said -----------------------------------------------------------------------------


def _claim(values: Sequence[float], bound: float | None = None) -> str:
    report = results.Report({}, tuple(range(3)), {}, {}, {})
    return claims.Claim("reward", "", "", "", claims.Found((), lambda _: list(values)), bound).verdict(report)


@pytest.mark.parametrize(
    ("values", "bound", "verdict"),
    [
        ([0.1, 0.12, 0.11], None, "agrees"),
        ([-0.1, -0.12, -0.11], None, "contradicts"),
        ([0.1, -0.12, 0.01], None, "cannot decide"),
        ([0.01, 0.0, -0.01], 0.05, "agrees"),
        ([0.2, 0.21, 0.19], 0.05, "contradicts"),
        ([0.2, -0.2, 0.0], 0.05, "cannot decide"),
        ([0.3, 0.3], None, "cannot decide"),
        ([], None, "cannot decide"),
    ],
)
def test_a_verdict_is_the_intervals(values: Sequence[float], bound: float | None, verdict: str) -> None:
    assert _claim(values, bound) == verdict


@pytest.fixture
def kept_report() -> dict[str, Any]:
    """The results of the page, as their file has them."""
    return json.loads((DOCS / "paper.json").read_text(encoding="utf-8"))


def _read(found: Any, path: Path) -> results.Report:
    path.write_text(found if isinstance(found, str) else json.dumps(found), encoding="utf-8")
    return results.Report.read(path)


def _of_some(found: dict[str, Any], names: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
    runs = {name: {str(seed): found["runs"][name][str(seed)] for seed in seeds} for name in names}
    parts = {str(seed): found["parts"][str(seed)] for seed in seeds}
    return {**found, "seeds": list(seeds), "runs": runs, "parts": parts}


@pytest.mark.parametrize("study", studies.STUDIES, ids=lambda study: study.name)
def test_every_study_has_a_page_of_its_own(study: studies.Study, kept_report: dict[str, Any], tmp_path: Path) -> None:
    names = [setting.name for _, setting in study.settings]
    for seeds in ([0, 1, 2, 3, 4], [2]):
        report = _read(_of_some(kept_report, names, seeds), tmp_path / "paper.json")
        text = page.page(report)
        assert text.count(f"\n| {study.settings[0][0]} |") >= 1
        for claim in claims.CLAIMS:
            mine = {one.name for one in claim.of.settings} <= set(names)
            verdict = claim.verdict(report)
            assert (verdict == "not all run") != mine
            assert not (mine and len(seeds) == 1) or verdict == "one seed has no interval"


def test_a_seed_that_is_missing_or_failed_leaves_no_verdict_and_no_explanation(
    kept_report: dict[str, Any], tmp_path: Path
) -> None:
    claim = next(one for one in claims.CLAIMS if one.expected == "Fitted weights are worth the fit.")
    assert "spread" in claim.why(_read(kept_report, tmp_path / "paper.json"))
    kept_report["runs"][studies.HAND.name]["3"] = {"failed": "no weights"}
    report = _read(kept_report, tmp_path / "paper.json")
    assert (claim.verdict(report), claim.why(report)) == ("no reward", "")
    assert "1 of them have no reward" in page.page(report)
    del kept_report["runs"][studies.HAND.name]["3"]
    report = _read(kept_report, tmp_path / "paper.json")
    assert (claim.verdict(report), claim.why(report)) == ("not all run", "")


def test_a_sentence_that_compares_is_said_where_its_own_interval_has_it(
    kept_report: dict[str, Any], tmp_path: Path
) -> None:
    report = _read(kept_report, tmp_path / "paper.json")
    style = whys.If("0% planted mistakes", "10% planted mistakes", "ideal refusals", "more")
    alike = whys.If("0% planted mistakes", "10% planted mistakes", "F1", "alike", within=0.05)
    assert whys.filled(report, (style, alike)) == "more\nalike"
    assert whys.filled(report, (replace(style, by=0.1), replace(alike, within=0.005), "told")) == "told"
    assert whys.filled(report, (replace(style, more=style.less, less=style.more),)) == ""
    told = whys.filled(report, "{human preferences less human preferences, as many labels as the rules|F1}")
    assert told == "-0.060 (-0.356 to +0.235)"


def test_a_verdict_about_nothing_is_not_a_contradiction() -> None:
    """Over many worlds without an effect, claims about the grader's mistakes go wrong about as often as an interval may."""
    order = np.random.default_rng(0)
    claim = next(one for one in claims.CLAIMS if one.expected == "A better grader makes over-refusals rarer.")
    seeds, verdicts = range(5), []
    for _ in range(400):
        runs = {
            one.name: {seed: {"rates": {"not over-refusing": order.normal(0.8, 0.05)}} for seed in seeds}
            for one in claim.of.settings
        }
        verdicts.append(claim.verdict(results.Report({}, tuple(seeds), runs, {}, {})))
    assert 1 <= verdicts.count("contradicts") <= 20
    assert 1 <= verdicts.count("agrees") <= 20


def test_a_correlation_is_of_every_setting_and_its_cut_is_one_for_all_seeds(
    kept_report: dict[str, Any], tmp_path: Path
) -> None:
    report = _read(kept_report, tmp_path / "paper.json")
    low = [one.name for one in results.low_error(report, studies.REWARDS, 0.2)]
    assert "10% planted mistakes" in low  # 0.217 on seed 0, 0.171 in the mean
    assert studies.HAND.name not in low  # 0.176 on seed 2, 0.209 in the mean
    assert list(results.foretold(report, studies.REWARDS)) == [0, 1, 2, 3, 4]
    del kept_report["runs"]["ridge 0.1"]["2"]
    partial = _read(kept_report, tmp_path / "paper.json")
    assert list(results.foretold(partial, studies.REWARDS)) == [0, 1, 3, 4]


def test_what_was_worded_after_results_were_seen_is_marked(kept_report: dict[str, Any], tmp_path: Path) -> None:
    text = page.page(_read(kept_report, tmp_path / "paper.json"))
    late = [claim for claim in claims.CLAIMS if claim.late]
    assert len(late) == 10
    for claim in claims.CLAIMS:
        assert (f"| {claim.expected} † |" in text) == claim.late


def test_one_study_alone_ends_with_its_page(
    kept_report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program from runs to page, where a run is looked up among the kept ones."""
    asked: list[tuple[str, int]] = []

    def run(plan: Any, seed: int, folder: Path, setting: studies.Setting) -> dict[str, Any]:
        asked.append((setting.name, seed))
        return kept_report["runs"][setting.name][str(seed)]

    monkeypatch.setattr(trial, "run", run)
    monkeypatch.setattr(kept, "make", lambda *_: None)
    monkeypatch.setattr(kept, "told", lambda _, seed, __: {"parts": kept_report["parts"][str(seed)], "seconds": 1.0})
    argv = ["--study", "reward", "--seeds", *"01234", "--workers", "1", "--out", str(tmp_path)]
    paper.main(argv)
    text = (tmp_path / "paper.md").read_text(encoding="utf-8")
    assert "They beat the helpful reward model alone." in text
    assert "Like the paper's is `none`" not in text  # that setting was not run
    assert len(asked) == 40
    (tmp_path / "runs.jsonl").write_bytes(b"[]\n" + (tmp_path / "runs.jsonl").read_bytes())
    paper.main(argv)
    assert len(asked) == 40
    assert "damaged perhaps: 1" in capsys.readouterr().out
    assert (tmp_path / "paper.md").read_text(encoding="utf-8") == text


# --- what somebody gives ------------------------------------------------------------------------


def _damaged(found: dict[str, Any], *path: Any, value: Any) -> dict[str, Any]:
    *way, last = path
    at = found
    for step in way:
        at = at[step]
    at[last] = value
    return found


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda found: json.dumps(found)[:1000], "Unterminated|Expecting"),
        (lambda _: "[1, 2]", "the file is not an object"),
        (lambda _: '{"rows": 3}', "`plan` is not an object"),
        (lambda _: "[" * 100_000, "not a report"),
        (lambda found: _damaged(found, "runs", "ridge 0.1", "2", "rates", "F1", value=None), "`ridge 0.1`, seed 2, `rates`: `F1`"),
        (lambda found: _damaged(found, "runs", "ridge 0.1", "2", "ranking", value=None), "`ridge 0.1`, seed 2, `ranking`"),
        (lambda found: _damaged(found, "runs", "weak KL", "2", "watched", "curves", value={}), "grader's reward"),
        (lambda found: _damaged(found, "runs", "ridge 7", value={}), "`ridge 7`, which is no setting"),
        (lambda found: _damaged(found, "seeds", value=[0, 1, 2, 3]), "has seed `4`"),
        (lambda found: _damaged(found, "seeds", value=[0, 1, 2, 3, 4, 4]), "one twice"),
        (lambda found: _damaged(found, "seeds", value=[0, 1, 2, 3, 4, 100]), "settings were chosen on seed 100"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_report_is_refused_by_name(
    damage: Any, said: str, kept_report: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "given.json"
    with pytest.raises(ValueError, match=said):
        _read(damage(kept_report), path)
    with pytest.raises(SystemExit):
        paper.main(["--from", str(path), "--out", str(tmp_path)])
    told = capsys.readouterr().err
    assert f"--from: `{path}`" in told
    assert "give the `paper.json`" in told
    assert not (tmp_path / "paper.md").exists()


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "given.json").write_bytes(b"\xff\xfe\x00")
    for name, said in (("none.json", "No such file"), ("given.json", "utf-8"), (".", "Is a directory")):
        with pytest.raises(SystemExit):
            paper.main(["--from", str(tmp_path / name), "--out", str(tmp_path)])
        assert said in capsys.readouterr().err


def test_a_seed_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        paper.main(["--all", "--seeds", "1", "2", "1", "--out", str(tmp_path)])
    assert "--seeds has 1 more than once" in capsys.readouterr().err


def test_a_folder_of_another_plan_or_of_no_models_is_refused(tmp_path: Path) -> None:
    argv = ["--study", "ridge", "--seeds", "0", "--workers", "1", "--out", str(tmp_path)]
    with pytest.raises(SystemExit, match=r"--out: `.*seed-0` is not made yet"):
        paper.main([*argv, "--done"])
    (tmp_path / "seed-0").mkdir()
    (tmp_path / "seed-0" / "kept.json").write_text('{"plan": {"width": 8}}', encoding="utf-8")
    for more in ([], ["--done"]):
        with pytest.raises(SystemExit, match="made under another plan"):
            paper.main([*argv, *more])


def test_lines_that_are_no_runs_are_counted_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    results.Lines(path).add(paper.SHORT, 0, studies.CENTRE, {"rates": {"F1": 0.5}}, 1.0)
    whole = path.read_bytes()
    strange = b'3\n{"key": 1}\n{"key": "a", "seconds": 2}\n\xff\xfe\nnull\n\n'
    path.write_bytes(strange + whole + b'{"key": "half')
    lines = results.Lines(path)
    assert lines.unread == 6
    assert list(lines.found) == [results.key(paper.SHORT, 0, studies.CENTRE)]
    told: list[str] = []
    paper._lines(tmp_path, told.append)
    assert "damaged perhaps: 6" in told[0]
    assert path.read_bytes() == strange + whole + b'{"key": "half'  # who only reads changes nothing
    lines.add(paper.SHORT, 1, studies.CENTRE, {"rates": {}}, 1.0)
    assert path.read_bytes().startswith(strange + whole + b'{"key": "[')  # half a line is cut off
    again = results.Lines(path)
    assert (len(again.found), again.unread) == (2, 5)
    path.write_bytes(whole.rstrip(b"\n"))  # a run without its line's end is one
    results.Lines(path).add(paper.SHORT, 1, studies.CENTRE, {"rates": {}}, 1.0)
    assert (len(results.Lines(path).found), results.Lines(path).unread) == (2, 0)


def test_a_folder_has_one_process_and_a_dead_ones_lock_is_none(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("999999", encoding="utf-8")  # as a killed process leaves it
    with paper._alone(tmp_path):
        assert (tmp_path / "lock").read_text(encoding="utf-8") == str(os.getpid())
        with pytest.raises(SystemExit, match=f"process {os.getpid()} runs into .* give another folder"):
            paper.main(["--study", "grader", "--short", "--seeds", "3", "--out", str(tmp_path)])
    with paper._alone(tmp_path):
        pass


def test_page_and_picture_are_replaced_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report, told = results.Report.read(DOCS / "paper.json"), []
    paper.draw(report, tmp_path, told.append)
    assert not told
    assert (tmp_path / "paper.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "](paper.png)" in (tmp_path / "paper.md").read_text(encoding="utf-8")
    monkeypatch.setattr(pictures, "_scatter", lambda *_: 1 / 0)
    paper.draw(report, tmp_path, told.append)
    assert "could not be drawn (ZeroDivisionError" in told[0]
    text = (tmp_path / "paper.md").read_text(encoding="utf-8")
    assert "There is no picture: it could not be drawn" in text
    assert "](paper.png)" not in text
    assert not (tmp_path / "paper.png").exists()
    assert not list(tmp_path.glob("*.part"))


# --- the page that is kept ----------------------------------------------------------------------


def test_the_page_is_what_the_results_say() -> None:
    report = results.Report.read(DOCS / "paper.json")
    assert (DOCS / "paper.md").read_text(encoding="utf-8") == page.page(report)
    assert not studies.TUNED & set(report.seeds)
    assert (DOCS / "paper.json").stat().st_size < 300_000


def test_a_contradiction_is_said_as_plainly_as_an_agreement() -> None:
    report = results.Report.read(DOCS / "paper.json")
    verdicts = [claim.verdict(report) for claim in claims.CLAIMS]
    text = page.page(report)
    for verdict in set(verdicts):
        assert text.count(f"**{verdict}**") == verdicts.count(verdict)
    assert {"contradicts", "cannot decide"} & set(verdicts)
