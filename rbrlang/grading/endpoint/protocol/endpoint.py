"""How is an OpenAI-compatible chat server asked for P(yes), or for the value of a scale or a choice, and how is its reply read?

One request a question, or one for several of yes and no (`lines`): one user message, one answer token for each,
temperature 0, log-probabilities of the 20 most probable first tokens, raw and unconstrained (log-probabilities of generated tokens, since those
of the prompt bypass prefix caches). vLLM also returns the log-probability of given token ids, which
leaves nothing to bound. Works with vLLM, SGLang, llama.cpp, TGI, OpenAI.

The shape of the request is found out where the user has not fixed it (`shape`), and log-probabilities are read in any
that servers use (`logprobs`). An answer that begins with white space or emphasis is read behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast
from urllib.parse import urlsplit

from rbrlang.grading.endpoint.llama import LocalModel
from rbrlang.grading.endpoint.protocol.lines import TOKENS_OF_A_LINE, answers_in, tokens_of
from rbrlang.grading.endpoint.protocol.logprobs import numbered, pieces_of, steps_of
from rbrlang.grading.endpoint.protocol.shape import Shaping
from rbrlang.grading.endpoint.protocol.thought import ROOM, apart, beginning
from rbrlang.grading.endpoint.remote import Answered, Garbled, Reading, Short, encoded, parsed
from rbrlang.grading.questions.forms import (
    FORMS,
    Limits,
    Step,
    leads_in,
    opens_thought,
    read_behind,
    read_signs,
    read_signs_behind,
    read_tokens,
    settled,
    sign_forms,
    sign_tally,
    sign_vote,
    tally,
    thinking,
    vote,
)
from rbrlang.grading.questions.layout import Ask, Plan
from rbrlang.grading.questions.prompt import (
    PROMPT_VERSION,
    Layout,
    Prompt,
    Question,
    assemble,
    item_text,
    question,
    several,
    signs,
)
from rbrlang.grading.questions.request import Request
from rbrlang.grading.questions.specs import OPENAI_URL, Secret
from rbrlang.grading.results import Abstained, Answer, Distribution, GradeItem, Invalid, Json, Usage, Value
from rbrlang.jsontext import at, mapping, whole
from rbrlang.lang.program import Proposition, Variable

THINKING_OFF = (("enable_thinking", False), ("thinking", False))
THINKING_ON = (("enable_thinking", True), ("thinking", True))
_USUAL = (THINKING_OFF, THINKING_ON, ())
NUMBERED = Invalid(
    "no-logprobs",
    "the server names tokens by number (`token_id:N`) and not as texts; start it without `--return-tokens-as-token-ids`",
)
NO_TEXTS = Invalid(
    "misaligned", "the server does not list the texts of tokens, so nobody knows which of them answers what"
)
_READING_VERSION = "1"
_Lacks = Literal["tokens", "texts"] | None


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """Which server and model, and how an answer is read.

    `samples` asks for that many sampled answers instead of log-probabilities; `seed` is that of the first. At a `risk` above 0
    it may be fewer, see `settled`. A model may think
    for `thought_tokens` before it answers, 0 for not at all.
    `token_ids` are the surface forms with their ids in the server's vocabulary, where it accepts them
    (`discovered` finds out). `template` goes to the chat template; the default turns thinking off under the
    two names in use. OpenAI's own servers refuse the field: see `for_host`. `layout` is the one of every
    prompt, None the cheaper one for each proposition. `order` is that in which options are shown, see `prompt.signs`.
    `weights` are the digest of a local model, which has no server's name and address.
    A request holds as many as `questions` of yes and no.
    """

    model: str
    base_url: str = OPENAI_URL
    limits: Limits = field(default_factory=Limits)
    top_logprobs: int = 20
    samples: int = 0
    seed: int = 0
    token_ids: tuple[tuple[str, int], ...] = ()
    template: tuple[tuple[str, bool], ...] = THINKING_OFF
    layout: Layout | None = None
    order: int = 0
    request: Request = field(default_factory=Request)
    file_digest: str = ""
    thought_tokens: int = 0
    risk: float = 0.0
    weights: str = ""
    questions: int = 1

    @property
    def hosted(self) -> bool:
        """Whether the server is OpenAI's own, which offers and takes nothing beyond its reference."""
        host = urlsplit(self.base_url).hostname or ""
        return host == "openai.com" or host.endswith(".openai.com")

    @property
    def identity(self) -> str:
        """Endpoint, model, thresholds, the versions of prompt and reading, and whatever is not the default.

        How much of the vocabulary a server reports is not in it: it narrows the bounds, not the meaning.
        """
        template = ",".join(f"{name}={str(value).lower()}" for name, value in self.template) or "none"
        return (
            f"{f'local:{self.weights}' if self.weights else f'openai:{self.model} {self.base_url}'} mass {self.limits.mass:g} width {self.limits.width:g} "
            f"prompt {PROMPT_VERSION} reading {_READING_VERSION}"
            + (f" template {template}" if self.template not in _USUAL else "")
            + (f" layout {self.layout}" if self.layout else "")
            + (f" samples {self.samples} seed {self.seed}" if self.samples else "")
            + (f" risk {self.risk:g}" if self.samples and self.risk else "")
            + (f" thought {self.thought_tokens}" if self.thought_tokens else "")
            + (f" order {self.order}" if self.order else "")
            + (f" questions {self.questions}" if self.questions > 1 else "")
            + (f" file {self.file_digest}" if self.file_digest else "")
        )

    def for_host(self) -> ChatOptions:
        """The options without what the server at `base_url` is known to refuse."""
        return replace(self, template=()) if self.hosted else self


