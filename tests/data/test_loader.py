"""The loader: resuming, ranks, what is set aside, augmentation, the cache of features."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moss_audio.data.augment import AugmentConfig
from moss_audio.data.batch import Batch
from moss_audio.data.cache import FeatureCache
from moss_audio.data.draw import draw
from moss_audio.data.example import Example
from moss_audio.data.inspect import inspect
from moss_audio.data.loader import Loader, forever, make_loader
from moss_audio.dsp.mel import log_mel
from moss_audio.errors import MossAudioError
from moss_audio.prompt import PromptSpec
from moss_audio.tasks import get_task
from tests.data.conftest import released, write_lines, write_wav
from tests.data_config import data_config

N_MELS = 8
Make = Callable[..., Loader]


@pytest.fixture
def mixture(jsonl: Path, text_jsonl: Path, scenes_folder: Path) -> dict[str, Any]:
    return {
        "sources": [
            {"kind": "jsonl", "path": str(jsonl), "group": "asr"},
            {"kind": "scenes", "path": str(scenes_folder), "split": "train", "group": "caption"},
            {"kind": "jsonl", "path": str(text_jsonl), "group": "text"},
        ],
        "groups": {"asr": 0.3, "caption": 0.4, "text": 0.3},
        "batch_audio_s": 6.0,
        "buckets": 3,
        "seed": 5,
    }


@pytest.fixture
def make(mixture: dict[str, Any], tokenizer: Any, spec: PromptSpec) -> Make:
    def made(
        state: dict[str, Any] | None = None, rank: int = 0, world_size: int = 1, **fields: Any
    ) -> Loader:
        config = data_config({**mixture, **fields})
        return make_loader(
            config, tokenizer, spec, N_MELS, rank=rank, world_size=world_size, state=state
        )

    return made


def _same(a: Batch, b: Batch) -> bool:
    pairs = [(getattr(a, name), getattr(b, name)) for name in vars(a)]
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in pairs)


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_an_epoch_is_everything_once_and_the_next_in_another_order(make: Make, layout: str) -> None:
    loader = make(layout=layout, augment={})
    epochs = [[id for batch in loader for id in batch.ids] for _ in range(2)]
    assert len(epochs[0]) == len(set(epochs[0])) == 12 + 5 + 12
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert epochs[0] != epochs[1]
    assert loader.state_dict()["epoch"] == 2
    assert loader.report.examples == 58
    assert loader.report.padding == 0 or layout == "padded"
    assert 0 < loader.report.audio_padding < 0.6


def test_masks_are_resumed_and_leave_all_else_as_it_is(make: Make) -> None:
    masked = {"spec_mask_share": 1.0}
    plain, whole = list(make(augment={})), list(make(augment=masked))
    assert any(
        not torch.equal(a.audio_data, b.audio_data) for a, b in zip(plain, whole, strict=True)
    )
    for a, b in zip(plain, whole, strict=True):
        assert torch.equal(a.input_ids, b.input_ids)
        a.audio_data = b.audio_data
        assert _same(a, b)
    loader = make(augment=masked)
    before = list(islice(loader, 2))
    after = list(make(loader.state_dict(), augment=masked, workers=1))
    assert all(_same(a, b) for a, b in zip(whole, before + after, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_goes_on_with_the_very_same_batches(make: Make, workers: int) -> None:
    first_epoch = len(list(make()))
    assert first_epoch > 5
    count = first_epoch + 3
    whole = list(islice(forever(make(augment={})), count))
    places = (1, first_epoch) if workers else (1, first_epoch - 1, first_epoch, first_epoch + 1)
    for taken in places:
        loader = make(augment={}, workers=workers)
        before = list(islice(forever(loader), taken))
        state = json.loads(json.dumps(loader.state_dict()))
        kept = json.dumps(state)
        again = make(state, augment={}, workers=workers)
        after = list(islice(forever(again), count - taken))
        assert all(_same(a, b) for a, b in zip(whole, before + after, strict=True))
        assert json.dumps(state) == kept
        assert again.report.examples == sum(len(b.ids) for b in whole)
        if workers and taken == 1:
            assert loader.state_dict()["batches"] == 1  # not those made ahead


def test_leaving_the_loop_and_coming_back_goes_on(make: Make) -> None:
    loader, whole = make(), list(make())
    for _ in loader:
        break
    assert [b.ids for b in loader] == [b.ids for b in whole[1:]]


def test_ranks_are_disjoint_together_everything_and_equally_long(make: Make) -> None:
    ranks = [list(make(rank=rank, world_size=2, buckets=1)) for rank in (0, 1)]
    assert len(ranks[0]) == len(ranks[1])
    ids = [[id for batch in batches for id in batch.ids] for batches in ranks]
    assert not set(ids[0]) & set(ids[1])
    assert len(set(ids[0]) | set(ids[1])) == 29


def test_resuming_is_per_rank(make: Make) -> None:
    for rank in (0, 1):
        whole = list(make(rank=rank, world_size=2))
        loader = make(rank=0, world_size=2)  # the state of any rank serves all
        next(iter(loader))
        again = make(loader.state_dict(), rank=rank, world_size=2)
        assert [b.ids for b in again] == [b.ids for b in whole[1:]]


def test_a_state_of_other_data_is_refused(make: Make) -> None:
    loader = make()
    next(iter(loader))
    for change in ({"seed": 6}, {"batch_audio_s": 7.0}, {"world_size": 2}):
        with pytest.raises(MossAudioError, match=f"{next(iter(change))} was .* and is"):
            make(loader.state_dict(), **change)
    with pytest.raises(MossAudioError, match="none of this loader's"):
        make({"step": 3})
    make(loader.state_dict(), workers=2, over_long="error")  # these change no order


def test_the_generator_of_the_model_is_left_alone(make: Make) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    list(make())
    assert torch.equal(before, torch.get_rng_state())


@pytest.fixture
def damaged(mixture: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """Three good clips and three that go bad after the manifest was checked."""
    lines = []
    for number in range(6):
        path = write_wav(tmp_path / f"{number}.wav", 0.5)
        lines.append({**released(path.name, "the"), "duration": 0.5})
        if number % 2:
            data = path.read_bytes()
            path.write_bytes(data[: len(data) // 3] if number == 1 else b"nothing")
    path = write_lines(tmp_path / "m.jsonl", lines)
    return {"sources": [{"kind": "jsonl", "path": str(path)}], "groups": {}, "buckets": 1}


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_audio_is_set_aside_and_counted(
    make: Make, damaged: dict[str, Any], workers: int
) -> None:
    loader = make(**damaged, batch_tokens=30, batch_audio_s=None, workers=workers)
    ids = [batch.ids for batch in loader]
    assert sorted(i for batch in ids for i in batch) == ["m/1", "m/3", "m/5"]
    assert all(ids)  # a batch of nothing is not given out
    assert loader.report.set_aside == {"bad_audio": 3}
    assert sorted(item.id for item in loader.report.listed) == ["m/2", "m/4", "m/6"]
    assert "3 set aside, bad_audio" in str(loader.report)


def test_ranks_stay_in_step_when_one_has_nothing_usable(
    make: Make, damaged: dict[str, Any]
) -> None:
    size = {"batch_tokens": 30, "batch_audio_s": None}
    ranks = [list(make(**damaged, **size, rank=r, world_size=2)) for r in (0, 1)]
    assert len(ranks[0]) == len(ranks[1])
    empty = [b for batches in ranks for b in batches if not b.ids]
    assert empty
    assert all(b.num_items == 0 and b.input_ids.numel() for b in empty)


def test_nothing_usable_at_all_is_an_error(make: Make, damaged: dict[str, Any]) -> None:
    folder = Path(damaged["sources"][0]["path"]).parent
    for path in folder.glob("*.wav"):
        path.write_bytes(b"nothing")
    with pytest.raises(MossAudioError, match="no example can be used: m/"):
        list(make(**damaged))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_stays_one_line(make: Make, workers: int) -> None:
    with pytest.raises(MossAudioError) as caught:
        list(make(max_tokens=5, over_long="error", workers=workers))
    assert "at most 5 are allowed" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_over_long_examples_are_dropped_and_counted(make: Make) -> None:
    loader = make(max_tokens=60)
    kept = [id for batch in loader for id in batch.ids]
    assert 0 < len(kept) < 29
    assert loader.report.set_aside["over_long"] == 29 - len(kept)


def test_times_follow_the_speed_and_unknown_times_forbid_it(
    one_source: Callable[..., Any], tmp_path: Path, scenes_folder: Path
) -> None:
    write_wav(tmp_path / "a.wav", 2.0)
    answers = ["[0.50]the[1.00]", "0.50 - 1.00: bell\n1.20 - 1.60: dog", "At 0.5 seconds.", "Yes."]
    path = write_lines(tmp_path / "m.jsonl", [released("a.wav", a) for a in answers])
    source = one_source("jsonl", path)
    config = AugmentConfig(speed_share=1.0, telephone_share=0, noise_share=0)

    def drawn(source: Any, index: int) -> tuple[str, float, Example]:
        example = draw(source, index, "x", 0, 1, config)
        assert isinstance(example, Example)
        length = len(example.clips[0])
        return example.messages[1]["content"], length / 32_000, example

    text, factor, _ = drawn(source, 0)
    assert factor != 1.0
    assert text == f"[{0.5 * factor:.2f}]the[{factor:.2f}]"
    text, factor, _ = drawn(source, 1)
    assert text.splitlines()[1] == f"{1.2 * factor:.2f} - {1.6 * factor:.2f}: dog"
    text, factor, _ = drawn(source, 2)
    assert (text, factor) == (answers[2], 1.0)
    assert drawn(source, 3)[1] != 1.0
    scenes = one_source("scenes", scenes_folder, split="train", tasks={"events": 1})
    text, factor, example = drawn(scenes, 2)
    factor *= 32_000 / (1.6 * 16_000)
    assert factor != 1.0
    assert example.words[0][1].end == pytest.approx(0.8 * factor)
    assert example.sounds[0][0].start == pytest.approx(1.0 * factor)
    assert f"{1.0 * factor:.2f} - {1.3 * factor:.2f}: bell" in text
    assert len(drawn(scenes, 3)[2].clips[0]) == 0.9 * 16_000  # music keeps its tempo and key


@pytest.mark.parametrize(
    ("question", "answer", "follows"),
    [
        (get_task("transcribe_word").prompt, {"content": "[0.50]the[1.00]"}, True),
        ("What is said at [2.00]?", {"content": "the"}, False),
        ("What?", {"content": "the", "thinking": "[0.50]the[1.00]"}, False),
        ("What?", {"content": "[0.50]the[1.00]", "thinking": "hm"}, True),
    ],
)
def test_the_speed_is_left_alone_where_a_time_stands_outside_of_the_answer(
    one_source: Callable[..., Any], tmp_path: Path, question: str, answer: Any, follows: bool
) -> None:
    write_wav(tmp_path / "a.wav", 2.0)
    content = [{"type": "audio"}, {"type": "text", "text": question}]
    messages = [{"role": "user", "content": content}, {"role": "assistant", **answer}]
    path = write_lines(tmp_path / "m.jsonl", [{"audio": "a.wav", "messages": messages}])
    example = draw(one_source("jsonl", path), 0, "x", 0, 1, AugmentConfig(speed_share=1.0))
    assert isinstance(example, Example)
    assert (len(example.clips[0]) != 32_000) == follows
    assert example.messages[0]["content"] == content
    assert (example.messages[1] != messages[1]) == follows


def test_an_example_is_the_same_in_each_process_and_another_in_each_pass(
    one_source: Callable[..., Any], jsonl: Path
) -> None:
    source = one_source("jsonl", jsonl)
    config = AugmentConfig()
    a, b, c = (draw(source, 2, "x", turn, 0, config) for turn in (0, 0, 1))
    assert isinstance(a, Example)
    assert isinstance(b, Example)
    assert isinstance(c, Example)
    assert np.array_equal(a.clips[0], b.clips[0])
    assert not np.array_equal(a.clips[0], c.clips[0])


def test_cached_features_are_found_again_and_damage_is_mended(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clip = rng.standard_normal(8000).astype(np.float32) * 0.1
    cache = FeatureCache(tmp_path, N_MELS)
    first, second = cache(clip), cache(clip)
    assert np.array_equal(first, second)
    assert len(list(tmp_path.rglob("*.npy"))) == 1
    assert np.abs(first - log_mel(clip, N_MELS)).max() < 1e-3
    cache(clip * 0.5)
    assert len(list(tmp_path.rglob("*.npy"))) == 2
    for path in tmp_path.rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:50])
    assert np.array_equal(cache(clip), first)
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_cache_spares_nothing_but_time(make: Make, tmp_path: Path) -> None:
    fields = {"features": "cache", "cache_dir": str(tmp_path)}
    cold, warm = list(make(**fields)), list(make(**fields, workers=1))
    assert all(_same(a, b) for a, b in zip(cold, warm, strict=True))
    shutil.rmtree(tmp_path / "features")
    assert _same(next(iter(make(**fields))), cold[0])


def test_inspect_tells_what_is_there(
    mixture: dict[str, Any], tokenizer: Any, spec: PromptSpec
) -> None:
    report = inspect(data_config(mixture), tokenizer, spec)
    asr, scenes, text = report.sources
    assert (asr.examples, scenes.examples, text.examples) == (12, 5, 12)
    assert asr.hours * 3600 == pytest.approx(sum(0.4 + 0.1 * n for n in range(12)), rel=1e-3)
    assert dict(report.groups) == pytest.approx({"asr": 0.3, "caption": 0.4, "text": 0.3})
    assert len(asr.read_tokens) == 12
    assert text.hours == 0
    assert report.padding == 0
    assert "drawn 40.0%" in str(report)
    padded = inspect(data_config({**mixture, "layout": "padded"}))
    assert 0 < padded.padding < 0.6
