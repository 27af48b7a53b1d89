"""Each adapter in the form that its trainer calls, without the trainer; `test_adapters_trainers` has those."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import pickle
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import CHECKOUT

import rbrlang as rbr
from rbrlang.adapters.nemo_gym import NeMoGymReward, component_names
from rbrlang.adapters.openrlhf import OpenRLHFReward
from rbrlang.adapters.trl import TRLReward
from rbrlang.adapters.tunix import RewardManager, TunixError, TunixReward
from rbrlang.adapters.verifiers import VerifiersReward
from rbrlang.adapters.verl import VerlReward, compute_score, compute_score_async, compute_scores
from rbrlang.grading.questions.specs import GraderError
from rbrlang.grading.results import Answer, GradeItem, Invalid, Value
from rbrlang.rows.read import Row, read_rows
from rbrlang.scoring.columns import Columns, ColumnsError
from rbrlang.scoring.invalid import OnInvalidError, UnscoredError

EXAMPLE = CHECKOUT / "examples" / "refusals"
ROWS = read_rows(EXAMPLE / "completions.jsonl").rows[:12]


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The example's policy with its default weights, as a file."""
    target = tmp_path_factory.mktemp("artefact") / "refusals.rbrc"
    policy = rbr.load(EXAMPLE / "policy.rbr")
    rbr.write(target, policy, rbr.compile(policy))
    return str(target)


