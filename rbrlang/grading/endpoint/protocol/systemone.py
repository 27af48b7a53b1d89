"""How is a decision model asked?

Decision models return probabilities instead of text: `POST /v1/systemone` with a state and typed
questions; a yes/no question is of type `noul`, its answer a probability. One request asks all
propositions about one completion (64 a request at most), so there is nothing to lay out. Scales and choices are not asked
(`unfilled.filling`).

    {"model": "…", "state": "<conversation-…>…", "questions": {"q3": {"type": "noul", "instructions": "…"}}}
    {"model": "…", "answers": {"q3": {"type": "noul", "noul": 0.63}}, "usage": {"input_tokens": 239}}

The format: https://docs.typesafe.ai/api, served by llama.cpp among others (its server's README, "POST
/v1/systemone"). Few-shot examples are not sent: such models are trained on bare questions, and some cut
long ones. One known model decides the questions of a request jointly, so the whole request is the unit
of the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rbrlang.grading.endpoint.remote import Answered, Garbled, Reading, encoded, parsed
from rbrlang.grading.questions.layout import Ask
from rbrlang.grading.questions.prompt import PROMPT_VERSION, about, item_text
from rbrlang.grading.questions.specs import Secret
from rbrlang.grading.results import Answer, GradeItem, Invalid, Json, Usage, certain, finite
from rbrlang.jsontext import at, mapping, whole
from rbrlang.lang.program import Proposition

_MOST_QUESTIONS = 64
_PATH = "/v1/systemone"


@dataclass(frozen=True, slots=True)
class SystemOne:
    """A `Remote` that speaks the System One protocol. `model` may be empty where the server has one."""

    base_url: str
    model: str
    key: Secret
    propositions: tuple[Proposition, ...]

    @property
    def identity(self) -> str:
        """Endpoint, model and prompt version."""
        return f"systemone:{self.url} {self.model} prompt {PROMPT_VERSION}"

    @property
    def reading(self) -> str:
        """The model says P(yes) itself."""
        return "the decision model's own probabilities"

    @property
    def shaping(self) -> None:
        """There is one shape of request."""
        return

    @property
    def answer_tokens(self) -> int:
        """One, for people who count them: it returns probabilities."""
        return 1

    @property
    def process(self) -> None:
        """A server answers."""
        return

    @property
    def url(self) -> str:
        """The endpoint; a base URL that names it already, or ends in `/v1`, is taken as meant."""
        base = self.base_url.rstrip("/")
        return base.removesuffix(_PATH).removesuffix("/v1") + _PATH

    def groups(self, wanted: Sequence[Sequence[int]], items: Sequence[GradeItem]) -> Iterator[tuple[Ask, ...]]:
        """One group of one ask for each item and text of it that is judged, more where a request takes fewer questions."""
        for i, asked in enumerate(wanted):
            for over in dict.fromkeys(self.propositions[p].over for p in asked):
                mine = [p for p in asked if self.propositions[p].over == over]
                for start in range(0, len(mine), _MOST_QUESTIONS):
                    chunk = tuple(mine[start : start + _MOST_QUESTIONS])
                    yield (Ask(i, chunk, "conversation-first"),)

    def bodies(self, ask: Ask, item: GradeItem) -> tuple[bytes, ...]:
        """One body with all questions of the ask."""
        questions: dict[str, Json] = {
            f"q{p}": {"type": "noul", "instructions": about(self.propositions[p], item)} for p in ask.propositions
        }
        seen = item.seen(self.propositions[ask.propositions[0]].over)
        named: dict[str, Json] = {"model": self.model} if self.model else {}
        return (encoded(named | {"state": item_text(seen), "questions": questions}),)

    def read(self, ask: Ask, reply: bytes) -> Reading:
        """The probability of each question; one that is missing or no probability is invalid."""
        plain = parsed(reply)
        if isinstance(plain, Garbled):
            return plain
        if mapping(plain.get("answers")) is None:
            return Garbled("the server's reply has no `answers`")
        answers = tuple(_answer(at(plain, "answers", f"q{p}", "noul")) for p in ask.propositions)
        usage = Usage(whole(at(plain, "usage", "input_tokens")), whole(at(plain, "usage", "output_tokens")))
        return Answered(answers, usage)

    def fits(self, ask: Ask, answers: Sequence[Answer]) -> bool:
        """Whether there is an answer for each question."""
        return len(answers) == len(ask.propositions)

    def done(self, ask: Ask, readings: Sequence[tuple[Answer, ...]]) -> bool:
        """It takes one."""
        return False

    def combine(self, ask: Ask, readings: Sequence[tuple[Answer, ...]]) -> tuple[Answer, ...]:
        """There is one exchange."""
        return readings[0]


def _answer(noul: object) -> Answer:
    p = finite(noul)
    if p is None or not 0.0 <= p <= 1.0:
        return Invalid("malformed", "the decision model returned no probability for this question")
    return certain(p, "decision-model")
