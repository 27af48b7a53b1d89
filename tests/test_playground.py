"""The playground in a real browser: opened from the disk, without a network, against the command line and `NumpyReward`."""

from __future__ import annotations

import http.server
import json
import math
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import barriers, browser
from conftest import CHECKOUT
from needs import PYODIDE, missing

from rbrlang.cli.main import main
from rbrlang.playground.build import PyodideError, find_pyodide
from rbrlang.playground.core import Playground
from rbrlang.policy import check, load
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.situation import put

__all__ = ["browser"]  # the fixture
HOSTILE = "</script><script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'>"
POLICY = f"""rbr 1
use "more.rbr"

## {HOSTILE}
prop harsh "Is it harsh? {HOSTILE} 🙂"
prop unread "Is it unread?"
prop sorry "Does it apologise?"
scale help 1..3 "How much does it help?" {{
  1 "not at all"
  2 "some"
  3 "much"
}}
axiom !(harsh & sorry)
response answer ranks good > fair > bad {{
  bad if harsh | words > 60
  good if help >= 2 & more.polite & !(harsh | words > 60)
  fair otherwise
}}
response terse ranks good > bad {{
  good if !more.polite
  bad otherwise
}}
reward answer {{ features classes, more.polite, sorry, help }}
"""
MORE = 'rbr 1\nprop polite "Is it polite?"\n'


@pytest.fixture(scope="module")
def pyodide() -> Path:
    try:
        return find_pyodide(CHECKOUT / "node_modules" / "pyodide")
    except PyodideError as error:
        missing(PYODIDE, str(error))


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("play")
    (folder / "more.rbr").write_text(MORE, "utf-8")
    (folder / "policy.rbr").write_text(POLICY, "utf-8")
    return folder / "policy.rbr"


class Opened:
    """A page that is open and ready, with no network, and what it said and asked for."""

    def __init__(self, browser: Any, url: str) -> None:
        self.context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
        self.page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url)
        self.page.locator("#state", has_text=re.compile("finding|warning|error|failed|cannot")).wait_for()

    def settle(self) -> Any:
        """The page, once it shows what was said last."""
        self.page.evaluate("""async () => {
            do { await new Promise(done => setTimeout(done, 20)); } while (busy || wanted);
        }""")
        return self.page

    def findings(self) -> list[str]:
        return self.settle().locator("#findings .head").all_inner_texts()

    def write(self, text: str) -> None:
        self.page.locator("#editor").fill(text)


@pytest.fixture(scope="module")
def opened(browser: Any, policy: Path, pyodide: Path) -> Iterator[Opened]:
    out = policy.with_name("page.html")
    assert main(["playground", str(policy), "-o", str(out), "--pyodide", str(pyodide)]) == 0
    seen = Opened(browser, out.as_uri())
    yield seen
    assert seen.said == []
    assert [url for url in seen.asked if not url.startswith(("file:", "blob:"))] == []
    seen.context.close()


@pytest.fixture
def page(opened: Opened) -> Opened:
    """The page as it was when it was opened."""
    opened.page.locator("#reset").click()
    opened.settle()
    return opened


def heads(path: Path) -> list[str]:
    return [f"{d.severity}[{d.code.id}]: {d.message}" for d in check(path).diagnostics]


@pytest.mark.browser
def test_it_finds_what_the_command_line_finds_as_one_types(page: Opened, policy: Path) -> None:
    assert page.findings() == heads(policy) != []
    wrong = POLICY.replace("if harsh |", "if hrash |")
    other = policy.with_name("wrong.rbr")
    other.write_text(wrong, "utf-8")
    page.write(wrong)
    assert page.findings() == heads(other)
    assert any("hrash" in head for head in page.findings())
    marked = "[...CSS.highlights.get('error')].map(range => range.toString())"
    assert page.page.evaluate(marked) == ["hrash"]  # in UTF-16, behind an emoji
    assert page.page.locator("#stale").is_visible()
    page.page.locator("#editor").evaluate(
        "node => node.setRangeText('# above\\n', 0, 0) || node.dispatchEvent(new Event('input'))"
    )
    assert page.page.evaluate(marked) == ["hrash"]  # the mark moves with the text, before Python answers
    page.settle().get_by_role("button", name="write `harsh`").click()
    assert page.findings() == heads(policy)
    page.page.keyboard.press("Control+z")
    assert page.settle().locator("#editor").input_value() == "# above\n" + wrong


