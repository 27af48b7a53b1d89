"""Signatures: what is signed stays what it was, and no other key, content or envelope passes for the one asked for."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)
from learning_rows import artefact

import rbrlang as rbr
from rbrlang.adapters.openrlhf import OpenRLHFReward
from rbrlang.adapters.trl import TRLReward
from rbrlang.adapters.verl import compute_score
from rbrlang.cli.main import main
from rbrlang.reward.kept.artefact import Artefact, ArtefactError, artefact_bytes, read_artefact, write_artefact
from rbrlang.reward.kept.codec import dump_json
from rbrlang.reward.kept.container import pack, unpack
from rbrlang.reward.kept.signature import SignatureError, required_key
from rbrlang.reward.kept.signing import signer
from rbrlang.scoring.score import Scorer

POLICY = """rbr 1
prop apology "It says sorry." { cue yes "(?i)\\\\bsorry\\\\b" }
response r ranks good > bad
r.good := apology
r.bad  := otherwise
"""
ROW = {"id": "1", "prompt": "Hi", "completion": "Sorry.", "response_type": "r"}


def _keys(folder: Path, name: str, private: Any) -> None:
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{name}.pem").write_bytes(pem)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy, a row, two pairs of keys, and one of another kind; commands run there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RBRC_KEY_PASSPHRASE", raising=False)
    Path("policy.rbr").write_text(POLICY)
    Path("rows.jsonl").write_text(json.dumps(ROW) + "\n")
    _keys(tmp_path, "mine", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    _keys(tmp_path, "other", Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\x01"))
    _keys(tmp_path, "exchange", X25519PrivateKey.generate())
    return tmp_path


def _signed() -> None:
    assert main(["compile", "policy.rbr", "-o", "p.rbrc", "--sign", "mine.pem"]) == 0


def _envelope(data: bytes) -> Any:
    return json.loads(unpack("x", data)["signature.json"])


# --- what is signed ---------------------------------------------------------------------------


def test_the_signature_is_of_the_unsigned_file_by_the_key(folder: Path) -> None:
    """By the documents of DSSE and in-toto, computed by hand."""
    assert main(["compile", "policy.rbr", "-o", "plain.rbrc"]) == 0
    _signed()
    plain, members = Path("plain.rbrc").read_bytes(), unpack("x", Path("p.rbrc").read_bytes())
    envelope = json.loads(members.pop("signature.json"))
    assert pack(members) == plain
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
    assert kind == "application/vnd.in-toto+json"
    public = load_pem_public_key(Path("mine.pub").read_bytes())
    assert isinstance(public, Ed25519PublicKey)
    (signature,) = envelope["signatures"]
    said = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
    public.verify(base64.b64decode(signature["sig"]), said)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert signature["keyid"] == hashlib.sha256(der).hexdigest()
    statement = json.loads(payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert [s["digest"] for s in statement["subject"]] == [{"sha256": hashlib.sha256(plain).hexdigest()}]
    predicate = statement["predicate"]
    assert predicate["sources"] == [
        {"name": "policy.rbr", "digest": {"sha256": hashlib.sha256(POLICY.encode()).hexdigest()}}
    ]
    assert predicate["fingerprint"] == rbr.load("policy.rbr").fingerprint
    assert predicate["versions"]["rbrlang"] == rbr.__version__


def test_a_fit_states_its_data_rows_seed_and_grader(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"prompt": f"p{n}", "completion": k, "response_type": "r", "class": k, "probs": {"apology": p}}
        for n in range(6)
        for k, p in (("good", 0.9), ("bad", 0.2))
    ]
    Path("ranked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fit = ["fit", "policy.rbr", "ranked.jsonl", "--no-base-reward", "--bootstrap", "0", "--seed", "3"]
    assert main([*fit, "-o", "p.rbrc", "--sign", "mine.pem", "--format", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    predicate = json.loads(base64.b64decode(_envelope(Path("p.rbrc").read_bytes())["payload"]))["predicate"]
    assert predicate["data"] == {"digest": {"sha256": said["data"]}}
    assert (predicate["rows"], predicate["seed"], predicate["grader"]) == (12, 3, "rows")
    weights = unpack("x", Path("p.rbrc").read_bytes())["weights.safetensors"]
    assert predicate["weights"] == {"digest": {"sha256": hashlib.sha256(weights).hexdigest()}}


def test_a_signed_artefact_is_the_same_artefact(folder: Path) -> None:
    made = artefact({"seed": 3})
    write_artefact("signed.rbrc", made, signer(Path("mine.pem").read_bytes(), None))
    found = read_artefact("signed.rbrc", key=required_key("mine.pub"))
    assert found.keys == (required_key("mine.pub").id,)
    assert artefact_bytes(found) == artefact_bytes(made)
    np.testing.assert_array_equal(rbr.read("signed.rbrc", require_key="mine.pub").host.weights, made.weights)


def test_encrypted_keys_sign_the_same(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    hidden = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a word"))
    Path("hidden.pem").write_bytes(hidden)
    sign = ["compile", "policy.rbr", "-o", "h.rbrc", "--sign", "hidden.pem"]
    assert main(sign) == 2
    assert "is encrypted, and there is no passphrase for it; put it into RBRC_KEY_PASSPHRASE" in capsys.readouterr().err
    monkeypatch.setenv("RBRC_KEY_PASSPHRASE", "another word")
    assert main(sign) == 2
    assert "cannot be decrypted by this passphrase; check RBRC_KEY_PASSPHRASE" in capsys.readouterr().err
    assert not Path("h.rbrc").exists()
    monkeypatch.setenv("RBRC_KEY_PASSPHRASE", "a word")
    assert main(sign) == 0
    _signed()  # a passphrase does no harm to a key that needs none
    assert Path("h.rbrc").read_bytes() == Path("p.rbrc").read_bytes()


@pytest.mark.parametrize(
    ("option", "file", "said"),
    [
        ("--sign", "mine.pub", "holds no private key in PEM; `openssl genpkey"),
        ("--sign", "exchange.pem", "holds a private key that is not Ed25519"),
        ("--sign", "rows.jsonl", "holds no private key in PEM"),
        ("--sign", "none.pem", "no such file"),
        ("--key", "mine.pem", "holds a private key; give the public one"),
        ("--key", "exchange.pub", "holds a public key that is not Ed25519"),
        ("--key", "rows.jsonl", "holds no public key in PEM"),
        ("--key", "none.pub", "no such file"),
    ],
)
def test_files_that_hold_no_such_key(
    option: str, file: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _signed()
    command = ["compile", "policy.rbr", "-o", "new.rbrc"] if option == "--sign" else ["verify", "p.rbrc"]
    assert main([*command, option, file]) == 2
    assert f"`{file}`" in (err := capsys.readouterr().err)
    assert said in err
    assert not Path("new.rbrc").exists()


# --- what is asked for ------------------------------------------------------------------------


def _unsigned(data: bytes) -> bytes:
    members = unpack("x", data)
    del members["signature.json"]
    return pack(members)


def _changed(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    def forge(data: bytes) -> bytes:
        members, envelope = unpack("x", data), _envelope(data)
        change(envelope)
        return pack({**members, "signature.json": dump_json(envelope)})

    return forge


def _restated(data: bytes) -> bytes:
    """The statement of a good key with another seed, under the old signature."""
    members, envelope = unpack("x", data), _envelope(data)
    payload = json.loads(base64.b64decode(envelope["payload"]))
    payload["predicate"]["versions"]["jax"] = "0.0"
    envelope["payload"] = base64.b64encode(dump_json(payload)).decode()
    return pack({**members, "signature.json": dump_json(envelope)})


def _of_another(data: bytes) -> bytes:
    """A good signature of another artefact, put beside this one."""
    other = unpack("x", artefact_bytes(artefact(), signer(Path("mine.pem").read_bytes(), None)))
    return pack({**unpack("x", data), "signature.json": other["signature.json"]})


def _by_another(data: bytes) -> bytes:
    """Another key's signature under the name of the one that is asked for."""
    sign = signer(Path("other.pem").read_bytes(), None)
    members, envelope = unpack("x", data), _envelope(data)
    theirs = json.loads(sign(base64.b64decode(envelope["payload"])))
    envelope["signatures"][0]["sig"] = theirs["signatures"][0]["sig"]
    return pack({**members, "signature.json": dump_json(envelope)})


