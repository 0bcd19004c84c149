"""Marks of tests that listen with the embedded checkpoint."""

import pytest

from moss_audio.model.checkpoint import THINKING, embedded_folder

NEEDS_NANO = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (embedded_folder() / "trained.safetensors").is_file(),
        reason="the embedded checkpoint is not in this tree",
    ),
]

NEEDS_THINKER = pytest.mark.skipif(
    not (embedded_folder(THINKING) / "trained.safetensors").is_file(),
    reason="what thinks for the embedded checkpoint is not in this tree",
)
