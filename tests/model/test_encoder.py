"""Chunks are independent of their neighbours, of the batch and of how many are encoded at once."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_models as tiny
import torch
from torch import nn
from torch.nn import functional as F
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from moss_audio.errors import AudioError
from moss_audio.model.config import MossAudioEncoderConfig
from moss_audio.model.encoder import MossAudioEncoder, sinusoids
from moss_audio.units import num_tokens

STEMS: list[dict[str, Any]] = [{}, tiny.WHISPER_STEM]
both_stems = pytest.mark.parametrize("stem", STEMS, ids=["conv2d", "conv1d_stack4"])
# 0.02 s to 13 s, one and several chunks, full and short last chunks
LENGTHS = [2, 1300, 399, 400, 401, 7, 800, 1193, 33]
CLOSE = {"atol": 3e-5, "rtol": 1e-5}


def build(**changes: Any) -> MossAudioEncoder:
    encoder = MossAudioEncoder(MossAudioEncoderConfig(**{**tiny.ENCODER, **changes})).eval()
    tiny.scramble(encoder)
    return encoder


def encode(encoder: MossAudioEncoder, *clips: torch.Tensor) -> Any:
    inputs = tiny.pad_clips(clips)
    with torch.no_grad():
        return encoder(inputs["audio_data"], inputs["audio_data_seqlens"])


def streams(output: Any) -> list[torch.Tensor]:
    return [output.tokens, *output.taps]


@both_stems
def test_a_change_in_one_chunk_changes_no_other(stem: dict[str, Any]) -> None:
    encoder = build(**stem)
    clip = tiny.mel(1330)
    before = encode(encoder, clip)
    for chunk in range(4):
        changed = clip.clone()
        changed[:, chunk * 400 : (chunk + 1) * 400] += 1.0
        after = encode(encoder, changed)
        for old, new in zip(streams(before), streams(after), strict=True):
            moved = (old - new).abs().amax(1) > 1e-6
            inside = torch.zeros(num_tokens(1330), dtype=torch.bool)
            inside[chunk * 50 : (chunk + 1) * 50] = True
            assert torch.equal(moved, inside)


@both_stems
def test_a_batch_gives_what_single_clips_give(stem: dict[str, Any]) -> None:
    encoder = build(**stem)
    clips = [tiny.mel(n, seed=n) for n in LENGTHS]
    together = encode(encoder, *clips)
    assert together.lengths == tuple(num_tokens(n) for n in LENGTHS)
    parts = [stream.split(together.lengths) for stream in streams(together)]
    for index, clip in enumerate(clips):
        alone = encode(encoder, clip)
        for stream, expected in zip(parts, streams(alone), strict=True):
            torch.testing.assert_close(stream[index], expected, **CLOSE)


@both_stems
def test_what_pads_a_clip_does_not_matter(stem: dict[str, Any]) -> None:
    encoder = build(**stem)
    clips = [tiny.mel(n, seed=n) for n in (2, 401, 900)]
    lengths = torch.tensor([2, 401, 900])
    with torch.no_grad():
        zeros = encoder(tiny.pad_clips(clips)["audio_data"], lengths)
        nans = encoder(tiny.pad_clips(clips, fill=float("nan"))["audio_data"], lengths)
    assert torch.equal(zeros.tokens, nans.tokens)


@both_stems
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_conv_chunksize_has_no_influence(stem: dict[str, Any], size: int) -> None:
    clips = [tiny.mel(n, seed=n) for n in (1300, 2, 401, 40)]
    expected = encode(build(**stem), *clips)
    limited = encode(build(**stem, conv_chunksize=size), *clips)
    for ours, theirs in zip(streams(limited), streams(expected), strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE)


@both_stems
def test_token_counts_follow_the_formula(stem: dict[str, Any]) -> None:
    encoder = build(**stem, encoder_layers=1, deepstack_encoder_layer_indexes=[0])
    lengths = [*range(1, 26), *range(392, 418), 799, 800, 801]
    output = encode(encoder, *[tiny.mel(n, seed=n) for n in lengths])
    assert output.lengths == tuple(num_tokens(n) for n in lengths)
    assert output.tokens.shape == (sum(output.lengths), encoder.config.output_dim)
    assert not output.tokens.isnan().any()


@pytest.mark.parametrize("n_window", [4, 52, 200])
def test_other_chunk_lengths_keep_the_count(n_window: int) -> None:
    encoder = build(n_window=n_window)
    for n_frames in (1, 8, 9, 103, 104, 105, 433):
        assert encode(encoder, tiny.mel(n_frames)).tokens.shape[0] == num_tokens(n_frames)


def reference_conv2d(encoder: MossAudioEncoder, clip: torch.Tensor) -> list[torch.Tensor]:
    """The released encoder, one chunk at a time, written without batches or masks."""
    config = encoder.config
    collected: list[list[torch.Tensor]] = []
    n_frames = clip.shape[1]
    for first in range(0, n_frames, config.chunk_frames):
        chunk = clip[:, first : first + config.chunk_frames]
        tokens = num_tokens(chunk.shape[1])
        if n_frames > config.chunk_frames:  # the tail of a longer clip meets zeros
            chunk = F.pad(chunk, (0, config.chunk_frames - chunk.shape[1]))
        x = chunk[None, None]
        for conv in (encoder.conv1, encoder.conv2, encoder.conv3):
            x = F.gelu(F.conv2d(x, conv.weight, conv.bias, stride=2, padding=1))
        # channel-major rows of one token each
        x = torch.stack([x[0, :, :, t].flatten() for t in range(tokens)])
        x = encoder.stem_proj(x)
        half = config.d_model // 2
        for t in range(tokens):
            for i in range(half):
                angle = t / 10_000 ** (i / (half - 1))
                x[t, i] += torch.tensor(angle, dtype=torch.float64).sin().float()
                x[t, half + i] += torch.tensor(angle, dtype=torch.float64).cos().float()
        taps = []
        for index, layer in enumerate(encoder.layers):
            x = reference_layer(layer, x, config)
            if index in config.deepstack_encoder_layer_indexes:
                taps.append(x)
        final = F.layer_norm(
            x, [config.d_model], encoder.layer_norm.weight, encoder.layer_norm.bias, 1e-5
        )
        collected.append([encoder.out_proj(stream) for stream in (final, *taps)])
    return [torch.cat(parts) for parts in zip(*collected, strict=True)]


def reference_layer(layer: Any, x: torch.Tensor, config: MossAudioEncoderConfig) -> torch.Tensor:
    def norm(y: torch.Tensor, module: nn.LayerNorm) -> torch.Tensor:
        centred = y - y.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * module.weight + module.bias

    attention, y = layer.self_attn, norm(x, layer.self_attn_layer_norm)
    width = config.d_model // config.encoder_attention_heads
    heads = []
    for head in range(config.encoder_attention_heads):
        part = slice(head * width, (head + 1) * width)
        q = y @ attention.q_proj.weight[part].T + attention.q_proj.bias[part]
        k = y @ attention.k_proj.weight[part].T
        v = y @ attention.v_proj.weight[part].T + attention.v_proj.bias[part]
        heads.append(torch.softmax(q @ k.T / width**0.5, dim=-1) @ v)
    x = x + attention.out_proj(torch.cat(heads, dim=-1))
    return x + layer.fc2(F.gelu(layer.fc1(norm(x, layer.final_layer_norm))))


@pytest.mark.parametrize("n_frames", [2, 155, 400, 433, 801])
@pytest.mark.parametrize("output_dim", [16, 24])
def test_conv2d_equals_a_plain_reference(n_frames: int, output_dim: int) -> None:
    encoder = build(output_dim=output_dim)
    clip = tiny.mel(n_frames, seed=3)
    with torch.no_grad():
        expected = reference_conv2d(encoder, clip)
    # short clips beside it, so that masks are in use
    output = encode(encoder, clip, tiny.mel(90, seed=4))
    for ours, theirs in zip(streams(output), expected, strict=True):
        torch.testing.assert_close(ours[: theirs.shape[0]], theirs, **CLOSE)


def whisper_like(encoder: MossAudioEncoder) -> WhisperEncoder:
    """transformers' Whisper encoder of the same sizes and weights, for one 4-s chunk."""
    config = encoder.config
    whisper = WhisperEncoder(
        WhisperConfig(
            d_model=config.d_model,
            num_mel_bins=config.num_mel_bins,
            encoder_layers=config.encoder_layers,
            encoder_attention_heads=config.encoder_attention_heads,
            encoder_ffn_dim=config.encoder_ffn_dim,
            max_source_positions=200,
            dropout=0.0,
            activation_function="gelu",
        )
    ).eval()
    missing, unexpected = whisper.load_state_dict(encoder.state_dict(), strict=False)
    assert missing == ["embed_positions.weight"]
    assert not unexpected
    return whisper


