"""The encoder's graph computes what `MossAudioModel` computes, whatever stands beside a clip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from moss_audio.engine.onnx.encoder import ClipFeatures, OnnxEncoder
from moss_audio.engine.onnx.nano import NanoSource
from moss_audio.engine.onnx.source import FileSource
from moss_audio.model.checkpoint import Checkpoint
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.presets import preset
from moss_audio.model.sizes import ModelSizes
from tests.embedded import NEEDS_NANO

TINY = {
    "d_model": 32,
    "output_dim": 40,
    "num_mel_bins": 20,
    "encoder_layers": 4,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "downsample_hidden_size": 6,
    "deepstack_encoder_layer_indexes": [0, 1, 3],
}
STEMS: dict[str, dict[str, Any]] = {
    "conv2d": TINY,
    "conv2d without projection": {**TINY, "output_dim": 32, "n_window": 36},
    "conv1d_stack4": {**TINY, "output_dim": 128, "stem": "conv1d_stack4"},
}
Pair = tuple[OnnxEncoder, MossAudioModel]


def pair(folder: Path, dtype: torch.dtype = torch.float32, **changes: Any) -> Pair:
    """Both encoders on the same weights, large enough that every input shows."""
    torch.manual_seed(0)
    model = MossAudioModel(preset("micro", **changes)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(std=weight[0].numel() ** -0.5)
            elif name.endswith("bias"):
                weight.normal_(std=0.1)
    path = folder / "model.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in model.state_dict().items()}, path)
    sizes = ModelSizes.read(json.loads(model.config.to_json_string(use_diff=False)))
    model.load_state_dict({n: t.to(dtype).float() for n, t in model.state_dict().items()})
    return OnnxEncoder(sizes, FileSource([path]), threads=1), model


@pytest.fixture(scope="module", params=STEMS)
def encoders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair(tmp_path_factory.mktemp("model"), audio_config=STEMS[request.param])


def by_torch(model: MossAudioModel, mels: list[np.ndarray], longest: int) -> list[np.ndarray]:
    frames = torch.tensor([mel.shape[1] for mel in mels])
    data = torch.zeros(len(mels), mels[0].shape[0], int(frames.max()))
    for row, mel in zip(data, mels, strict=True):
        row[:, : mel.shape[1]] = torch.from_numpy(mel)
    with torch.no_grad():
        features = model.encode_audio(data, frames, torch.full((len(mels),), longest))
    return [stream.numpy() for stream in (features.embeds, *features.deepstack)]


def joined(clips: list[ClipFeatures]) -> list[np.ndarray]:
    streams = ((clip.embeds, *clip.deepstack) for clip in clips)
    return [np.concatenate(stream) for stream in zip(*streams, strict=True)]


def check(encoders: Pair, lengths: list[int], seed: int) -> None:
    encoder, model = encoders
    rng = np.random.default_rng(seed)
    bins = model.config.audio_config.num_mel_bins
    mels = [rng.normal(size=(bins, n)).astype(np.float32) for n in lengths]
    expected = by_torch(model, mels, max(lengths))
    found = joined([encoder.encode(mel, max(lengths)) for mel in mels])
    assert len(found) == len(expected) == 4
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 900) | st.sampled_from([399, 400, 401, 800]), min_size=1,
                     max_size=3),
    seed=st.integers(0, 2**31),
)  # fmt: skip
def test_clips_of_a_prompt_are_encoded_as_torch_encodes_them(
    encoders: Pair, lengths: list[int], seed: int
) -> None:
    check(encoders, lengths, seed)


def test_a_long_clip_runs_in_several_passes(encoders: Pair) -> None:
    check(encoders, [9 * 400 + 1], 0)


def test_a_short_clip_depends_on_the_longest_of_its_prompt_alone(encoders: Pair) -> None:
    encoder, model = encoders
    frames = model.config.audio_config.chunk_frames
    mel = np.ones((20, 33), np.float32)
    alone, beside, longer = (encoder.encode(mel, n).embeds for n in (33, frames, 5 * frames))
    assert np.abs(alone - beside).max() > 1e-3
    np.testing.assert_array_equal(beside, longer)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_in_16_bits_are_read_exactly(dtype: torch.dtype, tmp_path: Path) -> None:
    check(pair(tmp_path, dtype, audio_config=TINY), [450], 1)


@pytest.mark.parametrize("used", [0, 2])
def test_mergers_that_are_left_out_cost_nothing(used: int, tmp_path: Path) -> None:
    encoder, model = pair(tmp_path, audio_config=TINY, deepstack_num_inject_layers=used)
    mel = np.ones((20, 33), np.float32)
    found = encoder.encode(mel, 33)
    assert len(found.deepstack) == used
    np.testing.assert_allclose(found.embeds, by_torch(model, [mel], 33)[0], atol=1e-4)


@NEEDS_NANO[0]
@NEEDS_NANO[1]
def test_nano_s_stored_codes_give_what_torch_gives_in_float32() -> None:
    checkpoint = Checkpoint.open("nano")
    model = MossAudioModel.from_pretrained(checkpoint, dtype=torch.float32).eval()
    encoder = OnnxEncoder(checkpoint.sizes, NanoSource(checkpoint.folder), 1)
    mel = np.random.default_rng(0).normal(size=(80, 933)).astype(np.float32)
    found = encoder.encode(mel, 933)
    expected = by_torch(model, [mel], 933)
    for ours, theirs in zip((found.embeds, *found.deepstack), expected, strict=True):
        assert np.linalg.norm(ours - theirs) < 1e-4 * np.linalg.norm(theirs)
