"""The deterministic writer on 500 segments, read by a second reader that shares nothing with it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from moss_audio.annotate.english import noun
from moss_audio.annotate.merge import MergeConfig, MergeStage
from moss_audio.annotate.merging.gather import gather
from moss_audio.annotate.merging.grounded_writer import GroundedWriter
from moss_audio.annotate.merging.plan import caption_items, make_plan
from moss_audio.annotate.records import AudioSegment, Span
from moss_audio.annotate.stage import StageItem
from moss_audio.errors import MossAudioError
from moss_audio.scenes.reader import load_scenes
from tests.annotate.merge_cases import agreed, from_chance, from_scene, result, segment
from tests.annotate.merge_errors import HOUSE, PLANTS, SONG, planted
from tests.annotate.merge_reader import read

_SCENES = Path(__file__).parent / "merge_scenes"


@pytest.fixture(scope="module")
def segments() -> list[AudioSegment]:
    scenes = [from_scene(scene) for scene in load_scenes(_SCENES, "test-unseen")]
    return [*scenes, *(from_chance(seed) for seed in range(500 - len(scenes)))]


@pytest.fixture(scope="module")
def captioned(segments: list[AudioSegment]) -> list[tuple[str, AudioSegment]]:
    stage = MergeStage()
    out = []
    for one in segments:
        caption = stage.caption(one)
        assert not caption.warnings, (one.id, caption.warnings)
        out.append((caption.text, one))
    return out


def test_captions_name_the_evidence_and_nothing_else(
    captioned: list[tuple[str, AudioSegment]],
) -> None:
    named = missed = 0
    unsupported = []
    for text, one in captioned:
        finding = read(text, one)
        named += finding.named
        missed += len(finding.missed)
        unsupported += [(one.id, wrong, text) for wrong in finding.unsupported]
    assert not unsupported, unsupported[:3]
    assert named > 2000
    assert named / (named + missed) >= 0.95


def test_the_second_reader_sees_planted_errors(captioned: list[tuple[str, AudioSegment]]) -> None:
    for kind in PLANTS:
        wrong = [*planted(kind, captioned, 60), *planted(kind, captioned, 60, seed=31)]
        passed = [text for text, one in wrong if not read(text, one).unsupported]
        assert len(wrong) == 120
        assert len(passed) <= 2, (kind, passed[:3])


def test_every_item_of_the_evidence_is_cited(segments: list[AudioSegment]) -> None:
    """By construction: the writer keeps which items its sentences were made of."""
    count = 0
    for one in segments:
        evidence = gather(one)
        items = caption_items(evidence)
        written = GroundedWriter().write(evidence, make_plan(evidence, one.profile), items, one.id)
        assert written.cited == {item.id for item in items}
        count += len(items)
    assert count > 1500


def test_the_second_reader_sees_what_is_left_out(captioned: list[tuple[str, AudioSegment]]) -> None:
    text, one = next(c for c in captioned if len(re.findall("“", c[0])) == 1)
    assert read(re.sub("“[^”]*”", "something", text), one).missed


def test_equal_segments_have_equal_captions_and_others_vary(segments: list[AudioSegment]) -> None:
    first, second = MergeStage(), MergeStage()
    assert [first.caption(s) for s in segments[:40]] == [second.caption(s) for s in segments[:40]]
    named_anew = {first.caption(replace(HOUSE, id=str(i))).text for i in range(12)}
    assert len(named_anew) > 6


def test_a_batch_keeps_its_order_and_reads_no_sound() -> None:
    def no_sound() -> None:
        raise AssertionError("the merge reads no sound")

    done = MergeStage().process_batch([StageItem(s, no_sound) for s in (HOUSE, SONG)])  # type: ignore[arg-type]
    assert [one.id for one in done] == ["house", "song"]
    assert all(one.caption and one.caption.writer == "grounded" for one in done)
    assert AudioSegment.from_dict(done[0].to_dict()) == done[0]


def test_what_leads_follows_from_priors_and_findings() -> None:
    caption = MergeStage().caption(replace(SONG, profile={"music": 0.9}))
    assert caption.plan[0].startswith("lead: music")
    assert caption.plan[1].startswith("background: events")
    assert "absent: speech" in caption.plan[2]
    assert caption.text.index("key of F sharp minor") < caption.text.index("applause")


def test_words_the_recognisers_disagree_on_are_not_quoted() -> None:
    spans = (Span("Buy milk today.", 1.0, 2.5),)
    said = result("sentences", "speech", spans=spans)
    heard = result("activity", "segment", spans=(Span("speech", 0.9, 2.6),))
    texts = {
        decision: MergeStage().caption(
            segment("s", 4.0, [agreed("Buy milk today.", decision), said, heard])
        )
        for decision in ("keep", "flag", "drop")
    }
    assert "“Buy milk today.”" in texts["keep"].text
    assert "what sounds like" not in texts["keep"].text
    assert "what sounds like" in texts["flag"].text
    assert "milk" not in texts["drop"].text
    assert "from 0.9 to 2.6 seconds" in texts["drop"].text
    assert any("disagree" in line for line in texts["drop"].plan)


def test_doubtful_events_are_left_out_and_two_tools_count_once() -> None:
    first = result("events", spans=(Span("bell", 1.0, 2.0, 0.9), Span("siren", 3.0, 4.0, 0.4)))
    second = result("events", spans=(Span("Bell", 1.1, 2.1, 0.7), Span("bell", 5.0, 5.5, 0.7)))
    text = MergeStage().caption(segment("s", 6.0, [first, second])).text
    assert "siren" not in text
    assert "twice" in text
    assert "1.1" not in text


def test_music_that_the_events_dispute_is_not_told() -> None:
    beep = {"disputed": ["beep"]}
    events = (Span("music", 1.0, 2.0, 0.49, beep), Span("beep", 1.0, 2.1, 0.8))
    heard = [
        result("activity", "segment", spans=(Span("music", 1.0, 2.0, 0.9),)),
        result("events", spans=events),
    ]
    evidence = gather(segment("s", 10.0, heard))
    assert evidence.music is None
    assert [sound.label for sound in evidence.sure_sounds] == ["beep"]
    assert gather(segment("s", 10.0, heard[:1])).music is not None


_MEASURED = [
    result("tempo", "music", values={"bpm": 62.0}, score=0.6),
    result("sections", "music",
           spans=(Span("A", 0.0, 5.0), Span("B", 5.0, 9.5), Span("C", 9.5, 12.0))),
    result("dynamics", "music", spans=(Span("quiet", 0.0, 2.2), Span("loud", 2.2, 12.0))),
]  # fmt: skip


def test_what_was_measured_of_music_is_not_told_where_none_is_sure() -> None:
    """A farm and the sea had a slow tempo, a form of A B and four chords."""

    def notes(*heard: Span) -> tuple[bool, tuple[str, ...]]:
        found = gather(segment("s", 12.0, [result("activity", "segment", spans=heard), *_MEASURED]))
        return found.music is not None, found.notes

    assert notes() == (False, ("no music is sure: what was measured of it is left out",))
    assert not notes(Span("music", 2.0, 10.0, 0.4))[0]
    assert not notes(Span("singing", 2.0, 4.0, 0.9))[0]
    assert notes(Span("singing", 2.0, 9.0, 0.9)) == (True, ())
    assert notes(Span("music", 2.0, 4.0, 0.9)) == (True, ())
    assert gather(segment("s", 12.0, _MEASURED)).music is not None  # nobody listened for it
    beside = result("activity", "segment", spans=(Span("sound", 1.0, 9.0),),
                    values={"vocabulary": "sound"})  # fmt: skip
    assert gather(segment("s", 12.0, [beside, *_MEASURED])).music is not None


def test_sections_end_with_the_music() -> None:
    plays = result("activity", "segment", spans=(Span("music", 2.0, 10.0, 0.9),))
    music = gather(segment("s", 12.0, [plays, *_MEASURED])).music
    assert music is not None
    assert music.sections == (Span("A", 2.0, 5.0), Span("B", 5.0, 9.5))
    assert music.dynamics == (Span("loud", 2.2, 10.0),)


@pytest.mark.parametrize(
    ("summary", "used"),
    [
        ("A calm speaker reads a list.", True), ("A man reads a list", True),
        ("A woman reads a list.", False), ("A man reads a list to a dog barking.", False),
        ("A man says “Buy milk” twice.", False), ("A man speaks for 12 seconds.", False),
        ("An angry man reads a list.", False), ("A man reads a list in a high voice.", False),
        ("A British man reads a list.", False), ("A low voice reads a list quickly.", True),
    ],
)  # fmt: skip
def test_a_summary_may_not_contradict_the_evidence(summary: str, used: bool) -> None:
    values = {"gender": "male", "pitch": "low", "summary": summary}
    fields = result("speech_fields", "speech", values=values)
    text = MergeStage().caption(segment("s", 4.0, [agreed("One, two."), fields])).text
    assert (summary.rstrip(".") in text) == used


def test_odd_shapes_of_evidence() -> None:
    outside = (Span("bell", -1, 2), Span("gong", 39, 42), Span("  ", 1, 2), Span("(((", 1, 2))
    many = tuple(Span("beep", i * 2.0, i * 2.0 + 0.3) for i in range(12))
    for results, wanted in (
        ([result("events", spans=outside)], "from 0.0 to 2.0 seconds"),
        ([result("events", spans=many)], "12 times"),
        ([agreed("Only a text is known.")], "“Only a text is known.”"),
        ([result("transcript", "speech", text="One alone.")], "what sounds like “One alone.”"),
        ([], "no speech"),
    ):
        caption = MergeStage().caption(segment("s", 30.0 if results else 0.0, results))
        plain = caption.text.replace("between 0.0 and 2.0", "from 0.0 to 2.0")
        assert wanted in plain
        assert "gong" not in caption.text
        assert not caption.warnings


def test_an_anchor_is_used_only_where_it_agrees_with_the_events() -> None:
    spans = (Span("rain", 0.0, 9.0, 0.9), Span("bell", 1.0, 2.0), Span("bell", 4.0, 5.0))
    events = result("events", spans=spans)
    for sentence, used in (
        ("Steady rain is heard.", True),
        ("Rain is heard throughout and bell twice; the recording is quiet.", True),
        ("Rain is heard throughout and bell three times.", False),
        ("A chainsaw runs in the rain.", False),
        ("There is no rain.", False),
    ):
        one = segment("s", 10.0, [events, result("anchor", text=sentence)])
        assert (sentence in MergeStage().caption(one).text) == used


def test_fingerprint_follows_what_changes_captions_alone() -> None:
    base = MergeStage(MergeConfig()).fingerprint
    assert MergeStage(MergeConfig()).fingerprint == base
    assert MergeStage(MergeConfig(strong_score=0.6)).fingerprint != base
    assert MergeStage(MergeConfig(list_at_most=3)).fingerprint != base


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(MossAudioError, match="weak_score"):
        MergeConfig(weak_score=0.8)
    with pytest.raises(MossAudioError, match="writer"):
        MergeConfig(writer="poet")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("label", "said"),
    [("unidentified sound", "an unidentified sound"), ("unicycle bell", "a unicycle bell")],
)
def test_the_article_goes_by_the_sound_of_the_word(label: str, said: str) -> None:
    assert noun(label) == said
