"""The realtime session without a socket: sound in any pieces, turns, settings, and any events."""

from __future__ import annotations

import io
import json
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.recordings import load_audio
from moss_audio.serve.realtime.audio import AppendedAudio
from moss_audio.serve.realtime.config import AudioFormat
from moss_audio.serve.realtime.replies import Reply, StoppedReply
from moss_audio.serve.realtime.session import CommittedTurn
from moss_audio.serve.realtime.words import WholeWords, agreed
from tests.serve.realtime_sound import EVENTS, RATE, append, send, session, speech, update

SPEECH = Path(__file__).parents[2] / "examples" / "speech.wav"


def names(found: list[Any]) -> list[str]:
    return [
        "turn"
        if isinstance(one, CommittedTurn)
        else one["type"].rpartition("input_audio_buffer.")[2]
        for one in found
    ]


def turns(found: list[Any]) -> list[CommittedTurn]:
    return [one for one in found if isinstance(one, CommittedTurn)]


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


CUTS = st.lists(st.integers(0, 10**6), max_size=12)


@settings(max_examples=60, deadline=None)
@given(cuts=CUTS, rate=st.sampled_from([8000, 11_127, 16_000, RATE, 44_100, 48_000]))
def test_it_does_not_matter_where_appends_are_cut(cuts: list[int], rate: int) -> None:
    data = speech((0.5, 0.1), rate=rate)
    live = session()
    update(live, turn_detection=None, format={"type": "audio/pcm", "rate": rate})
    for piece in pieces(data, cuts):
        assert append(live, piece) == []
    (turn,) = turns(send(live, "input_audio_buffer.commit"))
    samples = np.frombuffer(data, "<i2").astype(np.float32) / 32768
    assert np.array_equal(turn.samples, load_audio((samples, rate)).samples)


@settings(max_examples=25, deadline=None)
@given(cuts=CUTS)
def test_nor_does_it_for_the_turns_that_are_found(cuts: list[int]) -> None:
    data = speech((0.6, 0), (1, 0.1), (0.9, 0), (0.7, 0.2), (1, 0))
    whole, cut = session(), session()
    expected = append(whole, data)
    found = [one for piece in pieces(data, cuts) for one in append(cut, piece)]
    assert names(found) == names(expected)
    assert names(found).count("turn") == 2
    for one, other in zip(turns(found), turns(expected), strict=True):
        assert np.array_equal(one.samples, other.samples)


def test_turns_have_their_times_on_the_sessions_clock_and_one_id_throughout() -> None:
    live = session()
    found = append(live, speech((1, 0), (1, 0.1), (1, 0), (1, 0.1), (1, 0)))
    kinds = ["speech_started", "speech_stopped", "committed", "conversation.item.added",
             "conversation.item.done", "turn"]  # fmt: skip
    assert names(found) == kinds * 2
    previous = None
    for i in range(2):
        started, stopped, committed, added, done, turn = found[6 * i : 6 * i + 6]
        assert started["audio_start_ms"] == pytest.approx(1000 + 2000 * i - 300, abs=50)
        assert stopped["audio_end_ms"] == pytest.approx(2000 + 2000 * i + 500, abs=70)
        length = stopped["audio_end_ms"] - started["audio_start_ms"]
        assert len(turn.samples) == pytest.approx(16 * length, abs=32)
        ids = {started["item_id"], stopped["item_id"], committed["item_id"], turn.item_id}
        assert ids == {added["item"]["id"], done["item"]["id"]}
        assert committed["previous_item_id"] == added["previous_item_id"] == previous
        previous = turn.item_id


@pytest.mark.parametrize("noise", [0.0, 1e-4, 3e-3, 0.02])
def test_silence_and_steady_noise_are_no_speech(noise: float) -> None:
    assert append(session(), speech((20, 0), noise=noise)) == []


def test_a_click_is_no_speech_and_a_pause_is_no_end() -> None:
    assert append(session(), speech((1, 0), (0.05, 0.3), (1, 0))) == []
    paused = append(session(), speech((1, 0), (0.5, 0.1), (0.3, 0), (0.5, 0.1), (1, 0)))
    assert names(paused).count("turn") == 1


def test_patience_is_what_the_client_says() -> None:
    data = speech((1, 0), (0.5, 0.1), (0.3, 0), (0.5, 0.1), (1.2, 0))
    for turn_detection, count in (
        ({"type": "server_vad", "silence_duration_ms": 200}, 2),
        ({"type": "server_vad"}, 1),
        ({"type": "semantic_vad", "eagerness": "high"}, 1),
        ({"type": "semantic_vad", "eagerness": "low"}, 0),
    ):
        live = session()
        update(live, turn_detection=turn_detection)
        assert len(turns(append(live, data))) == count


