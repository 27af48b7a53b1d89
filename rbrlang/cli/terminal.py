r"""What may reach the screen of whoever runs a command?

Names, texts and error messages come from files, servers and models, and a terminal obeys what it is sent. While a
command runs, standard output and error are guarded (`guarded`): whatever a person could not see or a terminal would
obey is written as `\u001b`, the notation of JSON, so that JSON stays the same data. Colours and tables are the
project's own: what is made with `painted` or `console` passes, the data inside it having been escaped before.

A reader that closes the pipe costs nothing: the rest is dropped, and the command ends as if all had been read.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import sys
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

# The controls C0 and C1, what turns the direction of text or has no width, line ends of Unicode's own, halves of
# surrogate pairs. The joiners U+200C and U+200D belong to scripts and emoji, and stay.
_HIDDEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0001\U000e0020-\U000e007f"
)
_WIDTH = 98
_UNSAFE = re.compile(f"[{_HIDDEN}]")
_UNSAFE_IN_LINE = re.compile(f"[\t\n{_HIDDEN}]")


def _code(character: str) -> str:
    r"""A character as JSON escapes it: `\u202e`, two of these beyond the first 65,536."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _codes(match: re.Match[str]) -> str:
    return _code(match[0])


def _unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_code, error.object[error.start : error.end])), error.end


codecs.register_error("rbrlang.escaped", _unencodable)


def escaped(text: str) -> str:
    """Text of several lines, safe to print: newlines and tabs stay."""
    return _UNSAFE.sub(_codes, text)


def shown(text: object) -> str:
    r"""A name or a short text from data, safe within a line that is ours: a newline in it becomes `\u000a`."""
    return _UNSAFE_IN_LINE.sub(_codes, str(text))


class _Guard:
    """A text stream that escapes what it is given, and outlives its reader. None (a closed one) takes everything.

    `lost` says why what was written found no place, for instance on a full disk.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.gone = stream is None
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        self.put(escaped(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def put(self, text: str) -> None:
        """Write without escaping, but for what the stream's encoding cannot hold."""
        if self._stream is None or self.gone:
            return
        encoding = self._stream.encoding or "utf-8"
        text = text.encode(encoding, "rbrlang.escaped").decode(encoding)
        with self._settled():
            self._stream.write(text)

    def data(self, data: bytes) -> None:
        """Write bytes as they are."""
        if self._stream is None or self.gone:
            return
        with self._settled():
            self._stream.flush()
            self._stream.buffer.write(data)
            self._stream.buffer.flush()

    def flush(self) -> None:
        """Hand on what is buffered. A stream that a command closed itself, as the language server does, has none."""
        if self._stream is None or self.gone or self._stream.closed:
            return
        with self._settled():
            self._stream.flush()

    @contextlib.contextmanager
    def _settled(self) -> Generator[None]:
        """Drop what is still buffered, and all that comes, once the stream fails: the command ends as it would."""
        try:
            yield
        except BrokenPipeError:
            pass
        except OSError as error:
            self.lost = error
        else:
            return
        self.gone = True
        # Else the interpreter would try to write what is buffered once more at its end.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, cast(TextIO, self._stream).fileno())
            os.close(nowhere)

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Painted:
    """The same stream for text that was escaped where it was made."""

    def __init__(self, guard: _Guard) -> None:
        self._guard = guard

    def write(self, text: str) -> int:
        self._guard.put(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._guard, name)


def _guard(stream: TextIO) -> _Guard:
    """The guard of a stream; a fresh one where no command line runs."""
    found: object = stream
    return found if isinstance(found, _Guard) else _Guard(stream)


@contextlib.contextmanager
def guarded() -> Generator[None]:
    """Guard standard output and error. Raises OSError in the end where the output found no place."""
    before = sys.stdout, sys.stderr
    out, err = _guard(sys.stdout), _guard(sys.stderr)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for guard in (err, out):
            guard.flush()
        if out.lost is not None:
            raise out.lost


def unread() -> bool:
    """Whether nobody reads standard output any more: a command without end may end."""
    return _guard(sys.stdout).gone


def painted(stream: TextIO, text: str) -> None:
    """Write text with colours of our own, in which all data was escaped."""
    _guard(stream).put(text)


def say(line: str) -> None:
    """Write one line on standard output, whatever is in it."""
    sys.stdout.write(shown(line) + "\n")


def warn(line: str) -> None:
    """Write one line on standard error, whatever is in it."""
    sys.stderr.write(shown(line) + "\n")


def excerpt(text: str, length: int = 240) -> str:
    """A text from data on one line, safe to print, its middle left out where it is long."""
    line = shown(" ".join(text.split()))
    return line if len(line) <= length else f"{line[: length * 2 // 3]} … {line[-length // 3 :]}"


def wrapped(text: str, first: str = "", after: str = "", width: int = _WIDTH) -> None:
    """Write a text on standard output in lines that a screen holds, begun by `first`, then by `after`."""
    import textwrap  # what is short enough needs none

    lines = textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=after, break_on_hyphens=False, break_long_words=False
    )
    for line in lines or ("",):
        say(line)


def write_data(data: bytes) -> None:
    """A file on standard output: its bytes as they are, unless a person would see them."""
    guard = _guard(sys.stdout)
    if guard.isatty():
        guard.write(data.decode("utf-8", "surrogateescape"))
    else:
        guard.data(data)


def console(stream: TextIO, width: int | None = None) -> Console:
    """Where rich prints tables and bars; what comes from data is neither markup nor a control there."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Escaping(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=escaped(segment.text))

    file = cast(TextIO, _Painted(_guard(stream)))
    return Escaping(file=file, width=width, highlight=False, markup=False, emoji=False)
