"""Composed scenes: int16 slices of a shard's memory map, and all that is true of them."""

from __future__ import annotations

from moss_audio.data.config import SourceConfig
from moss_audio.data.raw import Lines, RawExample, Truth
from moss_audio.data.sources.base import Source, existing
from moss_audio.recordings.entry import Clip
from moss_audio.scenes.joining import drawn_together, join
from moss_audio.scenes.reader import load_scenes


class ScenesSource(Source):
    """Completed shards of `moss-audio scenes make`, one split; with `join_s` several scenes are
    joined to a clip."""

    def __init__(self, config: SourceConfig, name: str) -> None:
        self.scenes = load_scenes(existing(config.path), config.split)
        self.joined = config.join_s is not None
        self.parts = (
            [(number,) for number in range(len(self.scenes))]
            if config.join_s is None
            else drawn_together(self.scenes, config.join_s, name)
        )
        lines = Lines()
        for numbers in self.parts:
            scenes = [self.scenes[number] for number in numbers]
            lines.good(sum(s.duration_s for s in scenes), " ".join(s.text for s in scenes))
        super().__init__(config, name, lines)

    def id(self, index: int) -> str:
        numbers = self.parts[self.numbers[index]]
        return f"{self.name}/{'+'.join(self.scenes[number].id for number in numbers)}"

    def read(self, number: int) -> RawExample:
        scenes = [self.scenes[one] for one in self.parts[number]]
        if self.joined:
            audio, scene = join(scenes)
        else:
            (scene,) = scenes
            audio = scene.load()
        return RawExample((Clip(audio),), truth=Truth(scene.text, scene=scene))
