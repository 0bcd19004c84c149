"""A session: events of the client in, events of the server, turns and responses out. It does no
I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from moss_audio.serve.config import Limits
from moss_audio.serve.errors import ApiError
from moss_audio.serve.realtime.audio import AppendedAudio
from moss_audio.serve.realtime.buffer import Began, Change, Ended, InputBuffer
from moss_audio.serve.realtime.config import Kind, SessionConfig
from moss_audio.serve.realtime.conversation import Conversation
from moss_audio.serve.realtime.events import (
    BUFFER,
    Event,
    error_event,
    event,
    invalid,
    new_id,
    read_message,
)
from moss_audio.serve.realtime.items import SHORTEST_S, ItemPart, MessageItem
from moss_audio.serve.realtime.replies import Reply, StoppedReply
from moss_audio.serve.realtime.vad import EnergyVad, MakeDetector
from moss_audio.serve.uploads import base64_bytes
from moss_audio.units import SAMPLE_RATE


@dataclass(frozen=True, eq=False)
class CommittedTurn:
    """What was committed: samples `[n]` at 16 kHz, to be transcribed, with `logprobs` or without;
    or only to be kept where nobody wants a transcript; of the session from sample `begin` on. Of
    one that has ended with a silence, the sample `quiet_from` from which on it is quiet."""

    item_id: str
    samples: np.ndarray
    logprobs: bool
    transcribe: bool = True
    quiet_from: int | None = None
    begin: int = 0


@dataclass(frozen=True)
class Pause:
    """A silence in the turn of an item, from a sample of it on."""

    item_id: str
    quiet_from: int | None


_PAUSE_MS = 120  # of silence, after which a turn may be over

Outcome = Event | CommittedTurn | Reply | StoppedReply


class RealtimeSession:
    """The state of one session.

    Args:
        check_model: gives the name under which a model is served; raises ApiError for another.
        model: that was asked for at the connection.
        limits: how long a turn and a session may be, and how much is kept.
        kind: of session.
        setup: the session that the client's key brings with it; raises ApiError for a wrong value.
        make_detector: of voices.
    """

    def __init__(
        self, check_model: Callable[[str], str], model: str, limits: Limits,
        kind: Kind = "transcription", setup: Mapping[str, Any] | None = None,
        make_detector: MakeDetector = EnergyVad,
    ) -> None:  # fmt: skip
        self._id = new_id("sess")
        self._expires_at = int(time.time() + limits.session_s)
        self._limits = limits
        self._config = SessionConfig(check_model, model, kind)
        self._config.update(setup)
        self._audio = AppendedAudio(self._config.format)
        self._buffer = InputBuffer(limits.turn_s, make_detector)
        list(self._buffer.detect(self._config.turn_detection))
        self._item = new_id("item")
        self._started = ""  # the item whose beginning was told
        self._conversation = Conversation(self._config, limits)
        self._answering = False

    @property
    def speaking(self) -> bool:
        """Whether something is heard that is not committed yet."""
        return self._buffer.speaking

    @property
    def item_id(self) -> str:
        """Of the turn that is open, or comes next."""
        return self._item

    @property
    def begin(self) -> int:
        """The sample of the session with which the open turn begins."""
        return self._buffer.begin

    @property
    def transcribes(self) -> bool:
        """Whether there is to be a transcript of turns."""
        return self._config.transcription is not None

    @property
    def listens(self) -> bool:
        """Whether something will be asked about turns."""
        return self.transcribes or self._talks

    @property
    def guesses(self) -> bool:
        """Whether a text of the open turn is needed: the client asked for it, or its end depends
        on it."""
        turns = self._config.turn_detection
        semantic = turns is not None and turns.type == "semantic_vad"
        return self._config.hypotheses or semantic

    def open_turn(self) -> CommittedTurn | None:
        """What would be committed now; None where nobody speaks, or nobody wants to know."""
        if not self.guesses or not self._buffer.speaking:
            return None
        return CommittedTurn(self._item, self._buffer.peek(), logprobs=False, begin=self.begin)

    @property
    def exact(self) -> bool:
        """Whether turns are to be heard just as a file is."""
        return self._config.transcription is not None and self._config.transcription.exact

    @property
    def logprobs(self) -> bool:
        """Whether transcripts are to have log-probabilities."""
        return self._config.logprobs

    @property
    def pause(self) -> Pause | None:
        """The silence in the open turn, where it may be its end."""
        quiet_from = self._buffer.pause(_PAUSE_MS)
        return None if quiet_from is None else Pause(self._item, quiet_from)

    def sound_since(self, first: int) -> np.ndarray:
        """Samples `[n]` of the open turn, from the first so many on."""
        return self._buffer.since(first)

    def understood(self, item_id: str, text: str) -> bool:
        """What seems to have been said of the open turn so far. Whether the client wants it."""
        if item_id != self._item:
            return False
        self._buffer.understand(text)
        return self._config.hypotheses

    def created(self) -> Event:
        """The first event."""
        return event("session.created", session=self._told())

    def transcribed(self, item_id: str, text: str) -> None:
        """Keep what is said in a turn."""
        self._conversation.items.transcribed(item_id, text)

    def ended(self, reply: Reply) -> list[Outcome]:
        """What follows from the end of a response."""
        found: list[Outcome] = list(self._conversation.ended(reply))
        self._follow_answer()
        return found

    def receive(self, text: str | None) -> list[Outcome]:
        """What follows from a message of the client; what is wrong with it is an `error` event, and
        changes nothing."""
        own_id = None
        try:
            message = read_message(text)
            own_id = message.get("event_id")
            found = list(self._handled(message))
            self._follow_answer()
            return found
        except ApiError as error:
            return [error_event(error, own_id if isinstance(own_id, str) else None)]

    def _follow_answer(self) -> None:
        """After a response it is the client's turn to speak."""
        before, self._answering = self._answering, self._conversation.answering
        if before != self._answering:
            self._buffer.wait(before)

    @property
    def _talks(self) -> bool:
        return self._config.kind == "realtime"

    def _handled(self, message: Mapping[str, Any]) -> Iterable[Outcome]:
        kind = message.get("type")
        known: dict[str, Callable[[Mapping[str, Any]], Iterable[Outcome]]] = {
            "session.update": self._update,
            f"{BUFFER}.append": self._append,
            f"{BUFFER}.commit": self._commit,
            f"{BUFFER}.clear": self._clear,
        }
        if isinstance(kind, str) and kind in known:
            return known[kind](message)
        return self._conversation.handled(kind, message, open_id=self._item, others=known)

    def _update(self, message: Mapping[str, Any]) -> list[Outcome]:
        form = self._config.format
        self._config.update(message.get("session"))
        self._conversation.follow()
        out: list[Outcome] = []
        if self._config.format != form:
            out += self._heard(self._buffer.push(self._audio.finish()))
            self._audio = AppendedAudio(self._config.format)
        turns = self._config.turn_detection
        if turns is not None and not self._buffer.detecting and self._started != self._item:
            self._item = new_id("item")  # its turns begin elsewhere than what was held so far
        out += self._heard(self._buffer.detect(turns))
        return [event("session.updated", session=self._told()), *out]

    def _append(self, message: Mapping[str, Any]) -> list[Outcome]:
        data = base64_bytes(message.get("audio"), "audio")
        if not self._buffer.fits(self._audio.n_kept + self._audio.n_samples(data)):
            raise invalid(
                f"the buffer holds {self._limits.turn_s:g} s at most, and this is more: commit or "
                "clear it, or append less",
                "audio", "input_audio_buffer_full",
            )  # fmt: skip
        return list(self._heard(self._buffer.push(self._audio.push(data))))

    def _commit(self, message: Mapping[str, Any]) -> list[Outcome]:
        n_samples = self._buffer.n_samples + self._audio.n_kept
        if n_samples < SHORTEST_S * SAMPLE_RATE:
            raise ApiError(
                400, f"the buffer holds {1000 * n_samples / SAMPLE_RATE:.0f} ms of sound, too "
                "little for a commit: append at least 100 ms",
                code="input_audio_buffer_commit_empty",
            )  # fmt: skip
        begin = self._buffer.begin
        return self._committed(self._buffer.take(self._audio.finish()), begin)

    def _clear(self, message: Mapping[str, Any]) -> list[Outcome]:
        self._audio.finish()
        self._buffer.take()
        self._item = new_id("item")
        return [event(f"{BUFFER}.cleared")]

    def _heard(self, changes: Iterable[Change]) -> Iterator[Outcome]:
        for change in changes:
            if isinstance(change, Began):
                if self._started != self._item:  # else the detector was off and is on again
                    self._started = self._item
                    yield event(
                        f"{BUFFER}.speech_started", audio_start_ms=change.at_ms, item_id=self._item
                    )
                    turns = self._config.turn_detection
                    if turns is not None and turns.interrupt_response:
                        yield from self._conversation.stop(None, "turn_detected")
            elif isinstance(change, Ended):
                yield event(
                    f"{BUFFER}.speech_stopped", audio_end_ms=change.at_ms, item_id=self._item
                )
                yield from self._committed(change.samples, change.begin, change.quiet_from)
                yield from self._answer_turn()
            else:
                yield event(
                    f"{BUFFER}.timeout_triggered", audio_start_ms=change.from_ms,
                    audio_end_ms=change.at_ms, item_id=self._item,
                )  # fmt: skip
                yield from self._committed(change.samples, change.begin)
                yield from self._answer_turn()

    def _committed(
        self, samples: np.ndarray, begin: int, quiet_from: int | None = None
    ) -> list[Outcome]:
        item_id, self._item = self._item, new_id("item")
        seconds = len(samples) / SAMPLE_RATE
        part = ItemPart("input_audio", clip=samples, seconds=seconds, turn_id=item_id)
        item = MessageItem("user", [part], item_id)
        added = self._conversation.add(item)
        return [
            event(f"{BUFFER}.committed", item_id=item_id,
                  previous_item_id=added[-1]["previous_item_id"]),
            *added,
            CommittedTurn(item_id, samples, self._config.logprobs,
                          transcribe=self.transcribes, quiet_from=quiet_from, begin=begin),
        ]  # fmt: skip

    def _answer_turn(self) -> list[Outcome]:
        """The response to a turn that the server found, where the client wants one."""
        turns = self._config.turn_detection
        if not self._talks or turns is None or not turns.create_response:
            return []
        return list(self._conversation.respond(None, patient=True))

    def _told(self) -> dict[str, Any]:
        return {"id": self._id, "expires_at": self._expires_at, **self._config.told()}
