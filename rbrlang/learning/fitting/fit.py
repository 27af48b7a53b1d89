"""Which weights make the reward rank completions as the policy does, and how good are they?

One weight vector per response type minimises the mean hinge over its comparisons (Mu et al. 2024,
section 4.3), the base reward entering as an offset:

    max(0, margin + r(worse) − r(better)),   r = base + Σ_j w_j · φ_j

The author's bounds are kept exactly. Where comparisons say nothing, a weight stays at its default and is
named as undetermined; it is never silently 0. Prompts, not pairs, are split into training and held out,
and resampled for intervals, for pairs of one prompt are anything but independent.

    found = fit(policy.circuit, rows, seed=0)
    found.reward                     # RuleReward with the fitted weights
    found.to_json()["response_types"]["hard_refusal"]["error"]["both"]

When not to use it: with one completion per prompt there is nothing to compare; use the defaults.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.comparisons import Comparisons, ordering_error
from rbrlang.learning.fitting.fit_notes import notes_of, nothing_to_fit, unfitted
from rbrlang.learning.fitting.fitted import Errors, Fit, Folds, Interval, ResponseFit, SourceFit
from rbrlang.learning.fitting.jobs import FitError, Job, Options, held_out_prompts, job_of, problem_of, ticket
from rbrlang.learning.fitting.path import NoPath, choose_ridge
from rbrlang.learning.fitting.problem import Loss, Pairs, Problem, pair_loss
from rbrlang.learning.fitting.solve import Solution, solve_all
from rbrlang.learning.fitting.ties import Tie, TieError, check_ties, tied
from rbrlang.learning.fitting.uncertainty import Case, Refused, Spread, bootstrap, fold_error, without
from rbrlang.learning.preferences import CLASSES, PairSource
from rbrlang.learning.sample import ClassSource, Sample, sample_rows
from rbrlang.learning.spread import spread_of
from rbrlang.logic.circuit import Circuit
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.weights import default_weights, stack_weights
from rbrlang.rows.read import Row

_CHUNK = 65_536

NO_PAIRS = np.zeros(0, np.int64)
PEOPLES_MARGIN: Mapping[Loss, float] = {"hinge": 1.0, "logistic": 0.0}
"""What a comparison of people's asks for where it does not say: nothing more than the likelihood of Bradley and Terry does."""

UNBOUNDED = 30.0
"""A weight this many times the typical offset is taken to be on its way to infinity."""


