"""Where do the package and the brute force differ about one policy?"""

from __future__ import annotations

import itertools
import math
import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from oracle.evaluators import EVALUATORS, IN_32_BITS, SLOW, Question, Said
from oracle.policies import Policy, Tree, files, random_answers, random_policy, random_text
from oracle.truth import Answers, Truth, fills
from rbrlang.lang.printing.format import formatted
from rbrlang.logic.diff import DiffError, Side, diff
from rbrlang.logic.explain import explain
from rbrlang.policy import Policy as Compiled
from rbrlang.policy import check, check_text
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import row_from
from rbrlang.source import Source

Kind = Literal["exact", "product"]
ROWS = 8
GRID = (0.18, 0.5, 0.83)
ENDS = (0.0, 0.5, 1.0)
BREAKS = {"gap": "RBR3001", "overlap": "RBR3002", "impossible": "RBR3003", "axioms": "RBR3004"}


@dataclass
class Found:
    """Differences, in words, and what was compared."""

    differences: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def check(self, right: bool, said: str) -> None:
        if not right:
            self.differences.append(said)


def examine(seed: int, *, slow: bool = False) -> Found:
    """Compare everything about the policy of this number; `slow` asks the slow evaluators too."""
    found, draw = Found(), random.Random(f"rows {seed}")
    policy = repaired(random_policy(seed), draw)
    found.counts["policies"] += 1
    checked = _checked(policy)
    errors = {d.code.id for d in checked.diagnostics if d.severity == "error"}
    if not policy.measured:
        expected = {BREAKS[word] for word in breaks(policy)}
        found.check(errors == expected, f"errors {sorted(errors)}, expected {sorted(expected)}")
    else:
        found.check(errors <= set(BREAKS.values()), f"errors {sorted(errors)}")
    _layout(found, policy)
    if checked.ok:
        found.counts["sound"] += 1
        compiled = Compiled(checked)
        for kind in ("exact", "product"):
            _rewards(found, policy, compiled, kind, draw, slow)
        _fingerprint(found, policy, compiled, draw)
        if not policy.measured:
            _explanations(found, policy, compiled, draw)
            _difference(found, policy, compiled, seed, draw)
    if found.differences:
        text = "\n".join(f"--- {name}\n{body}" for name, body in files(policy).items())
        found.differences = [f"policy {seed}: {one}\n{text}" for one in found.differences]
    return found


def _checked(policy: Policy):  # type: ignore[no-untyped-def]
    texts = files(policy)
    if len(texts) == 1:
        return check_text(texts["root.rbr"])
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        return check(os.path.join(folder, "root.rbr"))


# --- verdicts -------------------------------------------------------------------------------------


def breaks(policy: Policy) -> set[str]:
    """What is wrong with a policy without measures."""
    truth = Truth(policy, "")
    if not truth.allowed:
        return {"axioms"}
    wrong: set[str] = set()
    for number in range(len(policy.responses)):
        tables = list(truth.classes(number).values())
        covered = 0
        for table in tables:
            if covered & table & truth.allowed:
                wrong.add("overlap")
            covered |= table
            if not table & truth.allowed:
                wrong.add("impossible")
        if truth.allowed & ~covered:
            wrong.add("gap")
    return wrong


def repaired(policy: Policy, draw: random.Random) -> Policy:
    """Mostly without axioms that exclude everything and classes that cannot be, so that there is something to reward."""
    if draw.random() < 0.1:
        return policy
    while policy.axioms and not Truth(policy, "").allowed:
        policy = replace(policy, axioms=policy.axioms[1:])
    truth = Truth(policy, "")
    responses = list(policy.responses)
    override = policy.override
    for number, response in enumerate(responses):
        tables = truth.classes(number)
        empty = {c for c, table in tables.items() if not table & truth.allowed}
        if override is not None and override[0] == number:
            empty.discard(override[1])
        if not empty or len(empty) == len(tables):
            continue
        rules = [(c, tree) for c, tree in response.rules if c not in empty]
        if response.cascade and any(tree is None for c, tree in response.rules if c in empty):
            rules[-1] = (rules[-1][0], None)
        tiers = tuple(t for tier in response.tiers if (t := tuple(c for c in tier if c not in empty)))
        features = response.features
        if features is not None:
            features = tuple(f for f in features if f not in empty) or ("classes",)
        fixed = tuple(f for f in response.fixed if f[0] not in empty)
        if features == ("classes",):
            fixed = tuple(f for f in fixed if not f[0].startswith("p"))
        responses[number] = replace(response, rules=tuple(rules), tiers=tiers, features=features, fixed=fixed)
    if override is not None and dict(responses[override[0]].rules).get(override[1]) is None:
        override = None  # there is no formula left to replace
    return replace(policy, responses=tuple(responses), override=override)


