"""How do labels become heads?

Each head is a logistic regression with cue evidence as offset and Gaussian priors on its weights, one
variance per kind of evidence. With far fewer labels than columns it is solved in the space of rows: with
kernel `K = Σ_kinds variance · X Xᵀ`, Newton's method on the row coefficients (Rasmussen & Williams,
*Gaussian Processes for Machine Learning*, 2006, algorithm 3.1, http://gaussianprocess.org/gpml), then
`w = variance · Xᵀ a`. A label may be a teacher's P(yes): it counts as that much of a yes and the rest of a no, and where
answers are counted or ranked, as the likelier one. Rows of the rarer answer weigh as much in total as those of the other: a sample's base rates are
not those of a deployment, and a rare proposition would otherwise never pass one half. Where an answer has
fewer than five labels nothing is learned, and the head is its cue evidence.

Everything is **cross-fitted by prompt**: rows of one prompt are never on both sides. Held-out log-odds fix
the slope (temperature) of each head and say what it is worth; the heads themselves use all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.linalg import cho_factor, cho_solve
from numpy.typing import NDArray

from rbrlang.grading.embedded import evidence
from rbrlang.grading.embedded.cues import CuePatterns, CueReader, log_odds
from rbrlang.grading.embedded.evidence import asked, said, seen
from rbrlang.grading.embedded.folding import text_of
from rbrlang.grading.embedded.grader import EmbeddedGrader, starting_cues
from rbrlang.grading.embedded.heads import (
    Floats,
    HeadInfo,
    Heads,
    Unmeasured,
    Weights,
    Worth,
    definition,
    own_evidence,
    weighted_grams,
)
from rbrlang.grading.embedded.shots import ShotReader, few_shots
from rbrlang.grading.results import GradeItem
from rbrlang.grading.trust import agreement
from rbrlang.grading.trust.agreement import FEWEST_OF_EACH
from rbrlang.lang.program import Cue, Judged, Proposition

FEWEST_LABELS = 20
MOST_ROWS = 4_000  # the solver holds a matrix of rows by rows
_FOLDS = 5
_CURVE = (20, 50, 100, 200, 400)
_NEWTON_STEPS = 50
_GAIN = 1e-3  # nats over all rows; a step that gains less is the last
_BLOCK = 64  # rows are padded to multiples of this, so that few shapes are compiled
_RARE = -1.0  # bias where one answer is too rare to learn from


class TrainingError(ValueError):
    """Labels from which nothing can be learned; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Priors:
    """Prior variance of the log-odds that each kind of evidence may contribute."""

    traits: float = 20.0
    grams: float = 40.0
    own: float = 5.0
    bias: float = 0.5


