"""Who a speaker is: different engines may carry the voice of one and the same person."""

from __future__ import annotations

from moss_audio.settings import packaged

MIX = "mix-"  # begins the name of a speaker mixed from two: ENGINE/mix-A+B-PERCENT


def _people() -> dict[str, str]:
    return packaged("moss_audio.scenes", "sources.toml")["people"]


def person_of(speaker: str) -> str:
    """The person behind a speaker's name, or the name itself.

    Variants in pitch and tempo ("flite/slt-3") are the person they are made of.
    """
    people = _people()
    return people.get(speaker.rsplit("-", 1)[0], people.get(speaker, speaker))


def people_of(speaker: str) -> frozenset[str]:
    """The people behind a speaker's name: two for one that was mixed from two voices."""
    engine, _, name = speaker.partition("/")
    if not name.startswith(MIX):
        return frozenset({person_of(speaker)})
    parts = name.removeprefix(MIX).rsplit("-", 1)[0].split("+")
    return frozenset(person_of(f"{engine}/{part}") for part in parts)


def held_out_people(prefixes: tuple[str, ...]) -> frozenset[str]:
    """The people that prefixes of speakers' names hold out, in whichever engine they speak."""
    known = {p for name, p in _people().items() if name.startswith(prefixes or ("\0",))}
    return frozenset(known | {person_of(p) for p in prefixes})


def held_out_of(speakers: tuple[str, ...], prefixes: tuple[str, ...]) -> frozenset[str]:
    """Of `speakers`, those that `prefixes` hold out: by name, and by being the same person."""
    people = held_out_people(prefixes)
    for speaker in speakers:
        if speaker.startswith(prefixes or ("\0",)):
            people |= people_of(speaker)
    return frozenset(s for s in speakers if people & people_of(s))
