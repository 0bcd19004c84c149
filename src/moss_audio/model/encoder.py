"""The audio encoder: mel chunks of 4 s -> 12.5-Hz tokens, with taps for DeepStack (spec 1.2).

Shapes: C chunks, M mel bins, F mel frames of a chunk, S positions of the transformer, T tokens of
a chunk, D d_model, N tokens of all clips together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from moss_audio.errors import AudioError
from moss_audio.model.config import MossAudioEncoderConfig
from moss_audio.model.sizes import STACK
from moss_audio.units import STEM_STRIDES, num_tokens


def sinusoids(length: int, width: int, device: torch.device) -> torch.Tensor:
    """Sinusoidal positions `[length, width]`, always computed in float32, never stored.

    A stored table is what meta-device loading leaves uninitialised and what `.to(bfloat16)`
    rounds (spec, section 5).
    """
    increment = math.log(10_000.0) / (width // 2 - 1)
    rates = torch.exp(-increment * torch.arange(width // 2, device=device, dtype=torch.float32))
    angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * rates[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _halved(lengths: torch.Tensor) -> torch.Tensor:
    return torch.div(lengths - 1, 2, rounding_mode="floor") + 1


def _zero_past(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Zero the last axis of `x` `[C, ..., L]` from `lengths` `[C]` on."""
    mask = torch.arange(x.shape[-1], device=x.device)[None, :] < lengths[:, None]
    return x * mask.view(x.shape[0], *([1] * (x.ndim - 2)), x.shape[-1])


class EncoderAttention(nn.Module):
    """Bidirectional multi-head attention; q, v and out projections have a bias, k has none."""

    def __init__(self, config: MossAudioEncoderConfig) -> None:
        super().__init__()
        width = config.d_model
        self.num_heads = config.encoder_attention_heads
        self.head_dim = width // self.num_heads
        self.dropout = config.attention_dropout
        self.q_proj = nn.Linear(width, width, bias=True)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=True)
        self.out_proj = nn.Linear(width, width, bias=True)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """x `[C, S, D]`, mask `[C, 1, 1, S]` (True: attend) -> `[C, S, D]`."""
        c, s, _ = x.shape
        q, k, v = (
            proj(x).view(c, s, self.num_heads, self.head_dim).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=self.dropout if self.training else 0.0
        )
        return self.out_proj(out.transpose(1, 2).reshape(c, s, -1))


class EncoderLayer(GradientCheckpointingLayer):
    """Whisper's pre-norm transformer layer."""

    def __init__(self, config: MossAudioEncoderConfig) -> None:
        super().__init__()
        self.self_attn = EncoderAttention(config)
        self.self_attn_layer_norm = nn.LayerNorm(config.d_model, eps=config.layer_norm_eps)
        self.fc1 = nn.Linear(config.d_model, config.encoder_ffn_dim)
        self.fc2 = nn.Linear(config.encoder_ffn_dim, config.d_model)
        self.final_layer_norm = nn.LayerNorm(config.d_model, eps=config.layer_norm_eps)
        self.dropout = config.dropout
        self.activation_dropout = config.activation_dropout

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """x `[C, S, D]`, mask `[C, 1, 1, S]` -> `[C, S, D]`."""
        out = self.self_attn(self.self_attn_layer_norm(x), mask)
        x = x + F.dropout(out, self.dropout, self.training)
        out = F.gelu(self.fc1(self.final_layer_norm(x)))
        out = self.fc2(F.dropout(out, self.activation_dropout, self.training))
        return x + F.dropout(out, self.dropout, self.training)


@dataclass(frozen=True)
class EncoderOutput:
    """Tokens of all clips, one after the other: `tokens` and every tap `[N, output_dim]`."""

    tokens: torch.Tensor
    taps: tuple[torch.Tensor, ...]
    lengths: tuple[int, ...]  # tokens of each clip


def longest_beside(frames: Sequence[int], clips_of_prompt: Iterable[int]) -> torch.Tensor:
    """Frames of the longest clip in each clip's own prompt `[clips]`.

    Args:
        frames: mel frames of each clip, prompt after prompt.
        clips_of_prompt: how many clips each prompt has.
    """
    found: list[int] = []
    for count in clips_of_prompt:
        own = frames[len(found) : len(found) + count]
        found += [max(own, default=0)] * len(own)
    return torch.tensor(found, dtype=torch.long)


