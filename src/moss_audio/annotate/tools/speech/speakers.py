"""Who speaks when: speaker embeddings of short windows, clustered.

Speech (between aligned words where there are any, else by level) is cut into windows of up to
1.6 s; their embeddings are clustered from the bottom up by average cosine distance until no two
clusters are nearer than `threshold`; clusters with too little speech join the nearest; each moment
belongs to the nearest windows. Two voices at once are not told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tool import SpeechTool, weights_digest
from moss_audio.annotate.tools.speech.speech_measures import REGIONS, speech_regions
from moss_audio.annotate.tools.speech.voice_weights import WINDOW_S, raised, weights_file
from moss_audio.errors import require
from moss_audio.units import SAMPLE_RATE

if TYPE_CHECKING:
    from moss_audio.annotate.tools.speech.voice_encoder import VoiceEncoder

_FRAME_S = 0.05


@dataclass(frozen=True)
class SpeakersConfig:
    """How windows are cut and when two of them are one voice."""

    weights: str | None = None  # of the encoder; None: those of resemblyzer
    threshold: float = 0.35  # cosine distance; see docs/annotate-speech.md for how it was chosen
    hop_s: float = 0.4
    shortest_window_s: float = 0.6  # shorter ones join a voice and make none
    least_speech_s: float = 1.0  # of a voice
    least_turn_s: float = 0.4
    most_speakers: int = 8


class SpeakersTool(SpeechTool):
    """Turns of the voices of a segment: kind `speakers`."""

    kind = "speakers"
    name = "speakers"
    method = REGIONS
    packages = ("resemblyzer",)
    defaults = SpeakersConfig
    config: SpeakersConfig

    def weights(self) -> tuple[str, ...]:
        return (weights_digest(weights_file(self.config.weights)),)

    def load(self) -> VoiceEncoder:
        require("torch", extra="torch", purpose="telling speakers apart")
        from moss_audio.annotate.tools.speech.voice_encoder import load_voice_encoder

        return load_voice_encoder(self.config.weights)

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """The turns, speakers numbered as they come; nothing without speech."""
        regions = speech_regions(samples, segment)
        if not regions:
            return []
        spans = self.turns(samples, regions)
        return self.found(spans=spans, values={"count": len({span.label for span in spans})})

    def turns(self, samples: np.ndarray, regions: list[tuple[float, float]]) -> tuple[Span, ...]:
        """Turns within `regions` (start and end in seconds, in order)."""
        windows = _windows(regions, self.config.hop_s)
        sound = raised(samples)
        vectors = self.model.embed(
            [sound[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] for start, end in windows]
        )
        labels = cluster_windows(np.diff(windows)[:, 0], vectors, self.config)
        return _turns(regions, np.array(windows), labels, self.config.least_turn_s)


def cluster_windows(
    lengths_s: np.ndarray, vectors: np.ndarray, config: SpeakersConfig
) -> np.ndarray:
    """A label for each window: `[n]` lengths and `[n, d]` unit vectors -> `[n]` integers."""
    from scipy.cluster.hierarchy import fcluster, linkage

    sure = np.flatnonzero(lengths_s >= config.shortest_window_s)
    if len(sure) < 2:
        return np.zeros(len(vectors), int)
    tree = linkage(vectors[sure], method="average", metric="cosine")
    found = fcluster(tree, config.threshold, criterion="distance")
    # Windows overlap: each stands for about a hop of speech, its length if it is alone.
    weight = np.minimum(lengths_s[sure], config.hop_s)
    speech = {int(k): float(weight[found == k].sum()) for k in np.unique(found)}
    by_length = sorted(speech, key=lambda k: (-speech[k], k))
    kept = [k for k in by_length[: config.most_speakers] if speech[k] >= config.least_speech_s]
    kept = kept or by_length[:1]
    centres = np.stack([vectors[sure][found == k].mean(0) for k in kept])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    labels: np.ndarray = (vectors @ centres.T).argmax(1)
    return labels


def _windows(regions: list[tuple[float, float]], hop_s: float) -> list[tuple[float, float]]:
    """Start and end of each, in seconds."""
    out = []
    for start, end in regions:
        at = start
        while at + WINDOW_S < end:
            out.append((at, at + WINDOW_S))
            at += hop_s
        out.append((max(start, end - WINDOW_S), end))
    return out


def _turns(
    regions: list[tuple[float, float]], windows: np.ndarray, labels: np.ndarray, least_turn_s: float
) -> tuple[Span, ...]:
    centres = windows.mean(1)
    pieces: list[list[float]] = []  # label, start, end
    for start, end in regions:
        inside = (windows[:, 0] >= start - 1e-9) & (windows[:, 1] <= end + 1e-9)
        count = max(1, round((end - start) / _FRAME_S))
        edges = np.linspace(start, end, count + 1)
        middle = (edges[:-1] + edges[1:]) / 2
        nearest = np.abs(middle[:, None] - centres[inside][None]).argmin(1)
        frames = labels[inside][nearest]
        changes = [0, *(np.flatnonzero(np.diff(frames)) + 1), count]
        pieces += [[frames[a], edges[a], edges[b]] for a, b in pairwise(changes)]
    merged: list[list[float]] = []
    for piece in pieces:
        short = piece[2] - piece[1] < least_turn_s
        touches = bool(merged) and piece[1] - merged[-1][2] < 1e-9
        if merged and (merged[-1][0] == piece[0] or (short and touches)):
            merged[-1][2] = piece[2]  # pauses within a turn belong to it
        else:
            merged.append(piece)
    names: dict[float, str] = {}
    return tuple(
        Span(names.setdefault(label, f"speaker {len(names) + 1}"), float(start), float(end))
        for label, start, end in merged
    )
