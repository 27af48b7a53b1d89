"""How are the embedded grader's shipped heads made, and what are they worth?

    python benchmarks/embedded_train.py RELEASE            # measure
    python benchmarks/embedded_train.py RELEASE --write    # write rbrlang/grading/embedded/learned/
    python benchmarks/embedded_train.py RELEASE --without-own-texts
    python benchmarks/embedded_train.py RELEASE --set standard [--write]

With `--set standard` the heads are those for the project's own propositions; `standard_heads.py` says how. What
follows is about those for OpenAI's.

RELEASE is a folder with `proposition_prompts.yaml` and `gold_train.jsonl` of OpenAI's release
(https://github.com/openai/safety-rbr-code-and-data, MIT; offensive material inside). Nothing of its text is
written: the heads are weights of word lists and of hashed n-grams.

Where the release has 5 to 20 labels of the rarer answer (four propositions), the heads also learn from
`embedded_texts.jsonl`: 365 short, mild completions of 22 prompts that a language model composed for this
project, one at a time, and labelled by the release's questions while composing; no second annotator checked
them. Nothing is measured on them, and statistics and temperatures come from the release's rows alone. With more
labels than that our texts did not help: they are shorter than the release's, and class accuracy fell from 0.88
to 0.85.

Of insults and threats the release has four positives. Those two heads are learned from `embedded_sentences.jsonl`, 320
mild sentences of ours (insults and threats by implication, and what merely looks like one), each put into a completion of
the release, at its beginning, its end or between, so that length and topic tell nothing. Text alone, without a release's
completion around it, ranked those positives worse than cues do. They read by paragraphs, since one sentence makes an
insult.

Goals, for heads on prompts they never saw: macro AUC 0.93, balanced accuracy 0.85 at 0.5, class accuracy
0.80, calibration error 0.05. Reason: always giving each response type its most frequent class is right for
0.78 of these rows, so a grader below that has nothing to say about classes. The measurement is five-fold
cross-validation by prompt, everything (temperatures, too) fitted inside the training folds; `--seeds` repeats
it with other splits. Macro over propositions with both labels, and over those with five of each.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import standard_heads
from numpy.typing import NDArray

from rbrlang.grading.embedded.grader import EmbeddedGrader
from rbrlang.grading.embedded.heads import Heads, Reading, Weights, definition, read_heads
from rbrlang.grading.embedded.openai_cues import OPENAI_CUES
from rbrlang.grading.embedded.train import train_heads
from rbrlang.grading.results import GradeItem
from rbrlang.grading.trust import agreement
from rbrlang.grading.trust.agreement import FEWEST_OF_EACH
from rbrlang.imports.openai_rbr import import_openai_rbr
from rbrlang.lang.program import Cue, Message, Program, Proposition
from rbrlang.logic.circuit import ResponseCircuit
from rbrlang.policy import Policy, loads
from rbrlang.rows.conversation import spoken

ROOT = Path(__file__).resolve().parent.parent
TEXTS = Path(__file__).resolve().parent / "embedded_texts.jsonl"
SENTENCES = TEXTS.with_name("embedded_sentences.jsonl")
SHARED = {"trait_mean", "trait_scale", "gram_weight"}
LEARNED = ROOT / "rbrlang" / "grading" / "embedded" / "learned"
RESPONSES = {"Comply": "comply", "Hard Refuse": "hard_refuse", "Safe Refuse 1": "safe_refuse_1", "Safe Refuse 2": "safe_refuse_2"}  # fmt: skip
STANDARD = {"standard_answer.safetensors": True, "standard_manner.safetensors": False}
SEED = 0
ONE_SENTENCE = ("insulting_language", "threatening_language")
"""What a single sentence decides, and the release has too few positives of."""
ASKED_FOR = ("partially_complies", "requests_information")
"""What attackers pretend with text that is no answer, or asks the user nothing."""
_LISTED = re.compile(r"(?m)^(?:#|[-*•]|\d+[.)])")
READING: dict[str, Reading] = {"partially_complies": "guarded", **dict.fromkeys(ONE_SENTENCE, "any")}
"""`partially_complies` is what text beside a short answer was taken for. Read guardedly, AUC .906 (.903 as a whole) and
balanced accuracy .844 (.835), means of three cross-validations. `fully_complies` is not: its balanced accuracy fell from
.83 to .78."""
FEW = 20  # labels of the rarer answer up to which our own texts are needed


def messages(said: Sequence[dict[str, str]]) -> tuple[Message, ...]:
    return tuple(Message(m["role"], m["content"]) for m in said)  # type: ignore[arg-type]


def class_of(response: ResponseCircuit, truths: NDArray[np.bool_]) -> str:
    """The class of a truth assignment."""
    at = response.diagram.root
    while at >= len(response.diagram.terminals):
        atom, low, high = response.diagram.nodes[at - len(response.diagram.terminals)]
        at = high if truths[atom] else low
    return response.classes[response.diagram.terminals[at]]


def with_openai_cues(propositions: Sequence[Proposition]) -> list[Proposition]:
    span = propositions[0].span
    return [
        p._replace(cues=tuple(Cue(answer, pattern, span) for answer, pattern in OPENAI_CUES[p.name]))
        for p in propositions
    ]


def named(heads: Heads, propositions: Sequence[Proposition]) -> Heads:
    """The same heads, locked to the propositions as the importer writes them, without the cues; some read guardedly."""
    infos = (
        replace(info, definition=definition(p), reading=READING.get(p.name, "whole"))
        for info, p in zip(heads.infos, propositions, strict=True)
    )
    return replace(heads, infos=tuple(infos))


def own_texts(propositions: Sequence[Proposition]) -> tuple[list[GradeItem], NDArray[np.float64]]:
    """The project's completions and their labels [items, propositions], NaN where not labelled."""
    with TEXTS.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    items = [
        GradeItem(f"own-{i}", spoken((Message("user", row["prompt"]),), row["completion"]), -1)
        for i, row in enumerate(rows)
    ]
    labels = [[np.nan if p.name in row["unlabelled"] else float(p.name in row["true"]) for p in propositions] for row in rows]  # fmt: skip
    return items, np.array(labels)


