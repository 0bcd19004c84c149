"""Shares of sources and groups."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.data.augment import AugmentConfig
from moss_audio.data.config import DataConfig, SourceConfig, read_data_config
from moss_audio.data.mixture import make_sampler, mixture_weights
from moss_audio.errors import MossAudioError
from tests.data_config import data_config


class Numbers:
    """A source of nothing but lengths."""

    def __init__(self, name: str, n: int, audio_s: float = 1.0) -> None:
        self.name, self.n = name, n
        self.audio_s = np.full(n, audio_s, np.float32)
        self.text_tokens = np.zeros(n, np.float32)
        self.tasks = self.prompt = None
        self.bad: list[str] = []

    def __len__(self) -> int:
        return self.n

    def id(self, index: int) -> str:
        return f"{self.name}/{index}"

    def order(self, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(self.n)

    def entry(self, index: int) -> Any:
        raise AssertionError("nothing is read to make batches")


def _config(groups: dict[str, float], of: list[str], **fields: Any) -> DataConfig:
    sources = tuple(
        SourceConfig("jsonl", f"{number}.jsonl", group=group) for number, group in enumerate(of)
    )
    return DataConfig(sources, groups, **{"batch_audio_s": 4.0, **fields})


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 10**7)), min_size=3, max_size=8
    ).filter(lambda of: {g for g, _ in of} == set("abc"))
)
def test_groups_have_their_shares_and_sources_the_root_of_their_size(
    of: list[tuple[str, int]],
) -> None:
    shares = {"a": 0.3, "b": 0.4, "c": 0.3}
    sizes = [size for _, size in of]
    weights = mixture_weights(_config(shares, [g for g, _ in of]), sizes)
    assert sum(weights) == pytest.approx(1)
    for group, share in shares.items():
        inside = [(w, n) for w, n, (g, _) in zip(weights, sizes, of, strict=True) if g == group]
        assert sum(w for w, _ in inside) == pytest.approx(share)
        assert [w / n**0.5 for w, n in inside] == pytest.approx(
            [inside[0][0] / inside[0][1] ** 0.5] * len(inside)
        )


def test_endless_draws_keep_the_shares_and_repeat_small_sources() -> None:
    config = _config({"a": 3, "b": 4, "c": 3}, ["a", "a", "b", "c"], endless=True, buckets=1)
    sources = [Numbers("0", 40), Numbers("1", 360), Numbers("2", 50), Numbers("3", 900)]
    drawn = [p for batch in islice(make_sampler(config, sources, 0, 0, 1), 2500) for p in batch]
    counts = Counter(place.source for place in drawn)
    found = [counts[n] / len(drawn) for n in range(4)]
    assert found == pytest.approx([0.075, 0.225, 0.4, 0.3], abs=0.02)
    # a source that comes again comes whole, in a new order
    first = [p.number for p in drawn if p.source == 2 and p.turn == 0]
    second = [p.number for p in drawn if p.source == 2 and p.turn == 1]
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second


@pytest.mark.parametrize("buckets", [1, 4])
def test_an_epoch_is_every_example_once(buckets: int) -> None:
    config = _config({"a": 0.7, "b": 0.3}, ["a", "b"], buckets=buckets, buffer=50)
    sources = [Numbers("0", 60, 0.5), Numbers("1", 45, 1.5)]
    orders = []
    for epoch in (0, 1):
        ids = [p.id for batch in make_sampler(config, sources, epoch, 0, 1) for p in batch]
        assert len(set(ids)) == len(ids) == 105
        orders.append(ids)
    assert orders[0] != orders[1]


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_a_batch_keeps_within_its_size(layout: str) -> None:
    rng = np.random.default_rng(0)
    source = Numbers("0", 300)
    source.audio_s = rng.uniform(0.2, 3.0, 300).astype(np.float32)
    config = _config({}, ["all"], layout=layout, batch_audio_s=20.0)
    sizes = []
    for batch in make_sampler(config, [source], 0, 0, 1):
        lengths = [float(source.audio_s[place.number]) for place in batch]
        sizes.append(sum(lengths) if layout == "packed" else max(lengths) * len(lengths))
    assert max(sizes) <= 20.0 + 1e-3
    assert np.median(sizes) > 16.0


def test_few_clips_are_not_scattered_over_buckets() -> None:
    source = Numbers("0", 50)
    source.audio_s = np.linspace(1.0, 5.0, 50, dtype=np.float32)
    config = _config({}, ["all"], batch_audio_s=30.0)
    sizes = [len(batch) for batch in make_sampler(config, [source], 0, 0, 1)]
    assert len(sizes) <= 7  # 150 s


def test_ranks_share_an_epoch() -> None:
    config = _config({"a": 0.5, "b": 0.5}, ["a", "b"])
    sources = [Numbers("0", 64), Numbers("1", 32)]
    per_rank = [list(make_sampler(config, sources, 0, rank, 2)) for rank in (0, 1)]
    assert len(per_rank[0]) == len(per_rank[1])
    ids = [{p.id for batch in batches for p in batch} for batches in per_rank]
    assert not ids[0] & ids[1]
    assert len(ids[0] | ids[1]) == 96


def test_everything_wrong_with_a_configuration_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text("sources:\n  - {kind: wav, path: x, weigth: 2}\n  - {kind: jsonl}\nbatch: 3\n")
    with pytest.raises(MossAudioError) as caught:
        read_data_config(path)
    for piece in (
        "data.yaml", "unknown field sources.0.weigth", "missing field sources.1.path",
        "unknown field batch",
    ):  # fmt: skip
        assert piece in str(caught.value)
    with pytest.raises(MossAudioError) as caught:
        data_config({
            "sources": [
                {"kind": "wav", "path": "x/b.wav", "weight": 0, "columns": {"sound": "a"}},
                {"kind": "scenes", "path": "b", "tasks": {"sing": 1, "ask": -1}},
                {"kind": "jsonl", "path": "x/b.jsonl", "split": "train", "group": "z"},
            ],
            "batch_audio_s": 0, "layout": "round", "buckets": 0, "max_tokens": 0,
        })  # fmt: skip
    for piece in (
        "sources.0.kind: 'wav' is not one of scenes", "sources.0.weight: 0.0 must be",
        "sources.0.columns: 'sound' is not one of", "need a 'split'", "unknown task 'sing'",
        "sources.1: scenes need", "share of 'ask'", "sources.2: 'split' means",
        "layout: 'round' is not one of packed", "buckets: 0 must be at least 1",
        "max_tokens: 0 must be at least 1", "batch_audio_s: 0.0 must be",
    ):  # fmt: skip
        assert piece in str(caught.value), piece
    with pytest.raises(MossAudioError) as caught:
        DataConfig(
            (SourceConfig("jsonl", "x/b.jsonl", group="z"), SourceConfig("csv", "b.csv")),
            {"all": 0, "text": 1},
            features="cache", augment=AugmentConfig(), max_tokens=0,
        )  # fmt: skip
    for piece in (
        "group 'z'", "group 'text' has no source", "must be > 0", "one of 'batch_audio_s'",
        "needs a 'cache_dir'", "exclude each other", "same name: b", "max_tokens: 0 must be",
    ):  # fmt: skip
        assert piece in str(caught.value), piece
