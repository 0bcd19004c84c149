"""Every bad field is named, all of them at once; what is saved comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
from transformers import LlamaConfig, Qwen2Config, Qwen3Config

from moss_audio.errors import CheckpointError
from moss_audio.model.checkpoint import load_config
from moss_audio.model.config import MossAudioConfig, MossAudioEncoderConfig
from moss_audio.model.presets import PRESET_NAMES, preset

AUDIO_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"n_window": 50}, "n_window 50"),
    ({"n_window": 0}, "n_window 0"),
    ({"n_window": "200"}, "n_window '200'"),
    ({"deepstack_encoder_layer_indexes": [0, 4]}, "names layer 4"),
    ({"deepstack_encoder_layer_indexes": [-1]}, "names layer -1"),
    ({"deepstack_encoder_layer_indexes": [2, 1]}, "must rise"),
    ({"deepstack_encoder_layer_indexes": [1, 1]}, "must rise"),
    ({"deepstack_encoder_layer_indexes": ["8"]}, "whole numbers"),
    ({"encoder_attention_heads": 3}, "encoder_attention_heads 3"),
    ({"encoder_attention_heads": 0}, "encoder_attention_heads 0"),
    ({"d_model": 2, "encoder_attention_heads": 1}, "d_model 2"),
    ({"activation_function": "relu"}, "'relu'"),
    ({"stem": "conv3d"}, "'conv3d'"),
    ({"stem": "conv1d_stack4"}, "output_dim is 24"),
    ({"conv_chunksize": 0}, "conv_chunksize 0"),
    ({"encoder_layers": 0}, "encoder_layers 0"),
    ({"num_mel_bins": 12.5}, "num_mel_bins 12.5"),
    ({"output_dim": None}, "output_dim None"),
    ({"downsample_hidden_size": -4}, "downsample_hidden_size -4"),
    ({"encoder_ffn_dim": True}, "encoder_ffn_dim True"),
]
TOP_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"deepstack_num_inject_layers": -1}, "deepstack_num_inject_layers -1"),
    ({"deepstack_num_inject_layers": "2"}, "deepstack_num_inject_layers '2'"),
    ({"language": {"num_hidden_layers": 2}}, "only 2 layers"),
    ({"audio_token_id": 64}, "audio_token_id 64"),
    ({"audio_start_id": -1}, "audio_start_id -1"),
    ({"audio_end_id": None}, "audio_end_id None"),
    ({"audio_end_id": 61}, "three different ids"),
    ({"adapter_hidden_size": 0}, "adapter_hidden_size 0"),
    ({"language": {"model_type": "gpt2"}}, "'gpt2'"),
    ({"language": {"num_hidden_layers": "four"}}, "language_config"),
]


@pytest.mark.parametrize(("change", "named"), AUDIO_FAULTS)
def test_a_bad_encoder_field_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        tiny.config(audio=change)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("change", "named"), TOP_FAULTS)
def test_a_bad_top_level_or_decoder_field_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        tiny.config(**change)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_faults_are_reported_together() -> None:
    with pytest.raises(CheckpointError) as caught:
        tiny.config(
            audio={"n_window": 50, "deepstack_encoder_layer_indexes": [9], "stem": "none"},
            audio_token_id=64,
            deepstack_num_inject_layers=-2,
            adapter_hidden_size=0,
        )
    for named in ("n_window", "layer 9", "stem", "audio_token_id", "inject_layers", "adapter"):
        assert named in str(caught.value)


def test_sliding_window_decoders_are_refused() -> None:
    window = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2}
    with pytest.raises(CheckpointError, match="sliding-window"):
        tiny.config(language=window)
    with pytest.raises(CheckpointError, match="sliding-window"):
        tiny.config(language={"layer_types": ["full_attention", "sliding_attention"] * 2})
    # written in the file, but not in use: as in the released configurations
    assert tiny.config(language={**window, "use_sliding_window": False})


def test_another_decoder_family_is_refused_also_as_an_object() -> None:
    with pytest.raises(CheckpointError, match="'qwen2'"):
        tiny.config().__class__(language_config=Qwen2Config())


def test_parts_may_be_objects_or_mappings() -> None:
    mappings = tiny.config()
    language = {k: v for k, v in tiny.QWEN3.items() if k != "model_type"}
    objects = MossAudioConfig(
        audio_config=MossAudioEncoderConfig(**tiny.ENCODER),
        language_config=Qwen3Config(**language),
        adapter_hidden_size=20,
        audio_token_id=60,
        audio_start_id=61,
        audio_end_id=62,
    )
    assert objects.to_dict() == mappings.to_dict()


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_presets_round_trip_through_a_mapping(name: str) -> None:
    config = preset(name)
    again = MossAudioConfig.from_dict(config.to_dict())
    assert again.to_dict() == config.to_dict()
    assert isinstance(again.audio_config, MossAudioEncoderConfig)
    family = LlamaConfig if name == "nano" else Qwen3Config
    assert type(again.language_config) is family


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_save_and_load_write_the_same_file(name: str, tmp_path: Path) -> None:
    preset(name).save_pretrained(tmp_path / "a")
    load_config(tmp_path / "a").save_pretrained(tmp_path / "b")
    MossAudioConfig.from_pretrained(tmp_path / "a").save_pretrained(tmp_path / "c")
    first = json.loads((tmp_path / "a" / "config.json").read_text())
    for other in "bc":
        assert json.loads((tmp_path / other / "config.json").read_text()) == first


def test_unknown_preset_is_one_line() -> None:
    with pytest.raises(CheckpointError, match="no preset '70b'; there are 4b"):
        preset("70b")


def test_presets_take_changes() -> None:
    assert preset("4b", deepstack_num_inject_layers=2).num_deepstack == 2


RELEASED: dict[str, Any] = {
    "architectures": ["MossAudioModel"],
    "model_type": "moss_audio",
    "auto_map": {"AutoConfig": "configuration_moss_audio.MossAudioConfig"},
    "adapter_hidden_size": 8192,
    "deepstack_num_inject_layers": None,
    "ignore_index": -100,
    "dtype": "bfloat16",
    "some_future_key": {"nested": [1, 2]},
    "audio_config": {
        "model_type": "moss_audio_encoder",
        "d_model": 1280,
        "output_dim": 1280,
        "num_mel_bins": 128,
        "encoder_layers": 32,
        "encoder_attention_heads": 20,
        "encoder_ffn_dim": 5120,
        "downsample_rate": 8,
        "downsample_hidden_size": 480,
        "encoder_attention_window_size": 100,
        "n_window": 200,
        "conv_chunksize": 64,
        "deepstack_encoder_layer_indexes": [8, 16, 24],
        "unknown_encoder_key": "kept",
    },
    "language_config": {
        "model_type": "qwen3",
        "architectures": ["Qwen3ForCausalLM"],
        "vocab_size": 151936,
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "rope_theta": 1000000,
        "rms_norm_eps": 1e-06,
        "max_position_embeddings": 40960,
        "tie_word_embeddings": False,
        "sliding_window": None,
        "use_sliding_window": False,
        "max_window_layers": 36,
        "eos_token_id": 151645,
    },
}


def test_a_released_config_loads_with_the_right_defaults(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(RELEASED))
    config = load_config(tmp_path)
    assert config.audio_config.stem == "conv2d"
    assert (config.audio_token_id, config.audio_start_id, config.audio_end_id) == (
        151654,
        151669,
        151670,
    )
    assert config.num_deepstack == 3
    assert config.some_future_key == {"nested": [1, 2]}
    assert config.audio_config.unknown_encoder_key == "kept"
    assert config.tie_word_embeddings is False
    assert config.get_text_config().hidden_size == config.hidden_size == 2560
    rope = config.language_config.rope_parameters
    assert rope["rope_theta"] == 1e6
    expected = preset("4b").language_config
    for key in ("vocab_size", "num_hidden_layers", "num_key_value_heads", "head_dim"):
        assert getattr(config.language_config, key) == getattr(expected, key)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "not readable as JSON"),
        (b'{"model_type": "moss_au', "not readable as JSON"),
        (b"\xff\xfe\x00", "not readable as JSON"),
        (b"[1, 2]", "holds no object"),
        (b'{"model_type": "qwen3"}', "'qwen3'"),
        (b'{"model_type": "moss_audio", "audio_config": 5}', "config.json"),
        (b'{"model_type": "moss_audio", "audio_config": {"n_window": 3}}', "n_window 3"),
        (b'{"model_type": "moss_audio", "language_config": {"model_type": "t5"}}', "'t5'"),
    ],
)
def test_a_damaged_config_names_the_file(tmp_path: Path, content: bytes, named: str) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_config(tmp_path)
    assert named in str(caught.value)
    assert str(tmp_path / "config.json") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_num_deepstack_is_the_smaller_of_taps_and_limit() -> None:
    assert tiny.config().num_deepstack == 3
    assert tiny.config(deepstack_num_inject_layers=2).num_deepstack == 2
    assert tiny.config(deepstack_num_inject_layers=0).num_deepstack == 0
    assert tiny.config(deepstack_num_inject_layers=9).num_deepstack == 3
