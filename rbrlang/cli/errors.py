"""What ends a command before it has done its work."""

from __future__ import annotations

from rbrlang.errors import UserError


class UsageError(UserError):
    """A command that cannot run as asked: the message names the place, the cause and the next step."""