class FailingJudge:
    """0.9 for everything, and a failure for completions that say "broken"."""

    def __call__(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
        failed = Invalid("transport", "no answer within 60 s")
        good = Value(0.9, 1.0, 0.9, 0.9, "function")
        return [
            dict.fromkeys(of, failed if "broken" in i.completion else good) for i, of in zip(items, wanted, strict=True)
        ]


def expected(artefact: str) -> list[float]:
    """Rewards of `ROWS` by the embedded grader, through the scorer's own interface."""
    columns = {"response_type": [row.response_type for row in ROWS]}
    return TunixReward(artefact).scores([row.prompt[-1].text for row in ROWS], texts(), columns, None).rewards.tolist()


def texts() -> list[str]:
    """The completions of `ROWS`."""
    return [row.completion_text for row in ROWS]


# --- TRL --------------------------------------------------------------------------------------


def trl(reward: TRLReward, completions: list[Any], types: list[str | None], **more: Any) -> list[float | None]:
    """One call as TRL's."""
    prompts = [[{"role": "user", "content": row.prompt[-1].text}] for row in ROWS[: len(completions)]]
    return asyncio.run(
        reward(
            prompts=prompts, completions=completions, completion_ids=[[1]] * len(completions), response_type=types,
            trainer_state=object(), **more,
        )
    )  # fmt: skip


def test_trl_takes_messages_and_logs(artefact: str) -> None:
    metrics: dict[str, float] = {}
    extra: dict[str, list[Any]] = {}
    got = trl(
        TRLReward(artefact),
        [[{"role": "assistant", "content": text}] for text in texts()],
        [row.response_type for row in ROWS],
        log_metric=metrics.__setitem__,
        log_extra=extra.__setitem__,
    )
    np.testing.assert_allclose(np.array(got, float), expected(artefact), atol=1e-6)
    assert {"rbr/apology/p", "rbr/class/ideal", "rbr/invalid_rate", "rbr/answer_mass/min"} <= set(metrics)
    assert all(math.isfinite(v) for v in metrics.values())
    assert len(extra["rbr_class"]) == len(ROWS)
    assert set(extra["rbr_class"]) <= {"ideal", "minimum_acceptable_style", "unacceptable", "illogical", "disallowed"}


def test_trl_leaves_out_what_has_no_reward(artefact: str) -> None:
    metrics: dict[str, float] = {}
    extra: dict[str, list[Any]] = {}
    got = trl(
        TRLReward(artefact, FailingJudge()), ["fine", "broken", "fine"], ["comply", "comply", "no such type"],
        log_metric=metrics.__setitem__, log_extra=extra.__setitem__,
    )  # fmt: skip
    assert got[1:] == [None, None]
    assert isinstance(got[0], float)
    assert metrics["rbr/invalid_rate"] == pytest.approx(2 / 3)
    assert "no answer within 60 s" in extra["rbr_reason"][1]
    with pytest.raises(UnscoredError, match="2 of 3"):
        trl(TRLReward(artefact, FailingJudge(), on_invalid="raise"), ["a", "broken", "c"], ["comply", "comply", "x"])
    named = trl(TRLReward(artefact, FailingJudge(), on_invalid=-3), ["fine", "broken"], ["comply", "comply"])
    assert named[1] == -3.0


# --- Tunix ------------------------------------------------------------------------------------


def test_tunix_reward_is_a_list_of_numbers_that_knows_its_limits(artefact: str) -> None:
    reward = TunixReward(artefact)
    types = np.array([row.response_type for row in ROWS])
    prompts = [row.prompt[-1].text for row in ROWS]
    got = reward(prompts=prompts, completions=texts(), response_type=types, trajectory_ids=["0_0"] * 12, mode="train")
    assert got == pytest.approx(expected(artefact))
    assert all(type(r) is float for r in got)
    with pytest.raises(UnscoredError, match="completion 1: no answer for"):
        TunixReward(artefact, FailingJudge())(["p", "p"], ["fine", "broken"], response_type=["comply", "comply"])
    with pytest.raises(TunixError, match="integer array"):
        reward(["p"], ["c"], algo_variant="ppo", response_type=["comply"])
    with pytest.raises(TunixError, match='reward_manager="rbr"'):
        TunixReward(artefact, on_invalid="mask")(["p"], ["c"], response_type=["comply"])
    with pytest.raises(OnInvalidError, match="it reads None as 0"):
        TunixReward(artefact, on_invalid="none")


def manager(reward: Any, variant: str = "grpo", group: int = 4) -> RewardManager:
    """The reward manager as a learner makes it."""
    return RewardManager(reward_fns=reward, algo_config=SimpleNamespace(algo_variant=variant, num_generations=group))


def test_tunix_manager_never_returns_what_is_no_number(artefact: str) -> None:
    said = ["fine", "broken", "fine too", "fine as well"]
    columns: dict[str, Any] = {
        "response_type": np.array(["comply"] * 4),
        "trajectory_ids": ["0_0"] * 4,
        "mode": "train",
    }
    with pytest.raises(UnscoredError, match="1 of 4"):
        manager([TunixReward(artefact, FailingJudge())])(["p"] * 4, said, **columns)
    for setting in ("mask", -2.0):
        found = manager(TunixReward(artefact, FailingJudge(), on_invalid=setting))(["p"] * 4, said, **columns)
        assert np.isfinite(found["rewards"]).all()
        assert found["log_metrics"]["rbr/invalid_rate"] == (0.25, np.mean)
        assert all(np.isfinite(value) for value, _ in found["log_metrics"].values())
    masked = manager(TunixReward(artefact, FailingJudge(), on_invalid="mask"))(["p"] * 4, said, **columns)["rewards"]
    assert masked[1] == pytest.approx(masked[[0, 2, 3]].mean())


def test_tunix_manager_refuses_what_it_cannot_do(artefact: str) -> None:
    with pytest.raises(TunixError, match=r"integer array, which cuts 0\.9 off to 0"):
        manager([TunixReward(artefact)], variant="ppo")
    with pytest.raises(TunixError, match="one TunixReward in reward_fns, not 0"):
        manager([len])
    with pytest.raises(TunixError, match="not 2"):
        manager([TunixReward(artefact), TunixReward(artefact)])
    with pytest.raises(TunixError, match="needs groups"):
        manager([TunixReward(artefact, on_invalid="mask")], group=0)


def test_tunix_environments_give_the_base_reward(artefact: str) -> None:
    columns: dict[str, Any] = {"response_type": ["comply"] * 2}
    plain = manager([TunixReward(artefact)])(["p"] * 2, ["a", "b"], **columns)["rewards"]
    added = manager([TunixReward(artefact)])(["p"] * 2, ["a", "b"], trajectory_rewards=[0.5, -1.0], **columns)[
        "rewards"
    ]
    np.testing.assert_allclose(added - plain, [0.5, -1.0], atol=1e-6)


# --- verl -------------------------------------------------------------------------------------


def verl_batch(rows: Sequence[Row]) -> dict[str, Any]:
    """Rows as `BatchRewardManager` hands them over."""
    return {
        "data_sources": np.array(["refusals"] * len(rows), object),
        "solution_strs": [row.completion_text for row in rows],
        "ground_truths": [None] * len(rows),
        "extra_infos": np.array(
            [{"prompt": row.prompt[-1].text, "response_type": row.response_type} for row in rows], object
        ),
    }


def test_verl_has_the_same_keys_every_time(artefact: str) -> None:
    keys: set[tuple[str, ...]] = set()
    for row, want in zip(ROWS, expected(artefact), strict=True):
        extra = {
            "prompt": np.array([{"role": "user", "content": row.prompt[-1].text}]),
            "response_type": row.response_type,
        }
        got = compute_score("refusals", row.completion_text, None, extra, artefact=artefact, reward_router_address="x")
        assert got["score"] == pytest.approx(want)
        assert all(value is None or (type(value) is float and math.isfinite(value)) for value in got.values())
        parts = [v for k, v in got.items() if k.startswith("rbr/contribution/") and v is not None]
        assert math.fsum(parts) == pytest.approx(got["rbr/rules/mean"], abs=1e-5)
        of = {k.split("/")[2] for k, v in got.items() if k.startswith("rbr/contribution/") and v is not None}
        assert of == {row.response_type}
        keys.add(tuple(got))
    reward = VerlReward(artefact, FailingJudge(), on_invalid=-1.0)
    got = reward("refusals", "broken", None, {"prompt": "p", "response_type": "soft_refusal"})
    assert got["score"] == -1.0
    assert got["rbr/invalid_rate"] == 1.0
    assert got["rbr/reward/mean"] is None
    keys.add(tuple(got))
    assert len(keys) == 1
    assert {"rbr/apology/p", "rbr/contribution/hard_refusal/apology"} <= set(next(iter(keys)))


def test_verl_grades_a_batch_as_one(artefact: str) -> None:
    single = [compute_score(*one, artefact=artefact) for one in zip(*verl_batch(ROWS).values(), strict=True)]
    for got, want in zip(compute_scores(**verl_batch(ROWS), artefact=artefact), single, strict=True):
        assert tuple(got) == tuple(want)
        assert got == {name: value if value is None else pytest.approx(value, abs=1e-5) for name, value in want.items()}
    assert compute_scores([], [], [], [], artefact=artefact) == []
    sizes: list[int] = []

    class Counting(FailingJudge):
        def __call__(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
            sizes.append(len(items))
            return super().__call__(items, wanted)

    given = verl_batch(ROWS)
    VerlReward(artefact, Counting()).batch(**given)
    assert sizes == [len(ROWS)]
    given["extra_infos"][3] = None
    with pytest.raises(ColumnsError, match=r"completion 3: there is no `prompt`"):
        VerlReward(artefact, Counting()).batch(**given)
    given = verl_batch(ROWS)
    given["solution_strs"][2] = "broken"
    with pytest.raises(UnscoredError, match=r"completion 2: no answer for .*no answer within 60 s"):
        VerlReward(artefact, Counting()).batch(**given)


def test_verl_grades_what_waits_together(artefact: str) -> None:
    """While one is graded the others arrive; each gets its own, in every event loop and in a worker's copy."""
    sizes: list[int] = []
    started = threading.Event()

    class Slow(FailingJudge):
        def __call__(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
            sizes.append(len(items))
            if not started.is_set():
                started.set()
                assert arrived.wait(30)
            return super().__call__(items, wanted)

    arrived = threading.Event()
    reward = VerlReward(artefact, Slow(), on_invalid=-9.0)
    texts = ["fine", *("broken" if i % 3 == 0 else f"fine {i}" for i in range(20))]
    extra = {"prompt": "p", "response_type": "comply"}

    async def run() -> list[Any]:
        first = asyncio.create_task(reward.together("d", texts[0], None, extra))
        await asyncio.to_thread(started.wait, 30)
        rest = [asyncio.create_task(reward.together("d", text, None, extra)) for text in texts[1:]]
        await asyncio.sleep(0)
        arrived.set()
        return await asyncio.gather(first, *rest)

    for graded in ([1, 20], [1, 20, 1, 20]):
        found = asyncio.run(run())
        assert [one["score"] == -9.0 for one in found] == [text == "broken" for text in texts]
        assert sizes == graded
        started.clear()
        arrived.clear()

    async def afresh() -> Any:
        extra = {"prompt": "p", "response_type": "comply"}
        return await compute_score_async("d", "c", None, extra, artefact=artefact)

    assert asyncio.run(afresh()) == compute_score("d", "c", None, extra, artefact=artefact)
    judged = VerlReward(artefact)
    asyncio.run(judged.together("d", "c", None, extra))
    assert pickle.loads(pickle.dumps(judged))("d", "c", None, extra) == judged("d", "c", None, extra)


def test_verl_says_what_is_missing(artefact: str) -> None:
    with pytest.raises(ColumnsError, match=r"reward_kwargs\.artefact"):
        compute_score("d", "c", None, {})
    with pytest.raises(GraderError, match="no option `base_ul`; did you mean `base_url`"):
        compute_score("d", "c", None, {}, artefact=artefact, base_ul="x")
    with pytest.raises(GraderError, match="no option `artifact`; did you mean `artefact`"):
        compute_score("d", "c", None, {}, artifact=artefact)
    with pytest.raises(ColumnsError, match="does not hand over the prompt"):
        compute_score("d", "c", None, {"response_type": "comply"}, artefact=artefact)
    with pytest.raises(ColumnsError, match=r"reward_kwargs\.columns has `kind`; it takes `response_type`"):
        compute_score("d", "c", None, {}, artefact=artefact, columns={"kind": "x"})
    with pytest.raises(UnscoredError, match="no answer within 60 s"):
        VerlReward(artefact, FailingJudge())("d", "broken", None, {"prompt": "p", "response_type": "comply"})
    by_source = compute_score(
        "comply", "c", "p", None, artefact=artefact, columns={"response_type": "data_source", "prompt": "ground_truth"}
    )
    assert math.isfinite(by_source["score"])


# --- OpenRLHF ---------------------------------------------------------------------------------


def test_openrlhf_reads_query_and_label(artefact: str) -> None:
    reward = OpenRLHFReward(artefact, ends=("<|im_end|>", "</s>"))
    for row, want in zip(ROWS, expected(artefact), strict=True):
        prompt = row.prompt[-1].text
        label = json.dumps({"response_type": row.response_type, "prompt": prompt})
        templated = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
        got = reward([f"{templated}{row.completion_text}<|im_end|>\n</s>"], [templated], [label])
        assert got["rewards"] == got["scores"] == [pytest.approx(want)]
        assert got["extra_logs"]["rbr/invalid_rate"] == 0.0
    bare = OpenRLHFReward(artefact)(["pc"], ["p"], ["comply"])
    assert len(bare["rewards"]) == 1


def test_openrlhf_logs_before_its_trainer_swallows_the_error(artefact: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "rbrlang"), pytest.raises(UnscoredError):
        OpenRLHFReward(artefact, FailingJudge())(["p broken"], ["p"], ["comply"])
    assert "no reward for OpenRLHF" in caplog.text
    assert "no answer within 60 s" in caplog.text
    with pytest.raises(UnscoredError, match="does not begin with its prompt"):
        OpenRLHFReward(artefact)(["c"], ["p"], ["comply"])
    with pytest.raises(UnscoredError, match="no response type `complyy`; did you mean `comply`"):
        OpenRLHFReward(artefact)(["pc"], ["p"], ["complyy"])


# --- NeMo-Gym ---------------------------------------------------------------------------------


def body(text: str, response_type: str = "comply") -> dict[str, Any]:
    """A rollout as NeMo-Gym posts it (0.7: the Responses API, with the data set's own fields beside it)."""
    return {
        "responses_create_params": {"input": [{"role": "user", "content": "Please.", "type": "message"}]},
        "response": {
            "id": "r", "object": "response", "model": "m",
            "output": [
                {"type": "reasoning", "id": "x", "summary": []},
                {
                    "type": "message", "role": "assistant", "id": "y", "status": "completed",
                    "content": [{"type": "output_text", "text": text, "annotations": []}],
                },
            ],
        },
        "verifier_metadata": {"response_type": response_type},
    }  # fmt: skip


def test_nemo_gym_components_sum_to_the_reward(artefact: str) -> None:
    reward = NeMoGymReward(artefact)
    names = component_names(reward.scorer.circuit)
    for kind in reward.scorer.circuit.response_names:
        sent = body("I'm sorry, but no.", kind)
        got = reward.verify(sent)
        direct = TunixReward(artefact)(["Please."], ["I'm sorry, but no."], response_type=[kind])
        assert got["reward"] == pytest.approx(direct[0], abs=1e-5)
        assert math.fsum(got["reward_components"].values()) == got["reward"]
        assert tuple(got["reward_components"]) == names
        assert (got["mask_sample"], got["failure_kind"], got["failure_reason"]) == (False, None, None)
        assert got["response"] == sent["response"]
        assert "instance_config" not in got
        json.dumps(got, allow_nan=False)


@pytest.mark.parametrize(
    ("sent", "kind", "said"),
    [
        (body("broken"), "judge_failed", "no answer within 60 s"),
        (body("x", "nothing"), "verifier_error", "no response type `nothing`"),
        ({**body("x"), "response": {"output": []}}, "verifier_error", "no message of the assistant"),
        ({**body("x"), "response": None}, "verifier_error", "no message of the assistant"),
    ],
)
def test_nemo_gym_masks_what_has_no_reward(artefact: str, sent: Mapping[str, Any], kind: str, said: str) -> None:
    got = NeMoGymReward(artefact, FailingJudge()).verify(sent)
    assert (got["mask_sample"], got["reward"], got["failure_kind"]) == (True, 0.0, kind)
    assert said in got["failure_reason"]
    assert set(got["reward_components"].values()) == {0.0}
    assert got["instance_config"] == {"mask_sample": True}
    with pytest.raises(UnscoredError):
        NeMoGymReward(artefact, FailingJudge(), on_invalid="raise").verify(sent)
    named = NeMoGymReward(artefact, FailingJudge(), on_invalid=-1).verify(sent)
    assert (named["reward"], named["mask_sample"], named["reward_components"]["invalid"]) == (-1.0, False, -1.0)


# --- all --------------------------------------------------------------------------------------


ADAPTERS = {
    NeMoGymReward: "mask",
    OpenRLHFReward: "raise",
    TRLReward: "none",
    TunixReward: "raise",
    VerifiersReward: "raise",
    VerlReward: "raise",
}


@pytest.mark.parametrize(("make", "default"), list(ADAPTERS.items()))
def test_no_adapter_makes_a_failure_a_number_unless_told(make: Any, default: str, artefact: str) -> None:
    assert make(artefact).on_invalid == default
    assert make(artefact, on_invalid=-2).on_invalid == -2.0
    for word in {"raise", "none", "mask"} - set(make.trainer.words):
        with pytest.raises(OnInvalidError, match=f"{make.trainer.name} has no on_invalid=`{word}`: .*; it takes"):
            make(artefact, on_invalid=word)


@pytest.mark.parametrize("make", list(ADAPTERS))
def test_every_adapter_pickles_and_has_a_name(make: Any, artefact: str, tmp_path: Path) -> None:
    made = make(artefact, columns=Columns(every="comply"), name="safety")
    again = pickle.loads(pickle.dumps(made))
    assert (again.__name__, again.columns, again.on_invalid) == ("safety", made.columns, made.on_invalid)
    assert again.scorer.circuit == made.scorer.circuit
    with pytest.raises(ColumnsError, match="no response type `complyy`"):
        make(artefact, columns=Columns(every="complyy"))
    with pytest.raises(OnInvalidError):
        make(artefact, on_invalid=math.nan)
    with pytest.raises(rbr.ArtefactError, match=r"nowhere.*no such file"):
        make(tmp_path / "nowhere.rbrc")
    broken = tmp_path / "broken.rbrc"
    broken.write_bytes(b"")
    with pytest.raises(rbr.ArtefactError):
        make(broken)
