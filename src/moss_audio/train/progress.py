"""The progress line (loss, rates of tokens and of audio, time lost on data, share of the peak, time
left) and the log that it goes to."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path


class Meter:
    """Counts what is processed between two lines.

    Args:
        steps: of the whole run.
        peak_flops: operations a second of all devices together; 0 where unknown.
    """

    def __init__(self, steps: int, peak_flops: float) -> None:
        self.steps, self.peak_flops = steps, peak_flops
        self._reset()

    def _reset(self) -> None:
        self.since = time.monotonic()
        self.audio_s = self.tokens = self.flops = self.waited_s = 0.0
        self.count = 0

    def add(self, audio_s: float, tokens: float, flops: float, waited_s: float) -> None:
        """One step's audio, tokens and operations, of all processes, and how long this process
        waited for its batches (a GPU may have been busy in that time)."""
        self.audio_s += audio_s
        self.tokens += tokens
        self.flops += flops
        self.waited_s += waited_s
        self.count += 1

    def line(
        self, step: int, terms: Mapping[str, float], grad_norm: float, learning_rate: float
    ) -> tuple[str, dict[str, float]]:
        """The line for what was added since the last one, and the same as numbers.

        `terms`: each term of the loss, summed over the steps since the last line.
        """
        took = max(time.monotonic() - self.since, 1e-9)
        count = max(1, self.count)
        left_s = (self.steps - step) * took / count
        means = {name: value / count for name, value in terms.items()}
        measured = {
            "loss": sum(means.values()),
            "grad_norm": grad_norm,
            "learning_rate": learning_rate,
            "audio_s_per_s": self.audio_s / took,
            "tokens_per_s": self.tokens / took,
            "step_s": took / count,
            "waited": self.waited_s / took,
        }
        parts = [f"step {step}/{self.steps} loss {measured['loss']:.4f}"]
        if len(means) > 1:
            measured |= {f"loss_{name}": value for name, value in means.items()}
            parts += [f"{name} {value:.4f}" for name, value in means.items()]
        parts.append(f"grad {grad_norm:.2f} lr {learning_rate:.2e}")
        parts.append(f"{measured['audio_s_per_s']:.1f} audio-s/s")
        parts.append(f"{measured['tokens_per_s']:.0f} tokens/s")
        parts.append(f"waited {100 * measured['waited']:.1f}%")
        if self.peak_flops and self.flops:
            measured["mfu"] = self.flops / took / self.peak_flops
            parts.append(f"mfu {100 * measured['mfu']:.1f}%")
        parts.append(f"left {_duration(left_s)}")
        self._reset()
        return " ".join(parts), measured


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def log_to(path: Path) -> Callable[[str], None]:
    """A log that goes to the terminal and, with the time, to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def log(line: str) -> None:
        print(line, file=sys.stderr, flush=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    return log
