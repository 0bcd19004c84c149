"""How far 4 and 8 bits move the logits of a random model in the released layout: numpy, float32.

    python benchmarks/large.py FOLDER             writes FOLDER/4b
    python benchmarks/quantisation.py FOLDER/4b   embedding, all layers and head, one by one

Every variant carries its own hidden states through all layers; only weights are rounded, not what
they are multiplied with. Random weights have no outliers and no structure: trained ones are
measured with nano (docs/results.md).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from moss_audio.engine.onnx.export import BLOCK
from moss_audio.engine.onnx.source import Tensors
from moss_audio.engine.onnx.weights import quantize
from moss_audio.model.checkpoint import Checkpoint
from moss_audio.model.sizes import DecoderSizes

_LAYERS = "language_model.layers."
# bits of the decoder's layers, and of embedding and head
VARIANTS = {
    "float32": (32, 32),
    "8 bits": (8, 8),
    "4 bits, embedding and head 8": (4, 8),
    "4 bits throughout": (4, 4),
}


def main() -> None:
    """Print a line a variant."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="a checkpoint in the released layout")
    parser.add_argument("--positions", type=int, default=32)
    parser.add_argument("--block", type=int, default=BLOCK, help="weights that share a scale")
    given = parser.parse_args()
    checkpoint = Checkpoint.open(given.folder)
    sizes, tensors = checkpoint.sizes.decoder, Tensors(checkpoint.weight_files)
    ids = np.random.default_rng(0).integers(sizes.vocab_size, size=given.positions)
    states = {}
    for name, (_, outer) in VARIANTS.items():
        table = tensors.floats("language_model.embed_tokens.weight", ids)
        states[name] = rounded(table, outer, given.block)
    for index in range(sizes.layers):
        weights = {
            name: tensors.floats(name)
            for name in tensors.shapes
            if name.startswith(f"{_LAYERS}{index}.")
        }
        forms: dict[int, dict[str, np.ndarray]] = {}
        for name, (inner, _) in VARIANTS.items():
            if inner not in forms:
                forms[inner] = {n: rounded(w, inner, given.block) for n, w in weights.items()}
            states[name] = layer(states[name], forms[inner], f"{_LAYERS}{index}.", sizes)
    norm = tensors.floats("language_model.norm.weight")
    head = tensors.floats("lm_head.weight")
    exact = rms_norm(states["float32"], norm, sizes) @ head.T
    for name, (_, outer) in VARIANTS.items():
        logits = rms_norm(states[name], norm, sizes) @ rounded(head, outer, given.block).T
        error = np.linalg.norm(logits - exact) / np.linalg.norm(exact)
        same = (logits.argmax(1) == exact.argmax(1)).mean()
        lost = divergence(exact, logits)
        print(f"{name:<30}{error:>7.2%} of the logits, {lost:.4f} nats, same best id {same:.0%}")


def rounded(weight: np.ndarray, bits: int, block: int) -> np.ndarray:
    """A matrix as blocks of so many bits hold it."""
    if bits == 32 or weight.ndim != 2:
        return weight
    return quantize(weight, bits, block).rows(np.s_[:])


def divergence(exact: np.ndarray, logits: np.ndarray) -> float:
    """Mean Kullback-Leibler divergence of the next token's distribution, in nats."""
    p, q = log_softmax(exact), log_softmax(logits)
    return float((np.exp(p) * (p - q)).sum(1).mean())


def log_softmax(x: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def rms_norm(x: np.ndarray, weight: np.ndarray, sizes: DecoderSizes) -> np.ndarray:
    """Along the last axis."""
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + sizes.rms_norm_eps) * weight


def layer(
    x: np.ndarray, weights: dict[str, np.ndarray], prefix: str, sizes: DecoderSizes
) -> np.ndarray:
    """A layer of the decoder on `[L, H]`, without DeepStack."""

    def linear(values: np.ndarray, name: str) -> np.ndarray:
        return values @ weights[f"{prefix}{name}.weight"].T

    normed = rms_norm(x, weights[f"{prefix}input_layernorm.weight"], sizes)
    q, k, v = (
        linear(normed, f"self_attn.{part}_proj").reshape(len(x), -1, sizes.head_dim).swapaxes(0, 1)
        for part in "qkv"
    )
    q, k = (
        rotated(rms_norm(part, weights[f"{prefix}self_attn.{name}_norm.weight"], sizes), sizes)
        for part, name in ((q, "q"), (k, "k"))
    )
    k, v = (part.repeat(sizes.heads // sizes.kv_heads, 0) for part in (k, v))
    scores = q @ k.swapaxes(1, 2) / np.sqrt(np.float32(sizes.head_dim))
    scores = np.where(np.tri(len(x), dtype=bool), scores, -np.inf)
    attended = (np.exp(log_softmax(scores)) @ v).swapaxes(0, 1).reshape(len(x), -1)
    x = x + linear(attended, "self_attn.o_proj")
    normed = rms_norm(x, weights[f"{prefix}post_attention_layernorm.weight"], sizes)
    gate = linear(normed, "mlp.gate_proj")
    return x + linear(gate / (1 + np.exp(-gate)) * linear(normed, "mlp.up_proj"), "mlp.down_proj")


def rotated(x: np.ndarray, sizes: DecoderSizes) -> np.ndarray:
    """Rotary positions on `[heads, L, D]`."""
    half = sizes.head_dim // 2
    rates = sizes.rope_theta ** (-np.arange(half, dtype=np.float32) / half)
    angles = np.arange(x.shape[1], dtype=np.float32)[:, None] * rates.astype(np.float32)
    cos, sin = np.cos(angles), np.sin(angles)
    left, right = x[..., :half], x[..., half:]
    return np.concatenate([left * cos - right * sin, right * cos + left * sin], -1)


if __name__ == "__main__":
    main()
