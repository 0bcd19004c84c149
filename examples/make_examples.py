"""Makes the example clips and `examples.json`, which says exactly what is in them; all but
`prompt.wav`, which is a recording of a person.

    python examples/make_examples.py

Needs what `configs/nano/scenes.yaml` needs. The sentences and the melody are ours; the voice is
hibari-tts (a training voice, with sentences that are in no training data), the piano is
FluidR3 GM (MIT), the sounds are synthesised by `moss_audio.scenes`.
"""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np

from moss_audio.scenes.events import trim
from moss_audio.scenes.music import compose_piece
from moss_audio.scenes.records import written
from moss_audio.scenes.sounds.noises import NOISES
from moss_audio.scenes.sounds.tones import TONES
from moss_audio.scenes.synthesizer import MusicPlayer
from moss_audio.scenes.voices import open_voice

HERE = Path(__file__).parent
RATE = 16_000
SENTENCES = (
    "The morning train leaves at half past seven.",
    "Please keep your ticket until you reach the harbour.",
)
PROMPT = "Press one to enter an extension, press two to use the directory."  # of prompt.wav
SCENE = (("knocking", 0.8), ("phone ringing", 3.4), ("siren", 6.6))


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), np.float32)


def write(name: str, samples: np.ndarray) -> None:
    pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2")
    with wave.open(str(HERE / name), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm.tobytes())


def speech() -> tuple[np.ndarray, list[dict[str, object]]]:
    voice = open_voice("hibari")
    speaker = voice.speakers()[0]
    parts, words, at = [silence(0.4)], [], 0.4
    for sentence in SENTENCES:
        said = voice.speak(sentence, speaker, np.random.default_rng(7))
        words += [
            {"text": w.text, "start": round(w.start + at, 2), "end": round(w.end + at, 2)}
            for w in said.words
        ]
        parts += [said.samples * np.float32(0.6), silence(0.5)]
        at += said.samples.size / RATE + 0.5
    return np.concatenate(parts), words


def scene() -> tuple[np.ndarray, list[dict[str, object]]]:
    makers = {**TONES, **NOISES}
    rng = np.random.default_rng(3)
    out = rng.standard_normal(10 * RATE).astype(np.float32) * np.float32(1e-3)
    events = []
    for label, at in SCENE:
        sound = trim(np.asarray(makers[label](rng), np.float32))[: int(2.4 * RATE)]
        sound = sound / np.max(np.abs(sound)) * 0.5
        first = int(at * RATE)
        out[first : first + sound.size] += sound
        events.append({"label": label, "start": at, "end": round(at + sound.size / RATE, 2)})
    return out, events


def main() -> None:
    spoken, words = speech()
    write("speech.wav", spoken)
    heard, events = scene()
    write("events.wav", heard)
    player, seed, score = MusicPlayer(), 0, None
    while score is None or score.facts.instrument != "piano" or score.facts.drums:
        seed += 1
        score = compose_piece(np.random.default_rng(seed), 9.0)
        # All are played: what a player has played before is faintly in what it plays next.
        piece = player.render(score.notes, score.programs, score.seconds)
    write("music.wav", np.concatenate([silence(0.5), piece * np.float32(0.7), silence(0.5)]))
    truth = {
        "speech.wav": {"text": " ".join(SENTENCES), "words": words},
        "prompt.wav": {"text": PROMPT},  # a recording of somebody else's: README.md beside it
        "events.wav": {"events": events},
        "music.wav": {"music": written(score.facts)},
    }
    (HERE / "examples.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