def test_conv1d_stack4_equals_whisper() -> None:
    encoder = build(**tiny.WHISPER_STEM)
    whisper = whisper_like(encoder)
    torch.testing.assert_close(
        whisper.embed_positions.weight.data,
        sinusoids(200, 16, torch.device("cpu")),
        atol=1e-5,
        rtol=0,
    )
    clip = tiny.mel(400, seed=5)
    with torch.no_grad():
        expected = whisper(clip[None]).last_hidden_state[0]
    # four 50-Hz frames side by side make a token
    torch.testing.assert_close(
        encode(encoder, clip, tiny.mel(30)).tokens[:50], expected.reshape(50, 64), **CLOSE
    )


def test_taps_are_the_named_layers_in_rising_order() -> None:
    clip = tiny.mel(410)
    every = encode(build(deepstack_encoder_layer_indexes=[0, 1, 2, 3]), clip)
    assert len(every.taps) == 4
    some = encode(build(deepstack_encoder_layer_indexes=[1, 3]), clip)
    assert len(some.taps) == 2
    assert torch.equal(some.taps[0], every.taps[1])
    assert torch.equal(some.taps[1], every.taps[3])
    assert encode(build(deepstack_encoder_layer_indexes=None), clip).taps == ()


def test_the_last_tap_is_taken_before_the_final_norm() -> None:
    encoder = build(output_dim=16, deepstack_encoder_layer_indexes=[3])
    output = encode(encoder, tiny.mel(100))
    torch.testing.assert_close(encoder.layer_norm(output.taps[0]), output.tokens)
    assert not torch.allclose(output.taps[0], output.tokens)


