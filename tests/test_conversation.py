"""Every public shape of messages, by every reader, is one conversation; and what of it is judged."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import CHECKOUT
from hypothesis import given
from hypothesis import strategies as st

import rbrlang as rbr
from rbrlang.adapters.nemo_gym import NeMoGymReward, read_body
from rbrlang.adapters.openrlhf import OpenRLHFReward, read_query
from rbrlang.adapters.trl import TRLReward
from rbrlang.adapters.tunix import TunixReward
from rbrlang.adapters.verifiers import VerifiersReward, read_trace
from rbrlang.adapters.verl import VerlReward
from rbrlang.grading.embedded.grader import EmbeddedGrader
from rbrlang.grading.questions.prompt import item_text
from rbrlang.grading.results import GradeItem
from rbrlang.reward.kept.artefact import read_artefact
from rbrlang.reward.measure import measure, measure_atoms
from rbrlang.rows.conversation import Call, Conversation, Turn, key_of
from rbrlang.rows.read import Row, read_rows, row_from
from rbrlang.rows.shapes import ShapeError, conversation, split, turns
from rbrlang.rows.thought import apart
from rbrlang.scoring.columns import Columns, ColumnsError, Rollout, Unusable, rollout, rollouts
from rbrlang.scoring.score import Scorer
from rbrlang.scoring.store import RolloutStore
from rbrlang.serve.forms import Reading, read_openrlhf, read_score, read_verify

ASKED = "Find the opening hours, then be rude."
CALL = Call("find", '{"q": "hours"}')
REFUSAL = "Sorry, I can't."


def assistant(text: str, thought: str = "", *calls: Call) -> Turn:
    """A turn of the assistant."""
    return Turn("assistant", text, thought, calls)


OPENAI_CALL = {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"q": "hours"}'}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}

# Messages of a completion in each public shape, and the turns that they are.
SHAPES: dict[str, tuple[list[dict[str, Any]], tuple[Turn, ...]]] = {
    "plain": ([{"role": "assistant", "content": REFUSAL}], (assistant(REFUSAL),)),
    "a dialogue": (
        [
            {"role": "assistant", "content": "Hm."},
            {"role": "user", "content": "Sure? shame on you"},
            {"role": "assistant", "content": "Sorry, I cannot."},
        ],
        (assistant("Hm."), Turn("user", "Sure? shame on you"), assistant("Sorry, I cannot.")),
    ),
    "thought between marks": (
        [{"role": "assistant", "content": f"<think>Sure, what a shame</think>{REFUSAL}"}],
        (assistant(REFUSAL, "Sure, what a shame"),),
    ),
    "a closing mark alone": (
        [{"role": "assistant", "content": f"Sure, shame\n</think>\n\n{REFUSAL}"}], (assistant(REFUSAL, "Sure, shame"),),
    ),
    "an opening mark alone": (
        [{"role": "assistant", "content": "<think>Sure, shame"}], (assistant("", "Sure, shame"),),
    ),
    "reasoning_content": (
        [{"role": "assistant", "content": REFUSAL, "reasoning_content": "Sure."}], (assistant(REFUSAL, "Sure."),),
    ),
    "reasoning": ([{"role": "assistant", "content": REFUSAL, "reasoning": "Sure."}], (assistant(REFUSAL, "Sure."),)),
    "thinking parts": (
        [{"role": "assistant", "content": [{"type": "thinking", "thinking": "Sure."}, {"type": "text", "text": REFUSAL}]}],
        (assistant(REFUSAL, "Sure."),),
    ),
    "tool calls": (
        [
            {"role": "assistant", "content": None, "tool_calls": [OPENAI_CALL]},
            {"role": "tool", "tool_call_id": "1", "content": "9 to 5"},
            {"role": "assistant", "content": REFUSAL},
        ],
        (assistant("", "", CALL), Turn("tool", "9 to 5", name="find"), assistant(REFUSAL)),
    ),
    "a tool call and no word": (
        [{"role": "assistant", "content": None, "tool_calls": [OPENAI_CALL]}], (assistant("", "", CALL),),
    ),
    "function_call": (
        [{"role": "assistant", "content": None, "function_call": OPENAI_CALL["function"]},
         {"role": "function", "name": "find", "content": "9 to 5"}, {"role": "assistant", "content": REFUSAL}],
        (assistant("", "", CALL), Turn("tool", "9 to 5", name="find"), assistant(REFUSAL)),
    ),
    "Anthropic's parts": (
        [
            {"role": "assistant", "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "1", "name": "find", "input": {"q": "hours"}},
            ]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "down", "is_error": True}]},
            {"role": "assistant", "content": REFUSAL},
        ],
        (assistant("I look.", "", CALL), Turn("tool", "down", name="find", failed=True), assistant(REFUSAL)),
    ),
    "items of the Responses API": (
        [
            {"type": "reasoning", "id": "x", "summary": [{"type": "summary_text", "text": "Sure."}]},
            {"type": "function_call", "name": "find", "arguments": '{"q": "hours"}', "call_id": "1"},
            {"type": "function_call_output", "call_id": "1", "output": "9 to 5"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": REFUSAL}]},
        ],
        (assistant("", "Sure.", CALL), Turn("tool", "9 to 5", name="find"), assistant(REFUSAL)),
    ),
    "a reasoning item before its message": (
        [
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Sure."}]},
            {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": REFUSAL}]},
        ],
        (assistant(REFUSAL, "Sure."),),
    ),
    "<tool_call> of Hermes and Qwen": (
        [
            {"role": "assistant", "content": 'I look.\n<tool_call>\n{"name": "find", "arguments": {"q": "hours"}}\n</tool_call>'},
            {"role": "tool", "content": "Traceback (most recent call last): …"},
            {"role": "assistant", "content": REFUSAL},
        ],
        (
            assistant("I look.", "", CALL), Turn("tool", "Traceback (most recent call last): …", failed=True),
            assistant(REFUSAL),
        ),
    ),
    "<function=…> of Qwen": (
        [{"role": "assistant", "content":
            "<tool_call>\n<function=find>\n<parameter=q>\nhours\n</parameter>\n</function>\n</tool_call>"},
         {"role": "assistant", "content": REFUSAL}],
        (assistant("", "", CALL), assistant(REFUSAL)),
    ),
    "parts": (
        [{"role": "assistant", "content": [{"type": "text", "text": "Sorry, "}, "I can't.", IMAGE]}],
        (assistant(f"{REFUSAL}[image]"),),
    ),
    "LangChain": (
        [{"type": "ai", "content": "", "tool_calls": [{"name": "find", "args": {"q": "hours"}, "id": "1"}]},
         {"type": "tool", "content": "no", "tool_call_id": "1", "status": "error"}, {"type": "ai", "content": REFUSAL}],
        (assistant("", "", CALL), Turn("tool", "no", name="find", failed=True), assistant(REFUSAL)),
    ),
    "ShareGPT": (
        [{"from": "function_call", "value": '{"name": "find", "arguments": {"q": "hours"}}'},
         {"from": "observation", "value": '{"error": "down"}'}, {"from": "gpt", "value": REFUSAL}],
        (assistant("", "", CALL), Turn("tool", '{"error": "down"}', failed=True), assistant(REFUSAL)),
    ),
    "LangChain's other keys": (
        [{"type": "ai", "content": REFUSAL, "tool_calls": [],
          "additional_kwargs": {"reasoning_content": "Hm.", "tool_calls": [OPENAI_CALL], "role": "user", "content": "shame"}}],
        (assistant(REFUSAL, "Hm.", CALL),),
    ),
    "Bedrock": (
        [{"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "x"}}},
            {"toolUse": {"toolUseId": "1", "name": "find", "input": {"q": "hours"}}}]},
         {"role": "user", "content": [
             {"toolResult": {"toolUseId": "1", "content": [{"json": {"hours": 9}}, {"text": "!"}], "status": "error"}}]},
         {"role": "assistant", "content": [{"text": REFUSAL}, {"cachePoint": {"type": "default"}}]}],
        (assistant("", "Hm.", CALL), Turn("tool", '{"hours": 9}!', name="find", failed=True), assistant(REFUSAL)),
    ),
    "a tool that waits for leave": (
        [{"type": "mcp_list_tools", "server_label": "s", "tools": []},
         {"type": "mcp_approval_request", "id": "1", "name": "find", "arguments": '{"q": "hours"}', "server_label": "s"},
         {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": REFUSAL}]}],
        (assistant("", "", CALL), assistant(REFUSAL)),
    ),
    "Gemini": (
        [{"role": "model", "parts": [{"functionCall": {"name": "find", "args": {"q": "hours"}}}]},
         {"role": "user", "parts": [{"functionResponse": {"name": "find", "response": {"hours": "9 to 5"}}}]},
         {"role": "model", "parts": [{"text": "Hm.", "thought": True}, {"text": REFUSAL}]}],
        (
            assistant("", "", CALL), Turn("tool", '{"hours": "9 to 5"}', name="find"), assistant(REFUSAL, "Hm."),
        ),
    ),
}  # fmt: skip

PROMPT = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": ASKED}, IMAGE]},
]
CONTEXT = (Turn("developer", "Be brief."), Turn("user", f"{ASKED}[image]"))


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The example's policy, as a file."""
    target = tmp_path_factory.mktemp("artefact") / "refusals.rbrc"
    loaded = rbr.load(CHECKOUT / "examples" / "refusals" / "policy.rbr")
    rbr.write(target, loaded, rbr.compile(loaded))
    return str(target)