def told(page: Opened) -> tuple[float, list[float]]:
    def number(text: str | None) -> float:
        return float(text) if text else math.nan

    shown = page.settle()
    classes = [number(one.get_attribute("value")) for one in shown.locator("#classes data").all()]
    return number(shown.locator("#reward").get_attribute("value")), classes


@pytest.mark.browser
def test_answers_move_class_and_reward_to_exactly_what_numpy_gives(page: Opened, policy: Path) -> None:
    circuit = load(policy).circuit
    reward, names = NumpyReward(circuit), circuit.atom_names
    controls = page.settle().locator("#controls fieldset")
    assert sorted(controls.locator("legend").all_inner_texts()) == sorted(
        ["harsh", "sorry", "polite", "words > 60", "help"]
    )
    slide = {"polite": 0.37, "harsh": 0.21, "sorry": 0.5}
    radio = {"words > 60": ("unknown", math.nan), "harsh": ("no", 0.0), "polite": ("yes", 1.0)}
    base = 0.1
    probs = [0.0] * len(names)
    put(circuit, probs, 0, "1")

    def agree() -> None:
        row, ids = np.array([probs], np.float32), np.array([0])
        got, classes = told(page)
        np.testing.assert_array_equal(np.float32(got), reward(row, ids, shown_base)[0])
        np.testing.assert_array_equal(np.array(classes, np.float32), reward.class_probs(row, ids)[0])
        reason = reward.reasons(row, ids, shown_base)[0]
        if reason is not None:
            assert page.page.locator("#because").inner_text() == reason

    def answer(name: str, label: str) -> None:
        page.page.get_by_role("group", name=name, exact=True).get_by_label(label, exact=True).check()

    shown_base = 0.0
    agree()
    page.page.locator("#base").fill(str(base))
    shown_base = base
    for name, p in slide.items():
        page.page.get_by_label(f"how likely {name} is").fill(str(p))
        probs[names.index(name)] = p
        agree()
    page.page.get_by_label("help", exact=True).select_option("3")
    put(circuit, probs, 0, "3")
    agree()
    for name, (label, p) in radio.items():
        answer(name, label)
        probs[names.index(name)] = p
        agree()
    low, high = (float(side[0]) for side in reward.bounds(np.array([probs], np.float32), np.array([0]), base))
    assert page.page.locator("#between").inner_text() == f"from {low:+.3f} to {high:+.3f}".replace("-", "−")
    answer("harsh", "yes")
    answer("sorry", "yes")
    probs[names.index("harsh")] = probs[names.index("sorry")] = 1.0
    agree()  # which the axiom excludes


@pytest.mark.browser
def test_a_class_can_be_had_by_its_nearest_change_and_the_keyboard_alone(page: Opened) -> None:
    button = page.settle().get_by_role("button", name="Make it good")
    button.focus()
    page.page.keyboard.press("Enter")
    assert told(page) == (1.0, [1.0, 0.0, 0.0])
    change = page.page.locator("#changes button", has_text="harsh: yes")
    assert "−1.000" in change.locator("xpath=..").inner_text()
    change.focus()
    page.page.keyboard.press("Enter")
    assert told(page)[1] == [0.0, 0.0, 1.0]
    slider = page.page.get_by_label("how likely harsh is")
    slider.focus()
    page.page.keyboard.press("ArrowLeft")
    assert told(page)[1][2] == float(np.float32(0.99))
    page.page.locator("#response").focus()
    page.page.keyboard.press("ArrowDown")
    assert sorted(page.settle().locator("#controls legend").all_inner_texts()) == ["harsh", "polite", "sorry"]
    stops = page.page.evaluate("""() => [...document.querySelectorAll('input, select, textarea, button')].filter(node =>
        !node.closest('[hidden]') && !(node.labels?.length || node.ariaLabel || node.textContent.trim()
            || node.getAttribute('aria-labelledby'))).map(node => node.outerHTML)""")
    assert stops == []


