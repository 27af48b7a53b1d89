"""`rbrc explain FILE`: the class of an assignment or a row, why, and what would change it."""

from __future__ import annotations

import argparse
import math
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from rbrlang.cli import options as shared
from rbrlang.cli.commands.language.graph import response_named
from rbrlang.cli.errors import UsageError
from rbrlang.cli.render import dump, witness_text
from rbrlang.cli.terminal import say, warn
from rbrlang.lang.program import TruthTest
from rbrlang.logic.explain import Explanation, Facts, explain, names, nearest
from rbrlang.logic.findings.audit import assignment
from rbrlang.policy import Policy, check_text

if TYPE_CHECKING:
    from rbrlang.rows.read import Row


class _Case(NamedTuple):
    """What is explained: the policy, the response type's number, the atoms that hold, and the grader's numbers."""

    policy: Policy
    response: int
    true: frozenset[int]
    graded: dict[str, Any]


def run(options: argparse.Namespace) -> int:
    """Explain one completion; 1 when the policy has errors or its axioms exclude what was given."""
    if (options.given is None) == (options.row is None):
        raise UsageError('say which completion: `--for R --given "a, !b"`, or `--row ROWS:ID`')
    policy = shared.policy(options, options.code)
    if policy is None:
        return 1
    case = _given(options, policy) if options.given is not None else _row(options, policy)
    checked = case.policy.checked
    item = checked.compiled.responses[case.response]
    assert item is not None  # a response type that is too large is an error of the policy
    found = explain(checked.compiled.bdd, item, checked.compiled.axioms, case.true)
    if found is None:
        broken = [
            " ".join(axiom.formula.span.text.split()) for axiom, edge in
            zip(checked.program.axioms, checked.compiled.axiom_edges, strict=True)
            if not checked.compiled.bdd.holds(edge, case.true)
        ]  # fmt: skip
        warn(f"rbrc explain: the axioms exclude this: it breaks {' and '.join(f'`{b}`' for b in broken)}")
        return 1
    if options.format == "json":
        sys.stdout.write(dump(_report(case, found)))
    else:
        _show(case, found)
    return 0


def _given(options: argparse.Namespace, policy: Policy) -> _Case:
    """The case of `--for R --given`, read as a test of the policy would be. Raises `UsageError`."""
    known = [response.name for response in policy.program.responses]
    if options.response is None and len(known) != 1:
        raise UsageError(f"name the response type with `--for`: {', '.join(known) or 'the policy has none'}")
    number = 0 if options.response is None else response_named(options.response, known, options.code)
    response = policy.program.responses[number]
    given = f"  given {options.given}\n" if options.given.strip() else ""
    source = policy.checked.modules[-1].module.source
    asked = f'{source.text}\ntest "what was asked" for {response.name} {{\n{given}  expect {response.classes[0]}\n}}\n'
    checked = check_text(asked, name=source.name, params=dict(options.params), roots=options.roots)
    problems = [
        d for d in checked.diagnostics
        if d.severity == "error" and d.span.start >= len(source.text) and d.code.id != "RBR3006"
    ]  # fmt: skip
    test = checked.program.tests[-1] if checked.program.tests else None
    if problems or len(checked.program.tests) != len(policy.program.tests) + 1 or not isinstance(test, TruthTest):
        why = (
            problems[0].message + (f"; {problems[0].help}" if problems[0].help else "")
            if problems
            else "it cannot be read"
        )
        raise UsageError(f"`--given {options.given}`: {why}")
    return _Case(Policy(checked), number, assignment(checked.program, test), {})


