"""The system's Chromium, and what it can be asked of a page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
from needs import CHROMIUM, missing

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


WEAK = """() => {
    const parse = text => text.match(/[\\d.]+/g).map(Number);
    const lightness = colour => colour.slice(0, 3).map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
    const ground = node => {
        for (; node; node = node.parentElement) {
            const colour = parse(getComputedStyle(node).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll('body *')].filter(node =>
        [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim())
    ).map(node => {
        const style = getComputedStyle(node);
        const front = lightness(parse(node instanceof SVGElement ? style.fill : style.color));
        const back = lightness(ground(node));
        return [(Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05), node.textContent.slice(0, 40)];
    }).filter(([contrast]) => contrast < 4.5);
}"""
"""Texts with a contrast below 4.5 to 1, which WCAG 2.2 demands (1.4.3), each with its contrast."""
