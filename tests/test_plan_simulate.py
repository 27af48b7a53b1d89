"""What grading will take: the requests and tokens of each way are those that a server counts."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from grading_kit import item, proposition, reaching
from llama_server import LlamaServer

from rbrlang.cli.main import main
from rbrlang.grading.endpoint.tokens import Counter, counter
from rbrlang.grading.questions.layout import plan
from rbrlang.grading.questions.prices import FIELDS, Model, PriceError, read_prices
from rbrlang.grading.questions.prompt import Layout, assemble, item_text, question, several
from rbrlang.grading.questions.specs import Secret
from rbrlang.grading.results import Usage
from rbrlang.grading.simulate import Simulator, asks

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "refusals"
LETTERS = Counter("letters", lambda texts: [len(text) for text in texts], 3.0, 2.0)
MODEL = Model("m", input=1.0, output=10.0, cached_input=0.25)


# --- the price list ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no model"),
        ("price = 3", "there is no field `price` beside `currency` and `models`"),
        ("[models.a]\noutput = 1", "model `a` has no `input`: the price of a million prompt tokens"),
        ("[models.a]\ninput = 1\noutput = 1\nfrob = 1", "no field `frob`; there are `input`"),
        ("[models.a]\ninput = 1\noutput = 1\ncached_inputs = 1", "did you mean `cached_input`?"),
        ("[models.a]\ninput = -1\noutput = 1", "`input` is -1, which is not a number of 0 or more"),
        ("[models.a]\ninput = true\noutput = 1", "`input` is true, which is not a number"),
        ("[models.a]\ninput = 1\noutput = 1\ncache_block = 0.5", "`cache_block` is 0.5, which is not a whole number"),
        ("[models.a]\ninput = 1\noutput = 1\ntokens = 0", "`tokens` is 0, which is not a number above 0"),
        ("[models.a]\ninput = 1\noutput = 1\ntokens = 'gone.json'", "`tokens` is `gone.json`, which is no file there"),
        ("[models.a", "is not TOML"),
        ("models = 3", "`models` is not a table"),
    ],
)
def test_a_list_that_cannot_be_used_says_why(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(PriceError) as caught:
        read_prices(file)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)


def test_the_same_list_as_json(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('currency = "EUR"\n[models.a]\ninput = 1\noutput = 2.5\ncache_tokens = 0\n')
    plain = {"currency": "EUR", "models": {"a": {"input": 1, "output": 2.5, "cache_tokens": 0}}}
    (tmp_path / "p.json").write_text(json.dumps(plain))
    assert read_prices(tmp_path / "p.toml") == read_prices(tmp_path / "p.json")


def test_the_example_is_read_and_every_field_is_explained() -> None:
    assert [model.name for model in read_prices(EXAMPLE / "prices.toml").models] == ["hosted", "own-server"]
    assert set(FIELDS) == {name for name in Model.__slots__ if name != "name"}


def test_cost_and_time_follow_from_the_list() -> None:
    used = Usage(3_000_000, 1_000, 1_000_000)
    assert MODEL.cost(used) == pytest.approx(2.0 + 0.25 + 0.01)
    assert replace(MODEL, cached_input=None).cost(used) == pytest.approx(3.01)
    assert MODEL.seconds(1_000, used) is None
    fast = replace(MODEL, input_per_second=1e6, output_per_second=1e3, seconds_per_request=0.08, concurrency=8)
    assert fast.seconds(1_000, used) == pytest.approx(2.0 + 1.0 + 10.0)
    assert replace(fast, cached_per_second=1e6).seconds(1_000, used) == pytest.approx(14.0)
    assert replace(fast, requests_per_minute=10.0).seconds(1_000, used) == pytest.approx(6_000.0)


# --- the simulation ----------------------------------------------------------------------------

PROPOSITIONS = [proposition("long", question="q" * 900), proposition("short"), proposition("unused")]
CIRCUIT = reaching(PROPOSITIONS, [(0, 1), (1,)])
ITEMS = [item(str(n), "Hello?", f"{n}" * 300, kind) for n, kind in enumerate((0, 1, -1, 0))]
ITEMS.append(replace(ITEMS[0], id="again"))


def simulated(model: Model = MODEL, counted: Counter = LETTERS) -> tuple[Simulator, Any]:
    made = plan(PROPOSITIONS, CIRCUIT, ITEMS)
    return Simulator(model, counted, PROPOSITIONS, ITEMS), asks(CIRCUIT, made, ITEMS, None)


def sizes(asked: Any) -> list[int]:
    return [
        len(assemble(question(PROPOSITIONS[a.propositions[0]]), item_text(ITEMS[a.item]), a.layout).text) + 5
        for a in asked
    ]


def test_every_prompt_is_counted_whole_and_a_repeated_one_is_not_sent_by_the_plan() -> None:
    simulator, asked = simulated()
    assert len(asked.naive) == 12  # 4 rows of known type
    naive, pruned = (simulator.bill(a, remembering=False) for a in (asked.naive, asked.pruned))
    assert (naive.requests, pruned.requests) == (12, 7)
    assert naive.usage == Usage(sum(sizes(asked.naive)), 12, 0)
    assert pruned.usage == Usage(sum(sizes(asked.pruned)), 7, 0)
    planned = simulator.bill(asked.planned, remembering=True)
    assert planned.requests == 5  # the last row is the first one again
    assert planned.usage.prompt < pruned.usage.prompt


def test_what_is_cached_is_what_two_prompts_begin_with() -> None:
    simulator, asked = simulated()
    seen: list[str] = []
    cached = 0
    for ask in asked.planned:
        text = assemble(question(PROPOSITIONS[ask.propositions[0]]), item_text(ITEMS[ask.item]), ask.layout).text
        if text in seen:
            continue
        common = max(
            (next((n for n, (a, b) in enumerate(zip(text, s, strict=False)) if a != b), 0) for s in seen), default=0
        )
        cached += common + 3 if seen else 0
        seen.append(text)
    found = simulator.bill(asked.planned, remembering=True).usage.cached
    assert cached * 0.97 <= found <= cached * 1.03


@pytest.mark.parametrize("layout", ["question-first", "conversation-first"])
def test_a_request_of_several_questions_is_counted_as_it_is_sent(layout: Layout) -> None:
    made = plan(PROPOSITIONS, CIRCUIT, ITEMS, layout=layout, questions=2)
    asked = asks(CIRCUIT, made, ITEMS, None)
    simulator = Simulator(replace(MODEL, answer_tokens=7), LETTERS, PROPOSITIONS, ITEMS)
    bill = simulator.bill(asked.planned, remembering=False)
    assert sorted(ask.propositions for ask in asked.planned) == [(0, 1), (0, 1), (0, 1), (1,)]
    sent = [
        assemble(
            several([question(PROPOSITIONS[p]) for p in ask.propositions]), item_text(ITEMS[ask.item]), layout
        ).text
        for ask in asked.planned
    ]
    lines = len("1: yes\n2: yes")
    assert bill.requests == 4
    assert bill.usage == Usage(sum(map(len, sent)) + 4 * 5, 7 + 3 * (6 + lines), 0)  # six tokens are thought
    assert simulator.bill(asked.naive, remembering=False).requests == 12


@pytest.mark.parametrize(
    ("changed", "left"),
    [
        ({"cache_tokens": 0}, 0.0),
        ({"cache_minimum": 10_000}, 0.0),
        ({"cache_block": 64}, 0.999),
        ({"cache_tokens": 1}, 1.0),
    ],
)
def test_a_smaller_cache_keeps_less(changed: dict[str, int], left: float) -> None:
    simulator, asked = simulated()
    whole = simulator.bill(asked.planned, remembering=True).usage.cached
    found = simulated(replace(MODEL, **changed))[0].bill(asked.planned, remembering=True).usage.cached  # pyright: ignore[reportArgumentType]
    assert whole > 0
    assert found <= left * whole
    assert left == 0.0 or found > 0


def test_a_tokenizers_file_counts(tmp_path: Path) -> None:
    import tokenizers

    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    found = counter(replace(MODEL, tokens=str(tmp_path / "tokenizer.json"), template_tokens=7.0), Secret(""))
    assert list(found.count(["a b c", "", "a"])) == [3, 0, 1]
    assert found.before == 7.0
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(PriceError, match="is no tokenizer"):
        counter(replace(MODEL, tokens=str(tmp_path / "broken.json")), Secret(""))


# --- the command -------------------------------------------------------------------------------

POLICY = """rbr 1
prop sorry "Response says sorry."
prop question "Response asks the user something."
prop steps "Response describes steps in order, one after the other, so that the user can follow them without help."
prop food "Response is about food."
response cook ranks good > middle > bad {
  good if steps & food
  middle if food & !sorry
  bad otherwise
}
response chat ranks good > bad {
  good if question & !sorry
  bad otherwise
}
"""
TEXTS = [
    ("cook", "How do I cook beans?", "Soak the beans overnight, then simmer them with an onion and two cloves of garlic."),
    ("cook", "What can I make of lentils?", "I am sorry, I do not know any dish with lentils. Would peas do as well?"),
    ("chat", "I had a long day.", "I am sorry to hear that. What made it so long, and is there anything you look forward to?"),
]  # fmt: skip


def written(folder: Path, **more: object) -> tuple[str, str]:
    (folder / "p.rbr").write_text(POLICY)
    rows = [
        {"id": str(n), "response_type": kind, "prompt": asked, "completion": said, **more}
        for n, (kind, asked, said) in enumerate(TEXTS)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / "p.rbr"), str(folder / "rows.jsonl")


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code = main(["plan", *arguments, "--format", "json"])
    out = capsys.readouterr()
    assert code == 0, out.err
    return json.loads(out.out)["simulation"]


def test_lazy_grading_is_told_where_something_answers_and_only_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, rows = written(tmp_path)
    (tmp_path / "prices.toml").write_text("[models.a]\ninput = 1\noutput = 1\n")
    arguments = ["--data", rows, "--simulate", str(tmp_path / "prices.toml")]
    found = run_json(capsys, policy, *arguments)
    assert found["models"][0]["ways"]["lazy"] is None
    assert main(["plan", policy, *arguments]) == 0
    assert "lazy grading depends on the answers, and there are none" in capsys.readouterr().out
    policy, rows = written(tmp_path, labels={"sorry": True, "question": True, "steps": False, "food": False})
    found = run_json(capsys, policy, *arguments)
    ways = found["models"][0]["ways"]
    assert found["lazy"]["answers_from"] == {"labels": 8}
    assert 3 <= ways["lazy"]["requests"] < ways["planned"]["requests"] == ways["pruned"]["requests"] == 8
    assert ways["naive"]["requests"] == 12
    assert (ways["batch"]["requests"], ways["batch"]["cached_tokens"], ways["batch"]["seconds"]) == (8, 0, None)
    assert ways["planned"]["prompt_tokens"] == ways["batch"]["prompt_tokens"]
    assert ways["naive"]["seconds"] is None
    (tmp_path / "prices.toml").write_text("[models.a]\ninput = 1\noutput = 1\nquestions = 4\n")
    several = run_json(capsys, policy, *arguments)["models"][0]["ways"]
    assert several["planned"]["requests"] == several["batch"]["requests"] == 3  # one a row
    assert several["planned"]["prompt_tokens"] < ways["planned"]["prompt_tokens"]
    assert (several["naive"], several["pruned"]) == (ways["naive"], ways["pruned"])


def test_a_simulation_needs_rows_and_a_server_that_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, rows = written(tmp_path)
    prices = tmp_path / "prices.toml"
    prices.write_text('[models.a]\ninput = 1\noutput = 1\ntokens = "http://127.0.0.1:9"\n')
    assert main(["plan", policy, "--simulate", str(prices)]) == 2
    assert "`--simulate` needs `--data`" in capsys.readouterr().err
    assert main(["plan", policy, "--data", rows, "--simulate", str(prices)]) == 2
    assert "model `a`: `tokens`: cannot connect to `127.0.0.1`" in capsys.readouterr().err


# --- a real server -----------------------------------------------------------------------------


def _graded(server: LlamaServer, folder: Path, name: str, *more: str) -> None:
    arguments = ["grade", str(folder / "p.rbr"), str(folder / "rows.jsonl"), "-o", str(folder / name), "--details"]
    main(
        [
            *arguments,
            "--grader",
            "openai:smollm2",
            "--base-url",
            server.url,
            "--min-mass",
            "0",
            "--concurrency",
            "1",
            *more,
        ]
    )


def _summary(said: str) -> tuple[int, Usage]:
    """Requests and tokens, as `rbrc grade` says that the server counted them."""
    match = re.search(r"sent (\d+) requests .*: (\d+) prompt tokens \((\d+) from .*?, (\d+) answer tokens", said)
    assert match is not None, said
    sent, prompt, cached, completion = map(int, match.groups())
    return sent, Usage(prompt, completion, cached)


@pytest.mark.llama
@pytest.mark.slow
def test_the_bill_is_within_five_percent_of_the_servers_own_counters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each way is really run, on a server that has just started; with one slot it keeps only the last prompt."""
    written(tmp_path)
    ways = {
        "naive": ["--all", "--layout", "question-first"],
        "pruned": ["--layout", "question-first"],
        "planned": [],
        "lazy": ["--lazy", "0.4"],
    }
    real: dict[str, Usage] = {}
    requests: dict[str, int] = {}
    for way, more in ways.items():
        with LlamaServer(context=1024, reuse_prefix=way in ("planned", "lazy")) as server:
            capsys.readouterr()
            _graded(server, tmp_path, f"{way}.jsonl", *more)
            requests[way], real[way] = _summary(capsys.readouterr().err)
    # As the server answered the planned questions, so lazy grading is simulated.
    answered = [json.loads(line) for line in (tmp_path / "planned.jsonl").read_text().splitlines()]
    for row in answered:
        row["probs"] = {name: answer["p"] for name, answer in row.pop("answers").items() if "p" in answer}
    rows, prices = tmp_path / "answered.jsonl", tmp_path / "prices.toml"
    rows.write_text("".join(json.dumps(row) + "\n" for row in answered))
    with LlamaServer(context=1024) as server:
        prices.write_text(f'[models.smollm2]\ninput = 1\noutput = 1\ncache_tokens = 1\ntokens = "{server.url}"\n')
        arguments = ("--data", str(rows), "--simulate", str(prices), "--lazy", "0.4")
        found = run_json(capsys, str(tmp_path / "p.rbr"), *arguments)["models"][0]["ways"]
    assert requests | {"batch": requests["planned"]} == {way: bill["requests"] for way, bill in found.items()}
    assert 0 < requests["lazy"] < requests["planned"] < requests["naive"]
    for way, used in real.items():
        bill = found[way]
        assert bill["prompt_tokens"] == pytest.approx(used.prompt, rel=0.05), way
        assert bill["cached_tokens"] == pytest.approx(used.cached, rel=0.05), way
        assert bill["answer_tokens"] == used.completion, way
    assert real["planned"].cached > 0.3 * real["planned"].prompt
    assert real["naive"].cached == 0
