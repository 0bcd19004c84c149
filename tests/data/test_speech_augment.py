"""Babble behind a speaker, and clips cut close to their words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.data.augment import AugmentConfig, augment
from moss_audio.data.batch import SetAside
from moss_audio.data.cut import bounds
from moss_audio.data.draw import draw
from moss_audio.data.example import Example
from moss_audio.dsp.babble import babble
from moss_audio.dsp.loudness import rms
from moss_audio.result import Word
from tests.data.conftest import write_lines, write_wav

PLAIN: dict[str, Any] = {
    "speed_share": 0, "telephone_share": 0, "noise_share": 0, "gain_min_db": 0, "gain_max_db": 0,
}  # fmt: skip


def tone(n_samples: int, hz: float, level: float = 0.1) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(n_samples) / 16_000)).astype(np.float32)


def test_talkers_are_equally_loud_however_long_and_loud_they_were() -> None:
    mixed = babble(
        16_000, [tone(16_000, 400, 0.5), tone(4_000, 1000, 0.01)], np.random.default_rng(0)
    )
    assert rms(mixed) == pytest.approx(1, abs=1e-3)
    spectrum = np.abs(np.fft.rfft(mixed))
    assert spectrum[400] == pytest.approx(spectrum[1000], rel=0.05)
    assert spectrum[[400, 1000]].min() > 50 * np.median(spectrum)
    assert not babble(100, [np.zeros(50, np.float32)], np.random.default_rng(0)).any()


@pytest.mark.parametrize("snr_db", [0.0, 10.0])
def test_babble_has_the_level_that_was_asked_for(snr_db: float) -> None:
    config = AugmentConfig(
        **PLAIN, babble_share=1.0, babble_fewest=2, babble_most=2,
        babble_min_db=snr_db, babble_max_db=snr_db,
    )  # fmt: skip
    asked: list[int] = []

    def talkers(count: int) -> list[np.ndarray]:
        asked.append(count)
        return [tone(8_000, 800), tone(8_000, 1200)]

    made, _ = augment(tone(16_000, 300), config, np.random.default_rng(1), talkers)
    assert asked == [2]
    spectrum = np.abs(np.fft.rfft(made)) ** 2
    ratio_db = 10 * np.log10(spectrum[300] / (spectrum[800] + spectrum[1200]))
    assert ratio_db == pytest.approx(snr_db, abs=0.2)


def test_without_a_share_nothing_is_drawn() -> None:
    """Runs that were configured before give the same clips."""
    plain, _ = augment(tone(900, 300), AugmentConfig(), np.random.default_rng(3))
    asked, _ = augment(tone(900, 300), AugmentConfig(), np.random.default_rng(3), lambda _: 1 / 0)  # type: ignore[return-value]
    np.testing.assert_array_equal(plain, asked)


@given(st.floats(0, 2), st.floats(0.05, 2), st.integers(0, 9))
def test_a_cut_keeps_the_words_and_no_more_than_asked_around_them(
    start: float, length: float, seed: int
) -> None:
    words = [Word("a", start, start + length / 2), Word("b", start + length / 2, start + length)]
    n_samples = int((start + length + 1) * 16_000)
    first, last = bounds(words, n_samples, 0.3, np.random.default_rng(seed))
    assert start - 0.3 - 1e-4 <= first / 16_000 <= start + 1e-4
    assert start + length - 1e-4 <= last / 16_000 <= start + length + 0.3 + 1e-3


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Two spoken lines, and a clip about which something else is asked."""
    rows: list[dict[str, Any]] = []
    for n, answer in enumerate(("hello there", "good day", "1.0 - 1.5: a bell")):
        name = f"{n}.wav"
        write_wav(tmp_path / name, 2.0, 300 + 200 * n)
        content = [{"type": "audio", "audio": name}, {"type": "text", "text": "Go on."}]
        rows.append({
            "messages": [{"role": "user", "content": content},
                         {"role": "assistant", "content": answer}],
            "duration": 2.0,
        })  # fmt: skip
        if n < 2:
            rows[-1]["words"] = [{"text": w, "start": 0.8 + 0.3 * i, "end": 1.0 + 0.3 * i}
                                 for i, w in enumerate(answer.split())]  # fmt: skip
    return write_lines(tmp_path / "train.jsonl", rows)


def drawn(source: Any, index: int, seed: int = 0, **fields: Any) -> Example:
    config = AugmentConfig(**{**PLAIN, **fields})
    example = draw(source, index, source.id(index), 0, seed, config)
    assert isinstance(example, Example), example
    return example


def test_a_cut_line_has_its_words_where_they_now_are(lines: Path, one_source: Any) -> None:
    source = one_source("jsonl", lines)
    for seed in range(5):
        cut = drawn(source, 0, seed, cut_share=1.0)
        (words,) = cut.words
        seconds = len(cut.clips[0]) / 16_000
        assert 0.5 <= seconds <= 1.1 + 1e-3
        assert 0 <= words[0].start <= 0.3
        assert words[1].start - words[0].start == pytest.approx(0.3)
        assert words[1].end <= seconds
    whole = drawn(source, 2, cut_share=1.0)  # its answer tells times, and it has no words
    assert len(whole.clips[0]) == 32_000


