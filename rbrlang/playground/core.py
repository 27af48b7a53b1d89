"""What does the page show of a policy's text, and of what is said of one completion?

This runs in the page, on a Python that has nothing but its standard library; JSON goes in and comes out.
"""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rbrlang.budget import Budget, SpentError
from rbrlang.checking import check
from rbrlang.diagnostics import Diagnostic, chosen, fix_text, notes, witness_text
from rbrlang.lang.load import read_file
from rbrlang.lang.reading.reparse import Reparser
from rbrlang.logic.circuit import Circuit
from rbrlang.logic.explain import Facts, nearest, reason
from rbrlang.logic.witness import smallest_witness
from rbrlang.policy import Policy
from rbrlang.reward import situation
from rbrlang.reward.plain import PlainReward, Told
from rbrlang.source import Source, Span

MOST_CHANGES = 8
_Answer = float | str | None  # P(yes), or the value of a scale or a choice; None where nobody knows


class Playground:
    """A policy in the making: its file, whose text the page has, beside the files that it imports."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._text = ""
        self._parser = Reparser()
        self._sound: Policy | None = None
        self._opened: _Opened | None = None
        gc.collect()
        gc.freeze()  # what is loaded now stays, and is not looked through again and again

    def findings(self, text: str) -> str:
        """What a check of the text finds, in the words of `rbrc check`; a sound policy is the one that is tried."""
        self._text = text
        checked = check(self._path, read=self._read, parser=self._parser)
        if checked.ok:
            self._sound, self._opened = Policy(checked), None
        source = checked.modules[-1].module.source
        shown = chosen(checked.diagnostics, all_messages=False)
        return json.dumps({
            "ok": checked.ok, "more": len(checked.diagnostics) - len(shown),
            "findings": [_finding(diagnostic, source) for diagnostic in shown],
        })  # fmt: skip

    def _read(self, path: Path) -> bytes:
        return self._text.encode("utf-8", "surrogatepass") if path == self._path else read_file(path)

    def panel(self, said: str) -> str:
        """What the last sound policy makes of `{"response": name, "base": number, "answers": {name: answer}}`.

        It comes from a link, which anybody can write: what the policy has no place for is left out.
        """
        if self._sound is None:
            return json.dumps(None)
        try:
            if self._opened is None:
                self._opened = _Opened(self._sound)
            return json.dumps(self._opened.panel(json.loads(said)), allow_nan=False)
        except SpentError as error:
            return json.dumps({"spent": error.budget.finding().message})


class _Opened:
    """A sound policy with its reward."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.circuit: Circuit = policy.circuit
        self.reward = PlainReward(self.circuit)
        self.names = {atom.name: at for at, atom in enumerate(self.circuit.atoms) if atom.share is None}
        self.domains = {variable.domain.name: at for at, variable in enumerate(self.circuit.variables)}
        self._witnesses: dict[int, list[str | None]] = {}

    def panel(self, said: Mapping[str, Any]) -> dict[str, Any]:
        known = list(self.circuit.response_names)
        if not known:
            return {"responses": []}
        number = known.index(said["response"]) if said.get("response") in known else 0
        given = said.get("base", 0.0)
        base = float(given) if isinstance(given, int | float) and math.isfinite(given) else 0.0
        given = said.get("answers", {})
        answers = dict(self._believed(given if isinstance(given, dict) else {}))
        probs = self._probs(answers)
        told = self.reward(probs, number, base)
        self.policy.checked.held(Budget())
        response = self.circuit.responses[number]
        true = frozenset(
            at for at, holds in situation.facts(self.circuit, [_rounded(p) for p in probs]).items() if holds
        )
        because, ways = self._explained(number, true)
        return {
            "responses": known, "response": response.name, "base": base,
            "controls": list(self._controls(number, answers)),
            "reward": _number(told.reward), "low": _number(told.low), "high": _number(told.high), "reason": told.reason,
            "classes": [
                {"name": name, "p": _number(p), "witness": witness, "way": way}
                for name, p, witness, way in zip(response.classes, told.classes, self._witness(number), ways, strict=True)
            ],
            "because": because,
            "addends": [
                [name, _number(value)]
                for name, value in zip(("base_reward", *(f.name for f in response.features)), told.addends, strict=True)
            ],
            "changes": self._changes(number, base, answers, told),
        }  # fmt: skip

    def _believed(self, given: Mapping[str, Any]) -> Iterator[tuple[str, _Answer]]:
        """Those answers that the policy has a question for, and that can be one."""
        for name, answer in given.items():
            at = self.names.get(name)
            if name in self.domains:
                values = self.circuit.variables[self.domains[name]].domain.values
                if answer is None or answer in values:
                    yield name, answer
            elif at is not None and self.circuit.atoms[at].rubric is not None:
                if isinstance(answer, int | float) and math.isfinite(answer):
                    yield name, float(answer)
            elif at is not None and (answer is None or (isinstance(answer, int | float) and 0 <= answer <= 1)):
                yield name, None if answer is None else float(answer)

    def _probs(self, answers: Mapping[str, _Answer]) -> list[float]:
        probs = situation.nothing(self.circuit)
        for name, answer in answers.items():
            if name in self.domains:
                situation.put(self.circuit, probs, self.domains[name], None if answer is None else str(answer))
            else:
                probs[self.names[name]] = math.nan if answer is None else float(answer)
        return probs

    def _controls(self, number: int, answers: Mapping[str, _Answer]) -> Iterator[dict[str, Any]]:
        """What can be said of a completion: all that the response type reads, and what axioms tie to it."""
        circuit, program = self.circuit, self.policy.program
        read = {*circuit.responses[number].atoms, *(atom for atom, _, _ in circuit.axioms.nodes)}
        asked = {p.name: p.statement for p in program.propositions}
        for name, at in self.names.items():
            info = circuit.atoms[at]
            if at in read:
                kind = "rubric" if info.rubric else "measure" if info.measure and info.top is None else "chance"
                yield {"name": name, "kind": kind, "statement": asked.get(name, ""), "answer": answers.get(name, 0.0)}
        for name, at in self.domains.items():
            if any(share is not None and share.variable == at for share in (circuit.atoms[a].share for a in read)):
                domain = circuit.variables[at].domain
                answer = answers.get(name, domain.values[domain.default])
                yield {
                    "name": name, "kind": domain.kind, "statement": program.variables[at].statement,
                    "values": domain.values, "answer": answer,
                }  # fmt: skip

    def _witness(self, number: int) -> list[str | None]:
        """The fewest facts that force each class; None for a class that no completion has."""
        found = self._witnesses.get(number)
        if found is None:
            compiled = self.policy.checked.compiled
            item = compiled.responses[number]
            assert item is not None  # a response type that is too large is an error of the policy
            least = [smallest_witness(compiled.bdd, edge, compiled.axioms) for edge in item.classes]
            found = self._witnesses[number] = [None if one is None else self._text(tuple(one.items())) for one in least]
        return found

    def _text(self, facts: Facts) -> str:
        return witness_text(self.policy.program.said(dict(facts))) or "every completion"

    def _explained(self, number: int, true: frozenset[int]) -> tuple[str | None, list[dict[str, Any] | None]]:
        """Why the likelier answers make the class that they make, and for each class the fewest changes that lead to it."""
        compiled = self.policy.checked.compiled
        item = compiled.responses[number]
        assert item is not None
        bdd, axioms = compiled.bdd, compiled.axioms
        because = None
        if bdd.holds(axioms, true):
            klass = next(at for at, edge in enumerate(item.classes) if bdd.holds(edge, true))
            because = (
                f"{item.response.classes[klass]} because {self._text(reason(bdd, item.classes[klass], axioms, true))}"
            )
        changes = (nearest(bdd, bdd.conjoin(edge, axioms), true) for edge in item.classes)
        return because, [None if found is None else self._way(found, true) for found in changes]

    def _way(self, changes: Facts, true: frozenset[int]) -> dict[str, Any]:
        """Changes as text, and as answers."""
        after = (true | {atom for atom, holds in changes if holds}) - {atom for atom, holds in changes if not holds}
        answers: dict[str, _Answer] = {}
        for atom, holds in changes:
            share = self.circuit.atoms[atom].share
            if share is None:
                answers[self.circuit.atoms[atom].name] = float(holds)
            else:
                first, domain = self.circuit.domains[share.variable]
                value = domain.value([at for at in range(len(domain.values) - 1) if first + at in after])
                answers[domain.name] = domain.values[value]
        said = [f"{name} == {a}" if isinstance(a, str) else name if a else f"!{name}" for name, a in answers.items()]
        return {"text": ", ".join(said), "answers": answers}

    def _changes(self, number: int, base: float, answers: Mapping[str, _Answer], now: Told) -> list[dict[str, Any]]:
        """The single answers that would move reward and class most, each control's best, largest first."""
        found: list[tuple[float, float, dict[str, Any]]] = []
        likeliest = _likeliest(now)
        for control in self._controls(number, answers):
            values = [] if control["kind"] == "rubric" else control.get("values", (0.0, 1.0))
            best: tuple[float, float, dict[str, Any]] | None = None
            for value in values:
                if value == control["answer"]:
                    continue
                then = self.reward(self._probs({**answers, control["name"]: value}), number, base)
                moved = _distance(now.reward, then.reward)
                turned = max((_distance(p, q) for p, q in zip(now.classes, then.classes, strict=True)), default=0.0)
                klass = _likeliest(then)
                row = {
                    "name": control["name"], "answer": value, "reward": _number(then.reward),
                    "moved": None if math.isnan(then.reward - now.reward) else then.reward - now.reward,
                    "class": None if klass is None else self.circuit.responses[number].classes[klass],
                    "turns": klass != likeliest,
                }  # fmt: skip
                if (moved, turned) > (0.0, 0.0) and (best is None or (moved, turned) > best[:2]):
                    best = moved, turned, row
            if best is not None:
                found.append(best)
        found.sort(key=lambda one: one[:2], reverse=True)
        return [row for _, _, row in found[:MOST_CHANGES]]


