"""A model with the methods that evaluation calls, which answers at once and can break down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from moss_audio.api import MossAudio
from moss_audio.engine.base import Generation, Request
from moss_audio.errors import AudioError, MossAudioError
from moss_audio.listen import Heard, Query
from moss_audio.recordings import Audio
from moss_audio.result import Caption, Event, Timeline, Transcript, Word

Reply = Callable[[str], str]


class FakeEngine:
    """Answers each request's text by `reply`."""

    batch_size = 1
    max_positions = 4096
    window_s = None
    task_windows_s: ClassVar[dict[str, float]] = {}
    thinks = False

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.asked: list[str] = []
        self.clips: list[int] = []
        self.bounds: list[int] = []

    def check(self, request: Request) -> int:
        return 1

    def generate(self, requests: Sequence[Request], on_result: Any = None) -> list[Generation]:
        rows = []
        for request in requests:
            text = request.messages[0]["content"][-1]["text"]
            self.asked.append(text)
            self.clips.append(len(request.clips))
            self.bounds.append(request.options.max_new_tokens)
            rows.append(Generation(self._reply(text), (1, 2), "stop", 1))
            if on_result is not None:
                on_result(len(rows) - 1, rows[-1])
        return rows


class FakeModel(MossAudio):
    """`transcribe` gives `text`, timed evenly; raises KeyboardInterrupt after `dies_after` clips,
    as an interrupt or a kill would end the run. Questions go the real way, to the engine."""

    def __init__(self, text: str = "hello world", reply: Reply = lambda text: "A") -> None:
        self.engine: Any = FakeEngine(reply)
        self.text = text
        self.heard: list[str] = []
        self.dies_after: int | None = None
        self.refuses: Callable[[Audio], bool] = lambda audio: False

    def query(self, task: str, *clips: Any, **options: Any) -> Any:
        if task == "ask":
            return super().query(task, *clips, **options)
        return lambda: getattr(self, task)([clips[0]], **options)[0]

    def listen(self, queries: Any, **_: Any) -> Iterator[Heard]:
        for index, query in enumerate(queries):
            if isinstance(query, Query):
                (heard,) = super().listen([query])
                yield replace(heard, index=index)
                continue
            row = query()
            failed = isinstance(row, MossAudioError)
            yield Heard(index, error=row) if failed else Heard(index, (row,))

    def _each(self, x: Sequence[Audio], answer: Callable[[Audio], Any]) -> list[Any]:
        rows: list[Any] = []
        for audio in x:
            if self.dies_after is not None and len(self.heard) >= self.dies_after:
                raise KeyboardInterrupt
            self.heard.append(audio.source)
            refused = AudioError(f"{audio.source} is refused")
            rows.append(refused if self.refuses(audio) else answer(audio))
        return rows

    def transcribe(self, x: Sequence[Audio], timestamps: str | None = None, **_: Any) -> list[Any]:
        def answer(audio: Audio) -> Transcript:
            names = self.text.split()
            step = audio.duration_s / max(1, len(names))
            words = tuple(Word(n, i * step, (i + 1) * step) for i, n in enumerate(names))
            return Transcript(self.text, words=words if timestamps else (), raw=self.text)

        return self._each(x, answer)

    def events(self, x: Sequence[Audio], **_: Any) -> list[Any]:
        return self._each(x, lambda a: Timeline((Event("bell", 0.0, a.duration_s),), a.duration_s))

    def caption(self, x: Sequence[Audio], **_: Any) -> list[Any]:
        return self._each(x, lambda a: Caption("A bell rings.", a.duration_s))