@dataclass(frozen=True, slots=True)
class Curve:
    """Learning curve: macro AUC on held-out prompts when trained on so many completions (NaN: not measurable)."""

    sizes: tuple[int, ...]
    auc: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Labelled rows: traits [n, D] and grams [n, H], own evidence [P, n, K], offsets and labels [P, n].

    Labels are P(yes), NaN where there are none. `core` [n] marks the rows whose kind the heads are for.
    """

    traits: Floats
    grams: Floats
    own: Floats
    offset: Floats
    labels: Floats
    prompts: NDArray[np.int64]
    core: NDArray[np.bool_]


def train_heads(
    propositions: Sequence[Proposition],
    items: Sequence[GradeItem],
    labels: NDArray[np.floating],
    seed: int,
    source: str,
    *,
    by_name: bool = False,
    fewest: int = FEWEST_LABELS,
    priors: Priors = Priors(),
    core: NDArray[np.bool_] | None = None,
) -> Heads:
    """Heads for propositions from labels [items, propositions]: 1, 0, a teacher's P(yes), or NaN where not labelled.

    Rows beyond `MOST_ROWS` are left out, chosen by the seed. Statistics, slopes and worth come from the items
    marked in `core` [items], by default all; the others only add labels. Raises `TrainingError` with fewer than
    `fewest` labelled rows, `ValueError` where RE2 refuses a cue. The same arguments give the same
    heads, byte for byte, on the same machine with as many threads for linear algebra.
    """
    rows, cues = _usable(propositions, items, labels, seed, fewest, core)
    held_out = cross_fitted(rows, priors, seed)
    counted = np.where(rows.core, rows.labels, np.float32(np.nan))
    weights = _weights(rows, np.ones(rows.labels.shape[1], bool), priors)
    slope = np.array([_slope(y, z) for y, z in zip(counted, held_out, strict=True)], np.float32)
    worth = [_worth(y, z, rows.prompts, seed) for y, z in zip(counted, held_out, strict=True)]
    infos = tuple(
        HeadInfo(
            p.name, definition(p), cue, int(np.isfinite(y).sum()), int((y >= 0.5).sum()), w
        )
        for p, cue, y, w in zip(propositions, cues, rows.labels, worth, strict=True)
    )  # fmt: skip
    return Heads(
        evidence.fingerprint(),
        "name" if by_name else "definition",
        source,
        seed,
        infos,
        _with_slope(weights, slope),
    )


def cross_validated(
    propositions: Sequence[Proposition],
    items: Sequence[GradeItem],
    labels: NDArray[np.floating],
    seed: int,
    number: int = _FOLDS,
    on_fold: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """P(yes) [items, propositions] of each item from heads that never saw its prompt, nor do the shipped ones help.

    Everything that is learned, temperatures too, is learned inside the other folds; NaN where the grader
    abstains. `on_fold` is called after each fold. Arguments and errors as for `train_heads`, and `TrainingError`
    with fewer prompts than folds.
    """
    _check_enough(int(np.isfinite(labels).any(axis=1).sum()), FEWEST_LABELS)
    distinct: dict[object, int] = {}
    prompts = np.array([distinct.setdefault(item.conversation.context, len(distinct)) for item in items])
    if not 2 <= number <= len(distinct):
        raise TrainingError(f"{len(distinct)} prompts cannot be split into {number} folds; take 2 to {len(distinct)}")
    fold = agreement.folds(prompts, seed, number)
    out = np.full(labels.shape, np.nan, np.float32)
    for held in (fold == k for k in range(number)):
        rest = [item for item, here in zip(items, held.tolist(), strict=True) if not here]
        heads = train_heads(propositions, rest, labels[~held], seed, "the other folds", fewest=1)
        grader = EmbeddedGrader(propositions, heads, shipped_heads=False)
        out[held] = grader.probabilities([item for item, here in zip(items, held.tolist(), strict=True) if here])
        on_fold()
    return out


def unlearned(propositions: Sequence[Proposition], items: Sequence[GradeItem]) -> NDArray[np.float32]:
    """P(yes) [items, propositions] from what training starts with, cues and few-shots; NaN where there are none."""
    span = {p.name: p.span for p in propositions}
    bare = [
        p._replace(cues=tuple(Cue(answer, pattern, span[p.name]) for answer, pattern in starting_cues(p)))
        for p in propositions
    ]
    return EmbeddedGrader(bare, shipped_heads=False).probabilities(items)


def learning_curve(
    propositions: Sequence[Proposition], items: Sequence[GradeItem], labels: NDArray[np.floating], seed: int
) -> Curve:
    """Macro AUC on a held-out fold, over heads that can be measured there, for growing training sets.

    Arguments and errors as for `train_heads`.
    """
    rows, _ = _usable(propositions, items, labels, seed)
    held = agreement.folds(rows.prompts, seed, _FOLDS) == 0
    order = np.random.default_rng(seed + 1).permutation(np.flatnonzero(~held))
    sizes = [*(s for s in _CURVE if s < len(order)), len(order)]
    scores: list[float] = []
    for size in sizes:
        used = np.zeros(len(held), bool)
        used[order[:size]] = True
        predicted = _predict(_weights(rows, used, Priors()), rows, held)
        each: list[float] = []
        for y, z in zip(rows.labels[:, held], predicted, strict=True):
            known = np.isfinite(y)
            if known.any() and 0 < (y[known] >= 0.5).mean() < 1:
                each.append(agreement.auc(y[known] >= 0.5, z[known]))
        scores.append(float(np.mean(each)) if each else float("nan"))
    return Curve(tuple(sizes), tuple(scores))


def _usable(
    propositions: Sequence[Proposition],
    items: Sequence[GradeItem],
    labels: NDArray[np.floating],
    seed: int,
    fewest: int = FEWEST_LABELS,
    core: NDArray[np.bool_] | None = None,
) -> tuple[_Rows, tuple[CuePatterns, ...]]:
    if labels.shape != (len(items), len(propositions)):
        raise TrainingError(f"labels have shape {labels.shape}, which should be {(len(items), len(propositions))}")
    usable = np.flatnonzero(np.isfinite(labels).any(axis=1))
    _check_enough(len(usable), fewest)
    if len(usable) > MOST_ROWS:
        usable = np.sort(np.random.default_rng(seed).permutation(usable)[:MOST_ROWS])
    cues = tuple(starting_cues(p) for p in propositions)
    over = one_text(propositions)
    rows = _read(propositions, [items[int(i)].seen(over) for i in usable.tolist()], labels[usable], cues)
    return (rows if core is None else replace(rows, core=core[usable])), cues


def one_text(propositions: Sequence[Proposition]) -> Judged:
    """The text of a completion that heads are learned from: they share their statistics, so it is one."""
    first: dict[Judged, str] = {p.over: p.name for p in reversed(propositions)}
    if len(first) > 1:
        said = ", ".join(f"`{name}` over {over}" for over, name in first.items())
        raise TrainingError(
            f"heads are learned from one text of a completion, and these propositions are judged over several: {said}; "
            "train them in a policy for each"
        )
    return propositions[0].over if propositions else "final"


def _check_enough(labelled: int, fewest: int) -> None:
    if labelled < fewest:
        raise TrainingError(f"{labelled} completions are labelled, and heads need at least {fewest}; label more rows")


def _read(
    propositions: Sequence[Proposition],
    items: Sequence[GradeItem],
    labels: NDArray[np.floating],
    cues: Sequence[CuePatterns],
) -> _Rows:
    texts = [text_of(item.completion) for item in items]
    requests = [asked(item.prompt) for item in items]
    evidence = seen(list(map(said, texts, requests)), requests)
    scores = CueReader(cues).scores(texts)
    own = own_evidence(evidence, scores, ShotReader(list(map(few_shots, propositions))).likeness(evidence.grams))
    numbers: dict[object, int] = {}
    prompts = np.array([numbers.setdefault(item.conversation.context, len(numbers)) for item in items])
    known = labels.T.astype(np.float32)
    return _Rows(
        evidence.traits, evidence.grams.dense(), own, log_odds(scores).T, known, prompts, np.ones(len(items), bool)
    )


# --- the solver ---------------------------------------------------------------------------------


@jax.jit
def solve(kernel: Array, own: Array, labels: Array, weight: Array, offset: Array) -> Array:
    """Row coefficients `a` [P, n] of the penalised fits `f = K a`, one a proposition.

    `kernel` [n, n] is shared, `own` [P, n, K] adds `own ownᵀ`; `labels` 0 or 1, `weight` ≥ 0 (0 leaves a row
    out), `offset`, all [P, n]. At the solution `a = weight · (labels − sigmoid(offset + f))`.
    """

    def one(arguments: tuple[Array, Array, Array, Array]) -> Array:
        x, y, w, c = arguments
        k = kernel + x @ x.T

        def objective(a: Array, f: Array) -> Array:
            return jnp.sum(w * (jnp.logaddexp(0.0, f + c) - y * (f + c))) + 0.5 * a @ f

        def step(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            a, f, _, count = carry
            p = jax.nn.sigmoid(f + c)
            h = w * p * (1 - p)
            root = jnp.sqrt(h)
            target = h * f + w * (y - p)
            matrix = jnp.eye(len(y)) + root[:, None] * k * root[None, :]
            new = target - root * cho_solve(cho_factor(matrix, lower=True), root * (k @ target))
            move, f_move = new - a, k @ (new - a)
            sizes = 0.5 ** jnp.arange(8)

            def after(size: Array) -> Array:
                return objective(a + size * move, f + size * f_move)

            tried = jax.vmap(after)(sizes)
            here = objective(a, f)
            best = jnp.where(jnp.min(tried) < here, sizes[jnp.argmin(tried)], 0.0)
            return a + best * move, f + best * f_move, here - jnp.min(tried), count + 1

        def unfinished(carry: tuple[Array, Array, Array, Array]) -> Array:
            return (carry[2] > _GAIN) & (carry[3] < _NEWTON_STEPS)

        start = jnp.zeros_like(y), jnp.zeros_like(y), jnp.asarray(jnp.inf), jnp.asarray(0)
        return lax.while_loop(unfinished, step, start)[0]

    return lax.map(one, (own, labels, weight, offset))


def _weighted_labels(labels: Floats, used: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Labels for `solve` and their weights, 0 where not labelled or not used; both answers weigh the same in total, a `no` 1."""
    known = np.isfinite(labels) & used
    yes = np.where(known, labels, 0)
    positives = yes.sum(axis=1, keepdims=True)
    negatives = known.sum(axis=1, keepdims=True) - positives
    ratio = np.maximum(negatives, 1) / np.maximum(positives, 1)
    weight = np.where(known, yes * ratio + (1 - yes), 0)
    return (yes * ratio / np.where(known, weight, 1)).astype(np.float32), weight.astype(np.float32)


