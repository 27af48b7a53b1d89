"""What does the process do that holds a local model?

It is started as a script, by itself: llama.cpp's own server on a socket that only its owner can reach, until whoever
started it is gone. It imports nothing of rbrlang, so nothing of rbrlang dies with it.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
from typing import Any


def main(arguments: str) -> None:
    """Load the model, say that it is ready on standard output, and answer until standard input ends."""
    told: dict[str, Any] = json.loads(arguments)
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever llama.cpp prints
    llama: Any = importlib.import_module("xllamacpp")
    params = llama.CommonParams()
    params.model.path = told["model"]
    try:
        params.hostnames = [told["socket"]]
    except AttributeError:  # before 2026.10
        params.hostname = told["socket"]
    params.n_ctx = told["context"]
    params.n_parallel = 1
    params.cache_ram_mib = 0
    params.swa_full = True  # else no beginning of a prompt is reused by models with sliding-window attention
    # The same value with and without a reused beginning: see the table of servers in docs/grading.md.
    params.flash_attn_type = llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.cache_type_k = params.cache_type_v = llama.ggml_type.GGML_TYPE_F32
    params.warmup = False
    params.verbosity = 1  # errors
    if told["threads"]:
        params.cpuparams.n_threads = told["threads"]
    server = llama.Server(params)
    print("ready", file=said, flush=True)
    sys.stdin.buffer.read()  # ends with the process that holds the other end, however that ends
    shutil.rmtree(os.path.dirname(told["socket"]), ignore_errors=True)
    del server
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
