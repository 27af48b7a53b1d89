"""From what do the heads for the project's own propositions come, and what are they worth on text they never saw?

Used by `embedded_train.py --set standard`. The propositions are those of `stdlib_rules/safety` and of
`examples/refusals/policy.rbr` of which the phrase bank knows the truth; the two have names in common, each with its
own question and cues, hence a head each. Heads are locked to the definition: another proposition of
the same name never gets one.

Learned from (labels that a source does not have are left open):

- template texts, from every other phrasing of the standard bank (`Bank.half(0)`), truth by construction;
- `embedded_texts.jsonl`, and the gold set of OpenAI's release: labels of propositions of equal meaning, by `EQUAL`.
  Not taken over: `apology` (the release counts sympathy, too), encouragement (to seek help) and definitive wording (orders
  in place of promises), which ask something else under a similar name.

Judged on what was never learned from, with the heads as they ship: template texts of the other half of the bank, under
other prompts' draws, and the 330 labelled completions of `examples/refusals`. Sections of the bank with a single
phrasing, and the kinds of request, are in both halves. The cues alone are measured beside them on the same texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.embedded.folding import paragraphs
from rbrlang.grading.embedded.grader import EmbeddedGrader, Learned
from rbrlang.grading.embedded.heads import Heads, Weights, definition
from rbrlang.grading.embedded.train import train_heads
from rbrlang.grading.results import GradeItem
from rbrlang.grading.trust import agreement
from rbrlang.grading.trust.agreement import FEWEST_OF_EACH, Measured
from rbrlang.lang.program import Message, Proposition
from rbrlang.learning.synthesis.templates import standard_bank, synth_from_templates
from rbrlang.policy import Policy, load
from rbrlang.rows.conversation import spoken

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "refusals"
LIBRARY = tuple(ROOT / "stdlib_rules" / "safety" / f"{name}.rbr" for name in ("compliance", "refusals", "self_harm"))
SOURCE = "texts of rbrlang; OpenAI safety-rbr-code-and-data, gold set, MIT"
TEMPLATES = 400  # texts to learn from; more of the same phrases taught nothing more
PROMPTS = 25  # a response type; the texts are drawn from those of all classes under these

EQUAL: Mapping[str, str] = {
    "complies_fully": "fully_complies",
    "complies_partly": "partially_complies",
    "disallowed_content": "disallowed_content",
    "encourages_professional_help": "encourage_professional_help",
    "gives_resources": "provides_resources",
    "illogical_continuation": "illogical_continuation_of_prompt",
    "inability_to_comply": "inability_to_comply",
    "insulting": "insulting_language",
    "judgmental": "judgement",
    "mentions_policy": "reference_safety_policy",
    "meta_commentary": "meta_commentary",
    "requests_information": "requests_information",
    "third_person": "third_person",
    "threatening": "threatening_language",
}
"""Our propositions and those of OpenAI's release that ask the same."""

ANSWER = frozenset({"complies_fully", "complies_partly", "disallowed_content", "illogical_continuation"})
"""Propositions about what was answered. Text that answers nothing, and says how good it is, is a lesson for these."""

PAID = frozenset({"complies_fully", "complies_partly"})
"""What attackers pretend: such a head reads guardedly, the others read every paragraph for itself."""

ADDITIONS = Path(__file__).resolve().parent / "embedded_additions.jsonl"
SHAPES = ("{0}", "{0}", "{0}", "{0}\n\n{1}", "{0}\n\n{1}", "{1}\n\n{0}")  # of an addition and a text without an answer

GAIN = 0.01
"""By so much of AUC, when cross-fitted, a head has to be better than its cues."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Conversations, and labels [items, propositions], NaN where not labelled."""

    items: tuple[GradeItem, ...]
    labels: NDArray[np.float64]


def messages(said: Sequence[Mapping[str, str]]) -> tuple[Message, ...]:
    return tuple(Message(m["role"], m["content"]) for m in said)  # type: ignore[arg-type]


def policies() -> tuple[Policy, ...]:
    """The library's, then the example's."""
    return tuple(load(path) for path in (*LIBRARY, EXAMPLE / "policy.rbr"))


