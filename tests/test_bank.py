"""`rbrc bank`: what it begins, filled in, makes texts of known truth for a policy of one's own; what is missing is said."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rbrlang.cli.main import main

POLICY = """use "manner.rbr" as manner

prop answers "Response says what was asked for, # and all of it."
response reply ranks good > poor > bad {
  bad if manner.blames
  poor if !answers
  good otherwise
}
response thanks ranks good > bad {
  bad if manner.blames
  good otherwise
}
category "question" -> reply
category "kind words" -> thanks
"""
SENTENCES = {
    "[] middle": ["It is a Monday.", "The desk is at the window."],
    "[answers] middle": ["We close at six.", "The key is with Kim."],
    "[blames] middle": ["You should have asked before.", "That is your own fault."],
    "scene reply in question for reply\nask": ["When do you close?"],
    "scene thanks in thanks for thanks\nask": ["Thank you!"],
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("manner.rbr").write_text('prop blames "Response puts the fault on the user."\n')
    Path("p.rbr").write_text(POLICY)


def filled(*without: str) -> str:
    """The bank that was begun, with sentences in place of its lines `TODO`, but for some."""
    text = Path("p.phrases").read_text(encoding="utf-8")
    for header, sentences in SENTENCES.items():
        if header not in without:
            written = "\n".join(f"  {sentence}" for sentence in sentences)
            text, count = re.subn(re.escape(header) + "\n  TODO .*", lambda _, s=f"{header}\n{written}": s, text)  # type: ignore[misc]
            assert count == 1, (header, text)
    return text


def test_what_is_begun_and_filled_in_writes_texts_of_known_truth(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bank", "new", "p.rbr"]) == 0
    assert capsys.readouterr().out == "wrote p.phrases: 5 lines `TODO` to fill in\n"
    assert main(["bank", "check", "p.rbr"]) == 1
    assert "p.phrases:14: TODO a sentence that makes this true" in " ".join(capsys.readouterr().out.split())
    Path("p.phrases").write_text(filled(), encoding="utf-8")
    assert main(["bank", "check", "p.rbr"]) == 0
    assert capsys.readouterr().out == "p.phrases: every class can be written\n"
    made = ["synth", "p.rbr", "--from", "templates", "--bank", "p.phrases", "--prompts", "1", "-o", "texts.jsonl"]
    assert main([*made, "--per-class", "2"]) == 0
    rows = [json.loads(line) for line in Path("texts.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {(row["response_type"], row["class"]) for row in rows} == {
        ("reply", "good"), ("reply", "poor"), ("reply", "bad"), ("thanks", "good"), ("thanks", "bad"),
    }  # fmt: skip
    for row in rows:
        for name, header in (("answers", "[answers] middle"), ("blames", "[blames] middle")):
            said = any(sentence in row["completion"] for sentence in SENTENCES[header])
            assert row["labels"][name] == said, row


def test_what_is_still_missing_is_said_and_the_rest_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bank", "new", "p.rbr"]) == 0
    Path("p.phrases").write_text(filled("[blames] middle"), encoding="utf-8")
    capsys.readouterr()
    assert main(["bank", "check", "p.rbr", "p.phrases", "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [one["what"].startswith("TODO a sentence") for one in found["unwritten"]] == [True]
    assert found["missing"] == [
        "no phrases make a completion of the class `reply.bad`",
        "no phrases make a completion of the class `thanks.bad`",
    ]
    made = ["synth", "p.rbr", "--from", "templates", "--bank", "p.phrases", "--prompts", "1", "-o", "texts.jsonl"]
    assert main(made) == 1
    told = capsys.readouterr().err
    assert "p.phrases: 1 line is still to be written; see `rbrc bank check p.rbr p.phrases`" in told
    assert "TODO" not in Path("texts.jsonl").read_text(encoding="utf-8")


def test_nothing_is_overwritten_and_what_phrases_cannot_serve_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.phrases").write_text("mine")
    assert main(["bank", "new", "p.rbr"]) == 2
    assert Path("p.phrases").read_text() == "mine"
    assert main(["bank", "check", "p.rbr"]) == 2
    assert "p.phrases:1: a phrase bank starts with the line `phrases 1`" in capsys.readouterr().err
    assert main(["bank", "check", "p.rbr", "none.phrases"]) == 2
    assert "`none.phrases` is not there; `rbrc bank new p.rbr none.phrases` begins one" in capsys.readouterr().err
    Path("s.rbr").write_text(
        'scale help 1..3 "How far?"\nresponse r ranks good > bad {\n  good if help >= 2\n  bad otherwise\n}\n'
    )
    assert main(["bank", "new", "s.rbr"]) == 2
    assert "phrases are of propositions alone, and the policy asks for `help`" in capsys.readouterr().err
    assert not Path("s.phrases").exists()


def test_a_bank_without_prompts_names_what_there_is_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bank", "new", "p.rbr"]) == 0
    Path("p.phrases").write_text(
        filled().replace("scene thanks in thanks for thanks\n", "scene thanks in thanks for reply\n")
    )
    capsys.readouterr()
    for command in (
        "bank check p.rbr p.phrases",
        "synth p.rbr --from templates --bank p.phrases --prompts 1 -o texts.jsonl",
    ):
        assert main(command.split()) in (1, 2)
        out, err = capsys.readouterr()
        assert (
            "the phrase bank has no prompts for `thanks`; write a `scene` for it, or give rows with prompts to "
            "`rbrc synth --prompts`"
        ) in " ".join((out + err).split())
