"""The options of a grader: the same on the command line, in adapters, in `Scorer`, and in a trainer's configuration."""

from __future__ import annotations

import argparse
import json
import logging
import pickle
import re
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CHECKOUT
from faultserver import Action, FaultServer, answer

import rbrlang as rbr
from rbrlang.adapters.openrlhf import OpenRLHFReward
from rbrlang.adapters.tunix import TunixReward
from rbrlang.cli import graders
from rbrlang.cli import options as shared
from rbrlang.grading.questions.options import GraderOptions
from rbrlang.grading.questions.specs import GraderError
from rbrlang.grading.trust.calibrate import Calibrated, Calibration, Platt, write
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.rows.read import row_from
from rbrlang.scoring.graders import grader_of
from rbrlang.scoring.score import Scorer

CHANGED: dict[str, tuple[list[str], object]] = {
    "heads": (["--heads", "h.safetensors"], Path("h.safetensors")),
    "base_url": (["--base-url", "http://localhost:1/v1"], "http://localhost:1/v1"),
    "calibration": (["--calibration", "c.json"], Path("c.json")),
    "samples": (["--samples", "3"], 3),
    "sample_risk": (["--sample-risk", "0.1"], 0.1),
    "thought_tokens": (["--thought-tokens", "64"], 64),
    "min_mass": (["--min-mass", "0.25"], 0.25),
    "template": (["--template", "enable_thinking=true"], (("enable_thinking", True),)),
    "discover": (["--no-discover"], False),
    "allow_abstain": (["--allow-abstain"], True),
    "layout": (["--layout", "question-first"], "question-first"),
    "cache": (["--cache", "a.answers"], Path("a.answers")),
    "concurrency": (["--concurrency", "2"], 2),
    "rpm": (["--rpm", "30"], 30.0),
    "tpm": (["--tpm", "9000"], 9000.0),
    "timeout": (["--timeout", "5"], 5.0),
    "price_in": (["--price-in", "0.5"], 0.5),
    "price_out": (["--price-out", "2"], 2.0),
    "seed": (["--seed", "7"], 7),
    "order": (["--order", "2"], 2),
    "questions": (["--questions", "4"], 4),
}
OF_SERVE = {"patience"}
OF_A_FILE = {"request", "file_digest", "key_env", "retries", "context", "threads"}


def parser() -> argparse.ArgumentParser:
    """What every command with a grader takes, beside its own."""
    made = argparse.ArgumentParser(add_help=False)
    shared.seed_argument(made, shared.OF_A_GRADER)
    shared.grader_arguments(made)
    return made


def test_the_command_line_and_the_options_are_the_same() -> None:
    named = {action.dest for action in parser()._actions} - {"grader"}
    assert named == {field.name for field in fields(GraderOptions)} - OF_SERVE - OF_A_FILE
    assert named == set(CHANGED)
    assert graders.chosen(parser().parse_args([])) == GraderOptions()
    for name, (words, value) in CHANGED.items():
        found = graders.chosen(parser().parse_args(words))
        assert found == GraderOptions(**{name: value})  # type: ignore[arg-type]
        assert GraderOptions.read(found.plain()) == found
    assert graders.chosen(parser().parse_args(["--template", "none"])).template == ()


def test_a_configuration_gives_plain_values() -> None:
    config = json.loads('{"timeout": 30, "rpm": null, "template": {"enable_thinking": true}, "samples": 4}')
    found = GraderOptions.read(config)
    assert found == GraderOptions(timeout=30.0, template=(("enable_thinking", True),), samples=4)
    assert GraderOptions.read({"template": "none"}).template == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"base_ul": "x"}, "there is no option `base_ul`; did you mean `base_url`?"),
        ({"quux": 1}, "there is no option `quux`; there are `heads`, `base_url`"),
        ({"concurrency": 0}, "the option `concurrency` is 0, which is not a whole number above 0"),
        ({"concurrency": "8"}, "the option `concurrency` is '8', which is not a whole number above 0"),
        ({"samples": True}, "the option `samples` is True, which is not a whole number of 0 or more"),
        ({"min_mass": 1.5}, "the option `min_mass` is 1.5, which is not a number from 0 to 1"),
        ({"timeout": float("nan")}, "the option `timeout` is nan, which is not a number above 0"),
        ({"rpm": 0}, "the option `rpm` is 0, which is not a number above 0"),
        ({"price_in": -1}, "the option `price_in` is -1, which is not a number of 0 or more"),
        ({"layout": "first"}, "which is not `question-first` or `conversation-first`"),
        ({"template": {"a": 1}}, "which is not a mapping of names to true or false, or `none`"),
        ({"template": "some"}, "which is not a mapping of names to true or false, or `none`"),
        ({"discover": "no"}, "the option `discover` is 'no', which is not true or false"),
        ({"cache": 7}, "the option `cache` is 7, which is not the name of a file"),
        ({"base_url": ""}, "the option `base_url` is '', which is not a text"),
    ],
)
def test_what_is_no_option_is_one_sentence(given: dict[str, object], said: str) -> None:
    with pytest.raises(GraderError, match=re.escape(said)):
        GraderOptions.read(given)


