"""espeak-ng's C library: opened once for its voices and for its phonemes."""

from __future__ import annotations

import ctypes as c
from functools import cache
from typing import Any

from moss_audio.scenes.missing import MissingDebianPackageError

UTF8 = 1  # espeakCHARS_UTF8
_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS
_IPA, _TIED = 0x02, 0x80  # espeak_TextToPhonemes: write IPA, and a mark inside of double letters
TIE = "^"


def open_library() -> tuple[Any, int]:
    """The library, ready to speak without a sound device, and its sampling rate in Hz.

    Raises MissingDebianPackageError if it or its data is not installed.
    """
    try:
        lib: Any = c.CDLL("libespeak-ng.so.1")
    except OSError as error:
        raise MissingDebianPackageError(("libespeak-ng1",), "The espeak voice") from error
    lib.espeak_Initialize.argtypes = [c.c_int, c.c_int, c.c_char_p, c.c_int]
    rate = int(lib.espeak_Initialize(_SYNCHRONOUS, 0, None, 0))
    if rate <= 0:
        raise MissingDebianPackageError(("espeak-ng-data",), "The espeak voice")
    lib.espeak_SetVoiceByName.argtypes = [c.c_char_p]
    lib.espeak_TextToPhonemes.restype = c.c_char_p
    lib.espeak_TextToPhonemes.argtypes = [c.POINTER(c.c_void_p), c.c_int, c.c_int]
    return lib, rate


def set_voice(lib: Any, voice: str, purpose: str) -> None:
    """Take a voice by the library's name, as "gmw/en-US". Raises MissingDebianPackageError."""
    if lib.espeak_SetVoiceByName(voice.encode()) != 0:
        raise MissingDebianPackageError(("espeak-ng-data",), purpose)


class EspeakPhonemes:
    """Text in espeak-ng's IPA for one of its voices; double letters are joined by `TIE`."""

    def __init__(self, voice: str) -> None:
        self._voice = voice
        self._lib, _ = open_library()
        self.alone = cache(self.__call__)  # the same words come again and again

    def __call__(self, text: str) -> str:
        """The phonemes of a text without punctuation, words and groups of them apart by spaces."""
        set_voice(self._lib, self._voice, "Phonemes")
        buffer = c.create_string_buffer(text.encode())
        place = c.c_void_p(c.addressof(buffer))
        mode = _IPA | _TIED | ord(TIE) << 8
        found = []
        while place.value:  # it stops at what it takes for the end of a clause
            said = self._lib.espeak_TextToPhonemes(c.byref(place), UTF8, mode)
            found.append((said or b"").decode())
        return " ".join(" ".join(found).split())
