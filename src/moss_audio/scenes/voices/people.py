"""Who a speaker is: different engines may carry the voice of one and the same person."""

from __future__ import annotations

from moss_audio.settings import packaged


def _people() -> dict[str, str]:
    return packaged("moss_audio.scenes", "sources.toml")["people"]


def person_of(speaker: str) -> str:
    """The person behind a speaker's name, or the name itself.

    Variants in pitch and tempo ("flite/slt-3") are the person they are made of.
    """
    people = _people()
    return people.get(speaker.rsplit("-", 1)[0], people.get(speaker, speaker))


def held_out_people(prefixes: tuple[str, ...]) -> frozenset[str]:
    """The people that prefixes of speakers' names hold out, in whichever engine they speak."""
    known = {p for name, p in _people().items() if name.startswith(prefixes or ("\0",))}
    return frozenset(known | {person_of(p) for p in prefixes})


def held_out_of(speakers: tuple[str, ...], prefixes: tuple[str, ...]) -> frozenset[str]:
    """Of `speakers`, those that `prefixes` hold out: by name, and by being the same person."""
    people = held_out_people(prefixes)
    people |= {person_of(s) for s in speakers if s.startswith(prefixes or ("\0",))}
    return frozenset(s for s in speakers if person_of(s) in people)
