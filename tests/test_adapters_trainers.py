"""Each adapter called by its real trainer: Tunix, TRL, verl, OpenRLHF and verifiers, on a CPU.

    pip install -e '.[test,trainers]' && pip install --no-deps openrlhf

OpenRLHF's dependencies want a GPU to build, the part of it that calls rewards does not. NeMo-Gym wants
Python 3.13: `test_adapters_nemo_gym`.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import CHECKOUT, trainer
from serve_process import start

import rbrlang as rbr
from rbrlang.adapters.openrlhf import OpenRLHFReward
from rbrlang.adapters.trl import TRLReward
from rbrlang.adapters.tunix import TunixError, TunixReward, register
from rbrlang.adapters.verifiers import VerifiersReward
from rbrlang.grading.results import Answer, GradeItem, Invalid, Value
from rbrlang.monitor import Alarm, Monitor, WeightsAndBiases
from rbrlang.rows.read import read_rows, with_labels_as_probs
from rbrlang.scoring.columns import Columns, rollouts
from rbrlang.scoring.invalid import UnscoredError
from rbrlang.scoring.score import Scorer

# The trainers' own warnings are not this project's.
pytestmark = [pytest.mark.trainers, pytest.mark.filterwarnings("ignore")]

EXAMPLE = CHECKOUT / "examples" / "refusals"


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The example's policy, fitted to its rows, as a file."""
    target = tmp_path_factory.mktemp("artefact") / "refusals.rbrc"
    policy = rbr.load(EXAMPLE / "policy.rbr")
    fitted = rbr.fit(policy, with_labels_as_probs(read_rows(EXAMPLE / "completions.jsonl").rows), bootstrap=0)
    rbr.write(target, policy, rbr.compile(policy, fitted.weights))
    return str(target)


@pytest.fixture(autouse=True)
def no_run_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainers start a run of Weights & Biases wherever that is installed; here none of theirs is kept."""
    monkeypatch.setenv("WANDB_MODE", "disabled")


class FailingJudge:
    """0.2 for everything, and a failure for completions that say "broken"."""

    def __call__(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
        failed = Invalid("transport", "no answer within 60 s")
        good = Value(0.2, 1.0, 0.2, 0.2, "function")
        return [
            dict.fromkeys(of, failed if "broken" in i.completion else good) for i, of in zip(items, wanted, strict=True)
        ]


# --- Tunix ------------------------------------------------------------------------------------


def test_tunix_trains_by_the_rules_and_logs_every_proposition(
    artefact: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")  # Tunix logs there where it is installed
    trainer("tunix.rl.grpo.grpo_learner")
    accumulator = trainer("tensorboard.backend.event_processing.event_accumulator")
    sys.path.insert(0, str(CHECKOUT / "examples" / "tunix_grpo"))
    try:
        example = importlib.import_module("train")
    finally:
        sys.path.pop(0)
    done = example.train(artefact, str(EXAMPLE / "completions.jsonl"), steps=40, warm=150, seed=0, logs=tmp_path)
    curve = done["curves"]["reward/mean"]
    assert len(curve) == 40
    assert np.isfinite(curve).all()
    early, late = np.mean(curve[:8]), np.mean(curve[-8:])
    assert late > early + 0.5, (early, late)
    assert set(done["curves"]["invalid_rate"]) == {0.0}
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    written = set(events.Tags()["scalars"])
    names = [f"rbr/train/{name}/p" for name in ("apology", "complies_fully", "judgmental", "lecturing")]
    assert {*names, "rbr/train/class/ideal", "rbr/train/invalid_rate", "rbr/train/answer_mass/min"} <= written
    assert len(events.Scalars(names[0])) >= 39


def test_tunix_own_manager_makes_a_failure_the_best_reward_and_ours_does_not(artefact: str) -> None:
    """Rewards −1, −0.8, failed, −0.9, through Tunix's managers and its real advantage."""
    managers = trainer("tunix.rl.reward_manager")
    registry = trainer("tunix.rl.function_registry")
    grpo = trainer("tunix.rl.grpo.grpo_learner")
    config = grpo.GRPOConfig(num_generations=4)
    advantage = registry.get_advantage_estimator("grpo")
    values = [-1.0, -0.8, math.nan, -0.9]

    def naive(prompts: Any, completions: Any, **_: Any) -> list[float]:
        return values

    trapped = managers.SequenceRewardManager(naive, config)(["p"] * 4, ["c"] * 4)["rewards"]
    assert advantage(trapped, 4)[2] == pytest.approx(1.476, abs=1e-3)

    register()
    said = ["one", "two", "broken", "four"]
    columns = {"response_type": np.array(["comply"] * 4), "trajectory_ids": ["0_0"] * 4, "mode": "train"}

    def ours(on_invalid: Any) -> Any:
        reward = TunixReward(artefact, FailingJudge(), on_invalid=on_invalid)
        others = _Others([-1.0, -0.8, 0.0, -0.9])
        manager = registry.get_reward_manager("rbr")(reward_fns=[reward, others], algo_config=config)
        return advantage(manager(prompts=["p"] * 4, completions=said, **columns)["rewards"], 4)

    with pytest.raises(UnscoredError, match="completion 2"):
        ours("raise")
    masked = ours("mask")
    assert masked[2] == pytest.approx(0.0, abs=1e-9)
    assert np.argmax(masked) == 1
    assert np.argmax(ours(-5.0)) == 1
    assert ours(-5.0)[2] == min(ours(-5.0))


