"""A transformers audio tagger (Audio Spectrogram Transformer and the like) as a detector.

Taggers say what is in a clip, not when. The clip slides over the recording in steps of half its
length or less; a label's probability at a moment is the mean over the windows that hold it. So
times are as coarse as the steps: a tagger names what a segment holds, and is better not asked
where to cut (`blocks: false`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio import __version__
from moss_audio.annotate.detectors.base import ModelDetector, check_samples, hysteresis, in_order
from moss_audio.annotate.records import Span
from moss_audio.errors import CheckpointError, MossAudioError, require, short_reason
from moss_audio.files import folder_hash
from moss_audio.units import SAMPLE_RATE


@dataclass(frozen=True)
class TaggerConfig:
    """How the tagger listens.

    Attributes:
        window_s: what it hears at once; AudioSet's clips are 10 s.
        step_s: between windows.
        top: labels kept a window, the most probable ones.
        on, off: a span has probabilities of at least `off` throughout and `on` somewhere.
            Taggers of 527 classes are modest: 0.3 is a lot.
        batch: windows at once.
    """

    window_s: float = 10.0
    step_s: float = 2.5
    top: int = 10
    on: float = 0.3
    off: float = 0.15
    batch: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.step_s <= self.window_s or self.top < 1 or self.batch < 1:
            raise MossAudioError(
                f"tagger: step_s {self.step_s} must be above 0 and at most window_s "
                f"{self.window_s}; top {self.top} and batch {self.batch} at least 1"
            )


class TaggerDetector(ModelDetector):
    """Hears the classes of a model for audio classification, as a rule AudioSet's."""

    kind = "tagger"
    vocabulary = "audioset"
    defaults = TaggerConfig
    config: TaggerConfig

    @property
    def version(self) -> str:
        """Of the settings and weights; of a hub id its name."""
        folder = Path(self.source)
        mark = folder_hash(folder)[:16] if folder.is_dir() else self.source
        return f"{__version__} {mark} {self.config}"

    def load(self) -> tuple[Any, Any]:
        """The feature extractor and the model. Raises CheckpointError if there is no such model, or
        it does not classify sound."""
        require("torch", "transformers", extra="torch", purpose="the tagger")
        from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

        from moss_audio.model.device import choose_device

        try:
            extractor = AutoFeatureExtractor.from_pretrained(self.source, trust_remote_code=False)
            model = AutoModelForAudioClassification.from_pretrained(
                self.source, trust_remote_code=False, use_safetensors=True
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            detail = short_reason(error)
            raise CheckpointError(
                f"{self.source}: no audio tagger to load ({detail}); give a folder or hub id with "
                "config.json, preprocessor_config.json and model.safetensors"
            ) from error
        rate = getattr(extractor, "sampling_rate", SAMPLE_RATE)
        if rate != SAMPLE_RATE:
            raise CheckpointError(
                f"{self.source}: listens at {rate} Hz; one for 16000 Hz is needed"
            )
        return extractor, model.to(choose_device(self.device)).eval()

    def detect(self, samples: np.ndarray) -> list[Span]:
        check_samples(samples)
        if not len(samples):
            return []
        labels = self.model[1].config.id2label
        kept = self._kept(samples)
        config = self.config
        duration_s = len(samples) / SAMPLE_RATE
        steps = int(np.ceil(duration_s / config.step_s))
        per_window = max(1, round(config.window_s / config.step_s))
        found = []
        for label, rows in sorted(kept.items()):
            # A step's probability: the mean over the windows that cover it, 0 where not kept.
            total = np.zeros(steps)
            heard = np.zeros(steps)
            for index, probability in rows:
                total[index : index + per_window] += probability
            for index in range(self._n_windows(len(samples))):
                heard[index : index + per_window] += 1
            mean = total / np.maximum(heard, 1)
            for first, last in hysteresis(mean, config.on, config.off):
                score = round(float(mean[first:last].max()), 4)
                end_s = min(duration_s, last * config.step_s)
                found.append(Span(str(labels[label]), first * config.step_s, end_s, score))
        return in_order(found)

    def _n_windows(self, n_samples: int) -> int:
        beyond = n_samples / SAMPLE_RATE - self.config.window_s
        return 1 + max(0, int(np.ceil(beyond / self.config.step_s)))

    def _kept(self, samples: np.ndarray) -> dict[int, list[tuple[int, float]]]:
        """Class -> (window, probability) where it is among the window's `top`."""
        out: dict[int, list[tuple[int, float]]] = {}
        for first, rows in self._probabilities(samples):
            for offset, row in enumerate(rows):
                for label in np.argsort(-row, kind="stable")[: self.config.top]:
                    out.setdefault(int(label), []).append((first + offset, float(row[label])))
        return out

    def _probabilities(self, samples: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Batches of windows: (number of the first, probabilities `[windows, classes]`)."""
        import torch

        extractor, model = self.model
        step, size = (round(s * SAMPLE_RATE) for s in (self.config.step_s, self.config.window_s))
        total = self._n_windows(len(samples))
        for first in range(0, total, self.config.batch):
            clips = [
                np.asarray(samples[i * step : i * step + size], np.float32)
                for i in range(first, min(total, first + self.config.batch))
            ]
            # The extractor pads the last clip with what the model knows as silence.
            inputs = extractor(clips, sampling_rate=SAMPLE_RATE, return_tensors="pt", padding=True)
            with torch.inference_mode():
                logits = model(**inputs.to(model.device)).logits.float()
            # AudioSet's labels do not exclude each other, whatever the config says or forgets.
            yield first, torch.sigmoid(logits).cpu().numpy()
