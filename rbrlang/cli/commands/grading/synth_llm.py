"""`rbrc synth --from llm`: options, files and the report of what a model wrote."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbrlang.cli import options as shared
from rbrlang.cli.bar import Bar
from rbrlang.cli.errors import UsageError
from rbrlang.cli.failures import grouped
from rbrlang.cli.terminal import say, warn

if TYPE_CHECKING:
    from rbrlang.grading.endpoint.account import Summary
    from rbrlang.grading.endpoint.writing import WriterOptions
    from rbrlang.grading.results import Answer, GradeItem
    from rbrlang.learning.synthesis.compose import Composed
    from rbrlang.learning.synthesis.synth import Impossible
    from rbrlang.logic.circuit import Circuit
    from rbrlang.policy import Policy
    from rbrlang.rows.read import Row


def arguments(parser: argparse.ArgumentParser) -> None:
    """What only a model that writes takes, and the grader that verifies it."""
    group = parser.add_argument_group("llm", "the server is that of `--base-url`, its key that of `OPENAI_API_KEY`")
    group.add_argument("--model", metavar="NAME", help="the model that writes")
    group.add_argument(
        "--temperature", type=shared.not_negative, default=1.0, metavar="T", help="of the sampled tokens"
    )
    group.add_argument("--max-tokens", type=shared.count, default=300, metavar="N", help="longest text (default: 300)")
    group.add_argument(
        "--attempts", type=shared.count, default=4, metavar="N", help="texts to try for each completion (default: 4)"
    )
    group.add_argument(
        "--threshold", type=shared.share, default=0.5, metavar="P",
        help="the grader's probability of the intended class that a text needs (default: 0.5)",
    )  # fmt: skip
    group.add_argument("--keep-rejected", metavar="FILE", help="write the rejected texts here")
    group.add_argument("--grader-base-url", metavar="URL", help="the grader's server, where it is another")
    group.add_argument("--resume", action="store_true", help="continue an interrupted run; its texts must be there")
    group.add_argument(
        "--dry-run", action="store_true", help="count requests and tokens of the first round, send nothing"
    )
    shared.format_argument(parser)
    shared.grader_arguments(parser, default="embedded")


def compose(options: argparse.Namespace, policy: Policy, prompts: int | Sequence[Row]) -> int:
    """Write, verify, report; 1 when a class has no completion at all, 3 when something did not arrive."""
    writer = _writer(options)
    if options.cache is None and options.output != "-":
        options.cache = f"{options.output}.answers"
    if options.resume and not (options.cache and Path(options.cache).is_file()):
        raise UsageError(f"nothing to resume: `{options.cache}` is not there")
    if options.format == "json" and options.output == "-":
        raise UsageError("rows and report cannot both go to standard output; name a file for the rows")
    from rbrlang.cli import data
    from rbrlang.learning.synthesis.compose import planned_orders
    from rbrlang.learning.synthesis.templates import bank_prompts

    if options.keep_rejected:
        data.check_output(options.keep_rejected)
    circuit, questions = policy.circuit, policy.program.questions
    if isinstance(prompts, int) and circuit.columns:
        named = ", ".join(f"`{column}`" for column in circuit.columns)
        raise UsageError(
            f"questions of this policy name the columns {named}: give rows that have them, `--prompts ROWS`"
        )
    rows = bank_prompts(circuit, prompts, options.seed) if isinstance(prompts, int) else prompts
    if options.dry_run:
        orders = planned_orders(circuit, questions, rows, options.per_class, options.seed)
        return _dry_run(options, writer, orders)
    composed, summary = _composed(options, policy, writer, rows)
    if composed.rows or not composed.failures:
        data.write(options.output, [row.raw for row in composed.rows])
    if options.keep_rejected:
        data.write(options.keep_rejected, [row.raw for row in composed.rejected])
    if options.format == "json":
        json.dump(_as_json(composed, options.seed), sys.stdout, indent=2)
        say("")
    else:
        _report(composed)
    _tell(options, circuit, composed, summary)
    if any(tally.open for tally in composed.tallies):
        from rbrlang.cli.data import EXIT_SOME_INVALID

        return EXIT_SOME_INVALID
    return int(bool(composed.impossible) or any(not tally.accepted for tally in composed.tallies))


def _writer(options: argparse.Namespace) -> WriterOptions:
    if not options.model:
        raise UsageError("`--from llm` needs `--model`, the name of the model that writes")
    from rbrlang.grading.questions.specs import OpenAISpec, parse_grader

    try:
        from rbrlang.grading.endpoint.writing import WriterOptions
    except ModuleNotFoundError as error:
        raise UsageError(str(error)) from error
    spec = parse_grader(f"openai:{options.model}", os.environ, options.base_url)
    if not isinstance(spec, OpenAISpec):
        raise AssertionError("`openai:…` is an OpenAISpec; this is a bug in rbrlang")
    return WriterOptions(spec.model, spec.base_url, options.temperature, options.max_tokens).for_host()


def _composed(
    options: argparse.Namespace, policy: Policy, writer: WriterOptions, rows: Sequence[Row]
) -> tuple[Composed, Summary | None]:
    from rbrlang.cli import graders
    from rbrlang.cli.graderfiles import take_file
    from rbrlang.grading.endpoint.account import price_of, run_options, together
    from rbrlang.grading.endpoint.writing import ModelWriter
    from rbrlang.grading.questions.specs import SeveralSpec, api_key
    from rbrlang.learning.synthesis.compose import Provenance, synth_from_model
    from rbrlang.reward.rows import response_ids

    own = copy(options)
    own.base_url = options.grader_base_url
    take_file(own)
    if not isinstance(graders.spec_of(own), SeveralSpec):  # whose members say themselves where they are
        own.base_url = own.base_url or options.base_url
    # Before a token is spent: a grader that cannot be used says so here.
    items = graders.items_of(rows, response_ids(policy.circuit, rows).tolist(), policy.circuit.columns)
    grader = graders.make(own, policy, items, "verifying texts")

    def judge(items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> Sequence[Mapping[int, Answer]]:
        return grader.answers(items, wanted)

    how = graders.chosen(options)
    with Bar("writing") as bar:
        model = ModelWriter(
            writer, api_key(os.environ), how.cache, run_options(how), price_of(how), bar.update,
        )  # fmt: skip
        composed = synth_from_model(
            policy.circuit, policy.program.questions, rows, options.per_class, model.write, judge,
            Provenance(writer.model, grader.identity, options.seed),
            attempts=options.attempts, threshold=options.threshold,
        )  # fmt: skip
    return composed, together(model.summaries)


def _dry_run(options: argparse.Namespace, writer: WriterOptions, orders: Sequence[Any]) -> int:
    from rbrlang.cli import graders
    from rbrlang.grading.endpoint.account import price_of
    from rbrlang.grading.endpoint.writing import order_tokens

    used = order_tokens(writer, orders)
    say(
        f"{len(orders)} texts in the first of at most {options.attempts} rounds: about {used.prompt} prompt tokens and at "
        f"most {used.completion} answer tokens, cost {price_of(graders.chosen(options)).of(used):.4f}; the grader comes on top"
    )
    return 0


# --- the report -------------------------------------------------------------------------------


def _as_json(composed: Composed, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "rows": len(composed.rows),
        "rejected": len(composed.rejected),
        "classes": [asdict(tally) for tally in composed.tallies],
        "propositions": [asdict(kept) for kept in composed.literals],
        "impossible": [asdict(one) for one in composed.impossible],
        "empty": composed.empty,
        "failures": dict(composed.failures),
    }


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "·"


def _report(composed: Composed) -> None:
    lines = ["accepted, by intended class"]
    width = max((len(f"{t.response}.{t.klass}") for t in composed.tallies), default=0)
    for t in composed.tallies:
        lines.append(
            f"  {t.response + '.' + t.klass:<{width}}  {t.accepted:>4} of {t.places:<4}  {t.attempts:>5} texts, "
            f"{_share(t.accepted, t.attempts)} accepted" + (f", {t.open} open" if t.open else "")
        )
    if composed.literals:
        lines.append("followed, by instruction (the grader's P(yes) on the side that was asked for)")
        width = max(len(kept.proposition) for kept in composed.literals)
        for kept in composed.literals:
            lines.append(
                f"  {kept.proposition:<{width}} {'yes' if kept.answer else 'no':<3}  {kept.followed:>5} of {kept.told:<5} "
                f"{_share(kept.followed, kept.told)}" + (f", {kept.unknown} unknown" if kept.unknown else "")
            )
    for line in lines:
        warn(line)


def tell_impossible(circuit: Circuit, impossible: Sequence[Impossible], *, one_turn: bool) -> None:
    """Say which classes no completion can have, and that all that is written is of one turn where that may be why."""
    from rbrlang.learning.synthesis.specify import of_one_turn

    settled = [circuit.atoms[at].name for at in of_one_turn(circuit)] if one_turn else []
    named = ", ".join(f"`{name}`" for name in settled[:3]) + (", …" if len(settled) > 3 else "")
    why = f" that is one turn without calls and thoughts, as all that is written here; see {named}" if settled else ""
    for missing in impossible:
        warn(f"`{missing.response}.{missing.klass}` has no completion under the priors and axioms{why}")


def _tell(options: argparse.Namespace, circuit: Circuit, composed: Composed, summary: Summary | None) -> None:
    tell_impossible(circuit, composed.impossible, one_turn=True)
    if composed.empty:
        warn(f"{composed.empty} × the model wrote nothing")
    for reason, count in grouped(composed.failures)[:10]:
        warn(f"{count} × {reason}")
    if summary is not None:
        used = summary.usage
        warn(
            f"sent {summary.sent} requests ({summary.retried} again, {summary.from_cache} more answered from the cache) in "
            f"{summary.seconds:.1f} s: {used.prompt} prompt tokens, {used.completion} answer tokens, cost {summary.cost:.4f}"
        )
        for note in summary.notes:
            warn(note)
        if summary.stopped:
            warn(f"the run ended early: {summary.stopped}")
    if any(tally.open for tally in composed.tallies) and options.cache and (summary is None or summary.sent):
        warn(f"what arrived is in `{options.cache}`; run the same command with --resume to continue")
    if composed.rows or not composed.failures:
        rejected = f", {len(composed.rejected)} rejected" + (
            f" in {options.keep_rejected}" if options.keep_rejected else ""
        )
        warn(f"wrote {len(composed.rows)} rows to {options.output}{rejected} (seed {options.seed})")
    else:
        warn("nothing arrived, so nothing was written")
