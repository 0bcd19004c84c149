"""The description of a set of scenes, read from YAML."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from moss_audio.errors import MossAudioError
from moss_audio.scenes.text import SPLITS
from moss_audio.scenes.voices import ENGINES

KINDS = ("speech", "events", "mixed", "music", "silence")
CATEGORIES = ("word", "template", "gloss", "example", "quote")


@dataclass(frozen=True)
class ScenesConfig:
    """What to compose. Shares are relative; `kinds` are shares of the hours."""

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


def read_config(path: Path) -> ScenesConfig:
    """Read and check a YAML file; all that is wrong with it is reported in one error."""
    import yaml

    if not path.exists():
        raise MossAudioError(f"{path}: no such scenes configuration")
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise MossAudioError(f"{path}: expected keys and values")
    names = {f.name for f in fields(ScenesConfig)}
    wrong = [f"unknown key {k!r}" for k in data if k not in names]
    needed = ("seed", "hours", "kinds", "engines", "texts", "held_out_speakers")
    wrong += [f"missing key {k!r}" for k in needed if k not in data]
    allowed = {"hours": SPLITS, "kinds": KINDS, "engines": ENGINES, "texts": CATEGORIES}
    for key, values in allowed.items():
        table = data.get(key, {})
        if not isinstance(table, dict) or not all(
            k in values and isinstance(v, int | float) and v >= 0 for k, v in table.items()
        ):
            wrong.append(f"{key!r} must map {', '.join(values)} to numbers of at least 0")
        elif key in data and sum(table.values()) <= 0:
            wrong.append(f"{key!r} has no positive number")
    if wrong:
        raise MossAudioError(f"{path}: " + "; ".join(wrong))
    data["held_out_speakers"] = tuple(data["held_out_speakers"])
    return ScenesConfig(**data)
