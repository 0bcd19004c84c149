"""Do several recognisers agree? Keep, flag or drop what is said in a segment.

The paper drops samples on which its recognisers disagree (specification 3.3) and gives neither
the measure nor a threshold. Ours:

- The distance of two transcripts is their word error rate on normalised text, over the longer of
  the two, so that it is symmetric and within 0 to 1. Numbers as words or digits, contractions,
  spelling and fillers do not count (Whisper's normaliser), nor does whether a compound is written
  as one word.
- A transcript's support is its distance to the nearest other one (`quorum` 2; with `quorum` 3 to
  the second nearest, and so on). The best supported transcript decides: up to `keep_wer` keep, up
  to `flag_wer` flag, else drop. So one recogniser that hallucinates cannot drop what two others
  agree on, and can never keep anything alone.
- A transcript that ends in a loop is compared without the loop, is chosen only if there is no
  other, and makes a keep a flag.
- Who knows one language only is not asked about another: where the preferred recogniser among
  those that name a language says French, transcripts of English ones are not compared.
- Nothing heard by the best supported transcript, or a single recogniser: `drop` and `flag`.
- The text taken is the medoid of those with that support, distances weighted by `preference`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from moss_audio import settings
from moss_audio.annotate.records import AudioSegment, ToolResult
from moss_audio.annotate.tool import SpeechTool, package_version
from moss_audio.errors import MossAudioError
from moss_audio.metrics.asr import Normalizer, normalize, word_errors
from moss_audio.text import detect_repetition, is_cjk

Decision = Literal["keep", "flag", "drop"]
# Typographic ones; the normaliser knows contractions with the plain one only.
NO_WORDS = "no words"  # the reason given where nothing is said

_APOSTROPHES = str.maketrans("\u2018\u2019\u02bc", "'''")


@dataclass(frozen=True)
class AgreementConfig:
    """When transcripts agree, and whose text is taken.

    Raises:
        MossAudioError: for limits out of order, a quorum below 2 or a weight that is not above 0.
    """

    keep_wer: float = 0.1
    flag_wer: float = 0.3
    quorum: int = 2  # transcripts that must agree
    # Weight of a recogniser's word against the others'; 1 where it is not named.
    preference: tuple[tuple[str, float], ...] = (("whisper", 1.0), ("moss", 0.9), ("sphinx", 0.3))

    def __post_init__(self) -> None:
        if not 0 <= self.keep_wer <= self.flag_wer <= 1:
            raise MossAudioError(
                f"keep_wer {self.keep_wer} and flag_wer {self.flag_wer}: both must be from 0 to "
                "1, the first not above the second"
            )
        if self.quorum < 2:
            raise MossAudioError(f"quorum {self.quorum}: at least 2 transcripts have to agree")
        for name, weight in self.preference:
            if not weight > 0:
                raise MossAudioError(f"preference of {name!r} is {weight}: give more than 0")


@dataclass(frozen=True)
class Verdict:
    """What is to be done with the transcripts of one segment.

    `chosen` names the recogniser whose text would be taken, also where `decision` is drop;
    `mean_wer` is over all pairs, `support_wer` what the decision was made on; None without a pair.
    """

    decision: Decision
    chosen: str
    text: str
    reason: str
    pairs: Mapping[str, float]
    mean_wer: float | None
    support_wer: float | None


def decide(transcripts: Mapping[str, str], config: AgreementConfig | None = None) -> Verdict:
    """The verdict on transcripts by name of their recogniser.

    Raises MissingDependencyError without the packages of `moss_audio.metrics.asr`.
    """
    config = config or AgreementConfig()
    weights = dict(config.preference)
    names = sorted(transcripts, key=lambda n: (-weights.get(n, 1.0), n))
    if not names:
        return Verdict("drop", "", "", "no recogniser ran", {}, None, None)
    cut = {name: detect_repetition(transcripts[name]) for name in names}
    looped = tuple(name for name in names if cut[name][1])
    texts = {name: text for name, (text, _) in cut.items()}
    distances = {frozenset(p): distance(texts[p[0]], texts[p[1]]) for p in combinations(names, 2)}
    pairs = {f"{a}|{b}": distances[frozenset((a, b))] for a, b in combinations(sorted(names), 2)}
    if len(names) < 2:
        name = names[0]
        alone: Decision = "flag" if _words(texts[name]) else "drop"
        reason = "one recogniser only" if alone == "flag" else NO_WORDS
        return Verdict(alone, name, texts[name], reason, pairs, None, None)
    mean = float(np.mean(list(pairs.values())))
    rank = min(config.quorum, len(names)) - 2
    support = {
        name: sorted(distances[frozenset((name, other))] for other in names if other != name)[rank]
        for name in names
    }
    best = min(support.values())
    if len(names) < config.quorum or best > config.flag_wer:
        decision: Decision = "drop"
    else:
        decision = "keep" if best <= config.keep_wer else "flag"
    limit = max(best, {"keep": config.keep_wer, "flag": config.flag_wer}.get(decision, best))
    group = [name for name in names if support[name] <= limit]
    chosen = _medoid(group, looped, distances, weights)
    reason = f"word error rate {best:.2f} between the best supported transcripts"
    if not _words(texts[chosen]) and decision != "drop":
        decision, reason = "drop", NO_WORDS
    if looped and decision == "keep":
        decision, reason = "flag", f"{', '.join(looped)} ends in a loop"
    return Verdict(decision, chosen, texts[chosen], reason, pairs, mean, best)


def distance(a: str, b: str) -> float:
    """Word errors over the words of the longer text, 0 to 1; characters for Chinese and the like.

    Two texts without words are equal; one without words is at distance 1 from any other.
    """
    left, right = _words(a), _words(b)
    left, right = _joined(left, right), _joined(right, left)
    longest = max(len(left), len(right))
    if longest == 0 or left == right:
        return 0.0
    return word_errors(" ".join(left), " ".join(right), normalizer="none").errors / longest


def _words(text: str) -> list[str]:
    chinese = any(is_cjk(char) for char in text)
    kind: Normalizer = "chinese" if chinese else "english"
    normal = normalize(text.translate(_APOSTROPHES), kind)
    if chinese:
        normal = "".join(f" {char} " if is_cjk(char) else char for char in normal)
    return normal.split()


def _joined(words: Sequence[str], other: Sequence[str]) -> list[str]:
    """`words` with neighbours joined where the other text writes them as one."""
    whole = set(other) - set(words)
    out: list[str] = []
    for word in words:
        if out and out[-1] + word in whole:
            out[-1] += word
        else:
            out.append(word)
    return out


def _medoid(
    group: Sequence[str],
    looped: Sequence[str],
    distances: Mapping[frozenset[str], float],
    weights: Mapping[str, float],
) -> str:
    """The transcript nearest to the others; `group` is in order of preference, which decides
    ties."""
    clean = [name for name in group if name not in looped] or list(group)

    def cost(name: str) -> float:
        return sum(
            weights.get(other, 1.0) * distances[frozenset((name, other))]
            for other in group
            if other != name
        )

    return min(clean, key=lambda name: (round(cost(name), 9), clean.index(name)))


class AgreementTool(SpeechTool):
    """Compares the transcripts of a segment: kind `agreement`."""

    kind = "agreement"
    name = "agreement"

    defaults = AgreementConfig
    config: AgreementConfig

    @property
    def version(self) -> str:
        packages = [package_version(name) for name in ("jiwer", "whisper-normalizer")]
        return settings.digest([self.config, packages], 12)

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """One verdict; nothing for a segment that no recogniser has transcribed."""
        heard = segment.find("transcript", "speech")
        if not heard:
            return []
        language, compared = self._of_one_language(heard)
        verdict = decide({one.tool: one.text for one in compared}, self.config)
        return self.found(
            text="" if verdict.decision == "drop" else verdict.text,
            score=verdict.mean_wer,
            values={
                "decision": verdict.decision,
                "chosen": verdict.chosen,
                "pairs": dict(verdict.pairs),
                "support": verdict.support_wer,
                "reason": verdict.reason,
                **({"language": language} if language else {}),
            },
        )

    def _of_one_language(self, heard: Sequence[ToolResult]) -> tuple[str, list[ToolResult]]:
        """The language that the preferred of those says that name one, and all transcripts but
        those in another; "" and all where none is named."""
        weights = dict(self.config.preference)
        named = [one for one in heard if one.values.get("language")]
        if not named:
            return "", list(heard)
        first = max(named, key=lambda one: weights.get(one.tool, 1.0))
        language = str(first.values["language"])
        return language, [one for one in heard if one.values.get("language", language) == language]


def agreed_language(segment: AudioSegment) -> str:
    """The language of what the recognisers agreed on; empty if none of them named one."""
    found = segment.last("agreement", "speech")
    return str(found.values.get("language", "")) if found else ""


def agreed_text(segment: AudioSegment) -> str:
    """What the recognisers agreed on; empty if it was dropped or nothing was compared."""
    found = segment.last("agreement", "speech")
    return found.text if found else ""
