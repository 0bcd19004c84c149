"""The progress line: loss, rates of tokens and of audio, time lost on data, share of the peak, time
left."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence


class Meter:
    """Counts what goes by between two lines.

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
        waited for its batches. (A GPU may still have had work in that time.)"""
        self.audio_s += audio_s
        self.tokens += tokens
        self.flops += flops
        self.waited_s += waited_s
        self.count += 1

    def line(
        self, step: int, logs: Mapping[str, float], names: Sequence[str], terms: Sequence[float]
    ) -> tuple[str, dict[str, float]]:
        """The line for what was added since the last one, and the same as numbers."""
        took = max(time.monotonic() - self.since, 1e-9)
        count = max(1, self.count)
        left_s = (self.steps - step) * took / count
        measured = {
            "audio_s_per_s": self.audio_s / took,
            "tokens_per_s": self.tokens / took,
            "step_s": took / count,
            "waited": self.waited_s / took,
        }
        parts = [f"step {step}/{self.steps} loss {logs['loss']:.4f}"]
        if len(names) > 1:
            for name, value in zip(names, terms, strict=True):
                measured[f"loss_{name}"] = value / count
                parts.append(f"{name} {value / count:.4f}")
        if "grad_norm" in logs:
            parts.append(f"grad {float(logs['grad_norm']):.2f}")
        if "learning_rate" in logs:
            parts.append(f"lr {logs['learning_rate']:.2e}")
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