@dataclass(frozen=True, slots=True)
class ChatEndpoint:
    """A `Remote` that speaks the chat-completions protocol; see `chat_endpoint`."""

    options: ChatOptions
    key: Secret
    plan: Plan
    propositions: tuple[Proposition | Variable, ...]
    questions: tuple[Question | None, ...]
    shaping: Shaping
    process: LocalModel | None = None

    @property
    def identity(self) -> str:
        """That of the options."""
        return self.options.identity

    @property
    def reading(self) -> str:
        """From which numbers answers are read."""
        thought, questions = self.options.thought_tokens, self.options.questions
        return (
            self._read_from
            + (f", up to {questions} questions a request" if questions > 1 else "")
            + (f" behind a thought of up to {thought} tokens" if thought else "")
        )

    @property
    def _read_from(self) -> str:
        o = self.options
        if o.samples:
            return (
                f"up to {o.samples} sampled answers, at risk {o.risk:g}" if o.risk else f"{o.samples} sampled answers"
            )
        top = o.top_logprobs if self.shaping.shape.top is None else min(o.top_logprobs, self.shaping.shape.top)
        if o.token_ids and self.shaping.shape.token_ids:
            what = "yes and no" if all(form in FORMS for form, _ in o.token_ids) else "the answers"
            return f"the log-probabilities of {len(o.token_ids)} forms of {what}, by token id"
        if top <= 1:
            return "the most probable token" if top else "the chosen token"
        return f"the {top} most probable tokens"

    @property
    def answer_tokens(self) -> int:
        """What one reply may hold: a thought and an answer, or several."""
        return self._tokens(self.options.questions)

    def _tokens(self, number: int) -> int:
        """What a reply to a `number` of questions may hold."""
        o = self.options
        answer = o.request.max_tokens or max(self.shaping.shape.tokens, TOKENS_OF_A_LINE * number if number > 1 else 1)
        return o.thought_tokens + max(answer, ROOM) if o.thought_tokens else answer

    @property
    def url(self) -> str:
        """The chat-completions endpoint below the base URL."""
        return self.options.base_url.rstrip("/") + "/chat/completions"

    def groups(self, wanted: Sequence[Sequence[int]], items: Sequence[GradeItem]) -> Iterator[tuple[Ask, ...]]:
        """In the order of the plan."""
        return self.plan.groups(wanted, items)

    def prompt(self, ask: Ask, item: GradeItem) -> Prompt:
        """The content of the one user message."""
        order = self.options.order
        asked = several([self.questions[p] or question(self.propositions[p], item, order) for p in ask.propositions])
        return assemble(asked, item_text(item.seen(asked.over)), ask.layout)

    def bodies(self, ask: Ask, item: GradeItem) -> tuple[bytes, ...]:
        """One body; with samples, one for each, which differ in their seed."""
        o = self.options
        fixed, shape = o.request, self.shaping.shape
        common: dict[str, Json] = {
            "model": o.model,
            "messages": [{"role": "user", "content": self.prompt(ask, item).text}],
            fixed.max_tokens_field or shape.tokens_field: self._tokens(len(ask.propositions)),
        }
        extra: dict[str, Json] = {"chat_template_kwargs": dict(o.template)} if o.template and shape.template else {}
        extra |= fixed.more
        heat: dict[str, Json] = {}
        if fixed.temperature is None and shape.temperature:
            heat = {"temperature": 1 if o.samples else 0}
        elif isinstance(fixed.temperature, float):
            heat = {"temperature": fixed.temperature}
        if o.samples:
            return tuple(encoded(common | heat | {"seed": o.seed + k} | extra) for k in range(o.samples))
        reading: dict[str, Json] = {**heat, "logprobs": True}
        top = o.top_logprobs if shape.top is None else min(o.top_logprobs, shape.top)
        if top:
            reading["top_logprobs"] = top
        ids = self._ids(ask)
        if ids:
            reading["logprob_token_ids"] = list(ids.values())
        if shape.texts:
            reading["return_tokens_as_token_ids"] = False
        return (encoded(common | reading | extra),)

    def _ids(self, ask: Ask) -> dict[str, int]:
        """The forms of this question's answers with their token ids; empty where an answer has none."""
        if not self.shaping.shape.token_ids:
            return {}
        known = self._signs(ask)
        forms = FORMS if known is None else sign_forms(known)
        found = {form: at for form, at in self.options.token_ids if form in forms}
        lacking = known is not None and not set(known) <= {form.strip().upper() for form in found}
        return {} if lacking else found

    def _signs(self, ask: Ask) -> dict[str, str] | None:
        """The values by their signs of a question for one; None for yes and no."""
        asked = self.propositions[ask.propositions[0]]
        return signs(asked, self.options.order) if isinstance(asked, Variable) else None

    def fits(self, ask: Ask, answers: Sequence[Answer]) -> bool:
        """Whether kept answers can be those to this ask: one for each question, and of its values where it asks for one."""
        known = self._signs(ask)
        if len(ask.propositions) > 1:
            return len(answers) == len(ask.propositions) and not any(isinstance(one, Distribution) for one in answers)
        match tuple(answers):
            case (Value(),):
                return known is None
            case (Distribution() as one,):
                return known is not None and set(one.p) == set(known.values())
            case (_,):
                return True
            case _:
                return False

    def read(self, ask: Ask, reply: bytes) -> Reading | Short:
        """Each answer from the log-probabilities of its first tokens, or one sampled vote."""
        plain = parsed(reply)
        if isinstance(plain, Garbled):
            return plain
        choice = mapping(at(plain, "choices", 0))
        if choice is None:
            return Garbled("the server's reply has no `choices`")
        message = mapping(choice.get("message"))
        if message is None:
            return Garbled("the server's reply has no `message` in its first choice")
        answers, lacks = self._answers(ask, choice, message)
        found = Answered(answers, usage_of(plain))
        return found if lacks is None else Short(lacks, found)

    def _answers(
        self, ask: Ask, choice: Mapping[str, object], message: Mapping[str, object]
    ) -> tuple[tuple[Answer, ...], _Lacks]:
        """The answers, and what another shape of request would have to bring for better ones."""
        said, budget, number = message.get("content"), self.options.thought_tokens, len(ask.propositions)
        if budget:
            found = apart(choice, message, budget, number)
            if isinstance(found, Invalid):
                return (found,) * number, None
            answers, lacks = self._said(ask, choice, found.said)
            thought = found.thought
            return tuple(a if isinstance(a, Abstained) else replace(a, thought=thought) for a in answers), lacks
        if not said and (message.get("reasoning_content") or message.get("reasoning")):
            return (thinking(),) * number, None
        return self._said(ask, choice, said if isinstance(said, str) else "")

    def _said(self, ask: Ask, choice: Mapping[str, object], said: str) -> tuple[tuple[Answer, ...], _Lacks]:
        """`_answers` of what was said behind a thought, or without one."""
        if len(ask.propositions) > 1:
            return self._on_lines(ask, choice, said.strip())
        answer, lacks = self._alone(ask, choice, said)
        return (answer,), lacks

    def _on_lines(self, ask: Ask, choice: Mapping[str, object], said: str) -> tuple[tuple[Answer, ...], _Lacks]:
        """The answers to several questions, each from its line."""
        number, logprobs = len(ask.propositions), choice.get("logprobs")
        if opens_thought(said):
            return (thinking(),) * number, None
        places = answers_in(said, number, cut=choice.get("finish_reason") == "length")
        if self.options.samples:
            return tuple(p if isinstance(p, Invalid) else vote(_word(said[p.start : p.stop])) for p in places), None
        pieces = pieces_of(logprobs)
        if pieces and numbered(pieces[0].decode(errors="replace")):
            return (NUMBERED,) * number, "texts"
        if not pieces:
            none = steps_of(logprobs, {})
            return (none if isinstance(none, Invalid) else NO_TEXTS,) * number, None
        names, ids = {number: form for form, number in self.options.token_ids}, self._ids(ask)

        def answer(tokens: range) -> Answer:
            steps = steps_of(logprobs, names, tokens.start)
            return steps if isinstance(steps, Invalid) else self._read(steps[: len(tokens)], None, ids)[0]

        found = tokens_of(pieces, said, places)
        return tuple(tokens if isinstance(tokens, Invalid) else answer(tokens) for tokens in found), None

    def _alone(self, ask: Ask, choice: Mapping[str, object], said: str) -> tuple[Answer, _Lacks]:
        """The answer to one question."""
        known, logprobs, start = self._signs(ask), choice.get("logprobs"), 0
        if self.options.samples:
            word = _word(said)
            return vote(word) if known is None else sign_vote(word, known), None
        pieces = pieces_of(logprobs) if self.options.thought_tokens else []
        if pieces:
            if numbered(pieces[0].decode(errors="replace")):
                return NUMBERED, "texts"
            begun = beginning(pieces, said)
            if isinstance(begun, Invalid):
                return begun, None
            start = begun
        steps = steps_of(logprobs, {number: form for form, number in self.options.token_ids}, start)
        if isinstance(steps, Invalid):
            return steps, None
        more = not self.options.thought_tokens and self.shaping.longer()
        return self._read(steps, known, self._ids(ask), more=more)

    def _read(
        self, steps: Sequence[Step], known: Mapping[str, str] | None, ids: Mapping[str, int], *, more: bool = False
    ) -> tuple[Answer, _Lacks]:
        """The answer that begins with these tokens, behind white space and emphasis; `more` tokens can be asked for or not."""
        limits, first = self.options.limits, steps[0].tokens
        found = read_tokens(first, limits, ids) if known is None else read_signs(first, known, limits, ids)
        if not isinstance(found, Invalid) or found.kind != "low-mass":
            return found, None
        if numbered(steps[0].chosen.text):
            return NUMBERED, "texts"
        if not leads_in(steps[0].chosen.text):
            return found, None
        ahead = next((n for n, step in enumerate(steps) if not leads_in(step.chosen.text)), None)
        if ahead is None and more:
            return found, "tokens"
        read = steps if ahead is None else steps[: ahead + 1]
        if len(read) == 1:
            return found, None
        return read_behind(read, limits) if known is None else read_signs_behind(read, known, limits), None

    def done(self, ask: Ask, readings: Sequence[tuple[Answer, ...]]) -> bool:
        """Whether the samples so far settle a question of yes and no."""
        o = self.options
        if not (o.samples and o.risk) or self._signs(ask) is not None:
            return False
        votes = [[one[at] for one in readings] for at in range(len(ask.propositions))]
        # An invalid vote decides that a question of several is asked again alone.
        return all(
            settled(some, o.risk) or (len(votes) > 1 and any(isinstance(one, Invalid) for one in some))
            for some in votes
        )

    def combine(self, ask: Ask, readings: Sequence[tuple[Answer, ...]]) -> tuple[Answer, ...]:
        """The one reading, or the posterior over the samples."""
        if not self.options.samples:
            return readings[0]
        known, limits = self._signs(ask), self.options.limits
        return tuple(
            tally(votes, limits, self.options.risk)
            if known is None
            else sign_tally(votes, tuple(known.values()), limits)
            for votes in zip(*readings, strict=True)
        )


def chat_endpoint(
    propositions: Sequence[Proposition | Variable],
    plan: Plan,
    options: ChatOptions,
    key: Secret,
    process: LocalModel | None = None,
) -> ChatEndpoint:
    """A grader over the questions of a program, in the layouts of a plan for them."""
    every = tuple(propositions)
    # Those that are the same for every row are put in words once.
    worded = tuple(None if p.columns else question(p, order=options.order) for p in every)
    shaping = Shaping(options.request, own_template=options.template not in _USUAL)
    return ChatEndpoint(options, key, plan, every, worded, shaping, process)


# --- reading ----------------------------------------------------------------------------------


def _word(said: str) -> str:
    """The first word that is more than white space and emphasis."""
    return next((word for word in said.split() if not leads_in(word)), "")


def usage_of(plain: Mapping[str, object]) -> Usage:
    """The tokens that a reply says it took; 0 where it says nothing."""
    usage = cast("Mapping[str, object]", mapping(plain.get("usage")) or {})
    return Usage(
        whole(usage.get("prompt_tokens")),
        whole(usage.get("completion_tokens")),
        whole(at(usage, "prompt_tokens_details", "cached_tokens")),
    )
