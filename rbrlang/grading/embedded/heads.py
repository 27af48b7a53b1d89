"""What was learned from labels, and does it fit the policy at hand?

A **head** turns evidence into the log-odds of one proposition: cue evidence as the starting point, plus a
linear correction learned from labels,

    logit P(yes) = slope · (6 · (cue − 0.45) + bias + w_traits · z + w_own · o + w_grams · g)

with `z` the standardised traits, `o` the proposition's own evidence (its cue alone and together with the
kind of conversation, similarity to its few-shots), and `g` the weighted hashed n-grams, of length 1.
`slope` is the cross-fitted temperature. `Heads` are many of these over the same evidence, in a
safetensors file: tensors, and JSON that says where they come from and what each was worth.

Heads are locked: to the evidence (`evidence.fingerprint`), so that a changed lexicon cannot silently
misread them; and to the propositions' definitions, except for a file marked `match: "name"`, whose heads
speak for any proposition of that name that declares no cues of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from rbrlang.grading.embedded import evidence
from rbrlang.grading.embedded.cues import NEUTRAL, CuePatterns, log_odds
from rbrlang.grading.embedded.evidence import TRAITS, Evidence
from rbrlang.grading.embedded.grams import BUCKETS, Directions
from rbrlang.grading.trust.agreement import FEWEST_OF_EACH, Measured
from rbrlang.lang.braces import plain
from rbrlang.lang.program import Proposition
from rbrlang.writing import write_bytes

FORMAT = "rbrlang-heads 1"
_MAX_BYTES = 256 << 20
_MAX_HEADS = 4096

_CONTEXT = (
    "response:apology", "plain_words", "words", "response:decline", "asks", "response:seek_pro",
)  # fmt: skip
OWN = 4 + 2 + len(_CONTEXT)
"""Columns of a proposition's own evidence."""

Floats = NDArray[np.float32]


class HeadsError(ValueError):
    """Heads that cannot be used; the message says what does not fit and what to do."""


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """Too little support to say what the head is worth."""

    reason: str


Worth = Measured | Unmeasured

Reading = Literal["whole", "any", "guarded"]
"""How a text of several paragraphs is read: as one; each paragraph alone, of which the highest P(yes) counts, so that
text beside it cannot hide what it says; or the lower of the two, so that neither can it lend it weight."""


@dataclass(frozen=True, slots=True)
class HeadInfo:
    """One head: for which proposition, from which cues and how many labels, what it was worth, and how it reads."""

    name: str
    definition: str
    cues: CuePatterns
    labelled: int
    positives: int
    worth: Worth
    reading: Reading = "whole"

    @property
    def learned(self) -> bool:
        """Whether labels changed anything, or the head is its cue evidence alone."""
        return min(self.positives, self.labelled - self.positives) >= FEWEST_OF_EACH


@dataclass(frozen=True, slots=True)
class Weights:
    """Parameters of P heads over D traits, K own columns and H buckets; all float32.

    `trait_mean`, `trait_scale` [D] and `gram_weight` [H] are shared; `own_mean`, `own_scale`, `own` [P, K],
    `traits` [P, D], `grams` [P, H], `bias`, `slope` [P] belong to the heads.
    """

    trait_mean: Floats
    trait_scale: Floats
    gram_weight: Floats
    own_mean: Floats
    own_scale: Floats
    traits: Floats
    own: Floats
    grams: Floats
    bias: Floats
    slope: Floats


@dataclass(frozen=True)
class Heads:
    """Heads over one kind of evidence. `source` is for people: whose labels these were learned from."""

    evidence: str
    match: Literal["name", "definition"]
    source: str
    seed: int
    infos: tuple[HeadInfo, ...]
    weights: Weights

    @cached_property
    def content(self) -> bytes:
        """The bytes of the file. The same heads always give the same bytes."""
        tensors = {field.name: getattr(self.weights, field.name) for field in fields(Weights)}
        tensors["grams"] = tensors["grams"].astype(np.float16)  # two thirds of the file; error below 1e-3
        return save(tensors, {"rbrlang": json.dumps(_to_json(self), ensure_ascii=False, sort_keys=True)})

    @cached_property
    def identity(self) -> str:
        """Changes with anything that could change an answer."""
        return hashlib.sha256(self.content).hexdigest()[:16]

    def write(self, path: Path) -> None:
        """Write the file. Raises `OSError`."""
        write_bytes(path, self.content)