class MossAudioEncoder(nn.Module):
    """Encodes any number of clips. A chunk depends on neither its neighbours nor the batch, but
    for the padding that a clip shorter than a chunk meets beside a longer clip of its prompt."""

    def __init__(self, config: MossAudioEncoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.d_model
        if config.stem == "conv2d":
            channels = config.downsample_hidden_size
            self.conv1: nn.Conv1d | nn.Conv2d = nn.Conv2d(1, channels, 3, stride=2, padding=1)
            self.conv2: nn.Conv1d | nn.Conv2d = nn.Conv2d(
                channels, channels, 3, stride=2, padding=1
            )
            self.conv3 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
            self.stem_proj = nn.Linear(channels * num_tokens(config.num_mel_bins), width)
        else:
            self.conv1 = nn.Conv1d(config.num_mel_bins, width, 3, padding=1)
            self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.layer_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        projects = config.stem == "conv2d" and config.output_dim != width
        self.out_proj: nn.Module = (
            nn.Linear(width, config.output_dim, bias=False) if projects else nn.Identity()
        )

    def forward(
        self,
        audio_data: torch.Tensor,
        lengths: torch.Tensor,
        longest: torch.Tensor | None = None,
    ) -> EncoderOutput:
        """Encode clips.

        Args:
            audio_data: log-mel features `[clips, M, frames]`, padded at the end with anything.
            lengths: mel frames of each clip `[clips]`.
            longest: mel frames of the longest clip in the prompt of each `[clips]`
                (`longest_beside`); None: each clip has a prompt of its own.

        Returns:
            `EncoderOutput`: tokens and taps `[N, output_dim]`, clip after clip.

        Raises:
            AudioError: on a clip too short for one token, or shapes that disagree.
        """
        frames = self._check(audio_data, lengths)
        beside = frames if longest is None else [int(n) for n in longest.reshape(-1).tolist()]
        chunk_frames = self.config.chunk_frames
        chunks: list[torch.Tensor] = []
        valid: list[int] = []  # frames of each chunk
        seen: list[int] = []  # frames that the stem sees, some padding included
        for clip, n_frames, most in zip(audio_data, frames, beside, strict=True):
            for first in range(0, n_frames, chunk_frames):
                chunk = clip[:, first : min(first + chunk_frames, n_frames)]
                valid.append(chunk.shape[1])
                # The released code and vLLM pad the chunks of a prompt with zeros to its longest
                # chunk before the stem: the short tail of a long clip, and a short clip beside a
                # longer one, but not a short clip alone. Keeping just that makes the tokens equal
                # to theirs, whatever other prompts are in the batch.
                seen.append(max(chunk.shape[1], min(chunk_frames, most)))
                chunks.append(chunk)
        outputs: list[tuple[torch.Tensor, ...]] = []
        for first in range(0, len(chunks), self.config.conv_chunksize):
            part = slice(first, first + self.config.conv_chunksize)
            outputs.append(self._encode_chunks(chunks[part], valid[part], seen[part]))
        streams = [torch.cat(stream) for stream in zip(*outputs, strict=True)]
        lengths_out = tuple(num_tokens(n) for n in frames)
        return EncoderOutput(tokens=streams[0], taps=tuple(streams[1:]), lengths=lengths_out)

    def _check(self, audio_data: torch.Tensor, lengths: torch.Tensor) -> list[int]:
        if audio_data.ndim != 3 or audio_data.shape[1] != self.config.num_mel_bins:
            raise AudioError(
                f"audio_data has shape {tuple(audio_data.shape)}; expected "
                f"[clips, {self.config.num_mel_bins}, frames]"
            )
        frames = [int(n) for n in lengths.reshape(-1).tolist()]
        if len(frames) != audio_data.shape[0]:
            raise AudioError(
                f"audio_data holds {audio_data.shape[0]} clips, audio_data_seqlens {len(frames)}"
            )
        for index, n_frames in enumerate(frames):
            if not 1 <= n_frames <= audio_data.shape[2]:
                raise AudioError(
                    f"clip {index} has {n_frames} mel frames; at least 1 (10 ms) and at most the "
                    f"{audio_data.shape[2]} of audio_data are needed"
                )
        return frames

    def _encode_chunks(
        self, chunks: list[torch.Tensor], valid: list[int], seen: list[int]
    ) -> tuple[torch.Tensor, ...]:
        weight = self.conv1.weight
        longest = max(seen)
        x = torch.stack([F.pad(chunk, (0, longest - chunk.shape[1])) for chunk in chunks])
        x = x.to(device=weight.device, dtype=weight.dtype)
        valid_t = torch.tensor(valid, device=x.device)
        seen_t = torch.tensor(seen, device=x.device)
        stem = self._stem_conv2d if self.config.stem == "conv2d" else self._stem_conv1d
        # a chunk that sees less than the longest must meet zeros, not another chunk's padding
        x, positions = stem(x, valid_t, seen_t if min(seen) < longest else None)
        x = x + sinusoids(x.shape[1], x.shape[2], x.device).to(x.dtype)
        mask = torch.arange(x.shape[1], device=x.device)[None, :] < positions[:, None]
        attention_mask = None if bool(mask.all()) else mask[:, None, None, :]
        taps = []
        for index, layer in enumerate(self.layers):
            x = layer(x, attention_mask)
            if index in self.config.deepstack_encoder_layer_indexes:
                taps.append(x)
        return tuple(
            self._to_tokens(stream, mask, valid_t) for stream in (self.layer_norm(x), *taps)
        )

    def _stem_conv2d(
        self, x: torch.Tensor, valid: torch.Tensor, seen: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`[C, M, F]` -> `[C, F/8, D]` and the positions of each chunk `[C]`."""
        x = x.unsqueeze(1)
        positions = valid
        for conv in (self.conv1, self.conv2, self.conv3):
            x = F.gelu(conv(x))
            positions = _halved(positions)
            if seen is not None:
                seen = _halved(seen)
                x = _zero_past(x, seen)
        x = self.stem_proj(x.permute(0, 3, 1, 2).flatten(2))
        return x[:, : int(positions.max())], positions

    def _stem_conv1d(
        self, x: torch.Tensor, valid: torch.Tensor, seen: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`[C, M, F]` -> `[C, F/2, D]` and the positions of each chunk `[C]`."""
        x = F.gelu(self.conv1(x))
        if seen is not None:
            x = _zero_past(x, seen)
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        positions = _halved(valid)
        return x[:, : int(positions.max())], positions

    def _to_tokens(self, x: torch.Tensor, mask: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """`[C, S, D]` -> valid tokens of all chunks `[n, output_dim]`."""
        if self.config.stem == "conv1d_stack4":
            c, s, d = x.shape
            x = F.pad(x * mask[:, :, None], (0, 0, 0, -s % STACK))
            x = x.reshape(c, -1, STACK * d)
        tokens = valid
        for _ in range(STEM_STRIDES):
            tokens = _halved(tokens)
        keep = torch.arange(x.shape[1], device=x.device)[None, :] < tokens[:, None]
        return self.out_proj(x[keep])
