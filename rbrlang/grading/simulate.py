"""What will it take to grade these rows: tokens, cost and time, by four ways of asking?

Nothing is sent to a model. Every request of a way is gone through in the order in which `rbrc grade` sends it, and a
server's prefix cache is played: a prompt's parts (introduction, question or conversation, the rest) are kept, the
ones used longest ago go first, and what a prompt begins with that is still there counts as cached. Four ways:

    naive     every question about every row, no beginning kept
    pruned    only what the row's response type reaches, no beginning kept
    planned   that, in the layouts and the order of the plan, beginnings kept, nothing asked twice: `rbrc grade`
    lazy      that, in rounds, and only while a reward is not known to within eps: `rbrc grade --lazy EPS`

Requests of the last two hold as many questions of yes and no as the plan says. The first two ask one question at a time, question
first, as one would without a plan. What lazy grading asks depends on the answers; they
come from a `judge` that the caller brings, such as labels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rbrlang.grading.endpoint.tokens import Counter
from rbrlang.grading.judge import Judge
from rbrlang.grading.lazy import grade_lazily
from rbrlang.grading.questions.layout import Ask, Plan, every_question, wanted
from rbrlang.grading.questions.prices import Model
from rbrlang.grading.questions.prompt import Question, assemble, conversation, item_text, question, several
from rbrlang.grading.results import Answer, GradeItem, Usage
from rbrlang.grading.unfilled import askable
from rbrlang.lang.program import Judged, Proposition, Variable
from rbrlang.logic.circuit import Circuit
from rbrlang.reward.numpy import NumpyReward


@dataclass(frozen=True, slots=True)
class Bill:
    """What one way of asking takes. `seconds` is None where the price list gives no speed."""

    requests: int
    usage: Usage
    cost: float
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Asks:
    """The requests of the four ways, in order; `rounds` of lazy grading, each of which is a run of its own."""

    naive: tuple[Ask, ...]
    pruned: tuple[Ask, ...]
    planned: tuple[Ask, ...]
    lazy: tuple[Ask, ...] | None
    rounds: int


def asks(
    circuit: Circuit, plan: Plan, items: Sequence[GradeItem], lazily: tuple[NumpyReward, Judge, float] | None
) -> Asks:
    """What each way asks. `lazily` are the reward, what answers, and eps; None where nothing could answer."""
    needed = askable(circuit, items, wanted(circuit, items))
    every = every_question(circuit)
    known = askable(circuit, items, [every if 0 <= item.response < len(circuit.responses) else () for item in items])
    asked: list[Ask] = []
    rounds = 0
    if lazily is not None:
        reward, judge, eps = lazily
        place = {id(item): at for at, item in enumerate(items)}

        def watched(some: Sequence[GradeItem], of: Sequence[Sequence[int]]) -> Sequence[Mapping[int, Answer]]:
            at = [place[id(item)] for item in some]
            put = _flat(plan, askable(circuit, some, of), some)
            asked.extend(Ask(at[ask.item], ask.propositions, ask.layout) for ask in put)
            return judge(some, of)

        rounds = grade_lazily(reward, items, watched, eps).rounds
    return Asks(
        naive=tuple(Ask(i, (p,), "question-first") for i, of in enumerate(known) for p in of),
        pruned=tuple(Ask(i, (p,), "question-first") for i, of in enumerate(needed) for p in of),
        planned=_flat(plan, needed, items),
        lazy=None if lazily is None else tuple(asked),
        rounds=rounds,
    )


def _flat(plan: Plan, of: Sequence[Sequence[int]], items: Sequence[GradeItem]) -> tuple[Ask, ...]:
    return tuple(ask for group in plan.groups(of, items) for ask in group)


class Simulator:
    """Goes through requests for one model. Each of its texts is counted once, when a request first holds it."""

    def __init__(
        self, model: Model, counter: Counter, propositions: Sequence[Proposition | Variable], items: Sequence[GradeItem]
    ) -> None:
        self._model, self._counter = model, counter
        self._propositions, self._items = tuple(propositions), items
        overs: tuple[Judged, ...] = tuple(p.over for p in propositions)
        self._texts: dict[tuple[int, Judged], str] = {
            (at, over): _opened(item_text(item.seen(over)))[1]
            for over in dict.fromkeys(overs)
            for at, item in enumerate(items)
        }
        self._parts: dict[Hashable, dict[str, tuple[str, str, str]]] = {}
        self._tokens: dict[str, float] = {}

    def _said(self, ask: Ask) -> Hashable:
        """What tells the words of questions apart: the propositions, and what the row says in their columns."""
        item = self._items[ask.item]
        return ask.propositions, tuple(
            item.cell(name) for p in ask.propositions for name in self._propositions[p].columns
        )

    def _count(self, asked: Sequence[Ask]) -> None:
        """Count the texts of these requests, and of their answers, as far as they are new."""
        for ask in asked:
            said = self._said(ask)
            if said not in self._parts:
                item = self._items[ask.item]
                self._parts[said] = _parts(several([question(self._propositions[p], item) for p in ask.propositions]))
        shown = {self._shown(ask) for ask in asked}
        put = {part for ask in asked for part in self._parts[self._said(ask)][ask.layout]}
        lines = {_lines(ask) for ask in asked if len(ask.propositions) > 1}
        new = sorted((shown | put | lines) - self._tokens.keys())
        self._tokens.update(zip(new, self._counter.count(new) if new else (), strict=True))

    def _shown(self, ask: Ask) -> str:
        return self._texts[ask.item, self._propositions[ask.propositions[0]].over]

    def bill(self, asked: Iterable[Ask], *, remembering: bool) -> Bill:
        """What these requests take; `remembering`: the server keeps beginnings, and no prompt is sent twice."""
        asked = tuple(asked)
        self._count(asked)
        model = self._model
        kept = _Kept(model.cache_tokens)
        sent: set[Hashable] = set()
        requests = 0
        prompt = cached = answer = 0.0
        for ask in asked:
            path = self._path(ask)
            whole = path[-1][0]
            if remembering and whole in sent:
                continue
            sent.add(whole)
            requests += 1
            prompt += sum(size for _, size in path)
            alone = len(ask.propositions) == 1
            answer += model.answer_tokens + (0 if alone else self._tokens[_lines(ask)] - 1)
            if remembering and model.cache_tokens:
                # The last token is always computed, and beginnings are kept in whole blocks.
                found = kept.take(path) // model.cache_block * model.cache_block
                cached += found if found >= model.cache_minimum else 0.0
        used = Usage(round(prompt), round(answer), round(cached))
        return Bill(requests, used, model.cost(used), model.seconds(requests, used))

    def _path(self, ask: Ask) -> list[tuple[Hashable, float]]:
        """The parts of a prompt with their tokens, each named by all that stands before it and itself."""
        said, shown = self._said(ask), self._shown(ask)
        intro, own, last = self._parts[said][ask.layout]
        size = self._tokens
        first = ("intro", intro)
        shared = said if ask.layout == "question-first" else shown
        middle, behind = (own, shown) if ask.layout == "question-first" else (shown, own)
        return [
            (first, self._counter.before + size[intro]),
            ((first, ask.layout, shared), size[middle]),
            ((first, ask.layout, said, shown), size[behind] + size[last] + self._counter.after),
        ]


def _lines(ask: Ask) -> str:
    """A reply to several questions; what is thought before it is `answer_tokens` beyond the first."""
    return "\n".join(f"{n}: yes" for n in range(1, len(ask.propositions) + 1))


def _opened(shown: str) -> tuple[str, str]:
    """A conversation's first characters, which all conversations have, and the others."""
    at = shown.index("-") + 1  # `<conversation-`, then a code of its own
    return shown[:at], shown[at:]


