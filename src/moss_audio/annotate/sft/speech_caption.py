"""The thirteen-field speech caption as a JSON object; only what is known stands in it."""

from __future__ import annotations

import json
from typing import Any

from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.sft.talk import Talk
from moss_audio.errors import MossAudioError
from moss_audio.metrics.judge import FIELDS
from moss_audio.text import split_thinking

PROMPT = (
    "Describe the speech in this audio as a JSON object. Use these keys and leave out those you "
    f"cannot tell: {', '.join(FIELDS)}."
)


def speech_captions(evidence: Evidence, *, least_fields: int) -> list[Talk]:
    """One caption, if at least so many fields are known and somebody speaks."""
    if not evidence.speaks or len(evidence.fields) < least_fields:
        return []
    answer = render_fields(evidence.fields)
    return [Talk("speech_caption", PROMPT, answer, dict(evidence.fields))]


def render_fields(fields: Any) -> str:
    """Known fields in the order of `FIELDS`, on one line."""
    return json.dumps({name: fields[name] for name in FIELDS if name in fields}, ensure_ascii=False)


def parse_fields(text: str) -> dict[str, str]:
    """The fields of an answer. Raises MossAudioError for anything but a JSON object of known
    fields with texts as values."""
    try:
        data = json.loads(split_thinking(text)[1])
    except (ValueError, RecursionError) as error:
        raise MossAudioError(f"a speech caption must be JSON: {text[:60]!r}") from error
    if not isinstance(data, dict) or not all(isinstance(v, str) for v in data.values()):
        raise MossAudioError(f"a speech caption must be an object of texts: {text[:60]!r}")
    if unknown := sorted(set(data) - set(FIELDS)):
        raise MossAudioError(f"unknown fields {unknown} in a speech caption")
    return data
