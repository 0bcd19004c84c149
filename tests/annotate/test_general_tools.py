"""Events, anchor, description and the judge without a model."""

import numpy as np
import pytest

from moss_audio.annotate.branches.general import GeneralConfig, general_branch
from moss_audio.annotate.records import AudioSegment, Recording, Span, ToolResult
from moss_audio.annotate.stage import StageItem
from moss_audio.annotate.tools.events import EventsConfig, merge_events, plain_label
from moss_audio.annotate.tools.general.description import (
    AnchorConfig,
    DescriptionConfig,
    anchor_sentence,
    describe,
)
from moss_audio.annotate.tools.general.judge import JudgeConfig, judge_description
from moss_audio.dsp.loudness import measure_loudness
from moss_audio.errors import MossAudioError

SR = 16_000
BARKS = (Span("dog bark", 2.0, 2.4, 0.9), Span("dog bark", 5.0, 5.5, 0.8))
SPEECH = Span("speech", 0.5, 8.0, 0.95)
DOOR = Span("door slam", 9.0, 9.5, 0.7)
EVENTS = (SPEECH, *BARKS, DOOR)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Vehicle horn, car horn, honking", "vehicle horn"),
        ("Male speech, man speaking", "speech"),
        ("Keyboard (musical)", "keyboard"),
        ("glass_breaking", "glass breaking"),
        ("The sound of rain.", "sound of rain"),
        ("a dog barking", "dog barking"),
        ("activity", "unidentified sound"),
        ("Silence", None),
        (" , ", None),
    ],
)
def test_labels_are_plain_noun_phrases(name, label):
    assert plain_label(name) == label


def test_one_sound_heard_twice_is_one_event():
    heard = [
        ("a", Span("Speech", 1.0, 3.0, 0.6)),
        ("b", Span("speech", 2.5, 4.0, 0.8)),
        ("a", Span("speech", 4.2, 5.0, 0.5)),  # after a short pause
        ("a", Span("speech", 6.0, 12.0, 0.9)),  # beyond the end
        ("b", Span("Dog", 1.0, 2.0, 0.1)),  # too unsure
        ("b", Span("Dog", 11.0, 12.0)),  # outside
    ]
    first, second = merge_events(heard, 10.0, EventsConfig())
    assert (first.label, first.start_s, first.end_s, first.score) == ("speech", 1.0, 5.0, 0.8)
    assert first.attributes == {"heard_by": ["a", "b"]}
    assert (second.start_s, second.end_s, second.attributes) == (6.0, 10.0, {"heard_by": ["a"]})


def test_a_sound_without_a_name_goes_where_a_named_one_explains_it():
    heard = [
        ("vad", Span("speech", 1.0, 4.0, 0.9)),
        ("novelty", Span("sound", 0.8, 4.2)),
        ("novelty", Span("sound", 6.0, 7.0)),
        ("tagger", Span("Dog", 3.9, 4.1, 0.9)),
    ]
    found = merge_events(heard, 10.0, EventsConfig())
    assert [(e.label, e.start_s) for e in found] == [
        ("speech", 1.0),
        ("dog", 3.9),
        ("unidentified sound", 6.0),
    ]
    assert found[-1].score is None


def test_two_names_of_one_sound_are_disputed_and_only_a_clearly_surer_one_stays_sure():
    heard = [
        ("vad", Span("music", 1.0, 2.0, 0.9)),  # what is music for a moment is often a beep
        ("nano", Span("dog barking", 1.0, 2.1, 0.7)),
        ("vad", Span("speech", 4.0, 8.0, 0.9)),
        ("nano", Span("snare drum", 4.1, 7.9, 0.6)),
        ("vad", Span("speech", 10.0, 11.0, 0.7)),
        ("nano", Span("phone ringing", 10.0, 11.0, 0.6)),
        ("vad", Span("music", 14.0, 15.5, 0.95)),  # but a moment
        ("nano", Span("phone ringing", 14.0, 15.5, 0.5)),
    ]
    found = merge_events(heard, 20.0, EventsConfig())
    told = [(e.label, e.score, e.attributes["disputed"]) for e in found]
    assert told == [
        ("music", 0.49, ["dog barking"]),
        ("dog barking", 0.7, ["music"]),
        ("speech", 0.9, ["snare drum"]),
        ("snare drum", 0.49, ["speech"]),
        ("phone ringing", 0.49, ["speech"]),
        ("speech", 0.49, ["phone ringing"]),
        ("music", 0.49, ["phone ringing"]),
        ("phone ringing", 0.5, ["music"]),
    ]


