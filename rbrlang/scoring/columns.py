"""Which of a trainer's columns say what, and what does a completion become?

A trainer hands over prompts, completions, and the other columns of its data set under names of the
user's. `Columns` says which of them the reward reads; `rollouts` makes rows of them. A completion that
cannot be read is no mistake of the program: it becomes `Unusable`, with the reason, and has no reward.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from rbrlang.diagnostics import did_you_mean, listed, suggest
from rbrlang.logic.circuit import Circuit
from rbrlang.rows.columns import is_missing
from rbrlang.rows.conversation import Conversation
from rbrlang.rows.read import Row, row_from, snake
from rbrlang.rows.shapes import ShapeError, split
from rbrlang.rows.thought import THOUGHT_MARKS, Marks


class ColumnsError(ValueError):
    """Columns that the data does not have, or that do not fit it; the message names them and what there is."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that the reward reads; None for none.

    A completion's response type is `every` where that is given, else what its `response_type` says, else
    what the policy maps its `category` to. `base_reward` is the reward model's score, which the rules are
    added to; without it the reward is the rules' alone. `prompt` is the plain request: where the data has
    it, it is graded in the place of what the trainer hands over, which may be wrapped in a chat template.
    `messages` is the whole conversation, for trainers that hand over decoded text only. An assistant thinks between
    `thought_marks`, pairs of an opening and a closing text. `named` are the columns that the policy's questions name, which
    whoever knows the policy fills in: see `of_policy`.
    """

    response_type: str | None = "response_type"
    category: str | None = "category"
    base_reward: str | None = None
    prompt: str | None = "prompt"
    every: str | None = None
    messages: str | None = "messages"
    thought_marks: Marks = THOUGHT_MARKS
    named: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises `ColumnsError` where `thought_marks` are no pairs of texts; a pair of empty ones is none."""
        given = cast(object, self.thought_marks)
        pairs = tuple(cast("Sequence[object]", given)) if isinstance(given, (tuple, list)) else (None,)
        for pair in pairs:
            texts = cast("Sequence[object]", pair) if isinstance(pair, (tuple, list)) else ()
            if len(texts) != 2 or not all(isinstance(text, str) for text in texts) or bool(texts[0]) != bool(texts[1]):
                raise ColumnsError(
                    'thought_marks are pairs of an opening and a closing text, such as (("<think>", "</think>"),), or () for none'
                )
        marks = tuple((str(pair[0]), str(pair[1])) for pair in cast("Sequence[Sequence[object]]", pairs) if pair[0])
        object.__setattr__(self, "thought_marks", marks)


@dataclass(frozen=True, slots=True)
class Unusable:
    """A completion that cannot be scored, and why."""

    reason: str


Rollout = Row | Unusable
_BEGINNING = 40  # letters
_NO_LETTERS = re.compile(r"\[[a-z][a-z0-9_ -]{0,30}\]|[\W_]")
_DEEP = "`{}` is nested too deep, or holds itself"


def of_policy(columns: Columns, circuit: Circuit) -> Columns:
    """The columns with those that the policy's questions name.

    Raises `ColumnsError` where `every` is no response type of the policy.
    """
    if columns.every is None or columns.every in circuit.response_names:
        return replace(columns, named=circuit.columns)
    raise ColumnsError(
        f"the policy has no response type `{columns.every}`; "
        + did_you_mean(columns.every, circuit.response_names, "it has " + listed(circuit.response_names))
    )


def rollouts(
    prompts: Sequence[object],
    completions: Sequence[object],
    given: Mapping[str, Any],
    columns: Columns,
    base: Sequence[float] | None = None,
) -> tuple[Rollout, ...]:
    """One rollout for each completion.

    Prompts and completions are texts or lists of chat messages. `given` are the trainer's other columns,
    each of the length of the batch (lists, or arrays). `base` overrides the column of base rewards.
    Raises `ColumnsError` where a column is missing or its length is another.
    """
    size = len(completions)
    if len(prompts) != size:
        raise ColumnsError(f"there are {len(prompts)} prompts for {size} completions")
    if columns.prompt is not None and (columns.prompt in given or columns.prompt != Columns().prompt):
        prompts = _column(given, columns.prompt, size)
    read = _columns(given, columns, size)
    if base is not None:
        if len(base) != size:
            raise ColumnsError(f"there are {len(base)} base rewards for {size} completions")
        read["base_reward"] = list(base)
    return tuple(
        _rollout(
            {"prompt": prompt, "completion": completion, **{n: v[i] for n, v in read.items()}},
            columns.thought_marks,
            needs_base="base_reward" in read,
        )
        for i, (prompt, completion) in enumerate(zip(prompts, completions, strict=True))
    )