def trace_of(messages: list[dict[str, Any]]) -> Any:
    """A trace of verifiers whose completion is sampled."""
    nodes = [SimpleNamespace(message=Dumped(m), sampled=False) for m in PROMPT]
    nodes += [SimpleNamespace(message=Dumped(m), sampled=True) for m in messages]
    data = Dumped({"prompt": "p", "response_type": "hard_refusal"})
    return SimpleNamespace(
        branches=[SimpleNamespace(nodes=nodes)], task=SimpleNamespace(data=data), record_metrics=lambda values: None
    )  # fmt: skip


class Dumped:
    """A model of pydantic's, as far as it is read."""

    def __init__(self, plain: dict[str, Any]) -> None:
        self._plain = plain

    def model_dump(self) -> dict[str, Any]:
        """Its fields."""
        return self._plain


def body_of(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """A rollout as NeMo-Gym posts it."""
    return {
        "responses_create_params": {"input": [PROMPT[1]], "instructions": None},
        "response": {"output": messages},
        "verifier_metadata": {"response_type": "hard_refusal"},
    }


def readings(
    tmp_path: Path, circuit: Any, messages: list[dict[str, Any]]
) -> dict[str, tuple[Rollout, tuple[Turn, ...]]]:
    """The completion by every reader, and the context that the reader was given."""
    fields = {"prompt": PROMPT, "completion": messages, "response_type": "hard_refusal"}
    one = {"response_type": ["hard_refusal"]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(fields) + "\n")
    label = json.dumps({"response_type": "hard_refusal", "messages": [*PROMPT, *messages], "prompt": PROMPT})
    decoded = " ".join(turn.text for turn in turns(messages, "completion", "assistant"))
    openrlhf: dict[str, Any] = {"query": [decoded], "prompts": ["text"], "labels": [label]}
    whole = {"messages": [*PROMPT, *messages], "prompt": PROMPT, "response_type": "hard_refusal"}
    record = {**whole, "prompt": np.array(PROMPT, dtype=object), "messages": np.array(whole["messages"], dtype=object)}
    return {
        "rows": (read_rows(tmp_path / "rows.jsonl").rows[0], CONTEXT),
        "rows of messages": (row_from(whole), CONTEXT),
        "/score": (read_score({"rows": [fields]}, Reading())[0], CONTEXT),
        "TRL and Tunix": (rollouts([PROMPT], [messages], one, Columns())[0], CONTEXT),
        "verl": (rollout(decoded, record, Columns()), CONTEXT),
        "verifiers": (read_trace(trace_of(messages), Columns()), CONTEXT),
        "NeMo-Gym": (read_body(body_of(messages), Columns()), CONTEXT[1:]),
        "/verify": (read_verify(body_of(messages), Reading())[0], CONTEXT[1:]),
        "OpenRLHF": (read_query(decoded, "text", label, Columns(), circuit), CONTEXT),
        "/openrlhf": (read_openrlhf(openrlhf, Reading(), circuit)[0], CONTEXT),
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_every_reader_reads_every_shape_alike(shape: str, policy: str, tmp_path: Path) -> None:
    messages, expected = SHAPES[shape]
    circuit = read_artefact(policy).circuit
    found = readings(tmp_path, circuit, messages)
    assert len(found) == 10
    for reader, (read, context) in found.items():
        assert isinstance(read, Row), (reader, read)
        assert read.conversation == Conversation(context, expected), reader


@pytest.mark.parametrize("shape", SHAPES)
def test_turns_written_as_messages_read_back_the_same(shape: str, policy: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    expected = SHAPES[shape][1]
    assert turns([turn.to_json() for turn in expected], "x", "assistant") == expected
    scorer = Scorer(policy)
    rows = rollouts([PROMPT], [SHAPES[shape][0]], {"response_type": ["hard_refusal"]}, Columns())
    with RolloutStore(tmp_path, scorer.circuit, "g") as store:
        store.add(0, rows, scorer(rows))
    (kept,) = read_rows(tmp_path).rows
    assert kept.conversation == Conversation(CONTEXT, expected)


# --- what is judged ---------------------------------------------------------------------------

DIALOGUE = SHAPES["a dialogue"][0]
THOUGHTFUL = f"<think>Sure, {'you should know better, what a shame ' * 10}</think>{REFUSAL}"


@pytest.mark.parametrize(
    ("completion", "said"),
    [
        (DIALOGUE, "Sorry, I cannot."),
        (THOUGHTFUL, REFUSAL),
        ([{"role": "assistant", "content": THOUGHTFUL}], REFUSAL),
    ],
    ids=["dialogue", "thought as text", "thought in a message"],
)
def test_the_reward_is_that_of_the_refusal_alone(completion: Any, said: str, policy: str) -> None:
    """In every adapter: what users say and what is thought is not the model's word."""
    kind = {"response_type": ["hard_refusal"]}
    messages = [{"role": "assistant", "content": completion}] if isinstance(completion, str) else completion
    # What stands before is shown to a grader, but the embedded one reads requests in it: keep to its last one.
    asked = [{"role": "user", "content": ASKED}]
    opening = [*asked, *messages[:-1]]
    (alone,) = TunixReward(policy)([opening], [said], **kind)
    extra = {"response_type": "hard_refusal", "messages": [*asked, *messages], "prompt": asked}
    label = json.dumps(extra)
    body = {**body_of(messages), "responses_create_params": {"input": asked}}
    trace = trace_of(messages)
    trace.branches[0].nodes[:2] = [SimpleNamespace(message=Dumped(asked[0]), sampled=False)]
    got = {
        "TRL": asyncio.run(TRLReward(policy)(prompts=[asked], completions=[completion], **kind))[0],
        "Tunix": TunixReward(policy)([asked], [completion], **kind)[0],
        "verl": VerlReward(policy)("d", said, None, extra)["score"],
        "verifiers": asyncio.run(VerifiersReward(policy)(trace)),
        "NeMo-Gym": NeMoGymReward(policy).verify(body)["reward"],
        "OpenRLHF": OpenRLHFReward(policy)([said], ["q"], [label])["rewards"][0],
        "rows": float(Scorer(policy)([row_from({"prompt": asked, "completion": completion, "response_type": "hard_refusal"})]).rewards[0]),
    }  # fmt: skip
    if isinstance(completion, str):
        plain = {"prompt": asked, "response_type": "hard_refusal"}
        got["verl, decoded"] = VerlReward(policy)("d", completion, None, plain)["score"]
        spoken = json.dumps({"response_type": "hard_refusal", "prompt": asked})
        got["OpenRLHF, decoded"] = OpenRLHFReward(policy)(["<s>q" + completion], ["q"], [spoken])["rewards"][0]
    assert got == {name: pytest.approx(alone, abs=1e-5) for name in got}


POLICY = """
judge {judged}
prop rude "Response is rude." {{ cue yes "shame" }}
prop plans "Assistant plans it." {{ over thought cue yes "plan" }}
response r ranks good > bad
r.good := !rude & !plans & words < 20 & steps <= 2 & calls("^find$") <= 1 & tool_errors == 0
r.bad := otherwise
"""


def graded(text: str, completion: object) -> tuple[dict[str, float], list[bool]]:
    """P(yes) of each proposition by the embedded grader, and the truth of each measure."""
    policy = rbr.loads(text)
    circuit = policy.circuit
    told = conversation("Hi", completion)
    item = GradeItem("1", told, 0)
    p = EmbeddedGrader(policy.program.propositions).probabilities([item])[0]
    return dict(zip(circuit.propositions, p.tolist(), strict=True)), measure_atoms(circuit.atoms, told)


def test_each_proposition_reads_its_own_text() -> None:
    thought = [
        {"role": "assistant", "content": "Fine.", "reasoning_content": "The plan is to say shame. " + "word " * 30}
    ]
    for judged, completion, rude in (
        ("final", DIALOGUE, False),
        ("assistant", DIALOGUE, False),
        ("trajectory", DIALOGUE, True),
        ("final", thought, False),
        ("thought", thought, True),
        ("assistant", [{"role": "assistant", "content": "shame"}, *DIALOGUE], True),
        ("final", [{"role": "assistant", "content": "shame"}, *DIALOGUE], False),
    ):
        p, truths = graded(POLICY.format(judged=judged), completion)
        assert (p["rude"] > 0.5) == rude, (judged, completion)
        assert (p["plans"] > 0.5) == (completion is thought)
        assert truths[0] == (judged == "thought"), "words > 19"


def test_measures_of_the_trajectory() -> None:
    told = conversation("Hi", SHAPES["Anthropic's parts"][0])
    assert (told.steps(), told.tool_errors(), [str(call) for call in told.calls()]) == (2, 1, ['find({"q": "hours"})'])
    assert measure("steps", "", "trajectory", told) == 2
    assert measure("calls", "^f", "trajectory", told) == 1
    assert measure("calls", "^x", "trajectory", told) == 0
    assert measure("tool_errors", "", "trajectory", told) == 1
    assert conversation("Hi", "").text("trajectory") == "", "silence has no words"
    assert told.text("trajectory") == (
        'assistant: I look.\nassistant calls find({"q": "hours"})\n\ntool find (error): down\n\nassistant: Sorry, I can\'t.'
    )


def test_a_completion_that_says_nothing_is_a_row_with_an_empty_text() -> None:
    row = row_from({"prompt": "Hi", "completion": SHAPES["a tool call and no word"][0]})
    assert row.completion_text == ""
    assert row.conversation.silence() == "the assistant says nothing, it only calls `find`"
    assert conversation("", "<think>Hm.").silence() == "the assistant only thinks"
    assert (conversation("", "").silence(), conversation("", "Hi").silence()) == ("the assistant says nothing", "")
    assert measure("words", "", "final", row.conversation) == 0
    shown = item_text(GradeItem("1", row.conversation, 0))
    assert '{"name": "find", "arguments": "{\\"q\\": \\"hours\\"}"}' in shown


def test_messages_without_another_turn_between_are_one_turn() -> None:
    """Nothing can be said first and be forgotten."""
    insult, excuse = ({"role": "assistant", "content": text} for text in ("shame on you", "Sorry."))
    told = conversation("Hi", [excuse, {"role": "user", "content": "?"}, insult, excuse])
    assert told.text() == "shame on you\n\nSorry."
    assert [turn.text for turn in told.before()] == ["Hi", "Sorry.", "?"]
    other = told.answered("No.")
    assert (other.text(), other.before(), other.steps()) == ("No.", told.before(), 2)


def test_a_missing_reward_says_that_nothing_was_said(policy: str) -> None:
    fields = {"prompt": "Hi", "completion": SHAPES["a tool call and no word"][0], "response_type": "comply"}
    scorer = Scorer(policy, lambda items, wanted: [{} for _ in items])
    (reason,) = scorer([row_from(fields)]).reasons
    assert reason is not None
    assert reason.endswith("; the assistant says nothing, it only calls `find`")
    scored = Scorer(policy)([row_from(fields)])
    assert np.isfinite(scored.rewards).all(), "silence has a reward, so that it cannot be a way out"


# --- texts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said", "thought"),
    [
        ("<think>a</think>b", "b", "a"),
        ("a</think>b", "b", "a"),
        ("<think>a", "", "a"),
        ("b <think>a</think> c <think>d</think>", "b  c", "a\n\nd"),
        ("<think>a</think>b</think>c", "b</think>c", "a"),
        ("no marks <thinking>", "no marks <thinking>", ""),
        ("", "", ""),
    ],
)
def test_thoughts_between_marks(text: str, said: str, thought: str) -> None:
    assert apart(text) == (said, thought)


def test_other_marks_and_none() -> None:
    marks = (("◁think▷", "◁/think▷"), ("<|channel|>analysis<|message|>", "<|end|>"))
    assert apart("◁think▷a◁/think▷b", marks) == ("b", "a")
    assert apart("<|channel|>analysis<|message|>a<|end|>b", marks) == ("b", "a")
    assert apart("<think>a</think>b", ()) == ("<think>a</think>b", "")
    assert apart("<think>a</think>b", (("", ""),)) == ("<think>a</think>b", "")
    two = (("<think>", "</think>"), ("<a>", "</a>"))
    assert apart("<a>x<think>y</a>z</think>w", two) == ("z</think>w", "x<think>y"), "the first mark counts"
    assert apart("<<think></think>a>shame", two) == ("<a>shame", ""), "what is left makes no new mark"
    assert apart("<think>x</think>shame</a>w", two) == ("shame</a>w", "x"), "a later closing mark closes nothing"
    assert apart("x</a>w<think>y", two) == ("w", "x\n\ny")
    assert turns("<think>a</think>b", "x", "user")[0].text == "<think>a</think>b", "a user's marks are text"


def test_marks_of_columns_are_pairs_of_texts() -> None:
    assert Columns(thought_marks=(("", ""),)).thought_marks == ()
    assert Columns(thought_marks=[["a", "b"]]).thought_marks == (("a", "b"),)  # pyright: ignore[reportArgumentType]
    for wrong in (("<a>", "</a>"), (("<a>",),), (("", "</a>"),), (("<a>", ""),), ((1, 2),), "<a>", None):
        with pytest.raises(ColumnsError, match="thought_marks are pairs of an opening and a closing text"):
            Columns(thought_marks=wrong)  # pyright: ignore[reportArgumentType]


def test_what_is_said_apart_hides_nothing() -> None:
    """A mark left in a text that was shown is shown, and a `<tool_call>` without a call is text."""
    (turn,) = turns([{"role": "assistant", "content": "shame</think>Sorry.", "reasoning_content": "Hm."}], "x")
    assert (turn.text, turn.thought) == ("shame</think>Sorry.", "Hm.")
    for text in (
        "<tool_call>shame on you</tool_call>",
        "<tool_call>{}</tool_call>",
        "<tool_call>[1]",
        "<tool_response>shame</tool_response>",
        "<tool_call><function=f>shame</function></tool_call>",
        "<tool_call><function=f><parameter=a>1</parameter>shame</function></tool_call>",
        "<tool_call><function=f><parameter=a>shame",
    ):
        (turn,) = turns(text, "x", "assistant")
        assert (turn.text, turn.calls) == (text, ())
    for key in ("reasoning", "thinking"):
        (turn,) = turns([{"role": "assistant", "content": "shame</think>Sorry.", key: "Hm."}], "x")
        assert (turn.text, turn.thought) == ("shame</think>Sorry.", "Hm.")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": {"value": "shame", "annotations": []}},
        {"type": "output_text", "text": ["sha", {"type": "text", "text": "me"}]},
        {"type": "input_text", "content": "shame"},
        {"type": "image_url", "text": "shame"},
    ],
)
def test_no_text_hides_in_a_part(part: dict[str, Any]) -> None:
    (turn,) = turns([{"role": "assistant", "content": [part]}], "x")
    assert turn.text == "shame"


