"""Where is a module that documentation once named and that has moved?

The old name still imports the same module and says the new one, as a `DeprecationWarning`. The finder stands behind
all others, so that it costs nothing where no old name is imported.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

MOVED = {
    f"rbrlang.{old}.{name}": f"rbrlang.{new}.{name}"
    for old, new, names in (
        ("grading", "grading.embedded", ("heads", "train")),
        ("grading", "grading.trust", ("agreement", "assessment")),
        ("reward", "reward.kept", ("artefact", "container")),
        ("learning", "learning.fitting", ("fitted", "losses", "refit")),
        ("learning", "learning.judging", ("behaviour", "certificates", "evaluate", "mining", "noise", "rates")),
        ("learning", "learning.synthesis", ("phrases", "synth", "templates")),
    )
    for name in names
} | {"rbrlang.learning.rows": "rbrlang.rows.read"}


# Neither class derives from `importlib.abc`, which takes longer to load than all the rest of this package's start.
class _Here:
    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        from importlib import import_module

        module = import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system had put the old name's there


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        new = MOVED.get(fullname)
        if new is None:
            return None
        import warnings
        from importlib.machinery import ModuleSpec

        warnings.warn(f"`{fullname}` is `{new}` now", DeprecationWarning, stacklevel=2)
        return ModuleSpec(fullname, cast(Any, _Here(new)))


def install() -> None:
    """Let the old names be found."""
    sys.meta_path.append(_Finder())
