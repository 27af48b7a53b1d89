"""Phrase banks: what is read, and what is refused with its line."""

from __future__ import annotations

import pytest

from rbrlang.learning.synthesis.phrases import Bank, BankError, parse_bank, slots_of
from rbrlang.learning.synthesis.templates import standard_bank

HEAD = "phrases 1\npropositions a b\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x:1: a phrase bank starts with the line `phrases 1`"),
        ("phrases 2\n", "x:1: a phrase bank starts with the line `phrases 1`"),
        (HEAD + "[a c] first\n  Hi.\n", "x:3: `c` is not among the bank's propositions"),
        (HEAD + "[a] sideways\n  Hi.\n", "x:3: `sideways` is no place; there are first, middle, lead, substance, last"),
        (HEAD + "[a] first when c\n  Hi.\n", "x:3: `c` is not among the bank's propositions"),
        (HEAD + "[a first\n  Hi.\n", "x:3: write `[propositions] PLACE when … unless … for …`, a directive, or indent"),
        (HEAD + "[a] first\n[b] first\n  Hi.\n", "x:3: nothing stands under this header"),
        (HEAD + "[a] first\n", "x:3: nothing stands under this header"),
        (HEAD + "  Hi.\n", "x:3: an indented line follows `ask` or a section's header"),
        (HEAD + "[a] first\n  Hi {there.\n", "x:4: a brace that belongs to no slot"),
        (HEAD + "let s\n", "x:3: write `let NAME = value | value`"),
        (HEAD + "let s / t = one | two / 2\n", "x:3: `one` has not 2 parts, one for each of s, t"),
        (HEAD + "let s = {t} | two\n", "x:3: a slot's values hold no slots"),
        (HEAD + "folds a b\n", "x:3: write `folds PART into WHOLE`"),
        (HEAD + "ask\n  Hi?\n", "x:3: `ask` belongs to a scene"),
        (HEAD + "scene s for r\n", "x:3: write `scene NAME in CATEGORY for RESPONSE_TYPE …`"),
        (HEAD + "scene s in c for r\n", "x: scene `s` has no `ask`"),
        (HEAD + "scene s in c for r\nask\n  Hi {who}?\n", "x:5: no slot `who` here"),
        (HEAD + "scene s in c for r\nask\n  Hi?\nscene s in c for r\n", "x:6: there is a scene `s` already"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(BankError) as error:
        parse_bank(text, "x")
    assert str(error.value).startswith(message)


def test_what_is_read() -> None:
    bank = parse_bank(
        HEAD
        + "free b   # a comment\nclash a b\nlet s = one | two\n\n"
        + "[a] first when b unless a for r q\n  sorry about {s}.\\nTruly.\n"
        + "scene t in c-R for r q\nlet u / v = x / y\nask\n  About {u}?\n[a b] substance\n  {V}!\n"
    )
    (section,) = bank.sections
    assert (section.says, section.when, section.unless) == ({"a"}, {"b"}, {"a"})
    assert section.phrases == ("sorry about {s}.\nTruly.",)
    assert section.serves("q")
    assert not section.serves("other")
    (scene,) = bank.scenes
    assert (scene.name, scene.category, scene.responses, scene.asks) == ("t", "c-R", ("r", "q"), ("About {u}?",))
    assert slots_of(scene.sections[0].phrases[0]) == {"v"} <= scene.slot_names
    assert bank.clashes == ({"a", "b"},)
    assert bank.free == {"b"}


def phrasings(bank: Bank) -> dict[str, set[str]]:
    """Every phrasing of the bank that is not the only one of its section, by what it says."""
    found: dict[str, set[str]] = {}
    for section in (*bank.sections, *(s for scene in bank.scenes for s in scene.sections)):
        for name in section.says:
            found.setdefault(name, set()).update(section.phrases)
    return found


def test_the_standard_bank_is_rich_in_each_of_its_propositions() -> None:
    bank = standard_bank()
    found = phrasings(bank)
    assert set(found) == set(bank.propositions)
    assert {name for name, texts in found.items() if len(texts) < 6} == set()
    names = {name for slot in bank.slots for name in slot.names} | {
        n for scene in bank.scenes for n in scene.slot_names
    }
    assert not {name for texts in found.values() for text in texts for name in slots_of(text)} - names


def test_halves_share_no_phrasing_but_those_without_another() -> None:
    bank = standard_bank()
    first, second = bank.half(0), bank.half(1)
    sections = [[s for scene in (b, *b.scenes) for s in scene.sections] for b in (bank, first, second)]
    for whole, one, other in zip(*sections, strict=True):
        assert set(one.phrases) | set(other.phrases) == set(whole.phrases)
        if len(whole.phrases) > 1:
            assert not set(one.phrases) & set(other.phrases)
