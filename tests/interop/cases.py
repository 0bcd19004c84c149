"""The prompts that both implementations answer: which clips, which markers, which text."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from moss_audio.units import SAMPLE_RATE
from tests.interop import checkpoints

NEW_TOKENS = 24
CHAT = "chat"  # the one request that goes through the chat template
PLACEHOLDER = "<|audio_bos|><|AUDIO|><|audio_eos|>"
CHAT_QUESTION = "Which sounds are there, and when?"
LENGTHS_S = (0.3, 3.99, 4.0, 4.05, 9.4, 33.0)  # around one 4-s chunk, and many
# In a prompt of two clips the stem sees every chunk padded to the longest one, which changes the
# end of a clip shorter than a chunk, but for 3.99 s: their 399 frames are halved to 200, 100 and 50
# positions exactly as 400 are.
PAIRS_S = (
    *((4.0, 33.0), (9.4, 4.05), (4.05, 4.0), (33.0, 3.99), (0.3, 0.3), (3.99, 3.99)),
    *((0.3, 9.4), (0.3, 3.99), (33.0, 0.3), (2.0, 0.3)),
)


@dataclass(frozen=True)
class Case:
    """A prompt with its clips, all made anew so that no cache of vLLM can know them."""

    name: str
    lengths_s: tuple[float, ...]
    time_markers: bool
    text: str
    seed: int

    @property
    def prompt(self) -> str:
        """The prompt written out, audio placeholders and control tokens included."""
        audio = PLACEHOLDER * len(self.lengths_s)
        user = f"{audio}\n{self.text}" if audio else self.text
        return (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            f"<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
        )

    def clips(self) -> list[np.ndarray]:
        """The clips, float32 mono at 16 kHz."""
        return [
            checkpoints.clip(seconds, 100 * self.seed + index)
            for index, seconds in enumerate(self.lengths_s)
        ]


def _cases() -> list[Case]:
    found: list[Case] = []
    for markers in (True, False):
        mark = "markers" if markers else "plain"
        for lengths in [*((s,) for s in LENGTHS_S), *PAIRS_S]:
            name = "+".join(f"{s:g}s" for s in lengths) + f"-{mark}"
            text = "Transcribe the audio." if len(lengths) == 1 else "Compare the two clips."
            found.append(Case(name, tuple(lengths), markers, text, seed=len(found) + 1))
    found.append(Case("text-only", (), True, "Say 12 words.", seed=0))
    return found


CASES = _cases()


def chat_messages(kind: str) -> list[dict[str, Any]]:
    """One question about one clip, in OpenAI's form (`audio_url`) or in ours (`audio`)."""
    url = _wav_url(checkpoints.clip(2.5, seed=7))
    part: dict[str, Any] = {"type": "audio", "url": url}
    if kind == "audio_url":
        part = {"type": "audio_url", "audio_url": {"url": url}}
    return [{"role": "user", "content": [part, {"type": "text", "text": CHAT_QUESTION}]}]


def _wav_url(samples: np.ndarray) -> str:
    """A float32 WAV: vLLM without soundfile reads 16-bit samples as whole numbers, unscaled."""
    rate, ieee_float = SAMPLE_RATE, 3
    form = struct.pack("<HHIIHH", ieee_float, 1, rate, 4 * rate, 4, 32)
    data = samples.astype("<f4").tobytes()
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(data)) + data
    wav = b"RIFF" + struct.pack("<I", len(body)) + body
    return "data:audio/wav;base64," + base64.b64encode(wav).decode("ascii")
