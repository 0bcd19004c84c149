"""Features kept on disk, found again by what the samples are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from moss_audio.dsp.mel import log_mel
from moss_audio.files import replaced

_VERSION = 1  # of the features; another one finds nothing of the old


class FeatureCache:
    """`log_mel` with a memory: samples [n] -> float32 [n_mels, n // 160].

    Kept in float16, and rounded to it also when new, so that a clip is the same each time it
    comes; features lie within about [-1.5, 1.5], so they move by at most 5e-4. Several processes
    may share a folder: a file appears whole or not at all, and a damaged one is made again.
    """

    def __init__(self, folder: Path | str, n_mels: int) -> None:
        self.folder, self.n_mels = Path(folder), n_mels

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        path = self._path(samples)
        try:
            kept = np.load(path, allow_pickle=False)
            if kept.dtype == np.float16 and kept.shape == (self.n_mels, len(samples) // 160):
                return kept.astype(np.float32)
        except (OSError, ValueError, EOFError):
            pass
        features = log_mel(samples, self.n_mels).astype(np.float16)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path, sync=False) as temporary, temporary.open("wb") as file:
            np.save(file, features, allow_pickle=False)
        return features.astype(np.float32)

    def _path(self, samples: np.ndarray) -> Path:
        content = hashlib.blake2b(f"{_VERSION}/{self.n_mels}/".encode(), digest_size=20)
        content.update(np.ascontiguousarray(samples, np.float32).data)
        name = content.hexdigest()
        return self.folder / "features" / name[:2] / f"{name}.npy"
