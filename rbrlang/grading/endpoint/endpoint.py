"""How is an OpenAI-compatible chat server asked for P(yes), or for the value of a scale or a choice, and how is its reply read?

One request a question: one user message, one answer token, temperature 0, log-probabilities of the
20 most probable first tokens, raw and unconstrained (log-probabilities of generated tokens, since those
of the prompt bypass prefix caches). vLLM also returns the log-probability of given token ids, which
leaves nothing to bound. Works with vLLM, SGLang, llama.cpp, TGI, OpenAI.

The format: https://platform.openai.com/docs/api-reference/chat/object. Two older shapes of `logprobs`
are read too: the one of text completions, which some servers return for chats, and entries without
`top_logprobs`, where the chosen token is all there is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast
from urllib.parse import urlsplit

from rbrlang.grading.endpoint.remote import Answered, Garbled, Reading, at, encoded, listed, mapping, parsed, whole
from rbrlang.grading.questions.forms import (
    FORMS,
    Limits,
    Token,
    read_signs,
    read_tokens,
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
    signs,
)
from rbrlang.grading.questions.specs import OPENAI_URL, Secret
from rbrlang.grading.results import Answer, Distribution, GradeItem, Invalid, Json, Usage, Value
from rbrlang.lang.program import Proposition, Variable

THINKING_OFF = (("enable_thinking", False), ("thinking", False))
_READING_VERSION = "1"


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """Which server and model, and how an answer is read.

    `samples` asks for that many sampled answers instead of log-probabilities; `seed` is that of the first.
    `token_ids` are the surface forms with their ids in the server's vocabulary, where it accepts them
    (`discovered` finds out). `template` goes to the chat template; the default turns thinking off under the
    two names in use. OpenAI's own servers refuse the field: see `for_host`. `layout` is the one of every
    prompt, None the cheaper one for each proposition. `order` is that in which options are shown, see `prompt.signs`.
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
            f"openai:{self.model} {self.base_url} mass {self.limits.mass:g} width {self.limits.width:g} "
            f"prompt {PROMPT_VERSION} reading {_READING_VERSION}"
            + (f" template {template}" if self.template not in (THINKING_OFF, ()) else "")
            + (f" layout {self.layout}" if self.layout else "")
            + (f" samples {self.samples} seed {self.seed}" if self.samples else "")
            + (f" order {self.order}" if self.order else "")
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

    @property
    def identity(self) -> str:
        """That of the options."""
        return self.options.identity

    @property
    def reading(self) -> str:
        """From which numbers answers are read."""
        o = self.options
        if o.samples:
            return f"{o.samples} sampled answers"
        if o.token_ids:
            what = "yes and no" if all(form in FORMS for form, _ in o.token_ids) else "the answers"
            return f"the log-probabilities of {len(o.token_ids)} forms of {what}, by token id"
        return f"the {o.top_logprobs} most probable tokens"

    @property
    def url(self) -> str:
        """The chat-completions endpoint below the base URL."""
        return self.options.base_url.rstrip("/") + "/chat/completions"

    def groups(self, wanted: Sequence[Sequence[int]], items: Sequence[GradeItem]) -> Iterator[tuple[Ask, ...]]:
        """In the order of the plan."""
        return self.plan.groups(wanted, items)

    def prompt(self, ask: Ask, item: GradeItem) -> Prompt:
        """The content of the one user message."""
        (p,) = ask.propositions
        asked = self.questions[p] or question(self.propositions[p], item, self.options.order)
        return assemble(asked, item_text(item.seen(asked.over)), ask.layout)

    def bodies(self, ask: Ask, item: GradeItem) -> tuple[bytes, ...]:
        """One body; with samples, one for each, which differ in their seed."""
        o = self.options
        common: dict[str, Json] = {
            "model": o.model,
            "messages": [{"role": "user", "content": self.prompt(ask, item).text}],
            "max_tokens": 1,
        }
        extra: dict[str, Json] = {"chat_template_kwargs": dict(o.template)} if o.template else {}
        if o.samples:
            return tuple(encoded(common | {"temperature": 1, "seed": o.seed + k} | extra) for k in range(o.samples))
        reading: dict[str, Json] = {"temperature": 0, "logprobs": True, "top_logprobs": o.top_logprobs}
        ids = self._ids(ask)
        if ids:
            reading["logprob_token_ids"] = list(ids.values())
        return (encoded(common | reading | extra),)

    def _ids(self, ask: Ask) -> dict[str, int]:
        """The forms of this question's answers with their token ids; empty where an answer has none."""
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
        """Whether kept answers can be those to this ask: one, and of its values where it asks for one."""
        known = self._signs(ask)
        match tuple(answers):
            case (Value(),):
                return known is None
            case (Distribution() as one,):
                return known is not None and set(one.p) == set(known.values())
            case (_,):
                return True
            case _:
                return False

    def read(self, ask: Ask, reply: bytes) -> Reading:
        """The answer from the first token's log-probabilities, or one sampled vote."""
        plain = parsed(reply)
        if isinstance(plain, Garbled):
            return plain
        choice = mapping(at(plain, "choices", 0))
        if choice is None:
            return Garbled("the server's reply has no `choices`")
        message = mapping(choice.get("message"))
        if message is None:
            return Garbled("the server's reply has no `message` in its first choice")
        return Answered((self._answer(ask, choice, message),), usage_of(plain))

    def _answer(self, ask: Ask, choice: Mapping[str, object], message: Mapping[str, object]) -> Answer:
        said = message.get("content")
        thought = message.get("reasoning_content") or message.get("reasoning")
        if thought and not said:
            return thinking()
        known = self._signs(ask)
        if self.options.samples:
            word = said if isinstance(said, str) else ""
            return vote(word) if known is None else sign_vote(word, known)
        tokens = _tokens(choice.get("logprobs"))
        if isinstance(tokens, Invalid):
            return tokens
        limits, ids = self.options.limits, self._ids(ask)
        return read_tokens(tokens, limits, ids) if known is None else read_signs(tokens, known, limits, ids)

    def combine(self, ask: Ask, readings: Sequence[tuple[Answer, ...]]) -> tuple[Answer, ...]:
        """The one reading, or the posterior over the samples."""
        if not self.options.samples:
            return readings[0]
        votes, known = [reading[0] for reading in readings], self._signs(ask)
        limits = self.options.limits
        return (tally(votes, limits) if known is None else sign_tally(votes, tuple(known.values()), limits),)


