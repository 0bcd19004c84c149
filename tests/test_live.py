"""A recording that grows is heard as a file is: same windows, same answers, and nothing is left."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.engine.base import Generation, GenerationOptions, TokenLogprob
from moss_audio.engine.local import LocalEngine
from moss_audio.errors import AudioError, MossAudioError
from moss_audio.listen import AnswerStream, Query, listen
from moss_audio.live import LiveRecording, WindowMemory
from moss_audio.longform import WindowCutter, windows
from moss_audio.tasks import get_task
from moss_audio.testing.tokenizer import tiny_prompt_spec
from tests.engine.conftest import noise
from tests.engine.fake_runner import TOKENIZER, FakeRunner

WINDOW_S = 5.0


class ShortWindows(FakeRunner):
    max_rows, prefill_tokens, batch_tokens, max_positions = 2, 64, 2000, 1000


def build() -> tuple[LocalEngine, FakeRunner]:
    runner = ShortWindows()
    return LocalEngine(runner, TOKENIZER, tiny_prompt_spec(), window_s=WINDOW_S), runner


def heard(engine: LocalEngine, x: Any, task: str = "transcribe", **how: Any) -> Any:
    query = Query((x,), (get_task(task, **how),), sample_rate=16_000)
    (one,) = listen(engine, [query])
    return one.result


def moving(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    samples = noise(seconds, seed)
    for first in range(0, len(samples), 4000):
        samples[first : first + 4000] *= 10 ** rng.uniform(-3, 0.5)
    return samples


@settings(max_examples=30)
@given(st.integers(0, 400_000), st.lists(st.integers(1, 60_000), max_size=8), st.integers(0, 9))
def test_windows_are_cut_alike_however_samples_come(n: int, sizes: list[int], seed: int) -> None:
    samples = moving(n / 16_000, seed)
    cutter, found, at = WindowCutter(WINDOW_S), [], 0
    for size in [*sizes, n]:
        found += cutter.push(samples[at : at + size])
        at += size
    found += cutter.finish()
    expected = list(windows([samples] if n else [], WINDOW_S))
    assert [one.start_s for one in found] == [one.start_s for one in expected]
    assert [len(one.samples) for one in found] == [len(one.samples) for one in expected]


@settings(max_examples=25)
@given(
    st.integers(200, 300_000),
    st.lists(st.sampled_from([300, 8000, 40_000, 90_000, "ask"]), max_size=10),
    st.integers(0, 9),
)
def test_what_is_said_live_is_what_is_said_of_the_file(n: int, plan: list[Any], seed: int) -> None:
    samples = moving(n / 16_000, seed)
    engine, runner = build()
    live, at = LiveRecording(engine, WINDOW_S, tolerance=0), 0
    for step in plan:
        if step == "ask":
            if at >= 160:
                heard(engine, live)
        else:
            live.push(samples[at : at + step])
            at = min(at + step, n)
    live.push(samples[at:])
    assert np.array_equal(live.samples, samples)
    live.commit()
    assert live.seconds == n / 16_000
    for task, how in (("transcribe", {}), ("events", {}), ("ask", {"question": "x"})):
        assert heard(engine, live, task, **how) == heard(engine, samples, task, **how)
    stream = AnswerStream(engine, Query((live,), (get_task("transcribe"),)))
    assert "".join(stream).split() == heard(engine, samples).text.split()
    live.close()
    engine.forget()
    assert not runner.caches
    engine.close()


def test_a_window_that_is_over_is_asked_about_once() -> None:
    engine, _ = build()
    live = LiveRecording(engine, WINDOW_S)
    samples = moving(14.0)
    live.push(samples[: 12 * 16_000])
    first = heard(engine, live)
    finished = engine.scheduler.stats().finished
    again = heard(engine, live)
    assert again.text == first.text
    # its snapshot and the open window, which are a request each
    assert engine.scheduler.stats().finished == finished + 1
    live.push(samples[12 * 16_000 :])
    live.commit()
    assert heard(engine, live).text == heard(engine, samples).text


def test_an_answer_with_log_probabilities_is_remembered_for_one_without() -> None:
    memory, plain = WindowMemory(whole=True), GenerationOptions(max_new_tokens=4)
    answer = Generation("so", (7,), "stop", 3, logprobs=(TokenLogprob(7, -0.5, (), 2),))
    memory.add("?", plain.changed(logprobs=0), answer)
    assert memory.answer("?", plain) == replace(answer, logprobs=None)
    assert memory.answer("?", plain.changed(logprobs=0)) is answer
    assert memory.answer("?", plain.changed(logprobs=2)) is None
    assert memory.answer("?", plain.changed(max_new_tokens=5)) is None


def test_sound_beside_sound_in_one_prompt() -> None:
    engine, _ = build()
    live = LiveRecording(engine, WINDOW_S, tolerance=0)
    live.push(noise(2.0, 1))
    task = get_task("ask", question="x")
    both = [Query((live, noise(5.0, 2)), (task,), sample_rate=16_000)]
    files = [Query((noise(2.0, 1), noise(5.0, 2)), (task,), sample_rate=16_000)]
    assert [one.result for one in listen(engine, both)] == [
        one.result for one in listen(engine, files)
    ]


def test_silence_is_not_asked_about() -> None:
    engine, _ = build()
    live = LiveRecording(engine, WINDOW_S)
    live.push(np.zeros(80_000, np.float32))
    assert heard(engine, live).text == ""
    live.push(moving(2.0))
    heard(engine, live)
    assert engine.scheduler.stats().generated_tokens


def test_nothing_stays_of_a_recording_that_is_left_in_the_middle() -> None:
    engine, runner = build()
    live = LiveRecording(engine, WINDOW_S)
    live.push(moving(12.0))
    task = get_task("transcribe")
    stream = AnswerStream(engine, Query((live,), (task,)))
    next(stream)
    del stream
    lazily = listen(engine, [Query((live,), (task,)), Query((live,), (task,))])
    next(lazily)
    lazily.close()
    del live
    gc.collect()
    engine.forget()
    assert not runner.caches


def test_mistakes_are_told_in_a_line() -> None:
    engine, _ = build()
    live = LiveRecording(engine, WINDOW_S)
    with pytest.raises(AudioError, match="shape"):
        live.push(np.zeros((2, 10), np.float32))
    with pytest.raises(AudioError, match="0 samples"):
        heard(engine, live)
    with pytest.raises(MossAudioError, match="start, end"):
        Query((live,), (get_task("transcribe"),), start=1.0)
    live.push(noise(1.0))
    live.commit()
    with pytest.raises(MossAudioError, match="ended"):
        live.push(noise(1.0))


def test_a_server_hears_no_live_sound() -> None:
    class Elsewhere:
        description = "http://there"

    with pytest.raises(MossAudioError, match="http://there"):
        LiveRecording(Elsewhere(), WINDOW_S)


@pytest.mark.parametrize(
    ("tolerance", "guessed"), [(0.0, [False, True, False]), (0.1, [False, True, True])]
)
def test_exact_sound_is_asked_about_without_a_guess(tolerance: float, guessed: list[bool]) -> None:
    """Tokens of a guess are checked several in a pass, which rounds otherwise."""
    engine, _ = build()
    drafts: list[str] = []
    generate = engine.generate

    def watched(requests: Any, *rest: Any) -> Any:
        drafts.extend(request.draft for request in requests)
        return generate(requests, *rest)

    engine.generate = watched  # type: ignore[method-assign]
    live = LiveRecording(engine, WINDOW_S, tolerance=tolerance)
    for _ in range(2):
        live.push(noise(1.0, 1))
        heard(engine, live)
    live.commit()
    heard(engine, live)
    assert [bool(draft) for draft in drafts] == guessed