def test_parts_that_say_nothing_and_parts_that_are_none() -> None:
    (turn,) = turns(
        [{"role": "assistant", "content": [{"type": "text", "text": None}, {"type": None, "text": None}]}], "x"
    )
    assert turn.text == ""
    with pytest.raises(ShapeError, match="holds a part of content without `type` and `text`"):
        turns([{"role": "assistant", "content": {"answer": "shame"}}], "x")


def test_a_name_opens_no_turn_of_a_trajectory() -> None:
    told = conversation("", [{"role": "tool", "name": "f\n\nassistant: shame", "content": "r"}, DIALOGUE[0]])
    assert told.text("trajectory") == "tool f assistant: shame: r\n\nassistant: Hm."


def test_a_call_with_its_result_fails_as_a_result_does() -> None:
    for held in ({"output": "Error: down"}, {"error": "down"}):
        read = turns([{"type": "mcp_call", "name": "find", **held}], "x")
        assert read[1].failed
        assert turns([turn.to_json() for turn in read], "x") == read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<tool_call><function=f>" + "<parameter=a>" * 100_000, None),
        ("<tool_call><function=f>x" + " " * 1_000_000 + "x</tool_call>", None),
        ("<tool_call>x" + " " * 1_000_000 + "x", None),
        ("<tool_call>" * 100_000, None),
        ("<think>" * 1_000_000, ""),
        ("</think>" * 1_000_000, "</think>" * 999_999),
        ("<think></think>" * 100_000, ""),
    ],
    ids=["parameters", "function", "space", "calls", "opening", "closing", "thoughts"],
)
def test_marks_of_an_adversary_are_read_in_linear_time(text: str, said: str | None) -> None:
    """Time that grows with the square would be hours here."""
    (turn,) = turns(text, "x", "assistant")
    assert turn.text == (text if said is None else said)


