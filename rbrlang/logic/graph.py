"""How does a proposition reach the reward?

The graph that the author wrote, not the diagrams made of it: propositions and measures, derived propositions, class
rules, and the features of each response type's reward. An edge says that the formula at its end names what stands
at its start, and with which sign.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from rbrlang.lang.program import (
    And,
    AtLeast,
    ClassRef,
    Const,
    Formula,
    Iff,
    Implies,
    Not,
    Or,
    Otherwise,
    Program,
    Ref,
    Var,
)  # fmt: skip
from rbrlang.logic.worth import default_weights

Kind = Literal["proposition", "variable", "measure", "rubric", "derived", "class", "reward"]
Sign = Literal["+", "-", "both"]
_OPPOSITE: dict[Sign, Sign] = {"+": "-", "-": "+", "both": "both"}


_KINDS: dict[str, Kind] = {"p": "proposition", "v": "variable", "m": "measure", "q": "rubric"}


@dataclass(frozen=True, slots=True)
class Node:
    """`id` is unique, `label` what people read; `response` names the response type of a class or reward."""

    id: str
    kind: Kind
    label: str
    response: str


@dataclass(frozen=True, slots=True)
class Edge:
    """`sign` is how the end's formula uses the start; for an edge to a reward `weight` is the default weight."""

    start: str
    end: str
    sign: Sign
    weight: float | None


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes by layers from propositions to rewards; only what some reward depends on, and the edges between."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def graph(program: Program, responses: frozenset[str]) -> Graph:
    """The graph of those response types of a program that are named."""
    atoms = [f"p_{p.name}" for p in program.propositions]
    atoms += [f"v_{domain.name}" for _, domain in program.domains for _ in domain.values[1:]]
    atoms += [f"m_{number}" for number in range(len(program.measures))]
    atoms += [f"v_{program.variables[reading.share.variable].name}" for reading in program.readings]
    atoms += [f"q_{number}" for number in range(len(program.atoms) - len(atoms))]
    derived = [f"d_{number}_{d.name.replace('.', '_')}" for number, d in enumerate(program.definitions)]
    every: dict[str, Node] = {}
    for name, node in zip(program.atoms, atoms, strict=True):
        kind = _KINDS[node[0]]
        every[node] = Node(node, kind, node.removeprefix("v_") if kind == "variable" else name, "")
    for definition, node in zip(program.definitions, derived, strict=True):
        every[node] = Node(node, "derived", definition.name, "")
    edges: dict[tuple[str, str], Edge] = {}

    def use(formula: Formula, end: str) -> None:
        for part, sign in _uses(formula):
            start = atoms[part.atom] if isinstance(part, Var) else derived[part.definition]
            known = edges.get((start, end))
            edges[start, end] = Edge(start, end, sign if known is None or known.sign == sign else "both", None)

    for definition, node in zip(program.definitions, derived, strict=True):
        use(definition.formula, node)
    for response in program.responses:
        if response.name not in responses:
            continue
        reward = f"r_{response.name}"
        for name in response.classes:
            every[f"c_{response.name}_{name}"] = Node(f"c_{response.name}_{name}", "class", name, response.name)
        every[reward] = Node(reward, "reward", f"reward of {response.name}", response.name)
        for rule in response.rules:
            if not isinstance(rule.formula, Otherwise):
                use(rule.formula, f"c_{response.name}_{rule.name}")
        for feature, weight in zip(response.features, default_weights(response), strict=True):
            start = f"c_{response.name}_{feature.name}" if feature.kind == "class" else atoms[feature.index]
            edges[start, reward] = Edge(start, reward, "+", weight)
    return _reaching(every, list(edges.values()))


def _reaching(every: dict[str, Node], edges: list[Edge]) -> Graph:
    """What a class or reward depends on."""
    into: dict[str, list[str]] = {}
    for edge in edges:
        into.setdefault(edge.end, []).append(edge.start)
    pending = [node.id for node in every.values() if node.kind in ("class", "reward")]
    kept = set(pending)
    while pending:
        fresh = [start for start in into.get(pending.pop(), ()) if start not in kept]
        kept.update(fresh)
        pending += fresh
    return Graph(
        tuple(node for node in every.values() if node.id in kept),
        tuple(edge for edge in edges if edge.start in kept and edge.end in kept),
    )


def _uses(formula: Formula) -> Iterator[tuple[Var | Ref, Sign]]:
    """What a formula names, each time with its sign."""
    pending: list[tuple[Formula, Sign]] = [(formula, "+")]
    while pending:
        part, sign = pending.pop()
        match part:
            case Var() | Ref():
                yield part, sign
            case Not():
                pending.append((part.operand, _OPPOSITE[sign]))
            case And() | Or() | AtLeast():
                pending.extend((operand, sign) for operand in reversed(part.operands))
            case Implies():
                pending.extend(((part.right, sign), (part.left, _OPPOSITE[sign])))
            case Iff():
                pending.extend(((part.right, "both"), (part.left, "both")))
            case Const() | ClassRef():
                pass
            case _:
                assert_never(part)


# --- as text ----------------------------------------------------------------------------------

