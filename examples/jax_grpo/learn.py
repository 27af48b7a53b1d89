"""How does the model come to write, and who says what people like?

**Warm start**: ordinary next-word learning on template text of every class, so that the model can refuse, lecture,
comply and leak before any reward is seen.

**Reward models** start from the warm model and learn from pairs of texts that an annotator compared (Bradley & Terry
1952: the log-odds of a preference are the difference of two rewards). Both annotators are simulated from the known truth
of the texts; both err at random in `NOISE` of the pairs.

- The *helpful* annotator wants the answer and minds neither harm nor manners.
- The *cautious* annotator wants refusals of harmful requests, but takes harmless ones for harmful: a share `wary` of those
  that only look risky (a villain's taunt, how ticket barriers work), `nervous` of all others. What a prompt was taken for is
  the same for all its pairs, which is how a mistake in instructions looks in human data (Mu et al. 2024, section 1).
"""

# pyright: basic
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal, assert_never

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from flax import nnx
from model import log_probs, rewards
from numpy.typing import NDArray
from world import MIX, Ints, Vocabulary, question

from rbrlang.rows.read import Row

NOISE = 0.1
FOREIGN = 0.3  # without such pairs a reward model learns that any answer will do, whatever was asked
ANSWERS = 3  # how much oftener than others a text is read that gives something: they vary most
WARM_BATCH = 16
PAIRS = 16

Kind = Literal["helpful", "cautious"]


@dataclass(frozen=True, slots=True)
class Annotator:
    """Whoever compares texts; `wary` and `nervous` are shares of prompts, from 0 to 1, and matter to the cautious one."""

    kind: Kind
    wary: float = 0.0
    nervous: float = 0.0


@dataclass(frozen=True, slots=True)
class Texts:
    """Rows as numbers: prompts int32 [rows, PROMPT], completions int32 [rows, LONGEST]."""

    rows: tuple[Row, ...]
    prompts: Ints
    completions: Ints


def as_texts(vocabulary: Vocabulary, rows: Sequence[Row]) -> Texts:
    """Rows whose completions fit the model."""
    return Texts(
        tuple(rows),
        vocabulary.prompts([question(row) for row in rows]),
        vocabulary.completions([row.completion_text for row in rows]),
    )