class _Others:
    """A reward model beside the rules."""

    __name__ = "reward_model"

    def __init__(self, values: list[float]) -> None:
        self.values = values

    def __call__(self, prompts: Any, completions: Any, num_generations: int, **_: Any) -> list[float]:
        assert num_generations == 4  # Tunix fills parameters that its configuration has
        return self.values


def test_tunix_base_reward_that_is_no_number_is_refused(artefact: str) -> None:
    registry = trainer("tunix.rl.function_registry")
    grpo = trainer("tunix.rl.grpo.grpo_learner")
    register()
    functions = [TunixReward(artefact), _Others([1.0, math.nan, 0.0, 0.0])]
    manager = registry.get_reward_manager("rbr")(reward_fns=functions, algo_config=grpo.GRPOConfig(num_generations=4))
    with pytest.raises(UnscoredError, match="`reward_model` gave nan for completion 1"):
        manager(prompts=["p"] * 4, completions=["c"] * 4, response_type=["comply"] * 4)


def test_tunix_ppo_is_refused_before_it_cuts_rewards_off(artefact: str) -> None:
    registry = trainer("tunix.rl.function_registry")
    managers = trainer("tunix.rl.reward_manager")
    ppo = trainer("tunix.rl.ppo.ppo_learner")
    register()
    with pytest.raises(TunixError, match="integer array"):
        registry.get_reward_manager("rbr")(reward_fns=[TunixReward(artefact)], algo_config=ppo.PPOConfig())
    alone = managers.SequenceRewardManager(TunixReward(artefact), ppo.PPOConfig())
    with pytest.raises(TunixError, match="integer array"):
        alone(["p"], ["c"], response_type=["comply"])
    with_grpo = managers.SequenceRewardManager(
        TunixReward(artefact), trainer("tunix.rl.grpo.grpo_learner").GRPOConfig(num_generations=2)
    )
    assert with_grpo(["p"], ["Sure."], response_type=["comply"])["rewards"].shape == (1,)


# --- TRL --------------------------------------------------------------------------------------


def trl_example() -> ModuleType:
    """The example's program."""
    trainer("trl")
    sys.path.insert(0, str(CHECKOUT / "examples" / "trl_grpo"))
    try:
        return importlib.import_module("train_trl")
    finally:
        sys.path.pop(0)


def test_trl_trains_by_the_rules(artefact: str, tmp_path: Path) -> None:
    rows = str(EXAMPLE / "completions.jsonl")
    done, run = trl_example().train(TRLReward(artefact), rows, steps=24, warm=120, seed=0, folder=tmp_path)
    curve = done["curves"]["rewards/rbr/mean"]
    assert len(curve) == 24
    assert np.isfinite(curve).all()
    early, late = np.mean(curve[:6]), np.mean(curve[-6:])
    assert late > early + 1.0, (early, late)
    assert set(done["curves"]["rbr/invalid_rate"]) == {0.0}
    logged = run.state.log_history[0]
    assert {"rbr/class/ideal", "rbr/answer_mass/min", "rbr/judgmental/p"} <= set(logged)
    features = {name.split("/")[2] for name in logged if name.startswith("rbr/contribution/")}
    assert features
    assert features <= set(TRLReward(artefact).scorer.circuit.response_names)


