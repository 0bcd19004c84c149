"""Speaker embeddings: GE2E's LSTM with the published weights that resemblyzer carries.

Model: Wan et al., "Generalized End-to-End Loss for Speaker Verification" (arXiv 1710.10467), in
the sizes of resemblyzer (Apache-2.0): 40 mel channels of 25 ms every 10 ms, three LSTM layers and
a projection of 256, ReLU, unit length. Only the weights are read, without unpickling code: the
package itself cannot be imported with current setuptools.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from moss_audio.annotate.tool import import_librosa
from moss_audio.annotate.tools.speech.voice_weights import weights_file
from moss_audio.errors import CheckpointError, short_reason
from moss_audio.units import SAMPLE_RATE

_N_MELS, _N_FFT, _HOP, _SIZE, _LAYERS = 40, 400, 160, 256, 3


class VoiceEncoder(nn.Module):
    """Windows of speech -> unit vectors; near vectors are like voices."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_N_MELS, _SIZE, _LAYERS, batch_first=True)
        self.linear = nn.Linear(_SIZE, _SIZE)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        """`[B, frames, 40]` mel power -> `[B, 256]` of unit length."""
        _, (hidden, _) = self.lstm(mels)
        raw = torch.relu(self.linear(hidden[-1]))
        return raw / raw.norm(dim=1, keepdim=True).clamp_min(1e-9)

    @torch.no_grad()
    def embed(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """float32 windows `[n]` at 16 kHz, of any length -> `[len(windows), 256]`."""
        out = [self(torch.from_numpy(mel_power(w))[None])[0].numpy() for w in windows]
        return np.stack(out) if out else np.zeros((0, _SIZE), np.float32)


def mel_power(samples: np.ndarray) -> np.ndarray:
    """`[n]` -> `[frames, 40]` mel power (no logarithm), float32."""
    librosa = import_librosa("Speaker embeddings")
    mel = librosa.feature.melspectrogram(
        y=np.asarray(samples, np.float32),
        sr=SAMPLE_RATE,
        n_fft=_N_FFT,
        hop_length=_HOP,
        n_mels=_N_MELS,
    )
    return np.ascontiguousarray(mel.T, np.float32)


def load_voice_encoder(path: str | Path | None = None) -> VoiceEncoder:
    """The model with its weights. Raises CheckpointError for a file that does not hold them."""
    file = weights_file(path)
    encoder = VoiceEncoder()
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)["model_state"]
        wanted = encoder.state_dict()
        encoder.load_state_dict({name: state[name] for name in wanted})
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        detail = short_reason(error)
        raise CheckpointError(
            f"{file}: not the weights of the speaker encoder ({detail}); reinstall resemblyzer or "
            "give its pretrained.pt"
        ) from error
    return encoder.eval()