def fit(
    circuit: Circuit,
    rows: Sequence[Row],
    *,
    base_reward: str | None = "base_reward",
    class_source: ClassSource = "auto",
    class_names: Mapping[str, str] | None = None,
    margin: float | None = None,
    pairs: Sequence[PairSource] = CLASSES,
    columns: Mapping[str, str] = MappingProxyType({}),
    whiten: bool = False,
    ridge: float | None = None,
    ties: Sequence[Tie] = (),
    loss: Loss = "hinge",
    seed: int = 0,
    held_out: float = 0.2,
    bootstrap: int = 200,
    folds: int = 0,
) -> Fit:
    """Fit the weights of every response type that rows allow.

    `base_reward`, `class_source`, `class_names`, `margin`, `pairs`, `columns`: see `sample_rows`; people's comparisons that
    ask for no margin get 1 under the hinge, which 0 would leave satisfied by equal rewards, and 0 under the logistic
    loss. Every source counts as much as every other, whatever the number of its pairs. `whiten` measures margins in
    standard deviations of the base reward within prompts, per response type, and default weights too, so that its scale
    does not matter.
    `ridge` ≥ 0 pulls weights towards their defaults, in reward⁻¹: None chooses the strongest that prompts left out do
    not object to (see `path`); 0 gives the least loss, and of equally good weights those nearest to the defaults (more
    only where a logistic loss has no least). `ties`: weights that have to be equal. `held_out`: share of prompts kept for judging. `bootstrap`: resamples for intervals, 0 for none.
    `folds`: cross-validate over so many groups of prompts, 0 for not. The same rows, in
    any order, and seed give the same bits. Raises `FitError` when no response type can be fitted or an option makes no sense, `SampleError` for
    unusable base rewards.
    """
    _check_options(circuit, margin=margin, ridge=ridge, held_out=held_out, resamples=bootstrap, folds=folds)
    reward = NumpyReward(circuit)
    order = sorted(range(len(rows)), key=lambda at: (rows[at].prompt_key, rows[at].completion_text, rows[at].id))
    rows = [rows[at] for at in order]  # sums depend on their order
    samples = sample_rows(
        reward, rows, base_reward=base_reward, class_source=class_source, class_names=class_names, margin=margin,
        pairs=pairs, columns=columns, wanted=PEOPLES_MARGIN[loss],
    )  # fmt: skip
    kept = held_out_prompts(samples.samples, samples.prompt_keys, held_out, seed)
    options = Options(ridge, loss, seed, bootstrap, folds, whiten, samples.has_base, samples.pairs)
    defaults = default_weights(circuit).astype(np.float64)
    try:
        check_ties(circuit, ties)
        jobs = [
            job_of(sample, default, tied(sample.response, ties), kept, options)
            for sample, default in zip(samples.samples, defaults, strict=True)
            if len(sample.comparisons)
        ]
    except TieError as error:
        raise FitError(str(error)) from error
    if not jobs:
        idle = [unfitted(sample, default) for sample, default in zip(samples.samples, defaults, strict=True)]
        raise FitError(nothing_to_fit(idle, samples.set_apart))
    path = choose_ridge(jobs, samples.prompt_keys, options) if ridge is None else NoPath("a ridge was given", ridge)
    fitted = iter(_fitted(jobs, path.ridge, samples.prompt_keys, options))
    outcomes = tuple(
        next(fitted) if len(sample.comparisons) else unfitted(sample, default)
        for sample, default in zip(samples.samples, defaults, strict=True)
    )
    return Fit(
        circuit=circuit,
        weights=stack_weights(circuit, [outcome.weights for outcome in outcomes]),
        responses=outcomes,
        path=path,
        seed=seed,
        loss=loss,
        pairs=samples.pairs,
        class_source=samples.class_source,
        base_reward=base_reward if samples.has_base else None,
        whitened=whiten,
        ties=tuple(str(tie) for tie in ties),
        set_apart=samples.set_apart,
        apart=tuple(replace(one, row=order[one.row]) for one in samples.apart),
        base_extent=_extent([sample.base for sample in samples.samples]) if samples.has_base else (),
    )


def _extent(bases: Sequence[NDArray[np.float64]]) -> tuple[float, ...]:
    used = np.concatenate(bases)
    return (float(used.min()), float(used.max())) if len(used) else ()


def _check_options(
    circuit: Circuit, *, margin: float | None, ridge: float | None, held_out: float, resamples: int, folds: int
) -> None:
    if margin is not None and not (0.0 <= margin < math.inf):
        raise FitError(f"the margin is {margin}; give a finite number, 0 or more, or none for the policy's margins")
    if ridge is not None and not (0.0 <= ridge < math.inf):
        raise FitError(f"the ridge is {ridge}; give a finite number, 0 or more, or none to have it chosen")
    if not 0.0 <= held_out < 1.0:
        raise FitError(f"the share of prompts to hold out is {held_out}; give 0 or more and less than 1")
    if resamples < 0:
        raise FitError(f"{resamples} bootstrap resamples; give 0 for no intervals, or 100 and more")
    if folds < 0 or folds == 1:
        raise FitError(f"{folds} folds; give 0 for no cross-validation, or 2 and more")
    for response in circuit.responses:
        for feature, (low, high) in zip(response.features, response.bounds, strict=True):
            if not low <= high or low == math.inf or high == -math.inf:
                raise FitError(
                    f"the weight of `{feature.name}` for `{response.name}` has to be at least {low} and at most "
                    f"{high}; change its `weight` lines in the policy"
                )


# --- fitting ----------------------------------------------------------------------------------