@pytest.mark.parametrize(
    "second",
    [
        ("vad", Span("dog barking", 1.0, 9.0, 0.9)),  # it hears both: two sounds
        ("nano", Span("dog barking", 6.5, 20.0, 0.9)),  # another stretch
        ("nano", Span("piano music", 1.0, 9.0, 0.9)),  # a name of the same class
    ],
)
def test_names_that_may_both_be_right_are_not_disputed(second):
    first = ("vad", Span("music", 1.0, 9.0, 0.9))
    found = merge_events([first, second], 20.0, EventsConfig())
    assert [(e.score, "disputed" in e.attributes) for e in found] == [(0.9, False)] * 2


def test_music_singing_and_speech_of_a_moment_are_doubtful():
    heard = [
        ("vad", Span("music", 0.0, 1.2, 0.8)),
        ("vad", Span("singing", 2.0, 2.6, 0.65)),
        ("vad", Span("speech", 4.0, 4.3, 0.6)),
        ("vad", Span("speech", 6.0, 6.6, 0.9)),
    ]
    found = merge_events(heard, 10.0, EventsConfig())
    assert [(e.score, e.attributes.get("brief", False)) for e in found] == [
        (0.49, True),
        (0.49, True),
        (0.49, True),
        (0.9, False),
    ]


def test_a_doubtful_name_explains_no_sound():
    def labels(score):
        heard = [("nano", Span("rain", 1.0, 3.0, score)), ("on", Span("sound", 1.0, 3.1, 0.8))]
        return [e.label for e in merge_events(heard, 10.0, EventsConfig())]

    assert labels(0.6) == ["rain"]
    assert labels(0.4) == ["rain", "unidentified sound"]
    assert labels(0.2) == ["unidentified sound"]


def test_doubtful_names_part_a_sound_without_one():
    heard = [
        ("on", Span("sound", 1.0, 9.0, 0.8)),
        ("nano", Span("rain", 1.0, 4.0, 0.4)),
        ("nano", Span("wind", 4.8, 7.0, 0.4)),
    ]
    found = merge_events(heard, 10.0, EventsConfig())
    unnamed = [(e.start_s, e.end_s) for e in found if e.label == "unidentified sound"]
    assert unnamed == [(1.0, 4.0), (4.8, 7.0), (7.3, 9.0)]


def test_a_soft_sound_that_two_have_heard_is_there_whatever_it_is():
    """Four sounds of a recording were left out: each was heard by both, and by both with doubt."""
    heard = [
        ("on", Span("sound", 0.6, 9.0, 0.33)),
        ("nano", Span("door", 0.6, 1.1, 0.35)),
        ("nano", Span("waves", 3.9, 7.9, 0.34)),
    ]
    found = merge_events(heard, 10.0, EventsConfig())
    unnamed = [(round(e.start_s, 2), e.score) for e in found if e.label == "unidentified sound"]
    assert unnamed == [
        (0.6, pytest.approx(1 - 0.67 * 0.65)),
        (1.4, 0.33),  # heard by one
        (3.9, pytest.approx(1 - 0.67 * 0.66)),
    ]


def test_the_anchor_says_what_the_evidence_says():
    def anchor(events, profile=None, lufs=-20.0):
        return anchor_sentence(events, profile or {}, lufs, 10.0, AnchorConfig())

    assert anchor(EVENTS, lufs=-45.0) == (
        "Speech is heard most of the time, dog bark twice and door slam once; "
        "the recording is quiet."
    )
    assert anchor((Span("music", 0.0, 10.0),), lufs=-10.0) == (
        "Music is heard throughout; the recording is loud."
    )
    assert anchor((), {"animal": 0.8, "speech": 0.2}) == "Animal sounds are heard."
    assert anchor((), lufs=-70.0) == "No distinct sound is heard; the recording is nearly silent."
    assert anchor((), lufs=None) == "No distinct sound is heard."


