"""The light engine: ONNX graphs made from our own weights, run by ONNX Runtime without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moss_audio.engine.threads import choose_threads
from moss_audio.errors import MossAudioError
from moss_audio.model.checkpoint import Checkpoint

if TYPE_CHECKING:
    from moss_audio.engine.onnx.runner import OnnxRunner
    from moss_audio.engine.onnx.source import WeightSource


def open_runner(
    checkpoint: Checkpoint, *, bits: int | None = None, threads: int | None = None
) -> OnnxRunner:
    """The runner of a checkpoint on this machine's CPU.

    Args:
        bits: of the weights; None takes them as they are stored. Nano is stored in 4 bits; in 8,
            or in 32 for float32, it is there to compare.
        threads: how many compute together; None takes as many as this process may use.

    Raises:
        MossAudioError: for bits that the checkpoint cannot be had in, or no number of threads.
        CheckpointError: if a file is missing or damaged.
    """
    from moss_audio.engine.onnx.runner import OnnxRunner

    source, wanted = weight_source(checkpoint, bits)
    return OnnxRunner(checkpoint.sizes, source, threads=choose_threads(threads), bits=wanted)


def weight_source(checkpoint: Checkpoint, bits: int | None = None) -> tuple[WeightSource, int]:
    """The weights of a checkpoint, and in how many bits they come.

    Args:
        bits: None takes them as they are stored.

    Raises:
        MossAudioError: for bits that the checkpoint cannot be had in.
        CheckpointError: if a file is missing or damaged.
    """
    from moss_audio.engine.onnx.nano import NanoSource
    from moss_audio.engine.onnx.source import FileSource, InBits
    from moss_audio.engine.onnx.weights import BLOCK

    stored = {"bits": 32, **checkpoint.exported}
    source: WeightSource
    if checkpoint.layout == "embedded":
        stored, source = {"bits": 4}, NanoSource(checkpoint.folder)
    else:
        source = FileSource(checkpoint.weight_files, stored.get("block", BLOCK))
    wanted: int = stored["bits"] if bits is None else bits
    if wanted != stored["bits"]:
        if checkpoint.layout != "embedded" or wanted not in (4, 8, 32):
            said = f"bits={bits!r}: {checkpoint.name} is stored in {stored['bits']}"
            raise MossAudioError(f"{said}; moss-audio export writes others")
        source = InBits(source, wanted)
    return source, wanted
