"""What does a reward need, whichever trainer calls it?

    class MyReward(Adapter):
        trainer = Trainer("My trainer", ("none", "raise"), "None already masks a completion there")

        def __call__(self, prompts, completions, **columns):
            scores = self.scorer(rollouts(prompts, completions, columns, self.columns))
            return numbers(scores, self.on_invalid)

An artefact, a grader, the names of the columns, and what becomes of a completion without a reward: `Adapter`
takes these and checks them when it is made, before the first rollout. What is left to a subclass is the form
in which its trainer calls and wants to be answered. An adapter pickles where its grader does.
"""

from __future__ import annotations

import os
from typing import ClassVar

from rbrlang.grading.judge import Judge
from rbrlang.grading.questions.options import GraderOptions
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.scoring.columns import Columns, of_policy
from rbrlang.scoring.invalid import OnInvalid, Trainer, checked
from rbrlang.scoring.score import Scorer


class Adapter:
    """A reward for one trainer.

    | argument | is |
    | --- | --- |
    | `artefact` | a file of `rbrc fit` or `rbrc compile`, or what was read of one |
    | `grader` | `embedded`, `openai:MODEL`, `local:FILE.gguf`, `systemone:URL`, `python:module.function`, a grader file (`grader.toml`, which `options` override), or a `Judge` |
    | `columns` | which columns of the data say what |
    | `on_invalid` | what a completion without a reward gets: a word of `trainer`, or a number; None: its first word |
    | `require_key` | the file of the public key that has to have signed the artefact's file |
    | `allow_python` | run the functions that `python("…")` in the policy names |
    | `name` | what the trainer calls the reward in its logs |
    | `options` | how the grader is asked, as on the command line: see `GraderOptions` |

    Raises `ArtefactError`, `SignatureError`, `GraderError`, `FunctionError`, `ColumnsError`, `OnInvalidError`.
    """

    trainer: ClassVar[Trainer]
    arguments: ClassVar[tuple[str, ...]] = ("columns", "on_invalid", "require_key", "allow_python", "name")

    def __init__(
        self,
        artefact: str | os.PathLike[str] | Artefact,
        grader: str | Judge = "embedded",
        *,
        columns: Columns | None = None,
        on_invalid: OnInvalid | None = None,
        require_key: str | os.PathLike[str] | None = None,
        allow_python: bool = False,
        name: str = "rbr",
        **options: object,
    ) -> None:
        GraderOptions.read(options, beside=self.arguments)
        self.__name__ = name
        self.on_invalid: OnInvalid = checked(self.trainer.words[0] if on_invalid is None else on_invalid, self.trainer)
        self.scorer = Scorer(artefact, grader, require_key=require_key, allow_python=allow_python, **options)
        self.columns = of_policy(Columns() if columns is None else columns, self.scorer.circuit)
