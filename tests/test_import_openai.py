"""The release's YAML becomes a policy that says the same, and nothing is lost on the way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from rbrlang.cli.main import main
from rbrlang.imports.imported import ImportFormatError, snake_case
from rbrlang.imports.openai_rbr import import_openai_rbr
from rbrlang.lang.braces import plain
from rbrlang.logic.findings.monotone import Trends, is_strictly
from rbrlang.policy import check, check_text, loads

SMALL = '''
prompt_template: |-
  Answer {question}
  about {response}
completion_class_order: [ideal, okay, bad]
completion_classes:
  ideal:
    Hard Refuse: {polite_no: true}
  okay:
    Hard Refuse: {polite_no: false, refuses: true}
  bad:
    Hard Refuse: {refuses: false}
derived_propositions:
  polite_no: {refuses: true, apology: true}
simple_propositions:
  refuses:
    prompt: |-
      Does it refuse?
        - indented "quotes" and """triple""" ones
         \\ a backslash, {braces}, trailing blanks\x20\x20\x20

      ```
      code: 'x'
      ```
  apology: {prompt: "One line, no question."}
'''


def questions(text: str) -> dict[str, str]:
    return {name: body["prompt"] for name, body in yaml.safe_load(text)["simple_propositions"].items()}


def test_a_small_release_keeps_every_word() -> None:
    policy = loads(import_openai_rbr(SMALL, "small.yaml"))
    assert {p.name: plain(p.question, ()) for p in policy.program.propositions} == questions(SMALL)
    (response,) = policy.program.responses
    assert response.name == "hard_refuse"
    assert response.ranks == (("ideal",), ("okay",), ("bad",))
    assert "Answer {question}" in import_openai_rbr(SMALL, "small.yaml")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Hard Refuse", "hard_refuse"),
        ("test", "test_"),
        ("2nd", "p_2nd"),
        ("camelCase", "camel_case"),
        ("a__b", "a__b"),
    ],
)
def test_names_are_snake_cased(name: str, plain: str) -> None:
    assert snake_case(name) == plain


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("simple_propositions:", "propositions:"), "lacks `simple_propositions`"),
        (("polite_no: true}", "polite_not: true}"), "names `polite_not`, which is not a proposition"),
        (("refuses: false}", "refuses: maybe}"), "must be true or false, not 'maybe'"),
        (("[ideal, okay, bad]", "[ideal, okay]"), "class `bad` is not in `completion_class_order`"),
        (("[ideal, okay, bad]", "{{["), "is not YAML"),
        (("{prompt: \"One line, no question.\"}", "{prompt: 3}"), "must have a text `prompt`"),
        (("  apology: {prompt", "  Refuses: {prompt: x}\n  apology: {prompt"), "both become `refuses`"),
        (("prompt_template: |-", "surprise: 1\nprompt_template: |-"), "unknown section `surprise`"),
    ],
)  # fmt: skip
def test_a_source_that_is_something_else_is_refused(change: tuple[str, str], says: str) -> None:
    assert change[0] in SMALL
    with pytest.raises(ImportFormatError, match=re.escape(says)):
        import_openai_rbr(SMALL.replace(*change), "small.yaml")


def test_the_command_line_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "x.yaml"
    source.write_bytes(b"\xff\xfe")
    assert main(["import", "openai-rbr", str(source), "-o", str(tmp_path / "x.rbr")]) == 2
    assert "is not UTF-8 text" in capsys.readouterr().err
    assert not (tmp_path / "x.rbr").exists()


def test_the_published_policy_is_a_proved_partition(openai_release: Path, openai_policy_file: Path) -> None:
    result = check(openai_policy_file)
    text = (openai_release / "proposition_prompts.yaml").read_text(encoding="utf-8")
    assert {p.name: plain(p.question, ()) for p in result.program.propositions} == questions(text)
    reached = {item.name: (item.partition, len(item.atoms)) for item in result.audit.responses}
    assert reached == {
        "hard_refuse": (True, 14), "safe_refuse_1": (True, 16), "safe_refuse_2": (True, 17), "comply": (True, 5),
    }  # fmt: skip
    unused = [re.findall("`(.*?)`", d.message) for d in result.diagnostics if d.code.id == "RBR4001"]
    assert unused == [["conditional_verbiage"], ["prescribes_dosage"]]
    assert [d.code.id for d in result.diagnostics if d.severity == "error"] == []


def test_a_property_of_the_published_policy_needs_an_axiom(openai_policy_file: Path) -> None:
    claim = (
        'property "obeying is fine" for comply: fully_complies & !disallowed_content'
        " & !illogical_continuation_of_prompt => ideal | minimum_acceptable_style\n"
    )
    text = openai_policy_file.read_text(encoding="utf-8") + claim
    (violation,) = [d for d in check_text(text).diagnostics if d.severity == "error"]
    assert violation.code.id == "RBR3007"
    premise = {"fully_complies": True, "disallowed_content": False, "illogical_continuation_of_prompt": False}
    assert dict(violation.witness or ()) == premise | {"partially_complies": False, "requests_information": False}
    assert check_text(text + "axiom fully_complies => partially_complies\n").ok


def test_what_raises_and_lowers_the_class_in_the_published_policy(openai_policy_file: Path) -> None:
    checked = check(openai_policy_file)
    names = checked.program.atoms
    item = next(i for i in checked.compiled.responses if i is not None and i.response.name == "hard_refuse")
    trends = Trends(checked.compiled.bdd, item)
    only = {
        up: {name for atom, name in enumerate(names) if is_strictly(trends.of(atom), up=up)} for up in (True, False)
    }
    assert "apology" in only[True]
    assert "disallowed_content" in only[False]
