"""Which real texts have a truth that is known without asking anybody?

Texts that are joined from phrases of known truth (`learning.phrases`). For every class of a response type
truth assignments are drawn from the rules, as in `learning.synth`, with what the bank cannot say of a
request at probability 0; an assignment is then written as the exact cover of its true propositions by
phrases, in varied order and with varied connectives. What no phrase of the text says is false. Measures
are computed from the text, and a text counts only if the rules put it, measures included, into the class
that it was written for.

Where a bank knows the request (it made the prompt, or the prompt reads like one of its own), it can answer
it in full, in part, or not at all. Of a request that it does not know only the last is possible.

Such texts are real English with certain labels, good enough to test a grader's evidence, to warm up a small
model and to run the whole pipeline offline. Their variety is that of the bank, not of life.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rbrlang.lang.load import standard_library
from rbrlang.learning.synthesis.phrases import Bank, Scene, Section, Slot, filled, read_bank, slots_of
from rbrlang.learning.synthesis.synth import class_of, class_value, draw_truth, prompts_of
from rbrlang.logic.circuit import Circuit, ResponseCircuit
from rbrlang.reward.measure import measure_atoms
from rbrlang.rows.conversation import Turn, spoken
from rbrlang.rows.read import Row, row_from

UNKNOWN_REQUEST = Scene("", "", (), (), (), ())
"""The scene of a prompt that a bank does not know: nothing can be said to it alone."""

_BATCH = 64
_DRAWS = 512
_WRITINGS = 6
_FREE = 0.15  # how often a text says what a bank may say freely
_JOINTS = ("", "", "", "And ", "Also, ", "Besides, ")


@dataclass(frozen=True, slots=True)
class Missing:
    """Completions that could not be written: how many, of which class, to which kind of request."""

    response: str
    klass: str
    scene: str
    count: int


@dataclass(frozen=True, slots=True)
class Templated:
    """Rows by response type, prompt and class, and what is missing from them."""

    rows: tuple[Row, ...]
    missing: tuple[Missing, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    prompt: tuple[Turn, ...]
    category: str | None
    scene: Scene
    values: Mapping[str, str]


def standard_bank() -> Bank:
    """The bank of the standard library: refusals, soft refusals and plain answers, in mild English."""
    return read_bank(standard_library() / "safety" / "refusals.phrases")


def bank_prompts(circuit: Circuit, count: int, seed: int, *, bank: Bank | None = None) -> tuple[Row, ...]:
    """So many different prompts a response type, as rows with an empty completion. Raises ValueError as below."""
    writer = _Writer(circuit, bank if bank is not None else standard_bank())
    rows: list[Row] = []
    for number, response in enumerate(circuit.responses):
        for asked in writer.own_prompts(response, count, np.random.default_rng([seed, number])):
            category = {} if asked.category is None else {"category": asked.category}
            rows.append(row_from({
                "prompt": [turn.to_json() for turn in asked.prompt], "completion": "",
                "response_type": response.name, **category,
            }))  # fmt: skip
    return tuple(rows)


def synth_from_templates(
    circuit: Circuit,
    prompts: int | Sequence[Row],
    per_class: int,
    seed: int,
    *,
    bank: Bank | None = None,
    base_reward: bool = True,
    lean: float = 0.5,
) -> Templated:
    """`per_class` texts of every class for each prompt: so many of the bank's own a response type, or those of rows.

    Rows carry `class`, `labels` (null for what neither bank nor rules need to know), a simulated
    `base_reward` as in `synth_from_rules`, and their origin in `synthetic`. Texts of one prompt differ.
    Raises ValueError when a count is not positive, when the bank does not know a proposition that decides
    a class, or has not so many different prompts.
    """
    if per_class < 1 or (isinstance(prompts, int) and prompts < 1):
        raise ValueError("prompts and completions per class have to be 1 or more")
    bank = bank if bank is not None else standard_bank()
    writer = _Writer(circuit, bank)
    rows: list[Row] = []
    missing: Counter[tuple[str, str, str]] = Counter()
    given = () if isinstance(prompts, int) else prompts_of(circuit, prompts)
    for number, response in enumerate(circuit.responses):
        rng = np.random.default_rng([seed, number])
        if isinstance(prompts, int):
            asked = writer.own_prompts(response, prompts, rng)
        else:
            asked = [writer.recognised(row) for row in given[number]]
        if asked:
            writer.check(response)
        for place, one in enumerate(asked):
            effect = rng.normal()
            seen: set[str] = set()
            for klass, name in enumerate(response.classes):
                for copy in range(per_class):
                    written = writer.write(one, number, klass, rng, seen)
                    if written is None:
                        missing[response.name, name, one.scene.name] += 1
                        continue
                    text, labels = written
                    seen.add(text)
                    data: dict[str, Any] = {
                        "id": f"{response.name}-{place + 1}-{name}-{copy + 1}",
                        "prompt": [turn.to_json() for turn in one.prompt],
                        "completion": text,
                        "response_type": response.name,
                        "class": name,
                        "labels": labels,
                        "synthetic": {
                            "from": "templates", "seed": seed, "policy": circuit.fingerprint, "scene": one.scene.name,
                        },
                    }  # fmt: skip
                    if one.category is not None:
                        data["category"] = one.category
                    if base_reward:
                        data["base_reward"] = float(lean * class_value(response, klass) + effect + rng.normal())
                    rows.append(row_from(data))
    return Templated(tuple(rows), tuple(Missing(*key, count) for key, count in missing.items()))


class _Writer:
    """A bank read for one policy: its names are the policy's, and draws are kept per kind of request and class."""

    def __init__(self, circuit: Circuit, bank: Bank) -> None:
        self.circuit = circuit
        self.names = tuple(name.rpartition(".")[2] for name in circuit.propositions)
        self.bank = _folded(bank, frozenset(self.names))
        self.draws: dict[tuple[str, int, int], Iterator[tuple[bool, ...] | None]] = {}
        self.asks = [(scene, re.compile(_as_pattern(ask, scene))) for scene in bank.scenes for ask in scene.asks]

    def check(self, response: ResponseCircuit) -> None:
        """Raise ValueError for a proposition that decides a class and that the bank does not know."""
        deciding = {atom for atom, _, _ in response.diagram.nodes if atom < len(self.names)}
        # What a question asks about a column of the row, no phrase of a bank can know.
        unknown = [
            self.circuit.propositions[p]
            for p in sorted(deciding)
            if self.names[p] not in self.bank.propositions or self.circuit.atoms[p].columns
        ]
        if unknown:
            raise ValueError(
                f"the phrase bank says nothing of {', '.join(f'`{name}`' for name in unknown)}, on which the classes of "
                f"`{response.name}` depend; it knows {', '.join(self.bank.propositions)}"
            )

    # --- prompts ---

    def own_prompts(self, response: ResponseCircuit, count: int, rng: np.random.Generator) -> list[_Asked]:
        """Different prompts of the bank for a response type, the scenes by turns."""
        scenes = [scene for scene in self.bank.scenes if response.name in scene.responses]
        if not scenes:
            raise ValueError(
                f"the phrase bank has no prompts for `{response.name}`; write a `scene` for it, or give rows with prompts to "
                "`rbrc synth --prompts`"
            )
        found: dict[str, _Asked] = {}
        number = self.circuit.response_names.index(response.name)
        categories = {name for name, where in self.circuit.categories if where == number}
        turn = idle = 0
        while len(found) < count:
            scene = scenes[turn % len(scenes)]
            turn += 1
            values = _bound(scene.slots, rng)
            ask = scene.asks[rng.integers(len(scene.asks))]
            text = filled(ask, {**_bound(self.bank.slots, rng), **values})
            idle = 0 if text not in found else idle + 1
            if idle > 200 * len(scenes):
                raise ValueError(
                    f"the phrase bank makes no more than {len(found)} different prompts for `{response.name}`"
                )
            category = scene.category if scene.category in categories else None
            found.setdefault(text, _Asked((Turn("user", text),), category, scene, values))
        return list(found.values())

    def recognised(self, row: Row) -> _Asked:
        """A prompt of a row, with its scene where it reads like one of the bank's."""
        if len(row.prompt) == 1:
            for scene, pattern in self.asks:
                match = pattern.fullmatch(row.prompt[0].text)
                values = None if match is None else _consistent(scene.slots, match.groupdict())
                if values is not None:
                    known = next(one for one in self.bank.scenes if one.name == scene.name)
                    return _Asked(row.prompt, row.category, known, values)
        return _Asked(row.prompt, row.category, UNKNOWN_REQUEST, {})

    # --- texts ---

    def write(
        self, asked: _Asked, response: int, klass: int, rng: np.random.Generator, seen: set[str]
    ) -> tuple[str, dict[str, bool | None]] | None:
        """A text of a class that is not in `seen`, and the truth of every proposition; None if none was found."""
        key = (asked.scene.name, response, klass)
        if key not in self.draws:
            self.draws[key] = self._assignments(asked.scene, response, klass, rng)
        sections = self._sections(asked.scene, response)
        for _ in range(_DRAWS):
            bits = next(self.draws[key])
            if bits is None:
                return None
            truth = frozenset(name for name, bit in zip(self.names, bits, strict=False) if bit)
            if any(clash <= truth for clash in self.bank.clashes):
                continue
            truth |= {name for name in sorted(self.bank.free) if name not in self.names and rng.random() < _FREE}
            for writing in range(_WRITINGS):
                pads = int(rng.integers(3, 9)) if writing % 2 else int(rng.choice(3, p=(0.7, 0.2, 0.1)))
                text = self._compose(truth, sections, asked, pads, rng)
                if text is None:
                    break
                whole = (
                    *bits[: len(self.names)],
                    *(truth == 1.0 for truth in measure_atoms(self.circuit.atoms, spoken((), text))),
                )
                if text not in seen and class_of(self.circuit.responses[response], whole) == klass:
                    return text, self._labels(bits)
        return None

    def _sections(self, scene: Scene, response: int) -> tuple[Section, ...]:
        name = self.circuit.response_names[response]
        return tuple(section for section in (*scene.sections, *self.bank.sections) if section.serves(name))

    def _labels(self, bits: Sequence[bool]) -> dict[str, bool | None]:
        known = self.bank.propositions
        return {
            full: bit if name in known else None
            for full, name, bit in zip(self.circuit.propositions, self.names, bits, strict=False)
        }

    def _assignments(
        self, scene: Scene, response: int, klass: int, rng: np.random.Generator
    ) -> Iterator[tuple[bool, ...] | None]:
        """Assignments of a class that the bank may be able to write; None for ever when there are none."""
        slots = scene.slot_names | {name for slot in self.bank.slots for name in slot.names}
        sections = self._sections(scene, response)
        sayable = {name for s in sections if any(slots_of(p) <= slots for p in s.phrases) for name in s.says}
        priors = np.array([atom.prior for atom in self.circuit.atoms], np.float64)
        for p, name in enumerate(self.names):
            if name not in sayable:
                priors[p] = 0.0
        own = np.random.default_rng(rng.integers(2**63))
        while True:
            drawn = draw_truth(self.circuit, self.circuit.responses[response], klass, _BATCH, own, priors)
            if drawn is None:
                yield None
            else:
                yield from map(tuple, drawn.tolist())

    def _compose(
        self, truth: frozenset[str], sections: Sequence[Section], asked: _Asked, pads: int, rng: np.random.Generator
    ) -> str | None:
        """One text of which exactly `truth` holds; None if the phrases do not suffice."""
        used: list[tuple[Section, str]] = []
        values = {**_bound(self.bank.slots, rng), **asked.values}
        usable = [
            (section, phrase)
            for section in sections
            if section.fits(truth)
            for phrase in section.phrases
            if slots_of(phrase) <= values.keys()
        ]

        def take(candidates: Sequence[tuple[Section, str]]) -> bool:
            if not candidates:
                return False
            section, phrase = candidates[int(rng.integers(len(candidates)))]
            usable.remove((section, phrase))
            if section.place in ("substance", "last", "lead"):
                usable[:] = [pair for pair in usable if pair[0].place != section.place]
            used.append((section, filled(phrase, {**values, **_bound(self.bank.slots, rng), **asked.values})))
            return True

        open_ = set(truth)
        while open_:
            by_name = {name: [pair for pair in usable if name in pair[0].says] for name in sorted(open_)}
            name = min(by_name, key=lambda name: len(by_name[name]))
            apart = [pair for pair in by_name[name] if pair[0].says <= open_]
            if not take(apart or by_name[name]):
                return None
            open_ -= used[-1][0].says
        empty = [pair for pair in usable if not pair[0].says]
        if any(section.place == "substance" for section, _ in used) and rng.random() < 0.6:
            take([pair for pair in empty if pair[0].place == "lead"])
        for _ in range(pads if used else max(pads, 1)):
            take([pair for pair in usable if not pair[0].says and pair[0].place in ("middle", "last")])
        return _joined([(section.place, phrase) for section, phrase in used], rng) if used else None


