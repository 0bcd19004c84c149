"""The whole flow on one page: input -> audio -> windows -> prompt -> engine -> parser -> result.

Any number of inputs and tasks go through one queue, so that the engine can batch them whatever
they are; no more than a few batches of audio are in memory at a time, however long the inputs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

import numpy as np

from moss_audio.engine.base import Engine, Generation, GenerationOptions, Request
from moss_audio.errors import AudioError, MossAudioError
from moss_audio.longform import WARN_SILENT, Span, Window, is_silent, join, windows
from moss_audio.recordings import Audio, AudioInput, audio_duration, stream_audio
from moss_audio.result import Result
from moss_audio.tasks.base import WARN_LOOP, Task
from moss_audio.units import HOP_SAMPLES, SAMPLE_RATE, TOKENS_PER_SECOND

MAX_CLIP_S = 300.0  # a longer recording is walked in windows
_BLOCK_S = 30.0
_QUEUE_BATCHES = 4  # batches of windows that are sorted together

Progress = Callable[[float, float | None], None]
OnError = Literal["raise", "return"]

# The longest answer worth waiting for: (fixed, a second of audio) tokens. Fast speech has 5 words
# a second; a word with its two stamps takes about 14 tokens. Anything longer is a runaway.
_ANSWER_TOKENS = {
    "transcribe": (32, 14.0),
    "transcribe_sentence": (64, 20.0),
    "transcribe_word": (64, 70.0),
    "events": (256, 8.0),
}
_OTHER_TOKENS, _THINKING_TOKENS = 512, 4096


@dataclass(frozen=True)
class Job:
    """What is done with every input.

    Attributes:
        tasks: each answered for every input.
        options: how to decode; where `bounded`, its max_new_tokens gives way to a bound that
            follows the clip's duration.
        window_s: walk longer recordings in windows of this; None puts the whole into one prompt.
        limit_s: the longest recording that one prompt can hold.
        skip_silence: silence gives an empty result without asking the model.
        start, end: the part of each input in seconds.
        sample_rate: Hz of inputs that are bare arrays.
        refine: called with each parsed answer and its window `[n]`; gives the result to keep.
    """

    tasks: tuple[Task[Any], ...]
    options: GenerationOptions = field(default_factory=GenerationOptions)
    bounded: bool = True
    window_s: float | None = MAX_CLIP_S
    limit_s: float = MAX_CLIP_S
    skip_silence: bool = False
    start: float | None = None
    end: float | None = None
    sample_rate: int | None = None
    refine: Callable[[Any, np.ndarray], Any] | None = None


def run(
    engine: Engine,
    inputs: Sequence[AudioInput],
    job: Job,
    *,
    batch_size: int = 8,
    on_error: OnError = "raise",
    progress: Progress | None = None,
) -> list[list[Result] | MossAudioError]:
    """Do a job on inputs.

    Args:
        batch_size: of the engine; the queue holds a few batches.
        on_error: "raise" stops at the first bad input; "return" puts its error in its place.
        progress: called with the seconds of audio that are done, and those that there are
            (None where some input does not know its length).

    Returns:
        For each input, in order, a result for each task, or its error.
    """
    if on_error not in ("raise", "return"):
        raise MossAudioError(f"on_error={on_error!r}: give 'raise' or 'return'")
    prompts = [task.prompt for task in job.tasks]  # a bad question shows before anything runs
    states = [_Input(x, len(prompts)) for x in inputs]
    report = _Report(progress, inputs, job)
    items = _items(engine, states, job, prompts, on_error)
    while chunk := list(islice(items, _QUEUE_BATCHES * batch_size)):
        asked = [(item, item.request) for item in chunk if item.request is not None]
        report.add(sum(item.span.duration_s for item in chunk if item.request is None))
        answers = iter(
            engine.generate(
                [request for _, request in asked],
                lambda index, _, asked=asked: report.add(asked[index][0].span.duration_s),  # type: ignore[misc]
            )
        )
        for item in chunk:
            task, duration_s = job.tasks[item.task], item.span.duration_s
            if item.request is None:
                result = task.parse("", duration_s)
            else:
                result = _read(task, next(answers), duration_s)
                if job.refine is not None and item.samples is not None:
                    result = job.refine(result, item.samples)
            item.input.parts[item.task].append((item.span, result))
    return [_finish(state, job) for state in states]


class _Input:
    """One input on its way through the queue."""

    def __init__(self, x: AudioInput, n_tasks: int) -> None:
        self.x = x
        self.parts: list[list[tuple[Span, Result]]] = [[] for _ in range(n_tasks)]
        self.warnings: Sequence[str] = ()
        self.error: MossAudioError | None = None
        self.silent = True


@dataclass(frozen=True, eq=False)
class _Item:
    """A task on a window; `request` is None for silence."""

    input: _Input
    task: int
    span: Span
    request: Request | None
    samples: np.ndarray | None = None  # kept only for `Job.refine`


class _Report:
    """Calls `progress` with the audio done so far; an input with two tasks is done after both."""

    def __init__(self, progress: Progress | None, inputs: Sequence[AudioInput], job: Job) -> None:
        self._progress = progress
        self._n_tasks = len(job.tasks)
        self._done_s = 0.0
        self._total_s = None if progress is None else _total_seconds(inputs, job)

    def add(self, seconds: float) -> None:
        if self._progress is None or not seconds:
            return
        self._done_s += seconds / self._n_tasks
        # a container's stated length may be a little off
        total_s = None if self._total_s is None else max(self._total_s, self._done_s)
        self._progress(self._done_s, total_s)


def _items(
    engine: Engine, states: Sequence[_Input], job: Job, prompts: Sequence[str], on_error: OnError
) -> Iterator[_Item]:
    for state in states:
        try:
            for window, single in _windows(state, job):
                silent = job.skip_silence and is_silent(window.samples)
                state.silent = state.silent and silent
                for index, prompt in enumerate(prompts):
                    request = None
                    if not silent:
                        options = _bounded(job, job.tasks[index].name, window.span.duration_s)
                        request = Request.question(
                            prompt, window.samples, options=options, reuse=single
                        )
                        engine.check(request)
                    kept = None if job.refine is None else window.samples
                    yield _Item(state, index, window.span, request, kept)
        except MossAudioError as error:
            if on_error == "raise":
                raise
            state.error = error


def _windows(state: _Input, job: Job) -> Iterator[tuple[Window, bool]]:
    """Windows of an input, each with whether it is the whole input."""
    end = job.end
    if job.window_s is None:
        # a second more than a prompt can hold is enough to know that it is too long
        most = (job.start or 0.0) + job.limit_s + 1.0
        end = most if end is None else min(end, most)
    rate = job.sample_rate if isinstance(state.x, np.ndarray) else None
    with stream_audio(
        state.x, block_s=_BLOCK_S, start=job.start, end=end, sample_rate=rate
    ) as stream:
        state.warnings = stream.warnings
        if job.window_s is None:
            found: Iterable[Window] = [Window(np.concatenate([*stream]), 0.0)]
        else:
            found = windows(stream, job.window_s)
        held: Window | None = None
        for window in found:
            if held is not None:
                yield held, False
            held = window
        if held is None:
            return
        alone = held.start_s == 0.0
        if alone and job.window_s is None and held.span.duration_s > job.limit_s:
            raise AudioError(
                f"{stream.source} is longer than the {job.limit_s:.0f} s that fit into one prompt "
                "of this checkpoint: give start and end"
            )
        if len(held.samples) >= HOP_SAMPLES:
            yield held, alone
        elif alone:
            raise AudioError(
                f"{stream.source} is {held.span.duration_s:.4f} s long, too short for an audio "
                f"token: give at least {HOP_SAMPLES / SAMPLE_RATE:g} s"
            )


def _bounded(job: Job, task_name: str, duration_s: float) -> GenerationOptions:
    if not job.bounded:
        return job.options
    fixed, per_second = _ANSWER_TOKENS.get(task_name, (_OTHER_TOKENS, 0.0))
    bound = fixed + round(per_second * duration_s)
    if job.options.thinking or (job.options.thinking_budget and task_name == "ask"):
        bound += job.options.thinking_budget or _THINKING_TOKENS
    return replace(job.options, max_new_tokens=bound)


def _read(task: Task[Any], generation: Generation, duration_s: float) -> Any:
    """The parsed answer, with a warning where the engine ended it."""
    result = task.parse(generation.text, duration_s)
    notes: tuple[str, ...] = ()
    if generation.finish_reason == "length":
        notes = (f"the answer was cut after {len(generation.token_ids)} tokens",)
    elif generation.finish_reason == "repetition" and WARN_LOOP not in result.warnings:
        notes = (WARN_LOOP,)
    return replace(result, warnings=(*result.warnings, *notes)) if notes else result


def _finish(state: _Input, job: Job) -> list[Result] | MossAudioError:
    if state.error is not None:
        return state.error
    notes = tuple(state.warnings)
    if job.skip_silence and state.silent:
        notes += (WARN_SILENT,)
    results = [join(parts) for parts in state.parts]
    return [replace(result, warnings=(*notes, *result.warnings)) for result in results]


def _total_seconds(inputs: Sequence[AudioInput], job: Job) -> float | None:
    """Seconds of all inputs; None where that cannot be known without reading an input twice."""
    total = 0.0
    for x in inputs:
        cheap = isinstance(x, Audio | bytes | np.ndarray | tuple) or os.path.isfile(str(x))
        if not cheap:
            return None
        try:
            if isinstance(x, np.ndarray):
                x = (x, job.sample_rate or SAMPLE_RATE)
            duration = audio_duration(x)
        except AudioError:
            continue  # it is reported when its turn comes
        if duration is None:
            return None
        end = duration if job.end is None else min(job.end, duration)
        total += max(0.0, end - (job.start or 0.0))
    return total


def prompt_limit_s(max_positions: int | None) -> float:
    """Seconds of audio that one prompt holds, with room for markers, text and an answer."""
    if max_positions is None:
        return MAX_CLIP_S
    # a tenth more than the audio tokens is room for time markers
    return max(10.0, (max_positions * 0.9 - 256) / (TOKENS_PER_SECOND * 1.1))


__all__ = ["MAX_CLIP_S", "Job", "Progress", "prompt_limit_s", "run"]
