"""Each tool that judges calls its adapter itself: Inspect, DSPy, OpenEnv and evaluate as they are installed, promptfoo by its protocol.

pip install -e '.[test,beside]'
"""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT, trainer

import rbrlang as rbr
from rbrlang.adapters.dspy import DSPyMetric
from rbrlang.adapters.evaluate import rules as evaluate_rules
from rbrlang.adapters.inspect_ai import rules as inspect_rules
from rbrlang.adapters.openenv import rules as openenv_rules
from rbrlang.adapters.promptfoo import PromptfooAssert
from rbrlang.grading.results import Answer, GradeItem, Invalid, Value
from rbrlang.scoring.columns import Columns, ColumnsError, rollouts
from rbrlang.scoring.invalid import OnInvalidError, UnscoredError
from rbrlang.scoring.score import Scorer

# Their own warnings are not this project's.
pytestmark = [pytest.mark.trainers, pytest.mark.filterwarnings("ignore")]

POLICY = CHECKOUT / "examples" / "refusals" / "policy.rbr"
REQUEST = "Write a mean song about my neighbour."
REFUSAL = "I'm sorry, but I can't help with that."
KIND = Columns(every="hard_refusal")


class FailingJudge:
    """0.2 for everything, and a failure for completions that say "broken"."""

    def __call__(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
        failed = Invalid("transport", "no answer within 60 s")
        good = Value(0.2, 1.0, 0.2, 0.2, "function")
        return [
            dict.fromkeys(of, failed if "broken" in i.completion else good) for i, of in zip(items, wanted, strict=True)
        ]


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> str:
    target = tmp_path_factory.mktemp("artefact") / "refusals.rbrc"
    policy = rbr.load(POLICY)
    rbr.write(target, policy, rbr.compile(policy))
    return str(target)


def wanted(artefact: str, completion: str = REFUSAL, prompt: object = REQUEST) -> float:
    """The reward by the `Scorer`, which all of them have to give."""
    scores = Scorer(artefact)(rollouts([prompt], [completion], {}, KIND))
    return float(scores.rewards[0])


def test_inspect_evaluates_by_the_rules(artefact: str, tmp_path: Path) -> None:
    inspect = trainer("inspect_ai")
    dataset, model, solver = (trainer(f"inspect_ai.{name}") for name in ("dataset", "model", "solver"))
    said = [REFUSAL, "broken", "Sure, here is one: la la la."]
    outputs = [model.ModelOutput.from_content("mockllm/model", text) for text in said]
    for output in outputs:
        output.usage = model.ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)  # else it fetches a tokenizer
    samples = [dataset.Sample(input=REQUEST, metadata={"kind": "hard_refusal"}) for _ in said]
    columns = Columns(response_type="kind")

    def logged(scorer: Any) -> Any:
        task = inspect.Task(
            dataset=samples, solver=[solver.system_message("Be brief."), solver.generate()], scorer=scorer
        )
        (log,) = inspect.eval(
            task, model=model.get_model("mockllm/model", custom_outputs=list(outputs)), log_dir=str(tmp_path),
            display="none", max_samples=1,
        )  # fmt: skip
        assert log.status == "success", log.error
        return log

    scores = [sample.scores["rbr"] for sample in logged(inspect_rules(artefact, columns=columns)).samples]
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": REQUEST}]
    assert scores[0].value == pytest.approx(wanted(artefact, said[0], asked))
    assert scores[0].answer == "ideal"
    assert scores[2].value == pytest.approx(wanted(artefact, said[2], asked))
    # A grader that fails leaves its sample unscored, with the reason, and the mean is that of the others.
    log = logged(inspect_rules(artefact, FailingJudge(), columns=columns))
    scores = [sample.scores["rbr"] for sample in log.samples]
    assert math.isnan(scores[1].value)
    assert "no answer within 60 s" in scores[1].explanation
    assert log.results.scores[0].metrics["mean"].value == pytest.approx((scores[0].value + scores[2].value) / 2)
    assert (log.results.scores[0].scored_samples, log.results.scores[0].unscored_samples) == (2, 1)


def test_dspy_evaluates_and_gives_feedback(artefact: str) -> None:
    dspy = trainer("dspy")
    examples = [dspy.Example(question=REQUEST, said=text).with_inputs("question") for text in (REFUSAL, "broken")]
    program = {text: dspy.Prediction(reply=text) for text in (REFUSAL, "broken")}
    metric = DSPyMetric(artefact, output="reply", columns=Columns(every="hard_refusal", prompt="question"))
    assert metric(examples[0], program[REFUSAL]) == pytest.approx(wanted(artefact))
    told = metric.with_feedback(examples[0], program[REFUSAL], None, None, None)
    assert told.score == pytest.approx(wanted(artefact))
    assert told.feedback.startswith("class `ideal`, reward ")
    assert "apology" in told.feedback

    class Answers(dspy.Module):
        def forward(self, question: str) -> Any:
            return dspy.Prediction(reply=REFUSAL)

    found = dspy.Evaluate(devset=examples[:1], metric=metric, display_progress=False)(Answers())
    assert found.score == pytest.approx(100 * wanted(artefact), abs=0.01)
    # A failure is what the user says that it is, and never 0 by itself.
    failing = DSPyMetric(artefact, FailingJudge(), output="reply", columns=metric.columns)
    with pytest.raises(UnscoredError, match="no answer within 60 s"):
        failing(examples[1], program["broken"])
    with pytest.raises(ColumnsError, match=r"no field `answer`, but `reply`; name it with output=…"):
        DSPyMetric(artefact, columns=metric.columns)(examples[0], program[REFUSAL])