Added = Callable[
    [Sequence[GradeItem], Sequence[Mapping[str, float]], Sequence[Proposition], int],
    tuple[list[GradeItem], NDArray[np.float64]],
]
"""Texts made of completions and their truths, and the labels [texts, propositions] of these; NaN where not labelled."""


def with_sentences(
    items: Sequence[GradeItem], truths: Sequence[Mapping[str, float]], asked: Sequence[Proposition], seed: int
) -> tuple[list[GradeItem], NDArray[np.float64]]:
    """The project's own texts, and each of its sentences in one of the completions.

    Insults go into completions that judge: who insults seldom does it in the middle of help.
    """
    with SENTENCES.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    random = np.random.default_rng(seed)
    judging = np.array([i for i, truth in enumerate(truths) if truth["judgement"]])
    texts, own = own_texts(asked)
    labels: list[list[float]] = []
    for i, row in enumerate(rows):
        under = int(random.choice(judging if "insulting_language" in row["true"] else np.arange(len(items))))
        parts = re.split(r"(?<=[.!?])\s+", items[under].completion.strip())
        at = int(random.choice([0, len(parts), int(random.integers(len(parts) + 1))]))
        said = " ".join([*parts[:at], row["text"], *parts[at:]])
        texts.append(GradeItem(f"sentence-{i}", spoken(items[under].prompt, said), -1))
        labels.append([max(truths[under][p.name], float(p.name in row["true"])) for p in asked])
    return texts, np.concatenate([own, np.array(labels)])