def _weights(rows: _Rows, used: NDArray[np.bool_], priors: Priors) -> Weights:
    """Heads from the used rows [n]; statistics, too, come from those alone, of the core."""
    grams, traits, own = rows.grams, rows.traits, rows.own
    usual = used & rows.core
    trait_mean, trait_scale = traits[usual].mean(axis=0), traits[usual].std(axis=0) + 0.05
    own_mean, own_scale = own[:, usual].mean(axis=1), own[:, usual].std(axis=1) + 0.05
    frequency = (grams[usual] > 0).sum(axis=0)
    gram_weight = np.where(frequency >= 2, np.log((usual.sum() + 1) / np.maximum(frequency, 1)), 0).astype(np.float32)
    z = np.clip((traits - trait_mean) / trait_scale, -4, 4)
    g = weighted_grams(gram_weight, grams)
    o = np.clip((own - own_mean[:, None]) / own_scale[:, None], -4, 4)
    per_trait, per_own = priors.traits / z.shape[1], priors.own / o.shape[2]
    kernel = per_trait * z @ z.T + priors.grams * g @ g.T + priors.bias
    labels, weight = _weighted_labels(rows.labels, used)
    rare = _rare(rows.labels, used)
    weight[rare] = 0
    a = _padded_solve(kernel, np.sqrt(per_own).astype(np.float32) * o, labels, weight, rows.offset)
    bias = np.where(rare, _RARE, priors.bias * a.sum(axis=1)).astype(np.float32)
    return Weights(
        trait_mean=trait_mean,
        trait_scale=trait_scale,
        gram_weight=gram_weight,
        own_mean=own_mean,
        own_scale=own_scale,
        traits=(per_trait * a @ z).astype(np.float32),
        own=(per_own * np.einsum("pn,pnk->pk", a, o)).astype(np.float32),
        grams=(priors.grams * a @ g).astype(np.float32),
        bias=bias,
        slope=np.ones(len(a), np.float32),
    )


