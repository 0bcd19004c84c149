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
_NO_THINK_TOKENS = "the checkpoint's tokenizer has no think tokens"
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
        cluster: what of an item other items share (their clip), so that intervals are drawn over
            that; by default over items.
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
    cluster: Callable[[Item], str] | None = None
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
class Paired:
    """Differences of a figure on the same items: `measure` of the parts named in pairs, and of
    each of `across` against each of them in other runs."""

    measure: str
    pairs: tuple[tuple[str, str], ...]
    across: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """A suite on a folder. `absent` are parts that cannot be measured there: (name, reason). `over`
    is what intervals are drawn over."""

    suite: str
    version: int
    parts: tuple[Part, ...]
    absent: tuple[tuple[str, str], ...] = ()
    means: tuple[Mean, ...] = ()
    paired: Paired | None = None
    over: str = "items"

    @property
    def mark(self) -> str:
        """What answers are kept under: the suite and its version."""
        return f"{self.suite} {self.version}"

    @property
    def tells_thinking(self) -> bool:
        """Whether a part tells the model to think, or not to."""
        return any(_tells_thinking(part) for part in self.parts)

    def without_thinking(self) -> Plan:
        """The plan for a checkpoint that cannot be told. Raises MossAudioError if nothing is left
        of it."""
        told = [part for part in self.parts if _tells_thinking(part)]
        left = tuple(part for part in self.parts if not _tells_thinking(part))
        if not left:
            raise MossAudioError(f"{', '.join(part.name for part in told)}: {_NO_THINK_TOKENS}")
        reasons = tuple((part.name, _NO_THINK_TOKENS) for part in told)
        return replace(self, parts=left, absent=(*self.absent, *reasons))

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


def _tells_thinking(part: Part) -> bool:
    return part.call.options.get("thinking") is not None
