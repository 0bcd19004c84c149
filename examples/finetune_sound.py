"""A new sound class for nano: makes the clips of docs/finetune.md, and scores a checkpoint on them.

    python examples/finetune_sound.py make data/sheep
    python examples/finetune_sound.py score nano data/sheep

Needs Debian's tuxpaint-stamps-default: recordings of two sheep to learn from, and of a third animal
that is heard in the test clips alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import moss_audio
from moss_audio.errors import MossAudioError
from moss_audio.metrics.counts import MatchCounts
from moss_audio.metrics.events import event_based
from moss_audio.recordings import load_audio
from moss_audio.result import Event, Timeline
from moss_audio.scenes.events import trim
from moss_audio.scenes.sounds.tones import beep, bell
from moss_audio.tasks import get_task
from moss_audio.units import SAMPLE_RATE

STAMPS = Path("/usr/share/tuxpaint/stamps/animals/mammals/bovines")
LABEL = "sheep bleating"
ANIMALS = {"train": ("sheep", "sheep_lamb"), "test": ("ram",)}
CLIPS = {"train": 50, "test": 30}


def recording(name: str) -> np.ndarray:
    path = STAMPS / f"{name}.ogg"
    if not path.is_file():
        raise MossAudioError(f"{path}: not found; apt-get install tuxpaint-stamps-default")
    samples = trim(load_audio(path).samples)[: int(2.5 * SAMPLE_RATE)]
    return samples / np.max(np.abs(samples))


def compose(
    sounds: list[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, tuple[Event, ...]]:
    """A sheep, and in most clips a bell or a beep before or after it, over soft noise."""
    animal = sounds[int(rng.integers(len(sounds)))]
    parts = [(LABEL, animal)]
    if rng.random() < 0.7:
        other = ("bell", bell) if rng.random() < 0.5 else ("beep", beep)
        parts.insert(int(rng.integers(2)), (other[0], trim(np.asarray(other[1](rng), np.float32))))
    pieces, events, at = [], [], 0.0
    for label, samples in parts:
        gap = float(rng.uniform(0.3, 1.5))
        start = at + gap
        at = start + samples.size / SAMPLE_RATE
        level = float(rng.uniform(0.15, 0.8)) / max(1e-6, float(np.max(np.abs(samples))))
        pieces += [np.zeros(int(gap * SAMPLE_RATE)), samples * level]
        events.append(Event(label, start, at))
    clip = np.concatenate([*pieces, np.zeros(int(rng.uniform(0.3, 1.0) * SAMPLE_RATE))])
    clip += rng.normal(0, float(rng.uniform(0.0005, 0.005)), clip.size)
    return clip.astype(np.float32), tuple(events)


def make(folder: Path) -> None:
    """Wave files, and train.jsonl and test.jsonl with the conversation about each."""
    import wave

    task = get_task("events")
    for seed, (split, names) in enumerate(ANIMALS.items()):
        rng = np.random.default_rng(seed)
        sounds = [recording(name) for name in names]
        (folder / split).mkdir(parents=True, exist_ok=True)
        lines = []
        for number in range(CLIPS[split]):
            clip, events = compose(sounds, rng)
            path = folder / split / f"{number:03d}.wav"
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
                file.writeframes((np.clip(clip, -1, 1) * 32767).astype("<i2").tobytes())
            turns = [
                ("user", "audio", f"{split}/{path.name}"),
                ("user", "text", task.prompt),
                ("assistant", "text", task.render_answer(Timeline(events))),
            ]
            keys = ("role", "message_type", "content")
            lines.append({"conversation": [dict(zip(keys, t, strict=True)) for t in turns]})
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    print(f"{folder}: {CLIPS['train']} clips to learn from, {CLIPS['test']} to test on")


def score(model_name: str, folder: Path) -> None:
    """Event-based F1 (200 ms) on the test clips, with names and without."""
    model = moss_audio.load(model_name)
    lines = (folder / "test.jsonl").read_text(encoding="utf-8").splitlines()
    turns = [json.loads(line)["conversation"] for line in lines]
    heard = model.events([folder / t[0]["content"] for t in turns])
    task = get_task("events")
    truths = [task.parse(t[2]["content"], h.duration) for t, h in zip(turns, heard, strict=True)]
    named = sum(any(e.label == LABEL for e in h.events) for h in heard)
    print(f"{model_name}: the sheep is named in {named} of {len(turns)} test clips")
    for labels in (True, False):
        counts = [
            event_based(truth, found, labels=labels)
            for truth, found in zip(truths, heard, strict=True)
        ]
        total = MatchCounts.merge(counts)
        print(f"  event-based F1 {'with' if labels else 'without'} names: {total.f1:.2f}")


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    elif len(sys.argv) == 4 and sys.argv[1] == "score":
        score(sys.argv[2], Path(sys.argv[3]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main()
    except MossAudioError as error:
        sys.exit(str(error))
