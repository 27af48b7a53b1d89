"""`rbrc repl`: say what holds of a completion, and see its classes and reward move."""

from __future__ import annotations

import argparse
import math
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rbrlang.cli import options as shared
from rbrlang.cli.commands.language.graph import response_named
from rbrlang.cli.errors import UsageError
from rbrlang.cli.terminal import say, warn
from rbrlang.diagnostics import did_you_mean, witness_text
from rbrlang.policy import Policy
from rbrlang.reward import situation

if TYPE_CHECKING:
    from rbrlang.reward.numpy import NumpyReward

_HELP = """\
  NAME            turn a proposition on or off
  a, !b, c=0.7    say that a holds, b does not, c holds with probability 0.7; several at once
  c=?             nobody knows: rewards become intervals
  s == 4          a scale is at this level, or a choice has this option; `s == ?` where nobody knows
  for RESPONSE    another response type
  base NUMBER     the reward model's score
  why             the least that makes this the class, and the least changes to every other
  list            every proposition and what is said of it
  reset           everything off again
  help, quit
"""
_WORDS = ("for", "base", "why", "list", "reset", "help", "quit")
_CHOSEN = re.compile(r"(?P<name>\w+)\s*==?\s*(?P<value>\?|\w+)")
_VALUE = re.compile(r"(?P<name>.*[^=<>!\s])\s*=\s*(?P<value>\?|[0-9.eE+-]+)")


class _Misunderstood(Exception):
    """A line that cannot be followed; the message says why."""


