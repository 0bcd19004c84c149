"""From inputs to results: windows, silence, order, errors, memory; the engine only counts."""

from __future__ import annotations

import tracemalloc
import wave
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.engine import Generation, GenerationOptions, Request
from moss_audio.engine.base import TokenLogprob
from moss_audio.errors import AudioError, MossAudioError
from moss_audio.listen import AnswerStream, Query, listen
from moss_audio.longform import cut_point, is_silent, windows
from moss_audio.model.known_speech import KnownSpeech
from moss_audio.result import Event, Timeline, Transcript
from moss_audio.tasks import get_task

RATE = 16_000


class CountingEngine:
    """Answers with the clip's length in milliseconds; remembers what it was asked."""

    batch_size, max_positions = 8, None
    window_s: float | None = 4.0
    thinks = False

    def __init__(self, reason: str = "stop", answer: str | None = None) -> None:
        self.requests: list[Request] = []
        self.queues: list[int] = []
        self.reason, self.answer = reason, answer
        self.task_windows_s: dict[str, float] = {}

    def check(self, request: Request) -> int:
        return 1

    def generate(
        self,
        requests: Sequence[Request],
        on_result: Callable[[int, Generation], None] | None = None,
    ) -> list[Generation]:
        self.queues.append(len(requests))
        answers = []
        for index, request in enumerate(requests):
            # the samples are not kept: a long recording must not stay in memory
            n_samples = sum(len(clip) for clip in request.clips)
            self.requests.append(Request(request.messages, (), request.options, request.reuse))
            text = self.answer or f"w{n_samples // 16}"
            answers.append(Generation(text, (1,), self.reason, 1))  # type: ignore[arg-type]
            if on_result is not None:
                on_result(index, answers[-1])
        return answers

    def stream(self, request: Request) -> Any:
        raise NotImplementedError

    encode = open = stream


def tone(seconds: float, level: float = 0.1) -> np.ndarray:
    t = np.arange(round(RATE * seconds)) / RATE
    return (level * np.sin(2 * np.pi * 440 * t)).astype(np.float32)


def speech_like(*pieces: tuple[float, float]) -> np.ndarray:
    """Tones of so many seconds, each followed by a pause."""
    return np.concatenate(
        [part for on, off in pieces for part in (tone(on), np.zeros(round(RATE * off), np.float32))]
    )


def transcribe(engine: Any, inputs: list[Any], **changes: Any) -> Any:
    names = ("on_error", "progress", "parts")
    outer = {name: changes.pop(name) for name in names if name in changes}
    task = get_task("transcribe", timestamps=changes.pop("timestamps", None))
    settings = {"sample_rate": RATE, **changes}
    queries = [Query((x,), (task,), **settings) for x in inputs]
    return [heard.error or heard.result for heard in listen(engine, queries, **outer)]


# ------------------------------------------------------------------------------------- windows


@given(seconds=st.floats(0.01, 31), block_s=st.floats(0.05, 40), window_s=st.floats(3, 12))
def test_windows_join_to_the_samples_and_none_is_too_long(
    seconds: float, block_s: float, window_s: float
) -> None:
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(max(1, round(RATE * seconds))).astype(np.float32)
    size = max(1, round(RATE * block_s))
    blocks = [samples[i : i + size] for i in range(0, len(samples), size)]
    found = list(windows(blocks, window_s))
    assert np.array_equal(np.concatenate([w.samples for w in found]), samples)
    position = 0
    for window in found:
        assert window.start_s == position / RATE
        assert 0 < len(window.samples) <= round(RATE * window_s)
        position += len(window.samples)
    if len(found) > 1:
        # no crumb at the end that a model would have to guess about
        assert min(len(w.samples) for w in found) >= 0.99 * RATE


def test_cuts_fall_into_pauses() -> None:
    samples = speech_like((3.0, 0.4), (3.1, 0.4), (2.5, 0.4), (3.3, 0.4))
    found = list(windows([samples], 4.0))
    pauses = [(3.0, 3.4), (6.5, 6.9), (9.4, 9.8)]
    assert len(found) == 4
    for window, (start, end) in zip(found[1:], pauses, strict=True):
        assert start <= window.start_s <= end


def test_the_cut_is_the_last_of_equally_quiet_places() -> None:
    samples = np.zeros(10 * RATE, np.float32)
    assert cut_point(samples, 4 * RATE, 9 * RATE) > 8 * RATE


def test_a_window_must_be_of_use() -> None:
    with pytest.raises(MossAudioError, match=r"window_s=1\.0: give seconds, 3 or more"):
        list(windows([tone(1)], 1.0))


