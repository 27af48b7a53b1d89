"""`rbrc plan FILE`: what has to be asked, in which order and layout, and what that saves."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.python import allow_python, python_argument
from rbrlang.diagnostics import suggest
from rbrlang.policy import Policy

if TYPE_CHECKING:
    from rbrlang.grading.questions.prompt import Layout


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc plan`."""
    parser.add_argument("file", metavar="FILE", help="a .rbr file")
    parser.add_argument("--data", metavar="ROWS", help="rows to plan for; sizes and savings need them")
    parser.add_argument(
        "--show-prompt", nargs=2, metavar=("PROP", "ROW"),
        help="print exactly what would be sent for a proposition, scale or choice and the row with this id, and nothing else",
    )  # fmt: skip
    _simulation_arguments(parser)
    _bill_arguments(parser)
    shared.policy_arguments(parser)
    shared.format_argument(parser)
    shared.row_arguments(parser)
    shared.run_with(parser, run)


def _simulation_arguments(parser: argparse.ArgumentParser) -> None:
    """`--simulate` and what belongs to it; the work is in `plan_simulate`."""
    group = parser.add_argument_group("simulation")
    group.add_argument(
        "--simulate", metavar="PRICES",
        help="tokens, cost and time of naive, pruned, planned and lazy grading of the rows, for each model of this "
        "price list (TOML or JSON); no model is asked anything",
    )  # fmt: skip
    group.add_argument(
        "--lazy", type=shared.not_negative, default=0.0, metavar="EPS",
        help="--simulate: how far a reward may stay unknown in lazy grading (default: 0)",
    )  # fmt: skip
    group.add_argument(
        "--weights", metavar="W",
        help="--simulate: the weights that the reward will have, an artefact or JSON (default: the policy's own)",
    )  # fmt: skip