def _fitted(jobs: Sequence[Job], ridge: float, keys: tuple[str, ...], options: Options) -> list[ResponseFit]:
    """Every job solved under the ridge, all at once, and what is to be known of it."""
    problems, solutions = _bounded([replace(job.problem, ridge=ridge or None) for job in jobs])
    cases = [
        Case(problem, solution, job.train.prompt, job.sample.base[job.train.better] - job.sample.base[job.train.worse])
        for job, problem, solution in zip(jobs, problems, solutions, strict=True)
    ]
    spreads = bootstrap(cases, options.bootstrap, options.seed)
    folds = _cross_validate(jobs, problems, keys, options)
    return [
        _outcome(job, problem, solution, spread, fold, options)
        for job, problem, solution, spread, fold in zip(jobs, problems, solutions, spreads, folds, strict=True)
    ]


def _bounded(problems: list[Problem]) -> tuple[list[Problem], list[Solution]]:
    """Solutions, under the least ridge, in powers of ten, that keeps a logistic loss from sending weights off."""
    solutions = list(solve_all(problems))
    problems = list(problems)
    for step in range(5):
        astray = [
            at
            for at, (problem, found) in enumerate(zip(problems, solutions, strict=True))
            if problem.loss == "logistic" and (problem.ridge is None or step)
            and float(np.abs(found.weights - problem.centre).max(initial=0.0)) > UNBOUNDED * max(1.0, found.scale)
        ]  # fmt: skip
        if not astray or (step == 0 and any(problems[at].ridge is not None for at in astray)):
            break
        for at in astray:
            problems[at] = replace(problems[at], ridge=10.0 ** (step - 5) / max(1.0, solutions[at].scale))
        for at, found in zip(astray, solve_all([problems[at] for at in astray]), strict=True):
            solutions[at] = found
    return problems, solutions


def _cross_validate(
    jobs: Sequence[Job], problems: Sequence[Problem], keys: tuple[str, ...], options: Options
) -> list[Folds | None]:
    """The ranking error on every fold of prompts by weights fitted to the others, over all comparisons."""
    if not options.folds:
        return [None] * len(jobs)
    cut: list[tuple[int, Problem, NDArray[np.bool_]]] = []
    found: list[Folds | None] = []
    for at, (job, problem) in enumerate(zip(jobs, problems, strict=True)):
        pairs = job.sample.comparisons
        prompts = np.unique(pairs.prompt)
        if len(prompts) < options.folds:
            found.append(Folds((), f"{len(prompts)} prompts cannot be divided into {options.folds} folds"))
            continue
        whole = problem_of(job.sample, pairs, job.default, job.tied, job.base_spread, options)
        whole = replace(whole, ridge=problem.ridge)
        order = sorted(prompts.tolist(), key=lambda prompt: ticket(options.seed, keys[prompt]))
        fold_of = np.zeros(len(keys), np.int64)
        fold_of[order] = np.arange(len(order)) % options.folds
        cut += [(at, whole, fold_of[pairs.prompt] == fold) for fold in range(options.folds)]
        found.append(Folds((), None))
    solved = solve_all([without(whole, fold) for _, whole, fold in cut])
    errors: dict[int, list[float]] = {}
    for (at, whole, fold), solution in zip(cut, solved, strict=True):
        pairs, base = jobs[at].sample.comparisons, jobs[at].sample.base
        error = fold_error(whole, base[pairs.better] - base[pairs.worse], whole.pairs.gaps(solution.weights), fold)
        errors.setdefault(at, []).append(error)
    return [Folds(tuple(errors[at]), None) if at in errors else fold for at, fold in enumerate(found)]


