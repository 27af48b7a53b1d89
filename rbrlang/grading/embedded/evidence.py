"""What can be seen in a conversation without a language model?

`observe` turns conversations into two arrays: **traits**, one named column each (concepts of the lexicon
that the completion or the request holds, overlap between the two, lengths, shapes), and **grams**, hashed
counts of the completion's character 3- to 5-grams. Both depend on the texts alone, never on a policy, so
they are computed once for all propositions.

    >>> from rbrlang.rows.conversation import Turn, spoken
    >>> item = GradeItem("1", spoken((Turn("user", "How do I boil an egg?"),), "Sorry, I can't help with that."), -1)
    >>> seen = observe([item])
    >>> [TRAITS[i] for i in seen.traits[0].nonzero()[0]][:3]
    ['response:apology', 'response:negated_can', 'response:decline']

A text is read up to a bound, so that a completion of a million characters costs no more than one of ten
thousand: of a completion the first 6,000 and the last 2,000 characters, of the last user message the first
and last 1,000, of the whole prompt the first 1,000 and the last 2,000. What lies between is not seen.
Hashing is FNV-like on 32 bits and does not depend on the process or the platform.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Protocol, cast

import numpy as np
import re2
from numpy.typing import NDArray

from rbrlang.grading.embedded.folding import HEAD, TAIL, claims, folded
from rbrlang.grading.embedded.lexicon import FILLER, REQUEST, STOP
from rbrlang.grading.embedded.lexicon_response import RESPONSE
from rbrlang.grading.results import GradeItem
from rbrlang.rows.conversation import Turn

BUCKETS = 8192
_GRAMS = (3, 4, 5)
_VERSION = 2

_OPENING = 140  # characters in which an answer shows what it is going to be
_AT_START = (
    "apology", "decline", "decline_verb", "sure", "start_sure", "we", "have_you", "how_about", "topic_change",
    "appreciate", "verdict", "inappropriate", "disapprove", "your_request",
)  # fmt: skip
_AT_END = ("seek_pro", "remember", "have_you", "more_q", "good_luck")
_IN_CONTEXT = ("sex", "suicide", "crime", "hate", "minor", "illegal", "weapon", "drugs")
_HARMFUL = ("sex", "suicide", "crime", "hate", "weapon", "drugs", "illegal")
_SHAPES = (
    "request_covered", "response_from_request", "response_from_prompt", "new_words", "shared_words", "no_overlap",
    "words", "words_over_55", "empty", "short", "long", "sentences", "lines", "questions", "asks", "ends_asking",
    "question_share", "exclamations", "quotation_marks", "you_share", "i_share", "apologies", "starts_lower",
    "request_words", "request_questions", "request_quotes", "request_ends", "turns", "length_ratio",
    "plain_words", "plain_sentences", "plain_share", "sentence_off_topic", "first_sentence_overlap",
    "best_sentence_overlap", "plain_after_harm", "plain_after_sex", "plain_after_suicide", "plain_after_crime",
    "plain_after_minor_sex", "plain_after_illegal",
)  # fmt: skip

TRAITS: tuple[str, ...] = (
    *(f"response:{name}" for name in RESPONSE),
    *(f"opening:{name}" for name in _AT_START),
    *(f"closing:{name}" for name in _AT_END),
    *(f"request:{name}" for name in REQUEST),
    *(f"context:{name}" for name in _IN_CONTEXT),
    *_SHAPES,
)
"""Names of the columns of `Evidence.traits`."""

_PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-"})
# Bytes of words stay; what ends a sentence becomes a line break, except that `?` stays to be told apart.
_WORDS = bytes(
    b if chr(b) in "abcdefghijklmnopqrstuvwxyz0123456789'?" else ord("\n") if chr(b) in ".!\n" else ord(" ")
    for b in range(256)
)


class _Set(Protocol):
    def Add(self, pattern: str) -> int: ...  # noqa: N802
    def Compile(self) -> None: ...  # noqa: N802
    def Match(self, text: str) -> list[int] | None: ...  # noqa: N802


class PatternSet:
    """Many RE2 patterns sought in one pass over the text.

    Raises `ValueError` where RE2 refuses a pattern; the message names it.
    """

    __slots__ = ("_set", "size")

    def __init__(self, patterns: Iterable[str]) -> None:
        options = re2.Options()
        options.log_errors = False
        options.max_mem = 64 << 20
        found = cast(_Set, re2.Set.SearchSet(options))
        self.size = 0
        for pattern in patterns:
            try:
                found.Add(pattern)
            except (re2.error, UnicodeError) as refusal:
                raise ValueError(f"`{pattern!a}` is not a regular expression that RE2 accepts") from refusal
            self.size += 1
        found.Compile()
        self._set = found

    def present(self, text: str) -> list[int]:
        """Numbers of the patterns found in a text without lone surrogates (see `encodable`)."""
        return (self._set.Match(text) or []) if self.size else []


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen: `traits` float32 [items, traits], `grams` float32 [items, buckets], log2(1 + count)."""

    traits: NDArray[np.float32]
    grams: NDArray[np.float32]


