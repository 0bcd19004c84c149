"""A tiny model with loud random weights, so that its answers vary; float32, so that they agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moss_audio.engine.torch_engine import TorchEngine
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.presets import preset
from moss_audio.model.processing import MossAudioProcessor
from moss_audio.testing.tokenizer import tiny_prompt_spec, tiny_tokenizer


def build_engine(
    seed: int = 0, *, dtype: torch.dtype = torch.float32, **options: object
) -> TorchEngine:
    spec = tiny_prompt_spec()
    ids = {
        "audio_token_id": spec.audio_token_id,
        "audio_start_id": spec.audio_start_id,
        "audio_end_id": spec.audio_end_id,
    }
    torch.manual_seed(seed)
    model = MossAudioModel(preset("micro", **ids))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    model.to(dtype)
    return TorchEngine(model, MossAudioProcessor(tiny_tokenizer(), **ids), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def shared_engine() -> TorchEngine:
    return build_engine()


@pytest.fixture
def engine(shared_engine: TorchEngine) -> TorchEngine:
    shared_engine.forget()
    return shared_engine


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(round(16_000 * seconds))).astype(np.float32)
