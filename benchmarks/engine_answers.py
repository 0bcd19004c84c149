"""How many answers of nano's engines and number formats are the same, token for token.

    python benchmarks/engine_answers.py [--data SCENES] [--prompts 200]

Clips are cut from the examples at random places, or are the scenes of a folder; each is
transcribed, transcribed with times, searched for events or asked about. The first engine is what
the others are compared with.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import numpy as np
from measure import cpu_name

from moss_audio.engine import Generation, GenerationOptions, Request
from moss_audio.engine.local import LocalEngine
from moss_audio.engine.onnx import open_runner
from moss_audio.engine.open import open_engine
from moss_audio.model.checkpoint import Checkpoint
from moss_audio.model.tokenizer import Tokenizer
from moss_audio.recordings import load_audio
from moss_audio.scenes.reader import load_scenes
from moss_audio.tasks.events import PROMPT as EVENTS
from moss_audio.tasks.transcribe import PROMPT, PROMPT_WORD
from moss_audio.units import SAMPLE_RATE

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
ENGINES = ("torch 32", "onnx 32", "onnx 8", "onnx 4")
_QUESTIONS = (PROMPT, EVENTS, PROMPT_WORD, "Is anyone speaking in this recording?", PROMPT)
_MAX_NEW_TOKENS = 64


def nano(engine: str, threads: int | None = None) -> LocalEngine:
    """Nano on an engine of `ENGINES`: its name, and the bits of its numbers."""
    checkpoint = Checkpoint.open("nano")
    kind, bits = engine.split()
    if kind == "torch":
        return open_engine(checkpoint, engine="torch", dtype=f"float{bits}", threads=threads)
    runner = open_runner(checkpoint, bits=int(bits), threads=threads)
    return LocalEngine(runner, Tokenizer.open(checkpoint.folder), checkpoint.prompt_spec)


def requests(n: int, data: Path | None) -> Iterator[Request]:
    """Clips and what is asked about them."""
    rng = np.random.default_rng(0)
    options = GenerationOptions(max_new_tokens=_MAX_NEW_TOKENS)
    if data is None:
        files = [
            load_audio(EXAMPLES / f"{name}.wav").samples for name in ("speech", "events", "music")
        ]
        sound = np.concatenate([files[0], *files, files[0]])
        lengths = rng.uniform(2, 12, n) * SAMPLE_RATE
        starts = rng.uniform(0, len(sound) - lengths)
        clips = [sound[int(a) : int(a + m)] for a, m in zip(starts, lengths, strict=True)]
    else:
        clips = [scene.load().samples for scene in load_scenes(data)[:n]]
    for index, clip in enumerate(clips):
        yield Request.question(
            _QUESTIONS[index % len(_QUESTIONS)], clip, options=options, reuse=False
        )


def _compared(first: Sequence[Generation], other: Sequence[Generation]) -> str:
    pairs = [(a.token_ids, b.token_ids) for a, b in zip(first, other, strict=True)]
    equal = sum(a == b for a, b in pairs)
    common = sum(len(list(takewhile(_same, zip(*pair, strict=False)))) for pair in pairs)
    share = common / sum(len(a) for a, _ in pairs)
    return f"{equal} of {len(pairs)} answers equal, {share:.1%} of tokens before a difference"


def _same(pair: tuple[int, int]) -> bool:
    return pair[0] == pair[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of scenes")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES))
    args = parser.parse_args()
    asked = list(requests(args.prompts, args.data))
    print(f"{len(asked)} prompts, {cpu_name()}")
    first: list[Generation] = []
    for name in args.engines:
        engine = nano(name)
        began = time.perf_counter()
        answers = engine.generate(asked)
        seconds = time.perf_counter() - began
        engine.close()
        first = first or answers
        print(f"{engine.description}: {_compared(first, answers)}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
