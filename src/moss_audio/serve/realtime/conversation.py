"""The conversation of a session: the events of a client that are about items and responses."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from moss_audio.serve.config import Limits
from moss_audio.serve.errors import ApiError
from moss_audio.serve.realtime.audio import AppendedAudio, encoded
from moss_audio.serve.realtime.config import SessionConfig
from moss_audio.serve.realtime.events import ITEM, Event, event, invalid
from moss_audio.serve.realtime.items import ItemList, MessageItem, duplicate, read_item
from moss_audio.serve.realtime.plans import planned
from moss_audio.serve.realtime.replies import OpenReplies, Reply, StoppedReply
from moss_audio.units import SAMPLE_RATE

Talk = Event | Reply | StoppedReply


class Conversation:
    """Items and responses.

    Args:
        config: of the session, which changes.
        limits: how much is kept.
    """

    def __init__(self, config: SessionConfig, limits: Limits) -> None:
        self._config, self._limits = config, limits
        self.items = ItemList(limits, sound=config.kind == "realtime")
        self._replies = OpenReplies(limits.beside)

    @property
    def answering(self) -> bool:
        """Whether a response that is part of it is in progress."""
        return self._replies.busy

    def follow(self) -> None:
        """The settings of the session have changed."""
        self.items.sound = self._config.kind == "realtime"

    def handled(
        self, kind: Any, message: Mapping[str, Any], *, open_id: str, others: Collection[str]
    ) -> Sequence[Talk]:
        """What follows from an event of a kind.

        Args:
            open_id: of the item that the open turn will be.
            others: kinds that somebody else knows, for errors.

        Raises:
            ApiError: for what is wrong with it.
        """
        known: dict[str, Callable[[Mapping[str, Any]], Sequence[Talk]]] = {
            f"{ITEM}.retrieve": self._retrieve,
            f"{ITEM}.delete": self._delete,
        }
        talk: dict[str, Callable[[Mapping[str, Any]], Sequence[Talk]]] = {
            f"{ITEM}.create": lambda message: self._create(message, open_id),
            f"{ITEM}.truncate": self._truncate,
            "response.create": lambda message: self.respond(message.get("response")),
            "response.cancel": self._cancel,
        }
        if not isinstance(kind, str) or kind not in known | talk:
            raise invalid(f"type: this server has {', '.join([*others, *known, *talk])}", "type",
                          "unknown_event")  # fmt: skip
        if kind in talk and self._config.kind != "realtime":
            raise invalid(f"type: {kind} is for sessions of type realtime", "type",
                          "invalid_event_for_session")  # fmt: skip
        return (known | talk)[kind](message)

    def add(self, item: MessageItem, after: str | None = None) -> list[Event]:
        """Put an item behind another; see `ItemList.add`."""
        previous, dropped = self.items.add(item, after)
        told = {"previous_item_id": previous, "item": item.told()}
        return [
            *(event(f"{ITEM}.deleted", item_id=one) for one in dropped),
            event(f"{ITEM}.added", **told),
            event(f"{ITEM}.done", **told),
        ]

    def respond(self, asked: Any, *, patient: bool = False) -> Sequence[Talk]:
        """Begin a response; one that is `patient` waits for the one in progress."""
        plan = planned(asked, self._config.reply, self.items, self._decode, self._limits)
        reply = Reply(plan, self.items)
        return [reply.created(), reply] if self._replies.begin(reply, patient=patient) else []

    def stop(self, reply_id: str | None, reason: str) -> Sequence[Talk]:
        """End a response, or that of the conversation; nothing where there is none."""
        reply = self._replies.stop(reply_id)
        return [] if reply is None else [StoppedReply(reply, reason)]

    def ended(self, reply: Reply) -> Sequence[Talk]:
        """What follows from the end of a response."""
        return self.respond(None, patient=True) if self._replies.end(reply) else []

    def _create(self, message: Mapping[str, Any], open_id: str) -> Sequence[Talk]:
        item = read_item(message.get("item"), "item", self._decode, self._limits)
        if item.id == open_id:
            raise duplicate(item.id)
        return self.add(item, message.get("previous_item_id"))

    def _retrieve(self, message: Mapping[str, Any]) -> Sequence[Talk]:
        item = self.items.get(message.get("item_id"), "retrieve")
        return [event(f"{ITEM}.retrieved", item=item.told(self._encode))]

    def _delete(self, message: Mapping[str, Any]) -> Sequence[Talk]:
        self.items.delete(message.get("item_id"))
        return [event(f"{ITEM}.deleted", item_id=message["item_id"])]

    def _truncate(self, message: Mapping[str, Any]) -> Sequence[Talk]:
        self.items.get(message.get("item_id"), "truncate")
        raise invalid("item_id: only spoken answers can be truncated, and this server writes text",
                      "item_id")  # fmt: skip

    def _cancel(self, message: Mapping[str, Any]) -> Sequence[Talk]:
        asked = message.get("response_id")
        found = self.stop(None if asked is None else str(asked), "client_cancelled")
        if not found:
            raise ApiError(400, "there is no response in progress that could be cancelled",
                           code="response_cancel_not_active", param="response_id")  # fmt: skip
        return found

    def _decode(self, data: bytes) -> np.ndarray:
        audio = AppendedAudio(self._config.format)
        return np.concatenate([audio.push(data), audio.finish()])

    def _encode(self, clip: np.ndarray) -> str | None:
        """Sound in base64; None where that would be more than a client may send itself."""
        form = self._config.format
        if 8 * len(clip) * form.hertz / SAMPLE_RATE / 3 > self._limits.message_bytes:
            return None
        return base64.b64encode(encoded(clip, form)).decode()
