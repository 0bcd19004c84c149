"""Clips that are asked about while they grow: whatever comes when, the answer is that of a file."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.dsp.mel import log_mel
from moss_audio.engine import GenerationOptions, Request
from moss_audio.engine.live import LiveClip, floor_change
from moss_audio.engine.local import LocalEngine
from moss_audio.errors import AudioError, MossAudioError, PromptError
from moss_audio.prompt.markers import expand_clip
from moss_audio.testing.tokenizer import tiny_prompt_spec
from tests.engine.conftest import build_engine, noise
from tests.engine.fake_runner import TOKENIZER, FakeRunner

CHUNK = 64_000  # samples


class ManyPositions(FakeRunner):
    max_rows, prefill_tokens, batch_tokens, max_positions = 2, 64, 2000, 1000
    part_tokens = 7


def build(runner: FakeRunner | None = None) -> tuple[LocalEngine, FakeRunner]:
    runner = runner or ManyPositions()
    return LocalEngine(runner, TOKENIZER, tiny_prompt_spec()), runner


def loudening(seconds: float, seed: int) -> np.ndarray:
    """Noise with quiet stretches, whose largest energy comes late: chunks have to be repaired."""
    samples = noise(seconds, seed)
    rng = np.random.default_rng(seed)
    for first in range(0, len(samples), 8000):
        samples[first : first + 8000] *= 10 ** rng.uniform(-6, 0.5)
    return samples


def told(engine: LocalEngine, clip: Any, question: str = "x") -> Sequence[int]:
    options = GenerationOptions(max_new_tokens=6)
    return engine.generate([Request.question(question, clip, options=options)])[0].token_ids


steps = st.lists(
    st.sampled_from([0, 7, 800, 20_000, 35_000, 64_000, 64_039, 64_040, 66_000, "ask"]), max_size=14
)
lengths = st.one_of(st.integers(160, 70_000), st.integers(100_000, 200_000), st.just(128_000))


def hear(engine: LocalEngine, clip: LiveClip, samples: np.ndarray, plan: Sequence[Any]) -> None:
    """Push all of the samples, and ask now and then."""
    at = 0
    for step in plan:
        if step == "ask":
            if at >= 160:
                with clip.snapshot() as handle:
                    told(engine, handle)
        else:
            clip.push(samples[at : at + step])
            at = min(at + step, len(samples))
    clip.push(samples[at:])


@settings(max_examples=60)
@given(lengths, st.integers(0, 99), steps, st.sampled_from([0, 0, 0.005]))
def test_any_interleaving_gives_the_answer_of_the_file(
    n_samples: int, seed: int, plan: list[Any], tolerance: float
) -> None:
    engine, runner = build()
    samples = loudening(n_samples / 16_000, seed)
    clip = engine.live(tolerance=tolerance)
    hear(engine, clip, samples, plan)
    handle = clip.commit()
    if not tolerance:
        assert told(engine, handle) == told(engine, samples)
        assert handle.key == engine.prompts.clip(samples).key
    else:  # each chunk within the tolerance of the file's
        told(engine, handle)
    clip.close()
    engine.forget()
    engine.scheduler.call(lambda: None)
    assert not runner.caches
    engine.close()


@settings(max_examples=6)
@given(st.integers(30_000, 150_000), st.integers(0, 99), steps)
def test_any_interleaving_gives_the_answer_of_the_file_on_torch(
    shared_engine: Any, n_samples: int, seed: int, plan: list[Any]
) -> None:
    samples = loudening(n_samples / 16_000, seed)
    with shared_engine.live(tolerance=0) as clip:
        hear(shared_engine, clip, samples, plan[:6])
        handle = clip.commit()
        live = [told(shared_engine, handle, question) for question in ("x", "yz")]
    shared_engine.forget()
    assert live == [told(shared_engine, samples, question) for question in ("x", "yz")]


@given(st.integers(1, 400), st.integers(1, 400), st.booleans())
def test_what_a_clip_adds_to_a_prompt_opens_what_a_longer_one_adds(
    n: int, more: int, marked: bool
) -> None:
    digits = range(10) if marked else None
    ids, mask = expand_clip(n, 99, digits)
    longer, longer_mask = expand_clip(n + more, 99, digits)
    assert longer[: len(ids)] == ids
    assert longer_mask[: len(ids)] == mask


def test_only_the_unfinished_chunk_is_left_at_the_end() -> None:
    engine, runner = build()
    clip = engine.live()
    samples = noise(17.0, 1)
    clip.push(samples)
    engine.scheduler.call(lambda: None)
    while engine.scheduler.stats().live_chunks < 4:
        engine.scheduler.call(lambda: None)
    before = len(runner.passes)
    told(engine, clip.commit())
    computed = sum(sum(lengths) for lengths in runner.passes[before:])
    assert computed < 14 + 2 + 40  # a second of sound, the end of the clip, the question, answers
    assert engine.scheduler.stats().repaired_chunks == 0


def test_all_tasks_share_what_is_computed_at_the_commit() -> None:
    engine, runner = build()
    clip = engine.live()
    clip.push(noise(9.0, 2))
    handle = clip.commit()
    told(engine, handle)
    before = len(runner.passes)
    told(engine, handle, "another")
    assert max(runner.passes[before]) < 40
    assert clip.commit() is handle


def test_chunks_that_change_little_are_let_pass_and_the_others_computed_again() -> None:
    samples = noise(9.0, 3) * 0.01
    samples[:2000] *= 1e-3
    samples[140_000] = 1.0
    expected = build()[0]
    file = told(expected, samples)
    repaired = {}
    for tolerance in (0.0, 10.0):
        engine, _ = build()
        clip = engine.live(tolerance=tolerance)
        clip.push(samples[:130_000])
        clip.push(samples[130_000:])
        same = told(engine, clip.commit()) == file
        repaired[tolerance] = engine.scheduler.stats().repaired_chunks
        assert same or tolerance
    assert repaired[0.0] >= 1
    assert repaired[10.0] == 0


def test_the_change_of_a_floor_is_that_of_the_features() -> None:
    samples = loudening(4.0, 5)
    logs = log_mel(samples, 8)
    energies = np.exp((logs - 1.0) / (0.25 / np.log(10.0))).astype(np.float32)
    low, high = 1e-6, 1e-3
    floored = [np.log10(np.maximum(energies, floor)) / 4 for floor in (low, high)]
    mean = float(np.abs(floored[1] - floored[0]).mean())
    assert floor_change(energies, low, high) == pytest.approx(mean, rel=1e-4)
    assert floor_change(energies, high, low) == pytest.approx(mean, rel=1e-4)
    assert floor_change(energies, low, low) == 0.0


@settings(max_examples=25)
@given(st.integers(2000, 150_000), st.integers(0, 20_000), st.integers(0, 99))
def test_a_clip_can_end_before_its_last_sample(n_samples: int, beyond: int, seed: int) -> None:
    engine, _ = build()
    samples = loudening((n_samples + beyond) / 16_000, seed)
    clip = engine.live(tolerance=0)
    clip.push(samples)
    assert told(engine, clip.commit(n_samples)) == told(engine, samples[:n_samples])
    clip.close()
    engine.close()


def test_nothing_is_left_of_a_clip_that_is_closed_or_dropped() -> None:
    engine, runner = build()
    clip = engine.live()
    clip.push(noise(9.0))
    with clip.snapshot() as early:
        told(engine, early)
        assert runner.caches
    assert clip.seconds == 9.0
    handle = clip.commit()
    told(engine, handle)
    clip.close()
    clip.close()
    engine.scheduler.call(lambda: None)
    assert not runner.caches
    assert told(engine, handle) == told(engine, noise(9.0))  # it is computed once more
    engine.live().push(noise(9.0))
    gc.collect()
    engine.forget()
    assert not runner.caches
    assert engine.scheduler.stats().live == 0


def test_a_clip_that_is_closed_while_it_is_committed_is_not_held_for_ever() -> None:
    """Its prefix was held by nobody who could have let it go: 500 clients that left in the middle
    of a turn cost 66 MB."""
    engine, runner = build()
    clip = engine.live()
    clip.push(noise(2.0))
    runner.watch = lambda batch: clip.close()  # the only pass is that of the prefix
    clip.commit()
    engine.scheduler.call(lambda: None)
    assert not runner.caches


def test_a_snapshot_that_is_computed_when_its_clip_is_committed_is_computed_no_further() -> None:
    """The commit waited for it, and where its sequence had gone to the commit, all was computed
    from the beginning."""
    engine, runner = build(FakeRunner())
    clip = engine.live()
    clip.push(noise(3.9))
    begun = threading.Event()
    computed: list[int] = []

    def watch(batch: Any) -> None:
        computed.append(sum(len(piece.ids) for _, piece in batch))
        begun.set()
        if len(computed) == 1:
            assert _soon(lambda: not engine.scheduler._loop.inbox.empty())

    ended: list[BaseException] = []

    def guess() -> None:
        try:
            with clip.snapshot():
                pass
        except BaseException as error:
            ended.append(error)

    runner.watch = watch
    thread = threading.Thread(target=guess)
    thread.start()
    assert begun.wait(10)
    handle = clip.commit()
    thread.join(10)
    assert [type(one) for one in ended] == [CancelledError]
    length = engine.prompts.prompt(Request.question("x", handle)).prefix_length
    assert computed[0] < length  # else nothing was left to do
    assert sum(computed[1:]) == length
    clip.close()
    engine.forget()
    assert not runner.caches


def _soon(what: Any) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(0.001)
    return False


def test_a_failure_ends_one_clip_and_no_other() -> None:
    engine, runner = build()
    bad, good = engine.live(), engine.live()
    good.push(noise(5.0))
    good.commit()

    def fail(batch: Sequence[Any]) -> None:
        raise RuntimeError("out of memory")

    runner.watch = fail
    bad.push(noise(5.0))
    with pytest.raises(RuntimeError, match="out of memory"):
        bad.commit()
    runner.watch = lambda batch: None
    assert told(engine, good.commit()) == told(engine, noise(5.0))
    for clip in (bad, good):
        clip.close()
    engine.forget()
    assert not runner.caches


def test_a_closed_engine_leaves_nobody_waiting() -> None:
    engine, runner = build()
    entered, go_on = threading.Event(), threading.Event()

    def wait(batch: Sequence[Any]) -> None:
        entered.set()
        go_on.wait(10)

    clip = engine.live()
    runner.watch = wait
    clip.push(noise(9.0))
    entered.wait(10)
    raised: list[BaseException] = []

    def commit() -> None:
        try:
            clip.commit()
        except MossAudioError as error:
            raised.append(error)

    waiting = threading.Thread(target=commit)
    waiting.start()
    closing = threading.Thread(target=engine.close)
    closing.start()
    go_on.set()
    for thread in (waiting, closing):
        thread.join(10)
        assert not thread.is_alive()
    assert len(raised) == 1
    with pytest.raises(MossAudioError, match="ended"):
        clip.push(noise(1.0))
    clip.close()
    assert not runner.caches


def test_mistakes_are_told_in_a_line() -> None:
    engine, _ = build()
    with pytest.raises(MossAudioError, match="tolerance=-1"):
        engine.live(tolerance=-1)
    clip = engine.live()
    with pytest.raises(AudioError, match="shape"):
        clip.push(np.zeros((2, 10), np.float32))
    clip.push(np.zeros(100, np.float32))
    with pytest.raises(AudioError, match="100 samples"), clip.snapshot():
        pass
    with pytest.raises(PromptError, match="positions"):
        clip.push(noise(100.0))
    assert clip.seconds == 100 / 16_000
    clip.push(noise(1.0))
    clip.commit()
    with pytest.raises(MossAudioError, match="ended"):
        clip.push(noise(1.0))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_is_told_that_the_clip_is_not_its_own() -> None:
    engine, _ = build()
    clip = engine.live()
    clip.push(noise(1.0))
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            clip.push(noise(1.0))
        except MossAudioError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    told(engine, clip.commit())


def test_seeds_of_random_models_do_not_matter() -> None:
    """Another random model, whose answers differ: what is equal is no accident of the first."""
    engine = build_engine(seed=3)
    samples = loudening(6.0, 1)
    with engine.live(tolerance=0) as clip:
        clip.push(samples)
        assert told(engine, clip.commit()) == told(engine, samples)
    engine.close()
