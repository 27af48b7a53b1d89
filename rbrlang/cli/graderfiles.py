"""A grader file among the options of a command: what it says, where nothing else was given."""

from __future__ import annotations

import argparse
from typing import cast

from rbrlang.cli.errors import UsageError
from rbrlang.grading.questions.graderfile import applied, is_file
from rbrlang.grading.questions.specs import GraderError


def take_file(options: argparse.Namespace) -> None:
    """Put what a grader file says in the place of its name, where nothing else was given. Raises `UsageError`."""
    if not is_file(options.grader):
        return
    try:
        name, found = applied(options.grader, {})
    except GraderError as error:
        raise UsageError(str(error)) from error
    options.grader_file, options.grader = options.grader, name
    for option, value in found.items():
        if getattr(options, option, None) is None:
            setattr(options, option, _switches(value) if option == "template" else value)


def _switches(template: object) -> list[tuple[str, bool] | None]:
    """A template as the options of a command line hold it."""
    return [None] if template == "none" else list(cast("dict[str, bool]", template).items())