def with_additions(
    items: Sequence[GradeItem], truths: Sequence[Mapping[str, float]], asked: Sequence[Proposition], seed: int
) -> tuple[list[GradeItem], NDArray[np.float64]]:
    """Text that asks the user nothing, in place of completions that give nothing or beside them.

    It is that of `embedded_additions.jsonl`, and questions of the project's own policies, which are about an answer. Only
    what has the form of an answer is labelled for compliance; all of it cost balanced accuracy there (.854 to .837).
    """
    random = np.random.default_rng(seed)
    nothing = [i for i, truth in enumerate(truths) if not truth["partially_complies"]]
    found = standard_heads.propositions(standard_heads.policies()).values()
    questions = [p.question.strip().partition("\n")[0] for _, p in found if p.question]
    said = standard_heads.said_beside()
    said += filter(_LISTED.search, said[:])
    said += ["\n".join(random.choice(questions, int(random.integers(1, 12)))) for _ in range(40)]
    texts: list[GradeItem] = []
    labels: list[list[float]] = []
    for i, text in enumerate(said):
        under = int(random.choice(nothing))
        shape = str(random.choice(["{0}", "{0}\n\n{1}", "{1}\n\n{0}"]))
        answer = shape.format(text, items[under].completion)
        texts.append(GradeItem(f"addition-{i}", spoken(items[under].prompt, answer), -1))
        asks = "{1}" in shape and truths[under]["requests_information"]
        labels.append([0.0 if _LISTED.search(text) else np.nan, np.nan if asks else 0.0])
    return texts, np.array(labels)


def with_heads(heads: Heads, better: Heads) -> Heads:
    """The heads, some of them replaced. Both were learned from the same core, so that what they share is equal."""
    at = [[info.name for info in heads.infos].index(info.name) for info in better.infos]
    infos, weights = list(heads.infos), {name: getattr(heads.weights, name).copy() for name in Weights.__slots__}
    for name in set(Weights.__slots__) - SHARED:
        weights[name][at] = getattr(better.weights, name)
    for row, info in zip(at, better.infos, strict=True):
        infos[row] = info
    return replace(heads, infos=tuple(infos), weights=Weights(**weights))


def report(
    title: str, policy: Policy, labels: NDArray[Any], p: NDArray[Any], responses: Sequence[str], prompts: NDArray[Any],
    verbose: bool,
) -> None:  # fmt: skip
    """Print the goals' numbers; macro over propositions with both labels, as the goals are stated."""
    by_name = {r.name: r for r in policy.circuit.responses}
    rows: list[tuple[float, ...]] = []
    for j, proposition in enumerate(policy.program.propositions):
        y, z = labels[:, j] == 1, p[:, j]
        if not y.any() or y.all():
            continue
        said = z >= 0.5
        rows.append(
            (
                float(min(y.sum(), (~y).sum())), agreement.metric("accuracy", y, said), agreement.metric("balanced_accuracy", y, said), agreement.auc(y, z),
                agreement.within_response_auc(y, z, responses), agreement.ece(y, z),
            )
        )  # fmt: skip
        if verbose:
            print(f"  {proposition.name:38s}{int(y.sum()):5d}" + "".join(f"{v:8.3f}" for v in rows[-1][1:]))
    true = [class_of(by_name[r], y == 1) for r, y in zip(responses, labels, strict=True)]
    given = [class_of(by_name[r], q >= 0.5) for r, q in zip(responses, p, strict=True)]
    hits = np.array([a == b for a, b in zip(true, given, strict=True)])
    supported = [row[1:] for row in rows if row[0] >= FEWEST_OF_EACH]
    accuracy, balanced, auc, within, ece = np.mean([row[1:] for row in rows], axis=0)
    recall = {c: round(float(hits[[t == c for t in true]].mean()), 2) for c in sorted(set(true))}
    print(
        f"{title}: accuracy {accuracy:.3f}, balanced {balanced:.3f}, AUC {auc:.3f} (within response type {within:.3f}), "
        f"ECE {ece:.3f}, class accuracy {hits.mean():.3f}, recall by class {recall}"
    )
    print(
        f"  over the {len(supported)} with five of each: " + ", ".join(f"{v:.3f}" for v in np.mean(supported, axis=0))
    )


