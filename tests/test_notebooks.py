"""The notebooks run from a clean kernel, and values show themselves there: escaped, of bounded size, on a light and a dark ground.

`RBR_UPDATE_PICTURES=1 pytest tests/test_notebooks.py -k ground` takes the pictures of the documentation anew.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from browser import barriers, browser
from conftest import CHECKOUT
from learning_rows import circuit, noisy_rows
from nbclient import NotebookClient

import rbrlang as rbr
from rbrlang.diagnostics import Diagnostic
from rbrlang.learning.fitting.fit import fit
from rbrlang.learning.fitting.fitted import ResponseFit, Unfitted
from rbrlang.learning.judging.evaluate import evaluate
from rbrlang.policy import check_text
from rbrlang.reward.reward import RuleReward

__all__ = ["browser"]  # the fixture
BOOKS = {path.stem: path for path in sorted((CHECKOUT / "examples" / "notebooks").glob("*.ipynb"))}
SHOWN = {
    "first_policy": ("are both", "witness:", "75 %", "its text", "what is added to the base reward"),
    "fit_and_judge": ("19 propositions", "hinge loss", "held out", "95 % interval", "(95 % over prompts, seed 0)"),
    "reward_in_jax": ("rule-based reward:", "acknowledges"),
}  # what the values that a notebook shows say, one after the other


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A notebook by its name after a run from a clean kernel, with this checkout's `rbrc` before any other."""
    tools, folder = tmp_path_factory.mktemp("bin"), tmp_path_factory.mktemp("notebooks")
    (tools / "rbrc").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m rbrlang.cli "$@"\n')
    (tools / "rbrc").chmod(0o755)

    @cache
    def run(name: str) -> Any:
        book = nbformat.read(BOOKS[name], as_version=4)
        NotebookClient(
            book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        ).execute()
        return book

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("JAX_PLATFORMS", "cpu")
        yield run


def outputs(book: Any) -> list[Any]:
    return [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]


def html_of(book: Any) -> list[str]:
    return [output.data["text/html"] for output in outputs(book) if "text/html" in output.get("data", {})]


@pytest.mark.slow
@pytest.mark.parametrize("name", BOOKS)
def test_a_notebook_runs_and_shows_its_values(name: str, executed: Any) -> None:
    kept = [cell for cell in nbformat.read(BOOKS[name], as_version=4).cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in kept), "results are not kept in the file"
    book = executed(name)
    said = "".join(output.text for output in outputs(book) if output.output_type == "stream")
    assert "Error" not in said
    assert "Warning" not in said
    shown, at = "\n".join(html_of(book)), 0
    for part in SHOWN[name]:
        at = shown.index(part, at)
    assert all(len(output.data["text/plain"]) < 400 for output in outputs(book) if "data" in output)
    files = {str(path.relative_to(BOOKS[name].parent)) for path in BOOKS[name].parent.rglob("*")}
    assert files == {path.name for path in BOOKS.values()}, "nothing is written beside a notebook"


