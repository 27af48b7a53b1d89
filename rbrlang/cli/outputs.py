"""Can a command write where it is told to, and would it write over a file that it reads?"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import cast

from rbrlang.cli.errors import UsageError

WRITTEN = ("output", "plot", "train", "calibrate", "keep_rejected")
"""Where options, by their `dest`, name a file that is replaced."""
READ = (
    "file", "source", "artefact", "rows", "gold", "data", "prompts", "more", "refit", "weights", "simulate", "bank", "correct",
    "sign", "require_key", "policy", "grader", "graders", "grader_file", "jury", "cascade", "heads", "calibration", "cache", "db",
    "figures",
)  # fmt: skip
"""Where they name files that are read, or kept from run to run."""
ONTO_THEMSELVES = ("grade", "score")
"""Commands that write their rows again with more columns, which may stand in the place of the rows."""
PLOT_FORMATS = (".png", ".svg", ".pdf")


def check_folder(option: str, path: str) -> None:
    """Refuse a file in a folder that is not there, before the work. Raises `UserError`."""
    if not Path(path).absolute().parent.is_dir():
        raise UsageError(f"`{option} {path}`: there is no folder `{Path(path).parent}`")


def check_plot(path: str) -> None:
    """Refuse a `--plot` that nothing can draw, before the work. Raises `UserError`."""
    check_folder("--plot", path)
    if Path(path).suffix.lower() not in PLOT_FORMATS:
        raise UsageError(f"`--plot {path}` ends in none of {', '.join(PLOT_FORMATS)}")
    try:
        import rbrlang.report.plots  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise UsageError("`--plot` needs the extra `plot`: pip install 'rbrlang[plot]'") from None


def spare_inputs(options: argparse.Namespace, more: Iterable[str] = ()) -> None:
    """Refuse outputs that are inputs, by the file and not by its name; `more` are further inputs. Raises `UserError`."""
    given = vars(options)
    outputs = [(name, str(given[name])) for name in WRITTEN if given.get(name) and given[name] != "-"]
    for (one, path), (other, same) in combinations(outputs, 2):
        if os.path.realpath(path) == os.path.realpath(same):
            raise UsageError(
                f"`{_flag(one)}` and `{_flag(other)}` would both write `{path}`; name another file for one"
            )
    outputs = [(name, path) for name, path in outputs if os.path.isfile(path)]  # a device is written to, not replaced
    if not outputs:
        return
    named = [(name, text) for name in READ for text in _texts(given.get(name))]
    for source, text in (*named, *(("", text) for text in more)):
        for output, path in outputs:
            if source == "rows" and options.command in ONTO_THEMSELVES and os.path.isfile(text):
                continue
            if any(os.path.isfile(file) and os.path.samefile(file, path) for file in _files(text)):
                raise UsageError(
                    f"`{path}` is read by this command, and `{_flag(output)}` would write over it; name another file"
                )


def _flag(name: str) -> str:
    return "-o" if name == "output" else f"--{name.replace('_', '-')}"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str | Path):
        yield str(value)
    elif isinstance(value, list | tuple):
        for one in cast("list[object]", value):
            yield from _texts(one)


def _files(text: str, within: tuple[str, ...] = ()) -> Iterator[str]:
    """The files that an argument names: itself, those of a folder or a pattern of rows, and those of a grader."""
    kind, _, path = text.partition(":")
    if kind in ("table", "local", "several"):
        text = path
    if text.endswith(".toml") and os.path.isfile(text) and text not in within:
        yield text
        for file in _of_grader(text):
            yield from _files(file, (*within, text))
        return
    from rbrlang.rows.formats import RowsError, files_of

    try:
        yield from files_of(text)
    except (RowsError, OSError):  # which the command will say
        return


def _of_grader(path: str) -> Iterator[str]:
    from rbrlang.grading.questions.graderfile import read_grader
    from rbrlang.grading.questions.specs import GraderError

    try:
        found = read_grader(Path(path))
    except GraderError:
        return
    yield from (found.name, *(str(found.options[key]) for key in ("heads", "calibration") if key in found.options))
    if found.several is not None:
        yield from found.several.members
        yield from () if found.several.learned is None else (str(found.several.learned),)
