"""Compiled programs are kept between runs, where the user says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

KEEP = """
from rbrlang.reward.compiled import keep_programs
found = keep_programs()
import jax
print(found, jax.config.jax_compilation_cache_dir, sep="|")
"""


def kept(**environment: str) -> list[str]:
    """What a process of its own is told, and what JAX knows then: the setting is for a whole process."""
    left_out = ("RBR_COMPILATION_CACHE", "JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME")
    inherited = {name: value for name, value in os.environ.items() if name not in left_out}
    done = subprocess.run(
        [sys.executable, "-c", KEEP], env=inherited | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip().split("|")


def test_the_cache_is_in_the_users_cache_directory_or_where_it_is_asked_for(tmp_path: Path) -> None:
    usual = tmp_path / "rbrlang" / "jax"
    assert kept(XDG_CACHE_HOME=str(tmp_path)) == [str(usual)] * 2
    assert usual.is_dir()
    other = str(tmp_path / "other")
    assert kept(XDG_CACHE_HOME=str(tmp_path), RBR_COMPILATION_CACHE=other) == [other] * 2


def test_off_is_off_and_what_jax_was_told_stays(tmp_path: Path) -> None:
    assert kept(RBR_COMPILATION_CACHE="off") == ["None", "None"]
    told = str(tmp_path / "told")
    assert kept(JAX_COMPILATION_CACHE_DIR=told, RBR_COMPILATION_CACHE=str(tmp_path / "x")) == ["None", told]
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_a_cache_that_cannot_be_made_is_passed_over(tmp_path: Path, inside: str) -> None:
    file = tmp_path / "file"
    file.write_text("", "utf-8")
    assert kept(RBR_COMPILATION_CACHE=str(file / inside)) == ["None", "None"]


def test_what_jax_was_told_in_the_program_stays(tmp_path: Path) -> None:
    program = f"import jax; jax.config.update('jax_compilation_cache_dir', {str(tmp_path / 'told')!r})\n" + KEEP
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path), "RBR_COMPILATION_CACHE": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().split("|") == ["None", str(tmp_path / "told")]


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_a_folder_that_others_may_write_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "rbrlang" / "jax"
    assert kept(XDG_CACHE_HOME=str(tmp_path)) == [str(folder)] * 2
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o770)
    assert kept(XDG_CACHE_HOME=str(tmp_path)) == ["None", "None"]


REWARD = """
import jax, numpy as np
jax.numpy.ones(3).block_until_ready()  # what JAX found out before there was a cache
from jax._src import monitoring
hits = []
monitoring.register_event_listener(lambda name, **_: hits.append(name))
from reward_circuits import random_case
from rbrlang.reward.reward import RuleReward
case = random_case(12, axioms=True)
RuleReward.from_circuit(case.circuit, case.weights)(case.probs, case.ids).block_until_ready()
print("/jax/compilation_cache/cache_hits" in hits)
"""


def test_a_second_process_does_not_compile_a_reward(tmp_path: Path) -> None:
    here = Path(__file__).parent
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{here}:{here.parent}", "XDG_CACHE_HOME": str(tmp_path)}
    for hit in ("False", "True"):
        done = subprocess.run(
            [sys.executable, "-c", REWARD], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [hit]
