"""The merged caption as the answer to the plain request for a description."""

from __future__ import annotations

from moss_audio.annotate.records import SegmentCaption
from moss_audio.annotate.sft.talk import Talk
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
