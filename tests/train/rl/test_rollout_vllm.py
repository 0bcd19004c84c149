"""What is written for vLLM's server, and what stays on disk; with a server that only listens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from moss_audio.testing.tokenizer import tiny_prompt_spec, tiny_tokenizer
from moss_audio.train.rl.rollout import SamplingConfig
from moss_audio.train.rl.rollout_vllm import VllmRollouts


class _Server:
    """An endpoint and its client: it keeps what it was ordered."""

    model_name, place = "policy", "here"

    def __init__(self) -> None:
        self.ordered: list[tuple[str, Any]] = []

    def connect(self, purpose: str) -> _Server:
        return self

    def order(self, path: str, body: Any = None) -> str:
        self.ordered.append((path, body))
        return ""


class _Weights:
    """A policy of one adapted layer."""

    scaling = 2.0

    def decoder_lora(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        return {"language_model.layers.0.self_attn.q_proj": (torch.ones(4, 8), torch.ones(8, 4))}


def _rollouts(server: _Server, folder: Path) -> VllmRollouts:
    config = SamplingConfig(thinking=None)
    model: Any = None  # which an adapter does not need
    endpoint: Any = server
    return VllmRollouts(
        endpoint, model, tiny_tokenizer(), tiny_prompt_spec(), config, folder=folder
    )


def test_each_update_is_an_adapter_of_its_own_and_the_last_one_stays(tmp_path: Path) -> None:
    """What a killed run has left there, which may be a whole model, goes with the first."""
    folder = tmp_path / "weights"
    for number in (1, 7):
        (folder / f"weights-{number}").mkdir(parents=True)
        (folder / f"weights-{number}" / "model.safetensors").write_bytes(b"old")
    server, weights = _Server(), _Weights()
    rollouts = _rollouts(server, folder)
    for update in (1, 2, 3):
        rollouts.update(weights)  # type: ignore[arg-type]
        assert [one.name for one in folder.iterdir()] == [f"weights-{update}"]
    files = {one.name for one in (folder / "weights-3").iterdir()}
    assert files == {"adapter_model.safetensors", "adapter_config.json"}
    assert len(load_file(folder / "weights-3" / "adapter_model.safetensors")) == 2
    names = [body["lora_name"] for path, body in server.ordered if path.startswith("/v1/load")]
    assert len(set(names)) == 3
    unloaded = [body["lora_name"] for path, body in server.ordered if path.startswith("/v1/unload")]
    assert unloaded == names[:2]
