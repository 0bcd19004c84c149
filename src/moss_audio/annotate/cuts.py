"""Where a recording may be cut, and where it is: a shortest path through the candidates.

A greedy cutter takes the first good pause and is left with a rest that fits nothing. Here all ways
to tile the recording are compared by the total cost of their cuts and lengths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FRAME_S = 0.01
_SMOOTH_FRAMES = 21  # a cut should have about 0.2 s of quiet around it
_ACROSS_FRAMES = 30  # what is compared before and after a cut
_GRID_S = 1.0  # one candidate a second in long pauses
_GUARD_S = 0.15  # from the edge of an event, where the pause has room for it
_PAUSE_S = 0.8  # a pause of this length costs 1/e of one of no length
# What a cut costs at worst: in no pause, at the loudest, across the largest change.
_NO_PAUSE, _LOUD, _CHANGE = 0.5, 0.3, 0.2
_LENGTH = 0.5  # a segment as far from the wanted length as the bounds allow
_RANGE_DB = 60.0  # so far below the loud parts all is equally quiet
_OUTSIDE = 1000.0  # a segment outside the bounds: more than any number of poor cuts nearby


@dataclass(frozen=True)
class Candidates:
    """Places where no event is cut, the recording's start and end included.

    `times_s` [n] rises; `costs` [n] is 0 to 1, and 0 at both ends.
    """

    times_s: np.ndarray
    costs: np.ndarray


def candidates(
    duration_s: float, events: Sequence[tuple[float, float]], level_db: np.ndarray
) -> Candidates:
    """One place a second in each pause between events, each the quietest of its second.

    Args:
        duration_s: of the recording.
        events: disjoint stretches in order that must not be cut; they may touch.
        level_db: level every 10 ms, `[n]`.
    """
    smooth = _smooth(level_db)
    high = float(np.percentile(smooth, 95)) if len(smooth) else 0.0
    low = max(float(smooth.min(initial=high)), high - _RANGE_DB)
    scale = max(high - low, 1e-6)
    times, costs = [0.0], [0.0]
    free_from = 0.0
    inside = [(max(0.0, a), min(duration_s, b)) for a, b in events]
    for start, end in [*inside, (duration_s, duration_s)]:
        pause = start - free_from
        if pause >= 0:
            for at in _quietest(free_from, start, smooth):
                if not FRAME_S <= at <= duration_s - FRAME_S or at - times[-1] < FRAME_S:
                    continue
                frame = min(len(smooth) - 1, int(at / FRAME_S))
                loud = min(1.0, max(0.0, (smooth[frame] - low) / scale))
                change = min(1.0, _change(level_db, frame) / scale)
                times.append(at)
                costs.append(
                    _NO_PAUSE * math.exp(-pause / _PAUSE_S) + _LOUD * loud + _CHANGE * change
                )
        free_from = max(free_from, end)
    return Candidates(np.array([*times, duration_s]), np.array([*costs, 0.0]))


def _quietest(start: float, end: float, smooth: np.ndarray) -> list[float]:
    """The quietest moment of each second of a pause, in whole milliseconds."""
    guard = min(_GUARD_S, (end - start) / 3)
    low, high = start + guard, end - guard
    out = []
    parts = max(1, round((high - low) / _GRID_S))
    for part in range(parts):
        a = low + (high - low) * part / parts
        b = low + (high - low) * (part + 1) / parts
        first, last = math.ceil(a / FRAME_S), math.floor(b / FRAME_S)
        if last > first and first < len(smooth):
            window = smooth[first : min(last, len(smooth))]
            # Among equals the middle one: digital silence has no quietest moment.
            equal = np.flatnonzero(window <= window.min() + 1e-3)
            out.append(round((first + int(equal[len(equal) // 2])) * FRAME_S, 3))
        else:
            middle = round((start + end) / 2, 3)
            if start <= middle <= end:
                out.append(middle)
    return out


def _smooth(level_db: np.ndarray) -> np.ndarray:
    if not len(level_db):
        return level_db
    width = min(_SMOOTH_FRAMES, len(level_db))
    padded = np.pad(level_db.astype(np.float64), (width // 2, width - 1 - width // 2), mode="edge")
    total = np.concatenate([[0.0], np.cumsum(padded)])
    out: np.ndarray = (total[width:] - total[:-width]) / width
    return out


def _change(level_db: np.ndarray, frame: int) -> float:
    """How far the mean levels before and after a moment differ, in dB."""
    before = level_db[max(0, frame - _ACROSS_FRAMES) : frame]
    after = level_db[frame : frame + _ACROSS_FRAMES]
    return abs(float(before.mean()) - float(after.mean())) if len(before) and len(after) else 0.0


def choose(
    places: Candidates, *, shortest_s: float, wanted_s: float, longest_s: float
) -> list[float]:
    """Times at which to cut, the recording's start and end included, of the cheapest tiling.

    As few segments as possible lie outside the bounds, and those by as little as possible; then
    cuts and lengths are weighed.
    """
    times, costs = places.times_s, places.costs
    last = len(times) - 1
    best = np.full(len(times), np.inf)
    best[0] = 0.0
    came_from = np.zeros(len(times), np.int64)
    earliest = _earliest(times, shortest_s, longest_s)
    for j in range(1, last + 1):
        first = int(earliest[j])
        lengths = times[j] - times[first:j]
        totals = best[first:j] + _length_costs(lengths, shortest_s, wanted_s, longest_s)
        # The latest of equals, so that the result does not depend on rounding across machines.
        pick = len(totals) - 1 - int(np.argmin(totals[::-1]))
        best[j], came_from[j] = totals[pick] + costs[j], first + pick
    out, at = [float(times[last])], last
    while at > 0:
        at = int(came_from[at])
        out.append(float(times[at]))
    return out[::-1]


def _earliest(times: np.ndarray, shortest_s: float, longest_s: float) -> np.ndarray:
    """For each place the first one from which a segment to it is worth considering.

    Segments above the longest length are worth it only around stretches that cannot be divided
    into good ones: what is left over beside such a stretch may join it.
    """
    out = np.searchsorted(times, times - longest_s - 1e-9)
    stretches = np.diff(times)
    for k in np.flatnonzero(stretches > longest_s - 2 * shortest_s):
        start = int(np.searchsorted(times, times[k] - 2 * shortest_s - 1e-9))
        end = int(np.searchsorted(times, times[k + 1] + longest_s + 1e-9, side="right"))
        reach = slice(int(k) + 1, end)
        out[reach] = np.minimum(out[reach], start)
    return np.minimum(out, np.maximum(np.arange(len(times)) - 1, 0))


def _length_costs(
    lengths: np.ndarray, shortest_s: float, wanted_s: float, longest_s: float
) -> np.ndarray:
    side = np.where(lengths < wanted_s, wanted_s - shortest_s, longest_s - wanted_s)
    inside = _LENGTH * np.minimum(1.0, np.abs(lengths - wanted_s) / np.maximum(side, 1e-9)) ** 2
    # Times are whole milliseconds: half of one is not outside.
    missing = np.maximum(shortest_s - lengths, lengths - longest_s)
    outside = np.where(missing > 5e-4, 1.0 + np.minimum(1.0, missing / longest_s), 0.0)
    out: np.ndarray = inside + _OUTSIDE * outside
    return out