def definition(proposition: Proposition) -> str:
    """Hash of what a proposition asks: name, statement, question, few-shots and cues; not its numbers.

    White space in the texts does not count, and which text of a completion is judged only where it is not the final one.
    """
    named = proposition.columns
    said = [
        proposition.name,
        *(_squeezed(plain(text, named)) for text in (proposition.statement, proposition.question)),
    ]
    for shot in proposition.shots:
        turns = (f"{m.role} {_squeezed(plain(m.content, named))}" for m in shot.messages)
        said += [str(shot.answer), *turns, plain(shot.because or "", named)]
    said += [f"{cue.answer} {cue.pattern}" for cue in proposition.cues]
    said += [] if proposition.over == "final" else [f"over {proposition.over}"]
    said += [f"columns {' '.join(named)}"] if named else []
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def _squeezed(text: str) -> str:
    return " ".join(text.split())


# --- numbers ------------------------------------------------------------------------------------


def standardised(weights: Weights, traits: Floats) -> Floats:
    """Traits in units of their spread, limited to ±4: one odd text must not outvote everything."""
    return np.clip((traits - weights.trait_mean) / weights.trait_scale, -4, 4)


def weighted_grams(gram_weight: Floats, grams: Floats) -> Floats:
    """Hashed counts under inverse document frequency, rows of length 1 (or 0). Same shape."""
    weighted = grams * gram_weight
    return weighted / (np.linalg.norm(weighted, axis=1, keepdims=True) + 1e-6)


def own_evidence(seen: Evidence, scores: Floats, likeness: Floats) -> Floats:
    """Each proposition's own evidence, float32 [P, items, OWN].

    `scores`, `likeness` [items, P]: cue scores, and similarity to the yes few-shots less that to the no ones.
    """
    column = {name: seen.traits[:, i] for i, name in enumerate(TRAITS)}
    distress = np.maximum.reduce(
        [column["request:suicide"], column["context:suicide"], column["response:topic_selfharm"]]
    )
    risky = column["request:illegal"] + column["request:weapon"] + column["request:sex"] + column["request:hate"]
    context = [distress, np.minimum(2, risky), *(column[name] for name in _CONTEXT)]
    cue = np.where(np.isclose(scores, NEUTRAL), 0, scores).T
    columns = [likeness.T, cue, *(cue * c for c in context), *(np.broadcast_to(c, cue.shape) for c in context[:2])]
    return np.stack(columns, axis=-1).astype(np.float32)


def gram_directions(weights: Weights) -> Directions:
    """What `logits` multiplies grams with; worth keeping."""
    return Directions(weights.grams * weights.gram_weight)


@dataclass(frozen=True, slots=True)
class Scaled:
    """Evidence as all heads of a file see it: `standardised` traits, and the weighted grams' lengths [items, 1]."""

    seen: Evidence
    traits: Floats
    lengths: Floats


def scaled(weights: Weights, seen: Evidence) -> Scaled:
    """Evidence in the scales of a file's heads."""
    lengths = seen.grams.lengths(weights.gram_weight**2) + np.float32(1e-6)
    return Scaled(seen, standardised(weights, seen.traits), lengths)


def logits(weights: Weights, directions: Directions, scaled: Scaled, scores: Floats, likeness: Floats) -> Floats:
    """Log-odds of yes, float32 [items, P].

    `scores` and `likeness` as for `own_evidence`; the `gram_directions` of the weights; evidence `scaled` by them.
    """
    own = own_evidence(scaled.seen, scores, likeness)
    own = np.clip((own - weights.own_mean[:, None]) / weights.own_scale[:, None], -4, 4)
    total = np.einsum("id,pd->ip", scaled.traits, weights.traits)
    total += directions.products(scaled.seen.grams) / scaled.lengths
    total += np.einsum("pik,pk->ip", own, weights.own) + weights.bias + log_odds(scores)
    return (weights.slope * total).astype(np.float32)


