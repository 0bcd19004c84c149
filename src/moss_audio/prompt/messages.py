"""Conversations as callers write them, checked once and turned into small frozen values.

A message is ``{"role": "system" | "user" | "assistant", "content": str | [part, ...]}`` with
parts ``{"type": "text", "text": str}`` and, in user messages, ``{"type": "audio", ...}``. An
assistant message may carry ``"thinking": str`` and, with it, ``"unlearnt": [str, ...]``: lines of
the thinking, or their beginnings, which training reads without learning them: what is wrong until a
later line mends it, or what is given.
Everything else is one clear `PromptError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from moss_audio.errors import PromptError

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")
_KEYS = ("role", "content", "thinking", "unlearnt")


@dataclass(frozen=True)
class TextPart:
    """Plain text; never holds control tokens, whatever its characters look like."""

    text: str


@dataclass(frozen=True)
class AudioPart:
    """A clip. `fields` is the caller's part as given; the renderer only needs its place."""

    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Turn:
    """One checked message. `thinking` is None (no think block), "" (empty block) or a text;
    `unlearnt` are passages of it, in order."""

    role: Role
    parts: tuple[TextPart | AudioPart, ...]
    thinking: str | None = None
    unlearnt: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text parts, joined without anything between them."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


def parse_messages(messages: Sequence[Mapping[str, Any]]) -> tuple[Turn, ...]:
    """Checks one conversation.

    Args:
        messages: at least one user message; a system message may only come first.

    Returns:
        One `Turn` a message, in order. Empty text parts are dropped.

    Raises:
        PromptError: names the message (counted from 0) and what is wrong with it.
    """
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise PromptError(
            f"messages must be a list of {{'role', 'content'}} mappings, not {_kind(messages)}"
        )
    turns = tuple(_turn(index, message) for index, message in enumerate(messages))
    if not any(turn.role == "user" for turn in turns):
        raise PromptError("messages hold no user message: add one, e.g. {'role': 'user', ...}")
    return turns


def audio_parts(turns: Sequence[Turn]) -> list[AudioPart]:
    """All clips of a conversation, in prompt order."""
    return [part for turn in turns for part in turn.parts if isinstance(part, AudioPart)]


def ends_answered(turns: Sequence[Turn]) -> bool:
    """Whether the last message is the assistant's."""
    return turns[-1].role == "assistant"


def check_end(turns: Sequence[Turn], *, continues: bool, otherwise: str = "") -> None:
    """Whether a conversation ends where an answer can begin or, with `continues`, go on.

    Args:
        otherwise: what the caller can do beside ending with a user message, for the error.

    Raises:
        PromptError: if it does not.
    """
    if continues and not ends_answered(turns):
        raise PromptError("the last message is not the assistant's: there is none to continue")
    if ends_answered(turns) and not continues:
        remedy = ", or ".join(filter(None, ["end with a user message", otherwise]))
        raise PromptError(
            f"the last message is the assistant's, so there is nothing to answer: {remedy}"
        )


def check_clips(turns: Sequence[Turn], n_clips: int) -> None:
    """Raises PromptError for another number of clips than of audio parts."""
    n_parts = len(audio_parts(turns))
    if n_parts != n_clips:
        raise PromptError(
            f"the messages hold {n_parts} audio parts but {n_clips} clips are given: give one clip "
            "for each audio part"
        )


def check_text(text: Any, where: str) -> str:
    """Returns `text` if it is a string that can be encoded, else raises PromptError."""
    if not isinstance(text, str):
        raise PromptError(f"{where} must be a string, not {_kind(text)}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PromptError(
            f"{where} holds a lone surrogate at character {error.start}, which is not text: "
            "remove it or decode the source as UTF-8"
        ) from None
    return text


def _turn(index: int, message: Any) -> Turn:
    where = f"message {index}"
    if not isinstance(message, Mapping):
        raise PromptError(f"{where} must be a mapping with 'role' and 'content', "
                          f"not {_kind(message)}")  # fmt: skip
    unknown = sorted(str(key) for key in message if key not in _KEYS)
    if unknown:
        raise PromptError(f"{where} has unknown keys {unknown}: use {', '.join(_KEYS)}")
    role = message.get("role")
    if role not in ROLES:
        raise PromptError(f"{where} has the role {role!r}: use one of {', '.join(ROLES)}")
    if role == "system" and index:
        raise PromptError(f"{where} is a system message: only the first message may be one")
    thinking = message.get("thinking")
    if thinking is not None:
        if role != "assistant":
            raise PromptError(f"{where} ({role}) has 'thinking': only assistant messages may")
        check_text(thinking, f"'thinking' of {where}")
    if "content" not in message:
        raise PromptError(f"{where} has no 'content'")
    unlearnt = _unlearnt(where, message.get("unlearnt", ()), (thinking or "").strip() + "\n")
    return Turn(role, _parts(where, role, message["content"]), thinking, unlearnt)


def _unlearnt(where: str, given: Any, thinking: str) -> tuple[str, ...]:
    """Lines of the thinking, or their beginnings up to a space; each there once, in its order."""
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise PromptError(f"'unlearnt' of {where} must be a list of strings, not {_kind(given)}")
    passages = tuple(check_text(one, f"'unlearnt' of {where}") for one in given)
    lines, end = "\n" + thinking, 0  # each line with a newline before it
    for passage in passages:
        at = lines.find("\n" + passage, end)
        after = at + 1 + len(passage)
        whole = passage.endswith("\n") or lines[after : after + 1] == " "
        if at < 0 or not whole or lines.count("\n" + passage) > 1:
            raise PromptError(
                f"{passage!r} in 'unlearnt' of {where} is no line of its 'thinking' (with its "
                "newline, or as far as a space; once, in order)"
            )
        end = after - 1
    return passages


def _parts(where: str, role: str, content: Any) -> tuple[TextPart | AudioPart, ...]:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, Sequence) or isinstance(content, bytes):
        raise PromptError(
            f"content of {where} must be a string or a list of parts, not {_kind(content)}"
        )
    parts: list[TextPart | AudioPart] = []
    for index, part in enumerate(content):
        name = f"part {index} of {where}"
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text":
            text = check_text(part.get("text"), f"'text' in {name}")
            # An empty part must not earn the newline that joins a clip and its question.
            if text:
                parts.append(TextPart(text))
        elif kind == "audio":
            if role != "user":
                raise PromptError(f"{name} ({role}) is audio: only user messages may hold clips")
            parts.append(AudioPart(part))
        else:
            shown = repr(kind) if isinstance(part, Mapping) else _kind(part)
            raise PromptError(f"{name} is {shown}: use {{'type': 'text'}} or {{'type': 'audio'}}")
    return tuple(parts)


def _kind(value: Any) -> str:
    return type(value).__name__
