"""festival as a process that speaks Scheme: its segment relation gives the time of every word."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.scenes.missing import MissingDebianPackageError
from moss_audio.scenes.voices.base import SynthesisedSpeech, UnalignedError, finish

# Name -> festival's voice, its Debian package, and a file that shows that it is installed.
_VOICES = {
    "slt": ("cmu_us_slt_arctic_hts", "festvox-us-slt-hts", "us/cmu_us_slt_arctic_hts"),
    "kal": ("kal_diphone", "festvox-kallpc16k", "english/kal_diphone"),
    "ked": ("ked_diphone", "festvox-kdlpc16k", "english/ked_diphone"),
}
_HOME = Path("/usr/share/festival/voices")
# (pitch by resampling, tempo stretch): the first of a voice is as recorded.
_VARIANTS = ((1.0, 1.0), (0.92, 0.95), (1.09, 1.1), (0.96, 1.15), (1.04, 0.9))
_TIMEOUT_S = 60.0
_END = "moss-audio-end"  # as in festival.scm


class FestivalVoice:
    """Speakers `festival/NAME-V`: NAME of slt (HTS), kal and ked (diphones), as installed; V a
    variant in pitch and tempo.

    slt and kal are the persons of flite's voices of these names; ked is nobody else here.
    """

    def __init__(self, seed: int = 0) -> None:
        program = shutil.which("festival")
        self._names = [n for n, (_, _, place) in _VOICES.items() if (_HOME / place).is_dir()]
        if program is None:
            raise MissingDebianPackageError(("festival",), "The festival voice")
        if not self._names:
            raise MissingDebianPackageError(("festvox-kdlpc16k",), "The festival voice")
        self._folder = tempfile.TemporaryDirectory(prefix="moss-audio-festival-")
        self._wave = Path(self._folder.name) / "said.wav"
        # The errors of one sentence must not fill a pipe that nobody reads.
        self._process = subprocess.Popen(
            [program, "--pipe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
        )
        self._left = b""
        self._send((files(__package__) / "festival.scm").read_text(encoding="ascii"))

    def speakers(self) -> tuple[str, ...]:
        """Names of all speakers of the voices that are installed."""
        return tuple(f"festival/{n}-{v}" for n in self._names for v in range(len(_VARIANTS)))

    def speak(self, text: str, speaker: str, rng: np.random.Generator) -> SynthesisedSpeech:
        """Say one sentence. Raises UnalignedError if its tokens do not match the words."""
        name, variant = speaker.split("/", 1)[1].rsplit("-", 1)
        pitch, stretch = _VARIANTS[int(variant)]
        stretch *= float(np.exp(rng.normal(0, 0.05)))
        self._wave.unlink(missing_ok=True)
        said = text.encode("ascii").decode().replace("\\", "\\\\").replace('"', '\\"')
        self._send(
            f"(voice_{_VOICES[name][0]})\n(Parameter.set 'Duration_Stretch {stretch:.4f})\n"
            f'(moss_say "{said}" "{self._wave}")\n(format t "{_END}\\n")\n(fflush nil)\n'
        )
        lines = self._answer(text, speaker)
        if not self._wave.exists():
            raise UnalignedError(f"{speaker}: cannot say {text!r}")
        samples, rate = _read_wave(self._wave)
        spans = [_span(line) for line in lines if line.startswith("T")]
        return finish(samples, rate, text.split(), [s for s in spans if s], speaker, pitch=pitch)

    def _send(self, program: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(program.encode("ascii"))
            self._process.stdin.flush()
        except BrokenPipeError:
            raise MossAudioError("festival: the process ended; see what `festival` says") from None

    def _answer(self, text: str, speaker: str) -> list[str]:
        """Lines up to the end mark, of which a failed sentence gives one and another two."""
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        lines: list[str] = []
        ends, deadline = 0, time.monotonic() + _TIMEOUT_S
        while True:
            while b"\n" in self._left:
                raw, self._left = self._left.split(b"\n", 1)
                line = raw.decode("ascii", "replace").strip()
                if line != _END:
                    lines.append(line)
                    continue
                ends += 1
                # moss_say ends with a mark of its own, unless an error cut it short.
                if ends == 2 or not self._wave.exists():
                    return lines
            ready, _, _ = select.select([handle], [], [], max(0.0, deadline - time.monotonic()))
            block = os.read(handle, 65536) if ready else b""
            if not block:
                self._process.kill()
                raise MossAudioError(
                    f"{speaker}: festival gave no answer to {text!r}; is its voice package intact?"
                )
            self._left += block

    def close(self) -> None:
        """End the process; it would also end with ours."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
        self._folder.cleanup()

    def __del__(self) -> None:
        if hasattr(self, "_process"):
            self.close()


def _span(line: str) -> tuple[float, float] | None:
    """`T W 0.1 0.4 W 0.4 0.5` -> (0.1, 0.5); None for a token without sound."""
    numbers = [float(x) for x in line.replace("T", " ").replace("W", " ").split()]
    return (numbers[0], numbers[-1]) if numbers else None


def _read_wave(path: Path) -> tuple[np.ndarray, int]:
    import wave

    with wave.open(str(path)) as file:
        raw = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return raw.astype(np.float32) / 32768.0, file.getframerate()
