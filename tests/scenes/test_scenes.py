# ruff: noqa: PT018
"""Scenes: the same seed gives the same bytes, the test sentences stay out, the truth is sane."""

from __future__ import annotations

import ctypes
import random
from pathlib import Path

import numpy as np
import pytest

from moss_audio.errors import MossAudioError
from moss_audio.scenes import corpora, templates, text
from moss_audio.scenes import make as making
from moss_audio.scenes.config import read_config
from moss_audio.scenes.reader import iter_scenes, load_scenes
from moss_audio.scenes.sounds.recorded import digest, files_by_label, sound_sources
from moss_audio.scenes.vocabulary import SHAPE, Vocabulary
from moss_audio.scenes.voices.base import finish, tighten
from moss_audio.scenes.voices.phonemes import share_out

CONFIG = """
seed: 7
hours: {train: 0.006, val: 0.002, test-unseen: 0.002}
kinds: {speech: 0.7, events: 0.2, silence: 0.1}
engines: {espeak: 1.0}
texts: {template: 1.0}
held_out_speakers: [espeak/en-GB-scotland]
shard_minutes: 0.3
"""


def _has(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


needs_espeak = pytest.mark.skipif(
    not _has("libespeak-ng.so.1"), reason="libespeak-ng1 not installed"
)
needs_prompts = pytest.mark.skipif(
    not corpora.PROMPTS.exists(), reason="no asterisk-core-sounds-en"
)


def _make(folder: Path) -> Path:
    """Scenes from the configuration above, with templates alone as text."""
    folder.mkdir()
    config = folder / "tiny.yaml"
    config.write_text(CONFIG)
    rng = random.Random(1)
    drawn = [templates.draw(rng) for _ in range(2000)]
    sentences: dict[str, list[text.Sentence]] = {s: [] for s in text.SPLITS}
    for line in drawn:
        sentences[text.split_of(line)].append(text.Sentence("template", line))
    out = folder / "out"
    out.mkdir()
    text.save(sentences, out / "sentences.tsv")
    return making.make(config, out, workers=1)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make(tmp_path_factory.mktemp("scenes") / "a")


@needs_espeak
def test_same_seed_same_bytes(scenes: Path, tmp_path: Path) -> None:
    again = _make(tmp_path / "b")
    shards = sorted(p.name for p in scenes.glob("shard-*"))
    assert shards == sorted(p.name for p in again.glob("shard-*")) and shards
    for name in shards:
        for file in ("audio.i16", "scenes.jsonl"):
            assert (scenes / name / file).read_bytes() == (again / name / file).read_bytes()


@needs_espeak
def test_truth_fits_the_sound(scenes: Path) -> None:
    everything = load_scenes(scenes)
    assert {s.kind for s in everything} >= {"speech"}
    for scene in everything:
        samples = scene.samples()
        assert samples.dtype == np.int16 and samples.shape == (scene.num_samples,)
        assert " ".join(w.text for w in scene.words) == scene.text
        last = 0.0
        for word in scene.words:
            assert last - 0.002 <= word.start < word.end <= scene.duration_s + 0.001
            last = word.end
        for event in scene.events:
            assert 0 <= event.start < event.end <= scene.duration_s + 0.001
        if scene.voice and scene.snr_db is None:
            first, final = scene.words[0], scene.words[-1]
            loud = np.abs(samples[int(first.start * 16000) : int(final.end * 16000)]).max()
            assert np.abs(samples[: max(1, int((first.start - 0.06) * 16000))]).max() < 0.1 * loud


@needs_espeak
def test_held_out_speaker_is_heard_in_test_only(scenes: Path) -> None:
    for scene in iter_scenes(scenes):
        if scene.voice:
            held = scene.voice.startswith("espeak/en-GB-scotland")
            assert held == (scene.split == "test-unseen")


@needs_espeak
def test_resuming_keeps_finished_shards_and_refuses_another_config(scenes: Path) -> None:
    config = scenes.parent / "tiny.yaml"
    before = {p: p.stat().st_mtime_ns for p in scenes.glob("shard-*/audio.i16")}
    making.make(config, scenes, workers=1)
    assert before == {p: p.stat().st_mtime_ns for p in scenes.glob("shard-*/audio.i16")}
    other = scenes.parent / "other.yaml"
    other.write_text(CONFIG.replace("seed: 7", "seed: 8"))
    with pytest.raises(MossAudioError, match="another configuration"):
        making.make(other, scenes, workers=1)


@needs_prompts
def test_recorded_prompts_are_never_said() -> None:
    prompts = text.prompt_texts()
    assert len(prompts) > 400 and "activated" in prompts
    known = [*sorted(prompts)[:50], "A garden gate is open."]
    vocabulary = Vocabulary()
    rng = random.Random(0)
    raw = [k.capitalize() + "." for k in known[:-1]] + known[-1:]
    kept = text.sort_out([("example", raw), ("template", raw)], vocabulary, prompts, rng)
    said = {text.normalise(s.text) for split in kept.values() for s in split}
    assert said == {"a garden gate is open"}


def test_splits_are_disjoint_and_stable() -> None:
    rng = random.Random(3)
    lines = {templates.draw(rng) for _ in range(3000)}
    by_split: dict[str, set[str]] = {s: set() for s in text.SPLITS}
    for line in lines:
        by_split[text.split_of(line)].add(text.normalise(line))
    assert (
        not by_split["train"] & by_split["val"] and not by_split["train"] & by_split["test-unseen"]
    )
    assert text.split_of("Hello, Anna!") == text.split_of("hello anna")
    assert 0.9 < len(by_split["train"]) / len(set().union(*by_split.values())) < 0.98


def test_templates_are_written_as_spoken() -> None:
    rng = random.Random(5)
    for _ in range(3000):
        line = templates.draw(rng)
        assert SHAPE.fullmatch(line), line
        assert len(line.split()) <= 22, line


def test_event_files_of_test_are_not_trained_on() -> None:
    sources = tuple(sound_sources().values())
    train, unseen = (
        {digest(p) for files in files_by_label(split, sources).values() for p in files}
        for split in ("train", "test-unseen")
    )
    assert not train & unseen


def test_a_pause_counted_into_a_word_is_cut_off() -> None:
    x = np.zeros(16000, np.float32)
    x[1600:4800] = 0.5  # 0.1-0.3 s
    x[8000:12000] = 0.5  # 0.5-0.75 s
    spans = tighten(x, [(0.0, 0.4), (0.45, 1.0)])
    assert spans == [pytest.approx((0.1, 0.3), abs=0.006), pytest.approx((0.5, 0.75), abs=0.006)]


def test_pitch_moves_word_times() -> None:
    x = np.zeros(16000, np.float32)
    x[8000:12000] = 0.5
    said = finish(x, 16000, ["one"], [(0.5, 0.75)], "x", pitch=1.25)
    assert said.samples.size == pytest.approx(12800, abs=8)
    assert said.words[0].start == pytest.approx(0.4, abs=0.01)


def test_words_said_as_one_are_shared_out() -> None:
    groups = [list("wʌn"), list("ʌvðə"), list("dɔːɡz")]
    assert share_out(groups, [list("wʌn"), list("ʌv"), list("ðə"), list("dɔːɡz")]) == [1, 2, 1]


def test_all_mistakes_of_a_config_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(CONFIG.replace("espeak: 1.0", "esspeak: 1.0") + "colour: red\n")
    with pytest.raises(
        MossAudioError, match=r"engines: 'esspeak' is not one of .*unknown field colour"
    ):
        read_config(bad)
    with pytest.raises(MossAudioError, match="no such"):
        load_scenes(tmp_path / "nowhere")