def _distance(before: float, after: float) -> float:
    """How far apart two numbers are; an answer that decides what was open goes farthest, one that opens nothing nowhere."""
    if math.isnan(after):
        return 0.0
    return math.inf if math.isnan(before) else abs(after - before)


def _likeliest(told: Told) -> int | None:
    if not told.classes or any(map(math.isnan, told.classes)):
        return None
    return max(range(len(told.classes)), key=lambda at: told.classes[at])


def _rounded(p: float) -> float:
    """The likelier answer; no where nobody knows, or for a step of a scale unknown."""
    return p if math.isnan(p) else float(p > 0.5)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _finding(diagnostic: Diagnostic, own: Source) -> dict[str, Any]:
    line, column = diagnostic.span.source.position(diagnostic.span.start)
    return {
        "code": diagnostic.code.id, "severity": diagnostic.severity, "message": diagnostic.message,
        "line": line, "column": column, **_place(diagnostic.span, own), "notes": notes(diagnostic),
        "related": [{"message": message, **_place(span, own)} for message, span in diagnostic.related],
        "fixes": [
            {"title": fix_text(fix), "text": fix.text, **_place(fix.span, own)}
            for fix in diagnostic.fixes if fix.span.source is own
        ],
    }  # fmt: skip


def _place(span: Span, own: Source) -> dict[str, Any]:
    """Where it is: in UTF-16 units, as a browser counts, in the text of the page; else the name of the other file."""
    if span.source is not own:
        return {"file": span.source.name}
    if own.text.isascii():
        return {"start": span.start, "end": span.end}
    start = len(own.text[: span.start].encode("utf-16-le", "surrogatepass")) // 2
    return {"start": start, "end": start + len(span.text.encode("utf-16-le", "surrogatepass")) // 2}
