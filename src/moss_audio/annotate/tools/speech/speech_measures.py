"""Where somebody speaks, and what of it can be measured: pitch, level, speed, pauses, noise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from moss_audio.annotate.records import AudioSegment
from moss_audio.annotate.tool import import_librosa
from moss_audio.annotate.tools.speech.heard import heard_speech
from moss_audio.annotate.tools.speech.timing import aligned_words
from moss_audio.dsp.loudness import BLOCK_S, GATE_LUFS, frame_levels_db, measure_loudness
from moss_audio.result import Word
from moss_audio.text import normalize_words
from moss_audio.units import SAMPLE_RATE

REGIONS = "2"  # how they are found; part of the versions of those that use them
FRAME_S = 0.02
# Words closer than this are one stretch of speech: the closure of a stop is no pause.
JOIN_S = 0.2
_ABOVE_FLOOR_DB, _BELOW_PEAK_DB, _LOWEST_DB = 9.0, 30.0, -65.0
_LEAST_S = 0.1


def speech_regions(samples: np.ndarray, segment: AudioSegment) -> list[tuple[float, float]]:
    """(start, end) in seconds of stretches of speech, in order and apart: of aligned words, else
    what is loud where detectors hear speech, else whatever is loud."""
    words = aligned_words(segment)
    if words:
        return joined([(word.start, word.end) for word in words])
    loud, heard = loud_regions(samples), heard_speech(segment)
    if not heard:
        return loud
    both = [(max(a, c), min(b, d)) for a, b in loud for c, d in heard]
    return [(start, end) for start, end in both if end - start >= _LEAST_S] or heard


def joined(spans: list[tuple[float, float]], gap_s: float = JOIN_S) -> list[tuple[float, float]]:
    """Spans with those that overlap, or are less than `gap_s` apart, made one."""
    out: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if out and start - out[-1][1] < gap_s:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        elif end > start:
            out.append((start, end))
    return out


def levels_db(samples: np.ndarray) -> np.ndarray:
    """Level of each whole frame of 20 ms, dB of full scale, -120 at least."""
    return frame_levels_db(np.asarray(samples, np.float64), round(FRAME_S * SAMPLE_RATE))


def loud_regions(samples: np.ndarray) -> list[tuple[float, float]]:
    """Stretches well above the quietest tenth of the sound and not far below its loudest."""
    level = levels_db(samples)
    if not len(level):
        return []
    floor, peak = np.percentile(level, 10), np.percentile(level, 95)
    limit = max(min(floor + _ABOVE_FLOOR_DB, peak - 3), peak - _BELOW_PEAK_DB, _LOWEST_DB)
    loud = np.flatnonzero(level > limit)
    regions = joined([(k * FRAME_S, (k + 1) * FRAME_S) for k in loud])
    return [(start, end) for start, end in regions if end - start >= _LEAST_S]


# A pause inside speech, as in studies of fluency (de Jong and Bosker 2013).
PAUSE_S = 0.25
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 500.0
_PITCH_FRAME, _PITCH_HOP = 1024, 256
# pyin takes about as long as a tenth of the sound; half a minute of speech says what there is.
_PITCH_SPEECH_S = 30.0
_LEAST_VOICED_FRAMES = 10
_LEAST_NOISE_S = 0.2
_NOISE_WITHIN_S = 2.0  # of speech: what sounds long before or after it does not cover it
_FILLERS = re.compile(r"^(u+h+|u+m+|e+r+m*|e+h+|a+h+|m+h*m+|h+m+)$")


def measure(
    samples: np.ndarray, regions: Sequence[tuple[float, float]], words: Sequence[Word]
) -> dict[str, float]:
    """All that can be measured; what cannot (too little of it) is left out.

    Args:
        samples: float32 `[n]` at 16 kHz.
        regions: stretches of speech, (start, end) in seconds.
        words: with times; empty if they are not known.
    """
    spoken = _cut(samples, regions)
    return {**pitch(spoken), **loudness(spoken), **noise(samples, regions), **pace(words)}


def pitch(spoken: np.ndarray) -> dict[str, float]:
    """`pitch_hz` (median) and `pitch_range_semitones` (10th to 90th percentile), by pyin
    (Mauch and Dixon 2014)."""
    librosa = import_librosa("Measures of speech")
    spoken = np.asarray(spoken[: round(_PITCH_SPEECH_S * SAMPLE_RATE)], np.float32)
    if len(spoken) < 4 * _PITCH_FRAME:
        return {}
    hz, voiced, _ = librosa.pyin(
        spoken,
        fmin=_LOWEST_HZ,
        fmax=_HIGHEST_HZ,
        sr=SAMPLE_RATE,
        frame_length=_PITCH_FRAME,
        hop_length=_PITCH_HOP,
        resolution=0.2,  # a fifth of a semitone: twice as fast as the default
    )
    found = hz[voiced & np.isfinite(hz)]
    if len(found) < _LEAST_VOICED_FRAMES:
        return {}
    low, median, high = np.percentile(found, (10, 50, 90))
    return {
        "pitch_hz": _round(median),
        "pitch_range_semitones": _round(12 * np.log2(high / low)),
    }


def loudness(spoken: np.ndarray) -> dict[str, float]:
    """`loudness_lufs` of the speech alone (ITU-R BS.1770, pyloudnorm)."""
    found = measure_loudness(spoken) if len(spoken) > BLOCK_S * SAMPLE_RATE else None
    return {} if found is None or found <= GATE_LUFS else {"loudness_lufs": _round(found)}


def noise(samples: np.ndarray, regions: Sequence[tuple[float, float]]) -> dict[str, float]:
    """`snr_db`: power while somebody speaks, less that of the rest, over that of the rest: the
    median of what is heard within 2 s of the speech, for a door beside it is no noise behind it.

    Left out where there is hardly any rest. At most 60: digital silence is no better.
    """
    level = levels_db(samples)
    middle = (np.arange(len(level)) + 0.5) * FRAME_S
    near = np.zeros(len(level), bool)
    around = np.zeros(len(level), bool)
    speech = np.zeros(len(level), bool)
    for start, end in regions:
        speech |= (middle >= start) & (middle < end)
        # Word times are not exact and rooms ring: what is next to speech is neither.
        near |= (middle >= start - 0.1) & (middle < end + 0.2)
        around |= (middle >= start - _NOISE_WITHIN_S) & (middle < end + _NOISE_WITHIN_S)
    rest = around & ~near
    if rest.sum() * FRAME_S < _LEAST_NOISE_S or not speech.any():
        return {}
    power = 10 ** (level / 10)
    background = float(np.median(power[rest]))
    signal = max(float(power[speech].mean()) - background, 1e-12)
    return {"snr_db": _round(float(np.clip(10 * np.log10(signal / background), -20.0, 60.0)))}


def pace(words: Sequence[Word]) -> dict[str, float]:
    """Speed and fluency from word times: `words_per_minute` (pauses taken out),
    `pause_share` of the time from first to last word, `pauses_per_minute`, `longest_pause_s`,
    `fillers_per_100_words` and `repeats_per_100_words`. Nothing for fewer than three words."""
    if len(words) < 3:
        return {}
    stretches = joined([(w.start, w.end) for w in words], PAUSE_S)
    total_s = stretches[-1][1] - stretches[0][0]
    spoken_s = sum(end - start for start, end in stretches)
    if spoken_s <= 0:
        return {}
    gaps = [b[0] - a[1] for a, b in pairwise(stretches)]
    said = [word for one in words for word in normalize_words(one.text)]
    repeats = sum(a == b for a, b in pairwise(said))
    fillers = sum(bool(_FILLERS.match(word)) for word in said)
    per_100 = 100 / max(1, len(said))
    return {
        "words_per_minute": _round(60 * len(said) / spoken_s),
        "pause_share": _round(1 - spoken_s / total_s, 3),
        "pauses_per_minute": _round(60 * len(gaps) / total_s),
        "longest_pause_s": _round(max(gaps, default=0.0), 2),
        "fillers_per_100_words": _round(fillers * per_100),
        "repeats_per_100_words": _round(repeats * per_100),
    }


def _cut(samples: np.ndarray, regions: Sequence[tuple[float, float]]) -> np.ndarray:
    parts = [samples[round(a * SAMPLE_RATE) : round(b * SAMPLE_RATE)] for a, b in regions]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _round(value: Any, digits: int = 1) -> float:
    return round(float(value), digits)
