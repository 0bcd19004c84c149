"""A MOSS-Audio checkpoint that several tools of one branch share: loaded once a worker."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from moss_audio import api, settings
from moss_audio.annotate.tools.identity import package_version, weights_digest
from moss_audio.model.checkpoint import Checkpoint


@dataclass(frozen=True)
class MossConfig:
    """Which checkpoint: "nano" (the embedded one), a folder or a hub id; None device: the best."""

    name: str = "nano"
    device: str | None = "cpu"
    dtype: str | None = None


class SharedMoss:
    """Loads its checkpoint when it is first needed."""

    def __init__(self, config: MossConfig) -> None:
        self.config = config
        self._model: Any = None

    @property
    def model(self) -> api.MossAudio:
        """The checkpoint. Raises CheckpointError if there is none of this name."""
        if self._model is None:
            self._model = api.load(
                self.config.name, device=self.config.device, dtype=self.config.dtype
            )
        found: api.MossAudio = self._model
        return found

    @cached_property
    def version(self) -> str:
        """Of the package, the weights and the settings."""
        weights = weights_digest(Checkpoint.open(self.config.name).folder)
        told = settings.digest([self.config, weights], 12)
        return f"{package_version('moss-audio')}+{told}"
