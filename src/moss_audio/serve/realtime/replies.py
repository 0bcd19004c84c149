"""Responses in progress, and the events that tell of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from moss_audio.serve.errors import ApiError
from moss_audio.serve.realtime.events import ITEM, Event, event, new_id
from moss_audio.serve.realtime.items import ItemList, ItemPart, MessageItem
from moss_audio.serve.realtime.plans import ReplyPlan

_PLACE = {"output_index": 0, "content_index": 0}

Status = Literal["completed", "cancelled", "incomplete", "failed"]


class Reply:
    """A response on its way.

    Args:
        plan: what it is about.
        conversation: that it becomes a part of, unless it is beside it.
    """

    def __init__(self, plan: ReplyPlan, conversation: ItemList) -> None:
        self.plan = plan
        self.id = new_id("resp")
        self.over = False
        self._conversation = None if plan.beside else conversation
        self._part = ItemPart("output_text")
        self._item = MessageItem("assistant", [self._part], status="in_progress")
        self._opened = False
        self._previous: str | None = None  # the item before

    @property
    def text(self) -> str:
        """What is written so far."""
        return self._part.text

    def created(self) -> Event:
        """The first event."""
        return event("response.created", response=self._told("in_progress"))

    def push(self, text: str) -> list[Event]:
        """More of its text; none opens it."""
        if self.over:
            return []
        found = []
        if not self._opened:
            self._opened = True
            item = self._item.told() | {"content": []}
            found.append(event("response.output_item.added", response_id=self.id, output_index=0,
                               item=item))  # fmt: skip
            if self._conversation is not None:
                self._previous, dropped = self._conversation.add(self._item)
                found += [event(f"{ITEM}.deleted", item_id=one) for one in dropped]
                found.append(event(f"{ITEM}.added", previous_item_id=self._previous, item=item))
            found.append(self._of_item("response.content_part.added", part=_text_part("")))
        if text:
            self._part.text += text
            found.append(self._of_item("response.output_text.delta", delta=text))
        return found

    def end(
        self, status: Status, usage: Mapping[str, Any] | None = None, *, reason: str | None = None,
        error: Mapping[str, Any] | None = None, result: Mapping[str, Any] | None = None,
    ) -> list[Event]:  # fmt: skip
        """The last events.

        Args:
            usage: tokens, as a client sees them.
            reason, error: why it is not completed.
            result: of a task, with all its fields.
        """
        if self.over:
            return []
        found = self.push("") if status == "completed" else []
        self.over = True
        if self._opened:
            self._item.status = "completed" if status == "completed" else "incomplete"
            item = self._item.told()
            found.append(self._of_item("response.output_text.done", text=self.text))
            found.append(self._of_item("response.content_part.done", part=_text_part(self.text)))
            if self._conversation is not None:
                found.append(event(f"{ITEM}.done", previous_item_id=self._previous, item=item))
            found.append(event("response.output_item.done", response_id=self.id, output_index=0,
                               item=item))  # fmt: skip
        details = None
        if status != "completed":
            named = {"reason": reason, "error": error}
            details = {"type": status} | {key: value for key, value in named.items() if value}
        told = self._told(status) | {"status_details": details, "usage": usage}
        if result is not None:
            told["result"] = result
        return [*found, event("response.done", response=told)]

    def _told(self, status: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "realtime.response",
            "status": status,
            "status_details": None,
            "output": [self._item.told()] if self._opened else [],
            "conversation_id": self._conversation.id if self._conversation is not None else None,
            "output_modalities": ["text"],
            "max_output_tokens": self.plan.max_output_tokens,
            "metadata": self.plan.metadata,
            "usage": None,
        }

    def _of_item(self, kind: str, **fields: Any) -> Event:
        return event(kind, response_id=self.id, item_id=self._item.id, **_PLACE, **fields)


@dataclass(frozen=True, eq=False)
class StoppedReply:
    """A response that is to end now, for a reason that clients are told."""

    reply: Reply
    reason: str


class OpenReplies:
    """The responses of a session that are in progress: one of the conversation, some beside it.
    To be used from any thread.

    Args:
        most_beside: there may be beside it.
    """

    def __init__(self, most_beside: int) -> None:
        self._most = most_beside
        self._lock = threading.Lock()
        self._beside: dict[str, Reply] = {}
        self._active: Reply | None = None
        self._owed = False

    @property
    def busy(self) -> bool:
        """Whether the conversation has one."""
        return self._active is not None

    def begin(self, reply: Reply, *, patient: bool = False) -> bool:
        """One more.

        Args:
            patient: where the conversation has one, it is owed another one then.

        Returns:
            Whether it can begin now.

        Raises:
            ApiError: where there are as many as there may be, and it is not patient.
        """
        with self._lock:
            if reply.plan.beside and len(self._beside) >= self._most:
                raise ApiError(429, f"{self._most} responses are in progress beside the "
                               "conversation: wait for one", code="too_many_responses")  # fmt: skip
            if reply.plan.beside:
                self._beside[reply.id] = reply
            elif self._active is None:
                self._active = reply
            elif patient:
                self._owed = True
                return False
            else:
                raise ApiError(
                    400, "the conversation has a response in progress: wait until "
                    f"{self._active.id} is done", code="conversation_already_has_active_response",
                )  # fmt: skip
            return True

    def stop(self, reply_id: str | None) -> Reply | None:
        """Take one out that is to end now, or that of the conversation; None where there is none.
        Then none is owed."""
        with self._lock:
            if reply_id is not None and (self._active is None or self._active.id != reply_id):
                return self._beside.pop(reply_id, None)
            reply, self._active, self._owed = self._active, None, False
            return reply

    def end(self, reply: Reply) -> bool:
        """One has ended. Whether another one is owed."""
        with self._lock:
            self._beside.pop(reply.id, None)
            if self._active is not reply:
                return False
            owed, self._active, self._owed = self._owed, None, False
            return owed


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
