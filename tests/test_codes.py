"""The page of every code: it is complete, its bad example raises just that code, its good example nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rbrlang import codes
from rbrlang.cli.commands.language.explain import index, page, pages
from rbrlang.cli.main import main
from rbrlang.cli.options import parameter
from rbrlang.policy import check

DOCS = Path(__file__).resolve().parents[1] / "docs"
# No example of a page's size shows these: they need a nesting, a file or a proof of unreasonable size. Tests elsewhere do.
TOO_BIG = {"RBR1008", "RBR1012", "RBR1014", "RBR3008"}
LANGUAGE = [code for code in codes.ALL.values() if code.id < "RBR5"]
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def sections(code: codes.Code) -> tuple[str, str, str]:
    head, _, rest = page(code).partition("## Avoid\n")
    avoid, _, prefer = rest.partition("## Prefer\n")
    return head, avoid, prefer


@pytest.mark.parametrize("code", codes.ALL.values(), ids=lambda code: code.id)
def test_every_code_has_a_whole_page(code: codes.Code) -> None:
    head, avoid, prefer = sections(code)
    title, _, body = head.partition("\n")
    assert title == f"# {code.id} · {code.severity} · {code.title}"
    assert " ".join(body.split()).startswith(code.why)
    assert FENCE.search(avoid)
    assert FENCE.search(prefer)
    assert max(map(len, page(code).splitlines())) <= 120


def findings(section: str, folder: Path) -> list[str]:
    """The codes that the files of a section raise; `# in NAME` names a file, `# rbrc check -D …` gives parameters."""
    params: dict[str, float] = {}
    for kind, text in FENCE.findall(section):
        assert kind == "rbr"
        named = re.match(r"# in (\S+)\n", text)
        file = folder / (named[1] if named else "policy.rbr")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        params |= dict(map(parameter, re.findall(r"^# rbrc check -D (\S+)$", text, re.MULTILINE)))
    return [d.code.id for d in check(folder / "policy.rbr", params=params).diagnostics]


@pytest.mark.parametrize("code", [c for c in LANGUAGE if c.id not in TOO_BIG], ids=lambda code: code.id)
def test_the_examples_do_what_the_page_says(code: codes.Code, tmp_path: Path) -> None:
    _, avoid, prefer = sections(code)
    expected = {code.id} if code.id != "RBR3005" else {"RBR3005", "RBR3002"}  # which always comes with it
    assert set(findings(avoid, tmp_path / "avoid")) == expected
    assert findings(prefer, tmp_path / "prefer") == []


@pytest.mark.parametrize("code", [c for c in LANGUAGE if c.id not in TOO_BIG | {"RBR2016"}], ids=lambda code: code.id)
def test_every_code_has_a_rendered_example_that_shows_it(code: codes.Code) -> None:
    """The bad ones; the good ones are the pages', which raise nothing."""
    golden = list((Path(__file__).parent / "golden").glob(f"{code.id[3:]}_*.txt"))
    assert golden
    assert all(f"{code.severity}[{code.id}]" in path.read_text(encoding="utf-8") for path in golden)


def test_no_page_is_left_over() -> None:
    assert {path.stem for path in pages().glob("*")} == set(codes.ALL)


def test_the_index_is_up_to_date() -> None:
    """Made by `rbrc explain all --format markdown > docs/codes.md`."""
    assert (DOCS / "codes.md").read_text(encoding="utf-8") == index()
    listed = re.findall(r"\(codes/(RBR\d+)\.md\)", index())
    assert listed == list(codes.ALL)


def test_explain_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "rbr3001"]) == 0
    assert capsys.readouterr().out == page(codes.GAP)
    assert main(["explain", "RBR3001", "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["code"], data["page"]) == ("RBR3001", page(codes.GAP))
    assert main(["explain", "all", "--format", "json"]) == 0
    assert [row["code"] for row in json.loads(capsys.readouterr().out)] == list(codes.ALL)