def rates(rate: float, steps: int) -> optax.Schedule:
    """A short climb and a cosine descent."""
    warm = min(20, max(1, steps // 5))
    return optax.warmup_cosine_decay_schedule(0.0, rate, warm, max(steps, warm + 1), 0.02 * rate)


@lru_cache  # an optimiser is a static argument below: the same one, and nothing is compiled twice
def learner(matrices: float, others: float, steps: int) -> optax.GradientTransformation:
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) for the blocks' matrices, Adam for all else.

    In a warm start it needs less than half the steps that Adam alone does.
    """

    def part(params: nnx.State) -> nnx.State:
        def name(path: tuple[Any, ...], x: jax.Array) -> str:
            return "matrix" if x.ndim == 2 and "blocks" in jax.tree_util.keystr(path) else "other"

        return jax.tree_util.tree_map_with_path(name, params)

    def square(params: Any) -> Any:
        return jax.tree.map(lambda _: optax.contrib.MuonDimensionNumbers(), params)

    muon = optax.contrib.scale_by_muon(weight_dimension_numbers=square)
    return optax.partition(
        {
            "matrix": optax.chain(muon, optax.scale_by_learning_rate(rates(matrices, steps))),
            "other": optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rates(others, steps), b2=0.98)),
        },
        part,
    )


# --- warm start ---------------------------------------------------------------------------------


@partial(jax.jit, static_argnames=("graph", "optimiser"))
def _imitate(graph, optimiser, params, state, prompts, completions):
    def loss(params):
        chosen = log_probs(graph, params, prompts, completions)
        return -chosen.sum() / (completions != 0).sum()

    value, gradient = jax.value_and_grad(loss)(params)
    updates, state = optimiser.update(gradient, state, params)
    return optax.apply_updates(params, updates), state, value


def shares(texts: Texts) -> NDArray[np.float64]:
    """How often each text is read, [rows], summing to 1: classes in the proportions of `MIX`, answers `ANSWERS` times as often."""
    share = np.array([MIX[row.klass or ""] for row in texts.rows], np.float64)
    for klass in MIX:  # long texts were left out, and some classes are long
        here = np.array([row.klass == klass for row in texts.rows])
        share[here] /= max(here.sum(), 1)
    share[[bool(row.labels["complies_partly"]) for row in texts.rows]] *= ANSWERS
    return share / share.sum()


def warm_start(
    graph: nnx.GraphDef, params: nnx.State, texts: Texts, steps: int, seed: int
) -> tuple[nnx.State, list[float]]:
    """Parameters that write like the texts, classes in the proportions of `MIX`; and the loss, nats a word, by step."""
    optimiser = learner(0.02, 1.5e-2, steps)
    state, curve = optimiser.init(params), []
    share = shares(texts)
    rng = np.random.default_rng([seed, 1])
    for _ in range(steps):
        pick = rng.choice(len(share), WARM_BATCH, p=share)
        params, state, value = _imitate(graph, optimiser, params, state, texts.prompts[pick], texts.completions[pick])
        curve.append(value)
    return params, [float(value) for value in curve]


# --- preferences --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Preferences:
    """Positions in texts: for the prompt of `prompt[i]` the completion `better[i]` was preferred to `worse[i]`."""

    prompt: Ints
    better: Ints
    worse: Ints


def _utility(row: Row, kind: Kind, taken_for_harmful: bool, *, foreign: bool = False) -> float:
    """What a text is worth to an annotator; a `foreign` one answers another request, and so gives nothing."""
    labels = row.labels
    gives = 0.0 if foreign else 2.0 * bool(labels["complies_fully"]) + 1.0 * bool(labels["complies_partly"])
    broken = 1.5 * (foreign + bool(labels["illogical_continuation"]) + bool(labels["third_person"]))
    match kind:
        case "helpful":
            return gives - 0.5 * bool(labels["inability_to_comply"]) - broken
        case "cautious":
            rude = bool(labels["judgmental"]) + bool(labels["threatening"]) + bool(labels["insulting"])
            if taken_for_harmful:
                no = bool(labels["inability_to_comply"]) + 0.5 * bool(labels["apology"])
                return 2.0 * no - 1.5 * gives - 2.0 * bool(labels["disallowed_content"]) - rude - broken
            return (
                gives - bool(labels["inability_to_comply"]) - 2.0 * bool(labels["disallowed_content"]) - rude - broken
            )
        case _:
            assert_never(kind)


def annotate(texts: Texts, annotator: Annotator, pairs: int, seed: int) -> Preferences:
    """Compare texts of one prompt, drawn as the warm start draws them, or (`FOREIGN`) one of them with an answer to another kind of request.

    Pairs of equal worth are not shown to anybody.
    """
    rng = np.random.default_rng([seed, 2, ("helpful", "cautious").index(annotator.kind)])
    by_prompt: dict[str, list[int]] = {}
    for at, row in enumerate(texts.rows):
        by_prompt.setdefault(row.prompt_key, []).append(at)
    share = shares(texts)
    keys = [key for key, members in by_prompt.items() if len(members) > 1]
    harmful: dict[str, bool] = {}
    for key in keys:
        row = texts.rows[by_prompt[key][0]]
        looks_risky = (row.category or "").endswith("-C")
        harmful[key] = row.response_type != "comply" or rng.random() < (
            annotator.wary if looks_risky else annotator.nervous
        )
    answers = [at for at, row in enumerate(texts.rows) if row.labels["complies_partly"]]
    prompt, better, worse = [], [], []
    for _ in range(50 * pairs):
        if len(better) == pairs:
            break
        key = keys[rng.integers(len(keys))]
        mine = share[by_prompt[key]]
        one, other = rng.choice(by_prompt[key], 2, replace=False, p=mine / mine.sum()).tolist()
        astray = bool(rng.random() < FOREIGN)
        if astray:
            other = answers[rng.integers(len(answers))]
            if _scene(texts.rows[other]) == _scene(texts.rows[one]):
                continue
        gain = _utility(texts.rows[one], annotator.kind, harmful[key])
        gain -= _utility(texts.rows[other], annotator.kind, harmful[key], foreign=astray)
        if gain == 0.0:
            continue
        pair = (other, one) if (gain < 0.0) != (rng.random() < NOISE) else (one, other)
        better.append(pair[0])
        worse.append(pair[1])
        prompt.append(one)
    return Preferences(np.array(prompt, np.int32), np.array(better, np.int32), np.array(worse, np.int32))


def _scene(row: Row) -> str:
    """The kind of request that a template text answers."""
    return row.raw["synthetic"]["scene"]


@partial(jax.jit, static_argnames=("graph", "optimiser"))
def _prefer(graph, optimiser, params, state, prompts, better, worse):
    def loss(params):
        both = rewards(graph, params, jnp.concatenate([prompts, prompts]), jnp.concatenate([better, worse]))
        gap = both[: len(better)] - both[len(better) :]
        return -jnp.mean(jax.nn.log_sigmoid(gap))

    value, gradient = jax.value_and_grad(loss)(params)
    updates, state = optimiser.update(gradient, state, params)
    return optax.apply_updates(params, updates), state, value


reward_of = jax.jit(rewards, static_argnames="graph")


@dataclass(frozen=True, slots=True)
class RewardModel:
    """A fitted reward model. `mean` and `spread` are those of its raw output on the texts it learned from.

    `agreement` is the share of new pairs, on prompts that it never saw, that it orders as the annotator did.
    """

    graph: nnx.GraphDef
    params: nnx.State
    mean: float
    spread: float
    agreement: float

    def __call__(self, prompts: Ints, completions: Ints) -> NDArray[np.float32]:
        """Rewards float32 [batch], of mean 0 and spread 1 over template text."""
        raw = np.asarray(reward_of(self.graph, self.params, prompts, completions))
        return (raw - np.float32(self.mean)) / np.float32(self.spread)


def fit_reward_model(
    graph: nnx.GraphDef,
    params: nnx.State,
    texts: Texts,
    held: Texts,
    annotator: Annotator,
    steps: int,
    seed: int,
    compared: int | None = None,
) -> RewardModel:
    """A reward model from the annotator's preferences, starting at the warm model's `params`.

    It learns from `compared` pairs, which it sees several times; by default every pair is a new one.
    """
    optimiser = learner(0.01, 2e-3, steps)
    state = optimiser.init(params)
    pairs = annotate(texts, annotator, steps * PAIRS if compared is None else compared, seed)
    order = np.random.default_rng([seed, 3])
    for _ in range(steps):
        pick = order.integers(len(pairs.better), size=PAIRS)
        asked, better, worse = pairs.prompt[pick], pairs.better[pick], pairs.worse[pick]
        params, state, _ = _prefer(
            graph, optimiser, params, state, texts.prompts[asked], texts.completions[better], texts.completions[worse]
        )
    some = np.random.default_rng([seed, 4]).choice(len(texts.rows), min(512, len(texts.rows)), replace=False)
    raw = np.asarray(reward_of(graph, params, texts.prompts[some], texts.completions[some]))
    fresh = annotate(held, annotator, 2000, seed + 1)
    first = np.asarray(reward_of(graph, params, held.prompts[fresh.prompt], held.completions[fresh.better]))
    second = np.asarray(reward_of(graph, params, held.prompts[fresh.prompt], held.completions[fresh.worse]))
    return RewardModel(graph, params, float(raw.mean()), float(raw.std()), float(np.mean(first > second)))
