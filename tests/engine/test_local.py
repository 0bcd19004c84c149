"""The engine over a runner that is no model at all: what it asks of one, and in which order."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from moss_audio.engine import GenerationOptions, Request
from moss_audio.engine.local import LocalEngine
from moss_audio.errors import MossAudioError
from moss_audio.testing.tokenizer import tiny_prompt_spec
from tests.engine.conftest import noise
from tests.engine.fake_runner import END, LETTERS, TOKENIZER, FakeRunner

ROOT = Path(__file__).parents[2]


class CountingRunner(FakeRunner):
    """Rows that write "a" as often as their prompt has clips, then end."""

    max_rows, prefill_tokens, batch_tokens = 3, 100, 1000
    part_tokens = 9

    def next_id(self, held: list[object]) -> int:
        clips = {one[0] for one in held if isinstance(one, tuple)}
        said = 0
        while held[-1 - said] == LETTERS[0]:
            said += 1
        return END if said >= len(clips) else LETTERS[0]


def build(runner: FakeRunner | None = None, **options: Any) -> tuple[LocalEngine, FakeRunner]:
    runner = runner or CountingRunner()
    return LocalEngine(runner, TOKENIZER, tiny_prompt_spec(), **options), runner


def ask(n_clips: int, **options: Any) -> Request:
    clips = [noise(0.8, seed) for seed in range(n_clips)]
    return Request.question("x", *clips, options=GenerationOptions(**options), reuse=False)


def test_rows_leave_as_they_finish_and_others_take_their_place() -> None:
    engine, runner = build()
    done: list[int] = []
    answers = engine.generate([ask(0), ask(2), ask(1), ask(3)], lambda i, _: done.append(i))
    assert [one.text for one in answers] == ["", "aa", "a", "aaa"]
    assert {one.finish_reason for one in answers} == {"stop"}
    assert done == [2, 1, 0, 3]
    # three rows at most: the longest prompts first, and the shortest once one of them is done
    decoded = [len(one) for one in runner.passes if set(one) == {1}]
    assert decoded == [3, 2, 1]
    assert not runner.caches


def test_a_stream_returns_the_whole_answer() -> None:
    engine, _ = build()
    stream = engine.stream(ask(5, max_new_tokens=3))
    assert [next(stream), next(stream), next(stream)] == ["a", "a", "a"]
    with pytest.raises(StopIteration) as end:
        next(stream)
    assert end.value.value.text == "aaa"
    assert end.value.value.finish_reason == "length"


def test_a_session_holds_its_clip_until_it_is_closed_or_dropped() -> None:
    engine, runner = build(reuse_bytes=0)
    with engine.open(noise(0.1)) as session:
        assert session.ask("x").text == "a"
        assert len(runner.caches) == 1
    engine.scheduler.call(lambda: None)
    assert not runner.caches
    engine.open(noise(0.1))  # nobody keeps it
    gc.collect()
    engine.scheduler.call(lambda: None)
    assert not runner.caches


def test_thinking_needs_a_tokenizer_that_can() -> None:
    runner = CountingRunner()
    assert LocalEngine(runner, TOKENIZER, tiny_prompt_spec(), thinks=True).thinks
    assert not LocalEngine(runner, TOKENIZER, tiny_prompt_spec()).thinks


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_tokens": 0}])
def test_an_impossible_batch_is_named(options: dict[str, int]) -> None:
    with pytest.raises(MossAudioError, match=f"{next(iter(options))}=0"):
        build(**options)


class Endless(FakeRunner):
    """Never ends, and tells when it is at it."""

    max_positions = 100_000

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.at_it = threading.Event()

    def next_id(self, held: list[object]) -> int:
        self.steps += 1
        if self.steps > 20:
            self.at_it.set()
        return LETTERS[0]


def left_by(engine: LocalEngine, runner: FakeRunner) -> tuple[int, int]:
    engine.scheduler.call(lambda: None)
    return engine.scheduler.stats().rows, len(runner.caches)


def test_an_iterator_that_is_closed_leaves_no_row() -> None:
    engine, runner = build(Endless())
    stream = engine.stream(ask(1, max_new_tokens=50_000))
    assert next(stream)
    stream.close()
    assert left_by(engine, runner) == (0, 0)
    assert engine.scheduler.stats().cancelled == 1


def test_an_exception_of_the_callers_leaves_no_row() -> None:
    engine, runner = build(Endless())

    def refuse(index: int, _: object) -> None:
        raise KeyError(index)

    with pytest.raises(KeyError):
        engine.generate([ask(1, max_new_tokens=1), ask(2, max_new_tokens=50_000)], refuse)
    assert left_by(engine, runner) == (0, 0)


def test_ctrl_c_leaves_no_row() -> None:
    """The caller waits in the main thread, and the model runs in another."""
    runner = Endless()
    engine, _ = build(runner)

    def interrupt() -> None:
        runner.at_it.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        engine.generate([ask(1, max_new_tokens=90_000)])
    assert left_by(engine, runner) == (0, 0)


def scheduler_threads() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if "scheduler" in one.name}


def test_the_thread_begins_with_the_first_request_and_ends_with_its_engine() -> None:
    before = scheduler_threads()  # of engines that earlier tests left behind; they may end
    engine, _ = build()
    assert scheduler_threads() <= before
    engine.generate([ask(1)])
    (thread,) = scheduler_threads() - before
    del engine
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()


def test_a_thread_that_could_not_begin_is_begun_by_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the system had no more, nobody would answer, and all would wait."""
    engine, _ = build()

    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        with pytest.raises(RuntimeError, match="new thread"):
            engine.submit(ask(1))
    assert engine.submit(ask(1)).result(60).token_ids


def test_a_closed_engine_ends_what_is_on_its_way_and_says_so() -> None:
    runner = Endless()
    engine, _ = build(runner)
    handle = engine.submit(ask(1, max_new_tokens=90_000))
    runner.at_it.wait(60)
    engine.close()
    with pytest.raises(MossAudioError, match="closed"):
        handle.result(20)
    with pytest.raises(MossAudioError, match="closed"):
        engine.generate([ask(1)])
    assert not runner.caches


def test_a_forked_process_answers_by_itself() -> None:
    engine, _ = build()
    expected = engine.generate([ask(2)])[0].text
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if engine.generate([ask(2)])[0].text == expected else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert engine.generate([ask(2)])[0].text == expected


IN_THREAD = (
    "engine, handle = main()\nimport threading\n"
    "threading.Thread(target=handle.result, daemon=True).start()\ntime.sleep(0.1)"
)


@pytest.mark.parametrize("kept", ["engine, handle = main()", "main()", IN_THREAD])
def test_the_interpreter_ends_in_the_middle_of_an_answer(kept: str) -> None:
    """A thread that was inside the model while Python took itself apart aborted the process; also
    that of an engine which nobody refers to any more."""
    code = (
        "import time\n"
        "from tests.engine.conftest import build_engine, noise\n"
        "from moss_audio.engine import GenerationOptions, Request\n"
        "def main():\n"
        "    engine = build_engine()\n"
        "    options = GenerationOptions(max_new_tokens=100_000)\n"
        "    handle = engine.submit(Request.question('x', noise(1.0), options=options))\n"
        "    while not engine.scheduler.stats().generated_tokens: time.sleep(0.01)\n"
        "    return engine, handle\n"
        f"{kept}\n"
        "print('end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
