"""What the tools over librosa's features have in common; each adds `name` and `annotate`."""

from __future__ import annotations

from typing import Generic, TypeVar

from moss_audio.annotate.tools.identity import package_version
from moss_audio.annotate.tools.music.features import FeatureCache, import_librosa

Config = TypeVar("Config")


class LibrosaTool(Generic[Config]):
    """Settings (None: there are none) and the features that all of a segment's tools share."""

    def __init__(self, config: Config, features: FeatureCache) -> None:
        self.config = config
        self._features = features

    @property
    def version(self) -> str:
        """Of our method, of librosa and of the settings."""
        method = f"1 librosa {package_version('librosa')}"
        return method if self.config is None else f"{method} {self.config}"

    def setup(self) -> None:
        """Says at the start what is missing."""
        import_librosa()
