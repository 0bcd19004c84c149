"""What a suite asks for: parts (a test set, a call, measures), and what is absent and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from moss_audio.api import MossAudio
from moss_audio.errors import MossAudioError
from moss_audio.evaluate.item import Dataset, Item, sha256
from moss_audio.listen import Query
from moss_audio.recordings import Audio
from moss_audio.result import Result
from moss_audio.tasks import get_task

# (part, whole): a figure is the sum of the parts over the sum of the wholes, so that long items
# weigh as much as they should and intervals can be drawn over items.
Share = tuple[float, float]
Better = Literal["higher", "lower"]


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


@dataclass(frozen=True)
class Outcome:
    """An item with its answer, or with the line that says why there is none."""

    item: Item
    result: Result | None
    error: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Measure:
    """A figure over outcomes.

    Attributes:
        name: with its unit in `unit`: "%" and "ms" are scaled by `scale`.
        share: an outcome's part and whole; None where it does not take part.
        failed: whether outcomes without an answer take part (`result` is None then).
        where: the items it is about.
        grouped: shown for each category as well.
        baseline: of the same items without listening, with its name beside it.
        bar, aim: what is asked of the figure.
    """

    name: str
    share: Callable[[Outcome], Share | None]
    unit: str = "%"
    scale: float = 100.0
    better: Better = "higher"
    failed: bool = False
    where: Callable[[Item], bool] = lambda item: True
    grouped: bool = False
    baseline: Callable[[Sequence[Item]], float | None] | None = None
    baseline_name: str = "best constant answer"
    bar: float | None = None
    aim: float | None = None


@dataclass(frozen=True)
class Part:
    """A test set, how the model is asked about it, and what is measured. `after` is called with
    the outcomes and the folder of the run before anything is measured."""

    name: str
    dataset: Dataset
    call: Call
    measures: tuple[Measure, ...]
    after: Callable[[Sequence[Outcome], Path], None] | None = None

    def key(self, item: Item, model: str, suite: str) -> str:
        """What an answer is kept under: all that it depends on."""
        return sha256(
            [
                model,
                suite,
                self.call.method,
                self.call.options,
                self.call.wording(item),
                [sound.identity for sound in item.audio],
            ]
        )


@dataclass(frozen=True)
class Mean:
    """The plain mean of figures of several parts, given only where all of them are: `measure`
    is what it is a mean of, `figures` are (part, measure)."""

    name: str
    figures: tuple[tuple[str, str], ...]
    measure: str


@dataclass(frozen=True)
class Plan:
    """A suite on a folder. `absent` are parts that cannot be measured there: (name, reason)."""

    suite: str
    version: int
    parts: tuple[Part, ...]
    absent: tuple[tuple[str, str], ...] = ()
    means: tuple[Mean, ...] = ()

    def only(self, names: Sequence[str]) -> Plan:
        """The plan with the parts of these names alone, in its own order.

        Raises MossAudioError for a name that is none of its parts.
        """
        absent = dict(self.absent)
        known = [part.name for part in self.parts]
        for name in names:
            if name in absent:
                raise MossAudioError(f"part {name!r} can't be measured: {absent[name]}")
            if name not in known:
                raise MossAudioError(f"no part {name!r}; there are {', '.join(known)}")
        return replace(
            self, parts=tuple(part for part in self.parts if part.name in names), absent=()
        )