def test_only_a_turn_and_what_goes_before_it_is_kept() -> None:
    live = session()
    for _ in range(50):
        append(live, speech((1, 0)))
    assert live._buffer.n_samples < 16_000
    (turn,) = turns(append(live, speech((0.5, 0.1), (1, 0))))
    assert len(turn.samples) < 1.5 * 16_000


def test_an_endless_turn_is_cut_and_nothing_of_it_is_lost() -> None:
    live = session(turn_s=2.0)
    parts = turns(append(live, speech((0.5, 0), (7, 0.1))))
    assert [round(len(part.samples) / 16_000, 1) for part in parts] == [2.0, 2.0, 2.0]
    (rest,) = turns(send(live, "input_audio_buffer.commit"))
    total = sum(len(one.samples) for one in (*parts, rest)) / 16_000
    assert total == pytest.approx(7.3, abs=0.05)


def test_a_full_buffer_is_told_and_can_be_committed() -> None:
    live = session(turn_s=1.0)
    update(live, turn_detection=None)
    sound = speech((1.2, 0.1))
    for piece in (sound, sound[:24_000], sound[24_000:], sound[24_000:48_000]):
        found = append(live, piece)  # 1.2 s, 0.5 s, 0.7 s, and what just fits
        full = piece in (sound, sound[24_000:])
        assert [one["error"]["code"] for one in found] == ["input_audio_buffer_full"] * full
    (turn,) = turns(send(live, "input_audio_buffer.commit"))
    samples = np.frombuffer(sound[:48_000], "<i2").astype(np.float32) / 32768
    assert np.array_equal(turn.samples, load_audio((samples, RATE)).samples)


def test_a_commit_of_nothing_is_the_clients_mistake() -> None:
    live = session()
    update(live, turn_detection=None)
    for data in (b"", speech((0.09, 0.1))):
        append(live, data)
        (told,) = send(live, "input_audio_buffer.commit", event_id="mine")
        assert told["error"]["code"] == "input_audio_buffer_commit_empty"
        assert told["error"]["event_id"] == "mine"
    append(live, speech((1, 0.1)))
    (turn,) = turns(send(live, "input_audio_buffer.commit"))
    assert len(turn.samples) == 1.09 * 16_000  # a mistake changes nothing
    append(live, speech((1, 0.1)))
    assert names(send(live, "input_audio_buffer.clear")) == ["cleared"]
    assert send(live, "input_audio_buffer.commit")[0]["type"] == "error"


@pytest.mark.parametrize(("name", "encoder"), [("pcmu", "pcm_mulaw"), ("pcma", "pcm_alaw")])
def test_telephone_sound_is_decoded_as_others_do(name: str, encoder: str) -> None:
    codes = bytes(range(256))
    file = io.BytesIO()
    with av.open(file, "w", format="wav") as out:
        stream: Any = out.add_stream(encoder, rate=8000)
        stream.layout = "mono"
        packet = av.Packet(codes)
        packet.stream = stream
        packet.pts = packet.dts = 0
        out.mux(packet)
    file.seek(0)
    with av.open(file, "r") as read:
        frames = [frame.to_ndarray().ravel() for frame in read.decode(audio=0)]
    expected = np.concatenate(frames).astype(np.float32) / 32768
    heard = AppendedAudio(AudioFormat(type=f"audio/{name}"))  # type: ignore[arg-type]
    assert np.array_equal(heard._table[np.frombuffer(codes, np.uint8)], expected)  # type: ignore[index]
    assert len(heard.push(codes * 100)) + len(heard.finish()) == 51_200


def test_updates_are_merged() -> None:
    live = session()
    told = live.created()["session"]["audio"]["input"]
    assert told["format"] == {"type": "audio/pcm", "rate": 24000}
    assert told["turn_detection"]["silence_duration_ms"] == 500
    update(live, turn_detection={"type": "server_vad", "silence_duration_ms": 350})
    update(live, transcription={"model": "whisper-1", "language": "de"})
    (told,) = update(live, turn_detection={"prefix_padding_ms": 600})
    heard = told["session"]["audio"]["input"]
    assert heard["turn_detection"]["silence_duration_ms"] == 350
    assert heard["turn_detection"]["prefix_padding_ms"] == 600
    assert heard["transcription"] == {"model": "whisper-1", "language": "de"}
    for wrong in (
        {"turn_detection": {"threshold": 2}},
        {"turn_detection": None, "format": "pcm16"},
        {"turn_detection": None, "format": {"type": "audio/opus"}},
        {"turn_detection": None, "transcription": {"model": "gpt-9"}},
    ):
        assert names(update(live, **wrong)) == ["error"]
    (told,) = update(live)
    assert told["session"]["audio"]["input"] == heard
    (told,) = update(live, turn_detection=None)
    assert told["session"]["audio"]["input"]["turn_detection"] is None


