"""How a model is asked: a task of the package for each part of a suite, with its options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from moss_audio.api import MossAudio
from moss_audio.evaluate.item import Item
from moss_audio.listen import Query
from moss_audio.recordings import Audio
from moss_audio.tasks import get_task

Method = Literal["transcribe", "events", "caption", "ask"]


@dataclass(frozen=True)
class Call:
    """A method of `MossAudio` and its options.

    `prompt` gives an item's question to `ask`; the other methods have a wording of their own.
    """

    method: Method
    options: dict[str, Any] = field(default_factory=dict)
    prompt: Callable[[Item], str] = lambda item: item.question

    def _options(self, item: Item) -> dict[str, Any]:
        return {"question": self.prompt(item)} if self.method == "ask" else {}

    def wording(self, item: Item) -> str:
        """What the model is told about an item's recordings."""
        settings = self._options(item)
        if "timestamps" in self.options:
            settings["timestamps"] = self.options["timestamps"]
        return get_task(self.method, **settings).prompt

    def query(self, model: MossAudio, item: Item, clips: Sequence[Audio]) -> Query:
        """The ask about an item. Raises MossAudioError for one that cannot be put into words."""
        return model.query(self.method, *clips, **self._options(item), **self.options)
