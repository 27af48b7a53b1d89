"""The documentation as a site: it builds without a warning, has every public name, and works from a disk without a network."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from browser import barriers, browser

import rbrlang

ROOT = Path(__file__).resolve().parents[1]
__all__ = ["browser"]  # the fixture
pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as it is built, from a copy: the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copyfile(ROOT / "mkdocs.yml", folder / "mkdocs.yml")
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert "No issues found" in built.stdout + built.stderr
    return folder / "site"


def test_every_page_and_public_name_is_there(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= {path.relative_to(site) for path in site.rglob("*.html")}
    reference = (site / "api.html").read_text(encoding="utf-8")
    anchors = set(re.findall(r'<h\d id="([\w.]+)"', reference))
    for name in rbrlang.__all__:
        thing: Any = getattr(rbrlang, name)
        home = getattr(thing, "__module__", thing.__name__)
        assert f"{home}.{name}" in anchors or home in anchors, name


class Seen:
    """What a page complained of, and what it asked of a network."""

    def __init__(self, page: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        for event, heard in (("console", self._console), ("pageerror", self._error), ("request", self._request)):
            page.on(event, heard)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.said.append(message.text)

    def _error(self, error: Any) -> None:
        self.said.append(str(error))

    def _request(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.asked.append(request.url)


def test_it_works_from_a_disk_and_asks_for_nothing(site: Path, browser: Any) -> None:
    for scheme, width in (("light", 1280), ("dark", 390)):
        context = browser.new_context(
            offline=True, color_scheme=scheme, viewport={"width": width, "height": 844}, reduced_motion="reduce"
        )
        page = context.new_page()
        seen = Seen(page)
        page.goto((site / "index.html").as_uri())
        assert page.evaluate("document.body.dataset.mdColorScheme") == {"light": "default", "dark": "slate"}[scheme]
        # Found by keyboard alone, and followed.
        page.keyboard.press("/")
        page.keyboard.type("partition")
        page.get_by_text(re.compile(r"\d+ results?")).first.wait_for()
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(r"(?<!index)\.html"))
        read = ("index", "api", "performance", "playground", "codes/RBR3001")
        for name in (*read, "language", "commands"):
            page.goto((site / f"{name}.html").as_uri())
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, (name, width)
            # The theme's lists of contents and copy buttons are landmarks, some of one name.
            assert name not in read or barriers(page, "landmark-unique") == [], (name, width)
        assert seen.said == []
        assert seen.asked == []
        context.close()