def _bill_arguments(parser: argparse.ArgumentParser) -> None:
    """`--grader` and what belongs to it; the work is in `plan_bill`."""
    shared.grader_arguments(parser, default=None, several=True)
    group = parser.add_argument_group("comparing graders")
    group.add_argument("--sample", type=shared.count, metavar="N", help="ask about that many rows, drawn by prompt")
    group.add_argument("--plot", metavar="OUT", help="draw accuracy against cost: .png, .svg, .pdf")
    shared.seed_argument(parser, "the sample and resamples")
    python_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Plan, show one prompt, or compare graders."""
    policy = shared.policy(options, options.file)
    if policy is None:
        return 1
    if options.graders:
        from rbrlang.cli.commands.trust import plan_bill

        allow_python(options, policy.circuit)
        plan_bill.check(options)
        return plan_bill.run(options, policy)
    if options.plot or options.sample:
        raise UsageError("`--plot` and `--sample` are for comparing graders; name them with `--grader`, once for each")
    if options.show_prompt and not options.data:
        raise UsageError("`--show-prompt` needs `--data` with the row")
    if options.simulate and not options.data:
        raise UsageError("`--simulate` needs `--data`: it counts the tokens of your rows")
    invalid = 0
    items: Any = ()
    rows: Any = ()
    if options.data:
        from rbrlang.cli import data, graders
        from rbrlang.reward.rows import response_ids

        found = data.read(options, options.data, policy.circuit)
        ids = response_ids(policy.circuit, found.rows).tolist()
        unknown = data.check_response_types(found.rows, ids, options.data, policy.circuit.response_names)
        invalid = unknown + len(found.bad)
        rows, items = found.rows, graders.items_of(found.rows, ids, policy.circuit.columns)
    if options.show_prompt:
        return _show_prompt(policy, items, rows, options.layout, *options.show_prompt)
    report = _report(policy, items, options.layout, rows)
    if options.simulate:
        from rbrlang.cli.commands.trust import plan_simulate

        report["simulation"] = plan_simulate.simulation(options, policy, rows, items)
    if options.format == "json":
        from rbrlang.cli.render import dump

        sys.stdout.write(dump(report))
        return 3 if invalid else 0
    if options.simulate:
        from rbrlang.cli.commands.trust import plan_simulate

        plan_simulate.tell(report["simulation"])
    else:
        _print(report)
    return 3 if invalid else 0


def _show_prompt(policy: Policy, items: Any, rows: Any, layout: Layout | None, proposition: str, row: str) -> int:
    from rbrlang.grading.criteria import criteria, criterion_id
    from rbrlang.grading.questions.layout import estimated_tokens, plan
    from rbrlang.grading.questions.prompt import UnfilledError, assemble, item_text, question

    names = policy.circuit.questions
    if proposition not in names:
        near = suggest(proposition, names)
        raise UsageError(f"no question `{proposition}`" + (f"; did you mean `{near}`?" if near else ""))
    shown, at = items, names.index(proposition)
    criteria_from, variables_from = len(policy.circuit.propositions), policy.circuit.first_variable
    if criteria_from <= at < variables_from:  # of a rubric: a criterion is named `ROW#RUBRIC:2`, and the first is meant
        asked_of = criteria(policy.circuit, rows, items)
        shown = tuple(one for one, (question_,) in zip(asked_of.items, asked_of.wanted, strict=True) if question_ == at)
        row = row if "#" in row else criterion_id(row, proposition, 0)
    item = next((item for item in shown if item.id == row), None)
    if item is None:
        first = f"; the first is `{shown[0].id}`" if shown else ""
        raise UsageError(f"no row has the id `{row}`{first}")
    layouts = plan(policy.program.questions, policy.circuit, items, estimated_tokens, layout).layouts
    try:
        asked = question(policy.program.questions[at], item)
    except UnfilledError as error:
        raise UsageError(f"`{proposition}` cannot be asked about row `{row}`: {error}") from error
    prompt = assemble(asked, item_text(item.seen(asked.over)), layouts[at])
    sys.stdout.write(prompt.text)
    return 0


def _report(policy: Policy, items: Any, layout: Layout | None, rows: Any) -> dict[str, Any]:
    from rbrlang.grading.criteria import criteria
    from rbrlang.grading.questions.layout import estimated_tokens, every_question, plan, reached, wanted
    from rbrlang.grading.unfilled import askable

    circuit = policy.circuit
    names, every = circuit.questions, every_question(circuit)
    made = plan(policy.program.questions, circuit, items, estimated_tokens, layout)
    asked = sum(len(w) for w in askable(circuit, items, wanted(circuit, items)))
    saved = made.savings
    return {
        "propositions": len(circuit.propositions),
        "variables": len(circuit.variables),
        "response_types": {
            response.name: [names[p] for p in needed]
            for response, needed in zip(circuit.responses, reached(circuit), strict=True)
        },
        "layouts": {names[p]: made.layouts[p] for p in every} if items else {},
        "rows": len(items),
        "requests": asked,
        "criteria": {
            name: sum(question == number for (question,) in criteria(circuit, rows, items).wanted) if items else 0
            for number, name in enumerate(names)
            if number in made.criteria
        },
        "requests_unpruned": len(items) * len(every),
        "tokens": {
            "naive": saved.naive,
            "conversation_first": saved.conversation_first,
            "question_first": saved.question_first,
            "split": saved.split,
            "pruned": saved.pruned,
            "sent": saved.sent,
        },
        "factor": saved.factor,
    }


def _print(report: dict[str, Any]) -> None:
    from rbrlang.cli.tables import show

    total, what = report["propositions"] + report["variables"], "questions" if report["variables"] else "propositions"
    for name, needed in report["response_types"].items():
        sys.stdout.write(f"{name}: {len(needed)} of {total} {what}\n  {', '.join(needed) or '(none)'}\n")
    if not report["rows"]:
        sys.stdout.write("\ngive rows with `--data` for layouts, sizes and savings\n")
        return
    sys.stdout.write(
        f"\n{report['rows']} rows: {report['requests']} requests instead of {report['requests_unpruned']}\n\n"
    )
    for name, count in report["criteria"].items():
        sys.stdout.write(
            f"{name}: {count} requests more, one for each criterion behind the conversation of its row; "
            "`rbrc grade --dry-run` counts their tokens\n\n"
        )
    tokens = report["tokens"]
    labels = {
        "naive": "every question about every row, no prefix reused",
        "conversation_first": "conversation first, prefixes reused",
        "question_first": "question first, prefixes reused",
        "split": "the better layout per proposition",
        "pruned": "and only what each response type needs",
    }
    rows = [(text, f"{tokens[key]:,}", f"{tokens['naive'] / max(tokens[key], 1):.1f}×") for key, text in labels.items()]
    show(
        "prompt tokens to compute (estimated at four bytes a token, unlimited prefix cache)",
        ("plan", "tokens", "saves"),
        rows,
    )
    first = [name for name, layout in report["layouts"].items() if layout == "question-first"]
    last = [name for name, layout in report["layouts"].items() if layout == "conversation-first"]
    sys.stdout.write(
        f"question first: {', '.join(first) or '(none)'}\nconversation first: {', '.join(last) or '(none)'}\n"
    )
