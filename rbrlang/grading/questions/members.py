"""Which graders is a grader made of, where its file names others?"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from rbrlang.grading.questions.graderfile import Several, applied, read_grader
from rbrlang.grading.questions.specs import GraderError, GraderSpec, SeveralSpec, parse_grader


def members_of(spec: SeveralSpec) -> Several:
    """What the file of a jury or a cascade says of its members. Raises `GraderError`."""
    found = read_grader(spec.path).several
    if found is None:
        raise GraderError(f"the grader file `{spec.path}` was a jury or a cascade, and is none any more")
    return found


def leaves(
    spec: GraderSpec, look: Callable[[GraderSpec], object] = lambda _: None, within: tuple[Path, ...] = ()
) -> tuple[GraderSpec, ...]:
    """The graders that answer in the end: the grader itself, unless its file makes it of others.

    Raises `GraderError`, also where `look` raises it of one of them: then with the place of that one.
    """
    if not isinstance(spec, SeveralSpec):
        look(spec)
        return (spec,)
    path = spec.path.resolve()
    if path in within:
        raise GraderError(f"the grader file `{spec.path}` is a member of itself; name another there")
    found: list[GraderSpec] = []
    several = members_of(spec)
    for at, member in enumerate(several.members):
        with member_named(spec, several, at):
            name, options = applied(member, {})
            one = parse_grader(name, os.environ, cast("str | None", options.get("base_url")))
            found += leaves(one, look, (*within, path))
    return tuple(found)


@contextmanager
def member_named(spec: SeveralSpec, several: Several, at: int) -> Generator[None]:
    """Let what is wrong with a member be said with its place: the file that names it, and the key."""
    try:
        yield
    except GraderError as error:
        path, here = spec.path, Path.cwd()
        shown = path.relative_to(here) if path.is_relative_to(here) else path
        raise GraderError(f"the grader file `{shown}`, `{several.key(at)}`: {error}") from error
