"""Sound that grows while it is asked about, in the windows that a file of it would be heard in.

A window's end is known once there is enough sound behind it. From then on it is whole: what was
answered about it is remembered, and only the window that is still open is asked about again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from moss_audio.engine.base import ClipLike, Generation, GenerationOptions
from moss_audio.engine.live import TOLERANCE, LiveClip
from moss_audio.engine.local import LocalEngine
from moss_audio.errors import AudioError, MossAudioError
from moss_audio.longform import WindowCutter
from moss_audio.units import HOP_SAMPLES, SAMPLE_RATE, samples_to_seconds

# Closed windows whose keys and values are kept: later questions about older ones compute them anew.
_KEPT = 2


@dataclass(eq=False)
class WindowMemory:
    """What was answered about a window.

    Attributes:
        whole: whether its samples can no longer change, so that its answers cannot either.
        drafts: whether an earlier answer is taken as a guess of that about the whole, too. That
            saves time, and can turn a near tie: tokens checked several in a pass round otherwise.
    """

    whole: bool = False
    drafts: bool = True
    _answers: dict[tuple[str, GenerationOptions], Generation] = field(default_factory=dict)
    _drafts: dict[str, str] = field(default_factory=dict)

    def answer(self, prompt: str, options: GenerationOptions) -> Generation | None:
        """What the model would say again; an answer with log-probabilities serves without."""
        found = self._answers.get((prompt, options))
        if found is None and options.logprobs is None:
            found = self._answers.get((prompt, options.changed(logprobs=0)))
            return None if found is None else replace(found, logprobs=None)
        return found

    def draft(self, prompt: str) -> str:
        """How an answer about a little less of it was."""
        return self._drafts.get(prompt, "") if self.drafts or not self.whole else ""

    def add(self, prompt: str, options: GenerationOptions, answer: Generation) -> None:
        """The model has answered."""
        self._drafts[prompt] = answer.text
        if self.whole and options.temperature == 0:
            self._answers[prompt, options] = answer


@dataclass(frozen=True, eq=False)
class LiveWindow:
    """A window as it is asked about.

    Attributes:
        clip: stands for its samples in requests.
        alone: whether there is no other.
    """

    clip: ClipLike
    start_s: float
    alone: bool
    memory: WindowMemory


@dataclass(eq=False)
class _Heard:
    """A window of a recording: `end` is its length in samples, where it is known."""

    clip: LiveClip
    start: int
    end: int | None = None
    memory: WindowMemory = field(default_factory=WindowMemory)


class LiveRecording:
    """Sound that grows. It stands for what was pushed so far wherever a recording is asked for:
    `m.transcribe(live)`, `m.ask(live, question)`, any number of times, also while more is pushed
    from another thread.

    Args:
        engine: that hears it.
        window_s: seconds of a window.
        tolerance, priority, key: of `LocalEngine.live`.
    """

    source = "the live recording"
    warnings: tuple[str, ...] = ()

    def __init__(
        self,
        engine: Any,
        window_s: float,
        *,
        tolerance: float = TOLERANCE,
        priority: int = 0,
        key: str = "",
    ) -> None:
        if not isinstance(engine, LocalEngine):
            raise MossAudioError(
                f"{engine.description}: only an engine in this process hears sound while it grows"
            )
        self._engine = engine
        self._how: dict[str, Any] = {"tolerance": tolerance, "priority": priority, "key": key}
        self.window_s = window_s
        self._cutter = WindowCutter(window_s)
        self._windows = [self._window(0)]
        self._whole = False
        self._end_priority: int | None = None
        self._lock = threading.RLock()

    @property
    def seconds(self) -> float:
        """Pushed so far."""
        last = self._windows[-1]
        return samples_to_seconds(last.start + len(last.clip.samples))

    @property
    def rolled(self) -> bool:
        """Whether it is more than one window."""
        return len(self._windows) > 1

    @property
    def samples(self) -> np.ndarray:
        """All that was pushed, float32 `[n]`."""
        parts = [one.clip.samples[: one.end] for one in list(self._windows)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def push(self, samples: np.ndarray) -> None:
        """Hear samples `[n]` at 16 kHz; does not wait for the model.

        Raises:
            AudioError: for what is not one-dimensional.
            MossAudioError: after `commit` or `close`.
        """
        block = np.asarray(samples, np.float32)
        if block.ndim != 1:
            raise AudioError(f"a live recording takes samples [n], not of shape {block.shape}")
        with self._lock:
            if self._whole:
                raise MossAudioError("this live recording has ended: begin a new one")
            for first in range(0, len(block), SAMPLE_RATE):
                part = block[first : first + SAMPLE_RATE]
                self._windows[-1].clip.push(part)
                for window in self._cutter.push(part):
                    self._cut(len(window.samples))

    def commit(self, *, priority: int | None = None) -> None:
        """There is no more to come: from now on it is asked about as a file is.

        Args:
            priority: of what is left to compute of it; None: as before.
        """
        with self._lock:
            if not self._whole:
                self._end_priority = priority
                for window in list(self._cutter.finish())[:-1]:
                    self._cut(len(window.samples))
                self._whole = True
                self._windows[-1].end = len(self._windows[-1].clip.samples)

    @contextlib.contextmanager
    def windows(self) -> Iterator[list[LiveWindow]]:
        """The windows so far, computed, and held within the `with`.

        Raises:
            AudioError: where less than 10 ms were pushed.
            concurrent.futures.CancelledError: if it ends before they are ready.
        """
        with self._lock:
            heard = list(self._windows)
            if len(heard) > 1 and len(heard[-1].clip.samples) < HOP_SAMPLES:
                heard.pop()
        with contextlib.ExitStack() as held:
            found = []
            for one in heard:
                if one.end is not None:
                    clip = one.clip.commit(one.end, priority=self._end_priority)
                    one.memory.whole = True
                else:
                    clip = held.enter_context(one.clip.snapshot())
                start_s, alone = samples_to_seconds(one.start), len(heard) == 1
                found.append(LiveWindow(clip, start_s, alone, one.memory))
            for one in heard[: -1 - _KEPT]:
                one.clip.close()
            yield found

    @contextlib.contextmanager
    def whole(self) -> Iterator[ClipLike]:
        """All so far as one clip: that of the window where there is one, else its samples."""
        if self.rolled:
            yield self.samples
            return
        with self.windows() as windows:
            yield windows[0].clip

    def close(self) -> None:
        """Give everything back."""
        with self._lock:
            self._whole = True
            for one in self._windows:
                one.clip.close()

    def __enter__(self) -> LiveRecording:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _window(self, start: int) -> _Heard:
        memory = WindowMemory(drafts=self._how["tolerance"] > 0)
        return _Heard(self._engine.live(**self._how), start, memory=memory)

    def _cut(self, n_samples: int) -> None:
        """The open window ends after so many samples; the next begins there."""
        last = self._windows[-1]
        last.end = n_samples
        following = self._window(last.start + n_samples)
        following.clip.push(last.clip.samples[n_samples:])
        self._windows.append(following)