# --- rewards --------------------------------------------------------------------------------------


def _rewards(found: Found, policy: Policy, compiled: Compiled, kind: Kind, draw: random.Random, slow: bool) -> None:
    circuit = compiled.compiled(kind)
    names = {name: n for n, name in enumerate(circuit.propositions)}
    texts = [random_text(draw) for _ in range(2)] if policy.measured else ["tea"]
    truths = [Truth(policy, text) for text in texts]
    weights = _weights(found, policy, compiled, draw)
    of = [draw.choice(truths) for _ in range(ROWS)]
    ids = [draw.randrange(len(policy.responses)) for _ in range(ROWS)]
    every = [random_answers(draw, policy.propositions) for _ in range(ROWS)]
    # What the policy does not reach is no column: nobody is asked, and no axiom speaks of it.
    every = [[p if f"p{n}" in names else 0.5 for n, p in enumerate(answers)] for answers in every]
    base = np.array([draw.choice((0.0, round(draw.gauss(0, 2), 3))) for _ in range(ROWS)], np.float32)
    reward = NumpyReward(circuit, weights)
    rows = [
        row_from({
            "id": str(i), "prompt": "Write.", "completion": truth.text, **_asks(policy, number, draw),
            "probs": {f"p{n}": p for n, p in enumerate(answers) if p is not None},
        })
        for i, (truth, number, answers) in enumerate(zip(of, ids, every, strict=True))
    ]  # fmt: skip
    probs, numbers = reward.encode(rows), reward.response_ids(rows)
    found.check(numbers.tolist() == ids, f"response ids {numbers.tolist()}, expected {ids}")
    question = Question(circuit, weights, probs, np.array(ids, np.int32), base, tuple(t.text for t in of))
    reasons = reward.reasons(probs, question.ids, base)
    said = {way: evaluate(question) for way, evaluate in EVALUATORS.items() if slow or way not in SLOW}
    bounds = said["numpy"].bounds
    assert bounds is not None
    # Answers are numbers of 32 bits.
    every = [[None if p is None else float(np.float32(p)) for p in answers] for answers in every]
    for at, (truth, number, answers) in enumerate(zip(of, ids, every, strict=True)):
        found.counts["rows"] += 1
        row = _Row(found, truth, kind, number, answers, weights[number].tolist(), float(base[at]))
        for way, one in said.items():
            row.compare(f"{kind} {way} row {at}", one, at, few_bits=way in IN_32_BITS)
        row.reason(f"{kind} row {at}", reasons[at], float(said["numpy"].rewards[at]))
        if kind == "exact":
            row.partition(f"row {at}")


def _asks(policy: Policy, number: int, draw: random.Random) -> dict[str, str]:
    """How a row says its response type: by name, or by a category that the policy maps to it."""
    mapped = [name for name, response in policy.categories if response == number]
    return {"category": draw.choice(mapped)} if mapped else {"response_type": policy.responses[number].name}


