"""Captions: of everything, of the speech in thirteen fields, of the music."""

from __future__ import annotations

import json
import random

from moss_audio.annotate.english import capital
from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.merging.phrases import music_sentences
from moss_audio.annotate.records import SegmentCaption
from moss_audio.annotate.sft.talk import Talk
from moss_audio.metrics.judge import FIELDS
from moss_audio.result import Caption
from moss_audio.tasks.caption import Describe


def captions(caption: SegmentCaption | None, duration_s: float) -> list[Talk]:
    """The caption, if it names everything that it must and reads back whole."""
    if caption is None or any(note.startswith("grounding check") for note in caption.warnings):
        return []
    task = Describe()
    answer = task.render_answer(Caption(caption.text))
    read = task.parse(answer, duration_s)
    if not answer or read.warnings or read.text != answer:
        return []
    return [Talk(task.name, task.prompt, answer, caption.text)]


PROMPT = (
    "Describe the speech in this audio as a JSON object. Use these keys and leave out those you "
    f"cannot tell: {', '.join(FIELDS)}."
)


def speech_captions(evidence: Evidence, *, least_fields: int) -> list[Talk]:
    """One caption, if at least so many fields are known and somebody speaks."""
    if not evidence.speaks or len(evidence.fields) < least_fields:
        return []
    fields = dict(evidence.fields)
    answer = json.dumps(fields, ensure_ascii=False)
    return [Talk("speech_caption", PROMPT, answer, fields)]


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
