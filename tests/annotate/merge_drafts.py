"""Captions in slots, by hand: correct ones, and one for each kind of fault."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from moss_audio.annotate.merging.draft import Slot, caption_slots, draft_faults, read_draft
from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.merging.gather import gather
from moss_audio.annotate.merging.plan import CaptionItem, caption_items
from moss_audio.annotate.records import AudioSegment
from tests.annotate.merge_errors import FARM, HOUSE, OFFICE, SONG, STAGE, STREET, TALK
from tests.annotate.merge_last import CAFE, DANCE, NEWS, PARK

Known = tuple[Evidence, tuple[CaptionItem, ...], Mapping[str, Slot]]


def known(segment: AudioSegment) -> Known:
    evidence = gather(segment)
    items = caption_items(evidence)
    return evidence, items, caption_slots(evidence, items, list_at_most=5)


def reply(*sentences: str) -> str:
    """Sentences with their slots in braces, as the JSON that a model answers with."""
    told = [
        [
            {"slot": part[1:-1]} if part.startswith("{") else {"text": part}
            for part in re.split(r"(\{[^}]*\})", sentence)
            if part
        ]
        for sentence in sentences
    ]
    return json.dumps({"sentences": told})


def faults(segment: AudioSegment, *sentences: str) -> list[str]:
    evidence, items, slots = known(segment)
    return draft_faults(read_draft(reply(*sentences)), slots, items, evidence)


CORRECT_DRAFTS: tuple[tuple[AudioSegment, tuple[str, ...]], ...] = (
    (STREET, ("{sound1} falls {sound1.when}.", "{sound2} is heard {sound2.times}, {sound2.when}, "
              "and {then} {sound3} sounds {sound3.when}.")),
    (STREET, ("Against steady {sound1}, {sound2} is heard {sound2.when}, {before} {sound3} passes "
              "{sound3.when}.",)),
    (STREET, ("It is raining in this recording of {length}: {sound1} is heard {sound1.when}.",
              "{after} {sound2}, {sound3} wails {sound3.when} over the rain.")),
    (STREET, ("{while} {sound1} goes on, {sound2} can be made out {sound2.when}; the dog barks "
              "{sound2.times}.", "{then} one hears {sound3}.")),
    (STREET, ("The street is wet with {sound1}, and {sound3.when} {sound3} drowns out everything, "
              "{after} {sound2} {sound2.when}.",)),
    (HOUSE, ("{sound1} is heard {sound1.when}.", "{said1.who} asks, {said1} {while} {sound2} "
             "approach {sound2.when}.", "{then} there is {sound3} {sound3.when}, and {said2.who} "
             "replies, {said2}", "{sound4} is heard {sound4.when}, and {said3.who} says, {said3}")),
    (HOUSE, ("A conversation of {speakers}, accompanied by {sound1}, {sound2}, {sound3} and the "
             "{sound4}.", "{said1.when} {said1.who} asks: {said1}", "The answer, {said2.when}, is "
             "{said2}", "{said3} is what {said3.who} says {said3.when}.")),
    (SONG, ("A piece of {music} in {music.key} at {music.tempo}, played on {music.instruments}.",
            "Its form is {music.form}: {music.sections}.", "{sound1} breaks out {sound1.when}.")),
    (SONG, ("{music.instruments} play {music} in {music.key} {music.when}; {sound1} is heard "
            "{sound1.when}.",)),
    (SONG, ("This instrumental, {length} of {music} in a minor key at a moderate tempo, is "
            "rewarded with {sound1}.",)),
    (TALK, ("A woman speaks {said1.when}: {said1}", "She sounds calm: {voice.pitch}, {voice.speed} "
            "and {voice.volume}.")),
    (TALK, ("{said1.who} says {said1}", "{voice.gender}, {voice.emotion} and {voice.pitch}.")),
    (TALK, ("Quiet and calm, {said1.who} announces {said1}",)),
    (FARM, ("{sound1} is heard {sound1.when}, and a man says {said1}", "{then} there is {sound2} "
            "{sound2.when}.", "{sound3} runs {sound3.when}; over it another voice asks {said2}",
            "A creaking gate can be heard as well: {sound4} {sound4.when}.")),
    (FARM, ("{speakers} greet each other among animals: {said1} says {said1.who}, {said2} says "
            "{said2.who}.", "One hears {sound1}, {sound2}, {sound3} and {sound4}.")),
    (OFFICE, ("Someone is busy with {sound1} {sound1.when}; {sound2} interrupts {sound2.when}.",
              "{then} comes {sound3}, a short one {sound3.when}.")),
    (OFFICE, ("{sound1}, {then} {sound2}, {then} {sound3}.",)),
    (STAGE, ("{music.instruments} play a slow piece of {music} in {music.key}.", "It is "
             "{music.loudness}.", "{then} the audience responds with {sound1} {sound1.when}.")),
    (STAGE, ("{sound1} {sound1.when} comes {after} {music} in {music.key}, at {music.tempo}.",)),
    (CAFE, ("{speakers} exchange a few words amid {sound1} {sound1.when}.", "{said1.who} asks "
            "{said1}, {sound2} breaks out {sound2.when}, and {said2.who} answers {said2}",
            "{then} {said3.who} says {said3}, and {sound3} is the final sound.")),
    (NEWS, ("A middle-aged man with a British accent reads in a formal tone {said1.when}: {said1}",
            "His voice is low-pitched and clear: {voice.speed}.")),
    (NEWS, ("Speaking {language}, {said1.who} states {said1}", "{voice.gender}, {voice.age} and "
            "{voice.clarity}.")),
    (PARK, ("The scene is filled with {sound1} {sound1.when}.", "{while} {sound1} goes on, "
            "{sound2} is rung {sound2.times}, {sound2.when}, and {sound3} pass {sound3.when}.")),
    (PARK, ("Birds sing in this park: {sound1}.", "{sound2} is heard {before} {sound3}, and again "
            "{after} {sound3} {sound3.when}.")),
    (DANCE, ("This is a fast piece of {music} in {music.key}, with {music.tempo}, played on "
             "{music.instruments}.", "Its sections are {music.sections}.")),
    (DANCE, ("{length} of lively {music}, an accordion tune with drums in a minor key.",)),
)  # fmt: skip


GOOD_STREET = ("{sound1} is heard.", "{sound2} and {then} {sound3} are heard.")
GOOD_HOUSE = ("{said1} {said2} {said3} {sound1}, {sound2}, {sound3} and {sound4} are heard.",)
GOOD_SONG = ("{music} and {sound1} are heard.",)
GOOD_TALK = ("A voice says {said1}",)
WRONG: tuple[tuple[AudioSegment, tuple[str, ...], str], ...] = (
    (STREET, (*GOOD_STREET, "A bell is heard {sound9.when}."), "no slot 'sound9.when'"),
    (STREET, GOOD_STREET[:1], "slot 'sound3' (a siren) is not used"),
    (STREET, (), "is not used"),
    (STREET, (*GOOD_STREET, "Traffic passes."), "without a slot"),
    (STREET, (*GOOD_STREET, "The dog {sound2} barks at 3.0 seconds."), "digits"),
    (STREET, (*GOOD_STREET, "Three barks: {sound2}."), "number 'Three'"),
    (STREET, (*GOOD_STREET, "{sound2} is heard once."), "number 'once'"),
    (STREET, (*GOOD_STREET, "Dozens of dogs: {sound2}."), "number 'Dozens'"),
    (STREET, (*GOOD_STREET, "Someone shouts “Stop” at {sound2}."), "quotation"),
    (STREET, (*GOOD_STREET, "A cat meows beside {sound2}."), "'cat meows' is not in the evidence"),
    (STREET, (*GOOD_STREET, "A flurble is heard over {sound1}."), "'flurble' is not in the evid"),
    (STREET, (*GOOD_STREET, "There is no dog, only {sound1}."), "absent"),
    (STREET, (*GOOD_STREET, "A voice comments on {sound2}."), "'voice' is not in the evidence"),
    (STREET, (*GOOD_STREET, "A loud siren: {sound3}."), "'loud' is not in the evidence"),
    (STREET, (*GOOD_STREET, "{sound3} follows the dog."), "order is told by a slot"),
    (STREET, (*GOOD_STREET, "{sound3} {then} {sound2}."), "'then' is not so"),
    (STREET, (*GOOD_STREET, "{after} {sound3}, {sound2} is heard."), "'after' is not so"),
    (STREET, (*GOOD_STREET, "{while} {sound3} sounds, {sound2} is heard."), "'while' is not so"),
    (STREET, (*GOOD_STREET, "{sound1} is heard {then}."), "must stand between"),
    (STREET, (*GOOD_STREET, "{sound1} is heard {sound2.when}."), "stand beside slot 'sound2'"),
    (HOUSE, (*GOOD_HOUSE, "{said1} says {said2.who}, {said2}"), "stand beside slot 'said2'"),
    (STREET, (*GOOD_STREET, "{sound2} {sound3.when} {sound3}."), "stand beside slot 'sound3'"),
    (HOUSE, (*GOOD_HOUSE, "{said1.who} says {said2}."), "stand beside slot 'said1'"),
    (HOUSE, (*GOOD_HOUSE, "A woman says {said1}."), "gender or age"),
    (SONG, (*GOOD_SONG, "Its key is major: {music}."), "'major' is not in the evidence"),
    (SONG, (*GOOD_SONG, "Slow {music} is heard."), "'slow' is not in the evidence"),
    (SONG, (*GOOD_SONG, "A violin plays {music}."), "'violin' is not in the evidence"),
    (TALK, (*GOOD_TALK, "An angry speaker: {voice.pitch}."), "'angry' is not in the evidence"),
    (TALK, (*GOOD_TALK, "A British speaker: {voice.pitch}."), "'British' is not in the evidence"),
)  # fmt: skip
