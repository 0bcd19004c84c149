"""Where the weights of the speaker encoder are, and the level and length of sound that it takes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from moss_audio.annotate.tool import package_folder
from moss_audio.dsp.loudness import rms
from moss_audio.errors import CheckpointError

PACKAGE = "resemblyzer"
# Not part of an extra: what it requires builds from source, and is not needed for its weights.
INSTALL = "pip install '.[torch]' && pip install --no-deps resemblyzer==0.1.4"
WINDOW_S = 1.6  # what the model was trained on
_TARGET_RMS = 10 ** (-30 / 20)  # quieter speech is raised to this level


def raised(samples: np.ndarray) -> np.ndarray:
    """Speech whose level is below -30 dBFS is raised to it; louder speech stays."""
    level = rms(samples)
    if not 0 < level < _TARGET_RMS:
        return samples
    return (samples * (_TARGET_RMS / level)).astype(np.float32)


def bundled_weights() -> Path | None:
    """The file of the package resemblyzer; None without it, or without torch, which reads it."""
    folder = package_folder(PACKAGE) if find_spec("torch") else None
    return folder / "pretrained.pt" if folder else None


def weights_file(path: str | Path | None = None) -> Path:
    """The given file, or the bundled one. Raises CheckpointError where there is none."""
    file = bundled_weights() if path is None else Path(path).expanduser()
    if file is None:
        raise CheckpointError(f"the speaker encoder has no weights: {INSTALL}")
    return file