def _row(options: argparse.Namespace, policy: Policy) -> _Case:
    """The case of `--row ROWS:ID`: what its grader thinks more likely than not. Raises `UsageError`."""
    path, _, wanted = options.row.rpartition(":")
    if not path:
        raise UsageError(f"`--row {options.row}` is not ROWS:ID, a file of rows and the id of one")
    from rbrlang.cli import data
    from rbrlang.reward.numpy import NumpyReward
    from rbrlang.rows.read import with_labels_as_probs

    rows = [row for row in data.read(options, path).rows if row.id == wanted]
    if not rows:
        raise UsageError(f"`{path}` has no row with the id `{wanted}`")
    row: Row = rows[0] if rows[0].probs else with_labels_as_probs(rows[:1])[0]
    reward = NumpyReward(policy.circuit)
    probs, ids = reward.encode([row]), reward.response_ids([row])
    known = [response.name for response in policy.program.responses]
    number = int(ids[0]) if options.response is None else response_named(options.response, known, options.code)
    if number < 0:
        raise UsageError(f"the policy does not map row `{wanted}` to a response type; name one with `--for`")
    ids[:] = number
    reasons = reward.reasons(probs, ids)
    if reasons[0] is not None:
        raise UsageError(f"row `{wanted}` has no class: {reasons[0]}")
    response = policy.circuit.responses[number]
    chances = reward.class_probs(probs, ids)[0].tolist()
    addends = reward.contributions(probs, ids)[0].tolist()[1:]
    values = reward.features(probs, ids)[0].tolist()
    atoms = policy.program.atoms
    graded = {
        "id": row.id,
        "class_probs": dict(zip(response.classes, chances, strict=False)),
        "reward": float(reward(probs, ids)[0]),
        "contributions": [
            {"feature": f.name, "value": value, "reward": addend}
            for f, value, addend in zip(response.features, values, addends, strict=False)
        ],
        "unsure": {atoms[a]: float(probs[0, a]) for a in response.atoms if 0.05 < probs[0, a] < 0.95},
    }
    answers = {atom: bool(p > 0.5) for atom, p in enumerate(probs[0].tolist()) if not math.isnan(p)}
    return _Case(policy, number, _allowed(policy, answers), graded)


def _allowed(policy: Policy, answers: dict[int, bool]) -> frozenset[int]:
    """The atoms that hold by the answers. What was not answered is false, but where the axioms ask for more."""
    compiled = policy.checked.compiled
    bdd = compiled.bdd
    true = frozenset(atom for atom, holds in answers.items() if holds)
    given = bdd.conjoin_all(bdd.variable(atom) ^ (not holds) for atom, holds in answers.items())
    changes = nearest(bdd, bdd.conjoin(compiled.axioms, given), true)
    return true if changes is None else true | {atom for atom, _ in changes}


def _text(facts: Facts, policy: Policy) -> str:
    """Facts as one writes them, without those that another states too: `!words > 60` says `!words > 80`."""
    program, first = policy.program, len(policy.program.propositions)
    said = dict(facts)

    def implied(atom: int) -> bool:
        for other in said:
            if min(atom, other) >= first and other != atom and said[other] == said[atom]:
                one, two = program.measures[other - first], program.measures[atom - first]
                same = one.quantity == two.quantity
                if same and (one.threshold > two.threshold) == said[atom]:
                    return True
        return False

    return witness_text(names(tuple(fact for fact in facts if not implied(fact[0])), program.atoms))


def _show(case: _Case, found: Explanation) -> None:
    response = case.policy.program.responses[case.response]
    out = sys.stdout.write
    say(f"{response.name}: {response.classes[found.klass]}")
    say(f"  because {_text(found.reason, case.policy) or 'every completion is'}")
    for name, flip in zip(response.classes, found.flips, strict=True):
        if flip is None:
            say(f"  {name}: no completion is")
        elif flip:
            say(f"  {name} if {_text(flip, case.policy)}")
    if case.graded:
        chances = case.graded["class_probs"]
        out("  graded: " + ", ".join(f"{name} {p:.3f}" for name, p in chances.items() if p >= 0.0005) + "\n")
        if case.graded["unsure"]:
            out("  unsure: " + ", ".join(f"{name} {p:.2f}" for name, p in case.graded["unsure"].items()) + "\n")
        parts = [(c["feature"], c["value"], c["reward"]) for c in case.graded["contributions"]]
        total = case.graded["reward"]
    else:
        parts = [(name, value, value * weight) for name, value, weight in found.addends]
        total = found.reward
    say(f"  reward {total:+.3f} with default weights")
    for name, value, addend in parts:
        if addend:
            out(f"    {addend:+.3f}  {name}" + ("" if value == 1.0 else f" × {value:.3f}") + "\n")


def _report(case: _Case, found: Explanation) -> dict[str, Any]:
    program = case.policy.program
    response = program.responses[case.response]
    return {
        "response_type": response.name,
        "fingerprint": case.policy.fingerprint,
        "given": [program.atoms[atom] for atom in sorted(case.true)],
        "class": response.classes[found.klass],
        "reason": dict(names(found.reason, program.atoms)),
        "flips": {
            name: None if flip is None else dict(names(flip, program.atoms))
            for at, (name, flip) in enumerate(zip(response.classes, found.flips, strict=True))
            if at != found.klass
        },
        "reward": found.reward,
        "contributions": [{"feature": n, "value": v, "weight": w} for n, v, w in found.addends],
        "graded": case.graded or None,
    }
