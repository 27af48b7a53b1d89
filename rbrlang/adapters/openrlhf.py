"""What does OpenRLHF call for a reward?

    # reward.py, given to OpenRLHF as --reward.remote_url reward.py
    from rbrlang.adapters.openrlhf import OpenRLHFReward
    reward_func = OpenRLHFReward("/runs/policy.rbrc", ends=("<|im_end|>",))

OpenRLHF (0.11) calls `reward_func(queries, prompts, labels)` with lists of one, in a thread, and takes
`{"rewards", "scores", "extra_logs"}`. A query is the prompt and the completion in one text, with the
model's special tokens; what a function raises is swallowed and the sample left without a reward, so this
one logs the error before raising it.
https://openrlhf.readthedocs.io/en/latest/agent_training.html
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from rbrlang.grading.judge import Judge
from rbrlang.jsontext import JsonError, parse
from rbrlang.logic.circuit import Circuit
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.scoring.adapter import Adapter
from rbrlang.scoring.columns import Columns, Rollout, Unusable, rollout
from rbrlang.scoring.invalid import OnInvalid, Trainer, numbers
from rbrlang.scoring.metrics import one_metrics

_log = logging.getLogger("rbrlang")


class OpenRLHFReward(Adapter):
    """A `reward_func` for OpenRLHF.

    A label is the name of a response type (or of a category, where the policy maps one of that name), or a
    JSON object of columns, `prompt` among them where the plain prompt should be graded instead of the
    templated one. `ends` are the texts that end a completion, such as the end-of-turn mark: it is cut at
    the first. `on_invalid` is `"raise"` or a number. Raises as `Adapter` does.
    """

    trainer = Trainer("OpenRLHF", ("raise",), "a reward of None makes it call a reward model")
    arguments = (*Adapter.arguments, "ends")

    def __init__(
        self,
        artefact: str | os.PathLike[str] | Artefact,
        grader: str | Judge = "embedded",
        *,
        columns: Columns | None = None,
        on_invalid: OnInvalid | None = None,
        ends: Sequence[str] = (),
        require_key: str | os.PathLike[str] | None = None,
        allow_python: bool = False,
        name: str = "rbr",
        **options: object,
    ) -> None:
        super().__init__(
            artefact, grader, columns=columns, on_invalid=on_invalid, require_key=require_key,
            allow_python=allow_python, name=name, **options,
        )  # fmt: skip
        self.ends = tuple(ends)

    def __call__(self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any]) -> dict[str, Any]:
        """Rewards and scores, lists as long as `queries`; `extra_logs`, the metrics of the only completion.

        Raises `UnscoredError` where `on_invalid` is `"raise"`, and `ColumnsError`.
        """
        try:
            scores = self.scorer(
                [
                    read_query(*one, self.columns, self.scorer.circuit, self.ends)
                    for one in zip(queries, prompts, labels, strict=True)
                ]
            )
            rewards = numbers(scores, self.on_invalid).tolist()
        except Exception:
            _log.exception("no reward for OpenRLHF, which goes on without one")
            raise
        logs = one_metrics(scores, 0) if len(scores) == 1 else {}
        return {"rewards": rewards, "scores": rewards, "extra_logs": logs}


def read_query(
    query: object, prompt: object, label: object, columns: Columns, circuit: Circuit, ends: Sequence[str] = ()
) -> Rollout:
    """What OpenRLHF says of one completion; see `OpenRLHFReward` for labels and `ends`. Raises `ColumnsError`."""
    if not isinstance(query, str) or not isinstance(prompt, str):
        return Unusable("the query or its prompt is no text")
    record = _record(label, columns, circuit)
    if columns.messages is not None and record.get(columns.messages) is not None:
        return rollout(query, record, columns)
    begins = _end_of(prompt, query)
    if begins is None:
        return Unusable("the query does not begin with its prompt, so where the completion begins is not known")
    completion = query[begins:]
    for end in ends:
        completion = completion.partition(end)[0]
    return rollout(completion, record, columns, prompt)


# What tokenizers write of tokens that are no text: begin, end and pad of a sequence, marks of a chat template.
_SPECIAL = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|</?s>|<(?:pad|bos|eos|unk|mask|sep|cls)>|\[(?:PAD|CLS|SEP|UNK|BOS|EOS)\]", re.IGNORECASE
)


def _end_of(prompt: str, query: str) -> int | None:
    """Where in a query its prompt ends, or None where it does not begin with it.

    The prompt is what was templated, the query what a tokenizer made of it and back: white space may differ, begin
    and pads may stand before it, and special tokens may be missing from either.

    >>> _end_of("<|im_start|>user Hi", "<pad><s> user  Hi there")
    17
    """
    if query.startswith(prompt):
        return len(prompt)
    at, i = 0, 0
    while True:
        at, i = _past_space(query, at), _past_space(prompt, i)
        if i == len(prompt):
            return at if query[at - 1 : at].isspace() and prompt[-1:].isspace() else len(query[:at].rstrip())
        ours, theirs = _SPECIAL.match(prompt, i), _SPECIAL.match(query, at)
        if theirs is not None and (ours is None or ours[0] != theirs[0]):
            at = theirs.end()
        elif ours is not None and theirs is None:
            i = ours.end()
        elif at < len(query) and query[at] == prompt[i]:
            at, i = at + 1, i + 1
        else:
            return None


def _past_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _record(label: object, columns: Columns, circuit: Circuit) -> Mapping[str, Any]:
    if isinstance(label, str) and label.lstrip().startswith("{"):
        try:
            found = parse(label)
        except JsonError:
            found = None
        if isinstance(found, dict):
            return cast("dict[str, Any]", found)
    if isinstance(label, Mapping):
        return cast("Mapping[str, Any]", label)
    name = columns.category if label in [name for name, _ in circuit.categories] else columns.response_type
    return {name: label} if name is not None and label is not None else {}
