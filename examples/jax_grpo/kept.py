"""What is made once a seed and used by all of its runs, and how does it survive on disk?

Warm model and reward models: a minute or two of work. They are kept as one folder a seed, which is renamed into place when it
is whole. World, judge and the heads of the grader follow from the seed in seconds, and are made again.
"""

# pyright: basic
from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from experiment import Instruments, Plan, new_grader, prepare, prove
from flax import nnx
from judge import Reader
from learn import Annotator, RewardModel, as_texts, fit_reward_model
from model import new_writer
from world import build_world


@dataclass(frozen=True, slots=True)
class Shared:
    """What all runs of a seed have in common; `models` are reward models by annotator."""

    instruments: Instruments
    models: Mapping[str, RewardModel]


def _write(folder: Path, name: str, params: nnx.State) -> None:
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    np.savez(folder / f"{name}.npz", *leaves)


def _read(folder: Path, name: str, like: nnx.State) -> nnx.State:
    with np.load(folder / f"{name}.npz") as found:
        leaves = [jnp.asarray(found[key]) for key in found.files]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _models(made: Instruments, plan: Plan, seed: int) -> dict[str, RewardModel]:
    """The three reward models. `matched` compares as many pairs as texts were labelled for the grader and for the weights."""
    world = made.world
    held = as_texts(world.vocabulary, world.texts["fit"])
    labels = len(world.texts["grader"]) + len(world.texts["fit"])
    few = max(1, plan.preference_steps // 2)  # some four times each pair
    cautious = Annotator("cautious", plan.wary, plan.nervous)

    def fitted(who: Annotator, steps: int, compared: int | None = None) -> RewardModel:
        return fit_reward_model(made.graph, made.warm, made.texts, held, who, steps, seed, compared)

    return {
        "helpful": fitted(Annotator("helpful"), plan.preference_steps),
        "cautious": fitted(cautious, plan.preference_steps),
        "matched": fitted(cautious, few, labels),
    }


def make(plan: Plan, seed: int, folder: Path) -> None:
    """Make a seed's folder, unless it is there."""
    target = folder / f"seed-{seed}"
    if target.exists():
        return
    begun = time.process_time()
    part = folder / f"seed-{seed}.part"
    part.mkdir(parents=True, exist_ok=True)
    made = prepare(plan, seed)
    grader, judge = prove(made)
    _write(part, "warm", made.warm)
    models = _models(made, plan, seed)
    for name, model in models.items():
        _write(part, name, model.params)
    parts = {f"{name}: new pairs ordered as the annotator did": model.agreement for name, model in models.items()}
    parts |= {
        "grader: propositions right, balanced": grader.balanced,
        "grader: class right": grader.klass,
        "judge: class right": judge.klass,
    }
    said: dict[str, Any] = {
        "models": {name: [model.mean, model.spread, model.agreement] for name, model in models.items()},
        "parts": parts,
        "plan": asdict(plan),
        "seconds": time.process_time() - begun,
    }
    (part / "kept.json").write_text(json.dumps(said), encoding="utf-8")
    part.rename(target)


def told(plan: Plan, seed: int, folder: Path) -> dict[str, Any]:
    """What is known of a seed's models: how good the `parts` are, and the processor `seconds` that they took.

    Raises ValueError where there are none yet, or where they were made under another plan.
    """
    target = folder / f"seed-{seed}"
    if not target.exists():
        raise ValueError(f"`{target}` is not made yet; leave `--done` out, or name with `--seeds` those that are")
    said = json.loads((target / "kept.json").read_text(encoding="utf-8"))
    if said["plan"] != asdict(plan):
        raise ValueError(f"`{target}` was made under another plan; remove it, or give another folder with `--out`")
    return said


@lru_cache
def load(plan: Plan, seed: int, folder: Path) -> Shared:
    """Read a seed's folder. Raises ValueError as `told` does."""
    said, target = told(plan, seed, folder), folder / f"seed-{seed}"
    world = build_world(plan.sizes, seed)
    graph, fresh = new_writer(len(world.vocabulary.words), plan.width, seed)
    warm = _read(target, "warm", fresh)
    texts = as_texts(world.vocabulary, world.texts["learn"])
    made = Instruments(world, graph, warm, (), texts, new_grader(world, seed), Reader(world.policy, world.bank))
    models = {
        name: RewardModel(graph, _read(target, name, fresh), *numbers) for name, numbers in said["models"].items()
    }
    return Shared(made, models)