@pytest.mark.browser
def test_a_link_brings_text_and_answers_back_and_nothing_else(page: Opened, browser: Any) -> None:
    page.write(POLICY.replace("words > 60", "words > 61"))
    page.settle().get_by_label("how likely polite is").fill("0.25")
    page.page.locator("#base").fill("2")
    before = told(page)
    page.page.locator("#share").click()
    page.page.locator("#shared:not(:empty)").wait_for()
    again = Opened(browser, page.page.url)
    assert told(again) == before
    assert "words > 61" in again.page.locator("#editor").input_value()
    assert again.said == []
    for fragment in ("!", "AAAA"):
        again.page.evaluate("text => { location.hash = text; }", fragment)
        again.page.get_by_text("this link cannot be read").wait_for()
        assert again.settle().locator("#editor").input_value() == POLICY
    assert again.said == []
    again.context.close()


@pytest.mark.browser
def test_neither_the_page_nor_its_python_can_send_anything(page: Opened) -> None:
    reached: list[str] = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reached.append(self.path)
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    send = """url => new Promise(done => {
        const request = new XMLHttpRequest();
        request.onload = () => done('sent');
        request.onerror = () => done('refused');
        request.open('GET', url);
        request.send();
    })"""
    page.context.set_offline(False)
    url = f"http://127.0.0.1:{server.server_port}/"
    try:
        assert page.page.evaluate(send, url + "page") == "refused"
        assert page.page.workers[0].evaluate(send, url + "worker") == "refused"
        assert page.page.evaluate("window.harmed") is None
    finally:
        page.context.set_offline(True)
        server.shutdown()
        server.server_close()
    assert reached == []
    assert page.said
    assert all("Content Security Policy" in line for line in page.said)
    page.said.clear()
    page.asked[:] = [asked for asked in page.asked if not asked.startswith(url)]  # tried, and not sent


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390), ("dark", 1280), ("light", 390)])
def test_it_can_be_read_at_any_width_in_light_and_dark(page: Opened, scheme: str, width: int) -> None:
    page.page.emulate_media(color_scheme=scheme)
    page.page.set_viewport_size({"width": width, "height": 844})
    page.write(POLICY.replace("if harsh |", "if hrash |"))
    shown = page.settle()
    shown.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    # Below the editor lies its text once more, unseen, to bear the marks.
    shown.evaluate("{ window.apart = document.getElementById('mirror'); window.apart.remove(); }")
    assert barriers(shown) == []
    shown.evaluate("document.querySelector('.editor').prepend(window.apart)")
    sizes = "['mirror', 'editor'].map(id => document.getElementById(id).getBoundingClientRect()).map(one => [one.width, one.height])"
    pre, text = shown.evaluate(sizes)
    assert pre == text  # every mark lies below its words
    hidden = "document.getElementById('editor').scrollHeight - document.getElementById('editor').clientHeight"
    assert shown.evaluate(hidden) <= 1  # and the editor scrolls no line of its own away from them


def test_a_page_that_cannot_be_made_says_why(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "page.html"
    (tmp_path / "pyodide").mkdir()
    (tmp_path / "pyodide" / "pyodide.mjs").write_text("other")
    (tmp_path / "p.rbrc").write_bytes(b"\x00\x00")
    cases = [
        ([str(policy)], "there is no Pyodide here, which runs the page: `npm install pyodide@"),
        ([str(policy), "--pyodide", "none"], "there is no Pyodide in `none`"),
        ([str(policy), "--pyodide", "pyodide"], "`pyodide/pyodide.mjs` is not that of Pyodide "),
        (["p.rbrc"], "`p.rbrc` is not text: NUL on line 1; save the file as UTF-8"),
        (["none.rbr"], "`none.rbr`: no such file or directory; check the path"),
    ]
    for arguments, said in cases:
        assert main(["playground", *arguments, "-o", str(out)]) == 2
        assert said in capsys.readouterr().err
    assert not out.exists()


def test_what_a_link_says_is_only_believed_where_the_policy_has_a_place_for_it(policy: Path) -> None:
    play = Playground(str(policy))
    play.findings(POLICY)
    plain = json.loads(play.panel("{}"))
    for said in (
        {"response": 3, "base": "1", "answers": []},
        {"answers": {"harsh": 2, "sorry": "yes", "help": "4", "polite": [1], "words > 60": -1, "none": 1}},
        {"answers": {"harsh": math.inf, "help": 2}, "base": math.nan},
    ):
        assert json.loads(play.panel(json.dumps(said))) == plain
    play.findings(POLICY + "prop")
    assert json.loads(play.panel("{}")) == plain  # of the last sound policy
