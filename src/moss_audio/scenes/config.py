"""The description of a set of scenes, read from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from moss_audio.errors import MossAudioError
from moss_audio.scenes import text
from moss_audio.scenes.effects import EffectsConfig, is_share_table, read_effects
from moss_audio.scenes.human import HUMAN_EN, PROMPT_SOURCES, require_allowed
from moss_audio.scenes.sounds.packages import CLASSIC, SOUND_SOURCES, SoundSource
from moss_audio.scenes.voices import ENGINES
from moss_audio.scenes.voices.people import held_out_people, person_of

KINDS = ("speech", "events", "mixed", "music", "silence", "human")
CATEGORIES = ("word", "template", "gloss", "example", "quote")
SPLITS = (*text.SPLITS, HUMAN_EN)


@dataclass(frozen=True)
class ScenesConfig:
    """What to compose. Shares are relative; `kinds` are shares of the hours.

    Everything after `n_templates` is off by default, and draws from generators of its own: what
    is composed without it does not change.
    """

    seed: int
    hours: dict[str, float]  # split -> hours
    kinds: dict[str, float]  # kind -> share of the hours
    engines: dict[str, float]  # speech engine -> share of the speech
    texts: dict[str, float]  # category -> share of the sentences
    held_out_speakers: tuple[str, ...]  # prefixes; the only speakers of test-unseen
    single_share: float = 0.27  # speech clips that are one word or a short phrase
    clean_share: float = 0.5  # speech clips without room and noise
    shard_minutes: float = 10.0
    n_templates: int = 40_000
    sounds: tuple[str, ...] | None = None  # packages of recorded sounds; None: the first two
    prompts: dict[str, float] = field(default_factory=dict)  # recorded prompts -> share of `human`
    form_share: float = 0.0  # pieces of music that are 30 to 90 s with sections
    overlap_speakers: float = 0.0  # speech clips into which somebody else speaks
    overlap_events: float = 0.0  # speech clips with an event over the words: they become mixed
    levels: bool = False  # write how loud each sentence and event is
    effects: EffectsConfig = field(default_factory=EffectsConfig)

    @property
    def with_test(self) -> bool:
        """Whether there is a split `test`: seen voices, unseen sentences."""
        return self.hours.get("test", 0) > 0

    @property
    def sound_sources(self) -> tuple[SoundSource, ...] | None:
        """The packages of `sounds`; None where they were not named."""
        return None if self.sounds is None else tuple(SOUND_SOURCES[n] for n in self.sounds)

    @property
    def used_sounds(self) -> tuple[SoundSource, ...]:
        """The packages of recorded sounds that scenes are made of, named or not."""
        return CLASSIC if self.sound_sources is None else self.sound_sources

    def is_held_out(self, prompt_source: str) -> bool:
        """Whether the speaker of a set of recorded prompts is for test-unseen alone."""
        speaker = PROMPT_SOURCES[prompt_source].speaker
        return person_of(speaker) in held_out_people(self.held_out_speakers)

    def prompts_for(self, split: str) -> dict[str, float]:
        """Recorded prompts that may be heard in a split, with their shares."""
        if split == HUMAN_EN:
            return {"asterisk-en": 1.0}
        unseen = split == "test-unseen"
        return {n: s for n, s in self.prompts.items() if s > 0 and self.is_held_out(n) == unseen}


def read_config(path: Path) -> ScenesConfig:
    """Read and check a YAML file; all that is wrong with it is reported in one error."""
    import yaml

    if not path.is_file():
        raise MossAudioError(f"{path}: no such scenes configuration")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise MossAudioError(f"{path}: not YAML ({reason})") from error
    if not isinstance(data, dict):
        raise MossAudioError(f"{path}: expected keys and values")
    names = {f.name for f in fields(ScenesConfig)}
    wrong = [f"unknown key {k!r}" for k in data if k not in names]
    needed = ("seed", "hours", "kinds", "engines", "texts", "held_out_speakers")
    wrong += [f"missing key {k!r}" for k in needed if k not in data]
    allowed = {"hours": SPLITS, "kinds": KINDS, "engines": ENGINES, "texts": CATEGORIES}
    for key, values in allowed.items():
        table = data.get(key, {})
        if not is_share_table(table, values):
            wrong.append(f"{key!r} must map {', '.join(values)} to numbers of at least 0")
        elif key in data and sum(table.values()) <= 0:
            wrong.append(f"{key!r} has no positive number")
    wrong += _wrong_numbers(data)
    effects, more = read_effects(data.get("effects"))
    wrong += more
    wrong += _wrong_sources(data)
    if wrong:
        raise MossAudioError(f"{path}: " + "; ".join(wrong))
    data["held_out_speakers"] = tuple(data["held_out_speakers"])
    if data.get("sounds") is not None:
        data["sounds"] = tuple(data["sounds"])
    config = ScenesConfig(**{**data, "effects": effects})
    wrong = _contradictions(config)
    if wrong:
        raise MossAudioError(f"{path}: " + "; ".join(wrong))
    return config


def _wrong_numbers(data: Mapping[str, Any]) -> list[str]:
    wrong = []
    for key in ("single_share", "clean_share", "form_share", "overlap_speakers", "overlap_events"):
        value = data.get(key, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            wrong.append(f"{key!r} must be a share from 0 to 1, not {value!r}")
    minutes = data.get("shard_minutes", 10.0)
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or minutes <= 0:
        wrong.append(f"'shard_minutes' must be a positive number, not {minutes!r}")
    for key in ("seed", "n_templates"):
        value = data.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            wrong.append(f"{key!r} must be a whole number of at least 0, not {value!r}")
    if not isinstance(data.get("levels", False), bool):
        wrong.append("'levels' must be true or false")
    held = data.get("held_out_speakers", [])
    if not isinstance(held, list) or not all(isinstance(h, str) and h for h in held):
        wrong.append("'held_out_speakers' must be a list of names, which may be empty")
    return wrong


def _wrong_sources(data: Mapping[str, Any]) -> list[str]:
    """What is wrong with the names of sounds and prompts."""
    wrong = []
    sounds = data.get("sounds")
    if sounds is not None and (
        not isinstance(sounds, list) or not all(s in SOUND_SOURCES for s in sounds)
    ):
        wrong.append(f"'sounds' must be a list of {', '.join(SOUND_SOURCES)}; it may be empty")
    prompts = data.get("prompts", {})
    if not isinstance(prompts, Mapping):
        return [*wrong, "'prompts' must map sets of recordings to shares"]
    for name, share in prompts.items():
        try:
            require_allowed(str(name), "train")
        except MossAudioError as error:
            wrong.append(str(error))
        if isinstance(share, bool) or not isinstance(share, int | float) or share < 0:
            wrong.append(f"'prompts.{name}' must be a number of at least 0")
    return wrong


def _contradictions(config: ScenesConfig) -> list[str]:
    """What does not go together, though each part is well formed."""
    wrong = []
    heard = {person_of(PROMPT_SOURCES[n].speaker): n for n, s in config.prompts.items() if s > 0}
    english = person_of(PROMPT_SOURCES["asterisk-en"].speaker)
    if config.hours.get(HUMAN_EN, 0) > 0 and english in heard:
        wrong.append(
            f"{heard[english]} and the split {HUMAN_EN!r} have the same speaker, who would be "
            "heard in training and test; leave one of them out"
        )
    if config.kinds.get("human", 0) > 0 and not any(config.prompts.values()):
        wrong.append("'kinds' asks for human speech: name recordings under 'prompts'")
    for split, hours in config.hours.items():
        only_human = not any(s for k, s in config.kinds.items() if k != "human")
        if hours > 0 and split != HUMAN_EN and only_human and not config.prompts_for(split):
            wrong.append(f"the split {split!r} has no recordings and no other kind of scene")
    return wrong
