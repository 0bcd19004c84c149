"""Notes as sound, played by FluidSynth's library on a General MIDI sound font."""

from __future__ import annotations

import ctypes as c
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.scenes.missing import MissingDebianPackageError
from moss_audio.scenes.music import Note
from moss_audio.scenes.sounds.tones import fade
from moss_audio.units import SAMPLE_RATE as SR

_SOUND_FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")


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

    def render(
        self, notes: Sequence[Note], programs: Mapping[int, int], seconds: float
    ) -> np.ndarray:
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
