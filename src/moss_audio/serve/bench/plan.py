"""What is to be measured, at which server."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from moss_audio.errors import MossAudioError

Task = Literal["transcribe", "chat", "events"]
Turns = Literal["commit", "server_vad"]
TASKS: tuple[Task, ...] = ("transcribe", "chat", "events")
TURNS: tuple[Turns, ...] = ("commit", "server_vad")


@dataclass(frozen=True)
class BenchPlan:
    """A measurement: levels of load one after another.

    Attributes:
        url: of the server, with `/v1`.
        model: as the server calls it; empty: the first that it lists.
        key: sent as a bearer token; empty: none.
        streams: numbers of live streams, a level each.
        concurrency: numbers of requests under way at any time, a level each.
        rates: requests a second, a level each.
        together: the first of `concurrency` or `rates` goes on beside every level of streams.
        duration_s: of a level; what has begun by then is waited for.
        task: what requests ask for.
        turns: whether the client ends a turn of a stream, or the server's detector.
        sample_rate: Hz of what is sent.
        seed: of clips, pauses and arrivals.
        timeout_s: an answer that takes longer is an error.
        check: compare every answer with the one that the same sound gets by itself.

    Raises:
        MossAudioError: for what cannot be measured.
    """

    url: str
    model: str = ""
    key: str = ""
    streams: tuple[int, ...] = ()
    concurrency: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()
    together: bool = False
    duration_s: float = 30.0
    task: Task = "transcribe"
    turns: Turns = "commit"
    sample_rate: int = 24_000
    seed: int = 0
    timeout_s: float = 60.0
    check: bool = False

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname:
            raise MossAudioError(
                f"{self.url!r} is no address of a server: give http://host:8000/v1"
            )
        for name, values in (
            ("streams", self.streams), ("concurrency", self.concurrency), ("rate", self.rates),
            ("duration", (self.duration_s,)), ("timeout", (self.timeout_s,)),
        ):  # fmt: skip
            for value in values:
                if not (value > 0 and math.isfinite(value)):
                    raise MossAudioError(f"{name}={value:g}: give numbers above 0")
        for name, chosen, known in (("task", self.task, TASKS), ("turns", self.turns, TURNS)):
            if chosen not in known:
                raise MossAudioError(f"{name}={chosen!r}: give one of {', '.join(known)}")
        if not (self.streams or self.concurrency or self.rates):
            raise MossAudioError("nothing to measure: give streams, concurrency or rate")
        if self.together and not (self.streams and (self.concurrency or self.rates)):
            raise MossAudioError("together needs streams, and one of concurrency or rate")
        if self.check and self.turns != "commit":
            raise MossAudioError(
                "check compares turns with files, so that the client has to end them: use "
                "turns=commit"
            )
