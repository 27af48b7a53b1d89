"""The system's Chromium, and what it can be asked of a page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
from conftest import CHECKOUT
from needs import AXE, CHROMIUM, missing

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium, driven by playwright; absent it skips by name, except in CI, where it is a failure."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None or find_spec("playwright") is None:
        missing(CHROMIUM, "there is no Chromium" if path is None else "playwright is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path)


# What keeps axe-core from deciding, and stands in nobody's way.
UNDECIDED = {
    "nonBmp",  # signs, and no text
    "imgNode",  # text in a drawing: its twin is judged
    "elmPartiallyObscured",  # scrolled out of its box
    "elmPartiallyObscuring",
}
TWINS = """() => document.querySelectorAll('svg text').forEach(text => {
    const twin = document.createElement('span');
    twin.className = 'axe-twin';
    twin.textContent = text.textContent;
    twin.style = `display: block; color: ${getComputedStyle(text).fill}`;
    text.closest('svg').after(twin);
})"""
"""Text of drawings once more beside them, in its colour: axe-core leaves it undecided where it is."""


def barriers(page: Any, *but: str) -> list[str]:
    """What axe-core finds that keeps somebody from reading or using a page as it is: rule, element, reason.

    By all its rules `but` those named: WCAG's, and those of good practice.
    """
    script = CHECKOUT / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        missing(AXE, "there is no axe-core")
    if not page.evaluate("'axe' in window"):
        page.evaluate(script.read_text(encoding="utf-8"))
    page.evaluate(TWINS)
    rules = {rule: {"enabled": False} for rule in but}
    options = {"resultTypes": ["violations", "incomplete"], "rules": rules, "preload": False}  # it asks for nothing
    found = page.evaluate("options => axe.run(document, options)", options)
    page.evaluate("document.querySelectorAll('.axe-twin').forEach(twin => twin.remove())")
    undecided = [rule for rule in found["incomplete"] if rule["id"] == "color-contrast"]
    nodes = [(rule["id"], node) for rule in found["violations"] for node in rule["nodes"]]
    nodes += [(rule["id"], node) for rule in undecided for node in rule["nodes"] if not _harmless(node)]
    return [f"{rule}: {node['target']} {node['html'][:120]}: {node['failureSummary']}" for rule, node in nodes]


def _harmless(node: Any) -> bool:
    """Whether a contrast is undecided for a reason that stands in nobody's way."""
    data = node["any"][0]["data"]
    return data["messageKey"] in UNDECIDED or (data["messageKey"] == "shortTextContent" and not data.get("bgColor"))
