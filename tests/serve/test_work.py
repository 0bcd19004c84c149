"""What the work of one request leaves in the engine."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Generator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from moss_audio.engine import Request
from moss_audio.engine.local import LocalEngine
from moss_audio.serve.work import Job, MeteredEngine, WorkThreads
from moss_audio.testing.tokenizer import tiny_prompt_spec
from tests.engine.conftest import noise
from tests.engine.fake_runner import TOKENIZER, FakeRunner
from tests.serve.conftest import wait_for


@pytest.mark.parametrize("keep", [True, False])
def test_a_hypothesis_leaves_nothing_behind(keep: bool) -> None:
    """There is one every second of speech, each about a clip that nobody asks about again: they
    would drive out what is asked about."""
    engine = LocalEngine(FakeRunner(), TOKENIZER, tiny_prompt_spec())
    MeteredEngine(engine, "key", keep=keep).generate([Request.question("u", noise(0.5))])
    assert engine.scheduler.stats().prefixes == keep
    engine.close()


class Sound:
    """Something large that remembers what has ended it, as a live clip does."""

    error: BaseException | None = None


def test_what_stopped_work_was_about_is_free_at_once() -> None:
    """The error's frames held the sound, and the sound the error; the thread held the last job.
    Such circles stay until Python looks for them: in a server after hundreds of clients."""
    engine = LocalEngine(FakeRunner(), TOKENIZER, tiny_prompt_spec())
    threads = WorkThreads(1)
    sounds: list[weakref.ref[Sound]] = []

    def begin() -> Job:
        sound = Sound()
        sounds.append(weakref.ref(sound))

        def work(_: MeteredEngine) -> Generator[Any, None, None]:
            sound.error = CancelledError()
            yield "a piece"
            raise sound.error

        return Job(MeteredEngine(engine, "key"), work, lambda job: None)

    async def read(*, until_end: bool) -> None:
        job = begin()
        threads.start(job)
        if not until_end:
            return
        with pytest.raises(CancelledError):
            _ = [item async for item in job.items()]

    gc.collect()
    gc.disable()
    try:
        asyncio.run(read(until_end=True))
        asyncio.run(read(until_end=False))
        wait_for(lambda: all(sound() is None for sound in sounds))
    finally:
        gc.enable()
        threads.close(5.0)
        engine.close()
