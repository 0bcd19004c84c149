"""What became of one turn of a stream, or of one request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from moss_audio.serve.bench.clips import BenchClip

REFUSALS = (429, 503)  # the server has too much to do, and says so


@dataclass(eq=False)
class Measured:
    """Moments are seconds of the monotonic clock; None is what has not happened.

    Attributes:
        clip: that was sent; None in a turn that the server cut, or where nothing was sent.
        audio_s: seconds of sound.
        began: when its sound began, as planned.
        due: from when on the answer is waited for, as planned: the moment of a request, or the end
            of the speech in a turn.
        shown: the first text at all, which in a stream may come before `due`.
        first: the first text after `due`.
        final: the whole answer, or refusal.
        lags: of each word of a turn, from its end to when it was shown.
        late_s: how much later than planned anything was sent.
        problem: what went wrong.
    """

    clip: BenchClip | None = None
    audio_s: float = 0.0
    began: float = 0.0
    due: float = 0.0
    shown: float | None = None
    first: float | None = None
    final: float | None = None
    text: str = ""
    lags: list[float] = field(default_factory=list)
    late_s: float = 0.0
    outcome: Literal["open", "ok", "refused", "error"] = "open"
    problem: str = ""

    def said(self, now: float) -> None:
        """Some text came."""
        if self.shown is None:
            self.shown = now
        if self.first is None and now >= self.due:
            self.first = now

    def done(self, now: float, text: str) -> None:
        """The whole answer came."""
        if text:
            self.said(now)
        self.final, self.text, self.outcome = now, text, "ok"

    def failed(self, now: float, problem: str, *, status: int | None = None) -> None:
        """It came to nothing; `status` of HTTP, if there was one."""
        refused = status in REFUSALS
        self.final, self.problem = now, problem
        self.outcome = "refused" if refused else "error"
