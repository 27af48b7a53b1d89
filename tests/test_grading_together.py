"""Several questions in one request: each answer is read from its own line, or its question is asked again alone; never shifted."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from faultserver import Action, FaultServer, Say, Script, chat
from grading_kit import item, proposition, reaching
from shapedserver import entry
from test_grading_faults import FINAL, FREE, PASSING, QUICK, always

from rbrlang.cli.main import main
from rbrlang.grading.checkup import items as texts
from rbrlang.grading.endpoint.account import Grades, RunOptions, estimate
from rbrlang.grading.endpoint.cache import AnswerCache
from rbrlang.grading.endpoint.protocol.endpoint import THINKING_ON, ChatEndpoint, ChatOptions, chat_endpoint
from rbrlang.grading.endpoint.remote import Answered
from rbrlang.grading.endpoint.run import grade
from rbrlang.grading.questions.graderfile import read_grader
from rbrlang.grading.questions.layout import Ask, plan, wanted
from rbrlang.grading.questions.prompt import Layout
from rbrlang.grading.questions.specs import Secret
from rbrlang.grading.results import Answer, Distribution, GradeItem, Invalid, InvalidKind, Value
from rbrlang.policy import loads
from rbrlang.rows.cells import cells

Token = str | Sequence[tuple[str, float]]
REST = [(f"w{n}", 0.1 / 17) for n in range(17)]
SURE = 0.999999


def yes(chance: float, space: str = " ") -> list[tuple[str, float]]:
    """Candidates with 0.9 on yes and no, the likelier first."""
    both = [(f"{space}yes", 0.9 * chance), (f"{space}no", 0.9 * (1 - chance)), ("\u00e9", 1e-6)]
    return [*sorted(both, key=lambda pair: -pair[1]), *REST]


ONE, TWO, ALONE = 0.8, 0.3, 0.6
A, B, BARE_A, BARE_B = yes(ONE), yes(TWO), yes(ONE, ""), yes(TWO, "")


def told(tokens: Sequence[Token], finish: str = "stop", **message: object) -> Say:
    """A reply with these tokens, all but certain where they are texts."""
    tops = [[(token, SURE)] if isinstance(token, str) else token for token in tokens]
    content = "".join(top[0][0] for top in tops)
    choice = {
        "message": {"role": "assistant", "content": content} | message, "finish_reason": finish,
        "logprobs": {"content": [entry(top, 20) for top in tops]},
    }  # fmt: skip
    return Say(json.dumps({"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 9}}).encode())


def endpoint(
    options: ChatOptions, url: str = "http://127.0.0.1:1/v1", number: int = 2, items: Sequence[GradeItem] = ()
) -> ChatEndpoint:
    made = [proposition(f"p{n}", question=f"Question {n}?") for n in range(number)]
    laid = plan(made, reaching(made, [tuple(range(number))]), items, layout=options.layout, questions=options.questions)
    return chat_endpoint(made, laid, replace(options, base_url=url), Secret(""))


TOGETHER = ChatOptions("m", questions=2, layout="conversation-first")
BOTH = Ask(0, (0, 1), "conversation-first")


def alone_or(together: Action, alone: Action | None = None) -> Script:
    """What is replied to two questions, and to one."""
    single = alone or chat(yes(ALONE, ""))
    return lambda body, before: together if b"Answer with 2 lines" in body else single


UNHURRIED = replace(QUICK, timeout=20.0, patience=60.0)  # a busy machine answers late, and is not asked twice for it


def run(
    script: Script, chat_options: ChatOptions = TOGETHER, options: RunOptions = UNHURRIED, number: int = 2
) -> tuple[Grades, FaultServer]:
    row = item("a")
    with FaultServer(script) as server, AnswerCache(None) as cache:
        remote = endpoint(chat_options, server.url, number, [row])
        return grade(remote, [row], [tuple(range(number))], cache, options, FREE), server


def given(grades: Grades) -> list[float | str]:
    """P(yes) or the kind of failure of each answer."""
    return [
        round(a.p, 4) if isinstance(a, Value) else getattr(a, "kind", "abstained") for a in grades.answers[0].values()
    ]


def read(tokens: Sequence[Token], number: int = 2, **fields: str) -> tuple[Answer, ...]:
    ask = replace(BOTH, propositions=tuple(range(number)))
    found = endpoint(replace(TOGETHER, questions=number), number=number).read(ask, told(tokens, **fields).body)
    assert isinstance(found, Answered)
    return found.answers


ALIGNED: list[tuple[str, Sequence[Token]]] = [
    ("one token each", ("1", ":", A, "\n", "2", ":", B)),
    ("number and colon joined", ("1:", A, "\n", "2:", B)),
    ("colon and space joined", ("1", ": ", BARE_A, "\n", "2", ": ", BARE_B)),
    ("line end and number joined", ("1:", A, "\n2", ":", B, "\n")),
    ("all before the answer joined", ("1: ", BARE_A, "\n2: ", BARE_B)),
    ("no space", ("1:", BARE_A, "\n", "2:", BARE_B)),
    ("white space before", ("\n", " 1:", A, "\r\n", "\t2:", B)),
    ("an empty token", ("1:", "", A, "\n", "2:", "", B, "")),
    ("space of its own", ("1:", " ", BARE_A, "\n", "2:", " ", BARE_B)),
    ("emphasis", ("**", "1", ":**", A, "\n", "**", "2", ":**", B)),
    ("emphasis about the answer", ("1: **", BARE_A, "**\n", "2: **", BARE_B, "**")),
    ("dots", ("1.", A, "\n", "2.", B)),
    ("brackets", ("1)", A, "\n", "(2)", B)),
    ("prose before and behind", ("Here", " they", " are:\n", "1:", A, "\n", "2:", B, "\n", "Two", " checked.")),
    ("reasons", ("1:", A, ", as", " it says", "\n\n", "2:", B, " (it does not)")),
]  # fmt: skip


@pytest.mark.parametrize("tokens", [a[1] for a in ALIGNED], ids=[a[0] for a in ALIGNED])
def test_each_answer_is_read_from_its_own_token(tokens: Sequence[Token]) -> None:
    grades, server = run(always(told(tokens)))
    first, second = grades.answers[0].values()
    assert isinstance(first, Value), first
    assert isinstance(second, Value), second
    assert (first.p, second.p) == (pytest.approx(ONE, abs=1e-3), pytest.approx(TWO, abs=1e-3))
    assert first.mass == pytest.approx(0.9, abs=1e-3)
    assert first.low <= first.p <= first.high <= 1.0
    assert (grades.summary.sent, grades.summary.alone) == (1, 0)
    (body,) = server.received
    sent = json.loads(body)
    assert sent["max_tokens"] == 16
    text = sent["messages"][0]["content"]
    assert text.startswith("You check several statements")
    reply = "Answer with 2 lines in this form and with nothing else, each with one word, yes or no:\n1: yes or no\n2: yes or no"
    assert text.endswith(f"1. Question 0?\n\n2. Question 1?\n\n{reply}")


MISALIGNED: list[tuple[str, Action, list[float], str]] = [
    ("a missing line", told(("1:", A)), [ONE, ALONE], "no line of the reply begins with `2:`"),
    ("cut off before the number", told(("1:", A, "\n", "2"), "length"), [ONE, ALONE], "begins with `2:`, and it was cut off"),
    ("cut off before the answer", told(("1:", A, "\n", "2:"), "length"), [ONE, ALONE], "`2:` of the reply has no answer: it was cut off"),
    ("no answer", told(("1:", "\n", "2:", B)), [ALONE, TWO], "line `1:` of the reply has no answer"),
    ("swapped", told(("2:", B, "\n", "1:", A)), [ALONE, ALONE], "does not stand in its order: the numbers are 2, 1"),
    ("twice", told(("1:", A, "\n", "1:", B)), [ALONE, ALONE], "line `1:` of the reply does not stand in its order"),
    ("a line more", told(("1:", A, "\n", "2:", A, "\n", "3:", B)), [ALONE, ALONE], "numbered 1, 2, 3, and there are 2 questions"),
    ("counted from 0", told(("0:", A, "\n", "1:", B)), [ALONE, ALONE], "numbered 0, 1, and there are 2"),
    ("all on one line", told(("1:", A, ",", " 2:", B)), [ALONE, ALONE], "line `1:` of the reply holds several answers"),
    ("no numbers", told((BARE_A, "\n", BARE_B)), [ALONE, ALONE], "no line of the reply begins with `1:`"),
    ("one word", told((BARE_A,)), [ALONE, ALONE], "no line of the reply begins with `1:`"),
    ("questions repeated", told(("1.", " Question", " 0?", "\n", "2:", B)), [ALONE, TWO], "line `1:` of the reply begins with neither yes nor no"),
    ("the form repeated", told(("1:", A, " or", " no", "\n", "2:", B)), [ALONE, TWO], "line `1:` of the reply holds several answers"),
    ("colon and answer joined", told(("1", ":yes", "\n", "2:", B)), [ALONE, TWO], "one token holds the number 1 of a line and its answer"),
    ("a whole line in a token", told(("1: yes", "\n", "2:", B)), [ALONE, TWO], "one token holds the number 1"),
    ("other text than tokens", told(("1:", A, "\n", "2:", B), content="1: yes\n2: yes"), [ALONE, ALONE], "nobody knows which"),
    ("nothing", told(("",)), [ALONE, ALONE], "no line of the reply begins with `1:`"),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "values", "reason"), [m[1:] for m in MISALIGNED], ids=[m[0] for m in MISALIGNED])
def test_what_cannot_be_told_apart_is_asked_again_alone(reply: Say, values: list[float], reason: str) -> None:
    found = endpoint(TOGETHER).read(BOTH, reply.body)
    assert isinstance(found, Answered)
    lost = [a for a in found.answers if isinstance(a, Invalid)]
    assert len(lost) == values.count(ALONE)
    assert {a.kind for a in lost} == {"misaligned"}
    assert reason in lost[0].reason
    grades, server = run(alone_or(reply))
    assert given(grades) == pytest.approx(values, abs=1e-3)
    summary = grades.summary
    assert (summary.sent, summary.alone, summary.asks, summary.retried) == (1 + len(lost), len(lost), 1 + len(lost), 0)
    assert summary.usage.prompt == 100 * summary.sent
    assert sum(server.received.values()) == summary.sent
    assert summary.invalid == {}


def test_no_answer_is_ever_taken_for_another() -> None:
    """Lines that are lost, doubled, swapped and renumbered, in random tokens: an answer is the one planted for it, or none."""
    draw, right, lost = Random(7), 0, 0
    for _ in range(400):
        number = draw.randint(2, 6)
        planted = [draw.choice((0.1, 0.9)) for _ in range(number)]
        lines = [(n + 1, p) for n, p in enumerate(planted)]
        damage = draw.choice(("none", "none", "lose", "double", "swap", "prose"))
        at = draw.randrange(number)
        match damage:
            case "lose":
                del lines[at]
            case "double":
                lines.insert(draw.randrange(number + 1), (at + 1, 1 - planted[at]))
            case "swap":
                lines.append(lines.pop(at))
            case _:
                pass
        tokens: list[Token] = ["Well:\n"] if damage == "prose" else []
        for n, p in lines:
            start, spaced = f"{n}{draw.choice((':', '.', ')'))}", draw.random() < 0.5
            start += "" if spaced else " "
            cut = draw.randrange(len(start))
            tokens += [
                *([start[:cut]] if cut else []),
                start[cut:],
                yes(p, " " if spaced else ""),
                draw.choice(("\n", " \n")),
            ]
        for got, want in zip(read(tokens, number), planted, strict=True):
            if isinstance(got, Value):
                assert got.p == pytest.approx(want, abs=1e-3), (damage, tokens)
                right += 1
            else:
                assert isinstance(got, Invalid)
                assert (got.kind, damage in ("lose", "double", "swap")) == ("misaligned", True), (got, tokens)
                lost += 1
    assert right > 1000
    assert lost > 100


def test_a_low_mass_is_the_models_word_and_not_asked_again() -> None:
    grades, _ = run(alone_or(told(("1:", [(" yes", 0.3), (" The", 0.29), (" no", 0.1)], "\n", "2:", B))))
    assert given(grades) == ["low-mass", pytest.approx(TWO, abs=1e-3)]
    assert grades.summary.sent == 1


@pytest.mark.parametrize(("action", "kind", "reason"), [f[1:] for f in FINAL], ids=[f[0] for f in FINAL])
def test_a_final_fault_is_one_in_this_reading_too(action: Action, kind: InvalidKind, reason: str) -> None:
    grades, _ = run(always(action))
    assert given(grades) == [kind, kind]
    assert all(
        isinstance(a, Invalid) and (kind == "thinking" or reason in a.reason) for a in grades.answers[0].values()
    )


@pytest.mark.parametrize(("action", "kind"), [f[1:3] for f in PASSING if f[0] not in ("hang", "drip", "endless")])
def test_a_passing_fault_is_tried_again_in_this_reading_too(action: Action, kind: InvalidKind) -> None:
    good = told(("1:", A, "\n", "2:", B))
    grades, _ = run(lambda body, before: action if before == 0 else good)
    assert given(grades) == pytest.approx([ONE, TWO], abs=1e-3)
    assert given(run(always(action), options=replace(UNHURRIED, attempts=2))[0]) == [kind, kind]


def test_older_shapes_and_token_ids_are_read_too() -> None:
    old = {
        "tokens": ["1:", "\u2581yes", "\n", "2:", "\u2581no"], "token_logprobs": [0.0, -0.3, 0.0, 0.0, -0.4],
        "top_logprobs": [{"1:": 0.0}, {"\u2581yes": -0.328504, "\u2581no": -1.714798, "w": -9.0}, {"\n": 0.0}, {"2:": 0.0},
                         {"\u2581no": -0.462035, "\u2581yes": -1.309333, "w": -9.0}],
    }  # fmt: skip
    choice: dict[str, object] = {"message": {"content": "1: yes\n2: no"}, "logprobs": old}
    found = endpoint(TOGETHER).read(BOTH, json.dumps({"choices": [choice]}).encode())
    assert isinstance(found, Answered)
    assert [round(a.p, 3) for a in found.answers if isinstance(a, Value)] == [ONE, TWO]
    only_chosen = [{**entry([(text, SURE)], 1), "top_logprobs": []} for text in ("1:", " yes", "\n", "2:", " no")]
    choice["logprobs"] = {"content": only_chosen}
    found = endpoint(TOGETHER).read(BOTH, json.dumps({"choices": [choice]}).encode())
    assert isinstance(found, Answered)
    assert [a.p > 0.5 for a in found.answers if isinstance(a, Value)] == [True, False]


# --- what is asked together -------------------------------------------------------------------


POLICY = """rbr 1
column reference "The expected answer."
prop sorry "It says sorry."
prop warm "It is warm." { yes { user "Hi." assistant "Welcome, friend!" } }
prop same "It says the same as {reference}."
prop calm "They are calm." { over assistant }
prop short "It is short."
scale help 1..3 "How far does it help?"
response r ranks good > bad { bad if sorry & warm & same & calm & short & help <= 1
  good otherwise }