@dataclass
class Session:
    """What is said so far: the probability of every atom, the response type, the base reward; and what was last shown."""

    reward: NumpyReward
    policy: Policy
    response: int
    probs: list[float] = field(default_factory=list[float])
    base: float = 0.0
    last: dict[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        self.probs = self.probs or situation.nothing(self.reward.circuit)

    @property
    def names(self) -> dict[str, int]:
        """The atoms that can be spoken of by their names: all but what belongs to scales and choices."""
        return {atom.name: at for at, atom in enumerate(self.reward.circuit.atoms) if atom.share is None}

    @property
    def domains(self) -> dict[str, int]:
        """The scales and choices by their names."""
        return {variable.domain.name: at for at, variable in enumerate(self.reward.circuit.variables)}

    def follow(self, line: str) -> str:
        """Do what a line says; what to show for it. Raises `_Misunderstood`."""
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if word in ("help", "?") and not rest:
            return _HELP
        if word == "list" and not rest:
            return self._list()
        if word == "why" and not rest:
            return self._why()
        if word == "reset" and not rest:
            self.probs = situation.nothing(self.reward.circuit)
        elif word == "for" and rest:
            self._switch(rest)
        elif word == "base" and rest:
            self.base = _number(rest)
        else:
            self._say(line)
        return self.show()

    def _switch(self, name: str) -> None:
        known = [response.name for response in self.reward.circuit.responses]
        if name not in known:
            raise _Misunderstood(
                f"no response type `{name}`; " + did_you_mean(name, known, f"there are {', '.join(known)}")
            )
        self.response, self.last = known.index(name), {}

    def _say(self, line: str) -> None:
        """Take all the facts of a line, or none."""
        probs = list(self.probs)
        facts = [fact.strip() for fact in line.split(",") if fact.strip()]
        for fact in facts:
            match, chosen = _VALUE.fullmatch(fact), _CHOSEN.fullmatch(fact)
            if chosen is not None and chosen["name"] in self.domains:
                value = self._value(chosen["name"], chosen["value"])
                situation.put(self.reward.circuit, probs, self.domains[chosen["name"]], value)
            elif match is not None:
                value = math.nan if match["value"] == "?" else _number(match["value"])
                if value < 0 or value > 1:
                    raise _Misunderstood(f"`{fact}`: a probability is a number from 0 to 1")
                probs[self._atom(match["name"])] = value
            elif fact.startswith("!"):
                probs[self._atom(fact[1:].strip())] = 0.0
            else:
                atom = self._atom(fact)
                toggled = len(facts) == 1 and self.probs[atom] == 1.0
                probs[atom] = 0.0 if toggled else 1.0
        self.probs = probs

    def _atom(self, name: str) -> int:
        names = self.names
        if name in names:
            return names[name]
        if name in self.domains:
            value = self.reward.circuit.variables[self.domains[name]].domain.values[-1]
            raise _Misunderstood(f"`{name}` has values: say which, as in `{name} == {value}`")
        raise _Misunderstood(
            f"no proposition `{name}`; " + did_you_mean(name, [*names, *self.domains, *_WORDS], "`list` shows them all")
        )

    def _value(self, name: str, value: str) -> str | None:
        values = self.reward.circuit.variables[self.domains[name]].domain.values
        if value not in (*values, "?"):
            raise _Misunderstood(f"`{name}` has no value `{value}`; there are {', '.join(values)}")
        return None if value == "?" else value

    def show(self) -> str:
        """Response type, class probabilities and reward, with what they moved by."""
        import numpy as np

        probs = np.array([self.probs], np.float32)
        ids = np.array([self.response], np.int32)
        response = self.reward.circuit.responses[self.response]
        chances = dict(zip(response.classes, self.reward.class_probs(probs, ids)[0].tolist(), strict=False))
        value = float(self.reward(probs, ids, self.base)[0])
        said = witness_text(self.reward.circuit.said(situation.facts(self.reward.circuit, self.probs)))
        lines = [f"{response.name}: {said or 'nothing holds'}"]
        if math.isnan(value):
            lines.append("  no reward: " + str(self.reward.reasons(probs, ids, self.base)[0]))
            low, high = (float(side[0]) for side in self.reward.bounds(probs, ids, self.base))
            if low <= high:
                lines.append(f"  reward from {low:+.3f} to {high:+.3f}")
        shown = {name: p for name, p in chances.items() if not math.isnan(p)}
        best = max(shown, key=lambda name: shown[name], default=None)
        for name, p in shown.items():
            lines.append(
                f"{'→' if name == best else ' '} {name:<24} {p:6.1%}  {self._moved(name, p, 100, ' %')}".rstrip()
            )
        if not math.isnan(value):
            lines.append(f"  {'reward':<24} {value:+6.3f}  {self._moved('', value, 1, '')}".rstrip())
        self.last = {**shown, **({} if math.isnan(value) else {"": value})}
        return "\n".join(lines) + "\n"

    def _moved(self, name: str, value: float, factor: float, unit: str) -> str:
        before = self.last.get(name)
        if before is None or abs(value - before) * factor < 0.0005:
            return ""
        return f"({(value - before) * factor:+.{1 if factor > 1 else 3}f}{unit})"

    def _list(self) -> str:
        mine = set(self.reward.circuit.responses[self.response].atoms)
        lines: list[str] = []
        for name, atom in self.names.items():
            value = "?" if math.isnan(self.probs[atom]) else f"{self.probs[atom]:g}"
            lines.append(f"  {value:>5}  {name}" + ("" if atom in mine else "   (not asked here)"))
        for first, domain in self.reward.circuit.domains:
            steps = {at for at in range(len(domain.values) - 1) if self.probs[first + at] == 1.0}
            value = "?" if math.isnan(self.probs[first]) else domain.values[domain.value(steps)]
            asked = any(self.reward.circuit.asked_about(atom) == domain.name for atom in mine)
            lines.append(f"  {value:>5}  {domain.name}" + ("" if asked else "   (not asked here)"))
        return "\n".join(lines) + "\n"

    def _why(self) -> str:
        from rbrlang.logic.explain import explain

        unsure = [name for name, at in self.names.items() if self.probs[at] not in (0.0, 1.0)]
        unsure += [domain.name for first, domain in self.reward.circuit.domains if math.isnan(self.probs[first])]
        if unsure:
            raise _Misunderstood(f"`why` needs certain facts; say whether {', '.join(f'`{n}`' for n in unsure)} hold")
        compiled = self.policy.checked.compiled
        item = compiled.responses[self.response]
        assert item is not None  # a response type that is too large is an error of the policy
        true = frozenset(atom for atom, holds in situation.facts(self.reward.circuit, self.probs).items() if holds)
        program = self.policy.program
        found = explain(compiled.bdd, item, compiled.axioms, true)
        if found is None:
            return "  the axioms exclude this\n"
        response = self.policy.program.responses[self.response]
        lines = [
            f"  {response.classes[found.klass]} because {witness_text(program.said(dict(found.reason))) or 'every completion is'}"
        ]
        for name, flip in zip(response.classes, found.flips, strict=True):
            if flip:
                lines.append(f"  {name} if {witness_text(program.said(dict(flip)))}")
        return "\n".join(lines) + "\n"


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _Misunderstood(f"`{text}` is not a number")
    return value


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc repl`."""
    parser.add_argument("file", metavar="FILE", help="a .rbr policy (default weights), or an artefact (its weights)")
    parser.add_argument(
        "--for", dest="response", metavar="R", help="the response type to begin with (default: the first)"
    )
    shared.policy_arguments(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Read lines until the end; 1 when the policy has errors, or when a line of a script could not be followed."""
    session = _open(options)
    if session is None:
        return 1
    terminal = sys.stdin.isatty()
    if terminal:
        _complete(session)
        say("`help` says what can be said; an empty line shows the state")
    sys.stdout.write(session.show())
    failed = False
    while True:
        try:
            line = input("> " if terminal else "").partition("#")[0].strip()
        except EOFError:
            break
        if line in ("quit", "exit"):
            break
        if not line and not terminal:
            continue
        try:
            sys.stdout.write(session.follow(line) if line else session.show())
        except _Misunderstood as error:
            failed = True
            sys.stdout.flush()
            warn(f"{error}")
    return int(failed and not terminal)


def _open(options: argparse.Namespace) -> Session | None:
    from rbrlang.reward.numpy import NumpyReward

    if str(options.file).endswith(".rbrc"):
        if options.params or options.roots:
            raise UsageError("an artefact holds its parameters and files: leave out `-D` and `--root`")
        artefact = shared.artefact(options.file)
        reward, policy = NumpyReward.from_artefact(artefact), shared.policy_of(artefact)
    else:
        found = shared.policy(options, options.file)
        if found is None:
            return None
        reward, policy = NumpyReward(found.circuit), found
    known = [response.name for response in reward.circuit.responses]
    if not known:
        raise UsageError(f"`{options.file}` declares no response type, so there is nothing to try")
    number = 0 if options.response is None else response_named(options.response, known, options.file)
    return Session(reward, policy, number)


def _complete(session: Session) -> None:
    """Tab completes names where the terminal's line editor can."""
    try:
        import readline
    except ImportError:  # not on every system
        return
    words = [*session.names, *session.domains, *(r.name for r in session.reward.circuit.responses), *_WORDS]

    def complete(text: str, state: int) -> str | None:
        found = [word for word in words if word.startswith(text)]
        return found[state] if state < len(found) else None

    readline.set_completer_delims(" ,!=")
    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")