def _padded_solve(kernel: Floats, own: Floats, labels: Floats, weight: Floats, offset: Floats) -> Floats:
    n = len(kernel)
    more = -n % _BLOCK
    wide = ((0, 0), (0, more))
    a = solve(
        jnp.asarray(np.pad(kernel, ((0, more), (0, more)))),
        jnp.asarray(np.pad(own, ((0, 0), (0, more), (0, 0)))),
        *(jnp.asarray(np.pad(x, wide)) for x in (labels, weight, offset)),
    )
    return np.asarray(a)[:, :n]


def _rare(labels: Floats, used: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which propositions have too few labels of one answer; their heads are cue evidence alone."""
    yes = (labels[:, used] >= 0.5).sum(axis=1)
    return np.minimum(yes, np.isfinite(labels[:, used]).sum(axis=1) - yes) < FEWEST_OF_EACH


def _with_slope(weights: Weights, slope: Floats) -> Weights:
    return Weights(**{name: getattr(weights, name) for name in Weights.__slots__} | {"slope": slope})


# --- cross-fitting ------------------------------------------------------------------------------


def _predict(weights: Weights, rows: _Rows, which: NDArray[np.bool_]) -> Floats:
    """Log-odds [P, chosen rows]."""
    z = np.clip((rows.traits[which] - weights.trait_mean) / weights.trait_scale, -4, 4)
    g = weighted_grams(weights.gram_weight, rows.grams[which])
    o = np.clip((rows.own[:, which] - weights.own_mean[:, None]) / weights.own_scale[:, None], -4, 4)
    linear = weights.traits @ z.T + weights.grams @ g.T + np.einsum("pnk,pk->pn", o, weights.own)
    return linear + weights.bias[:, None] + rows.offset[:, which]


def cross_fitted(rows: _Rows, priors: Priors, seed: int) -> Floats:
    """Log-odds [P, n] of each row from heads that never saw its prompt."""
    fold = agreement.folds(rows.prompts, seed, _FOLDS)
    out = np.zeros(rows.labels.shape, np.float32)
    for number in range(_FOLDS):
        held = fold == number
        if held.any() and not held.all():
            out[:, held] = _predict(_weights(rows, ~held, priors), rows, held)
    return out


def _slope(labels: Floats, held_out: Floats) -> float:
    """The temperature of greatest likelihood on held-out rows, on a grid, with a log-normal prior around 1."""
    known = np.isfinite(labels)
    y, z = labels[known].astype(float), held_out[known].astype(float)
    if agreement.too_little(y >= 0.5) is not None:
        return 1.0
    grid = np.exp(np.linspace(-1.0, 1.0, 41))
    loss = [float((np.logaddexp(0, s * z) - y * s * z).sum() + 4 * np.log(s) ** 2) for s in grid]
    return float(grid[int(np.argmin(loss))])


def _worth(labels: Floats, held_out: Floats, prompts: NDArray[np.int64], seed: int) -> Worth:
    known = np.isfinite(labels)
    y, z = labels[known] >= 0.5, held_out[known]
    lacking = agreement.too_little(y)
    if lacking is not None:
        return Unmeasured(lacking)
    return agreement.auc_interval(y, z, prompts[known], seed)
