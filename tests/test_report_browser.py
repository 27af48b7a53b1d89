"""The page in a real browser: it draws, it asks for nothing, it runs nothing, it can be read at any width and on paper."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import barriers, browser
from learning_rows import POLICY, noisy_rows

from rbrlang.cli.main import main
from rbrlang.rows.write import write_rows

__all__ = ["browser"]  # the fixture
pytestmark = pytest.mark.browser

HOSTILE = "<script>window.harmed = 1</script><img src=http://127.0.0.1:9/x onerror='window.harmed = 1'>\u202e"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with labels, hostile texts and mistakes, made by the command line."""
    folder = tmp_path_factory.mktemp("report")
    policy = folder / "p.rbr"
    policy.write_text(POLICY.replace("REWARD", ""), "utf-8")
    rows = [dict(row.raw) for row in noisy_rows(24, 5, seed=1, noise=0.25)]
    for at, row in enumerate(rows):
        klass = row["class"]
        row |= {"id": f"{at} {HOSTILE}", "completion": f"{HOSTILE} " + "long " * 400}
        row["labels"] = {
            "refuses": klass != "complying", "polite": klass == "ideal", "lectures": klass == "preachy",
            "emoji": row["probs"]["emoji"] > 0.5,
        }  # fmt: skip
    write_rows(folder / "rows.jsonl", rows)
    assert main(["compile", str(policy), "-o", str(folder / "p.rbrc")]) == 0
    out = folder / "report.html"
    assert main(["report", str(folder / "p.rbrc"), str(folder / "rows.jsonl"), "-o", str(out), "--title", HOSTILE]) == 0
    return out


class Seen:
    """What a page did while it was open."""

    def __init__(self, browser: Any, file: Path, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.messages: list[str] = []
        self.requests: list[str] = []

        def said(message: Any) -> None:
            self.messages.append(message.text)

        def failed(error: Any) -> None:
            self.messages.append(str(error))

        def asked(dialog: Any) -> None:
            self.messages.append(dialog.message)

        def fetched(request: Any) -> None:
            self.requests.append(request.url)

        for event, seen in (("console", said), ("pageerror", failed), ("dialog", asked), ("request", fetched)):
            self.page.on(event, seen)
        self.page.goto(file.as_uri())


@pytest.fixture
def opened(browser: Any, page_file: Path) -> Iterator[Any]:
    """Opens the page; every page is closed afterwards."""
    contexts: list[Any] = []

    def open_page(**context: Any) -> Seen:
        seen = Seen(browser, page_file, **context)
        contexts.append(seen.context)
        return seen

    yield open_page
    for context in contexts:
        context.close()


def pixels(png: bytes) -> np.ndarray:
    from matplotlib.image import imread

    return imread(io.BytesIO(png), format="png")[..., :3]


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_draws_without_asking_for_anything(opened: Any, page_file: Path, script: bool, scheme: str) -> None:
    seen = opened(java_script_enabled=script, color_scheme=scheme, viewport={"width": 1100, "height": 800})
    charts = seen.page.locator("svg:visible")
    assert charts.count() >= 6
    for at in range(charts.count()):
        found = pixels(charts.nth(at).screenshot())
        ground = found[0, 0]
        drawn = (np.abs(found - ground).max(axis=2) > 0.2).mean()
        assert 0.002 < drawn < 0.6
    assert (seen.messages, seen.requests) == ([], [page_file.as_uri()])


@pytest.mark.parametrize("width", [340, 768, 1400])
def test_it_fits_its_window_and_text_fits_its_chart(opened: Any, width: int) -> None:
    page = opened(viewport={"width": width, "height": 800}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """() => [...document.querySelectorAll('svg')].flatMap(svg => {
            const all = svg.viewBox.baseVal;
            return [...svg.querySelectorAll('text')].filter(text => {
                const box = text.getBBox(), at = text.getCTM(), own = svg.getCTM().inverse().multiply(at);
                const left = own.a * box.x + own.e;
                return !text.getAttribute('transform')?.includes('rotate(-90') && (left < -1 || left + box.width > all.width + 1);
            }).map(text => text.textContent);
        })"""
    )
    assert outside == []


def test_strangers_text_runs_nothing(opened: Any) -> None:
    page = opened().page
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("window.harmed") is None
    assert page.locator("script, img").count() == 0
    assert "<script>window.harmed = 1</script>" in page.locator("h1").inner_text()
    assert "⟨U+202E⟩" in page.locator("#cases .text").nth(1).inner_text()


def test_on_paper_nothing_is_folded_away(opened: Any) -> None:
    page = opened().page
    source = page.locator("#policy pre").first
    assert not source.is_visible()
    page.emulate_media(media="print")
    assert source.bounding_box()["height"] > 100
    assert page.pdf()[:5] == b"%PDF-"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390), ("dark", 1280), ("light", 390)])
def test_nothing_keeps_anybody_from_reading_it(opened: Any, scheme: str, width: int) -> None:
    page = opened(color_scheme=scheme, viewport={"width": width, "height": 850}).page
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert barriers(page) == []


def test_a_barrier_is_found_in_text_in_drawings_and_in_what_has_no_name(browser: Any) -> None:
    page = browser.new_page()
    page.set_content(
        "<!doctype html><html lang=en><title>x</title><main><h1>x</h1><p style='color:#999'>faint</p><input>"
        "<svg width=90 height=20><text y=15 fill='#aaa'>fainter</text></svg><svg><text y=15>7</text></svg></main>"
    )
    found = sorted(barriers(page))
    assert [one.split(":")[0] for one in found] == ["color-contrast", "color-contrast", "label"]
    assert ("faint<" in found[0], "fainter" in found[1], "<input>" in found[2]) == (True, True, True)
    page.close()