def chat_endpoint(
    propositions: Sequence[Proposition | Variable], plan: Plan, options: ChatOptions, key: Secret
) -> ChatEndpoint:
    """A grader over the questions of a program, in the layouts of a plan for them."""
    every = tuple(propositions)
    # Those that are the same for every row are put in words once.
    worded = tuple(None if p.columns else question(p, order=options.order) for p in every)
    return ChatEndpoint(options, key, plan, every, worded)


# --- reading ----------------------------------------------------------------------------------


def _tokens(logprobs: object) -> tuple[Token, ...] | Invalid:
    """The candidates for the first token in any of the shapes that servers use."""
    if logprobs is None:
        return Invalid(
            "no-logprobs",
            "the server returned no log-probabilities; use one that does, or `--samples` to sample answers",
        )
    entry = mapping(at(logprobs, "content", 0))
    if entry is not None:
        first = _token(entry.get("token"), entry.get("logprob"))
        found = [_token(at(e, "token"), at(e, "logprob")) for e in listed(entry.get("top_logprobs"))]
        # The chosen token is usually among the top ones and must not count twice.
        if first is None or first.text not in {token.text for token in found if token is not None}:
            found.append(first)
    elif (old := mapping(at(logprobs, "top_logprobs", 0))) is not None:
        found = [_token(text, value) for text, value in old.items()]
    else:
        return Invalid("no-logprobs", "the server returned log-probabilities of no token")
    tokens = tuple(token for token in found if token is not None)
    if len(tokens) < len(found):
        return Invalid("malformed", "the server returned a log-probability that is not a number")
    return tokens


def _token(text: object, logprob: object) -> Token | None:
    if not isinstance(text, str) or isinstance(logprob, bool) or not isinstance(logprob, (int, float)):
        return None
    # Servers write minus infinity as -9999, -1e30 or -Infinity; whole numbers in JSON have no limit.
    return Token(text, -1e4 if logprob < -1e4 else float(logprob) if logprob < 1e4 else math.inf)


def usage_of(plain: Mapping[str, object]) -> Usage:
    """The tokens that a reply says it took; 0 where it says nothing."""
    usage = cast("Mapping[str, object]", mapping(plain.get("usage")) or {})
    return Usage(
        whole(usage.get("prompt_tokens")),
        whole(usage.get("completion_tokens")),
        whole(at(usage, "prompt_tokens_details", "cached_tokens")),
    )