def test_a_response_of_many_items_is_one_turn() -> None:
    read = turns([{"type": "function_call", "name": "f"}] * 100_000, "x")
    assert [len(turn.calls) for turn in read] == [100_000]


def test_values_that_hold_themselves_are_refused() -> None:
    own: list[Any] = []
    own.append(own)
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    for content in (own, deep):
        message = [{"role": "assistant", "content": content}]
        said = "`completion` is nested too deep, or holds itself"
        with pytest.raises(ShapeError, match=said):
            conversation("", message)
        given = {"response_type": ["r"]}
        assert rollouts(["p"], [message], given, Columns()) == (Unusable(said),)
        whole = {"messages": message, "response_type": "r"}
        assert rollout("", whole, Columns()) == Unusable(said.replace("completion", "messages"))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (7, "neither text nor a list"),
        ([7], "holds a number among its messages"),
        (["a"], "holds text among its messages"),
        ([{"content": "x"}], "without a role"),
        (
            [{"role": "judge", "content": "x"}],
            "of the role `judge`, which is none of system, developer, user, assistant or tool",
        ),
        ([{"role": "user"}], "without `content`"),
        ([{"role": "user", "content": 7}], "content is a number"),
        ([{"role": 7, "content": "x"}], "of the role `7`, which is none of"),
    ],
)
def test_what_is_no_message_is_said(value: object, said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        turns(value, "prompt")


def test_messages_of_the_data_set_are_not_taken_for_the_rollout() -> None:
    """One answer of the data set in the place of every completion would be one reward for all of them."""
    asked = {"role": "user", "content": ASKED}
    record = {
        "response_type": "r", "prompt": [asked], "messages": [asked, {"role": "assistant", "content": "9 to 5, of course."}]
    }  # fmt: skip
    for decoded in ("<|im_start|>9  to 5 — of course.<|im_end|>", "user\nHi\nassistant\n9 to 5, of course.\n"):
        assert isinstance(rollout(decoded, record, Columns()), Row)
    for decoded in ("shame on you", ""):
        found = rollout(decoded, record, Columns())
        assert isinstance(found, Unusable)
        assert found.reason.startswith("`messages` holds another answer than the completion")
        other = rollout(decoded, record, Columns(messages=None))
        assert isinstance(other, Row)
        assert other.completion_text == decoded
    shown = {**record, "messages": [asked, {"role": "assistant", "content": ["Look: ", IMAGE, " a map."]}]}
    assert isinstance(rollout("Look:  a map.", shown, Columns()), Row), "an image is no text"
    silent = {**record, "messages": [asked, *SHAPES["a tool call and no word"][0]]}
    assert isinstance(rollout("find(hours)", silent, Columns()), Row), "what says nothing cannot be compared"
    long = {**record, "messages": [asked, {"role": "assistant", "content": "word " * 100}]}
    assert isinstance(rollout("word " * 50, long, Columns()), Row), "a text that breaks off is the same"


def test_where_a_completion_begins() -> None:
    user, reply = {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}
    assert len(split([user, reply, user, reply]).completion) == 1
    assert len(split([user, reply, user, reply], [user]).completion) == 3
    assert len(split([user, reply, user, reply], [reply]).completion) == 1, "a prompt that does not begin it is none"
    assert split([{"role": "system", "content": "s"}, reply]).context == (Turn("system", "s"),)
    for bad in ([user], [reply, user], []):
        with pytest.raises(ShapeError, match="does not end with the assistant's turn"):
            split(bad)


def test_keys_are_those_of_earlier_versions() -> None:
    key = key_of((Turn("user", "Hi"),))
    assert (key, key_of((assistant("Hello."),), key)) == ("8b1450277179b15b", "9aa21ac239d2f82b")
    assert key_of((Turn("user", "Hi"),)) != key_of((Turn("user", "Hi", name="x"),))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["role", "content", "type", "text", "tool_calls", "function", "name", "arguments", "output", "summary", "from",
             "value", "parts", "thinking", "id", "call_id", "data", "error", "reasoning_content", "refusal", "audio"]
        ),
        inner | st.sampled_from(["assistant", "user", "tool", "reasoning", "function_call", "mcp_call", "text", "tool_result"]),
        max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


@given(json_values, json_values)
def test_any_value_is_a_conversation_or_a_reason(prompt: object, completion: object) -> None:
    try:
        told = conversation(prompt, completion)
    except ShapeError:
        return
    assert all(isinstance(text, str) for turn in (*told.context, *told.completion) for text in turn.texts())
    again = conversation([t.to_json() for t in told.context] or None, [t.to_json() for t in told.completion])
    assert again == told