def _weights(found: Found, policy: Policy, compiled: Compiled, draw: random.Random):  # type: ignore[no-untyped-def]
    """Weights within the author's bounds; the default ones are compared on the way."""
    default = NumpyReward(compiled.circuit).weights
    table = default.copy()
    for number, response in enumerate(policy.responses):
        features = Truth(policy, "").features(number)
        named = [f.name for f in compiled.circuit.responses[number].features]
        found.check(named == [name for _, name, _ in features], f"features {named} of {response.name}")
        for j, (what, name, at) in enumerate(features):
            expected = _default(response.tiers, at) if what == "class" else 0.0
            low, high = -math.inf, math.inf
            for feature, relation, limit in response.fixed:
                if feature == name:
                    low = max(low, limit) if relation in ("=", ">=") else low
                    high = min(high, limit) if relation in ("=", "<=") else high
            expected = min(max(expected, low), high)
            found.check(
                math.isclose(default[number, j], expected, abs_tol=1e-6), f"weight of {name}: {default[number]}"
            )
            if low < high:
                drawn = draw.choice((expected, 0.0, 1.0, -1.0, draw.gauss(0, 2)))
                table[number, j] = min(max(drawn, low), high)
    return table if draw.random() < 0.7 else default


def _default(tiers: Sequence[Sequence[str]], klass: int) -> float:
    rank = next(n for n, tier in enumerate(_numbered(tiers)) if klass in tier)
    return 0.0 if len(tiers) == 1 else 1.0 - 2.0 * rank / (len(tiers) - 1)


def _numbered(tiers: Sequence[Sequence[str]]) -> Iterator[list[int]]:
    count = itertools.count()
    for tier in tiers:
        yield [next(count) for _ in tier]


