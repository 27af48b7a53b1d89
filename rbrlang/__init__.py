"""Rule-based rewards as a small language: proved, compiled to JAX, fitted on rankings.

    policy = rbrlang.load("safety.rbr")        # raises PolicyError with every finding
    reward = rbrlang.compile(policy)           # RuleReward, a JAX pytree; or rbrlang.read("safety.rbrc")
    probs, kinds = reward.encode(rows), reward.response_ids(rows)
    r = reward(probs, kinds, base_reward)      # float32 [batch]

Importing this package loads neither jax nor numpy; what needs them is loaded when first named.
The method is that of Mu et al., Rule Based Rewards for Language Model Safety, 2024
(https://arxiv.org/abs/2411.01111).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rbrlang import moved

if TYPE_CHECKING:
    from rbrlang.api import compile, fit, read, write
    from rbrlang.diagnostics import PolicyError
    from rbrlang.learning.fitting import losses
    from rbrlang.policy import Policy, check, load, loads
    from rbrlang.reward.kept.container import ArtefactError
    from rbrlang.reward.reward import RuleReward

__version__ = "0.1.0"

_HOMES = {
    "ArtefactError": "rbrlang.reward.kept.container",
    "RuleReward": "rbrlang.reward.reward",
    "compile": "rbrlang.api",
    "fit": "rbrlang.api",
    "read": "rbrlang.api",
    "write": "rbrlang.api",
    "Policy": "rbrlang.policy",
    "PolicyError": "rbrlang.diagnostics",
    "check": "rbrlang.policy",
    "load": "rbrlang.policy",
    "loads": "rbrlang.policy",
}

_MODULES = {"losses": "rbrlang.learning.fitting.losses"}

__all__ = [
    "ArtefactError",
    "Policy",
    "PolicyError",
    "RuleReward",
    "check",
    "compile",
    "fit",
    "load",
    "loads",
    "losses",
    "read",
    "write",
]

moved.install()


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'rbrlang' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