def test_silence_is_told_from_quiet_speech() -> None:
    dither = np.random.default_rng(0).integers(-1, 2, 3 * RATE).astype(np.float32) / 32768
    assert is_silent(dither)
    assert is_silent(np.zeros(100, np.float32))
    assert is_silent(np.zeros(0, np.float32))
    quiet = np.concatenate([dither, tone(0.1, level=0.002)])  # -57 dBFS for a tenth of a second
    assert not is_silent(quiet)


# ---------------------------------------------------------------------------------------- flow


def test_windows_of_all_inputs_share_a_queue_and_come_back_in_order() -> None:
    engine = CountingEngine()
    inputs = [tone(9.0), tone(0.5), tone(5.0)]
    results = transcribe(engine, inputs)
    assert engine.queues == [3 + 1 + 2]
    lengths = [sum(int(word[1:]) for word in result.text.split()) for result in results]
    assert lengths == pytest.approx([9000, 500, 5000], abs=3)
    assert [result.duration for result in results] == pytest.approx([9.0, 0.5, 5.0])
    assert [len(result.raw.splitlines()) for result in results] == [3, 1, 2]


def test_only_a_whole_input_is_worth_reusing() -> None:
    engine = CountingEngine()
    transcribe(engine, [tone(2.0), tone(6.0)])
    assert [request.reuse for request in engine.requests] == [True, False, False]


def test_silence_is_empty_and_the_model_is_not_asked() -> None:
    engine = CountingEngine()
    silent, mixed = transcribe(
        engine, [np.zeros(9 * RATE, np.float32), speech_like((3.2, 8.0), (2.0, 0.0))]
    )
    assert silent.text == "" and silent.duration == pytest.approx(9.0)  # noqa: PT018
    assert any("silent" in warning for warning in silent.warnings)
    assert not any("silent" in warning for warning in mixed.warnings)
    assert len(engine.requests) == len(mixed.text.split()) < len(mixed.raw.split("\n"))


def test_the_bound_on_an_answer_follows_the_duration_unless_given() -> None:
    engine = CountingEngine()
    transcribe(engine, [tone(1.0), tone(3.0)])
    short, long = (request.options.max_new_tokens for request in engine.requests)
    assert 32 < short < long < 100
    engine = CountingEngine()
    given = GenerationOptions(max_new_tokens=7)
    transcribe(engine, [tone(1.0)], options=given, bounded=False)
    assert engine.requests[0].options.max_new_tokens == 7


@pytest.mark.parametrize(
    ("reason", "said"), [("length", "cut after"), ("repetition", "repetition")]
)
def test_an_answer_that_the_engine_ended_says_so(reason: str, said: str) -> None:
    result = transcribe(CountingEngine(reason, "some words"), [tone(1.0)])[0]
    assert any(said in warning for warning in result.warnings)


def test_runaway_repetition_is_cut_and_flagged() -> None:
    result = transcribe(CountingEngine("length", "so it goes " * 40), [tone(1.0)])[0]
    assert result.text == "so it goes"
    assert any("repetition" in warning for warning in result.warnings)


def test_a_bad_input_raises_or_takes_its_place(tmp_path: Path) -> None:
    bad = tmp_path / "notes.txt"
    bad.write_text("not audio")
    with pytest.raises(AudioError, match=r"notes\.txt"):
        transcribe(CountingEngine(), [tone(1.0), bad], on_error="raise")
    first, error, crumb, last = transcribe(
        CountingEngine(), [tone(1.0), bad, tone(0.005), tone(2.0)]
    )
    assert (first.text, last.text) == ("w1000", "w2000")
    assert isinstance(error, AudioError)
    assert "too short" in str(crumb)
    with pytest.raises(MossAudioError, match="on_error"):
        transcribe(CountingEngine(), [], on_error="ignore")


def ask(engine: Any, *clips: Any, **changes: Any) -> Any:
    query = Query(clips, (get_task("ask", question="what?"),), sample_rate=RATE, **changes)
    (heard,) = listen(engine, [query])
    return heard.result


def test_one_prompt_refuses_what_does_not_fit() -> None:
    engine = CountingEngine()
    engine.max_positions = 430  # room for 10 s
    assert ask(engine, tone(10.0)).text == "w10000"
    assert ask(engine, tone(2.0), tone(3.0)).text == "w5000"
    with pytest.raises(AudioError, match="longer than the 10 s"):
        ask(engine, tone(10.1))
    with pytest.raises(AudioError, match="with 1 more, is longer than the 10 s"):
        ask(engine, tone(5.0), tone(5.1))
    with pytest.raises(AudioError, match="too short"):
        ask(engine, tone(5.0), tone(0.005))