def _outcome(
    job: Job,
    problem: Problem,
    solution: Solution,
    spread: Spread | Refused,
    folds: Folds | None,
    options: Options,
) -> ResponseFit:
    sample, response, ties = job.sample, job.sample.response, job.tied
    weights = ties.spread(solution.weights)
    determined = _varies(problem)[ties.group]
    free = problem.low < problem.high
    judge = problem_of(sample, job.test, job.default, ties, job.base_spread, options)
    low, high = ties.spread(problem.low), ties.spread(problem.high)
    intervals = None
    if isinstance(spread, Spread):
        ends = zip(ties.spread(spread.low).tolist(), ties.spread(spread.high).tolist(), strict=True)
        intervals = tuple(Interval(a, b) for a, b in ends)
    names = tuple(feature.name for feature in response.features)
    return ResponseFit(
        name=response.name,
        rows=len(sample.rows),
        prompts=len(np.unique(job.train.prompt)),
        pairs=len(job.train),
        held_out_prompts=len(np.unique(job.test.prompt)),
        held_out_pairs=len(job.test),
        set_apart=sample.set_apart,
        features=names,
        weights=tuple(weights.tolist()),
        intervals=intervals,
        intervals_refused=spread.reason if isinstance(spread, Refused) else None,
        error_interval=Interval(*spread.error) if isinstance(spread, Spread) else None,
        folds=folds,
        undetermined=tuple(
            name for name, says, a, b in zip(names, determined, low, high, strict=True) if a < b and not says
        ),
        at_bound=tuple(
            name for name, weight, a, b in zip(names, weights, low, high, strict=True) if a < b and weight in (a, b)
        ),
        free_directions=int(free.sum()) - _rank(problem.pairs, free),
        loss_train=solution.loss,
        loss_held_out=pair_loss(judge, solution.weights) if len(job.test) else None,
        error_train=_errors(sample, job.train, weights, job.default, options),
        error_held_out=_errors(sample, job.test, weights, job.default, options) if len(job.test) else None,
        sources=tuple(_sources(job, weights, options)),
        gap=solution.gap,
        steps=solution.steps,
        ridge=solution.ridge,
        ridge_is_automatic=options.ridge is None,
        base_spread=job.base_spread,
        reward_spread=spread_of(sample.features @ weights, sample.base if options.has_base else None),
        notes=notes_of(job, problem, solution, options),
    )


def _sources(job: Job, weights: NDArray[np.float64], options: Options) -> Iterator[SourceFit]:
    """What every source came to, also one that has no comparisons here."""
    train, test = job.train.by_source(), job.test.by_source()
    for number, name in enumerate(options.pairs):
        fitted, held = (found.get(number, job.train.of(NO_PAIRS)) for found in (train, test))
        yield SourceFit(
            name=name,
            share=1.0 / len(train) if number in train else 0.0,
            pairs=len(fitted),
            prompts=len(np.unique(fitted.prompt)),
            held_out_pairs=len(held),
            held_out_prompts=len(np.unique(held.prompt)),
            error_train=_errors(job.sample, fitted, weights, job.default, options) if len(fitted) else None,
            error_held_out=_errors(job.sample, held, weights, job.default, options) if len(held) else None,
        )


def _varies(problem: Problem) -> NDArray[np.bool_]:
    """Whether each weight's feature differs within any pair, bool [weights]."""
    pairs = problem.pairs
    return np.array([
        bool(np.abs(column[pairs.better] - column[pairs.worse]).max(initial=0.0) > 1e-6)
        for column in pairs.features.T
    ], np.bool_)  # fmt: skip


def _rank(pairs: Pairs, free: NDArray[np.bool_]) -> int:
    """Dimensions of the free weights that some pair speaks of."""
    gram = np.zeros((int(free.sum()),) * 2)
    for start in range(0, len(pairs.better), _CHUNK):
        some = pairs.differences(np.arange(start, min(start + _CHUNK, len(pairs.better))))[:, free]
        gram += some.T @ some
    return int(np.linalg.matrix_rank(gram, tol=1e-9 * max(1, len(pairs.better)), hermitian=True))


def _errors(
    sample: Sample, pairs: Comparisons, weights: NDArray[np.float64], default: NDArray[np.float64], options: Options
) -> Errors:
    rules = sample.features @ weights
    return Errors(
        base=ordering_error(sample.base, pairs) if options.has_base else None,
        default=ordering_error(sample.base + sample.features @ default, pairs),
        rules=ordering_error(rules, pairs),
        both=ordering_error(sample.base + rules, pairs),
    )
