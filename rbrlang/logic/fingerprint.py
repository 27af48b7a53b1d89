"""Do two policies say the same?

A fingerprint is equal for any reordering, renaming of derived propositions, or rewriting that keeps
the meaning. Every class function, taken where the axioms hold, is read as a multilinear polynomial
and evaluated at points of a large prime field that depend only on the propositions' names: equal
functions give equal values whatever the diagram looks like, and different ones differ but for a chance
of about n / 2^521 (Blum, Chandra & Wegman, Equivalence of Free Boolean Graphs Can Be Decided
Probabilistically in Polynomial Time, 1980). What enters is the value divided by that of the axioms,
P(class | axioms) in the field: axioms that have nothing to do with the class cancel, however they are
written. The values are hashed together with ranks and features.

It identifies a meaning; it is not a signature against someone who sets out to forge one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from rbrlang.lang.program import Program, ResponseType
from rbrlang.logic.bdd import Bdd
from rbrlang.logic.compile import Compiled

PRIME = 2**521 - 1


def _point(name: str) -> int:
    digest = hashlib.shake_256(b"rbr:" + name.encode()).digest(72)
    return int.from_bytes(digest, "big") % PRIME


def _values(bdd: Bdd, edges: list[int], points: dict[int, int]) -> list[int]:
    value = {0: 1}
    for at in bdd.reachable(edges):
        point = points[bdd.order[bdd.levels[at]]]
        low, high = bdd.lows[at], bdd.highs[at]
        below = (1 - value[low >> 1]) % PRIME if low & 1 else value[low >> 1]
        value[at] = (below + point * (value[high >> 1] - below)) % PRIME
    return [(1 - value[e >> 1]) % PRIME if e & 1 else value[e >> 1] for e in edges]


def _response(response: ResponseType, values: list[int], keys: Sequence[str]) -> object:
    context, *classes = values
    share = pow(context, PRIME - 2, PRIME)  # 1 / context
    by_name = {name: value * share % PRIME for name, value in zip(response.classes, classes, strict=True)}
    return {
        "name": response.name,
        "ranks": [sorted((name, f"{by_name[name]:x}") for name in tier) for tier in response.ranks],
        "features": sorted(("rubric", keys[f.index]) if f.rubric else (f.kind, f.name) for f in response.features),
    }


def fingerprint(program: Program, compiled: Compiled) -> str:
    """The fingerprint of a program whose response types all compiled: 32 hexadecimal digits."""
    keys = program.keys
    points = {atom: _point(name) for atom, name in enumerate(keys)}
    responses: list[object] = []
    for item in compiled.responses:
        if item is not None:
            inside = [compiled.bdd.conjoin(edge, item.context) for edge in item.classes]
            values = _values(compiled.bdd, [item.context, *inside], points)
            responses.append((item.response.name, _response(item.response, values, keys)))
    axioms = _values(compiled.bdd, [compiled.axioms], points)[0]
    content = {"axioms": f"{axioms:x}", "responses": sorted(responses, key=lambda r: r[0])}  # pyright: ignore
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
