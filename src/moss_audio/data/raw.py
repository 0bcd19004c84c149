"""What a list says of one example, before any audio is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from moss_audio.recordings.entry import Clip, Unread
from moss_audio.result import Event, Segment, Word

if TYPE_CHECKING:
    from moss_audio.scenes.reader import Scene
    from moss_audio.scenes.reasoning.problem import Problem


@dataclass(frozen=True)
class Truth:
    """What is known of a single clip: enough to make conversations of several tasks.

    `text` is what is said, or the caption or answer where the task says so. A `question` makes it
    the answer to that. `scene` is there for composed scenes, of which everything is known.
    """

    text: str = ""
    question: str | None = None
    words: tuple[Word, ...] = ()
    sentences: tuple[Segment, ...] = ()
    scene: Scene | None = None


@dataclass(frozen=True)
class RawExample:
    """One example: its clips, and either a finished conversation or the truth to make one of."""

    clips: tuple[Clip, ...]
    messages: list[dict[str, Any]] | None = None
    truth: Truth | None = None
    words: tuple[tuple[Word, ...], ...] = ()
    sounds: tuple[tuple[Event, ...], ...] = ()
    task: str = ""
    made: bool = False  # its clip is silent: training puts made audio tokens in its place
    problem: Problem | None = None  # that its messages ask about


@dataclass
class Lines:
    """Collects what is good and what is bad in a list."""

    bad: list[Unread] = field(default_factory=list)
    audio_s: list[float] = field(default_factory=list)  # NaN: to be probed
    text_tokens: list[float] = field(default_factory=list)

    def good(self, audio_s: float | None, text: str) -> None:
        self.audio_s.append(float("nan") if audio_s is None else audio_s)
        self.text_tokens.append(estimated_tokens(text))


def estimated_tokens(text: str) -> float:
    """About how many tokens a text has: letters come by the handful, all else one by one."""
    letters = sum(len(run) for run in text.split() if run.isascii() and run.isalpha())
    other = len(text) - letters
    return 20.0 + letters / 4 + other * 0.6
