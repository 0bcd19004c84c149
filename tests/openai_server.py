"""A server of this process that speaks as much of OpenAI's protocol as the tests need."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class JsonHandler(BaseHTTPRequestHandler):
    """Answers in JSON, and keeps no log."""

    def reply(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hung up


class ChatServer:
    """Answers `/v1/chat/completions` with what `answer` makes of a request: a text, or the status
    of an error. `requests` and `keys` keep what came."""

    def __init__(self, answer: Callable[[dict[str, Any]], str | int]) -> None:
        self.answer = answer
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        outer = self

        class Handler(JsonHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append(json.loads(body))
                outer.keys.append(self.headers["Authorization"])
                said = outer.answer(outer.requests[-1])
                choice = {"index": 0, "finish_reason": "stop",
                          "message": {"role": "assistant", "content": said}}  # fmt: skip
                code = said if isinstance(said, int) else 200
                whole = {"choices": [choice]} if code == 200 else {"error": {"message": "no"}}
                self.reply(code, whole)

        self._http = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@contextmanager
def chat_server(answer: Callable[[dict[str, Any]], str | int]) -> Iterator[ChatServer]:
    server = ChatServer(answer)
    try:
        yield server
    finally:
        server.close()
