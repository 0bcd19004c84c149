"""Peak memory of transcribing a 3-hour file against a 3-minute one, a fresh process each.

The short file is speech from end to end, so that it fills the engine's batches. The long one begins
and ends with the same amount of speech; in between 15 s are spoken every ten minutes and the rest
is silent, which is skipped unheard: three hours of speech would take too long to decode here, and
memory does not depend on how much is said beyond a full queue, only on what is kept of it (text).
Reading, cutting and looking for silence go through all three hours either way. Answers are
cut at 48 tokens a window.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
from measure import Row
from sounds import speech

from moss_audio.annotate.cost import peak_mib
from moss_audio.units import SAMPLE_RATE

AIM = 1.3
_SHORT_S, _LONG_S = 180, 3 * 3600
_EVERY_S, _SPOKEN_S = 600, 15
_MAX_NEW_TOKENS = 48


def _write(path: Path, seconds: int) -> None:
    """Block by block: the benchmark itself must not need what it measures."""
    edge = _to_int16(speech(_SHORT_S))
    spoken = _to_int16(speech(_SPOKEN_S, seed=1))
    silence = np.zeros(SAMPLE_RATE, np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(edge.tobytes())
        second = _SHORT_S
        while second < seconds - _SHORT_S:
            if second % _EVERY_S == 0:
                file.writeframes(spoken.tobytes())
                second += _SPOKEN_S
            else:
                file.writeframes(silence.tobytes())
                second += 1
        if seconds > _SHORT_S:
            file.writeframes(edge.tobytes())


def _to_int16(samples: np.ndarray) -> np.ndarray:
    return (np.clip(samples, -1, 1) * 32767).astype("<i2")


def measure(model_name: str) -> list[Row]:
    """Both files in a temporary folder that is removed again."""
    peaks: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="moss-audio-bench-") as folder:
        for seconds in (_SHORT_S, _LONG_S):
            path = Path(folder) / f"{seconds}.wav"
            _write(path, seconds)
            done = subprocess.run(
                [sys.executable, __file__, model_name, str(path)],
                stdout=subprocess.PIPE,
                check=True,
                text=True,
            )
            peaks[seconds] = json.loads(done.stdout.splitlines()[-1])
            path.unlink()
    short, long = peaks[_SHORT_S], peaks[_LONG_S]
    return [
        Row(
            f"peak memory: {_LONG_S // 3600} h / {_SHORT_S // 60} min transcribed",
            f"{long['peak_mib']:.0f} MiB",
            f"{short['peak_mib']:.0f} MiB",
            long["peak_mib"] / short["peak_mib"],
            aim=AIM,
            lower=True,
            note=f"of it {short['loaded_mib']:.0f} MiB is there once the model is loaded; "
            f"{long['seconds']:.0f} s and {short['seconds']:.0f} s taken; most of the long file "
            "is silent",
        )
    ]


def _child(model_name: str, path: str) -> None:
    import time

    import moss_audio

    model = moss_audio.load(model_name)
    loaded = peak_mib()
    began = time.perf_counter()
    transcript = model.transcribe(path, max_new_tokens=_MAX_NEW_TOKENS)
    taken = time.perf_counter() - began
    expected = _SHORT_S if Path(path).stem == str(_SHORT_S) else _LONG_S
    if abs(transcript.duration - expected) > 1:
        raise SystemExit(f"{path}: {transcript.duration} s transcribed, expected {expected}")
    print(json.dumps({"peak_mib": peak_mib(), "loaded_mib": loaded, "seconds": taken}))


if __name__ == "__main__":
    _child(*sys.argv[1:])