"""


@pytest.mark.parametrize("layout", ["question-first", "conversation-first", None])
def test_questions_about_one_text_share_requests_and_the_others_do_not(layout: Layout | None) -> None:
    policy = loads(POLICY)
    rows = [
        replace(item(name, f"Hello {name}?"), cells=cells({"reference": said}, ("reference",)))
        for name, said in (("a", "Paris"), ("b", "Rome"), ("c", "Paris"))
    ]
    names, asked = policy.circuit.questions, wanted(policy.circuit, rows)

    def together(questions: int) -> list[list[tuple[str, ...]]]:
        made = plan(policy.program.questions, policy.circuit, rows, layout=layout, questions=questions)
        groups = list(made.groups(asked, rows))
        every = sorted((ask.item, p) for group in groups for ask in group for p in ask.propositions)
        assert every == sorted((i, p) for i, some in enumerate(asked) for p in some)
        return [[tuple(names[p] for p in ask.propositions) for ask in group] for group in groups]

    company = {one for group in together(3) for one in group}
    assert company == {("sorry", "warm"), ("same", "short"), ("calm",), ("help",)}
    if layout == "question-first":  # each beginning is sent in one run; Rome's rows have another one
        assert [len(group) for group in together(3)] == [3, 2, 1, 3, 3]
    made = plan(policy.program.questions, policy.circuit, rows, layout=layout, questions=4)
    grader = chat_endpoint(policy.program.questions, made, ChatOptions("m", questions=4), Secret(""))
    text = grader.prompt(Ask(0, (0, 1, 2, 4), layout or "conversation-first"), rows[0]).text
    for piece in ("1. It says sorry.", "2. It is warm.", "3. It says the same as <reference-", "4. It is short."):
        assert piece in text
    assert "# Examples of question 2\n\n# Example 1\n" in text
    assert text.endswith("each with one word, yes or no:\n1: yes or no\n2: yes or no\n3: yes or no\n4: yes or no")
    assert "Answer with one word" not in text


def test_the_cheaper_layout_of_requests_with_several() -> None:
    """Long questions are shared among many completions, short ones cost less behind a long conversation."""
    for size, length, want in ((4000, 50, "question-first"), (40, 9000, "conversation-first")):
        made = [proposition(f"p{n}", question="q" * size) for n in range(4)]
        circuit = reaching(made, [(0, 1, 2, 3)])
        rows = [item(str(n), "Hello?", "x" * length) for n in range(8)]
        assert set(plan(made, circuit, rows, questions=4).layouts) == {want}


def test_one_question_a_request_is_as_it_was(tmp_path: Path) -> None:
    digests: list[str] = []
    for more in ("", "[read]\nquestions = 1\n", "[read]\nquestions = 2\n"):
        (tmp_path / "g.toml").write_text(f'kind = "openai"\nmodel = "m"\n{more}')
        digests.append(read_grader(tmp_path / "g.toml").digest)
    assert digests[0] == digests[1] != digests[2]
    assert ChatOptions("m").identity == replace(ChatOptions("m"), questions=1).identity
    assert ChatOptions("m", questions=4).identity == f"{ChatOptions('m').identity} questions 4"
    usual, several = endpoint(replace(TOGETHER, questions=1)), endpoint(TOGETHER)
    alone = Ask(0, (1,), "conversation-first")
    assert usual.bodies(alone, item("a")) == several.bodies(alone, item("a"))
    assert json.loads(usual.bodies(alone, item("a"))[0])["max_tokens"] == 1


# --- what it goes together with ---------------------------------------------------------------


def test_answers_are_kept_with_their_company(tmp_path: Path) -> None:
    row, path = item("a"), tmp_path / "a.answers"
    with FaultServer(alone_or(told(("1:", A, "\n", "no", " more")))) as server:
        remote = endpoint(TOGETHER, server.url, 3, [row])
        with AnswerCache(path) as cache:
            assert estimate(remote, [row], [(0, 1)], cache, FREE).requests == 1
            first = grade(remote, [row], [(0, 1)], cache, UNHURRIED, FREE)
            seen = sum(server.received.values())
            again = grade(remote, [row], [(0, 1)], cache, UNHURRIED, FREE)
            found = estimate(remote, [row], [(0, 1)], cache, FREE)
            assert (found.requests, found.from_cache, found.usage.prompt) == (2, 2, 0)
            assert given(again) == given(first) == pytest.approx([ONE, ALONE], abs=1e-3)
            assert (sum(server.received.values()), again.summary.sent, again.summary.from_cache) == (seen, 0, 2)
            other = grade(remote, [row], [(0, 2)], cache, UNHURRIED, FREE)  # other company, other answers
            assert other.summary.sent == 2


def test_each_sample_answers_all(tmp_path: Path) -> None:
    def script(body: bytes, before: int) -> Action:
        plain = json.loads(body)
        assert "logprobs" not in plain
        if b"Answer with one word" in body:
            return chat([("Yes", 1.0)], logprobs=None)
        second = "2: no" if plain["seed"] != 3 else "no"
        return told((f"1: **{'yes' if plain['seed'] < 6 else 'No'}**, as said", "\n", second))

    grades, _ = run(script, replace(TOGETHER, samples=8))
    assert given(grades) == [pytest.approx(0.7), pytest.approx(0.9)]  # the second one alone, as one sample lacks it
    assert (grades.summary.sent, grades.summary.alone) == (16, 1)
    sure = always(told(("1: yes", "\n", "2: no")))
    assert run(sure, replace(TOGETHER, samples=32, risk=0.05))[0].summary.sent == 7


def test_one_thought_and_several_answers() -> None:
    options = replace(TOGETHER, thought_tokens=64, template=THINKING_ON)
    lines: Sequence[Token] = ("1:", A, "\n", "2:", B)
    for reply in (
        told(("<think>", "1: no", "\n", "2: no", "</think>", "\n\n", *lines)),
        told(("1: no", "\n", *lines), content="1: yes\n2: no", reasoning_content="1: no"),
        told(lines),
    ):
        grades, server = run(alone_or(reply), options)
        assert given(grades) == pytest.approx([ONE, TWO], abs=1e-3)
        (body,) = server.received
        assert json.loads(body)["max_tokens"] == 80
    one, two = run(alone_or(told(("<think>", "Hm.", "</think>", *lines))), options)[0].answers[0].values()
    assert isinstance(one, Value)
    assert isinstance(two, Value)
    assert one.thought == two.thought == "Hm."
    grades, _ = run(alone_or(told(("<think>", "on and on"), "length")), options)
    assert given(grades) == ["thinking", "thinking"]


def lined(body: bytes, before: int) -> Action:
    """Knows the answers of the check, and answers any number of questions; loses the last of three."""
    if not body:
        return Say(b"{}", 404)
    text = json.loads(body)["messages"][0]["content"]
    count = re.search(r"Answer with (\d) lines", text)
    if "one digit" in text:
        return chat([("2", 0.9), ("1", 0.05)])
    asked = re.findall(r"says sorry|opens with a greeting|about cooking", text.split("</conversation")[-1])
    truth = [[("sorry" in q) == one for q in asked] for one in (True, False)]
    told_of = next((at for at, one in enumerate(texts()) if one.completion in text), 0)
    about = truth[0] if told_of == 0 else truth[1] if told_of == 1 else [False] * len(asked)
    if count is None:
        return chat(yes(0.9 if about and about[0] else 0.2, ""))
    tokens: list[Token] = []
    for n, one in enumerate(about[: 2 if len(about) == 3 else None], 1):
        tokens += [f"{n}:", yes(0.9 if one else 0.2), "\n"]
    return told(tokens)


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, policy, rows, out = (tmp_path / name for name in ("grader.toml", "p.rbr", "rows.jsonl", "out.jsonl"))
    policy.write_text(
        'rbr 1\nprop sorry "The response says sorry."\nprop hello "The response opens with a greeting."\n'
        'scale help 1..3 "How far does it help?"\n'
        "response r ranks good > bad { good if sorry & !hello & help >= 2\n  bad otherwise }\n"
    )
    rows.write_text(json.dumps({"id": "a", "prompt": "Hi.", "completion": "Sorry.", "response_type": "r"}) + "\n")
    with FaultServer(lined) as server:
        file.write_text(f'kind = "openai"\nmodel = "m"\nbase_url = "{server.url}"\n[read]\nquestions = 3\n')
        grade_it = ["grade", str(policy), str(rows), "-o", str(out), "--details", "--grader", str(file)]
        assert main([*grade_it, "--dry-run"]) == 0
        assert "2 requests" in capsys.readouterr().out
        assert main(grade_it) == 0
        said = " ".join(capsys.readouterr().err.split())
        assert "up to 3 questions a request; sent 2 requests" in said
        row = json.loads(out.read_text())
        assert row["probs"]["sorry"] == pytest.approx(0.9)
        assert row["probs"]["hello"] == pytest.approx(0.2)
        assert "questions 3" in row["grader"]
        assert main([*grade_it, "--questions", "1"]) == 0
        assert "sent 3 requests" in " ".join(capsys.readouterr().err.split())
        assert main([*grade_it, "--questions", "2", "--lazy", "0.1"]) == 0  # a question of a row in each round
        assert main(["grader", "check", str(file)]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "3 questions had to be asked again alone, as it did not answer on numbered lines" in said
        assert main([*grade_it, "--questions", "33"]) == 2
        assert "which is not a whole number from 1 to 32" in " ".join(capsys.readouterr().err.split())
        file.write_text(file.read_text() + "[request]\nmax_tokens = 16\n")
        assert main(grade_it) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "`request.max_tokens` is 16, and 3 answers take up to 24 tokens; leave it out" in said


def test_a_scale_beside_them_keeps_its_own_request() -> None:
    policy = loads(POLICY)
    row = replace(item("a"), cells=cells({"reference": "Paris"}, ("reference",)))
    with FaultServer(lined) as server, AnswerCache(None) as cache:
        options = replace(TOGETHER, base_url=server.url)
        made = plan(policy.program.questions, policy.circuit, [row], questions=2)
        grader = chat_endpoint(policy.program.questions, made, options, Secret(""))
        first = policy.circuit.first_variable
        assert isinstance(grade(grader, [row], [(0, first)], cache, UNHURRIED, FREE).answers[0][first], Distribution)
