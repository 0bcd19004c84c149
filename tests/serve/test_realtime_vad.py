"""Who finds turns, and how long a silence ends them."""

from __future__ import annotations

from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.errors import MossAudioError
from moss_audio.recordings import load_audio
from moss_audio.serve.config import Limits, ServerConfig
from moss_audio.serve.realtime import silero
from moss_audio.serve.realtime.patience import LONGEST_MS, silence_ms
from moss_audio.serve.realtime.session import CommittedTurn, RealtimeSession
from moss_audio.serve.realtime.vad import FRAME_SAMPLES, VoiceDetector
from tests.serve.conftest import FakeEngine, serving
from tests.serve.realtime_sound import append, session, speech, update
from tests.serve.test_realtime import TRANSCRIPTION, message, receive, socket
from tests.serve.test_realtime import append as appended

SPEECH = Path(__file__).parents[2] / "examples" / "speech.wav"


@pytest.mark.parametrize(
    ("text", "eagerness", "expected"),
    [
        ("I went home.", "auto", 600),
        ("I went home.", "low", 1200),
        ("Did you?", "high", 300),
        ("What is it to?", "medium", 600),
        ("I went home", "medium", 1400),
        ("I went to the.", "medium", 4000),
        ("I went to the", "high", 2000),
        ("So, um", "low", 8000),
        ("And then,", "medium", 4000),
        ("And then...", "medium", 4000),
        ('He said "go."', "medium", 600),
        ("Ich komme und", "medium", 4000),
        ("我想去北京。", "medium", 600),
        ("我想去北京的", "medium", 4000),
        ("", "medium", 1400),
        (None, "medium", 1000),
        (None, "high", 500),
    ],
)
def test_patience_follows_what_was_said(text: str | None, eagerness: str, expected: int) -> None:
    assert silence_ms(text, eagerness) == expected


@given(st.none() | st.text(), st.sampled_from(sorted(LONGEST_MS)))
def test_patience_has_an_end(text: str | None, eagerness: str) -> None:
    assert 300 <= silence_ms(text, eagerness) <= LONGEST_MS[eagerness] <= 8000


def test_a_turn_ends_sooner_after_a_sentence_and_later_within_one() -> None:
    said = speech((0.5, 0), (0.6, 0.1), (0.1, 0))
    for text, pause, ends in (
        ("I went home.", 0.8, True),
        ("I went to the", 0.8, False),
        ("I went to the", 4.2, True),
        (None, 0.8, False),
        (None, 1.2, True),
    ):
        live = session()
        update(live, turn_detection={"type": "semantic_vad"})
        append(live, said)
        turn = live.open_turn()  # though nobody asked for hypotheses
        assert turn is not None
        if text is not None:
            assert not live.understood(turn.item_id, text)
        found: list[Any] = append(live, speech((pause, 0)))
        assert any(isinstance(one, CommittedTurn) for one in found) is ends
        if ends:  # and nothing of it is left for the next turn
            assert not live.understood(turn.item_id, "I went to the")
            append(live, speech((0.6, 0.1), (0.1, 0)))
            again = append(live, speech((1.2, 0)))
            assert any(isinstance(one, CommittedTurn) for one in again)


def test_hypotheses_end_turns_and_only_who_asks_is_told() -> None:
    engine = FakeEngine(lambda _: "I went home.")
    with serving(engine) as running, socket(running) as client:
        detection = {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}
        client.send(message("session.update", session={"audio": {"input": detection}}))
        client.send(appended(speech((0.5, 0), (1.5, 0.1), (0.1, 0))))
        while not engine.requests:
            pass
        done = None
        while done is None:  # 1.2 s of silence do, where nothing known would take 2 s
            client.send(appended(speech((1.3, 0))))
            found = receive(client)
            assert not found["type"].endswith("hypothesis")
            done = found if found["type"] == f"{TRANSCRIPTION}.completed" else None
        assert done["transcript"] == "I went home."


class Toggling(VoiceDetector):
    """Speech is what is above zero."""

    def _judged(self, frame: np.ndarray) -> tuple[bool, bool]:
        return bool(frame[0] > 0), bool(frame[0] <= 0)


def test_a_session_has_the_detector_that_the_operator_chose() -> None:
    made = []

    def make(threshold: float, silence: int) -> VoiceDetector:
        made.append((threshold, silence))
        return Toggling(threshold, silence)

    live = RealtimeSession(lambda name: name or "moss", "", Limits(), make_detector=make)
    update(live, turn_detection={"threshold": 0.3, "silence_duration_ms": 200})
    assert made == [(0.5, 500)]
    form = {"type": "audio/pcm", "rate": 16_000}
    update(live, format=form)
    loud = np.full(20 * FRAME_SAMPLES, 1000, "<i2")
    found: list[Any] = append(live, loud.tobytes() + (-loud).tobytes())
    assert any(isinstance(one, CommittedTurn) for one in found)


def test_an_unknown_detector_and_a_missing_one_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MossAudioError, match="energy, silero"):
        ServerConfig(vad="magic")
    monkeypatch.setattr(silero, "_FILES", (("moss_audio", "nothing.onnx"), ("no_package", "x")))
    with pytest.raises(MossAudioError, match="pip install --no-deps silero-vad"):
        silero.Silero()


@pytest.mark.skipif(
    not (util.find_spec("silero_vad") or util.find_spec("pipecat")),
    reason="silero-vad is not installed",
)
def test_silero_knows_voices_from_noise() -> None:
    network = silero.Silero()
    detector = network.detector(0.5, 500)
    samples = np.concatenate([load_audio(SPEECH).samples, np.zeros(16_000, np.float32)])
    changes = []
    for place in range(0, len(samples) - FRAME_SAMPLES, FRAME_SAMPLES):
        if detector.push(samples[place : place + FRAME_SAMPLES]):
            changes.append((place / 16_000, detector.speaking))
    assert [speaking for _, speaking in changes] == [True, False, True, False]
    assert changes[0][0] == pytest.approx(0.75, abs=0.2)
    noise = np.random.default_rng(0).normal(0, 0.1, 20 * 16_000).astype(np.float32)
    quiet = network.detector(0.5, 500)
    assert not any(
        quiet.push(noise[place : place + FRAME_SAMPLES])
        for place in range(0, len(noise) - FRAME_SAMPLES, FRAME_SAMPLES)
    )
