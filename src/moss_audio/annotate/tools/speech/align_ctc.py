"""Word times from any transformers CTC model: Wav2Vec2ForCTC, HubertForCTC, MMS and the like.

The best path through blank, letter, blank, letter, ... (Viterbi over the CTC topology of Graves
et al. 2006; segmentation as in Kürzinger et al., arXiv 2007.09127). A word lasts from the first
frame of its first letter to the end of the last frame of its last one; CTC models fire late and
briefly, so ends tend to be early.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from moss_audio.annotate.tool import weights_digest
from moss_audio.annotate.tools.speech.timing import AlignerTool, Marks, Times
from moss_audio.engine.aligner import best_path
from moss_audio.errors import CheckpointError, require, short_reason
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
    if not labels or not len(log_probs):
        return None
    ids = np.asarray(labels)
    touching = np.append(True, ids[1:] != ids[:-1])  # equal letters need a blank between
    return best_path(log_probs[:, ids], log_probs[:, blank], touching)


class CtcAligner(AlignerTool):
    """Aligns by a CTC model."""

    name = "align-ctc"
    packages = ("transformers",)
    config: CtcAlignConfig

    def __init__(self, config: CtcAlignConfig) -> None:
        super().__init__(config)
        self._features: Any = None
        self._vocabulary: dict[str, int] = {}
        self._blank = 0

    def weights(self) -> tuple[str, ...]:
        return (weights_digest(self.config.model),)

    def load(self) -> Any:
        """The model. Raises CheckpointError if it is not a CTC model with a tokenizer."""
        require("torch", "transformers", extra="torch", purpose="the CTC aligner")
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
        return model.eval().to(self.config.device)

    def align(self, samples: np.ndarray, text: str) -> tuple[Times, Marks]:
        self.setup()
        labels, owners = self._labels(text.split())
        path = ctc_path(self._log_probs(samples), labels, self._blank) if labels else None
        if path is None:
            return {}, {}
        frame_s = self.model.config.inputs_to_logits_ratio / SAMPLE_RATE
        limit = len(samples) / SAMPLE_RATE
        times: Times = {}
        for frame, label in enumerate(path):
            owner = owners[label] if label >= 0 else None
            if owner is None:
                continue
            start = times.get(owner, (frame * frame_s, 0.0))[0]
            times[owner] = (start, min((frame + 1) * frame_s, limit))
        return times, {}

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
            logits = self.model(**{k: v.to(self.config.device) for k, v in inputs.items()}).logits
        found: np.ndarray = logits[0].float().log_softmax(-1).cpu().numpy()
        return found
