"""What goes wrong that whoever calls can mend?"""

from __future__ import annotations


class UserError(Exception):
    """Something that cannot be done as asked: the message names the place, the cause and the next step.

    A command ends with it; a program catches the kinds that it can do something about.
    """
