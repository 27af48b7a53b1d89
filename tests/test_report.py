"""The page as bytes: what it says, that it can do nothing but be read, and what the command says of wrong input."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from learning_rows import artefact, circuit, noisy_rows

from rbrlang.cli.commands.reward import report
from rbrlang.cli.commands.tools import demo
from rbrlang.cli.main import main
from rbrlang.learning.fitting.fit import fit
from rbrlang.reward.kept.artefact import write_artefact
from rbrlang.rows.write import write_rows

HOSTILE = "</div><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }} \u202eabc\u2066 \x00 \ud800"
SEEN = "⟨U+202E⟩abc⟨U+2066⟩ ⟨U+0000⟩ ⟨U+D800⟩"

Write = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artefact `p.rbrc` of the small policy; commands run in its folder."""
    write_artefact(tmp_path / "p.rbrc", artefact())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(prompts: int = 20, **columns: Any) -> list[dict[str, Any]]:
    return [dict(row.raw) | columns for row in noisy_rows(prompts, 5, seed=0)]


class Tags(HTMLParser):
    """All elements, and whether every one that opens is closed in its turn."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(html: str) -> Tags:
    found = Tags()
    found.feed(html)
    found.close()
    assert found.open == []
    return found


def test_strangers_text_stays_text_and_is_seen_whole(folder: Path) -> None:
    data = rows()
    for row in data:
        row |= {"completion": HOSTILE, "prompt": f"{row['prompt']} {HOSTILE}", "id": f"{row['id']} <b>{HOSTILE}"}
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data), "utf-8")
    assert main(["report", "p.rbrc", "rows.jsonl", "-o", "out.html", "--title", f"<i>{HOSTILE}"]) == 0
    page = parsed((folder / "out.html").read_text("utf-8"))
    names = {tag for tag, _ in page.seen}
    assert not names & {"script", "img", "iframe", "object", "embed", "form", "b", "i", "base"}
    assert not [name for _, attributes in page.seen for name in attributes if name.startswith("on")]
    text = "".join(page.text)
    assert "</div><script>alert(1)</script>" in text
    assert "{{ 7 * 7 }}" in text
    assert SEEN in text
    assert not set(text) & set("\u202e\u2066\x00")


def test_the_page_reaches_for_nothing(folder: Path) -> None:
    write_rows("rows.jsonl", rows())
    assert main(["report", "p.rbrc", "rows.jsonl", "-o", "out.html"]) == 0
    html = (folder / "out.html").read_text("utf-8")
    page = parsed(html)
    policy = next(a["content"] for tag, a in page.seen if tag == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';")
    targets = [value for _, a in page.seen for name, value in a.items() if name in ("src", "href", "xlink:href")]
    assert all(value is not None and value.startswith(("#", "data:,")) for value in targets)
    assert not re.search(r"@import|url\((?!#)", html)
    ids = [a["id"] for _, a in page.seen if "id" in a]
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in targets if value and value.startswith("#")} <= set(ids)


def test_the_same_input_gives_the_same_bytes(folder: Path) -> None:
    write_rows("rows.jsonl", rows())
    for name in ("a.html", "b.html"):
        assert main(["report", "p.rbrc", "rows.jsonl", "-o", name]) == 0
    assert (folder / "a.html").read_bytes() == (folder / "b.html").read_bytes()


def test_the_ridges_that_a_fit_chose_from_are_drawn_and_told(folder: Path) -> None:
    record = fit(circuit(), noisy_rows(20, 5, seed=0), bootstrap=0).to_json()
    path = record["ridge_path"]
    write_artefact(folder / "p.rbrc", artefact({"fit": record}))
    write_rows("rows.jsonl", rows())
    assert main(["report", "p.rbrc", "rows.jsonl", "-o", "out.html"]) == 0
    page = parsed((folder / "out.html").read_text("utf-8"))
    labels = [a.get("aria-label") or "" for tag, a in page.seen if tag == "svg"]
    assert sum("by ridge" in label and f"{path['chosen']:g}, the one chosen" in label for label in labels) == 2
    text = "".join(page.text)
    assert f"{path['prompts']} prompts in 5 folds" in text
    for step in path["path"]:
        assert f"{step['loss']['value']:.3f} ± {step['loss']['se']:.3f}" in text
        assert f"{step['response_types']['refusal']['rules_sd']:.2f}" in text


@pytest.mark.parametrize(
    "forged",
    [
        [], {}, {"refused": "too few"}, {"chosen": 1, "best": 1, "folds": 5, "prompts": 9, "path": []},
        {"chosen": 1, "best": 1, "folds": 5, "prompts": 9, "path": [3]},
        {"chosen": 1, "best": 1, "folds": 5, "prompts": 9, "path": [{"ridge": -1, "loss": {"value": 1, "se": 1}, "error": {"value": 1, "se": 1}}]},
        {"chosen": 10**400, "best": 1, "folds": 5, "prompts": 9, "path": [{"ridge": 1, "loss": {"value": 1, "se": 1}, "error": {"value": 1, "se": 1}}]},
    ],
)  # fmt: skip
def test_a_record_of_another_shape_draws_no_ridges(folder: Path, forged: object) -> None:
    write_artefact(folder / "p.rbrc", artefact({"fit": {"ridge_path": forged}}))
    write_rows("rows.jsonl", rows())
    assert main(["report", "p.rbrc", "rows.jsonl", "-o", "out.html"]) == 0
    text = "".join(parsed((folder / "out.html").read_text("utf-8")).text)
    assert "The ridge was chosen" not in text
    assert "How far does each reward spread?" in text


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["report", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_file_without_probabilities_makes_a_page_that_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = rows()
    for row in data:
        row["probs"] = None
    write_rows("rows.jsonl", data)
    code, out, err = run(capsys, "p.rbrc", "rows.jsonl", "-o", "out.html")
    assert code == 1
    assert "No row could be used; of 100 rows the reason is: no probability of `refuses` and 3 more." in out
    assert "name a grader with `--grader`" in err
    text = "".join(parsed((folder / "out.html").read_text("utf-8")).text)
    assert "Nothing could be compared." in text
    assert "no row carries both human labels and a grader's answers" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["p.rbrc", "rows.jsonl", "-o", "no/out.html"], "there is no folder `no`"),
        (["p.rbrc", "rows.jsonl", "-o", "."], "is a folder; name a file in it"),
        (["p.rbrc", "empty.jsonl", "-o", "out.html"], "`empty.jsonl` has no usable row; it is empty"),
        (["rows.jsonl", "rows.jsonl", "-o", "out.html"], "is no artefact"),
        (["p.rbrc", "rows.jsonl", "-o", "out.html", "--base-reward", "class"], "not a finite number"),
    ],
)
def test_wrong_use_is_told_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    write_rows("rows.jsonl", rows(3))
    (folder / "empty.jsonl").touch()
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert not (folder / "out.html").exists()


def test_a_missing_extra_is_named_and_the_demo_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows("rows.jsonl", rows(3))
    monkeypatch.setattr(report, "NEEDED", ("jinja2", "no_such_package"))
    code, _, err = run(capsys, "p.rbrc", "rows.jsonl", "-o", "out.html")
    assert code == 2
    assert "the page needs no_such_package: pip install 'rbrlang[report]'" in err
    step = next(step for step in demo.steps(str(folder), 0, 1) if step.name == "report")
    assert demo.run_step(step) == 0
    assert "pip install 'rbrlang[report]'" in capsys.readouterr().out


def test_the_size_of_a_page_does_not_grow_with_its_rows(folder: Path) -> None:
    write_rows("few.jsonl", rows(20, labels={"refuses": True, "polite": False}))
    write_rows("many.jsonl", rows(400, labels={"refuses": True, "polite": False}))
    for name in ("few", "many"):
        assert main(["report", "p.rbrc", f"{name}.jsonl", "-o", f"{name}.html", "--resamples", "50"]) == 0
    assert (folder / "many.html").stat().st_size < 1.2 * (folder / "few.html").stat().st_size


def test_standard_output_holds_the_page_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("rows.jsonl", rows(3))
    code, out, _ = run(capsys, "p.rbrc", "rows.jsonl", "-o", "-")
    assert code == 0
    assert out.startswith("<!doctype html>")
    assert out.rstrip().endswith("</html>")


def test_a_large_policy_with_measures_still_makes_a_readable_page(folder: Path) -> None:
    names = [f"a_rather_long_name_of_proposition_{at}" for at in range(45)]
    text = "rbr 1\n" + "\n".join(f'prop {name} "The response has <b>{name}</b>."' for name in names)
    text += f"\nresponse only ranks good > bad\nonly.good := {names[0]} & words > 2\nonly.bad := otherwise\n"
    text += f"reward only {{ features classes, {', '.join(names)} }}\n"
    (folder / "wide.rbr").write_text(text, "utf-8")
    assert main(["compile", "wide.rbr", "-o", "wide.rbrc", "--class-probability", "product"]) == 0
    write_rows("wide.jsonl", [
        {"prompt": f"p{at // 2}", "completion": "one two three", "class": ("good", "bad")[at % 2], "response_type": "only",
         "probs": dict.fromkeys(names, 0.25 + 0.01 * (at % 2)), "labels": dict.fromkeys(names, bool(at // 2 % 2))}
        for at in range(40)
    ])  # fmt: skip
    assert main(["report", "wide.rbrc", "wide.jsonl", "-o", "wide.html"]) == 0
    html = (folder / "wide.html").read_text("utf-8")
    text = "".join(parsed(html).text)
    assert "the 40 largest of 47" in text
    assert f"has <b>{names[44]}</b>." in text
    assert "12 more propositions, better calibrated" in text
    assert html.count("<svg") == 1 + 2 + 1 + 24  # errors, rules and both, weights, reliability
