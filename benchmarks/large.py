"""A 4B or 8B of random weights: the light engine in 4 bits beside torch in bfloat16.

    python benchmarks/large.py FOLDER                 writes the model, exports it, measures both
    python benchmarks/large.py FOLDER --threads 1 2   decode steps with one thread and with two

FOLDER needs 14 GB for the 4B; what is there already is used again. Torch runs transformers' own
Qwen3 for the step of one row, and this package's model for encoding and prefill. Each side is a
process of its own, one after the other. Bandwidth is what numpy reads with as many threads. All
times are the best of several (prefill: of one), which other programs disturb least.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from measure import cpu_name

from moss_audio.engine.onnx.export import export
from moss_audio.engine.prompts import HashedClip
from moss_audio.model.checkpoint import INDEX_FILE, SINGLE_FILE, Checkpoint
from moss_audio.model.weights import expected_shapes
from moss_audio.units import SAMPLE_RATE, num_frames, num_tokens

_SECONDS = 30
_STEPS = 24
_READ_BYTES = 2**29  # by each thread, far more than caches hold
_STD = 0.02  # of the weights, as they are initialised


def main() -> None:
    """Write what is missing, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder for the models")
    parser.add_argument("--size", choices=("4b", "8b"), default="4b")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--child", choices=("onnx", "torch"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    released, exported = given.folder / given.size, given.folder / f"{given.size}-q4"
    if given.child:
        child = {"onnx": light_engine, "torch": torch_engine}[given.child]
        print(json.dumps(child(exported if given.child == "onnx" else released, given.threads[0])))
        return
    if not (released / INDEX_FILE).exists():
        write_random(given.size, released)
    if not exported.exists():
        began = time.perf_counter()
        export(Checkpoint.open(released), exported, bits=4, threads=max(given.threads))
        print(f"exported in {time.perf_counter() - began:.0f} s")
    size = sum(path.stat().st_size for path in exported.glob("*.safetensors"))
    print(f"{cpu_name()}; {given.size}, random weights; {size / 1e9:.2f} GB exported")
    for threads in given.threads:
        found = {}
        for side in ("torch", "onnx"):
            command = [sys.executable, __file__, str(given.folder), "--size", given.size]
            command += ["--threads", str(threads), "--child", side]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            found[side] = json.loads(done.stdout.splitlines()[-1])
        show(threads, bandwidth(threads), found["onnx"], found["torch"])


def show(threads: int, read: float, ours: Mapping[str, float], torch: Mapping[str, float]) -> None:
    """Print the comparison."""
    rate = ours["step_bytes"] / ours["step_s"]
    print(f"\n{threads} thread{'s' * (threads > 1)}; reads {read / 1e9:.1f} GB/s")
    rows = [("decode step behind 400 positions", "step_s"), ("encode 30 s", "encode_s"),
            ("prefill 400 positions", "prefill_s"), ("load", "load_s")]  # fmt: skip
    for name, key in rows:
        ratio = torch[key] / ours[key]
        print(f"{name:<34}{ours[key]:>8.3f} s {torch[key]:>8.3f} s {ratio:>6.2f}x")
    print(f"{'weights read by a step':<34}{ours['step_bytes'] / 1e9:>8.2f} GB, "
          f"{rate / 1e9:.1f} GB/s: {rate / read:.0%} of what numpy reads")  # fmt: skip
    for name, key in (("memory when loaded, anonymous", "anonymous"), ("... of files", "of_files"),
                      ("peak, files included", "peak")):  # fmt: skip
        print(f"{name:<34}{ours[key] / 1e9:>8.2f} GB{torch[key] / 1e9:>9.2f} GB")