@dataclass
class _Row:
    found: Found
    truth: Truth
    kind: Kind
    number: int
    answers: Answers
    weights: list[float]
    base: float

    def __post_init__(self) -> None:
        features = self.truth.features(self.number)
        self.weights = self.weights[: len(features)]
        self.scale = 1.0 + sum(map(abs, self.weights)) + abs(self.base)
        self.missing = [n for n, p in enumerate(self.answers) if p is None]
        self.contradiction = self.truth.contradicts(self.answers)
        self.inside = [self._at(p) for p in fills(self.answers, GRID)]
        self.everywhere = (
            [*self.inside, *(self._at(p) for p in fills(self.answers, ENDS))] if self.missing else self.inside
        )
        self.defined = [v for v in self.everywhere if not math.isnan(v)]
        self.found.counts["contradictions"] += self.contradiction
        self.found.counts["rows with unknowns"] += bool(self.missing)

    def _at(self, p: Sequence[float]) -> float:
        return self.truth.reward(self.kind, self.number, self.weights, p) + self.base

    def improbable(self) -> bool:
        """Whether some way to fill the unknowns leaves so little that 32 bits may not tell it from nothing."""
        return any(self.truth.left(self.kind, self.number, p) < 1e-32 for p in fills(self.answers, GRID))

    def compare(self, where: str, said: Said, at: int, *, few_bits: bool) -> None:
        """A reward is the only one that the answers leave, and is missing only where there are several, or none."""
        if few_bits and not self.contradiction and self.improbable():
            classes = said.classes[at].tolist()
            if math.isnan(float(said.rewards[at])) and all(map(math.isnan, classes)):
                self.found.counts["too improbable for 32 bits"] += 1
                return
        found, close = self.found, 1e-5 * self.scale
        value = float(said.rewards[at])
        spread = max(self.defined) - min(self.defined) if self.defined else math.nan
        undefined = any(math.isnan(v) for v in self.inside)
        found.check(not math.isinf(value), f"{where}: an infinite reward")
        if math.isnan(value):
            if not self.missing:
                found.check(math.isnan(self.inside[0]), f"{where}: no reward, expected {self.inside[0]}")
        else:
            found.counts["rewards"] += 1
            found.check(not self.contradiction and not undefined, f"{where}: reward {value} of a row that has none")
            if self.defined:
                found.check(spread <= close, f"{where}: reward {value}, though it lies in {self._span()}")
                found.check(
                    abs(value - self.defined[0]) <= close, f"{where}: reward {value}, expected {self.defined[0]}"
                )
        if said.bounds is not None:
            self._bounds(where, value, float(said.bounds[0][at]), float(said.bounds[1][at]), close)
        self._classes(where, said.classes[at].tolist())

    def _span(self) -> str:
        return f"{min(self.defined)} to {max(self.defined)}"

    def _bounds(self, where: str, value: float, low: float, high: float, close: float) -> None:
        found = self.found
        found.counts["intervals"] += 1
        if math.isnan(low) or math.isnan(high):
            found.check(math.isnan(value), f"{where}: a reward without bounds")
            found.check(
                any(map(math.isnan, self.inside)), f"{where}: no bounds, expected {self.defined and self._span()}"
            )
            return
        found.check(not self.contradiction, f"{where}: bounds of a contradiction")
        found.check(low <= high, f"{where}: bounds {low} > {high}")
        if self.defined:
            inside = low <= min(self.defined) + close and max(self.defined) <= high + close
            found.check(inside, f"{where}: bounds {low} to {high} do not hold {self._span()}")
        if math.isnan(value):
            found.check(low < high, f"{where}: no reward though its bounds are equal, {low}")
            found.counts["withheld, though settled"] += (
                bool(self.defined) and max(self.defined) - min(self.defined) <= close
            )
        else:
            found.check(low - close <= value <= high + close, f"{where}: reward {value} outside of {low} to {high}")
        if len(self.missing) == 1 and self.defined and self._tight():
            spread = abs(low - min(self.defined)) + abs(high - max(self.defined))
            found.check(spread <= 2 * close, f"{where}: bounds {low} to {high}, attained {self._span()}")

    def _tight(self) -> bool:
        """Where one unknown has bounds that are attained: see `evaluate.reward_bounds`."""
        return self.kind == "exact" and not self.truth.policy.axioms and not self.truth.policy.measured

    def _classes(self, where: str, said: list[float]) -> None:
        names = self.truth.policy.responses[self.number].classes
        if self.missing:
            if self.contradiction:
                self.found.check(all(map(math.isnan, said)), f"{where}: classes of a contradiction")
            return
        p = [0.0 if p is None else p for p in self.answers]
        expected = self.truth.exact(self.number, p) if self.kind == "exact" else self.truth.product(self.number, p)
        if expected is None:
            self.found.check(all(map(math.isnan, said)), f"{where}: classes {said}, expected none")
            return
        self.found.counts["class probabilities"] += len(names)
        near = all(abs(a - b) <= 1e-5 for a, b in zip(said, [*expected, *[0.0] * 9], strict=False))
        self.found.check(near, f"{where}: classes {said}, expected {expected}")

    def reason(self, where: str, said: str | None, value: float) -> None:
        """A reason says its cause, and a contradiction the fewest answers that make it."""
        found = self.found
        found.check((said is None) == math.isfinite(value), f"{where}: reward {value} and the reason `{said}`")
        if said is None:
            return
        prefix = "the answers contradict the axioms, which exclude `"
        found.check(said.startswith(prefix) == self.contradiction, f"{where}: said `{said}` of {self.answers}")
        if self.contradiction and said.startswith(prefix):
            facts = said.removeprefix(prefix).rstrip("`").split(" & ")
            asked = {int(f.lstrip("!p")): not f.startswith("!") for f in facts if f.lstrip("!").startswith("p")}
            if len(asked) == len(facts):  # no measure among them
                given = [float(asked[n]) if n in asked else None for n in range(len(self.answers))]
                found.check(self.truth.contradicts(given), f"{where}: the axioms do not exclude `{said}`")
                found.check(
                    all(self.answers[n] == float(v) for n, v in asked.items()), f"{where}: nobody said `{said}`"
                )
                for n in asked:
                    fewer = [None if m == n else p for m, p in enumerate(given)]
                    found.check(not self.truth.contradicts(fewer), f"{where}: less than `{said}` would do")

    def partition(self, where: str) -> None:
        """Every assignment that the axioms allow has one class, also where measures are involved."""
        covered = 0
        for table in self.truth.classes(self.number).values():
            self.found.check(not covered & table & self.truth.allowed, f"{where}: two classes for one assignment")
            covered |= table
        self.found.check(not self.truth.allowed & ~covered, f"{where}: no class for an assignment")


