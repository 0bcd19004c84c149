"""Simple music with known facts: a generated score played by FluidSynth's library."""

from __future__ import annotations

import ctypes as c
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.scenes.missing import MissingDebianPackageError
from moss_audio.scenes.sounds.tones import SR, fade

_SOUND_FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
# General MIDI program numbers, from 0.
INSTRUMENTS = {
    "piano": 0, "electric piano": 4, "music box": 10, "marimba": 12, "organ": 19, "accordion": 21,
    "guitar": 24, "violin": 40, "cello": 42, "harp": 46, "strings": 48, "choir": 52, "trumpet": 56,
    "saxophone": 65, "clarinet": 71, "flute": 73,
}  # fmt: skip
TEMPOS = {"slow": (58, 84), "medium": (94, 124), "fast": (140, 180)}
KEYS = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
PROGRESSIONS = ((0, 3, 4, 0), (0, 5, 3, 4), (0, 4, 5, 3), (0, 3, 0, 4), (0, 5, 1, 4))


@dataclass(frozen=True)
class MusicFacts:
    """What is known of a piece; `tempo` is the band of `tempo_bpm`, `key` like "E flat minor"."""

    instrument: str
    tempo: str
    tempo_bpm: int
    key: str
    meter: str
    drums: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Note:
    """One note: seconds, MIDI channel, key and velocity."""

    start: float
    end: float
    channel: int
    key: int
    velocity: int


