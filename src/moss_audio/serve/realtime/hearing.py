"""The turns of a session as sound that grows: the model hears them while they are spoken."""

from __future__ import annotations

import logging
from collections import OrderedDict

import numpy as np

from moss_audio.engine.live import TOLERANCE
from moss_audio.engine.local import LocalEngine
from moss_audio.errors import MossAudioError
from moss_audio.listen import prompt_seconds, window_seconds
from moss_audio.live import LiveRecording
from moss_audio.serve.realtime.session import CommittedTurn, RealtimeSession
from moss_audio.serve.realtime.words import SpokenWords
from moss_audio.serve.service import Service
from moss_audio.serve.work import FINAL
from moss_audio.tasks import get_task

_log = logging.getLogger(__name__)


class TurnHearing:
    """Pushes what is said to the model as it comes. A turn that has ended is kept until it is
    transcribed and another has ended: what is asked about it meanwhile finds it computed.

    Where the model is elsewhere, there is nothing: turns are sent there as a whole.

    Attributes:
        exact: whether the open turn is heard just as a file is.
    """

    def __init__(self, session: RealtimeSession, service: Service, key: str) -> None:
        self._session, self._service, self._key = session, service, key
        self._here = isinstance(service.engine, LocalEngine)
        self.exact = False
        self._item_id, self._first = "", 0  # and the sample of the session that it begins with
        self._open: LiveRecording | None = None
        self._n_pushed = 0
        self._ended: OrderedDict[str, LiveRecording] = OrderedDict()
        self._transcribed: set[str] = set()
        self._spoken: dict[str, SpokenWords] = {}

    @property
    def open(self) -> LiveRecording | None:
        """The turn that is being spoken, of `session.item_id`."""
        return self._open

    def spoken(self, item_id: str) -> SpokenWords:
        """The words of a turn that the client was told."""
        return self._spoken.setdefault(item_id, SpokenWords())

    def follow(self) -> None:
        """Hear what the session has heard."""
        session = self._session
        if not self._follows(session.item_id, session.begin):  # it was cleared
            self._leave()
        if not self._here or not session.listens or not session.speaking:
            return
        self._begin(session.item_id, session.begin)
        self._push(session.sound_since(self._n_pushed))

    def commit(self, turn: CommittedTurn) -> None:
        """A turn has ended."""
        if not turn.transcribe:
            self._transcribed.add(turn.item_id)
            self._spoken.pop(turn.item_id, None)
        if self._here and self._session.listens:
            if self._n_pushed > len(turn.samples):  # a detector that is new has found it to be over
                self._leave()
            self._begin(turn.item_id, turn.begin)
            self._push(turn.samples[self._n_pushed :])
        else:
            self._leave()
        if self._open is not None:
            self._open.commit(priority=FINAL)
            self._ended[turn.item_id], self._open = self._open, None
        self._tidy()

    def recording(self, item_id: str) -> LiveRecording | None:
        """A turn that has ended; None where its samples are all there is."""
        return self._ended.get(item_id)

    def in_windows(self, item_id: str) -> LiveRecording | None:
        """The same for a task that walks recordings in windows; None also where the turn was heard
        in others."""
        recording = self._ended.get(item_id)
        model_s = self._window_s
        if recording is None or recording.window_s == model_s or recording.seconds <= model_s:
            return recording
        return None

    def transcribed(self, item_id: str) -> None:
        """All is said about a turn."""
        self._transcribed.add(item_id)
        self._spoken.pop(item_id, None)
        self._tidy()

    def close(self) -> None:
        """Give everything back; nothing is heard any more."""
        self._here = False
        self._leave()
        for recording in self._ended.values():
            recording.close()
        self._ended.clear()

    @property
    def _window_s(self) -> float:
        """Of transcripts, as of a file."""
        return window_seconds(self._service.model.engine, [get_task("transcribe")])

    def _follows(self, item_id: str, first: int) -> bool:
        """Whether it is this turn that is heard, from this sample of the session on."""
        return self._open is not None and (self._item_id, self._first) == (item_id, first)

    def _begin(self, item_id: str, first: int) -> None:
        if not self._follows(item_id, first):
            self._leave()
            model = self._service.model
            # transcripts are made in windows; what is only asked about is best heard as a whole
            window_s = (
                self._window_s
                if self._session.transcribes
                else prompt_seconds(model.engine.max_positions)
            )
            tolerance = 0.0 if self._session.exact else TOLERANCE
            self._open = LiveRecording(model.engine, window_s, tolerance=tolerance, key=self._key)
            self.exact = self._session.exact
            self._item_id, self._first, self._n_pushed = item_id, first, 0

    def _push(self, samples: np.ndarray) -> None:
        if self._open is None:
            return
        try:
            self._open.push(samples)
            self._n_pushed += len(samples)
        except MossAudioError as error:  # the turn is transcribed from its samples
            _log.warning("a turn cannot be heard while it is spoken: %s", error)
            self._leave()
            self._here = False

    def _leave(self) -> None:
        if self._open is not None:
            self._open.close()
            self._spoken.pop(self._item_id, None)
            self._open = None

    def _tidy(self) -> None:
        for item_id in list(self._ended)[:-1]:
            if item_id in self._transcribed:
                self._ended.pop(item_id).close()
        self._transcribed &= set(self._ended)
