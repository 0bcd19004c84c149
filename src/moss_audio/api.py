"""`moss_audio.load(...)` and what it gives: transcripts, captions, timelines and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, overload

from moss_audio import __version__, settings
from moss_audio.engine.base import ClipLike, GenerationOptions
from moss_audio.engine.live import TOLERANCE
from moss_audio.engine.thinking import asks_thought
from moss_audio.errors import CheckpointError, MossAudioError
from moss_audio.listen import (
    AnswerStream,
    Heard,
    OnError,
    Progress,
    Query,
    listen,
    window_seconds,
)
from moss_audio.live import LiveRecording
from moss_audio.longform import check_window
from moss_audio.recordings import AudioInput, is_url
from moss_audio.result import Answer, Caption, Segment, Timeline, Transcript
from moss_audio.tasks import get_task
from moss_audio.tasks.ask import Ask
from moss_audio.tasks.transcribe import segments_from_words

if TYPE_CHECKING:
    import torch

    from moss_audio.engine.aligner import WordAligner
    from moss_audio.engine.base import Engine
    from moss_audio.engine.served import ServedCheckpoint
    from moss_audio.model.checkpoint import Checkpoint

_OF_SERVER = ("model", "key_env", "timeout_s", "retries")
TIMES = ("written", "alignment", "refined")
# What takes several inputs takes a list: (samples, rate), one input, is a tuple.
OneInput = AudioInput | LiveRecording
Inputs = OneInput | list[Any]
Several = list[str] | tuple[str, ...]


def load(
    name: str | Path = "nano",
    *,
    engine: str | None = None,
    threads: int | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    batch_size: int | None = None,
    revision: str | None = None,
    window_s: float | None = None,
    reuse_bytes: int | None = None,
    **server: Any,
) -> MossAudio:
    """Load a checkpoint, or reach one that a server holds.

    Args:
        name: "nano" (the embedded one; "nano-thinking" thinks for it), a folder, or a hub id
            "owner/name". A folder called nano is `./nano`, or a `Path`. Or the address of an
            OpenAI-compatible server such as vLLM, `http://host:8000/v1`, with `#name` behind it
            where it serves several models.
        engine: "onnx", which needs no torch and runs nano and exported checkpoints on a CPU, or
            "torch"; None takes onnx where it can, but for a GPU, or where `device` or `dtype` asks
            for what torch alone has.
        threads: processor threads; None takes as many as this process may use.
        device: of torch: cuda, mps, cpu; None takes the best there is.
        dtype: of torch: bfloat16, float16, float32; None takes what the device computes fast.
        batch_size: prompts decoded at once; None chooses by device, or asks a server 16 at once.
        revision: of a hub id.
        window_s: seconds of the windows in which recordings are heard; None takes the checkpoint's
            own, which may differ by task, else 300.
        reuse_bytes: memory for keys and values of clips that were heard, for further questions
            about them; None: 512 MiB.
        server: of an address: `model` (its name there), `key_env` (the environment variable with
            the key, OPENAI_API_KEY), `timeout_s` (300) and `retries` (2).

    Raises:
        CheckpointError: one line, if there is no such checkpoint or it is incomplete.
        MissingDependencyError: if it takes torch, which is not installed.
        MossAudioError: for an engine, device or dtype that is not possible; a server that cannot be
            asked.
    """
    _check_load(name, batch_size, window_s, reuse_bytes)
    unused = {
        "engine": engine, "threads": threads, "device": device, "dtype": dtype,
        "revision": revision, "reuse_bytes": reuse_bytes,
    }  # fmt: skip
    if served := _server(name, server, unused):
        from moss_audio.engine.remote import RemoteEngine

        return MossAudio(RemoteEngine(served, batch_size=batch_size, window_s=window_s), served)
    from moss_audio.engine.open import open_engine
    from moss_audio.model.checkpoint import Checkpoint

    checkpoint = Checkpoint.open(name, revision=revision)
    how: dict[str, Any] = {
        "engine": engine, "threads": threads, "device": device, "dtype": dtype,
        "batch_size": batch_size, "window_s": window_s,
        **({} if reuse_bytes is None else {"reuse_bytes": reuse_bytes}),
    }  # fmt: skip
    thinker: Callable[[], Engine] | None = None
    if name_of_thinker := checkpoint.thinker:
        thinker = partial(_opened, name_of_thinker, how)
    return MossAudio(open_engine(checkpoint, **how), checkpoint, thinker=thinker)


def _opened(name: str, how: dict[str, Any]) -> Engine:
    """The engine of a checkpoint."""
    from moss_audio.engine.open import open_engine
    from moss_audio.model.checkpoint import Checkpoint

    return open_engine(Checkpoint.open(name), **how)


def open_checkpoint(name: str | Path) -> Checkpoint | ServedCheckpoint:
    """What describes a model that `load` takes, without loading it. Raises CheckpointError if there
    is none of this name."""
    from moss_audio.model.checkpoint import Checkpoint

    return _server(name, {}, {}) or Checkpoint.open(name)


def _server(
    name: str | Path, options: dict[str, Any], unused: dict[str, Any]
) -> ServedCheckpoint | None:
    """What a server holds; None for a name that is no address. Options that the other kind has
    are refused: `options` are those of an address, `unused` those of a checkpoint loaded here."""
    if unknown := [key for key in options if key not in _OF_SERVER]:
        raise TypeError(f"load() got an unexpected keyword argument {unknown[0]!r}")
    if isinstance(name, str) and is_url(name):
        from moss_audio.engine.served import ServedCheckpoint

        for key, value in unused.items():
            if value is not None:
                raise MossAudioError(
                    f"{key}={value!r}: the server at {name} decides that; leave it out"
                )
        return ServedCheckpoint.open(name, **options)
    for key, value in options.items():
        raise MossAudioError(f"{key}={value!r}: only for a server, http://host:8000/v1")
    return None


def _check_load(name: Any, batch_size: Any, window_s: Any, reuse_bytes: Any) -> None:
    if not isinstance(name, str | Path) or not str(name).strip():
        raise CheckpointError(f'name={name!r}: give "nano", a folder or a hub id')
    if batch_size is not None and (type(batch_size) is not int or batch_size < 1):
        raise MossAudioError(f"batch_size={batch_size!r}: give a whole number, 1 or more")
    if reuse_bytes is not None and (type(reuse_bytes) is not int or reuse_bytes < 0):
        raise MossAudioError(f"reuse_bytes={reuse_bytes!r}: give a whole number, 0 or more")
    if window_s is not None:
        check_window(window_s)


class MossAudio:
    """A loaded checkpoint.

    An input `x` is anything `load_audio` accepts: a path, URL, bytes, file object,
    (array or tensor, rate); or what `live` gives.
    A list of inputs gives a list of results, in order; all of them share batches. A recording
    longer than a window is walked in windows cut at silences, and its results are joined.

    Every method also takes

    - `start`, `end`: the part of each input, in seconds. Times in results count from `start`.
    - `sample_rate`: Hz of bare arrays.
    - `track`: which audio track of files that have several, from 1; None takes the main one.
    - `progress`: called with the seconds of audio done and those in all (None: unknown).
    - `on_error`: "raise", or "return" to get an input's error in the place of its result.
    - the fields of `GenerationOptions` (`max_new_tokens`, `temperature`, `seed`, ...).

    and raises `AudioError` for an input that is not usable audio, `MossAudioError` for an option
    that does not exist.
    """

    _open_thinker: Callable[[], Engine] | None = None

    def __init__(
        self,
        engine: Engine,
        checkpoint: Checkpoint | ServedCheckpoint,
        aligner: WordAligner | None = None,
        thinker: Callable[[], Engine] | None = None,
    ) -> None:
        """`aligner`: for word times by alignment; None makes one of the engine. `thinker`: opens
        what answers, in the engine's place, where thinking is asked for; at the first such ask."""
        self.engine = engine
        self.checkpoint = checkpoint
        self._aligner = aligner
        self._open_thinker = thinker
        self._thinker: Engine | None = None
        self._opening = Lock()

    def __repr__(self) -> str:
        return f"MossAudio({self.checkpoint.name!r}, {self.engine.description!r})"

    @property
    def fingerprint(self) -> str:
        """What tells one model from another: a hash of its files (of a server: its address and the
        model's name), precision, window and way to time words, and of this package's version, whose
        parsers and prompts are in every answer.

        Raises:
            CheckpointError: if the files have changed since they were loaded.
        """
        parts = [self.checkpoint.fingerprint, self.engine.precision, f"{self.window_s:g}"]
        parts += [f"{task} {seconds:g}" for task, seconds in self.engine.task_windows_s.items()]
        parts += [self.checkpoint.times, __version__]
        return settings.digest("\n".join(parts), 64)

    @property
    def window_s(self) -> float:
        """The longest stretch that goes into one prompt of any task that walks recordings in
        windows, in seconds."""
        return window_seconds(self.engine)

    def query(self, task: str, *clips: OneInput | ClipLike, **options: Any) -> Query:
        """One ask, for `listen`.

        Args:
            task: "transcribe", "events", "caption" or "ask".
            clips: for "ask" any number, which go into one prompt; for the others one.
            options: those of the method of that name (`timestamps`, `times`; `question`, one or a
                list; `start`, ...) but for `progress` and `on_error`.

        Raises:
            MossAudioError: for an option that does not exist, or that has no such value.
        """
        part = {key: options.pop(key, None) for key in ("start", "end", "sample_rate", "track")}
        refine = knows = None
        if task == "ask":
            tasks = [
                get_task(task, question=one) for one in _questions(options.pop("question", None))
            ]
        elif task == "transcribe":
            timestamps = options.pop("timestamps", None)
            times = options.pop("times", None) or self.checkpoint.times
            knows = self.checkpoint.knows
            tasks = [get_task(task, timestamps=timestamps)]
            if times not in TIMES:
                raise MossAudioError(f"times={times!r}: give one of {', '.join(TIMES)}")
            if timestamps is not None and times != "written":
                refine = self._aligned(timestamps)
                tasks = tasks if times == "refined" else [get_task(task)]
        else:
            tasks = [get_task(task)]
        for one in tasks:
            _ = one.prompt  # an empty question is told before anything runs
        decoding, bounded = _decoding(options)
        return Query(clips, tuple(tasks), decoding, bounded, refine=refine, knows=knows, **part)

    def listen(
        self,
        queries: Iterable[Query],
        *,
        parts: bool = False,
        on_error: OnError = "return",
        progress: Progress | None = None,
    ) -> Iterator[Heard]:
        """Go through asks lazily; see `moss_audio.listen.listen`."""
        return listen(
            self.engine, queries, parts=parts, on_error=on_error, progress=progress,
            instead=None if self._open_thinker is None else self._thinks,
        )  # fmt: skip

    def _thinks(self, query: Query) -> Callable[[], Engine] | None:
        """What opens the engine that thinks in this one's place, where a question asks for that. It
        has learnt to think about questions alone: of other tasks, the engine itself says that it
        cannot think."""
        questions = all(isinstance(task, Ask) for task in query.tasks)
        asked = questions and asks_thought(query.options)
        return self._thinking_engine if asked and self._open_thinker is not None else None

    def _thinking_engine(self) -> Engine:
        with self._opening:
            if self._thinker is None:
                assert self._open_thinker is not None
                self._thinker = self._open_thinker()
        return self._thinker

    @overload
    def transcribe(
        self, x: OneInput, timestamps: str | None = None, **options: Any
    ) -> Transcript: ...

    @overload
    def transcribe(
        self, x: list[Any], timestamps: str | None = None, **options: Any
    ) -> list[Transcript]: ...

    def transcribe(self, x: Inputs, timestamps: str | None = None, **options: Any) -> Any:
        """What is said; silence gives an empty transcript.

        Args:
            timestamps: None, "sentence" (times in `segments`) or "word" (also in `words`).
            times: how times are found: "written" by the decoder; by "alignment" of a plain
                transcript with the audio tokens; or "refined": words as the decoder writes them
                with times, moved to where the audio tokens say them. None takes what the
                checkpoint is best at.
        """
        return self._run("transcribe", x, {**options, "timestamps": timestamps})

    def live(self, *, tolerance: float = TOLERANCE) -> LiveRecording:
        """A recording that grows while it is asked about: `push` samples `[n]` at 16 kHz, hand it
        to any method at any time, `commit` it at its end and `close` it (or use `with`).

        What is pushed is computed as it comes, so that an answer at the end waits for the last
        few seconds alone.

        Args:
            tolerance: how much the features of a chunk of 4 s may differ in the mean from those of
                a file, because its largest energy is known at the end alone; 0: not by a bit.

        Raises:
            MossAudioError: for a model on a server.
        """
        return LiveRecording(self.engine, self.window_s, tolerance=tolerance)

    def _aligned(self, timestamps: str) -> Callable[[Transcript, ClipLike], Transcript]:
        from moss_audio.engine.aligner import WordAligner

        if self._aligner is None:
            self._aligner = WordAligner(self.engine)
        align = self._aligner

        def refine(transcript: Transcript, clip: ClipLike) -> Transcript:
            words = align(clip, transcript.text)
            if not words:  # nothing said, or more words than tokens: what was written stays
                whole = Segment(transcript.text, 0.0, transcript.duration)
                untimed = transcript.text and not transcript.segments
                return replace(transcript, segments=(whole,)) if untimed else transcript
            segments = segments_from_words(words)
            if timestamps == "sentence":
                words = ()
                segments = tuple(replace(segment, words=()) for segment in segments)
            return replace(transcript, words=words, segments=segments)

        return refine

    @overload
    def events(self, x: OneInput, **options: Any) -> Timeline: ...

    @overload
    def events(self, x: list[Any], **options: Any) -> list[Timeline]: ...

    def events(self, x: Inputs, **options: Any) -> Any:
        """The sound events with their times."""
        return self._run("events", x, options)

    @overload
    def caption(self, x: OneInput, **options: Any) -> Caption: ...

    @overload
    def caption(self, x: list[Any], **options: Any) -> list[Caption]: ...

    def caption(self, x: Inputs, **options: Any) -> Any:
        """A description; of a recording longer than a window, one line a window with its times."""
        return self._run("caption", x, options)

    @overload
    def ask(self, x: OneInput | None, question: str, **options: Any) -> Answer: ...

    @overload
    def ask(self, x: OneInput | None, question: Several, **options: Any) -> list[Answer]: ...

    @overload
    def ask(self, x: list[Any], question: str, **options: Any) -> list[Answer]: ...

    @overload
    def ask(self, x: list[Any], question: Several, **options: Any) -> list[list[Answer]]: ...

    def ask(self, x: Inputs | None, question: str | Several, **options: Any) -> Any:
        """The answer to a question about the whole recording, which must fit into one prompt.

        Args:
            x: one input or a list; None asks without audio.
            question: one, or a list, which gives a list of answers (for each input). The clip
                is encoded and read once for all of them, and remembered for the next call.
            options: among them `thinking` and `thinking_budget` (tokens).
        """
        several = not isinstance(question, str)
        return self._run("ask", x, {**options, "question": question}, several=several)

    def stream(self, x: OneInput | None, question: str, **options: Any) -> AnswerStream:
        """The answer to a question in pieces, as it is written; thinking included.

        Options are those of `ask`. After the last piece, `result` of what is returned holds the
        `Answer` with its warnings.
        """
        if not isinstance(question, str):
            raise MossAudioError(f"question={question!r}: give one text; a stream has one answer")
        on_error, progress = options.pop("on_error", "raise"), options.pop("progress", None)
        query = self.query("ask", *([] if x is None else [x]), question=question, **options)
        opens = self._thinks(query)
        engine = self.engine if opens is None else opens()
        return AnswerStream(engine, query, on_error=on_error, progress=progress)

    def _run(self, task: str, x: Any, options: dict[str, Any], *, several: bool = False) -> Any:
        """Results as the methods give them: a list for a list, and a list each for `several`."""
        on_error, progress = options.pop("on_error", "raise"), options.pop("progress", None)
        inputs = x if isinstance(x, list) else [x]
        clips = [() if one is None and task == "ask" else (one,) for one in inputs]
        template = self.query(task, **options)
        queries = [replace(template, clips=one) for one in clips]
        found = [
            heard.error or (list(heard.results) if several else heard.result)
            for heard in self.listen(queries, on_error=on_error, progress=progress)
        ]
        return found if isinstance(x, list) else found[0]


def _questions(given: Any) -> Sequence[Any]:
    questions = given if isinstance(given, list | tuple) else [given]
    if not questions:
        raise MossAudioError("no question is given")
    return questions


def _decoding(given: dict[str, Any]) -> tuple[GenerationOptions, bool]:
    """Decoding options, and whether the answer's length is ours to bound."""
    if given.get("num_return_sequences", 1) != 1:
        raise MossAudioError("num_return_sequences: use engine.generate for several answers")
    defaults = GenerationOptions(stop_repetition=True)
    return defaults.changed(**given), "max_new_tokens" not in given
