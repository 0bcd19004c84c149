"""flite through its C library: segment times of the synthesised utterance give word times."""

from __future__ import annotations

import ctypes as c
from typing import Any

import numpy as np

from moss_audio.scenes.missing import MissingDebianPackageError
from moss_audio.scenes.voices.base import (
    SynthesisedSpeech,
    UnalignedError,
    finish,
    seed_c_library,
)

_VOICES = ("slt", "awb", "kal16", "rms")
# (pitch by resampling, tempo stretch): the first of a voice is as recorded.
_VARIANTS = ((1.0, 1.0), (0.9, 0.92), (1.1, 1.12), (0.95, 1.15), (1.05, 0.9), (0.84, 0.85))


class _Wave(c.Structure):
    _fields_ = [
        ("type", c.c_char_p),
        ("sample_rate", c.c_int),
        ("num_samples", c.c_int),
        ("num_channels", c.c_int),
        ("samples", c.POINTER(c.c_short)),
    ]


class _VoiceHead(c.Structure):
    _fields_ = [("name", c.c_char_p), ("features", c.c_void_p)]


class FliteVoice:
    """Speakers `flite/NAME-V`, NAME one of slt, awb, kal16, rms, V a pitch and tempo variant."""

    def __init__(self, seed: int = 0) -> None:
        try:
            c.CDLL("libflite.so.1", mode=c.RTLD_GLOBAL)
            c.CDLL("libflite_cmulex.so.1", mode=c.RTLD_GLOBAL)
            c.CDLL("libflite_usenglish.so.1", mode=c.RTLD_GLOBAL)
            lib: Any = c.CDLL("libflite.so.1")
            packs: dict[str, Any] = {n: c.CDLL(f"libflite_cmu_us_{n}.so.1") for n in _VOICES}
        except OSError as error:
            raise MissingDebianPackageError(("libflite1",), "The flite voice") from error
        lib.flite_synth_text.restype = c.c_void_p
        lib.flite_synth_text.argtypes = [c.c_char_p, c.c_void_p]
        lib.utt_wave.restype = c.POINTER(_Wave)
        lib.utt_wave.argtypes = [c.c_void_p]
        for name, args in (
            ("utt_relation", [c.c_void_p, c.c_char_p]),
            ("relation_head", [c.c_void_p]),
            ("item_next", [c.c_void_p]),
            ("item_daughter", [c.c_void_p]),
            ("path_to_item", [c.c_void_p, c.c_char_p]),
        ):
            function = getattr(lib, name)
            function.restype, function.argtypes = c.c_void_p, args
        lib.ffeature_float.restype = c.c_float
        lib.ffeature_float.argtypes = [c.c_void_p, c.c_char_p]
        lib.ffeature_string.restype = c.c_char_p
        lib.ffeature_string.argtypes = [c.c_void_p, c.c_char_p]
        lib.flite_feat_set_float.argtypes = [c.c_void_p, c.c_char_p, c.c_float]
        lib.delete_utterance.argtypes = [c.c_void_p]
        lib.flite_init()
        self._lib = lib
        self._voices: dict[str, Any] = {}
        for name, pack in packs.items():
            register = getattr(pack, f"register_cmu_us_{name}")
            register.restype, register.argtypes = c.c_void_p, [c.c_char_p]
            self._voices[name] = register(None)

    def speakers(self) -> tuple[str, ...]:
        """Names of all speakers."""
        return tuple(f"flite/{n}-{v}" for n in _VOICES for v in range(len(_VARIANTS)))

    def speak(self, text: str, speaker: str, rng: np.random.Generator) -> SynthesisedSpeech:
        """Say one sentence. Raises UnalignedError if its tokens do not match the words."""
        name, variant = speaker.split("/", 1)[1].rsplit("-", 1)
        pitch, stretch = _VARIANTS[int(variant)]
        stretch *= float(np.exp(rng.normal(0, 0.05)))
        voice = self._voices[name]
        features = c.cast(voice, c.POINTER(_VoiceHead)).contents.features
        self._lib.flite_feat_set_float(features, b"duration_stretch", stretch)
        seed_c_library(rng)
        utterance = self._lib.flite_synth_text(text.encode("ascii"), voice)
        if not utterance:
            raise UnalignedError(f"{speaker}: cannot say {text!r}")
        try:
            wave = self._lib.utt_wave(utterance).contents
            raw = np.ctypeslib.as_array(wave.samples, (wave.num_samples,)).astype(np.float32)
            rate = wave.sample_rate
            spans = self._spans(utterance)
        finally:
            self._lib.delete_utterance(utterance)
        return finish(raw / 32768.0, rate, text.split(), spans, speaker, pitch=pitch)

    def _spans(self, utterance: int) -> list[tuple[float, float]]:
        """(start, end) in seconds of every whitespace-delimited token of the utterance."""
        lib = self._lib
        spans = []
        token = lib.relation_head(lib.utt_relation(utterance, b"Token"))
        while token:
            start, end = None, 0.0
            word = lib.item_daughter(token)
            while word:
                head = b"R:SylStructure.daughter1.daughter1"
                if lib.path_to_item(word, head):
                    # The pause before the first segment is a segment of its own.
                    if start is None:
                        start = lib.ffeature_float(word, head + b".R:Segment.p.end")
                    tail = b"R:SylStructure.daughtern.daughtern.R:Segment.end"
                    end = lib.ffeature_float(word, tail)
                word = lib.item_next(word)
            if start is not None:
                spans.append((float(start), float(end)))
            token = lib.item_next(token)
        return spans
