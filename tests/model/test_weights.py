"""The shapes that are computed are those of the model that torch builds."""

from __future__ import annotations

import json

import pytest
import tiny_models as tiny
import torch

from moss_audio.model.config import MossAudioConfig
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.presets import PRESET_NAMES, preset
from moss_audio.model.sizes import ModelSizes
from moss_audio.model.weights import expected_shapes

CONFIGS = {
    **{name: preset(name) for name in PRESET_NAMES},
    "output projection": tiny.config(),
    "whisper stem": tiny.config(audio=tiny.WHISPER_STEM, deepstack_num_inject_layers=1),
    "llama": tiny.config(language=tiny.LLAMA),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_weight_has_the_shape_of_the_model_that_torch_builds(config: MossAudioConfig) -> None:
    with torch.device("meta"):
        built = MossAudioModel(config).state_dict()
    sizes = ModelSizes.read(json.loads(config.to_json_string(use_diff=False)))
    assert expected_shapes(sizes) == {name: tuple(tensor.shape) for name, tensor in built.items()}
