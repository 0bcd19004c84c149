"""Another server behind this one: it has the model, this one has the interfaces, the tasks, the
times and the limits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from moss_audio.api import MossAudio
from moss_audio.endpoint import Endpoint, EndpointClient, EndpointError, EndpointRefusedError
from moss_audio.engine.remote import BATCH_SIZE, RemoteEngine
from moss_audio.engine.served import ServedCheckpoint
from moss_audio.serve.errors import ApiError, log
from moss_audio.serve.trouble import trouble_of

_EVERY_S = 2.0
_ASK_S = 5.0
_RETRY_S = 5.0
_LATE = 3  # times that a busy server may let the question wait


@dataclass(frozen=True)
class Backend:
    """Where the model is.

    Attributes:
        address: `http://host:8000/v1`, with `#name` behind it where several models are served.
        checkpoint: the same checkpoint as a folder or hub id, for what a server keeps to itself:
            the ids of tokens, the window that it was trained on, and word times by alignment.
        concurrency: requests that it is asked at once.
        timeout_s: the longest silence that is waited through.
        key_env: the environment variable with the key.
    """

    address: str
    checkpoint: str | None = None
    concurrency: int = BATCH_SIZE
    timeout_s: float = 120.0
    key_env: str = "MOSS_AUDIO_BACKEND_API_KEY"

    def load(self) -> MossAudio:
        """The model, as soon as the backend answers: a server with a large one takes minutes.

        Raises:
            CheckpointError: if it does not serve the model, or there is no such checkpoint.
            MossAudioError: if it refuses the key.
        """
        own = None
        if self.checkpoint is not None:
            from moss_audio.model.checkpoint import Checkpoint

            own = Checkpoint.open(self.checkpoint)
        served = self._reached()
        if own is None:
            return MossAudio(RemoteEngine(served, batch_size=self.concurrency), served)
        from moss_audio.model.tokenizer import Tokenizer

        served = replace(served, times=own.times, knows=own.knows)
        engine = RemoteEngine(
            served,
            batch_size=self.concurrency,
            window_s=own.window_s,
            task_windows_s=own.task_windows_s,
            tokenizer=Tokenizer.open(own.folder),
        )
        if own.times == "written":
            return MossAudio(engine, served)
        from moss_audio.engine.aligner import WordAligner
        from moss_audio.engine.open import open_engine

        return MossAudio(engine, served, WordAligner(open_engine(own)))

    def _reached(self) -> ServedCheckpoint:
        waiting = False
        while True:
            try:
                return ServedCheckpoint.open(
                    self.address, key_env=self.key_env, timeout_s=self.timeout_s, retries=1
                )
            except EndpointError as error:
                trouble = trouble_of(error)
                if trouble.kind not in ("gone", "late"):
                    raise
                if not waiting:
                    log.warning("%s: waiting for it", trouble.said)
                waiting = True
                time.sleep(_EVERY_S)


class BackendWatch:
    """Asks a backend again and again whether it is there, in a thread.

    Args:
        endpoint: the backend and its model.
        told: called with whether it is, each time that is known.
    """

    def __init__(self, endpoint: Endpoint, told: Callable[[bool], None]) -> None:
        self._endpoint = replace(endpoint, timeout_s=min(_ASK_S, endpoint.timeout_s), retries=0)
        self._told = told
        self._end = threading.Event()
        self._late = 0
        self.problem = ""

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="backend-watch", daemon=True).start()

    def stop(self) -> None:
        """End; what is being asked is not waited for."""
        self._end.set()

    def check(self) -> None:
        """Raises ApiError (503) if it is not there."""
        if self.problem:
            raise ApiError(503, f"{self.problem}: try again later", code="backend_unavailable",
                           retry_after_s=_RETRY_S)  # fmt: skip

    def _run(self) -> None:
        client = EndpointClient(self._endpoint)
        while not self._end.wait(_EVERY_S):
            problem = self._asked(client)
            if problem != self.problem:
                log.warning("%s", problem or "the backend answers again")
            self.problem = problem
            self._told(not problem)

    def _asked(self, client: EndpointClient) -> str:
        try:
            rows = client.models()
        except (EndpointError, EndpointRefusedError) as error:
            trouble = trouble_of(error)
            self._late += trouble.kind == "late"
            counts = trouble.kind != "late" or self._late >= _LATE
            return trouble.said if counts else self.problem
        self._late = 0
        names = [row["id"] for row in rows]
        served = self._endpoint.model in names
        return "" if served else "the backend does not serve the model any more"
