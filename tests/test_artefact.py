"""The artefact: the same bytes anywhere, the same rewards everywhere, and no belief in what a file says."""

from __future__ import annotations

import hashlib
import io
import json
import math
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reward_circuits import cases
from safetensors.numpy import save

from rbrlang.cli.main import main
from rbrlang.lang.load import standard_library
from rbrlang.lang.program import SourceFile
from rbrlang.logic.circuit import Circuit
from rbrlang.policy import load_sources, loads
from rbrlang.reward.export import export_reward
from rbrlang.reward.kept import container
from rbrlang.reward.kept.artefact import (
    Artefact,
    ArtefactError,
    artefact_bytes,
    read_artefact,
    write_artefact,
    write_bytes,
)
from rbrlang.reward.kept.codec import DecodeError, circuit_to_json, dump_json, first_difference, load_json
from rbrlang.reward.kept.container import pack, unpack
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.reward import RuleReward
from rbrlang.reward.weights import WeightError, default_weights

SHARED = """rbr 1
param least = 2
prop warm "# ünïcode: the response is warm."
prop honest "The response is honest."
axiom !(warm & honest & words > least)
"""
ROOT = """rbr 1
use std.style.tone (lecturing)
use "é shared.rbr" as shared
prop polite "The response is polite."
response r0 ranks ideal > {curt, cold} > bad
r0.ideal := polite & !lecturing & shared.warm
r0.curt  := !lecturing & !polite
r0.cold  := !lecturing & polite & !shared.warm
r0.bad   := otherwise
response r1 ranks good > bad { good if shared.honest | count("a+") > 3
  bad otherwise }
category "x" -> r0
category "y" -> r1
reward r0 { features classes, polite
  weight ideal <= 5
  weight bad <= 5
  weight polite = 0.25 }
reward r1 { features classes
  weight good <= 5 }
"""
SOURCES = (
    SourceFile("std/style/tone.rbr", (standard_library() / "style" / "tone.rbr").read_text()),
    SourceFile("../é shared.rbr", SHARED),
    SourceFile("policy.rbr", ROOT, (0, 1)),
)
PARAMS = (("shared.least", 3.0),)
EVERYTHING = """rbr 1
column reference "What is true."
prop warm "The response is warm." { over assistant }
prop agrees "The response agrees with {reference}."
scale help 1..3 "How far it helps." { over thought }
choice sort "What it is." {
  poem "A poem."
  other "Another thing, beside {reference}."
}
rubric quality from criteria {
  points over positive
  clip 0, 1
  by tag accuracy "axis:accuracy", completeness
}
axiom !(warm & words > 9)
length := words over assistant from 4 to 8
response chat ranks good > {poor, odd} > bad {
  good if warm & help >= 2 & sort == poem
  poor if agrees & equals(reference)
  odd  if sort == other
  bad  otherwise
}
category "x" -> chat
reward chat { features classes, length, quality, warm  weight warm = 1  weight bad <= 2 }
"""


