"""A batch of eight clips against the same eight one by one: time, and the same tokens."""

from __future__ import annotations

import statistics

from measure import CLOCKS, Row, milliseconds
from sounds import speech

from moss_audio import MossAudio
from moss_audio.engine import Generation, GenerationOptions, Request

AIM = 2.0
_DURATIONS_S = (3.0, 4.5, 6.0, 7.0, 8.0, 9.0, 10.5, 12.0)
_MAX_NEW_TOKENS = 64
_PROMPT = "Transcribe the audio."


def measure(model: MossAudio, clock: str) -> list[Row]:
    """Engine against itself; clips of 3 to 12 s, transcribed."""
    now = CLOCKS[clock]
    options = GenerationOptions(max_new_tokens=_MAX_NEW_TOKENS)
    requests = [
        Request.question(_PROMPT, speech(seconds, seed), options=options, reuse=False)
        for seed, seconds in enumerate(_DURATIONS_S)
    ]
    engine = model.engine

    def together() -> list[Generation]:
        return engine.generate(requests)

    def one_by_one() -> list[Generation]:
        return [engine.generate([request])[0] for request in requests]

    engine.generate(requests[:2])  # warm up
    mine, theirs = [], []
    same = True
    for _ in range(2):
        began = now()
        batched = together()
        mine.append(now() - began)
        began = now()
        single = one_by_one()
        theirs.append(now() - began)
        same = same and [g.token_ids for g in batched] == [g.token_ids for g in single]
    n_tokens = sum(len(g.token_ids) for g in batched)
    ours_s, peer_s = statistics.median(mine), statistics.median(theirs)
    return [
        Row(
            f"{len(requests)} clips in one batch / one by one",
            milliseconds(ours_s),
            milliseconds(peer_s),
            statistics.median(b / a for a, b in zip(mine, theirs, strict=True)),
            aim=AIM,
            note=f"{'the same tokens' if same else 'TOKENS DIFFER'}, {n_tokens} in all, "
            f"clips of {_DURATIONS_S[0]:g} to {_DURATIONS_S[-1]:g} s",
        )
    ]
