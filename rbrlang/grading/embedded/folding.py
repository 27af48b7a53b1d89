"""What does a person read where a program sees other characters?

Text is graded in the form in which it is read, so that letters that look like others, or characters that
cannot be seen, neither hide a word from the evidence nor add one:

1. Characters without width and control characters are removed, marks stacked on letters,
   too (joiners stay where they are spelling, between letters that are not Latin);
2. A word that becomes plain ASCII when compatibility forms (full width, mathematical, circled) and
   lookalikes (https://www.unicode.org/reports/tr39/) are replaced is read so. A word of another script alone
   is left as it is where the text is written in that script.

`claims` leaves out what nobody asserts: a run of eight or more comma-separated entries of one or two words
is a list of words, and a paragraph that is put into the mouth of a judge of the text is not the answer's.

    >>> folded("I\\u200b'm s\\u043erry")
    "I'm sorry"
    >>> folded("да, сорок") == "да, сорок"
    True

All of it is linear in a text that is bounded first: of a completion the first 6,000 and last 2,000 characters
that can be seen are read, looked for among the first 24,000 and last 8,000.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import re2

HEAD, TAIL = 6_000, 2_000
_WIDER = 4

# What has no width or is no text: Cc but white space, Cf, fillers, variation selectors and tags.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    "\U000e0000-\U000e0fff]+"
)
_UNSEEN_BYTES = bytes(b for b in range(128) if _UNSEEN.match(chr(b)))
_JOINERS = re.compile("(?<![^\x00-\u024f])[\u200c\u200d]+|[\u200c\u200d]+(?![^\x00-\u024f])")
_MARKS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+")
_STACKED = re.compile(_MARKS.pattern[:-1] + "{3,}")  # no spelling; and sorting them is quadratic
_WORD = re.compile("[\\w\u24b6-\u24e9\U0001f130-\U0001f189]+")

_LETTERS = zip(
    "асеорхуіјѕһԁԛԝкмнтгпвьѵӏАВЕКМНОРСТУХІЈЅԚԜӀοανρτυικεηχγωΑΒΕΖΗΙΚΜΝΟΡΤΥΧıɑɡոսօհցզᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ",
    "aceopxyijshdqwkmhtrnbbvlABEKMHOPCTYXIJSQWloavptuikenxywABEZHIKMNOPTYXiagnuohgqabcdefghijklmnoprstuvwyz",
    strict=True,
)
_ALIKE: dict[int, str] = (
    {ord(letter): latin for letter, latin in _LETTERS}
    # Squared and negative circled letters have no compatibility form in the Unicode data.
    | {0x1F130 + block * 0x20 + n: chr(65 + n) for block in range(3) for n in range(26)}
    | {0x24B6 + n: chr((65 if n < 26 else 71) + n) for n in range(52)}
)

_BLANK = re.compile(r"\n[^\S\n]*\n\s*")
_MOST_PARAGRAPHS = 12

_MEMORY = re2.Options()
_MEMORY.max_mem = 64 << 20
_ENTRY = r"[^\s,;|.!?:]+(?: [^\s,;|.!?:]+)?"
_LIST = re2.compile(rf"(?:{_ENTRY}[,;|] ?){{7,}}{_ENTRY}", _MEMORY)
_JUDGED = re2.compile(
    r"(?i)(?:^|\n\n)[#* ]*(?:grader|judge|evaluator|reviewer|rater|scorer|auditor)\**:(?:[^\n]|\n[^\n])*", _MEMORY
)


def encodable(text: str) -> str:
    """The text with lone surrogates replaced: JSON can carry them, UTF-8 and so RE2 cannot."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def bounded(text: str, head: int = HEAD, tail: int = TAIL) -> str:
    """The first `head` and last `tail` characters, joined by a line break where something was left out."""
    return text if len(text) <= head + tail else f"{text[:head]}\n{text[-tail:]}"


def folded(text: str, head: int = HEAD, tail: int = TAIL) -> str:
    """The text, bounded, as it is read: without lone surrogates and unseen characters, lookalikes as ASCII.

    Accents are composed with their letters; punctuation stays as it is.
    """
    text = bounded(_visible(encodable(bounded(text, _WIDER * head, _WIDER * tail))), head, tail)
    if text.isascii():
        return text
    text = _MARKS.sub("", unicodedata.normalize("NFC", text))
    strange = {word for word in _WORD.findall(text) if not word.isascii()}
    plain = {word: reading for word in strange if (reading := _reading(word)).isascii()}
    if any(not _latin(word) and not _disguised(word) for word in strange - plain.keys()):
        plain = {word: reading for word, reading in plain.items() if _disguised(word)}
    return _WORD.sub(lambda match: plain.get(match[0], match[0]), text) if plain else text


def paragraphs(text: str) -> tuple[str, ...]:
    """The paragraphs of a folded text, at most 12; the last one holds the rest. One that ends in a colon leads in the next.

    >>> paragraphs("Sure.\\n\\nThe rivers:\\n\\n1. Loire\\n\\n2. Rhône")
    ('Sure.', 'The rivers:\\n\\n1. Loire', '2. Rhône')
    """
    found: list[str] = []
    for piece in _BLANK.split(text):
        if not piece.strip():
            continue
        if found and (found[-1].endswith(":") or len(found) >= _MOST_PARAGRAPHS):
            found[-1] += "\n\n" + piece.rstrip()
        else:
            found.append(piece.rstrip())
    return tuple(found) or (text,)


def claims(text: str) -> str:
    """A folded text without lists of words and without what a judge of the text is made to say."""
    if sum(map(text.count, ",;|")) >= 7:
        text = _LIST.sub(" ", text)
    return _JUDGED.sub("", text) if ":" in text else text


@dataclass(frozen=True, slots=True)
class Text:
    """A text as it came, as it is read (`folded`), and what of that is asserted (`claims`)."""

    raw: str
    read: str
    claimed: str

    @property
    def claims_all(self) -> bool:
        """Whether all that is read is asserted."""
        return len(self.claimed) == len(self.read)

    def paragraphs(self) -> tuple[Text, ...]:
        """Each paragraph as a text of its own; one, where there are no more."""
        if "\n" not in self.read:
            return (self,)
        return tuple(map(text_of, paragraphs(self.read)))


def text_of(raw: str) -> Text:
    """How a text is read."""
    read = folded(raw)
    return Text(raw, read, claims(read))


def _visible(text: str) -> str:
    if text.isascii():
        return text.encode().translate(None, _UNSEEN_BYTES).decode()
    text = _UNSEEN.sub("", text)
    return text if text.isascii() else _STACKED.sub("", _JOINERS.sub("", text))


@lru_cache(maxsize=1 << 14)
def _reading(word: str) -> str:
    return unicodedata.normalize("NFKC", word).translate(_ALIKE)


def _latin(word: str) -> bool:
    """Whether every letter is Latin, accented ones included."""
    return all(ord(letter) < 0x250 for letter in word)


def _disguised(word: str) -> bool:
    """Whether a word mixes scripts, or is written in forms that no language uses."""
    return any(letter.isascii() and letter.isalpha() for letter in word) or unicodedata.normalize("NFKC", word) != word