def _parts(asked: Question) -> dict[str, tuple[str, str, str]]:
    """For each layout what begins every prompt, what the question adds to that, and what ends it."""
    opening, _ = _opened(conversation(()))
    first, last = assemble(asked, "", "question-first"), assemble(asked, "", "conversation-first")
    head = "# Conversation to judge\n"  # what follows differs from one conversation to the next
    intro = last.shared[: last.shared.index(head)]
    return {
        "question-first": (intro, first.shared.removeprefix(intro) + opening, first.rest),
        "conversation-first": (intro + head + opening, last.shared[len(intro) + len(head) :] + last.rest, ""),
    }


class _Kept:
    """A prefix cache: parts of prompts by their names, the one used longest ago first."""

    def __init__(self, room: float) -> None:
        self._room = room
        self._parts: OrderedDict[Hashable, float] = OrderedDict()
        self._size = 0.0

    def take(self, path: Sequence[tuple[Hashable, float]]) -> float:
        """Tokens of the prompt's beginning that were kept; now all of it is, and what finds no room goes."""
        found = 0.0
        parts = self._parts
        for name, size in path:
            if name not in parts:
                break
            found += size
        # A part is younger than what follows it, so that nothing goes before what builds on it.
        for name, size in reversed(path):
            if name not in parts:
                self._size += size
                parts[name] = size
            parts.move_to_end(name)
        while self._size > self._room and len(parts) > len(path):
            self._size -= parts.popitem(last=False)[1]
        return found