def test_openenv_calls_it_as_a_rubric(artefact: str) -> None:
    rubrics, types = trainer("openenv.core.rubrics"), trainer("openenv.core.env_server.types")

    class Say(types.Action):
        message: str

    class Asked(types.Observation):
        prompt: str

    rubric = openenv_rules(artefact, columns=KIND)
    assert isinstance(rubric, rubrics.Rubric)
    assert rubric(Say(message=REFUSAL), Asked(prompt=REQUEST)) == pytest.approx(wanted(artefact))
    assert rubric.last_score == pytest.approx(wanted(artefact))
    both = rubrics.WeightedSum([rubric, openenv_rules(artefact, columns=KIND)], [0.5, 0.5])
    assert both(Say(message=REFUSAL), Asked(prompt=REQUEST)) == pytest.approx(wanted(artefact))
    with pytest.raises(UnscoredError, match="no answer within 60 s"):
        openenv_rules(artefact, FailingJudge(), columns=KIND)(Say(message="broken"), Asked(prompt=REQUEST))
    with pytest.raises(ColumnsError, match="the action has no field `text`, but"):
        openenv_rules(artefact, completion="text", columns=KIND)(Say(message="x"), Asked(prompt=REQUEST))


def test_evaluate_computes_it_as_a_metric(artefact: str, tmp_path: Path) -> None:
    evaluate = trainer("evaluate")
    place = {"cache_dir": str(tmp_path)}
    asked = {"prompt": REQUEST, "response_type": "hard_refusal"}
    metric = evaluate_rules(artefact, module=place)
    assert isinstance(metric, evaluate.Metric)
    # Text stays text also where it is JSON; messages may stand beside it.
    said = [REFUSAL, "42", '{"role": "user"}', [{"role": "assistant", "content": REFUSAL}]]
    found = metric.compute(predictions=said, references=[asked] * 4)
    each = [wanted(artefact, text) for text in (*said[:3], REFUSAL)]
    assert found["rbr_rewards"] == pytest.approx(each)
    assert found["rbr"] == pytest.approx(sum(each) / 4)
    assert (found["rbr_scored"], found["rbr_unscored"], found["rbr_classes"][0]) == (4, 0, "ideal")
    # In batches, one by one, and beside another; a failure is counted, with its reason, and is in no mean.
    failing = evaluate_rules(artefact, FailingJudge(), module=place, name="judged")
    both = evaluate.combine([metric, failing])
    both.add_batch(predictions=["Sure.", "broken"], references=[asked] * 2)
    failing.add(prediction="No.", reference=asked)
    assert (len(metric), len(failing)) == (2, 3)
    found = failing.compute()
    first, lost, last = found["judged_rewards"]
    assert (found["judged"], lost) == (pytest.approx((first + last) / 2), None)
    assert (found["judged_scored"], found["judged_unscored"]) == (2, 1)
    assert "no answer within 60 s" in found["judged_reasons"][1]
    assert math.isnan(failing.compute(predictions=["broken"], references=[asked])["judged"])
    with pytest.raises(UnscoredError, match="no answer within 60 s"):
        evaluate_rules(artefact, FailingJudge(), on_invalid="raise", module=place).compute(
            predictions=["broken"], references=[asked]
        )
    for references, complaint in (
        (None, "there is no `prompt` among"),
        (["hard_refusal"], "reference 0 is no record of columns; give one such as"),
    ):
        with pytest.raises(ColumnsError, match=complaint):
            evaluate_rules(artefact, module=place).compute(predictions=[REFUSAL], references=references)


def test_promptfoo_runs_it_as_a_script(artefact: str, tmp_path: Path) -> None:
    """As promptfoo does: a module from a file, `get_assert(output, context)`, and JSON of what it returns."""
    (tmp_path / "rules.py").write_text(
        "from rbrlang.adapters.promptfoo import PromptfooAssert\nfrom rbrlang.scoring.columns import Columns\n"
        f"get_assert = PromptfooAssert({artefact!r}, columns=Columns(response_type='kind'), threshold=0.5)\n"
    )
    context = {"prompt": REQUEST, "vars": {"kind": "hard_refusal"}, "test": {}}
    run = (
        "import importlib.util, json, sys; spec = importlib.util.spec_from_file_location('rules', 'rules.py');"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module);"
        "print(json.dumps(module.get_assert(*json.load(sys.stdin))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", run],
        input=json.dumps([REFUSAL, context]),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    said = json.loads(done.stdout)
    assert said["score"] == pytest.approx(wanted(artefact))
    assert said["pass"] is (wanted(artefact) >= 0.5)
    assert said["reason"].startswith("class `ideal`")


def test_failures_are_named_and_adapters_can_be_sent(artefact: str) -> None:
    failing = PromptfooAssert(artefact, FailingJudge(), columns=KIND)
    with pytest.raises(UnscoredError, match="no answer within 60 s"):
        failing("broken", {"prompt": REQUEST})
    assert (
        PromptfooAssert(artefact, FailingJudge(), columns=KIND, on_invalid=-1)("broken", {"prompt": REQUEST})["score"]
        == -1
    )
    for made in (DSPyMetric, PromptfooAssert):
        with pytest.raises(OnInvalidError, match="has no on_invalid=`mask`"):
            made(artefact, on_invalid="mask")
        again = pickle.loads(pickle.dumps(made(artefact, columns=KIND)))
        assert again.scorer.circuit.fingerprint == failing.scorer.circuit.fingerprint
