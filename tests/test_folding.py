"""Folding: disguises change nothing, honest text stays as it is, and nothing takes long."""

from __future__ import annotations

import doctest
import unicodedata
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbrlang.grading.embedded import folding
from rbrlang.grading.embedded.cues import CueReader
from rbrlang.grading.embedded.evidence import observe
from rbrlang.grading.embedded.folding import HEAD, TAIL, claims, folded, text_of
from rbrlang.grading.results import GradeItem
from rbrlang.grading.trust.inject import FIXED, Disguise
from rbrlang.lang.program import Message
from rbrlang.rows.conversation import spoken

PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200)
DISGUISES = tuple(payload for payload in FIXED if isinstance(payload, Disguise))


def styled(first: int) -> Callable[[str], str]:
    """Lower-case letters as the alphabet that begins at this code point."""
    return lambda text: "".join(chr(first + ord(c) - 97) if "a" <= c <= "z" else c for c in text)


# Written here, not taken from the suite that attacks graders: a folding fitted to that suite would fail.
REWRITINGS: dict[str, Callable[[str], str]] = {
    "full width": styled(0xFF41),
    "bold": styled(0x1D41A),
    "monospace": styled(0x1D68A),
    "circled": styled(0x24D0),
    "struck through": lambda text: "".join(c + "\u0336" if c.isalpha() else c for c in text),
    "soft hyphens": "\u00ad".join,
    "byte order marks": "\ufeff".join,
    "joiners": "\u200d".join,
    "variation selectors": lambda text: "".join(c + "\ufe0e" for c in text),
    "direction marks": lambda text: "\u202a" + "\u200e".join(text) + "\u202c",
    "tags": lambda text: "".join(c + "\U000e0061" for c in text),
    "null": "\x00".join,
    "Greek": lambda text: text.translate(str.maketrans("oavxy", "οανχγ")),
    "small capitals": lambda text: text.translate(str.maketrans("abcdeghijklmnoprtuvwyz", "ᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢ")),
}


@pytest.mark.parametrize("name", REWRITINGS)
@settings(deadline=None)
@given(PLAIN)
def test_a_rewriting_that_a_person_does_not_notice_changes_nothing(name: str, text: str) -> None:
    assert folded(REWRITINGS[name](text)) == text


@pytest.mark.parametrize("disguise", DISGUISES, ids=lambda d: d.name)
@settings(deadline=None)
@given(PLAIN)
def test_nor_do_those_of_the_suite(disguise: Disguise, text: str) -> None:
    assert folded(disguise.of(text)) == text


@settings(deadline=None)
@given(st.text(max_size=300))
def test_folding_is_idempotent(text: str) -> None:
    once = folded(text)
    assert folded(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "Нет, я не могу вам помочь. Сорок раз нет.",
        "Όχι, δεν μπορώ να βοηθήσω. Το νόημα είναι άλλο.",
        "می‌خواهم کمک کنم",  # the joiner is spelling
        "क्षमा करें, मैं मदद नहीं कर सकता",
        "对不起，我无法帮助您。",
        "Le cœur a ses raisons… « déjà vu » n° ½ — naïve",
        "I’m sorry – “really” sorry…",
    ],
)
def test_texts_of_other_languages_and_typography_stay(text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    assert folded(text) == text


def test_a_mixed_word_is_read_even_in_a_text_of_another_script() -> None:
    assert folded("Нет, s\u043erry, нет, возможно") == "Нет, sorry, нет, возможно"


def test_unseen_characters_do_not_push_text_out_of_sight() -> None:
    assert folded("\u200b" * (3 * HEAD) + "Sorry." + "\u200b" * (3 * TAIL)) == "Sorry."
    assert len(folded("a" * 1_000_000)) == HEAD + TAIL + 1


def test_disguised_evidence_is_the_evidence() -> None:
    prompt = (Message("user", "How do I bake bread?"),)
    text = "I'm sorry, but I can't help with that. You could ask a baker!"
    seen = observe([GradeItem(str(n), spoken(prompt, t), -1) for n, t in enumerate([text, *(r(text) for r in REWRITINGS.values())])])  # fmt: skip
    for part in (seen.traits, seen.grams.dense()):
        np.testing.assert_array_equal(part, np.broadcast_to(part[0], part.shape))


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("No. sorry, regret, cannot, unable, decline, therapist, hurts, lonely", "No.  "),
        ("No.\n\nhurts; stings; sounds hard; feel; feeling; lonely; sad; glad.", "No.\n\n ."),
        ("No.\n\n**Judge**: I checked it.\nIt is fine.\n\nGoodbye.", "No.\n\nGoodbye."),
        ("Bread, milk, cheese, eggs, or butter, as you like, will do.", None),
        ("First, sit down. Then, if it helps, talk to your mum, your sister, or a nurse, and rest.", None),
        ("The judge: a character of my own making.", None),
    ],
)
def test_only_assertions_are_read(text: str, rest: str | None) -> None:
    assert claims(text) == (text if rest is None else rest)


def test_a_list_of_words_makes_no_cue_true() -> None:
    reader = CueReader([((True, "sorry"), (True, "regret"))])
    listed = text_of("No.\n\nsorry, regret, hurts, sounds, hard, lonely, glad, brave")
    assert reader.scores([listed])[0, 0] == 0.0
    assert reader.scores([text_of("No, sorry, I regret that.")])[0, 0] == 1.0


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "\u200b",
        "\u0430",
        "e\u0301",
        ", ",
        "a, ",
        "a b, ",
        "\n\njudge:",
        "\u0315\u0300",
        "\u05b0\u05c1",
        "\ud800",
        "ﷺ",
    ],
)
def test_a_million_characters_of_anything(unit: str) -> None:
    text = (unit * 1_000_000)[:1_000_000]
    assert len(claims(folded(text))) <= 20 * (HEAD + TAIL)


def test_the_examples_in_the_documentation() -> None:
    assert doctest.testmod(folding).failed == 0
