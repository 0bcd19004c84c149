"""One question and its answer about a segment, and the released form in which it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moss_audio.errors import MossAudioError

# Stands for the sound in stored conversations; `with_audio` puts the path there.
AUDIO = "<audio>"


@dataclass(frozen=True)
class Talk:
    """`task` names the family for reports; `truth` is the bare fact, for checks."""

    task: str
    question: str
    answer: str
    truth: Any = None


def conversation(talk: Talk) -> dict[str, Any]:
    """The released fine-tuning form, with `AUDIO` in place of the sound's path."""
    return {
        "task": talk.task,
        "conversation": [
            {"role": "user", "message_type": "audio", "content": AUDIO},
            {"role": "user", "message_type": "text", "content": talk.question},
            {"role": "assistant", "message_type": "text", "content": talk.answer},
        ],
    }


def with_audio(stored: Mapping[str, Any], path: str, duration_s: float) -> dict[str, Any]:
    """A line of a training manifest: a stored conversation with the sound's path, relative to the
    manifest, and its length.

    Raises MossAudioError if the conversation has no place for the sound, or more than one.
    """
    messages = [dict(message) for message in stored.get("conversation", ())]
    places = [m for m in messages if m.get("message_type") == "audio"]
    if len(places) != 1 or places[0].get("content") != AUDIO:
        raise MossAudioError(
            f"a conversation of task {stored.get('task')!r} has {len(places)} places for its "
            f"sound; there must be one, with the content {AUDIO!r}"
        )
    places[0]["content"] = path
    return {**stored, "conversation": messages, "duration": round(duration_s, 6)}
