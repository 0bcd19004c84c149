"""What `processor_config.json` says of prompts and features (spec section 1.5), checked.

Keys that are missing have the released checkpoints' values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moss_audio.dsp.mel import N_FFT
from moss_audio.errors import CheckpointError
from moss_audio.model.sizes import AUDIO_IDS
from moss_audio.prompt import PromptSpec
from moss_audio.units import HOP_SAMPLES, SAMPLE_RATE

_FIXED_MEL = {"mel_sr": SAMPLE_RATE, "mel_hop_length": HOP_SAMPLES, "mel_n_fft": N_FFT}


def prompt_spec(values: Mapping[str, Any]) -> PromptSpec:
    """Audio ids, time markers and default system text.

    Markers are on unless switched off: the released checkpoints were trained so, also where their
    folder does not say it.

    Raises:
        CheckpointError: ids that cannot be.
    """
    audio_ids = {name: values.get(name, default) for name, default in AUDIO_IDS.items()}
    found = tuple(audio_ids.values())
    if len(set(found)) < len(found) or any(type(i) is not int or i < 0 for i in found):
        raise CheckpointError(f"{', '.join(AUDIO_IDS)} are {found}: give three different token ids")
    return PromptSpec(
        **audio_ids,
        time_markers=bool(values.get("enable_time_marker", True)),
        default_system=values.get("default_system", PromptSpec.default_system),
    )


def mel_config(given: Mapping[str, int] | None) -> dict[str, int]:
    """{mel_dim, mel_sr, mel_hop_length, mel_n_fft}, of which only mel_dim may vary.

    Raises:
        CheckpointError: naming the key and its value.
    """
    config = {"mel_dim": 128, **_FIXED_MEL, **dict(given or {})}
    for key, value in _FIXED_MEL.items():
        if config[key] != value:
            raise CheckpointError(
                f"mel_config has {key}={config[key]!r}, but only {value} is supported"
            )
    mel_dim = config["mel_dim"]
    if type(mel_dim) is not int or mel_dim < 1:
        raise CheckpointError(f"mel_config has mel_dim={mel_dim!r}: give a positive number")
    unknown = sorted(set(config) - {"mel_dim", *_FIXED_MEL})
    if unknown:
        raise CheckpointError(f"mel_config has unknown keys {unknown}")
    return config
