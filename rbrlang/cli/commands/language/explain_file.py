"""`rbrc explain FILE`: the class of an assignment or a row, why, and what would change it."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rbrlang.budget import SpentError
from rbrlang.cli import options as shared
from rbrlang.cli.commands.language.graph import response_named
from rbrlang.cli.errors import UsageError
from rbrlang.cli.python import allow_python
from rbrlang.cli.render import dump
from rbrlang.cli.terminal import say, warn
from rbrlang.diagnostics import witness_text
from rbrlang.lang.program import Program, TruthTest
from rbrlang.logic.explain import Explanation, Facts, explain, nearest
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
    readings = checked.program.read(case.true)
    found = explain(checked.compiled.bdd, item, checked.compiled.axioms, case.true, readings)
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
    """The case of `--for R --given`, read as a test of the policy would be. Raises `UserError`."""
    known = [response.name for response in policy.program.responses]
    if options.response is None and len(known) != 1:
        raise UsageError(f"name the response type with `--for`: {', '.join(known) or 'the policy has none'}")
    number = 0 if options.response is None else response_named(options.response, known, options.code)
    response = policy.program.responses[number]
    given = f"  given {options.given}\n" if options.given.strip() else ""
    source = policy.checked.modules[-1].module.source
    asked = f'{source.text}\ntest "what was asked" for {response.name} {{\n{given}  expect {response.classes[0]}\n}}\n'
    budget = policy.checked.budget
    checked = check_text(asked, name=source.name, params=dict(options.params), roots=options.roots, steps=budget)
    if budget.spent:
        raise SpentError(budget)
    checked.held()
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
    """The case of `--row ROWS:ID`: what its grader thinks more likely than not. Raises `UserError`."""
    path, _, wanted = options.row.rpartition(":")
    if not path:
        raise UsageError(f"`--row {options.row}` is not ROWS:ID, a file of rows and the id of one")
    from rbrlang.cli import data
    from rbrlang.reward.measure import silences
    from rbrlang.reward.numpy import NumpyReward
    from rbrlang.reward.rubrics import reasons as rubric_reasons
    from rbrlang.reward.rubrics import size, with_met
    from rbrlang.rows.read import with_labels_as_probs

    rows = [row for row in data.read(options, path, policy.circuit).rows if row.id == wanted]
    if not rows:
        raise UsageError(f"`{path}` has no row with the id `{wanted}`")
    row: Row = rows[0] if rows[0].probs else with_met(policy.circuit, with_labels_as_probs(rows[:1])[0])
    allow_python(options, policy.circuit)
    reward = NumpyReward(policy.circuit)
    probs, ids = reward.encode([row]), reward.response_ids([row])
    known = [response.name for response in policy.program.responses]
    number = int(ids[0]) if options.response is None else response_named(options.response, known, options.code)
    if number < 0:
        raise UsageError(f"the policy does not map row `{wanted}` to a response type; name one with `--for`")
    ids[:] = number
    first = len(policy.circuit.atoms) - size(policy.circuit)
    unrated = rubric_reasons(policy.circuit, number, row)
    probs[:, first:][probs[:, first:] != probs[:, first:]] = 0.0  # a class needs no rubric
    reasons = reward.reasons(probs, ids)
    if reasons[0] is not None:
        why = "; ".join([reasons[0], *silences(policy.circuit, number, row.conversation)])
        raise UsageError(f"row `{wanted}` has no class: {why}")
    response = policy.circuit.responses[number]
    chances = reward.class_probs(probs, ids)[0].tolist()
    addends = reward.contributions(probs, ids)[0].tolist()[1:]
    values = reward.features(probs, ids)[0].tolist()
    answers, unsure = _answers(policy.program, probs[0, :first].tolist(), response.atoms)
    graded = {
        "id": row.id,
        "class_probs": dict(zip(response.classes, chances, strict=False)),
        "reward": float(reward(probs, ids)[0]),
        "contributions": [
            {"feature": f.name, "value": value, "reward": addend}
            for f, value, addend in zip(response.features, values, addends, strict=False)
        ],
        "unsure": unsure,
        **({"left_out": list(unrated)} if unrated else {}),
    }
    return _Case(policy, number, _allowed(policy, answers), graded)


def _answers(
    program: Program, probs: list[float], reached: Sequence[int]
) -> tuple[dict[int, bool], dict[str, float]]:  # fmt: skip
    """What is more likely than not of each atom, and the likeliest value of each variable; and what is unsure of `reached`."""
    answers: dict[int, bool] = {}
    unsure: dict[str, float] = {}
    ramps = {program.first_measure + at for at, measure in enumerate(program.measures) if measure.top is not None}
    for atom, p in enumerate(probs):
        if program.variable_of(atom) is None and not math.isnan(p) and atom not in ramps:
            answers[atom] = p > 0.5
            if atom in reached and 0.05 < p < 0.95:
                unsure[program.atoms[atom]] = p
    for first, domain in program.domains:
        steps = probs[first : first + len(domain.values) - 1]
        if any(map(math.isnan, steps)):
            continue
        each = [
            math.prod(steps[step] if holds else 1.0 - steps[step] for step, holds in domain.literals(value))
            for value in range(len(domain.values))
        ]
        answers.update({first + step: holds for step, holds in domain.literals(each.index(max(each)))})
        if any(first + step in reached for step in range(len(steps))):
            unsure.update(
                {f"{domain.name} == {v}": p for v, p in zip(domain.values, each, strict=True) if 0.05 < p < 0.95}
            )
    return answers, unsure


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
    program, first = policy.program, policy.program.first_measure
    measures = {
        atom: program.measures[atom - first] for atom, _ in facts if first <= atom < first + len(program.measures)
    }
    ends: dict[object, int] = {}  # the threshold that says the most of a quantity, by whether it is passed
    for atom, value in facts:
        if atom in measures:
            key, threshold = (measures[atom].quantity, value), measures[atom].threshold
            ends[key] = (max if value else min)(threshold, ends.get(key, threshold))
    return witness_text(program.said({
        atom: value for atom, value in facts
        if atom not in measures or measures[atom].threshold == ends[measures[atom].quantity, value]
    }))  # fmt: skip


def _changed(facts: Facts, case: _Case) -> Facts:
    """Changes with all steps of the variables that they are about, so that they say the value there would be."""
    found = dict(facts)
    after = (case.true | {atom for atom, value in facts if value}) - {atom for atom, value in facts if not value}
    for first, domain in case.policy.program.domains:
        steps = range(first, first + len(domain.values) - 1)
        if any(atom in found for atom in steps):
            found.update({atom: atom in after for atom in steps})
    return tuple(found.items())


def _show(case: _Case, found: Explanation) -> None:
    response = case.policy.program.responses[case.response]
    out = sys.stdout.write
    say(f"{response.name}: {response.classes[found.klass]}")
    say(f"  because {_text(found.reason, case.policy) or 'every completion is'}")
    for name, flip in zip(response.classes, found.flips, strict=True):
        if flip is None:
            say(f"  {name}: no completion is")
        elif flip:
            say(f"  {name} if {_text(_changed(flip, case), case.policy)}")
    if case.graded:
        chances = case.graded["class_probs"]
        out("  graded: " + ", ".join(f"{name} {p:.3f}" for name, p in chances.items() if p >= 0.0005) + "\n")
        if case.graded["unsure"]:
            out("  unsure: " + ", ".join(f"{name} {p:.2f}" for name, p in case.graded["unsure"].items()) + "\n")
        for reason in case.graded.get("left_out", ()):
            out(f"  left out of the reward: {reason}\n")
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
    response, called = program.responses[case.response], program.atoms
    return {
        "response_type": response.name,
        "fingerprint": case.policy.fingerprint,
        "given": [
            *(called[atom] for atom in sorted(case.true) if program.variable_of(atom) is None),
            *(
                f"{domain.name} == {domain.values[value]}"
                for (_, domain), value in zip(program.domains, program.values(case.true), strict=True)
            ),
        ],
        "class": response.classes[found.klass],
        "reason": dict(program.said(dict(found.reason))),
        "flips": {
            name: None if flip is None else dict(program.said(dict(_changed(flip, case))))
            for at, (name, flip) in enumerate(zip(response.classes, found.flips, strict=True))
            if at != found.klass
        },
        "reward": found.reward,
        "contributions": [{"feature": n, "value": v, "weight": w} for n, v, w in found.addends],
        "graded": case.graded or None,
    }
