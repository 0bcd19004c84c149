import io
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.cli.render import Rendering
from moss_audio.errors import MossAudioError
from moss_audio.result import (
    Answer,
    Caption,
    Event,
    Segment,
    Timeline,
    Transcript,
    Word,
    result_from_dict,
)
from moss_audio.tasks import get_task
from moss_audio.text import single_line
from moss_audio.writers import get_writer

pysubs2 = pytest.importorskip("pysubs2")
webvtt = pytest.importorskip("webvtt")
textgrid_io = pytest.importorskip("praatio.textgrid")

WORDS = (Word("Hello", 0.5, 0.9), Word('"there"', 1.0, 1.4), Word("friend", 3661.2, 3661.5))
TRANSCRIPT = Transcript(
    'Hello "there" friend',
    (Segment('Hello "there"', 0.5, 1.4, WORDS[:2]), Segment("friend", 3661.2, 3661.5, WORDS[2:])),
    WORDS,
    3700.0,
)
TIMELINE = Timeline(
    (Event("rain", 0.0, 9.0), Event("dog --> cat", 1.0, 2.0), Event("horn", 2.0, 2.0)), 10.0
)
TIMED = ("srt", "vtt", "tsv", "textgrid")


def grid(text, tmp_path, empty=True):
    path = tmp_path / "x.TextGrid"
    path.write_text(text, encoding="utf-8")
    return textgrid_io.openTextgrid(str(path), includeEmptyIntervals=empty)


def srt(text):
    return [(e.start, e.end, e.plaintext) for e in pysubs2.SSAFile.from_string(text, "srt")]


def vtt(text):
    return list(webvtt.from_buffer(io.StringIO(text)))


def test_srt_reads_back():
    text = get_writer("srt").render(TRANSCRIPT)
    assert srt(text) == [(500, 1400, 'Hello "there"'), (3661200, 3661500, "friend")]
    assert text.startswith("1\n00:00:00,500 --> 00:00:01,400\n")
    assert "\n2\n01:01:01,200 --> 01:01:01,500\n" in text


def test_vtt_reads_back():
    cues = vtt(get_writer("vtt").render(TIMELINE))
    assert [c.text for c in cues] == ["rain", "dog --&gt; cat", "horn"]
    assert [(c.start, c.end) for c in cues][2] == ("00:00:02.000", "00:00:02.100")
    events = pysubs2.SSAFile.from_string(get_writer("vtt").render(TRANSCRIPT), "vtt")
    assert [(e.start, e.end) for e in events] == [(500, 1400), (3661200, 3661500)]


def test_timeline_srt_keeps_every_cue():
    assert [c[2] for c in srt(get_writer("srt").render(TIMELINE))] == ["rain", "dog -> cat", "horn"]


def test_tsv_gives_the_finest_times():
    rows = [line.split("\t") for line in get_writer("tsv").render(TRANSCRIPT).splitlines()]
    assert rows[0] == ["start_s", "end_s", "text"]
    assert len(rows) == 4
    assert rows[1] == ["0.500", "0.900", "Hello"]
    plain = get_writer("tsv").render(Transcript("a\tb\nc", duration=2.0))
    assert plain.splitlines()[1] == "0.000\t2.000\ta b c"


def test_textgrid_reads_back(tmp_path):
    read = grid(get_writer("TextGrid").render(TRANSCRIPT), tmp_path, empty=False)
    assert list(read.tierNames) == ["words", "segments"]
    assert read.maxTimestamp == 3700
    assert [tuple(e) for e in read.getTier("words").entries] == [
        (w.start, w.end, w.text) for w in WORDS
    ]
    assert [e.label for e in read.getTier("segments").entries] == ['Hello "there"', "friend"]


def test_textgrid_tiers_are_complete(tmp_path):
    read = grid(get_writer("textgrid").render(TRANSCRIPT), tmp_path)
    for name in read.tierNames:
        entries = read.getTier(name).entries
        assert entries[0].start == 0
        assert entries[-1].end == 3700
        assert all(a.end == b.start for a, b in itertools.pairwise(entries))


