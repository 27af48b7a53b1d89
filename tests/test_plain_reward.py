"""The reward without numpy: the same to the last bit, and importable where there is nothing but Python."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
from conftest import CHECKOUT
from hypothesis import given, settings
from hypothesis import strategies as st
from reward_circuits import Case, cases

from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.plain import PlainReward

MODES = st.sampled_from([("exact", False), ("exact", True), ("product", False)])


def same(got: object, expected: object) -> None:
    np.testing.assert_array_equal(np.array(got, np.float32), np.array(expected, np.float32))


@settings(deadline=None, max_examples=60)
@given(MODES.flatmap(lambda mode: st.booleans().flatmap(lambda u: cases(mode=mode[0], axioms=mode[1], unknowns=u))))
def test_it_is_numpys_reward_to_the_last_bit(case: Case) -> None:
    plain, array = PlainReward(case.circuit), NumpyReward(case.circuit)
    for p, number, base in zip(case.probs, case.ids.tolist(), case.base.tolist(), strict=True):
        if number < 0:
            continue
        told, row, ids = plain(p.tolist(), number, base), p[None], np.array([number])
        response = case.circuit.responses[number]
        same(told.reward, array(row, ids, base)[0])
        same(told.classes, array.class_probs(row, ids)[0][: len(response.classes)])
        same(told.addends, array.contributions(row, ids, base)[0][: 1 + len(response.features)])
        same((told.low, told.high), [side[0] for side in array.bounds(row, ids, base)])
        assert told.reason == array.reasons(row, ids, base)[0]
        assert (told.reason is None) == math.isfinite(told.reward)


BARE = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in (*sys.stdlib_module_names, "rbrlang"):
            raise ImportError(name)
sys.meta_path.insert(0, Nothing())
sys.path.insert(0, sys.argv[1])
import json
from rbrlang.playground.core import Playground
play = Playground("p.rbr")
text = open(sys.argv[2]).read()
print(json.loads(play.findings(text))["ok"], json.loads(play.panel("{}"))["reward"] is not None)
"""


def test_the_page_s_python_needs_nothing_beside_python() -> None:
    policy = CHECKOUT / "examples" / "refusals" / "policy.rbr"
    run = [sys.executable, "-I", "-c", BARE, str(CHECKOUT), str(policy)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.split() == ["True", "True"]
