"""Hours of a folder of scenes by split, kind, voice and source."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from moss_audio.errors import MossAudioError
from moss_audio.scenes import sources
from moss_audio.scenes.reader import completed_shards, iter_scenes


def summarise(root: Path) -> dict[str, Any]:
    """What completed shards hold, as plain data for JSON.

    `split`, `kind`, `effect`, `voice` (the speakers, while they speak) and `source` (of the events)
    map names to hours, most first; `labels` maps events to their number.
    Raises MossAudioError if no shard is complete.
    """
    complete = len(completed_shards(root))
    if not complete:
        raise MossAudioError(f"{root}: no completed shard of scenes; make one first")
    count, seconds = 0, 0.0
    by: dict[str, dict[str, float]] = {
        name: defaultdict(float) for name in ("split", "kind", "voice", "source", "effect")
    }
    labels: Counter[str] = Counter()
    for scene in iter_scenes(root):
        count, seconds = count + 1, seconds + scene.duration_s
        by["split"][scene.split] += scene.duration_s
        by["kind"][scene.kind] += scene.duration_s
        for sentence, voice in zip(scene.sentences, scene.sentence_voices, strict=True):
            by["voice"][str(voice)] += sentence.end - sentence.start
        for event in scene.events:
            by["source"][event.source.split("/", 1)[0]] += event.end - event.start
            labels[event.label] += 1
        for effect in scene.effects:
            if effect != "bit_rate":
                by["effect"][effect] += scene.duration_s
    listed = root / sources.SOURCES
    return {
        "scenes": count,
        "hours": round(seconds / 3600, 4),
        "shards": {"complete": complete, "total": _total(root)},
        **{name: _hours(table) for name, table in by.items()},
        "labels": dict(labels.most_common()),
        "sources": sources.read(listed)["sources"] if listed.exists() else [],
    }


def _hours(seconds: dict[str, float]) -> dict[str, float]:
    ranked = sorted(seconds.items(), key=lambda item: -item[1])
    return {name: round(s / 3600, 4) for name, s in ranked}


def _total(root: Path) -> int | None:
    """Shards of the configuration that lies beside them, if one does and can be read."""
    from moss_audio.scenes.config import read_config
    from moss_audio.scenes.make import shard_count

    try:
        return shard_count(read_config(root / "config.yaml"))
    except (MossAudioError, ImportError):
        return None
