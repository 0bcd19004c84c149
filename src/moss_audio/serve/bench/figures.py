"""From what was measured to percentiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from moss_audio.serve.bench.measured import Measured

PERCENTILES = (50, 90, 95, 99)
_LATE_S = 0.2  # two packets: what was sent so late was not sent at the pace of speech
_LISTED = 5


@dataclass(eq=False)
class Level:
    """A level of load, and what came of it.

    Attributes:
        kind: live streams, requests under way, or requests a second.
        size: how many.
        began, ended: moments of the monotonic clock.
        found: every turn or request.
        beside: the requests that went on at the same time.
    """

    kind: Literal["streams", "concurrency", "rate"]
    size: float
    began: float = 0.0
    ended: float = 0.0
    found: list[Measured] = field(default_factory=list)
    beside: Level | None = None

    def figures(self) -> dict[str, Any]:
        """Seconds, but for counts. Latencies are of what was answered; those of refusals are apart;
        what neither was nor failed before an interruption counts as `unfinished`."""
        done = [one for one in self.found if one.outcome == "ok"]
        outcomes = Counter(one.outcome for one in self.found)
        problems = Counter(one.problem for one in self.found if one.outcome == "error")
        wall_s = max(1e-9, self.ended - self.began)
        live = self.kind == "streams"
        waits = [one.final - one.due for one in done if one.final is not None]
        report: dict[str, Any] = {
            "kind": self.kind,
            "size": self.size,
            "wall_s": round(wall_s, 3),
            "answered": outcomes["ok"],
            "refused": outcomes["refused"],
            "errors": outcomes["error"],
            "unfinished": outcomes["open"],
            "problems": dict(problems.most_common(_LISTED)),
            "audio_s": round(sum(one.audio_s for one in done), 3),
            # seconds of sound that were answered in a second
            "realtime_factor": round(sum(one.audio_s for one in done) / wall_s, 3),
            "requests_per_s": round(len(done) / wall_s, 4),
            "sent_late": sum(one.late_s > _LATE_S for one in self.found),
            "time_to_first_token_s": percentiles(
                [one.first - one.due for one in done if one.first is not None]
            ),
            "time_to_final_s" if live else "latency_s": percentiles(waits),
            "time_to_refusal_s": percentiles(
                [one.final - one.due for one in self.found
                 if one.outcome == "refused" and one.final is not None]
            ),
        }  # fmt: skip
        if live:
            report["time_to_first_text_s"] = percentiles(
                [one.shown - one.began for one in done if one.shown is not None]
            )
            report["word_lag_s"] = percentiles([lag for one in done for lag in one.lags])
        if self.beside is not None:
            report["beside"] = self.beside.figures()
        return report


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """`n`, `mean`, `p50` and so on, `max`; None of nothing."""
    if not values:
        return None
    found = {"n": float(len(values)), "mean": float(np.mean(values))}
    for percent in PERCENTILES:
        found[f"p{percent}"] = float(np.percentile(values, percent))
    found["max"] = max(values)
    return {name: round(value, 4) for name, value in found.items()}
