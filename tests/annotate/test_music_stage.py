"""The music branch as a step: which segments, which tools, what a fingerprint stands for."""

import json
from dataclasses import replace

import numpy as np
import pytest

from moss_audio.annotate.branches.music import MusicConfig, music_branch
from moss_audio.annotate.records import AudioSegment, Recording, Span, ToolResult
from moss_audio.annotate.stage import StageItem
from moss_audio.annotate.tool import Tool
from moss_audio.annotate.tools.music.tempo import TempoConfig
from moss_audio.errors import MossAudioError

SR = 16_000


def song():
    t = np.arange(6 * SR) / SR
    beats = np.exp(-8 * (t % 0.5))
    return (0.2 * beats * (np.sin(2 * np.pi * 220 * t) + np.sin(2 * np.pi * 330 * t))).astype("f")


def item(samples, results=(), **profile):
    recording = Recording("r", "r.wav", samples.size / SR, SR, 1)
    segment = AudioSegment("r-0", recording, 0.0, 6.0, profile=profile, results=tuple(results))
    return StageItem(segment, lambda: samples)


class Recogniser(Tool):
    name, version, heard = "words", "2", 0

    def annotate(self, samples, segment):
        self.heard += 1
        words = (Span("la", 1.0, 1.5),)
        return [
            ToolResult("words", "2", "speech", "transcript", text="la la", spans=words, score=0.4),
            ToolResult("words", "2", "speech", "speakers"),
        ]


def test_music_gets_results_and_the_rest_passes_with_its_sound_unread():
    def unread():
        raise AssertionError("the sound of a segment that is no music was read")

    stage = music_branch()
    stage.setup()
    music, speech = item(song(), music=0.9), replace(item(song(), speech=1.0), samples=unread)
    found, passed = stage.process_batch([music, speech])
    assert passed == speech.segment
    assert [one.kind for one in found.results] == ["tempo", "key", "chords", "sections", "dynamics"]
    assert found.find("tempo")[0].values["bpm"] == pytest.approx(120, rel=0.01)
    assert all(one.branch == "music" for one in found.results)
    assert AudioSegment.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    # Again, on its own results: the same, not twice.
    again = item(song(), found.results, music=0.9)
    assert stage.process_batch([again])[0].results == found.results


def test_lyrics_are_the_recognisers_words_where_somebody_sings():
    recogniser = Recogniser()
    stage = music_branch(recogniser=recogniser)
    sung, played = stage.process_batch(
        [item(song(), music=0.2, singing=0.8), item(song(), music=0.8, singing=0.1)]
    )
    [lyrics] = sung.find("lyrics")
    assert (lyrics.text, lyrics.score, lyrics.branch) == ("la la", 0.4, "music")
    assert lyrics.tool == "music/lyrics words"
    assert not sung.find("transcript")
    assert not sung.find("speakers")
    assert not played.find("lyrics")
    assert recogniser.heard == 1


def test_the_fingerprint_follows_settings_and_tools():
    plain = music_branch().fingerprint
    assert music_branch(MusicConfig()).fingerprint == plain
    others = {
        music_branch(MusicConfig(threshold=0.4)).fingerprint,
        music_branch(MusicConfig(tempo=TempoConfig(likely_bpm=100))).fingerprint,
        music_branch(recogniser=Recogniser()).fingerprint,
        plain,
    }
    assert len(others) == 4


def test_a_threshold_is_a_score():
    with pytest.raises(MossAudioError, match="threshold"):
        MusicConfig(threshold=50)
