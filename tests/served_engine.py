"""A server of this process that streams an engine's answers by OpenAI's protocol, as vLLM does."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moss_audio.engine.base import Engine, GenerationOptions, Request, TokenLogprob
from moss_audio.recordings import load_audio
from tests.openai_server import JsonHandler, QuietServer


class EngineServer:
    """`faults` are used up first, one a request: a status, a number of seconds to wait, bytes that
    are sent as the whole event stream, or None for no fault. `asked` keeps the requests;
    `most_open` is how many had come at most before one of them was answered."""

    def __init__(self, engine: Engine | None, port: int = 0, **model: Any) -> None:
        self.engine: Any = engine
        self.models = [{"id": "moss", "object": "model", **model}]
        self.token_ids = True  # say which tokens were generated, as vLLM does
        self.faults: list[int | float | bytes | None] = []
        self.asked: list[dict[str, Any]] = []
        self.open_now = self.most_open = 0
        self._lock = threading.Lock()  # the engine is for one thread at a time
        self._counting = threading.Lock()
        outer = self

        class Handler(JsonHandler):
            def do_GET(self) -> None:
                known = self.path == "/v1/models"
                self.reply(*((200, {"data": outer.models}) if known else (404, {})))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._counting:
                    outer.asked.append(body)
                    fault = outer.faults.pop(0) if outer.faults else None
                    outer.open_now += 1
                    outer.most_open = max(outer.most_open, outer.open_now)
                if isinstance(fault, float):
                    time.sleep(fault)
                with outer._counting:  # before the client can know that this one is over
                    outer.open_now -= 1
                self.answer(body, fault)

            def answer(self, body: dict[str, Any], fault: Any) -> None:
                if isinstance(fault, int):
                    return self.reply(fault, {"error": {"message": f"status {fault}"}})
                if body["model"] not in [row["id"] for row in outer.models]:
                    return self.reply(404, {"error": {"message": "no such model"}})
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream; charset=utf-8")
                self.end_headers()
                if isinstance(fault, bytes):
                    self.wfile.write(fault)
                    return None
                with outer._lock:
                    for chunk in outer.chunks(body):
                        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
                self.wfile.write(b": a comment\n\ndata: [DONE]\n\n")

        self._http = QuietServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def chunks(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The answer to a request, a piece a chunk; its token ids come with the last piece."""
        pieces = self.engine.stream(_request(body))
        while True:
            try:
                yield {"choices": [{"delta": {"content": next(pieces)}, "token_ids": []}]}
            except StopIteration as end:
                answer = end.value
                break
        last: dict[str, Any] = {"delta": {}, "finish_reason": answer.finish_reason}
        if answer.finish_reason == "stop_string":
            last |= {"finish_reason": "stop", "stop_reason": body["stop"][0]}
        if answer.logprobs is not None:
            named = body["return_tokens_as_token_ids"]
            last["logprobs"] = {"content": [_told(one, named) for one in answer.logprobs]}
        if self.token_ids:
            end_token = [0] if answer.finish_reason == "stop" else []
            last["token_ids"] = [*answer.token_ids, *end_token]
        yield {"choices": [last]}
        yield {"choices": [], "usage": {"prompt_tokens": answer.prompt_tokens}}

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def _told(one: TokenLogprob, named: bool) -> dict[str, Any]:
    def entry(token_id: int, logprob: float) -> dict[str, Any]:
        return {"token": f"token_id:{token_id}" if named else "?", "logprob": logprob}

    return {**entry(one.token_id, one.logprob), "top_logprobs": [entry(*each) for each in one.top]}


def _request(body: dict[str, Any]) -> Request:
    """What a request asks of the engine: the way back from the protocol."""
    messages, clips = [], []
    for message in body["messages"]:
        content = message["content"]
        if not isinstance(content, str):
            parts = []
            for part in content:
                if part["type"] == "input_audio":
                    assert part["input_audio"]["format"] == "wav"
                    wav = base64.b64decode(part["input_audio"]["data"], validate=True)
                    clips.append(load_audio(wav).samples)
                    part = {"type": "audio"}
                parts.append(part)
            content = parts
        messages.append({"role": message["role"], "content": content})
    assert body["return_token_ids"] is True
    assert body["repetition_penalty"] == 1.0
    options = GenerationOptions(
        max_new_tokens=body["max_tokens"],
        temperature=body["temperature"],
        top_p=body["top_p"],
        top_k=max(0, body["top_k"]),
        seed=body["seed"],
        stop=tuple(body.get("stop", ())),
        logprobs=body["top_logprobs"] if body.get("logprobs") else None,
        thinking=body.get("chat_template_kwargs", {}).get("enable_thinking"),
    )
    return Request(tuple(messages), tuple(clips), options)


@contextmanager
def engine_server(engine: Engine | None, port: int = 0, **model: Any) -> Iterator[EngineServer]:
    server = EngineServer(engine, port, **model)
    try:
        yield server
    finally:
        server.close()
