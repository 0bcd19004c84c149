"""Instruments, by an audio tagger of transformers (AST and the like) on windows of the segment."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.annotate.records import Segment, Span, ToolResult
from moss_audio.errors import CheckpointError, MossAudioError
from moss_audio.features import SAMPLE_RATE

# AudioSet's class -> the instrument. What names no instrument (genres, moods) is left out, and
# so is singing, which the profile knows of.
_AUDIOSET = {
    "Plucked string instrument": "plucked strings",
    "Acoustic guitar": "acoustic guitar",
    "Electric guitar": "electric guitar",
    "Bass guitar": "bass guitar",
    "Steel guitar, slide guitar": "steel guitar",
    "Zither": "zither",
    "Keyboard (musical)": "keyboard",
    "Electric piano": "electric piano",
    "Electronic organ": "electronic organ",
    "Hammond organ": "Hammond organ",
    "Rattle (instrument)": "rattle",
    "Marimba, xylophone": "marimba",
    "Brass instrument": "brass",
    "Bowed string instrument": "bowed strings",
    "String section": "strings",
    "Violin, fiddle": "violin",
    "Wind instrument, woodwind instrument": "woodwinds",
    "Drum kit": "drums",
    "Snare drum": "snare drum",
    "Bass drum": "bass drum",
    "Hi-hat": "hi-hat",
    "Musical ensemble": "ensemble",
    "French horn": "French horn",
    "Drum machine": "drum machine",
    "Steelpan": "steel pan",
    "Wood block": "wood block",
    "Tubular bells": "tubular bells",
    "Mallet percussion": "mallet percussion",
    "Singing bowl": "singing bowl",
}
_PLAIN = (
    "guitar", "banjo", "sitar", "mandolin", "ukulele", "piano", "organ", "synthesizer", "sampler",
    "harpsichord", "percussion", "drum", "timpani", "tabla", "cymbal", "tambourine", "maraca",
    "gong", "glockenspiel", "vibraphone", "orchestra", "trumpet", "trombone", "cello", "flute",
    "saxophone", "clarinet", "harp", "harmonica", "accordion", "bagpipes", "didgeridoo", "shofar",
    "theremin", "oboe", "bassoon", "tuba", "recorder", "double bass", "viola", "music box",
)  # fmt: skip
INSTRUMENTS = {**{name.lower(): noun for name, noun in _AUDIOSET.items()}, **{n: n for n in _PLAIN}}


@dataclass(frozen=True)
class InstrumentsConfig:
    """`folder`: a local transformers checkpoint for audio classification, safetensors.

    Its labels are AudioSet's or plain instrument names; labels of neither are not used.
    """

    folder: str
    threshold: float = 0.3
    window_s: float = 10.0
    hop_s: float = 5.0
    batch_size: int = 8
    exclusive: bool = False  # True for a model trained to choose one class (softmax)

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold < 1.0:
            raise MossAudioError(f"threshold must lie between 0 and 1, got {self.threshold!r}")
        if not 0.0 < self.hop_s <= self.window_s:
            raise MossAudioError(
                f"hop_s must be positive and at most window_s, got {self.hop_s!r} and "
                f"{self.window_s!r}"
            )


class InstrumentsTool:
    """Kind `instruments`: spans where the tagger hears an instrument; the score is its highest."""

    name = "music/instruments"

    def __init__(self, config: InstrumentsConfig) -> None:
        self.config = config
        self._loaded: tuple[Any, Any, dict[int, str]] | None = None

    @property
    def version(self) -> str:
        """Of our method and of the checkpoint: its configuration and the size of its weights."""
        digest = hashlib.sha256()
        for path in sorted(Path(self.config.folder).glob("*")):
            if path.suffix == ".json":
                digest.update(path.read_bytes())
            elif path.suffix == ".safetensors":
                digest.update(f"{path.name} {path.stat().st_size}".encode())
        return f"1 {Path(self.config.folder).name} {digest.hexdigest()[:12]}"

    def setup(self) -> None:
        """Loads the tagger; CheckpointError if the folder is not one."""
        if self._loaded is None:
            self._loaded = _load(self.config.folder)

    def annotate(self, samples: np.ndarray, segment: Segment) -> list[ToolResult]:
        """One result, without spans where the tagger heard no instrument."""
        self.setup()
        if not samples.size:
            return []
        starts_s, scores = self._scores(samples)
        assert self._loaded is not None
        labels = self._loaded[2]
        duration_s = samples.size / SAMPLE_RATE
        spans: list[Span] = []
        for column, noun in labels.items():
            spans += _runs(noun, starts_s, scores[:, column], duration_s, self.config)
        spans.sort(key=lambda span: (span.start_s, -(span.score or 0.0), span.label))
        return [
            ToolResult(
                tool=self.name,
                version=self.version,
                branch="music",
                kind="instruments",
                spans=tuple(spans),
            )
        ]

    def _scores(self, samples: np.ndarray) -> tuple[list[float], np.ndarray]:
        """Starts of the windows and [windows, classes] scores."""
        import torch

        assert self._loaded is not None
        extractor, model, _ = self._loaded
        window, hop = (
            round(self.config.window_s * SAMPLE_RATE),
            round(self.config.hop_s * SAMPLE_RATE),
        )
        starts = list(range(0, max(1, samples.size - window + hop), hop))
        rows = []
        for first in range(0, len(starts), self.config.batch_size):
            clips = [
                samples[s : s + window] for s in starts[first : first + self.config.batch_size]
            ]
            inputs = extractor(clips, sampling_rate=SAMPLE_RATE, return_tensors="pt", padding=True)
            with torch.inference_mode():
                logits = model(**inputs).logits.float()
            rows.append(logits.softmax(-1) if self.config.exclusive else logits.sigmoid())
        return [s / SAMPLE_RATE for s in starts], torch.cat(rows).numpy()


def _load(folder: str) -> tuple[Any, Any, dict[int, str]]:
    if not (Path(folder) / "config.json").is_file():
        raise CheckpointError(f"{folder}: no config.json; name the folder of an audio tagger")
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

    try:
        extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
        model = AutoModelForAudioClassification.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        ).eval()
    except (OSError, ValueError, KeyError) as error:
        detail = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{folder}: not an audio tagger that can be loaded ({detail})"
        ) from error
    known = {
        int(i): INSTRUMENTS[label.lower()]
        for i, label in model.config.id2label.items()
        if label.lower() in INSTRUMENTS
    }
    if not known:
        raise CheckpointError(f"{folder}: none of its classes names an instrument")
    return extractor, model, known


def _runs(
    noun: str,
    starts_s: list[float],
    scores: np.ndarray,
    duration_s: float,
    config: InstrumentsConfig,
) -> list[Span]:
    """Spans of windows above the threshold; windows that touch or overlap become one."""
    spans: list[Span] = []
    for start_s, score in zip(starts_s, scores, strict=True):
        if score < config.threshold:
            continue
        end_s = min(start_s + config.window_s, duration_s)
        if spans and start_s <= spans[-1].end_s:
            best = max(spans[-1].score or 0.0, float(score))
            spans[-1] = Span(noun, spans[-1].start_s, end_s, best)
        else:
            spans.append(Span(noun, start_s, end_s, float(score)))
    return spans
