"""A task of the bench in a process of its own: `python -m rbrlang.bench MODULE:FUNCTION FILE` prints JSON."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

if __name__ == "__main__":
    module, _, function = sys.argv[1].partition(":")
    task = getattr(importlib.import_module(f"rbrlang.bench.{module}"), function)
    print("\n" + json.dumps(task(**json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))))
