"""Rewards without a grader's mistakes: right on average, by enumeration of every mistake, with the variance that they have."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rbrlang import load
from rbrlang.cli.main import main
from rbrlang.learning.judging.rates import ErrorRate
from rbrlang.reward.numpy import NumpyReward
from rbrlang.scoring.correct import Correction, CorrectionError

POLICY = """\
@noise(fp: 0.1, fn: 0.2)
prop a "It is a."
prop b "It is b."
prop c "It is c."
long := words > 3
response one ranks good > fair > bad {
  bad if !a & !b
  good if a & (b | c)
  fair otherwise
}
response other ranks good > bad {
  bad if c & long
  good otherwise
}
reward one { features classes, a, c, long }
"""
RATES = (ErrorRate("a", 0.1, 0.2, 50, 50), ErrorRate("b", 0.3, 0.05, 50, 50), ErrorRate("c", 0.0, 0.4, 50, 50))


@pytest.mark.parametrize("seed", range(4))
def test_mean_and_variance_are_those_of_every_mistake_that_could_be_made(tmp_path: Path, seed: int) -> None:
    (tmp_path / "p.rbr").write_text(POLICY)
    circuit = load(tmp_path / "p.rbr").circuit
    rng = np.random.default_rng(seed)
    weights = NumpyReward(circuit).weights.copy()
    for row, response in zip(weights, circuit.responses, strict=True):
        row[: len(response.features)] = rng.normal(size=len(response.features))
    reward = NumpyReward(circuit, weights)
    correct = Correction(circuit, reward.weights, RATES)
    places = [[atom.name for atom in circuit.atoms].index(name) for name in "abc"]
    answers = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    for number, measured in itertools.product(range(2), (0.0, 1.0)):
        ids, base = np.full(8, number, np.int32), np.full(8, 0.5)
        atoms = np.full((8, len(circuit.atoms)), measured, np.float32)
        atoms[:, places] = answers
        exact = reward(atoms, ids, base)
        # The answers are yes or no at one half, whatever P(yes) is.
        atoms[:, places] = np.where(answers == 1, 0.8, 0.3)
        found = correct(atoms, ids, base)
        for truth, wanted in zip(answers, exact, strict=True):
            wrong = np.where(truth == 1, [rate.fn for rate in RATES], [rate.fp for rate in RATES])
            chance = np.where(answers == truth, 1 - wrong, wrong).prod(1)
            assert chance @ found.total == pytest.approx(wanted, abs=1e-6)
            assert chance @ found.variance == pytest.approx(chance @ (found.total - wanted) ** 2, abs=1e-5)
            assert number == 1 or chance @ found.variance > 0.01  # mistakes do cost something


def test_what_has_no_answer_has_no_correction(tmp_path: Path) -> None:
    (tmp_path / "p.rbr").write_text(POLICY)
    circuit = load(tmp_path / "p.rbr").circuit
    atoms = np.full((2, len(circuit.atoms)), 1.0, np.float32)
    atoms[:, [atom.name for atom in circuit.atoms].index("b")] = np.nan
    found = Correction(circuit, NumpyReward(circuit).weights, RATES)(atoms, np.array([0, 1]), np.zeros(2))
    assert np.isnan(found.total).tolist() == [True, False]  # the other type does not read it


@pytest.mark.parametrize(
    ("policy", "rates", "said"),
    [
        (POLICY + "axiom !(a & b)\n", RATES, "a policy with axioms divides"),
        (POLICY, (replace(RATES[0], fp=0.5, fn=0.45), *RATES[1:]), "of `a` the grader knows next to nothing"),
        (POLICY + 'scale tone 1..3 "How warm?"\n', RATES, "the policy has scales or choices"),
    ],
)
def test_no_correction_that_is_not_exact(tmp_path: Path, policy: str, rates: tuple[ErrorRate, ...], said: str) -> None:
    (tmp_path / "p.rbr").write_text(policy)
    circuit = load(tmp_path / "p.rbr").circuit
    with pytest.raises(CorrectionError, match=said):
        Correction(circuit, NumpyReward(circuit).weights, rates)
    if not circuit.variables and not circuit.axioms.nodes:
        product = replace(circuit, class_probability="product")
        with pytest.raises(CorrectionError, match="takes class probabilities as a product"):
            Correction(product, NumpyReward(product).weights, RATES)


def test_planted_mistakes_are_taken_out_on_average(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the labels, through `agree`, to the mean reward of rows that were graded with mistakes."""
    (tmp_path / "p.rbr").write_text(POLICY)
    rng = np.random.default_rng(5)
    lines = {"gold": [], "rows": [], "true": []}
    for n in range(6000):
        truth = dict(zip("abc", (rng.random(3) < [0.9, 0.1, 0.9]).tolist(), strict=True))
        wrong = {rate.proposition: rng.random() < (rate.fn if truth[rate.proposition] else rate.fp) for rate in RATES}
        probs = {name: float(truth[name] != wrong[name]) for name in truth}
        row = {"id": f"r{n}", "prompt": f"{n}?", "completion": "Well.", "response_type": "one"}
        if n < 3000:
            lines["gold"].append(row | {"labels": truth, "probs": probs})
        else:
            lines["rows"].append(row | {"probs": probs})
            lines["true"].append(row | {"probs": {name: float(truth[name]) for name in truth}})
    for name, some in lines.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in some))
    at = {
        name: str(tmp_path / name)
        for name in ("p.rbr", "p.rbrc", "gold.jsonl", "rows.jsonl", "true.jsonl", "out.jsonl")
    }
    assert (
        main(["agree", at["p.rbr"], at["gold.jsonl"], "--grader", "rows", "--format", "json", "--bootstrap", "0"]) == 0
    )
    (tmp_path / "agree.json").write_text(capsys.readouterr().out)
    assert main(["compile", at["p.rbr"], "-o", at["p.rbrc"]]) == 0

    def scored(rows: str, *more: str) -> list[dict[str, float]]:
        assert main(["score", at["p.rbrc"], at[rows], "-o", at["out.jsonl"], *more]) == 0
        return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]

    wanted = np.mean([row["reward"] for row in scored("true.jsonl")])
    rows = scored("rows.jsonl", "--correct", str(tmp_path / "agree.json"))
    err = capsys.readouterr().err
    plain, corrected = (np.array([row[name] for row in rows]) for name in ("reward", "corrected_reward"))
    error = np.sqrt(np.mean([row["corrected_variance"] for row in rows]) / len(rows))
    assert abs(plain.mean() - wanted) > 5 * error  # there is something to correct
    assert abs(corrected.mean() - wanted) < 4 * error
    assert f"corrected 3000 rows: mean reward {plain.mean():.4g} as graded, {corrected.mean():.4g} without" in err
    assert "`@noise` of the policy" not in err  # all rates were measured

    # The same by processes and from a table.
    again = scored("rows.jsonl", "--correct", str(tmp_path / "agree.json"), "--workers", "2")
    assert again == rows
    for more, said in ((["--grader", "labels"], "labels have no such mistakes"), (["--lazy", "0"], "`--lazy` leaves")):
        assert main(["score", at["p.rbrc"], at["rows.jsonl"], "-o", at["out.jsonl"], "--correct", "x", *more]) == 2
        assert said in capsys.readouterr().err
    # Another grader's mistakes are not this one's; another policy's may be, where the questions are the same.
    plain = json.loads((tmp_path / "agree.json").read_text())
    for change, code, said in (
        ({"grader": "openai:else"}, 2, "holds the mistakes of `openai:else`, and these answers are of `rows`"),
        ({"fingerprint": "0" * 64}, 0, "was measured under the policy 000000000000, and this one is"),
    ):
        (tmp_path / "other.json").write_text(json.dumps(plain | change))
        command = [
            "score",
            at["p.rbrc"],
            at["rows.jsonl"],
            "-o",
            at["out.jsonl"],
            "--correct",
            str(tmp_path / "other.json"),
        ]
        assert main(command) == code
        assert said in capsys.readouterr().err
    (tmp_path / "bad.json").write_text("{}")
    command = ["score", at["p.rbrc"], at["rows.jsonl"], "-o", at["out.jsonl"], "--correct", str(tmp_path / "bad.json")]
    assert main(command) == 2
    assert "it has no object `propositions`" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--workers", "2"]])
