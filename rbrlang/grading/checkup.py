"""Can this server be a grader, what does it take and give, and what should be changed?

Nine harmless questions about three texts, whose answers anybody knows, asked and read as in any other run. That they are
answered rightly shows that the path works, not that the grader is good: that takes labels (`rbrc agree`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from rbrlang.grading.endpoint.account import Summary, identified, price_of, run_options
from rbrlang.grading.endpoint.cache import AnswerCache
from rbrlang.grading.endpoint.llama import LocalModel
from rbrlang.grading.endpoint.protocol.logprobs import pieces_of, steps_of
from rbrlang.grading.endpoint.protocol.shape import Shape, Shaping
from rbrlang.grading.endpoint.protocol.thought import Apart, apart, beginning
from rbrlang.grading.endpoint.remote import Garbled, Reading, Remote, Shapes, Short, parsed
from rbrlang.grading.endpoint.run import grade
from rbrlang.grading.endpoint.served import remote
from rbrlang.grading.questions.layout import Ask
from rbrlang.grading.questions.options import GraderOptions
from rbrlang.grading.questions.specs import RemoteSpec, Secret
from rbrlang.grading.results import Abstained, Answer, GradeItem, Invalid, Value
from rbrlang.jsontext import at, mapping
from rbrlang.lang.program import Message
from rbrlang.policy import Policy, loads
from rbrlang.rows.conversation import spoken

_POLICY = """rbr 1
prop apology "The response says sorry."
prop greeting "The response opens with a greeting."
prop food "The response is about cooking or food."
response r ranks good > bad {
  bad if apology & greeting & food
  good otherwise
}
"""
_RECIPE = (
    "Hello! Soak the beans overnight in plenty of cold water, then drain them and simmer them with an onion, two cloves of "
    "garlic and a bay leaf for about an hour, until they are soft but still whole. Meanwhile fry the peppers slowly in a "
    "wide pan until they are sweet, and add the tomatoes once the edges begin to brown. Stir everything together with cumin, "
    "a little vinegar and a spoon of oil, taste, and let it stand for ten minutes before you serve it with rice or bread. It "
    "keeps well in the refrigerator for three days, and it tastes better on the second. If you have no beans at home, lentils "
    "work too and need only half an hour; chickpeas take a little longer, and want more salt. For a milder dish leave out "
    "the garlic, and for a richer one add a spoon of cream at the end. A green salad goes well with it."
)
_TEXTS = (
    ("How do I get to the station?", "I am sorry, I do not know the way to the station.", (True, False, False)),
    ("How do I cook beans for six people?", _RECIPE, (False, True, True)),
    ("When was the bridge built?", "The bridge was built in 1874 and widened in 1931.", (False, False, False)),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question with the answer that it has, and the answer that was given."""

    statement: str
    about: str
    truth: bool
    answer: Answer


@dataclass(frozen=True, slots=True)
class Checkup:
    """What a check found. `faults` say why it cannot be a grader, empty where it can; `advice` is what to change.

    `listed` is how many tokens came with a log-probability, at least and at most, None where none did; `first` are the first
    tokens of answers, most often first. `summary` and `url` are of a server, None for a grader in this process.
    """

    identity: str
    questions: tuple[Asked, ...]
    faults: tuple[str, ...]
    advice: tuple[str, ...]
    summary: Summary | None = None
    url: str | None = None
    listed: tuple[int, int] | None = None
    first: tuple[str, ...] = ()

    @property
    def thoughts(self) -> tuple[int, ...]:
        """How many characters each thought has that an answer came behind, shortest first."""
        given = (asked.answer for asked in self.questions)
        return tuple(sorted(len(one.thought) for one in given if not isinstance(one, Abstained) and one.thought))

    @property
    def values(self) -> tuple[tuple[Asked, Value], ...]:
        """The questions that have a value."""
        return tuple((asked, asked.answer) for asked in self.questions if isinstance(asked.answer, Value))


@cache
def policy() -> Policy:
    """The policy whose questions are asked."""
    return loads(_POLICY)


def items() -> tuple[GradeItem, ...]:
    """The texts that they are asked about."""
    return tuple(
        GradeItem(f"text {n}", spoken((Message("user", prompt),), text), 0)
        for n, (prompt, text, _) in enumerate(_TEXTS, 1)
    )


def wanted() -> tuple[tuple[int, ...], ...]:
    """Every question, of every text."""
    return ((0, 1, 2),) * len(_TEXTS)


def check(spec: RemoteSpec, key: Secret, options: GraderOptions) -> Checkup:
    """Ask the server, and say what came back. No answer is kept."""
    heard = _Heard(remote(spec, policy(), items(), key, options), options.thought_tokens)
    with AnswerCache(None) as kept:
        grades = grade(heard, items(), wanted(), kept, run_options(options), price_of(options))
    questions = asked(grades.answers)
    listed = (min(heard.listed), max(heard.listed)) if heard.listed else None
    shaping = heard.shaping
    shape = shaping.shape if isinstance(shaping, Shaping) else Shape()
    first = tuple(text for text, _ in heard.first.most_common(5))
    faults = faults_of(questions)
    return Checkup(
        identified(heard), questions, faults, (*_cures(questions, first, options.thought_tokens), *_advice(grades.summary, shape, listed)),
        grades.summary, heard.url, listed, first,
    )  # fmt: skip


def asked(answers: Sequence[Mapping[int, Answer]]) -> tuple[Asked, ...]:
    """The questions with the answers that a grader gave to `wanted` of `items`."""
    program = policy().program
    return tuple(
        Asked(program.propositions[p].statement, f"text {n}", truths[p], given[p])
        for n, ((_, _, truths), given) in enumerate(zip(_TEXTS, answers, strict=True), 1)
        for p in range(3)
    )


