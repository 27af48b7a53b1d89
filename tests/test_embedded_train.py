"""Heads from labels: the solver against its optimality condition, and training as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from test_embedded import item, proposition

from rbrlang.grading.embedded.grader import EmbeddedGrader, Learned, describe
from rbrlang.grading.embedded.heads import HeadsError, Unmeasured, parse_heads
from rbrlang.grading.embedded.train import TrainingError, learning_curve, solve, train_heads
from rbrlang.grading.results import GradeItem
from rbrlang.grading.trust.agreement import Measured, auc
from rbrlang.lang.program import Message
from rbrlang.rows.conversation import spoken


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_the_solution_is_stationary_and_is_scipys(seed):
    random = np.random.default_rng(seed)
    n = 12
    x, own = random.normal(size=(n, 4)), random.normal(size=(1, n, 2))
    kernel = 3 * x @ x.T + 0.5
    y = (random.random((1, n)) < 0.4).astype(float)
    weight = random.choice([0.0, 1.0, 3.0], (1, n))
    offset = random.normal(0, 2, (1, n))
    a = np.asarray(solve(*(np.float32(v) for v in (kernel, own, y, weight, offset))))[0].astype(float)
    whole = kernel + own[0] @ own[0].T
    f = whole @ a
    np.testing.assert_allclose(a, weight[0] * (y[0] - 1 / (1 + np.exp(-f - offset[0]))), atol=3e-2)

    features = np.concatenate([np.sqrt(3) * x, np.full((n, 1), np.sqrt(0.5)), own[0]], axis=1)

    def loss(w):
        s = features @ w + offset[0]
        return np.sum(weight[0] * (np.logaddexp(0, s) - y[0] * s)) + 0.5 * w @ w

    best = minimize(loss, np.zeros(features.shape[1]))
    assert loss(features.T @ a) <= best.fun + 5e-3


ASKS = ("Which size do you need?", "What have you tried so far?", "Who is it for?", "Shall I go on?")
TELLS = ("The lake lies north of town.", "Bake it for an hour.", "Add the numbers in pairs.", "It opens at nine.")


def corpus(n, seed=0):
    """Completions that ask or do not, and that shout or do not, with their labels."""
    random = np.random.default_rng(seed)
    items, labels = [], []
    for i in range(n):
        asks, shouts = random.random(2) < 0.5
        text = f"{random.choice(TELLS)} {random.choice(ASKS) if asks else random.choice(TELLS)} Note {random.integers(999)}."
        items.append(item(text.upper() + "!!" if shouts else text, f"Request {i}", str(i)))
        labels.append([float(asks), float(shouts)])
    return items, np.array(labels)


PROPOSITIONS = (proposition("asks_back"), proposition("shouts"))


@pytest.fixture(scope="module")
def learned():
    items, labels = corpus(60)
    return train_heads(PROPOSITIONS, items, labels, 0, "sixty made-up rows")


def test_heads_learn_what_the_evidence_shows(learned):
    items, labels = corpus(80, seed=1)
    found = EmbeddedGrader(PROPOSITIONS, learned).probabilities(items)
    assert all(auc(labels[:, j] == 1, found[:, j]) > 0.95 for j in range(2))
    assert ((found[:, 0] >= 0.5) == labels[:, 0]).mean() > 0.9


def test_heads_say_what_they_are_worth(learned):
    worth = learned.infos[0].worth
    assert isinstance(worth, Measured)
    assert worth.low <= worth.auc <= worth.high
    assert worth.auc > 0.9
    standing = EmbeddedGrader(PROPOSITIONS, learned).standings[0]
    assert isinstance(standing, Learned)
    assert standing.exact
    assert "60 labels (sixty made-up rows); auc" in describe(standing)


def test_a_teachers_doubt_is_learned():
    """Labels of P 0.75 and 0.25 give answers of about that, in the order of the likelier answers."""
    items, labels = corpus(120)
    fresh, truth = corpus(60, seed=1)
    sure, unsure = (
        EmbeddedGrader(PROPOSITIONS, train_heads(PROPOSITIONS, items, y, 0, "a teacher")).probabilities(fresh)
        for y in (labels, 0.25 + labels / 2)
    )
    for j in range(2):
        yes = truth[:, j] == 1
        assert auc(yes, unsure[:, j]) > 0.95
        assert abs(unsure[yes, j].mean() - 0.75) < 0.08
        assert abs(unsure[~yes, j].mean() - 0.25) < 0.08
        assert sure[yes, j].mean() > 0.85


def test_noise_is_not_praised():
    items, labels = corpus(60)
    shuffled = np.random.default_rng(3).permutation(labels)
    worth = train_heads(PROPOSITIONS, items, shuffled, 0, "noise").infos[0].worth
    assert isinstance(worth, Measured)
    assert worth.low < 0.5 < worth.high + 0.1


def test_copies_of_a_row_do_not_leak_across_folds():
    """Random labels, each row five times under one prompt: a split by rows would find them again."""
    random = np.random.default_rng(5)
    base = [item(f"{random.choice(TELLS)} {random.integers(10**9)}", f"Request {i}", str(i)) for i in range(30)]
    labels = (random.random((30, 1)) < 0.5).astype(float)
    heads = train_heads(PROPOSITIONS[:1], base * 5, np.tile(labels, (5, 1)), 0, "copies")
    worth = heads.infos[0].worth
    assert isinstance(worth, Measured)
    assert worth.auc < 0.75


def test_training_is_deterministic_and_survives_a_file(learned):
    items, labels = corpus(60)
    again = train_heads(PROPOSITIONS, items, labels, 0, "sixty made-up rows")
    assert again.content == learned.content
    parsed = parse_heads(learned.content, "x")
    fresh, _ = corpus(20, seed=2)
    a, b = (EmbeddedGrader(PROPOSITIONS, h).probabilities(fresh) for h in (learned, parsed))
    np.testing.assert_allclose(a, b, atol=2e-3)  # n-gram weights are stored in half precision


def test_heads_are_locked_to_definitions(learned):
    changed = (proposition("asks_back", question="Does it ask?"), PROPOSITIONS[1])
    with pytest.raises(HeadsError, match="`asks_back` has changed since its head was trained"):
        EmbeddedGrader(changed, learned)
    EmbeddedGrader((proposition("something_else", yes=["a"]), PROPOSITIONS[1]), learned)


def test_missing_labels_are_left_out_and_rare_answers_teach_nothing():
    items, labels = corpus(60)
    labels[:, 1] = 0
    labels[:3, 1] = 1
    labels[40:, :] = np.nan
    heads = train_heads((PROPOSITIONS[0], proposition("shouts", yes=["!!"])), items, labels, 0, "few")
    assert [info.labelled for info in heads.infos] == [40, 40]
    assert heads.infos[1].worth == Unmeasured("3 positives and 37 negatives; at least 5 of each are needed")
    assert not heads.weights.traits[1].any()
    grader = EmbeddedGrader((PROPOSITIONS[0], proposition("shouts", yes=["!!"])), heads)
    loud, calm = grader.probabilities([item("Stop!!"), item("Stop.")])[:, 1]
    assert loud > 0.5 > calm
    assert "3 positives of 40 labels teach nothing" in describe(grader.standings[1])


def test_too_few_labels_are_refused():
    items, labels = corpus(19)
    with pytest.raises(TrainingError, match="19 completions are labelled, and heads need at least 20"):
        train_heads(PROPOSITIONS, items, labels, 0, "few")
    with pytest.raises(TrainingError, match="labels have shape"):
        train_heads(PROPOSITIONS, items, labels[:, :1], 0, "few")


def test_the_learning_curve_rises_to_the_whole():
    items, labels = corpus(120)
    curve = learning_curve(PROPOSITIONS, items, labels, 0)
    assert curve.sizes == (20, 50, 96)
    assert curve.auc[-1] > 0.9
    assert curve.auc[-1] >= curve.auc[0] - 0.05


def test_cues_help_when_labels_are_few():
    random = np.random.default_rng(9)
    words = ("zorp", "blick", "quam", "flid")
    rare = [f"{random.choice(TELLS)} {random.choice(words)} {random.integers(10**6)}" for _ in range(12)]
    usual = [f"{random.choice(TELLS)} {random.integers(10**6)}" for _ in range(12)]
    items = [GradeItem(str(i), spoken((Message("user", str(i)),), text), -1) for i, text in enumerate(rare + usual)]
    labels = np.repeat([1.0, 0.0], 12)[:, None]
    with_cue = proposition("made_up", yes=["zorp|blick|quam|flid"])
    cued = train_heads([with_cue], items, labels, 0, "cue").infos[0].worth
    bare = train_heads([proposition("made_up")], items, labels, 0, "none").infos[0].worth
    assert isinstance(cued, Measured)
    assert isinstance(bare, Measured)
    assert cued.auc == 1.0
    assert cued.auc >= bare.auc
