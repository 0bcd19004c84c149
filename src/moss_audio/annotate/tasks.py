"""Tasks: from the branches' kept annotations to conversations for fine-tuning (spec section 3.5).

Each family of tasks is a file of `annotate.sft`; how many of its conversations a segment gets is
configured. What is drawn, and how it is worded, follows from the segment's id alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from moss_audio import settings
from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.merging.gather import gather, in_order
from moss_audio.annotate.records import AudioSegment
from moss_audio.annotate.sft.absent import absent
from moss_audio.annotate.sft.captions import captions, music_captions, speech_captions
from moss_audio.annotate.sft.choices import choices
from moss_audio.annotate.sft.questions import draw, questions
from moss_audio.annotate.sft.talk import Talk, conversation
from moss_audio.annotate.sft.timed import timelines, transcripts
from moss_audio.annotate.stage import StageItem
from moss_audio.settings import Between, Share, check

# Goes up whenever the same evidence may give other conversations.
_VERSION = 1
_FAMILIES = (
    "transcribe", "transcribe_sentence", "transcribe_word", "speech_caption", "music_caption",
    "events", "caption", "questions", "choices", "unanswerable",
)  # fmt: skip


@dataclass(frozen=True)
class TasksConfig:
    """How many conversations of each family a segment gets, where its evidence allows.

    A fraction is a chance: 0.25 is one in every fourth segment, 2.5 is two or three. Families with
    a single answer (all but the last three) give at most one.

    Attributes:
        flagged: whether transcripts that recognisers agreed on in part ("flag") are taught.
        strong_score, weak_score: as in `MergeConfig`.
        most_words: transcripts of more words get no word times.
        least_fields: a speech caption of fewer known fields teaches little.
    """

    transcribe: Annotated[float, Between(0, 20)] = 1.0
    transcribe_sentence: Annotated[float, Between(0, 20)] = 0.5
    transcribe_word: Annotated[float, Between(0, 20)] = 0.5
    speech_caption: Annotated[float, Between(0, 20)] = 1.0
    music_caption: Annotated[float, Between(0, 20)] = 1.0
    events: Annotated[float, Between(0, 20)] = 1.0
    caption: Annotated[float, Between(0, 20)] = 1.0
    questions: Annotated[float, Between(0, 20)] = 3.0
    choices: Annotated[float, Between(0, 20)] = 1.0
    unanswerable: Annotated[float, Between(0, 20)] = 0.5
    flagged: bool = False
    strong_score: Share = 0.5
    weak_score: Share = 0.3
    most_words: Annotated[int, Between(1)] = 150
    least_fields: Annotated[int, Between(1)] = 3

    def __post_init__(self) -> None:
        """Raises MossAudioError, all mistakes in one, for values outside their range."""
        check(self)
        in_order(self.weak_score, self.strong_score)


class TaskStage:
    """The step after the merge; see `annotate.stage.Stage`."""

    name = "tasks"

    def __init__(self, config: TasksConfig | None = None) -> None:
        self.config = config or TasksConfig()

    @property
    def fingerprint(self) -> str:
        return settings.digest([_VERSION, self.config])

    def setup(self) -> None:
        """Nothing to load."""

    def process_batch(self, items: Sequence[StageItem]) -> list[AudioSegment]:
        """The segments with their conversations, in order. Sound is not read."""
        segments = [item.segment for item in items]
        made = [tuple(map(conversation, self.talks(segment))) for segment in segments]
        return [replace(s, conversations=c) for s, c in zip(segments, made, strict=True)]

    def talks(self, segment: AudioSegment) -> list[Talk]:
        """All questions and answers of a segment, family after family."""
        config = self.config
        evidence = gather(
            segment, strong_score=config.strong_score, weak_score=config.weak_score, flagged=True
        )
        out: list[Talk] = []
        for family in _FAMILIES:
            # A generator a family: more of one does not change what is drawn of the others.
            rng = random.Random(f"{family} {segment.id}")
            wanted = getattr(config, family)
            count = int(wanted) + (rng.random() < wanted % 1)
            if count:
                out += self._family(family, evidence, segment, rng, count)
        return out

    def _family(
        self, family: str, evidence: Evidence, segment: AudioSegment, rng: random.Random, count: int
    ) -> list[Talk]:
        config = self.config
        good = evidence.decision == "keep" or (config.flagged and evidence.decision == "flag")
        match family:
            case "transcribe" | "transcribe_sentence" | "transcribe_word":
                level = {"sentence": "sentence", "word": "word"}.get(family[11:])
                return transcripts(
                    evidence,
                    level,  # type: ignore[arg-type]
                    flagged=config.flagged,
                    most_words=config.most_words,
                )
            case "speech_caption":
                return speech_captions(evidence, least_fields=config.least_fields)
            case "music_caption":
                return music_captions(evidence, rng)
            case "events":
                return timelines(evidence) if segment.find("events") else []
            case "caption":
                return captions(segment.caption, segment.duration_s)
            case "questions":
                return draw(questions(evidence, words=good), count, rng)
            case "choices":
                return draw(choices(evidence, rng, words=good), count, rng)
            case _:
                return draw(absent(evidence, segment, rng), count, rng)
