"""How a model is asked: one method of the public API for each part of a suite, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from moss_audio.api import MossAudio
from moss_audio.engine.base import GenerationOptions, Request
from moss_audio.errors import MossAudioError
from moss_audio.evaluate.item import Item
from moss_audio.listen import prompt_limit_s
from moss_audio.recordings import Audio
from moss_audio.result import Answer, Result
from moss_audio.tasks import get_task

ANSWER_TOKENS = 512
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
    decoding = GenerationOptions(stop_repetition=True, max_new_tokens=ANSWER_TOKENS)
    decoding = decoding.changed(**options)
    limit_s = prompt_limit_s(model.engine.max_positions)
    rows: Rows = []
    asked: list[tuple[int, Request, float]] = []
    for prompt, clips in zip(prompts, audio, strict=True):
        duration_s = sum(clip.duration_s for clip in clips)
        try:
            if duration_s > limit_s:
                raise MossAudioError(
                    f"{clips[0].source}: {duration_s:.0f} s of sound, and {limit_s:.0f} s fit into "
                    "one prompt of this checkpoint"
                )
            samples: list[np.ndarray] = [clip.samples for clip in clips]
            question = get_task("ask", question=prompt).prompt
            request = Request.question(question, *samples, options=decoding)
            model.engine.check(request)
        except MossAudioError as error:
            rows.append(error)
        else:
            asked.append((len(rows), request, duration_s))
            rows.append(Answer(""))
    answers = model.engine.generate([request for _, request, _ in asked])
    for (index, _, duration_s), answer in zip(asked, answers, strict=True):
        result: Answer = get_task("ask", question=prompts[index]).parse(answer.text, duration_s)
        if answer.finish_reason == "length":
            note = f"the answer was cut after {len(answer.token_ids)} tokens"
            result = replace(result, warnings=(*result.warnings, note))
        rows[index] = result
    return rows
