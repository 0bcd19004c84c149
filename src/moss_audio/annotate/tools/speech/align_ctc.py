"""Word times from any transformers CTC model: Wav2Vec2ForCTC, HubertForCTC, MMS and the like.

The best path through blank, letter, blank, letter, ... (Viterbi over the CTC topology of Graves
et al. 2006; segmentation as in Kürzinger et al., arXiv 2007.09127). A word lasts from the first
frame of its first letter to the end of the last frame of its last one; CTC models fire late and
briefly, so ends tend to be early.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from moss_audio.annotate.records import AudioSegment, ToolResult
from moss_audio.annotate.tool import SpeechTool
from moss_audio.annotate.tools.identity import weights_digest
from moss_audio.annotate.tools.speech.agreement import agreed_text
from moss_audio.annotate.tools.speech.align_sphinx import UNALIGNED
from moss_audio.annotate.tools.speech.timing import spans_of
from moss_audio.errors import CheckpointError, short_reason
from moss_audio.text import normalize_words
from moss_audio.units import SAMPLE_RATE


@dataclass(frozen=True)
class CtcAlignConfig:
    """A folder or hub id of a CTC model with its tokenizer."""

    model: str = ""
    device: str = "cpu"


def ctc_path(log_probs: np.ndarray, labels: Sequence[int], blank: int) -> np.ndarray | None:
    """Which label each frame speaks, -1 for blank.

    Args:
        log_probs: `[T, V]` log-probabilities of the vocabulary at each frame.
        labels: token ids in order, without blanks.
        blank: id of the blank.

    Returns:
        `[T]` indices into `labels`, or None if there are too few frames for them.
    """
    n_frames, n_labels = len(log_probs), len(labels)
    repeats = sum(a == b for a, b in pairwise(labels))
    if n_labels == 0 or n_frames < n_labels + repeats:
        return None
    extended = np.full(2 * n_labels + 1, blank)
    extended[1::2] = labels
    may_skip = np.zeros(len(extended), bool)
    may_skip[3::2] = extended[3::2] != extended[1:-2:2]
    emit = log_probs[:, extended].astype(np.float64)
    best = np.full(len(extended), -np.inf)
    best[:2] = emit[0, :2]
    back = np.zeros((n_frames, len(extended)), np.int8)
    for t in range(1, n_frames):
        moves = np.full((3, len(extended)), -np.inf)
        moves[0] = best
        moves[1, 1:] = best[:-1]
        moves[2, 2:] = np.where(may_skip[2:], best[:-2], -np.inf)
        back[t] = moves.argmax(0)
        best = moves.max(0) + emit[t]
    state = len(extended) - 1 if best[-1] >= best[-2] else len(extended) - 2
    if not np.isfinite(best[state]):
        return None
    path = np.empty(n_frames, int)
    for t in range(n_frames - 1, -1, -1):
        path[t] = state // 2 if state % 2 else -1
        state -= int(back[t, state])
    return path


class CtcAligner(SpeechTool):
    """Gives the agreed transcript its word times: kind `words`."""

    kind = "words"
    name = "align-ctc"
    packages = ("transformers",)

    def __init__(self, config: CtcAlignConfig) -> None:
        self.config = config
        self._model: Any = None
        self._features: Any = None
        self._vocabulary: dict[str, int] = {}
        self._blank = 0

    def weights(self) -> tuple[str, ...]:
        return (weights_digest(self.config.model),)

    def setup(self) -> None:
        """Load the model. Raises CheckpointError if it is not a CTC model with a tokenizer."""
        if self._model is not None:
            return
        from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoTokenizer

        name = self.config.model
        if not name:
            raise CheckpointError("the CTC aligner needs a model: a folder or a hub id")
        try:
            tokenizer = AutoTokenizer.from_pretrained(name)
            self._features = AutoFeatureExtractor.from_pretrained(name)
            model = AutoModelForCTC.from_pretrained(name, use_safetensors=True)
        except (OSError, ValueError, KeyError) as error:
            detail = short_reason(error)
            raise CheckpointError(
                f"{name}: not a CTC model with tokenizer and feature extractor ({detail})"
            ) from error
        self._vocabulary = dict(tokenizer.get_vocab())
        self._blank = int(tokenizer.pad_token_id)
        self._model = model.eval().to(self.config.device)

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """Times of the agreed words; without spans and with a warning if there is less sound than
        letters. Nothing for a segment without agreed words."""
        text = agreed_text(segment)
        if not text:
            return []
        found = self.align(samples, text)
        words, duration_s = text.split(), len(samples) / SAMPLE_RATE
        return self.found(
            text=text,
            spans=spans_of(words, found, duration_s) if found else (),
            warnings=() if found else (UNALIGNED,),
        )

    def align(self, samples: np.ndarray, text: str) -> dict[int, tuple[float, float]]:
        """(start, end) in seconds of the words of `text` by index; words without a letter of the
        vocabulary are left out."""
        self.setup()
        labels, owners = self._labels(text.split())
        if not labels:
            return {}
        path = ctc_path(self._log_probs(samples), labels, self._blank)
        if path is None:
            return {}
        frame_s = self._model.config.inputs_to_logits_ratio / SAMPLE_RATE
        limit = len(samples) / SAMPLE_RATE
        times: dict[int, tuple[float, float]] = {}
        for frame, label in enumerate(path):
            owner = owners[label] if label >= 0 else None
            if owner is None:
                continue
            start = times.get(owner, (frame * frame_s, 0.0))[0]
            times[owner] = (start, min((frame + 1) * frame_s, limit))
        return times

    def _labels(self, words: Sequence[str]) -> tuple[list[int], list[int | None]]:
        """Token ids of all letters, and the word that each belongs to (None: a space)."""
        labels: list[int] = []
        owners: list[int | None] = []
        space = self._vocabulary.get("|")
        for index, word in enumerate(words):
            spoken = " ".join(normalize_words(word))
            ids = [(self._id(c), c) for c in spoken]
            letters = [i for i, _ in ids if i is not None]
            if not letters:
                continue
            if labels and space is not None:
                labels.append(space)
                owners.append(None)
            labels += letters
            owners += [index] * len(letters)
        return labels, owners

    def _id(self, char: str) -> int | None:
        if char == " ":
            return self._vocabulary.get("|")
        for form in (char, char.upper()):
            if form in self._vocabulary:
                return self._vocabulary[form]
        return None

    def _log_probs(self, samples: np.ndarray) -> np.ndarray:
        import torch

        inputs = self._features(
            np.asarray(samples, np.float32), sampling_rate=SAMPLE_RATE, return_tensors="pt"
        )
        with torch.no_grad():
            logits = self._model(**{k: v.to(self.config.device) for k, v in inputs.items()}).logits
        found: np.ndarray = logits[0].float().log_softmax(-1).cpu().numpy()
        return found
