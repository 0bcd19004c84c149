"""The items of a conversation: messages of text and sound, as many as are kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from moss_audio.errors import PromptError
from moss_audio.prompt.messages import check_text
from moss_audio.serve.config import Limits
from moss_audio.serve.errors import ApiError
from moss_audio.serve.realtime.events import invalid, new_id, objects
from moss_audio.serve.uploads import base64_bytes
from moss_audio.units import SAMPLE_RATE

SHORTEST_S = 0.1  # of sound in an item, as OpenAI's
ROOT = "root"
_MOST_PARTS = 64
# Which parts a message may have; the names that an earlier form of the protocol used are taken too.
_PARTS = {
    "user": {"input_text": "input_text", "text": "input_text", "input_audio": "input_audio"},
    "system": {"input_text": "input_text", "text": "input_text"},
    "assistant": {"output_text": "output_text", "text": "output_text"},
}


@dataclass(eq=False)
class ItemPart:
    """A text, or a clip.

    Attributes:
        kind: input_text, input_audio or output_text.
        text: of a clip its transcript, "" where there is none.
        clip: float32 samples `[n]` at 16 kHz; None where they are not kept any more.
        seconds: of the clip.
        turn_id: of the turn that the clip was, "" where it was sent as a whole.
    """

    kind: str
    text: str = ""
    clip: np.ndarray | None = None
    seconds: float = 0.0
    turn_id: str = ""

    def told(self, sound: str | None) -> dict[str, Any]:
        """As a client sees it; `sound` in base64."""
        if self.kind != "input_audio":
            return {"type": self.kind, "text": self.text}
        more = {} if sound is None else {"audio": sound}
        return {"type": self.kind, "transcript": self.text or None, **more}


@dataclass(eq=False)
class MessageItem:
    """A message of a conversation.

    Attributes:
        role: user, assistant or system.
        status: completed, in_progress or incomplete.
    """

    role: str
    parts: Sequence[ItemPart]
    id: str = field(default_factory=lambda: new_id("item"))
    status: str = "completed"

    @property
    def seconds(self) -> float:
        """Of sound in it."""
        return sum(part.seconds for part in self.parts)

    @property
    def n_chars(self) -> int:
        return sum(len(part.text) for part in self.parts)

    def told(self, encode: Callable[[Any], str | None] | None = None) -> dict[str, Any]:
        """As a client sees it; with `encode`, which gives base64 of a clip, also its sound."""
        content = [
            part.told(encode(part.clip) if encode and part.clip is not None else None)
            for part in self.parts
        ]
        return {
            "id": self.id,
            "object": "realtime.item",
            "type": "message",
            "role": self.role,
            "status": self.status,
            "content": content,
        }


class ItemList:
    """A conversation. To be used from any thread.

    Args:
        limits: how many items, characters and seconds of sound are kept; what came first goes
            first, and never the newest.
        sound: whether clips are kept at all.
    """

    def __init__(self, limits: Limits, sound: bool) -> None:
        self.id = new_id("conv")
        self.sound = sound
        self._limits = limits
        self._lock = threading.Lock()
        self._items: list[MessageItem] = []

    def add(self, item: MessageItem, after: str | None = None) -> tuple[str | None, list[str]]:
        """Put an item behind another, ROOT (at the beginning), or the last.

        Returns:
            The id of the item before it, and those of the items that had to go.

        Raises:
            ApiError: where there is no such item, or one with this id.
        """
        with self._lock:
            if any(one.id == item.id for one in self._items):
                raise duplicate(item.id)
            place = len(self._items)
            if after is not None:
                place = 0 if after == ROOT else self._place(after, "previous_item_id", "create") + 1
            if not self.sound:
                for part in item.parts:
                    part.clip = None
            self._items.insert(place, item)
            previous = self._items[place - 1].id if place else None
            return previous, self._trimmed(item)

    def get(self, item_id: Any, what: str, param: str = "item_id") -> MessageItem:
        """An item. Raises ApiError, whose code has `what` was to be done, where there is none."""
        with self._lock:
            return self._items[self._place(item_id, param, what)]

    def delete(self, item_id: Any) -> None:
        """Take an item out. Raises ApiError where there is none."""
        with self._lock:
            del self._items[self._place(item_id, "item_id", "delete")]

    def all(self) -> list[MessageItem]:
        """Those that there are now, in order."""
        with self._lock:
            return list(self._items)

    def transcribed(self, item_id: str, text: str) -> None:
        """What is said in an item, if it is still there."""
        for item in self.all():
            if item.id == item_id:
                item.parts[0].text = text

    def _place(self, item_id: Any, param: str, what: str) -> int:
        for place, item in enumerate(self._items):
            if item.id == item_id:
                return place
        shown = repr(item_id)[:80]
        raise invalid(f"{param}: there is no item {shown}", param, f"item_{what}_invalid_item_id")

    def _trimmed(self, newest: MessageItem) -> list[str]:
        limits, dropped = self._limits, []
        chars = sum(item.n_chars for item in self._items)
        while len(self._items) > limits.items or chars > limits.item_chars:
            oldest = next((item for item in self._items if item is not newest), None)
            if oldest is None:
                break
            self._items.remove(oldest)
            dropped.append(oldest.id)
            chars -= oldest.n_chars
        clips = [part for item in self._items for part in item.parts if part.clip is not None]
        seconds = sum(part.seconds for part in clips)
        for part in clips:
            if seconds > limits.kept_s and part not in newest.parts:
                part.clip = None
                seconds -= part.seconds
        return dropped


def duplicate(item_id: str) -> ApiError:
    """A client gave an item an id that another has."""
    return invalid(f"item.id: there is an item {item_id!r}", "item.id", "item_create_duplicate_id")


def read_item(
    raw: Any, where: str, decode: Callable[[bytes], np.ndarray], limits: Limits,
    before_s: float = 0.0,
) -> MessageItem:  # fmt: skip
    """An item as a client writes it.

    Args:
        where: it stands, for errors.
        decode: sound in the session's format -> samples `[n]` at 16 kHz.
        before_s: seconds of sound that came in the same event before it.

    Raises:
        ApiError: for what is no message of text and sound.
    """
    values = objects(raw, where)
    if values.get("type") != "message":
        raise invalid(f"{where}.type: only messages are taken", f"{where}.type")
    role = values.get("role")
    allowed = _PARTS.get(role) if isinstance(role, str) else None
    if allowed is None:
        raise invalid(f"{where}.role: give user, assistant or system", f"{where}.role")
    item_id = values.get("id")
    if item_id is not None and not (isinstance(item_id, str) and 0 < len(item_id) <= 64):
        raise invalid(f"{where}.id: give a text of 1 to 64 characters", f"{where}.id")
    content = values.get("content")
    if not isinstance(content, list) or not 0 < len(content) <= _MOST_PARTS:
        raise invalid(f"{where}.content: give a list of 1 to {_MOST_PARTS} parts",
                      f"{where}.content")  # fmt: skip
    parts: list[ItemPart] = []
    for index, one in enumerate(content):
        parts.append(
            _part(one, f"{where}.content.{index}", allowed, decode, limits.turn_s, before_s)
        )
        before_s += parts[-1].seconds
    item = MessageItem(str(role), parts)
    if item.n_chars > limits.item_chars:
        raise invalid(f"{where}.content: more than {limits.item_chars} characters of text",
                      f"{where}.content")  # fmt: skip
    if item_id is not None:
        item.id = item_id
    return item


def _part(
    raw: Any, where: str, allowed: dict[str, str], decode: Callable[[bytes], np.ndarray],
    most_s: float, before_s: float,
) -> ItemPart:  # fmt: skip
    values = objects(raw, where)
    kind = values.get("type")
    if not isinstance(kind, str) or kind not in allowed:
        known = ", ".join(dict.fromkeys(allowed.values()))
        raise invalid(f"{where}.type: give {known}", f"{where}.type")
    kind = allowed[kind]
    if kind != "input_audio":
        return ItemPart(kind, _text(values.get("text"), f"{where}.text"))
    transcript = _text(values.get("transcript") or "", f"{where}.transcript")
    samples = decode(base64_bytes(values.get("audio"), f"{where}.audio"))
    return _sound_part(samples, f"{where}.audio", most_s, before_s, transcript)


def _text(text: Any, where: str) -> str:
    try:
        return check_text(text, where)
    except PromptError as error:
        raise invalid(str(error), where) from None


def _sound_part(
    samples: np.ndarray, param: str, most_s: float, before_s: float, transcript: str
) -> ItemPart:
    """A clip `[n]` at 16 kHz. Raises ApiError for one that is too short, or too long together with
    those before it."""
    seconds = len(samples) / SAMPLE_RATE
    if seconds < SHORTEST_S:
        raise invalid(f"{param}: {1000 * seconds:.0f} ms of sound are too little: give at least "
                      f"{1000 * SHORTEST_S:.0f} ms", param)  # fmt: skip
    if before_s + seconds > most_s:
        raise invalid(f"{param}: at most {most_s:g} s of sound are taken at once", param)
    return ItemPart("input_audio", transcript, samples, seconds)
