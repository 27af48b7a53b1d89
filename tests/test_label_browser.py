"""The desk in a real Chromium: by keyboard alone, readable everywhere, killed and started again, deaf to other pages."""

from __future__ import annotations

import json
import random
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pytest
from browser import barriers, browser
from label_kit import Started, folder, read, start
from sklearn.metrics import cohen_kappa_score

from rbrlang.cli.main import main

__all__ = ["browser"]  # the fixture
pytestmark = pytest.mark.browser


class Desk:
    """A page of a desk: keys go in, and what went wrong in it is kept."""

    def __init__(self, browser: Any, served: Started, who: str = "", **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.wrong: list[str] = []

        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.goto(served.address)
        if who:
            self.page.wait_for_selector("#name")
            self.page.keyboard.type(who)
            self.page.keyboard.press("Enter")
        self.page.wait_for_selector("#ask[data-unit]")
        self.settle()

    @property
    def unit(self) -> str:
        """What is asked."""
        return str(self.page.get_attribute("#ask", "data-unit"))

    def settle(self) -> None:
        """Until all that was begun is done."""
        self.page.wait_for_function("() => document.body.getAttribute('aria-busy') === 'false'")

    def press(self, key: str) -> None:
        """A key, and what follows from it."""
        self.page.keyboard.press(key)
        self.settle()

    def choose(self, what: object) -> None:
        """What is asked."""
        self.page.select_option("#what", value=str(what))
        self.settle()

    def told(self, begins: str) -> str:
        """What the page says, once it begins like that."""
        self.page.wait_for_function(
            "begins => document.querySelector('#told').textContent.startsWith(begins)", arg=begins
        )
        return str(self.page.inner_text("#told"))

    def close(self) -> None:
        self.context.close()


def test_two_hundred_labels_of_two_people_survive_a_kill_and_come_out_right(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder(tmp_path, 100))
    drawn = random.Random(5)
    said: dict[str, dict[str, str]] = {"ann": {}, "bob": {}}
    keys = {"y": "yes", "n": "no", "?": "?"}
    killed_at = {"ann": drawn.randrange(100), "bob": drawn.randrange(100)}
    for who, answers in said.items():
        served = start(tmp_path, "--only", "rude")
        desk = Desk(browser, served, who)
        for number in range(100):
            truth = "yn"[int(desk.unit[:4], 16) % 2]
            key = drawn.choice([truth, truth, truth, truth, "y", "n", "?"])
            answers[desk.unit] = keys[key]
            desk.press(key)
            if number == killed_at[who]:
                served.end(signal.SIGKILL)
                desk.page.keyboard.press("y")
                desk.page.wait_for_selector("#problem:not([hidden])")
                assert "nothing saved is lost" in desk.page.inner_text("#problem")
                desk.close()
                served = start(tmp_path, "--only", "rude")
                kept = {key: value for key, _, _, value, _ in served.ask("queue", who, question=0)["units"] if value}
                assert kept == answers
                desk = Desk(browser, served, who)
        assert "100 of 100 answered" in desk.page.inner_text("#progress")
        desk.close()
        with served:
            served.end()
    units = list(said["ann"])
    table = np.array([[{"yes": 1.0, "no": 0.0, "?": np.nan}[said[who][unit]] for unit in units] for who in said])
    both = table[:, np.isfinite(table).all(0)]
    command = ["label", "policy.rbr", "rows.jsonl", "-o", "labels.jsonl", "--only", "rude"]
    assert main([*command, "--status", "--format", "json"]) == 0
    (status,) = json.loads(capsys.readouterr().out)["questions"]
    assert status["annotators"] == {"ann": 100, "bob": 100}
    assert status["kappa"][0]["kappa"] == pytest.approx(cohen_kappa_score(*both))
    assert status["alpha"] == pytest.approx(krippendorff.alpha(table, level_of_measurement="nominal"))
    assert 0 < status["disagreements"] == int((both[0] != both[1]).sum())
    labels = [row["labels"]["rude"] for row in read(tmp_path / "labels.jsonl")]
    settled = [{v for v in (said["ann"][unit], said["bob"][unit]) if v != "?"} for unit in units]
    for value, name in ((True, "yes"), (False, "no")):
        assert labels.count(value) == sum(one == {name} for one in settled)
    assert main(["agree", "policy.rbr", "labels.jsonl", "--grader", "labels", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["propositions"]["rude"]["accuracy"] == 1.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """A desk with every kind of question, hostile texts, and a grader's answers."""
    with start(folder(tmp_path_factory.mktemp("desk"), 16, probs=True), "--preferences") as started:
        yield started


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_can_be_read_and_runs_nothing_of_what_it_shows(
    browser: Any, served: Started, scheme: str, width: int
) -> None:
    desk = Desk(browser, served, f"{scheme}{width}", color_scheme=scheme, viewport={"width": width, "height": 850})
    page = desk.page
    for what in ("completion", *(str(one["at"]) for one in served.ask("begin")["questions"])):
        desk.choose(what)
        if page.locator("#help").is_visible() and not page.locator("#help").evaluate("one => one.open"):
            desk.press("h")
        assert barriers(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator(".judged").count() >= 1
    desk.press("s")
    page.wait_for_selector("#status-rows tr")
    assert barriers(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    desk.press("s")
    assert "⟨U+202E⟩" in page.inner_text("#conversation")
    assert page.evaluate("window.harmed") is None
    assert page.locator("#conversation img, #conversation script").count() == 0
    assert "token" not in page.url
    assert desk.wrong == []
    desk.close()


def test_the_text_that_is_judged_is_highlighted(browser: Any, served: Started) -> None:
    desk = Desk(browser, served, "scope")
    judged = {}
    for one in served.ask("begin")["questions"]:
        desk.choose(one["at"])
        judged[one["name"]] = [text.split(" ")[0] for text in desk.page.locator(".judged").all_inner_texts()]
    assert judged["rude"] == ["River"]
    assert judged["plans"] == ["thought"]
    assert judged["which is better"] == ["Let", "look({})", "result", "River"] * 2
    desk.close()


def test_by_keyboard_alone(browser: Any, served: Started) -> None:
    """Answers, back, skip, undo, the grader once answered, digits of scales, adjudication; focus can be seen."""
    desk = Desk(browser, served, "kay")
    page, first = desk.page, desk.unit
    desk.press("g")
    desk.told("the grader's answer is shown after yours")
    desk.press("y")
    second = desk.unit
    desk.press("g")
    assert desk.told("the grader on the one before: yes 0.")
    desk.press("ArrowLeft")
    assert desk.unit == first
    assert page.locator("#answers [aria-pressed=true]").inner_text().split() == ["y", "yes"]
    desk.press("n")  # another answer to the same: the last holds
    assert desk.unit == second
    desk.press("ArrowRight")
    assert desk.unit not in (first, second)
    desk.press("u")
    desk.told("undone")
    assert desk.unit == first
    assert served.ask("unit", "kay", unit=first)["answer"] == "yes"
    desk.press("u")
    assert page.locator("#answers [aria-pressed=true]").count() == 0
    assert served.ask("unit", "kay", unit=first)["answer"] is None

    for _ in range(12):  # to the answers, as anybody without a mouse
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.parentElement.id") == "answers":
            break
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    desk.told("saved: rude = yes")
    assert page.evaluate("document.activeElement.parentElement.id") == "answers"

    scale = next(str(one["at"]) for one in served.ask("begin")["questions"] if one["kind"] == "scale")
    desk.choose(scale)
    unit = desk.unit
    desk.press("4")
    assert served.ask("unit", "kay", unit=unit)["answer"] == "4"
    served.ask("label", "lee", unit=unit, value="1")
    desk.choose("adjudicate")
    assert page.locator("#beside li").all_inner_texts() == ["kay = 4", "lee = 1"]
    desk.press("2")
    desk.told("all is decided")
    (decided,) = (one for one in served.ask("queue", adjudicate=True)["units"] if one[0] == unit)
    assert decided[3] == "2"
    assert desk.wrong == []
    desk.close()


def test_at_the_end_of_a_question_the_next_one_is_named(browser: Any, tmp_path: Path) -> None:
    folder(tmp_path, 2)
    with start(tmp_path, "--all") as served:
        first, second = served.ask("begin", "kay")["questions"][:2]
        desk = Desk(browser, served, "kay")
        for _ in range(first["progress"]["units"]):
            desk.press("y")
        left = second["progress"]["units"]
        desk.told(f"all of this is answered; ← goes back, or choose {second['name']} above, of which {left} are open")
        assert desk.wrong == []
        desk.close()


def test_at_the_end_a_key_answers_nothing_until_one_goes_back(browser: Any, tmp_path: Path) -> None:
    folder(tmp_path, 2)
    with start(tmp_path, "--only", "rude") as served:

        def said() -> list[str | None]:
            return [value for _, _, _, value, _ in served.ask("queue", "kay", question=0)["units"]]

        desk = Desk(browser, served, "kay")
        for key in ("y", "y", "n"):
            desk.press(key)
        desk.told("all is answered; ← goes back")
        assert said() == ["yes", "yes"]
        desk.choose("completion")
        desk.choose("0")  # read anew, all is answered still
        desk.press("n")
        desk.told("all is answered")
        assert said() == ["yes", "yes"]
        desk.press("ArrowLeft")
        desk.press("n")
        assert sorted(map(str, said())) == ["no", "yes"]
        desk.press("u")
        desk.press("n")  # where the undo went
        assert sorted(map(str, said())) == ["no", "yes"]
        assert desk.wrong == []
        desk.close()


def test_a_page_of_another_origin_can_neither_write_nor_read(browser: Any, served: Started) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title>")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    key, *_ = served.ask("queue", "eve", question=0)["units"][0]
    with HTTPServer(("127.0.0.1", 0), Page) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{other.server_port}/")
        ways = page.evaluate(
            """async ([url, token, unit]) => {
                const body = JSON.stringify({ annotator: "eve", unit, value: "yes" });
                const ways = {
                    plain: { mode: "no-cors", body, headers: { "content-type": "text/plain" } },
                    known: { body, headers: { "content-type": "application/json", authorization: `Bearer ${token}` } },
                    cookie: { mode: "no-cors", credentials: "include", body: new Blob([body]) },
                };
                const found = {};
                for (const [name, how] of Object.entries(ways)) {
                    try { found[name] = (await fetch(`${url}/api/label`, { method: "POST", ...how })).type; }
                    catch (error) { found[name] = "refused"; }
                }
                return found;
            }""",
            [served.origin, served.token, key],
        )
        assert ways == {
            "plain": "opaque",
            "known": "refused",
            "cookie": "opaque",
        }  # opaque: sent, and its answer not shown
        framed = page.evaluate(
            """url => new Promise(done => {
                const frame = document.createElement("iframe");
                frame.onload = () => { try { done(frame.contentDocument === null); } catch { done(true); } };
                frame.src = url; document.body.append(frame);
            })""",
            served.origin,
        )
        assert framed
        page.close()
        other.shutdown()
    assert served.ask("unit", "eve", unit=key)["answer"] is None
