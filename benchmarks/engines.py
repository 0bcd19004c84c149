"""The light engine against torch float32, both in this process: `python benchmarks/engines.py`.

A step of one sequence behind 400 positions, their prefill at two accuracy levels of ONNX Runtime's
quantised products, and eight clips together against one by one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import batch
from engine_answers import nano
from measure import Row, alternate, cpu_name, milliseconds
from run import print_rows

import moss_audio
from moss_audio.engine.onnx.nano import NanoSource
from moss_audio.engine.onnx.runner import OnnxRunner
from moss_audio.engine.runner import Piece, Runner
from moss_audio.engine.threads import choose_threads
from moss_audio.model.checkpoint import Checkpoint

_POSITIONS = 400
_IDS = tuple(range(1000, 1000 + _POSITIONS))
STEP_AIM, BATCH_AIM = 4.0, 3.0


def _step(runner: Runner) -> Callable[[], object]:
    """A token behind the others, ten times."""
    cache = runner.cache()
    runner.forward([(cache, Piece(_IDS))])

    def run() -> None:
        for _ in range(10):
            runner.forward([(cache, Piece((7,)))])[0].argmax()
        cache.crop(_POSITIONS)

    return run


def _prefill(runner: Runner) -> Callable[[], object]:
    def run() -> None:
        cache = runner.cache()
        runner.forward([(cache, Piece(_IDS))])
        cache.close()

    return run


def measure(threads: int, clock: str) -> list[Row]:
    """Rows of the table."""
    checkpoint = Checkpoint.open("nano")
    engine = nano("torch 32", threads)
    torch, rows = engine.runner, []
    for bits in (4, 8, 32):
        light = nano(f"onnx {bits}", threads)
        timing = alternate(_step(light.runner), _step(torch), rounds=15, warm_up=2, clock=clock)
        ours, peer = (milliseconds(s / 10) for s in (timing.ours_s, timing.peer_s))
        aim = STEP_AIM if bits == 4 else None
        what = f"a step behind {_POSITIONS} positions, onnx {bits} bits / torch float32"
        rows.append(Row(what, ours, peer, timing.ratio, aim))
        light.close()
    for level in (4, 1):
        source = NanoSource(checkpoint.folder)
        runner = OnnxRunner(checkpoint.sizes, source, threads=threads, bits=4, accuracy_level=level)
        timing = alternate(_prefill(runner), _prefill(torch), rounds=7, warm_up=1, clock=clock)
        ours, peer = milliseconds(timing.ours_s), milliseconds(timing.peer_s)
        what = f"prefill of {_POSITIONS} positions, onnx 4 bits, accuracy level {level}"
        rows.append(Row(f"{what} / torch float32", ours, peer, timing.ratio))
    engine.close()
    light_model = moss_audio.load("nano", engine="onnx", threads=threads)
    (together,) = batch.measure(light_model, clock)
    what = f"onnx 4 bits: {together.what}"
    rows.append(
        Row(what, together.ours, together.peer, together.ratio, BATCH_AIM, note=together.note)
    )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, help="default: as many as this process may use")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    given = parser.parse_args()
    threads = choose_threads(given.threads)
    about = f"{cpu_name()}, {threads} threads; medians, {given.clock} time"
    print_rows(measure(threads, given.clock), about)


if __name__ == "__main__":
    main()
