"""Two things at once: a second speaker, or a sound event over the words."""

from __future__ import annotations

import numpy as np

from moss_audio.dsp.loudness import amplitude, power
from moss_audio.scenes.draft import Draft
from moss_audio.scenes.events import EventBank
from moss_audio.scenes.sounds.tones import SR, fade
from moss_audio.scenes.speech import LONGEST_S, NoSpeakerError, SpeechMaker


def add_speaker(draft: Draft, maker: SpeechMaker, split: str, rng: np.random.Generator) -> None:
    """Let somebody else speak into what is said, 6 dB louder to 6 dB quieter.

    Sentences then carry their `voice` and are in the order of their starts, words in the order of
    the sentences. A draft stays as it is where no second speaker is at hand or nothing fits.
    """
    if not draft.sentences or draft.voice is None:
        return
    try:
        other = maker.say(split, rng, single=rng.random() < 0.3, other_than=draft.voice)
    except NoSpeakerError:
        return
    first, last = other.sentences[0]["start"], other.sentences[-1]["end"]
    begin, end = draft.sentences[0]["start"], draft.sentences[-1]["end"]
    # The second begins while the first still speaks, and ends before the longest clip does.
    latest = min(end - 0.25 * (end - begin), LONGEST_S - 0.1 - (last - first))
    if latest <= begin:
        return
    start = float(rng.uniform(begin, latest))
    a, b = int(first * SR), int(last * SR) + 1
    body = fade(other.samples[max(0, a - 400) : b + 800])
    at = max(0, int(start * SR) - (a - max(0, a - 400)))
    shift = (at + (a - max(0, a - 400))) / SR - a / SR
    size = max(draft.samples.size, at + body.size + int(0.05 * SR))
    samples = np.pad(draft.samples, (0, size - draft.samples.size))
    voiced = draft.samples[int(begin * SR) : int(end * SR)]
    level = np.sqrt(power(voiced) / (power(body) + 1e-12)) * amplitude(float(rng.uniform(-6, 6)))
    samples[at : at + body.size] += body * np.float32(level)
    draft.samples = samples
    _merge(draft, other, shift)


def _merge(draft: Draft, other: Draft, shift: float) -> None:
    spoken = []
    for source, moved in ((draft, 0.0), (other, shift)):
        at = 0
        for sentence in source.sentences:
            count = len(sentence["text"].split())
            words = source.words[at : at + count]
            at += count
            for item in [sentence, *words]:
                item["start"] += moved
                item["end"] += moved
            spoken.append(({**sentence, "voice": source.voice}, words))
    spoken.sort(key=lambda s: (s[0]["start"], s[0]["end"]))
    draft.sentences = [sentence for sentence, _ in spoken]
    draft.words = [word for _, words in spoken for word in words]
    draft.parallel = True


def add_event(draft: Draft, bank: EventBank, rng: np.random.Generator) -> None:
    """Lay an event over what is said, 10 dB quieter to as loud."""
    if not draft.sentences:
        return
    begin, end = draft.sentences[0]["start"], draft.sentences[-1]["end"]
    sound = bank.draw(rng, longest_s=4.0)
    start = float(rng.uniform(max(0.0, begin - 0.5), max(begin, end - 0.3)))
    at = int(start * SR)
    body = sound.samples[: draft.samples.size - at]
    if body.size < sound.samples.size:
        body = fade(body, 40)
    if body.size < SR // 50:
        return
    voiced = draft.samples[int(begin * SR) : int(end * SR)]
    level = np.sqrt(power(voiced) / (power(body) + 1e-12)) * amplitude(float(rng.uniform(-10, 0)))
    # A click of the same power as a sentence would be far above it.
    level = min(level, 2.0 * float(np.abs(voiced).max()) / (float(np.abs(body).max()) + 1e-9))
    draft.samples[at : at + body.size] += body * np.float32(level)
    draft.events.append(
        {
            "label": sound.label,
            "start": at / SR,
            "end": (at + body.size) / SR,
            "source": sound.source,
        }
    )
