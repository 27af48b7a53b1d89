"""What do the blocks of propositions, scales and choices say alike?

Each may say its question and the text that is judged, once, and show examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from rbrlang.diagnostics import Diagnostic, twice
from rbrlang.lang import syntax as tree
from rbrlang.lang.meaning.judged import judged
from rbrlang.lang.program import Judged, Message

_Item = TypeVar("_Item", tree.Ask, tree.OverItem, tree.PointsItem, tree.ClipItem, tree.TagsItem)


def once(
    kind: type[_Item],
    items: Sequence[object],
    again: str,
    diagnostics: list[Diagnostic],
    help: str = "keep one of them",
) -> _Item | None:
    """The item of this kind, None where there is none; each after the first is reported in the words of `again`."""
    found = [item for item in items if isinstance(item, kind)]
    diagnostics += (twice(again, item.span, found[0].span, help) for item in found[1:])
    return found[0] if found else None


def asked(declared: tree.Prop | tree.Variable, over: Judged, diagnostics: list[Diagnostic]) -> tuple[str, Judged]:
    """What is asked, which is the statement where the block has no question, and of which text: `over` where it says none."""
    name, items = declared.name.text, declared.items
    question = once(tree.Ask, items, f"`{name}` has two questions", diagnostics, "keep one `ask`")
    own = once(tree.OverItem, items, f"`{name}` is judged over two texts", diagnostics, "keep one `over`")
    return (
        (declared.statement if question is None else question.question).value,
        over if own is None else judged(own.over, diagnostics) or over,
    )


def shown(example: tree.Example | tree.Instance) -> tuple[tuple[Message, ...], str | None]:
    """The turns of an example, and why its answer is as it is."""
    turns = tuple(Message(turn.role, turn.text.value) for turn in example.turns)
    return turns, example.because.value if example.because else None