def _joined(parts: Sequence[tuple[str, str]], rng: np.random.Generator) -> str:
    """Phrases in an order that reads, with connectives and paragraphs."""
    has_substance = any(place == "substance" for place, _ in parts)

    def order(place: str) -> float:
        if place == "middle":
            return 1.0 if not has_substance or rng.random() < 0.4 else 4.0
        return {"first": 0.0, "lead": 2.0, "substance": 3.0}.get(place, 5.0)

    keyed = sorted((order(place), rng.random(), place, phrase) for place, phrase in parts)
    text = ""
    airy, joined = rng.random() < 0.3, False
    for at, _, place, phrase in keyed:
        broken = "\n" in phrase or (bool(text) and "\n" in text.rsplit("\n\n", 1)[-1])
        space = "" if not text else "\n\n" if broken or (airy and at in (2.0, 4.0) and rng.random() < 0.7) else " "
        joint = ""
        if phrase[0].islower() and space == " " and place in ("middle", "last") and not joined:
            joint = _JOINTS[int(rng.integers(len(_JOINTS)))]
        joined = bool(joint)
        text += space + (joint + phrase if joint else phrase[0].upper() + phrase[1:])
    return text


def _bound(slots: Sequence[Slot], rng: np.random.Generator) -> dict[str, str]:
    found: dict[str, str] = {}
    for slot in slots:
        found.update(zip(slot.names, slot.values[rng.integers(len(slot.values))], strict=True))
    return found