def test_overlapping_events_get_their_own_tier(tmp_path):
    read = grid(get_writer("textgrid").render(TIMELINE), tmp_path, empty=False)
    assert list(read.tierNames) == ["events", "events 2"]
    assert [tuple(e) for e in read.getTier("events 2").entries] == [
        (1.0, 2.0, "dog --> cat"),
        (2.0, 2.001, "horn"),
    ]


def test_overlapping_words_meet_and_none_is_lost(tmp_path):
    words = (Word("a", 0.0, 1.0), Word("b", 0.6, 1.2), Word("c", 0.6, 0.6), Word("d", 3.0, 3.0))
    result = Transcript("a b c d", (), words, 3.0)
    entries = grid(get_writer("textgrid").render(result), tmp_path, False).getTier("words").entries
    assert [tuple(e) for e in entries] == [
        (0.0, 0.6, "a"),
        (0.6, 1.2, "b c"),
        (3.0, 3.001, "d"),
    ]


def test_txt():
    assert get_writer("txt").render(TRANSCRIPT) == 'Hello "there"\nfriend\n'
    assert get_writer("txt").render(Transcript("hi there", duration=1.0)) == "hi there\n"
    assert get_writer("txt").render(TIMELINE).splitlines()[0] == "0.00 - 9.00: rain"
    assert get_writer("txt").render(Caption("One.\n\nTwo.")) == "One.\n\nTwo.\n"
    assert get_writer("txt").render(Answer("yes", "hm")) == "yes\n"
    assert get_writer("txt").render(Transcript("")) == ""


@pytest.mark.parametrize("result", [TRANSCRIPT, TIMELINE, Caption("x", 1.0), Answer("y", "z")])
def test_json_reads_back(result):
    assert result_from_dict(json.loads(get_writer("json").render(result))) == result


def test_json_rounds_to_milliseconds():
    text = get_writer("json").render(Timeline((Event("a", 1 / 3, 2 / 3),), 1.0))
    assert json.loads(text)["events"] == [{"label": "a", "start": 0.333, "end": 0.667}]


def test_json_keeps_the_digits_of_confidence():
    word = Word("hi", 0.12345, 0.5, 0.000043219)
    segment = Segment("hi", 0.12345, 0.5, (word,), -0.00042, 1.23456e-7)
    data = json.loads(get_writer("json").render(Transcript("hi", (segment,), avg_logprob=-0.00042)))
    (shown,) = data["segments"]
    assert (shown["start"], shown["avg_logprob"], data["avg_logprob"]) == (
        0.123,
        -0.00042,
        -0.00042,
    )
    assert (shown["words"][0]["probability"], shown["no_speech_prob"]) == (4.322e-5, 1.235e-7)


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize("result", [Caption("x"), Answer("y")])
def test_no_times_no_timed_format(name, result):
    with pytest.raises(MossAudioError, match="use txt or json"):
        get_writer(name).render(result)


def test_unknown_format():
    with pytest.raises(MossAudioError, match="docx"):
        get_writer("docx")


def test_long_speech_becomes_readable_cues():
    words = tuple(Word(f"word{k}", k * 0.5, k * 0.5 + 0.4) for k in range(60))
    text = " ".join(w.text for w in words)
    timed = Transcript(text, (Segment(text, 0.0, 30.0, words),), words, 30.0)
    cues = srt(get_writer("srt").render(timed))
    assert len(cues) > 4
    assert cues[0][0] == 0
    assert cues[-1][1] == 29900
    assert all(len(line) <= 42 for c in cues for line in c[2].split("\n"))
    assert all(c[2].count("\n") < 2 for c in cues)
    assert " ".join(c[2].replace("\n", " ") for c in cues) == text
    for start, _, cue in cues:  # each starts with its first word
        assert start == next(round(w.start * 1000) for w in words if w.text == cue.split()[0])
    plain = srt(get_writer("srt").render(Transcript(text, duration=30.0)))
    assert (plain[0][0], plain[-1][1]) == (0, 30000)
    assert len(plain) == len(cues)


