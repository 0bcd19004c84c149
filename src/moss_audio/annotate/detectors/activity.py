"""Any sound that stands out from its surroundings, whatever it is.

Nothing is trained and no level is fixed. In each of a few mel bands a floor is tracked: a low
percentile of the level within half a minute on either side. A frame is active when its strongest
bands rise above the floor by several times what the floor itself fluctuates. So a steady noise is
heard when it begins, and counts as background once it has lasted about as long as the floor's
window; what happens above it is heard all the while.

Knocks and beeps of one kind come in trains: spans that follow each other closely and sound alike
are one event. A stretch of activity that lasts long is divided where its spectrum changes most,
for two sounds may touch without a pause.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moss_audio.annotate.detectors.bands import (
    N_BANDS,
    TILE_FRAMES,
    band_levels,
    moving_percentile,
    tiles,
)
from moss_audio.annotate.detectors.base import (
    FRAMES_PER_SECOND,
    Detector,
    blocks,
    check_samples,
    stretches,
)
from moss_audio.annotate.records import Span

LABEL = "sound"
_TILES_PER_SECOND = FRAMES_PER_SECOND // TILE_FRAMES
_STEP = _TILES_PER_SECOND  # the floor is tracked once a second


@dataclass(frozen=True)
class ActivityConfig:
    """When a sound stands out.

    Attributes:
        reach_s: the floor is taken from this much on either side. With 30 s, what lasts
            most of a minute is background, as the specification has it (3.1: non-speech events
            of over 60 s take no part in the boundaries).
        floor_percent: the percentile that is the floor. Sounds may fill the rest of the time.
        range_db: this far below the loudest sound nearby counts as silence; so digital silence
            does not turn dither into a sound.
        on, off: rise above the floor, as multiples of the floor's own fluctuation.
        least_db: the fluctuation counts as at least this: recordings may be made still by codecs.
        top_bands: the rise is the mean of this many bands, the ones that rise most.
        join_s: shorter pauses do not end a span.
        train_s: alike spans with pauses up to this are one event.
        alike: cosine of the rise in all bands from which two spans sound alike.
        shortest_s: shorter spans are dropped.
        divide_over_s: spans longer than this are divided at changes of the spectrum.
        change: a change divides that is this many times the span's median change.
    """

    reach_s: float = 30.0
    floor_percent: float = 10.0
    range_db: float = 60.0
    on: float = 5.0
    off: float = 3.0
    least_db: float = 2.0
    top_bands: int = 3
    join_s: float = 0.2
    train_s: float = 1.2
    alike: float = 0.9
    shortest_s: float = 0.03
    divide_over_s: float = 20.0
    change: float = 3.0


class ActivityDetector(Detector):
    """Hears sounds without names; their label is "sound"."""

    name = "activity"
    vocabulary = "sound"
    defaults = ActivityConfig
    config: ActivityConfig

    def detect(self, samples: np.ndarray) -> list[Span]:
        check_samples(samples)
        config = self.config
        levels = [tiles(band_levels(samples, block)) for block in blocks(len(samples))]
        if not levels:
            return []
        tiled = np.concatenate(levels)
        floor, spread = self._floor(tiled)
        # The samples are read twice: keeping the levels of all frames takes memory by the hour.
        rise = np.concatenate(
            [
                self._rise(band_levels(samples, b), floor, spread, b.start)
                for b in blocks(len(samples))
            ]
        )
        pieces = stretches(
            rise, config.on, config.off, join_s=config.join_s, shortest_s=config.shortest_s
        )
        at = np.minimum(np.arange(len(tiled)) // _STEP, len(floor) - 1)
        above = np.maximum(tiled - floor[at], 0)
        pieces = self._trains(pieces, above)
        pieces = [part for piece in pieces for part in self._divided(piece, above)]
        return [self._span(piece, rise) for piece in pieces]

    def _floor(self, tiled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Once a second: the floor in dB, `[m, bands]`, and how much it fluctuates, `[m, 1]`."""
        config = self.config
        reach = round(config.reach_s * _TILES_PER_SECOND)
        loudest = moving_percentile(tiled.max(axis=1, keepdims=True), 98, reach, _STEP)
        floor = moving_percentile(tiled, config.floor_percent, reach, _STEP)
        floor = np.maximum(floor, loudest - config.range_db)
        # From the floor up to the middle of the quiet half: one and a half deviations or so of
        # a steady noise; music above it does not count.
        middle = moving_percentile(tiled, 2.5 * config.floor_percent, reach, _STEP)
        spread = np.median(np.maximum(middle - floor, 0), axis=1, keepdims=True)
        return floor, np.clip(spread, config.least_db, 2 * config.least_db)

    def _rise(
        self, levels: np.ndarray, floor: np.ndarray, spread: np.ndarray, start: int
    ) -> np.ndarray:
        """Rise of frames above the floor in units of its fluctuation, `[frames]`."""
        at = np.minimum((start + np.arange(len(levels))) // (_STEP * TILE_FRAMES), len(floor) - 1)
        above = levels - floor[at]
        top = np.partition(above, N_BANDS - self.config.top_bands, axis=1)
        rise = top[:, N_BANDS - self.config.top_bands :].mean(axis=1) / spread[at, 0]
        # Single frames of noise stray far; the mean of three neighbours does not.
        padded = np.pad(rise, 1, mode="edge")
        return ((padded[:-2] + padded[1:-1] + padded[2:]) / 3).astype(np.float32)

    def _trains(self, pieces: list[tuple[int, int]], above: np.ndarray) -> list[tuple[int, int]]:
        """Spans that follow closely and sound alike, joined."""
        longest_gap = self.config.train_s * FRAMES_PER_SECOND
        out: list[tuple[int, int]] = []
        last: np.ndarray | None = None
        for piece in pieces:
            shape = _shape(above, piece)
            if (
                last is not None
                and piece[0] - out[-1][1] <= longest_gap
                and float(last @ shape) >= self.config.alike
            ):
                out[-1] = (out[-1][0], piece[1])
            else:
                out.append(piece)
            last = shape
        return out

    def _divided(self, piece: tuple[int, int], above: np.ndarray) -> list[tuple[int, int]]:
        """A long span in parts: where the half seconds before and after differ most."""
        start, end = piece
        longest = self.config.divide_over_s * FRAMES_PER_SECOND
        # What lasts longer than the floor's window is background; nothing hangs on its parts.
        if not longest < end - start <= 2 * self.config.reach_s * FRAMES_PER_SECOND:
            return [piece]
        part = above[start // TILE_FRAMES : end // TILE_FRAMES]
        half = _TILES_PER_SECOND // 2
        sums = np.concatenate([np.zeros((1, N_BANDS)), np.cumsum(part, axis=0, dtype=np.float64)])
        means = (sums[half:] - sums[:-half]) / half
        change = np.abs(means[half:] - means[:-half]).mean(axis=1)
        edge = 2 * half  # parts of less than a second are no gain
        inner = change[edge:-edge]
        if not len(inner) or inner.max() < self.config.change * np.median(change):
            return [piece]
        cut = (start // TILE_FRAMES + edge + int(inner.argmax()) + half) * TILE_FRAMES
        return [*self._divided((start, cut), above), *self._divided((cut, end), above)]

    def _span(self, piece: tuple[int, int], rise: np.ndarray) -> Span:
        mean = float(rise[piece[0] : piece[1]].mean())
        score = mean / (mean + self.config.on)  # one half where it just stands out
        start_s, end_s = piece[0] / FRAMES_PER_SECOND, piece[1] / FRAMES_PER_SECOND
        return Span(LABEL, start_s, end_s, round(score, 4), {"rise": round(mean, 2)})


def _shape(above: np.ndarray, piece: tuple[int, int]) -> np.ndarray:
    """The mean rise of a span in all bands, of length one."""
    first, last = piece[0] // TILE_FRAMES, (piece[1] - 1) // TILE_FRAMES + 1
    mean: np.ndarray = above[first:last].mean(axis=0)
    length = float(np.linalg.norm(mean))
    return mean / length if length else mean