def test_one_prompt_tells_where_it_is_longer_than_what_was_trained_on() -> None:
    engine = CountingEngine()
    assert ask(engine, tone(4.0)).warnings == ()
    (told,) = ask(engine, tone(2.0), tone(3.0)).warnings
    assert told.startswith("5 s in one prompt: the model was trained on clips of up to 4 s and may")
    engine.task_windows_s = {"ask": 6.0}
    assert ask(engine, tone(5.0)).warnings == ()
    engine.window_s, engine.task_windows_s = None, {}  # nobody says
    assert ask(engine, tone(5.0)).warnings == ()


def test_tasks_have_windows_of_their_own() -> None:
    def windows_of(*tasks: str, **windows_s: float) -> int:
        engine = CountingEngine()
        engine.task_windows_s = windows_s
        query = Query((tone(10.0),), tuple(map(get_task, tasks)), sample_rate=RATE)
        list(listen(engine, [query]))
        return len(engine.requests) // len(tasks)

    assert windows_of("events") == windows_of("transcribe") == windows_of("caption", events=8) == 3
    assert windows_of("events", events=8.0) == 2
    assert windows_of("events", events=30.0, ask=3.0) == 1
    # heard together they share the shorter ones
    assert windows_of("events", "transcribe", events=30.0) == 3
    assert windows_of("events", "caption", events=30.0, caption=8.0) == 2


def test_a_task_that_walks_in_windows_takes_one_clip() -> None:
    (heard,) = listen(CountingEngine(), [Query((), (get_task("caption"),))])
    assert "give one clip, not 0" in str(heard.error)


def test_text_alone_is_asked_about_like_a_clip() -> None:
    calls: list[Any] = []
    engine = CountingEngine("length", "words")
    (heard,) = listen(
        engine,
        [Query((), (get_task("ask", question="who are you?"),))],
        progress=lambda *seconds: calls.append(seconds),
    )
    assert heard.result.text == "words"
    assert "cut after" in heard.result.warnings[0]
    assert calls == [(0.0, 0.0)]
    assert engine.requests[0].options.max_new_tokens == 512


@pytest.mark.parametrize(
    ("thinks", "options", "room"),
    [
        (False, {}, 0),
        (True, {}, 4096),  # it thinks by habit, and its answer must not be cut inside the thought
        (True, {"thinking": False}, 0),
        (True, {"thinking_budget": 100}, 100),
        (False, {"thinking": True}, 4096),
        (False, {"thinking": True, "thinking_budget": 100}, 100),
    ],
)
def test_thought_has_room_beside_the_answer(thinks: bool, options: Any, room: int) -> None:
    engine = CountingEngine()
    ask(engine, tone(1.0))
    engine.thinks = thinks
    ask(engine, tone(1.0), options=GenerationOptions(**options))
    plain, other = (request.options.max_new_tokens for request in engine.requests)
    assert other - plain == room


def test_progress_counts_seconds_of_audio() -> None:
    calls: list[tuple[float, float | None]] = []
    transcribe(
        CountingEngine(),
        [tone(9.0), np.zeros(RATE, np.float32)],
        progress=lambda done, total: calls.append((done, total)),
    )
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1] == (pytest.approx(10.0), pytest.approx(10.0))


def test_several_tasks_share_the_reading_of_an_input() -> None:
    engine = CountingEngine()
    tasks = tuple(get_task("ask", question=question) for question in ("a?", "b?"))
    queries = [Query((tone(seconds),), tasks, sample_rate=RATE) for seconds in (1.0, 2.0)]
    rows = [heard.results for heard in listen(engine, queries)]
    assert [[answer.text for answer in row] for row in rows] == [["w1000"] * 2, ["w2000"] * 2]  # type: ignore[union-attr]
    assert engine.queues == [4]


class RefusingEngine(CountingEngine):
    """Breaks down over clips of two seconds."""

    def generate(self, requests: Sequence[Request], on_result: Any = None) -> list[Generation]:
        if any(len(clip) == 2 * RATE for request in requests for clip in request.clips):
            raise MossAudioError("no room for that")
        return super().generate(requests, on_result)


