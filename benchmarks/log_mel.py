"""Log-mel features against transformers' `WhisperFeatureExtractor` on the same clips.

The extractor's public call takes its torch path (`torch.stft`) wherever torch is installed, and by
default pads every clip to 30 s, because Whisper needs that; MOSS-Audio takes the clip as it is. So
a short clip is compared twice: with the call as everybody makes it, and with `padding=False`. The
extractor's numpy path, without padding, is what our tests compare values with.
"""

from __future__ import annotations

from functools import partial

from measure import Row, alternate, milliseconds
from sounds import speech

from moss_audio import MossAudio
from moss_audio.dsp.mel import log_mel
from moss_audio.model.checkpoint import Checkpoint
from moss_audio.units import SAMPLE_RATE

AIM = 5.0


def measure(model: MossAudio, clock: str) -> list[Row]:
    """Two lengths, three ways to call the extractor."""
    from transformers import WhisperFeatureExtractor

    assert isinstance(model.checkpoint, Checkpoint)
    n_mels = model.checkpoint.sizes.audio.num_mel_bins
    extractor = WhisperFeatureExtractor(feature_size=n_mels)
    rows = []
    for seconds in (10, 30):
        clip = speech(seconds)
        call = partial(extractor, clip, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        short = seconds < 30
        peers = {
            "its call, padded to 30 s" if short else "its call": call,
            "its call, padding=False": partial(call, padding=False, truncation=False),
            "its numpy path": partial(extractor._np_extract_fbank_features, clip[None], "cpu"),
        }
        for name, peer in peers.items():
            if "padding=False" in name and not short:
                continue  # nothing is padded at 30 s
            timing = alternate(
                partial(log_mel, clip, n_mels), peer, rounds=15, warm_up=3, clock=clock
            )
            rows.append(
                Row(
                    f"log-mel of {seconds} s, {n_mels} bins / WhisperFeatureExtractor, {name}",
                    milliseconds(timing.ours_s),
                    milliseconds(timing.peer_s),
                    timing.ratio,
                    aim=AIM if peer is call else None,
                )
            )
    return rows
