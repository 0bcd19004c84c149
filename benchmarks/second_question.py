"""The first token of a second question about a 60-s clip against that of the first question."""

from __future__ import annotations

import statistics

from measure import CLOCKS, Row, milliseconds
from sounds import speech

from moss_audio import MossAudio
from moss_audio.units import SAMPLE_RATE

AIM = 5.0
_CLIP_S = 60.0
_QUESTIONS = ("What is said?", "Is anyone speaking in this recording?")


def measure(model: MossAudio, clock: str) -> list[Row]:
    """`MossAudio.ask` with one new token, loading and features included."""
    now = CLOCKS[clock]

    def first_token(clip: tuple, question: str) -> float:
        began = now()
        model.ask(clip, question, max_new_tokens=1)
        return now() - began

    model.ask((speech(5.0, seed=99), SAMPLE_RATE), _QUESTIONS[0], max_new_tokens=1)  # warm up
    first, second = [], []
    for seed in range(3):
        clip = (speech(_CLIP_S, seed), SAMPLE_RATE)
        model.engine.forget()
        first.append(first_token(clip, _QUESTIONS[0]))
        second.append(first_token(clip, _QUESTIONS[1]))
    model.engine.forget()
    return [
        Row(
            f"first token of a 2nd question about {_CLIP_S:g} s / of the 1st",
            milliseconds(statistics.median(second)),
            milliseconds(statistics.median(first)),
            statistics.median(a / b for a, b in zip(first, second, strict=True)),
            aim=AIM,
            note="the clip's encoding and prefill are kept between the two calls",
        )
    ]
