"""Reading what an edit touches gives what reading the whole text gives."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from rbrlang.lang.reading import reparse
from rbrlang.lang.reading.parse import parse
from rbrlang.lang.reading.reparse import Parsed, Reparser
from rbrlang.source import Source, Span

ROOT = Path(__file__).resolve().parents[1]
POLICY = ROOT / "examples" / "refusals" / "policy.rbr"
PIECES = (
    *'{}()"\\\n@#:=,.&|!<>-*0 \t\r\ufeffé', '"""', '\\"""', "\n\n", "\nprop ", '\nprop q "Q."\n', "@prior(0.2)\n", "prop",
    "\n## said of the next\n", "## said behind", "# rbr: allow RBR4001 -- why", "a := b\n", "\n& b", "\n{", "}\n", " and ",
    "use std.safety.refusals as r\n", "otherwise", "response s ranks a > b\n", "r.c := a | b\n", "\nmonotone r: a up\n",
)  # fmt: skip


def flat(node: Any, source: Source) -> Any:
    """A tree as plain data; every span must lie in the given source."""
    if isinstance(node, Span):
        assert node.source is source
        return node.start, node.end
    if isinstance(node, tuple):
        return type(node).__name__, *(flat(part, source) for part in node)  # pyright: ignore
    assert node is None or isinstance(node, str | bool | float)
    return node


def said(parsed: Parsed) -> Any:
    module, diagnostics = parsed
    problems = [(d.code.id, d.message, d.span.start, d.span.end, d.help, len(d.fixes)) for d in diagnostics]
    return flat((module.statements, module.comments), module.source), sorted(module.lost), problems


def edited(text: str, draw: random.Random) -> str:
    """The text after one edit: lines repeated, dropped, swapped or commented, or a piece in the place of a few characters."""
    at = draw.randrange(len(text) + 1)
    kind = draw.randrange(5)
    if kind == 0:
        return text[:at] + draw.choice(PIECES) + text[min(len(text), at + draw.choice((0, 0, 1, 5))) :]
    lines = text.splitlines(keepends=True)
    first = draw.randrange(len(lines) + 1)
    last = min(len(lines), first + draw.randrange(1, 4))
    some = lines[first:last]
    commented = [line.rstrip("\n") + draw.choice(("  ## behind\n", "  # behind\n", "\n## below\n")) for line in some]
    middle = ([], some * 2, some[::-1], commented)[kind - 1]
    return "".join([*lines[:first], *middle, *lines[last:]])


def files() -> list[Path]:
    found = sorted((ROOT / "stdlib_rules").rglob("*.rbr"))
    return [POLICY, *found[:: max(1, len(found) // 6)]]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_an_edited_text_is_read_as_if_it_were_new(path: Path) -> None:
    draw = random.Random(f"reparse {path.stem}")
    whole = path.read_text(encoding="utf-8")
    ends = [statement.span.end for statement in parse(Source("p.rbr", whole))[0].statements]
    short = whole[: max(end for end in ends if end < max(4000, ends[1] + 1))] + "\n"
    again, text, small = Reparser(), short, 0
    for _ in range(250):
        kept = text
        text = edited(text, draw)
        found = again(Source("p.rbr", text))
        assert said(found) == said(parse(Source("p.rbr", text))), repr((kept, text))
        small += not found[1]
        if draw.random() < 0.2 or (found[1] and draw.random() < 0.6):
            text = short
    assert small > 25  # else mistakes alone were compared


def test_only_the_touched_statement_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    text = POLICY.read_text(encoding="utf-8")
    again = Reparser()
    again(Source("p.rbr", text))
    read: list[str] = []

    def spy(source: Source) -> Parsed:
        read.append(source.text)
        return parse(source)

    monkeypatch.setattr(reparse, "parse", spy)
    lines = text.split("\n")
    rules = [at for at, line in enumerate(lines) if ":=" in line and at + 1 < len(lines)]
    for at in rules:
        lines[at] += "  # again"
        module, diagnostics = again(Source("p.rbr", "\n".join(lines)))
        assert not diagnostics
        assert module.source.text == "\n".join(lines)
    assert len(read) == len(rules)
    assert max(map(len, read)) < len(text) / 20


def test_a_mistake_costs_one_reading_and_its_mending_none_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    text = POLICY.read_text(encoding="utf-8")
    again = Reparser()
    again(Source("p.rbr", text))
    assert again(Source("p.rbr", text + "prop\n"))[1]
    read: list[str] = []

    def spy(source: Source) -> Parsed:
        read.append(source.text)
        return parse(source)

    monkeypatch.setattr(reparse, "parse", spy)
    assert not again(Source("p.rbr", text + 'prop fresh "Is fresh."\n'))[1]
    assert read == ['prop fresh "Is fresh."\n']


def test_a_doc_comment_reaches_over_the_cut() -> None:
    again = Reparser()
    for text in (
        'prop a "A."  ## of b\nprop b "B."\nprop c "C."\n',
        'prop a "A."  ## of b\nprop b "B.B."\nprop c "C."\n',
        'prop a "A."\n## of c\nprop c "C."\n',
        'prop a "A."\n## of c\n',
    ):
        assert said(again(Source("p.rbr", text))) == said(parse(Source("p.rbr", text)))


def test_the_tree_of_an_older_text_stays_as_it_was() -> None:
    again = Reparser()
    first, _ = again(Source("p.rbr", 'prop a "A."\nprop b "B."\n'))
    before = said((first, ()))
    second, _ = again(Source("p.rbr", '\n\nprop a "A."\nprop b "B."\n'))
    assert said((first, ())) == before
    assert [s.span.text for s in second.statements] == [s.span.text for s in first.statements]
    assert second.source is not first.source
