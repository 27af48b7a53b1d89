"""Which phrases does a bank for this policy need? One to be written for each proposition, and a request for each response type."""

from __future__ import annotations

from rbrlang.learning.synthesis.phrases import TODO
from rbrlang.policy import Policy

_HEAD = """phrases 1

# Sentences of which is known what they say: `rbrc synth POLICY --from templates --bank THIS` joins them to completions of known
# truth. Write several in the place of each line `TODO`; `rbrc bank check POLICY THIS` says what is missing. The words
# behind `]` say where a sentence stands: first, middle, lead, substance or last.

propositions {names}

# Sentences that make none of them true. They stand between the others, and make the texts that say nothing.
[] middle
  {todo} a sentence that says nothing of the above
"""


class NoDraft(ValueError):
    """A policy that phrases cannot serve; the message says why."""


def draft(policy: Policy) -> str:
    """The text of a phrase bank, to be filled in. Raises `NoDraft`."""
    circuit = policy.circuit
    if circuit.variables:
        names = ", ".join(f"`{variable.domain.name}`" for variable in circuit.variables)
        raise NoDraft(f"phrases are of propositions alone, and the policy asks for {names}")
    of_rows = [atom.name for atom in circuit.atoms[: len(circuit.propositions)] if atom.columns]
    if of_rows:
        names = ", ".join(f"`{name}`" for name in of_rows)
        raise NoDraft(f"no phrase knows what a row says in a column, on which {names} depend")
    # A bank calls propositions as their module does, whatever it is imported as.
    stated = {p.name.rpartition(".")[2]: " ".join(p.statement.split()) for p in policy.program.propositions}
    text = _HEAD.format(names=" ".join(stated), todo=TODO)
    for name, statement in stated.items():
        text += f"\n[{name}] middle\n  {TODO} a sentence that makes this true, and nothing else: {statement}\n"
    categories = {response: name for name, response in reversed(circuit.categories) if " " not in name}
    for number, response in enumerate(circuit.responses):
        category = categories.get(number, response.name)
        text += f"\nscene {response.name.strip('_')} in {category} for {response.name}\nask\n"
        text += f"  {TODO} a request that wants an answer of the type `{response.name}`\n"
    return text
