"""What a client asks for with `response.create`, and what is put before the model for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from moss_audio.serve.config import Limits
from moss_audio.serve.realtime.config import ReplyConfig, parse_at
from moss_audio.serve.realtime.events import invalid, objects
from moss_audio.serve.realtime.items import ItemList, ItemPart, MessageItem, read_item

TASKS = ("transcribe", "events", "caption", "ask")
_WHERE = "response"
_MOST_INPUT = 64
_METADATA = (16, 64, 512)  # pairs, characters of a name, of a value


@dataclass(frozen=True)
class ResponseFields(ReplyConfig):
    """The fields of `response.create`, beside those that a session has too.

    Attributes:
        conversation: auto: the response is a part of it; none: it is not.
        input: items in place of the conversation, or references to items of it.
        metadata: `task` is ours.
    """

    conversation: Literal["auto", "none"] = "auto"
    input: tuple[Mapping[str, Any], ...] | None = None
    metadata: Mapping[str, Any] | None = None

    @property
    def task(self) -> str | None:
        """What to do with a clip; None: go on with the conversation."""
        return (self.metadata or {}).get("task")

    def check(self, where: str) -> None:
        super().check(where)
        pairs, name, value = _METADATA
        for key, text in (self.metadata or {}).items():
            if not isinstance(text, str) or len(key) > name or len(text) > value:
                raise invalid(f"{where}.metadata: give texts, names of at most {name} characters "
                              f"and values of {value}", f"{where}.metadata")  # fmt: skip
        if len(self.metadata or {}) > pairs:
            raise invalid(f"{where}.metadata: at most {pairs} pairs", f"{where}.metadata")
        if self.task is not None and self.task not in TASKS:
            raise invalid(f"{where}.metadata.task: give one of {', '.join(TASKS)}",
                          f"{where}.metadata.task")  # fmt: skip
        if len(self.input or ()) > _MOST_INPUT:
            raise invalid(f"{where}.input: at most {_MOST_INPUT} items", f"{where}.input")


@dataclass(frozen=True, eq=False)
class ReplyPlan:
    """What a response is about.

    Attributes:
        items: in order, as they were when it was asked for.
        task: on the clips of the items; None: an answer to all of them.
        instructions: of the response, or else of the session.
        own: whether they are the response's.
        dropping: whether the oldest items may be left out where all do not fit.
        max_output_tokens, effort: as of `ReplyConfig`.
        beside: whether it is no part of the conversation.
        metadata: as the client gave it.
    """

    items: Sequence[MessageItem]
    task: str | None
    instructions: str
    own: bool
    dropping: bool
    max_output_tokens: int | Literal["inf"]
    effort: str | None
    beside: bool
    metadata: Mapping[str, Any] | None

    @property
    def n_droppable(self) -> int:
        """Items that may be left out: all that are no system messages, but for the last."""
        count = sum(item.role != "system" for item in self.items)
        return max(0, count - 1) if self.dropping else 0

    def without_oldest(self, count: int) -> ReplyPlan:
        """The same without so many items at the beginning that are no system messages."""
        dropped = [item for item in self.items if item.role != "system"][:count]
        return replace(self, items=[item for item in self.items if item not in dropped])

    def parts(self, kind: str) -> list[ItemPart]:
        """All parts of a kind."""
        return [part for item in self.items for part in item.parts if part.kind == kind]

    @property
    def clips(self) -> list[ItemPart]:
        """Clips that are there."""
        return [part for part in self.parts("input_audio") if part.clip is not None]

    @property
    def question(self) -> str:
        """What is asked of a clip: the texts beside it, after the instructions."""
        texts = [part.text for part in self.parts("input_text")]
        return "\n".join(filter(None, [self.instructions, *texts]))

    def messages(self) -> tuple[list[dict[str, Any]], list[ItemPart]]:
        """The conversation as the renderer takes it, and its clips in order.

        There is one system message: instructions, then those of all items. A response's own
        instructions that come with nothing but sound are the question about it. A clip that is not
        kept any more is its transcript.
        """
        system = [self.instructions] if self.instructions else []
        messages: list[dict[str, Any]] = []
        clips: list[ItemPart] = []
        asked = False
        for item in self.items:
            content: list[dict[str, Any]] = []
            for part in item.parts:
                if item.role == "system":
                    system.append(part.text)
                elif part.clip is not None:
                    content.append({"type": "audio"})
                    clips.append(part)
                elif part.text:
                    content.append({"type": "text", "text": part.text})
                    asked = asked or item.role == "user"
            if content:
                messages.append({"role": item.role, "content": content})
        text = "\n\n".join(filter(None, system))
        users = [message for message in messages if message["role"] == "user"]
        if text and users and not (self.own and not asked):
            messages.insert(0, {"role": "system", "content": text})
        elif text and users:
            users[-1]["content"].append({"type": "text", "text": text})
        elif text:
            messages.append({"role": "user", "content": text})
        return messages, clips


def planned(
    asked: Any, session: ReplyConfig, conversation: ItemList,
    decode: Callable[[bytes], np.ndarray], limits: Limits,
) -> ReplyPlan:  # fmt: skip
    """The response that a client asks for.

    Args:
        asked: `response` of its event, or None.
        session: what holds where it says nothing.
        decode: sound in the session's format -> samples `[n]` at 16 kHz.

    Raises:
        ApiError: for what is not possible.
    """
    given = objects(asked, _WHERE)
    fields: ResponseFields = parse_at(ResponseFields, given, _WHERE)
    fields.check(_WHERE)
    named = {name for name, value in given.items() if value is not None}
    if fields.input is None:
        items = conversation.all()
    else:
        items, sent_s = [], 0.0
        for index, one in enumerate(fields.input):
            where = f"{_WHERE}.input.{index}"
            if one.get("type") == "item_reference":
                items.append(conversation.get(one.get("id"), "reference", f"{where}.id"))
            else:
                items.append(read_item(one, where, decode, limits, sent_s))
                sent_s += items[-1].seconds
    most = fields.max_output_tokens if "max_output_tokens" in named else session.max_output_tokens
    plan = ReplyPlan(
        items=[item for item in items if item.status != "in_progress"],
        task=fields.task,
        instructions=fields.instructions if "instructions" in named else session.instructions,
        own="instructions" in named,
        dropping=fields.input is None,
        max_output_tokens=most,
        effort=fields.effort if "reasoning" in named else session.effort,
        beside=fields.conversation == "none",
        metadata=fields.metadata,
    )
    return plan if plan.task is None else _for_task(plan, fields)


def _for_task(plan: ReplyPlan, fields: ResponseFields) -> ReplyPlan:
    """The same about the clips of a task: those of the input, or the newest of the conversation.
    The instructions of a session are none of a task."""
    plan = replace(plan, instructions=fields.instructions)
    if fields.input is None:
        heard = [item for item in plan.items if any(part.clip is not None for part in item.parts)]
        plan = replace(plan, items=heard[-1:])
    if any(part.clip is None for part in plan.parts("input_audio")):
        raise invalid(f"{_WHERE}.input: the sound of this item is not kept any more",
                      f"{_WHERE}.input")  # fmt: skip
    count = len(plan.clips)
    if count != 1 and (plan.task != "ask" or not count):
        number = "at least one clip" if plan.task == "ask" else "one clip"
        raise invalid(f"{_WHERE}.input: the task {plan.task} is about {number}, and there are "
                      f"{count}: give an item_reference", f"{_WHERE}.input")  # fmt: skip
    if plan.task == "ask" and not plan.question.strip():
        raise invalid(f"{_WHERE}.instructions: say what to ask about the sound",
                      f"{_WHERE}.instructions")  # fmt: skip
    return plan
