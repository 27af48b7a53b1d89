"""`rbrc new DIR`: a small project that checks, tests, fits and scores as it stands."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.render import dump
from rbrlang.cli.terminal import say

# What each file of the template is called in the project.
_FILES = {
    "policy.rbr": "policy.rbr",
    "rows.jsonl": "rows.jsonl",
    "README.md": "README.md",
    "rbr.yml": ".github/workflows/rbr.yml",
}
_IGNORED = "*.rbrc\nscored.jsonl\n"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc new`."""
    parser.add_argument("folder", metavar="DIR", help="the folder to make; it must not exist, or be empty")
    shared.format_argument(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Make the project: the whole folder appears at once, or nothing does."""
    target = Path(options.folder)
    if target.is_dir() and any(target.iterdir()):
        raise UsageError(f"`{target}` is not empty; name a folder that does not exist yet")
    if target.exists() and not target.is_dir():
        raise UsageError(f"`{target}` is a file; name a folder that does not exist yet")
    whole = target.resolve()
    whole.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=whole.parent, prefix=f".{whole.name}."))
    try:
        for name, wanted in _FILES.items():
            (made / wanted).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(template() / name, made / wanted)
        (made / ".gitignore").write_text(_IGNORED, encoding="utf-8")
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(made, 0o777 & ~umask)
        if whole.is_dir():
            whole.rmdir()  # a rename does not replace a folder everywhere, even an empty one
        os.rename(made, whole)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    files = sorted([*_FILES.values(), ".gitignore"])
    if options.format == "json":
        sys.stdout.write(dump({"folder": str(target), "files": files}))
    else:
        say(f"{target}: {', '.join(files)}")
        say(f"next: cd {target} && rbrc test policy.rbr --coverage")
    return 0


def template() -> Path:
    """The folder of the project's files as they are shipped."""
    return Path(__file__).resolve().parent / "project"
