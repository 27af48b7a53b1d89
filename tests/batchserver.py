"""A server on loopback with OpenAI's `/files` and `/batches`, which does what it is told to each batch."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Line = dict[str, Any]


class BatchServer:
    """`answer` gives the result line of a request line, None for none; `ends` the statuses that a batch goes through, a look each.

    `hooks` are called with the name of a step (`upload`, `create`, `look`, `list`, `content`) before it is answered, and may give
    a status to answer with instead.
    """

    def __init__(
        self,
        answer: Callable[[Line, int], Line | None],
        ends: Callable[[int], tuple[str, ...]] = lambda number: ("validating", "in_progress", "completed"),
        hook: Callable[[str], int | None] = lambda step: None,
    ) -> None:
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.steps: list[str] = []
        self._answer, self._ends, self._hook = answer, ends, hook
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                steps = {"/v1/files": "upload", "/v1/batches": "create", "/v1/chat/completions": "ask"}
                self.reply(steps.get(self.path, "unknown"), body)

            def do_GET(self) -> None:
                ends = {"content": "content", "version": "unknown", "props": "unknown"}
                step = "list" if "?" in self.path else ends.get(self.path.rpartition("/")[2], "look")
                self.reply(step, b"")

            def reply(self, step: str, body: bytes) -> None:
                with outer._lock:
                    if step not in ("unknown", "ask"):
                        outer.steps.append(step)
                    # A hook that kills the asker does so with the work done: the worst moment.
                    data = (
                        b""
                        if step == "unknown"
                        else outer._do(step, self.path, body, self.headers.get("content-type", ""))
                    )
                    status = 404 if step == "unknown" else outer._hook(step) or 200
                data = data if status == 200 else b'{"error": {"message": "no"}}'
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> BatchServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _do(self, step: str, path: str, body: bytes, kind: str) -> bytes:
        match step:
            case "ask":  # directly, for comparison
                line = self._answer({"custom_id": "", "body": json.loads(body)}, 0)
                assert line is not None
                return self._json(line["response"]["body"])
            case "upload":
                form = BytesParser().parsebytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + body)
                parts = {part.get_param("name", header="content-disposition"): part for part in form.get_payload()}
                assert parts["purpose"].get_payload() == "batch"
                return self._json({"id": self._file(parts["file"].get_payload(decode=True)), "object": "file"})
            case "create":
                asked = json.loads(body)
                assert asked["endpoint"] == "/v1/chat/completions"
                number = len(self.batches) + 1
                batch = {"id": f"batch_{number}", "input_file_id": asked["input_file_id"], "status": "validating"}
                self.batches[batch["id"]] = batch | {"left": list(self._ends(number)), "number": number}
                return self._json(batch)
            case "list":
                return self._json({"data": [self._shown(one) for one in self.batches.values()], "has_more": False})
            case "look":
                batch = self.batches[path.rpartition("/")[2]]
                if batch["left"]:
                    batch["status"] = batch["left"].pop(0)
                    if batch["status"] in ("completed", "expired", "cancelled"):
                        self._end(batch)
                return self._json(self._shown(batch))
            case _:
                return self.files[path.split("/")[-2]]

    def _end(self, batch: dict[str, Any]) -> None:
        requests = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        lines = [line for one in requests if (line := self._answer(one, batch["number"])) is not None]
        for field, some in (
            ("output_file_id", [line for line in lines if not line.get("error")]),
            ("error_file_id", [line for line in lines if line.get("error")]),
        ):
            if some:
                batch[field] = self._file(b"".join(json.dumps(line).encode() + b"\n" for line in some))

    def _file(self, data: bytes) -> str:
        name = f"file-{len(self.files) + 1}"
        self.files[name] = data
        return name

    @staticmethod
    def _shown(batch: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in batch.items() if key not in ("left", "number")}

    @staticmethod
    def _json(plain: object) -> bytes:
        return json.dumps(plain).encode()


def result(request: Line, body: object, status: int = 200) -> Line:
    """The line of an answer."""
    return {"custom_id": request["custom_id"], "response": {"status_code": status, "body": body}, "error": None}


def failure(request: Line, message: str) -> Line:
    """The line of a request that was never answered."""
    return {"custom_id": request["custom_id"], "response": None, "error": {"code": "batch_expired", "message": message}}
