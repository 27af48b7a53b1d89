"""A real cluster of Ray on this machine writes what one process writes, and a run that is killed goes on."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import needs
import pytest
from llama_server import LlamaServer

from rbrlang.cli.main import main

HERE = Path(__file__).parent
EXAMPLE = HERE.parent / "examples" / "refusals"
KILLS = int(os.environ.get("RBR_RAY_KILLS", "2"))
SEED = int(os.environ.get("RBR_RAY_SEED", "1"))
# As the command, with small pieces, so that there are many.
COMMAND = (
    "import sys; from rbrlang.rows import pieces; pieces.ROWS = 32; from rbrlang.cli.main import main; sys.exit(main())"
)
pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    if importlib.util.find_spec("ray") is None:
        needs.missing(needs.RAY, "it is not installed")
    rows = [json.loads(line) for line in (EXAMPLE / "completions.jsonl").read_text("utf-8").splitlines()]
    many = [{**row, "id": f"{row['id']}-{copy}"} for copy in range(6) for row in rows]
    many[40] |= {"completion": None}
    many[700] |= {"id": many[2]["id"]}
    del many[900]["id"], many[901]["id"]
    many[901] = {**many[900]}
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in many))
    return tmp_path


def command(place: Path, name: str, *more: str) -> list[str]:
    graded = ["grade", str(EXAMPLE / "policy.rbr"), "rows.jsonl", "--grader", "embedded", "-o", name, *more]
    return [sys.executable, "-c", COMMAND, *graded]


def environment() -> dict[str, str]:
    paths = [str(HERE.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}


def below(parent: int) -> dict[int, str]:
    """The processes below one, with what they are called."""
    found: dict[int, str] = {}
    left = [parent]
    while left:
        for task in Path(f"/proc/{left.pop()}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                for child in map(int, task.read_text().split()):
                    found[child] = (
                        Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    )
                    left.append(child)
    return found


def kill_once(place: Path, ray: list[str], whom: str, blocks: int) -> bool:
    """Run until so many blocks more are done, and kill; whether there still was something to kill."""
    done = place / "out.jsonl.blocks"
    wanted = len(list(done.glob("*.done"))) + blocks
    with (place / "said").open("wb") as said:
        process = subprocess.Popen(ray, cwd=place, env=environment(), stdout=subprocess.DEVNULL, stderr=said)
    deadline = time.monotonic() + 300
    known: dict[int, str] = {}
    while process.poll() is None and len(list(done.glob("*.done"))) < wanted and time.monotonic() < deadline:
        known = below(process.pid)
        time.sleep(0.01)
    if whom == "driver":
        process.kill()
        landed = process.wait() == -signal.SIGKILL
        for number in known:  # Ray's own processes end by themselves when their driver is gone, but take their time
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        return landed
    actors = [number for number, title in below(process.pid).items() if title.startswith("ray::") and "Map" in title]
    for number in actors[:1]:
        os.kill(number, signal.SIGKILL)
    assert process.wait(timeout=300) == 3, (place / "said").read_text()
    return bool(actors)


def test_killed_at_random_moments_it_goes_on_to_the_same_bytes(place: Path) -> None:
    """The driver or an actor, in turn, by SIGKILL."""
    run = {"cwd": place, "env": environment(), "capture_output": True, "text": True}
    alone = subprocess.run(command(place, "alone.jsonl"), check=False, **run)
    assert alone.returncode == 3, alone.stderr
    picked = random.Random(SEED)
    ray = command(place, "out.jsonl", "--engine", "ray", "--workers", "2")
    killed: list[str] = []
    for _ in range(3 * KILLS):
        whom = ("driver", "actor")[len(killed) % 2]
        if kill_once(place, ray, whom, picked.randint(1, 4)):
            killed.append(whom)
        if (place / "out.jsonl").exists():  # an actor's death ends no run, and a run may be done before it is killed
            assert (place / "out.jsonl").read_bytes() == (place / "alone.jsonl").read_bytes()
            (place / "out.jsonl").unlink()
        if len(killed) == KILLS:
            break
    assert len(killed) == KILLS, killed
    done = subprocess.run(ray, check=False, **run)
    assert done.returncode == 3, done.stderr
    assert (place / "out.jsonl").read_bytes() == (place / "alone.jsonl").read_bytes()
    assert not (place / "out.jsonl.blocks").exists()
    for line in alone.stderr.splitlines():
        assert line in done.stderr


def test_a_table_is_scored_alike(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow.parquet as parquet

    graded, artefact = str(place / "graded.parquet"), str(place / "p.rbrc")
    main(["compile", str(EXAMPLE / "policy.rbr"), "-o", artefact])
    main(["grade", str(EXAMPLE / "policy.rbr"), str(place / "rows.jsonl"), "-o", graded])
    for name, more in (("alone", ()), ("ray", ("--engine", "ray", "--workers", "2"))):
        scored = ["score", artefact, graded, "-o", f"{name}.parquet", *more]
        subprocess.run([sys.executable, "-c", COMMAND, *scored], cwd=place, env=environment(), check=False)
    assert parquet.read_table(place / "ray.parquet").equals(parquet.read_table(place / "alone.parquet"))
    assert (place / "ray.parquet").read_bytes() == (place / "alone.parquet").read_bytes()


@pytest.mark.llama
def test_actors_ask_a_server_what_one_process_asks_it(place: Path) -> None:
    """A real model behind a real server: the same probabilities, though actors ask in another order."""
    policy = (
        'rbr 1\nprop sorry "The response says sorry."\nresponse r ranks good > bad { bad if sorry  good otherwise }\n'
    )
    (place / "p.rbr").write_text(policy)
    said = ("Sorry, I am late.", "What do you need?", "Hello.", "I am sorry, which one?")
    rows = [{"id": at, "response_type": "r", "prompt": "Hi.", "completion": text} for at, text in enumerate(said)]
    (place / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found: dict[str, list[dict[str, float]]] = {}
    with LlamaServer() as server:
        judge = ("--grader", "openai:smollm2", "--base-url", server.url, "--min-mass", "0.001")
        for name, more in (("alone", ()), ("ray", ("--engine", "ray", "--workers", "2"))):
            graded = ["grade", "p.rbr", "few.jsonl", "-o", f"{name}.jsonl", *judge, *more]
            asking = [sys.executable, "-c", COMMAND.replace("32", "2"), *graded]
            own = environment() | {"XDG_CACHE_HOME": str(place / name)}  # an answer that is kept is asked of nobody
            done = subprocess.run(asking, cwd=place, env=own, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert "4 answers for 4 rows, 0 invalid" in done.stderr
            written = [json.loads(line) for line in (place / f"{name}.jsonl").read_text().splitlines()]
            assert [row["id"] for row in written] == [0, 1, 2, 3]
            found[name] = [row["probs"] for row in written]
    assert len({row["sorry"] for row in found["alone"]}) == 4
    for alone, ray in zip(found["alone"], found["ray"], strict=True):
        assert ray == pytest.approx(alone, abs=1e-3)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # what Ray leaves of a start that failed
@pytest.mark.parametrize("failures", [2, 3])
def test_ray_that_gives_up_on_its_own_processes_is_started_again(
    failures: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    from rbrlang.engines import ray as engine

    tried: list[bool] = []
    init = ray.init

    def impatient(**options: object) -> None:
        tried.append(len(tried) < failures)
        monkeypatch.setenv("RAY_gcs_server_port_wait_time_s", "0" if tried[-1] else "30")
        init(**options)

    monkeypatch.setattr(ray, "init", impatient)
    options = {"num_cpus": 1, "include_dashboard": False}
    try:
        if failures < engine._STARTS:
            engine._start(ray, options, tries=engine._STARTS)
            assert ray.is_initialized()
        else:
            with pytest.raises(engine.EngineError, match="Ray does not start here: "):
                engine._start(ray, options, tries=engine._STARTS)
        assert tried == [True, True, failures == 3]
    finally:
        ray.shutdown()
