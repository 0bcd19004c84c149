"""The one way from asks to results: recordings -> windows -> prompts -> engine -> parser -> result.

`listen` is a lazy generator. It takes asks one after another, of any kind and number, and yields
what becomes of each, in order and as soon as it is known:

    for heard in listen(engine, [Query((x,), (get_task("transcribe"),)) for x in inputs]):
        print(heard.index, heard.error or heard.result)

The API, the command, evaluation and annotation iterate over it (`MossAudio.query` makes the asks
with what a checkpoint is best at, `MossAudio.listen` goes through them). All asks go through one
queue, so that the engine can batch them whatever they are; no more than a few batches of audio are
in memory at a time, however long the recordings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain, count, groupby
from typing import Any, Literal

import numpy as np

from moss_audio.engine.base import ClipLike, Engine, Generation, GenerationOptions, Request
from moss_audio.engine.prompts import EncodedClip, clip_seconds
from moss_audio.errors import AudioError, MossAudioError
from moss_audio.live import LiveRecording, WindowMemory
from moss_audio.longform import Window, is_silent, windows
from moss_audio.model.known_speech import KnownSpeech
from moss_audio.recordings import (
    Audio,
    AudioInput,
    audio_duration,
    check_part,
    is_array,
    load_audio,
    stream_audio,
)
from moss_audio.result import Result, Transcript
from moss_audio.tasks import TASK_NAMES, get_task
from moss_audio.tasks.base import WARN_LOOP, Task
from moss_audio.tasks.confidence import SureTokens, with_no_speech
from moss_audio.text import join_words
from moss_audio.units import HOP_SAMPLES, SAMPLE_RATE, TOKENS_PER_SECOND

MAX_CLIP_S = 300.0  # a longer recording is walked in windows
_BLOCK_S = 30.0
# What is put before the engine together, and sorted by length there: so many batches, but no more
# audio than this once a batch is full, since results come only when all of it is answered.
_QUEUE_BATCHES = 4
_QUEUE_S = 600.0
_THINKING_TOKENS = 4096
WARN_SILENT = "the recording is silent, so the model was not asked"

Progress = Callable[[float, float | None], None]
OnError = Literal["raise", "return"]


@dataclass(frozen=True, eq=False)
class Query:
    """One ask: clips, what is asked about them, and how.

    Attributes:
        clips: what `load_audio` takes, a `LiveRecording`, or a handle of `LiveClip`. A task that
            walks recordings in windows takes one; others take any number, which go into one
            prompt; none asks about text alone.
        tasks: each answered about the same clips, which are read once; usually one.
        options: how to decode; where `bounded`, its max_new_tokens gives way to the task's own
            bound, which follows the clips' duration.
        start, end: the part of each clip in seconds.
        sample_rate: Hz of clips that are bare arrays.
        track: which audio track of clips that have several, from 1.
        refine: called with each parsed answer and its window, samples `[n]` or a handle; gives the
            result to keep.
        knows: the only speech that the model knows: a transcript of which little is sure gets a
            warning.
    """

    clips: tuple[Any, ...]
    tasks: tuple[Task[Any], ...]
    options: GenerationOptions = field(default_factory=GenerationOptions)
    bounded: bool = True
    start: float | None = None
    end: float | None = None
    sample_rate: int | None = None
    track: int | None = None
    refine: Callable[[Any, ClipLike], Any] | None = None
    knows: KnownSpeech | None = None

    def __post_init__(self) -> None:
        check_part(self.start, self.end, self.track)
        if any(map(_live, self.clips)) and (self.start, self.end, self.track) != (None,) * 3:
            raise MossAudioError("start, end and track are of recordings, not of live sound")

    def how(self, x: AudioInput) -> dict[str, Any]:
        """The arguments with which a clip is loaded."""
        rate = self.sample_rate if is_array(x) else None
        return {"sample_rate": rate, "start": self.start, "end": self.end, "track": self.track}


@dataclass(frozen=True, eq=False)
class Heard:
    """What is known of one ask.

    Attributes:
        index: its place among the asks.
        results: one for each of its tasks; of a part, one.
        error: why there are none.
        done: False for a part: the next window of a long recording, with its times on the
            recording's clock. The joined result follows when all parts are known.
    """

    index: int
    results: tuple[Result, ...] = ()
    error: MossAudioError | None = None
    done: bool = True

    @property
    def result(self) -> Any:
        """The result of the only task. Raises the error, where there is one."""
        if self.error is not None:
            raise self.error
        (result,) = self.results
        return result


def listen(
    engine: Engine,
    queries: Iterable[Query],
    *,
    parts: bool = False,
    on_error: OnError = "return",
    progress: Progress | None = None,
    instead: Callable[[Query], Callable[[], Engine] | None] | None = None,
) -> Iterator[Heard]:
    """Go through asks; what is yielded last for each has `done` set.

    Args:
        queries: taken as they are needed. A list lets `progress` know how much there is.
        parts: also yield the windows of a long recording as they come, where they mean something
            by themselves (see `Task.placed`); the first then comes after one batch of one.
        on_error: "return" yields an ask's error in its place; "raise" stops at the first.
        progress: called with the seconds of audio that are done, and those that there are (None
            where somebody does not know).
        instead: gives what opens an engine that answers an ask in the place of `engine`, if one
            does. It is called when the turn of its asks comes. Asks in a row with the same engine
            share batches.

    Where a batch fails, its asks are tried one by one, and the bad one alone gets the error.
    """
    if progress is not None and not callable(progress):
        raise MossAudioError(f"progress={progress!r}: give a function of two numbers of seconds")
    return _listen(engine, queries, parts, _strict(on_error), progress, instead)


def _strict(on_error: str) -> bool:
    if on_error not in ("raise", "return"):
        raise MossAudioError(f"on_error={on_error!r}: give 'raise' or 'return'")
    return on_error == "raise"


def _listen(
    engine: Engine,
    queries: Iterable[Query],
    parts: bool,
    strict: bool,
    progress: Progress | None,
    instead: Callable[[Query], Callable[[], Engine] | None] | None,
) -> Iterator[Heard]:
    report, places = _Report(progress, queries), count()
    runs: Iterable[tuple[Callable[[], Engine] | None, Iterable[Query]]] = [(None, queries)]
    if instead is not None:
        runs = groupby(queries, instead)
    for opens, same in runs:
        try:
            answering = engine if opens is None else opens()
        except MossAudioError as error:
            if strict:
                raise
            yield from (Heard(next(places), error=error) for _ in same)
            continue
        with ExitStack() as held:
            items = _items(answering, same, places, strict, held)
            yield from _heard(answering, items, parts, strict, report)


def _heard(
    engine: Engine, items: Iterator[_Item], parts: bool, strict: bool, report: _Report
) -> Iterator[Heard]:
    for chunk in _chunks(items, engine.batch_size, parts):
        answers = _answers(engine, [item for item in chunk if item.request], report.add)
        for item in chunk:
            ask = item.ask
            if item.last:
                yield ask.finish()
            elif ask.error is None:
                try:
                    result = item.read(answers.get(item))
                except MossAudioError as error:
                    item.locate(error)
                    if strict:
                        raise
                    ask.error = error
                    continue
                if item.request is None:
                    report.add(item)
                ask.parts[item.task].append((item.start_s, result))
                part = None
                if parts and not item.whole:
                    part = ask.query.tasks[item.task].placed(result, item.start_s)
                if part is not None:
                    yield Heard(ask.index, (part,), done=False)


class _Asked:
    """One ask on its way through the queue."""

    def __init__(self, index: int, query: Query) -> None:
        self.index, self.query = index, query
        self.parts: list[list[tuple[float, Any]]] = [[] for _ in query.tasks]
        self.warnings: Sequence[str] = ()
        self.error: MossAudioError | None = None
        self.silent = bool(query.clips)
        self.tokens = SureTokens()
        self.held = ExitStack()  # of live sound, until it is answered

    def finish(self) -> Heard:
        self.held.close()
        if self.error is not None:
            return Heard(self.index, error=self.error)
        notes = (*self.warnings, WARN_SILENT) if self.silent else tuple(self.warnings)
        if self.query.knows is not None and (unsure := self.tokens.warning(self.query.knows)):
            notes = (*notes, unsure)
        results = (
            task.join(parts) for task, parts in zip(self.query.tasks, self.parts, strict=True)
        )
        return Heard(
            self.index, tuple(replace(one, warnings=(*notes, *one.warnings)) for one in results)
        )


@dataclass(frozen=True, eq=False)
class _Item:
    """A task on a window; `request` is None for silence. The last of an ask holds nothing."""

    ask: _Asked
    task: int = 0
    start_s: float = 0.0
    duration_s: float = 0.0
    request: Request | None = None
    whole: bool = True  # the window is all that is heard
    clip: ClipLike | None = None  # kept only for `Query.refine`
    memory: WindowMemory | None = None  # of live sound
    last: bool = False

    @property
    def known(self) -> Generation | None:
        """The answer, where it was given before."""
        if self.memory is None or self.request is None:
            return None
        return self.memory.answer(self.prompt, self.request.options)

    @property
    def prompt(self) -> str:
        return self.ask.query.tasks[self.task].prompt

    def locate(self, error: MossAudioError) -> None:
        """Add to an error where in a long recording it happened, so that one can go on there."""
        if not self.whole and self.memory is None and self.ask.error is None:
            start_s = self.start_s + (self.ask.query.start or 0.0)
            error.args = (f"{error} (at {start_s:g} s: to go on from there, give it as the start)",)

    def read(self, answer: Generation | MossAudioError | None) -> Any:
        """The parsed answer, with a warning where the engine ended it."""
        task = self.ask.query.tasks[self.task]
        if answer is None:
            return task.silent(self.duration_s)
        if isinstance(answer, MossAudioError):
            raise answer
        if self.memory is not None and self.request is not None:
            self.memory.add(self.prompt, self.request.options, answer)
        result = _with_ending(task.parse(answer.text, self.duration_s), answer)
        if self.ask.query.refine is not None and self.clip is not None:
            result = self.ask.query.refine(result, self.clip)
        if answer.logprobs is None:
            return result
        tokens = [(t.end, t.logprob) for t in answer.logprobs]
        if self.ask.query.knows is not None and isinstance(result, Transcript):
            self.ask.tokens.add(result, tokens)
        if self.ask.query.options.logprobs is not None:
            result = task.with_confidence(result, tokens)
            if isinstance(result, Transcript):
                result = with_no_speech(result, [(t.end, t.ended) for t in answer.logprobs])
        return result


def _with_ending(result: Any, answer: Generation) -> Any:
    """A result with a warning where the engine ended its answer."""
    if answer.finish_reason == "length":
        count = len(answer.token_ids)
        after = f" after {count} token{'s' * (count != 1)}" if count else ""
        note = f"the answer was cut{after}"
    elif answer.finish_reason == "repetition" and WARN_LOOP not in result.warnings:
        note = WARN_LOOP
    else:
        return result
    return replace(result, warnings=(*result.warnings, note))


class _Report:
    """Calls `progress` with the audio done so far; a clip with two tasks is done after both."""

    def __init__(self, progress: Progress | None, queries: Iterable[Query]) -> None:
        self._progress = progress
        self._done_s = 0.0
        self._total_s = None
        if progress is not None and isinstance(queries, Sequence):
            self._total_s = _total_seconds(queries)

    def add(self, item: _Item) -> None:
        if self._progress is None:
            return
        self._done_s += item.duration_s / len(item.ask.query.tasks)
        # a container's stated length may be a little off
        total_s = None if self._total_s is None else max(self._total_s, self._done_s)
        self._progress(self._done_s, total_s)


def _answers(
    engine: Engine, items: Sequence[_Item], done: Callable[[_Item], None]
) -> dict[_Item, Generation | MossAudioError]:
    """The answer to each item, or its error."""
    before = {item: answer for item in items if (answer := item.known) is not None}
    if before:
        for item in before:
            done(item)
        return before | _answers(engine, [item for item in items if item not in before], done)
    requests = [item.request for item in items if item.request is not None]
    found: dict[_Item, Generation | MossAudioError] = {}

    def told(index: int, answer: Generation) -> None:
        found[items[index]] = answer
        done(items[index])

    try:
        return dict(zip(items, engine.generate(requests, told), strict=True))
    except MossAudioError as error:
        if len(items) == 1:
            return {items[0]: error}
        # One of them stopped all: each by itself shows which, and lets the others through.
        for one in [item for item in items if item not in found]:
            found |= _answers(engine, [one], done)
    return found


def _chunks(items: Iterator[_Item], batch_size: int, early: bool) -> Iterator[list[_Item]]:
    """Items that are put before the engine together. `early`: the first of a long recording come
    soon, by chunks that grow."""
    most = _QUEUE_BATCHES * batch_size
    chunk: list[_Item] = []
    count, seconds, first = 0, 0.0, 1
    for item in items:
        chunk.append(item)
        if item.request is None:
            continue
        count, seconds = count + 1, seconds + item.duration_s
        soon = early and not item.whole and count >= first
        if soon or count >= most or (count >= batch_size and seconds >= _QUEUE_S):
            yield chunk
            chunk, count, seconds = [], 0, 0.0
            first = min(2 * first, most) if soon else first
    if chunk:
        yield chunk


def _items(
    engine: Engine,
    queries: Iterable[Query],
    places: Iterator[int],
    strict: bool,
    held: ExitStack,
) -> Iterator[_Item]:
    """All items of all asks. `held` closes what an ask holds where nobody goes through all."""
    for query in queries:
        ask = _Asked(next(places), query)
        if any(map(_live, query.clips)):
            held.push(ask.held)
        try:
            yield from _items_of(engine, ask)
        except MossAudioError as error:
            if strict:
                raise
            ask.error = error
        yield _Item(ask, last=True)


def _items_of(engine: Engine, ask: _Asked) -> Iterator[_Item]:
    query = ask.query
    prompts = [task.prompt for task in query.tasks]
    for clips, start_s, whole, memory in _prompts(engine, ask):
        if ask.error is not None:
            return  # an earlier window could not be answered
        duration_s = sum(map(clip_seconds, clips))
        silent = all(map(_is_silent, clips))
        for index, (task, prompt) in enumerate(zip(query.tasks, prompts, strict=True)):
            request = None
            if not (silent and clips and task.silent(duration_s) is not None):
                ask.silent = False
                options = _decoding(engine, query, task, duration_s)
                request = Request.question(prompt, *clips, options=options, reuse=whole)
                if memory is not None:
                    request = replace(request, draft=memory.draft(prompt))
                engine.check(request)
            kept = clips[0] if query.refine is not None and request is not None else None
            yield _Item(ask, index, start_s, duration_s, request, whole, kept, memory)


def _prompts(
    engine: Engine, ask: _Asked
) -> Iterator[tuple[list[ClipLike], float, bool, WindowMemory | None]]:
    """The clips of each prompt of an ask, the second in which they begin, whether they are all that
    is heard, and what was answered about them before."""
    query = ask.query
    if all(task.windowed for task in query.tasks):
        if len(query.clips) != 1:
            raise MossAudioError(f"{query.tasks[0].name}: give one clip, not {len(query.clips)}")
        (x,) = query.clips
        if isinstance(x, LiveRecording):
            for live in ask.held.enter_context(x.windows()):
                yield [live.clip], live.start_s, live.alone, live.memory
        elif isinstance(x, EncodedClip):
            yield [x], 0.0, True, None
        else:
            for window, whole in _windows(ask, window_seconds(engine, query.tasks)):
                yield [window.samples], window.start_s, whole, None
        return
    recordings = iter(prompt_clips(engine, query))
    clips: list[ClipLike] = []
    for x in query.clips:
        if isinstance(x, LiveRecording):
            clips.append(ask.held.enter_context(x.whole()))
        elif isinstance(x, EncodedClip):
            clips.append(x)
        else:
            heard = next(recordings)
            ask.warnings = [*ask.warnings, *heard.warnings]
            clips.append(heard.samples)
    total_s = sum(map(clip_seconds, clips))
    trained_s = task_window_s(engine, query.tasks)
    if trained_s is not None and total_s > trained_s:
        ask.warnings = [
            *ask.warnings,
            f"{total_s:.0f} s in one prompt: the model was trained on clips of up to "
            f"{trained_s:g} s and may miss what comes later; ask about parts (start, end)",
        ]
    yield clips, 0.0, True, None


def _live(x: Any) -> bool:
    """Whether a clip of a query needs no loading."""
    return isinstance(x, LiveRecording | EncodedClip)


def _is_silent(clip: ClipLike) -> bool:
    samples = clip.samples if isinstance(clip, EncodedClip) else clip
    return samples is not None and is_silent(samples)


def prompt_clips(engine: Engine, query: Query) -> list[Audio]:
    """The recordings of a query whose tasks are not windowed, loaded; live sound is left out.

    Raises:
        AudioError: for a clip that is not usable audio, or where all do not fit into one prompt.
    """
    limit_s = prompt_seconds(engine.max_positions)
    # a second more than a prompt can hold is enough to know that it is too long
    most = (query.start or 0.0) + limit_s + 1.0
    end = most if query.end is None else min(query.end, most)
    recordings = [x for x in query.clips if not _live(x)]
    heard = [load_audio(x, **{**query.how(x), "end": end}) for x in recordings]
    if heard and sum(one.duration_s for one in heard) > limit_s:
        more = "" if len(heard) == 1 else f", with {len(heard) - 1} more,"
        raise AudioError(
            f"{heard[0].source}{more} is longer than the {limit_s:.0f} s that fit into one prompt "
            "of this checkpoint: give start and end"
        )
    for one in heard:
        _check_length(one.samples, one.source)
    return heard


def _windows(ask: _Asked, window_s: float) -> Iterator[tuple[Window, bool]]:
    """Windows of the clip, each with whether it is the whole clip."""
    query = ask.query
    (x,) = query.clips
    with stream_audio(x, block_s=_BLOCK_S, **query.how(x)) as stream:
        ask.warnings = stream.warnings
        held: Window | None = None
        for window in windows(stream, window_s):
            if held is not None:
                yield held, False
            held = window
        if held is None:
            raise AudioError(f"{stream.source} holds no sound")
        alone = held.start_s == 0.0
        if alone:
            _check_length(held.samples, stream.source)
        if len(held.samples) >= HOP_SAMPLES:
            yield held, alone


def _check_length(samples: np.ndarray, source: str) -> None:
    if len(samples) < HOP_SAMPLES:
        raise AudioError(
            f"{source} is {len(samples) / SAMPLE_RATE:.4f} s long, too short for an audio token: "
            f"give at least {HOP_SAMPLES / SAMPLE_RATE:g} s"
        )


def _decoding(
    engine: Engine, query: Query, task: Task[Any], duration_s: float
) -> GenerationOptions:
    options = query.options
    if query.knows is not None and options.logprobs is None:
        options = replace(options, logprobs=0)
    if not query.bounded:
        return options
    bound = task.answer_tokens(duration_s)
    # A checkpoint that thinks by habit does so wherever nobody says otherwise.
    if options.thinking or (
        options.thinking is None and (engine.thinks or options.thinking_budget)
    ):
        bound += options.thinking_budget or _THINKING_TOKENS
    return replace(options, max_new_tokens=bound)


def _total_seconds(queries: Sequence[Query]) -> float | None:
    """Seconds of all clips; None where that cannot be known without reading one twice."""
    total = 0.0
    for query, x in [(one, x) for one in queries for x in one.clips]:
        cheap = isinstance(x, Audio | bytes | tuple) or is_array(x) or os.path.isfile(str(x))
        if not cheap:
            return None
        try:
            if is_array(x):
                x = (x, query.sample_rate or SAMPLE_RATE)
            duration = audio_duration(x)
        except AudioError:
            continue  # it is reported when its turn comes
        if duration is None:
            return None
        end = duration if query.end is None else min(query.end, duration)
        total += max(0.0, end - (query.start or 0.0))
    return total


class AnswerStream(Iterator[str]):
    """The answer to one ask in pieces of whole characters, thinking included; a recording that is
    walked in windows gives their answers one after another.

    After the last piece `result` holds the parsed answer with its warnings; `error` says why there
    is none, where errors are returned.
    """

    def __init__(
        self,
        engine: Engine,
        query: Query,
        *,
        on_error: OnError = "raise",
        progress: Progress | None = None,
    ) -> None:
        self.result: Any = None
        self.error: MossAudioError | None = None
        self._strict = _strict(on_error)
        self._report = _Report(progress, [query])
        self._pieces: Iterator[str] = iter(())
        self._engine = engine
        ask = _Asked(0, query)
        try:
            items = _items_of(engine, ask)
            first = next(items)  # what is wrong with the ask is told before any piece is
            self._pieces = self._written(ask, chain([first], items))
        except MossAudioError as error:
            if self._strict:
                raise
            self.error = error

    def _written(self, ask: _Asked, items: Iterable[_Item]) -> Iterator[str]:
        before = ""
        with ask.held:
            for item in items:
                answer = None
                if item.request is not None:
                    known = item.known
                    pieces = self._engine.stream(item.request) if known is None else _again(known)
                    answer = yield from _after(before, pieces) if before else pieces
                    before = answer.text.strip() or before
                self._report.add(item)
                ask.parts[item.task].append((item.start_s, item.read(answer)))
            self.result = ask.finish().result

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except MossAudioError as error:
            if self._strict:
                raise
            self.error = error
            raise StopIteration from None


def _again(answer: Generation) -> Generator[str, None, Generation]:
    """An answer that was given before, as a stream."""
    yield answer.text
    return answer


def _after(
    before: str, pieces: Generator[str, None, Generation]
) -> Generator[str, None, Generation]:
    """Pieces of a window's answer, parted from the answer of the window before as joining does."""
    begun = False
    while True:
        try:
            piece = next(pieces)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        if not begun:
            piece = piece.lstrip()
            begun = bool(piece)
            yield join_words([before, piece])[len(before) : -len(piece)] if begun else ""
        yield piece


def window_seconds(engine: Engine, tasks: Sequence[Task[Any]] = ()) -> float:
    """The longest stretch that goes into one prompt of tasks that walk recordings in windows;
    without any, in one of whichever of them."""
    tasks = tasks or [task for task in map(get_task, TASK_NAMES) if task.windowed]
    trained_s = task_window_s(engine, tasks) or MAX_CLIP_S
    return min(MAX_CLIP_S, trained_s, prompt_seconds(engine.max_positions))


def task_window_s(engine: Engine, tasks: Sequence[Task[Any]]) -> float | None:
    """The longest clip that the checkpoint was trained on for all of these tasks; None where nobody
    says."""
    windows_s = [engine.task_windows_s.get(task.name, engine.window_s) for task in tasks]
    return min((s for s in windows_s or [engine.window_s] if s is not None), default=None)


def prompt_seconds(max_positions: int | None) -> float:
    """Seconds of audio that one prompt holds, with room for markers, text and an answer."""
    if max_positions is None:
        return MAX_CLIP_S
    # a tenth more than the audio tokens is room for time markers
    return max(10.0, (max_positions * 0.9 - 256) / (TOKENS_PER_SECOND * 1.1))