class Parsed(HTMLParser):
    """What a browser would make of a snippet: tags, attributes, text."""

    def __init__(self, snippet: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.ends: list[str] = []
        self.text = ""
        self.feed(snippet)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        self.ends.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


PLAIN = {"div", "b", "i", "u", "pre", "table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary"}
NAME = "<img src=x onerror=alert(1)>\"'&\u202e$\\href{javascript:alert(1)}{x}$"  # of a file, which must be UTF-8
HOSTILE = NAME + "\ud800"
VISIBLE = NAME.replace("\u202e", "⟨U+202E⟩")


def hostile() -> Iterator[Any]:
    """Values with a stranger's text wherever one can have come in."""
    wrong = 'prop a "x"\nprop b "y"\nresponse r ranks good > bad {\n  good if a\n  bad if b # ' + HOSTILE + "\n}\n"
    checked = check_text(wrong, name=NAME)
    yield rbr.PolicyError(checked.diagnostics)
    yield checked
    found = checked.diagnostics[0]
    yield Diagnostic(found.code, HOSTILE, found.span, ((HOSTILE, found.span),), HOSTILE, ((HOSTILE, True),))
    seen = NAME.replace("\u202e", "")  # a policy with the other is refused
    policy = rbr.loads(
        f'# {seen}\nprop a "<b>x</b>"\nresponse r ranks good > bad {{\n  good if a\n  bad otherwise\n}}\n', name=NAME
    )
    assert seen in Parsed(policy._repr_html_()).text
    yield policy
    response = replace(policy.circuit.responses[0], name=HOSTILE)
    yield RuleReward(replace(policy.circuit, responses=(response,)), np.ones((1, 9), np.float32))  # type: ignore[arg-type]
    rows = noisy_rows(30, 3, seed=1)
    fitted = fit(circuit(), rows, bootstrap=20)
    (one,) = (one for one in fitted.responses if isinstance(one, ResponseFit))
    yield replace(fitted, base_reward=HOSTILE, responses=(replace(one, name=HOSTILE, notes=(HOSTILE,)),))
    yield replace(fitted, responses=(Unfitted(HOSTILE, HOSTILE, 1, {}, ()),))
    judged = evaluate(fitted.reward.host, rows, resamples=20)
    yield replace(judged, responses=(replace(judged.responses[0], name=HOSTILE, reason=HOSTILE),))


def test_a_strangers_text_stays_text() -> None:
    for value in hostile():
        snippet, kind = value._repr_html_(), type(value).__name__
        snippet.encode()  # a kernel could not send half of a pair
        parsed = Parsed(snippet)
        assert set(parsed.tags) <= PLAIN, kind
        assert parsed.attributes <= {"style", "class", "scope", "open"}, kind
        assert sorted(parsed.tags) == sorted(parsed.ends), kind
        assert VISIBLE in parsed.text, kind
        assert "mathjax_ignore" in snippet, kind


def test_what_is_shown_is_bounded_and_says_what_is_left_out() -> None:
    many = "".join(f'prop p{n} "{"x" * 5000}" {{ cue yes "(" }}\n' for n in range(300))
    with pytest.raises(rbr.PolicyError) as caught:
        rbr.loads(many)
    snippet = caught.value._repr_html_()
    assert len(snippet) < 40_000
    assert f"and {len(caught.value.diagnostics) - 12} more findings" in snippet
    names = ", ".join(f"p{n}" for n in range(60))
    policy = rbr.loads(
        "".join(f'prop p{n} "x"\n' for n in range(60))
        + "response r ranks good > bad {\n  good if p0\n  bad otherwise\n}\n"
        + f"reward r {{\n  features classes, {names}\n}}\n# "
        + "y" * 100_000
    )
    assert "characters more" in Parsed(policy._repr_html_()).text
    assert len(policy._repr_html_()) < 60_000
    assert "and 32 more rows" in Parsed(rbr.compile(policy)._repr_html_()).text


PICTURES = {"findings": ("first_policy", 0), "policy": ("first_policy", 1), "evaluation": ("fit_and_judge", 2)}


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("name", PICTURES)
def test_it_reads_on_a_light_and_on_a_dark_ground(name: str, executed: Any, browser: Any) -> None:
    notebook, number = PICTURES[name]
    snippet = html_of(executed(notebook))[number]
    for ground, ink in (("#111111", "#e8e8e8"), ("#ffffff", "#1a1a1a")):
        page = browser.new_page(viewport={"width": 760, "height": 900})
        said: list[str] = []
        page.on("console", lambda message, said=said: said.append(message.text))
        style = f"background:{ground};color:{ink};font:14px system-ui,sans-serif;margin:0;padding:10px"
        page.set_content(
            f'<!doctype html><html lang="en"><title>x</title><body style="{style}"><main>{snippet}</main></body></html>'
        )
        assert barriers(page, "page-has-heading-one") == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert said == []
        if os.environ.get("RBR_UPDATE_PICTURES") and ground == "#ffffff":
            box = page.locator("main > div").bounding_box()
            clip = {"x": 0, "y": 0, "width": 760, "height": box["y"] + box["height"] + 10}
            page.screenshot(path=CHECKOUT / "docs" / "assets" / f"notebook-{name}.png", clip=clip)
        page.close()


def test_the_pictures_are_there_and_small() -> None:
    page = (CHECKOUT / "docs" / "notebooks.md").read_text(encoding="utf-8")
    for name in PICTURES:
        picture = Path("assets") / f"notebook-{name}.png"
        assert f"]({picture})" in page
        assert 0 < (CHECKOUT / "docs" / picture).stat().st_size <= 60_000
