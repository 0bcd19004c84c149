"""Hours of a folder of scenes by split, kind, voice and source."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moss_audio.errors import MossAudioError
from moss_audio.scenes import sources
from moss_audio.scenes.reader import completed_shards, iter_scenes


@dataclass
class ScenesSummary:
    """Seconds (or, for `labels`, events) by name; `shards` is complete and in all."""

    scenes: int = 0
    seconds: float = 0.0
    shards: tuple[int, int | None] = (0, None)
    split: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    kind: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    voice: dict[str, float] = field(
        default_factory=lambda: defaultdict(float)
    )  # the speaker, of what is said
    source: dict[str, float] = field(
        default_factory=lambda: defaultdict(float)
    )  # of what is heard in the events
    effect: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    labels: Counter[str] = field(default_factory=Counter)
    packages: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: hours, rounded to the second, most first."""

        def hours(seconds: dict[str, float]) -> dict[str, float]:
            ranked = sorted(seconds.items(), key=lambda item: -item[1])
            return {name: round(s / 3600, 4) for name, s in ranked}

        return {
            "scenes": self.scenes,
            "hours": round(self.seconds / 3600, 4),
            "shards": {"complete": self.shards[0], "total": self.shards[1]},
            "split": hours(self.split),
            "kind": hours(self.kind),
            "voice": hours(self.voice),
            "source": hours(self.source),
            "effect": hours(self.effect),
            "labels": dict(self.labels.most_common()),
            "sources": self.packages,
        }


def summarise(root: Path | str) -> ScenesSummary:
    """Add up what completed shards hold. Raises MossAudioError if there is none."""
    root = Path(root)
    complete = len(completed_shards(root))
    if not complete:
        raise MossAudioError(f"{root}: no completed shard of scenes; make one first")
    out = ScenesSummary(shards=(complete, _total(root)))
    for scene in iter_scenes(root):
        out.scenes += 1
        out.seconds += scene.duration_s
        out.split[scene.split] += scene.duration_s
        out.kind[scene.kind] += scene.duration_s
        for sentence, voice in zip(scene.sentences, scene.sentence_voices, strict=True):
            out.voice[str(voice)] += sentence.end - sentence.start
        for event in scene.events:
            out.source[_package(event.source)] += event.end - event.start
            out.labels[event.label] += 1
        for effect in scene.effects:
            if effect != "bit_rate":
                out.effect[effect] += scene.duration_s
    path = root / sources.SOURCES
    if path.exists():
        out.packages = sources.read(path)["sources"]
    return out


def _package(source: str) -> str:
    return source.split("/", 1)[0]


def _total(root: Path) -> int | None:
    """Shards of the configuration that lies beside them, if one does and can be read."""
    from moss_audio.scenes.config import read_config
    from moss_audio.scenes.make import shard_count

    try:
        return shard_count(read_config(root / "config.yaml"))
    except (MossAudioError, ImportError):
        return None
