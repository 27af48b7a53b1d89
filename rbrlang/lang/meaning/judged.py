"""Which text of a completion is judged, file by file?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, did_you_mean, twice
from rbrlang.lang import syntax as tree
from rbrlang.lang.load import LoadedModule
from rbrlang.lang.program import Judged


def judged(over: tree.Ident, diagnostics: list[Diagnostic]) -> Judged | None:
    """The text of a completion that a word names; None where it names none, which is then reported."""
    texts: tuple[Judged, ...] = get_args(Judged)
    for text in texts:
        if over.text == text:
            return text
    diagnostics.append(Diagnostic(
        codes.SYNTAX, f"`{over.text}` is no text of a completion", over.span,
        help=did_you_mean(over.text, texts),
    ))  # fmt: skip
    return None


def texts(modules: Mapping[str, LoadedModule], root: str, diagnostics: list[Diagnostic]) -> dict[str, Judged]:
    """By file the text that is judged: what it says, else what the policy itself says, else the final one."""
    said: dict[str, Judged] = {}
    for key, module in modules.items():
        first: tree.Judge | None = None
        for statement in module.module.statements:
            if not isinstance(statement, tree.Judge):
                continue
            if first is not None:
                help = "keep one `judge`; a proposition says `over` in its block"
                again = "a file says once which text is judged"
                diagnostics.append(twice(again, statement.span, first.span, help, at="first here"))
                continue
            first = statement
            over = judged(statement.over, diagnostics)
            if over is not None:
                said[key] = over
    general = said.get(root, "final")
    return {key: said.get(key, general) for key in modules}
