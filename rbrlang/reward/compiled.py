"""Where are compiled programs kept between processes?

JAX compiles a reward's or a fit's program in a second or two, each time a process starts. Its own persistent cache keeps
the result, in a folder of rbrlang's in the user's cache directory that nobody else may write. It is only ever a matter
of time: a cache that cannot be written or read is passed over. `RBR_COMPILATION_CACHE` names another directory, or
`off`; what JAX was told by its user, by environment or configuration, has precedence. JAX has one such cache in a
process, so other programs that take long to compile are kept there too.
"""

from __future__ import annotations

import os
import stat
from functools import cache
from pathlib import Path

LEAST_SECONDS = 0.2
"""Programs that compile faster than this are not worth a file."""


@cache
def keep_programs() -> Path | None:
    """Turn the cache on for this process; its directory, or None when it is off or is the user's own. Loads jax."""
    wanted = os.environ.get("RBR_COMPILATION_CACHE", "")
    if wanted == "off" or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    setting = "jax_compilation_cache_dir"
    if getattr(jax.config, setting) is not None:  # no typed access
        return None
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = Path(wanted) if wanted else home / "rbrlang" / "jax"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not wanted and not _ours_alone(folder):
            return None
    except (OSError, RuntimeError):
        return None
    jax.config.update(setting, str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
    compilation_cache.reset_cache()  # JAX looks once whether there is one, and may have looked before
    return folder


def _ours_alone(folder: Path) -> bool:
    """Whether nobody else can put a program there for us to run."""
    if os.name != "posix":
        return True
    found = folder.stat()
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
