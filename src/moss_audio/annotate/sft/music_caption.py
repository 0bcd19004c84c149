"""What the music is like: tempo, key, form, instruments, in sentences."""

from __future__ import annotations

import random

from moss_audio.annotate.english import capital
from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.merging.phrases import music_sentences
from moss_audio.annotate.sft.talk import Talk
from moss_audio.result import Caption
from moss_audio.tasks.caption import Describe

_QUESTIONS = (
    "Describe the music.",
    "Describe the music in this audio.",
    "What is the music like?",
    "Give the tempo, key and structure of the music, as far as they can be told.",
)


def music_captions(evidence: Evidence, rng: random.Random) -> list[Talk]:
    """One caption, if more is known of the music than that it plays."""
    music = evidence.music
    if music is None or not (music.bpm or music.tonic or music.instruments or music.sections):
        return []
    subject = rng.choice(("the music", "this music"))
    sentences = music_sentences(music, rng, subject=subject)
    if not sentences:
        return []
    text = " ".join(capital(sentence) for sentence in sentences)
    answer = Describe().render_answer(Caption(text))
    return [Talk("music_caption", rng.choice(_QUESTIONS), answer, text)]
