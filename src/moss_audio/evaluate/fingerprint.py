"""What tells one model from another: a hash of all its files, and how it is computed."""

from __future__ import annotations

import hashlib

from moss_audio import __version__
from moss_audio.api import EMBEDDED, MossAudio
from moss_audio.files import folder_hash
from moss_audio.model.checkpoint import embedded_folder, resolve_folder


def fingerprint(model: MossAudio) -> str:
    """Of a loaded model: its files, dtype, window and way to word times, and this package's
    version, whose parsers and prompts take part in every answer."""
    folder = embedded_folder() if model.name == EMBEDDED else resolve_folder(model.name)
    dtype = next(iter(model.engine.model.parameters())).dtype
    parts = [folder_hash(folder), str(dtype), f"{model.window_s:g}", model.times, __version__]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
