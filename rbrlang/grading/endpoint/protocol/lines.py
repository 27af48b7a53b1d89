"""Which of several questions does each line of a reply answer, and with which of its tokens?

    1: yes
    2: no

Lines are told apart by their numbers and never by their place. What is not certain to be the answer to one question is the
answer to none: `misaligned`, with the reason. Tokenisers join and split numbers, colons and white space in many ways, so places
are counted in bytes of the text; only a token that holds a part of the number and the answer cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

from rbrlang.grading.endpoint.protocol.thought import beginning
from rbrlang.grading.questions.forms import answer_form, leads_in
from rbrlang.grading.results import Invalid

TOKENS_OF_A_LINE = 8
"""Answer tokens for each question: number, colon, white space, emphasis, the answer and the end of the line."""
_NUMBER = re.compile(r"[ \t>*_`#(\[-]{0,9}(\d{1,3})[ \t*_`]{0,9}[:.)\]]")
_WORD = re.compile(r"[^\W\d_]+")


def answers_in(said: str, number: int, *, cut: bool = False) -> tuple[range | Invalid, ...]:
    """Where in what was said the answer to each of a `number` of questions stands: from behind its number to the end of its line.

    >>> answers_in("1: yes\\n2: no", 2)
    (range(2, 6), range(9, 12))
    """
    found: list[tuple[int, range]] = []
    start = 0
    for line in said.split("\n"):
        begun = _NUMBER.match(line)
        if begun is not None:
            found.append((int(begun[1]), range(start + begun.end(), start + len(line))))
        start += len(line) + 1
    numbers = [n for n, _ in found]
    strange = len(found) > number or any(not 1 <= n <= number for n in numbers)
    if strange:
        why = f"the lines of the reply are numbered {_some(numbers)}, and there are {number} questions: nobody knows which they answer"
        return (_misaligned(why),) * number
    return tuple(_answer(n, said, found, cut) for n in range(1, number + 1))


def _answer(n: int, said: str, found: Sequence[tuple[int, range]], cut: bool) -> range | Invalid:
    at = next((at for at, (one, _) in enumerate(found) if one == n), None)
    if at is None:
        return _misaligned(f"no line of the reply begins with `{n}:`" + (", and it was cut off" if cut else ""))
    if any(one >= n for one, _ in found[:at]) or any(one <= n for one, _ in found[at + 1 :]):
        return _misaligned(
            f"line `{n}:` of the reply does not stand in its order: the numbers are {_some([n for n, _ in found])}"
        )
    place = found[at][1]
    words = _WORD.findall(said[place.start : place.stop])
    if not words:
        return _misaligned(f"line `{n}:` of the reply has no answer" + (": it was cut off" if cut else ""))
    if answer_form(words[0]) is None:
        return _misaligned(f"line `{n}:` of the reply begins with neither yes nor no")
    if sum(answer_form(word) is not None for word in words) > 1:
        return _misaligned(f"line `{n}:` of the reply holds several answers")
    return place


def tokens_of(
    pieces: Sequence[bytes], said: str, places: Sequence[range | Invalid]
) -> tuple[range | Invalid, ...]:  # fmt: skip
    """Which tokens hold each answer: from the first behind the number to the last of the line. `places` are those in what was said."""
    if all(isinstance(place, Invalid) for place in places):
        return tuple(places)
    begun = beginning(pieces, said)
    if isinstance(begun, Invalid):
        return tuple(_misaligned(begun.reason) if isinstance(place, range) else place for place in places)
    ends = list(accumulate(map(len, pieces)))
    text = b"".join(pieces)
    base = text.index(said.encode(errors="replace"), ends[begun] - len(pieces[begun]))
    return tuple(
        place if isinstance(place, Invalid) else _tokens(n, text, ends, said, base, place)
        for n, place in enumerate(places, 1)
    )


def _tokens(n: int, text: bytes, ends: Sequence[int], said: str, base: int, place: range) -> range | Invalid:
    behind, stop = (base + len(said[:at].encode(errors="replace")) for at in (place.start, place.stop))
    starts = [0, *ends]
    inside = [at for at, end in enumerate(ends) if starts[at] >= behind and starts[at] < stop and end > starts[at]]
    between = text[behind : starts[inside[0]]] if inside else text[behind:stop]
    if between and not leads_in(between.decode(errors="replace")):
        return _misaligned(f"one token holds the number {n} of a line and its answer, or a part of it")
    return range(inside[0], inside[-1] + 1)


def _some(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:9])) + (" …" if len(numbers) > 9 else "")


def _misaligned(why: str) -> Invalid:
    return Invalid("misaligned", why)