def test_what_cannot_be_included_is_told() -> None:
    live = session()
    known = "item.input_audio_transcription.hypothesis"
    assert names(send(live, "session.update", session={"include": [known]})) == ["session.updated"]
    [wrong] = send(live, "session.update", session={"include": [known, "hypotheses"]})
    assert wrong["error"]["param"] == "session.include"
    assert "'hypotheses'" in wrong["error"]["message"]
    assert known in wrong["error"]["message"]
    assert send(live, "session.update", session={})[0]["session"]["include"] == [known]
    assert live.guesses


def test_what_was_heard_stays_when_detection_begins_or_ends() -> None:
    live = session()
    update(live, turn_detection=None)
    append(live, speech((0.5, 0), (0.5, 0.1)))
    begun = update(live, turn_detection={"type": "server_vad"})
    assert names(begun) == ["session.updated", "speech_started"]
    update(live, turn_detection=None)
    assert names(update(live, turn_detection={"type": "server_vad"})) == ["session.updated"]
    update(live, turn_detection=None)
    append(live, speech((0.5, 0.1)))
    found = send(live, "input_audio_buffer.commit")
    assert found[0]["item_id"] == begun[1]["item_id"]
    assert len(turns(found)[0].samples) == pytest.approx(16_000 * 1.3, abs=800)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (["Hel", "lo wor", "ld", ". Bye"], ["Hello", " world.", " Bye"]),
        ([" a", " b ", "c"], ["a b", " c"]),
        (["你好", "吗", " ok"], ["你好", "吗", " ok"]),
    ],
)
def test_deltas_are_whole_words(text: list[str], expected: list[str]) -> None:
    words = WholeWords()
    found = [words.push(piece) for piece in text] + [words.finish()]
    assert [one for one in found if one] == expected


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ("", "the cat", ""),
        ("the ca", "the cat sat", "the"),
        ("the cat", "the cat sat", "the cat"),
        ("the cat sat", "the cat", "the cat"),
        ("the cab", "the cat", "the"),
        ("你好", "你好吗", "你好"),
    ],
)
def test_hypotheses_agree_in_whole_words(before: str, now: str, expected: str) -> None:
    assert now[: agreed(before, now)] == expected


@given(st.lists(st.text(alphabet="ab 你\n.", max_size=5)))
def test_deltas_add_up_to_the_text(text: list[str]) -> None:
    words = WholeWords()
    found = [words.push(piece) for piece in text] + [words.finish()]
    assert "".join(found) == "".join(text).strip()


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENTS, max_size=12), st.sampled_from(["transcription", "realtime"]))
def test_no_event_makes_a_session_fail(events: list[Any], kind: Any) -> None:
    live = session(kind, turn_s=2.0, items=3, kept_s=2.0, beside=1)
    started: list[str] = []
    committed: list[str] = []
    for one in events:
        found = live.receive(json.dumps(one))
        assert found or one.get("type") == "input_audio_buffer.append"
        for told in found:
            if isinstance(told, CommittedTurn):
                assert len(told.samples) >= 1600
                assert told.samples.dtype == np.float32
                assert told.item_id == committed[-1]
            elif isinstance(told, Reply):
                told.plan.messages()
                json.dumps(told.push("text"))
                if told.plan.task != "caption":  # those stay in progress
                    json.dumps(told.end("completed"))
                    live.ended(told)
            elif isinstance(told, StoppedReply):
                json.dumps(told.reply.end("cancelled", reason=told.reason))
            elif told["type"].endswith("speech_started"):
                started.append(told["item_id"])
            elif told["type"] == "input_audio_buffer.committed":
                committed.append(told["item_id"])
            else:
                json.dumps(told)
        assert len(live._conversation.items.all()) <= 3
    assert len(set(committed)) == len(committed)
    assert len(set(started)) == len(started)
    for malformed in (None, "[" * 100_000):
        (told,) = live.receive(malformed)
        assert told["error"]["code"] == "invalid_json"  # type: ignore[index]


def test_the_example_is_heard_as_speech() -> None:
    with wave.open(str(SPEECH)) as file:
        data, rate = file.readframes(file.getnframes()), file.getframerate()
    live = session()
    update(live, format={"type": "audio/pcm", "rate": rate})
    found: list[Any] = append(live, data + bytes(2 * rate))
    assert names(found).count("turn") == 2
    begun = [one["audio_start_ms"] for one in found[::6]]
    assert begun == pytest.approx([650 - 300, 4010 - 300], abs=40)