def test_a_grader_whose_mistakes_these_are_not_is_asked_nothing(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.rbr").write_text(POLICY)
    (tmp_path / "counting.py").write_text(
        "def grade(items, names):\n"
        "    with open('asked', 'a') as file:\n"
        "        file.write('x')\n"
        "    return [dict.fromkeys(names, 0.1 + 0.8 * (int(item.id[1:]) % 2)) for item in items]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    gold = [
        {"id": f"g{n}", "prompt": f"{n}?", "completion": "Well.", "response_type": "one"}
        | {"labels": dict.fromkeys("abc", n % 2 == 1)}
        for n in range(40)
    ]
    (tmp_path / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in gold))
    grader = ["--grader", "python:counting.grade"]
    assert main(["agree", "p.rbr", "gold.jsonl", *grader, "--format", "json", "--bootstrap", "0"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert main(["compile", "p.rbr", "-o", "p.rbrc"]) == 0
    command = ["score", "p.rbrc", "gold.jsonl", "-o", "out.jsonl", *grader, "--correct"]
    for whose, code in (("openai:else", 2), (plain["grader"], 0)):
        Path("rates.json").write_text(json.dumps(plain | {"grader": whose}))
        Path("asked").unlink(missing_ok=True)
        capsys.readouterr()
        assert main([*command, "rates.json", *more]) == code, capsys.readouterr().err
        assert Path("asked").exists() == (code == 0)
        assert ("holds the mistakes of `openai:else`" in capsys.readouterr().err) == (code == 2)
        assert Path("out.jsonl").exists() == (code == 0)