def example() -> Artefact:
    """An artefact with everything in it."""
    circuit = load_sources(SOURCES, PARAMS).circuit
    weights = default_weights(circuit)
    weights[:, 0] = 1.5
    return Artefact(circuit, weights, SOURCES, {"polite": [1.0, -0.5]}, {"grader": "embedded", "seed": 3}, PARAMS)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows for the example: probs [12, atoms] with unknowns, ids [12], base rewards [12]."""

    circuit: Circuit
    weights: np.ndarray
    probs: np.ndarray
    ids: np.ndarray
    base: np.ndarray


def _rows() -> Rows:
    made, rng = example(), np.random.default_rng(5)
    probs = rng.uniform(0.0, 1.0, (12, len(made.circuit.atoms))).astype(np.float32)
    probs[rng.random(probs.shape) < 0.2] = np.nan
    ids = rng.integers(0, 2, 12).astype(np.int32)
    return Rows(made.circuit, made.weights, probs, ids, rng.normal(size=12).astype(np.float32))


CASE = _rows()
DATA = artefact_bytes(example())


# --- what is written --------------------------------------------------------------------------


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "policy.rbrc"
    write_artefact(file, example())
    assert [p.name for p in tmp_path.iterdir()] == ["policy.rbrc"]
    got, wanted = read_artefact(file), example()
    assert got.circuit == wanted.circuit
    assert got.sources == wanted.sources
    assert got.calibration == wanted.calibration
    assert got.provenance == wanted.provenance
    assert got.weights.tobytes() == wanted.weights.tobytes()
    arrays = CASE.probs, CASE.ids, CASE.base
    expected = RuleReward.from_circuit(wanted.circuit, wanted.weights)(*arrays)
    np.testing.assert_array_equal(RuleReward.from_artefact(got)(*arrays), expected)


def _changed(value: Any) -> Iterator[Any]:
    """The value with one thing in it another, for each thing in it."""
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            if (type(value).__name__, field.name) != ("Feature", "rubric"):  # follows from its number
                yield from (replace(value, **{field.name: one}) for one in _changed(getattr(value, field.name)))
    elif isinstance(value, tuple):
        yield from ((*value[:at], one, *value[at + 1 :]) for at in range(len(value)) for one in _changed(value[at]))
        yield (*value, *value[:1]) if value else (0,)
    elif value is None or isinstance(value, str):
        yield "another"
    elif isinstance(value, float):
        yield 0.123 if math.isinf(value) else value + 1.0
    else:
        yield value + 1


def test_json_says_all_of_a_circuit() -> None:
    """Else two circuits could pass for one another: what a file holds is compared with what its sources compile to."""
    circuit = loads(EVERYTHING).circuit
    said, changed = dump_json(circuit_to_json(circuit)), 0
    assert load_json(said) == json.loads(said)
    for other in _changed(circuit):
        try:
            assert dump_json(circuit_to_json(other)) != said, other
        except (AttributeError, TypeError, ValueError):
            continue  # no circuit: a list in the place of what a list holds
        changed += 1
    assert changed > 300


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(["exact", "product"]).flatmap(lambda m: cases(axioms=True, mode=m)))
def test_every_circuit_survives_json(case: Any) -> None:
    document = load_json(dump_json(circuit_to_json(case.circuit)))
    assert document == json.loads(json.dumps(circuit_to_json(case.circuit)))
    assert first_difference(document, load_json(dump_json(circuit_to_json(case.circuit)))) is None


def _run(program: str, *arguments: str, paths: bool = True) -> str:
    root = Path(__file__).parent
    environment = {"JAX_PLATFORMS": "cpu", "PYTHONHASHSEED": "random"}
    if paths:
        environment["PYTHONPATH"] = f"{root}:{root.parent}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_another_process_writes_the_same_bytes_and_reads_the_same_rewards(tmp_path: Path) -> None:
    """Written after other work here, and first thing there, from another folder's program."""
    here, there = tmp_path / "here.rbrc", tmp_path / "there.rbrc"
    write_artefact(here, example())
    program = (
        "import sys, hashlib\nfrom test_artefact import example, CASE\n"
        "from rbrlang.reward.kept.artefact import write_artefact\n"
        "from rbrlang.reward.kept.artefact import read_artefact\nfrom rbrlang.reward.reward import RuleReward\n"
        "import numpy as np\n"
        "write_artefact(sys.argv[1], example())\n"
        "r = RuleReward.from_artefact(read_artefact(sys.argv[2]))(CASE.probs, CASE.ids, CASE.base)\n"
        "print(np.asarray(r).tobytes().hex())\n"
    )
    rewards = bytes.fromhex(_run(program, str(there), str(here)).strip())
    assert here.read_bytes() == there.read_bytes()
    again = RuleReward.from_artefact(read_artefact(here))(CASE.probs, CASE.ids, CASE.base)
    assert np.asarray(again).tobytes() == rewards
    assert str(Path(__file__).parent.parent).encode() not in here.read_bytes()


def test_rbrc_export_writes_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_bytes(tmp_path / "p.rbrc", DATA)
    assert main(["export", str(tmp_path / "p.rbrc"), "-o", str(tmp_path / "reward.stablehlo")]) == 0
    program = export_reward(example())
    assert (tmp_path / "reward.stablehlo").read_bytes() == program.data
    assert f"made by JAX {program.jax_version}" in capsys.readouterr().err


