"""Turns are heard while they are spoken: deltas before the commit, and nothing left behind."""

from __future__ import annotations

import base64
import gc
import json
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.client import ClientConnection, connect

from moss_audio.engine.local import LocalEngine
from moss_audio.result import Transcript, Word
from moss_audio.serve.admission import Ticket
from moss_audio.serve.realtime import hearing
from moss_audio.serve.realtime.hypotheses import certain
from moss_audio.serve.realtime.session import CommittedTurn, RealtimeSession
from moss_audio.serve.realtime.words import SpokenWords
from moss_audio.testing.tokenizer import tiny_prompt_spec
from tests.engine.fake_runner import END, LETTERS, TOKENIZER, FakeRunner
from tests.serve.conftest import Running, model_of, serving_model, wait_for
from tests.serve.realtime_sound import append, session, speech, update
from tests.serve.realtime_sound import send as receive

SPACE = TOKENIZER.encode(" ", add_special_tokens=False)[0]
TRANSCRIPTION = "conversation.item.input_audio_transcription"


class SpokenRunner(FakeRunner):
    """Says a letter for each 0.48 s of sound: "a b c d"."""

    max_rows, prefill_tokens, batch_tokens, max_positions = 2, 64, 2000, 1000
    changed = 0  # how many of the letters it takes back once it has heard much

    def next_id(self, held: list[object]) -> int:
        n_letters = min(len(LETTERS), sum(isinstance(one, tuple) for one in held) // 6)
        said = 0
        while held[-1 - said] in (*LETTERS, SPACE):
            said += 1
        letters = list(LETTERS)
        if n_letters >= 7 and self.changed:
            letters = [*LETTERS[-self.changed :], *LETTERS[self.changed :]]
        if said // 2 >= n_letters:
            return END
        return SPACE if said % 2 else letters[said // 2]


@pytest.fixture
def runner() -> SpokenRunner:
    return SpokenRunner()


@pytest.fixture
def heard(runner: SpokenRunner) -> Iterator[Running]:
    engine = LocalEngine(runner, TOKENIZER, tiny_prompt_spec(), window_s=15.0)
    with serving_model(model_of(engine)) as running:
        yield running
    engine.close()


def socket(running: Running) -> Any:
    url = running.url.replace("http", "ws") + "/v1/realtime?intent=transcription"
    return connect(url, proxy=None)


def send(client: ClientConnection, kind: str, **fields: Any) -> None:
    client.send(json.dumps({"type": kind, **fields}))


def say(client: ClientConnection, seconds: float, level: float = 0.1) -> None:
    data = base64.b64encode(speech((seconds, level), rate=16_000)).decode()
    send(client, "input_audio_buffer.append", audio=data)


def by_hand(client: ClientConnection, **more: Any) -> None:
    given = {"turn_detection": None, "format": {"type": "audio/pcm", "rate": 16_000}}
    send(client, "session.update", session={"audio": {"input": given}, **more})


def until(client: ClientConnection, kind: str) -> list[dict[str, Any]]:
    found = []
    while not found or not found[-1]["type"].endswith(kind):
        found.append(json.loads(client.recv(timeout=20)))
    return found


def deltas(events: list[dict[str, Any]]) -> str:
    return "".join(one["delta"] for one in events if one["type"].endswith("delta"))


def test_words_come_before_the_commit_and_add_up_to_the_transcript(
    heard: Running, runner: SpokenRunner
) -> None:
    with socket(heard) as client:
        by_hand(client)
        say(client, 2.5)
        wait_for(lambda: heard.service.engine.scheduler.stats().finished >= 1)
        say(client, 2.5)
        early = until(client, "delta")
        assert not any(one["type"].endswith("committed") for one in early)
        send(client, "input_audio_buffer.commit")
        late = until(client, "completed")
        done = late[-1]
        assert done["transcript"] == "a b c d e f g h i j"
        assert deltas(early) + deltas(late) == done["transcript"]
        assert early[-1]["item_id"] == done["item_id"]
    wait_for(lambda: heard.service.engine.scheduler.stats().live == 0)
    heard.service.engine.forget()
    assert not runner.caches
    assert heard.metric("moss:chunks_heard_total") >= 1
    assert heard.metric("moss:deltas_contradicted_total") == 0


def test_words_that_were_wrong_are_counted_and_the_transcript_is_true(
    heard: Running, runner: SpokenRunner
) -> None:
    runner.changed = 2
    with socket(heard) as client:
        by_hand(client)
        say(client, 1.5)
        wait_for(lambda: heard.service.engine.scheduler.stats().finished >= 1)
        say(client, 1.2)
        early = until(client, "delta")
        say(client, 2.3)
        send(client, "input_audio_buffer.commit")
        late = until(client, "completed")
    assert deltas(early).split()[:1] == ["a"]
    assert deltas(late) == ""
    assert late[-1]["transcript"] == "k l c d e f g h i j"
    wait_for(lambda: heard.metric("moss:deltas_contradicted_total") > 0)


def test_a_session_that_is_gone_leaves_nothing(heard: Running, runner: SpokenRunner) -> None:
    with socket(heard) as client:
        send(client, "session.update", session={"audio": {"input": {
            "format": {"type": "audio/pcm", "rate": 16_000}}}})  # fmt: skip
        say(client, 6)
        until(client, "speech_started")
        send(client, "input_audio_buffer.clear")
        say(client, 6)
        until(client, "speech_started")
        time.sleep(0.3)
        client.socket.close()
    wait_for(lambda: heard.service.engine.scheduler.stats().live == 0)
    wait_for(lambda: not runner.caches)


def test_a_session_that_is_over_is_free_at_once(heard: Running) -> None:
    """It held itself, by what its responses tell of: its sound stayed until Python looked for such
    circles."""

    def sessions() -> int:
        return sum(type(one) is RealtimeSession for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        for seconds in (0.5, 3.0):
            with socket(heard) as client:
                by_hand(client)
                say(client, seconds)
                send(client, "input_audio_buffer.commit")
                until(client, "completed")
                assert sessions() == 1
            wait_for(lambda: not sessions())
    finally:
        gc.enable()


def test_a_response_about_a_turn_finds_it_computed(heard: Running) -> None:
    url = heard.url.replace("http", "ws") + "/v1/realtime?model=moss"
    with connect(url, proxy=None) as client:
        turn = {"turn_detection": None, "format": {"type": "audio/pcm", "rate": 16_000}}
        audio = {"input": {**turn, "transcription": {"model": "moss"}}}
        send(client, "session.update", session={"type": "realtime", "audio": audio})
        say(client, 5)
        send(client, "input_audio_buffer.commit")
        item = until(client, "completed")[-1]["item_id"]
        send(client, "response.create", response={
            "conversation": "none", "input": [{"type": "item_reference", "id": item}],
            "metadata": {"task": "caption"}})  # fmt: skip
        done = until(client, "response.done")[-1]["response"]
    assert done["status"] == "completed"
    assert done["usage"]["input_token_details"]["cached_tokens"] > 60


def by_server(client: ClientConnection) -> None:
    given = {
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
        "format": {"type": "audio/pcm", "rate": 16_000},
        "transcription": {"exact": False},
    }
    send(client, "session.update", session={"audio": {"input": given}})


def turn_with_a_pause(client: ClientConnection) -> list[dict[str, Any]]:
    """The events of a turn in whose last silence there is time for a guess of its end."""
    say(client, 0.5, 0.0)
    say(client, 2.5)
    say(client, 0.25, 0.0)
    time.sleep(0.3)
    say(client, 0.5, 0.0)
    return until(client, "completed")


def test_a_pause_is_taken_for_the_end_and_the_final_is_what_it_was(heard: Running) -> None:
    with socket(heard) as client:
        by_server(client)
        say(client, 0.5, 0.0)
        say(client, 2.5)
        say(client, 0.25, 0.0)
        eager = until(client, "turn_eager")[-1]
        asked = heard.service.engine.scheduler.stats().finished
        say(client, 0.5, 0.0)
        found = until(client, "completed")
        done = found[-1]
    assert eager["item_id"] == done["item_id"]
    assert done["transcript"] == eager["transcript"] == "a b c d e f"
    assert deltas(found) == done["transcript"]
    assert heard.service.engine.scheduler.stats().finished == asked


@pytest.mark.parametrize(("seconds", "guessed"), [(20.0, False), (700.0, True)])
def test_a_pause_is_taken_for_the_end_beside_a_long_file_alone(
    heard: Running, seconds: float, guessed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Ticket("", "transcriptions", seconds, 1.0, granted=Future())  # type: ignore[arg-type]
    monkeypatch.setattr(heard.service.admission, "_window_s", 30.0)
    monkeypatch.setattr(heard.service.admission, "_running", {other})
    with socket(heard) as client:
        by_server(client)
        found = turn_with_a_pause(client)
    assert found[-1]["transcript"].startswith("a b c d e f")
    assert any(one["type"].endswith("turn_eager") for one in found) is guessed


def test_somebody_who_goes_on_after_a_pause_is_heard_to_the_end(
    heard: Running, runner: SpokenRunner
) -> None:
    with socket(heard) as client:
        by_server(client)
        say(client, 0.5, 0.0)
        say(client, 1.5)
        say(client, 0.25, 0.0)
        eager = until(client, "turn_eager")[-1]
        say(client, 2.0)
        resumed = until(client, "turn_resumed")[-1]
        say(client, 1.0, 0.0)
        done = until(client, "completed")[-1]
    assert eager["item_id"] == resumed["item_id"] == done["item_id"]
    assert len(done["transcript"]) > len(eager["transcript"])
    wait_for(lambda: heard.service.engine.scheduler.stats().live == 0)
    heard.service.engine.forget()
    assert not runner.caches


def test_a_pause_and_speech_in_one_message_leave_the_guess_out(heard: Running) -> None:
    parts = (0.5, 0), (1.5, 0.1), (0.25, 0), (2.0, 0.1), (0.8, 0)
    data = speech(*parts, rate=16_000)
    whole = base64.b64encode(data[: 2 * 36_000]).decode()
    rest = base64.b64encode(data[2 * 36_000 :]).decode()
    with socket(heard) as client:
        by_server(client)
        send(client, "input_audio_buffer.append", audio=whole)
        eager = until(client, "turn_eager")[-1]
        send(client, "input_audio_buffer.append", audio=rest)
        done = until(client, "completed")[-1]
    assert len(done["transcript"]) > len(eager["transcript"])


def test_who_wants_files_exactly_gets_no_guess_of_the_end(heard: Running) -> None:
    with socket(heard) as client:
        by_server(client)
        exact = {"transcription": {"exact": True}}
        send(client, "session.update", session={"audio": {"input": exact}})
        found = turn_with_a_pause(client)
    assert not any(one["type"].endswith("turn_eager") for one in found)


@given(st.lists(st.lists(st.sampled_from(["a", "ab", "b", "你"]), max_size=5), max_size=8))
def test_what_was_told_is_never_taken_back(texts: list[list[str]]) -> None:
    spoken, told = SpokenWords(), ""
    for words in texts:
        told += (delta := spoken.more(" ".join(words)))
        assert told == spoken.told
        if delta:
            assert told == " ".join(words)
    last = " ".join(texts[-1]) if texts else ""
    assert spoken.contradicted(told) == 0
    assert spoken.contradicted(last) <= len(told.split())
    assert (spoken.contradicted(last) == 0) == (last.split()[: len(told.split())] == told.split())


def test_words_at_the_end_of_the_sound_are_not_sure() -> None:
    words = (Word("so", 0.1, 0.4), Word("so", 0.5, 1.4), Word("it", 1.5, 1.9))
    assert certain(Transcript("so  so it", words=words, duration=2.0)) == len("so  so")
    assert certain(Transcript("so so it", duration=2.0)) == len("so")
    assert certain(Transcript("", duration=2.0)) == 0


def test_words_that_are_unlikely_are_not_sure() -> None:
    words = tuple(
        Word(text, i / 10, (i + 1) / 10, probability)
        for i, (text, probability) in enumerate([("so", 0.9), ("it", 0.5), ("goes", 0.99)])
    )
    assert certain(Transcript("so it goes", words=words, duration=2.0)) == len("so")


class _Pushed:
    """A recording that keeps the samples that it was given."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.samples = np.empty(0, np.float32)

    def push(self, samples: np.ndarray) -> None:
        self.samples = np.concatenate([self.samples, samples])

    def commit(self, **_: Any) -> None:
        pass

    def close(self) -> None:
        pass


def _committed_and_heard(
    heard: Running, monkeypatch: pytest.MonkeyPatch, play: Any
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Samples of the turns of a session, and those that the model was given for them. `play` gives,
    step by step, what the session answers."""
    monkeypatch.setattr(hearing, "LiveRecording", _Pushed)
    live = session()
    listening = hearing.TurnHearing(live, heard.service, "key")
    found = []
    for outcomes in play(live):
        for one in outcomes:
            if isinstance(one, CommittedTurn):
                listening.commit(one)
                recording: Any = listening.recording(one.item_id)
                found.append((one.samples, recording.samples))
        listening.follow()
    return found


RAW = {"type": "audio/pcm", "rate": 16_000}


def test_a_commit_that_is_refused_changes_nothing_of_what_is_heard(
    heard: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = speech((2.05, 0.1), rate=16_000)

    def play(live: RealtimeSession) -> Iterator[list[Any]]:
        yield update(live, turn_detection=None, format=RAW)
        yield append(live, sound[:1600])
        (refused,) = receive(live, "input_audio_buffer.commit")
        assert refused["error"]["code"] == "input_audio_buffer_commit_empty"
        yield [refused]
        yield append(live, sound[1600:])
        yield receive(live, "input_audio_buffer.commit")

    ((committed, given_to_model),) = _committed_and_heard(heard, monkeypatch, play)
    assert len(committed) == len(sound) // 2
    assert np.array_equal(committed, given_to_model)


@pytest.mark.parametrize("told", [False, True])
def test_what_is_heard_of_a_turn_is_what_detection_found_of_it(
    heard: Running, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    def play(live: RealtimeSession) -> Iterator[list[Any]]:
        if told:  # its beginning, so that the item keeps its id
            yield append(live, speech((0.5, 0), (0.5, 0.1)))
        yield update(live, turn_detection=None, format=RAW)
        yield append(live, speech((3, 0), rate=16_000))
        yield update(live, turn_detection={"type": "server_vad"})
        yield append(live, speech((0.5, 0), (4, 0.1), rate=16_000))
        yield append(live, speech((1, 0), rate=16_000))

    turns = _committed_and_heard(heard, monkeypatch, play)
    assert len(turns) == 1 + told
    for committed, given_to_model in turns:
        assert np.array_equal(committed, given_to_model)