def propositions(found: Sequence[Policy]) -> dict[str, tuple[Literal["library", "example"], Proposition]]:
    """By definition; a proposition that several policies import is there once."""
    known = standard_bank().propositions
    where: dict[str, tuple[Literal["library", "example"], Proposition]] = {}
    for policy in found:
        for proposition in policy.program.propositions:
            if proposition.name in known:
                origin = "example" if policy is found[-1] else "library"
                where.setdefault(definition(proposition), (origin, proposition))
    return where


def labelled(
    items: Sequence[GradeItem], truths: Sequence[Mapping[str, bool | None]], asked: Sequence[Proposition]
) -> Labelled:
    rows = [[truth.get(p.name) for p in asked] for truth in truths]
    return Labelled(tuple(items), np.array([[np.nan if t is None else float(t) for t in row] for row in rows]))


def templates(found: Sequence[Policy], asked: Sequence[Proposition], half: Literal[0, 1], seed: int) -> Labelled:
    """Texts of every class of every policy, of one half of the bank's phrasings."""
    bank = standard_bank().half(half)
    rows = [
        row
        for policy in found
        for row in synth_from_templates(policy.circuit, PROMPTS, 1, seed, bank=bank, base_reward=False).rows
    ]
    items = [GradeItem(str(i), row.conversation, -1) for i, row in enumerate(rows)]
    return labelled(items, [row.labels for row in rows], asked)


def drawn(texts: Labelled, count: int, seed: int) -> Labelled:
    kept = np.sort(np.random.default_rng(seed).permutation(len(texts.items))[:count])
    return Labelled(tuple(texts.items[i] for i in kept.tolist()), texts.labels[kept])


def own_texts(path: Path, asked: Sequence[Proposition]) -> Labelled:
    rows = _lines(path)
    items = [
        GradeItem(f"own-{i}", spoken((Message("user", row["prompt"]),), row["completion"]), -1)
        for i, row in enumerate(rows)
    ]
    truths = [{n: None if o in row["unlabelled"] else o in row["true"] for n, o in EQUAL.items()} for row in rows]
    return labelled(items, truths, asked)


def gold(release: Path, asked: Sequence[Proposition]) -> Labelled:
    rows = _lines(release / "gold_train.jsonl")
    items = [
        GradeItem(f"gold-{i}", spoken(messages(row["prompt"]), row["completion"][-1]["content"]), -1)
        for i, row in enumerate(rows)
    ]
    return labelled(items, [{n: bool(row["propositions"][o]) for n, o in EQUAL.items()} for row in rows], asked)


def example(asked: Sequence[Proposition]) -> Labelled:
    rows = _lines(EXAMPLE / "completions.jsonl")
    items = [GradeItem(row["id"], spoken(messages(row["prompt"]), row["completion"]), -1) for row in rows]
    return labelled(items, [row["labels"] for row in rows], asked)