def bandwidth(threads: int) -> float:
    """Bytes a second that numpy reads with so many threads, the best of a few attempts."""
    parts = [np.ones(_READ_BYTES // 8, np.int64) for _ in range(threads)]

    def attempt() -> float:
        readers = [threading.Thread(target=part.sum) for part in parts]
        began = time.perf_counter()
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        return time.perf_counter() - began

    return threads * _READ_BYTES / min(attempt() for _ in range(5))


def write_random(size: str, folder: Path) -> None:
    """A model in the released layout, bfloat16, written shard by shard; a tokenizer of few ids."""
    from moss_audio.model.presets import preset
    from moss_audio.model.processing import MossAudioProcessor
    from moss_audio.testing.tokenizer import tiny_prompt_spec, tiny_tokenizer

    spec = tiny_prompt_spec()
    ids = {key: getattr(spec, key) for key in ("audio_token_id", "audio_start_id", "audio_end_id")}
    config = preset(size, architectures=["MossAudioModel"], **ids)
    config.dtype = "bfloat16"
    config.save_pretrained(folder)
    MossAudioProcessor(tiny_tokenizer(), **ids).save_pretrained(folder)
    rng = np.random.default_rng(0)
    shapes = expected_shapes(config.sizes)
    weight_map: dict[str, str] = {}
    for layer in sorted({_shard(name) for name in shapes}):
        file = SINGLE_FILE.replace(".", f"-{layer}.")
        names = [name for name in shapes if _shard(name) == layer]
        weight_map |= dict.fromkeys(names, file)
        _write_shard(folder / file, {name: shapes[name] for name in names}, rng)
    (folder / INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def _shard(name: str) -> str:
    """Eight layers of the decoder are a file, and so is each other part."""
    parts = name.split(".")
    return f"layers-{int(parts[2]) // 8}" if parts[1] == "layers" and parts[0] != "audio_encoder" \
        else parts[0]  # fmt: skip


def _write_shard(path: Path, shapes: Mapping[str, tuple[int, ...]], rng: Any) -> None:
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            if name.endswith("norm.weight"):
                values = np.ones(shape, np.float32)
            elif name.endswith("bias"):
                values = np.zeros(shape, np.float32)
            else:
                values = rng.standard_normal(shape, np.float32) * np.float32(_STD)
            file.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())


def _memory() -> dict[str, float]:
    """Bytes of this process: anonymous, of files, and the most that there were of both."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kib = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith("kB")}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"anonymous": 1024 * int(kib["RssAnon"]), "of_files": 1024 * int(kib["RssFile"]),
            "peak": 1024 * peak}  # fmt: skip


def _seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _clip(longest: int) -> HashedClip:
    samples = np.random.default_rng(0).normal(size=SAMPLE_RATE * _SECONDS).astype(np.float32)
    n_frames = num_frames(len(samples))
    return HashedClip("noise", num_tokens(n_frames), n_frames, samples, None, longest)


def light_engine(folder: Path, threads: int) -> dict[str, float]:
    """The runner of an exported folder."""
    from moss_audio.engine.onnx import open_runner
    from moss_audio.engine.runner import Piece

    checkpoint = Checkpoint.open(folder)
    began = time.perf_counter()
    runner = open_runner(checkpoint, threads=threads)
    loaded = time.perf_counter() - began
    memory = _memory()
    clip = _clip(checkpoint.sizes.audio.chunk_frames)
    cache = runner.cache()
    ids = list(range(400))
    encode = min(_seconds(lambda: runner.encode([clip], keep=False)) for _ in range(2))
    prefill = _seconds(lambda: runner.forward([(cache, Piece(ids))]))
    steps = [_seconds(lambda: runner.forward([(cache, Piece([5]))])) for _ in range(_STEPS)]
    return {"load_s": loaded, "encode_s": encode, "prefill_s": prefill,
            "step_s": min(steps), "step_bytes": _step_bytes(checkpoint),
            **memory, "peak": _memory()["peak"]}  # fmt: skip


def _step_bytes(checkpoint: Checkpoint) -> int:
    """Bytes of the weights that a step reads: the decoder's layers and the head."""
    from moss_audio.engine.onnx import proto

    return sum(
        place.size
        for path in checkpoint.weight_files
        for name, place in proto.places(path).items()
        if name.startswith(("language_model.layers.", "lm_head."))
    )


def torch_engine(folder: Path, threads: int) -> dict[str, float]:
    """transformers' Qwen3 for the step, with the weights of this package's model."""
    import torch
    from transformers import DynamicCache, Qwen3ForCausalLM

    from moss_audio.dsp.mel import log_mel
    from moss_audio.model.modeling import MossAudioModel

    torch.set_num_threads(threads)
    began = time.perf_counter()
    model = MossAudioModel.from_pretrained(folder, dtype=torch.bfloat16).eval()
    loaded = time.perf_counter() - began
    memory = _memory()
    with torch.device("meta"):
        plain = Qwen3ForCausalLM(model.config.language_config).eval()
    weights = {f"model.{name}": w for name, w in model.language_model.state_dict().items()}
    weights["lm_head.weight"] = model.lm_head.weight
    plain.load_state_dict(weights, assign=True)
    plain.model.rotary_emb = type(plain.model.rotary_emb)(config=model.config.language_config)
    n_mels = model.config.audio_config.num_mel_bins
    samples = _clip(0).samples
    cache = DynamicCache()

    def encode_audio() -> None:
        model.encode_audio(torch.from_numpy(log_mel(samples, n_mels))[None])

    def forward(ids: list[int]) -> None:
        plain(torch.tensor([ids]), past_key_values=cache, logits_to_keep=1)

    with torch.inference_mode():
        encode = min(_seconds(encode_audio) for _ in range(2))
        prefill = _seconds(lambda: forward(list(range(400))))
        steps = [_seconds(lambda: forward([5])) for _ in range(_STEPS)]
    return {"load_s": loaded, "encode_s": encode, "prefill_s": prefill,
            "step_s": min(steps), **memory, "peak": _memory()["peak"]}  # fmt: skip


if __name__ == "__main__":
    main()
