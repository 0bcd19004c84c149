"""`python -m moss_audio.testing.micro FOLDER`: an untrained micro model in the released layout.

The smallest size that has every part: four encoder layers, three DeepStack mergers, four decoder
layers, and a byte-level tokenizer of a few hundred tokens. For tests, and to see a stage run.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.presets import preset
from moss_audio.model.processing import MossAudioProcessor
from moss_audio.testing.tokenizer import tiny_tokenizer


def write_micro(folder: Path, seed: int = 0) -> Path:
    """Write the folder; the same seed gives the same weights."""
    torch.manual_seed(seed)
    config = preset("micro", architectures=["MossAudioModel"])
    MossAudioModel(config).save_pretrained(folder)
    MossAudioProcessor(
        tiny_tokenizer(),
        audio_token_id=config.audio_token_id,
        audio_start_id=config.audio_start_id,
        audio_end_id=config.audio_end_id,
        mel_config={"mel_dim": config.audio_config.num_mel_bins},
    ).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m moss_audio.testing.micro FOLDER")
    print(write_micro(Path(sys.argv[1])))
