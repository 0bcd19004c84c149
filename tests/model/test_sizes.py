"""The sizes of a folder are known without torch, and are those of transformers' configuration."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny

from moss_audio.errors import CheckpointError
from moss_audio.model.checkpoint import Checkpoint, embedded_folder
from moss_audio.model.config import MossAudioConfig, MossAudioEncoderConfig
from moss_audio.model.presets import PRESET_NAMES, preset
from moss_audio.model.processing import MossAudioProcessor
from moss_audio.model.sizes import ModelSizes
from moss_audio.prompt import PromptSpec
from moss_audio.testing.tokenizer import tiny_tokenizer

CONFIGS = {
    **{name: lambda name=name: preset(name) for name in PRESET_NAMES},
    "what no file says": MossAudioConfig,
    "every default of Llama": lambda: MossAudioConfig(
        language_config={"model_type": "llama"},
        audio_token_id=1,
        audio_start_id=2,
        audio_end_id=3,
    ),
    "two mergers": lambda: tiny.config(deepstack_num_inject_layers=2),
    "several ends": lambda: tiny.config(language={"eos_token_id": [1, 5]}),
    "tied": lambda: tiny.config(tie_word_embeddings=True),
    "scaled positions": lambda: tiny.config(
        language={"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}}
    ),
}


@pytest.mark.parametrize("make", CONFIGS.values(), ids=CONFIGS)
def test_a_saved_file_has_the_sizes_of_its_configuration(make: Any, tmp_path: Path) -> None:
    config = make()
    config.save_pretrained(tmp_path)
    sizes = Checkpoint.open(tmp_path).sizes
    assert sizes == config.sizes == ModelSizes.read(config.to_dict())
    audio, decoder = config.audio_config, config.language_config
    assert isinstance(audio, MossAudioEncoderConfig)
    assert sizes.audio.taps == tuple(audio.deepstack_encoder_layer_indexes)
    assert sizes.audio.chunk_frames == audio.chunk_frames
    assert sizes.n_deepstack == config.num_deepstack
    assert sizes.tied == config.tie_word_embeddings
    for ours, theirs in (
        ("family", "model_type"),
        ("kv_heads", "num_key_value_heads"),
        ("head_dim", "head_dim"),
        ("intermediate_size", "intermediate_size"),
        ("max_positions", "max_position_embeddings"),
        ("rms_norm_eps", "rms_norm_eps"),
    ):
        assert getattr(sizes.decoder, ours) == getattr(decoder, theirs)
    rope = decoder.rope_parameters
    assert (sizes.decoder.rope_theta, sizes.decoder.rope_type) == (
        rope["rope_theta"],
        rope["rope_type"],
    )


def test_the_released_file_gives_rope_theta_at_the_top() -> None:
    values = {"language_config": {"model_type": "qwen3", "rope_theta": 1_000_000}}
    assert ModelSizes.read(values).decoder.rope_theta == 1e6


def test_more_tokens_may_end_an_answer_by_the_generation_config(tmp_path: Path) -> None:
    tiny.config().save_pretrained(tmp_path)
    assert Checkpoint.open(tmp_path).sizes.decoder.eos_ids == {1}
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [1, 7]}')
    assert Checkpoint.open(tmp_path).sizes.decoder.eos_ids == {1, 7}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"audio_config": 5}, "audio_config 5 is not an object"),
        ({"audio_config": {"deepstack_encoder_layer_indexes": 5}}, "whole numbers"),
        ({"language_config": {"num_attention_heads": 30}}, "num_attention_heads 30"),
        ({"language_config": {"rope_parameters": 3}}, "rope_parameters 3"),
        ({"language_config": {"rms_norm_eps": "small"}}, "rms_norm_eps 'small'"),
        ({"language_config": {"head_dim": 65}}, "head_dim 65"),
        ({"language_config": {"hidden_act": "relu"}}, "hidden_act 'relu'"),
        ({"language_config": {"attention_bias": True}}, "attention_bias"),
        ({"language_config": {"model_type": ["qwen3"]}}, "model_type"),
    ],
)
def test_what_cannot_be_is_named(values: dict[str, Any], named: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        ModelSizes.read(values)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_opens_without_torch(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "moss_audio"}))
    code = (
        "import sys; from moss_audio.model.checkpoint import Checkpoint;"
        f"[Checkpoint.open(name).sizes for name in ('nano', {str(tmp_path)!r})];"
        "print(sorted({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_the_prompt_of_a_folder_is_known_without_transformers(tmp_path: Path) -> None:
    for folder, processor in (
        (embedded_folder(), MossAudioProcessor.from_pretrained("nano")),
        (
            tmp_path,
            MossAudioProcessor(tiny_tokenizer(), None, 60, 61, 62, False, {"mel_dim": 16}, None),
        ),
    ):
        if folder == tmp_path:
            processor.save_pretrained(folder)
            tiny.config().save_pretrained(folder)
        assert Checkpoint.open(folder).prompt_spec == processor.prompt_spec
    path = tmp_path / "processor_config.json"
    path.write_text("{}")
    with pytest.raises(CheckpointError, match=r"audio_token_id is 151654, .* says 60"):
        _ = Checkpoint.open(tmp_path).prompt_spec
    preset("4b").save_pretrained(tmp_path)
    assert Checkpoint.open(tmp_path).prompt_spec == PromptSpec(151654, 151669, 151670)
    path.write_text('{"audio_token_id": "a"}')
    with pytest.raises(CheckpointError, match=r"processor_config\.json: audio_token_id, .*'a'"):
        _ = Checkpoint.open(tmp_path).prompt_spec