_DOT = {
    "proposition": 'shape=box, style="rounded,filled", fillcolor="#eef4ff"',
    "variable": 'shape=box, style="rounded,filled", fillcolor="#f3ecff"',
    "measure": 'shape=box, style="rounded,filled", fillcolor="#f2f2f2"',
    "rubric": 'shape=box, style="rounded,filled,dashed", fillcolor="#f2f2f2"',
    "derived": 'shape=ellipse, style=filled, fillcolor="#fff7e0"',
    "class": 'shape=box, style=filled, fillcolor="#e8f7e8"',
    "reward": 'shape=doubleoctagon, style=filled, fillcolor="#fde8e8"',
}
# One for each response type, again from the first where there are more; dark enough on white, apart for colour-blind eyes.
_COLOURS = ("#0b5fa5", "#b34700", "#00785a", "#8a3d85", "#7a6400", "#a3153f")
_READING = "solid: named as it is · dashed: named with `!`, at least once · one colour for each response type"
_MERMAID = {
    "proposition": ('(["', '"])'), "variable": ('[["', '"]]'), "measure": ('[/"', '"/]'), "rubric": ('[\\"', '"\\]'), "derived": ('("', '")'), "class": ('["', '"]'),
    "reward": ('{{"', '"}}'),
}  # fmt: skip


def _drawable(found: Graph) -> Graph:
    """The graph without a line for every proposition that the reward may weigh, but does not by default.

    Such features are counted in the reward's box instead; a proposition that does nothing else keeps its line.
    """
    busy = {edge.start for edge in found.edges if edge.weight is None}
    hidden = {edge for edge in found.edges if edge.weight == 0 and edge.start in busy and edge.start[0] in "pmv"}
    counts = Counter(edge.end for edge in hidden)
    nodes = [
        replace(node, label=f"{node.label} ({counts[node.id]} propositions may be weighed)") if node.id in counts else node
        for node in found.nodes
    ]  # fmt: skip
    return Graph(tuple(nodes), tuple(edge for edge in found.edges if edge not in hidden))


def _label(edge: Edge) -> str:
    return f"{edge.weight:+g}" if edge.weight is not None else {"+": "", "-": "not", "both": "either way"}[edge.sign]


def _colours(found: Graph) -> dict[str, str]:
    """The colour of lines into a class or reward, by the id of either."""
    responses = dict.fromkeys(node.response for node in found.nodes if node.response)
    colour = {response: _COLOURS[at % len(_COLOURS)] for at, response in enumerate(responses)}
    return {node.id: colour[node.response] for node in found.nodes if node.response}


def dot(found: Graph, title: str) -> str:
    """The graph for Graphviz: columns of propositions, classes and rewards; negative uses dashed."""
    found = _drawable(found)
    colours = _colours(found)

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    lines = [f"digraph {quoted(title)} {{", "  rankdir=LR; newrank=true; ranksep=1.2; nodesep=0.15;"]
    lines += [f'  label={quoted(f"{title} — {_READING}")}; fontname="Helvetica"; fontsize=10;']
    lines += ['  node [fontname="Helvetica", fontsize=11]; edge [fontname="Helvetica", fontsize=9, color="#555555"];']
    inside: dict[str, list[str]] = {}
    for node in found.nodes:
        line = f"{node.id} [label={quoted(node.label)}, {_DOT[node.kind]}];"
        if node.kind == "class":
            inside.setdefault(node.response, []).append(line)
        else:
            lines.append("  " + line)
    for response, members in inside.items():
        lines += [f"  subgraph cluster_{response} {{", f"    label={quoted(response)}; color=gray;"]
        lines += ["    " + line for line in members] + ["  }"]
    for column in (("proposition", "variable", "measure", "rubric"), ("class",), ("reward",)):
        ids = [node.id for node in found.nodes if node.kind in column]
        lines += [f"  {{ rank=same; {'; '.join(ids)} }}"] if ids else []
    for edge in found.edges:
        style = "" if edge.weight is not None or edge.sign == "+" else ", style=dashed"
        style += f', color="{colours[edge.end]}"' if edge.end in colours else ""
        label = quoted(_label(edge) if edge.weight is not None else "")
        lines.append(f"  {edge.start} -> {edge.end} [label={label}{style}];")
    return "\n".join(lines) + "\n}\n"


def mermaid(found: Graph) -> str:
    """The graph for Mermaid, which GitHub and many editors draw; negative uses are dotted."""
    found = _drawable(found)
    colours = _colours(found)

    def drawn(node: Node) -> str:
        before, after = _MERMAID[node.kind]
        label = node.label.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
        return f"{node.id}{before}{label}{after}"

    lines = ["flowchart LR"]
    lines += [f"  {drawn(node)}" for node in found.nodes if node.kind != "class"]
    inside: dict[str, list[str]] = {}
    for node in found.nodes:
        if node.kind == "class":
            inside.setdefault(node.response, []).append(f"    {drawn(node)}")
    for response, members in inside.items():
        lines += [f"  subgraph s_{response} [{response}]", *members, "  end"]
    for edge in found.edges:
        arrow = "-.->" if edge.weight is None and edge.sign != "+" else "-->"
        label = f'|"{_label(edge)}"|' if edge.weight is not None or edge.sign == "both" else ""
        lines.append(f"  {edge.start} {arrow}{label} {edge.end}")
    coloured: dict[str, list[str]] = {}
    for number, edge in enumerate(found.edges):
        if edge.end in colours:
            coloured.setdefault(colours[edge.end], []).append(str(number))
    lines += [f"  linkStyle {','.join(numbers)} stroke:{colour}" for colour, numbers in coloured.items()]
    return "\n".join(lines) + "\n"
