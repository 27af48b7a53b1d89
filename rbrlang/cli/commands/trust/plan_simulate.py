"""`rbrc plan --simulate PRICES`: what grading these rows takes, by five ways of asking."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rbrlang.cli.commands.grading.grade_batch import HALF
from rbrlang.cli.errors import UsageError
from rbrlang.cli.tables import show
from rbrlang.cli.terminal import say
from rbrlang.cli.weights import reward_with
from rbrlang.grading.boundary import distributed
from rbrlang.grading.embedded.grader import EmbeddedGrader
from rbrlang.grading.endpoint.tokens import counter
from rbrlang.grading.judge import Judge
from rbrlang.grading.questions.layout import estimated_tokens, plan, wanted
from rbrlang.grading.questions.prices import Model, PriceError, read_prices
from rbrlang.grading.questions.specs import api_key
from rbrlang.grading.results import Abstained, Answer, Distribution, GradeItem, Value, certain
from rbrlang.grading.simulate import Asks, Bill, Simulator, asks
from rbrlang.grading.unfilled import YesNoGrader
from rbrlang.policy import Policy
from rbrlang.rows.read import Row

_WAYS = {
    "naive": "naive: every question, nothing reused",
    "pruned": "pruned: what the response type needs",
    "planned": "planned: `rbrc grade`",
    "batch": "batch: `rbrc grade --engine batch`, where it is sold at half price",
    "lazy": "lazy: `rbrc grade --lazy {eps:g}`",
}


def simulation(
    options: argparse.Namespace, policy: Policy, rows: Sequence[Row], items: Sequence[GradeItem]
) -> dict[str, Any]:
    """The bills of all models of the list, and where lazy grading's answers came from."""
    found = read_prices(Path(options.simulate))
    judge, told = _judge(policy, rows, items)
    lazily = None if judge is None else (reward_with(policy, options.weights, options.file), judge, options.lazy)
    asked_in: dict[int, Asks] = {}
    for number in {model.questions for model in found.models}:
        made = plan(policy.program.questions, policy.circuit, items, estimated_tokens, options.layout, number)
        asked_in[number] = asks(policy.circuit, made, items, lazily)
    models: list[dict[str, Any]] = []
    for model in found.models:
        asked = asked_in[model.questions]
        try:
            count = counter(model, api_key(os.environ))
            bills = _bills(Simulator(model, count, policy.program.questions, items), asked)
        except (PriceError, ModuleNotFoundError) as error:
            raise UsageError(f"`{options.simulate}`, model `{model.name}`: {error}") from error
        models.append({
            "model": model.name,
            "counted_by": count.how,
            "cache": _cache(model),
            "ways": {name: None if bill is None else _plain(bill) for name, bill in bills.items()},
        })  # fmt: skip
    return {
        "currency": found.currency,
        "lazy": {"eps": options.lazy, "answers_from": told, "rounds": next(iter(asked_in.values())).rounds},
        "models": models,
    }


def _bills(simulator: Simulator, asked: Asks) -> dict[str, Bill | None]:
    """Bills by the names in `_WAYS`; None where nothing could answer."""
    batch = simulator.bill(asked.planned, remembering=False)
    return {
        "naive": simulator.bill(asked.naive, remembering=False),
        "pruned": simulator.bill(asked.pruned, remembering=False),
        "planned": simulator.bill(asked.planned, remembering=True),
        "batch": replace(batch, cost=HALF * batch.cost, seconds=None),
        "lazy": None if asked.lazy is None else simulator.bill(asked.lazy, remembering=True),
    }


def tell(found: Mapping[str, Any]) -> None:
    """The simulation as tables."""
    lazy = found["lazy"]
    for model in found["models"]:
        rows: list[tuple[str, ...]] = []
        for name, bill in model["ways"].items():
            words = _WAYS[name].format(eps=lazy["eps"])
            if bill is None:
                rows.append((words, "-", "-", "-", "-", "-", "-"))
                continue
            seconds = bill["seconds"]
            rows.append((
                words, f"{bill['requests']:,}", f"{bill['prompt_tokens']:,}", f"{bill['cached_tokens']:,}",
                f"{bill['answer_tokens']:,}", f"{bill['cost']:,.4g}", "-" if seconds is None else _time(seconds),
            ))  # fmt: skip
        cost = f"cost, {found['currency']}" if found["currency"] else "cost"
        show(
            f"{model['model']}: tokens by {model['counted_by']}, {model['cache']}",
            ("way", "requests", "prompt tokens", "of them cached", "answer tokens", cost, "time"),
            rows,
        )
    told = {name: count for name, count in lazy["answers_from"].items() if count}
    if found["models"][0]["ways"]["lazy"] is None:
        say("lazy grading depends on the answers, and there are none: give rows with `probs` or labels")
        return
    say(
        f"lazy grading in {lazy['rounds']} rounds, as if the grader answered like "
        + ", ".join(f"{_SOURCES[name]} ({count:,})" for name, count in told.items())
    )


_SOURCES = {
    "probs": "the rows' `probs`",
    "labels": "their labels",
    "embedded": "the embedded grader",
    "unknown": "nobody: asked on",
}


def _judge(policy: Policy, rows: Sequence[Row], items: Sequence[GradeItem]) -> tuple[Judge | None, dict[str, int]]:
    """Answers for lazy grading, and how many of those that could be wanted come from where."""
    names, domains = policy.circuit.questions, policy.circuit.asked_domains
    needed = wanted(policy.circuit, items)
    answers: list[dict[int, Answer]] = []
    told: Counter[str] = Counter()
    for row, of in zip(rows, needed, strict=True):
        given: dict[int, Answer] = {}
        for p in of:
            value, label = row.probs.get(names[p]), row.labels.get(names[p])
            if p in domains:
                own = {one: row.probs.get(f"{names[p]}.{one}") for one in domains[p].values}
                found = distributed(own, domains[p], "the row", "table")
                if isinstance(found, Distribution):
                    given[p] = found
                    told["probs"] += 1
                continue
            if value is not None:
                given[p] = certain(value, "table")
                told["probs"] += 1
            elif label is not None:
                given[p] = certain(float(label), "label")
                told["labels"] += 1
        answers.append(given)
    missing = [tuple(p for p in of if p not in given) for of, given in zip(needed, answers, strict=True)]
    if any(missing):
        embedded = YesNoGrader(EmbeddedGrader(policy.program.propositions), policy.circuit)
        read = embedded.answers(items, missing)
        for given, more in zip(answers, read, strict=True):
            for p, answer in more.items():
                given[p] = answer
                told["embedded" if isinstance(answer, Value) else "unknown"] += 1
    if told.total() == told["unknown"]:
        return None, dict(told)
    place = {id(item): at for at, item in enumerate(items)}

    def judge(some: Sequence[GradeItem], of: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
        known = [answers[place[id(item)]] for item in some]
        return [{p: got.get(p, Abstained("nobody knows")) for p in asked} for got, asked in zip(known, of, strict=True)]

    return judge, dict(told)


def _plain(bill: Bill) -> dict[str, Any]:
    used = asdict(bill.usage)
    return {
        "requests": bill.requests,
        "prompt_tokens": used["prompt"],
        "cached_tokens": used["cached"],
        "answer_tokens": used["completion"],
        "cost": bill.cost,
        "seconds": bill.seconds,
    }


def _cache(model: Model) -> str:
    if not model.cache_tokens:
        return "no prefix cache"
    room = "without limit" if model.cache_tokens == float("inf") else f"of {model.cache_tokens:,.0f} tokens"
    return f"prefix cache {room}"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