def test_chinese_is_split_without_spaces():
    text = "\u4f60\u597d" * 50
    cues = srt(get_writer("srt").render(Transcript(text, duration=20.0)))
    assert "".join(c[2].replace("\n", "") for c in cues) == text
    assert all(len(line) <= 20 for c in cues for line in c[2].split("\n"))


@pytest.mark.parametrize(
    "end", ["\u3002", "\uff1f\uff01\u300d", "\u2026", "e\u0301\u0301", "\u200d\u4f60"]
)
@pytest.mark.parametrize("before", [19, 20, 38, 40])
def test_no_line_begins_with_what_closes_or_joins(before, end):
    text = "\u4f60" * before + end + "\u597d" * 30
    cues = srt(get_writer("srt").render(Transcript(text, duration=30.0)))
    lines = [line for _, _, cue in cues for line in cue.split("\n")]
    assert "".join(lines) == text
    assert all(line[0] in "\u4f60\u597de" for line in lines)
    assert not any(line.endswith("\u200d") for line in lines)
    endless = srt(get_writer("srt").render(Transcript("!" * 200, duration=30.0)))
    assert max(len(line) for _, _, cue in endless for line in cue.split("\n")) < 50


def test_zero_length_cue_at_the_end_of_the_clip_stays_inside():
    text = get_writer("srt").render(Timeline((Event("click", 5.0, 5.0),), 5.0))
    assert srt(text) == [(4900, 5000, "click")]


def brief(*spans, duration=5.0):
    segments = tuple(Segment(text, start, end) for start, end, text in spans)
    return Transcript(" ".join(s.text for s in segments), segments, duration=duration)


def test_a_brief_cue_is_lengthened_but_not_into_the_next():
    text = get_writer("srt").render(
        brief((1.0, 1.02, "a"), (1.02, 1.04, "b"), (1.04, 1.5, "c"), (3.0, 3.0, "d"))
    )
    assert srt(text) == [(1000, 1020, "a"), (1020, 1040, "b"), (1040, 1500, "c"), (3000, 3100, "d")]


def test_cues_of_one_time_are_shown_one_after_another():
    text = get_writer("srt").render(brief((1.0, 1.0, "a"), (1.0, 1.0, "b"), (1.12, 2.0, "c")))
    assert srt(text) == [(1000, 1060, "a"), (1060, 1120, "b"), (1120, 2000, "c")]
    # at the end of the clip, too, where they have to begin earlier
    text = get_writer("srt").render(brief((4.0, 4.9, "x"), (5.0, 5.0, "a"), (5.0, 5.0, "b")))
    assert srt(text) == [(4000, 4900, "x"), (4900, 4950, "a"), (4950, 5000, "b")]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=12))
def test_lengthening_makes_no_cue_overlap_the_next(times):
    segments = tuple(
        Segment(f"t{i}", start / 20, (start + length) / 20)
        for i, (start, length) in enumerate(sorted(times))
    )
    result = Transcript("x", segments, duration=5.0)
    cues = srt(get_writer("srt").render(result))
    own = {s.text: (round(1000 * s.start), round(1000 * s.end)) for s in segments}
    assert [start for start, _, _ in cues] == sorted(start for start, _, _ in cues)
    for (_, end, text), (start, _, other) in itertools.pairwise(cues):
        # What overlaps does so by its own times, or begins with a long cue.
        together = own[text][0] == own[other][0]
        assert end <= start or end == own[text][1] or (together and start == own[other][0])
    assert all(0 <= start < end <= 5000 for start, end, _ in cues)


