"""Which grader do the options of a command name, by its file where that is one, and which ones is it made of?"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import cast

from rbrlang.grading.questions.graderfile import applied, is_file
from rbrlang.grading.questions.members import leaves, members_of
from rbrlang.grading.questions.specs import (
    GraderSpec,
    LocalSpec,
    RemoteSpec,
    SeveralSpec,
    parse_grader,
)


def take_file(options: argparse.Namespace) -> None:
    """Put what a grader file says in the place of its name, where nothing else was given. Raises `UserError`."""
    if not is_file(options.grader):
        return
    name, found = applied(options.grader, {})
    options.grader_file, options.grader = options.grader, name
    for option, value in found.items():
        if getattr(options, option, None) is None:
            setattr(options, option, _switches(value) if option == "template" else value)


def read_weights(spec: GraderSpec) -> None:
    """Read a local model's bytes, which are its identity, with a bar: a large file takes its time. Raises `GraderError`."""
    if not isinstance(spec, LocalSpec):
        return
    from rich.progress import Progress

    from rbrlang.cli.terminal import console
    from rbrlang.grading.endpoint.llama import check, digest

    check(spec.path)
    with Progress(console=console(sys.stderr), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task(f"reading {spec.path.name}", total=None)
        digest(spec.path, lambda read, size: bar.update(task, completed=read, total=size))


def _switches(template: object) -> list[tuple[str, bool] | None]:
    """A template as the options of a command line hold it."""
    return [None] if template == "none" else list(cast("dict[str, bool]", template).items())


def spec_of(options: argparse.Namespace) -> GraderSpec:
    """What `--grader` means. Raises `UserError`."""
    return parse_grader(options.grader, os.environ, options.base_url)


def leaves_of(
    options: argparse.Namespace, look: Callable[[GraderSpec], object] = lambda _: None
) -> tuple[GraderSpec, ...]:
    """The graders that answer in the end, each of which `look` is shown: of a jury or a cascade its members. Raises `UserError`."""
    return leaves(spec_of(options), look)


def asks_server(options: argparse.Namespace) -> bool:
    """Whether a server answers, or one among others. Raises `UserError`."""
    return any(isinstance(one, RemoteSpec) for one in leaves_of(options))


def each(options: argparse.Namespace) -> list[argparse.Namespace]:
    """The options for each of `leaves_of`; these very ones where a grader stands alone. Raises `UserError`."""
    leaves_of(options)  # a file that is a member of itself would never end
    spec = spec_of(options)
    if not isinstance(spec, SeveralSpec):
        return [options]
    return [leaf for name in members_of(spec).members for leaf in each(member(options, name))]


def member(options: argparse.Namespace, name: str) -> argparse.Namespace:
    """The options for one grader among several: those that were given, but for the calibration, then its own file's."""
    own = argparse.Namespace(**vars(options) | {"grader": name, "calibration": None})
    take_file(own)
    return own
