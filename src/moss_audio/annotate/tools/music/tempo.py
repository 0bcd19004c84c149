"""Tempo and beats: the periodicity of onsets, a prior against octave errors, librosa's beats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from moss_audio.annotate.records import Span
from moss_audio.annotate.tool import import_librosa
from moss_audio.annotate.tools.music.features import (
    ONSET_HOP_SAMPLES,
    ONSET_RATE,
    PURPOSE,
    LibrosaTool,
    MusicFeatures,
)
from moss_audio.errors import MossAudioError
from moss_audio.units import SAMPLE_RATE

_STEP_OCTAVES = 0.005  # of the tempo grid: 0.35 %
_LOCAL_MEAN_S = 1.0
_SAME_TEMPO_OCTAVES = 0.1
_CLEAR_PULSE, _LEAD_SLOPE = 0.15, 8.5


@dataclass(frozen=True)
class TempoConfig:
    """Which tempos are possible, and which are likely.

    The prior is a bell over log2 of the tempo, after Ellis (2007): of two tempos an octave apart
    that the onsets support alike, the one nearer to `likely_bpm` is taken.
    """

    slowest_bpm: float = 40.0
    fastest_bpm: float = 220.0
    likely_bpm: float = 120.0
    spread_octaves: float = 1.0
    min_pulse: float = 0.05  # autocorrelation of the onsets at a beat; below it: no result
    tightness: float = 100.0  # of librosa's beat tracker: how evenly beats come

    def __post_init__(self) -> None:
        if not 0.0 < self.slowest_bpm < self.fastest_bpm:
            raise MossAudioError(
                f"tempo: slowest_bpm {self.slowest_bpm} must be above 0 and below fastest_bpm "
                f"{self.fastest_bpm}"
            )
        if min(self.likely_bpm, self.spread_octaves, self.tightness) <= 0:
            raise MossAudioError("tempo: likely_bpm, spread_octaves, tightness must be above 0")


class TempoTool(LibrosaTool):
    """Kind `tempo`: beats as spans (a point in time each), bpm; the score is about the
    probability that the bpm are right."""

    kind = "tempo"
    name = "music/tempo"
    config: TempoConfig
    shortest_s = 4.0  # a slow beat four times

    def setup(self) -> None:
        """Compiles librosa's beat tracker: takes seconds, once per worker."""
        pulse = np.zeros(800, np.float32)
        pulse[::50] = 1.0
        _track_beats(pulse, 120.0, self.config.tightness)

    def hear(self, features: MusicFeatures) -> dict[str, Any] | None:
        """None without a pulse."""
        found = estimate_tempo(features.onset_strength, self.config)
        if found is None:
            return None
        bpm, confidence = found
        beats_s = _track_beats(features.onset_strength, bpm, self.config.tightness)
        beats_s = beats_s[beats_s < features.duration_s]
        if beats_s.size < 4:
            return None
        beats = tuple(Span("beat", float(at_s), float(at_s)) for at_s in beats_s)
        return {"score": confidence, "spans": beats, "values": {"bpm": _steady_bpm(beats_s, bpm)}}


def estimate_tempo(onset_strength: np.ndarray, config: TempoConfig) -> tuple[float, float] | None:
    """Beats a minute and about the probability that they are right; None without a pulse.

    A tempo is doubtful where another one, an octave away or not, does nearly as well. The slope
    was fitted to 160 excerpts of rendered pieces, half of them in noise.

    Args:
        onset_strength: [onset frames], `ONSET_RATE` a second.
    """
    from scipy.ndimage import uniform_filter1d
    from scipy.signal import correlate

    width = int(_LOCAL_MEAN_S * ONSET_RATE)
    peaks = np.maximum(onset_strength - uniform_filter1d(onset_strength, width), 0.0)
    # Nobody plays to the hundredth of a second: onsets are widened to about 30 ms.
    window = np.hanning(7)
    peaks = np.convolve(peaks, window / window.sum(), mode="same")
    peaks -= peaks.mean()
    if not np.any(peaks):
        return None
    full = correlate(peaks, peaks, method="fft")[peaks.size - 1 :]
    similarity = full / np.arange(peaks.size, 0, -1)  # fewer pairs at long lags
    similarity /= similarity[0]
    octaves = np.arange(0.0, np.log2(config.fastest_bpm / config.slowest_bpm), _STEP_OCTAVES)
    bpms = config.slowest_bpm * 2.0**octaves
    lags = 60.0 * ONSET_RATE / bpms
    bpms, lags = bpms[lags < peaks.size / 2], lags[lags < peaks.size / 2]
    if not bpms.size:
        return None
    at_lag = np.interp(lags, np.arange(peaks.size), similarity)
    prior = np.exp(-0.5 * (np.log2(bpms / config.likely_bpm) / config.spread_octaves) ** 2)
    merit = at_lag * prior
    best = int(np.argmax(merit))
    pulse = float(at_lag[best])
    if pulse < config.min_pulse:
        return None
    others = np.abs(np.log2(bpms / bpms[best])) > _SAME_TEMPO_OCTAVES
    lead = float(merit[best] - merit[others].max()) if others.any() else 0.0
    confidence = min(1.0, pulse / _CLEAR_PULSE) / (1.0 + np.exp(-_LEAD_SLOPE * max(0.0, lead)))
    return float(bpms[best]), float(confidence)


def _track_beats(onset_strength: np.ndarray, bpm: float, tightness: float) -> np.ndarray:
    """Times of the beats in seconds: dynamic programming over the onsets (Ellis 2007)."""
    _, frames = import_librosa(PURPOSE).beat.beat_track(
        onset_envelope=onset_strength, sr=SAMPLE_RATE, hop_length=ONSET_HOP_SAMPLES, bpm=bpm,
        tightness=tightness, units="frames", trim=False,
    )  # fmt: skip
    frames = np.asarray(frames, dtype=int)
    if not frames.size:
        return np.zeros(0)
    # Beats before the music begins and after it ends go. (librosa's own trimming takes whole
    # sections away that are quieter than the rest.)
    around = [onset_strength[max(0, f - 5) : f + 6].max() for f in frames]
    heard = np.flatnonzero(np.array(around) > 0.1 * np.median(around))
    kept = frames[heard[0] : heard[-1] + 1] if heard.size else frames[:0]
    return kept / ONSET_RATE


def _steady_bpm(beats_s: np.ndarray, bpm: float) -> float:
    """The tempo that the beats keep: finer than the lags. `bpm` where they disagree with it."""
    # The median over intervals of several beats: rounding to frames is shared among them.
    reach = min(8, beats_s.size - 1)
    intervals_s = (beats_s[reach:] - beats_s[:-reach]) / reach
    kept = 60.0 / float(np.median(intervals_s))
    return kept if abs(kept / bpm - 1.0) < 0.04 else bpm
