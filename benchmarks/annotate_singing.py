"""Singing of known times: festival's singing mode on random melodies.

Debian's `festival` with the diphone voices `festvox-kallpc16k` and `festvox-kdlpc16k`. There is no
recorded singing whose terms and times are known in any package used here, so this is all that the
class can be measured with; a synthetic voice sings less like a person than it speaks like one.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from moss_audio.recordings import load_audio
from moss_audio.scenes.events import trim
from moss_audio.scenes.missing import MissingDebianPackageError

VOICES = ("kal_diphone", "ked_diphone")
_SCALE = ("C", "D", "E", "F", "G", "A", "B")
_WORDS = (
    *("sun", "moon", "star", "light", "night", "sea", "wind", "rain", "home", "road", "long"),
    *("slow", "low", "high", "blue", "gold", "green", "love", "time", "day", "way", "may", "say"),
    *("gone", "song", "on", "away", "over", "under", "never", "ever", "sleep", "dream", "deep"),
    *("keep", "you", "me"),
)


def sing(rng: np.random.Generator, voice: str) -> np.ndarray:
    """A phrase of 6 to 14 notes, float32 at 16 kHz, peak one half, trimmed to what is heard.

    Raises MissingDebianPackageError without festival.
    """
    program = shutil.which("festival")
    if program is None:
        raise MissingDebianPackageError(("festival", "festvox-kallpc16k"), "Singing")
    step, octave = int(rng.integers(0, 7)), 3
    notes = []
    for _ in range(int(rng.integers(6, 15))):
        step += int(rng.integers(-2, 3))
        place = min(max(7 * octave + step, 7 * 2 + 4), 7 * 4 + 2)  # G2 to E4
        pitch = f"{_SCALE[place % 7]}{place // 7}"
        beats = float(rng.choice([0.5, 0.5, 1.0, 1.0, 1.5]))
        word = _WORDS[int(rng.integers(len(_WORDS)))]
        notes.append(f'<PITCH NOTE="{pitch}"><DURATION BEATS="{beats}">{word}</DURATION></PITCH>')
    score = (
        '<?xml version="1.0"?>\n<!DOCTYPE SINGING PUBLIC "-//SINGING//DTD SINGING mark up//EN" '
        f'"Singing.v0_1.dtd" []>\n<SINGING BPM="{int(rng.integers(60, 110))}">\n'
        + "\n".join(notes)
        + "\n</SINGING>\n"
    )
    with tempfile.TemporaryDirectory(prefix="moss-audio-sing-") as name:
        folder = Path(name)
        (folder / "song.xml").write_text(score, encoding="utf-8")
        (folder / "song.scm").write_text(
            f"(voice_{voice})\n(set! tts_hooks (list utt.synth (lambda (u) "
            '(utt.save.wave u "song.wav" \'riff) u)))\n(tts_file "song.xml" \'singing)\n'
        )
        subprocess.run(
            [program, "-b", "song.scm"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=60,
        )
        samples = trim(load_audio(folder / "song.wav").samples)
    return (0.5 * samples / np.abs(samples).max()).astype(np.float32)
