"""What listening costs on this machine, measured before the server is ready."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from moss_audio.engine.base import Engine, GenerationOptions, Request
from moss_audio.engine.local import LocalEngine
from moss_audio.units import SAMPLE_RATE

PROMISED = 0.6  # of the model's time at most, to live sessions; requests have the rest
_TOKENS_PER_SECOND = 4.0  # of brisk speech: three words
_CLIP_S = 4.0
_STEPS = 16
_ROUNDS = 3


@dataclass(frozen=True)
class ListeningCost:
    """Seconds of the model's time, for one client alone.

    Attributes:
        sound_s: to encode a second of sound and compute its positions.
        token_s: to write a token.
        places: answers that do not slow each other down: one where a single thread has the model.
    """

    sound_s: float
    token_s: float
    places: int = 1

    @property
    def speech_s(self) -> float:
        """To transcribe a second of speech. Beside others it is less, since answers share their
        steps."""
        return self.sound_s + _TOKENS_PER_SECOND * self.token_s

    @property
    def sessions(self) -> int:
        """Live sessions, all of which may speak without end, that the machine can promise."""
        return max(1, int(self.places * PROMISED / self.speech_s))


def listening_cost(engine: Engine) -> ListeningCost:
    """Let the engine listen and write, which also warms it up. The best of some rounds, and on a
    processor the less of wall and processor time: what else the machine does at the moment only
    adds."""
    noise = np.random.default_rng(0).normal(0, 0.01, round(_CLIP_S * SAMPLE_RATE))
    clip = noise.astype(np.float32)
    heard, one, some, written = [], [], [], 1
    for _ in range(_ROUNDS):
        heard.append(_took(engine, Request.question("?", clip), 1)[0])
        count = Request.question("Count from one to a hundred.")
        one.append(_took(engine, count, 1)[0])
        took_s, written = _took(engine, count, _STEPS)
        some.append(took_s)
    sound_s = min(heard) / _CLIP_S
    token_s = max(0.0, min(some) - min(one)) / (written - 1) if written > 1 else min(one)
    places = 1 if isinstance(engine, LocalEngine) else engine.batch_size
    return ListeningCost(sound_s, token_s, places)


def _took(engine: Engine, request: Request, n_tokens: int) -> tuple[float, int]:
    """Seconds of an answer, and its tokens."""
    options = GenerationOptions(max_new_tokens=n_tokens)
    began, busy = time.perf_counter(), time.process_time()
    answer = engine.generate([Request(request.messages, request.clips, options, reuse=False)])[0]
    wall_s, busy_s = time.perf_counter() - began, time.process_time() - busy
    if isinstance(engine, LocalEngine) and str(getattr(engine.runner, "device", "cpu")) == "cpu":
        wall_s = min(wall_s, busy_s)
    return wall_s, len(answer.token_ids)
