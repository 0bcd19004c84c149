"""What the music tools share of a segment: computed when first asked for, once a segment."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from moss_audio.annotate.records import AudioSegment, ToolResult
from moss_audio.annotate.tool import Tool, import_librosa
from moss_audio.dsp.loudness import rms
from moss_audio.units import SAMPLE_RATE

PURPOSE = "The music branch"  # what needs librosa
PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

# Onsets need fine steps (a beat at 180 a minute is 33 of them); harmony and timbre do not.
ONSET_HOP_SAMPLES = 160
ONSET_RATE = SAMPLE_RATE / ONSET_HOP_SAMPLES
FRAME_HOP_SAMPLES = 512
FRAME_RATE = SAMPLE_RATE / FRAME_HOP_SAMPLES
# C2 to B7: below it, 16-kHz mono recordings hold rumble; above it, the Nyquist frequency is near.
_LOWEST_NOTE, _OCTAVES = "C2", 6
_CHORD_WEIGHTS = np.array((1.0, 1.0, 1.0, 0.6, 0.3, 0.1))
# The filters of the lowest octave need this much sound, or librosa pads more than there is.
SHORTEST_S = 1.0
_SILENCE_RMS = 1e-4  # -80 dB of full scale


class MusicFeatures:
    """Onsets, harmony and timbre of one segment, mono float32 at 16 kHz.

    Frames are `FRAME_HOP_SAMPLES` apart, onset frames `ONSET_HOP_SAMPLES`; frame i is centred on
    sample i times the hop.
    """

    def __init__(self, samples: np.ndarray) -> None:
        self.samples = samples
        self.duration_s = samples.size / SAMPLE_RATE

    @cached_property
    def is_usable(self) -> bool:
        """Whether there is enough sound to say anything of its music."""
        if self.duration_s < SHORTEST_S or not np.isfinite(self.samples).all():
            return False
        return rms(self.samples) > _SILENCE_RMS

    @cached_property
    def onset_strength(self) -> np.ndarray:
        """[onset frames]: how much starts at each moment (spectral flux that vibrato leaves low,
        Böck & Widmer 2013)."""
        librosa = import_librosa(PURPOSE)
        mel = librosa.feature.melspectrogram(
            y=self.samples, sr=SAMPLE_RATE, n_fft=1024, hop_length=ONSET_HOP_SAMPLES,
            n_mels=80, fmin=30.0, fmax=SAMPLE_RATE / 2,
        )  # fmt: skip
        # The frames of `mel` are centred already; librosa's `center` would shift them once more,
        # by half of a window that it does not know, and make all beats 60 ms late.
        strength: np.ndarray = librosa.onset.onset_strength(
            S=librosa.power_to_db(mel), sr=SAMPLE_RATE, hop_length=ONSET_HOP_SAMPLES,
            lag=2, max_size=3, center=False,
        )  # fmt: skip
        return strength

    @cached_property
    def tuning(self) -> float:
        """How far from A = 440 Hz, in semitones, -0.5 to 0.5."""
        return float(import_librosa(PURPOSE).estimate_tuning(y=self.samples, sr=SAMPLE_RATE))

    @cached_property
    def spectrum(self) -> np.ndarray:
        """[octaves, 12, frames]: strength of each semitone from C2 up, in the piece's tuning."""
        librosa = import_librosa(PURPOSE)
        bins = librosa.cqt(
            self.samples, sr=SAMPLE_RATE, hop_length=FRAME_HOP_SAMPLES,
            fmin=librosa.note_to_hz(_LOWEST_NOTE), n_bins=12 * _OCTAVES, tuning=self.tuning,
        )  # fmt: skip
        strength: np.ndarray = np.abs(bins).reshape(_OCTAVES, 12, -1)
        return strength

    @cached_property
    def chroma(self) -> np.ndarray:
        """[12, frames] from C: how strong each pitch class is, the strongest of a frame 1."""
        folded: np.ndarray = self.spectrum.sum(axis=0)
        # Frames far below the loudest are silence: their noise must not be scaled up.
        floor = 1e-3 * float(folded.max())
        return np.where(folded.max(axis=0) > floor, folded / folded.max(axis=0).clip(floor), 0.0)

    @cached_property
    def chord_chroma(self) -> np.ndarray:
        """[12, frames] from C, for chords: low octaves, where they are played, count more, and
        loud notes (the tune) less than by their strength."""
        chroma: np.ndarray = np.einsum("o,opf->pf", _CHORD_WEIGHTS, np.sqrt(self.spectrum))
        return chroma

    @cached_property
    def timbre(self) -> np.ndarray:
        """[20, frames]: cepstral coefficients of the mel spectrum, the first being the level."""
        librosa = import_librosa(PURPOSE)
        mel = librosa.feature.melspectrogram(
            y=self.samples, sr=SAMPLE_RATE, n_fft=1024, hop_length=FRAME_HOP_SAMPLES, n_mels=64
        )
        coefficients: np.ndarray = librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=20)
        return coefficients


class MusicFeatureCache(dict[int, MusicFeatures]):
    """The features of the segments at hand, until `clear`: the tools of a branch share one."""

    def of(self, samples: np.ndarray) -> MusicFeatures:
        """The features of these samples."""
        return self.setdefault(id(samples), MusicFeatures(samples))


def block_means(frames: np.ndarray, edges_s: np.ndarray) -> np.ndarray:
    """Means of `frames` [d, frames] between successive `edges_s` [n + 1]: [d, n]."""
    total = frames.shape[1]
    edges = np.clip(np.round(edges_s * FRAME_RATE).astype(int), 0, total)
    # A block shorter than a frame has the frame it begins in.
    means = [
        frames[:, min(a, total - 1) : max(b, min(a, total - 1) + 1)].mean(axis=1)
        for a, b in pairwise(edges)
    ]
    return np.stack(means, axis=1)


class LibrosaTool(Tool):
    """Settings (None: there are none) and the features that all of a segment's tools share."""

    branch = "music"
    packages = ("librosa",)
    shortest_s = SHORTEST_S  # of less sound it says nothing

    def __init__(self, config: Any, features: MusicFeatureCache) -> None:
        super().__init__(config)
        self._features = features

    def load(self) -> Any:
        """Says at the start what is missing."""
        return import_librosa(PURPOSE)

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """At most one result; nothing for too little sound."""
        features = self._features.of(samples)
        if not features.is_usable or features.duration_s < self.shortest_s:
            return []
        found = self.hear(features)
        return self.found(**found) if found else []

    def hear(self, features: MusicFeatures) -> dict[str, Any] | None:
        """The fields of the result; None where there is nothing to say."""
        raise NotImplementedError
