"""Detectors' class names -> plain English noun phrases."""

from __future__ import annotations

import re

# What a detector calls a sound of which it knows no more than that it is there.
UNIDENTIFIED = "unidentified sound"
_UNNAMED = frozenset(("sound", "activity", "onset", "novelty", "other", "unknown", "event"))
_NOTHING = frozenset(("silence", "background", "none", "no event"))
# Several names of one thing: events of these are one event where they overlap.
_SAME = {
    "male speech": "speech",
    "female speech": "speech",
    "child speech": "speech",
    "conversation": "speech",
    "narration": "speech",
    "speech synthesizer": "speech",
    "human voice": "speech",
    "speaking": "speech",
    "talking": "speech",
    "male singing": "singing",
    "female singing": "singing",
    "child singing": "singing",
    "background music": "music",
    "musical instrument": "music",
}
_ARTICLE = re.compile(r"^(?:an?|the|some|sounds? of)\s+", re.IGNORECASE)
_INNER = re.compile(r"\s*\([^)]*\)")

# Sounds that a description may claim although nobody heard them: what the judge can recognise
# besides the evidence's own labels.
COMMON_SOUNDS = (
    "speech", "singing", "music", "laughter", "crying", "cough", "sneeze", "breathing", "snoring",
    "scream", "shout", "whisper", "applause", "cheering", "crowd", "chatter", "footsteps",
    "dog bark", "cat meow", "bird song", "rooster", "cow", "horse", "sheep", "pig", "duck", "frog",
    "crickets", "insect buzz", "bee", "owl", "crow", "rain", "thunder", "wind", "waves", "stream",
    "fire crackling", "car", "engine", "truck", "motorcycle", "train", "airplane", "helicopter",
    "siren", "car horn", "traffic", "bicycle bell", "door slam", "door knock", "doorbell",
    "keys", "typing", "mouse click", "telephone", "alarm", "clock ticking", "church bell", "bell",
    "beep", "whistle", "gunshot", "explosion", "fireworks", "glass breaking", "hammering", "drill",
    "saw", "lawn mower", "vacuum cleaner", "washing machine", "hair dryer", "water tap", "toilet",
    "pouring water", "frying", "cutlery", "dishes", "zipper", "paper", "camera", "static", "hum",
    "noise", "piano", "guitar", "violin", "drum", "flute", "trumpet", "organ", "saxophone",
)  # fmt: skip


def plain_label(name: str) -> str | None:
    """A class name as a noun phrase in lower case; None for names that stand for no sound.

    AudioSet lists several names, the first of which is kept: "Vehicle horn, car horn, honking"
    becomes "vehicle horn", "Pigeon, dove" "pigeon", "Music" "music".
    """
    words = _INNER.sub("", name.replace("_", " ")).split(",")[0]
    label = _ARTICLE.sub("", " ".join(words.split()).strip(" .;:")).lower()
    if not label or label in _NOTHING:
        return None
    if label in _UNNAMED:
        return UNIDENTIFIED
    return _SAME.get(label, label)
