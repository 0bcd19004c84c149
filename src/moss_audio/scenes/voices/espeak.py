"""espeak-ng through its C library: word events give starts, the sound's energy gives ends."""

from __future__ import annotations

import ctypes as c
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from moss_audio.scenes.voices.base import (
    SynthesisedSpeech,
    UnalignedError,
    finish,
    seed_c_library,
    to_16k,
)
from moss_audio.scenes.voices.espeak_library import UTF8, open_library, set_voice

_WORD = 1  # espeakEVENT_WORD
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_POS_CHARACTER = 1
_LANGUAGES = ("en-US", "en", "en-GB-x-rp", "en-GB-scotland")
_VARIANTS = ("", "+f1", "+f2", "+f3", "+f4", "+f5", "+m1", "+m2", "+m3", "+m4", "+m6", "+m7")


class _Event(c.Structure):
    _fields_ = [
        ("type", c.c_int),
        ("unique_identifier", c.c_uint),
        ("text_position", c.c_int),
        ("length", c.c_int),
        ("audio_position", c.c_int),
        ("sample", c.c_int),
        ("user_data", c.c_void_p),
        ("id", c.c_char * 8),
    ]


_Callback = c.CFUNCTYPE(c.c_int, c.POINTER(c.c_short), c.c_int, c.POINTER(_Event))


class EspeakVoice:
    """Speakers `espeak/LANGUAGE+VARIANT`; rate and pitch vary a little with each sentence.

    The library's oscillators run on from sentence to sentence: the sound repeats exactly only in
    a new process that says the same sentences in the same order.
    """

    def __init__(self, seed: int = 0) -> None:
        lib, self._rate = open_library()
        lib.espeak_SetSynthCallback.argtypes = [_Callback]
        lib.espeak_Synth.argtypes = [
            c.c_char_p, c.c_size_t, c.c_uint, c.c_int, c.c_uint, c.c_uint, c.c_void_p, c.c_void_p,
        ]  # fmt: skip
        self._lib = lib
        self._blocks: list[np.ndarray] = []
        self._events: list[tuple[int, int, int]] = []
        self._callback = _Callback(self._collect)  # kept: the library holds only a pointer
        lib.espeak_SetSynthCallback(self._callback)

    def speakers(self) -> tuple[str, ...]:
        """Names of all speakers."""
        return tuple(f"espeak/{a}{b}" for a in _LANGUAGES for b in _VARIANTS)

    def speak(self, text: str, speaker: str, rng: np.random.Generator) -> SynthesisedSpeech:
        """Say one sentence. Raises UnalignedError if its words run together."""
        samples = self._say(text, "gmw/" + speaker.split("/", 1)[1], speaker, rng)
        texts = text.split()
        starts = self._starts(text, texts, samples.size / self._rate)
        if len(starts) != len(texts):
            raise UnalignedError(f"{speaker}: {len(starts)} word events for {len(texts)} words")
        ends = [*starts[1:], samples.size / self._rate]
        # A pause follows punctuation: leave a gap there, so that the end is found by energy.
        ends = [
            e - 0.015 * t.endswith((",", ".", "?", "!")) for t, e in zip(texts, ends, strict=True)
        ]
        return finish(samples, self._rate, texts, list(zip(starts, ends, strict=True)), speaker)

    def sound(self, text: str, voice: str, rng: np.random.Generator) -> np.ndarray:
        """A sentence in any of espeak-ng's languages, without word times: float32 [n] at 16 kHz.

        `voice` is a name of the library's, as "roa/fr" or "gmw/de+f2". Raises UnalignedError if
        nothing is said, MissingDebianPackageError for an unknown voice.
        """
        samples = to_16k(self._say(text, voice, voice, rng), self._rate)
        return samples * np.float32(0.9 / max(1e-6, float(np.abs(samples).max())))

    def _say(self, text: str, voice: str, speaker: str, rng: np.random.Generator) -> np.ndarray:
        """The library's own samples [n] at its rate; word events are in `self._events`."""
        lib = self._lib
        set_voice(lib, voice, f"The voice {speaker}")
        lib.espeak_SetParameter(_RATE, int(rng.uniform(130, 190)), 0)
        lib.espeak_SetParameter(_PITCH, int(rng.uniform(35, 65)), 0)
        lib.espeak_SetParameter(_RANGE, int(rng.uniform(30, 80)), 0)
        self._blocks, self._events = [], []
        seed_c_library(rng)
        raw = text.encode() + b"\0"
        # On a thread, where Python handles no signals: C would lose Ctrl-C inside the callback.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(
                lib.espeak_Synth, raw, len(raw), 0, _POS_CHARACTER, 0, UTF8, None, None
            ).result()
            thread.submit(lib.espeak_Synchronize).result()
        if not self._blocks:
            raise UnalignedError(f"{speaker}: cannot say {text!r}")
        return np.concatenate(self._blocks).astype(np.float32) / 32768.0

    def _collect(self, wav: Any, n: int, events: Any) -> int:
        if wav and n > 0:
            self._blocks.append(np.ctypeslib.as_array(wav, (n,)).copy())
        i = 0
        while events[i].type != 0:
            event = events[i]
            if event.type == _WORD:
                self._events.append((event.text_position - 1, event.length, event.audio_position))
            i += 1
        return 0

    def _starts(self, text: str, texts: list[str], total_s: float) -> list[float]:
        """Start of each written word in seconds; an event inside a word belongs to that word.

        Words the engine says as one ("of the") have one event: their time is shared by letters.
        """
        begins, position = [], 0
        for word in texts:
            position = text.index(word, position)
            begins.append(position)
            position += len(word)
        found: dict[int, float] = {}
        for at, _length, ms in sorted(self._events, key=lambda e: e[2]):
            word_index = int(np.searchsorted(begins, at, side="right")) - 1
            if word_index >= 0 and word_index not in found:
                found[word_index] = ms / 1000.0
        known = sorted(found)
        if not known or known[0] != 0 or len(known) < 0.6 * len(texts):
            return []
        starts: list[float] = []
        for i, first in enumerate(known):
            stop = known[i + 1] if i + 1 < len(known) else len(texts)
            begin = found[first]
            end = found.get(stop, total_s)
            if stop - first > 1 and stop == len(texts):
                return []  # the last words run together up to an unknown pause
            letters = [len(w) + 1 for w in texts[first:stop]]
            shares = np.cumsum([0, *letters[:-1]]) / sum(letters)
            starts += [begin + float(f) * (end - begin) for f in shares]
        return starts if starts == sorted(starts) else []
