"""Tensors are read from files as they are stored there, and broken files are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from moss_audio.engine.onnx.source import FileSource, Tensors
from moss_audio.errors import CheckpointError


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_float_type_is_read_exactly(dtype: torch.dtype, tmp_path: Path) -> None:
    weight = torch.randn(7, 5).to(dtype)
    weight[0, 0], weight[0, 1] = float("-inf"), 1e-7
    save_file({"odd": torch.zeros(3, dtype=dtype), "w.weight": weight}, tmp_path / "a.safetensors")
    tensors = Tensors([tmp_path / "a.safetensors"])
    np.testing.assert_array_equal(tensors.floats("w.weight"), weight.float().numpy())
    np.testing.assert_array_equal(tensors.floats("w.weight", [6, 0, 6]), weight[[6, 0, 6]].float())
    assert tensors.shapes == {"odd": (3,), "w.weight": (7, 5)}


def test_a_missing_weight_and_a_broken_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"w.weight": torch.zeros(64, 8)}, path)
    with pytest.raises(CheckpointError, match=r"missing other\.weight; download"):
        FileSource([path]).linear("other.weight")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"a\.safetensors: not a readable .* bytes expected"):
        Tensors([path])
    path.write_bytes(b"no such file")
    with pytest.raises(CheckpointError, match=r"a\.safetensors: not a readable"):
        Tensors([path])
