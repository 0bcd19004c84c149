"""A nano in miniature (own stem, Llama, quantised-parts layout) and scenes of tones, on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from moss_audio.model.checkpoint import PARTS_FILE
from moss_audio.model.config import MossAudioConfig
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano import build
from moss_audio.model.nano import parts as nano
from moss_audio.model.nano.quantize import save_packed
from moss_audio.testing.tokenizer import tiny_tokenizer
from tests.scene_files import EVENTS, MIXED, MUSIC, RATE, SILENCE, SPEECH, write_shard

_ADAPTERS = ("audio_adapter.", "deepstack_audio_merger_list.")


@pytest.fixture(autouse=True)
def _exact_arithmetic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """float32 on every machine, and one thread: equal runs are equal to the bit."""
    monkeypatch.setattr("moss_audio.model.device.fast_dtype", lambda device: torch.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny_config(*, think_tokens: bool = True, heads: int = 4) -> MossAudioConfig:
    """Audio ids just past the tokenizer, the last rows of the embedding, as in nano. (ONNX Runtime
    wants heads of 16 or more: 2 of them.)"""
    tokenizer = tiny_tokenizer(think_tokens=think_tokens)
    size, end = len(tokenizer), tokenizer.convert_tokens_to_ids("<|im_end|>")
    return MossAudioConfig(
        audio_config={
            "stem": "conv1d_stack4",
            "d_model": 16,
            "output_dim": 64,
            "num_mel_bins": 16,
            "encoder_layers": 3,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "deepstack_encoder_layer_indexes": [0, 1],
            "dropout": 0.0,
            "attention_dropout": 0.0,
        },
        language_config={
            "model_type": "llama",
            "vocab_size": size + 3,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": heads,
            "num_key_value_heads": heads // 2,
            "max_position_embeddings": 2048,
            "bos_token_id": end,
            "eos_token_id": end,
            "pad_token_id": end,
        },
        adapter_hidden_size=24,
        audio_token_id=size,
        audio_start_id=size + 1,
        audio_end_id=size + 2,
        tie_word_embeddings=True,
        architectures=["MossAudioModel"],
    )


def write_model(folder: Path, *, think_tokens: bool = True, heads: int = 4) -> Path:
    """A folder as `nano.build` writes it, parts in float16 so that loading them is exact."""
    folder.mkdir(parents=True)
    config = tiny_config(think_tokens=think_tokens, heads=heads)
    torch.manual_seed(0)
    model = MossAudioModel(config)
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    fixed = {
        name: tensor * (1.0 if tensor.ndim == 1 else 5.0)  # visible influence of every input
        for name, tensor in state.items()
        if not name.startswith(_ADAPTERS) and name != nano.HEAD
    }
    table = fixed[nano.EMBEDDING] = fixed[nano.EMBEDDING][:-3] * 5.0
    for file, part in ((nano.ENCODER_FILE, "audio_encoder."), (nano.DECODER_FILE, "language_")):
        chosen = {n: (t.clone(), 16) for n, t in fixed.items() if n.startswith(part)}
        save_packed(folder / file, chosen)
    trained = build.initial_trained(config, table, torch.Generator().manual_seed(1))
    for name, tensor in trained.items():
        if "merger" in name and not tensor.any():  # a silent merger would hide mistakes
            trained[name] = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(2))
    save_packed(folder / nano.TRAINED_FILE, {n: (t, 16) for n, t in trained.items()})
    config.save_pretrained(folder)
    build.write_processor_config(config, folder)
    tiny_tokenizer(think_tokens=think_tokens).save_pretrained(folder)
    parts = {"fixed": [nano.ENCODER_FILE, nano.DECODER_FILE], "trained": nano.TRAINED_FILE}
    (folder / PARTS_FILE).write_text(json.dumps(parts))
    return folder


def write_scenes(root: Path) -> Path:
    """Six clips of 0.5 to 1.6 s in one completed shard: speech, events, both, music, silence."""
    rng = np.random.default_rng(0)

    def sound(number: int, kind: str, seconds: float) -> np.ndarray:
        time_s = np.arange(round(seconds * RATE)) / RATE
        wave = 0.2 * np.sin(2 * np.pi * (200 + 150 * number) * time_s) * (kind != "silence")
        return (wave + 1e-3 * rng.standard_normal(len(wave))) * 32767

    speech = [("speech", seconds, SPEECH) for seconds in (1.0, 1.2)]
    return write_shard(root, [*speech, EVENTS, MIXED, MUSIC, SILENCE], sound)


@pytest.fixture(scope="session")
def scenes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A fresh one for each test: alignment writes into it."""
    return write_model(tmp_path / "model")


@pytest.fixture
def write_config(tmp_path: Path, model_folder: Path, scenes_folder: Path) -> Callable[..., Path]:
    """Writes a stage's YAML; keyword arguments are further fields, `loop_...` those of the loop."""

    def write(name: str, **fields: Any) -> Path:
        loop = {k.removeprefix("loop_"): fields.pop(k) for k in [*fields] if k.startswith("loop_")}
        values = {
            "model": str(model_folder),
            "data": {
                "sources": [{"kind": "scenes", "path": str(scenes_folder), "split": "train"}],
                "batch_tokens": 24,
                "buckets": 1,
                "seed": 3,
                **fields.pop("data", {}),
            },
            "seed": 3,
            **fields,
            "loop": {
                "steps": 6,
                "warmup_steps": 2,
                "log_every": 1,
                "output_dir": str(tmp_path / f"run-{name}"),
                **loop,
            },
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write
