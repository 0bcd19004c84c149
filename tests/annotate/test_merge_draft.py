"""The structural check of a language model's sentences: what it refuses, what it lets through."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.annotate.merging.draft import (
    LINKS,
    Slot,
    draft_faults,
    draft_schema,
    draft_text,
    read_draft,
)
from moss_audio.annotate.merging.free_text import outside_faults
from moss_audio.annotate.merging.plan import CaptionItem
from moss_audio.annotate.records import AudioSegment
from moss_audio.errors import MossAudioError
from tests.annotate.merge_cases import from_chance
from tests.annotate.merge_drafts import (
    CORRECT_DRAFTS,
    GOOD_HOUSE,
    GOOD_SONG,
    GOOD_STREET,
    GOOD_TALK,
    WRONG,
    faults,
    known,
    reply,
)
from tests.annotate.merge_errors import CORRECT, CORRECT_HELD_OUT, HOUSE, SONG, STREET, TALK
from tests.annotate.merge_last import CORRECT_LAST
from tests.annotate.merge_reader import read


@pytest.mark.parametrize(("segment", "told"), CORRECT_DRAFTS, ids=lambda v: str(v)[:40])
def test_correct_drafts_are_accepted(segment: AudioSegment, told: tuple[str, ...]) -> None:
    assert faults(segment, *told) == []


def test_free_words_of_correct_captions_make_no_claim() -> None:
    """Captions by hand: besides numbers, quotations, order and denials, which have slots, nothing
    in their wording may be taken for a claim that the evidence does not bear out."""
    refused = []
    texts = (*CORRECT, *CORRECT_HELD_OUT, *CORRECT_LAST)
    for segment, text in texts:
        evidence, _, slots = known(segment)
        words = re.sub(r'["“][^"”]*["”]', " ", text)
        found = outside_faults(words, evidence, [slot.text for slot in slots.values()])
        claims = [fault for fault in found if "in the evidence" in fault]
        denies = any("absent" in fault for fault in found)
        refused += [(text, claims)] if claims and not denies else []
    assert len(texts) >= 90
    assert len(refused) <= 1, refused


@pytest.mark.parametrize(("segment", "told", "reason"), WRONG, ids=lambda v: str(v)[:40])
def test_each_kind_of_fault_is_named(
    segment: AudioSegment, told: tuple[str, ...], reason: str
) -> None:
    found = faults(segment, *told)
    assert any(reason in fault for fault in found), found


@pytest.mark.parametrize("good", [GOOD_STREET, GOOD_HOUSE, GOOD_SONG, GOOD_TALK])
def test_what_the_faults_are_added_to_has_none(good: tuple[str, ...]) -> None:
    segment = {GOOD_STREET: STREET, GOOD_HOUSE: HOUSE, GOOD_SONG: SONG, GOOD_TALK: TALK}[good]
    assert faults(segment, *good) == []


def test_slots_are_filled_in_and_sentences_finished() -> None:
    told = (
        "the {sound2} is heard {sound2.when} , and {then} a {sound3}",
        "{sound1} falls {sound1.when}",
    )
    _, _, slots = known(STREET)
    assert draft_text(read_draft(reply(*told)), slots) == (
        "The dog barking is heard from 1.2 to 2.0 and from 4.1 to 4.9 seconds, and then a siren. "
        "Rain falls from 0.0 to 12.0 seconds."
    )
    _, _, slots = known(HOUSE)
    assert draft_text(read_draft(reply("{said1.who} asks, {said1}")), slots) == (
        "Speaker 1 asks, “Who is there?”"
    )


@pytest.mark.parametrize("text", [
    "Rain is heard.", "[]", "{}", '{"sentences": "rain"}', '{"sentences": [["rain"]]}',
    '{"sentences": [[{"text": "a", "slot": "b"}]]}', '{"sentences": [[{"text": 1}]]}',
    '{"sentences": [[{"word": "a"}]]}', '{"sentences": [null]}',
])  # fmt: skip
def test_replies_that_are_no_draft(text: str) -> None:
    with pytest.raises(MossAudioError):
        read_draft(text)


def test_thinking_and_a_code_fence_around_an_answer_are_passed_over() -> None:
    told = reply(*GOOD_STREET)
    assert read_draft(f"<think>rain first</think>\n```json\n{told}\n```") == read_draft(told)


def test_the_schema_allows_the_slots_that_there_are() -> None:
    _, _, slots = known(SONG)
    piece = draft_schema(slots)["properties"]["sentences"]["items"]["items"]["anyOf"][1]
    assert piece["properties"]["slot"]["enum"] == [*slots, *LINKS]
    assert "music.key" in slots


def _plain(items: tuple[CaptionItem, ...], slots: Mapping[str, Slot]) -> list[str]:
    """A sentence an item, in the plainest words."""
    out = []
    for item in items:
        when = f"{{{item.id}.when}}" if f"{item.id}.when" in slots else ""
        if f"{item.id}.times" in slots:
            when = f"{{{item.id}.times}}, {when}"
        if item.kind == "said":
            out.append(f"{when} {{{item.id}.who}} says: {{{item.id}}}")
        else:
            out.append(f"{{{item.id}}} {'plays' if item.kind == 'music' else 'is heard'} {when}")
    return out


def test_every_slot_is_true_of_random_evidence() -> None:
    """Read by the second reader, which shares nothing with slots and check."""
    seen = 0
    for seed in range(12_000, 12_160):
        segment = from_chance(seed)
        _, items, slots = known(segment)
        told = _plain(items, slots)
        assert faults(segment, *told) == [], seed
        text = draft_text(read_draft(reply(*told)), slots)
        finding = read(text, segment)
        assert not finding.unsupported, (seed, finding.unsupported, text)
        missed = [one for one in finding.missed if one.startswith(("event", "words"))]
        assert not missed, (seed, missed, text)
        seen += len(items)
    assert seen > 400


@given(st.integers(0, 4000), st.data())
def test_an_error_anywhere_is_found(seed: int, data: st.DataObject) -> None:
    """Drop an item, name another slot, or write a number, quotation or denial of one's own."""
    segment = from_chance(seed)
    _, items, slots = known(segment)
    told = _plain(items, slots)
    if not told:
        return
    at = data.draw(st.integers(0, len(told) - 1))
    kind = data.draw(st.sampled_from(("dropped", "unknown", "number", "quote", "denied", "moved")))
    if kind == "dropped":
        del told[at]
    elif kind == "unknown":
        told[at] = told[at].replace(f"{{{items[at].id}}}", "{sound99}")
    elif kind == "moved":  # the time of another item
        others = [i.id for i in items if i.id != items[at].id and f"{i.id}.when" in slots]
        if not others or f"{items[at].id}.when" not in slots:
            return
        other = data.draw(st.sampled_from(others))
        told[at] = f"{{{items[at].id}}} is heard {{{other}.when}}"
    else:
        words = {"number": "seven times", "quote": "“yes”", "denied": "without a bell"}[kind]
        told[at] += f" {words}"
    assert faults(segment, *told), (kind, told)


_JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda v: st.lists(v) | st.dictionaries(st.sampled_from(("sentences", "text", "slot", "x")), v),
    max_leaves=8,
)


@given(_JSON)
def test_any_json_is_refused_or_found_wanting(value: Any) -> None:
    try:
        sentences = read_draft(json.dumps(value))
    except MossAudioError:
        return
    evidence, items, slots = known(STREET)
    assert draft_faults(sentences, slots, items, evidence)  # rain, dog and siren are missing
    assert isinstance(draft_text(sentences, slots), str)