def test_a_batch_that_fails_is_tried_one_by_one() -> None:
    engine = RefusingEngine()
    first, error, last = transcribe(engine, [tone(1.0), tone(2.0), tone(3.0)])
    assert (first.text, str(error), last.text) == ("w1000", "no room for that", "w3000")
    with pytest.raises(MossAudioError, match="no room"):
        transcribe(engine, [tone(1.0), tone(2.0)], on_error="raise")


class FirstOnlyEngine(CountingEngine):
    """Answers one request, and no more."""

    def generate(self, requests: Sequence[Request], on_result: Any = None) -> list[Generation]:
        if self.requests or len(requests) > 1:
            raise MossAudioError("no room for that")
        return super().generate(requests, on_result)


def test_a_window_that_fails_is_named_by_its_second() -> None:
    query = Query((tone(7.0),), (get_task("transcribe"),), start=1.0, sample_rate=RATE)
    part, failed = listen(FirstOnlyEngine(), [query], parts=True)
    second = f"{1.0 + part.result.duration:g} s"
    assert str(failed.error) == (
        f"no room for that (at {second}: to go on from there, give it as the start)"
    )


class LateRefusingEngine(CountingEngine):
    """Answers what it can, then says that a clip of two seconds is too much."""

    def generate(self, requests: Sequence[Request], on_result: Any = None) -> list[Generation]:
        good = [i for i, one in enumerate(requests) if len(one.clips[0]) != 2 * RATE]
        found = super().generate(
            [requests[i] for i in good], lambda i, answer: on_result(good[i], answer)
        )
        if len(good) < len(requests):
            raise MossAudioError("no room for that")
        return found


def test_what_a_failed_batch_answered_is_not_asked_again() -> None:
    engine, done_s = LateRefusingEngine(), []
    inputs = [tone(1.0), tone(2.0), tone(3.0)]
    first, error, last = transcribe(
        engine, inputs, progress=lambda done, total: done_s.append(done)
    )
    assert (first.text, str(error), last.text) == ("w1000", "no room for that", "w3000")
    assert len(engine.requests) == 2
    assert done_s == [1.0, 4.0]


def test_results_come_before_later_asks_are_looked_at() -> None:
    asked: list[int] = []

    def queries() -> Any:
        for index in range(100):
            asked.append(index)
            yield Query((tone(0.5),), (get_task("transcribe"),), sample_rate=RATE)

    found = listen(CountingEngine(), queries())
    assert next(found).index == 0
    assert len(asked) <= 4 * 8
    assert [heard.index for heard in found] == list(range(1, 100))


def test_parts_of_a_long_recording_come_as_they_are_known() -> None:
    engine = CountingEngine(answer="[0.50]so[1.00]")
    task = get_task("transcribe", timestamps="sentence")
    read: list[float] = []
    query = Query((tone(60.0),), (task,), sample_rate=RATE)
    seen = []
    for heard in listen(engine, [query], parts=True):
        seen.append(heard)
        read.append(sum(engine.queues))
    assert read[0] == 1  # before anything else was asked
    *parts, whole = seen
    assert not any(part.done for part in parts)
    assert whole.done
    assert whole.results[0].segments == tuple(s for part in parts for s in part.results[0].segments)  # type: ignore[union-attr]
    assert parts[-1].results[0].duration == whole.results[0].duration == pytest.approx(60.0)  # type: ignore[union-attr]
    # A short recording has no parts, and neither has a timeline, whose events a cut may divide.
    assert [h.done for h in listen(engine, [replace(query, clips=(tone(1.0),))], parts=True)]
    events = replace(query, tasks=(get_task("events"),))
    assert [heard.done for heard in listen(engine, [events], parts=True)] == [True]


class WritingEngine(CountingEngine):
    """Streams its answer by characters."""

    def stream(self, request: Request) -> Any:
        self.requests.append(request)
        yield from self.answer or ""
        return Generation(self.answer or "", (1, 2, 3), "length", 1)


def test_a_stream_is_bounded_and_says_that_it_was_cut(tmp_path: Path) -> None:
    engine = WritingEngine(answer="a dog")
    calls: list[Any] = []
    query = Query((tone(1.0),), (get_task("ask", question="what?"),), sample_rate=RATE)
    stream = AnswerStream(engine, query, progress=lambda *seconds: calls.append(seconds))
    assert "".join(stream) == stream.result.text == "a dog"
    assert stream.result.warnings == ("the answer was cut after 3 tokens",)
    assert calls == [(1.0, 1.0)]
    engine.thinks = True
    list(AnswerStream(engine, query))
    assert [r.options.max_new_tokens for r in engine.requests] == [512, 512 + 4096]
    missing = replace(query, clips=(tmp_path / "gone.wav",))
    with pytest.raises(AudioError, match="no such file"):
        AnswerStream(engine, missing)
    stream = AnswerStream(engine, missing, on_error="return")
    assert list(stream) == []
    assert "no such file" in str(stream.error)


