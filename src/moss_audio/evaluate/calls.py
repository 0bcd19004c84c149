"""How a model is asked: one method of the public API for each part of a suite, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from moss_audio.api import MossAudio
from moss_audio.engine.base import GenerationOptions
from moss_audio.errors import MossAudioError
from moss_audio.evaluate.item import Item
from moss_audio.listen import Query, listen
from moss_audio.recordings import Audio
from moss_audio.result import Answer, Result
from moss_audio.tasks import get_task

Method = Literal["transcribe", "events", "caption", "ask"]
Rows = list[Result | MossAudioError]


@dataclass(frozen=True)
class Call:
    """A method of `MossAudio` and its options.

    `prompt` gives an item's question to `ask`; the other methods have a wording of their own.
    """

    method: Method
    options: dict[str, Any] = field(default_factory=dict)
    prompt: Callable[[Item], str] = lambda item: item.question

    def wording(self, item: Item) -> str:
        """What the model is told about an item's recordings."""
        if self.method == "ask":
            return self.prompt(item)
        if self.method == "transcribe":
            timestamps = self.options.get("timestamps")
            return get_task("transcribe", timestamps=timestamps).prompt
        return get_task(self.method).prompt

    def hear(self, model: MossAudio, items: Sequence[Item], audio: Sequence[list[Audio]]) -> Rows:
        """A result for each item, or its error."""
        if self.method == "ask":
            return ask(model, [self.prompt(item) for item in items], audio, **self.options)
        clips = [clips[0] for clips in audio]
        method: Any = getattr(model, self.method)
        return list(method(clips, on_error="return", **self.options))


def ask(
    model: MossAudio, prompts: Sequence[str], audio: Sequence[list[Audio]], **options: Any
) -> Rows:
    """An answer to each prompt about its own recordings, all of them in common batches.

    `MossAudio.ask` puts every question to every recording; here each has its own, and may have
    several recordings. A prompt that cannot be answered gives its error in its place.
    """
    decoding = GenerationOptions(stop_repetition=True).changed(**options)
    rows: Rows = []
    queries: dict[int, Query] = {}
    for index, (prompt, clips) in enumerate(zip(prompts, audio, strict=True)):
        rows.append(Answer(""))
        try:
            task = get_task("ask", question=prompt)
            queries[index] = Query(tuple(clips), (task,), decoding, "max_new_tokens" not in options)
        except MossAudioError as error:
            rows[index] = error
    for index, heard in zip(queries, listen(model.engine, list(queries.values())), strict=True):
        rows[index] = heard.error or heard.result
    return rows
