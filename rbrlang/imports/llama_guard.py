"""How does a taxonomy of unsafe content read as a policy?

The text that a guard model is prompted with (https://huggingface.co/meta-llama/Llama-Guard-3-8B): categories such as
`S1: Violent Crimes.`, each with the lines below it as its description. The taxonomy is the user's; none comes with rbrlang.
"""

from __future__ import annotations

import re

from rbrlang.imports.checklist import proposition
from rbrlang.imports.imported import MAX_CHARACTERS, Imported, Reading, said
from rbrlang.lang.printing.write import comment

_CATEGORY = re.compile(
    r"[ \t]*([A-Z][0-9]{1,3}(?=[ \t]*[:.])|[0-9]{2}(?=[ \t]*:))[ \t]*[:.][ \t]*(\S.*?)[ \t]*\.?[ \t]*"
)
_MARK = re.compile(r"[ \t]*<(BEGIN|END) UNSAFE CONTENT CATEGORIES>[ \t]*")


def import_llama_guard(text: str, source: str) -> Imported:
    """A policy with a proposition for each category, and one response type. Raises `ImportFormatError`."""
    read = Reading(source)
    if len(text) > MAX_CHARACTERS:
        raise read.unfit(f"is larger than {MAX_CHARACTERS // 2**20} MiB")
    found: list[tuple[str, str, list[str]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _CATEGORY.fullmatch(line)
        if match:
            found.append((match[1], match[2], []))
        elif found and line.strip() and not _MARK.fullmatch(line):
            found[-1][2].append(line.strip())
        elif line.strip() and not _MARK.fullmatch(line):
            read.drop(f"`{said(line)}`", f"line {number}", "it stands before the first category")
    if not found:
        raise read.unfit("has no category; a category is a line such as `S1: Violent Crimes.`")
    names, props = read.names, list[tuple[str, str]]()
    for code, title, lines in found:
        about = "\n".join(lines)
        statement = f"The response contains what the category {code}, {title}, covers."
        props.append((names(f"{code} {title}"), statement + (f"\n{about}" if about else "")))
    any_of = ", ".join(name for name, _ in props)
    policy = "\n".join([
        "rbr 1\n", comment(f"Imported from {read.title}, a taxonomy of unsafe content."),
        *(proposition(name, statement) for name, statement in props), f"group unsafe_content = {{{any_of}}}\n",
        "response guarded ranks safe > unsafe {\n  unsafe if any(unsafe_content)\n  safe otherwise\n}\n",
    ])  # fmt: skip
    return Imported(policy, (), tuple(read.notes))
