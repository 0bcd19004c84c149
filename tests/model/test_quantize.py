"""How far a packed weight may be from the original, for every width, shape and scale."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from moss_audio.errors import CheckpointError
from moss_audio.model.nano.quantize import (
    BITS,
    GROUP,
    SUPER,
    load_packed,
    pack,
    save_packed,
    unpack,
)

TINIEST = 6e-8  # the smallest positive float16, a step of the stored ranges


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def through(weight: torch.Tensor, bits: int) -> torch.Tensor:
    return unpack(pack(weight, bits), bits, tuple(weight.shape), torch.float32)


def assert_within_bounds(weight: torch.Tensor, bits: int) -> None:
    """Root mean square error of every group against half a step and the 8-bit scales' rounding."""
    top = 2**bits - 1
    flat = weight.float().reshape(-1)
    block = GROUP * SUPER
    groups = torch.nn.functional.pad(flat, (0, -flat.numel() % block)).view(-1, SUPER, GROUP)
    error = torch.nn.functional.pad(
        through(weight, bits).reshape(-1) - flat, (0, -flat.numel() % block)
    ).view(-1, SUPER, GROUP)
    step = (groups.amax(2) - groups.amin(2)) / top
    # a scale or a zero is stored in whole parts of the largest of its 16 groups
    scale_off = step.amax(1, keepdim=True) / 255 * 0.501 + TINIEST
    zero_off = groups.abs().amax((1, 2))[:, None] / 127 * 0.501 + TINIEST
    bound = step / 2 + top * scale_off + zero_off + 1e-9
    rms = error.square().mean(2).sqrt()
    assert (rms <= bound * 1.001).all(), (rms / bound).max()


@pytest.mark.parametrize(("bits", "bound"), [(4, 0.078), (5, 0.039), (6, 0.020), (8, 0.0052)])
@pytest.mark.parametrize("scale", [1.0, 0.02, 0.001])
def test_error_of_normal_weights(bits: int, bound: float, scale: float) -> None:
    """At 8 bits small weights were once clipped: float16 rounded their ranges down."""
    weight = normal(256, 256, scale=scale)
    error = (through(weight, bits) - weight) / scale
    assert error.square().mean().sqrt() < bound
    assert error.abs().max() < 8 * bound


@settings(max_examples=120)
@given(
    st.sampled_from(BITS),
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.integers(0, 2**31),
    st.sampled_from([1e-4, 1e-2, 1.0, 100.0]),
    st.sampled_from([0.0, 0.5, -3.0]),
)
def test_any_shape_scale_and_offset_stay_in_bounds(
    bits: int, shape: list[int], seed: int, scale: float, offset: float
) -> None:
    weight = (normal(*shape, seed=seed) + offset) * scale
    again = through(weight, bits)
    assert again.shape == weight.shape
    assert_within_bounds(weight, bits)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("shape", [(1,), (31,), (33,), (511,), (513,), (3, 7, 5), (0,), (4, 0), ()])
def test_odd_shapes(bits: int, shape: tuple[int, ...]) -> None:
    weight = normal(*shape) if shape else torch.tensor(0.5)
    again = through(weight, bits)
    assert again.shape == weight.shape
    if weight.numel():
        assert_within_bounds(weight, bits)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("value", [0.0, 1.0, -0.37, 1e-5])
def test_constant_weights(bits: int, value: float) -> None:
    weight = torch.full((64, 48), value)
    assert (through(weight, bits) - weight).abs().max() <= abs(value) * 0.005 + 127 * TINIEST


@pytest.mark.parametrize("bits", BITS)
def test_groups_of_very_different_size_stay_apart(bits: int) -> None:
    weight = normal(SUPER * GROUP) * torch.logspace(-4, 0, SUPER).repeat_interleave(GROUP)
    assert_within_bounds(weight, bits)


@pytest.mark.parametrize("bits", BITS)
def test_packing_is_as_small_as_promised(bits: int) -> None:
    packed = pack(normal(1024, 512), bits)
    size = sum(t.numel() * t.element_size() for t in packed.values())
    # 16 bits for a group's scale and zero, 32 for a block's ranges
    assert size * 8 == 1024 * 512 * (bits + 16 / GROUP + 32 / (GROUP * SUPER))


@pytest.mark.parametrize("bits", BITS)
def test_packing_again_changes_little_and_is_repeatable(bits: int) -> None:
    weight = normal(64, 96)
    first = pack(weight, bits)
    for key, tensor in pack(weight, bits).items():
        assert torch.equal(tensor, first[key])
    once = through(weight, bits)
    assert (through(once, bits) - once).abs().max() < 2 * (
        through(weight, bits) - weight
    ).abs().max()


def test_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="bits 7"):
        pack(normal(4), 7)


def test_bfloat16_and_transposed_weights_pack_too() -> None:
    weight = normal(40, 24).to(torch.bfloat16)
    assert torch.equal(through(weight, 6), through(weight.float(), 6))
    assert torch.equal(through(weight.T, 6), through(weight.T.contiguous(), 6))


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "packed.safetensors"
    weights = {
        "four": (normal(33, 65, seed=1), 4),
        "five": (normal(70, seed=2), 5),
        "six": (normal(7, 11, 13, seed=3), 6),
        "eight": (normal(64, 64, seed=4), 8),
        "norm": (normal(64, seed=5), 16),
        "cut.weight": (normal(64, 8, seed=6).T, 16),
    }
    save_packed(path, weights)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    for dtype in (torch.float32, torch.bfloat16):
        loaded = load_packed(path, dtype)
        assert list(loaded) == list(weights)
        for name, (weight, bits) in weights.items():
            expected = weight.half().float() if bits == 16 else through(weight, bits)
            assert torch.equal(loaded[name], expected.to(dtype))
            assert loaded[name].dtype == dtype


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "packed.safetensors"

    def message() -> str:
        with pytest.raises(CheckpointError) as caught:
            load_packed(path, torch.float32)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "missing" in message()
    save_packed(path, {"w": (normal(64, 64), 4)})
    whole = path.read_bytes()
    for content in (b"", whole[:40], whole[:-7], b"\0" * 100):
        path.write_bytes(content)
        assert "damaged" in message()
    save_file({"w": torch.zeros(3)}, path)
    assert "format None" in message()
    save_file({"w": torch.zeros(3)}, path, metadata={"format": "moss_audio.grouped.v1"})
    assert "damaged" in message()
    index = '{"w": {"bits": 4, "shape": [3]}}'
    save_file(
        {"w:codes": torch.zeros(3, dtype=torch.uint8)},
        path,
        metadata={"format": "moss_audio.grouped.v1", "index": index},
    )
    assert "damaged" in message()