def standard(release: Path, *, write: bool) -> None:
    """Train the heads for the project's own propositions and write them, or measure those that ship."""
    for name, answer in STANDARD.items():
        if write:
            print(f"{name}: yes of labelled, AUC on what they learn from: cues, cross-fitted head")
            standard_heads.trained(release, TEXTS, SEED, answer=answer).write(LEARNED / name)
    if not write:
        print(f"seed {SEED}; the heads as they ship")
        standard_heads.measure([read_heads(LEARNED / name) for name in STANDARD], SEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path)
    parser.add_argument("--set", choices=("openai", "standard"), default="openai", help="which heads (default openai)")
    parser.add_argument("--write", action="store_true", help="write the heads that the package ships, measure nothing")
    parser.add_argument("--without-own-texts", action="store_true", help="learn from the release alone")
    parser.add_argument("--seeds", type=int, default=1, help="how many cross-validations (default 1)")
    arguments = parser.parse_args()
    if arguments.set == "standard":
        standard(arguments.release, write=arguments.write)
        return
    text = (arguments.release / "proposition_prompts.yaml").read_text()
    policy = loads(import_openai_rbr(text, "proposition_prompts.yaml"))
    program: Program = policy.program
    with (arguments.release / "gold_train.jsonl").open() as file:
        gold = [json.loads(line) for line in file]
    items = [
        GradeItem(str(i), spoken(messages(row["prompt"]), row["completion"][-1]["content"]), -1)
        for i, row in enumerate(gold)
    ]
    responses = [RESPONSES[row["response_type"]] for row in gold]
    labels = np.array([[row["propositions"][p.name] for p in program.propositions] for row in gold], float)
    numbers: dict[object, int] = {}
    prompts = np.array([numbers.setdefault(item.prompt, len(numbers)) for item in items])
    source = "OpenAI safety-rbr-code-and-data, gold set, MIT; texts of rbrlang"
    more, more_labels = own_texts(program.propositions)
    if arguments.without_own_texts:
        more, more_labels, source = [], more_labels[:0], source.partition(";")[0]

    by_name = {p.name: p for p in program.propositions}
    fewer = np.minimum((labels == 1).sum(axis=0), (labels == 0).sum(axis=0))
    more_labels[:, (fewer < FEWEST_OF_EACH) | (fewer > FEW)] = np.nan

    def trained(rows: NDArray[np.int64], seed: int) -> Heads:
        heads = train_heads(
            with_openai_cues(program.propositions),
            [items[i] for i in rows.tolist()] + more,
            np.concatenate([labels[rows], more_labels]),
            seed,
            source,
            by_name=True,
            core=np.arange(len(rows) + len(more)) < len(rows),
        )
        if not arguments.without_own_texts:
            for names, added in ((ONE_SENTENCE, with_sentences), (ASKED_FOR, with_additions)):
                heads = with_heads(heads, beside(names, added, rows, seed))
        return named(heads, program.propositions)

    def beside(names: Sequence[str], added: Added, rows: NDArray[np.int64], seed: int) -> Heads:
        """Heads learned from the release's rows and from texts of ours that were made of them."""
        asked = [by_name[name] for name in names]
        base = [items[i] for i in rows.tolist()]
        truths = [dict(zip(by_name, row, strict=True)) for row in labels[rows].tolist()]
        texts, said = added(base, truths, asked, seed)
        known = np.array([[truth[name] for name in names] for truth in truths])
        core = np.arange(len(base) + len(texts)) < len(base)
        return train_heads(
            with_openai_cues(asked), base + texts, np.concatenate([known, said]), seed, source, by_name=True, core=core
        )

    if arguments.write:
        LEARNED.mkdir(exist_ok=True)
        trained(np.arange(len(items)), SEED).write(LEARNED / "openai.safetensors")
        return
    for seed in range(arguments.seeds):
        fold = agreement.folds(prompts, 100 + seed, 5)
        p = np.zeros(labels.shape)
        for k in range(5):
            heads = trained(np.flatnonzero(fold != k), seed)
            held = np.flatnonzero(fold == k)
            p[held] = EmbeddedGrader(program.propositions, heads, shipped_heads=False).probabilities(
                [items[i] for i in held.tolist()]
            )
        report(f"cross-validated, seed {seed}", policy, labels, p, responses, prompts, verbose=seed == 0)


if __name__ == "__main__":
    main()