# --- where they are used ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    """The example's policy with its default weights."""
    policy = rbr.load(CHECKOUT / "examples" / "refusals" / "policy.rbr")
    return Artefact(policy.circuit, rbr.compile(policy).host.weights, policy.sources, None, {})


ROWS = [row_from({"prompt": "Hello?", "completion": f"Hello {i}.", "response_type": "comply"}) for i in range(3)]


def test_adapters_and_scorers_say_what_is_no_option(artefact: Artefact) -> None:
    with pytest.raises(GraderError, match="no option `base_ul`; did you mean `base_url`"):
        Scorer(artefact, "openai:m", base_ul="http://localhost:1/v1")
    with pytest.raises(GraderError, match="no option `colums`; did you mean `columns`"):
        TunixReward(artefact, colums=None)
    with pytest.raises(GraderError, match="no option `end`; did you mean `ends`"):
        OpenRLHFReward(artefact, end="x")
    with pytest.raises(GraderError, match="takes no option `cache`"):
        TunixReward(artefact, lambda items, wanted: [{} for _ in items], cache="x")
    with pytest.raises(GraderError, match=r"cannot read `.*nowhere\.json`: no such file"):
        Scorer(artefact, calibration="nowhere.json")
    with pytest.raises(GraderError, match=r"cannot read `.*nowhere\.safetensors`: no such file"):
        Scorer(artefact, heads="nowhere.safetensors")


def test_options_reach_the_server(
    artefact: Artefact, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with FaultServer(lambda body, seen: answer(body)) as server, caplog.at_level(logging.INFO, "rbrlang"):
        given: dict[str, Any] = {
            "base_url": server.url, "template": {"enable_thinking": True}, "concurrency": 1, "discover": False,
            "cache": tmp_path / "a.answers", "price_in": 1000.0, "layout": "conversation-first",
        }  # fmt: skip
        scorer = pickle.loads(pickle.dumps(Scorer(artefact, "openai:m", **given)))
        first = scorer(ROWS)
        assert not first.invalid.any()
        sent = [json.loads(body) for body in server.received if body]
        assert server.most_open == 1
        assert set(server.paths) == {"/v1/chat/completions"}
        assert all(body["chat_template_kwargs"] == {"enable_thinking": True} for body in sent)
        again = scorer(ROWS)
        np.testing.assert_array_equal(first.rewards, again.rewards)
        assert sum(server.received.values()) == len(sent)  # the second time from the cache
    lines = [record.getMessage() for record in caplog.records if "completions graded" in record.getMessage()]
    assert f"{len(sent)} requests, 0 more" in lines[0]
    assert lines[0].endswith(f"cost {len(sent) * 100 * 1000 / 1e6:.4f}")
    assert f"0 requests, {len(sent)} more" in lines[1]


def test_sampled_answers_and_the_least_mass(artefact: Artefact) -> None:
    with FaultServer(lambda body, seen: answer(body)) as server:
        Scorer(artefact, "openai:m", base_url=server.url, samples=2, seed=5)(ROWS[:1])
        assert {json.loads(body)["seed"] for body in server.received} == {5, 6}
        # The server gives yes and no 90 % of the probability.
        strict = Scorer(artefact, "openai:m", base_url=server.url, min_mass=0.95)(ROWS[:1])
    assert "0.9" in (strict.reasons[0] or "")
    assert strict.invalid.all()


def test_requests_a_minute_hold_over_batches(artefact: Artefact) -> None:
    """Two batches of one completion each, at no more than 1200 requests a minute: one each 50 ms."""
    arrived: list[float] = []

    def script(body: bytes, seen: int) -> Action:
        arrived.append(time.monotonic())
        return answer(body)

    with FaultServer(script) as server:
        scorer = Scorer(artefact, "openai:m", base_url=server.url, rpm=1200, discover=False)
        for row in ROWS:
            scorer([row])
    assert len(arrived) > 3
    assert arrived[-1] - arrived[0] >= 0.05 * (len(arrived) - 1) - 0.04


def test_a_calibration_is_applied_and_belongs_to_its_grader(artefact: Artefact, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    with FaultServer(lambda body, seen: answer(body)) as server:
        plain = Scorer(artefact, "openai:m", base_url=server.url)
        names = artefact.circuit.propositions
        identity = grader_of("openai:m", artefact, GraderOptions(base_url=server.url)).identity
        write(file, Calibration(identity, 0, tuple(Calibrated(name, 100, Platt(1.0, 1.0), None) for name in names)))
        shifted = Scorer(artefact, "openai:m", base_url=server.url, calibration=file)(ROWS).probs
        raw = plain(ROWS).probs
        known = ~np.isnan(raw)
        logit = np.log(raw[known] / (1 - raw[known]))
        np.testing.assert_allclose(shifted[known], 1 / (1 + np.exp(-(logit + 1))), atol=1e-5)
        with pytest.raises(GraderError, match="the calibration was made for grader `openai:m"):
            Scorer(artefact, "openai:other", base_url=server.url, calibration=file)
