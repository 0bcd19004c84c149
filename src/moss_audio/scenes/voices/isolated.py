"""A voice in a process of its own, so that nothing else in the program can change its sound.

Some engines draw their noise from the C library's one random generator. In a process with other
libraries and their threads, one sentence in some hundreds came out a little different from run to
run; in a process that does nothing else they repeat.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.scenes.voices.base import SynthesisedSpeech, Voice

_LIVES = 2  # a sentence that ends or stalls a child is said once more by another
# A sentence takes a fraction of a second and a start a few; engines in C have been seen to stall.
_START_S, _SPEAK_S = 180.0, 90.0
_LEAVE_S = 5.0  # for a child that is told to end; then it is killed


class IsolatedVoice:
    """Speaks through a child process that `make(seed)` opened a voice in.

    For voices that carry nothing over from sentence to sentence. `make` must be picklable: a
    class or a function of a module. The child ends with this object, or with this process.
    """

    def __init__(self, make: Callable[[int], Voice], name: str, seed: int = 0) -> None:
        self._make, self._name, self._seed = make, name, seed
        self._speakers: tuple[str, ...] = self._start()

    def speakers(self) -> tuple[str, ...]:
        """Names of all speakers."""
        return self._speakers

    def speak(self, text: str, speaker: str, rng: np.random.Generator) -> SynthesisedSpeech:
        """Say one sentence; `rng` moves on as it does in the voice itself."""
        for _ in range(_LIVES):
            try:
                self._pipe.send((text, speaker, rng.bit_generator.state))
                state, said = self._receive(_SPEAK_S)
            except (EOFError, OSError):
                self.close()
                self._start()
                continue
            rng.bit_generator.state = state
            if isinstance(said, MossAudioError):
                raise said
            utterance: SynthesisedSpeech = said
            return utterance
        raise MossAudioError(
            f"{self._name}: its process ended or stalled {_LIVES} times at {text!r}"
        )

    def _start(self) -> tuple[str, ...]:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self._make, self._seed, theirs))
        self._process.start()
        theirs.close()
        try:
            answer: tuple[str, ...] | MossAudioError = self._receive(_START_S)
        except TimeoutError:
            self.close()
            raise MossAudioError(f"{self._name}: not ready after {_START_S:.0f} s") from None
        except EOFError:
            self._process.join()
            raise MossAudioError(
                f"{self._name}: its process ended with status {self._process.exitcode}"
            ) from None
        if isinstance(answer, MossAudioError):
            raise answer
        return answer

    def _receive(self, limit_s: float) -> Any:
        if not self._pipe.poll(limit_s):
            raise TimeoutError
        return self._pipe.recv()

    def close(self) -> None:
        """End the child."""
        self._pipe.close()
        self._process.join(_LEAVE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __del__(self) -> None:
        if hasattr(self, "_process") and self._process.pid is not None:
            self.close()


def _serve(make: Callable[[int], Voice], seed: int, pipe: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        voice = make(seed)
    except MossAudioError as error:
        pipe.send(_sendable(error))
        return
    pipe.send(voice.speakers())
    rng = np.random.default_rng()
    while True:
        try:
            text, speaker, state = pipe.recv()
        except (EOFError, OSError):
            return
        rng.bit_generator.state = state
        said: SynthesisedSpeech | MossAudioError
        try:
            said = voice.speak(text, speaker, rng)
        except MossAudioError as error:
            said = _sendable(error)
        try:
            pipe.send((rng.bit_generator.state, said))
        except OSError:
            return


def _sendable(error: MossAudioError) -> MossAudioError:
    """The error, of its own class where that can be made of a message alone."""
    try:
        return type(error)(str(error))
    except TypeError:
        return MossAudioError(str(error))