# --- explanations -----------------------------------------------------------------------------------


def _explanations(found: Found, policy: Policy, compiled: Compiled, draw: random.Random) -> None:
    truth, logic = Truth(policy, ""), compiled.checked.compiled
    atoms = compiled.program.atoms
    columns = [int(name[1:]) for name in atoms]
    for number, item in enumerate(logic.responses):
        assert item is not None
        tables = truth.classes(number)
        names = list(tables)
        for _ in range(2):
            world = draw.randrange(truth.worlds)
            true = frozenset(at for at, n in enumerate(columns) if world >> n & 1)
            # Propositions that are no column have no say: any value of theirs will do.
            allowed = truth.allowed >> world & 1
            said = explain(logic.bdd, item, logic.axioms, true)
            found.check((said is None) == (not allowed), f"explain: {world:b} is {'' if allowed else 'not '}allowed")
            if said is None or not allowed:
                continue
            found.counts["explanations"] += 1
            klass = next(at for at, c in enumerate(names) if tables[c] >> world & 1)
            found.check(said.klass == klass, f"explain: {world:b} is {names[said.klass]}, expected {names[klass]}")
            forced = tables[names[klass]] | (truth.full & ~truth.allowed)
            facts = [(columns[at], value) for at, value in said.reason]
            found.check(all((world >> n & 1) == v for n, v in facts), f"explain: {facts} does not hold of {world:b}")
            found.check(not _cube(truth, facts) & ~forced, f"explain: {facts} does not force {names[klass]}")
            smallest = next(
                size
                for size in range(policy.propositions + 1)
                for some in itertools.combinations(range(policy.propositions), size)
                if not _cube(truth, [(n, bool(world >> n & 1)) for n in some]) & ~forced
            )
            found.check(len(facts) == smallest, f"explain: {len(facts)} facts where {smallest} do")
            for at, flip in enumerate(said.flips):
                target = tables[names[at]] & truth.allowed
                nearest = min(((world ^ w).bit_count() for w in range(truth.worlds) if target >> w & 1), default=None)
                found.check((None if flip is None else len(flip)) == nearest, f"explain: flip {flip} of {world:b}")
                if flip is not None:
                    there = world
                    for atom, value in flip:
                        there = there | 1 << columns[atom] if value else there & ~(1 << columns[atom])
                    found.check(bool(target >> there & 1), f"explain: {flip} does not lead to {names[at]}")
            weights = NumpyReward(compiled.circuit).weights[number].tolist()
            expected = truth.reward("exact", number, weights[: len(truth.features(number))],
                                    [float(world >> n & 1) for n in range(policy.propositions)])  # fmt: skip
            found.check(abs(said.reward - expected) <= 1e-5, f"explain: reward {said.reward}, expected {expected}")


def _cube(truth: Truth, facts: Sequence[tuple[int, bool]]) -> int:
    table = truth.full
    for n, value in facts:
        table &= truth.props[n] if value else ~truth.props[n]
    return table


# --- layout, fingerprints, differences ----------------------------------------------------------------


def _layout(found: Found, policy: Policy) -> None:
    """Formatting keeps the meaning, and twice is once; text that is printed from a tree reads as that tree."""
    for name, text in files(policy).items():
        once = formatted(Source(name, text))
        found.check(formatted(Source(name, once)) == once, f"fmt: {name} twice is not once")
        if policy.override is None:
            found.check(
                check_text(once).fingerprint == check_text(text).fingerprint, f"fmt: {name} means something else"
            )
    found.counts["layouts"] += 1


