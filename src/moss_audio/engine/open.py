"""Opens a checkpoint with the engine that suits it and this machine."""

from __future__ import annotations

import contextlib
import platform
import sys
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moss_audio.engine.local import LocalEngine
from moss_audio.engine.threads import choose_threads, use_threads_of_torch
from moss_audio.errors import MossAudioError, require
from moss_audio.model.checkpoint import Checkpoint
from moss_audio.model.dtypes import dtype_name
from moss_audio.model.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch

ENGINES = ("onnx", "torch")


def open_engine(
    checkpoint: Checkpoint,
    *,
    engine: str | None = None,
    threads: int | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    **options: Any,
) -> LocalEngine:
    """The engine for a checkpoint.

    Args:
        engine: "onnx" (on a CPU, without torch) or "torch"; None takes onnx where it can run the
            checkpoint and there is no GPU that torch could use, unless `device` or `dtype` asks
            for what torch alone has.
        threads: processor threads; None takes as many as this process may use
            (`choose_threads`).
        device, dtype: of torch: cuda, mps, cpu; bfloat16, float16, float32. None takes the best.
        options: of `LocalEngine`.

    Raises:
        MossAudioError: for an option that is not possible.
        MissingDependencyError: if it takes torch, which is not installed.
    """
    if engine not in (None, *ENGINES):
        raise MossAudioError(f"engine={engine!r}: give one of {', '.join(ENGINES)}")
    if isinstance(dtype, str):
        dtype_name(dtype)  # a wrong one is told before torch is asked for
    threads = choose_threads(threads)
    on_cpu = device is None or str(device).partition(":")[0] == "cpu"
    if engine == "onnx" and not (on_cpu and dtype is None):
        raise MossAudioError("engine='onnx' runs on the CPU in the checkpoint's own precision: "
                             "leave out device and dtype, or use engine='torch'")  # fmt: skip
    if engine is None and dtype is None and on_cpu and checkpoint.layout != "released":
        engine = "torch" if device is None and _torch_has_gpu() else "onnx"
    if not options.get("window_s"):  # one that is asked for is that of all tasks
        options["window_s"] = checkpoint.window_s
        options["task_windows_s"] = checkpoint.task_windows_s
    options |= {"thinks": checkpoint.thinks}
    if engine == "onnx":
        from moss_audio.engine.onnx import open_runner

        spec, tokenizer = checkpoint.prompt_spec, Tokenizer.open(checkpoint.folder)
        return LocalEngine(open_runner(checkpoint, threads=threads), tokenizer, spec, **options)
    return _torch_engine(checkpoint, threads, device, dtype, options)


def _torch_has_gpu() -> bool:
    """Whether torch is there and sees a GPU. It is not imported, which takes seconds, where the
    machine shows none."""
    shown = (
        any(Path("/dev").glob("nvidia[0-9]*"))
        or Path("/dev/dxg").exists()  # Linux in Windows
        or (sys.platform == "darwin" and platform.machine() == "arm64")
        or (sys.platform == "win32" and util.find_spec("torch") is not None)
    )
    if not shown or util.find_spec("torch") is None:
        return False
    from moss_audio.model.device import choose_device

    return choose_device().type != "cpu"


def _torch_engine(
    checkpoint: Checkpoint, threads: int, device: Any, dtype: Any, options: dict[str, Any]
) -> LocalEngine:
    checkpoint.require_torch_weights()
    export = f"; or export it once: moss-audio export {checkpoint.name} FOLDER"
    require(
        "torch",
        "transformers",
        extra="torch",
        purpose=f"running {checkpoint.name} on the torch engine",
        otherwise=export if checkpoint.layout == "released" else "",
    )
    _ = checkpoint.prompt_spec  # wrong ids are told before anything is loaded
    use_threads_of_torch(threads)
    from moss_audio.engine.torch_engine import TorchEngine
    from moss_audio.model.device import choose_device, choose_dtype
    from moss_audio.model.modeling import MossAudioModel
    from moss_audio.model.processing import MossAudioProcessor

    chosen = choose_device(device)
    chosen_dtype = choose_dtype(chosen, dtype)
    with _quiet():
        processor = MossAudioProcessor.from_pretrained(checkpoint.folder)
        model = MossAudioModel.from_pretrained(checkpoint, dtype=chosen_dtype).to(chosen)
    return TorchEngine(model, processor, **options)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar and no notes of transformers on the terminal while loading."""
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
