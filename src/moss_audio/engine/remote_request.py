"""What a server is sent: the body of a request, and clips as files."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from moss_audio.engine.base import GenerationOptions
from moss_audio.engine.remote_answer import RemoteAnswer
from moss_audio.text import THINK_CLOSE
from moss_audio.units import SAMPLE_RATE


def chat_body(
    messages: Sequence[Mapping[str, Any]],
    options: GenerationOptions,
    member: int,
    answer: RemoteAnswer,
) -> dict[str, Any]:
    """A request to begin an answer, or to continue it.

    Every number is named: a server would fill gaps from the checkpoint's own generation settings.
    """
    body: dict[str, Any] = {
        "messages": messages,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "top_k": options.top_k or -1,
        "repetition_penalty": 1.0,
        "seed": options.seed + member,
        "stream_options": {"include_usage": True},
        "return_token_ids": True,
    }
    if options.logprobs is not None or options.thinking_budget is not None:
        # with a budget for their bytes, which tell the tokens of a chunk from each other
        body |= {"logprobs": True, "top_logprobs": options.logprobs or 0}
        body["return_tokens_as_token_ids"] = True
    if options.stop:
        body["stop"] = list(options.stop)
    if options.thinking_budget is not None and THINK_CLOSE not in answer.text:
        body["thinking_budget"] = options.thinking_budget  # ours; others leave it to RemoteAnswer
    if options.thinking is False:
        body["chat_template_kwargs"] = {"enable_thinking": False}
    if begun := answer.begun + answer.text:
        body["messages"] = [*messages, {"role": "assistant", "content": begun}]
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    return body


def float_wav(samples: np.ndarray) -> bytes:
    """Samples `[n]` at 16 kHz as a WAV file of 32-bit floats: nothing is lost, and vLLM without
    soundfile takes 16-bit samples for whole numbers."""
    ieee_float, n_bytes = 3, 4
    form = struct.pack(
        "<HHIIHH", ieee_float, 1, SAMPLE_RATE, n_bytes * SAMPLE_RATE, n_bytes, 8 * n_bytes
    )
    data = samples.astype("<f4").tobytes()
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body
