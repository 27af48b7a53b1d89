"""Forged artefacts, their hashes made to agree: whatever follows from the sources is compiled again, never believed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

import rbrlang as rbr
from rbrlang.adapters.trl import TRLReward
from rbrlang.cli.main import main
from rbrlang.lang.load import standard_library
from rbrlang.policy import load_sources
from rbrlang.reward.kept.artefact import Artefact, ArtefactError, artefact_bytes, read_artefact, write_artefact
from rbrlang.reward.kept.codec import dump_json, load_json
from rbrlang.reward.kept.container import pack, unpack
from rbrlang.reward.weights import default_weights
from rbrlang.scoring.score import Scorer

POLICY = """rbr 1
use std.style.tone (lecturing)
use "parts/kind.rbr" as parts
param least = 3
prop apology "It says sorry." { cue yes "(?i)\\\\bsorry\\\\b" }
axiom !(apology & parts.kind & words > least)
response r ranks ideal > fine > bad
r.ideal := apology & !lecturing
r.fine  := !apology & parts.kind & !lecturing
r.bad   := otherwise
category "C" -> r
reward r { features classes, apology
  weight ideal <= 4
  weight apology = 0.5 }
"""
KIND = 'rbr 1\nprop kind "It is kind." { cue yes "(?i)\\\\bdear\\\\b" }\n'
OTHER = POLICY.replace("r.ideal := apology & !lecturing", "r.ideal := !apology & !lecturing").replace(
    "!apology & parts.kind & !lecturing", "apology & parts.kind & !lecturing"
)
ROW = '{"id": "1", "prompt": "Hi", "completion": "Sorry.", "response_type": "r", "class": "ideal"}\n'


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """What waits for a pipe or never ends fails instead."""

    def late(*_: object) -> None:
        raise TimeoutError("an artefact kept its reader waiting")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(600)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _policy(folder: Path, text: str) -> rbr.Policy:
    (folder / "parts").mkdir(exist_ok=True)
    (folder / "parts" / "kind.rbr").write_text(KIND)
    (folder / "policy.rbr").write_text(text)
    return rbr.load(folder / "policy.rbr", params={"least": 2.0})


def _bytes(policy: rbr.Policy) -> bytes:
    circuit = policy.circuit
    return artefact_bytes(Artefact(circuit, default_weights(circuit), policy.sources, None, {}, policy.params))


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A policy with an import, a module of the standard library, an axiom, a measure, bounds and a parameter set."""
    return _bytes(_policy(tmp_path_factory.mktemp("genuine"), POLICY))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The same names with apology read the other way round."""
    return _bytes(_policy(tmp_path_factory.mktemp("other"), OTHER))


@dataclass
class Parts:
    """An artefact taken apart, to be forged and put together with hashes that agree."""

    members: dict[str, bytes]
    manifest: Any
    policy: Any

    @classmethod
    def of(cls, data: bytes) -> Parts:
        members = unpack("x", data)
        return cls(members, load_json(members["manifest.json"]), load_json(members["policy.json"]))

    def data(self) -> bytes:
        members = {**self.members, "policy.json": dump_json(self.policy)}
        del members["manifest.json"]
        self.manifest["members"] = [[n, len(d), hashlib.sha256(d).hexdigest()] for n, d in members.items()]
        return pack({"manifest.json": dump_json(self.manifest), **members})


def test_putting_the_parts_together_gives_the_file_itself(genuine: bytes) -> None:
    assert Parts.of(genuine).data() == genuine


# --- what each forgery does -------------------------------------------------------------------


def _terminals(parts: Parts, _: Parts) -> None:
    parts.policy["responses"][0]["diagram"]["terminals"].reverse()


def _sources(parts: Parts, other: Parts) -> None:
    parts.members["source/002.rbr"] = other.members["source/002.rbr"]


def _logic(parts: Parts, other: Parts) -> None:
    parts.policy = other.policy | {"fingerprint": parts.policy["fingerprint"]}


def _bounds(parts: Parts, _: Parts) -> None:
    response = parts.policy["responses"][0]
    response["bounds"] = [[None, None]] * len(response["features"])
    weights = load(parts.members["weights.safetensors"])["weights"]
    parts.members["weights.safetensors"] = save({"weights": -weights})


def _fixed(parts: Parts, _: Parts) -> None:
    weights = load(parts.members["weights.safetensors"])["weights"].copy()
    weights[0, -1] = 0.75
    parts.policy["responses"][0]["bounds"][-1] = [0.75, 0.75]
    parts.members["weights.safetensors"] = save({"weights": weights})


def _fingerprint(parts: Parts, _: Parts) -> None:
    parts.manifest["fingerprint"] = parts.policy["fingerprint"] = "0" * 32


def _program(parts: Parts, _: Parts) -> None:
    parts.members["reward.stablehlo"] = b"ML\xefR" + bytes(range(256))


def _parameter(parts: Parts, _: Parts) -> None:
    parts.manifest["params"] = [["least", 3.0]]


def _no_parameter(parts: Parts, _: Parts) -> None:
    parts.manifest["params"].append(["most", 3.0])


def _no_sources(parts: Parts, _: Parts) -> None:
    for name in ("source/000.rbr", "source/001.rbr", "source/002.rbr"):
        del parts.members[name]
    parts.manifest["sources"] = []


def _faulty_source(parts: Parts, _: Parts) -> None:
    parts.members["source/002.rbr"] += b"response \x1b[2J"


def _nul_in_source(parts: Parts, _: Parts) -> None:
    parts.members["source/002.rbr"] += b"# \x00\n"


def _one_more_source(parts: Parts, _: Parts) -> None:
    members = dict(parts.members)
    last = members.pop("weights.safetensors")
    members["source/002.rbr"], members["source/003.rbr"] = b"rbr 1\n", members["source/002.rbr"]
    parts.members = {**members, "weights.safetensors": last}
    parts.manifest["sources"].insert(2, ["unused.rbr", []])


def _imports(*numbers: int) -> Callable[[Parts, Parts], None]:
    def forge(parts: Parts, _: Parts) -> None:
        parts.manifest["sources"][2][1] = list(numbers)

    return forge


def _named(name: str, at: int = 1) -> Callable[[Parts, Parts], None]:
    def forge(parts: Parts, _: Parts) -> None:
        parts.manifest["sources"][at][0] = name

    return forge


def _number(*path: str | int) -> Callable[[Parts, Parts], None]:
    def forge(parts: Parts, _: Parts) -> None:
        *way, last = path
        place = parts.policy
        for step in way:
            place = place[step]
        place[last] += 0.125

    return forge


FORGERIES = {
    "reversed terminals": (_terminals, "`responses[0].diagram.terminals[0]` differs"),
    "swapped sources": (_sources, "is not what the sources compile to"),
    "another policy's logic": (_logic, "is not what the sources compile to"),
    "bounds null, weights negated": (_bounds, "`responses[0].bounds[0][1]` differs"),
    "another fixed weight": (_fixed, "`responses[0].bounds[3][0]` differs"),
    "a fingerprint of zeros": (_fingerprint, "`fingerprint` differs"),
    "a program": (_program, "does not belong in an artefact"),
    "another margin": (_number("responses", 0, "margins", 0), "`responses[0].margins[0]` differs"),
    "another prior": (_number("atoms", 0, "prior"), "`atoms[0].prior` differs"),
    "another cost": (_number("atoms", 1, "cost"), "`atoms[1].cost` differs"),
    "another parameter": (_parameter, "is not what the sources compile to"),
    "a parameter that is none": (_no_parameter, "the policy declares no parameter `most`"),
    "no sources": (_no_sources, "there is no source"),
    "a source that does not compile": (_faulty_source, "does not compile"),
    "a NUL in a source": (_nul_in_source, "has a NUL"),
    "a source that nothing imports": (_one_more_source, "nothing imports `unused.rbr`"),
    "an import left out": (_imports(0), "imports 2 files and lists 1"),
    "an import of itself": (_imports(0, 2), "does not come before it"),
    "imports in another order": (_imports(1, 0), "which is not"),
    "an import under another's name": (_imports(0, 0), "which is not"),
    "out of the library": (_named("std/../../../X"), "names no module of this standard library"),
    "out of the library, for a module of it": (_named("std/../../../X", 0), "names no module"),
    "not in the library": (_named("std/style/tones.rbr", 0), "names no module"),
    "a pipe": (_named("/tmp/pipe"), "is no relative path"),
    "NUL": (_named("a\0.rbr"), "cannot be printed"),
    "here": (_named("."), "is no file's name"),
    "above": (_named(".."), "is no file's name"),
    "further above": (_named("../.."), "is no file's name"),
    "around": (_named("a/../b.rbr"), "is no file's name"),
    "a folder": (_named("a/"), "is no file's name"),
    "no name": (_named(""), "is empty"),
    "5,000 characters": (_named("a" * 5000), "has 5000 characters"),
    "backslashes": (_named("..\\..\\x.rbr"), "is no relative path"),
    "a drive": (_named("C:x.rbr"), "is no relative path"),
    "absolute": (_named("/etc/passwd"), "is no relative path"),
    "a terminal's command": (_named("\x1b[2J.rbr"), "cannot be printed"),
    "two of one name": (_named("policy.rbr"), "is the name of two sources"),
}


@pytest.fixture(params=FORGERIES)
def forged(request: pytest.FixtureRequest, genuine: bytes, other: bytes, tmp_path: Path) -> tuple[Path, str]:
    """A forged artefact, in a folder with a pipe that would hang who opens it, and what has to be said of it."""
    forge, said = FORGERIES[request.param]
    parts = Parts.of(genuine)
    forge(parts, Parts.of(other))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for source in parts.manifest["sources"]:
        source[0] = source[0].replace("/tmp/pipe", str(pipe))
    data = parts.data()
    assert data != genuine
    (tmp_path / "policy.rbrc").write_bytes(data)
    (tmp_path / "rows.jsonl").write_text(ROW)
    return tmp_path / "policy.rbrc", said


def test_every_command_and_every_adapter_refuses_it_in_one_sentence(
    forged: tuple[Path, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, said = forged
    monkeypatch.chdir(file.parent)
    for command in (
        ("verify", "policy.rbrc"),
        ("inspect", "policy.rbrc"),
        ("score", "policy.rbrc", "rows.jsonl", "--grader", "embedded", "-o", "out.jsonl"),
        ("eval", "policy.rbrc", "rows.jsonl", "--grader", "embedded"),
        ("serve", "policy.rbrc", "--port", "0"),
        ("export", "policy.rbrc", "-o", "out.stablehlo"),
    ):
        assert main(list(command)) == 2, command
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.count("\n") == 1
        assert all(c.isprintable() or c == "\n" for c in shown.err)
        assert said in shown.err
        assert len(shown.err) < 1000
    for make in (rbr.read, Scorer, TRLReward):
        with pytest.raises(ArtefactError) as caught:
            make(file)
        assert said in str(caught.value)
    assert sorted(path.name for path in file.parent.iterdir()) == ["pipe", "policy.rbrc", "rows.jsonl"]


# --- what is not forged -----------------------------------------------------------------------


def test_what_is_read_is_what_was_compiled_again(genuine: bytes, tmp_path: Path) -> None:
    (tmp_path / "p.rbrc").write_bytes(genuine)
    found = read_artefact(tmp_path / "p.rbrc")
    assert [source.name for source in found.sources] == ["std/style/tone.rbr", "parts/kind.rbr", "policy.rbr"]
    assert found.params == (("least", 2.0),)
    assert found.circuit == load_sources(found.sources, found.params).circuit
    assert artefact_bytes(found) == genuine


def test_links_roots_and_a_folder_of_the_librarys_name_are_carried(tmp_path: Path) -> None:
    """Imports that the names alone would not lead to."""
    (tmp_path / "here" / "std").mkdir(parents=True)
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "real.rbr").write_text('rbr 1\nprop a "A."\n')
    (tmp_path / "here" / "link.rbr").symlink_to(tmp_path / "here" / "real.rbr")
    (tmp_path / "here" / "std" / "mine.rbr").write_text('rbr 1\nprop b "B."\n')
    (tmp_path / "there" / "root.rbr").write_text('rbr 1\nuse "leaf.rbr" as leaf\nprop c "C."\nd := leaf.e & c\n')
    (tmp_path / "there" / "leaf.rbr").write_text('rbr 1\nprop e "E."\n')
    (tmp_path / "here" / "policy.rbr").write_text(
        'rbr 1\nuse "link.rbr" as x\nuse "std/mine.rbr" as y\nuse "root.rbr" as z\nuse std.style.tone (lecturing)\n'
        "response r ranks good > bad\nr.good := x.a & y.b & z.d & !lecturing\nr.bad := otherwise\n"
    )
    policy = rbr.load(tmp_path / "here" / "policy.rbr", roots=[tmp_path / "there"])
    rbr.write(tmp_path / "p.rbrc", policy, rbr.compile(policy))
    found = read_artefact(tmp_path / "p.rbrc")
    names = [source.name for source in found.sources]
    assert names == [
        "real.rbr", "./std/mine.rbr", "../there/leaf.rbr", "../there/root.rbr", "std/style/tone.rbr", "policy.rbr",
    ]  # fmt: skip
    assert found.circuit == policy.circuit


def test_a_name_that_no_artefact_may_carry_is_refused_when_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a\\b.rbr"
    file.write_text('rbr 1\nprop a "A."\nresponse r ranks good > bad\nr.good := a\nr.bad := otherwise\n')
    assert main(["compile", str(file), "-o", str(tmp_path / "p.rbrc")]) == 2
    assert "the source name `a\\b.rbr` is no relative path written with `/`; rename the file" in capsys.readouterr().err
    assert not (tmp_path / "p.rbrc").exists()


def test_the_reward_of_another_policy_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another policy"):
        rbr.write(tmp_path / "p.rbrc", _policy(tmp_path, POLICY), rbr.compile(_policy(tmp_path, OTHER)))


# --- verify -----------------------------------------------------------------------------------


def test_verify_says_which_modules_of_the_library_have_another_text(
    genuine: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = Parts.of(genuine)
    text = (standard_library() / "style" / "tone.rbr").read_bytes()
    assert parts.members["source/000.rbr"] == text
    (tmp_path / "p.rbrc").write_bytes(genuine)
    assert main(["verify", str(tmp_path / "p.rbrc")]) == 0
    assert "is not the text" not in capsys.readouterr().out
    parts.members["source/000.rbr"] = text + b"# one line more\n"
    (tmp_path / "p.rbrc").write_bytes(parts.data())
    assert main(["verify", str(tmp_path / "p.rbrc")]) == 0
    assert "`std/style/tone.rbr` is not the text that this rbrlang has" in capsys.readouterr().out


def _fitted(tmp_path: Path) -> Path:
    rows = [
        {"prompt": f"p{n}", "completion": f"{k}", "response_type": "r", "class": k, "base_reward": 0.1 * n}
        | {"probs": {"apology": a, "kind": 0.5, "lecturing": 0.1}}
        for n in range(6)
        for k, a in (("ideal", 0.9), ("bad", 0.2))
    ]
    _policy(tmp_path, POLICY)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["fit", str(tmp_path / "policy.rbr"), str(tmp_path / "rows.jsonl"), "-D", "least=2"]
    assert main([*arguments, "--certify", "--bootstrap", "0", "-o", str(tmp_path / "fit.rbrc")]) == 0
    return tmp_path / "fit.rbrc"


def test_a_fits_claims_are_computed_where_they_can_be_and_shown_as_claims_where_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _fitted(tmp_path)
    capsys.readouterr()
    assert main(["verify", str(file)]) == 0
    checked, claims = capsys.readouterr().out.split("claims, not checked:\n")
    assert "the weights that its fit names, certificate" in checked
    assert "fitted to 12 rows (data " in claims
    assert "grader: rows" in claims
    assert "certificate" not in claims
    assert main(["inspect", str(file)]) == 0
    assert "\n  certificate: " in capsys.readouterr().out.split("claims, not checked")[1]


@pytest.mark.parametrize("which", ["certificate", "range", "weight"])
def test_claims_that_circuit_and_weights_refute(which: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _fitted(tmp_path)
    parts = Parts.of(file.read_bytes())
    fit = parts.manifest["provenance"]["fit"]
    match which:
        case "certificate":
            fit["certificates"]["holds"] = not fit["certificates"]["holds"]
        case "range":
            fit["certificates"]["base_range"] = ["low", "high"]
        case _:
            fit["response_types"]["r"]["weights"]["ideal"] += 1.0
    file.write_bytes(parts.data())
    capsys.readouterr()
    assert main(["verify", str(file)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"its {'fit names another weight' if which == 'weight' else 'certificate'}" in shown.err


def test_a_provenance_of_ones_own_is_a_claim(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = _policy(tmp_path, POLICY)
    made = Artefact(
        policy.circuit, default_weights(policy.circuit), policy.sources, None, {"certificate": "proved\x1b"}, policy.params
    )  # fmt: skip
    write_artefact(tmp_path / "p.rbrc", made)
    assert main(["verify", str(tmp_path / "p.rbrc")]) == 0
    assert "claims, not checked:\n  written by rbrlang" in (out := capsys.readouterr().out)
    assert "  certificate: proved\\u001b\n" in out


# --- at random --------------------------------------------------------------------------------


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    match value:
        case dict():
            for key, inner in value.items():
                yield from _leaves(inner, (*path, key))
        case list():
            for at, inner in enumerate(value):
                yield from _leaves(inner, (*path, at))
            yield path
        case _:
            yield path


def _changed(value: Any, draw: random.Random) -> Any:
    match value:
        case str():
            return draw.choice([value + "x", value[::-1] + "!", 7, None])
        case bool() | None:
            return draw.choice([1.5, "x", [], {}])
        case int():
            return draw.choice([value + 1, value - 1, -value - 1, 10**9, value + 0.5, str(value), None])
        case float():
            return draw.choice([value + 0.125, -value - 1.0, 1e300, str(value), None])
        case list():
            return draw.choice(
                [value[1:] if value else [0], [*value, *value[:1]] if value else [1], [*value[::-1], None]]
            )
        case _:
            raise AssertionError(value)


def _set(document: Any, path: tuple[str | int, ...], change: Callable[[Any], Any]) -> None:
    *way, last = path
    for step in way:
        document = document[step]
    document[last] = change(document[last])


def _damaged(data: bytes, draw: random.Random) -> bytes:
    at, size = draw.randrange(len(data)), draw.randrange(1, 9)
    return draw.choice([
        data[:at] + bytes([data[at] ^ draw.randrange(1, 256)]) + data[at + 1 :],
        data[:at] + draw.randbytes(size) + data[at:],
        data[:at] + data[at + size :],
        data[:at],
        data[:at] + data[-at:],
    ])  # fmt: skip


def _read_or_refused(file: Path) -> Artefact | ArtefactError:
    try:
        return read_artefact(file)
    except ArtefactError as error:
        return error


@pytest.mark.slow
def test_two_thousand_mutants(genuine: bytes, tmp_path: Path) -> None:
    """Damaged bytes, circuits changed in one place, and sources changed in one character, hashes made to agree.

    The first two kinds are all refused. A changed source is refused unless it means the same, in a comment say.
    """
    draw, file = random.Random(0), tmp_path / "p.rbrc"
    wanted = Parts.of(genuine)
    (tmp_path / "genuine.rbrc").write_bytes(genuine)
    circuit = read_artefact(tmp_path / "genuine.rbrc").circuit
    leaves = [path for path in _leaves(wanted.policy) if path]
    accepted = 0
    for number in range(2000):  # many more at night: the fuzz target `artefact`
        parts = Parts.of(genuine)
        kind = ("damage", "damage", "damage", "circuit", "circuit", "source")[number % 6]
        if kind == "damage":
            data = _damaged(genuine, draw)
            if data == genuine:
                continue
        elif kind == "circuit":
            _set(parts.policy, draw.choice(leaves), lambda value: _changed(value, draw))
            assert parts.policy != wanted.policy
            data = parts.data()
        else:
            text = parts.members["source/002.rbr"].decode()
            at = draw.randrange(len(text))
            new = text[:at] + draw.choice(["", "!", "x", "\x00", "\n", "&", " ", "é"]) + text[at + 1 :]
            parts.members["source/002.rbr"] = new.encode()
            data = parts.data()
        file.write_bytes(data)
        found = _read_or_refused(file)
        if isinstance(found, ArtefactError):
            assert found.cause
            assert found.next_step
            assert str(found).isprintable()
            continue
        assert kind == "source"
        assert found.circuit == circuit
        np.testing.assert_array_equal(found.weights, default_weights(circuit))
        accepted += 1
    assert 0 < accepted < 170
