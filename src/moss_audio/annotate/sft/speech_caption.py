"""The thirteen-field speech caption as a JSON object; only what is known stands in it."""

from __future__ import annotations

import json

from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.sft.talk import Talk
from moss_audio.metrics.judge import FIELDS

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
