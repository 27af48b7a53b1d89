"""What may the labelling page ask of its server, and what is it told?

The page itself holds nothing and needs no token. Everything else is JSON by POST, bears the token of the address that was printed, and
comes from this very origin. Nobody is told what a grader, or another annotator, says of a unit before having answered it; where
annotators differ, who decides is told what they said.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from rbrlang.label.pick import Grader, Order
from rbrlang.label.questions import CANNOT_TELL, Piece, Unit, pieces, unjudged
from rbrlang.label.settled import agreed, progress, settled
from rbrlang.label.store import Store
from rbrlang.markup import visible
from rbrlang.rows.conversation import Turn
from rbrlang.serve.requests import (
    Json,
    RefusedError,
    body_of,
    check_host,
    check_token,
    no_route,
    parsed,
    refusal,
)

_log = logging.getLogger("rbrlang")
_LARGEST, _SECONDS = 1 << 16, 10.0
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
}  # fmt: skip
_PRINTED = "open the address that `rbrc label` printed"
_PAGES = {
    "/": ("rbrlang.label", "page.html", "text/html"),
    "/desk.js": ("rbrlang.label", "desk.js", "text/javascript"),
    "/desk.css": ("rbrlang.label", "desk.css", "text/css"),
    "/style.css": ("rbrlang.report", "templates/style.css", "text/css"),
}


@dataclass(frozen=True, slots=True)
class Labelling:
    """What is labelled, by whom (None: whoever says so on the page), and who may ask."""

    title: str
    order: Order
    store: Store
    grader: Grader | None
    annotator: str | None
    until: float
    token: str
    hosts: frozenset[str] | None


Asked = Mapping[str, Any]
Handler = Callable[[Asked, str], dict[str, Any]]


def application(labelling: Labelling) -> Starlette:
    """The ASGI application."""
    server = _Server(labelling)
    handlers: Mapping[str, Handler] = {
        "begin": server.begin, "queue": server.queue, "unit": server.unit, "label": server.label, "undo": server.undo,
        "grader": server.grader, "status": server.status,
    }  # fmt: skip
    return Starlette(
        routes=[
            *(Route(path, server.page(*page), methods=["GET"]) for path, page in _PAGES.items()),
            *(Route(f"/api/{name}", server.asked(handler), methods=["POST"]) for name, handler in handlers.items()),
        ],
        exception_handlers={HTTPException: no_route},
    )


class _Server:
    def __init__(self, labelling: Labelling) -> None:
        self._of = labelling
        self._desk = labelling.order.desk
        self._store = labelling.store

    def page(self, package: str, name: str, kind: str) -> Callable[[Request], Any]:
        """The handler of a part of the page, which says nothing of what is labelled."""
        content = (files(package) / name).read_bytes()

        async def handle(request: Request) -> Response:
            try:
                check_host(request, self._of.hosts, _PRINTED)
            except RefusedError as refused:
                return refusal(refused)
            return Response(content, media_type=f"{kind}; charset=utf-8", headers=_HEADERS)

        return handle

    def asked(self, handler: Handler) -> Callable[[Request], Any]:
        """A handler behind the token, for this origin alone."""

        async def handle(request: Request) -> Response:
            try:
                check_host(request, self._of.hosts, _PRINTED)
                _check_origin(request)
                check_token(request, self._of.token)
                given = parsed(await body_of(request, _LARGEST, _SECONDS))
                if not isinstance(given, dict):
                    raise RefusedError(422, "malformed", "the body is not a JSON object")
                asked = cast("dict[str, Any]", given)
                return Json(handler(asked, self._annotator(asked)), headers=_HEADERS)
            except RefusedError as refused:
                return refusal(refused)
            except ClientDisconnect:
                return refusal(RefusedError(400, "disconnected", "the body ended early"))
            except Exception:
                _log.exception("no answer to a request of the page")
                return refusal(RefusedError(500, "internal", "nothing was saved; the server's log says why"))

        return handle

    def begin(self, _: Asked, who: str) -> dict[str, Any]:
        """What is to be labelled, and how far this annotator has come."""
        order, desk = self._of.order, self._desk
        mine = self._store.of(who) if who else {}
        return {
            "title": visible(self._of.title), "annotator": who, "fixed": self._of.annotator is not None,
            "pick": order.pick, "share": order.share, "seed": order.seed, "until": self._of.until,
            "grader": self._of.grader is not None, "rows": len({unit.row for unit in desk.units}),
            "questions": [
                {
                    "at": at, "name": q.name, "kind": q.kind, "over": q.over,
                    "values": q.values, "keys": q.keys, "about": [visible(text) for text in q.about],
                    "examples": [
                        {
                            "answer": e.answer, "because": visible(e.because),
                            "messages": [[m.role, visible(m.content)] for m in e.messages],
                        }
                        for e in q.examples
                    ],
                    "progress": progress(order, None, at, mine, self._of.until).to_json(),
                }
                for at, q in ((at, desk.questions[at]) for at in sorted(desk.of_question))
            ],
        }  # fmt: skip

    def queue(self, asked: Asked, who: str) -> dict[str, Any]:
        """Units in the order of asking, each with its row, question, this annotator's answer, and place."""
        order = self._of.order
        mine = self._answers(asked, who)
        some = order.by_completion
        if asked.get("adjudicate"):
            found = settled(self._store, majority=False)
            some = tuple(unit for unit in some if unit.key in found.open or unit.key in mine)
        elif asked.get("question") is not None:
            some = order.of(_number(asked, "question", len(self._desk.questions)))
        return {"units": [[unit.key, unit.row, unit.question, mine.get(unit.key), unit.place] for unit in some]}

    def unit(self, asked: Asked, who: str) -> dict[str, Any]:
        """What a unit shows."""
        unit = self._unit(asked)
        desk = self._desk
        question, row = desk.questions[unit.question], desk.rows[unit.row]
        rows = [row, desk.rows[unit.place]] if question.kind == "better" else [row]
        asked_as = [desk.filled(unit, text) for text in (question.asked, question.statement)]
        if question.kind == "criterion":
            asked_as = [desk.criterion(unit), asked_as[0]]
        said = self._store.everybody().get(unit.key, {}) if asked.get("adjudicate") else {}
        return {
            "id": visible(row.id), "type": visible(row.response_type or ""), "asked": visible(asked_as[0]),
            "beside": visible(asked_as[1]) if asked_as[1] != asked_as[0] else "",
            "answer": self._answers(asked, who).get(unit.key), "said": said,
            "before": [_turn(turn, unjudged(turn)) for turn in row.conversation.context],
            "completions": [[_turn(*one) for one in pieces(r.conversation, question.over)] for r in rows],
            "silence": "" if row.conversation.text(question.over) else "it has no text of the kind that is judged",
        }  # fmt: skip

    def label(self, asked: Asked, who: str) -> dict[str, Any]:
        """Save an answer; it is on the disk when this returns."""
        unit = self._unit(asked)
        value = asked.get("value")
        if value != CANNOT_TELL and value not in self._desk.questions[unit.question].values:
            raise RefusedError(422, "malformed", "`value` is no answer to this question", "value")
        self._store.save(_known(who), unit.key, str(value), adjudicated=bool(asked.get("adjudicate")))
        return self._progress(unit, who)

    def undo(self, asked: Asked, who: str) -> dict[str, Any]:
        """Take this annotator's last answer away."""
        key = self._store.undo(_known(who), adjudicated=bool(asked.get("adjudicate")))
        if key is None:
            return {"unit": None}
        unit = self._desk.units[self._desk.by_key[key]]
        return {"unit": key, "answer": self._answers(asked, who).get(key), **self._progress(unit, who)}

    def grader(self, asked: Asked, who: str) -> dict[str, Any]:
        """What the grader says of a unit that this annotator has answered."""
        unit = self._unit(asked)
        if unit.key not in self._store.of(who) and unit.key not in self._store.of(who, adjudicated=True):
            raise RefusedError(403, "blind", "the grader's answer is shown after yours", "unit")
        return {"says": "there is no grader" if self._of.grader is None else self._of.grader.told(unit)}

    def status(self, _: Asked, __: str) -> dict[str, Any]:
        """How far annotators agree, and how far each question has come."""
        found = settled(self._store, majority=False)
        return {"questions": [one.to_json() for one in agreed(self._of.order, self._of.grader, found, self._of.until)]}

    def _progress(self, unit: Unit, who: str) -> dict[str, Any]:
        mine = self._store.of(who)
        return {
            "question": unit.question,
            "progress": progress(self._of.order, None, unit.question, mine, self._of.until).to_json(),
        }

    def _answers(self, asked: Asked, who: str) -> Mapping[str, str]:
        return self._store.adjudicated() if asked.get("adjudicate") else self._store.of(who)

    def _unit(self, asked: Asked) -> Unit:
        at = self._desk.by_key.get(str(asked.get("unit")))
        if at is None:
            raise RefusedError(404, "no_unit", "there is no such unit among these rows", "unit")
        return self._desk.units[at]

    def _annotator(self, asked: Asked) -> str:
        who = asked.get("annotator", "")
        if not isinstance(who, str) or len(who) > 40 or (who and (not who.isprintable() or who != who.strip())):
            raise RefusedError(
                422, "malformed", "an annotator's name has 1 to 40 characters that can be seen", "annotator"
            )
        if self._of.annotator not in (None, who) and who:
            raise RefusedError(403, "annotator", f"this desk is `{self._of.annotator}`'s", "annotator")
        return self._of.annotator or who


def _check_origin(request: Request) -> None:
    """Turn away what another page asks in somebody's browser. Raises `RefusedError`."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
    if (origin is not None and origin != f"http://{request.headers.get('host', '')}") or site != "same-origin":
        raise RefusedError(403, "origin", "only the page of this desk may ask", "origin")


def _number(asked: Asked, name: str, below: int) -> int:
    value = asked.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < below:
        raise RefusedError(422, "malformed", f"`{name}` is no whole number from 0 to {below - 1}", name)
    return value


def _known(who: str) -> str:
    if not who:
        raise RefusedError(422, "malformed", "say who labels", "annotator")
    return who


def _turn(turn: Turn, held: Sequence[Piece]) -> dict[str, Any]:
    who = " ".join(filter(None, (turn.role, visible(turn.name), "(error)" if turn.failed else "")))
    return {"who": who, "pieces": [[piece.kind, visible(piece.text), piece.judged] for piece in held]}
