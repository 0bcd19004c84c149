"""One line of a JSONL manifest -> an entry. The forms of conversation that are in use.

Read are: `conversation` with `role`, `message_type` ("audio" or "text") and `content`, as the
fine-tuning script released with MOSS-Audio wants it; `messages` (or `conversations`) with `role`
and `content`, or `from` and `value`, whose content is a text or a list of parts; and a top-level
`audio` or `audios`, placed where `<audio>` stands or else before the first question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from moss_audio.data.example import DOCUMENT
from moss_audio.data.raw import RawExample
from moss_audio.data.sources.base import checked
from moss_audio.errors import MossAudioError
from moss_audio.prompt import AUDIO_PLACEHOLDER, parse_messages
from moss_audio.recordings.entry import Clip, audio_field, read_clip
from moss_audio.result import Event, Word

_LISTS = ("messages", "conversations", "conversation")
_ROLES = {"human": "user", "gpt": "assistant"}
_PLACE = re.compile(rf"\n?(?:<audio>|{re.escape(AUDIO_PLACEHOLDER)})\n?")
_AUDIO = {"type": "audio"}


def conversation_list(data: Mapping[str, Any]) -> list[Any] | None:
    """The conversation of a line under any of its names, None if it has none."""
    found = [data[name] for name in _LISTS if name in data]
    if not found:
        return None
    if len(found) > 1 or not isinstance(found[0], list):
        raise MossAudioError(f"give one of {', '.join(_LISTS)}, as a list")
    return found[0]


def read_conversation(
    data: Mapping[str, Any], folder: Path, prompt: str | None, beside: Sequence[Clip] = ()
) -> RawExample:
    """An entry from one line.

    Args:
        data: the line's object.
        folder: where relative paths are looked up.
        prompt: what to ask in a question that holds audio and no text.
        beside: clips that come with the line, like those of a top-level `audios`.

    Raises:
        MossAudioError: what is wrong, without the place of the line.
    """
    clips: list[Clip] = []
    waiting = [*beside, *_listed_audio(data, folder)]
    placed = bool(waiting) and any(_PLACE.search(t) for t in _user_texts(data))
    messages: list[dict[str, Any]] = []
    for number, message in enumerate(conversation_list(data) or []):
        where = f"message {number}"
        role, parts, thinking = _message(message, where, folder, clips, waiting, placed)
        if messages and messages[-1]["role"] == role != "system":
            _join(messages[-1]["content"], parts, audio_first="message_type" in message)
        else:
            messages.append({"role": role, "content": parts})
        if thinking is not None:
            messages[-1]["thinking"] = thinking
    if waiting and not placed:
        first = next((m for m in messages if m["role"] == "user"), None)
        if first is None or clips:
            raise MossAudioError("audio beside the messages, and no place for it in them")
        first["content"][:0] = [dict(_AUDIO) for _ in waiting]
        clips, waiting = waiting, []
    if waiting:
        raise MossAudioError(f"{len(waiting)} more audio files than places for them")
    if not any(m["role"] == "assistant" for m in messages):
        raise MossAudioError("no assistant's message, so there is nothing to learn")
    for message in messages:
        _finish(message, prompt)
    parse_messages(messages)
    return with_labels(RawExample(tuple(clips), messages), data)


def with_labels(entry: RawExample, data: Mapping[str, Any]) -> RawExample:
    """The entry with the words, the sounds and the task's name that its line tells, in whatever
    form. Raises MossAudioError naming the field that is wrong."""
    n_clips = len(entry.clips)
    task = data.get("task")
    if task == DOCUMENT:
        raise MossAudioError(f"'task' is {DOCUMENT!r}, as texts alone are called: give another")
    return replace(
        entry,
        words=_timed(data.get("words"), Word, "words", n_clips),
        sounds=_timed(data.get("sounds", data.get("events")), Event, "sounds", n_clips),
        task=task if isinstance(task, str) else "",
    )


def _listed_audio(data: Mapping[str, Any], folder: Path) -> list[Clip]:
    single = audio_field(data)
    listed = [data[name] for name in (single, "audios") if name and data.get(name)]
    if len(listed) > 1:
        raise MossAudioError("give one of audio and audios")
    values = listed[0] if listed and isinstance(listed[0], list) else listed
    return [checked(read_clip(value, folder)) for value in values]


def _user_texts(data: Mapping[str, Any]) -> list[str]:
    texts = []
    for message in conversation_list(data) or []:
        content = message.get("content", message.get("value")) if isinstance(message, dict) else ""
        parts = content if isinstance(content, list) else [{"text": content}]
        texts += [p.get("text") for p in parts if isinstance(p, dict)]
    return [text for text in texts if isinstance(text, str)]


def _message(
    message: Any, where: str, folder: Path, clips: list[Clip], waiting: list[Clip], placed: bool
) -> tuple[str, list[dict[str, Any]], str | None]:
    if not isinstance(message, Mapping):
        raise MossAudioError(f"{where} is not an object")
    role = message.get("role", message.get("from"))
    role = _ROLES.get(role, role) if isinstance(role, str) else role
    content = message.get("content", message.get("value"))
    thinking = message.get("thinking", message.get("reasoning_content"))
    kind = message.get("message_type", "text")
    if kind == "audio":
        content = [{"type": "audio", "audio": content}]
    elif kind != "text":
        raise MossAudioError(f"{where} has the message_type {kind!r}: use audio or text")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise MossAudioError(f"{where} has no content")
    parts: list[dict[str, Any]] = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text" and isinstance(part.get("text"), str):
            parts += _split(part["text"], clips, waiting) if placed else [_text(part["text"])]
        elif kind in ("audio", "audio_url", "input_audio"):
            if set(part) == {"type"} and waiting:
                clips.append(waiting.pop(0))
            else:
                clips.append(checked(read_clip(part, folder)))
            parts.append(dict(_AUDIO))
        else:
            raise MossAudioError(f"{where} holds a part of type {kind!r}: use text and audio")
    return str(role), parts, thinking


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _split(text: str, clips: list[Clip], waiting: list[Clip]) -> list[dict[str, Any]]:
    """A text with marked places for audio as parts; takes the clips from `waiting`."""
    parts: list[dict[str, Any]] = []
    for number, piece in enumerate(_PLACE.split(text)):
        if number:
            if not waiting:
                raise MossAudioError("more places for audio than audio files")
            clips.append(waiting.pop(0))
            parts.append(dict(_AUDIO))
        if piece:
            parts.append(_text(piece))
    return parts


def _join(parts: list[dict[str, Any]], more: list[dict[str, Any]], audio_first: bool) -> None:
    """Two messages of one role in a row are one: texts on lines of their own; in the released
    format, whose script does so, audio comes before all text."""
    if audio_first and more and more[0]["type"] == "audio":
        at = sum(1 for part in parts if part["type"] == "audio")
        parts[at:at] = more
        return
    if parts and more and parts[-1]["type"] == more[0]["type"] == "text":
        parts.append(_text("\n"))
    parts += more


def _finish(message: dict[str, Any], prompt: str | None) -> None:
    parts = message["content"]
    holds_audio = any(part["type"] == "audio" for part in parts)
    texts = [part["text"] for part in parts if part["type"] == "text"]
    if message["role"] == "user" and prompt and holds_audio and not "".join(texts).strip():
        message["content"] = [part for part in parts if part["type"] == "audio"] + [_text(prompt)]
    elif not holds_audio:
        message["content"] = "".join(texts)


def _timed(value: Any, cls: Any, name: str, clips: int) -> tuple[tuple[Any, ...], ...]:
    """Words or events: a list of them for the only clip, or a list of such lists."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise MossAudioError(f"{name!r} must be a list")
    lists = value if value and all(isinstance(v, list) for v in value) else [value]
    if len(lists) != clips:
        raise MossAudioError(
            f"{name!r} are given for {len(lists)} clips, of which there are {clips}"
        )
    return tuple(tuple(cls.from_dict(item) for item in items) for items in lists)