@pytest.mark.parametrize("name", ["txt", "srt", "vtt", "tsv"])
def test_what_is_written_in_parts_is_what_is_written_at_once(name):
    segments = tuple(
        Segment(f"sentence {i}", start, start + length)
        for i, (start, length) in enumerate(
            [(0.0, 1.0), (2.0, 0.02), (2.0, 0.02), (4.0, 0.0), (4.0, 3.0), (9.0, 0.0), (9.9, 0.1)]
        )
    )
    whole = Transcript("x", segments, duration=10.0)
    cut = (0, 2, 3, 3, 5, 7)
    parts = (
        Transcript("x" if a < b else "", segments[a:b], duration=min(10.0, 2.0 * (k + 1)))
        for k, (a, b) in enumerate(itertools.pairwise(cut))
    )
    taken = []
    written = get_writer(name).lines(taken.append(part) or part for part in parts)
    first = next(written) + (next(written) if name in ("vtt", "tsv") else "")
    assert len(taken) <= 2  # the first lines come before the last part is known
    assert first + "".join(written) == get_writer(name).render(whole)


def test_a_window_without_word_times_keeps_its_text(tmp_path):
    task = get_task("transcribe", timestamps="word")
    answers = (
        "[0.00]hello[0.42][0.42]there[0.80]",
        "this window lost its stamps entirely",
        "[1.00]bye[1.40]",
    )
    parts = [(10.0 * i, task.parse(text, 10.0)) for i, text in enumerate(answers)]
    whole, placed = task.join(parts), [task.placed(part, start_s) for start_s, part in parts]

    tsv = get_writer("tsv").render(whole)
    assert "10.000\t20.000\tthis window lost its stamps entirely\n" in tsv
    assert tsv == "".join(get_writer("tsv").lines(placed))

    tiers = grid(get_writer("textgrid").render(whole), tmp_path, empty=False)
    assert [one.label for one in tiers.getTier("words").entries] == [
        "hello",
        "there",
        answers[1],
        "bye",
    ]

    rendering = Rendering(("txt",), "transcript", show_times=True)
    timed = rendering.text([whole], "txt", "a.wav")
    assert f"10.00 - 20.00: {answers[1]}\n" in timed
    assert timed == "".join(rendering.lines(placed))


def test_json_says_what_it_cannot_hold():
    with pytest.raises(MossAudioError, match="not finite"):
        get_writer("json").render(Timeline((Event("a", 0.0, float("nan")),), 1.0))


def test_style_tags_stay_visible():
    result = Transcript("<b>bold</b> {\\an8}x a < b ----> c", duration=9.0)
    assert srt(get_writer("srt").render(result))[0][2] == (
        "\u2039b\u203abold\u2039/b\u203a (\\an8}x a \u2039 b -\u203a c"
    )


nasty = st.text(
    alphabet=st.one_of(st.characters(), st.sampled_from('<>-&"\n\r\t\x00\u2028\x85{\\} 1')),
    max_size=30,
)
spans = st.lists(st.tuples(nasty, st.floats(0, 20), st.floats(0, 20)), max_size=5)


@settings(max_examples=60, deadline=None)
@given(spans)
def test_any_text_survives_every_format(tmp_path_factory, items):
    events = tuple(Event(t, min(a, b), max(a, b)) for t, a, b in items)
    segments = tuple(Segment(e.label, e.start, e.end) for e in events)
    shown = [e for e in events if single_line(e.label)]
    for result in (Timeline(events, 20.0), Transcript("", segments, duration=20.0)):
        subtitles = vtt(get_writer("vtt").render(result))
        assert len(subtitles) == get_writer("vtt").render(result).count(" --> ")
        assert len(subtitles) == len(shown)  # texts here are too short to be split
        text = get_writer("srt").render(result)
        assert text.count("-->") == len(shown)
        assert len(pysubs2.SSAFile.from_string(text, "srt")) == len(shown)
        assert len(get_writer("tsv").render(result).splitlines()) == len(shown) + 1
        read = grid(get_writer("textgrid").render(result), tmp_path_factory.mktemp("g"), empty=True)
        for name in read.tierNames:
            entries = read.getTier(name).entries
            assert entries[0].start == 0
            assert entries[-1].end == read.maxTimestamp
        json.loads(get_writer("json").render(result))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_lacks_is_one_line(value: float) -> None:
    with pytest.raises(MossAudioError, match="not finite, which JSON cannot hold"):
        get_writer("json").render(Transcript("a", duration=value))
