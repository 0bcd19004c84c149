"""Read composed scenes: completed shards only, the sound by slices of a memory map."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.recordings import Audio
from moss_audio.result import Segment, Word
from moss_audio.scenes.records import SceneEvent
from moss_audio.units import SAMPLE_RATE

# Fields of a scene that are in its truth as they are; the second ones perhaps.
_WRITTEN = (
    "id", "kind", "split", "offset_samples", "num_samples", "voice", "music", "snr_db", "seed",
)  # fmt: skip
_OPTIONAL = ("language", "speech_source", "effects")
AUDIO, TRUTH, COMPLETED = "audio.i16", "scenes.jsonl", ".completed"


@dataclass(frozen=True)
class Scene:
    """One clip and all that is known of it; times in seconds from its start.

    `words` are in order within a voice; where two voices speak at once, `sentence_voices` says
    who says which sentence, and words come sentence after sentence. Recorded prompts have
    sentences without words, a `language` other than English perhaps, and a `speech_source`.
    `effects` is what was done to the sound (see `scenes/effects.py`).
    """

    id: str
    kind: str
    split: str
    audio: Path
    offset_samples: int
    num_samples: int
    voice: str | None
    words: tuple[Word, ...]
    sentences: tuple[Segment, ...]
    events: tuple[SceneEvent, ...]
    music: dict[str, Any] | None
    snr_db: float | None
    seed: int
    sentence_voices: tuple[str | None, ...] = ()
    language: str = "en"
    speech_source: str | None = None
    effects: Mapping[str, Any] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_samples / SAMPLE_RATE

    @property
    def text(self) -> str:
        """All that is said, sentence after sentence."""
        return " ".join(s.text for s in self.sentences)

    @property
    def identity(self) -> str:
        """Id, length and seed: the same configuration gives the same bytes."""
        return f"{self.id}:{self.num_samples}:{self.seed}"

    def load(self) -> Audio:
        """The sound as every other recording has it."""
        return Audio(self.samples().astype(np.float32) / 32768.0, self.id)

    def samples(self) -> np.ndarray:
        """The sound: int16 [num_samples], mono, 16 kHz."""
        whole = np.memmap(self.audio, dtype="<i2", mode="r")
        return np.array(whole[self.offset_samples : self.offset_samples + self.num_samples])


def completed_shards(root: Path | str) -> list[Path]:
    """Folders of finished shards under `root`, in order.

    Raises MossAudioError if `root` is no folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise MossAudioError(f"{root}: no such folder of scenes; make one first")
    return sorted(p for p in root.glob("shard-*") if (p / COMPLETED).exists())


def iter_scenes(root: Path | str, split: str | None = None) -> Iterator[Scene]:
    """Scenes of the shards that are complete now, of one split or (None) of all."""
    for shard in completed_shards(root):
        with (shard / TRUTH).open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    data = json.loads(line)
                    if split is None or data["split"] == split:
                        yield _scene(data, shard / AUDIO)
                except (KeyError, TypeError, json.JSONDecodeError) as error:
                    raise MossAudioError(
                        f"{shard / TRUTH}:{number}: not a scene ({error!r}); make the shard again"
                    ) from error


def load_scenes(root: Path | str, split: str | None = None) -> list[Scene]:
    """`iter_scenes` as a list. Raises MossAudioError if nothing is there for the split."""
    scenes = list(iter_scenes(root, split))
    if not scenes:
        raise MossAudioError(f"{root}: no completed scenes of split {split!r}")
    return scenes


def _scene(data: dict[str, Any], audio: Path) -> Scene:
    words = tuple(Word(w["text"], w["start"], w["end"]) for w in data["words"])
    sentences, at = [], 0
    for s in data["sentences"]:
        count = len(s["text"].split())
        sentences.append(Segment(s["text"], s["start"], s["end"], words[at : at + count]))
        at += count
    return Scene(
        **{name: data[name] for name in _WRITTEN},
        **{name: data[name] for name in _OPTIONAL if name in data},
        audio=audio,
        words=words,
        sentences=tuple(sentences),
        events=tuple(SceneEvent(**e) for e in data["events"]),
        sentence_voices=tuple(s.get("voice", data["voice"]) for s in data["sentences"]),
    )
