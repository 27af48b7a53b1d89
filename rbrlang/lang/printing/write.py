"""How is a text written in rbr so that it reads back exactly?"""

from __future__ import annotations

import json
import textwrap

from rbrlang.lang.reading.direction import TURNING
from rbrlang.lang.reading.grammar import load
from rbrlang.lang.reading.literals import dedented


def quoted(text: str) -> str:
    """A text as a one-line string; what would hide from a reader is an escape."""
    written = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    return TURNING.sub(lambda match: f"\\u{ord(match[0]):04x}", written)


def long_text(text: str, indent: str) -> str:
    """A text as a `\"\"\"` block indented by `indent`, or quoted when a block could not hold it exactly."""
    if "\n" not in text:
        return quoted(text)
    body = textwrap.indent(text.replace('"""', '\\"""'), indent, lambda line: bool(line.strip("\n")))
    block = "\n" + body + "\n" + indent
    readable = '\\"""' not in text and "\r" not in text and "\0" not in text and not TURNING.search(text)
    return f'"""{block}"""' if readable and dedented(block.replace('\\"""', '"""')) == text else quoted(text)


def is_keyword(name: str) -> bool:
    """Whether a word belongs to the language and cannot be a name."""
    return name in load().words


def comment(text: str) -> str:
    """A text as comment lines, which know no escapes."""
    return "".join(f"# {TURNING.sub('', line)}".rstrip() + "\n" for line in text.splitlines())