def faults_of(questions: Sequence[Asked]) -> tuple[str, ...]:
    """Why a grader with these answers cannot be one."""
    values = [(one.truth, one.answer.p) for one in questions if isinstance(one.answer, Value)]
    if 2 * len(values) <= len(questions):
        return (f"{len(questions) - len(values)} of {len(questions)} questions got no value",)
    yes, no = ([p for truth, p in values if truth is side] for side in (True, False))
    if not yes or not no or sum(yes) / len(yes) <= sum(no) / len(no):
        return ("it does not tell yes from no: P(yes) is no higher where the answer is yes",)
    return ()


_CURES = {
    "no-logprobs": "it returns no log-probabilities: sample answers, `[read]` how = \"samples\", samples = 8",
    "thinking": "it thinks before it answers: read behind the thought, `[read]` how = \"after-reasoning\", thought_tokens = 2048, or "
    "turn that off, `[request]` template = { enable_thinking = false }, or on the server",
    "wide-bounds": "too few log-probabilities: let the server return more, `--max-logprobs 20` on vLLM",
    "transport": "it does not answer in time or at all: see whether the server runs, and `[limits]` timeout",
    "refused": "it refuses the requests: see the reason above",
    "stopped": "it refuses the requests, or is not there: see the reason above, `base_url` and `key_env`",
    "malformed": "its replies do not follow the protocol of chat completions: see whether `base_url` ends in /v1",
}  # fmt: skip


def _cures(questions: Sequence[Asked], first: Sequence[str], thinks: int) -> Iterator[str]:
    kinds = Counter(one.answer.kind for one in questions if isinstance(one.answer, Invalid))
    for kind, _ in kinds.most_common():
        if kind == "low-mass":
            words = ", ".join(repr(text) for text in first)
            yield f"it wants to say something other than yes or no (first tokens: {words}): take another model"
        elif kind == "thinking" and thinks:
            yield f"a thought found no end: see the reason above, and `[read]` thought_tokens, now {thinks}"
        elif kind in _CURES:
            yield _CURES[kind]


def _advice(summary: Summary, shape: Shape, listed: tuple[int, int] | None) -> Iterator[str]:
    if summary.values == 0:
        return
    if summary.alone:
        yield (
            f"{summary.alone} questions had to be asked again alone, as it did not answer on numbered lines: ask one in each "
            "request, `[read]` questions = 1"
        )
    usual = Shape()
    found = [
        f'max_tokens_field = "{shape.tokens_field}"' if shape.tokens_field != usual.tokens_field else "",
        f"max_tokens = {shape.tokens}" if shape.tokens != usual.tokens else "",
        "" if shape.temperature else 'temperature = "none"',
        "" if shape.top is None else f"top_logprobs = {shape.top}",
        "" if shape.template else 'template = "none"',
    ]
    if any(found):
        yield "to save each run from finding it out, write under `[request]`: " + ", ".join(one for one in found if one)
    if listed is not None and listed[1] < 20:
        yield f"it lists {listed[1]} tokens at most, so bounds are wider than with 20: where the server is yours, allow more"
    if summary.usage.prompt and not summary.usage.cached:
        yield (
            "it reports no reuse of prompts' beginnings: turn prefix caching on where the server is yours; hosts reuse none "
            "under some length, often 1,024 tokens"
        )


class _Heard:
    """A `Remote` that remembers what its replies list."""

    def __init__(self, within: Remote, thinks: int) -> None:
        self._within, self._thinks = within, thinks
        self.listed: list[int] = []
        self.first = Counter[str]()
        self.identity, self.url, self.key = within.identity, within.url, within.key

    @property
    def reading(self) -> str:
        return self._within.reading

    @property
    def answer_tokens(self) -> int:
        return self._within.answer_tokens

    @property
    def process(self) -> LocalModel | None:
        return self._within.process

    @property
    def shaping(self) -> Shapes | None:
        return self._within.shaping

    def groups(self, wanted: Sequence[Sequence[int]], items: Sequence[GradeItem]) -> Iterator[tuple[Ask, ...]]:
        return self._within.groups(wanted, items)

    def bodies(self, ask: Ask, item: GradeItem) -> tuple[bytes, ...]:
        return self._within.bodies(ask, item)

    def read(self, ask: Ask, reply: bytes) -> Reading | Short:
        plain = parsed(reply)
        choice = None if isinstance(plain, Garbled) else mapping(at(plain, "choices", 0))
        steps = (
            None if choice is None else steps_of(choice.get("logprobs"), {}, self._start(choice, len(ask.propositions)))
        )
        if steps is not None and not isinstance(steps, Invalid):
            self.listed.append(len(steps[0].tokens))
            self.first[steps[0].chosen.text[:40]] += 1
        return self._within.read(ask, reply)

    def _start(self, choice: Mapping[str, object], number: int) -> int:
        """At which token the answer begins."""
        found = apart(choice, mapping(choice.get("message")) or {}, self._thinks, number) if self._thinks else None
        begun = beginning(pieces_of(choice.get("logprobs")), found.said) if isinstance(found, Apart) else 0
        return begun if isinstance(begun, int) else 0

    def fits(self, ask: Ask, answers: Sequence[Answer]) -> bool:
        return self._within.fits(ask, answers)

    def done(self, ask: Ask, readings: Sequence[tuple[Answer, ...]]) -> bool:
        return self._within.done(ask, readings)

    def combine(self, ask: Ask, readings: Sequence[tuple[Answer, ...]]) -> tuple[Answer, ...]:
        return self._within.combine(ask, readings)