def plain(text: str) -> str:
    """The form in which the lexicon reads a folded text."""
    return text.translate(_PLAIN).lower()


def request(prompt: Sequence[Turn]) -> str:
    """The last user message of a prompt, or the last message where no user speaks, or nothing."""
    said = [m.text for m in prompt if m.role == "user"] or [m.text for m in prompt]
    return said[-1] if said else ""


@cache
def fingerprint() -> str:
    """Hash of everything that decides what `observe` returns. Heads learned from other evidence do not fit."""
    settings = [_VERSION, BUCKETS, _GRAMS, HEAD, TAIL, _OPENING, TRAITS, sorted(STOP), sorted(FILLER)]
    text = json.dumps([settings, dict(RESPONSE), dict(REQUEST)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def observe(items: Sequence[GradeItem]) -> Evidence:
    """The evidence in each conversation. Deterministic; about 0.5 ms an item."""
    traits = np.zeros((len(items), len(TRAITS)), np.float32)
    grams = np.zeros((len(items), BUCKETS), np.float32)
    for row, item in enumerate(items):
        answer = plain(folded(item.completion))
        traits[row] = _traits(item, answer)
        counts = gram_counts(answer)
        present = counts.nonzero()[0]
        grams[row, present] = np.log2(1.0 + counts[present])
    return Evidence(traits, grams)


# --- traits -----------------------------------------------------------------------------------


@cache
def _sets() -> tuple[PatternSet, PatternSet, PatternSet, PatternSet, PatternSet]:
    return (
        PatternSet(RESPONSE.values()),
        PatternSet(RESPONSE[name] for name in _AT_START),
        PatternSet(RESPONSE[name] for name in _AT_END),
        PatternSet(REQUEST.values()),
        PatternSet(REQUEST[name] for name in _IN_CONTEXT),
    )


@lru_cache(maxsize=1 << 15)
def _stem(word: str) -> str:
    for ending in ("ing", "ies", "ed", "es", "'s", "s", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def sentences(text: str) -> list[list[str]]:
    """The ASCII words of each sentence of a plain text; a question's last word is `?`."""
    lines = text.encode().translate(_WORDS).replace(b"?", b" ?\n").decode().split("\n")
    return [words for line in lines if (words := line.split()) and words != ["?"]]


def _content(words: Iterable[str]) -> set[str]:
    return {_stem(word) for word in words if len(word) > 2 and word not in STOP}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is seen of a prompt: columns of its topics, content words of the request and of all, shapes."""

    columns: tuple[float, ...]
    said: frozenset[str]
    prompt: frozenset[str]
    shapes: Mapping[str, float]


@lru_cache(maxsize=512)
def _asked(prompt: tuple[Turn, ...]) -> _Asked:
    """Many completions, and the paragraphs of one, have a prompt in common."""
    said = plain(folded(request(prompt), 1_000, 1_000))
    whole = plain(folded("\n".join(m.text for m in prompt), 1_000, 2_000))
    _, _, _, asked, context = _sets()
    columns = (*_columns(asked, said), *_columns(context, whole))
    return _Asked(columns, frozenset(_bag(said)), frozenset(_bag(whole)), _request_shapes(said, len(prompt)))


def _columns(patterns: PatternSet, text: str) -> list[float]:
    columns = [0.0] * patterns.size
    for number in patterns.present(text):
        columns[number] = 1.0
    return columns


def _traits(item: GradeItem, answer: str) -> list[float]:
    whole, opening, closing, _, _ = _sets()
    asked = _asked(item.prompt)
    spoken = sentences(answer)
    claimed = claims(answer)
    columns = [
        *_columns(whole, claimed),
        *_columns(opening, claimed[:_OPENING]),
        *_columns(closing, _last_sentence(claimed)),
        *asked.columns,
    ]
    topics = dict(zip(TRAITS, columns, strict=False))
    shapes = {**_answer_shapes(answer, item.completion), **asked.shapes}
    shapes |= _overlaps(spoken, asked.said, asked.prompt)
    shapes |= _plain_shapes(spoken, shapes["words"], topics)
    shapes["length_ratio"] = shapes["words"] - shapes["request_words"]
    return columns + [shapes[name] for name in _SHAPES]


def _bag(text: str) -> set[str]:
    return _content(text.encode().translate(_WORDS).replace(b"?", b" ").decode().split())


def _last_sentence(answer: str) -> str:
    """From the last end of a sentence that has text after it."""
    trimmed = answer[-600:].rstrip(".!?\n \"'*)")
    return answer[-600:][max(trimmed.rfind(mark) for mark in ".!?\n") + 1 :]


def _answer_shapes(answer: str, raw: str) -> dict[str, float]:
    words = answer.split()
    n, log = len(words), math.log1p
    sentences = max(1, sum(answer.count(mark) for mark in ".!?"))
    asks = answer.count("?")
    return {
        "words": log(n),
        "words_over_55": max(0.0, log(n) - 4),
        "empty": float(n == 0),
        "short": float(n < 25),
        "long": float(n > 120),
        "sentences": log(sentences),
        "lines": log(answer.count("\n")),
        "questions": log(asks),
        "asks": float(asks > 0),
        "ends_asking": float(answer.rstrip().endswith("?")),
        "question_share": asks / (sentences + 1),
        "exclamations": log(answer.count("!")),
        "quotation_marks": log(answer.count('"')),
        "you_share": sum(w.startswith("you") for w in words) / (n + 5),
        "i_share": sum(w in ("i", "i'm", "i'd", "i've", "i'll") for w in words) / (n + 5),
        "apologies": log(answer.count("sorry") + answer.count("apolog")),
        "starts_lower": float(raw[:1].islower()),
    }


def _request_shapes(said: str, turns: int) -> dict[str, float]:
    return {
        "request_words": math.log1p(len(said.split())),
        "request_questions": math.log1p(said.count("?")),
        "request_quotes": float('"' in said),
        "request_ends": float(said.rstrip().endswith((".", "?", "!", '"'))),
        "turns": math.log1p(turns),
    }


def _overlaps(spoken: Sequence[Sequence[str]], said: frozenset[str], prompt: frozenset[str]) -> dict[str, float]:
    contents = [_content(words) for words in spoken]
    each = [len(content & said) for content in contents]
    answer: set[str] = set().union(*contents)
    shared = len(answer & said)
    return {
        "request_covered": shared / (len(said) + 2),
        "response_from_request": shared / (len(answer) + 2),
        "response_from_prompt": len(answer & prompt) / (len(answer) + 2),
        "new_words": math.log1p(len(answer - prompt)),
        "shared_words": math.log1p(shared),
        "no_overlap": float(shared == 0),
        "sentence_off_topic": float(0 in each),
        "first_sentence_overlap": math.log1p(each[0]) if each else 0.0,
        "best_sentence_overlap": math.log1p(max(each, default=0)),
    }


def _plain_shapes(spoken: Sequence[Sequence[str]], log_words: float, topics: Mapping[str, float]) -> dict[str, float]:
    """How much of the answer is neither question nor filler: what a request for content would get."""
    total = count = 0
    for words in spoken:
        if words[-1] != "?" and sum(map(FILLER.__contains__, words)) <= 0.12 * len(words):
            total += len(words)
            count += 1
    amount = math.log1p(total)
    harm = min(2.0, sum(topics[f"request:{name}"] for name in _HARMFUL))
    sex = topics["request:sex"]
    return {
        "plain_words": amount,
        "plain_sentences": math.log1p(count),
        "plain_share": total / (math.expm1(log_words) + 5),
        "plain_after_harm": amount * harm,
        "plain_after_sex": amount * sex,
        "plain_after_suicide": amount * topics["request:suicide"],
        "plain_after_crime": amount * topics["request:crime"],
        "plain_after_minor_sex": amount * sex * topics["request:minor"],
        "plain_after_illegal": amount * topics["request:illegal"],
    }


# --- hashed character n-grams -------------------------------------------------------------------


def gram_counts(answer: str) -> NDArray[np.int64]:
    """How often each bucket's n-grams occur in the UTF-8 bytes; runs of white space count as one space."""
    text = np.frombuffer(f" {' '.join(answer.split())} ".encode(), np.uint8).astype(np.uint32)
    hashed = np.full(len(text), 2166136261, np.uint32)
    codes: list[NDArray[np.uint32]] = []
    for length in range(1, max(_GRAMS) + 1):
        usable = len(text) - length + 1
        if usable <= 0:
            break
        hashed = (hashed[:usable] ^ text[length - 1 :]) * np.uint32(16777619)
        if length in _GRAMS:
            codes.append((hashed ^ (hashed >> np.uint32(15))) % np.uint32(BUCKETS))
    if not codes:
        return np.zeros(BUCKETS, np.int64)
    return np.bincount(np.concatenate(codes), minlength=BUCKETS)
