"""How loud the music is, and where it is louder or quieter than the rest of itself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tool import Tool
from moss_audio.dsp.loudness import GATE_LUFS, import_meter, measure_loudness
from moss_audio.units import SAMPLE_RATE

_HOP_S = 0.1
_WINDOW_S = 0.4  # the momentary loudness of EBU R 128
_SMOOTH_S = 3.0  # its short-term loudness
_GATE_DB = 30.0  # what lies further below the loudest is a rest, not quiet music
LEVELS = ("quiet", "medium", "loud")


@dataclass(frozen=True)
class DynamicsConfig:
    """Bounds in dB."""

    step_db: float = 3.0  # so far from the segment's middle level begins quiet or loud
    min_span_s: float = 2.0
    low_energy_lufs: float = -32.0
    high_energy_lufs: float = -16.0


class DynamicsTool(Tool):
    """Kind `dynamics`: spans quiet, medium, loud against the segment's own middle level.

    Values: `loudness_lufs` (ITU-R BS.1770, whole segment), `energy` (low, medium, high: that
    loudness against the two bounds of the configuration), `range_db` (between the 10th and the
    95th percentile of the short-term level).
    """

    branch = "music"
    kind = "dynamics"
    name = "music/dynamics"
    packages = ("pyloudnorm",)
    config: DynamicsConfig

    def setup(self) -> None:
        """Says at the start what is missing."""
        import_meter()

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """Nothing for less than a second, or silence."""
        if samples.size < SAMPLE_RATE:
            return []
        loudness_lufs = measure_loudness(samples)
        if loudness_lufs is None or loudness_lufs <= GATE_LUFS:
            return []
        level_db = short_term_level_db(samples)
        heard = level_db[level_db > level_db.max() - _GATE_DB]
        low_db, high_db = np.percentile(heard, (10, 95))
        spans = _bands(level_db - float(np.median(heard)), samples.size / SAMPLE_RATE, self.config)
        bounds = (self.config.low_energy_lufs, self.config.high_energy_lufs)
        values = {
            "energy": ("low", "medium", "high")[int(np.digitize(loudness_lufs, bounds))],
            "loudness_lufs": loudness_lufs,
            "range_db": float(high_db - low_db),
        }
        return self.found(spans=spans, values=values)


def short_term_level_db(samples: np.ndarray) -> np.ndarray:
    """[n]: level in dB of full scale every 0.1 s, windows of 0.4 s smoothed over 3 s."""
    from scipy.ndimage import uniform_filter1d

    hop, window = round(_HOP_S * SAMPLE_RATE), round(_WINDOW_S * SAMPLE_RATE)
    sums = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    starts = np.arange(0, max(1, samples.size - window + 1), hop)
    ends = np.minimum(starts + window, samples.size)
    power = (sums[ends] - sums[starts]) / np.maximum(ends - starts, 1)
    power = uniform_filter1d(power, round(_SMOOTH_S / _HOP_S), mode="nearest")
    level: np.ndarray = 10.0 * np.log10(np.maximum(power, 1e-12))
    return level


def _bands(relative_db: np.ndarray, duration_s: float, config: DynamicsConfig) -> tuple[Span, ...]:
    """Runs of one level; a run that is too short joins the one before it."""
    level = np.digitize(relative_db, (-config.step_db, config.step_db))
    changes = [0, *(np.flatnonzero(np.diff(level)) + 1).tolist(), len(level)]
    shortest = config.min_span_s / _HOP_S
    kept: list[list[int]] = []  # level, first frame, frame after the last
    for run in ([int(level[a]), a, b] for a, b in pairwise(changes)):
        if kept and (run[0] == kept[-1][0] or run[2] - run[1] < shortest):
            kept[-1][2] = run[2]
        elif kept and len(kept) == 1 and kept[0][2] - kept[0][1] < shortest:
            kept[0] = [run[0], kept[0][1], run[2]]
        else:
            kept.append(run)
    # A window's level belongs to its middle.
    middle_s = [run[1] * _HOP_S + (_WINDOW_S - _HOP_S) / 2 for run in kept[1:]]
    bounds = [0.0, *middle_s, duration_s]
    return tuple(Span(LEVELS[run[0]], bounds[i], bounds[i + 1]) for i, run in enumerate(kept))
