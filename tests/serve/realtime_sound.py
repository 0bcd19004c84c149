"""Realtime sessions without a socket, sound and events for them."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from hypothesis import strategies as st

from moss_audio.serve.config import Limits
from moss_audio.serve.errors import ApiError
from moss_audio.serve.realtime.session import RealtimeSession

RATE = 24_000


def check_model(name: str) -> str:
    if name not in ("", "moss", "whisper-1"):
        raise ApiError(404, "not served", code="model_not_found")
    return name or "moss"


def session(kind: Any = "transcription", **limits: Any) -> RealtimeSession:
    return RealtimeSession(check_model, "", Limits(**limits), kind)


def send(live: RealtimeSession, kind: str, **fields: Any) -> list[Any]:
    return live.receive(json.dumps({"type": kind, **fields}))


def append(live: RealtimeSession, data: bytes) -> list[Any]:
    return send(live, "input_audio_buffer.append", audio=base64.b64encode(data).decode())


def update(live: RealtimeSession, **given: Any) -> list[Any]:
    return send(live, "session.update", session={"audio": {"input": given}})


def speech(*parts: tuple[float, float], rate: int = RATE, noise: float = 1e-4) -> bytes:
    """Seconds and levels of something that sounds in bursts."""
    rng = np.random.default_rng(0)
    x = np.concatenate([level * rng.normal(size=round(s * rate)) for s, level in parts])
    x += noise * rng.normal(size=len(x))
    return (np.clip(x, -1, 1) * 32767).astype("<i2").tobytes()


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9),
              st.sampled_from(["server_vad", "semantic_vad", "audio/pcm", "audio/pcmu", "moss"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(
            ["type", "audio", "input", "format", "rate", "turn_detection", "threshold", "model",
             "silence_duration_ms", "transcription", "include", "eagerness", "prefix_padding_ms"]
        ), inner, max_size=3),
    ),
    max_leaves=8,
)  # fmt: skip
VALID = st.sampled_from(
    [
        {"type": "input_audio_buffer.append", "audio": base64.b64encode(data).decode()}
        for data in (b"", b"\x01", speech((0.2, 0.1)), speech((0.1, 0.2), (0.8, 0)))
    ]
    + [
        {"type": "input_audio_buffer.commit"},
        {"type": "input_audio_buffer.clear"},
        {"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}},
        {"type": "session.update",
         "session": {"audio": {"input": {"turn_detection": {"silence_duration_ms": 100}}}}},
        {"type": "session.update",
         "session": {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}},
    ]
)  # fmt: skip
IDS = st.sampled_from(["a", "b", "root", "c"])
PARTS = st.one_of(
    st.builds(
        lambda text: {"type": "input_text", "text": text}, st.sampled_from(["", "hi", "\ud800"])
    ),
    st.just({"type": "input_audio", "audio": base64.b64encode(speech((0.2, 0.1))).decode()}),
    JSON,
)  # fmt: skip
ITEMS = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("message"), "role": st.sampled_from(["user", "system", "assistant"]),
         "content": st.one_of(st.lists(PARTS, max_size=2), JSON)},
        optional={"id": st.one_of(IDS, JSON)},
    ),
    st.fixed_dictionaries({"type": st.just("item_reference"), "id": st.one_of(IDS, JSON)}),
    JSON,
)  # fmt: skip
TALK = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("conversation.item.create"), "item": ITEMS},
        optional={"previous_item_id": st.one_of(IDS, JSON)},
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["conversation.item.retrieve", "conversation.item.delete",
                                  "conversation.item.truncate"]), "item_id": st.one_of(IDS, JSON)},
    ),
    st.fixed_dictionaries(
        {"type": st.just("response.create")},
        optional={"response": st.one_of(JSON, st.fixed_dictionaries({}, optional={
            "conversation": st.sampled_from(["auto", "none", "x", None]),
            "input": st.one_of(st.lists(ITEMS, max_size=2), JSON),
            "instructions": st.one_of(st.text(max_size=5), JSON),
            "output_modalities": st.sampled_from([["text"], ["audio"], "text", None]),
            "max_output_tokens": st.sampled_from([1, 0, "inf", "x", None]),
            "metadata": st.one_of(JSON, st.fixed_dictionaries({"task": st.sampled_from(
                ["transcribe", "events", "caption", "ask", "x"])})),
            "reasoning": st.one_of(JSON, st.just({"effort": "low"})),
        }))},
    ),
    st.fixed_dictionaries({"type": st.just("response.cancel")}, optional={"response_id": JSON}),
    st.builds(lambda kind: {"type": "session.update", "session": {"type": kind}},
              st.sampled_from(["realtime", "transcription"])),
)  # fmt: skip
EVENTS = st.one_of(
    VALID,
    TALK,
    st.fixed_dictionaries(
        {"type": st.sampled_from(["session.update", "input_audio_buffer.append",
                                  "input_audio_buffer.commit", "response.create", "x"])},
        optional={"session": JSON, "audio": JSON, "event_id": JSON},
    ),
    st.builds(lambda inner: {"type": "session.update",
                             "session": {"audio": {"input": inner}}}, JSON),
    JSON,
)  # fmt: skip
