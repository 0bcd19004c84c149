"""Composed scenes: int16 slices of a shard's memory map, and all that is true of them."""

from __future__ import annotations

from moss_audio.data.config import SourceConfig
from moss_audio.data.raw import Lines, RawExample, Truth
from moss_audio.data.sources.base import Source, existing
from moss_audio.recordings.entry import Clip
from moss_audio.scenes.reader import load_scenes


class ScenesSource(Source):
    """Completed shards of `moss-audio scenes make`, one split."""

    def __init__(self, config: SourceConfig, name: str) -> None:
        self.scenes = load_scenes(existing(config.path), config.split)
        lines = Lines()
        for scene in self.scenes:
            lines.good(scene.duration_s, scene.text)
        super().__init__(config, name, lines)

    def id(self, index: int) -> str:
        return f"{self.name}/{self.scenes[self.numbers[index]].id}"

    def read(self, number: int) -> RawExample:
        scene = self.scenes[number]
        return RawExample((Clip(scene.load()),), truth=Truth(scene.text, scene=scene))
