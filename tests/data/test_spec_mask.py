"""Masks over features: what they cover, and that they follow from the example alone."""

from __future__ import annotations

import numpy as np
import pytest

from moss_audio.data.augment import AugmentConfig
from moss_audio.data.spec_mask import SpecMask
from moss_audio.errors import MossAudioError
from tests.data_config import data_config

MEL = np.random.default_rng(0).standard_normal((20, 300), np.float32)


def _mask(seed: int = 0, **fields: float) -> SpecMask:
    config = AugmentConfig(spec_mask_share=1.0, **fields)  # type: ignore[arg-type]
    mask = config.masks(seed)
    assert mask is not None
    return mask


def test_bands_and_stretches_become_the_mean_and_the_rest_stays() -> None:
    before = MEL.copy()
    widths = []
    for seed in range(60):
        fields = {"spec_mask_bands": 1, "spec_mask_bins": 5, "spec_mask_times": 1}
        out = _mask(seed, **fields, spec_mask_time_s=0.2, spec_mask_time_share=1.0)(MEL, 0)
        changed = out != MEL
        assert (out[changed] == MEL.mean()).all()
        bins, frames = changed.all(1), changed.all(0)
        assert np.array_equal(changed, bins[:, None] | frames[None, :])
        widths.append((int(bins.sum()), int(frames.sum())))
    assert np.array_equal(MEL, before)  # a copy was masked
    assert {w for w, _ in widths} == set(range(6))
    assert max(f for _, f in widths) <= 20 < 2 * max(f for _, f in widths)


def test_a_stretch_covers_no_more_than_its_share_of_a_short_clip() -> None:
    fields = {"spec_mask_bands": 0, "spec_mask_times": 1}
    longest = max(
        int((_mask(s, **fields, spec_mask_time_s=2.0, spec_mask_time_share=0.05)(MEL, 0) != MEL)
            .any(0).sum())
        for s in range(80)
    )  # fmt: skip
    assert longest == 15  # 5 % of 300 frames, not 2 s


def test_masks_follow_from_the_seed_and_the_clip() -> None:
    assert np.array_equal(_mask(3)(MEL, 1), _mask(3)(MEL, 1))
    assert not np.array_equal(_mask(3)(MEL, 1), _mask(3)(MEL, 2))
    assert not np.array_equal(_mask(3)(MEL, 1), _mask(4)(MEL, 1))


def test_off_by_default_and_as_often_as_asked() -> None:
    assert AugmentConfig().masks(0) is None
    half = [AugmentConfig(spec_mask_share=0.5).masks(seed) for seed in range(400)]
    masked = sum(mask is not None and mask(MEL, 0) is not MEL for mask in half)
    assert 160 < masked < 240


def test_what_makes_no_sense_is_said_at_once() -> None:
    values = {
        "sources": [{"kind": "jsonl", "path": "x"}],
        "batch_audio_s": 4,
        "augment": {"spec_mask_share": 1.5, "spec_mask_bins": -1},
    }
    with pytest.raises(
        MossAudioError, match=r"augment\.spec_mask_share: 1\.5 .*; augment\.spec_mask_bins: -1 "
    ):
        data_config(values)
    values["augment"] = {"spec_mask_share": "often"}
    with pytest.raises(MossAudioError, match=r"augment\.spec_mask_share: 'often' is not a number"):
        data_config(values)