def test_loudness_of_silence_and_of_a_tone():
    t = np.arange(2 * SR) / SR
    # ITU-R BS.1770: a full-scale 997-Hz sine is -3.01 LUFS on one channel.
    assert measure_loudness(np.sin(2 * np.pi * 997 * t).astype("f")) == pytest.approx(
        -3.01, abs=0.1
    )
    assert measure_loudness(np.zeros(SR, np.float32)) == -70.0
    assert measure_loudness(np.zeros(100, np.float32)) is None


def test_the_description_and_its_judge():
    text = describe(EVENTS, 10.0, DescriptionConfig())
    assert text == (
        "Speech from 0.5 to 8.0 s. Dog bark 2 times: from 2.0 to 2.4 s and from 5.0 to 5.5 s. "
        "Door slam from 9.0 to 9.5 s."
    )
    score, values = judge_description(text, EVENTS, JudgeConfig())
    assert (score, values["missing"], values["invented"]) == (1.0, [], [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Speech from 0.5 to 8.0 s. Door slam from 9.0 to 9.5 s.", "missing"),
        ("Speech from 0.5 to 8.0 s. Dog bark 3 times. Door slam from 9.0 to 9.5 s.", "invented"),
        ("Speech from 0.5 to 8.0 s. Dog bark twice. Door slam from 5.0 to 6.0 s.", "invented"),
        ("Speech from 0.5 to 8.0 s. Dog bark twice. A siren. Door slam at 9 s.", "invented"),
    ],
)
def test_what_is_missing_or_made_up_costs(text, reason):
    full, _ = judge_description(describe(EVENTS, 10.0, DescriptionConfig()), EVENTS, JudgeConfig())
    score, values = judge_description(text, EVENTS, JudgeConfig())
    assert score < full - 0.05
    assert values[reason]


def test_unsure_events_may_be_told_and_need_not_be():
    maybe = (*EVENTS, Span("dog bark", 7.0, 7.2, 0.4), Span("siren", 3.0, 4.0, 0.35))
    told = describe(EVENTS, 10.0, DescriptionConfig())
    assert judge_description(told, maybe, JudgeConfig())[0] == 1.0
    more = f"{told} Siren from 3.0 to 4.0 s."
    assert judge_description(more, maybe, JudgeConfig())[1]["invented"] == []
    assert judge_description(more, EVENTS, JudgeConfig())[1]["invented"]


class Dogs:
    name, version, ready = "dogs", "3", False

    def setup(self):
        self.ready = True

    def detect(self, samples):
        assert self.ready
        return [Span("Dog", 1.0, 1.5, 0.9)]


def test_the_stage_puts_them_together_and_replaces_its_own():
    samples = (0.1 * np.random.default_rng(0).standard_normal(4 * SR)).astype(np.float32)
    activity = ToolResult("vad", "1", "segment", "activity", spans=(Span("speech", 0.0, 4.0),))
    music = ToolResult("m", "1", "music", "sections")
    recording = Recording("r", "r.wav", 4.0, SR, 1)
    segment = AudioSegment("r-0", recording, 0.0, 4.0, results=(activity, music))
    stage = general_branch(detectors=[Dogs()])
    stage.setup()
    [found] = stage.process_batch([StageItem(segment, lambda: samples)])
    assert found.results[:2] == (activity, music)
    assert [one.kind for one in found.results[2:]] == ["events", "anchor", "description", "judge"]
    assert [span.label for span in found.find("events")[0].spans] == ["speech", "dog"]
    assert "dog once" in found.find("anchor")[0].text
    assert found.find("judge")[0].score == 1.0
    assert stage.process_batch([StageItem(found, lambda: samples)]) == [found]
    prints = {
        general_branch().fingerprint,
        stage.fingerprint,
        general_branch(GeneralConfig(events=EventsConfig(join_s=1.0))).fingerprint,
    }
    assert len(prints) == 3


def test_settings_that_cannot_be():
    with pytest.raises(MossAudioError, match="min_score"):
        EventsConfig(min_score=2)