def test_the_program_runs_with_jax_alone(tmp_path: Path) -> None:
    file = tmp_path / "reward.stablehlo"
    file.write_bytes(export_reward(example()).data)
    np.savez(tmp_path / "rows.npz", probs=CASE.probs, ids=CASE.ids, base=CASE.base)
    program = (
        "import sys, numpy as np\nfrom jax import export\n"
        "rows = np.load(sys.argv[2])\n"
        "f = export.deserialize(bytearray(open(sys.argv[1], 'rb').read()))\n"
        "assert f.platforms == ('cpu', 'cuda', 'tpu')\n"
        "for n in (12, 5):\n"
        "    r = f.call(*(rows[k][:n] for k in ('probs', 'ids', 'base')))\n"
        "    print(np.asarray(r).tobytes().hex())\n"
        "assert 'rbrlang' not in sys.modules\n"
    )
    whole, part = (
        np.frombuffer(bytes.fromhex(line), np.float32)
        for line in _run(program, str(file), str(tmp_path / "rows.npz"), paths=False).split()
    )
    expected = RuleReward.from_artefact(example())(CASE.probs, CASE.ids, CASE.base)
    np.testing.assert_allclose(whole, expected, atol=1e-6)
    np.testing.assert_allclose(part, expected[:5], atol=1e-6)


def test_reading_for_numpy_loads_no_jax(tmp_path: Path) -> None:
    file = tmp_path / "policy.rbrc"
    write_bytes(file, DATA)
    program = (
        "import sys\nfrom rbrlang.reward.kept.artefact import read_artefact\nfrom rbrlang.reward.numpy import NumpyReward\n"
        "reward = NumpyReward.from_artefact(read_artefact(sys.argv[1]))\n"
        "print(reward.weights.tobytes().hex(), 'jax' in sys.modules)\n"
    )
    weights, jax_loaded = _run(program, str(file)).split()
    assert (bytes.fromhex(weights), jax_loaded) == (CASE.weights.tobytes(), "False")
    host = NumpyReward.from_artefact(read_artefact(file))
    expected = NumpyReward(example().circuit, CASE.weights)(CASE.probs, CASE.ids)
    np.testing.assert_array_equal(host(CASE.probs, CASE.ids), expected)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "policy.rbrc"
    write_bytes(file, DATA)
    with pytest.raises(WeightError):
        write_artefact(file, replace(example(), weights=CASE.weights[:, :-1]))
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError, match="folder"):
        write_bytes(folder, DATA)
    assert file.read_bytes() == DATA
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "policy.rbrc"]


def test_the_manifest_says_what_is_inside() -> None:
    members = unpack("x", DATA)
    manifest = json.loads(members["manifest.json"])
    assert manifest["format"] == 2
    assert manifest["fingerprint"] == CASE.circuit.fingerprint
    assert manifest["grader"] == "embedded"
    assert manifest["calibration"] == hashlib.sha256(members["calibration.json"]).hexdigest()
    assert manifest["sources"][2] == ["policy.rbr", [0, 1]]
    assert manifest["params"] == [["shared.least", 3.0]]
    assert [name for name, _, _ in manifest["members"]] == list(members)[1:]


# --- what is refused --------------------------------------------------------------------------


def refused(tmp_path: Path, data: bytes) -> ArtefactError:
    """The error that reading these bytes raises."""
    file = tmp_path / "hostile.rbrc"
    file.write_bytes(data)
    with pytest.raises(ArtefactError) as caught:
        read_artefact(file)
    message = str(caught.value)
    assert message.startswith("`")
    assert str(file) in message
    assert caught.value.next_step in message
    return caught.value


def forged(**changes: bytes | None) -> bytes:
    """The artefact with members replaced or removed, and a manifest that agrees with them."""
    members = unpack("x", DATA)
    for name, data in changes.items():
        member = name.replace("__", ".")
        if data is None:
            del members[member]
        else:
            members[member] = data
    manifest = json.loads(members.pop("manifest.json"))
    manifest["members"] = [[n, len(d), hashlib.sha256(d).hexdigest()] for n, d in members.items()]
    if "calibration.json" in members:
        manifest["calibration"] = hashlib.sha256(members["calibration.json"]).hexdigest()
    return pack({"manifest.json": dump_json(manifest), **members})


def test_forging_nothing_gives_the_file_itself() -> None:
    assert forged() == DATA


@settings(deadline=None, max_examples=150)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_any_flipped_byte_is_found(tmp_path_factory: pytest.TempPathFactory, at: int, mask: int) -> None:
    data = bytearray(DATA)
    data[at] ^= mask
    error = refused(tmp_path_factory.getbasetemp(), bytes(data))
    assert error.cause
    assert error.next_step


