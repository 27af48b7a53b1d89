"""`rbrc plan FILE`: what has to be asked, in which order and layout, and what that saves."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
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
        help="print exactly what would be sent for a proposition and the row with this id, and nothing else",
    )  # fmt: skip
    shared.layout_argument(parser)
    shared.policy_arguments(parser)
    shared.format_argument(parser)
    shared.row_arguments(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Plan, or show one prompt."""
    policy = shared.policy(options, options.file)
    if policy is None:
        return 1
    if options.show_prompt and not options.data:
        raise UsageError("`--show-prompt` needs `--data` with the row")
    invalid = 0
    items: Any = ()
    if options.data:
        from rbrlang.cli import data, graders
        from rbrlang.reward.rows import response_ids

        found = data.read(options, options.data)
        ids = response_ids(policy.circuit, found.rows).tolist()
        unknown = data.check_response_types(found.rows, ids, options.data, policy.circuit.response_names)
        invalid = unknown + len(found.bad)
        items = graders.items_of(found.rows, ids)
    if options.show_prompt:
        return _show_prompt(policy, items, options.layout, *options.show_prompt)
    report = _report(policy, items, options.layout)
    if options.format == "json":
        from rbrlang.cli.render import dump

        sys.stdout.write(dump(report))
    else:
        _print(report)
    return 3 if invalid else 0


def _show_prompt(policy: Policy, items: Any, layout: Layout | None, proposition: str, row: str) -> int:
    from rbrlang.grading.questions.layout import estimated_tokens, plan
    from rbrlang.grading.questions.prompt import assemble, item_text, question

    names = policy.circuit.propositions
    if proposition not in names:
        near = suggest(proposition, names)
        raise UsageError(f"no proposition `{proposition}`" + (f"; did you mean `{near}`?" if near else ""))
    item = next((item for item in items if item.id == row), None)
    if item is None:
        raise UsageError(f"no row has the id `{row}`; the first is `{items[0].id}`")
    at = names.index(proposition)
    layouts = plan(policy.program.propositions, policy.circuit, items, estimated_tokens, layout).layouts
    asked = question(policy.program.propositions[at])
    prompt = assemble(asked, item_text(item.seen(asked.over)), layouts[at])
    sys.stdout.write(prompt.text)
    return 0


def _report(policy: Policy, items: Any, layout: Layout | None) -> dict[str, Any]:
    from rbrlang.grading.questions.layout import estimated_tokens, plan, reached, wanted

    circuit, propositions = policy.circuit, policy.program.propositions
    names = circuit.propositions
    made = plan(propositions, circuit, items, estimated_tokens, layout)
    asked = sum(len(w) for w in wanted(circuit, items))
    saved = made.savings
    return {
        "propositions": len(names),
        "response_types": {
            response.name: [names[p] for p in needed]
            for response, needed in zip(circuit.responses, reached(circuit), strict=True)
        },
        "layouts": dict(zip(names, made.layouts, strict=True)) if items else {},
        "rows": len(items),
        "requests": asked,
        "requests_unpruned": len(items) * len(names),
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

    total = report["propositions"]
    for name, needed in report["response_types"].items():
        sys.stdout.write(f"{name}: {len(needed)} of {total} propositions\n  {', '.join(needed) or '(none)'}\n")
    if not report["rows"]:
        sys.stdout.write("\ngive rows with `--data` for layouts, sizes and savings\n")
        return
    sys.stdout.write(
        f"\n{report['rows']} rows: {report['requests']} requests instead of {report['requests_unpruned']}\n\n"
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
