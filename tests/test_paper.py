"""The paper's experiments, in short: the same code as `examples/jax_grpo/paper.py`, at the smallest sizes."""

# pyright: basic
from __future__ import annotations

import json
import math
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
import ppo
import pytest
import results
import studies
import trial
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
    return claims.Claim("reward", "", "", "", lambda _: list(values), bound).verdict(report)


@pytest.mark.parametrize(
    ("values", "bound", "verdict"),
    [
        ([0.1, 0.12, 0.11], None, "agrees"),
        ([-0.1, -0.12, -0.11], None, "contradicts"),
        ([0.1, -0.12, 0.01], None, "cannot decide"),
        ([0.01, 0.0, -0.01], 0.05, "agrees"),
        ([0.2, 0.21, 0.19], 0.05, "contradicts"),
        ([0.2, -0.2, 0.0], 0.05, "cannot decide"),
        ([0.3, 0.3], None, "not all run"),
        ([], None, "not all run"),
    ],
)
def test_a_verdict_is_the_intervals(values: Sequence[float], bound: float | None, verdict: str) -> None:
    assert _claim(values, bound) == verdict


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