def _fingerprint(found: Found, policy: Policy, compiled: Compiled, draw: random.Random) -> None:
    """Spelling, order and names of definitions do not show; another class of one assignment does."""
    if policy.override is not None:
        return
    found.counts["fingerprints"] += 1
    responses = tuple(
        r if r.cascade else replace(r, rules=tuple(draw.sample(r.rules, len(r.rules)))) for r in policy.responses
    )
    other = replace(
        policy,
        definitions=tuple(map(_respelled, policy.definitions)),
        axioms=tuple(_respelled(tree) for tree in draw.sample(policy.axioms, len(policy.axioms))),
        responses=tuple(
            replace(r, rules=tuple((c, None if t is None else _respelled(t)) for c, t in r.rules)) for r in responses
        ),
        names=tuple(f"other_{name}" for name in policy.names),
    )
    again = check_text(files(other)["root.rbr"])
    found.check(again.fingerprint == compiled.fingerprint, "fingerprint: changed by another spelling")
    changed = _changed(policy, draw)
    if changed is not None:
        said = check_text(files(changed)["root.rbr"])
        found.check(said.fingerprint != compiled.fingerprint, "fingerprint: the same for another meaning")


def _respelled(tree: Tree) -> Tree:
    """The same function with `&` for `|`, and arrows in other words."""
    kind, *rest = tree
    match kind:
        case "and" | "or":
            return "not", ("or" if kind == "and" else "and", *(("not", _respelled(part)) for part in rest))
        case "=>":
            return "or", ("not", _respelled(rest[0])), _respelled(rest[1])
        case "<=>":
            return "not", ("<=>", ("not", _respelled(rest[0])), _respelled(rest[1]))
        case "not":
            return "not", ("not", ("not", _respelled(rest[0])))
        case _:
            return tree


def _changed(policy: Policy, draw: random.Random) -> Policy | None:
    """The policy with one assignment moved to another class of a cascade; None where there is no such move."""
    for number, response in enumerate(policy.responses):
        truth = Truth(policy, "")
        tables = truth.classes(number)
        if policy.measured or not response.cascade or len(tables) < 2:
            continue
        worlds = [w for w in range(truth.worlds) if truth.allowed >> w & 1]
        reach = set().union(*(truth.mentions(t) for r in policy.responses for _, t in r.rules if t is not None))
        if not worlds or not reach:
            continue
        world = draw.choice(worlds)
        klass = next(c for c in tables if tables[c] >> world & 1)
        exactly: Tree = (
            "and",
            ("const", True),
            *((("prop", n) if world >> n & 1 else ("not", ("prop", n))) for n in sorted(reach)),
        )
        other = next(c for c in tables if c != klass)
        moved = replace(response, rules=((other, exactly), *response.rules))
        responses = tuple(moved if n == number else r for n, r in enumerate(policy.responses))
        return replace(policy, responses=responses)
    return None


def _difference(found: Found, policy: Policy, compiled: Compiled, seed: int, draw: random.Random) -> None:
    """`rbrc diff` against another random policy over the same names."""
    changed = _changed(policy, draw)
    if changed is None or policy.override is not None:
        return
    new = _checked(changed)
    if not new.ok:
        return
    found.counts["diffs"] += 1
    try:
        said = diff(Side(compiled.program, compiled.checked.compiled), Side(new.program, new.compiled), {})
    except DiffError:
        found.check(False, "diff: refused")
        return
    before, after = Truth(policy, ""), Truth(changed, "")
    priors = [0.5 if p is None else p for p in policy.priors]
    weights = [1.0]
    for p in priors:
        weights = [w * (1.0 - p) for w in weights] + [w * p for w in weights]
    whole = after.mass(after.allowed, weights)
    for number, response in enumerate(said.responses):
        was, now = before.classes(number), after.classes(number)
        for i, one in enumerate(response.before):
            for j, other in enumerate(response.after):
                expected = after.mass(was[one] & now[other] & after.allowed, weights) / whole
                found.check(
                    abs(response.masses[i][j] - expected) <= 1e-9, f"diff: {one} to {other} {response.masses[i][j]}"
                )
        moved = {(c.before, c.after) for c in response.moved}
        expected_moves = {(a, b) for a in was for b in now if a != b and was[a] & now[b] & after.allowed}
        found.check(moved == expected_moves, f"diff: moves {moved}, expected {expected_moves}")