def _stating(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    """A statement that the right key signed, and that says something untrue."""

    def forge(data: bytes) -> bytes:
        members, envelope = unpack("x", data), _envelope(data)
        statement = json.loads(base64.b64decode(envelope["payload"]))
        change(statement)
        sign = signer(Path("mine.pem").read_bytes(), None)
        return pack({**members, "signature.json": sign(dump_json(statement))})

    return forge


REFUSED = {
    "not signed": (_unsigned, "is not signed, and has to be by the key"),
    "no signature": (_changed(lambda e: e.update(signatures=[])), "is of no key, and not of the key"),
    "another name": (_changed(lambda e: e["signatures"][0].update(keyid="x" * 64)), "and not of the key"),
    "another key": (_by_another, "was not made by the key"),
    "nothing for a signature": (_changed(lambda e: e["signatures"][0].update(sig="AA==")), "was not made by the key"),
    "twice": (_changed(lambda e: e["signatures"].append(e["signatures"][0])), "was not made by the key"),
    "another statement": (_restated, "was not made by the key"),
    "of another artefact": (_of_another, "is of another artefact"),
    "another payload type": (_changed(lambda e: e.update(payloadType="text/plain")), "holds no in-toto statement"),
    "no base64": (_changed(lambda e: e.update(payload="?")), "is no signature"),
    "one field more": (_changed(lambda e: e.update(more=1)), "is no signature"),
    "another predicate": (_stating(lambda s: s.update(predicateType="x")), "does not know"),
    "another data set": (_stating(lambda s: s["predicate"].update(data="x")), "states something else"),
    "two subjects": (_stating(lambda s: s["subject"].append(s["subject"][0])), "is no signature"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_required_key_refuses_what_it_did_not_sign(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forge, said = REFUSED[name]
    _signed()
    Path("p.rbrc").write_bytes(forge(Path("p.rbrc").read_bytes()))
    capsys.readouterr()
    for command in (
        ("verify", "p.rbrc", "--key", "mine.pub"),
        ("score", "p.rbrc", "rows.jsonl", "--grader", "embedded", "-o", "out.jsonl", "--require-key", "mine.pub"),
        ("serve", "p.rbrc", "--port", "0", "--require-key", "mine.pub"),
    ):
        assert main(list(command)) == 2, command
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1
    for make in (rbr.read, Scorer, TRLReward, OpenRLHFReward):
        with pytest.raises(ArtefactError) as caught:
            make("p.rbrc", require_key="mine.pub")
        assert said in str(caught.value)
    with pytest.raises(ArtefactError):
        compute_score("", "", "", artefact="p.rbrc", require_key="mine.pub")
    assert not Path("out.jsonl").exists()


def test_any_changed_byte_is_refused(folder: Path) -> None:
    _signed()
    data, key = Path("p.rbrc").read_bytes(), required_key("mine.pub")
    draw = np.random.default_rng(0)
    for at in draw.integers(0, len(data), 400):
        changed = bytearray(data)
        changed[at] ^= int(draw.integers(1, 256))
        Path("changed.rbrc").write_bytes(bytes(changed))
        with pytest.raises(ArtefactError):
            read_artefact("changed.rbrc", key=key)


def test_a_member_changed_with_its_hash_is_refused_before_anything_else(folder: Path) -> None:
    """Even where what follows would have been refused for another reason."""
    _signed()
    members = unpack("x", Path("p.rbrc").read_bytes())
    members["manifest.json"] = b"not JSON"
    Path("p.rbrc").write_bytes(pack(members))
    with pytest.raises(ArtefactError, match="is of another artefact"):
        read_artefact("p.rbrc", key=required_key("mine.pub"))


def test_what_the_right_key_signed_is_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _signed()
    capsys.readouterr()
    assert main(["verify", "p.rbrc", "--key", "mine.pub"]) == 0
    assert "signed by `mine.pub`" in capsys.readouterr().out
    assert main(["verify", "p.rbrc"]) == 0
    assert "signed, as it says, by the key " in capsys.readouterr().out
    score = ["score", "p.rbrc", "rows.jsonl", "--grader", "embedded", "-o", "-"]
    assert main([*score, "--require-key", "mine.pub"]) == 0
    reward = Scorer("p.rbrc", require_key="mine.pub")
    assert pickle.loads(pickle.dumps(reward)).artefact.keys == reward.artefact.keys
    score_of = compute_score(
        "", "Sorry.", "", {"response_type": "r", "prompt": "Hi"}, artefact="p.rbrc", require_key="mine.pub"
    )
    assert score_of["score"] == pytest.approx(json.loads(capsys.readouterr().out)["reward"], abs=1e-5)


def test_a_key_is_not_asked_of_what_was_read_already(folder: Path) -> None:
    made: Artefact = artefact()
    with pytest.raises(TypeError, match="was read already"):
        Scorer(made, require_key="mine.pub")


def test_without_the_extra_signed_artefacts_are_read_and_keys_refused(folder: Path) -> None:
    _signed()
    program = (
        "import sys\nfor name in ('cryptography', 'securesystemslib'):\n    sys.modules[name] = None\n"
        "from rbrlang.reward.kept.artefact import read_artefact\nfrom rbrlang.reward.kept.signature import SignatureError, required_key\n"
        "assert len(read_artefact('p.rbrc').keys) == 1\n"
        "try:\n    required_key('mine.pub')\nexcept SignatureError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "install the extra: pip install 'rbrlang[sign]'" in done.stdout


def test_a_file_without_a_key_is_an_error_of_its_own(folder: Path) -> None:
    with pytest.raises(SignatureError, match="holds no public key"):
        rbr.read("p.rbrc", require_key="rows.jsonl")