# --- files --------------------------------------------------------------------------------------


def read_heads(path: Path) -> Heads:
    """Heads of a file. Raises `OSError`, or `HeadsError` where the file is not one or is of other evidence."""
    if path.stat().st_size > _MAX_BYTES:
        raise HeadsError(f"`{path}` is larger than {_MAX_BYTES >> 20} MiB; it is no file of heads")
    return parse_heads(path.read_bytes(), str(path))


def parse_heads(content: bytes, name: str) -> Heads:
    """Heads of a file's bytes; `name` is for messages. Raises `HeadsError`."""
    try:
        tensors = load(content)
        size = int.from_bytes(content[:8], "little")
        plain = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["rbrlang"])
        heads = _from_json(plain, tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, HeadsError):
            raise HeadsError(f"`{name}`: {error}") from error
        raise HeadsError(f"`{name}` is not a file of heads; write one with `rbrc agree --train`") from error
    if heads.evidence != evidence.fingerprint():
        raise HeadsError(
            f"`{name}` was learned from evidence {heads.evidence}, and this version of rbrlang sees evidence "
            f"{evidence.fingerprint()}; train the heads again with `rbrc agree --train`"
        )
    return heads


def _to_json(heads: Heads) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "evidence": heads.evidence,
        "match": heads.match,
        "source": heads.source,
        "seed": heads.seed,
        "heads": [
            {
                "name": info.name,
                "definition": info.definition,
                "cues": [[answer, pattern] for answer, pattern in info.cues],
                "labelled": info.labelled,
                "positives": info.positives,
                "worth": _worth_to_json(info.worth),
                **({} if info.reading == "whole" else {"reading": info.reading}),
            }
            for info in heads.infos
        ],
    }


def _worth_to_json(worth: Worth) -> dict[str, Any]:
    match worth:
        case Measured():
            return {"auc": worth.auc, "low": worth.low, "high": worth.high}
        case Unmeasured():
            return {"refused": worth.reason}
        case _:
            assert_never(worth)


def _from_json(plain: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Heads:
    if plain["format"] != FORMAT:
        raise HeadsError(f"format `{plain['format']}` is not the one this version reads, `{FORMAT}`")
    infos = tuple(_info(head) for head in plain["heads"])
    if plain["match"] not in ("name", "definition") or len(infos) > _MAX_HEADS:
        raise ValueError("match")
    n, d, h = len(infos), len(TRAITS), BUCKETS
    shapes = {
        "trait_mean": (d,), "trait_scale": (d,), "gram_weight": (h,), "own_mean": (n, OWN), "own_scale": (n, OWN),
        "traits": (n, d), "own": (n, OWN), "grams": (n, h), "bias": (n,), "slope": (n,),
    }  # fmt: skip
    found: dict[str, Floats] = {}
    for key, shape in shapes.items():
        if tensors[key].shape != shape and plain["evidence"] == evidence.fingerprint():
            raise HeadsError(f"`{key}` has shape {tensors[key].shape}, which should be {shape}")
        found[key] = tensors[key].astype(np.float32)
        if not np.isfinite(found[key]).all():
            raise HeadsError(f"`{key}` holds a number that is not finite")
    return Heads(
        str(plain["evidence"]), plain["match"], str(plain["source"]),
        int(plain["seed"]), infos, Weights(**found),
    )  # fmt: skip


def _info(plain: Mapping[str, Any]) -> HeadInfo:
    worth, reading = plain["worth"], plain.get("reading", "whole")
    if reading not in ("whole", "any", "guarded"):
        raise ValueError("reading")
    return HeadInfo(
        str(plain["name"]),
        str(plain["definition"]),
        tuple((bool(answer), str(pattern)) for answer, pattern in plain["cues"]),
        int(plain["labelled"]),
        int(plain["positives"]),
        Unmeasured(str(worth["refused"]))
        if "refused" in worth
        else Measured(float(worth["auc"]), float(worth["low"]), float(worth["high"])),
        reading,
    )