def test_a_long_file_needs_no_long_memory(tmp_path: Path) -> None:
    peaks = []
    for minutes in (2, 12):
        path = tmp_path / f"{minutes}.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            second = (tone(1.0) * 32767).astype("<i2").tobytes()
            for _ in range(60 * minutes):
                file.writeframesraw(second)
        engine = CountingEngine()
        engine.window_s, engine.batch_size = 15.0, 1
        tracemalloc.start()
        result = transcribe(engine, [path])[0]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert result.duration == pytest.approx(60 * minutes, abs=0.01)
    assert peaks[1] < 1.3 * peaks[0]


# ------------------------------------------------------------------------------------- joining


def test_transcripts_are_shifted_and_joined() -> None:
    task = get_task("transcribe", timestamps="word")
    parts = [
        (0.0, task.parse("[0.50]hello[1.00]", 4.0)),
        (4.0, task.parse("", 3.0)),
        (7.0, task.parse("[0.25]world[0.75] [0.80]again", 2.0)),
    ]
    result = task.join(parts)
    assert isinstance(result, Transcript)
    assert result.text == "hello world again"
    assert [round(word.start, 2) for word in result.words] == [0.5, 7.25, 7.8]
    assert result.segments[0].start == 0.5
    assert result.duration == 9.0
    assert all(warning.startswith("from 7.00 s: ") for warning in result.warnings)


def test_an_event_that_a_cut_divided_is_one_again() -> None:
    first = Timeline((Event("rain", 1.0, 4.0), Event("dog", 0.5, 1.0)), 4.0, "a")
    second = Timeline((Event("Rain", 0.1, 2.0), Event("dog", 0.0, 1.0)), 4.0, "b")
    result = get_task("events").join([(0.0, first), (4.0, second)])
    assert [(e.label, e.start, e.end) for e in result.events] == [
        ("dog", 0.5, 1.0),
        ("rain", 1.0, 6.0),
        ("dog", 4.0, 5.0),
    ]


def test_captions_of_windows_become_lines_with_times() -> None:
    task = get_task("caption")
    parts = [(0.0, task.parse("Rain.", 70.0)), (70.0, task.parse("A dog.", 5.0))]
    assert task.join(parts).text == "0:00-1:10 Rain.\n1:10-1:15 A dog."
    assert task.join(parts[:1]).text == "Rain."
    assert task.placed(parts[1][1], 70.0).text == "1:10-1:15 A dog."


# ------------------------------------------------------------------- speech that it does not know


class UnsureEngine(CountingEngine):
    """Writes the same words, sure of so many of them."""

    def __init__(self, sure: int, unsure: int) -> None:
        super().__init__()
        self.logprobs = [-0.1] * sure + [-3.0] * unsure

    def generate(self, requests: Sequence[Request], on_result: Any = None) -> list[Generation]:
        text = " ".join(f"{place:02d}" for place in range(len(self.logprobs)))
        tokens = tuple(
            TokenLogprob(1, one, (), 3 * index + 2) for index, one in enumerate(self.logprobs)
        )
        return [
            replace(answer, text=text, logprobs=None if one.options.logprobs is None else tokens)
            for answer, one in zip(super().generate(requests, on_result), requests, strict=True)
        ]


@pytest.mark.parametrize(("sure", "warned"), [(5, True), (6, False)])
def test_unsure_windows_give_one_warning_and_no_figures_that_nobody_asked_for(
    sure: int, warned: bool
) -> None:
    engine, known = UnsureEngine(sure, 5), KnownSpeech("English", 0.6)
    (found,) = transcribe(engine, [tone(10.0)], knows=known)
    assert len(engine.requests) == 3
    assert [one for one in found.warnings if "English" in one] == list(found.warnings)
    assert len(found.warnings) == warned
    assert found.avg_logprob is None
    asked = GenerationOptions(logprobs=0)
    (found,) = transcribe(engine, [tone(10.0)], knows=known, options=asked)
    assert len(found.warnings) == warned
    assert found.avg_logprob is not None


def test_a_checkpoint_that_knows_all_speech_is_not_asked_how_sure_it_was() -> None:
    engine = UnsureEngine(0, 50)
    (found,) = transcribe(engine, [tone(1.0)])
    assert found.warnings == ()
    assert engine.requests[0].options.logprobs is None
