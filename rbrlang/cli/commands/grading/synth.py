"""`rbrc synth FILE -o OUT`: ranked completions, as proposition vectors, as text from phrases, or from a model.

What belongs to a model alone is in `synth_llm`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rbrlang.cli import guide
from rbrlang.cli import options as shared
from rbrlang.cli.commands.grading import synth_llm
from rbrlang.cli.errors import UsageError
from rbrlang.cli.python import allow_python, python_argument
from rbrlang.cli.terminal import warn

if TYPE_CHECKING:
    from rbrlang.policy import Policy
    from rbrlang.rows.read import Row


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc synth`."""
    parser.add_argument("file", metavar="FILE", help="a .rbr file")
    parser.add_argument(
        "-o", "--output", metavar="OUT", required=True, help="where to write the rows, `-` for standard output"
    )
    parser.add_argument(
        "--from", dest="origin", choices=("rules", "templates", "llm"), default="rules",
        help="rules: truth drawn from each class under priors and axioms, seen through each proposition's noise; "
        "templates: plain text from phrases of known truth; llm: text of a model, verified by a grader",
    )  # fmt: skip
    parser.add_argument(
        "--prompts", default="100", metavar="N|ROWS",
        help="how many prompts per response type, or a file of rows whose prompts to answer (default: 100)",
    )  # fmt: skip
    parser.add_argument("--per-class", type=int, default=1, metavar="N", help="completions per prompt and class")
    parser.add_argument("--no-base-reward", action="store_true", help="leave out the simulated base reward")
    shared.seed_argument(parser)
    phrases = parser.add_argument_group("templates")
    phrases.add_argument("--bank", metavar="FILE", help="a phrase bank of your own (default: the standard library's)")
    phrases.add_argument(
        "--half", type=int, choices=(0, 1), help="use every other phrasing only, so that the other half can be held out"
    )
    synth_llm.arguments(parser)
    shared.policy_arguments(parser)
    python_argument(parser)
    shared.row_arguments(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Draw and write; 1 when a class has no completion at all, 3 when something could not be used or did not arrive."""
    if options.origin != "llm" and options.format == "json":
        raise UsageError("`--format json` is the report of `--from llm`; the rows themselves are JSON already")
    policy = shared.policy(options, options.file)
    if policy is None:
        return 1
    allow_python(options, policy.circuit)
    from rbrlang.cli import data

    data.check_output(options.output)
    if policy.circuit.variables and options.origin == "templates":
        names = ", ".join(f"`{variable.domain.name}`" for variable in policy.circuit.variables)
        raise UsageError(
            f"`--from templates` has phrases for propositions alone, and the policy asks for {names}; `--from rules` draws their "
            "values, `--from llm` writes for them"
        )
    prompts, invalid = _prompts(options, policy)
    try:
        match options.origin:
            case "rules":
                code = _from_rules(options, policy, prompts)
            case "llm":
                code = synth_llm.compose(options, policy, prompts)
            case _:
                code = _from_templates(options, policy, prompts)
    except ValueError as error:
        own = options.origin == "templates" and not options.bank
        more = f"; `rbrc bank new {options.file}` begins a bank for this policy" if own else ""
        raise UsageError(f"{error}{more}") from error
    if not code:
        guide.after_synth(options, policy.program)
    return code or invalid


def _prompts(options: argparse.Namespace, policy: Policy) -> tuple[int | Sequence[Row], int]:
    """How many prompts, or the rows that hold them; and the exit code that unusable rows call for."""
    try:
        return int(options.prompts), 0
    except ValueError:
        pass
    from rbrlang.cli import data
    from rbrlang.reward.rows import response_ids

    found = data.read(options, options.prompts, policy.circuit, prompts_only=True)
    ids = response_ids(policy.circuit, found.rows).tolist()
    unknown = data.check_response_types(found.rows, ids, options.prompts, policy.circuit.response_names)
    if unknown == len(found.rows):
        raise UsageError(f"no prompt in `{options.prompts}` has a response type of this policy")
    return found.rows, data.EXIT_SOME_INVALID if unknown or found.bad else 0


def _from_rules(options: argparse.Namespace, policy: Policy, prompts: int | Sequence[Row]) -> int:
    from rbrlang.learning.synthesis.synth import synth_from_rules

    drawn = synth_from_rules(
        policy.circuit, prompts, options.per_class, options.seed, base_reward=not options.no_base_reward
    )
    _write(options, policy, drawn.rows)
    synth_llm.tell_impossible(policy.circuit, drawn.impossible, one_turn=False)
    return int(bool(drawn.impossible))


def _from_templates(options: argparse.Namespace, policy: Policy, prompts: int | Sequence[Row]) -> int:
    from rbrlang.learning.synthesis.phrases import read_bank
    from rbrlang.learning.synthesis.templates import standard_bank, synth_from_templates

    bank = read_bank(options.bank) if options.bank else standard_bank()
    if bank.unwritten:
        count = len(bank.unwritten)
        lines = "1 line is" if count == 1 else f"{count} lines are"
        warn(f"{options.bank}: {lines} still to be written; see `rbrc bank check {options.file} {options.bank}`")
    if options.half is not None:
        bank = bank.half(options.half)
    made = synth_from_templates(
        policy.circuit, prompts, options.per_class, options.seed, bank=bank, base_reward=not options.no_base_reward
    )
    counts = _write(options, policy, made.rows)
    for missing in made.missing:
        to = f"requests of the kind `{missing.scene}`" if missing.scene else "requests that the bank does not know"
        warn(f"{missing.count} × `{missing.response}.{missing.klass}` to {to}: the phrases cannot say it")
    return int(any(not counts[missing.response, missing.klass] for missing in made.missing))


def _write(options: argparse.Namespace, policy: Policy, rows: Sequence[Row]) -> Counter[tuple[str | None, str | None]]:
    from rbrlang.cli import data

    data.write(options.output, [row.raw for row in rows])
    counts = Counter((row.response_type, row.klass) for row in rows)
    for response in policy.circuit.responses:
        parts = ", ".join(f"{counts[response.name, name]} {name}" for name in response.classes)
        warn(f"{response.name}: {parts}")
    warn(f"wrote {len(rows)} rows to {options.output} (seed {options.seed})")
    return counts