def _consistent(slots: Sequence[Slot], read: Mapping[str, str]) -> dict[str, str] | None:
    """All slots of a scene from those that a prompt shows; None where no value has them all."""
    found: dict[str, str] = {}
    for slot in slots:
        shown = {name: value for name, value in read.items() if name in slot.names}
        for value in slot.values:
            whole = dict(zip(slot.names, value, strict=True))
            if all(whole[name].lower() == text.lower() for name, text in shown.items()):
                found.update(whole)
                break
        else:
            return None
    return found


def _as_pattern(ask: str, scene: Scene) -> str:
    """A pattern that a prompt made from this `ask` matches, slots as groups."""
    pattern, seen = "", set[str]()
    for piece in re.split(r"(\{\w+\})", ask):
        name = piece[1:-1].lower() if piece.startswith("{") else ""
        if not name:
            pattern += re.escape(piece)
        elif name in seen or name not in scene.slot_names:
            pattern += ".+?"
        else:
            seen.add(name)
            pattern += f"(?P<{name}>.+?)"
    return pattern


def _folded(bank: Bank, names: frozenset[str]) -> Bank:
    """The bank for a policy with these propositions: parts it has no name for count as the whole."""
    parts = {part: whole for part, whole in bank.folds if part not in names and whole in names}

    def renamed(found: frozenset[str]) -> frozenset[str]:
        return frozenset(parts.get(name, name) for name in found)

    def sections(found: Sequence[Section]) -> tuple[Section, ...]:
        return tuple(replace(s, says=renamed(s.says), when=renamed(s.when), unless=renamed(s.unless)) for s in found)

    scenes = tuple(replace(scene, sections=sections(scene.sections)) for scene in bank.scenes)
    clashes = tuple(renamed(clash) for clash in bank.clashes)
    return replace(bank, clashes=clashes, sections=sections(bank.sections), scenes=scenes)
