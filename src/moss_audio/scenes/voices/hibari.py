"""hibari-tts: a small neural English voice whose graph holds each phoneme's duration.

More speakers come from warping what the network predicts before it becomes sound: the pitch curve
is scaled and bent, the spectral envelope stretched (vocal-tract length), the noise part raised.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.errors import MissingDependencyError
from moss_audio.scenes.voices.base import SynthesisedSpeech, UnalignedError, finish
from moss_audio.scenes.voices.onnx_outputs import open_graph
from moss_audio.scenes.voices.phonemes import spans_of

# Name of the integer duration tensor in the released graph (after rounding and clipping at 1).
_DURATIONS = "/Clip_output_0"
# The graph's durations run late against its sound, as those of the Kokoro teacher do: consonants
# that begin a word sound 75 ms (three units) before it. Measured on the rise of initial s and sh.
_LATE_S = 0.075
_PUNCTUATION = frozenset(';:,.!?—…"()“” ')


@dataclass(frozen=True)
class Warp:
    """One speaker: factors on pitch, pitch range, vocal-tract scale, tempo; gains in nepers."""

    pitch: float
    bend: float
    formant: float
    speed: float
    tilt: float
    breath: float


def speaker_warps(count: int) -> tuple[Warp, ...]:
    """`count` different speakers; the first is the voice as it was made."""
    rng = np.random.default_rng(20_240_601)
    warps = [Warp(1.0, 1.0, 1.0, 1.0, 0.0, 0.0)]
    while len(warps) < count:
        # Men, women and children: the pitch and the tract length go together, loosely.
        pitch = float(np.exp(rng.uniform(np.log(0.45), np.log(1.45))))
        formant = float(np.clip(pitch**0.33 * np.exp(rng.normal(0, 0.05)), 0.78, 1.2))
        warps.append(
            Warp(
                pitch,
                float(rng.uniform(0.6, 1.5)),
                formant,
                float(np.exp(rng.uniform(np.log(0.78), np.log(1.3)))),
                float(rng.normal(0, 0.5)),
                float(rng.uniform(-0.4, 1.0)),
            )
        )
    return tuple(warps)


class HibariVoice:
    """Speakers `hibari/00` to `hibari/79`; deterministic for a given generator."""

    def __init__(self, seed: int = 0) -> None:
        try:
            import onnxruntime  # noqa: F401  (so that its absence is told here)
            from hibari import dsp
            from hibari.g2p import G2P
            from hibari.g2p.normalize import normalize
            from hibari.tts import ASSETS
            from hibari.voices import DEFAULT, voice_path
        except ImportError as error:
            raise MissingDependencyError("hibari-tts", "voices", "the hibari voice") from error
        self._session: Any = open_graph(Path(voice_path(DEFAULT)), _DURATIONS)
        self._dsp: Any = dsp
        self._g2p: Any = G2P()
        self._normalize: Any = normalize
        vocabulary = (Path(ASSETS) / "vocab.json").read_text(encoding="utf-8")
        self._vocabulary: dict[str, int] = json.loads(vocabulary)
        self._warps = speaker_warps(80)

    def speakers(self) -> tuple[str, ...]:
        """Names of all speakers."""
        return tuple(f"hibari/{i:02d}" for i in range(len(self._warps)))

    def speak(self, text: str, speaker: str, rng: np.random.Generator) -> SynthesisedSpeech:
        """Say one sentence. Raises UnalignedError if its tokens do not match the words."""
        warp = self._warps[int(speaker.rsplit("/", 1)[1])]
        ids, owners, n_words = self._phonemes(text)
        texts = text.split()
        if n_words != len(texts):
            raise UnalignedError(f"{speaker}: {n_words} spoken words for {len(texts)} in {text!r}")
        speed = warp.speed * float(np.exp(rng.normal(0, 0.05)))
        *parts, durations = self._session.run(
            None,
            {"ids": np.asarray([ids], np.int64), "speed": np.asarray([speed], np.float32)},
        )
        lh, th, ln, lr, phi, f0 = (np.asarray(p[0]) for p in parts)
        units = np.asarray(durations).reshape(-1)
        frames = f0.shape[-1]
        if units.size != len(ids) or units.sum() <= 0 or frames % int(units.sum()):
            raise UnalignedError(f"{speaker}: durations do not fit the sound of {text!r}")
        unit_s = frames / float(units.sum()) * self._dsp.HOP / self._dsp.SR
        space = self._vocabulary[" "]
        spans = spans_of(units, owners, [i == space for i in ids], unit_s, _LATE_S)
        lh, th, ln, lr, phi = (
            _stretch(a, warp.formant, floor)
            for a, floor in ((lh, -9.0), (th, None), (ln, -9.0), (lr, -9.0), (phi, None))
        )
        ramp = (np.arange(lh.shape[0], dtype=np.float32) / 200.0)[:, None]  # per 4 kHz
        lh = lh - warp.tilt * 0.3 * ramp
        ln = ln - warp.tilt * 0.3 * ramp + np.float32(warp.breath * 0.5)
        samples = self._dsp.synth(lh, th, ln, lr, phi, _bend(f0, warp), rng)
        return finish(samples, self._dsp.SR, texts, spans, speaker)

    def _phonemes(self, text: str) -> tuple[list[int], list[int], int]:
        """Ids (padded with 0 at both ends), the word each id belongs to (-1: none), word count."""
        tokens = self._g2p.phonemize_tokens(self._g2p.tokenize(self._normalize(text)))
        ids, owners, word = [0], [-1], 0
        for token in tokens:
            for char in token.phonemes or "":
                if char in self._vocabulary:
                    ids.append(self._vocabulary[char])
                    owners.append(-1 if char in _PUNCTUATION else word)
            if token.whitespace:
                ids.append(self._vocabulary[" "])
                owners.append(-1)
                word += 1
        if ids[-1] == self._vocabulary[" "]:
            ids.pop()
            owners.pop()
            word -= 1
        return [*ids, 0], [*owners, -1], word + 1


def _stretch(a: np.ndarray, factor: float, floor: float | None) -> np.ndarray:
    """Move what is at frequency f to f * factor; a: [bins, frames], log magnitude or phase."""
    if factor == 1.0:
        return a
    bins = a.shape[0]
    at = np.arange(bins) / factor
    low = np.minimum(at.astype(np.int64), bins - 1)
    if floor is None:  # phases do not interpolate
        return np.ascontiguousarray(a[np.minimum(np.rint(at).astype(np.int64), bins - 1)])
    w = (at - low).astype(np.float32)[:, None]
    out = a[low] * (1 - w) + a[np.minimum(low + 1, bins - 1)] * w
    beyond = at > bins - 1
    out[beyond] = np.minimum(out[beyond], floor)
    return np.ascontiguousarray(out, dtype=np.float32)


def _bend(f0: np.ndarray, warp: Warp) -> np.ndarray:
    """Scale the pitch curve [frames] and bend its range about the median; 0 stays unvoiced."""
    voiced = f0 > 40.0
    if not voiced.any():
        return f0
    middle = float(np.median(f0[voiced]))
    bent = warp.pitch * middle * (np.maximum(f0, 1.0) / middle) ** warp.bend
    return np.where(voiced, np.clip(bent, 55.0, 480.0), 0.0).astype(np.float32)