def additions(texts: Labelled, asked: Sequence[Proposition], seed: int) -> Labelled:
    """Text of the kinds that attackers add: in place of an answer, and before or after what gives nobody an answer.

    It was written for this purpose, in other words than those of `rbrc probe`, and it gives nobody what was asked for.
    Whether it is out of place is left open.
    """
    said = said_beside() * len(SHAPES)
    shapes = [shape for shape in SHAPES for _ in range(len(said) // len(SHAPES))]
    partly = [j for j, p in enumerate(asked) if p.name == "complies_partly"]
    nothing = np.flatnonzero((texts.labels[:, partly] == 0).all(axis=1))
    under = np.random.default_rng(seed).choice(nothing, len(said))
    truth = dict.fromkeys(PAID, False)
    items = [
        GradeItem(f"addition-{i}", spoken(texts.items[j].prompt, shape.format(text, texts.items[j].completion)), -1)
        for i, (shape, text, j) in enumerate(zip(shapes, said, under.tolist(), strict=True))
    ]
    return labelled(items, [truth] * len(items), asked)


def said_beside() -> list[str]:
    """The paragraphs of `ADDITIONS`."""
    return [text for row in _lines(ADDITIONS) for text in paragraphs(row["addition"])]


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


# --- training and measuring -----------------------------------------------------------------------


def trained(release: Path, texts: Path, seed: int, *, answer: bool) -> Heads:
    """The heads that ship: for propositions about what was answered, or for all others."""
    found = policies()
    asked = [p for _, p in propositions(found).values() if (p.name in ANSWER) == answer]
    parts = [drawn(templates(found, asked, 0, seed), TEMPLATES, seed), own_texts(texts, asked), gold(release, asked)]
    if answer:
        parts.append(additions(parts[0], asked, seed))
    items = [item for part in parts for item in part.items]
    labels = np.concatenate([part.labels for part in parts])
    heads = train_heads(asked, items, labels, seed, SOURCE)
    cues = EmbeddedGrader(asked, shipped_heads=False).probabilities(items)
    kept: list[int] = []
    for i, info in enumerate(heads.infos):
        known = np.isfinite(labels[:, i])
        by_cues = agreement.auc(labels[known, i] == 1, cues[known, i])
        if isinstance(info.worth, Measured) and info.worth.auc - by_cues >= GAIN:
            kept.append(i)
        print(f"  {info.name:30s}{info.positives:4d} of {info.labelled:4d}  cues {by_cues:.3f}  head {info.worth}")
    read = tuple(replace(i, reading="guarded" if i.name in PAID else "any") for i in heads.infos)
    return only(replace(heads, infos=read), kept)


def only(heads: Heads, kept: Sequence[int]) -> Heads:
    """Some of the heads."""
    shared = ("trait_mean", "trait_scale", "gram_weight")
    rows = {n: getattr(heads.weights, n)[list(kept)] for n in Weights.__slots__ if n not in shared}
    return replace(heads, infos=tuple(heads.infos[i] for i in kept), weights=replace(heads.weights, **rows))


def measure(libraries: Sequence[Heads], seed: int) -> None:
    """Print a table: support, and AUC and balanced accuracy at 0.5 of heads and of cues, on both kinds of text."""
    found = policies()
    where = tuple(propositions(found).values())
    for origin in ("library", "example"):
        asked = [p for place, p in where if place == origin]
        for title, part in (
            ("templates, other half", templates(found, asked, 1, seed + 1)),
            ("examples/refusals", example(asked)),
        ):
            print(f"{title}, {origin}: yes of labelled; AUC and balanced accuracy of heads, then of cues; ECE of heads")
            compare(asked, libraries, part)


def compare(asked: Sequence[Proposition], libraries: Sequence[Heads], part: Labelled) -> None:
    """A line for each proposition with enough of either answer."""
    by_cues = EmbeddedGrader(asked, shipped_heads=False).probabilities(part.items)
    by_head = by_cues.copy()
    learned: set[int] = set()
    for library in libraries:
        own = [i for i, info in enumerate(library.infos) if info.definition in {definition(p) for p in asked}]
        grader = EmbeddedGrader(asked, only(library, own), shipped_heads=False)
        columns = [j for j, standing in enumerate(grader.standings) if isinstance(standing, Learned)]
        by_head[:, columns] = grader.probabilities(part.items)[:, columns]
        learned |= set(columns)
    answers = (by_head, by_cues)
    rows: list[list[float]] = []
    for j, proposition in enumerate(asked):
        known = np.isfinite(part.labels[:, j])
        y = part.labels[known, j] == 1
        if min(y.sum(), (~y).sum()) < FEWEST_OF_EACH:
            continue
        values = [
            value
            for p in answers
            for value in (
                agreement.auc(y, p[known, j]),
                agreement.metric("balanced_accuracy", y, p[known, j] >= 0.5),
            )
        ]
        rows.append([*values, agreement.ece(y, answers[0][known, j])])
        mark = "" if j in learned else " (cues only)"
        numbers = "".join(f"{v:7.3f}" for v in rows[-1])
        print(f"  {proposition.name:30s}{int(y.sum()):4d} of {len(y):4d}{numbers}{mark}")
    print(f"  {f'macro over {len(rows)}':42s}" + "".join(f"{v:7.3f}" for v in np.mean(rows, axis=0)))
