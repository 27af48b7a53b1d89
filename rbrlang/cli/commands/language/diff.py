"""`rbrc diff OLD NEW`: which completions change their class, how many, and one example of each."""

from __future__ import annotations

import argparse
import io
import operator
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbrlang.budget import Budget
from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.python import allow_python, python_argument
from rbrlang.cli.render import dump
from rbrlang.cli.terminal import say, warn
from rbrlang.diagnostics import mass_text, suggest, witness_text
from rbrlang.logic.diff import PolicyDiff, ResponseDiff, Side, diff, renames
from rbrlang.policy import Policy

if TYPE_CHECKING:
    from rbrlang.cli.commands.language.diff_rows import RowDiff

_RELATIONS = {">": operator.gt, ">=": operator.ge}
_GUARD = re.compile(
    r"\s*(?:(?P<response>[a-z_]\w*)\.)?(?P<before>[a-z_]\w*|\*)\s*->\s*(?P<after>[a-z_]\w*|\*)"
    r"\s*(?P<relation>>=?)\s*(?P<bound>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(?P<percent>%?)\s*"
)


@dataclass(frozen=True, slots=True)
class _Guard:
    """`ideal->* > 0.1%`: fail when more than that share moves so. Staying in a class is no move."""

    text: str
    response: str
    before: str
    after: str
    relation: str
    bound: float

    def covers(self, response: str, before: str, after: str) -> bool:
        wanted = ((self.response, response), (self.before, before), (self.after, after))
        return before != after and all(want in ("*", name) for want, name in wanted)


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc diff`."""
    parser.add_argument("old", metavar="OLD", help="the policy before; with --against, the only policy")
    parser.add_argument("new", metavar="NEW", nargs="?", help="the policy after")
    parser.add_argument(
        "--against", metavar="git:REV", help="compare with the same file at a revision of its repository"
    )
    parser.add_argument("--data", metavar="ROWS", help="graded or labelled rows: also count how many of them move")
    parser.add_argument(
        "--fail-if", metavar="EXPR", action="append", default=[],
        help='exit 1 when more moves than this, such as "ideal->* > 0.1%%" or "comply.*->unacceptable > 0%%"; '
        "by mass and, with --data, by rows",
    )  # fmt: skip
    parser.add_argument(
        "--rename", metavar="OLD=NEW", action="append", default=[], help="a proposition that only changed its name"
    )
    shared.policy_arguments(parser)
    python_argument(parser)
    shared.format_argument(parser)
    shared.row_arguments(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Compare two policies; 1 when one of them has errors or a `--fail-if` holds."""
    if (options.new is None) == (options.against is None):
        raise UsageError("name two policies, or one and `--against git:REV`")
    guards = [_guard(text) for text in options.fail_if]
    budget = Budget(options.steps)
    if options.against:
        with tempfile.TemporaryDirectory(prefix="rbrc-diff-") as folder:
            old = shared.policy(options, str(_checked_out(options.against, Path(options.old), Path(folder))), budget)
        new = shared.policy(options, options.old, budget)
    else:
        old, new = shared.policy(options, options.old, budget), shared.policy(options, options.new, budget)
    if old is None or new is None:
        return 1
    for policy in (old, new) if options.data else ():
        allow_python(options, policy.circuit)
    renamed = _renamed(options.rename, old, new)
    found = diff(_side(old), _side(new), renamed)
    _check_guards(guards, found)
    rows: RowDiff | None = None
    if options.data:
        from rbrlang.cli.commands.language.diff_rows import compare

        rows = compare(options, old, new, renamed)
    broken = _broken(guards, found, rows)
    if options.format == "json":
        sys.stdout.write(dump(_report(found, rows, broken)))
    else:
        _show(found, rows)
        for line in broken:
            say(line)
    if rows is not None and not rows.used:
        warn(f"rbrc diff: nothing was compared: no row of `{options.data}` has a class under both policies")
        return 1
    return 1 if broken else 3 if rows is not None and rows.bad else 0


def _side(policy: Policy) -> Side:
    return Side(policy.program, policy.checked.compiled)


def _checked_out(against: str, path: Path, folder: Path) -> Path:
    """The policy and what lies beside and below it, as they were at a revision. Raises `UserError`."""
    scheme, _, revision = against.partition(":")
    if scheme != "git" or not revision or revision.startswith("-"):
        raise UsageError(f"`--against {against}` is not git:REV, such as git:HEAD~1 or git:main")
    if not path.is_file():
        raise UsageError(f"`{path}`: there is no such file")
    where = path.resolve()

    def git(*arguments: str, at: str = str(where.parent)) -> bytes:
        try:
            done = subprocess.run(["git", "-C", at, *arguments], capture_output=True, check=False)
        except FileNotFoundError:
            raise UsageError("`--against` needs the program git, which is not installed") from None
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise UsageError(f"git has no `{path}` at `{revision}`: {said[-1] if said else 'git failed'}")
        return done.stdout

    git("cat-file", "-e", f"{revision}:./{where.name}")
    # Imports lie beside or below the policy; the archive of its folder holds them all.
    top, below = git("rev-parse", "--show-toplevel", "--show-prefix").decode().split("\n")[:2]
    archive = git("archive", "--format=tar", f"{revision}:{below}", at=top)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder / where.name


def _renamed(texts: list[str], old: Policy, new: Policy) -> dict[str, str]:
    """Old names of propositions to new ones: those found, and those named. Raises `UserError`."""
    found = renames(old.program, new.program)
    for text in texts:
        before, equals, after = (part.strip() for part in text.partition("="))
        for name, policy, which in ((before, old, "old"), (after, new, "new")):
            known = [p.name for p in policy.program.propositions]
            if not equals or name not in known:
                near = suggest(name, known)
                raise UsageError(
                    f"`--rename {text}`: the {which} policy has no proposition `{name}`"
                    + (f"; did you mean `{near}`?" if near else "; write OLD=NEW")
                )
        found = {b: a for b, a in found.items() if a != after} | {before: after}
    return found


# --- guards -----------------------------------------------------------------------------------


def _guard(text: str) -> _Guard:
    match = _GUARD.fullmatch(text)
    if match is None:
        raise UsageError(f'`--fail-if {text}` is not a condition such as "ideal->* > 0.1%"')
    bound = float(match["bound"]) / (100 if match["percent"] else 1)
    return _Guard(text.strip(), match["response"] or "*", match["before"], match["after"], match["relation"], bound)


def _check_guards(guards: list[_Guard], found: PolicyDiff) -> None:
    """Raises `UserError` for a guard that names what neither policy has: it could never fail."""
    responses = {item.name for item in found.responses} | {*found.lost_responses, *found.new_responses}
    classes = {name for item in found.responses for name in (*item.before, *item.after)}
    for guard in guards:
        for name, known, what in (
            (guard.response, responses, "response type"), (guard.before, classes, "class"), (guard.after, classes, "class"),
        ):  # fmt: skip
            if name != "*" and name not in known:
                near = suggest(name, sorted(known))
                raise UsageError(
                    f"`--fail-if {guard.text}`: there is no {what} `{name}`"
                    + (f"; did you mean `{near}`?" if near else "")
                )


def _broken(guards: list[_Guard], found: PolicyDiff, rows: RowDiff | None) -> list[str]:
    """What each guard that holds says."""
    lines: list[str] = []
    for guard in guards:
        for item in found.responses:
            by_rows = None if rows is None else rows.responses.get(item.name)
            shares = {"mass": sum(c.mass for c in item.moved if guard.covers(item.name, c.before, c.after))}
            if by_rows is not None:
                moved = sum(n for (b, a), n in by_rows.counts.items() if guard.covers(item.name, b, a))
                shares["rows"] = moved / by_rows.total
            for kind, share in shares.items():
                if _RELATIONS[guard.relation](share, guard.bound):
                    lines.append(f"fails `{guard.text}`: {mass_text(share)} of `{item.name}` by {kind}")
    return lines


# --- what is shown ----------------------------------------------------------------------------


def _show(found: PolicyDiff, rows: RowDiff | None) -> None:
    out = sys.stdout.write
    if found.same_logic:
        say(f"same logic: both have the fingerprint {found.fingerprints[0][:12]}")
    else:
        say(f"the logic differs: fingerprint {found.fingerprints[0][:12]} → {found.fingerprints[1][:12]}")
    for title, names in (("new", found.added), ("gone", found.removed), ("asked in other words", found.reworded)):
        if names:
            say(f"{title}: {', '.join(f'`{name}`' for name in names)}")
    for before, after in found.renamed:
        say(f"renamed: `{before}` → `{after}`")
    for what, names in (("new", found.new_responses), ("gone", found.lost_responses)):
        out("".join(f"response type `{name}` is {what}\n" for name in names))
    for name, before, after in found.categories:
        say(f'category "{name}": {_type(before)} → {_type(after)}')
    for verb, part in (("exclude", found.axioms.excluded), ("allow", found.axioms.allowed)):
        if part is not None:
            say(f"axioms now {verb} {mass_text(part[0])} more of completions, such as {witness_text(part[1])}")
    for item in found.responses:
        _show_response(item, rows)
    if rows is not None:
        say(f"rows: {rows.used} compared, {rows.skipped} not comparable")


def _type(name: str | None) -> str:
    return "unmapped" if name is None else f"`{name}`"


def _show_response(item: ResponseDiff, rows: RowDiff | None) -> None:
    from rbrlang.cli.tables import show

    by_rows = None if rows is None else rows.responses.get(item.name)
    moved = sum(cell.mass for cell in item.moved)
    if not item.moved and not item.regraded and not (by_rows and by_rows.moved):
        sys.stdout.write(f"\n{item.name}: nothing moves\n")
        return
    before, after = item.reward
    sys.stdout.write(
        f"\n{item.name}: {mass_text(moved)} of completions move · expected reward {before:+.4f} → {after:+.4f} "
        f"({after - before:+.4f})\n"
    )
    for change in item.regraded:
        say(f"  {change}")
    if item.moved:
        table = [
            (name, *("·" if mass == 0 else mass_text(mass) for mass in row))
            for name, row in zip(item.before, item.masses, strict=True)
        ]
        show("", ("was ╲ is", *item.after), table)
    for cell in item.moved:
        say(
            f"  {cell.before} → {cell.after}: {mass_text(cell.mass)}, reward {cell.reward:+.2f}, "
            f"when {witness_text(cell.witness) or 'always'}"
        )
    if by_rows is not None:
        sys.stdout.write(f"  rows: {by_rows.moved} of {by_rows.total} move")
        cells = [f"{b} → {a} {n} (such as {by_rows.first[b, a]})" for (b, a), n in by_rows.counts.items() if b != a]
        sys.stdout.write((": " + ", ".join(cells) if cells else "") + f"; mean reward {by_rows.reward:+.4f}\n")


def _report(found: PolicyDiff, rows: RowDiff | None, broken: list[str]) -> dict[str, Any]:
    def axiom(part: tuple[float, tuple[tuple[str, bool], ...]] | None) -> dict[str, Any] | None:
        return None if part is None else {"mass": part[0], "witness": dict(part[1])}

    return {
        "same_logic": found.same_logic,
        "fingerprints": {"old": found.fingerprints[0], "new": found.fingerprints[1]},
        "propositions": {
            "added": found.added, "removed": found.removed, "renamed": dict(found.renamed), "reworded": found.reworded,
        },
        "new_response_types": found.new_responses,
        "removed_response_types": found.lost_responses,
        "categories": [{"name": name, "old": old, "new": new} for name, old, new in found.categories],
        "axioms": {"excluded": axiom(found.axioms.excluded), "allowed": axiom(found.axioms.allowed)},
        "response_types": {item.name: _response_json(item, rows) for item in found.responses},
        "rows": None if rows is None else {"compared": rows.used, "skipped": rows.skipped, "bad": rows.bad},
        "failed": broken,
    }  # fmt: skip


def _response_json(item: ResponseDiff, rows: RowDiff | None) -> dict[str, Any]:
    by_rows = None if rows is None else rows.responses.get(item.name)
    masses: dict[str, Mapping[str, float]] = {
        name: dict(zip(item.after, row, strict=True)) for name, row in zip(item.before, item.masses, strict=True)
    }
    return {
        "moved": sum(cell.mass for cell in item.moved),
        "masses": masses,
        "cells": [
            {"old": c.before, "new": c.after, "mass": c.mass, "witness": dict(c.witness), "reward": c.reward}
            for c in item.moved
        ],
        "expected_reward": {"old": item.reward[0], "new": item.reward[1]},
        "changes": item.regraded,
        "rows": None if by_rows is None else {
            "total": by_rows.total, "moved": by_rows.moved, "mean_reward_change": by_rows.reward,
            "cells": [{"old": b, "new": a, "rows": n, "first": by_rows.first[b, a]}
                      for (b, a), n in by_rows.counts.items()],
        },
    }  # fmt: skip
