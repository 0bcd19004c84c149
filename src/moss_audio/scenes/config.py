"""The description of a set of scenes, read from YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from moss_audio.errors import MossAudioError
from moss_audio.scenes import text
from moss_audio.scenes.effects import EffectsConfig
from moss_audio.scenes.human import HUMAN_EN, prompt_sources, require_allowed
from moss_audio.scenes.sounds.recorded import DEFAULT, SoundSource, sound_sources
from moss_audio.scenes.voices import ENGINES
from moss_audio.scenes.voices.people import held_out_people, person_of
from moss_audio.settings import Between, OneOf, Share, Weight, load_config

KINDS = ("speech", "events", "mixed", "music", "silence", "human")
CATEGORIES = ("word", "template", "gloss", "example", "quote")
SPLITS = (*text.SPLITS, HUMAN_EN)
LONGEST_LINE_S = 30.0


@dataclass(frozen=True)
class ScenesConfig:
    """What to compose. Shares are relative; `kinds` are shares of the hours.

    Everything after `n_templates` is off by default, and draws from generators of its own: what
    is composed without it does not change.
    """

    seed: Annotated[int, Between(0)]
    hours: dict[Annotated[str, OneOf(SPLITS)], Weight]
    kinds: dict[Annotated[str, OneOf(KINDS)], Weight]  # shares of the hours
    engines: dict[Annotated[str, OneOf(ENGINES)], Weight]  # shares of the speech
    texts: dict[Annotated[str, OneOf(CATEGORIES)], Weight]  # shares of the sentences
    held_out_speakers: tuple[str, ...]  # prefixes; the only speakers of test-unseen
    single_share: Share = 0.27  # speech clips that are one word or a short phrase
    clean_share: Share = 0.5  # speech clips without room and noise
    shard_minutes: Annotated[float, Between(0.01)] = 10.0
    n_templates: Annotated[int, Between(0)] = 40_000
    kokoro: str = "data/kokoro"  # folder of that engine, which `python -m recipes.kokoro` writes
    sounds: tuple[str, ...] = DEFAULT  # packages of recorded sounds
    prompts: dict[str, Weight] = field(default_factory=dict)  # recorded prompts: shares of `human`
    form_share: Share = 0.0  # pieces of music that are 30 to 90 s with sections
    long_share: Share = 0.0  # speech clips that go on for long
    long_s: tuple[float, float] = (8.0, 15.0)  # how long, in seconds
    overlap_speakers: Share = 0.0  # speech clips into which somebody else speaks
    overlap_events: Share = 0.0  # speech clips with an event over the words: they become mixed
    levels: bool = False  # write how loud each sentence and event is
    effects: EffectsConfig = field(default_factory=EffectsConfig)

    def __post_init__(self) -> None:
        wrong = [*self._unknown(), *self._empty()]
        wrong = wrong or self._contradictions()
        if wrong:
            raise MossAudioError("; ".join(wrong))

    def _unknown(self) -> list[str]:
        """Names that stand for nothing."""
        wrong = []
        if not all(self.held_out_speakers):
            wrong.append("held_out_speakers: an empty name would hold out every speaker")
        unknown = [name for name in self.sounds if name not in sound_sources()]
        if unknown:
            wrong.append(f"sounds: {', '.join(unknown)}: not one of {', '.join(sound_sources())}")
        for name in self.prompts:
            try:
                require_allowed(name, "train")
            except MossAudioError as error:
                wrong.append(f"prompts: {error}")
        return wrong

    def _empty(self) -> list[str]:
        tables = [(key, getattr(self, key)) for key in ("hours", "kinds", "engines", "texts")]
        wrong = [f"{key} has no positive number" for key, t in tables if not sum(t.values())]
        if not 1.0 <= self.long_s[0] <= self.long_s[1] <= LONGEST_LINE_S:
            wrong.append(f"long_s: {list(self.long_s)} must rise, from 1 to {LONGEST_LINE_S:g}")
        return wrong

    def _contradictions(self) -> list[str]:
        """What does not go together, though each part is well formed."""
        wrong = []
        known = prompt_sources()
        heard = {person_of(known[n].speaker): n for n, s in self.prompts.items() if s > 0}
        english = person_of(known["asterisk-en"].speaker)
        if self.hours.get(HUMAN_EN, 0) > 0 and english in heard:
            wrong.append(
                f"{heard[english]} and the split {HUMAN_EN!r} have the same speaker, who would be "
                "heard in training and test; leave one of them out"
            )
        if self.kinds.get("human", 0) > 0 and not any(self.prompts.values()):
            wrong.append("'kinds' asks for human speech: name recordings under 'prompts'")
        only_human = not any(share for kind, share in self.kinds.items() if kind != "human")
        for split, hours in self.hours.items():
            if hours > 0 and split != HUMAN_EN and only_human and not self.prompts_for(split):
                wrong.append(f"the split {split!r} has no recordings and no other kind of scene")
        return wrong

    @property
    def with_test(self) -> bool:
        """Whether there is a split `test`: seen voices, unseen sentences."""
        return self.hours.get("test", 0) > 0

    @property
    def sound_sources(self) -> tuple[SoundSource, ...]:
        """The packages of recorded sounds that scenes are made of."""
        return tuple(sound_sources()[name] for name in self.sounds)

    def is_held_out(self, prompt_source: str) -> bool:
        """Whether the speaker of a set of recorded prompts is for test-unseen alone."""
        speaker = prompt_sources()[prompt_source].speaker
        return person_of(speaker) in held_out_people(self.held_out_speakers)

    def prompts_for(self, split: str) -> dict[str, float]:
        """Recorded prompts that may be heard in a split, with their shares."""
        if split == HUMAN_EN:
            return {"asterisk-en": 1.0}
        unseen = split == "test-unseen"
        return {n: s for n, s in self.prompts.items() if s > 0 and self.is_held_out(n) == unseen}


def read_config(path: Path) -> ScenesConfig:
    """Read and check a YAML file; all that is wrong with it is reported in one error."""
    return load_config(path, ScenesConfig)
