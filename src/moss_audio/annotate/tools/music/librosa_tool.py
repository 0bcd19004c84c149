"""What the tools over librosa's features have in common; each adds `name`, `kind`, `annotate`."""

from __future__ import annotations

from typing import Generic, TypeVar

from moss_audio.annotate.tool import Tool
from moss_audio.annotate.tools.music.features import MusicFeatureCache, import_librosa

Config = TypeVar("Config")


class LibrosaTool(Tool, Generic[Config]):
    """Settings (None: there are none) and the features that all of a segment's tools share."""

    branch = "music"
    packages = ("librosa",)
    config: Config

    def __init__(self, config: Config, features: MusicFeatureCache) -> None:
        self.config = config
        self._features = features

    def setup(self) -> None:
        """Says at the start what is missing."""
        import_librosa()