def test_only_speech_gets_babble_and_only_of_speech(lines: Path, one_source: Any) -> None:
    source = one_source("jsonl", lines)
    heard = drawn(source, 0, babble_share=1.0, babble_max_db=0).clips[0]
    spectrum = np.abs(np.fft.rfft(heard))
    assert spectrum[2 * 500] > 20 * np.median(spectrum)  # the other line
    assert spectrum[2 * 700] < 0.02 * spectrum[2 * 500]  # never the bell
    bell = drawn(source, 2, babble_share=1.0).clips[0]
    spectrum = np.abs(np.fft.rfft(bell))
    assert spectrum[2 * 300] + spectrum[2 * 500] < 0.02 * spectrum[2 * 700]


ASK = [{"type": "audio"}, {"type": "text", "text": "Go on."}]


def spoken_line(answer: str, **fields: Any) -> dict[str, Any]:
    """A word at 1.0 to 1.5 s, and what is answered."""
    return {
        "audio": "a.wav",
        "messages": [{"role": "user", "content": ASK}, {"role": "assistant", "content": answer}],
        "words": [{"text": "hi", "start": 1.0, "end": 1.5}],
        **fields,
    }


def babble_level(example: Example) -> float:
    """How loud another clip's 700 Hz is beside the clip's own 300."""
    (clip,) = example.clips
    spectrum = np.abs(np.fft.rfft(clip, 32_000))
    return float(spectrum[2 * 700] / spectrum[2 * 300])


def text_line(**fields: Any) -> dict[str, Any]:
    return {"audio": "a.wav", "text": "Hi!", "words": spoken_line("")["words"], **fields}


DOG = [{"label": "dog", "start": 1.6, "end": 1.9}]
THOUGHT = [
    {"role": "user", "content": ASK},
    {"role": "assistant", "content": "hi", "thinking": "One voice, and quiet around it."},
]


@pytest.mark.parametrize(
    ("line", "is_speech"),
    [
        (spoken_line("Hi!"), True),
        (text_line(), True),
        (spoken_line("hi", sounds=DOG), False),
        (spoken_line("hi, then a dog"), False),
        (spoken_line("One."), False),
        (spoken_line("hi", messages=THOUGHT), False),
        (text_line(sounds=DOG), False),
        (text_line(question="Who?"), False),
    ],
)
def test_a_line_counts_as_speech_only_where_nothing_else_is_asked(
    tmp_path: Path, one_source: Any, line: dict[str, Any], is_speech: bool
) -> None:
    write_wav(tmp_path / "a.wav", 2.0, 300)
    write_wav(tmp_path / "b.wav", 2.0, 700)
    lines = [line, *[{**spoken_line("Hi!"), "audio": "b.wav"}] * 9]
    source = one_source("jsonl", write_lines(tmp_path / "m.jsonl", lines))
    behind = drawn(source, 0, babble_share=1.0, babble_max_db=0)
    assert (babble_level(behind) > 0.1) == is_speech
    cut = drawn(source, 0, cut_share=1.0)
    assert (len(cut.clips[0]) < 32_000) == is_speech
    assert cut.words[0][0].end <= len(cut.clips[0]) / 16_000


@pytest.mark.parametrize(
    ("fields", "is_speech"),
    [
        ({}, True),
        ({"tasks": {"transcribe": 1, "caption": 0}}, True),
        ({"tasks": {"caption": 1}}, False),
        ({"prompt": "Which animal?"}, False),
        ({"prompt": "Write it all down.", "tasks": {"transcribe": 1}}, True),
    ],
)
def test_a_text_is_speech_where_it_is_a_transcript(
    tmp_path: Path, one_source: Any, fields: dict[str, Any], is_speech: bool
) -> None:
    write_wav(tmp_path / "a.wav", 2.0, 300)
    write_wav(tmp_path / "b.wav", 2.0, 700)
    rows = "audio,text\na.wav,A dog barks from 1.0 to 1.5 seconds.\n" + "b.wav,A cat.\n" * 9
    (tmp_path / "m.csv").write_text(rows)
    source = one_source("csv", tmp_path / "m.csv", **fields)
    behind = drawn(source, 0, babble_share=1.0, babble_max_db=0)
    assert (babble_level(behind) > 0.1) == is_speech
    # a transcript stays true at every speed, a caption that tells times does not
    assert (len(drawn(source, 0, speed_share=1.0).clips[0]) != 32_000) == is_speech
    assert len(drawn(source, 1, speed_share=1.0).clips[0]) != 32_000  # it tells none


def test_scenes_get_babble_only_where_they_are_transcribed(
    scenes_folder: Path, one_source: Any
) -> None:
    for task, differs in (("transcribe", True), ("caption", False), ("ask", False)):
        source = one_source("scenes", scenes_folder, split="train", tasks={task: 1})
        plain = drawn(source, 0).clips[0]
        behind = drawn(source, 0, babble_share=1.0, babble_max_db=0).clips[0]
        assert np.allclose(plain, behind, atol=1e-3) != differs


@pytest.mark.parametrize(("start", "end"), [(1000.0, 1500.0), (2.1, 2.5), (-2.0, -1.0)])
def test_words_beyond_their_clip_are_set_aside(
    tmp_path: Path, one_source: Any, start: float, end: float
) -> None:
    write_wav(tmp_path / "a.wav", 2.0)
    line = spoken_line("hi", words=[{"text": "hi", "start": start, "end": end}])
    source = one_source("jsonl", write_lines(tmp_path / "m.jsonl", [line]))
    found = draw(source, 0, "x", 0, 0, AugmentConfig(**PLAIN, cut_share=1.0))
    assert isinstance(found, SetAside)
    assert found.reason == "bad_entry"
    assert f"'words' from {start:.2f} to {end:.2f} s lie beyond the clip of 2.00 s" in found.detail