def compose_score(rng: np.random.Generator, seconds: float) -> tuple[MusicFacts, list[Note]]:
    """Melody, chords and perhaps drums of about `seconds`, and what is true of them."""
    instrument = list(INSTRUMENTS)[int(rng.integers(len(INSTRUMENTS)))]
    tempo = list(TEMPOS)[int(rng.integers(3))]
    bpm = int(rng.integers(TEMPOS[tempo][0], TEMPOS[tempo][1] + 1))
    tonic, mode = int(rng.integers(12)), "major" if rng.random() < 0.5 else "minor"
    beats = 4 if rng.random() < 0.7 else 3
    drums = bool(rng.random() < 0.3)
    beat = 60.0 / bpm
    scale = SCALES[mode]

    def pitch(degree: int, base: int) -> int:
        return base + tonic + scale[degree % 7] + 12 * (degree // 7)

    progression = PROGRESSIONS[int(rng.integers(len(PROGRESSIONS)))]
    notes: list[Note] = []
    degree, bar, t = 7, 0, 0.0
    while t < seconds - beats * beat * 0.5:
        root = progression[bar % 4]
        for d in (0, 2, 4):
            end = t + beats * beat * 0.95
            notes.append(Note(t, end, 1, pitch(root + d, 48), 62))
        at = 0.0
        while at < beats:
            step = float(rng.choice((0.5, 1.0, 1.0, 2.0)))
            step = min(step, beats - at)
            if at == 0:
                degree = root + 7 + int(rng.choice((0, 2, 4)))
            else:
                degree = int(np.clip(degree + rng.integers(-2, 3), 5, 14))
            start = t + at * beat
            notes.append(Note(start, start + step * beat * 0.92, 0, pitch(degree, 60), 95))
            at += step
        if drums:
            for b in range(beats):
                start = t + b * beat
                notes.append(Note(start, start + 0.1, 9, 36 if b % 2 == 0 else 38, 90))
                for half in (0.0, 0.5):
                    notes.append(Note(start + half * beat, start + half * beat + 0.1, 9, 42, 60))
        t += beats * beat
        bar += 1
    facts = MusicFacts(instrument, tempo, bpm, f"{KEYS[tonic]} {mode}", f"{beats}/4", drums)
    return facts, notes


class MusicPlayer:
    """FluidSynth with a General MIDI sound font, loaded once."""

    def __init__(self, sound_font: Path = _SOUND_FONT) -> None:
        try:
            lib: Any = c.CDLL("libfluidsynth.so.3")
        except OSError as error:
            raise MissingDebianPackageError(("libfluidsynth3",), "Music") from error
        if not sound_font.exists():
            raise MissingDebianPackageError(("fluid-soundfont-gm",), "Music")
        lib.fluid_set_log_function.argtypes = [c.c_int, c.c_void_p, c.c_void_p]
        for level in range(5):
            lib.fluid_set_log_function(level, None, None)
        lib.new_fluid_settings.restype = c.c_void_p
        lib.fluid_settings_setnum.argtypes = [c.c_void_p, c.c_char_p, c.c_double]
        lib.fluid_settings_setint.argtypes = [c.c_void_p, c.c_char_p, c.c_int]
        lib.new_fluid_synth.restype = c.c_void_p
        lib.new_fluid_synth.argtypes = [c.c_void_p]
        lib.fluid_synth_sfload.argtypes = [c.c_void_p, c.c_char_p, c.c_int]
        lib.fluid_synth_noteon.argtypes = [c.c_void_p, c.c_int, c.c_int, c.c_int]
        lib.fluid_synth_noteoff.argtypes = [c.c_void_p, c.c_int, c.c_int]
        lib.fluid_synth_program_change.argtypes = [c.c_void_p, c.c_int, c.c_int]
        lib.fluid_synth_system_reset.argtypes = [c.c_void_p]
        lib.fluid_synth_write_float.argtypes = [
            c.c_void_p, c.c_int, c.c_void_p, c.c_int, c.c_int, c.c_void_p, c.c_int, c.c_int,
        ]  # fmt: skip
        settings = lib.new_fluid_settings()
        lib.fluid_settings_setnum(settings, b"synth.sample-rate", float(SR))
        lib.fluid_settings_setnum(settings, b"synth.gain", 0.4)
        # Their oscillators run on from piece to piece; the composer adds its own room.
        lib.fluid_settings_setint(settings, b"synth.reverb.active", 0)
        lib.fluid_settings_setint(settings, b"synth.chorus.active", 0)
        self._lib, self._synth = lib, lib.new_fluid_synth(settings)
        if lib.fluid_synth_sfload(self._synth, str(sound_font).encode(), 1) < 0:
            raise MissingDebianPackageError(("fluid-soundfont-gm",), "Music")

    def play(self, rng: np.random.Generator, seconds: float) -> tuple[MusicFacts, np.ndarray]:
        """A piece of `seconds`: its facts and float32 [n] at 16 kHz, mono."""
        facts, notes = compose_score(rng, seconds)
        program = INSTRUMENTS[facts.instrument]
        return facts, self.render(notes, {0: program, 1: program}, seconds)

    def render(self, notes: list[Note], programs: dict[int, int], seconds: float) -> np.ndarray:
        """Notes as sound, `programs` by channel: float32 [seconds * 16000], mono."""
        lib, synth = self._lib, self._synth
        lib.fluid_synth_system_reset(synth)
        for channel, program in programs.items():
            lib.fluid_synth_program_change(synth, channel, program)
        moves = sorted(
            [(int(n.start * SR), 1, n) for n in notes] + [(int(n.end * SR), 0, n) for n in notes],
            key=lambda m: (m[0], m[1], m[2].channel, m[2].key),
        )
        total = int(seconds * SR)
        out = np.zeros(total, np.float32)
        at = 0
        for when, on, note in [*moves, (total, 0, None)]:
            stop = min(when, total)
            if stop > at:
                left, right = np.zeros(stop - at, np.float32), np.zeros(stop - at, np.float32)
                lib.fluid_synth_write_float(
                    synth, stop - at, left.ctypes.data, 0, 1, right.ctypes.data, 0, 1
                )
                out[at:stop] = 0.5 * (left + right)
                at = stop
            if note is not None and on:
                lib.fluid_synth_noteon(synth, note.channel, note.key, note.velocity)
            elif note is not None:
                lib.fluid_synth_noteoff(synth, note.channel, note.key)
        # A cut in the middle of the sound would click; a slow fade ends it.
        end = min(int(0.4 * SR), out.size)
        out[-end:] *= np.linspace(1, 0, end, dtype=np.float32)
        return fade(out)
