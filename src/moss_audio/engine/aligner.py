"""Word times by aligning a transcript with the clip's audio tokens.

For a checkpoint whose adapter learnt to say, token by token, the word piece being spoken (see
`moss_audio.train.align`), the audio tokens themselves tell when each word is: one Viterbi pass
finds the best monotonic path of words, with quiet between them. Resolution is one token, 80 ms.
Meant for checkpoints too small to write reliable times; those that can write them do.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from moss_audio.engine.base import ClipLike, Engine
from moss_audio.engine.local import LocalEngine
from moss_audio.engine.prompts import EncodedClip, clip_seconds
from moss_audio.errors import MossAudioError
from moss_audio.result import Word
from moss_audio.units import TOKENS_PER_SECOND

QUIET = "\n"  # what tokens without speech say
# A token begins to say a word a little before the word begins, and stops a little early: the
# medians of both over 2,361 words of the training scenes.
START_LATE_S, END_LATE_S = 0.03, 0.02
SCALE = 24.0  # of the cosine, for log-probabilities; training uses this very number
_KEPT = 256  # clips whose words are remembered
_STAY, _NEXT, _SKIP = 0, 1, 2


def best_path(
    scores: np.ndarray, quiet: np.ndarray, touching: np.ndarray | None = None
) -> np.ndarray | None:
    """Which word each token belongs to, -1 between words.

    Args:
        scores: log-scores `[N, W]` of each token for each word.
        quiet: log-scores `[N]` of no word at all.
        touching: `[W]`, whether a word may follow the one before it without quiet between; None:
            all may.

    Returns:
        `[N]` word indices; each word gets at least one token, in order. None where there are too
        few tokens for that.
    """
    n_tokens, n_words = scores.shape
    n_states = 2 * n_words + 1  # quiet, word 0, quiet, word 1, ..., quiet
    may_touch = np.ones(n_words - 1, bool) if touching is None else touching[1:]
    emit = np.empty((n_tokens, n_states))
    emit[:, 0::2] = quiet[:, None]
    emit[:, 1::2] = scores
    best = np.full(n_states, -np.inf)
    best[0] = emit[0, 0]
    best[1] = emit[0, 1]
    back = np.zeros((n_tokens, n_states), np.int8)
    for t in range(1, n_tokens):
        moves = np.full((3, n_states), -np.inf)
        moves[_STAY] = best
        moves[_NEXT, 1:] = best[:-1]
        moves[_SKIP, 3::2] = np.where(may_touch, best[1:-2:2], -np.inf)
        back[t] = moves.argmax(0)
        best = moves.max(0) + emit[t]
    state = n_states - 1 if best[-1] >= best[-2] else n_states - 2
    if not np.isfinite(best[state]):
        return None
    path = np.empty(n_tokens, int)
    for t in range(n_tokens - 1, -1, -1):
        path[t] = state // 2 if state % 2 else -1
        state -= int(back[t, state])
    return path


class WordAligner:
    """Gives the words of a transcript their times in a clip."""

    def __init__(self, engine: Engine) -> None:
        """Raises MossAudioError for an engine without audio tokens."""
        if not isinstance(engine, LocalEngine):
            raise MossAudioError(
                "words are aligned with audio tokens, which a server keeps to itself: take "
                "times='written', or load the checkpoint here"
            )
        self._engine = engine
        self._known: dict[tuple[str, str], tuple[Word, ...]] = {}
        (self._quiet,) = engine.tokenizer.encode(QUIET, add_special_tokens=False)[:1]

    def __call__(self, clip: ClipLike, text: str) -> tuple[Word, ...]:
        """Words of `text` with their times in a clip, samples `[n]` (16 kHz) or a handle; seconds.

        Nothing where there are more words than audio tokens: they cannot be told apart.
        """
        if not text.split():
            return ()
        if not isinstance(clip, EncodedClip):
            return self._align(clip, text)
        known = clip.key, text  # of a window that is over the same is asked again and again
        words = self._known.get(known)
        if words is None:
            words = self._known[known] = self._align(clip, text)
            while len(self._known) > _KEPT:
                self._known.pop(next(iter(self._known)), None)
        return words

    def _scores(self, clip: ClipLike, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Log-scores `[N, W]` of each audio token for each word, and `[N]` for quiet. Those of a
        token lack the same term, that of all other pieces, which no path depends on."""
        encode = self._engine.tokenizer.encode
        of_words = [
            encode((" " if index else "") + word, add_special_tokens=False)
            for index, word in enumerate(words)
        ]
        ids = [self._quiet, *(one for pieces in of_words for one in pieces)]
        cosines = SCALE * self._engine.cosines(clip, ids)
        ends = np.cumsum([1, *map(len, of_words)])
        columns = [cosines[:, a:b].max(1) for a, b in itertools.pairwise(ends)]
        scores = np.stack(columns, 1) if columns else np.zeros((len(cosines), 0), np.float32)
        return scores, cosines[:, 0]

    def _align(self, clip: ClipLike, text: str) -> tuple[Word, ...]:
        words = text.split()
        duration_s = clip_seconds(clip)
        path = best_path(*self._scores(clip, words))
        if path is None:
            return ()
        out = []
        for index, word in enumerate(words):
            (own,) = np.nonzero(path == index)
            start = float(own[0]) / TOKENS_PER_SECOND + START_LATE_S
            end = float(own[-1] + 1) / TOKENS_PER_SECOND + END_LATE_S
            out.append(Word(word, min(start, duration_s), min(end, duration_s)))
        return tuple(out)