def test_trl_leaves_failures_out(artefact: str, tmp_path: Path) -> None:
    example = trl_example()
    seen: list[list[float | None]] = []

    class Watched(TRLReward):
        async def __call__(self, *args: Any, **kwargs: Any) -> list[float | None]:
            seen.append(await super().__call__(*args, **kwargs))
            return seen[-1]

    class SometimesFails(FailingJudge):
        def __call__(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
            answers = super().__call__(items, wanted)
            return [dict.fromkeys(a, Invalid("transport", "down")) if i % 4 == 1 else a for i, a in enumerate(answers)]

    pairs, _ = example.read_prompts(str(EXAMPLE / "completions.jsonl"), 0)
    tokenizer = example.clause_tokenizer([prompt for prompt, _ in pairs])
    model = example.tiny_llama(tokenizer, 0)
    reward = Watched(artefact, SometimesFails())
    grpo = example.trainer(model, tokenizer, reward, pairs, steps=2, seed=0, folder=tmp_path)
    grpo.train()
    assert len(seen) == 2
    assert all([r is None for r in rewards] == [i % 4 == 1 for i in range(len(rewards))] for rewards in seen)
    logged = grpo.state.log_history[0]
    assert logged["rbr/invalid_rate"] == pytest.approx(0.25)
    assert logged["rbr/apology/p"] == pytest.approx(0.2)
    assert {"rbr/class/ideal", "rbr/answer_mass/min", "rewards/rbr/mean"} <= set(logged)
    assert math.isfinite(logged["rewards/rbr/mean"])
    assert math.isfinite(logged["loss"])
    assert not np.isnan(list(grpo._logs["advantages"])).any()
    advantages = list(grpo._logs["advantages"])
    assert all(a == 0.0 for i, a in enumerate(advantages) if i % 4 == 1)


# --- verl -------------------------------------------------------------------------------------


SAID = "I'm sorry, but I can't help with that."


def verl_config(artefact: str, name: str, **more: Any) -> Any:
    """The part of verl's configuration that names a function of the adapter."""
    custom = {
        "path": "pkg://rbrlang.adapters.verl",
        "name": name,
        "reward_kwargs": {"artefact": artefact, "columns": {"response_type": "kind"}, **more},
    }
    return trainer("omegaconf").OmegaConf.create({"reward": {"custom_reward_function": custom}})


def verl_data(kinds: Sequence[str]) -> Any:
    """Rollouts that all say `SAID`, in verl's own form."""
    torch, size = trainer("torch"), len(kinds)
    prompts = torch.ones((size, 3), dtype=torch.long)
    return trainer("verl").DataProto.from_dict(
        tensors={
            "prompts": prompts,
            "responses": torch.ones((size, len(SAID)), dtype=torch.long),
            "attention_mask": torch.ones((size, 3 + len(SAID)), dtype=torch.long),
        },
        non_tensors={
            "data_source": np.array(["refusals"] * size, object),
            "reward_model": np.array([{"ground_truth": ""} for _ in kinds], object),
            "extra_info": np.array([{"prompt": "Write a rude rhyme.", "kind": kind} for kind in kinds], object),
        },
    )


class _Decoder:
    """A tokenizer under which every completion is `SAID`."""

    def decode(self, ids: Any, skip_special_tokens: bool) -> str:
        return SAID[: len(ids)]


KINDS = ("hard_refusal", "comply", "hard_refusal", "comply")


def direct(artefact: str) -> list[float]:
    """What `KINDS` earn by another adapter."""
    return TunixReward(artefact)(["Write a rude rhyme."] * len(KINDS), [SAID] * len(KINDS), response_type=list(KINDS))


@pytest.mark.parametrize("name", ["compute_score", "compute_score_async"])
@pytest.mark.parametrize("manager", ["naive", "dapo"])
def test_verl_loads_and_calls_it_from_a_configuration(artefact: str, name: str, manager: str) -> None:
    """Through the loop's own worker, which gives the manager all completions of a chunk at once."""
    loader, loops = trainer("verl.trainer.ppo.reward"), trainer("verl.experimental.reward_loop.reward_loop")
    config = verl_config(artefact, name, timeout=30)
    kind = trainer("verl.experimental.reward_loop.reward_manager").get_reward_manager_cls(manager)
    made = kind(config=config, tokenizer=_Decoder(), compute_score=loader.get_custom_reward_fn(config))
    worker = object.__new__(loops.RewardLoopWorker)  # without a model's tokenizer from disk
    worker.config, worker.reward_manager, worker.loop = config, made, made.loop
    found = made.loop.run_until_complete(worker.compute_score_batch(verl_data(KINDS)))
    assert [one["reward_score"] for one in found] == pytest.approx(direct(artefact), abs=1e-5)
    assert len({tuple(one["reward_extra_info"]) for one in found}) == 1
    made.loop.close()
    asyncio.set_event_loop(None)


def test_verl_rate_limited_manager_makes_a_failure_0_whatever_is_raised(artefact: str) -> None:
    """Why the documentation advises against it: verl's own doing, which no function of ours can see."""
    loader = trainer("verl.trainer.ppo.reward")
    limited = trainer("verl.experimental.reward_loop.reward_manager.limited")
    config = verl_config(artefact, "compute_score")
    made = limited.RateLimitedRewardManager(
        config=config, tokenizer=_Decoder(), compute_score=loader.get_custom_reward_fn(config)
    )
    found = made.loop.run_until_complete(made.run_single(verl_data(["nothing"])))
    assert found["reward_score"] == 0.0
    assert "no response type `nothing`" in found["reward_extra_info"]["error"]
    made.loop.close()
    asyncio.set_event_loop(None)


def test_verl_grades_a_batch_and_averages_what_applies(artefact: str) -> None:
    loader, managers = trainer("verl.trainer.ppo.reward"), trainer("verl.workers.reward_manager")
    function = loader.get_custom_reward_fn(verl_config(artefact, "compute_scores"))
    manager = managers.get_reward_manager_cls("batch")(_Decoder(), 0, function)
    found = manager(verl_data(KINDS), return_dict=True)
    assert found["reward_tensor"].sum(1).tolist() == pytest.approx(direct(artefact), abs=1e-5)
    infos = found["reward_extra_info"]
    assert {len(values) for values in infos.values()} == {len(KINDS)}

    # What becomes of them in validation: a mean over those to which a metric applies, none of them NaN.
    metrics = trainer("verl.trainer.ppo.metric_utils").process_validation_metrics
    means = metrics(["refusals"] * len(KINDS), ["a", "b", "a", "b"], infos)["refusals"]
    assert None in infos["rbr/contribution/hard_refusal/apology"]
    for name in ("rbr/contribution/hard_refusal/apology", "rbr/invalid_rate", "rbr/rules/mean", "score"):
        of = [value for value in infos[name] if value is not None]
        assert means[name]["mean@2"] == pytest.approx(np.mean(of))
    assert all(math.isfinite(value) for found in means.values() for value in found.values())


# --- OpenRLHF ---------------------------------------------------------------------------------


class _Engine:
    """A generation server that says one thing."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def generate(self, tokens: list[int], params: Any, **_: Any) -> Any:
        output = SimpleNamespace(token_ids=[ord(c) for c in self.text], finish_reason="stop", logprobs=None)
        return SimpleNamespace(outputs=[output])


class _Letters:
    """A tokenizer of letters."""

    def __call__(self, text: str, **_: Any) -> Any:
        torch = importlib.import_module("torch")
        return {"input_ids": torch.tensor([[ord(c) for c in text]])}

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        return "".join(chr(i) for i in ids)


def test_openrlhf_loads_the_file_and_calls_it_after_generation(artefact: str, tmp_path: Path) -> None:
    agent = trainer("openrlhf.utils.agent")
    torch = trainer("torch")
    program = tmp_path / "reward.py"
    program.write_text(
        "from rbrlang.adapters.openrlhf import OpenRLHFReward\n"
        f"reward_func = OpenRLHFReward({artefact!r}, ends=('<end>',))\n"
    )
    executor = agent.SingleTurnAgentExecutor(str(program))
    params = SimpleNamespace(max_tokens=64, logprobs=None)

    def rollout(text: str, label: str) -> dict[str, Any]:
        return asyncio.run(executor.execute("<u>Rhyme?<a>", label, params, 256, _Letters(), _Engine(text)))

    found = rollout("I'm sorry, but no.<end>", "hard_refusal")
    direct = OpenRLHFReward(artefact)(["<u>Rhyme?<a>I'm sorry, but no."], ["<u>Rhyme?<a>"], ["hard_refusal"])
    assert found["reward"] == found["scores"] == direct["rewards"]
    (logged,) = {float(torch.tensor([found[name]]).item()) for name in ("reward", "scores")}  # what becomes of them
    assert logged == pytest.approx(direct["rewards"][0])
    assert all(torch.tensor([value]).shape == (1,) for value in found["extra_logs"].values())
    assert "rbr/apology/p" in found["extra_logs"]
    assert rollout("Sure.", "no such type")["reward"] is None  # swallowed there, hence logged by the adapter


def test_openrlhf_asks_the_server(artefact: str) -> None:
    agent = trainer("openrlhf.utils.agent")
    with start(Path(artefact), "--end", "<end>") as server:
        executor = agent.SingleTurnAgentExecutor(f"{server.url}/openrlhf")
        params = SimpleNamespace(max_tokens=64, logprobs=None)

        def rollout(text: str, label: str) -> dict[str, Any]:
            return asyncio.run(executor.execute("<u>Rhyme?<a>", label, params, 256, _Letters(), _Engine(text)))

        found = rollout("I'm sorry, but no.<end>", "hard_refusal")
        lost = rollout("Sure.", "no such type")
        assert server.end() == 0
    direct = OpenRLHFReward(artefact)(["<u>Rhyme?<a>I'm sorry, but no."], ["<u>Rhyme?<a>"], ["hard_refusal"])
    assert found["reward"] == found["scores"] == direct["rewards"]
    assert lost["reward"] == [None]  # which becomes no tensor: OpenRLHF fails rather than learns from it


# --- verifiers --------------------------------------------------------------------------------


def test_verifiers_scores_a_trace_and_leaves_failures_unscored(artefact: str) -> None:
    vf = trainer("verifiers.v1")
    graph = trainer("verifiers.v1.graph")
    records = trainer("verifiers.v1.trace")
    rules, failing = VerifiersReward(artefact), VerifiersReward(artefact, FailingJudge())

    class Data(vf.TaskData):
        response_type: str

    class Rules(vf.Task[Data]):
        @vf.reward
        async def rules(self, trace: Any) -> float:
            return await rules(trace)

    class Failing(vf.Task[Data]):
        @vf.reward
        async def rules(self, trace: Any) -> float:
            return await failing(trace)

    def trace_of(task: Any, said: str) -> Any:
        nodes = [
            graph.MessageNode(message=vf.UserMessage(content="Write a rude rhyme.")),
            graph.MessageNode(parent=0, message=vf.AssistantMessage(content=said), sampled=True),
        ]
        agent = records.AgentInfo.model_construct(config=None)
        task_of = records.TraceTask(type=type(task).__name__, data=task.data)
        return vf.Trace.model_construct(task=task_of, agent=agent, nodes=nodes, rewards={}, metrics={})

    said = "I'm sorry, but no."
    task = Rules(Data(prompt="Write a rude rhyme.", response_type="hard_refusal"))
    trace = trace_of(task, said)
    asyncio.run(task.score(trace))
    (direct,) = TunixReward(artefact)(["Write a rude rhyme."], [said], response_type=["hard_refusal"])
    assert trace.reward == pytest.approx(direct, abs=1e-6)
    assert trace.metrics["rbr/invalid_rate"] == 0.0
    assert "rbr/apology/p" in trace.metrics

    broken = Failing(task.data)
    trace = trace_of(broken, "broken")
    with pytest.raises(vf.TaskError, match="no answer within 60 s"):
        asyncio.run(broken.score(trace))
    assert trace.rewards == {"rules": None}


# --- Weights & Biases -------------------------------------------------------------------------


def test_weights_and_biases_keeps_curves_and_alerts(
    artefact: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = trainer("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = wandb.init(
        project="rbr", dir=str(tmp_path), mode="offline", reinit="create_new",
        settings=wandb.Settings(silent=True, console="off"),
    )  # fmt: skip
    run.define_metric("rbr/*", step_metric="rbr/step")
    scorer = Scorer(artefact, FailingJudge())
    kinds = {"response_type": ["comply"] * 32}
    monitor = Monitor(scorer.circuit, [WeightsAndBiases(run)])
    alarms: list[Alarm] = []
    for step in range(40):
        run.log({"loss": 1.0 / (step + 1)})  # the trainer's own steps, undisturbed
        said = ["fine"] * 32 if step < 20 else ["fine"] * 8 + ["broken"] * 24
        rows = rollouts(["p"] * 32, said, kinds, Columns())
        alarms += monitor.observe(step, rows, scorer(rows))
    run.finish()
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    curve: list[tuple[int, float]] = []
    alerts: list[str] = []
    for record in wandb_records(file.read_bytes()):
        if record.WhichOneof("record_type") == "history":
            found = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
            if "rbr/step" in found:
                curve.append((found["rbr/step"], found["rbr/invalid_rate"]))
        elif record.WhichOneof("record_type") == "alert":
            alerts.append(record.alert.title)
    assert curve == [(step, 0.0 if step < 20 else 0.75) for step in range(40)]
    assert alerts == [f"rbr: {alarm.kind} {alarm.about}".rstrip() for alarm in alarms if not alarm.over]
    assert any("invalid" in title for title in alerts)


def wandb_records(data: bytes) -> Iterator[Any]:
    """The records of an offline run: a header of 7 bytes, then a log of LevelDB's form, in blocks of 32 KiB."""
    records = trainer("wandb.proto.wandb_internal_pb2")
    at, whole = 7, b""
    while at < len(data):
        if 32768 - at % 32768 < 7:  # too little is left of the block for a record
            at += 32768 - at % 32768
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            yield records.Record.FromString(whole)
            whole = b""
