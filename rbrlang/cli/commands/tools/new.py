"""`rbrc new DIR`: a small project that checks, tests, fits and scores as it stands."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from rbrlang.cli import options as shared
from rbrlang.cli.commands.tools.demo import examples
from rbrlang.cli.errors import UsageError
from rbrlang.cli.render import dump
from rbrlang.cli.terminal import say
from rbrlang.diagnostics import did_you_mean

TEMPLATES = {
    "library": "the desk of a library: four propositions with few-shots and cues; the default",
    "refusals": "when to decline, and how: 19 propositions and 330 labelled completions",
    "support": "a support desk: eight questions without cues, and labels to learn to read them from",
    "rubric": "a rubric that each prompt brings along, above a floor that is proved",
    "agent": "an agent with tools: its trajectory, steps, calls and errors",
    "blank": "one proposition and two classes, with comments that say what to write",
}
_EXAMPLES = {"refusals": ("refusals", "completions.jsonl"), "rubric": ("healthbench_like", "rows.jsonl")}
"""Templates whose policy and rows are an example's: its folder there, and the file with the rows."""
_FILES = (".github/workflows/rbr.yml", ".gitignore", "README.md", "policy.rbr", "rows.jsonl")
_IGNORED = "*.rbrc\n*.safetensors\n*.answers\ngraded.jsonl\njudged.jsonl\nscored.jsonl\n*.html\n"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc new`."""
    parser.add_argument("folder", metavar="DIR", nargs="?", help="the folder to make; it must not exist, or be empty")
    parser.add_argument(
        "--from", dest="template", metavar="TEMPLATE", default="library",
        help=f"what it begins as: {', '.join(TEMPLATES)} (default: library)",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="list the templates")
    shared.format_argument(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Make the project: the whole folder appears at once, or nothing does."""
    if options.list:
        _list(options)
        return 0
    if options.template not in TEMPLATES:
        hint = did_you_mean(options.template, TEMPLATES, f"there are {', '.join(TEMPLATES)}")
        raise UsageError(f"there is no template `{options.template}`; {hint} `rbrc new --list` says what each is")
    if options.folder is None:
        raise UsageError("name the folder to make, such as `rbrc new desk`; `rbrc new --list` lists the templates")
    target = Path(options.folder)
    if target.is_dir() and any(target.iterdir()):
        raise UsageError(f"`{target}` is not empty; name a folder that does not exist yet")
    if target.exists() and not target.is_dir():
        raise UsageError(f"`{target}` is a file; name a folder that does not exist yet")
    whole = target.resolve()
    whole.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=whole.parent, prefix=f".{whole.name}."))
    try:
        _fill(made, options.template)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(made, 0o777 & ~umask)
        if whole.is_dir():
            whole.rmdir()  # a rename does not replace a folder everywhere, even an empty one
        os.rename(made, whole)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    if options.format == "json":
        sys.stdout.write(dump({"folder": str(target), "template": options.template, "files": list(_FILES)}))
    else:
        say(f"{target}: {', '.join(_FILES)}")
        say(f"next: cd {shlex.quote(str(target))} && rbrc check policy.rbr")
    return 0


def _fill(folder: Path, name: str) -> None:
    """Write the files of a template into a folder."""
    shipped = Path(__file__).resolve().parent / "templates"
    own, (example, rows) = shipped / name, _EXAMPLES.get(name, ("", "rows.jsonl"))
    data = examples() / example if example else own
    shutil.copyfile(data / "policy.rbr", folder / "policy.rbr")
    shutil.copyfile(data / rows, folder / "rows.jsonl")
    texts = [(part / "README.md").read_text(encoding="utf-8") for part in (own, shipped)]
    (folder / "README.md").write_text("".join(texts), encoding="utf-8")
    workflows = folder / ".github" / "workflows"
    workflows.mkdir(parents=True)
    shutil.copyfile(shipped / "rbr.yml", workflows / "rbr.yml")
    (folder / ".gitignore").write_text(_IGNORED, encoding="utf-8")


def _list(options: argparse.Namespace) -> None:
    if options.format == "json":
        sys.stdout.write(dump(TEMPLATES))
        return
    for name, what in TEMPLATES.items():
        say(f"{name:10} {what}")
