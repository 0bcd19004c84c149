"""Sound and events for tests of realtime sessions."""

from __future__ import annotations

import base64

import numpy as np
from hypothesis import strategies as st

RATE = 24_000


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
EVENTS = st.one_of(
    VALID,
    st.fixed_dictionaries(
        {"type": st.sampled_from(["session.update", "input_audio_buffer.append",
                                  "input_audio_buffer.commit", "response.create", "x"])},
        optional={"session": JSON, "audio": JSON, "event_id": JSON},
    ),
    st.builds(lambda inner: {"type": "session.update",
                             "session": {"audio": {"input": inner}}}, JSON),
    JSON,
)  # fmt: skip