def test_positions_are_float32_and_not_stored() -> None:
    encoder = build()
    assert not list(encoder.buffers())
    assert not [name for name in encoder.state_dict() if "position" in name]
    # 199 is not a number that bfloat16 holds: a table from bfloat16 angles would be far off
    table = sinusoids(200, 16, torch.device("cpu"))
    assert table.dtype == torch.float32
    assert table[199, 0].item() == pytest.approx(torch.tensor(199.0, dtype=torch.float64).sin())


def test_bfloat16_and_float32_agree_at_late_positions() -> None:
    encoder = build(**tiny.WHISPER_STEM)
    clip = tiny.mel(400, seed=6)
    exact = encode(encoder, clip).tokens
    rounded = encode(encoder.to(torch.bfloat16), clip).tokens
    assert rounded.dtype == torch.bfloat16
    error = (rounded.float() - exact).abs().mean(1)
    assert error[-10:].mean() < 3 * error[:10].mean() + 0.01
    assert error.max() < 0.1


@pytest.mark.parametrize(
    ("shape", "lengths", "named"),
    [
        ((1, 15, 100), [100], "16"),
        ((16, 100), [100], "shape"),
        ((2, 16, 100), [100], "2 clips"),
        ((1, 16, 100), [0], "clip 0 has 0"),
        ((2, 16, 100), [50, 101], "clip 1 has 101"),
    ],
)
def test_bad_inputs_are_named(shape: tuple[int, ...], lengths: list[int], named: str) -> None:
    with pytest.raises(AudioError, match=named):
        build()(torch.zeros(shape), torch.tensor(lengths))