def rollout(completion: object, record: Mapping[str, Any], columns: Columns, prompt: object = None) -> Rollout:
    """`rollouts` of one completion, for trainers that hand over a record of columns for each.

    Where there is no `prompt` and the record holds the whole conversation, that is read in the place of the
    completion's text, which is then what it is checked against: a conversation of the data set, with somebody else's
    answer, would give all completions of its prompt one reward. Raises `ColumnsError` where there is no prompt at all.
    """
    if prompt is None and columns.messages is not None and record.get(columns.messages) is not None:
        try:
            whole = plain(record[columns.messages])
            opening = plain(record.get(columns.prompt)) if columns.prompt is not None else None
            told = split(whole, opening, columns.messages, columns.thought_marks)
        except RecursionError:
            return Unusable(_DEEP.format(columns.messages))
        except ShapeError as error:
            return Unusable(str(error))
        if isinstance(completion, str) and not _is_of(told, completion):
            return Unusable(
                f"`{columns.messages}` holds another answer than the completion; it is read in the completion's place, so it "
                "has to be the rollout, not the data set's own: name another column with Columns(messages=…), or None"
            )
        before, completion = ([turn.to_json() for turn in part] for part in (told.context, told.completion))
        columns = replace(columns, prompt=None)
        (one,) = rollouts([before], [completion], {name: [value] for name, value in record.items()}, columns)
        return one
    if prompt is None and columns.prompt is not None and columns.prompt not in record:
        raise ColumnsError(
            f"there is no `{columns.prompt}` among {listed(record)}, and this trainer does not hand over the "
            "prompt; add it to the data, name it with Columns(prompt=…), or say Columns(prompt=None) to grade without"
        )
    (one,) = rollouts([prompt], [completion], {name: [value] for name, value in record.items()}, columns)
    return one


def _is_of(told: Conversation, decoded: str) -> bool:
    """Whether a decoded text has what the assistant says in a conversation.

    White space, signs, marks such as `[image]` and special tokens may differ. Beginnings are compared, since the text may break off.
    """
    said = [_letters(turn.text)[:_BEGINNING] for turn in told.completion if turn.role == "assistant"]
    heard = _letters(decoded)
    return not any(said) or any(text in heard for text in said if text)


def _letters(text: str) -> str:
    return _NO_LETTERS.sub("", text)


def plain(value: object) -> object:
    """A value of an array or a data pipeline as Python's own: numbers, text, lists and mappings of them."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return str(value)  # numpy's text is a subclass
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in cast("Mapping[object, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in cast("Sequence[object]", value)]
    dtype = getattr(value, "dtype", None)  # numpy's scalars and arrays, without importing what made them
    return plain(cast(Any, value).tolist()) if dtype is not None else value


def _columns(given: Mapping[str, Any], columns: Columns, size: int) -> dict[str, list[object]]:
    default = Columns()
    read: dict[str, list[object]] = {}
    if columns.every is not None:
        read["response_type"] = [columns.every] * size
    else:
        for field, name, usual in (
            ("response_type", columns.response_type, default.response_type),
            ("category", columns.category, default.category),
        ):
            if name is not None and (name in given or name != usual):
                read[field] = _column(given, name, size)
        if not read:
            raise ColumnsError(
                "no column says which response type a completion has: there is "
                + (listed(given) or "none at all")
                + "; name one with Columns(response_type=…) or Columns(category=…), or give all the same with Columns(every=…)"
            )
    if columns.base_reward is not None:
        read["base_reward"] = _column(given, columns.base_reward, size)
    # Where there is none, that is the reason why no question about it is asked, and no mistake of the others.
    return {name: _column(given, name, size) for name in columns.named if name in given} | read


def _column(given: Mapping[str, Any], name: str, size: int) -> list[object]:
    if name not in given:
        raise ColumnsError(f"there is no column `{name}`; there is {listed(given) or 'none at all'}")
    values = given[name]
    if isinstance(values, (str, bytes)) or len(values) != size:
        raise ColumnsError(f"the column `{name}` is not a list of {size} values, one for each completion")
    return [_shallow(value) for value in values]


def _shallow(value: object) -> object:
    try:
        return plain(value)
    except RecursionError:
        return []  # whatever it is, it is no text and no number


def _rollout(fields: dict[str, object], marks: Marks, *, needs_base: bool) -> Rollout:
    for name in ("prompt", "completion"):
        try:
            fields[name] = plain(fields[name])
        except RecursionError:
            return Unusable(_DEEP.format(name))
    fields["prompt"] = fields["prompt"] or ""
    if needs_base and is_missing(fields["base_reward"]):  # a reward model's failure is no zero
        given = fields["base_reward"]
        return Unusable("it has no base reward" if given is None else f"`base_reward` is {given!r}")
    if isinstance(fields["completion"], list) and not fields["completion"]:
        return Unusable("its completion holds no message")
    try:
        return row_from(fields, marks)
    except ValueError as error:
        return Unusable(str(error))


def unknown_response(row: Row, circuit: Circuit) -> str:
    """Why a row's response type is not known."""
    if row.response_type is not None:
        near = suggest(snake(row.response_type), circuit.response_names)
        return f"the policy has no response type `{row.response_type}`" + (f"; did you mean `{near}`?" if near else "")
    if row.category is not None:
        return f"the policy maps no category `{row.category}` to a response type"
    return "it has neither a response type nor a category"
