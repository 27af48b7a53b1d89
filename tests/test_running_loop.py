"""Rewards from a thread whose event loop is running, as in a notebook or an asynchronous trainer.

Every adapter, `Scorer` and everything else that asks an endpoint is called there, with a real server on loopback and
a cache, and has to say what it says elsewhere.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import CHECKOUT
from faultserver import FaultServer, answer, chat
from test_adapters import body

import rbrlang as rbr
from rbrlang.adapters.nemo_gym import NeMoGymReward
from rbrlang.adapters.openrlhf import OpenRLHFReward
from rbrlang.adapters.trl import TRLReward
from rbrlang.adapters.tunix import RewardManager, TunixReward
from rbrlang.adapters.verifiers import VerifiersReward
from rbrlang.adapters.verl import VerlReward
from rbrlang.grading.endpoint.account import Price, RunOptions
from rbrlang.grading.endpoint.wire import waited
from rbrlang.grading.endpoint.writing import ModelWriter, Order, WriterOptions, Written
from rbrlang.grading.questions.specs import Secret
from rbrlang.rows.conversation import Turn
from rbrlang.scoring.columns import Columns, rollouts
from rbrlang.scoring.score import Scorer

PROMPT, SAID, KIND = "Please.", "I'm sorry, but no.", "comply"


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The example's policy with its default weights, as a file."""
    target = tmp_path_factory.mktemp("artefact") / "refusals.rbrc"
    policy = rbr.load(CHECKOUT / "examples" / "refusals" / "policy.rbr")
    rbr.write(target, policy, rbr.compile(policy))
    return str(target)


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    """A chat server that answers every question, the same each time."""
    with FaultServer(lambda sent, seen: answer(sent)) as running:
        yield running


class Trace:
    """As much of a trace of verifiers as is read."""

    def __init__(self) -> None:
        said = [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": SAID}]
        nodes = [
            SimpleNamespace(message=SimpleNamespace(model_dump=partial(dict, one)), sampled=one["role"] == "assistant")
            for one in said
        ]
        self.branches = [SimpleNamespace(nodes=nodes)]
        self.task = SimpleNamespace(data=SimpleNamespace(model_dump=lambda: {"response_type": KIND}))
        self.metrics: dict[str, float] = {}

    def record_metrics(self, values: Any) -> None:
        """As verifiers do."""
        self.metrics |= values


def by_scorer(artefact: str, given: dict[str, Any]) -> float:
    (row,) = rollouts([PROMPT], [SAID], {"response_type": [KIND]}, Columns())
    return float(Scorer(artefact, "openai:m", **given)([row]).rewards[0])


def by_manager(artefact: str, given: dict[str, Any]) -> float:
    config = SimpleNamespace(algo_variant="grpo", num_generations=1)
    made = RewardManager([TunixReward(artefact, "openai:m", **given)], config)
    return float(made([PROMPT], [SAID], response_type=[KIND])["rewards"][0])


def by_verl(artefact: str, given: dict[str, Any]) -> float:
    extra = {"prompt": PROMPT, "response_type": KIND}
    found = VerlReward(artefact, "openai:m", **given)("d", SAID, None, extra)["score"]
    assert found is not None
    return found


CALLS: dict[str, Callable[[str, dict[str, Any]], float | Awaitable[Any]]] = {
    "Scorer": by_scorer,
    "Tunix": lambda artefact, given: TunixReward(artefact, "openai:m", **given)([PROMPT], [SAID], response_type=[KIND])[
        0
    ],
    "Tunix's manager": by_manager,
    "verl": by_verl,
    "OpenRLHF": lambda artefact, given: OpenRLHFReward(artefact, "openai:m", **given)(
        [PROMPT + SAID], [PROMPT], [KIND]
    )["rewards"][0],
    "NeMo-Gym": lambda artefact, given: NeMoGymReward(artefact, "openai:m", **given).verify(body(SAID, KIND))["reward"],
    "TRL": lambda artefact, given: TRLReward(artefact, "openai:m", **given)([PROMPT], [SAID], response_type=[KIND]),
    "verifiers": lambda artefact, given: VerifiersReward(artefact, "openai:m", **given)(Trace()),
}


@pytest.mark.parametrize("name", list(CALLS))
def test_an_adapter_asks_an_endpoint_from_a_running_loop(
    name: str, artefact: str, server: FaultServer, tmp_path: Path
) -> None:
    given = {"base_url": server.url, "cache": tmp_path / "a.answers"}

    async def inside() -> float:
        found = CALLS[name](artefact, given)
        if isinstance(found, Awaitable):
            found = await found
        return float(np.ravel(found)[0])

    asked = sum(server.received.values())
    got = asyncio.run(inside())
    assert sum(server.received.values()) > asked
    assert got == pytest.approx(by_scorer(artefact, {"base_url": server.url}), abs=1e-5)


def test_a_writer_writes_from_a_running_loop(tmp_path: Path) -> None:
    order = Order((Turn("user", "Write."),), 0)
    with FaultServer(lambda sent, seen: chat([("Hi", 1.0)])) as writing:

        async def inside() -> Any:
            options = WriterOptions("m", writing.url, 1.0, 8)
            return ModelWriter(options, Secret(""), tmp_path / "w", RunOptions(), Price()).write([order])

        (text,) = asyncio.run(inside())
    assert isinstance(text, Written)
    assert text.text == "Hi"


def test_what_fails_there_fails_here() -> None:
    async def fails() -> None:
        raise LookupError("this one")

    async def inside() -> None:
        waited(fails)

    for call in (partial(waited, fails), partial(asyncio.run, inside())):
        with pytest.raises(LookupError, match="this one"):
            call()


def test_an_interrupt_of_the_caller_ends_the_work() -> None:
    """A notebook's loop: no handler of its own, so that Ctrl-C interrupts whatever runs."""
    ended = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    async def long() -> None:
        threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT)).start()
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()

    async def inside() -> None:
        waited(long)

    loop = asyncio.new_event_loop()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background process was told to ignore
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(inside())
    finally:
        signal.signal(signal.SIGINT, before)
        loop.close()
    assert ended.is_set()
