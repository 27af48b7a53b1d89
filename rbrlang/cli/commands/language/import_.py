"""`rbrc import FORMAT SRC -o OUT`: another format's policy as `.rbr`, with its rows and what was not kept."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rbrlang.cli import guide
from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.files import write_text
from rbrlang.cli.render import dump, show
from rbrlang.cli.terminal import shown, warn
from rbrlang.imports.formats import FORMATS
from rbrlang.imports.imported import Imported
from rbrlang.lang.printing.format import formatted
from rbrlang.policy import check_text
from rbrlang.source import Source

_MOST_SHOWN = 200


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc import`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"formats, with an example each:\n\n{_listed()}"
    parser.add_argument(
        "source_format", metavar="FORMAT", nargs="?", choices=sorted(FORMATS),
        help="one of: " + ", ".join(FORMATS) + "; without it, all are listed",
    )  # fmt: skip
    parser.add_argument("source", metavar="SRC", nargs="?", help="the file to import")
    parser.add_argument(
        "-o", "--output", metavar="OUT",
        help="a .rbr file or `-` for the policy alone, else a new folder for `policy.rbr`, `rows.jsonl` and `import.json`, "
        "which lists what was approximated or dropped",
    )  # fmt: skip
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Import, check what was made, and write it."""
    if options.source_format is None:
        sys.stdout.write(_listed())
        return 0
    if options.source is None or options.output is None:
        raise UsageError("say what to import and where to: `rbrc import FORMAT SRC -o OUT`")
    alone = options.output == "-" or options.output.endswith(".rbr")
    if not alone and Path(options.output).exists() and any(_files(Path(options.output))):
        raise UsageError(f"`{options.output}` is not empty, and an import does not write over work; name a new folder")
    data = Path(options.source).read_bytes()
    try:
        made = FORMATS[options.source_format].read(data.decode("utf-8-sig"), options.source)
    except UnicodeDecodeError as error:
        raise UsageError(f"`{options.source}` is not UTF-8 text (byte {error.start})") from error
    made = made._replace(policy=formatted(Source("policy.rbr", made.policy)))
    policy = options.output if alone else str(Path(options.output, "policy.rbr"))
    result = check_text(made.policy, name=policy)
    if alone:
        write_text(policy, made.policy)
    else:
        _write_folder(Path(options.output), made, options)
    for diagnostic in result.diagnostics:
        show(diagnostic, sys.stderr)
        warn("")
    program = result.program
    asked = f", {len(program.variables)} scales or choices" if program.variables else ""
    warn(
        f"imported {len(program.propositions)} propositions{asked}, {len(program.definitions)} derived ones and "
        f"{len(program.responses)} response types to {policy}"
    )
    if made.rows:
        warn(
            f"{len(made.rows)} rows came with it; `-o FOLDER` writes them too" if alone
            else f"wrote {len(made.rows)} rows to {Path(options.output, 'rows.jsonl')}"
        )  # fmt: skip
    _tell(made)
    if result.ok:
        guide.suggest(options, "check", policy)
    return 0 if result.ok else 1


def _listed() -> str:
    return "".join(
        f"{name:14} {form.what}\n{'':14} rbrc import {name} {form.example} -o imported\n"
        for name, form in FORMATS.items()
    )


def _files(folder: Path) -> Sequence[Path]:
    return list(folder.iterdir()) if folder.is_dir() else [folder]


def _write_folder(folder: Path, made: Imported, options: argparse.Namespace) -> None:
    """The policy last: where it is, all of it is."""
    from rbrlang.rows.write import write_rows

    folder.mkdir(parents=True, exist_ok=True)
    if made.rows:
        write_rows(folder / "rows.jsonl", made.rows)
    report = {
        "format": options.source_format,
        "source": options.source,
        "rows": len(made.rows),
        "approximated": [_entry(note) for note in made.notes if note.verdict == "approximated"],
        "dropped": [_entry(note) for note in made.notes if note.verdict == "dropped"],
    }
    write_text(str(folder / "import.json"), dump(report))
    write_text(str(folder / "policy.rbr"), made.policy)


def _entry(note: tuple[str, str, str, str]) -> dict[str, str]:
    _, what, place, why = note
    return {"what": what, "place": place, "why": why}


def _tell(made: Imported) -> None:
    if not made.notes:
        warn("all of it was kept")
    for note in made.notes[:_MOST_SHOWN]:
        warn(f"{note.verdict}: {shown(note.what)} ({shown(note.place)}): {shown(note.why)}")
    if len(made.notes) > _MOST_SHOWN:
        warn(f"… and {len(made.notes) - _MOST_SHOWN} more")
