"""Requests and realtime events that no client should send, from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

PATHS = (
    "/v1/audio/transcriptions", "/v1/audio/translations", "/v1/audio/events", "/v1/audio/captions",
    "/v1/audio/questions", "/v1/chat/completions", "/v1/models", "/v1/models/x", "/health",
    "/v1/realtime", "/v1/realtime/client_secrets", "/", "/v1//models", "/%2e%2e/%2e%2e/etc/passwd",
    "/openapi.json", "/metrics",
)  # fmt: skip
METHODS = ("GET", "POST", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW")
FIELDS = (
    "model", "language", "languages[]", "prompt", "keywords[]", "response_format", "temperature",
    "timestamp_granularities[]", "include[]", "stream", "chunking_strategy",
    "chunking_strategy[type]", "known_speaker_names[]", "question", "file", "x[]", "[]", "",
)  # fmt: skip
CHAT_FIELDS = (
    "messages", "model", "n", "seed", "stop", "stream", "temperature", "top_p", "top_k",
    "max_tokens", "max_completion_tokens", "stream_options", "reasoning_effort", "modalities",
    "thinking_budget", "chat_template_kwargs", "logprobs", "top_logprobs", "tools",
    "response_format", "presence_penalty",
)  # fmt: skip
WORDS = (
    "moss", "nano", "json", "text", "srt", "vtt", "verbose_json", "word", "segment", "true", "0",
    "-1", "1e999", "nan", "9" * 40, "../../etc/passwd", "http://127.0.0.1:1/", "file:///etc/passwd",
    "\x00", "\ud800", "é", "日本", "'; DROP TABLE", "<|im_end|>", "<think>", "{}", "[]", "a" * 5000,
    "data:audio/wav;base64,AAAA", "UklGRg==", "%s%n", "${jndi:ldap://x}", "user", "system",
)  # fmt: skip
EVENTS = (
    "session.update", "input_audio_buffer.append", "input_audio_buffer.commit",
    "input_audio_buffer.clear", "conversation.item.create", "conversation.item.retrieve",
    "conversation.item.delete", "conversation.item.truncate", "response.create", "response.cancel",
    "transcription_session.update", "output_audio_buffer.clear", "unknown", "",
)  # fmt: skip
EVENT_FIELDS = (
    "session", "audio", "event_id", "item", "item_id", "response", "content_index", "audio_end_ms",
    "previous_item_id", "response_id",
)  # fmt: skip
INNER = (
    "type", "audio", "input", "format", "rate", "transcription", "model", "language",
    "turn_detection", "threshold", "silence_duration_ms", "include", "instructions", "metadata",
    "task", "id", "role", "content", "text", "conversation", "max_output_tokens", "modalities",
    "output_modalities", "noise_reduction", "eagerness", "url", "data", "input_audio", "audio_url",
)  # fmt: skip
TYPES = (
    "transcription", "realtime", "audio/pcm", "audio/pcmu", "server_vad", "semantic_vad", "message",
    "item_reference", "input_audio", "input_text", "audio_url", "text", "none", "auto",
)  # fmt: skip


def value(rng: random.Random, depth: int = 3) -> Any:
    """Anything that JSON has, mostly wrong."""
    kinds: list[Callable[[], Any]] = [
        lambda: None,
        lambda: rng.random() < 0.5,
        lambda: rng.choice((0, 1, -1, 2**31, 2**63, -(2**70), rng.randrange(300))),
        lambda: rng.choice((0.5, -1e300, 1e-300, 1e300)),
        lambda: rng.choice(WORDS),
        lambda: rng.choice(TYPES),
        lambda: "".join(map(chr, rng.choices(range(0xD7FF), k=rng.randrange(20)))),
    ]
    if depth:
        kinds += [
            lambda: [value(rng, depth - 1) for _ in range(rng.randrange(4))],
            lambda: {rng.choice(INNER): value(rng, depth - 1) for _ in range(rng.randrange(5))},
            lambda: {"type": rng.choice(TYPES), rng.choice(INNER): value(rng, depth - 1)},
        ]
    return rng.choice(kinds)()


def damaged(rng: random.Random, data: bytes) -> bytes:
    """The same with a few bytes that are others, fewer or more."""
    changed = bytearray(data)
    for _ in range(rng.randrange(4)):
        place = rng.randrange(len(changed) + 1)
        if rng.random() < 0.5:
            changed[place : place + rng.randrange(9)] = rng.randbytes(rng.randrange(9))
        else:
            changed[place : place + 1] = b""
    return bytes(changed)


def form(rng: random.Random, wav: bytes) -> tuple[dict[str, str], bytes]:
    """Headers and body of a form with a clip."""
    parts = []
    for _ in range(rng.randrange(6)):
        text = rng.choice((rng.choice(WORDS), json.dumps(value(rng)))).encode("utf-8", "replace")
        name = rng.choice(FIELDS).encode()
        parts.append(b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % (name, text))
    if rng.random() < 0.8:
        name = rng.choice(WORDS[:20]).encode("utf-8", "replace")
        clip = damaged(rng, wav) if rng.random() < 0.7 else wav
        parts.append(
            b'Content-Disposition: form-data; name="file"; filename="%b"\r\n'
            b"Content-Type: audio/wav\r\n\r\n%b" % (name, clip)
        )
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    if rng.random() < 0.3:
        body = damaged(rng, body)
    return {"Content-Type": "multipart/form-data; boundary=b"}, body


def chat(rng: random.Random) -> tuple[dict[str, str], bytes]:
    """Headers and body of a conversation."""
    asked = {rng.choice(CHAT_FIELDS): value(rng) for _ in range(rng.randrange(5))}
    if rng.random() < 0.7:
        asked["messages"] = [{"role": "user", "content": rng.choice(("hi", value(rng)))}]
    asked.setdefault("max_tokens", 4)
    body = json.dumps(asked).encode("utf-8", "replace")
    return {"Content-Type": "application/json"}, damaged(rng, body) if rng.random() < 0.2 else body


def request(rng: random.Random, wav: bytes) -> tuple[str, str, dict[str, str], bytes]:
    """Method, path, headers and body."""
    path = rng.choice(PATHS)
    if rng.random() < 0.1:
        path += "?" + rng.choice(("model=x", "%00", "a=%ff&b", "intent=transcription"))
    headers, body = chat(rng) if "chat" in path or rng.random() < 0.2 else form(rng, wav)
    if rng.random() < 0.1:
        headers[
            rng.choice(("Content-Type", "Accept", "X-Request-Id", "Origin", "Authorization"))
        ] = rng.choice(
            ("application/json", "text/plain", "x" * 300, "Bearer x", "multipart/form-data")
        )
    return rng.choice(METHODS), path, headers, body


def event(rng: random.Random) -> str | bytes:
    """A message for a live session."""
    if rng.random() < 0.05:
        return rng.randbytes(rng.randrange(50))
    made: dict[str, Any] = {"type": rng.choice(EVENTS)}
    for _ in range(rng.randrange(4)):
        made[rng.choice(EVENT_FIELDS)] = value(rng)
    text = json.dumps(made)
    return text[: rng.randrange(len(text))] if rng.random() < 0.05 else text