@settings(deadline=None, max_examples=40)
@given(st.integers(0, len(DATA) - 1))
def test_any_truncation_is_found(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    error = refused(tmp_path_factory.getbasetemp(), DATA[:length])
    assert error.cause
    assert error.next_step


def _zip(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a\\b", "a/../b", "a//b", "a/", "C:evil", "ä", "", "a\nb"])
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    assert "a name that an artefact may not contain" in str(refused(tmp_path, _zip([(name, b"")])))


def test_containers_of_another_form(tmp_path: Path) -> None:
    members = list(unpack("x", DATA).items())
    assert "compressed" in refused(tmp_path, _zip(members, zipfile.ZIP_DEFLATED)).cause
    bomb = _zip([("policy.json", b"0" * 50_000_000)], zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(tmp_path, bomb).cause
    assert "around its members" in refused(tmp_path, _zip(members)).cause
    assert "around its members" in refused(tmp_path, b"#!/bin/sh\n" + DATA).cause
    refused(tmp_path, DATA + b"more")
    assert "is damaged or is no artefact" in refused(tmp_path, b"").cause
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = _zip([*members, members[-1]])
    assert "there twice" in refused(tmp_path, twice).cause
    assert "more than" in refused(tmp_path, _zip([(f"m{i}", b"") for i in range(1025)])).cause


def test_overlapping_members_and_false_sizes(tmp_path: Path) -> None:
    """A directory whose entries share one member's bytes, and one that promises more than there is."""
    one = bytearray(_zip([("aaaa", b"x" * 1000), ("bbbb", b"")]))
    directory = one.index(b"PK\x01\x02", 1)
    second = one.index(b"PK\x01\x02", directory + 1)
    shared = one.copy()
    shared[second + 42 : second + 46] = shared[directory + 42 : directory + 46]
    refused(tmp_path, bytes(shared))
    for size in (2**31, 2**32 - 2):
        large = one.copy()
        for offset in (20, 24):
            large[directory + offset : directory + offset + 4] = size.to_bytes(4, "little")
        assert "more bytes than the file has" in refused(tmp_path, bytes(large)).cause


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, cause in ((tmp_path / "absent", "no such file"), (tmp_path, "is a directory")):
        with pytest.raises(ArtefactError, match=cause):
            read_artefact(path)
    monkeypatch.setattr(container, "MAX_FILE", len(DATA) - 1)
    assert "is larger than" in refused(tmp_path, DATA).cause


def test_members_that_do_not_belong_or_are_missing(tmp_path: Path) -> None:
    assert refused(tmp_path, forged(evil__py=b"x")).member == "evil.py"
    for name in ("policy.json", "weights.safetensors", "source/002.rbr"):
        error = refused(tmp_path, forged(**{name: None}))
        assert (error.member, error.cause) == (name, "is missing")
    assert "no `manifest.json`" in refused(tmp_path, pack({"policy.json": b"{}"})).cause
    assert "another calibration" in refused(tmp_path, forged(**{"calibration.json": None})).cause


def test_limits_of_member_sizes(tmp_path: Path) -> None:
    error = refused(tmp_path, forged(**{"source/000.rbr": b"#" * (5 << 20)}))
    assert error.member == "source/000.rbr"
    assert "more than the" in error.cause


def test_weights_that_are_not_acceptable(tmp_path: Path) -> None:
    def saved(**tensors: np.ndarray) -> ArtefactError:
        return refused(tmp_path, forged(weights__safetensors=save(tensors)))

    nan = CASE.weights.copy()
    nan[0, 0] = np.nan
    assert "is nan" in saved(weights=nan).cause
    assert "shape" in saved(weights=CASE.weights[:1]).cause
    assert "float32 tensor" in saved(weights=CASE.weights.astype(np.float64)).cause
    assert "float32 tensor" in saved(weights=CASE.weights, more=CASE.weights).cause
    assert "outside of the policy's bounds" in saved(weights=np.full_like(CASE.weights, 9.0)).cause
    error = refused(tmp_path, forged(weights__safetensors=b"\xff" * 40))
    assert (error.member, error.cause) == ("weights.safetensors", "is no readable safetensors file")


def _edited(member: str, edit: Callable[[Any], object]) -> bytes:
    document = json.loads(unpack("x", DATA)[member])
    edit(document)
    return forged(**{member: dump_json(document)})


@pytest.mark.parametrize("version", [0, 1, 3, 10**9])
def test_other_format_versions(tmp_path: Path, version: int) -> None:
    members = unpack("x", DATA)
    manifest = {"format": version, "something": "new"}
    error = refused(tmp_path, pack({**members, "manifest.json": dump_json(manifest)}))
    assert f"format version {version}" in error.cause
    assert "use the rbrlang that wrote it" in error.next_step


@pytest.mark.parametrize(
    ("place", "edit"),
    [
        ("responses[0].diagram.root", lambda d: d["responses"][0]["diagram"].update(root=10**6)),
        ("responses[0].diagram.root", lambda d: d["responses"][0]["diagram"].update(root=-1)),
        ("responses[0].diagram.nodes[0][1]", lambda d: d["responses"][0]["diagram"]["nodes"][0].__setitem__(1, 99)),
        ("responses[0].diagram.nodes[0][0]", lambda d: d["responses"][0]["diagram"]["nodes"][0].__setitem__(0, True)),
        ("responses[0].diagram.nodes[0]", lambda d: d["responses"][0]["diagram"]["nodes"][0].append(0)),
        ("responses[0].diagram.terminals[0]", lambda d: d["responses"][0]["diagram"]["terminals"].__setitem__(0, 9)),
        ("responses[0].diagram.terminals[0]", lambda d: d["responses"][0]["diagram"]["terminals"].__setitem__(0, -2)),
        ("axioms.terminals[0]", lambda d: d["axioms"]["terminals"].__setitem__(0, -1)),
        ("responses[0].features[0][2]", lambda d: d["responses"][0]["features"][0].__setitem__(2, 99)),
        ("responses[0].features[0][1]", lambda d: d["responses"][0]["features"][0].__setitem__(1, "eval")),
        ("responses[0].bounds", lambda d: d["responses"][0]["bounds"].pop()),
        ("responses[0].bounds[0][0]", lambda d: d["responses"][0]["bounds"].__setitem__(0, [1.0, -1.0])),
        ("responses[0].margins", lambda d: d["responses"][0]["margins"].append(1.0)),
        ("responses[0].ranks", lambda d: d["responses"][0].update(ranks=[])),
        ("responses[0].ranks", lambda d: d["responses"][0].update(ranks=[["a"], []])),
        ("responses[0].atoms", lambda d: d["responses"][0].update(atoms=[1, 0])),
        ("responses[0].product.steps[1]", lambda d: d["responses"][0]["product"]["steps"][1].append(0)),
        ("responses[0].product.steps[0]", lambda d: d["responses"][0]["product"]["steps"].__setitem__(0, [])),
        ("responses[0].product.outputs", lambda d: d["responses"][0]["product"]["outputs"].append(0)),
        ("responses[0]", lambda d: d["responses"][0].update(extra=1)),
        ("responses", lambda d: d["responses"].append(d["responses"][0])),
        ("categories[0][1]", lambda d: d["categories"][0].__setitem__(1, 7)),
        ("atoms[0].prior", lambda d: d["atoms"][0].update(prior=1.5)),
        ("atoms[0].cost", lambda d: d["atoms"][0].update(cost="1")),
        ("atoms[0].name", lambda d: d["atoms"][0].update(name=7)),
        ("atoms[0].name", lambda d: d["atoms"].reverse()),
        ("atoms[1].measure", lambda d: d["atoms"][1].update(measure=["count", "(?=x)", 0])),
        ("class_probability", lambda d: d.update(class_probability="guess")),
        ("the document", lambda d: d.pop("axioms")),
    ],
)
def test_circuits_that_are_not_sound(tmp_path: Path, place: str, edit: Callable[[Any], object]) -> None:
    error = refused(tmp_path, _edited("policy.json", edit))
    assert error.member == "policy.json"
    if place == "class_probability":
        assert error.cause == "`class_probability` is none of `exact`, `product`"
    else:
        named = place if place == "the document" else f"`{place}`"
        assert error.cause == f"is not what the sources compile to: {named} differs"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[" * 100_000, b'{"a":1,"a":2}', b"NaN", b"\xff", b"1" * 5000, b'{"x":1e999}', b"[]", b"null"],
)
def test_json_that_is_no_circuit(tmp_path: Path, data: bytes) -> None:
    error = refused(tmp_path, forged(policy__json=data))
    assert error.member == "policy.json"
    if data not in (b"[]", b"null"):
        with pytest.raises(DecodeError):
            load_json(data)


def test_numbers_beyond_floats_are_refused_anywhere(tmp_path: Path) -> None:
    for number in (b"1e999", b"-1e999", b"Infinity", b"NaN"):
        error = refused(tmp_path, forged(calibration__json=b'{"polite":[' + number + b"]}"))
        assert error.member == "calibration.json"


def test_a_policy_with_another_fingerprint_than_its_manifest(tmp_path: Path) -> None:
    error = refused(tmp_path, _edited("policy.json", lambda d: d.update(fingerprint="other")))
    assert "another fingerprint" in error.cause
